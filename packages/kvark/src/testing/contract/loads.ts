/** Contract, chapter 16: entries that are loaded in the order of their keys. */

import assert from 'node:assert/strict'
import { KvarkError } from '../../errors.ts'
import { bytes, collect, content, pattern, rejects, throws, turn } from './check.ts'
import type { AnyStore, BytesStore, Case, Chapter } from './place.ts'

type Pair = [string, string]

/** Keys are numbers of five digits. */
function key(i: number): string {
  return String(i).padStart(5, '0')
}

/** `count` entries from number `from` on, each `step` behind the one before. */
function pairs(from: number, count: number, step = 1): Pair[] {
  return Array.from({ length: count }, (_, i) => [key(from + i * step), `value ${from + i * step}`])
}

/** All of them, in the order of their keys. */
function pairsOf(all: ReadonlyMap<string, string>): Pair[] {
  return [...all].sort(([a], [b]) => (a < b ? -1 : 1))
}

/** A source that tells whether it was closed. */
function watched<T>(entries: Iterable<T>): Iterable<T> & { closed: boolean } {
  const source = {
    closed: false,
    *[Symbol.iterator](): Generator<T> {
      try {
        yield* entries
      } finally {
        source.closed = true
      }
    },
  }
  return source
}

async function* awaited<T>(entries: Iterable<T>): AsyncGenerator<T> {
  for (const entry of entries) {
    await turn()
    yield entry
  }
}

/** Both forms of the verb refuse it and leave nothing. */
async function refused(
  db: AnyStore,
  code: KvarkError['code'],
  entries: Iterable<unknown>,
): Promise<KvarkError> {
  const before = await content(db)
  const { sequence } = db.stats()
  for (const again of [false, true]) {
    const source = watched(entries as Iterable<Pair>)
    if (again) throws(code, () => db.loadSync(source))
    else await rejects(code, () => db.load(source))
    assert.equal(source.closed, true)
    assert.deepEqual(await content(db), before)
    assert.equal(db.stats().sequence, sequence)
  }
  return throws(code, () => db.loadSync(entries as Iterable<Pair>))
}

const whole: readonly Case[] = [
  {
    name: 'a load goes to the table that it is asked of, made with its first entry',
    needs: ['order'],
    async run(place) {
      const db = await place.open()
      db.putSync('00500', 'of the root')
      const table = db.table('loaded')
      await table.load([])
      assert.deepEqual(db.tables(), [])
      await table.load(pairs(0, 1000))
      assert.deepEqual(
        db.tables().map(({ name }) => name),
        ['loaded'],
      )
      db.table('other', { values: 'bytes' }).loadSync([['a', bytes('b')]])
      assert.deepEqual(await content(db), { '00500': 'of the root' })
      assert.deepEqual(await collect(table.entries()), pairs(0, 1000))
      await rejects('CONFLICT', () => table.load(pairs(999, 2)))
      await rejects('NOT_FOUND', async () => {
        await db.dropTable('loaded')
        await table.load(pairs(0, 10))
      })
      await db.close()
      const again = await place.open()
      assert.equal(again.table('loaded').countSync(), 0)
      assert.deepEqual(again.table('other', { values: 'bytes' }).getSync('a'), bytes('b'))
    },
  },
  {
    name: 'all entries are there, with one version, whatever they come from',
    needs: ['order'],
    async run(place) {
      const db = await place.open()
      const versions: number[] = []
      versions.push(await db.load(pairs(0, 500)))
      versions.push(await db.load(new Map(pairs(1000, 3))))
      versions.push(db.loadSync(watched(pairs(2000, 500))))
      versions.push(await db.load(awaited(pairs(3000, 20))))
      assert.deepEqual(versions, [1, 2, 3, 4])
      const all = [...pairs(0, 500), ...pairs(1000, 3), ...pairs(2000, 500), ...pairs(3000, 20)]
      const check = async (store: AnyStore): Promise<void> => {
        assert.deepEqual(await collect(store.entries()), all)
        assert.deepEqual(
          await collect(store.keys({ reverse: true })),
          all.map(([k]) => k).reverse(),
        )
        assert.equal(await store.count({ gte: key(100), lt: key(1001) }), 401)
        assert.equal((await store.getEntry(key(499)))!.version, 1)
        assert.deepEqual(store.getEntrySync(key(2001)), {
          value: 'value 2001',
          version: 3,
          expiresAt: undefined,
        })
        assert.equal(store.stats().entries, all.length)
        assert.deepEqual((await store.verify()).problems, [])
      }
      await check(db)
      await db.close()
      const again = await place.open()
      await check(again)
      assert.equal(await again.put(key(100), 'other'), 5)
      assert.equal(await again.delete(key(101)), 6)
      assert.equal(await again.count(), all.length - 1)
    },
  },
  {
    name: 'before, between and behind what is there, and next to it',
    needs: ['order'],
    async run(place) {
      const db = await place.open({ durability: 'none' })
      const all = new Map<string, string>()
      const load = async (entries: Pair[]): Promise<void> => {
        await db.load(entries)
        for (const [k, value] of entries) all.set(k, value)
        assert.deepEqual(await collect(db.entries()), pairsOf(all))
      }
      for (const [k, value] of pairs(1000, 60, 100)) {
        await db.put(k, value)
        all.set(k, value)
      }
      await load(pairs(0, 999))
      await load(pairs(7000, 1500))
      await load(pairs(999, 1))
      await load(pairs(1001, 99))
      await load(pairs(3050, 1))
      await load(pairs(6901, 99))
      await db.clear({ gte: key(2000), lt: key(5000) })
      for (const k of all.keys()) if (k >= key(2000) && k < key(5000)) all.delete(k)
      await load(pairs(2000, 3000))
    },
  },
  {
    name: 'long keys and long values are loaded, too',
    needs: ['order'],
    async run(place) {
      const db = await place.openBytes()
      const { keyBytes } = db.limits
      const lengths = [0, 1, 100, 1000, 5000, 40_000, 700_000]
      const entries = lengths.map((length, i): [Uint8Array, Uint8Array] => {
        const k = bytes(`key ${i} ${'.'.repeat(Math.min(length, keyBytes - 10))}${i}`)
        return [k, pattern(lengths[lengths.length - 1 - i]!, i)]
      })
      await db.load(entries.slice(0, 4))
      db.loadSync(entries.slice(4))
      const check = (store: BytesStore): void => {
        for (const [k, value] of entries) {
          assert.ok(Buffer.from(store.getSync(k)!).equals(value), `value of ${value.length} bytes`)
        }
        assert.equal(store.countSync(), entries.length)
      }
      check(db)
      await db.close()
      const again = await place.openBytes()
      check(again)
      assert.deepEqual((await again.verify()).problems, [])
      await again.delete(entries[3]![0])
      await again.clear()
      assert.equal(await again.count(), 0)
    },
  },
  {
    name: 'what has expired in the range gives way',
    needs: ['order'],
    async run(place) {
      const db = await place.open()
      const expiresAt = place.environment.now() - 1
      for (const i of [3, 10, 500, 501]) await db.put(key(i), 'over'.repeat(i * 10), { expiresAt })
      await db.put(key(700), 'there')
      await db.load(pairs(10, 492))
      const check = async (store: AnyStore): Promise<void> => {
        assert.deepEqual(await collect(store.entries()), [...pairs(10, 492), [key(700), 'there']])
        assert.equal(await store.count(), 493)
        assert.deepEqual((await store.verify()).problems, [])
      }
      await check(db)
      await db.close()
      await check(await place.open())
    },
  },
  {
    name: 'nothing is written where nothing comes',
    needs: ['order'],
    async run(place) {
      const db = await place.open()
      const version = await db.put('a', '1')
      assert.equal(await db.load([]), version)
      assert.equal(db.loadSync(new Map()), version)
      assert.equal(db.stats().sequence, version)
      assert.deepEqual(await content(db), { a: '1' })
    },
  },
  {
    name: 'nobody sees anything of it before its end, and others write meanwhile',
    needs: ['order', 'snapshots'],
    async run(place) {
      const db = await place.open()
      await db.put(key(5000), 'there')
      const snapshot = db.snapshot()
      let other = 0
      function* source(): Generator<Pair> {
        for (const [i, pair] of pairs(0, 3000).entries()) {
          if (i === 2500) {
            assert.equal(db.getSync(key(0)), undefined)
            assert.equal(db.countSync(), 1 + other)
          }
          if (i % 1000 === 999) db.putSync(key(9000 + ++other), 'other')
          yield pair
        }
      }
      for (const awaits of [true, false]) {
        const before = db.stats().sequence
        const version = awaits ? await db.load(source()) : db.loadSync(source())
        assert.ok(version > before + 3)
        assert.equal(db.stats().sequence, version)
        assert.equal(db.getEntrySync(key(0))!.version, version)
        assert.equal(db.getEntrySync(key(2999))!.version, version)
        assert.equal(db.countSync({ lt: key(9000) }), 3001)
        assert.equal(await db.put(key(9999), 'behind'), version + 1)
        assert.deepEqual(await content(snapshot), { [key(5000)]: 'there' })
        await db.clear({ lt: key(5000) })
        await db.clear({ gt: key(5000) })
        other = 0
      }
      snapshot.close()
    },
  },
  {
    name: 'progress hears how many have come',
    needs: ['order'],
    async run(place) {
      const db = await place.open({ durability: 'none' })
      const heard: [number, number][] = []
      const progress = (done: number, total: number): void => void heard.push([done, total])
      const entries = pairs(0, 2000).map(([k]): Pair => [k, 'v'.repeat(400)])
      await db.load(entries, { progress })
      assert.ok(heard.length > 0)
      for (const [done, total] of heard) assert.ok(done > 0 && done <= total && total === 2000)
    },
  },
]

const refusals: readonly Case[] = [
  {
    name: 'keys that do not ascend are refused, by their position',
    needs: ['order'],
    async run(place) {
      const db = await place.open()
      await db.put('zzz', 'there')
      const a = pairs(0, 500)
      const twice = await refused(db, 'INVALID_ARGUMENT', [...a, [key(499), 'again']])
      assert.match(twice.message, /Entry 500 of the load has the same key/)
      const back = await refused(db, 'INVALID_ARGUMENT', [...a, [key(3), 'x'], ...pairs(500, 9)])
      assert.match(back.message, /Entry 500 of the load belongs before/)
      await refused(db, 'INVALID_ARGUMENT', [
        ['ab', '1'],
        ['a', '2'],
      ])
      await refused(db, 'INVALID_ARGUMENT', [
        ['é', '1'],
        ['z', '2'],
      ])
      await db.load(
        [
          ['', '0'],
          ['a', '1'],
          ['ab', '2'],
          ['b', '3'],
          ['z', '4'],
          ['é', '5'],
        ].slice(0, 5) as Pair[],
      )
      assert.equal(await db.count(), 6)
    },
  },
  {
    name: 'so is what is no pair, no key or no value',
    needs: ['order'],
    async run(place) {
      const db = await place.open()
      await db.put('a', 'there')
      for (const wrong of [1, undefined, null, 'ab', {}, ['k'], ['k', 'v', 'w']]) {
        const error = await refused(db, 'INVALID_ARGUMENT', [['b', '1'], wrong])
        assert.match(error.message, /Entry 1 of the load must be \[key, value\]/)
      }
      await refused(db, 'INVALID_KEY', [
        ['b', '1'],
        [1, '2'],
      ])
      await refused(db, 'INVALID_KEY', [
        ['b', '1'],
        ['c'.repeat(db.limits.keyBytes + 1), '2'],
      ])
      await refused(db, 'INVALID_VALUE', [
        ['b', '1'],
        ['c', 2],
      ])
      await refused(db, 'INVALID_VALUE', [
        ['b', '1'],
        ['c', '\ud800'],
      ])
      for (const wrong of [undefined, null, 1, 'ab', {}]) {
        await rejects('INVALID_ARGUMENT', () => db.load(wrong as never))
        throws('INVALID_ARGUMENT', () => db.loadSync(wrong as never))
      }
      throws('INVALID_ARGUMENT', () => db.loadSync(awaited(pairs(0, 1)) as never))
      for (const wrong of [
        1,
        { durabilty: 'os' },
        { durability: 'no' },
        { signal: 1 },
        { progress: 1 },
      ]) {
        await rejects('INVALID_ARGUMENT', () => db.load([], wrong as never))
        throws('INVALID_ARGUMENT', () => db.loadSync([], wrong as never))
      }
      assert.deepEqual(await content(db), { a: 'there' })
    },
  },
  {
    name: 'an entry between the first key and the last is a conflict',
    needs: ['order'],
    async run(place) {
      const db = await place.open()
      await db.load(pairs(1000, 1000, 2))
      for (const [from, count] of [
        [1000, 1],
        [999, 2],
        [2998, 1],
        [2998, 3],
        [0, 1001],
        [0, 5000],
        [1501, 3],
      ] as const) {
        const error = await refused(db, 'CONFLICT', pairs(from, count))
        assert.match(error.message, /clear that range first/)
      }
      await db.load(pairs(1501, 1))
      await db.load(pairs(2999, 10))
      await db.load(pairs(0, 1000))
      await db.delete(key(1502))
      await db.load(pairs(1502, 2))
      assert.equal(await db.count(), 1000 + 1 + 10 + 1000 + 1)
      // What was written meanwhile counts, too.
      function* source(): Generator<Pair> {
        yield* pairs(5000, 5)
        db.putSync(key(5003), 'mine')
      }
      await rejects('CONFLICT', () => db.load(source()))
      assert.equal(await db.get(key(5000)), undefined)
      assert.equal(await db.get(key(5003)), 'mine')
    },
  },
  {
    name: 'an error of the source is passed on, and leaves nothing',
    needs: ['order'],
    async run(place) {
      const db = await place.open()
      await db.put('a', 'there')
      const own = new Error('own')
      function* failing(): Generator<Pair> {
        yield* pairs(0, 3000)
        throw own
      }
      const isOwn = (error: unknown): boolean => error === own
      await assert.rejects(db.load(failing()), isOwn)
      await assert.rejects(db.load(awaited(failing())), isOwn)
      assert.throws(() => db.loadSync(failing()), isOwn)
      assert.deepEqual(await content(db), { a: 'there' })
      await db.load(pairs(0, 10))
      assert.equal(await db.count(), 11)
    },
  },
  {
    name: 'an aborted load leaves nothing',
    needs: ['order'],
    async run(place) {
      const db = await place.open()
      const reason = new Error('enough')
      const isReason = (error: unknown): boolean => error === reason
      const aborted = AbortSignal.abort(reason)
      await assert.rejects(db.load(pairs(0, 3), { signal: aborted }), isReason)
      assert.throws(() => db.loadSync(pairs(0, 3), { signal: aborted }), isReason)
      const controller = new AbortController()
      const { signal } = controller
      const source = watched(
        (function* endless(): Generator<Pair> {
          for (let i = 0; ; i++) {
            if (i === 5000) controller.abort(reason)
            yield [String(i).padStart(10, '0'), 'value']
          }
        })(),
      )
      await assert.rejects(db.load(source, { signal }), isReason)
      assert.equal(source.closed, true)
      // A source that never gives anything.
      const never = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) }
      const waiting = new AbortController()
      const load = db.load(never, { signal: waiting.signal })
      await turn()
      waiting.abort(reason)
      await assert.rejects(load, isReason)
      assert.equal(await db.count(), 0)
    },
  },
  {
    name: 'a store that is closed meanwhile does not wait for the source',
    needs: ['order'],
    async run(place) {
      const db = await place.open()
      await db.put('a', 'there')
      const never = {
        async *[Symbol.asyncIterator](): AsyncGenerator<Pair> {
          yield* pairs(0, 3000)
          await new Promise(() => {})
        },
      }
      const load = rejects('CLOSED', () => db.load(never))
      await turn()
      await db.close()
      await load
      await rejects('CLOSED', () => db.load(pairs(0, 1)))
      throws('CLOSED', () => db.loadSync(pairs(0, 1)))
      const again = await place.open()
      const cut = rejects('CLOSED', () => again.load(awaited(pairs(0, 100))))
      await turn()
      again.closeSync()
      await cut
      const last = await place.open()
      assert.deepEqual(await content(last), { a: 'there' })
      assert.throws(
        () =>
          last.loadSync(
            (function* closing(): Generator<Pair> {
              yield* pairs(0, 100)
              last.closeSync()
            })(),
          ),
        (error) => error instanceof KvarkError && error.code === 'CLOSED',
      )
    },
  },
  {
    name: 'a store that was opened to read only refuses it, and so does an engine without order',
    async run(place) {
      const db = await place.open()
      if (!db.supports.order) {
        await rejects('UNSUPPORTED', () => db.load(pairs(0, 1)))
        throws('UNSUPPORTED', () => db.loadSync(pairs(0, 1)))
        return
      }
      await db.load(pairs(0, 3))
      await db.close()
      const reader = await place.open({ readOnly: true })
      await rejects('READ_ONLY', () => reader.load(pairs(5, 1)))
      throws('READ_ONLY', () => reader.loadSync(pairs(5, 1)))
      assert.equal(await reader.count(), 3)
    },
  },
]

export const loads: Chapter = { name: 'loads', cases: [...whole, ...refusals] }
