/**
 * verb × closed: stores, snapshots and cursors that have been closed, or are closed meanwhile.
 */

import {
  type Calls,
  CLOSED,
  FINE,
  type Misuse,
  promises,
  readCalls,
  rightLiveOptions,
  type Verbs,
  writeCalls,
} from './case.ts'

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

export function* closed(): Generator<Misuse> {
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
