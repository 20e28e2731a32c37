/**
 * Which pages are kept although the tree of now does not have them any more: those that somebody still sees.
 *
 *   epoch     the number of a stretch of writes; a page is of the epoch in which it was made
 *   view      somebody who sees the tree as it was at the end of an epoch: a snapshot, the checkpoint that is on disk, the one
 *             that is being written
 *   page      made in epoch b, left by the tree in epoch f: a view of epoch e sees it when b ≤ e < f
 *
 * 1. A page that the tree leaves is kept by the newest view that sees it. When that view ends, the next older one that sees it keeps
 *    it, or nobody does and it is free. So a view holds nothing but what has changed under it. (After the dead lists of ZFS,
 *    J. Bonwick et al., "The Zettabyte File System", 2003.)
 * 2. The epoch of now is newer than that of every view.
 */

import { GrowingFloats } from '../../bytes/growing.ts'

export class View {
  readonly epoch: number
  /** Who has it reads pages wherever they are; otherwise it is a checkpoint, all of which is in the file or will be. */
  readonly reads: boolean
  kept: GrowingFloats | undefined = undefined
  /** Who needs it. */
  holders = 1

  constructor(epoch: number, reads: boolean) {
    this.epoch = epoch
    this.reads = reads
  }
}

export class Views {
  /** Oldest first. */
  readonly #living: View[] = []
  readonly #bornOf: (page: number) => number
  readonly #free: (page: number) => void
  /** The epoch of now, and of the newest living view; 0: there is none. */
  epoch = 1
  newest = 0
  /** Of the newest one that reads; −1: there is none. */
  newestReader = -1
  /** Pages that are kept. */
  kept = 0

  /** `free`: nobody sees the page any more. */
  constructor(bornOf: (page: number) => number, free: (page: number) => void) {
    this.#bornOf = bornOf
    this.#free = free
  }

  /** Sees what is now; what is written from now on is of the next epoch. */
  add(reads = true): View {
    const view = new View(this.epoch++, reads)
    this.#living.push(view)
    this.newest = view.epoch
    if (reads) this.newestReader = view.epoch
    return view
  }

  /** Somebody else needs the view, too. */
  hold(view: View): void {
    view.holders++
  }

  /** One who needed the view does not any more. */
  end(view: View): void {
    if (--view.holders > 0) return
    const at = this.#living.indexOf(view)
    if (at < 0) return
    this.#letGo(view, at, Number.POSITIVE_INFINITY)
    this.#living.splice(at, 1)
    this.newest = this.#living[this.#living.length - 1]?.epoch ?? 0
    if (view.epoch === this.newestReader)
      this.newestReader = this.#living.findLast(({ reads }) => reads)?.epoch ?? -1
  }

  /** For who ends a view that may keep very many pages: lets go of some of them beforehand. False: there are no more. */
  loosen(view: View, most: number): boolean {
    const at = this.#living.indexOf(view)
    return view.holders === 1 && at >= 0 && this.#letGo(view, at, most)
  }

  /** The tree of now does not have the page any more. */
  leave(page: number): void {
    this.#pass(page, this.#living[this.#living.length - 1])
  }

  /** `view` needs a page that the tree never had. */
  keep(view: View, page: number): void {
    view.kept ??= new GrowingFloats()
    view.kept.push(page)
    this.kept++
  }

  /** Calls `visit` with every page that is kept. */
  eachKept(visit: (page: number) => void): void {
    for (const { kept } of this.#living) {
      for (let i = 0; kept !== undefined && i < kept.count; i++) visit(kept.memory[i]!)
    }
  }

  /** Up to `most` of the pages that a view, the living one at `at`, keeps go to the next older one; whether there are more. */
  #letGo({ kept }: View, at: number, most: number): boolean {
    if (kept === undefined) return false
    const older = this.#living[at - 1]
    for (let i = 0; i < most && kept.count > 0; i++) {
      this.kept--
      this.#pass(kept.pop(), older)
    }
    return kept.count > 0
  }

  /** `view`: the newest one that may see it. */
  #pass(page: number, view: View | undefined): void {
    if (view === undefined || this.#bornOf(page) > view.epoch) this.#free(page)
    else this.keep(view, page)
  }
}
