/**
 * A long value on its way in: its pieces go straight into free pages of the tree file, and are synced there. The batch that puts it
 * journals only where it lies.
 *
 * 1. Until then its pages are in use for nobody but this process: the map of no checkpoint has them.
 * 2. Memory: one slice.
 */

import type { Spool } from '../../engine/spool.ts'
import type { Routine } from '../../environment/routine.ts'
import { asKvarkError, KvarkError } from '../../errors.ts'
import { readOnly } from '../../storage/journal.ts'
import { eachPage } from './extents.ts'
import { type Extent, PIECE } from './format.ts'
import type { TreeState } from './state.ts'

const SLICE_BYTES = 256 * 1024
const SYNC_BYTES = 8 * 1024 * 1024
/** The first run of pages, and the longest one, in bytes; each is twice as long as the one before. */
const FIRST_RUN_BYTES = 1024 * 1024
const LONGEST_RUN_BYTES = 256 * 1024 * 1024

export class ExtentSpool implements Spool {
  length = 0
  readonly #state: TreeState
  readonly #mark: number
  readonly #runs: [number, number][] = []
  readonly #plain: Buffer
  readonly #stored: Buffer
  /** Bytes in the buffer, as they are in the pages. */
  #filled = 0
  /** Pages of the last run that are in use. */
  #used = 0
  #unsynced = 0
  #open = true

  constructor(state: TreeState) {
    const { pageBytes, form } = state.file
    this.#state = state
    this.#mark = Buffer.from(state.context.environment.random(4)).readUInt32LE()
    this.#plain = Buffer.alloc(Math.max(SLICE_BYTES, pageBytes))
    this.#stored = form.sealed ? Buffer.alloc(this.#plain.length) : this.#plain
  }

  get extent(): Extent {
    return { length: this.length, mark: this.#mark, runs: this.#runs }
  }

  eachPage(visit: (page: number) => void): void {
    eachPage(this.extent, visit)
  }

  *append(source: Uint8Array, from: number, to: number): Routine<void> {
    this.#check()
    const { payloadBytes, pageBytes, form } = this.#state.file
    let at = from
    while (at < to) {
      const inPage = this.#filled % pageBytes
      if (inPage === 0) this.#filled += form.headerBytes
      const room = inPage === 0 ? payloadBytes : pageBytes - inPage
      const part = Math.min(room, to - at)
      this.#plain.set(source.subarray(at, at + part), this.#filled)
      this.#filled += part
      this.length += part
      at += part
      if (this.#filled === this.#plain.length) yield* this.#write()
    }
  }

  *finish(): Routine<void> {
    this.#check()
    yield* this.#write()
    yield* this.#sync()
    const last = this.#runs[this.#runs.length - 1]
    if (last === undefined) return
    const { space } = this.#state.pages
    for (let i = this.#used; i < last[1]; i++) space.give(last[0] + i)
    last[1] = this.#used
  }

  /** It has been put: its pages are the tree's. */
  put(): void {
    this.#open = false
    this.#state.spools.delete(this)
  }

  *discard(): Routine<void> {
    if (!this.#open) return
    this.#open = false
    const state = this.#state
    state.spools.delete(this)
    if (state.closed) return
    this.eachPage((page) => state.pages.space.give(page))
    if (state.journal.failure) return
    try {
      yield* state.trim()
    } catch (error) {
      if (state.closed) return
      const { message } = asKvarkError(error)
      state.context.environment.warn(
        `${state.file.handle.path} stays as long as it is until the next checkpoint: ${message}`,
      )
    }
  }

  #check(): void {
    if (!this.#open) throw new KvarkError('CLOSED', 'This value is not being written any more.')
    const { failure } = this.#state.journal
    if (failure) throw readOnly(failure)
  }

  /** Writes the pages in the buffer. */
  *#write(): Routine<void> {
    const { file, context } = this.#state
    const { pageBytes } = file
    const count = Math.ceil(this.#filled / pageBytes)
    this.#plain.fill(0, this.#filled, count * pageBytes)
    this.#filled = 0
    for (let i = 0; i < count; i++) {
      const page = this.#take()
      const at = i * pageBytes
      file.seal(this.#plain, this.#stored, at, page, PIECE, this.#mark)
      file.handle.write(this.#stored, at, pageBytes, page * pageBytes).sync()
    }
    this.#unsynced += count * pageBytes
    if (this.#unsynced >= SYNC_BYTES) yield* this.#sync()
    else yield* context.environment.pause
    this.#check()
  }

  *#sync(): Routine<void> {
    this.#unsynced = 0
    yield* this.#state.sync()
    this.#check()
  }

  /** The next page. */
  #take(): number {
    const { pages, file } = this.#state
    const last = this.#runs[this.#runs.length - 1]
    if (last !== undefined && this.#used < last[1]) return last[0] + this.#used++
    const bytes = Math.min(LONGEST_RUN_BYTES, FIRST_RUN_BYTES * 2 ** this.#runs.length)
    const count = Math.max(1, bytes / file.pageBytes)
    const first = pages.space.takeRun(count)
    this.#runs.push([first, count])
    this.#used = 1
    return first
  }
}
