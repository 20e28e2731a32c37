/**
 * Takes out of the tree: entries, ranges and whole subtrees, and leaves that are thin.
 *
 * 1. Pages are taken out when they are empty; what is in between is not balanced (S. Sen and R. E. Tarjan, "Deletion without
 *    rebalancing in multiway search trees", 2014). Putting thin leaves together is for compaction (`merge`, `fill`).
 * 2. A range goes by the largest subtrees that lie in it, without a look at their leaves, unless extents have to go with them.
 * 3. An entry that goes is told before (`leaving`), unless it goes with a whole subtree.
 */

import {
  childAt,
  entriesAt,
  HAS_EXTENTS,
  setChild,
  setEntries,
  setTraits,
  sumAt,
  traitsAt,
} from './branch.ts'
import { misplaced, NO_PAGE } from './format.ts'
import { between, TreeGrowth } from './growth.ts'
import type { Page } from './page.ts'
import { MAX_DEPTH } from './path.ts'

/** Pages that are put together are not fuller than this, so that the next entry does not divide them again. */
const FULL = 0.9
/** A page is thin when so much of it is free, or more. */
const THIN = 1 / 3

export class TreeRemoval extends TreeGrowth {
  /** Hears of each entry that goes, before it does: by its leaf, where it was `read`. */
  leaving: (page: Page) => void = () => {}
  /** Where the range goes on behind what was dropped. */
  #behind: Buffer | undefined

  /** Takes the key that was `PRESENT` in the last search below `root` out of the tree. */
  delete(): void {
    this.own()
    this.#leave(this.slot)
    this.count(-1)
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
    const high = end === count ? this.highKey(this.depth, true) : undefined
    if (end > first) {
      this.own()
      this.count(first - end)
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
    this.own()
    const { leaf } = this
    const all = slots.length === leaf.count
    this.count(-slots.length)
    for (const slot of slots.toReversed()) {
      this.#leave(slot)
      if (!all) leaf.remove(slot)
    }
    if (all) this.#prune()
  }

  /** No entry of the leaf that was searched last has these traits any more: the branches above it, if any, say so from now on. */
  dropTraits(traits: number): boolean {
    const page = this.page
    if (this.depth === 0) return false
    this.own()
    for (let d = this.depth - 1; d >= 0; d--) {
      this.pages.look(page, this.path[d]!)
      page.read(this.slots[d]!)
      setTraits(page, traitsAt(page) & ~traits)
      if ((this.traitsIn(page) & traits) !== 0) break
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
    this.stays = false
    const page = this.leaf
    let number = this.root
    let level = -1
    // Whether no key below the page is smaller than `from`, and where its keys end.
    let begins = from.length === 0
    let high: Buffer | undefined
    for (let depth = 0; ; depth++) {
      this.reachPage(page, number, level)
      level = page.level
      if (level === 0) return false
      const found = this.findIn(page, number, from)
      const slot = found >= 0 ? found : Math.max(0, -2 - found)
      this.path[depth] = number
      this.slots[depth] = slot
      if (slot > 0) begins = found >= 0
      if (slot + 1 < page.count) high = this.keys.whole(page, slot + 1)
      // Reading keys may have driven it out.
      this.reachPage(page, number, -1)
      page.read(slot)
      number = childAt(page)
      this.pages.expect(number, sumAt(page))
      const ends = to.length === 0 || (high !== undefined && high.compare(to) <= 0)
      if (!begins || !ends || (traitsAt(page) & HAS_EXTENTS) !== 0) continue
      this.depth = depth
      this.#dropChild(number, level - 1)
      this.#behind = high === undefined || high.compare(to) === 0 ? undefined : high
      return true
    }
  }

  /** The child at the end of the path goes, with all below it. */
  #dropChild(number: number, level: number): void {
    const page = this.leaf
    const slot = this.slots[this.depth]!
    this.own()
    this.pages.look(page, this.path[this.depth]!)
    page.read(slot)
    const entries = entriesAt(page)
    this.keys.leave(page)
    page.remove(slot)
    this.count(-entries)
    this.#leaveAll(number, level)
    this.pages.look(page, this.path[this.depth]!)
    if (page.count === 0) this.#prune()
    else this.#lower()
  }

  #leaveAll(number: number, level: number): void {
    if (level > 0) {
      const page = this.other
      this.reachPage(page, number, level + 1)
      const children: number[] = []
      for (let slot = 0; slot < page.count; slot++) {
        page.read(slot)
        this.keys.leave(page)
        page.read(slot)
        children.push(childAt(page))
        this.pages.expect(childAt(page), sumAt(page))
      }
      for (const child of children) this.#leaveAll(child, level - 1)
    }
    this.pages.leave(number)
  }

  /** The entry in a slot of the leaf goes. */
  #leave(slot: number): void {
    this.leaf.read(slot)
    this.leaving(this.leaf)
    this.keys.leave(this.leaf)
  }

  /** The leaf of the path is empty: it goes, with every branch that has nothing left then. */
  #prune(): void {
    const pages = this.pages
    const page = this.page
    let depth = this.depth
    for (;;) {
      pages.leave(this.path[depth]!)
      if (depth === 0) {
        this.root = NO_PAGE
        return
      }
      depth--
      pages.look(page, this.path[depth]!)
      page.read(this.slots[depth]!)
      this.keys.leave(page)
      page.remove(this.slots[depth]!)
      if (page.count > 0) break
    }
    this.#lower()
  }

  /** A root with one child is none. */
  #lower(): void {
    const pages = this.pages
    const page = this.page
    for (let level = MAX_DEPTH; ; level = page.level) {
      if (!pages.look(page, this.root) || page.level === 0 || page.count > 1) return
      if (page.level >= level) throw misplaced()
      page.read(0)
      const child = childAt(page)
      pages.expect(child, sumAt(page))
      this.keys.leave(page)
      pages.leave(this.root)
      this.root = child
    }
  }

  /**
   * Takes the entries of the next leaf below the same branch into the leaf that was searched last, if both are in memory and fit into
   * one. The path must be searched again.
   */
  merge(): boolean {
    const pages = this.pages
    const depth = this.depth
    const parent = this.other
    const next = this.page
    const number = this.#lookBeside()
    if (number === NO_PAGE) return false
    if (2 * pages.size - this.leaf.free - next.free > FULL * pages.size) return false
    const slot = this.slots[depth - 1]!
    const prefix = this.#prefixOfBoth()
    const held = pages.hold(number)
    this.own()
    held.release()
    pages.look(next, number)
    const copy = this.keep(this.leaf)
    const { leaf } = this
    if (!leaf.rewrite(copy, prefix, 0, copy.count) || !leaf.append(next, 0, next.count)) {
      leaf.restore(copy)
      return false
    }
    pages.look(parent, this.path[depth - 1]!)
    parent.read(slot + 1)
    const traits = traitsAt(parent)
    this.keys.leave(parent)
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
    const pages = this.pages
    const depth = this.depth
    const { leaf } = this
    const parent = this.other
    const next = this.page
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
    const slot = this.slots[depth - 1]!
    const held = pages.hold(number)
    this.own()
    if (!pages.isOwn(number)) {
      const copy = pages.copy(number)
      pages.look(parent, this.path[depth - 1]!)
      parent.read(slot + 1)
      setChild(parent, copy)
      pages.look(next, copy)
    } else pages.look(next, number)
    held.release()
    const keys = this.keys
    const separator = between(keys.whole(next, count - 1), keys.whole(next, count))
    const low = this.lowKey(depth)
    const kept = this.keep(leaf)
    const own = kept.count
    if (!leaf.rewrite(kept, this.prefix(low, separator), 0, own) || !leaf.append(next, 0, count)) {
      leaf.restore(kept)
      return false
    }
    if (!this.replaceKey(parent, depth - 1, slot + 1, separator)) {
      for (let end = leaf.count; end > own; end--) leaf.remove(end - 1)
      return false
    }
    parent.read(slot + 1)
    const traits = traitsAt(parent)
    setEntries(parent, next.count - count)
    parent.read(slot)
    setEntries(parent, leaf.count)
    setTraits(parent, traitsAt(parent) | traits)
    this.slots[depth - 1] = slot + 1
    const prefix = this.prefix(separator, this.highKey(depth))
    this.slots[depth - 1] = slot
    this.take(next, this.keep(next), prefix, count, next.count)
    return true
  }

  /** The leaf behind the one that was searched last, which `page` looks at then; `NO_PAGE`: not below the same branch, or not in memory. */
  #lookBeside(): number {
    const pages = this.pages
    const depth = this.depth
    const parent = this.other
    if (depth === 0) return NO_PAGE
    const slot = this.slots[depth - 1]! + 1
    pages.look(parent, this.path[depth - 1]!)
    if (slot >= parent.count) return NO_PAGE
    parent.read(slot)
    const number = childAt(parent)
    pages.expect(number, sumAt(parent))
    return pages.look(this.page, number) ? number : NO_PAGE
  }

  /** What the keys of the leaf that was searched last, and of the one behind it below the same branch, begin with. */
  #prefixOfBoth(): Uint8Array {
    const depth = this.depth
    const low = this.lowKey(depth)
    this.slots[depth - 1]!++
    const high = this.highKey(depth)
    this.slots[depth - 1]!--
    return this.prefix(low, high)
  }
}
