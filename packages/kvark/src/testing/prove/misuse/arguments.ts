/**
 * verb × wrong argument: keys, values, options, and what has the wrong shape.
 */

import type { Limits } from '../../../engine/facts.ts'
import {
  ARGUMENT,
  FINE,
  type Misuse,
  type Must,
  promises,
  readCalls,
  refused,
  type Verbs,
  valueCalls,
  withCursor,
  withSnapshot,
  writeCalls,
} from './case.ts'
import * as wrong from './values.ts'
import { OWN, throwOwn, type Wrong } from './values.ts'

export function* wrongKeys(): Generator<Misuse> {
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

export function* wrongValues(): Generator<Misuse> {
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

export function* wrongOptions(): Generator<Misuse> {
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

export function* wrongShapes(): Generator<Misuse> {
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
