/**
 * The buffers of a job, as pieces of one memory: an extent for each lane of its merge, and those of its writer.
 *
 *   │ 128 KiB │ 128 KiB │ … │ 256 KiB │ 256 KiB │        what is asked for beyond that is allocated by itself
 *
 * 1. One job has it at a time, and the thread keeps it for the next: what every job took anew would wait for the garbage
 *    collector.
 * 2. Copies from piece to piece stay within one buffer, so they need no view of a part: for each entry one, those filled the heap
 *    of the thread.
 */

import { APPEND_BUFFER_BYTES } from '../../storage/segment-writer.ts'
import { WIDE_LANES } from './merge.ts'

export const EXTENT_BYTES: number = 128 * 1024

/** A writer has two where blocks are sealed. */
const PIECES: readonly number[] = [
  ...Array.from({ length: WIDE_LANES }, () => EXTENT_BYTES),
  APPEND_BUFFER_BYTES,
  APPEND_BUFFER_BYTES,
]

const kept: JobMemory[] = []

export class JobMemory {
  readonly #memory = new ArrayBuffer(PIECES.reduce((sum, length) => sum + length, 0))
  readonly #free: Buffer[] = []

  private constructor() {
    let at = 0
    for (const length of PIECES) {
      this.#free.push(Buffer.from(this.#memory, at, length))
      at += length
    }
  }

  static take(): JobMemory {
    return kept.pop() ?? new JobMemory()
  }

  /** For the next job, unless pieces are out: a job that fails leaves its extents. */
  keep(): void {
    if (this.#free.length === PIECES.length && kept.length === 0) kept.push(this)
  }

  /** At least so many bytes. */
  allocate(length: number): Buffer {
    const wanted = Math.max(length, EXTENT_BYTES)
    const found = this.#free.findIndex((piece) => piece.length === wanted)
    return found < 0 ? Buffer.allocUnsafeSlow(length) : this.#free.splice(found, 1)[0]!
  }

  release(piece: Buffer): void {
    if (piece.buffer === this.#memory) this.#free.push(piece)
  }
}
