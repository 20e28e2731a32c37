/** Names that never reached the disk, while what was written later did: nobody synced the folder between them. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { KvarkError } from '../errors.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'
import { type CrashStore, openSubject, subjects } from './crash/subjects.ts'

const VALUE = 'v'.repeat(20_000)

function openOn(files: SimulatedFiles): CrashStore {
  return openSubject(subjects.log, '/store', simulatedEnvironment({ seed: 1, files })).sync()
}

/** Segments 1, 2 and 3, as they are on the disk when all but `lost` got there. */
function diskWithout(lost: string, durable: boolean): SimulatedFiles {
  const files = new SimulatedFiles()
  const db = openOn(files)
  for (let i = 0; i < 3; i++) {
    db.putSync(`key ${i}`, VALUE, { durability: durable ? 'disk' : 'os' })
    db.putSync(`small ${i}`, 'small', { durability: durable ? 'disk' : 'os' })
  }
  const logs = files
    .list('/store')
    .sync()
    .filter((name) => name.endsWith('.log'))
  assert.deepEqual(logs, ['1.log', '2.log', '3.log'])
  files.syncFolder('/store').sync()
  for (const name of logs) {
    const handle = files.open(`/store/${name}`, 'write').sync()
    handle.sync().sync()
    handle.close().sync()
  }
  const after = files.crash()
  after.remove(`/store/${lost}`).sync()
  return after
}

for (const [lost, kept] of [
  ['1.log', []],
  ['2.log', ['key 0', 'small 0']],
  ['3.log', ['key 0', 'key 1', 'small 0', 'small 1']],
] as const) {
  test(`${lost} is missing, of writes that nobody was promised: those before it are left`, () => {
    const files = diskWithout(lost, false)
    const db = openOn(files)
    assert.deepEqual([...db.keys()].sort(), kept)
    db.putSync('after', 'kept')
    const again = openOn(files.crash())
    assert.deepEqual([...again.keys()].sort(), ['after', ...kept])
    assert.deepEqual(again.verifySync().problems, [])
    again.closeSync()
  })
}

for (const lost of ['1.log', '2.log']) {
  test(`${lost} is missing although later segments say that it was durable: CORRUPTION`, () => {
    const files = diskWithout(lost, true)
    const before = files.list('/store').sync()
    assert.throws(
      () => openOn(files),
      (error) =>
        error instanceof KvarkError && error.code === 'CORRUPTION' && error.path !== undefined,
    )
    const left = files.list('/store').sync()
    assert.deepEqual(
      left.filter((name) => name.endsWith('.log')),
      before.filter((name) => name.endsWith('.log')),
    )
  })
}

test('the first segment behind a compaction is missing, others of it are left: what came after the compaction is gone', () => {
  const files = new SimulatedFiles()
  const db = openOn(files)
  // A segment of its own, of which nothing gets stale.
  db.putSync('large', VALUE + VALUE)
  db.putSync('small', 'first')
  db.putSync('small', 'second')
  db.compactSync()
  const before = new Set(files.list('/store').sync())
  for (let i = 0; i < 2; i++) db.putSync(`late ${i}`, VALUE, { durability: 'os' })
  files.syncFolder('/store').sync()
  const late = files
    .list('/store')
    .sync()
    .filter((name) => !before.has(name))
  assert.equal(late.length, 2)
  const last = files.open(`/store/${late[1]}`, 'write').sync()
  last.sync().sync()
  const after = files.crash()
  after.remove(`/store/${late[0]}`).sync()
  const again = openOn(after)
  assert.deepEqual([...again.keys()].sort(), ['large', 'small'])
  again.putSync('after', 'kept')
  again.closeSync()
  const third = openOn(after)
  assert.deepEqual([...third.keys()].sort(), ['after', 'large', 'small'])
  third.closeSync()
})

test('a close could not sync the folder, and the next one has nothing to write: the manifest that it tells of is there', () => {
  for (let nth = 1; ; nth++) {
    const files = new SimulatedFiles()
    const db = openOn(files)
    db.putSync('key', 'value')
    const { failed } = closeWithout(files, db, nth)
    openOn(files).closeSync()
    const again = openOn(files.crash())
    assert.deepEqual([...again.keys()], ['key'])
    assert.deepEqual(again.verifySync().problems, [])
    again.closeSync()
    if (!failed) break
    assert.ok(nth < 10)
  }
})

/** Closes with the `nth` sync of the folder failing; whether there was one. */
function closeWithout(files: SimulatedFiles, db: CrashStore, nth: number): { failed: boolean } {
  files.failNext({ call: 'syncFolder', error: 'EIO', nth })
  try {
    db.closeSync()
    return { failed: false }
  } catch (error) {
    assert.ok(error instanceof KvarkError && error.code === 'IO')
    return { failed: true }
  } finally {
    files.clearFaults()
  }
}
