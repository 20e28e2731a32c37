/**
 * Who has taken what of a queue, until when; and who waits for something to take. In memory only.
 *
 *   take ─► lease ─┬─ end: acknowledged ──────────────────────► gone
 *                  ├─ release ────────────────┐
 *                  └─ its time is over ───────┴─► `from` goes back to it, and who waits looks again
 */

import type { Environment, Timer } from '../../environment/environment.ts'
import { Shared } from './collection.ts'

export interface Lease {
  readonly position: number
  /** Of the item. */
  readonly version: number
  /** By the monotonic clock. */
  until: number
}

export class Leases extends Shared {
  /** No item before it is free, as far as is known. */
  from: number = Number.NEGATIVE_INFINITY
  readonly #leases = new Map<number, Lease>()
  /** When the first of them may be over. */
  #first = Number.POSITIVE_INFINITY
  readonly #waiting = new Set<() => void>()

  has(position: number): boolean {
    return this.#leases.has(position)
  }

  /** Items have come, from this position on. */
  came(position: number): void {
    this.from = Math.min(this.from, position)
    this.#wake()
  }

  take(lease: Lease): void {
    this.#leases.set(lease.position, lease)
    this.#first = Math.min(this.#first, lease.until)
    this.from = lease.position + 1
  }

  renew(lease: Lease, now: number, until: number): boolean {
    if (this.#leases.get(lease.position) !== lease || lease.until <= now) return false
    lease.until = until
    // Who waits for another one to end looks at the time again.
    if (until < this.#first) this.#wake()
    this.#first = Math.min(this.#first, until)
    return true
  }

  /** The item is gone: whoever has it by now has nothing, for others may come to its position. Gives what he had. */
  end({ position, version }: Lease): Lease | undefined {
    const lease = this.#leases.get(position)
    if (lease?.version !== version) return undefined
    this.#leases.delete(position)
    return lease
  }

  /** The item is not gone after all. */
  restore(lease: Lease): void {
    if (this.#leases.has(lease.position)) return
    this.#leases.set(lease.position, lease)
    this.#first = Math.min(this.#first, lease.until)
  }

  release(lease: Lease): void {
    if (this.#leases.get(lease.position) !== lease) return
    this.#leases.delete(lease.position)
    this.changes++
    this.came(lease.position)
  }

  /** Lets go of those whose time is over. */
  expire(now: number): void {
    if (now < this.#first) return
    this.#first = Number.POSITIVE_INFINITY
    for (const lease of this.#leases.values()) {
      if (lease.until > now) this.#first = Math.min(this.#first, lease.until)
      else this.release(lease)
    }
  }

  override cleared(): void {
    super.cleared()
    this.#leases.clear()
    this.from = Number.NEGATIVE_INFINITY
  }

  override replaced(): void {
    this.cleared()
    this.#wake()
  }

  /** Until something may be there to be taken, or so many ms. Throws the signal's reason. */
  async wait(environment: Environment, ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const timers: Timer[] = []
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake)
        signal.removeEventListener('abort', wake)
        for (const timer of timers) timer.cancel()
        resolve()
      }
      this.#waiting.add(wake)
      signal.addEventListener('abort', wake)
      const left = Math.min(ms, this.#first - environment.monotonic())
      if (left < Number.POSITIVE_INFINITY) timers.push(environment.timer(Math.max(0, left), wake))
    })
    signal.throwIfAborted()
  }

  #wake(): void {
    for (const wake of this.#waiting) wake()
  }
}
