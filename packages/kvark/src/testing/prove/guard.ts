/**
 * Watches what is done to input that nobody can trust: how long it takes, what it allocates, and which errors come.
 *
 *   guarded(most, act) ─► error, if any ─► only `KvarkError`, and none that hides another
 */

import assert from 'node:assert/strict'
import { KvarkError } from '../../errors.ts'

const MIB = 1024 * 1024
const LONGEST_MS = 1000
const TRIES = 3
/** Buffers are asked for by these. */
const ALLOCATORS = ['alloc', 'allocUnsafe', 'allocUnsafeSlow'] as const

export interface Guarded {
  readonly error: KvarkError | undefined
  readonly ms: number
  /** The largest buffer that was asked for. */
  readonly largest: number
}

/** The most that may be allocated at once for files of so many bytes. */
export function mostFor(bytes: number): number {
  return 2 * bytes + 16 * MIB
}

/** It took over a second. */
export class TookLong extends Error {}

/**
 * `guarded`, up to three times while it takes too long: a machine that has other work may have had no time for it, but what is to blame
 * on the input takes as long each time. `act` has to do the same each time.
 */
export function guardedAgain(most: number, act: () => void): Guarded {
  for (let tried = 1; ; tried++) {
    try {
      return guarded(most, act)
    } catch (error) {
      if (!(error instanceof TookLong) || tried === TRIES) throw error
    }
  }
}

/** Runs `act`, which may fail with a `KvarkError`; fails where it takes over a second or asks for a buffer of more than `most` bytes. */
export function guarded(most: number, act: () => void): Guarded {
  const originals = ALLOCATORS.map((name) => [name, Buffer[name]] as const)
  let largest = 0
  for (const [name, original] of originals) {
    const counted = (size: number, ...rest: []): Buffer => {
      if (size > largest) largest = size
      // Not even tried: it may be more than the machine has.
      if (size > most) throw new RangeError(`a buffer of ${size} bytes was asked for`)
      return original.call(Buffer, size, ...rest)
    }
    Object.assign(Buffer, { [name]: counted })
  }
  const start = performance.now()
  let error: KvarkError | undefined
  try {
    act()
  } catch (thrown) {
    error = asHonest(thrown)
  } finally {
    for (const [name, original] of originals) Object.assign(Buffer, { [name]: original })
  }
  const ms = performance.now() - start
  assert.ok(largest <= most, `a buffer of ${largest} bytes was asked for`)
  if (ms >= LONGEST_MS) throw new TookLong(`it took ${Math.round(ms)} ms`)
  return { error, ms, largest }
}

/** The error as a `KvarkError` that is meant; anything else is thrown, also when it was wrapped as `IO`. */
export function asHonest(error: unknown): KvarkError {
  if (!(error instanceof KvarkError)) throw error
  if (error.code !== 'IO' || error.errno !== undefined) return error
  throw error.cause instanceof Error ? error.cause : error
}
