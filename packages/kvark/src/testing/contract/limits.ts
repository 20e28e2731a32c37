/** Contract, chapter 3: the limits. Each is tried one below, at, and one above. */

import assert from 'node:assert/strict'
import type { BatchOperation } from '../../store/types.ts'
import { pattern, rejects, throws } from './check.ts'
import type { Case, Chapter } from './place.ts'

/** Up to this size a value or batch is really written; of larger limits only the refusal is checked. */
const WRITTEN_BYTES = 16 * 1024 * 1024

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
      const db = await place.openBytes({ durability: 'os' })
      const limit = db.limits.valueBytes
      const key = pattern(3, 0)
      if (limit <= WRITTEN_BYTES) {
        for (const length of [limit - 1, limit]) {
          await db.put(key, pattern(length, 1))
          assert.ok(Buffer.from(db.getSync(key)!).equals(pattern(length, 1)))
        }
      } else {
        t.diagnostic(`values of ${limit} bytes are not written, only refused beyond`)
        await db.put(key, pattern(10, 1))
      }
      const { version } = db.getEntrySync(key)!
      const error = await rejects('INVALID_VALUE', () => db.put(key, new Uint8Array(limit + 1)))
      assert.deepEqual([error.expected, error.found], [limit, limit + 1])
      throws('INVALID_VALUE', () => db.putSync(key, new Uint8Array(limit + 1)))
      assert.equal(db.getEntrySync(key)?.version, version)
    },
  },
  {
    name: 'valueBytes of a text value',
    async run(place, t) {
      const db = await place.open({ durability: 'os' })
      const limit = db.limits.valueBytes
      if (limit > WRITTEN_BYTES) {
        t.diagnostic(`strings of ${limit} bytes take too long to make`)
        await db.put('a', 'x'.repeat(WRITTEN_BYTES))
        assert.equal(db.getSync('a')?.length, WRITTEN_BYTES)
        return
      }
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
      const db = await place.openBytes({ durability: 'os' })
      const limit = db.limits.batchBytes
      const part = new Uint8Array(Math.min(db.limits.valueBytes, limit >>> 3, WRITTEN_BYTES))
      if (limit <= WRITTEN_BYTES) {
        for (const total of [limit - 1, limit]) {
          await db.clear()
          const operations = batchOf(total, part)
          await db.batch(operations)
          assert.equal(await db.count(), operations.length)
        }
      } else {
        t.diagnostic(`batches of ${limit} bytes are not written, only refused beyond`)
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
