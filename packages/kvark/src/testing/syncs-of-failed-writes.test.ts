// A write waits for a page when somebody syncs, and cannot be carried out then: who syncs hears of it, though all that was written
// before is on the disk.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulatedEnvironment } from '../environment/simulated.ts'
import type { KvarkError } from '../errors.ts'
import { openSync } from '../store/open.ts'

for (const sync of ['sync', 'syncSync'] as const) {
  test(`${sync} behind a write that waits, and fails`, async () => {
    const environment = simulatedEnvironment({ seed: 1 })
    const { files } = environment
    const db = openSync('/store', { engine: 'log', environment })
    // So much is superseded that compaction takes all of it to another file, which is not in memory.
    for (let i = 0; i < 500; i++) db.putSync('key', 'one'.repeat(500), { durability: 'none' })
    db.compactSync()
    files.failNext({ call: 'open', path: '.log', error: 'ENOSPC', forever: true })
    files.calls.length = 0
    const outcomes: string[] = []
    const put = db.put('key', 'two', { durability: 'os' }).then(
      () => outcomes.push('put'),
      (error: KvarkError) => outcomes.push(`put ${error.code}`),
    )
    if (sync === 'sync') await assert.rejects(db.sync(), { code: 'READ_ONLY' })
    else {
      assert.equal(files.calls.filter(({ error }) => error !== undefined).length, 0, 'it waits')
      assert.throws(() => db.syncSync(), { code: 'READ_ONLY' })
    }
    await put
    assert.deepEqual(outcomes, ['put NO_SPACE'])
    // Nothing has come since, and all that is written is on the disk.
    db.syncSync()
    files.clearFaults()
    db.resumeSync()
    assert.equal(db.getSync('key'), 'one'.repeat(500))
    db.closeSync()
  })
}
