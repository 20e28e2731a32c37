/**
 * Contract, chapter 10: entries that end, with a clock that the test moves. First the engine itself is asked, then the store.
 */

import assert from 'node:assert/strict'
import { DONE, REFUSED } from '../../engine/engine.ts'
import { DELETE, PUT } from '../../engine/write-batch.ts'
import { runSync } from '../../environment/routine.ts'
import { bytes, collect, rejects, throws } from './check.ts'
import type { AnyStore, Case, Chapter, Options, Place } from './place.ts'
import { openRaw, type RawEngine, SteppedEnvironment } from './raw-engine.ts'

const START = 1_700_000_000_000

function begin(place: Place): { db: RawEngine; clock: SteppedEnvironment } {
  const clock = new SteppedEnvironment(place.environment, START)
  return { db: openRaw(place, clock, true), clock }
}

async function openAt(
  place: Place,
  clock: SteppedEnvironment,
  options: Options = {},
): Promise<AnyStore> {
  return await place.open({ environment: clock, durability: 'os', ...options })
}

/** All the ways to ask for a key, each of which must say that it is not there. */
async function checkGone(db: AnyStore, key: string): Promise<void> {
  assert.equal(await db.get(key), undefined)
  assert.equal(db.getSync(key), undefined)
  assert.deepEqual(await db.getMany([key]), [undefined])
  assert.deepEqual(db.getManySync([key]), [undefined])
  assert.equal(await db.getEntry(key), undefined)
  assert.equal(await db.has(key), false)
  assert.equal(db.hasSync(key), false)
  assert.equal(
    db.viewSync(key, () => true),
    undefined,
  )
  assert.equal(await db.getStream(key), undefined)
  assert.ok(!(await collect(db.keys())).includes(key))
}

const cases: readonly Case[] = [
  {
    name: 'an entry ends at its time, for lookups and walks',
    run(place) {
      const { db, clock } = begin(place)
      db.put('a', '1', START + 100)
      db.put('b', '2', START + 200)
      db.put('c', '3', 0)
      assert.deepEqual(db.walk(), { a: '1', b: '2', c: '3' })
      clock.time = START + 99
      assert.equal(db.get('a'), '1')
      clock.time = START + 100
      assert.equal(db.get('a'), undefined)
      assert.deepEqual(db.walk(), { b: '2', c: '3' })
      clock.time = START + 1e12
      assert.deepEqual(db.walk(), { c: '3' })
      db.close()
    },
  },
  {
    name: 'the clock never goes back, also not over opening again',
    run(place) {
      const { db, clock } = begin(place)
      db.put('a', '1', START + 100)
      clock.time = START + 150
      assert.equal(db.get('a'), undefined)
      clock.time = START
      assert.equal(db.get('a'), undefined, 'what has ended stays so')
      db.put('b', '2', 0)
      db.close()
      const again = openRaw(place, clock, false)
      assert.deepEqual(again.walk(), { b: '2' })
      again.close()
    },
  },
  {
    name: 'an entry that has ended can be written again, and counts as absent',
    run(place) {
      const { db, clock } = begin(place)
      db.put('a', '1', START + 100)
      const version = db.engine.sequence
      clock.time = START + 100
      const put = { kind: PUT, key: 'a', value: '2' } as const
      assert.equal(db.write([{ ...put, expected: version }]), REFUSED)
      assert.equal(db.write([{ kind: DELETE, key: 'a' }]), DONE)
      assert.equal(db.engine.sequence, version, 'there was nothing to delete')
      assert.equal(db.write([{ ...put, expected: 0 }]), DONE)
      assert.deepEqual(db.walk(), { a: '2' })
      db.put('a', '3', START + 200)
      clock.time = START + 200
      db.put('a', '4', 0)
      clock.time = START + 500
      assert.equal(db.get('a'), '4', 'the new entry has no end')
      db.close()
    },
  },
  {
    name: 'compaction drops what has ended and keeps the rest',
    run(place) {
      const { db, clock } = begin(place)
      for (let i = 0; i < 300; i++) db.put(`key${i}`, 'x'.repeat(100), i % 3 === 0 ? 0 : START + i)
      clock.time = START + 150
      const before = db.walk()
      runSync(db.engine.compact(undefined, undefined))
      assert.deepEqual(db.walk(), before)
      assert.equal(Object.keys(before).length, 200, '100 without an end, 100 that end later')
      clock.time = START + 1000
      runSync(db.engine.compact(undefined, undefined))
      assert.equal(Object.keys(db.walk()).length, 100)
      db.close()
      const again = openRaw(place, clock, false)
      assert.equal(Object.keys(again.walk()).length, 100)
      again.close()
    },
  },
  {
    name: 'a snapshot keeps its clock',
    needs: ['snapshots'],
    run(place) {
      const { db, clock } = begin(place)
      db.put('a', '1', START + 100)
      db.put('b', '2', START + 200)
      const early = db.engine.snapshot!()
      clock.time = START + 100
      const late = db.engine.snapshot!()
      clock.time = START + 1000
      runSync(db.engine.compact(undefined, undefined))
      assert.deepEqual(db.walk(early), { a: '1', b: '2' })
      assert.equal(db.get('a', early), '1')
      assert.deepEqual(db.walk(late), { b: '2' })
      assert.equal(db.get('a', late), undefined)
      assert.deepEqual(db.walk(), {})
      assert.equal(late.clock, START + 100)
      early.release()
      late.release()
      db.close()
    },
  },
  {
    name: 'every put takes an end, and the entry is not there from then on',
    async run(place) {
      const clock = new SteppedEnvironment(place.environment, START)
      const db = await openAt(place, clock)
      await db.put('put', '1', { ttl: 100 })
      db.putSync('putSync', '2', { expiresAt: START + 100 })
      await db.set('set', '3', { ttl: 99.5 })
      await db.putStream('putStream', [bytes('4')], { ttl: 100 })
      const ending = ['put', 'putStream', 'putSync', 'set']
      if (db.supports.atomicBatch) {
        await db.batch([
          { type: 'put', key: 'batch', value: '5', ttl: 100 },
          { type: 'put', key: 'batch2', value: '6', expiresAt: START + 100 },
        ])
        ending.unshift('batch', 'batch2')
      }
      await db.put('stays', '7')
      await db.put('later', '8', { ttl: 1000 })
      for (const key of ending) assert.equal((await db.getEntry(key))?.expiresAt, START + 100, key)
      assert.equal((await db.getEntry('stays'))?.expiresAt, undefined)
      assert.equal(await db.count(), ending.length + 2)
      clock.time = START + 99
      assert.equal(await db.get('put'), '1')
      clock.time = START + 100
      for (const key of ending) await checkGone(db, key)
      assert.equal(await db.count(), 2)
      assert.equal(db.countSync(), 2)
      assert.deepEqual(
        new Map(await collect(db.entries())),
        new Map([
          ['later', '8'],
          ['stays', '7'],
        ]),
      )
      assert.deepEqual([...db.values()].sort(), ['7', '8'])
      clock.time = START + 1000
      assert.deepEqual(await db.entries().nextMany(10), [['stays', '7']])
    },
  },
  {
    name: 'ranges pass over what has ended, both ways',
    needs: ['order'],
    async run(place) {
      const clock = new SteppedEnvironment(place.environment, START)
      const db = await openAt(place, clock)
      for (let i = 0; i < 300; i++) {
        const key = `key${String(i).padStart(3, '0')}`
        db.putSync(key, `${i}`, i % 10 === 5 ? {} : { ttl: 1 + i })
      }
      clock.time = START + 1000
      const left = Array.from({ length: 30 }, (_, i) => `key${String(10 * i + 5).padStart(3, '0')}`)
      assert.deepEqual(await collect(db.keys()), left)
      assert.deepEqual(await collect(db.keys({ reverse: true })), left.toReversed())
      assert.deepEqual(await db.first(), ['key005', '5'])
      assert.deepEqual(db.lastSync(), ['key295', '295'])
      assert.deepEqual(await db.first({ gt: 'key005' }), ['key015', '15'])
      assert.equal(await db.last({ lt: 'key005' }), undefined)
      assert.equal(await db.count({ gte: 'key100', lt: 'key200' }), 10)
      assert.equal(await db.count({ prefix: 'key00' }), 1)
      await db.compact()
      assert.deepEqual([await db.count(), db.stats().entries], [30, 30])
      assert.deepEqual(await collect(db.keys()), left)
    },
  },
  {
    name: 'an end that cannot be is refused, one that is over is not',
    async run(place) {
      const clock = new SteppedEnvironment(place.environment, START)
      const db = await openAt(place, clock)
      const version = await db.put('a', '1')
      const bad: Options[] = [
        ...[0, -1, Number.NaN, Number.POSITIVE_INFINITY, '100', null, 2 ** 48].map((ttl) => ({
          ttl,
        })),
        ...[0, -1, 1.5, 2 ** 48, '100', new Date()].map((expiresAt) => ({ expiresAt })),
        { ttl: 1, expiresAt: START },
      ]
      for (const options of bad) {
        await rejects('INVALID_ARGUMENT', () => db.put('a', '2', options))
        throws('INVALID_ARGUMENT', () => db.putSync('a', '2', options))
        await rejects('INVALID_ARGUMENT', () => db.putStream('a', [bytes('2')], options))
        await rejects('INVALID_ARGUMENT', () => db.touch('a', options))
        throws('INVALID_ARGUMENT', () => db.touchSync('a', options))
        if (!db.supports.atomicBatch) continue
        const put = { type: 'put', key: 'a', value: '2', ...options } as const
        await rejects('INVALID_ARGUMENT', () => db.batch([put]))
      }
      await rejects('INVALID_ARGUMENT', () => db.delete('a', { ttl: 1 } as object))
      await rejects('INVALID_ARGUMENT', () => db.touch('a', { ifAbsent: true } as object))
      assert.deepEqual(await db.getEntry('a'), { value: '1', version, expiresAt: undefined })
      assert.ok((await db.put('a', '2', { expiresAt: 1 })) > version)
      await checkGone(db, 'a')
    },
  },
  {
    name: 'conditions take what has ended for absent',
    async run(place) {
      const clock = new SteppedEnvironment(place.environment, START)
      const db = await openAt(place, clock)
      const version = await db.put('a', '1', { ttl: 100 })
      await rejects('CONFLICT', () => db.put('a', '2', { ifAbsent: true }))
      clock.time = START + 100
      await rejects('CONFLICT', () => db.put('a', '2', { ifVersion: version }))
      await rejects('CONFLICT', () => db.delete('a', { ifVersion: version }))
      assert.equal(await db.delete('a'), version, 'there was nothing to delete')
      assert.equal(await db.touch('a', { ttl: 100 }), undefined)
      const next = await db.put('a', '2', { ifAbsent: true })
      assert.deepEqual(await db.getEntry('a'), { value: '2', version: next, expiresAt: undefined })
    },
  },
  {
    name: 'touch gives another end and leaves the value',
    async run(place) {
      const clock = new SteppedEnvironment(place.environment, START)
      const db = await openAt(place, clock)
      assert.equal(await db.touch('a', { ttl: 100 }), undefined)
      assert.equal(db.touchSync('a'), undefined)
      assert.equal(db.stats().sequence, 0, 'nothing was written')
      const values = ['', 'short', 'größer', 'x'.repeat(9000), 'long'.repeat(60_000)]
      for (const [i, value] of values.entries()) await db.put(`key${i}`, value, { ttl: 100 })
      const check = async (expiresAt: number | undefined): Promise<void> => {
        for (const [i, value] of values.entries()) {
          const entry = await db.getEntry(`key${i}`)
          assert.ok(entry?.value === value)
          assert.equal(entry.expiresAt, expiresAt)
        }
      }
      await Promise.all(values.map((_, i) => db.touch(`key${i}`, { ttl: 500 })))
      await check(START + 500)
      for (const [i] of values.entries()) {
        const version = db.touchSync(`key${i}`, { expiresAt: START + 700 })
        assert.equal(version, db.getEntrySync(`key${i}`)?.version)
        assert.equal(version, db.stats().sequence)
      }
      clock.time = START + 600
      await check(START + 700)
      for (const [i] of values.entries()) await db.touch(`key${i}`, { durability: 'disk' })
      clock.time = START + 1e9
      await check(undefined)
      await db.touch('key1', { expiresAt: START })
      await checkGone(db, 'key1')
      await rejects('INVALID_ARGUMENT', () => db.touch('key0', { durability: 'ram' } as object))
      throws('INVALID_KEY', () => db.touchSync(1 as never))
      await db.close()
      await rejects('CLOSED', () => db.touch('key0'))
      throws('CLOSED', () => db.touchSync('key0'))
    },
  },
  {
    name: 'touch while others write loses nothing of theirs',
    async run(place) {
      const db = await place.open({ durability: 'none' })
      await db.put('a', '0')
      const writes: Promise<unknown>[] = []
      for (let i = 1; i <= 50; i++)
        writes.push(db.put('a', `${i}`), db.touch('a', { ttl: 1e9 + i }))
      await Promise.all(writes)
      const entry = await db.getEntry('a')
      assert.equal(entry?.value, '50')
      assert.ok(entry.expiresAt !== undefined)
    },
  },
  {
    name: 'long values end too, and can be touched where they are too long for a batch',
    async run(place) {
      const clock = new SteppedEnvironment(place.environment, START)
      // As if they were: nobody tries 256 MiB.
      place.stateLimits({ batchBytes: 1024 * 1024 })
      const db = await openAt(place, clock)
      const part = Buffer.from('0123456789abcdef'.repeat(16_384))
      const parts = Array.from({ length: 12 }, () => part)
      const length = async (key: string): Promise<number | undefined> => {
        const stream = await db.getStream(key)
        if (stream === undefined) return undefined
        let sum = 0
        for await (const one of stream) sum += one.length
        return sum
      }
      await db.putStream('a', parts, { ttl: 100 })
      await db.putStream('b', parts, { ttl: 100 })
      assert.equal(await length('a'), 12 * part.length)
      assert.ok((await db.touch('b', { ttl: 500 }))! > 0)
      throws('INVALID_VALUE', () => db.touchSync('b', { ttl: 500 }))
      clock.time = START + 100
      assert.deepEqual([await length('a'), await length('b')], [undefined, 12 * part.length])
      await db.close()
      const again = await openAt(place, clock)
      assert.equal(await again.getStream('a'), undefined)
      assert.equal((await again.getStream('b')) === undefined, false)
      clock.time = START + 500
      assert.equal(await again.getStream('b'), undefined)
    },
  },
  {
    name: 'snapshots and cursors fix their clock',
    needs: ['snapshots'],
    async run(place) {
      const clock = new SteppedEnvironment(place.environment, START)
      const db = await openAt(place, clock)
      for (let i = 0; i < 50; i++) db.putSync(`key${i}`, 'x'.repeat(50), { ttl: 100 })
      const snapshot = db.snapshot()
      const cursor = db.keys()
      await cursor.next()
      clock.time = START + 100
      await db.compact()
      assert.equal((await collect(cursor)).length, 49)
      assert.equal(await snapshot.count(), 50)
      assert.deepEqual(await snapshot.getMany(['key7', 'none']), ['x'.repeat(50), undefined])
      assert.equal((await snapshot.getEntry('key7'))?.expiresAt, START + 100)
      assert.equal(await db.count(), 0)
      snapshot.close()
      await db.compact()
      assert.deepEqual([await db.count(), db.stats().entries], [0, 0])
    },
  },
  {
    name: 'what was told to have ended stays so, in the copy of a backup and over opening again too',
    async run(place) {
      const clock = new SteppedEnvironment(place.environment, START)
      const db = await openAt(place, clock)
      await db.put('a', '1', { ttl: 100 })
      await db.put('b', '2', { ttl: 1000 })
      await db.put('c', '3')
      await db.backup(place.copy)
      await db.close()
      // Nothing is written by who only reads, but for the clock.
      const reader = await openAt(place, clock)
      clock.time = START + 500
      assert.equal(await reader.get('a'), undefined)
      await reader.close()
      clock.time = START + 10
      const again = await openAt(place, clock)
      await checkGone(again, 'a')
      assert.equal((await again.getEntry('b'))?.expiresAt, START + 1000)
      await again.put('d', '4', { ttl: 100 })
      assert.equal(
        (await again.getEntry('d'))?.expiresAt,
        START + 600,
        'a ttl counts from that clock',
      )
      const copy = await place.open({ environment: clock }, place.copy)
      assert.equal(await copy.get('a'), '1', 'it was made before')
      clock.time = START + 100
      assert.deepEqual(await copy.getMany(['a', 'b', 'c']), [undefined, '2', '3'])
    },
  },
  {
    name: 'how often to look is an option, also of a store that is open',
    async run(place) {
      const bad = [-1, 1.5, '10', Number.POSITIVE_INFINITY]
      for (const expiryIntervalMs of bad) {
        await rejects('INVALID_ARGUMENT', () => place.open({ expiryIntervalMs }))
      }
      const db = (await place.open({ expiryIntervalMs: 0 })) as AnyStore & {
        configure(options: Options): void
      }
      db.configure({ expiryIntervalMs: 1000 })
      for (const expiryIntervalMs of bad) {
        throws('INVALID_ARGUMENT', () => db.configure({ expiryIntervalMs }))
      }
    },
  },
  {
    name: 'what is put without an end has that of its table, else that of the store',
    async run(place) {
      const clock = new SteppedEnvironment(place.environment, START)
      const db = await openAt(place, clock, { ttl: 1000 })
      const table = db.table('table', { ttl: 99.5 })
      const never = db.table('never', { ttl: 'never' })
      const ends = async (one: AnyStore | typeof table, key = 'a'): Promise<number> =>
        ((await one.getEntry(key))?.expiresAt ?? Number.POSITIVE_INFINITY) - START
      for (const [one, end] of [
        [db, 1000],
        [db.table('plain'), 1000],
        [table, 100],
        [never, Number.POSITIVE_INFINITY],
      ] as const) {
        const puts = [
          () => one.put('a', '1'),
          () => one.put('a', '2', { durability: 'os' }),
          () => one.putSync('a', '3'),
          () => one.set('a', '4', {}),
          () => one.putStream('a', [bytes('5')]),
          () => one.touch('a'),
          () => one.touchSync('a'),
          ...(db.supports.atomicBatch
            ? [
                () => one.batch([{ type: 'put', key: 'a', value: '6' }]),
                () => db.batch([{ type: 'put', table: one, key: 'a', value: '7' }]),
              ]
            : []),
        ]
        for (const put of puts) {
          await one.put('a', '0', { ttl: 5 })
          assert.equal(await ends(one), 5)
          await put()
          assert.equal(await ends(one), end, put.toString())
        }
        await one.put('a', '8', { ttl: 'never' })
        assert.equal(await ends(one), Number.POSITIVE_INFINITY)
        await one.put('b', '8', { expiresAt: START + 7 })
        assert.equal(await ends(one, 'b'), 7)
      }
      await table.put('a', '1')
      assert.equal(await ends(table), 100)
      // It is the handle's, and is not kept.
      await db.table('table').put('b', '2')
      assert.equal(await ends(table, 'b'), 1000)
      clock.time = START + 100
      assert.deepEqual(await collect(table.keys()), ['b'])
      await db.close()
      const again = await openAt(place, clock)
      await again.table('table').put('a', '1')
      assert.equal(await ends(again.table('table')), Number.POSITIVE_INFINITY)
      for (const ttl of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, '100', null, 2 ** 48]) {
        await rejects('INVALID_ARGUMENT', () => place.open({ ttl }))
        throws('INVALID_ARGUMENT', () => again.table('a', { ttl: ttl as never }))
      }
    },
  },
  {
    name: 'loaded entries end together, and give way then',
    needs: ['order'],
    async run(place) {
      const clock = new SteppedEnvironment(place.environment, START)
      const db = await openAt(place, clock)
      const long = 'x'.repeat(30_000)
      const pairs = (count: number): [string, string][] =>
        Array.from({ length: count }, (_, i) => [`key${1000 + i}`, i % 200 === 7 ? long : `${i}`])
      await db.load(pairs(2000), { ttl: 100 })
      assert.equal((await db.getEntry('key1000'))?.expiresAt, START + 100)
      assert.equal((await db.getEntry('key1007'))?.expiresAt, START + 100)
      db.table('table', { ttl: 50 }).loadSync(pairs(20))
      db.table('table').loadSync([['later', '1']], { expiresAt: START + 200 })
      assert.deepEqual([db.countSync(), db.table('table').countSync()], [2000, 21])
      clock.time = START + 100
      await checkGone(db, 'key1007')
      assert.deepEqual([db.countSync(), db.table('table').countSync()], [0, 1])
      await db.load(pairs(30))
      clock.time = START + 1e6
      assert.equal(db.countSync(), 30)
      await db.compact()
      assert.deepEqual((await db.verify()).problems, [])
      for (const ttl of [0, null, '1']) {
        await rejects('INVALID_ARGUMENT', () => db.load([], { ttl: ttl as never }))
      }
      await db.close()
      const again = await openAt(place, clock)
      assert.equal(again.countSync(), 30)
    },
  },
]

export const expiry: Chapter = { name: 'expiry', cases }
