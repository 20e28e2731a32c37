/**
 * Changes of one entry by what it is: `update`, `increment`, `getOrPut`. Built on a conditional write of one key, so that every engine has
 * them.
 *
 *   read ─► entry, its version ─► the new value ─► write, if the key still has that version ─┬─► done
 *    ▲                                                                                       │
 *    └────────────────────── others have written the key meanwhile: up to `attempts` times ──┘
 *
 * 1. What is in memory is read and written in one step: then nothing can come between. A schema that takes its time is waited for in the
 *    middle, as the caller's function is.
 * 2. The entry keeps its expiry, unless the caller says otherwise.
 */

import { isUint8Array } from 'node:util/types'
import { Effect, type Routine } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import {
  abandon,
  checkDurability,
  checkNames,
  checkObject,
  invalid,
  isPromise,
  show,
} from './arguments.ts'
import type { Entry, Expiry, UpdateOptions } from './call-types.ts'
import { copyOf } from './codecs/bytes.ts'
import { checkExpiry } from './expiry.ts'
import type { InternalCodec } from './internal-codec.ts'
import { Checked, cannotWait, SchemaCodec } from './schema.ts'

/** How often something is tried that others can upset, in all. */
const ATTEMPTS = 100

const UPDATE_NAMES: readonly string[] = ['durability', 'ttl', 'expiresAt', 'attempts']
/** A number as JSON writes it. */
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/

/** Where an entry is read and written. */
export interface Cell<V> {
  readonly values: InternalCodec<V>
  /** Waits for what the caller's function has promised, as long as the store is open. */
  wait<T>(promised: PromiseLike<T>): Promise<T>
  read(): Routine<Entry<V> | undefined>
  /** Puts `value`, or removes the entry (`undefined`), if it still is `entry`; else false. */
  write(value: V | undefined, entry: Entry<V> | undefined, expiry: Expiry): Routine<boolean>
}

export function checkUpdateOptions(options: UpdateOptions | undefined): void {
  if (options === undefined) return
  checkObject(options, 'The options of an update')
  checkNames(options, UPDATE_NAMES, 'An update')
  if (options.durability !== undefined) checkDurability(options.durability)
  // Also where nothing comes to be written, and before the caller's function runs.
  checkExpiry(options)
}

/** The option `attempts`. */
export function attemptsOf(options: { readonly attempts?: number } | undefined): number {
  const { attempts = ATTEMPTS } = options ?? {}
  if (Number.isSafeInteger(attempts) && attempts >= 1) return attempts
  throw invalid(`The option 'attempts' must be a whole number from 1, not ${show(attempts)}.`)
}

export function* update<V>(
  cell: Cell<V>,
  change: (value: V | undefined) => V | undefined,
  options: UpdateOptions | undefined,
): Routine<V | undefined> {
  if (typeof change !== 'function') throw invalid(`update needs a function, not ${show(change)}.`)
  const attempts = attemptsOf(options)
  for (let n = 0; n < attempts; n++) {
    const entry = yield* cell.read()
    const value = change(entry?.value)
    if (isPromise(value)) {
      abandon(value)
      throw invalid(
        'The function of update has given a promise, so nothing was written. Let it give the value, or use a transaction.',
      )
    }
    if (value === undefined && entry === undefined) return undefined
    const made = value === undefined ? undefined : yield* fitted(cell, value)
    if (yield* cell.write(made, entry, expiryOfUpdate(entry, options))) return plain(made)
  }
  throw upset(attempts)
}

export function* increment<V>(
  cell: Cell<V>,
  by: number | undefined,
  options: UpdateOptions | undefined,
): Routine<number> {
  if (by !== undefined && !Number.isFinite(by)) {
    throw invalid(`increment adds a finite number, not ${show(by)}.`)
  }
  const { name } = cell.values
  if (name === 'bytes') {
    throw invalid(
      "Bytes are no number. Keep counters in a table with the codec 'utf8' or 'json' for values.",
    )
  }
  const isText = name === 'utf8'
  let sum = 0
  const add = (value: V | undefined): V => {
    sum = added(value, by ?? 1, isText)
    return (isText ? String(sum) : sum) as V
  }
  const written = yield* update(cell, add, options)
  // A schema may have made another number of the sum.
  const stored = isText ? numberOf(written) : written
  return typeof stored === 'number' ? stored : sum
}

export function* getOrPut<V>(
  cell: Cell<V>,
  value: V | (() => V | Promise<V>),
  options: UpdateOptions | undefined,
): Routine<V> {
  const attempts = attemptsOf(options)
  // Bytes are the caller's, who may use them again while this waits.
  const own = isUint8Array(value) ? (copyOf(value, 'value') as V) : value
  let made: { readonly value: V } | undefined
  for (let n = 0; n < attempts; n++) {
    const entry = yield* cell.read()
    if (entry !== undefined) return entry.value
    made ??= { value: yield* given(cell, own) }
    // Not awaited since the reading, unless it was the first time: the write knows.
    if (yield* cell.write(made.value, undefined, options ?? {})) return plain(made.value)
  }
  throw upset(attempts)
}

/** What getOrPut is to store. */
function* given<V>(cell: Cell<V>, value: V | (() => V | Promise<V>)): Routine<V> {
  const result = yield* settled(cell, isFunction(value) ? value() : value)
  if (result === undefined) {
    throw new KvarkError(
      'INVALID_VALUE',
      'getOrPut was to store undefined, which is how a missing key reads. Nothing was written: give a value, or let the function give one.',
    )
  }
  return yield* fitted(cell, result)
}

/** What is to be written for the value: what the schema makes of it, where there is one. */
function* fitted<V>(cell: Cell<V>, value: V): Routine<V> {
  const { values } = cell
  if (!(values instanceof SchemaCodec)) return value
  const checked = values.check(value)
  // It goes in in place of the value.
  if (checked instanceof Checked) return checked as V
  return yield* new Effect(
    () => {
      abandon(checked)
      throw cannotWait()
    },
    () => cell.wait(checked as Promise<V>),
  )
}

/** The value that was written. */
function plain<V>(written: V): V {
  return written instanceof Checked ? (written.value as V) : written
}

/** Awaited if need be. */
function* settled<V>(cell: Cell<V>, value: V | Promise<V>): Routine<V> {
  if (!isPromise(value)) return value
  return yield* new Effect(
    () => {
      abandon(value)
      throw invalid(
        'The function of getOrPutSync has given a promise, so nothing was written. Use getOrPut.',
      )
    },
    () => cell.wait(value),
  )
}

function isFunction<V>(value: V | (() => V | Promise<V>)): value is () => V | Promise<V> {
  return typeof value === 'function'
}

function added(value: unknown, by: number, isText: boolean): number {
  const number = value === undefined ? 0 : isText ? numberOf(value) : value
  if (typeof number !== 'number') {
    throw new KvarkError(
      'INVALID_VALUE',
      `increment found ${show(value)}, which is no number. Nothing was written: put a number first, or use another key.`,
      { expected: 'a number', found: value },
    )
  }
  const sum = number + by
  const isExact = Number.isSafeInteger(sum) || !Number.isInteger(number) || !Number.isInteger(by)
  if (Number.isFinite(sum) && isExact) return sum
  throw new KvarkError(
    'INVALID_VALUE',
    `The sum of ${number} and ${by} is beyond what numbers are exact for (±2^53). Nothing was written: count in another unit.`,
    { expected: Number.MAX_SAFE_INTEGER, found: sum },
  )
}

function numberOf(text: unknown): number | undefined {
  return typeof text === 'string' && NUMBER.test(text) ? Number(text) : undefined
}

function expiryOfUpdate<V>(
  entry: Entry<V> | undefined,
  options: UpdateOptions | undefined,
): Expiry {
  if (options?.ttl !== undefined || options?.expiresAt !== undefined) return options
  if (entry === undefined) return {}
  return entry.expiresAt === undefined ? { ttl: 'never' } : { expiresAt: entry.expiresAt }
}

function upset(attempts: number): KvarkError {
  return new KvarkError(
    'CONFLICT',
    `Others have written the key each time, ${attempts} times. Nothing was written: try it again later, or allow more with 'attempts'.`,
  )
}
