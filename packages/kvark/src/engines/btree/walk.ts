/**
 * Walks the entries of a tree in order, forwards or backwards, between two keys.
 *
 *   next ─► PRESENT: `page` and `slot` are at the entry     ABSENT: the end     AWAY: run `block`, then again
 *
 * 1. The tree below `root` does not change while it is walked: somebody keeps a view of it.
 * 2. Keys are compared when a leaf is entered, not at each entry.
 */

import type { Block } from '../../storage/cache.ts'
import { childAt, sumAt } from './branch.ts'
import { misplaced, NO_PAGE } from './format.ts'
import { type Keys, UNREAD } from './keys.ts'
import { MOST_LEVEL, type Page } from './page.ts'
import type { Pages } from './pages.ts'
import { ABSENT, AWAY, PRESENT, type Search } from './path.ts'

const MAX_DEPTH = MOST_LEVEL + 1
/** What the walk does next: look for a key from the root down, go on down along one side, take the leaf's next entry. */
const BY_KEY = 0
const BY_SIDE = 1
const IN_LEAF = 2

export class TreeWalk {
  readonly #pages: Pages
  readonly #keys: Keys
  readonly #root: number
  readonly #from: Uint8Array
  readonly #to: Uint8Array
  readonly #reverse: boolean
  /** Where the entry is that was reported last. */
  readonly page: Page
  slot = 0
  /** Grows with every leaf. */
  turn = 0
  #state: number = BY_KEY
  /** Plain lists: a typed array would cost a short walk more than all the rest. */
  readonly #path: number[] = []
  readonly #slots: number[] = []
  #depth = 0
  #missing: number = NO_PAGE
  #missingDepth = 0
  /** In the leaf: the next slot, and the one at which the walk ends. */
  #next = 0
  #stop = 0
  /** What `BY_KEY` looks for, and whether an entry with that very key is walked. Empty, backwards: the end. */
  #key: Uint8Array
  #inclusive: boolean

  /** Keys from `from` (inclusive) to `to` (exclusive; empty: to the end). */
  constructor(
    pages: Pages,
    keys: Keys,
    root: number,
    from: Uint8Array,
    to: Uint8Array,
    reverse: boolean,
  ) {
    this.#pages = pages
    this.#keys = keys
    this.#root = root
    this.#from = from
    this.#to = to
    this.#reverse = reverse
    this.page = pages.newPage()
    this.#key = reverse ? to : from
    this.#inclusive = !reverse
  }

  /** Goes on at the first key ≥ `key` (backwards: ≤), or behind it where it is not `inclusive`; within the range. */
  seek(key: Uint8Array, inclusive: boolean): void {
    this.#state = BY_KEY
    const order = Buffer.compare(key, this.#reverse ? this.#to : this.#from)
    const outside = this.#reverse ? this.#to.length > 0 && order >= 0 : order < 0
    this.#key = outside ? (this.#reverse ? this.#to : this.#from) : key
    this.#inclusive = outside ? !this.#reverse : inclusive
  }

  next(): Search {
    if (this.#root === NO_PAGE) return ABSENT
    const { page } = this
    for (;;) {
      if (this.#state !== IN_LEAF) {
        const status = this.#descend()
        if (status !== PRESENT) return status
      }
      if (!this.#pages.look(page, this.#path[this.#depth]!)) return this.#away(this.#depth)
      if (this.#next !== this.#stop) {
        this.slot = this.#next
        this.#next += this.#reverse ? -1 : 1
        return PRESENT
      }
      if (!this.#isOpen()) return ABSENT
      const status = this.#climb()
      if (status !== PRESENT) return status
    }
  }

  /** How many entries of this leaf come behind the one reported last. */
  get left(): number {
    return Math.abs(this.#stop - this.#next)
  }

  /** The entries of this leaf up to the one in `slot` have been reported, too. */
  skip(slot: number): void {
    this.#next = slot + (this.#reverse ? -1 : 1)
  }

  /** The entry that was reported last, once more: it may have left the memory. */
  again(): Search {
    return this.#pages.look(this.page, this.#path[this.#depth]!) ? PRESENT : this.#away(this.#depth)
  }

  /** Down to a leaf. */
  #descend(): Search {
    const { page } = this
    if (this.#state === BY_KEY) this.#depth = 0
    for (let depth = this.#depth; ; depth++) {
      const number = depth === 0 ? this.#root : this.#path[depth]!
      this.#path[depth] = number
      if (!this.#pages.look(page, number)) {
        if (this.#state === BY_SIDE) this.#depth = depth
        return this.#away(depth)
      }
      if (page.level === 0) {
        this.#depth = depth
        if (!this.#enter()) return this.#unread()
        this.turn++
        this.#state = IN_LEAF
        return PRESENT
      }
      if (depth + 1 === MAX_DEPTH) throw misplaced()
      const slot = this.#branchSlot()
      if (slot === UNREAD) {
        if (this.#state === BY_SIDE) this.#depth = depth
        return this.#unread()
      }
      this.#slots[depth] = slot
      page.read(slot)
      this.#path[depth + 1] = childAt(page)
      this.#pages.expect(childAt(page), sumAt(page))
    }
  }

  #branchSlot(): number {
    const { page } = this
    const last = page.count - 1
    if (this.#state === BY_SIDE) return this.#reverse ? last : 0
    if (this.#reverse && this.#key.length === 0 && !this.#inclusive) return last
    const found = this.#keys.find(page, this.#key, 0, this.#key.length)
    return found >= 0 || found === UNREAD ? found : Math.max(0, -2 - found)
  }

  /** The leaf has been reached: between which slots does the walk run? False where a piece of a key has to be read for that. */
  #enter(): boolean {
    const { count } = this.page
    const reverse = this.#reverse
    const key = this.#key
    const from = this.#from
    const to = this.#to
    // A leaf beside the last one has nothing on the side from which it is entered that is not in the range.
    const beside = this.#state === BY_SIDE
    const first = beside && !reverse ? 0 : this.#slotFrom(from, true)
    const end = to.length === 0 || (beside && reverse) ? count : this.#slotFrom(to, true)
    // Backwards: the last entry before the first one that is too large.
    let at = reverse ? end : first
    const byKey = !beside && !(reverse && key.length === 0 && !this.#inclusive)
    // A walk begins at one end of its range, which has been looked for.
    const isEnd = this.#inclusive !== reverse && key === (reverse ? to : from)
    if (byKey && !isEnd) at = this.#slotFrom(key, reverse !== this.#inclusive)
    if (first === UNREAD || end === UNREAD || at === UNREAD) return false
    if (reverse) {
      this.#stop = first - 1
      this.#next = Math.max(this.#stop, Math.min(end, at) - 1)
    } else {
      this.#stop = Math.max(first, end)
      this.#next = Math.min(this.#stop, Math.max(first, at))
    }
    return true
  }

  /** The first slot whose key is not smaller than `key`, or larger where it is not `inclusive`; `UNREAD`. */
  #slotFrom(key: Uint8Array, inclusive: boolean): number {
    const found = this.#keys.find(this.page, key, 0, key.length)
    if (found === UNREAD) return UNREAD
    return found < 0 ? -1 - found : inclusive ? found : found + 1
  }

  /** Whether the range goes on behind this leaf, whose end has been reached. */
  #isOpen(): boolean {
    return this.#reverse ? this.#stop < 0 : this.#stop === this.page.count
  }

  /** To the next page beside this one. */
  #climb(): Search {
    const { page } = this
    for (let depth = this.#depth - 1; depth >= 0; depth--) {
      if (!this.#pages.look(page, this.#path[depth]!)) return this.#away(depth)
      const slot = this.#slots[depth]! + (this.#reverse ? -1 : 1)
      if (slot < 0 || slot >= page.count) continue
      this.#slots[depth] = slot
      page.read(slot)
      this.#path[depth + 1] = childAt(page)
      this.#pages.expect(childAt(page), sumAt(page))
      this.#depth = depth + 1
      this.#state = BY_SIDE
      return PRESENT
    }
    return ABSENT
  }

  /** After `AWAY`: what reads what is missing. */
  block(): Block {
    if (this.#missing === NO_PAGE) return this.#keys.block()
    return this.#pages.block(this.#missing, this.#path.slice(0, this.#missingDepth))
  }

  #unread(): Search {
    this.#missing = NO_PAGE
    return AWAY
  }

  #away(depth: number): Search {
    this.#missing = this.#path[depth]!
    this.#missingDepth = depth
    return AWAY
  }
}
