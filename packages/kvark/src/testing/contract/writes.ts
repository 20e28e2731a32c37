/** Contract, chapter 2: writing. Order, versions, conditions, batches, limits of what is taken. */

import assert from 'node:assert/strict'
import type { BatchOperation } from '../../store/call-types.ts'
import type { Codec } from '../../store/codec.ts'
import { bytes, content, names, rejects, throws } from './check.ts'
import type { AnyStore, Case, Chapter } from './place.ts'

const cases: readonly Case[] = [
  {
    name: 'put overwrites, delete removes, in both forms and by both names',
    async run(place) {
      const db = await place.open({ durability: 'os' })
      await db.put('a', '1')
      db.putSync('a', '2')
      assert.equal(db.getSync('a'), '2')
      await db.set('a', '3')
      db.setSync('b', '4')
      assert.deepEqual(await content(db), { a: '3', b: '4' })
      await db.delete('a')
      assert.equal(await db.get('a'), undefined)
      db.deleteSync('b')
      db.putSync('c', '5')
      db.putSync('d', '6')
      await db.del('c')
      db.delSync('d')
      assert.deepEqual(await content(db), {})
      await db.put('a', '7')
      assert.equal(db.getSync('a'), '7', 'a deleted key can be written again')
    },
  },
  {
    name: 'a write has a version, and later ones are larger',
    async run(place) {
      const db = await place.open({ durability: 'os' })
      let last = 0
      for (let i = 0; i < 30; i++) {
        const key = `key${i % 7}`
        const version = i % 2 === 0 ? await db.put(key, `${i}`) : db.putSync(key, `${i}`)
        assert.ok(version > last, `${version} after ${last}`)
        assert.equal(db.getEntrySync(key)?.version, version)
        last = version
        if (i % 5 === 4) {
          const removed = i % 2 === 0 ? await db.delete(key) : db.deleteSync(key)
          assert.ok(removed > last)
          last = removed
        }
      }
      assert.equal(db.stats().sequence, last)
    },
  },
  {
    name: 'deleting what is not there writes nothing',
    async run(place) {
      const db = await place.open({ durability: 'os' })
      await db.put('a', '1')
      const { sequence } = db.stats()
      await db.delete('b')
      db.deleteSync('c')
      await db.delete('a\0')
      assert.equal(db.stats().sequence, sequence)
      await db.delete('a')
      const after = db.stats().sequence
      assert.ok(after > sequence)
      await db.delete('a')
      db.deleteSync('a')
      assert.equal(db.stats().sequence, after)
    },
  },
  {
    name: 'conditions: a write happens only where they hold, else CONFLICT leaves no trace',
    async run(place) {
      const db = await place.open({ durability: 'os' })
      const first = await db.put('a', '1', { ifAbsent: true })
      const error = await rejects('CONFLICT', () => db.put('a', '2', { ifAbsent: true }))
      assert.deepEqual([error.expected, error.found, error.retryable], [0, first, true])
      throws('CONFLICT', () => db.putSync('a', '2', { ifAbsent: true }))
      const second = await db.put('a', '2', { ifVersion: first })
      const other = throws('CONFLICT', () => db.putSync('a', '3', { ifVersion: first }))
      assert.deepEqual([other.expected, other.found], [first, second])
      await rejects('CONFLICT', () => db.delete('a', { ifVersion: first }))
      throws('CONFLICT', () => db.deleteSync('none', { ifVersion: first }))
      const gone = await rejects('CONFLICT', () => db.put('none', '3', { ifVersion: second }))
      assert.equal(gone.found, 0)
      assert.equal(db.stats().sequence, second)
      assert.deepEqual(await content(db), { a: '2' })
      await db.delete('a', { ifVersion: second })
      await db.put('a', '4', { ifAbsent: true })
      assert.deepEqual(await content(db), { a: '4' })
    },
  },
  {
    name: 'a batch takes effect as a whole',
    needs: ['atomicBatch'],
    async run(place) {
      const db = await place.open({ durability: 'os' })
      await db.put('old', '0')
      const { sequence } = db.stats()
      const version = await db.batch([
        { type: 'put', key: 'a', value: '1' },
        { type: 'delete', key: 'old' },
        { type: 'put', key: 'b', value: '2' },
      ])
      assert.deepEqual(await content(db), { a: '1', b: '2' })
      const versions = [db.getEntrySync('a')!.version, db.getEntrySync('b')!.version]
      assert.ok(versions[0]! > sequence && versions[0]! < versions[1]!, versions.join())
      assert.ok(versions[1]! <= version)
      assert.equal(db.stats().sequence, version)
      db.batchSync([{ type: 'delete', key: 'a' }])
      assert.deepEqual(await content(db), { b: '2' })
    },
  },
  {
    name: 'a batch with one operation that is refused does nothing',
    needs: ['atomicBatch'],
    async run(place) {
      const db = await place.open<string, unknown>({ values: 'json', durability: 'os' })
      await db.put('a', 1)
      const { sequence } = db.stats()
      const put = (key: unknown, value: unknown): { type: 'put'; key: string; value: unknown } => ({
        type: 'put',
        key: key as string,
        value,
      })
      const bad: [string, BatchOperation<string, unknown>][] = [
        ['INVALID_KEY', put(1, 1)],
        ['INVALID_KEY', put('\uD800', 1)],
        ['INVALID_KEY', put('x'.repeat(db.limits.keyBytes + 1), 1)],
        ['INVALID_VALUE', put('b', undefined)],
        ['INVALID_ARGUMENT', { ...put('b', 1), type: 'puts' as 'put' }],
        ['INVALID_ARGUMENT', null as unknown as BatchOperation<string, unknown>],
        ['CONFLICT', { type: 'put', key: 'a', value: 2, ifAbsent: true }],
        ['CONFLICT', { type: 'delete', key: 'b', ifVersion: sequence }],
      ]
      for (const [code, operation] of bad) {
        const operations = [
          put('b', 1),
          { type: 'delete' as const, key: 'a' },
          operation,
          put('c', 1),
        ]
        await rejects(code as 'CONFLICT', () => db.batch(operations))
        throws(code as 'CONFLICT', () => db.batchSync(operations))
        assert.deepEqual(await content(db), { a: 1 })
        assert.equal(db.stats().sequence, sequence)
      }
      await db.batch([put('b', 2)])
      assert.deepEqual(
        await content(db),
        { a: 1, b: 2 },
        'nothing of the refused ones is left over',
      )
    },
  },
  {
    name: 'in a batch later operations on a key win, and conditions see the state before it',
    needs: ['atomicBatch'],
    async run(place) {
      const db = await place.open({ durability: 'os' })
      await db.batch([
        { type: 'put', key: 'a', value: '1' },
        { type: 'put', key: 'a', value: '2' },
        { type: 'put', key: 'b', value: '1' },
        { type: 'delete', key: 'b' },
        { type: 'put', key: 'c', value: '1' },
        { type: 'delete', key: 'c' },
        { type: 'put', key: 'c', value: '3' },
      ])
      assert.deepEqual(await content(db), { a: '2', c: '3' })
      await db.batch([
        { type: 'delete', key: 'a' },
        { type: 'put', key: 'a', value: '4', ifVersion: db.getEntrySync('a')!.version },
        { type: 'put', key: 'd', value: '5', ifAbsent: true },
        { type: 'put', key: 'd', value: '6', ifAbsent: true },
        { type: 'delete', key: 'c' },
        { type: 'delete', key: 'c' },
      ])
      assert.deepEqual(await content(db), { a: '4', d: '6' })
      await db.close()
      assert.deepEqual(await content(await place.open()), { a: '4', d: '6' })
    },
  },
  {
    name: 'a batch comes from any iterable, also an empty or a failing one',
    needs: ['atomicBatch'],
    async run(place) {
      const db = await place.open({ durability: 'os' })
      await db.batch(new Set([{ type: 'put' as const, key: 'a', value: '1' }]))
      const { sequence } = db.stats()
      await db.batch([])
      db.batchSync([])
      assert.equal(db.stats().sequence, sequence)
      const reason = new Error('from the iterable')
      function* failing(): Generator<BatchOperation<string, string>> {
        yield { type: 'put', key: 'b', value: '2' }
        throw reason
      }
      await assert.rejects(db.batch(failing()), reason)
      assert.throws(() => db.batchSync(failing()), reason)
      await rejects('INVALID_ARGUMENT', () => db.batch({ [Symbol.iterator]: 1 } as never))
      assert.deepEqual(await content(db), { a: '1' })
      assert.equal(db.stats().sequence, sequence)
    },
  },
  {
    name: 'a batch takes keys and values as they come, also from memory that is used again',
    needs: ['atomicBatch'],
    async run(place) {
      const db = await place.open<string, Uint8Array>({ durability: 'os', values: 'bytes' })
      // Short values, and such as are otherwise written from where they are.
      for (const length of [1, 10_000]) {
        const memory = new Uint8Array(length)
        const one = { type: 'put' as const, key: '', value: memory }
        const operations = function* (): Generator<BatchOperation<string, Uint8Array>> {
          for (const n of [1, 2]) {
            one.key = `${n}`
            memory.fill(n)
            yield one
          }
          memory.fill(3)
        }
        await db.batch(operations())
        const stored = await db.getMany(['1', '2'])
        assert.deepEqual(
          stored.map((value) => value?.at(-1)),
          [1, 2],
        )
        const numbers: Codec<number> = {
          name: 'test-numbers',
          encode: (number) => memory.fill(number),
          decode: (encoded) => encoded[0]!,
        }
        const table = db.table('numbers', { values: numbers })
        await db.batch([1, 2].map((n) => ({ type: 'put', table, key: `${n}`, value: n })))
        assert.deepEqual(await table.getMany(['1', '2']), [1, 2])
      }
    },
  },
  {
    name: 'clear removes everything, and the store goes on',
    async run(place) {
      let db = await place.open({ durability: 'os' })
      await db.clear()
      assert.deepEqual(await content(db), {})
      for (const name of names(100)) db.putSync(name, 'old', { durability: 'none' })
      const before = db.getEntrySync('key0003')!.version
      await db.clear()
      assert.equal(await db.count(), 0)
      assert.equal(db.getSync('key0003'), undefined)
      assert.equal(await db.has('key0003'), false)
      const version = await db.put('key0003', 'new', { ifAbsent: true })
      assert.ok(version > before)
      assert.deepEqual(await content(db), { key0003: 'new' })
      db.clearSync()
      db.putSync('key0004', 'newer')
      assert.deepEqual(await content(db), { key0004: 'newer' })
      await db.close()
      db = await place.open()
      assert.deepEqual(await content(db), { key0004: 'newer' }, 'after opening it again')
      await db.clear()
      await db.close()
      db = await place.open()
      assert.deepEqual(await content(db), {}, 'nothing comes back')
    },
  },
  {
    name: 'writes that are not waited for are visible at once, in the order of the calls',
    async run(place) {
      const db = await place.open({ durability: 'os' })
      const pending: Promise<unknown>[] = []
      for (let i = 0; i < 50; i++) {
        pending.push(db.put('a', `${i}`))
        assert.equal(db.getSync('a'), `${i}`)
        pending.push(db.put('b', `${i}`), db.put(`key${i}`, `${i}`))
      }
      assert.equal(await db.get('b'), '49')
      assert.equal(await db.count(), 52)
      pending.push(db.delete('b'))
      assert.equal(await db.has('b'), false)
      await Promise.all(pending)
      assert.equal(db.getSync('a'), '49')
    },
  },
  {
    name: '64 callers at once, each gets its own version',
    async run(place) {
      const db = await place.open()
      const versions = await Promise.all(
        Array.from({ length: 64 }, (_, i) => db.put(`key${i}`, `value${i}`)),
      )
      assert.equal(new Set(versions).size, 64)
      for (let i = 0; i < 64; i++) assert.equal(db.getEntrySync(`key${i}`)?.version, versions[i])
      const outcomes = await Promise.allSettled(
        Array.from({ length: 64 }, (_, i) => db.put('one', `${i}`, { ifAbsent: true })),
      )
      assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
      assert.equal(outcomes[0]?.status, 'fulfilled', 'the first caller wins')
      assert.equal(db.getSync('one'), '0')
    },
  },
  {
    name: 'every durability, at open and per call',
    async run(place) {
      const expected: Record<string, string> = {}
      for (const atOpen of ['none', 'os', 'disk'] as const) {
        const db: AnyStore = await place.open({ durability: atOpen })
        for (const durability of ['none', 'os', 'disk', undefined] as const) {
          const name = `${atOpen}-${durability}`
          const options = durability === undefined ? {} : { durability }
          await db.put(`${name}-a`, name, options)
          db.putSync(`${name}-b`, name, options)
          await db.delete(`${name}-b`, options)
          expected[`${name}-a`] = name
        }
        await db.sync()
        assert.equal(db.stats().durableSequence, db.stats().sequence)
        await db.put('last', atOpen, { durability: 'none' })
        expected['last'] = atOpen
        db.syncSync()
        assert.equal(db.stats().durableSequence, db.stats().sequence)
        await db.put('unsynced', atOpen, { durability: 'none' })
        expected['unsynced'] = atOpen
        await db.close()
      }
      assert.deepEqual(await content(await place.open()), expected)
    },
  },
  {
    name: 'a codec that calls the store while it is asked',
    async run(place) {
      const box: { db?: AnyStore } = {}
      let reading = false
      const meddling: Codec<string> = {
        name: 'test-meddling',
        encode: (value) => {
          if (value === 'outer') {
            box.db?.putSync('inner', 'inner value')
            assert.equal(box.db?.getSync('other'), 'other value')
          }
          return bytes(value)
        },
        decode: (encoded) => {
          if (!reading) {
            reading = true
            assert.equal(box.db?.getSync('other'), box.db && 'other value')
            reading = false
          }
          return Buffer.from(encoded).toString('latin1')
        },
      }
      const db = await place.open<string, string>({ values: meddling, durability: 'os' })
      await db.put('other', 'other value')
      box.db = db
      await db.put('key', 'outer')
      db.putSync('key2', 'outer')
      if (db.supports.atomicBatch) await db.batch([{ type: 'put', key: 'key3', value: 'outer' }])
      else await db.put('key3', 'outer')
      const stored = {
        inner: 'inner value',
        key: 'outer',
        key2: 'outer',
        key3: 'outer',
        other: 'other value',
      }
      assert.deepEqual(await content(db), stored)
    },
  },
]

export const writes: Chapter = { name: 'writes', cases }
