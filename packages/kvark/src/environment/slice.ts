/**
 * Long work in memory is cut into slices, so that the event loop is never held for long.
 */

import type { Environment } from './environment.ts'

/** How long one slice may hold the event loop, for somebody who waits, and in the background. */
const SLICE_MS = 4
const BACKGROUND_MS = 2
/** The clock is read once in so many short steps. */
const STEPS_PER_LOOK = 64

export class Slice {
  readonly #environment: Pick<Environment, 'monotonic'>
  readonly #ms: number
  readonly #stepsPerLook: number
  #steps = 0
  #start: number

  constructor(
    environment: Pick<Environment, 'monotonic'>,
    ms: number = SLICE_MS,
    stepsPerLook: number = STEPS_PER_LOOK,
  ) {
    this.#environment = environment
    this.#ms = ms
    this.#stepsPerLook = stepsPerLook
    this.#start = environment.monotonic()
  }

  /** Of work in the background, whose steps take long. */
  static ofBackground(environment: Pick<Environment, 'monotonic'>): Slice {
    return new Slice(environment, BACKGROUND_MS, 1)
  }

  /** Counts a step; whether it is time for `environment.pause`. */
  over(): boolean {
    if (++this.#steps % this.#stepsPerLook !== 0) return false
    const now = this.#environment.monotonic()
    if (now - this.#start < this.#ms) return false
    this.#start = now
    return true
  }

  /** There has been a pause. */
  begin(): void {
    this.#start = this.#environment.monotonic()
  }
}
