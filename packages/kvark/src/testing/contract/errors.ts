/** Contract, chapter 8: what is refused, with which code, and that it leaves no trace. */

import assert from 'node:assert/strict'
import type { Codec } from '../../store/codec.ts'
import { content, rejects, throws } from './check.ts'
import type { Case, Chapter, Options } from './place.ts'

const cases: readonly Case[] = [
  {
    name: 'keys and values of a wrong type, and ill-formed strings',
    async run(place) {
      const db = await place.open<unknown, unknown>()
      const wrong = [
        undefined,
        null,
        1,
        {},
        [],
        Symbol('a'),
        new Uint8Array(1),
        'a\uD800',
        '\uDC00',
      ]
      for (const value of wrong) {
        await rejects('INVALID_KEY', () => db.get(value))
        throws('INVALID_KEY', () => db.getSync(value))
        await rejects('INVALID_KEY', () => db.getMany(['a', value]))
        await rejects('INVALID_KEY', () => db.getEntry(value))
        await rejects('INVALID_KEY', () => db.has(value))
        throws('INVALID_KEY', () => db.viewSync(value, () => 1))
        await rejects('INVALID_KEY', () => db.put(value, 'a'))
        throws('INVALID_KEY', () => db.putSync(value, 'a'))
        await rejects('INVALID_KEY', () => db.delete(value))
        throws('INVALID_KEY', () => db.deleteSync(value))
        await rejects('INVALID_VALUE', () => db.put('a', value))
        throws('INVALID_VALUE', () => db.putSync('a', value))
      }
      assert.equal(db.stats().sequence, 0)
      await db.put('a', 'good')
      assert.equal(await db.get('a'), 'good', 'the store goes on')
      assert.equal(await db.count(), 1)
    },
  },
  {
    name: 'wrong options of a write',
    async run(place) {
      const db = await place.open()
      await db.put('a', '1')
      const { sequence } = db.stats()
      const wrong: unknown[] = [
        { durability: 'disc' },
        { durability: 1 },
        { ifVersion: -1 },
        { ifVersion: 1.5 },
        { ifVersion: '1' },
        { ifAbsent: 'yes' },
        { ifversion: 1 },
        'disk',
        null,
      ]
      for (const options of wrong) {
        await rejects('INVALID_ARGUMENT', () => db.put('a', '2', options as object))
        throws('INVALID_ARGUMENT', () => db.putSync('a', '2', options as object))
        await rejects('INVALID_ARGUMENT', () => db.delete('a', options as object))
      }
      await rejects('INVALID_ARGUMENT', () => db.clear({ durability: 'disc' as 'disk' }))
      assert.equal(db.stats().sequence, sequence)
      assert.deepEqual(await content(db), { a: '1' })
    },
  },
  {
    name: 'a batch that is none',
    needs: ['atomicBatch'],
    async run(place) {
      const db = await place.open()
      for (const wrong of [undefined, null, 1, {}, 'ab'] as unknown as [][]) {
        await rejects('INVALID_ARGUMENT', () => db.batch(wrong))
        throws('INVALID_ARGUMENT', () => db.batchSync(wrong))
      }
      await rejects('INVALID_ARGUMENT', () => db.batch([], { durability: 'disc' as 'disk' }))
      assert.equal(db.stats().sequence, 0)
    },
  },
  {
    name: 'wrong options of open: nothing is made',
    async run(place) {
      const wrong: Options[] = [
        { durability: 'disc' },
        { create: 1 },
        { errorIfExists: 'no' },
        { cacheBytes: 1 },
        { cacheBytes: '1' },
        { lockTimeoutMs: -1 },
        { keys: 'json' },
        { keys: 1 },
        { values: 'tuple' },
        { values: { name: 'x' } },
        { engine: 'none' },
        { nosuchoption: 1 },
      ]
      for (const options of wrong) {
        await rejects('INVALID_ARGUMENT', () => place.open(options))
        throws('INVALID_ARGUMENT', () => place.openSync(options))
        assert.equal(place.environment.files.stat(place.path).sync(), undefined)
      }
    },
  },
  {
    name: 'create: false does not make a store',
    async run(place) {
      const error = await rejects('NOT_FOUND', () => place.open({ create: false }))
      assert.equal(error.path, place.path)
      throws('NOT_FOUND', () => place.openSync({ create: false }))
      assert.equal(place.environment.files.stat(place.path).sync(), undefined)
      const db = await place.open()
      await db.put('a', '1')
      await db.close()
      assert.deepEqual(await content(await place.open({ create: false })), { a: '1' })
    },
  },
  {
    name: 'errorIfExists refuses a store that is there',
    async run(place) {
      const db = await place.open({ errorIfExists: true })
      await db.put('a', '1')
      await db.close()
      await rejects('INVALID_ARGUMENT', () => place.open({ errorIfExists: true }))
      throws('INVALID_ARGUMENT', () => place.openSync({ errorIfExists: true }))
      assert.deepEqual(await content(await place.open()), { a: '1' })
    },
  },
  {
    name: 'other codecs than the store was made with are MISMATCH',
    async run(place) {
      await (await place.open({ keys: 'utf8', values: 'json' })).close()
      const values = await rejects('MISMATCH', () => place.open({ values: 'utf8' }))
      assert.deepEqual([values.expected, values.found], ['utf8', 'json'])
      const keys = throws('MISMATCH', () => place.openSync({ keys: 'bytes', values: 'json' }))
      assert.deepEqual([keys.expected, keys.found], ['bytes', 'utf8'])
      const own: Codec<string> = {
        name: 'own',
        encode: (value) => Buffer.from(value),
        decode: (bytes) => Buffer.from(bytes).toString(),
      }
      await rejects('MISMATCH', () => place.open({ keys: own, values: 'json' }))
      await (await place.open({ values: 'json' })).close()
    },
  },
  {
    // Files in memory refuse at once; only the machine's are worth waiting for.
    name: 'a store has one holder; another gets LOCKED with its pid, or waits',
    async run(place) {
      const db = await place.open()
      const error = await rejects('LOCKED', () => place.open())
      assert.deepEqual([error.pid, error.retryable], [process.pid, true])
      assert.equal(throws('LOCKED', () => place.openSync()).pid, process.pid)
      await db.put('a', '1')
      await db.close()
      if (!place.environment.files.shareable) return
      const again = await place.open()
      const waiting = place.open({ lockTimeoutMs: 5000 })
      await again.close()
      assert.deepEqual(await content(await waiting), { a: '1' })
    },
  },
]

export const errors: Chapter = { name: 'errors', cases }
