/** Compaction of entries of which one nearly fills a segment. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { open } from '../index.ts'

const SEGMENT_BYTES = 32_768
const ENTRIES = 60

test('entries that leave much of each segment empty are compacted', async () => {
  const db = await open(':memory:', {
    engine: 'log',
    segmentBytes: SEGMENT_BYTES,
    compactionThresholdBytes: Number.MAX_SAFE_INTEGER,
  })
  const value = (i: number): string => `${i}`.padEnd(SEGMENT_BYTES * 0.6, 'kvark')
  for (let i = 0; i < ENTRIES; i++) {
    await db.put(`${i}`, value(i))
    await db.put(`gone${i}`, 'x'.repeat(4000))
    await db.delete(`gone${i}`)
  }
  const { staleBytes } = db.stats()
  await db.compact()
  assert.ok(db.stats().staleBytes < staleBytes / 10)
  for (let i = 0; i < ENTRIES; i++) assert.equal(await db.get(`${i}`), value(i))
  assert.deepEqual((await db.verify()).problems, [])
  await db.close()
})
