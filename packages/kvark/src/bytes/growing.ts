/** Lists of numbers that grow, without an object per number. */

/** A list of doubles. */
export class GrowingFloats {
  #list: Float64Array = new Float64Array(64)
  #count = 0

  push(value: number): void {
    if (this.#count === this.#list.length) {
      const larger = new Float64Array(this.#count * 2)
      larger.set(this.#list)
      this.#list = larger
    }
    this.#list[this.#count++] = value
  }

  get count(): number {
    return this.#count
  }

  /** The list itself: the first `count` are in it, the rest is room. Not to be added to any more. */
  get memory(): Float64Array {
    return this.#list
  }

  /** A copy of exactly what is in the list. */
  take(): Float64Array {
    return this.#list.slice(0, this.#count)
  }
}

/** A list of 32-bit integers without sign. */
export class GrowingIntegers {
  #list: Uint32Array = new Uint32Array(64)
  #count = 0

  push(value: number): void {
    if (this.#count === this.#list.length) {
      const larger = new Uint32Array(this.#count * 2)
      larger.set(this.#list)
      this.#list = larger
    }
    this.#list[this.#count++] = value
  }

  /** A copy of exactly what is in the list. */
  take(): Uint32Array {
    return this.#list.slice(0, this.#count)
  }
}
