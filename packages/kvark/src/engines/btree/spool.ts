/**
 * A long value on its way in: its pieces go straight into free pages of the tree file. The batch that puts it journals only where it
 * lies.
 *
 * Memory: one slice.
 */

import type { Spool } from '../../engine/spool.ts'
import type { Routine } from '../../environment/routine.ts'
import { type Extent, PIECE } from './format.ts'
import { PageSpool } from './page-spool.ts'
import type { TreeState } from './state.ts'

const SLICE_BYTES = 256 * 1024

export class ExtentSpool extends PageSpool implements Spool {
  length = 0
  readonly #mark: number
  readonly #plain: Buffer
  readonly #stored: Buffer
  /** Bytes in the buffer, as they are in the pages. */
  #filled = 0

  constructor(state: TreeState) {
    super(state)
    const { pageBytes, form } = state.file
    this.#mark = Buffer.from(state.context.environment.random(4)).readUInt32LE()
    this.#plain = Buffer.alloc(Math.max(SLICE_BYTES, pageBytes))
    this.#stored = form.sealed ? Buffer.alloc(this.#plain.length) : this.#plain
  }

  get extent(): Extent {
    return { length: this.length, mark: this.#mark, runs: this.runs }
  }

  *append(source: Uint8Array, from: number, to: number): Routine<void> {
    this.check()
    const { payloadBytes, pageBytes, form } = this.state.file
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
    this.check()
    yield* this.#write()
    yield* this.settle()
  }

  /** Writes the pages in the buffer. */
  *#write(): Routine<void> {
    const { file } = this.state
    const { pageBytes } = file
    const count = Math.ceil(this.#filled / pageBytes)
    this.#plain.fill(0, this.#filled, count * pageBytes)
    this.#filled = 0
    for (let i = 0; i < count; i++) {
      const page = this.take()
      const at = i * pageBytes
      file.seal(this.#plain, this.#stored, at, page, PIECE, this.#mark)
      file.write(this.#stored, at, page, 1)
    }
    yield* this.wrote(count * pageBytes)
  }
}
