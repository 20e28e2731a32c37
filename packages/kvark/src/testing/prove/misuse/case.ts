/**
 * What a case of misuse is, and how the verbs of a store are called.
 */

import type { ErrorCode } from '../../../errors.ts'

export type Verb = (...args: readonly unknown[]) => unknown
/** A store, snapshot or cursor, whatever it is called with. */
export type Verbs = Readonly<Record<string, Verb>>

/** Keys and values: text; bytes; tuples and JSON; of a codec of the caller's, which calls `during` and takes everything else. */
export type Kind = 'utf8' | 'bytes' | 'tuple' | 'custom'

/** Where a case happens. */
export interface Ground {
  /** The store of a kind, with an entry under `key`. */
  db(kind: Kind): Verbs
  /** A key of the kind that is there, and a value. */
  key(kind: Kind): unknown
  value(kind: Kind): unknown
  /** A store of its own, which may be closed; with text. */
  own(): Verbs
  /** Opens a store where there is none, or the one of `own`. */
  open(how: 'sync' | 'awaited', path: unknown, options: unknown): unknown
  /** What `encode` and `decode` of the caller's codec call first. */
  during(act: () => void): void
  readonly environment: unknown
}

/** What must come of it. */
export interface Must {
  /** Refused with one of these; empty: it must go well. */
  readonly codes: readonly ErrorCode[]
  /** It may go well, too. */
  readonly may?: boolean
  /** What code of the caller's has thrown may come through. */
  readonly own?: boolean
}

export interface Misuse {
  readonly name: string
  readonly must: Must
  /** The verb promises, so it must not throw. */
  readonly promises: boolean
  act(ground: Ground): unknown
}

export const FINE: Must = { codes: [] }
export const ARGUMENT: Must = { codes: ['INVALID_ARGUMENT'] }
export const CLOSED: Must = { codes: ['CLOSED'] }
const PROXY_CODES: readonly ErrorCode[] = ['INVALID_KEY', 'INVALID_VALUE', 'INVALID_ARGUMENT']

/** What must be refused with `code`; what cannot even be looked at may say so itself. */
export function refused(code: ErrorCode, what: string): Must {
  return what.includes('cannot be told') || what.includes('refuses everything')
    ? { codes: PROXY_CODES, own: true }
    : { codes: [code] }
}

export type Call = (target: Verbs, key: unknown, value: unknown) => unknown
export type Calls = Readonly<Record<string, Call>>

const PLAIN = new Set([
  'entries',
  'keys',
  'values',
  'snapshot',
  'watch',
  'stats',
  'configure',
  'close of',
])

export function promises(verb: string): boolean {
  return !/Sync\b/.test(verb) && !PLAIN.has(verb)
}

/** A verb with a key, and what else it needs. */
export function byKey(verb: string, ...rest: readonly unknown[]): Call {
  return (target, key) => target[verb]!(key, ...rest)
}

export const readCalls: Calls = {
  ...Object.fromEntries(
    ['get', 'getSync', 'getEntry', 'getEntrySync', 'has', 'hasSync'].map((verb) => [
      verb,
      byKey(verb),
    ]),
  ),
  getStream: (target, key) =>
    (target['getStream']!(key) as Promise<ReadableStream | undefined>).then((stream) =>
      stream?.cancel(),
    ),
  getMany: (target, key) => target['getMany']!([key]),
  getManySync: (target, key) => target['getManySync']!([key]),
  viewSync: (target, key) => target['viewSync']!(key, () => 1),
}

export const valueCalls: Calls = {
  ...Object.fromEntries(
    ['put', 'putSync', 'set', 'setSync'].map((verb): [string, Call] => [
      verb,
      (target, key, value) => target[verb]!(key, value),
    ]),
  ),
  batch: (target, key, value) => target['batch']!([{ type: 'put', key, value }]),
  batchSync: (target, key, value) => target['batchSync']!([{ type: 'put', key, value }]),
}

const deleteCalls: Calls = {
  ...Object.fromEntries(
    ['delete', 'deleteSync', 'del', 'delSync'].map((verb) => [verb, byKey(verb)]),
  ),
  'batch to delete': (target, key) => target['batch']!([{ type: 'delete', key }]),
  'batchSync to delete': (target, key) => target['batchSync']!([{ type: 'delete', key }]),
}

export const writeCalls: Calls = {
  ...valueCalls,
  ...deleteCalls,
  // Of this every codec makes something.
  putStream: (target, key) => target['putStream']!(key, [Buffer.from('"streamed"')]),
}

export function withSnapshot(db: Verbs, act: (snapshot: Verbs) => unknown): unknown {
  return closing(db['snapshot']!() as Verbs, act)
}

export function withCursor(ground: Ground, walk: string, act: (cursor: Verbs) => unknown): unknown {
  return closing(ground.db('utf8')[walk]!() as Verbs, act)
}

/** Closes it when `act`, or what that promises, has ended. */
export function closing(one: Verbs, act: (one: Verbs) => unknown): unknown {
  let result: unknown
  try {
    result = act(one)
  } catch (error) {
    one['close']!()
    throw error
  }
  if (result instanceof Promise) return result.finally(() => one['close']!())
  one['close']!()
  return result
}

/** What `configure` takes, by engine. */
export function rightLiveOptions(db: Verbs): object {
  return (db as { readonly engine: unknown }).engine === 'log'
    ? { segmentBytes: 65_536 }
    : { checkpointBytes: 65_536 }
}
