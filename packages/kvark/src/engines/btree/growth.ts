/**
 * Makes room in the tree: pages are divided when they are full, and branches get entries for those that are new.
 *
 *   page │ a b c d e f │ ─► │ a b c │  │ d e f │      the branch above: … │ key of the page → it │ the shortest key between c and d → new │ …
 *
 * 1. Every step leaves a whole tree, and may have changed what is above: who wants room takes steps and searches again until there is some.
 * 2. A key between two pages is as short as it can be, and what all keys of a page begin with is stored once (Bayer and Unterauer 1977).
 * 3. The first key of a branch may be replaced by any that is not larger than the next one, such as the page's prefix, since it bounds
 *    nothing; when that child is divided it has to be.
 */

import { entriesAt, HAS_EXTENTS, setEntries, traitsAt, writeBranch } from './branch.ts'
import { misplaced } from './format.ts'
import type { Keys } from './keys.ts'
import { BRANCH_BODY_BYTES, type Page, type PageMemory, pageMemory } from './page.ts'
import type { Pages } from './pages.ts'
import { TreePath } from './path.ts'

const NOTHING = Buffer.alloc(0)

export class TreeGrowth extends TreePath {
  /** Tells the traits of an entry, by its leaf, where it was `read`; not those of its key. */
  traits: (page: Page) => number = () => 0
  readonly #old: Page
  readonly #scratch: PageMemory

  constructor(pages: Pages, keys: Keys) {
    super(pages, keys)
    this.#old = pages.newPage()
    this.#scratch = pageMemory(Buffer.alloc(pages.size + (-pages.size & 3)))
  }

  /**
   * The page of the path at `depth` has no room for a key in slot `at`, or the key does not begin with its prefix: takes one step
   * towards that. The path must be searched again.
   */
  protected makeRoom(depth: number, at: number, key: Uint8Array, start: number, end: number): void {
    const pages = this.pages
    const page = this.page
    pages.look(page, this.path[depth]!)
    const low = this.lowKey(depth)
    const high = this.highKey(depth)
    if (
      !page.takes(key, start, this.keys.endInPage(start, end)) &&
      this.rewrite(page, this.prefix(low, high))
    )
      return
    this.#divide(depth, at, key, start, end, low, high)
  }

  /** Writes a page anew with another prefix; false where it has no room for that. */
  protected rewrite(page: Page, prefix: Uint8Array): boolean {
    const copy = this.keep(page)
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
    const page = this.page
    if (depth === 0) {
      this.grow(page.level)
      return
    }
    const { count, level } = page
    // Keys that come in order fill their pages.
    const last = high === undefined && at === count
    // Two entries find room in any page; where one has none beside it, the page was forged.
    if (count < 2 && !last) throw misplaced()
    const middle = last ? (level === 0 ? count : count - 1) : page.middle()
    const keys = this.keys
    const separator =
      level > 0
        ? keys.whole(page, middle)
        : between(
            keys.whole(page, middle - 1),
            middle === count ? key.subarray(start, end) : keys.whole(page, middle),
          )
    this.cut(depth, middle, separator, low, high)
  }

  /**
   * Puts the entries of the page at `depth` of the path from slot `middle` on into a page of their own, whose keys begin with
   * `separator`; or makes room for that above it. The path must be searched again.
   */
  protected cut(
    depth: number,
    middle: number,
    separator: Uint8Array,
    low: Buffer | undefined,
    high: Buffer | undefined,
  ): void {
    const pages = this.pages
    const page = this.page
    pages.look(page, this.path[depth]!)
    const { count, level } = page
    if (!this.enter(depth - 1, separator)) return
    const parent = this.other
    const slot = this.slots[depth - 1]!
    const { bodyAt } = parent
    const prefix = this.prefix(separator, high)
    let left = entriesIn(page)
    let right: number
    // Nothing moves where keys come in order.
    if (middle === count) right = pages.make(page, level, prefix)
    else {
      const old = this.keep(page)
      this.take(page, old, this.prefix(low, separator), 0, middle)
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
   * Makes an entry for another child in the branch at `depth` of the path, behind the one that the path leads to: `other` looks at it,
   * and has it `read`. False where there was no room: then a step towards that was taken, and the path must be searched again.
   */
  protected enter(depth: number, separator: Uint8Array): boolean {
    const keys = this.keys
    const branch = this.other
    this.pages.look(branch, this.path[depth]!)
    const slot = this.slots[depth]!
    const inPage = keys.endInPage(0, separator.length)
    if (slot === 0) {
      // Smaller than the first key, or the same.
      const found = keys.findNow(branch, separator, 0, separator.length)
      this.pages.look(branch, this.path[depth]!)
      if (found === -1 || found === 0) this.lowerFirst(branch)
    }
    const reference = keys.referenceTo(separator, 0, separator.length)
    const room =
      branch.takes(separator, 0, inPage) &&
      branch.insert(slot + 1, separator, 0, inPage, reference.length + BRANCH_BODY_BYTES)
    if (!room) {
      keys.forget(reference)
      this.makeRoom(depth, slot + 1, separator, 0, separator.length)
      return false
    }
    reference.copy(branch.bytes, branch.bodyAt)
    branch.read(slot + 1)
    return true
  }

  /**
   * Gives an entry of the branch at `depth` of the path another key, which is between those beside it; false where there is no room for
   * it, and then nothing has changed. `branch` looks at it.
   */
  protected replaceKey(branch: Page, depth: number, slot: number, separator: Uint8Array): boolean {
    const keys = this.keys
    const inPage = keys.endInPage(0, separator.length)
    const reference = keys.referenceTo(separator, 0, separator.length)
    this.pages.look(branch, this.path[depth]!)
    const old = this.keep(branch)
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

  /**
   * A page gets some entries of a copy, with a new prefix; with the one that they had, where there is no room for that: what bounds
   * them may have gone away since.
   */
  protected take(page: Page, old: Page, prefix: Uint8Array, from: number, to: number): void {
    if (!page.rewrite(old, prefix, from, to)) page.rewrite(old, old.prefix, from, to)
  }

  /** The first key of a branch becomes its prefix: there are smaller ones below it. */
  protected lowerFirst(branch: Page): void {
    branch.read(0)
    this.keys.leave(branch)
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
  protected grow(level: number): void {
    const page = this.page
    const child = this.root
    const traits = this.traitsIn(page)
    this.root = this.pages.make(page, level + 1, NOTHING)
    page.insert(0, NOTHING, 0, 0, BRANCH_BODY_BYTES)
    const { entries } = this
    writeBranch(page.bytes, page.bodyAt, { page: child, sum: 0, level, entries, traits })
  }

  /** Of all entries in a leaf, or below a branch. */
  protected traitsIn(page: Page): number {
    let traits = 0
    for (let slot = 0; slot < page.count; slot++) {
      page.read(slot)
      if (page.level > 0) traits |= traitsAt(page)
      else traits |= this.traits(page) | (page.referenceLength > 0 ? HAS_EXTENTS : 0)
    }
    return traits
  }

  /** A copy of a page that stays until the next one. */
  protected keep(page: Page): Page {
    this.#old.copyOf(page, this.#scratch)
    return this.#old
  }
}

/** The shortest key that is larger than `left` and not larger than `right`. */
export function between(left: Uint8Array, right: Uint8Array): Uint8Array {
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
