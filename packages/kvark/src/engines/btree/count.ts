/**
 * The number of live entries between two keys, by what branches say of their children: only the pages at the ends of the range are
 * looked at, and those below which something may have expired.
 */

import type { Routine } from '../../environment/routine.ts'
import type { Block } from '../../storage/cache.ts'
import { childAt, entriesAt, MAY_EXPIRE, sumAt, traitsAt } from './branch.ts'
import { misplaced, NO_PAGE } from './format.ts'
import { type Keys, UNREAD } from './keys.ts'
import type { Page } from './page.ts'
import type { Pages } from './pages.ts'

interface Child {
  readonly number: number
  readonly sum: number
  /** Where the range begins and ends in it; `undefined`: before its first key, behind its last. */
  readonly from: Uint8Array | undefined
  readonly to: Uint8Array | undefined
}

export class Count {
  readonly #pages: Pages
  readonly #keys: Keys
  readonly #isLive: (page: Page) => boolean
  /** Of the page last looked at: the slots at which the range begins and ends, or −1 − where they would be. */
  #first = 0
  #end = 0

  /** `isLive`: whether an entry counts that has been `read` in a leaf. */
  constructor(pages: Pages, keys: Keys, isLive: (page: Page) => boolean) {
    this.#pages = pages
    this.#keys = keys
    this.#isLive = isLive
  }

  /** Keys from `from` up to `to` (empty: to the end) below `root`, which somebody keeps a view of. */
  *between(root: number, from: Uint8Array, to: Uint8Array): Routine<number> {
    if (root === NO_PAGE) return 0
    const child = { number: root, sum: 0, from, to: to.length === 0 ? undefined : to }
    return yield* this.#below(child, -1)
  }

  /** `above`: the level of the parent; −1: there is none. */
  *#below(child: Child, above: number): Routine<number> {
    const page = this.#pages.newPage()
    const held: Block[] = []
    const children: Child[] = []
    let entries = 0
    let level = 0
    try {
      for (let block = this.#look(page, child); block !== undefined; ) {
        held.push(block)
        yield* block.load
        block = this.#look(page, child)
      }
      level = page.level
      if (above === 0 || (above > 0 && level !== above - 1)) throw misplaced()
      if (level === 0) return this.#inLeaf(page)
      entries = this.#inBranch(page, child, children)
    } finally {
      for (const block of held) block.release()
    }
    for (const one of children) entries += yield* this.#below(one, level)
    return entries
  }

  /** Looks at a child, and for where the range begins and ends in it; returns what is missing for that. */
  #look(page: Page, { number, sum, from, to }: Child): Block | undefined {
    const pages = this.#pages
    const keys = this.#keys
    if (!pages.look(page, number)) {
      pages.expect(number, sum)
      return pages.block(number)
    }
    this.#first = from === undefined ? -1 : keys.find(page, from, 0, from.length)
    this.#end = to === undefined ? -1 - page.count : keys.find(page, to, 0, to.length)
    return this.#first === UNREAD || this.#end === UNREAD ? keys.block() : undefined
  }

  #inLeaf(page: Page): number {
    const first = this.#first < 0 ? -1 - this.#first : this.#first
    const end = this.#end < 0 ? -1 - this.#end : this.#end
    let entries = 0
    for (let slot = first; slot < end; slot++) {
      page.read(slot)
      if (this.#isLive(page)) entries++
    }
    return entries
  }

  /** What is known here; the others go to `children`. */
  #inBranch(page: Page, { from, to }: Child, children: Child[]): number {
    const low = childSlot(this.#first)
    const high = childSlot(this.#end)
    let entries = 0
    for (let slot = low; slot <= high; slot++) {
      page.read(slot)
      const child: Child = {
        number: childAt(page),
        sum: sumAt(page),
        from: slot === low ? from : undefined,
        to: slot === high ? to : undefined,
      }
      const isWhole = child.from === undefined && child.to === undefined
      if (isWhole && (traitsAt(page) & MAY_EXPIRE) === 0) entries += entriesAt(page)
      else children.push(child)
    }
    return entries
  }
}

/** The slot of the child that a key belongs to. */
function childSlot(found: number): number {
  return found >= 0 ? found : Math.max(0, -2 - found)
}
