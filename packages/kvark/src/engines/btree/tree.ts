/**
 * The B+ tree over the pages in memory: what is put, and subtrees that are taken on. It is made of layers:
 *
 *   Tree           put, graft
 *   TreeRemoval    delete, ranges, merge         `removal.ts`
 *   TreeGrowth     pages divided                 `growth.ts`
 *   TreePath       search, the path to a leaf    `path.ts`
 *
 * 1. Writing never waits: what it needs is in memory, which is looked at before (`search`, `isNear`).
 * 2. A key that is known (`hit`) is not searched for, nor one that belongs to the leaf of the last puts: keys come in order often.
 */

import { childAt, countEntry, HAS_EXTENTS, type Subtree, writeBranch } from './branch.ts'
import { misplaced, NO_PAGE } from './format.ts'
import { between } from './growth.ts'
import { type Keys, UNREAD } from './keys.ts'
import type { Page } from './page.ts'
import type { Pages } from './pages.ts'
import { TreeRemoval } from './removal.ts'

const NOTHING = Buffer.alloc(0)

export class Tree extends TreeRemoval {
  /** Where `put` has made room for a body: at its `bodyAt`. */
  body: Page
  /** The leaf of the last put. Where the one before was there, too, its path `stays`, and its keys are smaller than `#end`, if that is known. */
  #lastPut: number = NO_PAGE
  #end: Buffer | undefined
  /** While it does: where the branches of the path count the entries below it. */
  readonly #counters: { readonly bytes: Buffer; readonly at: number }[] = []

  constructor(pages: Pages, keys: Keys) {
    super(pages, keys)
    this.body = this.leaf
  }

  /** The leaf with the entry of a key of the newest tree, as if it had been `read` there; `undefined`: a search has to tell. */
  hit(key: Uint8Array, start: number, end: number): Page | undefined {
    return this.pages.hash.find(key, start, end)
  }

  /** Whether the hash knows where a key stands, in a leaf that nobody else sees: nothing above it changes with its body. */
  isKnownOwn(key: Uint8Array, start: number, end: number): boolean {
    const page = this.hit(key, start, end)
    if (page === undefined || !this.pages.isOwn(this.pages.hash.number)) return false
    this.body = page
    return true
  }

  /** After a `search` of the newest tree for a key that is there: the next `hit` knows where. */
  remember(key: Uint8Array, start: number, end: number): void {
    const { leaf } = this
    const number = this.path[this.depth]!
    this.pages.hash.add(key, start, end, number, leaf, leaf.offsetOf(this.slot), this.entries)
  }

  /** Whether the leaf of a key that is not long, and all above it, are in memory: a write of it then needs nothing of the disk. */
  isNear(key: Uint8Array, start: number, end: number): boolean {
    if (this.#isInLast(key, start, end)) return true
    const pages = this.pages
    const page = this.page
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
      const found = this.keys.find(page, key, start, end)
      if (found === UNREAD) return false
      page.read(found >= 0 ? found : Math.max(0, -2 - found))
      number = childAt(page)
    }
    return true
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
    if (this.root === NO_PAGE) this.root = this.pages.make(this.leaf, 0, NOTHING)
    const keys = this.keys
    const keyEnd = keys.endInPage(start, end)
    let reference: Buffer | undefined
    let added = true
    for (let isInLast = stays; ; isInLast = false) {
      if (!isInLast) {
        this.reach(this.root, key, start, end)
        this.own()
        this.#stay()
      }
      const { leaf, slot } = this
      if (slot >= 0) {
        leaf.read(slot)
        this.leaving(leaf)
        if (leaf.bodyLength === length) {
          this.remember(key, start, end)
          this.count(0, traits)
          return false
        }
        added = false
        // Its key stays, with the rest that it has.
        const { bytes, referenceAt, referenceLength } = leaf
        reference = Buffer.from(bytes.subarray(referenceAt, referenceAt + referenceLength))
        leaf.remove(slot)
        this.count(-1)
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
        else this.count(1, reference.length === 0 ? traits : traits | HAS_EXTENTS)
        this.slot = at
        return added
      }
      this.makeRoom(this.depth, at, key, start, end)
    }
  }

  /** A put came to the leaf at the end of the path: where the last one did, too, the next one is looked for there first. */
  #stay(): void {
    const number = this.path[this.depth]!
    this.stays = number === this.#lastPut
    this.#lastPut = number
    if (!this.stays) return
    this.#end = this.highKey(this.depth)
    const page = this.page
    this.#counters.length = 0
    for (let d = 0; d < this.depth; d++) {
      this.pages.look(page, this.path[d]!)
      page.read(this.slots[d]!)
      this.#counters.push({ bytes: page.bytes, at: page.bodyAt })
    }
  }

  /** Whether a key that is not long belongs to the leaf of the last puts, which may be changed; `slot` is where. */
  #isInLast(key: Uint8Array, start: number, end: number): boolean {
    if (!this.stays || !this.pages.isOwn(this.#lastPut)) return false
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

  /** One entry more, without traits, below the path of the last puts. */
  #countInLast(): void {
    this.entries++
    for (const { bytes, at } of this.#counters) countEntry(bytes, at)
  }

  /**
   * Takes on a subtree that lies in the file: all its keys are from `first` up to `last`, and there are no others from the one up to
   * the other. It is put above the leaves beside it, in one branch; what is on the way to them is divided there. What is missing in
   * memory is read at once.
   */
  graft(first: Uint8Array, last: Uint8Array, subtree: Subtree): void {
    this.pages.setSum(subtree.page, subtree.sum)
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
    const pages = this.pages
    const keys = this.keys
    this.reach(this.root, key, 0, key.length)
    if (this.slot !== -1) return true
    let depth = this.depth - 1
    while (depth >= 0 && this.slots[depth] === 0) depth--
    if (depth < 0) return true
    this.own()
    const separator = between(key, keys.whole(this.leaf, 0))
    // What bounds nothing may be replaced by what the page begins with, and that must not be long.
    for (let d = depth + 1; d < this.depth; d++) {
      pages.look(this.page, this.path[d]!)
      this.page.read(0)
      if (this.page.referenceLength > 0) this.lowerFirst(this.page)
    }
    const slot = this.slots[depth]!
    if (this.replaceKey(this.page, depth, slot, separator)) return true
    this.makeRoom(depth, slot, separator, 0, separator.length)
    return false
  }

  /** Takes one step towards a subtree in the tree, all of whose leaves end before it or begin behind it; true: it is there. */
  #join(first: Uint8Array, last: Uint8Array, subtree: Subtree): boolean {
    const pages = this.pages
    const keys = this.keys
    const page = this.page
    this.reach(this.root, first, 0, first.length)
    this.own()
    const at = -1 - this.slot
    const depth = this.depth - subtree.level - 1
    if (depth < 0) {
      pages.look(page, this.root)
      this.grow(page.level)
      return false
    }
    // Of the leaf on the path, and of what is above it: what is behind the subtree goes into pages of its own.
    for (let d = this.depth; at > 0 && d > depth; d--) {
      pages.look(page, this.path[d]!)
      const end = page.level === 0 ? at : this.slots[d]! + 1
      if (end === page.count) continue
      const next = keys.whole(page, end)
      const separator = page.level === 0 ? between(last, next) : next
      this.cut(d, end, separator, this.lowKey(d), this.highKey(d))
      return false
    }
    const separator =
      at > 0
        ? between(keys.whole(this.leaf, at - 1), first)
        : between(last, keys.whole(this.leaf, 0))
    // What bounds nothing in branches below may be larger than where they end from now on; or it may be long, and what they begin with
    // becomes another: it is that then, and that must not be long.
    for (let d = depth + 1; d < this.depth; d++) {
      if (this.slots[d] !== 0) continue
      pages.look(page, this.path[d]!)
      // There is one entry, which has room.
      if (at > 0) this.rewrite(page, NOTHING)
      this.lowerFirst(page)
    }
    if (!this.enter(depth, separator)) return false
    const branch = this.other
    let { bodyAt } = branch
    if (at === 0) {
      // Before all others: what was the first child is behind it.
      branch.read(0)
      branch.bytes.copyWithin(bodyAt, branch.bodyAt, branch.bodyAt + branch.bodyLength)
      bodyAt = branch.bodyAt
    }
    writeBranch(branch.bytes, bodyAt, subtree)
    this.depth = depth
    this.count(subtree.entries, subtree.traits)
    return true
  }
}
