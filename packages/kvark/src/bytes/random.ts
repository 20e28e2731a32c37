/**
 * A small pseudo-random generator (sfc32): the same seed gives the same numbers on every machine. For simulated runs
 * and tests only; nothing that must not be guessed comes from here.
 */

export class SeededRandom {
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: number) {
    this.#a = 0
    this.#b = seed | 0
    // Seeds beyond 32 bits differ too.
    this.#c = Math.floor(seed / 2 ** 32) | 0
    // Similar seeds begin alike; after these rounds they do not.
    for (let round = 0; round < 12; round++) this.uint32()
  }

  /** 0 .. 2³² − 1. */
  uint32(): number {
    const result = (((this.#a + this.#b) | 0) + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + result) | 0
    return result >>> 0
  }

  /** A whole number from 0 to `limit` − 1; `limit` is at most 2³². */
  below(limit: number): number {
    return Math.floor((this.uint32() / 2 ** 32) * limit)
  }

  /** At least 0, below 1. */
  fraction(): number {
    return this.uint32() / 2 ** 32
  }

  /** True with this probability, from 0 to 1. */
  chance(probability: number): boolean {
    return this.uint32() < probability * 2 ** 32
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length)
    for (let i = 0; i < length; i++) bytes[i] = this.uint32()
    return bytes
  }

  /** One of the items, of which there is at least one. */
  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError('pick needs at least one item')
    return items[this.below(items.length)] as T
  }
}
