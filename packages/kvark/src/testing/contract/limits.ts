/** Contract, chapter 3: the limits. Each is tried one below, at, and one above; the largest ones with a smaller limit stated. */

import assert from 'node:assert/strict'
import type { BatchOperation } from '../../store/call-types.ts'
import { collect, pattern, rejects, throws } from './check.ts'
import type { Case, Chapter } from './place.ts'

/** Up to this size a value or batch is really written. */
const WRITTEN_BYTES = 16 * 1024 * 1024
/** What is stated where the limit is larger. */
const STATED_BYTES = 3_000_000

const cases: readonly Case[] = [
  {
    name: 'keyBytes',
    async run(place) {
      let db = await place.openBytes({ durability: 'os' })
      const limit = db.limits.keyBytes
      for (const length of [limit - 1, limit]) {
        await db.put(pattern(length, 1), pattern(3, 1))
        assert.deepEqual(db.getSync(pattern(length, 1)), pattern(3, 1))
      }
      const tooLong = pattern(limit + 1, 1)
      const error = await rejects('INVALID_KEY', () => db.put(tooLong, pattern(3, 1)))
      assert.deepEqual([error.expected, error.found], [limit, limit + 1])
      throws('INVALID_KEY', () => db.putSync(tooLong, pattern(3, 1)))
      await rejects('INVALID_KEY', () => db.get(tooLong))
      throws('INVALID_KEY', () => db.getSync(tooLong))
      await rejects('INVALID_KEY', () => db.delete(tooLong))
      await rejects('INVALID_KEY', () => db.has(tooLong))
      await db.close()
      db = await place.openBytes()
      assert.deepEqual(await db.get(pattern(limit, 1)), pattern(3, 1))
      assert.equal(await db.count(), 2)
    },
  },
  {
    name: 'valueBytes',
    async run(place, t) {
      const { valueBytes } = place.engine.limits
      if (valueBytes > WRITTEN_BYTES) {
        t.diagnostic(`values of ${valueBytes} bytes are not written: tried with ${STATED_BYTES}`)
        place.stateLimits({ valueBytes: STATED_BYTES })
      }
      const db = await place.openBytes({ durability: 'os' })
      const limit = db.limits.valueBytes
      const key = pattern(3, 0)
      for (const length of [limit - 1, limit]) {
        await db.put(key, pattern(length, 1))
        assert.ok(Buffer.from(db.getSync(key)!).equals(pattern(length, 1)))
      }
      const { version } = db.getEntrySync(key)!
      const error = await rejects('INVALID_VALUE', () => db.put(key, new Uint8Array(limit + 1)))
      assert.deepEqual([error.expected, error.found], [limit, limit + 1])
      throws('INVALID_VALUE', () => db.putSync(key, new Uint8Array(limit + 1)))
      assert.equal(db.getEntrySync(key)?.version, version)
    },
  },
  {
    name: 'values longer than a batch go in and out as streams only',
    async run(place, t) {
      t.diagnostic(`with ${STATED_BYTES} stated as the limit of a batch`)
      place.stateLimits({ batchBytes: STATED_BYTES })
      const db = await place.openBytes({ durability: 'os' })
      const [key, other] = [pattern(3, 0), pattern(3, 1)]
      const limit = STATED_BYTES
      await db.put(key, pattern(10, 1))
      for (const refused of [
        await rejects('INVALID_VALUE', () => db.put(key, new Uint8Array(limit + 1))),
        throws('INVALID_VALUE', () => db.putSync(key, new Uint8Array(limit + 1))),
      ]) {
        assert.match(refused.message, /putStream/)
        assert.deepEqual([refused.expected, refused.found], [limit, limit + 1])
      }
      assert.deepEqual(db.getSync(key), pattern(10, 1))
      const long = pattern(limit + 1, 2)
      for (const value of [long.subarray(1), long]) {
        await db.putStream(key, [value])
        assert.ok(Buffer.concat(await parts(await db.getStream(key))).equals(value))
      }
      await db.put(other, pattern(10, 3))
      for (const refused of [
        await rejects('DECODE', () => db.get(key)),
        throws('DECODE', () => db.getSync(key)),
        await rejects('DECODE', () => db.getMany([other, key])),
        await rejects('DECODE', () => db.values().nextMany(2)),
      ]) {
        assert.match(refused.message, /getStream/)
        assert.deepEqual([refused.expected, refused.found], [limit, limit + 1])
      }
      assert.ok(await db.has(key))
      assert.equal((await collect(db.keys())).length, 2)
      assert.equal(await db.count(), 2)
      await db.putStream(key, [long.subarray(1)])
      assert.ok(Buffer.from((await db.get(key))!).equals(long.subarray(1)), 'at the limit')
    },
  },
  {
    name: 'valueBytes of a text value',
    async run(place, t) {
      const { valueBytes } = place.engine.limits
      if (valueBytes > WRITTEN_BYTES) {
        t.diagnostic(`strings of ${valueBytes} bytes are not written: tried with ${STATED_BYTES}`)
        place.stateLimits({ valueBytes: STATED_BYTES })
      }
      const db = await place.open({ durability: 'os' })
      const limit = db.limits.valueBytes
      await db.put('a', 'x'.repeat(limit))
      await rejects('INVALID_VALUE', () => db.put('a', 'x'.repeat(limit + 1)))
      throws('INVALID_VALUE', () => db.putSync('a', `${'x'.repeat(limit - 1)}ä`))
      assert.equal((await db.get('a'))?.length, limit)
    },
  },
  {
    name: 'batchBytes',
    needs: ['atomicBatch'],
    async run(place, t) {
      const { batchBytes } = place.engine.limits
      if (batchBytes > WRITTEN_BYTES) {
        t.diagnostic(`batches of ${batchBytes} bytes are not written: tried with ${STATED_BYTES}`)
        place.stateLimits({ batchBytes: STATED_BYTES })
      }
      const db = await place.openBytes({ durability: 'os' })
      const limit = db.limits.batchBytes
      const part = new Uint8Array(Math.min(db.limits.valueBytes, limit >>> 3))
      for (const total of [limit - 1, limit]) {
        await db.clear()
        const operations = batchOf(total, part)
        await db.batch(operations)
        assert.equal(await db.count(), operations.length)
      }
      const { sequence } = db.stats()
      await rejects('INVALID_ARGUMENT', () => db.batch(batchOf(limit + 1, part)))
      throws('INVALID_ARGUMENT', () => db.batchSync(batchOf(limit + 1, part)))
      assert.equal(db.stats().sequence, sequence)
    },
  },
  {
    name: 'batchOperations, refused as soon as there is one too many',
    needs: ['atomicBatch'],
    plainOnly: true,
    memoryOnly: true,
    async run(place) {
      const db = await place.open({ durability: 'os' })
      const limit = db.limits.batchOperations
      let drawn = 0
      function* operations(count: number): Generator<BatchOperation<string, string>> {
        for (drawn = 0; drawn < count; ) {
          drawn++
          yield { type: 'put', key: `key${drawn % 100}`, value: '' }
        }
      }
      for (const count of [limit - 1, limit]) {
        await db.batch(operations(count))
        assert.equal(await db.count(), 100)
      }
      const { sequence } = db.stats()
      await rejects('INVALID_ARGUMENT', () => db.batch(operations(limit * 2)))
      assert.equal(drawn, limit + 1)
      throws('INVALID_ARGUMENT', () => db.batchSync(operations(limit + 1)))
      assert.equal(db.stats().sequence, sequence)
    },
  },
]

async function parts(stream: ReadableStream<Uint8Array> | undefined): Promise<Uint8Array[]> {
  const all: Uint8Array[] = []
  for await (const part of stream!) all.push(part)
  return all
}

/** Puts whose keys and values have `total` bytes together; large values are only pointed to, so `part` stands for all. */
function batchOf(total: number, part: Uint8Array): BatchOperation<Uint8Array, Uint8Array>[] {
  const count = Math.ceil(total / part.length)
  return Array.from({ length: count }, (_, i) => {
    const key = new Uint8Array([i >>> 16, i >>> 8, i])
    const size = Math.floor(total / count) + (i < total % count ? 1 : 0)
    return { type: 'put', key, value: part.subarray(0, size - key.length) }
  })
}

export const limits: Chapter = { name: 'limits', cases }
