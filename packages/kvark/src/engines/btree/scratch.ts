/** Memory of a page's size that cursors use and leave for those to come: a short walk would spend much of its time on new one. */

import { viewOf } from '../../bytes/short-copy.ts'

/** So many are kept. */
const MOST = 16

export interface ScratchMemory {
  readonly bytes: Buffer
  /** Of the same bytes. */
  readonly view: DataView
}

export const NO_MEMORY: ScratchMemory = memoryOf(Buffer.alloc(0))

export class Scratch {
  readonly #length: number
  readonly #free: ScratchMemory[] = []

  constructor(length: number) {
    this.#length = length
  }

  /** At least `length` bytes, with anything in them. */
  take(length: number): ScratchMemory {
    if (length > this.#length) return memoryOf(Buffer.allocUnsafe(length))
    return this.#free.pop() ?? memoryOf(Buffer.allocUnsafeSlow(this.#length))
  }

  /** For others from now on. Longer ones are not kept. */
  give(memory: ScratchMemory): void {
    if (memory.bytes.length === this.#length && this.#free.length < MOST) this.#free.push(memory)
  }
}

function memoryOf(bytes: Buffer): ScratchMemory {
  return { bytes, view: viewOf(bytes) }
}
