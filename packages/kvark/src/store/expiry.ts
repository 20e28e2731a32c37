/**
 * What callers say of the end of an entry, as the time that engines keep: ms since 1970, 0 for never.
 *
 * 1. A `ttl` counts from the engine's clock, which never goes back: a machine's clock that was set back ends nothing before its time.
 * 2. What is said with the write decides; where nothing is said, the `ttl` of its table.
 * 3. A time that is over is none to refuse: the entry is written, replaces what was there, and is never seen. A caller whose clock is
 *    a little ahead of ours should not have to deal with an error for that.
 */

import type { KvarkError } from '../errors.ts'
import { invalid, show } from './arguments.ts'
import type { Expiry } from './call-types.ts'
import type { Core } from './core.ts'

/** What 48 bits hold: in the year 10889. */
const LATEST = 2 ** 48 - 1

/** How a caller says that there is no end. */
const NEVER = 'never'

/** When an entry ends for which this was asked; 0: never. */
export function expiryOf<K, V>(core: Core<K, V>, options: Expiry | undefined): number {
  if (options === undefined) return endOf(core, core.ttl)
  const { ttl, expiresAt } = options
  check(ttl, expiresAt)
  return expiresAt ?? endOf(core, ttl === undefined ? core.ttl : checkTtl(ttl))
}

/** Refuses what is no end of an entry, also where nothing comes to be written. */
export function checkExpiry(options: Expiry | undefined): void {
  check(options?.ttl, options?.expiresAt)
}

function check(ttl: unknown, expiresAt: unknown): void {
  if (ttl !== undefined) {
    if (expiresAt !== undefined) throw invalid("Give 'ttl' or 'expiresAt', not both.")
    checkTtl(ttl)
  }
  if (expiresAt === undefined) return
  if (!isWhole(expiresAt) || expiresAt < 1 || expiresAt > LATEST) {
    throw invalid(
      `'expiresAt' must be a whole number of milliseconds since 1970, from 1 to ${LATEST}, not ${show(expiresAt)}. Leave it out for an entry that does not expire.`,
    )
  }
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

/** How long an entry is to live, ms; 0: for ever. */
export function checkTtl(ttl: unknown): number {
  if (ttl === NEVER) return 0
  if (typeof ttl !== 'number' || !(ttl > 0) || ttl === Number.POSITIVE_INFINITY) {
    throw invalid(
      `'ttl' must be a number of milliseconds above 0, or '${NEVER}', not ${show(ttl)}. Leave it out for an entry that does not expire.`,
    )
  }
  if (ttl > LATEST) throw tooLate(ttl)
  return ttl
}

function endOf<K, V>(core: Core<K, V>, ttl: number): number {
  if (ttl === 0) return 0
  const end = Math.ceil(core.engine.clock + ttl)
  if (end > LATEST) throw tooLate(ttl)
  return end
}

function tooLate(ttl: number): KvarkError {
  return invalid(`'ttl' ends behind the year 10889: ${show(ttl)} ms are too many.`)
}
