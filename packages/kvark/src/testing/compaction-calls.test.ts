/** Compactions that meet: one begins while another is under way, or calls back into the store. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeEnvironment } from '../environment/node.ts'
import { openSync } from '../store/open.ts'
import { memoryFiles } from '../vfs/memory.ts'

const KEYS = 900

type Filled = ReturnType<typeof filled>

function filled() {
  const environment = { ...nodeEnvironment(), files: memoryFiles() }
  const compactionThresholdBytes = Number.MAX_SAFE_INTEGER
  const db = openSync('/store', { environment, segmentBytes: 65_536, compactionThresholdBytes })
  for (let i = 0; i < 4 * KEYS; i++) db.putSync(`key${i % KEYS}`, `value ${i} `.repeat(10))
  return db
}

function assertFilled(db: Filled): void {
  assert.deepEqual(db.verifySync().problems, [])
  for (let i = 3 * KEYS; i < 4 * KEYS; i++) {
    assert.equal(db.getSync(`key${i % KEYS}`), `value ${i} `.repeat(10))
  }
  db.closeSync()
}

test('compactSync from the progress callback of a compaction is refused', async () => {
  const db = filled()
  const code = 'INVALID_ARGUMENT'
  let refused = 0
  const progress = (): void => {
    assert.throws(() => db.compactSync(), { code, message: /progress callback/ })
    refused++
  }
  db.compactSync({ progress })
  await db.compact({ progress })
  assert.ok(refused >= 3)
  assertFilled(db)
})

test('compact that compactSync has taken over ends with it', async () => {
  const db = filled()
  const compacted = db.compact()
  await new Promise((resolve) => setImmediate(resolve))
  db.compactSync()
  await compacted
  assert.equal(db.stats().staleBytes, 0)
  assertFilled(db)
})

test('compact that is cut off by closing says so', async () => {
  const db = filled()
  const compacted = db.compact()
  db.closeSync()
  await assert.rejects(compacted, { code: 'CLOSED' })
})
