/** Lists of numbers that grow, without an object per number. Their memory goes back when they are released. */

import { ownFloats, ownIntegers, release } from './memory.ts'

const FIRST_CAPACITY = 64

/** A list of doubles. */
export class GrowingFloats {
  #list: Float64Array
  #count = 0

  /** `capacity`: how many it will hold, where that is known; it can hold more. */
  constructor(capacity: number = FIRST_CAPACITY) {
    this.#list = ownFloats(Math.max(1, capacity))
  }

  push(value: number): void {
    if (this.#count === this.#list.length) {
      const larger = ownFloats(this.#count * 2)
      larger.set(this.#list)
      release(this.#list)
      this.#list = larger
    }
    this.#list[this.#count++] = value
  }

  /** Takes the last one away; there must be one. */
  pop(): number {
    return this.#list[--this.#count]!
  }

  get count(): number {
    return this.#count
  }

  /** The list itself: the first `count` are in it, the rest is room. Not to be added to any more. */
  get memory(): Float64Array {
    return this.#list
  }
}

/** A list of 32-bit integers without sign. */
export class GrowingIntegers {
  #list: Uint32Array
  #count = 0

  /** `capacity`: how many it will hold, where that is known; it can hold more. */
  constructor(capacity: number = FIRST_CAPACITY) {
    this.#list = ownIntegers(Math.max(1, capacity))
  }

  push(value: number): void {
    if (this.#count === this.#list.length) {
      const larger = ownIntegers(this.#count * 2)
      larger.set(this.#list)
      release(this.#list)
      this.#list = larger
    }
    this.#list[this.#count++] = value
  }

  get count(): number {
    return this.#count
  }

  /** The list itself: the first `count` are in it, the rest is room. Not to be added to any more. */
  get memory(): Uint32Array {
    return this.#list
  }
}
