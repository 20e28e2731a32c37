/**
 * Every verb with what it should not be given, when it should not be called, and from where it should not be called: one table,
 * made from a few.
 *
 *   verb × wrong argument ─┐
 *   verb × closed ─────────┼──► a case: its name, the stores it uses, and what must come of it
 *   place × verb ──────────┘
 */

import type { Limits } from '../../engine/facts.ts'
import type { ErrorCode } from '../../errors.ts'
import { describe, describeSync, destroy, destroySync, rekey, rekeySync } from '../../index.ts'
import { layerMisuses } from './misuse-layer.ts'
import * as wrong from './misuse-values.ts'
import { OWN, throwOwn, type Wrong } from './misuse-values.ts'

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

const FINE: Must = { codes: [] }
const ARGUMENT: Must = { codes: ['INVALID_ARGUMENT'] }
const CLOSED: Must = { codes: ['CLOSED'] }
const PROXY_CODES: readonly ErrorCode[] = ['INVALID_KEY', 'INVALID_VALUE', 'INVALID_ARGUMENT']

/** What must be refused with `code`; what cannot even be looked at may say so itself. */
function refused(code: ErrorCode, what: string): Must {
  return what.includes('cannot be told') || what.includes('refuses everything')
    ? { codes: PROXY_CODES, own: true }
    : { codes: [code] }
}

type Call = (target: Verbs, key: unknown, value: unknown) => unknown
type Calls = Readonly<Record<string, Call>>

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

function promises(verb: string): boolean {
  return !/Sync\b/.test(verb) && !PLAIN.has(verb)
}

/** A verb with a key, and what else it needs. */
function byKey(verb: string, ...rest: readonly unknown[]): Call {
  return (target, key) => target[verb]!(key, ...rest)
}

const readCalls: Calls = {
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

const valueCalls: Calls = {
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

const writeCalls: Calls = {
  ...valueCalls,
  ...deleteCalls,
  // Of this every codec makes something.
  putStream: (target, key) => target['putStream']!(key, [Buffer.from('"streamed"')]),
}

function withSnapshot(db: Verbs, act: (snapshot: Verbs) => unknown): unknown {
  return closing(db['snapshot']!() as Verbs, act)
}

function withCursor(ground: Ground, walk: string, act: (cursor: Verbs) => unknown): unknown {
  return closing(ground.db('utf8')[walk]!() as Verbs, act)
}

/** Closes it when `act`, or what that promises, has ended. */
function closing(one: Verbs, act: (one: Verbs) => unknown): unknown {
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
function rightLiveOptions(db: Verbs): object {
  return (db as { readonly engine: unknown }).engine === 'log'
    ? { segmentBytes: 65_536 }
    : { checkpointBytes: 65_536 }
}

function* wrongKeys(): Generator<Misuse> {
  for (const kind of ['utf8', 'bytes', 'tuple'] as const) {
    const keys: Readonly<Record<string, (db: Verbs) => unknown>> = {
      ...wrong.wrongKeys[kind],
      'a key that is too long': (db) => longKey(kind, longest(db) + 1),
      'a key that is far too long': (db) => longKey(kind, 4 * longest(db)),
    }
    for (const [what, make] of Object.entries(keys)) {
      for (const [verb, call] of Object.entries({ ...readCalls, ...writeCalls })) {
        yield {
          name: `${kind}: ${verb} with a key: ${what}`,
          must: refused('INVALID_KEY', what),
          promises: promises(verb),
          act: (ground) => {
            const db = ground.db(kind)
            return call(db, make(db), ground.value(kind))
          },
        }
      }
      for (const [verb, call] of Object.entries(readCalls)) {
        yield {
          name: `${kind}: snapshot.${verb} with a key: ${what}`,
          must: refused('INVALID_KEY', what),
          promises: promises(verb),
          act: (ground) => {
            const db = ground.db(kind)
            return withSnapshot(db, (snapshot) => call(snapshot, make(db), undefined))
          },
        }
      }
    }
    for (const less of [0, 1]) {
      for (const [verb, call] of Object.entries({ ...readCalls, ...writeCalls })) {
        yield {
          name: `${kind}: ${verb} with a key of ${less === 0 ? 'as many bytes as it may have' : 'one byte less'}`,
          must: FINE,
          promises: promises(verb),
          act: (ground) => {
            const db = ground.db(kind)
            return call(db, longKey(kind, longest(db) - less), ground.value(kind))
          },
        }
      }
    }
  }
}

/** The most bytes that a key may have. */
function longest(db: Verbs): number {
  return (db as unknown as { readonly limits: Limits }).limits.keyBytes
}

/** A key that takes `length` bytes. */
function longKey(kind: 'utf8' | 'bytes' | 'tuple', length: number): unknown {
  if (kind === 'bytes') return new Uint8Array(length)
  // The tuple's string has a byte before and one behind.
  return kind === 'utf8' ? 'k'.repeat(length) : ['k'.repeat(length - 2)]
}

function* wrongValues(): Generator<Misuse> {
  for (const kind of ['utf8', 'bytes', 'tuple'] as const) {
    for (const [what, make] of Object.entries(wrong.wrongValues[kind])) {
      for (const [verb, call] of Object.entries(valueCalls)) {
        yield {
          name: `${kind}: ${verb} with a value: ${what}`,
          must: refused('INVALID_VALUE', what),
          promises: promises(verb),
          act: (ground) => call(ground.db(kind), ground.key(kind), make()),
        }
      }
    }
  }
  const throwing: Wrong = {
    'an object whose toJSON throws': () => ({ toJSON: throwOwn }),
    'an object whose field throws': () =>
      Object.defineProperty({}, 'a', { get: throwOwn, enumerable: true }),
    'a proxy whose keys throw': () => new Proxy({}, { ownKeys: throwOwn }),
  }
  for (const [what, make] of Object.entries(throwing)) {
    for (const [verb, call] of Object.entries(valueCalls)) {
      yield {
        name: `tuple: ${verb} with a value: ${what}`,
        must: { codes: ['INVALID_VALUE'], own: true },
        promises: promises(verb),
        act: (ground) => call(ground.db('tuple'), ground.key('tuple'), make()),
      }
    }
  }
  for (const [what, make] of Object.entries(wrong.oddBytes)) {
    for (const [verb, call] of Object.entries({ ...readCalls, ...writeCalls })) {
      yield {
        name: `bytes: ${verb} with odd bytes: ${what}`,
        must: FINE,
        promises: promises(verb),
        act: (ground) => call(ground.db('bytes'), make(), make()),
      }
    }
  }
}

function* wrongOptions(): Generator<Misuse> {
  const calls: [verb: string, options: Wrong, call: (db: Verbs, options: unknown) => unknown][] = []
  for (const verb of ['put', 'putSync', 'set', 'setSync']) {
    calls.push([verb, wrong.wrongWriteOptions, (db, options) => db[verb]!('a', 'b', options)])
  }
  for (const verb of ['delete', 'deleteSync', 'del', 'delSync']) {
    calls.push([verb, wrong.wrongWriteOptions, (db, options) => db[verb]!('a', options)])
  }
  calls.push([
    'putStream',
    wrong.wrongWriteOptions,
    (db, options) => db['putStream']!('a', [new Uint8Array(1)], options),
  ])
  for (const verb of ['batch', 'batchSync']) {
    const put = [{ type: 'put', key: 'a', value: 'b' }]
    calls.push([verb, wrong.wrongBatchOptions, (db, options) => db[verb]!(put, options)])
  }
  for (const verb of ['clear', 'clearSync']) {
    calls.push([verb, wrong.wrongBatchOptions, (db, options) => db[verb]!(options)])
  }
  for (const verb of ['compact', 'compactSync', 'verify', 'verifySync', 'inspect', 'inspectSync']) {
    calls.push([verb, wrong.wrongJobOptions, (db, options) => db[verb]!(options)])
  }
  for (const verb of ['backup', 'backupSync']) {
    calls.push([verb, wrong.wrongJobOptions, (db, options) => db[verb]!('/copy', options)])
    calls.push([`${verb} to`, wrong.wrongPaths, (db, to) => db[verb]!(to)])
  }
  calls.push(['watch', wrong.wrongWatchOptions, (db, options) => db['watch']!(options)])
  calls.push(['configure', wrong.wrongLiveOptions, (db, options) => db['configure']!(options)])
  for (const [verb, options, call] of calls) {
    for (const [what, make] of Object.entries(options)) {
      yield {
        name: `${verb} with options: ${what}`,
        must: ARGUMENT,
        promises: promises(verb),
        act: (ground) => call(ground.db('utf8'), make()),
      }
    }
  }
  for (const verb of ['entries', 'keys', 'values', 'count', 'countSync']) {
    for (const [what, make] of Object.entries(wrong.wrongScanOptions)) {
      const scan = (target: Verbs): unknown => {
        const walked = target[verb]!(make()) as Verbs
        // A token is read when the walk begins.
        return verb.startsWith('count') ? walked : walked['nextManySync']!(1)
      }
      yield {
        name: `${verb} with options: ${what}`,
        must: ARGUMENT,
        promises: promises(verb),
        act: (ground) => scan(ground.db('utf8')),
      }
      yield {
        name: `snapshot.${verb} with options: ${what}`,
        must: ARGUMENT,
        promises: promises(verb),
        act: (ground) => withSnapshot(ground.db('utf8'), scan),
      }
    }
    for (const name of ['gt', 'gte', 'lt', 'lte', 'prefix', 'reverse']) {
      yield {
        name: `${verb} of a range: ${name}`,
        must: { codes: ['UNSUPPORTED'], may: true },
        promises: promises(verb),
        act: (ground) => {
          const walked = ground.db('utf8')[verb]!({ [name]: name === 'reverse' ? true : 'a' })
          // A cursor that was given is closed again; the others give numbers.
          if (!verb.startsWith('count')) (walked as Verbs)['close']!()
          return walked
        },
      }
    }
  }
  for (const verb of ['clear', 'clearSync']) {
    for (const name of ['gt', 'gte', 'lt', 'lte', 'prefix']) {
      // What is there stays for the other cases.
      yield {
        name: `${verb} of a range: ${name}`,
        must: { codes: ['UNSUPPORTED'], may: true },
        promises: promises(verb),
        act: (ground) => ground.own()[verb]!({ [name]: 'a' }),
      }
    }
  }
  for (const verb of ['first', 'firstSync', 'last', 'lastSync']) {
    yield {
      name: `${verb} without order`,
      must: { codes: ['UNSUPPORTED'], may: true },
      promises: promises(verb),
      act: (ground) => ground.db('utf8')[verb]!(),
    }
  }
  for (const verb of ['put', 'putSync', 'delete', 'deleteSync', 'batch', 'batchSync']) {
    for (const second of ['disc', undefined, null, 7]) {
      const changing = (): object => {
        let asked = 0
        const get = (): unknown => (asked++ % 2 === 0 ? 'os' : second)
        return Object.defineProperty({}, 'durability', { get, enumerable: true })
      }
      yield {
        name: `${verb} with a durability that is ${second} when it is asked again`,
        must: { codes: ['INVALID_ARGUMENT'], may: true },
        promises: promises(verb),
        act: (ground) => {
          const db = ground.db('utf8')
          if (verb.startsWith('batch')) return db[verb]!([], changing())
          return verb.startsWith('put')
            ? db[verb]!('a', 'b', changing())
            : db[verb]!('a', changing())
        },
      }
    }
    yield {
      name: `${verb} with options that throw`,
      must: { codes: [], own: true },
      promises: promises(verb),
      act: (ground) => {
        const options = Object.defineProperty({}, 'durability', { get: throwOwn, enumerable: true })
        const db = ground.db('utf8')
        if (verb.startsWith('batch')) return db[verb]!([], options)
        return verb.startsWith('put') ? db[verb]!('a', 'b', options) : db[verb]!('a', options)
      },
    }
  }
}

function* wrongShapes(): Generator<Misuse> {
  for (const verb of ['batch', 'batchSync']) {
    const give = (name: string, must: Must, operations: () => unknown): Misuse => ({
      name: `${verb} of ${name}`,
      must,
      promises: promises(verb),
      act: (ground) => ground.db('utf8')[verb]!(operations()),
    })
    for (const [what, make] of Object.entries(wrong.noIterables)) yield give(what, ARGUMENT, make)
    for (const [what, make] of Object.entries(wrong.wrongOperations)) {
      yield give(`an operation: ${what}`, ARGUMENT, () => [make()])
      const good = { type: 'put', key: 'lost', value: 'lost' }
      yield give(`a good operation and one: ${what}`, ARGUMENT, () => [good, make()])
    }
    const own: Must = { codes: [], own: true }
    yield give('an iterable that throws', own, () => ({ [Symbol.iterator]: throwOwn }))
    yield give('an iterable whose next throws', own, () => ({
      [Symbol.iterator]: () => ({ next: throwOwn }),
    }))
    yield give('an iterable that throws in the middle', own, function* () {
      yield { type: 'put', key: 'lost', value: 'lost' }
      throwOwn()
    })
    yield give('an operation whose key throws', own, () => [
      Object.defineProperty({ type: 'put', value: 'b' }, 'key', { get: throwOwn }),
    ])
    yield give('nothing', FINE, () => [])
  }
  for (const verb of ['getMany', 'getManySync']) {
    const give = (name: string, must: Must, keys: () => unknown): Misuse => ({
      name: `${verb} of ${name}`,
      must,
      promises: promises(verb),
      act: (ground) => ground.db('utf8')[verb]!(keys()),
    })
    for (const [what, make] of Object.entries(wrong.noIterables)) yield give(what, ARGUMENT, make)
    yield give('a set', ARGUMENT, () => new Set(['a']))
    yield give('an iterator', ARGUMENT, () => ['a'].values())
    yield give('holes', { codes: ['INVALID_KEY'] }, () => new Array(3))
    yield give('a hole behind a key', { codes: ['INVALID_KEY'] }, () =>
      Object.assign(['a'], { length: 3 }),
    )
    yield give('more holes than memory', { codes: ['INVALID_KEY'] }, () => new Array(2 ** 32 - 1))
    yield give('an array that throws', { codes: [], own: true }, () => {
      return Object.defineProperty(['a'], 0, { get: throwOwn })
    })
    yield give('nothing', FINE, () => [])
  }
  for (const [what, make] of Object.entries(wrong.wrongSources)) {
    yield {
      name: `putStream of ${what}`,
      must: ARGUMENT,
      promises: true,
      act: (ground) => ground.db('utf8')['putStream']!('a', make()),
    }
  }
  for (const [what, make] of Object.entries(wrong.noBytes)) {
    for (const [how, pieces] of Object.entries({
      'a piece': () => [make()],
      'a second piece': () => [new Uint8Array(9), make()],
      'an awaited piece': async function* () {
        yield make()
      },
      'a piece of a long value': () => [new Uint8Array(2 ** 21), make()],
    })) {
      // To wait for it is to look at it.
      if (how === 'an awaited piece' && what.includes('revoked')) continue
      yield {
        name: `putStream of ${how}: ${what}`,
        must: refused('INVALID_VALUE', what),
        promises: true,
        act: (ground) => ground.db('utf8')['putStream']!('a', pieces()),
      }
    }
  }
  const bad: Readonly<Record<string, () => unknown>> = {
    'whose iterator throws': () => ({ [Symbol.asyncIterator]: throwOwn }),
    'whose next throws': () => ({ [Symbol.asyncIterator]: () => ({ next: throwOwn }) }),
    'whose next rejects': () => ({
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(OWN) }),
    }),
    'that throws in the middle': async function* () {
      yield new Uint8Array(5)
      throwOwn()
    },
    'that throws when it is long': async function* () {
      yield new Uint8Array(2 ** 21 + 1)
      throwOwn()
    },
    'that is an errored stream': () => new ReadableStream({ start: (one) => one.error(OWN) }),
  }
  for (const [what, make] of Object.entries(bad)) {
    yield {
      name: `putStream of a source ${what}`,
      must: { codes: [], own: true },
      promises: true,
      act: (ground) => ground.db('utf8')['putStream']!('a', make()),
    }
  }
  for (const [what, make] of Object.entries(wrong.noIterables)) {
    if (what === 'a function') continue
    yield {
      name: `viewSync with a callback: ${what}`,
      must: ARGUMENT,
      promises: false,
      act: (ground) => ground.db('utf8')['viewSync']!('key', make()),
    }
  }
  for (const walk of ['entries', 'keys', 'values']) {
    for (const verb of ['nextMany', 'nextManySync']) {
      for (const [what, make] of Object.entries(wrong.wrongCounts)) {
        yield {
          name: `${verb} of ${walk}: ${what}`,
          must: ARGUMENT,
          promises: promises(verb),
          act: (ground) => withCursor(ground, walk, (cursor) => cursor[verb]!(make())),
        }
      }
    }
    for (const verb of ['next', 'nextSync', 'nextMany', 'nextManySync', 'return', 'close']) {
      yield {
        name: `${verb} of closed ${walk}`,
        must: FINE,
        promises: promises(verb) && verb !== 'close',
        act: (ground) => {
          const cursor = ground.db('utf8')[walk]!() as Verbs
          cursor['close']!()
          cursor['close']!()
          return cursor[verb]!(1)
        },
      }
    }
    for (const verb of ['nextSync', 'nextManySync']) {
      yield {
        name: `${verb} of ${walk} while a promised step runs`,
        must: { codes: ['INVALID_ARGUMENT'], may: true },
        promises: false,
        act: (ground) =>
          withCursor(ground, walk, async (cursor) => {
            const running = cursor['nextMany']!(2) as Promise<unknown>
            try {
              return cursor[verb]!(1)
            } finally {
              await running
            }
          }),
      }
    }
    yield {
      name: `seek of ${walk} without order`,
      must: { codes: ['UNSUPPORTED'], may: true },
      promises: false,
      act: (ground) => withCursor(ground, walk, (cursor) => cursor['seek']!('a')),
    }
    yield {
      name: `${walk} that are left in the middle`,
      must: FINE,
      promises: false,
      act: (ground) => {
        for (const _ of ground.db('utf8')[walk]!() as Iterable<unknown>) break
      },
    }
    yield {
      name: `${walk} whose loop throws`,
      must: { codes: [], own: true },
      promises: false,
      act: (ground) => {
        for (const _ of ground.db('utf8')[walk]!() as Iterable<unknown>) throwOwn()
      },
    }
  }
}

/** Every verb once more, well called. */
const everyCall: Calls = {
  ...readCalls,
  ...writeCalls,
  clear: (db) => db['clear']!(),
  clearSync: (db) => db['clearSync']!(),
  snapshot: (db) => db['snapshot']!(),
  watch: (db) => db['watch']!(),
  entries: (db) => db['entries']!(),
  keys: (db) => db['keys']!(),
  values: (db) => db['values']!(),
  count: (db) => db['count']!(),
  countSync: (db) => db['countSync']!(),
  sync: (db) => db['sync']!(),
  syncSync: (db) => db['syncSync']!(),
  resume: (db) => db['resume']!(),
  resumeSync: (db) => db['resumeSync']!(),
  compact: (db) => db['compact']!(),
  compactSync: (db) => db['compactSync']!(),
  verify: (db) => db['verify']!(),
  verifySync: (db) => db['verifySync']!(),
  inspect: (db) => db['inspect']!(),
  inspectSync: (db) => db['inspectSync']!(),
  backup: (db) => db['backup']!('/copy'),
  backupSync: (db) => db['backupSync']!('/copy'),
  stats: (db) => db['stats']!(),
  configure: (db) => db['configure']!(rightLiveOptions(db)),
}

function* closed(): Generator<Misuse> {
  for (const how of ['close', 'closeSync'] as const) {
    const close = async (db: Verbs): Promise<void> => {
      await db[how]!()
    }
    for (const [verb, call] of Object.entries(everyCall)) {
      yield {
        name: `${verb} after ${how}`,
        must: CLOSED,
        promises: promises(verb),
        act: (ground) => {
          const db = ground.own()
          return afterwards(close(db), () => call(db, 'key', 'value'), promises(verb))
        },
      }
    }
    for (const [verb, call] of Object.entries(everyCall)) {
      yield {
        name: `${verb} while ${how} is under way`,
        must: { codes: ['CLOSED'], may: false },
        promises: promises(verb),
        act: (ground) => {
          const db = ground.own()
          void close(db)
          return call(db, 'key', 'value')
        },
      }
    }
    for (const again of ['close', 'closeSync'] as const) {
      yield {
        name: `${again} after ${how}`,
        must: FINE,
        promises: false,
        act: async (ground) => {
          const db = ground.own()
          await close(db)
          await db[again]!()
          await Promise.all([db[again]!(), db['close']!()])
        },
      }
    }
    for (const [verb, call] of Object.entries({
      ...readCalls,
      entries: everyCall['entries']!,
    })) {
      yield {
        name: `snapshot.${verb} after ${how} of the store`,
        must: CLOSED,
        promises: promises(verb),
        act: (ground) => {
          const db = ground.own()
          const snapshot = db['snapshot']!() as Verbs
          return afterwards(close(db), () => call(snapshot, 'key', 'value'), promises(verb))
        },
      }
    }
    for (const verb of ['next', 'nextSync', 'nextMany', 'nextManySync']) {
      yield {
        name: `${verb} of a cursor after ${how} of the store`,
        must: { codes: ['CLOSED'], may: true },
        promises: promises(verb),
        act: (ground) => {
          const db = ground.own()
          const cursor = db['entries']!() as Verbs
          return afterwards(close(db), () => cursor[verb]!(1), promises(verb))
        },
      }
    }
    yield {
      name: `a stream that is read after ${how} of the store`,
      must: { codes: ['CLOSED'], may: true },
      promises: true,
      act: async (ground) => {
        const db = ground.own()
        const stream = (await db['getStream']!('key')) as ReadableStream<Uint8Array>
        await close(db)
        for await (const _ of stream);
      },
    }
  }
  for (const [verb, call] of Object.entries({
    ...readCalls,
    entries: everyCall['entries']!,
    keys: everyCall['keys']!,
    values: everyCall['values']!,
    count: everyCall['count']!,
    countSync: everyCall['countSync']!,
  })) {
    yield {
      name: `${verb} of a closed snapshot`,
      must: CLOSED,
      promises: promises(verb),
      act: (ground) => {
        const snapshot = ground.db('utf8')['snapshot']!() as Verbs
        snapshot['close']!()
        snapshot['close']!()
        return call(snapshot, 'key', 'value')
      },
    }
  }
}

/** What a verb that promises must not throw, also when the call comes later. */
async function afterwards(
  first: Promise<void>,
  act: () => unknown,
  promising: boolean,
): Promise<unknown> {
  await first
  if (!promising) return act()
  let promise: unknown
  try {
    promise = act()
  } catch (error) {
    throw new TypeError('it throws, but should reject', { cause: error })
  }
  return await promise
}

/** Places in which code of the caller's runs, each with a store that it may call again. */
const places: Readonly<Record<string, (ground: Ground, act: (db: Verbs) => unknown) => unknown>> = {
  'the callback of viewSync': (ground, act) => {
    const db = ground.db('utf8')
    return db['viewSync']!('key', () => act(db))
  },
  'the callback of viewSync of a snapshot': (ground, act) => {
    const db = ground.db('utf8')
    return withSnapshot(db, (snapshot) => snapshot['viewSync']!('key', () => act(db)))
  },
  'the operations of batchSync': (ground, act) => {
    const db = ground.db('utf8')
    return db['batchSync']!(
      (function* () {
        yield { type: 'put', key: 'a', value: '1' }
        act(db)
        yield { type: 'put', key: 'b', value: '2' }
      })(),
    )
  },
  'the operations of batch': (ground, act) => {
    const db = ground.db('utf8')
    return db['batch']!(
      (function* () {
        yield { type: 'put', key: 'a', value: '1' }
        act(db)
        yield { type: 'delete', key: 'b' }
      })(),
    )
  },
  'the options of a write': (ground, act) => {
    const db = ground.db('utf8')
    const options = {
      get durability() {
        act(db)
        return 'os'
      },
    }
    return db['putSync']!('a', 'b', options)
  },
  'the loop of a walk': (ground, act) => {
    const db = ground.db('utf8')
    for (const _ of db['entries']!() as Iterable<unknown>) {
      act(db)
      break
    }
  },
  'the awaited loop of a walk': async (ground, act) => {
    const db = ground.db('utf8')
    for await (const _ of db['keys']!() as AsyncIterable<unknown>) {
      await act(db)
      break
    }
  },
  'the source of putStream': async (ground, act) => {
    const db = ground.db('utf8')
    await db['putStream']!(
      'a',
      (async function* () {
        yield new Uint8Array(3)
        await act(db)
        yield new Uint8Array(3)
      })(),
    )
  },
  'the progress of verifySync': (ground, act) => {
    const db = ground.db('utf8')
    return db['verifySync']!({ progress: once(() => act(db)) })
  },
  'the progress of compactSync': (ground, act) => {
    const db = ground.db('utf8')
    return db['compactSync']!({ progress: once(() => act(db)) })
  },
  'encode of a put': (ground, act) => {
    const db = ground.db('custom')
    ground.during(() => act(db))
    return db['putSync']!('a', 'b')
  },
  'encode of a get': (ground, act) => {
    const db = ground.db('custom')
    ground.during(() => act(db))
    return db['getSync']!('key')
  },
  'encode and decode of a getMany': (ground, act) => {
    const db = ground.db('custom')
    ground.during(() => act(db))
    return db['getManySync']!(['key', 'a', 'key'])
  },
  'decode of a walk': (ground, act) => {
    const db = ground.db('custom')
    const cursor = db['entries']!() as Verbs
    ground.during(() => act(db))
    const found = cursor['nextManySync']!(3)
    cursor['close']!()
    return found
  },
  'the loop of a watch': async (ground, act) => {
    const db = ground.db('utf8')
    const watch = db['watch']!() as Verbs
    db['putSync']!('a', 'b', { durability: 'os' })
    for await (const _ of watch as unknown as AsyncIterable<unknown>) {
      await act(db)
      break
    }
  },
}

function once(act: () => unknown): () => void {
  let done = false
  return () => {
    if (done) return
    done = true
    act()
  }
}

const within: Readonly<Record<string, (db: Verbs) => unknown>> = {
  getSync: (db) => db['getSync']!('key'),
  getManySync: (db) => db['getManySync']!(['a', 'key']),
  hasSync: (db) => db['hasSync']!('a'),
  viewSync: (db) => db['viewSync']!('key', (bytes: unknown) => (bytes as Uint8Array).length),
  countSync: (db) => db['countSync']!(),
  putSync: (db) => db['putSync']!('a', 'within'),
  'putSync of the key': (db) => db['putSync']!('key', 'value'),
  'putSync at disk': (db) => db['putSync']!('b', 'within', { durability: 'disk' }),
  deleteSync: (db) => db['deleteSync']!('b'),
  batchSync: (db) => db['batchSync']!([{ type: 'put', key: 'c', value: 'within' }]),
  put: (db) => void db['put']!('a', 'later'),
  get: (db) => void db['get']!('key'),
  syncSync: (db) => db['syncSync']!(),
  compactSync: (db) => db['compactSync']!(),
  verifySync: (db) => db['verifySync']!(),
  inspectSync: (db) => db['inspectSync']!(),
  stats: (db) => db['stats']!(),
  configure: (db) => db['configure']!(rightLiveOptions(db)),
  'a snapshot': (db) => (db['snapshot']!() as Verbs)['close']!(),
  'a walk': (db) => [...(db['entries']!() as Iterable<unknown>)],
  'a wrong key': (db) => {
    try {
      db['getSync']!(Symbol('a'))
    } catch {
      // It is refused, and what goes on around it does not hear of it.
    }
  },
}

function* reentrancy(): Generator<Misuse> {
  for (const [place, enter] of Object.entries(places)) {
    for (const [what, act] of Object.entries(within)) {
      yield {
        name: `in ${place}: ${what}`,
        // One compaction in another one is refused, and an error of the callback ends the outer one; a tree compacts itself within, too.
        must:
          what === 'compactSync' && place.endsWith(what)
            ? { codes: ['COMPACTION_FAILED'], may: true }
            : FINE,
        promises: false,
        act: (ground) => enter(ground, act),
      }
    }
    const turned: readonly ErrorCode[] = /code of/.test(place)
      ? ['INVALID_KEY', 'INVALID_VALUE', 'DECODE']
      : ['COMPACTION_FAILED']
    const changes = /code of|compact/.test(place)
    yield {
      name: `in ${place}: an error of the caller’s`,
      // Of a compaction the log says that it failed, and why; the tree passes the error on, as all do in `verify`.
      must: {
        codes: changes ? turned : [],
        own: !changes || /compact/.test(place),
      },
      promises: false,
      act: (ground) => enter(ground, throwOwn),
    }
  }
}

function* opening(): Generator<Misuse> {
  for (const how of ['sync', 'awaited'] as const) {
    const promising = how === 'awaited'
    for (const [what, make] of Object.entries(wrong.wrongPaths)) {
      yield {
        name: `open ${how} at a path: ${what}`,
        must: ARGUMENT,
        promises: promising,
        act: (ground) => ground.open(how, make(), { environment: ground.environment }),
      }
    }
    for (const [what, make] of Object.entries(wrong.wrongOpenOptions)) {
      for (const place of ['/none', '/utf8']) {
        yield {
          name: `open ${how} of ${place} with options: ${what}`,
          must: { codes: ['INVALID_ARGUMENT'] },
          promises: promising,
          act: (ground) => {
            const options = make()
            const isPlain =
              typeof options === 'object' && options !== null && !Array.isArray(options)
            return ground.open(
              how,
              place,
              isPlain ? { environment: ground.environment, ...options } : options,
            )
          },
        }
      }
    }
    yield {
      name: `open ${how} of a store that is open`,
      must: { codes: ['LOCKED'] },
      promises: promising,
      act: (ground) => {
        ground.own()
        return ground.open(how, '/own', { environment: ground.environment })
      },
    }
  }
  const beside: Readonly<Record<string, (path: unknown, options: unknown) => unknown>> = {
    describe: describe as Verb,
    describeSync: describeSync as Verb,
    destroy: destroy as Verb,
    destroySync: destroySync as Verb,
    rekey: rekey as unknown as Verb,
    rekeySync: rekeySync as unknown as Verb,
  }
  const secrets = { encryption: { passphrase: 'a' }, to: { passphrase: 'b' } }
  for (const [verb, call] of Object.entries(beside)) {
    const good = (ground: Ground): object => ({
      environment: ground.environment,
      ...(verb.startsWith('rekey') && secrets),
    })
    for (const [what, make] of Object.entries(wrong.wrongPaths)) {
      yield {
        name: `${verb} of a path: ${what}`,
        must: ARGUMENT,
        promises: promises(verb),
        act: (ground) => call(make(), good(ground)),
      }
    }
    const options: Wrong = {
      null: () => null,
      text: () => 'a',
      'a number': () => 1,
      'an array': () => [],
      'an environment that is none': () => ({ ...secrets, environment: {} }),
      'an environment that is text': () => ({ ...secrets, environment: 'memory' }),
      'an option that is misspelt': () => ({ ...secrets, enviroment: {} }),
    }
    for (const [what, make] of Object.entries(options)) {
      yield {
        name: `${verb} with options: ${what}`,
        must: ARGUMENT,
        promises: promises(verb),
        act: () => call('/none', make()),
      }
    }
    yield {
      name: `${verb} where there is nothing`,
      must: { codes: ['NOT_FOUND'] },
      promises: promises(verb),
      act: (ground) => call('/none', good(ground)),
    }
    if (verb.startsWith('describe')) continue
    yield {
      name: `${verb} of a store that is open`,
      must: { codes: ['LOCKED', 'MISMATCH'] },
      promises: promises(verb),
      act: (ground) => call('/utf8', good(ground)),
    }
    if (!verb.startsWith('rekey')) continue
    for (const name of ['encryption', 'to']) {
      for (const [i, secret] of [
        undefined,
        null,
        'a',
        {},
        [],
        { key: 'a' },
        { passphrase: '' },
      ].entries()) {
        yield {
          name: `${verb} with '${name}', wrong way ${i}`,
          must: ARGUMENT,
          promises: promises(verb),
          act: (ground) => call('/none', { ...good(ground), [name]: secret }),
        }
      }
    }
  }
}

/** All of them, in an order that stays. */
export const misuses: readonly Misuse[] = [
  ...wrongKeys(),
  ...wrongValues(),
  ...wrongOptions(),
  ...wrongShapes(),
  ...closed(),
  ...reentrancy(),
  ...opening(),
  ...layerMisuses(),
]
