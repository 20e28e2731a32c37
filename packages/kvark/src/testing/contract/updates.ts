/** Contract, chapter 21: entries that are changed by what they are. */

import assert from 'node:assert/strict'
import { bytes, content, rejects, throws, turn } from './check.ts'
import type { Case, Chapter } from './place.ts'

const cases: readonly Case[] = [
  {
    name: 'update replaces, makes and removes, and gives the new value',
    async run(place) {
      const db = await place.open({ durability: 'os' })
      assert.equal(await db.update('a', (value = '') => `${value}+`), '+')
      assert.equal(
        db.updateSync('a', (value) => `${value}+`),
        '++',
      )
      assert.equal(await db.update('a', () => undefined), undefined)
      const { sequence } = db.stats()
      assert.equal(
        db.updateSync('a', () => undefined),
        undefined,
      )
      assert.equal(db.stats().sequence, sequence, 'nothing was written')
      const t = db.table('t')
      await t.update('a', () => 'new')
      assert.deepEqual([await content(db), await content(t)], [{}, { a: 'new' }])
      const error = new Error('no more')
      const fail = (): never => {
        throw error
      }
      await assert.rejects(db.update('a', fail), error)
      assert.throws(() => db.updateSync('a', fail), error)
      await rejects('INVALID_ARGUMENT', () => db.update('a', (async () => '1') as never))
      throws('INVALID_ARGUMENT', () => db.updateSync('a', 1 as never))
      throws('INVALID_VALUE', () => db.updateSync('a', () => 1 as never))
      await rejects('INVALID_ARGUMENT', () => db.update('a', () => '1', { retry: 1 } as object))
      await rejects('INVALID_ARGUMENT', () => db.update('a', () => '1', { attempts: 0 }))
      await rejects('INVALID_ARGUMENT', () => db.update('a', () => '1', { ttl: 0 }))
      assert.equal(db.countSync(), 0)
    },
  },
  {
    name: 'the key is as it was when the call was made, also where that waits',
    async run(place) {
      const db = await place.open<Uint8Array, string>({ durability: 'os', keys: 'bytes' })
      const key = bytes('a')
      const made = db.getOrPut(key, async () => 'one')
      key.fill(0)
      assert.equal(await made, 'one')
      const tuples = db.table('tuples', { keys: 'tuple' })
      const tuple = ['a', new Uint8Array(1)]
      const second = tuples.getOrPut(tuple, async () => 'two')
      tuple[0] = 'b'
      await second
      if (db.supports.transactions) {
        await db.transaction(async (tx) => {
          key.fill(1)
          const third = tx.getOrPut(key, async () => 'three')
          key.fill(2)
          await third
        })
        assert.equal(await db.get(Uint8Array.of(1)), 'three')
      }
      assert.equal(await db.get(bytes('a')), 'one')
      assert.equal(await tuples.get(['a', new Uint8Array(1)]), 'two')
    },
  },
  {
    name: 'update runs again when the key was written meanwhile, and then gives up with CONFLICT',
    async run(place) {
      const db = await place.open({ durability: 'none' })
      let runs = 0
      const meanwhile = (value: string | undefined): string => {
        if (runs++ === 0) db.putSync('a', 'other')
        return `${value}+`
      }
      assert.equal(await db.update('a', meanwhile), 'other+')
      assert.equal(runs, 2)
      runs = 0
      const error = throws('CONFLICT', () =>
        db.updateSync(
          'a',
          (value) => {
            db.putSync('a', String(runs++))
            return `${value}+`
          },
          { attempts: 3 },
        ),
      )
      assert.deepEqual([runs, error.retryable, db.getSync('a')], [3, true, '2'])
    },
  },
  {
    name: 'no increment of many at the same time is lost',
    async run(place) {
      const db = await place.open<string, number>({ values: 'json', durability: 'none' })
      const t = db.table('t')
      await Promise.all([
        ...Array.from({ length: 40 }, () => db.increment('a')),
        ...Array.from({ length: 40 }, (_, i) => t.increment(`key${i % 3}`, 2)),
        ...Array.from({ length: 40 }, () => db.update('a', (n = 0) => n + 1)),
      ])
      assert.equal(db.getSync('a'), 80)
      assert.deepEqual(await content(t), { key0: '28', key1: '26', key2: '26' })
    },
  },
  {
    name: 'increment adds to numbers, as text or as they are, and to nothing else',
    async run(place) {
      const db = await place.open({ durability: 'none' })
      assert.equal(await db.increment('a'), 1)
      assert.equal(db.incrementSync('a', -2.5), -1.5)
      assert.equal(db.getSync('a'), '-1.5')
      db.putSync('a', '1e2')
      assert.equal(db.incrementSync('a'), 101)
      for (const value of ['', 'x', '01', ' 1', '0x10', 'NaN', 'Infinity', '1_000']) {
        db.putSync('a', value)
        throws('INVALID_VALUE', () => db.incrementSync('a'))
        assert.equal(db.getSync('a'), value)
      }
      for (const by of [Number.NaN, Number.POSITIVE_INFINITY, '1', 1n]) {
        await rejects('INVALID_ARGUMENT', () => db.increment('b', by as number))
      }
      db.putSync('a', String(Number.MAX_SAFE_INTEGER))
      await rejects('INVALID_VALUE', () => db.increment('a'))
      assert.equal(db.incrementSync('a', -1), Number.MAX_SAFE_INTEGER - 1)
      throws('INVALID_VALUE', () => db.incrementSync('a', 1e308 * 1.7))
      const json = db.table('json', { values: 'json' })
      json.putSync('a', '1')
      throws('INVALID_VALUE', () => json.incrementSync('a'))
      json.putSync('a', 0.5)
      assert.equal(json.incrementSync('a'), 1.5)
      const raw = db.table('bytes', { values: 'bytes' })
      await rejects('INVALID_ARGUMENT', () => raw.increment('a'))
      assert.equal(raw.countSync(), 0)
    },
  },
  {
    name: 'getOrPut gives what is there, or stores the value',
    async run(place) {
      const db = await place.open({ durability: 'none' })
      assert.equal(await db.getOrPut('a', '1'), '1')
      assert.equal(await db.getOrPut('a', '2'), '1')
      let calls = 0
      const make = async (): Promise<string> => {
        await turn()
        return String(++calls)
      }
      assert.equal(await db.getOrPut('a', make), '1')
      assert.equal(calls, 0)
      const all = await Promise.all(Array.from({ length: 5 }, () => db.getOrPut('b', make)))
      assert.equal(new Set(all).size, 1)
      assert.equal(db.getSync('b'), all[0])
      assert.equal(
        db.getOrPutSync('c', () => 'made'),
        'made',
      )
      throws('INVALID_ARGUMENT', () => db.getOrPutSync('d', make as never))
      const error = new Error('not made')
      await assert.rejects(
        db.getOrPut('d', () => Promise.reject(error)),
        error,
      )
      assert.deepEqual(Object.keys(await content(db)), ['a', 'b', 'c'])
    },
  },
  {
    name: 'what is never made, or never checked, does not keep the store from closing',
    async run(place) {
      for (const how of ['close', 'closeSync'] as const) {
        const db = await place.open()
        const never = (): Promise<never> => new Promise(() => {})
        const schema = { '~standard': { version: 1, vendor: 'test', validate: never } } as const
        const checked = db.table('checked', { schema })
        const waiting = [
          db.getOrPut('a', never),
          checked.put('a', '1'),
          checked.update('a', () => '1'),
        ]
        if (db.supports.transactions) waiting.push(db.transaction((tx) => tx.getOrPut('a', never)))
        const ended = waiting.map((one) => rejects('CLOSED', () => one))
        await turn()
        await db[how]()
        await Promise.all(ended)
      }
    },
  },
  {
    name: 'what makes no sense is refused at once, also where nothing would be written, and nobody is left to fail',
    async run(place) {
      const db = await place.open({ durability: 'none' })
      db.putSync('a', '1')
      const { sequence } = db.stats()
      let calls = 0
      const make = (): string => String(++calls)
      const ends = [{ ttl: 0 }, { ttl: '5' }, { expiresAt: 0.5 }, { ttl: 1, expiresAt: 1 }]
      for (const options of [...ends, { attempts: null }] as object[]) {
        await rejects('INVALID_ARGUMENT', () => db.getOrPut('a', '2', options))
        throws('INVALID_ARGUMENT', () => db.getOrPutSync('b', make, options))
        throws('INVALID_ARGUMENT', () => db.updateSync('b', () => undefined, options))
      }
      assert.equal(calls, 0, 'refused before the function is called')
      for (const nothing of [undefined, () => undefined, async () => undefined]) {
        await rejects('INVALID_VALUE', () => db.getOrPut('b', nothing as never))
      }
      // A rejection that nobody hears of would end the process.
      const fails = async (): Promise<never> => {
        throw new Error('too late')
      }
      await rejects('INVALID_ARGUMENT', () => db.update('a', fails as never))
      throws('INVALID_ARGUMENT', () => db.updateSync('a', fails as never))
      assert.deepEqual([db.stats().sequence, await content(db)], [sequence, { a: '1' }])
      if (!db.supports.transactions) return
      for (const options of ends as object[]) {
        await rejects('INVALID_ARGUMENT', () =>
          db.transaction((tx) => tx.getOrPut('a', '2', options)),
        )
      }
      throws('INVALID_VALUE', () =>
        db.transactionSync((tx) => tx.getOrPutSync('b', undefined as never)),
      )
      throws('INVALID_ARGUMENT', () =>
        db.transactionSync((tx) => tx.updateSync('a', fails as never)),
      )
      assert.equal(db.stats().sequence, sequence)
      await turn()
    },
  },
  {
    name: 'an entry keeps its expiry unless it is given another one',
    async run(place) {
      const db = await place.open({ durability: 'none' })
      const expiresAt = Date.now() + 1e6
      const ending = (): number | undefined => db.getEntrySync('a')!.expiresAt
      db.putSync('a', '1', { expiresAt })
      db.updateSync('a', (value) => `${value}0`)
      await db.increment('a')
      assert.equal(ending(), expiresAt)
      await db.increment('a', 1, { expiresAt: expiresAt + 1 })
      assert.equal(ending(), expiresAt + 1)
      db.updateSync('a', (value) => value, { ttl: 2e6 })
      assert.ok(ending()! > expiresAt + 1)
      db.deleteSync('a')
      await db.getOrPut('a', '1', { expiresAt })
      assert.equal(ending(), expiresAt)
      db.putSync('a', '1', { expiresAt: 1 })
      assert.equal(db.incrementSync('a'), 1)
      assert.equal(ending(), undefined)
    },
  },
  {
    name: 'the same in a transaction, also side by side',
    needs: ['transactions'],
    async run(place) {
      const db = await place.open({ durability: 'none' })
      db.putSync('old', '5', { expiresAt: Date.now() + 1e6 })
      await db.transaction(async (tx) => {
        await Promise.all(Array.from({ length: 10 }, () => tx.increment('n')))
        assert.equal(tx.incrementSync('old', 2), 7)
        assert.ok(tx.getEntrySync('old')!.expiresAt !== undefined)
        assert.equal(await tx.update('s', (value = '') => `${value}x`), 'x')
        assert.equal(
          tx.updateSync('s', () => undefined),
          undefined,
        )
        const made = Array.from({ length: 3 }, (_, i) => tx.getOrPut('m', async () => String(i)))
        assert.equal(new Set(await Promise.all(made)).size, 1)
        assert.equal(tx.getOrPutSync('m', 'other'), await tx.get('m'))
        throws('INVALID_ARGUMENT', () => tx.incrementSync('n', 1, { attempts: 2 } as object))
        throws('INVALID_ARGUMENT', () => tx.updateSync('n', (async () => '1') as never))
        const raw = tx.table('raw', { values: 'bytes' })
        throws('INVALID_ARGUMENT', () => raw.incrementSync('a'))
        assert.deepEqual(
          raw.updateSync('a', () => bytes('x')),
          bytes('x'),
        )
        assert.equal(db.getSync('n'), undefined)
      })
      const { m, ...rest } = await content(db)
      assert.deepEqual(rest, { n: '10', old: '7' })
      assert.match(m!, /^[012]$/)
    },
  },
]

export const updates: Chapter = { name: 'updates', cases }
