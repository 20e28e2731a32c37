/**
 * Long work in memory is cut into slices, so that the event loop is never held for long.
 */

import type { Environment } from '../environment/environment.ts'

/** How long one slice may hold the event loop. */
const SLICE_MS = 4
/** The clock is read once in so many steps. */
const STEPS_PER_LOOK = 64

export class Slice {
  readonly #environment: Pick<Environment, 'monotonic'>
  #steps = 0
  #start: number

  constructor(environment: Pick<Environment, 'monotonic'>) {
    this.#environment = environment
    this.#start = environment.monotonic()
  }

  /** Counts a step; whether it is time for `environment.pause`. */
  over(): boolean {
    if (++this.#steps % STEPS_PER_LOOK !== 0) return false
    const now = this.#environment.monotonic()
    if (now - this.#start < SLICE_MS) return false
    this.#start = now
    return true
  }
}
