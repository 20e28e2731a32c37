/**
 * How the reference engine takes in entries in their order: in memory, like everything it has.
 */

import type { Load } from '../engine/load.ts'
import type { Environment } from '../environment/environment.ts'
import type { Routine } from '../environment/routine.ts'

/** There is something to do after so many entries. */
const BUSY_EVERY = 100

export class ReferenceLoad implements Load {
  bytes: Buffer = Buffer.alloc(0)
  readonly used = 0
  /** Keys and values, in their order. */
  readonly all: { readonly key: Buffer; readonly value: Buffer }[] = []
  readonly expiry: number
  readonly #environment: Environment
  #key: Buffer = this.bytes

  constructor(environment: Environment, expiry: number) {
    this.expiry = expiry
    this.#environment = environment
  }

  get entries(): number {
    return this.all.length
  }

  get busy(): boolean {
    return this.entries % BUSY_EVERY === 0
  }

  reserve(length: number): number {
    if (length > this.bytes.length) this.bytes = Buffer.alloc(length)
    return 0
  }

  key(key: Uint8Array, length: number): void {
    this.#key = Buffer.from(key.subarray(0, length))
  }

  value(length: number): void {
    this.all.push({ key: this.#key, value: Buffer.from(this.bytes.subarray(0, length)) })
  }

  *proceed(): Routine<void> {
    yield* this.#environment.pause
  }

  *finish(): Routine<void> {
    yield* this.#environment.pause
  }

  *discard(): Routine<void> {
    this.all.length = 0
    yield* this.#environment.pause
  }
}
