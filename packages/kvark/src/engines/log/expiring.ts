/**
 * How many bytes of a segment belong to entries that will have expired by when, so that compaction hears of it without reading them.
 *
 *   end      12:00:05   12:00:09   12:03:00   …  at most 16          each: so many bytes end after the one before it, and by then
 *   bytes       4,100        950     81,000   …
 *
 * 1. An end is a whole second, not before that of any of its entries: what is counted as expired has expired.
 * 2. Where there would be more than 16, two neighbours become one that ends with the later: those between which the fewest bytes wait
 *    the shortest.
 * 3. What is overwritten or deleted first is taken out again (`remove`); which of two neighbours it is taken from may be wrong after
 *    they were put together, so figures are near, and never below 0.
 */

import { isU48 } from '../../bytes/varint.ts'

const MOST_ENDS = 16
const STEP_MS = 1000
const LATEST = 2 ** 48 - 1

/** As it is in the footer of a stored index, and comes from another thread. */
export interface ExpiringRecord {
  /** Up to then all has been counted. */
  readonly passed: number
  /** Nothing that waits expires before. */
  readonly first: number
  readonly ends: readonly (readonly [end: number, bytes: number])[]
}

export class Expiring {
  /** Rising. */
  readonly #ends: number[] = []
  readonly #bytes: number[] = []
  #passed = 0
  #first: number = LATEST

  /** Whether bytes are waiting. */
  get isEmpty(): boolean {
    return this.#ends.length === 0
  }

  /** Whether something that waits may have expired by then. */
  mayHave(clock: number): boolean {
    return !this.isEmpty && this.#first <= clock
  }

  /** So many bytes expire then. */
  add(expiry: number, bytes: number): void {
    if (expiry < this.#first) this.#first = expiry
    const end = Math.min(LATEST, Math.ceil(expiry / STEP_MS) * STEP_MS)
    const at = this.#at(end)
    if (this.#ends[at] === end) this.#bytes[at]! += bytes
    else {
      this.#ends.splice(at, 0, end)
      this.#bytes.splice(at, 0, bytes)
      if (this.#ends.length > MOST_ENDS) this.#shorten()
    }
  }

  /** They do not wait any more; false where they have been, or will be, taken as expired. */
  remove(expiry: number, bytes: number): boolean {
    if (expiry <= this.#passed) return false
    const at = this.#at(expiry)
    if (at < this.#ends.length) this.#bytes[at] = Math.max(0, this.#bytes[at]! - bytes)
    return true
  }

  /** Takes out what has expired by then; returns how many bytes these are. */
  take(clock: number): number {
    let taken = 0
    while (this.#ends.length > 0 && this.#ends[0]! <= clock) {
      this.#passed = Math.max(this.#passed, this.#ends.shift()!)
      taken += this.#bytes.shift()!
      this.#first = this.#passed
    }
    return taken
  }

  record(): ExpiringRecord {
    const ends = this.#ends.map((end, i) => [end, this.#bytes[i]!] as const)
    return { passed: this.#passed, first: this.#first, ends }
  }

  static from({ passed, first, ends }: ExpiringRecord): Expiring {
    const expiring = new Expiring()
    expiring.#passed = passed
    expiring.#first = first
    for (const [end, bytes] of ends) expiring.add(end, bytes)
    return expiring
  }

  /** The first end that is not before `time`. */
  #at(time: number): number {
    let at = this.#ends.length
    while (at > 0 && this.#ends[at - 1]! >= time) at--
    return at
  }

  #shorten(): void {
    let least = Number.POSITIVE_INFINITY
    let chosen = 0
    for (let i = 0; i + 1 < this.#ends.length; i++) {
      const wait = (this.#ends[i + 1]! - this.#ends[i]!) * this.#bytes[i]!
      if (wait >= least) continue
      least = wait
      chosen = i
    }
    this.#bytes[chosen + 1]! += this.#bytes[chosen]!
    this.#ends.splice(chosen, 1)
    this.#bytes.splice(chosen, 1)
  }
}

/** Whether something from a file can be a record. */
export function isExpiringRecord(value: unknown): value is ExpiringRecord {
  if (typeof value !== 'object' || value === null) return false
  const { passed, first, ends } = value as Partial<ExpiringRecord>
  return (
    isU48(passed) &&
    isU48(first) &&
    Array.isArray(ends) &&
    ends.length <= MOST_ENDS &&
    ends.every((one) => Array.isArray(one) && one.length === 2 && one.every(isU48))
  )
}
