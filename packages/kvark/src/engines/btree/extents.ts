/**
 * Long values, in pages of their own: pieces, each a block as long as a page, in one or a few runs of pages.
 *
 * 1. All pieces of a value carry its mark, which is random: an older page in the same place is not taken for one of them.
 * 2. Values up to `CACHED_BYTES` are read through the cache, longer ones past it, so that one does not drive everything else out; so
 *    are all while others hold what the cache has, for these may be waiting for them.
 */

import { Effect, type Routine } from '../../environment/routine.ts'
import { corruption } from '../../errors.ts'
import type { TreeFile } from './file.ts'
import { type Extent, misplaced, ROOT_SLOTS, type Run } from './format.ts'
import type { Pages } from './pages.ts'

const CACHED_BYTES = 256 * 1024
/** So many pages are taken wherever there are some, more of them in one row. */
const MOST_RUNS = 4

export class Extents {
  readonly #pages: Pages
  readonly #file: TreeFile
  readonly #random: () => number

  /** `random`: 32 bits. */
  constructor(pages: Pages, file: TreeFile, random: () => number) {
    this.#pages = pages
    this.#file = file
    this.#random = random
  }

  /** Puts `source[from .. from + length)` into fresh pages. */
  write(source: Uint8Array, from: number, length: number): Extent {
    const { payloadBytes } = this.#file
    const { space } = this.#pages
    const mark = this.#random()
    const count = Math.ceil(length / payloadBytes)
    const runs: Run[] = []
    if (count > MOST_RUNS) runs.push([space.takeRun(count), count])
    else for (let i = 0; i < count; i++) runs.push([space.take(), 1])
    let done = 0
    eachPage({ length, mark, runs }, (page) => {
      this.#pages.makePiece(page, mark)
      const part = source.subarray(from + done, from + Math.min(length, done + payloadBytes))
      this.#pages.payloadOf(page).set(part)
      done += part.length
    })
    return { length, mark, runs }
  }

  /** The tree does not have the value any more. */
  leave(extent: Extent): void {
    this.#check(extent)
    eachPage(extent, (page) => this.#pages.leave(page))
  }

  /** Nobody sees the value: its pages are free at once. */
  free(extent: Extent): void {
    eachPage(extent, (page) => this.#pages.free(page))
  }

  /** Takes pages that hold a value in the file already. */
  adopt(extent: Extent, born = 0): void {
    eachPage(extent, (page) => this.#pages.adopt(page, extent.mark, born))
  }

  /** `length` bytes from `from` on, with memory of their own. */
  *read(extent: Extent, from: number, length: number): Routine<Buffer> {
    this.#check(extent)
    const { payloadBytes } = this.#file
    const result = Buffer.allocUnsafeSlow(length)
    for (let done = 0; done < length; ) {
      const piece = Math.floor((from + done) / payloadBytes)
      const start = (from + done) % payloadBytes
      const part = Math.min(length - done, payloadBytes - start)
      yield* this.#copy(extent, piece, start, result, done, part)
      done += part
    }
    return result
  }

  /** `read` for who may have to wait: nothing of the value is written over meanwhile. */
  *readKept(extent: Extent, from: number, length: number): Routine<Buffer> {
    const { views, table } = this.#pages
    const view = views.add()
    try {
      return yield* this.read(extent, from, length)
    } catch (error) {
      this.#pages.checkOpen()
      throw error
    } finally {
      if (!table.dropped) views.end(view)
    }
  }

  /** All of it, if it lies in one page that is in memory. */
  inMemory(extent: Extent): Buffer | undefined {
    const page = pageOf(extent, 0)
    if (page === undefined || extent.length > this.#file.payloadBytes) return undefined
    if (this.#pages.has(page)) return this.#pages.payloadOf(page).subarray(0, extent.length)
    return undefined
  }

  /** Whoever has an extent from a page that was forged may have any. */
  #check({ length, runs }: Extent): void {
    const { end } = this.#pages.space
    let pages = 0
    for (const [first, count] of runs) {
      if (first < ROOT_SLOTS || first + count > end) throw misplaced()
      pages += count
    }
    if (pages < length / this.#file.payloadBytes) throw misplaced()
  }

  *#copy(
    extent: Extent,
    piece: number,
    start: number,
    target: Buffer,
    at: number,
    length: number,
  ): Routine<void> {
    const pages = this.#pages
    const { form, pageBytes, handle } = this.#file
    const page = pageOf(extent, piece)
    if (page === undefined) throw corruption(handle.path, 0, 'a long value is shorter than it says')
    const from = form.headerBytes + start
    if (pages.has(page)) {
      pages.bytesOf(page).copy(target, at, from, from + length)
      return
    }
    pages.expect(page, extent.mark)
    if (extent.length > CACHED_BYTES || pages.cache.isShort) {
      const bytes = Buffer.allocUnsafeSlow(pageBytes)
      yield* this.#file.readPage(page, bytes, 0)
      bytes.copy(target, at, from, from + length)
      return
    }
    const block = pages.block(page)
    const copy = (): void => {
      pages.checkOpen()
      pages.bytesOf(page).copy(target, at, from, from + length)
      block.release()
    }
    const { load } = block
    yield* new Effect(
      () => {
        load.sync()
        copy()
      },
      async () => {
        await load.async()
        copy()
      },
    )
  }
}

export function eachPage({ runs }: Extent, visit: (page: number) => void): void {
  for (const [first, count] of runs) {
    for (let i = 0; i < count; i++) visit(first + i)
  }
}

/** The page of the piece of that number. */
export function pageOf({ runs }: Extent, piece: number): number | undefined {
  let rest = piece
  for (const [first, count] of runs) {
    if (rest < count) return first + rest
    rest -= count
  }
  return undefined
}
