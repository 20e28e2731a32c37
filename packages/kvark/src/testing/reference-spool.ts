/**
 * How the reference engine takes in long values: in memory, like everything it has.
 */

import type { Spool } from '../engine/spool.ts'
import type { Environment } from '../environment/environment.ts'
import type { Routine } from '../environment/routine.ts'

export class ReferenceSpool implements Spool {
  length = 0
  readonly #environment: Environment
  readonly #parts: Uint8Array[] = []

  constructor(environment: Environment) {
    this.#environment = environment
  }

  /** The whole value. */
  get bytes(): Uint8Array {
    return Buffer.concat(this.#parts)
  }

  *append(source: Uint8Array, from: number, to: number): Routine<void> {
    this.#parts.push(Buffer.from(source.subarray(from, to)))
    this.length += to - from
    yield* this.#environment.pause
  }

  *finish(): Routine<void> {
    yield* this.#environment.pause
  }

  *discard(): Routine<void> {
    this.#parts.length = 0
    yield* this.#environment.pause
  }
}
