/**
 * When an open store looks for entries that have expired, so that their space comes back without anybody asking:
 *
 *   open, a put with an expiry ─► interval ─► engine.expire() ─┬─ something may still expire ─► interval ─► …
 *                                                              └─ nothing ─► at rest, until the next such put
 *
 * 1. It goes by a fixed interval, not by the time at which the next entry ends: the machine's clock may jump.
 * 2. It never keeps the process alive, and ends with the store. A store that is open for reading has none.
 */

import type { Engine } from '../engine/engine.ts'
import type { Environment, Timer } from '../environment/environment.ts'

export class ExpiryTimer {
  readonly #environment: Environment
  /** `undefined`: nothing is to be done, ever. */
  #engine: Engine | undefined
  #intervalMs: number
  #timer: Timer | undefined

  /** `intervalMs` 0: it does not look. */
  constructor(environment: Environment, engine: Engine | undefined, intervalMs: number) {
    this.#environment = environment
    this.#engine = engine?.expire === undefined ? undefined : engine
    this.#intervalMs = intervalMs
    this.begin()
  }

  set intervalMs(ms: number) {
    this.#intervalMs = ms
    this.#timer?.cancel()
    this.#timer = undefined
    this.begin()
  }

  /** Something in the store may expire. */
  begin(): void {
    if (this.#timer !== undefined || this.#engine === undefined || this.#intervalMs === 0) return
    this.#timer = this.#environment.timer(this.#intervalMs, () => {
      this.#timer = undefined
      if (this.#engine?.expire?.()) this.begin()
    })
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#engine = undefined
  }
}
