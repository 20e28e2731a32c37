/**
 * A search in the B+ tree over the pages in memory, and the path that it has come: pages from the root to a leaf.
 *
 *   branch   │ key 0 → child │ key 1 → child │ …      a child holds the keys from its key on, up to the next one's
 *   leaf     │ key → body    │ key → body    │ …
 *
 * 1. The first key of a branch bounds nothing: smaller ones go to its child as well. (A page that got empty is taken out of its
 *    branch, and its keys belong to the page before it from then on, or behind it, where it was the first.)
 * 2. Before anything is changed, all pages of the path are such that nobody sees (`own`).
 * 3. Searching never waits: it tells what is not in memory (`AWAY`, `block`).
 *
 * Left out: what bodies are (`leaf.ts`, `branch.ts`).
 */

import type { Routine } from '../../environment/routine.ts'
import type { Block } from '../../storage/cache.ts'
import { childAt, entriesAt, setChild, setEntries, setTraits, sumAt, traitsAt } from './branch.ts'
import { misplaced, NO_PAGE } from './format.ts'
import { type Keys, UNREAD } from './keys.ts'
import { MOST_LEVEL, type Page } from './page.ts'
import type { Pages } from './pages.ts'

export const ABSENT = 0
export const PRESENT = 1
/** Something on the path is not in memory: `block` reads it. */
export const AWAY = 2
export type Search = 0 | 1 | 2

/** More levels than pages can have: each has two children at least when it is made. */
export const MAX_DEPTH: number = MOST_LEVEL + 1
const NOTHING = Buffer.alloc(0)

/** Whether to go on to the child that was `read` in a branch, which has this number. */
export type Leads = (branch: Page, number: number) => boolean

export class TreePath {
  protected readonly pages: Pages
  protected readonly keys: Keys
  /** Looks at the leaf last searched. */
  readonly leaf: Page
  /** In the leaf: where the key is, or −1 − where it would be. */
  slot = 0
  root: number = NO_PAGE
  entries = 0
  /** After `searchWhere`: the key with which the leaf behind the one found begins; `undefined`: there is none. */
  behind: Buffer | undefined
  /** From the root to the leaf: pages, and slots of the branches. */
  protected readonly path: Float64Array = new Float64Array(MAX_DEPTH)
  protected readonly slots: Int32Array = new Int32Array(MAX_DEPTH)
  protected depth = 0
  /** Whether the path still leads where the last put has left it: a search leads it elsewhere. */
  protected stays = false
  /** To look at pages for a moment. */
  protected readonly page: Page
  protected readonly other: Page
  /** After `AWAY`: the page that is not in memory; `NO_PAGE`: the rest of a key is. */
  #missing: number = NO_PAGE
  #missingDepth = 0

  constructor(pages: Pages, keys: Keys) {
    this.pages = pages
    this.keys = keys
    this.leaf = pages.newPage()
    this.page = pages.newPage()
    this.other = pages.newPage()
  }

  /** Looks for a key below `root`. */
  search(root: number, key: Uint8Array, start: number, end: number): Search {
    this.stays = false
    if (root === NO_PAGE) return ABSENT
    const pages = this.pages
    const page = this.leaf
    let number = root
    let sum = 0
    let level = -1
    for (let depth = 0; ; depth++) {
      if (!pages.look(page, number)) {
        pages.expect(number, sum)
        this.#missing = number
        this.#missingDepth = depth
        return AWAY
      }
      if (level === 0 || (level > 0 && page.level !== level - 1)) throw misplaced()
      level = page.level
      this.path[depth] = number
      const found = this.keys.find(page, key, start, end)
      if (found === UNREAD) {
        this.#missing = NO_PAGE
        return AWAY
      }
      if (page.level === 0) {
        this.depth = depth
        this.slot = found
        return found >= 0 ? PRESENT : ABSENT
      }
      const slot = found >= 0 ? found : Math.max(0, -2 - found)
      this.slots[depth] = slot
      page.read(slot)
      number = childAt(page)
      sum = sumAt(page)
    }
  }

  /**
   * Looks for the first leaf from `key` on to which branches lead, which then is the one that was searched last, and `behind` where
   * the next one begins. `ABSENT`: there is none.
   */
  searchWhere(key: Uint8Array, leads: Leads): Search {
    if (this.root === NO_PAGE) return ABSENT
    for (let from: Uint8Array | undefined = key; from !== undefined; from = this.behind) {
      const found = this.#searchWhere(from, leads)
      if (found !== ABSENT) return found
    }
    return ABSENT
  }

  /** `ABSENT`: not in the branches that it came through, but perhaps `behind` them. */
  #searchWhere(key: Uint8Array, leads: Leads): Search {
    this.stays = false
    const page = this.leaf
    let from = key
    let number = this.root
    let sum = 0
    let level = -1
    this.behind = undefined
    for (let depth = 0; ; depth++) {
      if (!this.pages.look(page, number)) {
        this.pages.expect(number, sum)
        this.#missing = number
        this.#missingDepth = depth
        return AWAY
      }
      if (level === 0 || (level > 0 && page.level !== level - 1)) throw misplaced()
      level = page.level
      this.path[depth] = number
      const found = this.keys.find(page, from, 0, from.length)
      if (found === UNREAD) {
        this.#missing = NO_PAGE
        return AWAY
      }
      if (level === 0) {
        this.depth = depth
        this.slot = found
        return PRESENT
      }
      const first = found >= 0 ? found : Math.max(0, -2 - found)
      let slot = first
      for (; slot < page.count; slot++) {
        page.read(slot)
        if (leads(page, number)) break
      }
      if (slot === page.count) return ABSENT
      this.slots[depth] = slot
      if (slot > first) from = this.keys.whole(page, slot)
      // Reading keys may drive it out.
      this.reachPage(page, number, -1)
      if (slot + 1 < page.count) this.behind = this.keys.whole(page, slot + 1)
      this.reachPage(page, number, -1)
      page.read(slot)
      number = childAt(page)
      sum = sumAt(page)
    }
  }

  /** After `AWAY`: what reads what is missing. */
  block(): Block {
    if (this.#missing === NO_PAGE) return this.keys.block()
    return this.pages.block(this.#missing, this.path.slice(0, this.#missingDepth))
  }

  /** `search`, which reads what is missing at once. */
  reach(root: number, key: Uint8Array, start: number, end: number): Search {
    let found = this.search(root, key, start, end)
    if (found !== AWAY) return found
    const held: Block[] = []
    try {
      for (; found === AWAY; found = this.search(root, key, start, end)) {
        const block = this.block()
        block.load.sync()
        held.push(block)
      }
      return found
    } finally {
      for (const block of held) block.release()
    }
  }

  /** Brings into memory what a search needs. */
  *warm(key: Uint8Array, start: number, end: number): Routine<void> {
    const held: Block[] = []
    try {
      while (this.search(this.root, key, start, end) === AWAY) {
        const block = this.block()
        if (block.alone) for (const one of held.splice(0)) one.release()
        held.push(block)
        yield* block.load
      }
    } finally {
      for (const block of held) block.release()
    }
  }

  /** Looks at a page, which is read at once where it is not in memory. `above`: the level of its parent, −1: it is the root. */
  protected reachPage(page: Page, number: number, above: number): void {
    if (!this.pages.look(page, number)) {
      const block = this.pages.block(number)
      block.load.sync()
      this.pages.look(page, number)
      block.release()
    }
    if (above === 0 || (above > 0 && page.level !== above - 1)) throw misplaced()
  }

  /** The slot of a key in the leaf that was searched last, or −1 − where it would be. What is on the path to it stays in memory. */
  slotOf(key: Uint8Array): number {
    const held: Block[] = []
    for (let d = 0; d < this.depth; d++) held.push(this.pages.hold(this.path[d]!))
    try {
      return this.findIn(this.leaf, this.path[this.depth]!, key)
    } finally {
      for (const block of held) block.release()
    }
  }

  /** Looks for a key in a page that is in memory: reading rests of keys does not drive it out. */
  protected findIn(page: Page, number: number, key: Uint8Array): number {
    const held = this.pages.hold(number)
    try {
      return this.keys.findNow(page, key, 0, key.length)
    } finally {
      held.release()
    }
  }

  /** The key with which the leaf behind the one that was searched last begins; `undefined`: there is none. */
  nextKey(): Buffer | undefined {
    return this.highKey(this.depth, true)
  }

  /** Whether the path of the last search leads through a page from `limit` on. */
  isBeyond(limit: number): boolean {
    for (let d = 0; d <= this.depth; d++) if (this.path[d]! >= limit) return true
    return false
  }

  /** Copies the path of the last search, so that it comes to lie in the lowest pages that are free. */
  move(): void {
    this.own()
  }

  /** Makes all pages of the path ones that may be changed. */
  protected own(): void {
    const pages = this.pages
    const depth = this.depth
    if (pages.isOwn(this.path[depth]!)) return
    const page = this.page
    const held: Block[] = []
    for (let d = 0; d <= depth; d++) {
      const number = this.path[d]!
      if (pages.isOwn(number)) continue
      let made = held.length === 0 ? pages.renumber(number) : NO_PAGE
      if (made === NO_PAGE) {
        if (held.length === 0) this.#holdFrom(d, held)
        made = pages.copy(number)
      }
      this.path[d] = made
      if (d === 0) this.root = made
      else {
        pages.look(page, this.path[d - 1]!)
        page.read(this.slots[d - 1]!)
        setChild(page, made)
      }
    }
    for (const block of held) block.release()
    pages.look(this.leaf, this.path[depth]!)
  }

  /** Copying one page of the path must not drive out those that come behind it. */
  #holdFrom(depth: number, held: Block[]): void {
    const pages = this.pages
    for (let d = depth; d <= this.depth; d++) {
      const number = this.path[d]!
      if (!pages.isOwn(number)) held.push(pages.hold(number))
    }
  }

  /** So many entries more below the path, with these traits. */
  protected count(more: number, traits = 0): void {
    if (more === 0 && traits === 0) return
    this.entries += more
    const page = this.page
    for (let d = 0; d < this.depth; d++) {
      this.pages.look(page, this.path[d]!)
      page.read(this.slots[d]!)
      setEntries(page, entriesAt(page) + more)
      if (traits !== 0) setTraits(page, traitsAt(page) | traits)
    }
  }

  /** No key of the page at `depth` of the path is smaller than this, as it is in a page; `undefined`: nothing bounds it. */
  protected lowKey(depth: number): Buffer | undefined {
    const page = this.other
    for (let d = depth - 1; d >= 0; d--) {
      const slot = this.slots[d]!
      if (slot === 0) continue
      this.pages.look(page, this.path[d]!)
      return keyOf(page, slot)
    }
    return undefined
  }

  /** All keys of the page at `depth` of the path are smaller than this; as it is in the page, or `whole`. */
  protected highKey(depth: number, whole = false): Buffer | undefined {
    const page = this.other
    for (let d = depth - 1; d >= 0; d--) {
      this.pages.look(page, this.path[d]!)
      const slot = this.slots[d]! + 1
      if (slot < page.count) return whole ? this.keys.whole(page, slot) : keyOf(page, slot)
    }
    return undefined
  }

  /** Of a page with the keys from `low` up to `high`. Shorter than long keys are, so that it can be a key by itself. */
  protected prefix(low: Uint8Array | undefined, high: Uint8Array | undefined): Uint8Array {
    return commonPrefix(low, high, this.leaf.longBytes - 1)
  }
}

function keyOf(page: Page, slot: number): Buffer {
  const key = Buffer.alloc(page.keyLength(slot))
  page.writeKey(slot, key, 0)
  return key
}

/** What all keys from `low` up to `high` begin with; `most`: as far as that is asked. */
export function commonPrefix(
  low: Uint8Array | undefined,
  high: Uint8Array | undefined,
  most: number,
): Uint8Array {
  if (low === undefined || high === undefined) return NOTHING
  const end = Math.min(low.length, high.length, most)
  let length = 0
  while (length < end && low[length] === high[length]) length++
  return low.subarray(0, length)
}
