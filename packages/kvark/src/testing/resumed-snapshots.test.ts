/** What holds a view of a store from before a `resume` is CLOSED, whatever is asked of it. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { open } from '../store/open.ts'

for (const engine of ['log', 'btree'] as const) {
  test(`${engine}: snapshots and cursors from before a resume are CLOSED`, async () => {
    const environment = simulatedEnvironment({ seed: 1 })
    const db = await open('/store', { engine, environment })
    for (let i = 0; i < 20; i++) await db.put(`key${i}`, 'old')
    const snapshot = db.snapshot()
    const cursor = db.entries()
    environment.files.failNext({ call: 'write', error: 'ENOSPC' })
    await assert.rejects(db.put('doubtful', 'x'), { code: 'NO_SPACE' })
    await db.resume()
    await db.put('key1', 'new')
    const code = 'CLOSED'
    await assert.rejects(snapshot.get('key1'), { code })
    await assert.rejects(snapshot.count(), { code })
    await assert.rejects(snapshot.entries().next(), { code })
    await assert.rejects(cursor.next(), { code })
    assert.throws(() => snapshot.getSync('key1'), { code })
    assert.throws(() => snapshot.countSync(), { code })
    assert.throws(() => snapshot.keys().nextSync(), { code })
    snapshot.close()
    assert.equal(db.stats().snapshots, 0)
    await db.close()
  })
}
