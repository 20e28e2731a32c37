/** Lists of numbers that grow, without an object per number. */

const FIRST_CAPACITY = 64

/** A list of doubles. */
export class GrowingFloats {
  #list: Float64Array
  #count = 0

  /** `capacity`: how many it will hold, where that is known; it can hold more. */
  constructor(capacity: number = FIRST_CAPACITY) {
    this.#list = new Float64Array(Math.max(1, capacity))
  }

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

  /** Exactly what is in the list. Not to be added to any more. */
  take(): Float64Array {
    return this.#count === this.#list.length ? this.#list : this.#list.slice(0, this.#count)
  }
}

/** A list of 32-bit integers without sign. */
export class GrowingIntegers {
  #list: Uint32Array
  #count = 0

  /** `capacity`: how many it will hold, where that is known; it can hold more. */
  constructor(capacity: number = FIRST_CAPACITY) {
    this.#list = new Uint32Array(Math.max(1, capacity))
  }

  push(value: number): void {
    if (this.#count === this.#list.length) {
      const larger = new Uint32Array(this.#count * 2)
      larger.set(this.#list)
      this.#list = larger
    }
    this.#list[this.#count++] = value
  }

  /** Exactly what is in the list. Not to be added to any more. */
  take(): Uint32Array {
    return this.#count === this.#list.length ? this.#list : this.#list.slice(0, this.#count)
  }
}
