/**
 * Lets clients take turns in an order that comes from a seed: whoever waits for its turn goes on when it is drawn, and then the others
 * have theirs, in the middle of its transaction.
 */

import type { SeededRandom } from '../../bytes/random.ts'
import { turn } from '../contract/check.ts'

/** So many promises follow from one step at most, as a rule; more only means that the next client is drawn before. */
const STEPS = 12
/** How often files get their turn in between. */
const ROUND = 0.05

export class Scheduler {
  readonly #random: SeededRandom
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(random: SeededRandom) {
    this.#random = random
  }

  /** The end of the caller's turn; resolves when the next one comes: at once where no clients run. */
  turn(): Promise<void> {
    if (this.#running === 0) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** Runs the clients to their ends. The first failure is thrown. */
  async run(clients: readonly (() => Promise<void>)[]): Promise<void> {
    this.#running = clients.length
    const failures: unknown[] = []
    for (const client of clients) {
      void client()
        .catch((error: unknown) => failures.push(error))
        .finally(() => {
          this.#running--
        })
    }
    while (this.#running > 0) {
      for (let i = 0; i < STEPS; i++) await Promise.resolve()
      if (failures.length > 0) throw failures[0]
      if (this.#waiting.length === 0 || this.#random.chance(ROUND)) await turn()
      const next = this.#waiting.length === 0 ? 0 : this.#random.below(this.#waiting.length)
      this.#waiting.splice(next, 1)[0]?.()
    }
    if (failures.length > 0) throw failures[0]
  }
}
