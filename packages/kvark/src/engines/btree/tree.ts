/**
 * The B+ tree over the pages in memory: search, put, delete.
 *
 *   branch   │ key 0 → child │ key 1 → child │ …      a child holds the keys from its key on, up to the next one's
 *   leaf     │ key → body    │ key → body    │ …
 *
 * 1. The first key of a branch bounds nothing: smaller ones go to its child as well. (A page that got empty is taken out of its
 *    branch, and its keys belong to the page before it from then on, or behind it, where it was the first.) So it may be replaced by
 *    any that is not larger than the next one, such as the page's prefix; when that child is divided it has to be.
 * 2. Before anything is changed, all pages of the path are such that nobody sees (`#own`).
 * 3. Writing never waits: what it needs is in memory, which is looked at before (`search`).
 * 4. Pages are divided when they are full and taken out when they are empty; what is in between is not balanced (S. Sen and R. E.
 *    Tarjan, "Deletion without rebalancing in multiway search trees", 2014).
 * 5. A key between two pages is as short as it can be, and what all keys of a page begin with is stored once (Bayer and Unterauer 1977).
 *
 * Left out: what bodies are (`leaf.ts`, `branch.ts`).
 */

import type { Routine } from '../../environment/routine.ts'
import type { Block } from '../../storage/cache.ts'
import {
  childAt,
  countEntry,
  entriesAt,
  HAS_EXTENTS,
  type Subtree,
  setChild,
  setEntries,
  setTraits,
  sumAt,
  traitsAt,
  writeBranch,
} from './branch.ts'
import { misplaced, NO_PAGE } from './format.ts'
import { type Keys, UNREAD } from './keys.ts'
import { BRANCH_BODY_BYTES, MOST_LEVEL, type Page, type PageMemory, pageMemory } from './page.ts'
import type { Pages } from './pages.ts'

export const ABSENT = 0
export const PRESENT = 1
/** Something on the path is not in memory: `block` reads it. */
export const AWAY = 2
export type Search = 0 | 1 | 2

/** More levels than pages can have: each has two children at least when it is made. */
const MAX_DEPTH = MOST_LEVEL + 1
/** Pages that are put together are not fuller than this, so that the next entry does not divide them again. */
const FULL = 0.9
/** A page is thin when so much of it is free, or more. */
const THIN = 1 / 3
const NOTHING = Buffer.alloc(0)

/** Whether to go on to the child that was `read` in a branch, which has this number. */
export type Leads = (branch: Page, number: number) => boolean

export class Tree {
  readonly #pages: Pages
  /** Looks at the leaf last searched. */
  readonly leaf: Page
  /** In the leaf: where the key is, or −1 − where it would be. */
  slot = 0
  root: number = NO_PAGE
  entries = 0
  /** After `searchWhere`: the key with which the leaf behind the one found begins; `undefined`: there is none. */
  behind: Buffer | undefined
  /** Where `put` has made room for a body: at its `bodyAt`. */
  body: Page
  /** Hears of each entry that goes, before it does: by its leaf, where it was `read`. */
  leaving: (page: Page) => void = () => {}
  /** Tells the traits of an entry, by its leaf, where it was `read`; not those of its key. */
  traits: (page: Page) => number = () => 0
  /** From the root to the leaf: pages, and slots of the branches. */
  readonly #path: Float64Array = new Float64Array(MAX_DEPTH)
  readonly #slots: Int32Array = new Int32Array(MAX_DEPTH)
  #depth = 0
  /** After `AWAY`: the page that is not in memory; `NO_PAGE`: the rest of a key is. */
  #missing: number = NO_PAGE
  #missingDepth = 0
  readonly #page: Page
  readonly #other: Page
  readonly #old: Page
  readonly #scratch: PageMemory

  /** The leaf of the last put. */
  #lastPut: number = NO_PAGE
  /** Whether the one before was there, too, and the path still leads there; its keys are smaller than `#end`, if that is known. */
  #stays = false
  #end: Buffer | undefined
  /** While it does: where the branches of the path count the entries below it. */
  readonly #counters: { readonly bytes: Buffer; readonly at: number }[] = []

  readonly #keys: Keys
  /** Where the range goes on behind what was dropped. */
  #behind: Buffer | undefined

  constructor(pages: Pages, keys: Keys) {
    this.#pages = pages
    this.#keys = keys
    this.leaf = pages.newPage()
    this.body = this.leaf
    this.#page = pages.newPage()
    this.#other = pages.newPage()
    this.#old = pages.newPage()
    this.#scratch = pageMemory(Buffer.alloc(pages.size + (-pages.size & 3)))
  }

  /** Looks for a key below `root`. */
  search(root: number, key: Uint8Array, start: number, end: number): Search {
    this.#stays = false
    if (root === NO_PAGE) return ABSENT
    const pages = this.#pages
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
      this.#path[depth] = number
      const found = this.#keys.find(page, key, start, end)
      if (found === UNREAD) {
        this.#missing = NO_PAGE
        return AWAY
      }
      if (page.level === 0) {
        this.#depth = depth
        this.slot = found
        return found >= 0 ? PRESENT : ABSENT
      }
      const slot = found >= 0 ? found : Math.max(0, -2 - found)
      this.#slots[depth] = slot
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
    this.#stays = false
    const page = this.leaf
    let from = key
    let number = this.root
    let sum = 0
    let level = -1
    this.behind = undefined
    for (let depth = 0; ; depth++) {
      if (!this.#pages.look(page, number)) {
        this.#pages.expect(number, sum)
        this.#missing = number
        this.#missingDepth = depth
        return AWAY
      }
      if (level === 0 || (level > 0 && page.level !== level - 1)) throw misplaced()
      level = page.level
      this.#path[depth] = number
      const found = this.#keys.find(page, from, 0, from.length)
      if (found === UNREAD) {
        this.#missing = NO_PAGE
        return AWAY
      }
      if (level === 0) {
        this.#depth = depth
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
      this.#slots[depth] = slot
      if (slot > first) from = this.#keys.whole(page, slot)
      // Reading keys may drive it out.
      this.#reachPage(page, number, -1)
      if (slot + 1 < page.count) this.behind = this.#keys.whole(page, slot + 1)
      this.#reachPage(page, number, -1)
      page.read(slot)
      number = childAt(page)
      sum = sumAt(page)
    }
  }

  /** The leaf with the entry of a key of the newest tree, as if it had been `read` there; `undefined`: a search has to tell. */
  hit(key: Uint8Array, start: number, end: number): Page | undefined {
    return this.#pages.hash.find(key, start, end)
  }

  /** Whether the hash knows where a key stands, in a leaf that nobody else sees: nothing above it changes with its body. */
  isKnownOwn(key: Uint8Array, start: number, end: number): boolean {
    const page = this.hit(key, start, end)
    if (page === undefined || !this.#pages.isOwn(this.#pages.hash.number)) return false
    this.body = page
    return true
  }

  /** After a `search` of the newest tree for a key that is there: the next `hit` knows where. */
  remember(key: Uint8Array, start: number, end: number): void {
    const { leaf } = this
    const number = this.#path[this.#depth]!
    this.#pages.hash.add(key, start, end, number, leaf, leaf.offsetOf(this.slot), this.entries)
  }

  /** Whether the leaf of a key that is not long, and all above it, are in memory: a write of it then needs nothing of the disk. */
  isNear(key: Uint8Array, start: number, end: number): boolean {
    if (this.#isInLast(key, start, end)) return true
    const pages = this.#pages
    const page = this.#page
    let number = this.root
    let level = -1
    while (number !== NO_PAGE) {
      if (!pages.has(number)) return false
      // The leaf itself is left for the write to look at.
      if (level === 1) return true
      pages.look(page, number)
      if (page.level === 0) return true
      if (level > 0 && page.level !== level - 1) throw misplaced()
      level = page.level
      const found = this.#keys.find(page, key, start, end)
      if (found === UNREAD) return false
      page.read(found >= 0 ? found : Math.max(0, -2 - found))
      number = childAt(page)
    }
    return true
  }

  /** After `AWAY`: what reads what is missing. */
  block(): Block {
    if (this.#missing === NO_PAGE) return this.#keys.block()
    return this.#pages.block(this.#missing, this.#path.slice(0, this.#missingDepth))
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

  /**
   * Makes room for a body of `length` bytes with these traits under a key, which the caller then writes at `body.bodyAt`. The path to
   * the key is in memory. Returns whether the key is new.
   */
  put(key: Uint8Array, start: number, end: number, length: number, traits = 0): boolean {
    const stays = this.#isInLast(key, start, end)
    if (
      !stays &&
      traits === 0 &&
      this.isKnownOwn(key, start, end) &&
      this.body.bodyLength === length
    ) {
      this.leaving(this.body)
      return false
    }
    this.body = this.leaf
    if (this.root === NO_PAGE) this.root = this.#pages.make(this.leaf, 0, NOTHING)
    const keys = this.#keys
    const keyEnd = keys.endInPage(start, end)
    let reference: Buffer | undefined
    let added = true
    for (let isInLast = stays; ; isInLast = false) {
      if (!isInLast) {
        this.reach(this.root, key, start, end)
        this.#own()
        this.#stay()
      }
      const { leaf, slot } = this
      if (slot >= 0) {
        leaf.read(slot)
        this.leaving(leaf)
        if (leaf.bodyLength === length) {
          this.remember(key, start, end)
          this.#count(0, traits)
          return false
        }
        added = false
        // Its key stays, with the rest that it has.
        const { bytes, referenceAt, referenceLength } = leaf
        reference = Buffer.from(bytes.subarray(referenceAt, referenceAt + referenceLength))
        leaf.remove(slot)
        this.#count(-1)
      }
      reference ??= keys.referenceTo(key, start, end)
      const at = slot < 0 ? -1 - slot : slot
      if (
        leaf.takes(key, start, keyEnd) &&
        leaf.insert(at, key, start, keyEnd, reference.length + length)
      ) {
        reference.copy(leaf.bytes, leaf.bodyAt)
        leaf.read(at)
        if (isInLast && traits === 0) this.#countInLast()
        else this.#count(1, reference.length === 0 ? traits : traits | HAS_EXTENTS)
        this.slot = at
        return added
      }
      this.#makeRoom(this.#depth, at, key, start, end)
    }
  }

  /** A put came to the leaf at the end of the path: where the last one did, too, the next one is looked for there first. */
  #stay(): void {
    const number = this.#path[this.#depth]!
    this.#stays = number === this.#lastPut
    this.#lastPut = number
    if (!this.#stays) return
    this.#end = this.#highKey(this.#depth)
    const page = this.#page
    this.#counters.length = 0
    for (let d = 0; d < this.#depth; d++) {
      this.#pages.look(page, this.#path[d]!)
      page.read(this.#slots[d]!)
      this.#counters.push({ bytes: page.bytes, at: page.bodyAt })
    }
  }

  /** Whether a key that is not long belongs to the leaf of the last puts, which may be changed; `slot` is where. */
  #isInLast(key: Uint8Array, start: number, end: number): boolean {
    if (!this.#stays || !this.#pages.isOwn(this.#lastPut)) return false
    const { leaf } = this
    if (end - start >= leaf.longBytes) return false
    const slot = leaf.endsBefore(key, start, end) ? -1 - leaf.count : leaf.find(key, start, end)
    // Between two of its keys it is there; before all of them it may be another's.
    if (slot === -1) return false
    if (-1 - slot === leaf.count && this.#end && this.#end.compare(key, start, end) <= 0)
      return false
    this.slot = slot
    return true
  }

  /** Takes the key that was `PRESENT` in the last search below `root` out of the tree. */
  delete(): void {
    this.#own()
    this.#leave(this.slot)
    this.#count(-1)
    this.leaf.remove(this.slot)
    if (this.leaf.count === 0) this.#prune()
  }

  /**
   * Takes the entries out of the leaf that was searched last, from the key that it was searched for up to `to` (empty: the end).
   * Returns the key with which the next leaf begins that may have more of them; `undefined`: there is none.
   */
  deleteUpTo(to: Uint8Array): Buffer | undefined {
    const { leaf, slot } = this
    const { count } = leaf
    const first = slot < 0 ? -1 - slot : slot
    const found = to.length > 0 ? this.slotOf(to) : count
    const end = Math.max(first, found < 0 ? -1 - found : found)
    const high = end === count ? this.#highKey(this.#depth, true) : undefined
    if (end > first) {
      this.#own()
      this.#count(first - end)
      for (let i = end - 1; i >= first; i--) {
        this.#leave(i)
        if (end - first < count) leaf.remove(i)
      }
      if (end - first === count) this.#prune()
    }
    return high === undefined || (to.length > 0 && high.compare(to) >= 0) ? undefined : high
  }

  /** Takes the entries in these slots, rising, out of the leaf that was searched last. */
  deleteSlots(slots: readonly number[]): void {
    this.#own()
    const { leaf } = this
    const all = slots.length === leaf.count
    this.#count(-slots.length)
    for (const slot of slots.toReversed()) {
      this.#leave(slot)
      if (!all) leaf.remove(slot)
    }
    if (all) this.#prune()
  }

  /** No entry of the leaf that was searched last has these traits any more: the branches above it, if any, say so from now on. */
  dropTraits(traits: number): boolean {
    const page = this.#page
    if (this.#depth === 0) return false
    this.#own()
    for (let d = this.#depth - 1; d >= 0; d--) {
      this.#pages.look(page, this.#path[d]!)
      page.read(this.#slots[d]!)
      setTraits(page, traitsAt(page) & ~traits)
      if ((this.#traitsIn(page) & traits) !== 0) break
    }
    return true
  }

  /** Takes all keys from `from` up to `to` (empty: to the end) out of the tree. */
  deleteRange(from: Uint8Array, to: Uint8Array): void {
    for (let next: Uint8Array | undefined = from; next !== undefined && this.root !== NO_PAGE; ) {
      if (this.#drop(next, to)) next = this.#behind
      else {
        this.reach(this.root, next, 0, next.length)
        next = this.deleteUpTo(to)
      }
    }
  }

  /**
   * Takes the largest subtree that begins at `from`, or behind it, and ends before `to` out of the tree, without looking at its leaves;
   * false where there is none, or where extents would have to go with it. `#behind` is where to go on.
   */
  #drop(from: Uint8Array, to: Uint8Array): boolean {
    this.#stays = false
    const page = this.leaf
    let number = this.root
    let level = -1
    // Whether no key below the page is smaller than `from`, and where its keys end.
    let begins = from.length === 0
    let high: Buffer | undefined
    for (let depth = 0; ; depth++) {
      this.#reachPage(page, number, level)
      level = page.level
      if (level === 0) return false
      const found = this.#findIn(page, number, from)
      const slot = found >= 0 ? found : Math.max(0, -2 - found)
      this.#path[depth] = number
      this.#slots[depth] = slot
      if (slot > 0) begins = found >= 0
      if (slot + 1 < page.count) high = this.#keys.whole(page, slot + 1)
      // Reading keys may have driven it out.
      this.#reachPage(page, number, -1)
      page.read(slot)
      number = childAt(page)
      this.#pages.expect(number, sumAt(page))
      const ends = to.length === 0 || (high !== undefined && high.compare(to) <= 0)
      if (!begins || !ends || (traitsAt(page) & HAS_EXTENTS) !== 0) continue
      this.#depth = depth
      this.#dropChild(number, level - 1)
      this.#behind = high === undefined || high.compare(to) === 0 ? undefined : high
      return true
    }
  }

  /** The child at the end of the path goes, with all below it. */
  #dropChild(number: number, level: number): void {
    const page = this.leaf
    const slot = this.#slots[this.#depth]!
    this.#own()
    this.#pages.look(page, this.#path[this.#depth]!)
    page.read(slot)
    const entries = entriesAt(page)
    this.#keys.leave(page)
    page.remove(slot)
    this.#count(-entries)
    this.#leaveAll(number, level)
    this.#pages.look(page, this.#path[this.#depth]!)
    if (page.count === 0) this.#prune()
    else this.#lower()
  }

  #leaveAll(number: number, level: number): void {
    if (level > 0) {
      const page = this.#other
      this.#reachPage(page, number, level + 1)
      const children: number[] = []
      for (let slot = 0; slot < page.count; slot++) {
        page.read(slot)
        this.#keys.leave(page)
        page.read(slot)
        children.push(childAt(page))
        this.#pages.expect(childAt(page), sumAt(page))
      }
      for (const child of children) this.#leaveAll(child, level - 1)
    }
    this.#pages.leave(number)
  }

  /** Looks at a page, which is read at once where it is not in memory. `above`: the level of its parent, −1: it is the root. */
  #reachPage(page: Page, number: number, above: number): void {
    if (!this.#pages.look(page, number)) {
      const block = this.#pages.block(number)
      block.load.sync()
      this.#pages.look(page, number)
      block.release()
    }
    if (above === 0 || (above > 0 && page.level !== above - 1)) throw misplaced()
  }

  /** The slot of a key in the leaf that was searched last, or −1 − where it would be. What is on the path to it stays in memory. */
  slotOf(key: Uint8Array): number {
    const held: Block[] = []
    for (let d = 0; d < this.#depth; d++) held.push(this.#pages.hold(this.#path[d]!))
    try {
      return this.#findIn(this.leaf, this.#path[this.#depth]!, key)
    } finally {
      for (const block of held) block.release()
    }
  }

  /** Looks for a key in a page that is in memory: reading rests of keys does not drive it out. */
  #findIn(page: Page, number: number, key: Uint8Array): number {
    const held = this.#pages.hold(number)
    try {
      return this.#keys.findNow(page, key, 0, key.length)
    } finally {
      held.release()
    }
  }

  /** The key with which the leaf behind the one that was searched last begins; `undefined`: there is none. */
  nextKey(): Buffer | undefined {
    return this.#highKey(this.#depth, true)
  }

  /** Whether the path of the last search leads through a page from `limit` on. */
  isBeyond(limit: number): boolean {
    for (let d = 0; d <= this.#depth; d++) if (this.#path[d]! >= limit) return true
    return false
  }

  /** Copies the path of the last search, so that it comes to lie in the lowest pages that are free. */
  move(): void {
    this.#own()
  }

  /**
   * Takes the entries of the next leaf below the same branch into the leaf that was searched last, if both are in memory and fit into
   * one. The path must be searched again.
   */
  merge(): boolean {
    const pages = this.#pages
    const depth = this.#depth
    const parent = this.#other
    const next = this.#page
    const number = this.#lookBeside()
    if (number === NO_PAGE) return false
    if (2 * pages.size - this.leaf.free - next.free > FULL * pages.size) return false
    const slot = this.#slots[depth - 1]!
    const prefix = this.#prefixOfBoth()
    const held = pages.hold(number)
    this.#own()
    held.release()
    pages.look(next, number)
    const copy = this.#keep(this.leaf)
    const { leaf } = this
    if (!leaf.rewrite(copy, prefix, 0, copy.count) || !leaf.append(next, 0, next.count)) {
      leaf.restore(copy)
      return false
    }
    pages.look(parent, this.#path[depth - 1]!)
    parent.read(slot + 1)
    const traits = traitsAt(parent)
    this.#keys.leave(parent)
    parent.remove(slot + 1)
    parent.read(slot)
    setEntries(parent, leaf.count)
    setTraits(parent, traitsAt(parent) | traits)
    pages.leave(number)
    this.#lower()
    return true
  }

  /**
   * Takes entries of the next leaf below the same branch into the leaf that was searched last, if both are in memory and the one is thin.
   * The path must be searched again.
   */
  fill(): boolean {
    const pages = this.#pages
    const depth = this.#depth
    const { leaf } = this
    const parent = this.#other
    const next = this.#page
    const number = this.#lookBeside()
    if (number === NO_PAGE || leaf.free < THIN * pages.size) return false
    const least = this.#prefixOfBoth().length
    let bytes = 0
    for (let slot = 0; slot < leaf.count; slot++) bytes += leaf.bytesOf(slot, least)
    let count = 0
    for (; count < next.count - 1; count++) {
      bytes += next.bytesOf(count, least)
      if (bytes > FULL * pages.size) break
    }
    if (count === 0) return false
    const slot = this.#slots[depth - 1]!
    const held = pages.hold(number)
    this.#own()
    if (!pages.isOwn(number)) {
      const copy = pages.copy(number)
      pages.look(parent, this.#path[depth - 1]!)
      parent.read(slot + 1)
      setChild(parent, copy)
      pages.look(next, copy)
    } else pages.look(next, number)
    held.release()
    const keys = this.#keys
    const separator = between(keys.whole(next, count - 1), keys.whole(next, count))
    const low = this.#lowKey(depth)
    const kept = this.#keep(leaf)
    const own = kept.count
    if (!leaf.rewrite(kept, this.#prefix(low, separator), 0, own) || !leaf.append(next, 0, count)) {
      leaf.restore(kept)
      return false
    }
    if (!this.#replaceKey(parent, depth - 1, slot + 1, separator)) {
      for (let end = leaf.count; end > own; end--) leaf.remove(end - 1)
      return false
    }
    parent.read(slot + 1)
    const traits = traitsAt(parent)
    setEntries(parent, next.count - count)
    parent.read(slot)
    setEntries(parent, leaf.count)
    setTraits(parent, traitsAt(parent) | traits)
    this.#slots[depth - 1] = slot + 1
    const prefix = this.#prefix(separator, this.#highKey(depth))
    this.#slots[depth - 1] = slot
    this.#take(next, this.#keep(next), prefix, count, next.count)
    return true
  }

  /** The leaf behind the one that was searched last, which `#page` looks at then; `NO_PAGE`: not below the same branch, or not in memory. */
  #lookBeside(): number {
    const pages = this.#pages
    const depth = this.#depth
    const parent = this.#other
    if (depth === 0) return NO_PAGE
    const slot = this.#slots[depth - 1]! + 1
    pages.look(parent, this.#path[depth - 1]!)
    if (slot >= parent.count) return NO_PAGE
    parent.read(slot)
    const number = childAt(parent)
    pages.expect(number, sumAt(parent))
    return pages.look(this.#page, number) ? number : NO_PAGE
  }

  /** What the keys of the leaf that was searched last, and of the one behind it below the same branch, begin with. */
  #prefixOfBoth(): Uint8Array {
    const depth = this.#depth
    const low = this.#lowKey(depth)
    this.#slots[depth - 1]!++
    const high = this.#highKey(depth)
    this.#slots[depth - 1]!--
    return this.#prefix(low, high)
  }

  /** Makes all pages of the path ones that may be changed. */
  #own(): void {
    const pages = this.#pages
    const depth = this.#depth
    if (pages.isOwn(this.#path[depth]!)) return
    const page = this.#page
    const held: Block[] = []
    for (let d = 0; d <= depth; d++) {
      const number = this.#path[d]!
      if (pages.isOwn(number)) continue
      let made = held.length === 0 ? pages.renumber(number) : NO_PAGE
      if (made === NO_PAGE) {
        if (held.length === 0) this.#holdFrom(d, held)
        made = pages.copy(number)
      }
      this.#path[d] = made
      if (d === 0) this.root = made
      else {
        pages.look(page, this.#path[d - 1]!)
        page.read(this.#slots[d - 1]!)
        setChild(page, made)
      }
    }
    for (const block of held) block.release()
    pages.look(this.leaf, this.#path[depth]!)
  }

  /** Copying one page of the path must not drive out those that come behind it. */
  #holdFrom(depth: number, held: Block[]): void {
    const pages = this.#pages
    for (let d = depth; d <= this.#depth; d++) {
      const number = this.#path[d]!
      if (!pages.isOwn(number)) held.push(pages.hold(number))
    }
  }

  /** One entry more, without traits, below the path of the last puts. */
  #countInLast(): void {
    this.entries++
    for (const { bytes, at } of this.#counters) countEntry(bytes, at)
  }

  /** So many entries more below the path, with these traits. */
  #count(more: number, traits = 0): void {
    if (more === 0 && traits === 0) return
    this.entries += more
    const page = this.#page
    for (let d = 0; d < this.#depth; d++) {
      this.#pages.look(page, this.#path[d]!)
      page.read(this.#slots[d]!)
      setEntries(page, entriesAt(page) + more)
      if (traits !== 0) setTraits(page, traitsAt(page) | traits)
    }
  }

  /** The leaf of the path is empty: it goes, with every branch that has nothing left then. */
  #prune(): void {
    const pages = this.#pages
    const page = this.#page
    let depth = this.#depth
    for (;;) {
      pages.leave(this.#path[depth]!)
      if (depth === 0) {
        this.root = NO_PAGE
        return
      }
      depth--
      pages.look(page, this.#path[depth]!)
      page.read(this.#slots[depth]!)
      this.#keys.leave(page)
      page.remove(this.#slots[depth]!)
      if (page.count > 0) break
    }
    this.#lower()
  }

  /** A root with one child is none. */
  #lower(): void {
    const pages = this.#pages
    const page = this.#page
    for (let level = MAX_DEPTH; ; level = page.level) {
      if (!pages.look(page, this.root) || page.level === 0 || page.count > 1) return
      if (page.level >= level) throw misplaced()
      page.read(0)
      const child = childAt(page)
      pages.expect(child, sumAt(page))
      this.#keys.leave(page)
      pages.leave(this.root)
      this.root = child
    }
  }

  /**
   * The page of the path at `depth` has no room for a key in slot `at`, or the key does not begin with its prefix: takes one step
   * towards that. The path must be searched again.
   */
  #makeRoom(depth: number, at: number, key: Uint8Array, start: number, end: number): void {
    const pages = this.#pages
    const page = this.#page
    pages.look(page, this.#path[depth]!)
    const low = this.#lowKey(depth)
    const high = this.#highKey(depth)
    if (
      !page.takes(key, start, this.#keys.endInPage(start, end)) &&
      this.#rewrite(page, this.#prefix(low, high))
    )
      return
    this.#divide(depth, at, key, start, end, low, high)
  }

  /** Writes a page anew with another prefix; false where it has no room for that. */
  #rewrite(page: Page, prefix: Uint8Array): boolean {
    const copy = this.#keep(page)
    if (page.rewrite(copy, prefix, 0, copy.count)) return true
    page.restore(copy)
    return false
  }

  /** Divides the page at `depth` of the path in two, or makes room for that above it. */
  #divide(
    depth: number,
    at: number,
    key: Uint8Array,
    start: number,
    end: number,
    low: Buffer | undefined,
    high: Buffer | undefined,
  ): void {
    const page = this.#page
    if (depth === 0) {
      this.#grow(page.level)
      return
    }
    const { count, level } = page
    // Keys that come in order fill their pages.
    const last = high === undefined && at === count
    // Two entries find room in any page; where one has none beside it, the page was forged.
    if (count < 2 && !last) throw misplaced()
    const middle = last ? (level === 0 ? count : count - 1) : page.middle()
    const keys = this.#keys
    const separator =
      level > 0
        ? keys.whole(page, middle)
        : between(
            keys.whole(page, middle - 1),
            middle === count ? key.subarray(start, end) : keys.whole(page, middle),
          )
    this.#cut(depth, middle, separator, low, high)
  }

  /**
   * Puts the entries of the page at `depth` of the path from slot `middle` on into a page of their own, whose keys begin with
   * `separator`; or makes room for that above it. The path must be searched again.
   */
  #cut(
    depth: number,
    middle: number,
    separator: Uint8Array,
    low: Buffer | undefined,
    high: Buffer | undefined,
  ): void {
    const pages = this.#pages
    const page = this.#page
    pages.look(page, this.#path[depth]!)
    const { count, level } = page
    if (!this.#enter(depth - 1, separator)) return
    const parent = this.#other
    const slot = this.#slots[depth - 1]!
    const { bodyAt } = parent
    const prefix = this.#prefix(separator, high)
    let left = entriesIn(page)
    let right: number
    // Nothing moves where keys come in order.
    if (middle === count) right = pages.make(page, level, prefix)
    else {
      const old = this.#keep(page)
      this.#take(page, old, this.#prefix(low, separator), 0, middle)
      left = entriesIn(page)
      right = pages.make(page, level, prefix)
      if (!page.append(old, middle, count)) page.rewrite(old, old.prefix, middle, count)
    }
    parent.read(slot)
    setEntries(parent, left)
    const traits = traitsAt(parent)
    const added = { page: right, sum: 0, level, entries: entriesIn(page), traits }
    writeBranch(parent.bytes, bodyAt, added)
  }

  /**
   * Makes an entry for another child in the branch at `depth` of the path, behind the one that the path leads to: `#other` looks at it,
   * and has it `read`. False where there was no room: then a step towards that was taken, and the path must be searched again.
   */
  #enter(depth: number, separator: Uint8Array): boolean {
    const keys = this.#keys
    const branch = this.#other
    this.#pages.look(branch, this.#path[depth]!)
    const slot = this.#slots[depth]!
    const inPage = keys.endInPage(0, separator.length)
    if (slot === 0) {
      // Smaller than the first key, or the same.
      const found = keys.findNow(branch, separator, 0, separator.length)
      this.#pages.look(branch, this.#path[depth]!)
      if (found === -1 || found === 0) this.#lowerFirst(branch)
    }
    const reference = keys.referenceTo(separator, 0, separator.length)
    const room =
      branch.takes(separator, 0, inPage) &&
      branch.insert(slot + 1, separator, 0, inPage, reference.length + BRANCH_BODY_BYTES)
    if (!room) {
      keys.forget(reference)
      this.#makeRoom(depth, slot + 1, separator, 0, separator.length)
      return false
    }
    reference.copy(branch.bytes, branch.bodyAt)
    branch.read(slot + 1)
    return true
  }

  /**
   * A page gets some entries of a copy, with a new prefix; with the one that they had, where there is no room for that: what bounds
   * them may have gone away since.
   */
  #take(page: Page, old: Page, prefix: Uint8Array, from: number, to: number): void {
    if (!page.rewrite(old, prefix, from, to)) page.rewrite(old, old.prefix, from, to)
  }

  /** The first key of a branch becomes its prefix: there are smaller ones below it. */
  #lowerFirst(branch: Page): void {
    branch.read(0)
    this.#keys.leave(branch)
    branch.read(0)
    const body = Buffer.from(
      branch.bytes.subarray(branch.bodyAt, branch.bodyAt + branch.bodyLength),
    )
    const prefix = Buffer.from(branch.prefix)
    branch.remove(0)
    branch.insert(0, prefix, 0, prefix.length, body.length)
    body.copy(branch.bytes, branch.bodyAt)
  }

  /** A new root above the one that is there. */
  #grow(level: number): void {
    const page = this.#page
    const child = this.root
    const traits = this.#traitsIn(page)
    this.root = this.#pages.make(page, level + 1, NOTHING)
    page.insert(0, NOTHING, 0, 0, BRANCH_BODY_BYTES)
    const { entries } = this
    writeBranch(page.bytes, page.bodyAt, { page: child, sum: 0, level, entries, traits })
  }

  /** Of all entries in a leaf, or below a branch. */
  #traitsIn(page: Page): number {
    let traits = 0
    for (let slot = 0; slot < page.count; slot++) {
      page.read(slot)
      if (page.level > 0) traits |= traitsAt(page)
      else traits |= this.traits(page) | (page.referenceLength > 0 ? HAS_EXTENTS : 0)
    }
    return traits
  }

  /** No key of the page at `depth` of the path is smaller than this, as it is in a page; `undefined`: nothing bounds it. */
  #lowKey(depth: number): Buffer | undefined {
    const page = this.#other
    for (let d = depth - 1; d >= 0; d--) {
      const slot = this.#slots[d]!
      if (slot === 0) continue
      this.#pages.look(page, this.#path[d]!)
      return keyOf(page, slot)
    }
    return undefined
  }

  /** All keys of the page at `depth` of the path are smaller than this; as it is in the page, or `whole`. */
  #highKey(depth: number, whole = false): Buffer | undefined {
    const page = this.#other
    for (let d = depth - 1; d >= 0; d--) {
      this.#pages.look(page, this.#path[d]!)
      const slot = this.#slots[d]! + 1
      if (slot < page.count) return whole ? this.#keys.whole(page, slot) : keyOf(page, slot)
    }
    return undefined
  }

  /** Of a page with the keys from `low` up to `high`. Shorter than long keys are, so that it can be a key by itself. */
  #prefix(low: Uint8Array | undefined, high: Uint8Array | undefined): Uint8Array {
    return commonPrefix(low, high, this.leaf.longBytes - 1)
  }

  /**
   * Takes on a subtree that lies in the file: all its keys are from `first` up to `last`, and there are no others from the one up to
   * the other. It is put above the leaves beside it, in one branch; what is on the way to them is divided there. What is missing in
   * memory is read at once.
   */
  graft(first: Uint8Array, last: Uint8Array, subtree: Subtree): void {
    this.#pages.setSum(subtree.page, subtree.sum)
    if (this.root === NO_PAGE) {
      this.root = subtree.page
      this.entries = subtree.entries
      return
    }
    while (!this.#raise(last));
    while (!this.#join(first, last, subtree));
  }

  /**
   * Makes sure that the leaf to which a key belongs has smaller ones, or is the first of all: where it has not, the key with which it
   * begins in a branch becomes one that is larger. False: a step towards that was taken. The path must be searched again.
   */
  #raise(key: Uint8Array): boolean {
    const pages = this.#pages
    const keys = this.#keys
    this.reach(this.root, key, 0, key.length)
    if (this.slot !== -1) return true
    let depth = this.#depth - 1
    while (depth >= 0 && this.#slots[depth] === 0) depth--
    if (depth < 0) return true
    this.#own()
    const separator = between(key, keys.whole(this.leaf, 0))
    // What bounds nothing may be replaced by what the page begins with, and that must not be long.
    for (let d = depth + 1; d < this.#depth; d++) {
      pages.look(this.#page, this.#path[d]!)
      this.#page.read(0)
      if (this.#page.referenceLength > 0) this.#lowerFirst(this.#page)
    }
    const slot = this.#slots[depth]!
    if (this.#replaceKey(this.#page, depth, slot, separator)) return true
    this.#makeRoom(depth, slot, separator, 0, separator.length)
    return false
  }

  /**
   * Gives an entry of the branch at `depth` of the path another key, which is between those beside it; false where there is no room for
   * it, and then nothing has changed. `branch` looks at it.
   */
  #replaceKey(branch: Page, depth: number, slot: number, separator: Uint8Array): boolean {
    const keys = this.#keys
    const inPage = keys.endInPage(0, separator.length)
    const reference = keys.referenceTo(separator, 0, separator.length)
    this.#pages.look(branch, this.#path[depth]!)
    const old = this.#keep(branch)
    branch.remove(slot)
    const length = reference.length + BRANCH_BODY_BYTES
    if (!branch.takes(separator, 0, inPage) || !branch.insert(slot, separator, 0, inPage, length)) {
      branch.restore(old)
      keys.forget(reference)
      return false
    }
    reference.copy(branch.bytes, branch.bodyAt)
    branch.read(slot)
    old.read(slot)
    old.bytes.copy(branch.bytes, branch.bodyAt, old.bodyAt, old.bodyAt + old.bodyLength)
    keys.leave(old)
    return true
  }

  /** Takes one step towards a subtree in the tree, all of whose leaves end before it or begin behind it; true: it is there. */
  #join(first: Uint8Array, last: Uint8Array, subtree: Subtree): boolean {
    const pages = this.#pages
    const keys = this.#keys
    const page = this.#page
    this.reach(this.root, first, 0, first.length)
    this.#own()
    const at = -1 - this.slot
    const depth = this.#depth - subtree.level - 1
    if (depth < 0) {
      pages.look(page, this.root)
      this.#grow(page.level)
      return false
    }
    // Of the leaf on the path, and of what is above it: what is behind the subtree goes into pages of its own.
    for (let d = this.#depth; at > 0 && d > depth; d--) {
      pages.look(page, this.#path[d]!)
      const end = page.level === 0 ? at : this.#slots[d]! + 1
      if (end === page.count) continue
      const next = keys.whole(page, end)
      const separator = page.level === 0 ? between(last, next) : next
      this.#cut(d, end, separator, this.#lowKey(d), this.#highKey(d))
      return false
    }
    const separator =
      at > 0
        ? between(keys.whole(this.leaf, at - 1), first)
        : between(last, keys.whole(this.leaf, 0))
    // What bounds nothing in branches below may be larger than where they end from now on; or it may be long, and what they begin with
    // becomes another: it is that then, and that must not be long.
    for (let d = depth + 1; d < this.#depth; d++) {
      if (this.#slots[d] !== 0) continue
      pages.look(page, this.#path[d]!)
      // There is one entry, which has room.
      if (at > 0) this.#rewrite(page, NOTHING)
      this.#lowerFirst(page)
    }
    if (!this.#enter(depth, separator)) return false
    const branch = this.#other
    let { bodyAt } = branch
    if (at === 0) {
      // Before all others: what was the first child is behind it.
      branch.read(0)
      branch.bytes.copyWithin(bodyAt, branch.bodyAt, branch.bodyAt + branch.bodyLength)
      bodyAt = branch.bodyAt
    }
    writeBranch(branch.bytes, bodyAt, subtree)
    this.#depth = depth
    this.#count(subtree.entries, subtree.traits)
    return true
  }

  /** The entry in a slot of the leaf goes. */
  #leave(slot: number): void {
    this.leaf.read(slot)
    this.leaving(this.leaf)
    this.#keys.leave(this.leaf)
  }

  /** A copy of a page that stays until the next one. */
  #keep(page: Page): Page {
    this.#old.copyOf(page, this.#scratch)
    return this.#old
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

/** The shortest key that is larger than `left` and not larger than `right`. */
function between(left: Uint8Array, right: Uint8Array): Uint8Array {
  let length = 0
  while (length < left.length && left[length] === right[length]) length++
  return right.subarray(0, length + 1)
}

/** Entries in a leaf, or below a branch. */
function entriesIn(page: Page): number {
  if (page.level === 0) return page.count
  let entries = 0
  for (let slot = 0; slot < page.count; slot++) {
    page.read(slot)
    entries += entriesAt(page)
  }
  return entries
}
