/** Buffers of a page's size that cursors use and leave for those to come: a short walk would spend much of its time on new ones. */

/** So many are kept. */
const MOST = 16

export class Scratch {
  readonly #length: number
  readonly #free: Buffer[] = []

  constructor(length: number) {
    this.#length = length
  }

  /** At least `length` bytes, with anything in them. */
  take(length: number): Buffer {
    if (length > this.#length) return Buffer.allocUnsafe(length)
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#length)
  }

  /** For others from now on. Longer ones are not kept. */
  give(buffer: Buffer): void {
    if (buffer.length === this.#length && this.#free.length < MOST) this.#free.push(buffer)
  }
}
