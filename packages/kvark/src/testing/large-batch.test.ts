// A batch that changes more pages than the cache has: their memory is given back when a checkpoint has written them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { openSync } from '../store/open.ts'

const CACHE_BYTES = 1024 * 1024
const ENTRIES = 1200
const VALUE = 'v'.repeat(3000)

test('what a large batch takes beside the cache is given back after a checkpoint', () => {
  const environment = simulatedEnvironment({ seed: 1 })
  const options = { engine: 'btree', pageBytes: 4096, cacheBytes: CACHE_BYTES } as const
  const db = openSync('/store', { ...options, environment })
  const batch = Array.from({ length: ENTRIES }, (_, i) => {
    return { type: 'put', key: String((i * 7919) % ENTRIES), value: VALUE } as const
  })
  for (let round = 0; round < 2; round++) {
    db.batchSync(batch)
    assert.ok(db.stats().cachedBytes > ENTRIES * VALUE.length)
    // A checkpoint comes first.
    assert.deepEqual(db.verifySync().problems, [])
    assert.ok(db.stats().cachedBytes <= CACHE_BYTES, `${db.stats().cachedBytes} bytes`)
    assert.equal(db.getSync(batch[round]!.key), VALUE)
  }
  db.closeSync()
})
