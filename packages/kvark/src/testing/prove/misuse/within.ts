/**
 * place × verb: code of the caller's, which a verb calls, calls the store again.
 */

import type { ErrorCode } from '../../../errors.ts'
import {
  FINE,
  type Ground,
  type Misuse,
  rightLiveOptions,
  type Verbs,
  withSnapshot,
} from './case.ts'
import { throwOwn } from './values.ts'

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

export function* reentrancy(): Generator<Misuse> {
  for (const [place, enter] of Object.entries(places)) {
    for (const [what, act] of Object.entries(within)) {
      yield {
        name: `in ${place}: ${what}`,
        // One compaction of a log in another one is refused, and an error of the callback ends the outer one; a tree compacts itself within, too.
        must:
          what === 'compactSync' && place.endsWith(what)
            ? { codes: ['INVALID_ARGUMENT'], may: true }
            : FINE,
        promises: false,
        act: (ground) => enter(ground, act),
      }
    }
    const turned: readonly ErrorCode[] = ['INVALID_KEY', 'INVALID_VALUE', 'DECODE']
    yield {
      name: `in ${place}: an error of the caller’s`,
      // What a codec throws is turned into what is wrong with key or value; all else comes through as it is.
      must: /code of/.test(place) ? { codes: turned } : { codes: [], own: true },
      promises: false,
      act: (ground) => enter(ground, throwOwn),
    }
  }
}
