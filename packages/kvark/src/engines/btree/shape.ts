/**
 * The shape of a tree: every page below a root is looked at, from the root down.
 *
 *   level 2   │ page │                           pages, entries, and how much of the pages they take
 *   level 1   │ page │ page │ …
 *   level 0   │ page │ page │ page │ page │ …    and what lies in extents: long values, the rests of long keys
 *
 * 1. Pages that are not in memory are read past the cache.
 * 2. A page that is damaged is counted, with nothing of what is below it: `verify` tells what is wrong with it.
 */

import type { Progress, TreeLevel } from '../../engine/engine.ts'
import type { Routine } from '../../environment/routine.ts'
import { asKvarkError } from '../../errors.ts'
import { childAt, sumAt } from './branch.ts'
import { eachPage } from './extents.ts'
import type { Extent } from './format.ts'
import { NO_PAGE } from './format.ts'
import { restOf } from './keys.ts'
import { Leaf, readExtent } from './leaf.ts'
import { type Page, type PageMemory, pageMemory } from './page.ts'
import type { TreeState } from './state.ts'

/** How many there are of something that lies in extents, and in how many pages. */
export interface Extended {
  count: number
  pages: number
}

interface Child {
  readonly page: number
  readonly sum: number
}

interface Counts {
  pages: number
  entries: number
  freeBytes: number
}

export class Shape {
  readonly longValues: Extended = { count: 0, pages: 0 }
  readonly longKeys: Extended = { count: 0, pages: 0 }
  damagedPages = 0
  readonly #state: TreeState
  readonly #progress: Progress | undefined
  readonly #signal: AbortSignal | undefined
  /** By level. */
  readonly #counts: Counts[] = []
  readonly #page: Page
  readonly #memory: PageMemory
  readonly #leaf: Leaf = new Leaf()
  #seen = 0

  constructor(state: TreeState, progress: Progress | undefined, signal: AbortSignal | undefined) {
    this.#state = state
    this.#progress = progress
    this.#signal = signal
    this.#page = state.pages.newPage()
    this.#memory = pageMemory(Buffer.allocUnsafeSlow(state.file.pageBytes))
  }

  /** From the root down to the leaves. */
  get levels(): TreeLevel[] {
    const { payloadBytes } = this.#state.file
    return this.#counts
      .map(({ pages, entries, freeBytes }, level) => ({
        level,
        pages,
        entries,
        fill: 1 - freeBytes / (pages * payloadBytes),
      }))
      .reverse()
  }

  /** Looks at the whole tree below `root`, of which somebody keeps a view. */
  *look(root: number): Routine<void> {
    if (root !== NO_PAGE) yield* this.#visit({ page: root, sum: this.#state.pages.sum(root) })
  }

  *#visit({ page: number, sum }: Child, level?: number): Routine<void> {
    const { pages, file, context } = this.#state
    yield* context.environment.pause
    this.#seen++
    this.#progress?.(this.#seen, Math.max(this.#seen, pages.space.used))
    // Behind what others may have done meanwhile: nothing can be looked at any more when the store has been closed.
    this.#signal?.throwIfAborted()
    const page = this.#page
    if (!pages.look(page, number)) {
      pages.expect(number, sum)
      try {
        yield* file.readPage(number, this.#memory.bytes, 0)
      } catch (error) {
        return this.#damaged(error)
      }
      page.look(this.#memory, file.form.headerBytes)
    }
    const { level: found } = page
    if (level !== undefined && found !== level) {
      this.damagedPages++
      return
    }
    for (const child of this.#count(page)) yield* this.#visit(child, found - 1)
  }

  /** Counts a page; gives those below it. */
  #count(page: Page): Child[] {
    const { level, count, free } = page
    const counts = (this.#counts[level] ??= { pages: 0, entries: 0, freeBytes: 0 })
    counts.pages++
    counts.entries += count
    counts.freeBytes += free
    const children: Child[] = []
    for (let slot = 0; slot < count; slot++) {
      page.read(slot)
      if (page.referenceLength > 0) add(this.longKeys, restOf(page))
      if (level > 0) children.push({ page: childAt(page), sum: sumAt(page) })
      else this.#countValue(page)
    }
    return children
  }

  #countValue(page: Page): void {
    const leaf = this.#leaf
    leaf.read(page.bytes, page.bodyAt, page.bodyLength, this.#state.file.handle.path)
    if (leaf.long) add(this.longValues, readExtent(page.bytes, leaf.start, leaf.end))
  }

  #damaged(error: unknown): void {
    if (this.#state.closed || asKvarkError(error).code !== 'CORRUPTION') throw error
    this.damagedPages++
  }
}

function add(extended: Extended, extent: Extent): void {
  extended.count++
  eachPage(extent, () => extended.pages++)
}
