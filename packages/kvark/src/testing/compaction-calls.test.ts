/** Compactions that meet: one begins while another is under way, or calls back into the store. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import { type SimulatedEnvironment, simulatedEnvironment } from '../environment/simulated.ts'
import { openSync } from '../store/open.ts'
import { slowProcess } from './crash/slow-files.ts'

const KEYS = 900

type Filled = ReturnType<typeof filled>

function filled() {
  const environment = simulatedEnvironment({ seed: 1 })
  const compactionThresholdBytes = Number.MAX_SAFE_INTEGER
  const db = openSync('/store', {
    engine: 'log',
    environment,
    segmentBytes: 65_536,
    compactionThresholdBytes,
  })
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

test('a walk that passes many dead entries while they are moved gets by with a small cache', async () => {
  const environment = simulatedEnvironment({ seed: 1 })
  const compactionThresholdBytes = Number.MAX_SAFE_INTEGER
  // 64 pages.
  const cacheBytes = 1024 * 1024
  const options = { environment, cacheBytes, segmentBytes: 32_768, compactionThresholdBytes }
  const db = openSync('/store', { engine: 'log', ...options })
  const value = 'x'.repeat(400)
  const keys = 6000
  for (let i = 0; i < 2 * keys; i++) db.putSync(`key${i % keys}`, value)
  const cursor = db.entries()
  cursor.nextSync()
  let moving = true
  const compacted = db.compact().finally(() => {
    moving = false
  })
  let given = 1
  // The cursor stands before thousands of dead entries, and asks for the next living one again and again.
  while (moving) {
    await new Promise((resolve) => setImmediate(resolve))
    const walk = db.entries()
    if (!walk.nextSync().done) given++
    walk.close()
  }
  await compacted
  assert.ok(given > 5)
  cursor.close()
  assert.deepEqual(db.verifySync().problems, [])
  db.closeSync()
})

test('compaction that begins when a write has failed leaves the journal alone: what is there can be read', async () => {
  const environment = simulatedEnvironment({ seed: 1 })
  const db = openSync('/store', { engine: 'log', environment })
  for (let i = 0; i < 50; i++) db.putSync(`key${i % 10}`, 'value '.repeat(200))
  const compacted = db.compact()
  environment.files.failNext({ call: 'write', path: '.log', error: 'ENOSPC' })
  await assert.rejects(db.put('long', 'x'.repeat(500_000)), { code: 'NO_SPACE' })
  await assert.rejects(compacted, { code: 'READ_ONLY' })
  assert.deepEqual((await db.verify()).problems, [])
  assert.equal(await db.count(), 10)
  await db.resume()
  await db.compact()
  assert.equal(await db.count(), 10)
  await db.close()
})

/** What is in the folder, and must not be: nobody would remove it before the next open. */
function leftIn({ files }: SimulatedEnvironment): string[] {
  const names = files.list('/store').sync()
  const stored = names.filter((name) => name.endsWith('.index'))
  return [...names.filter((name) => name.endsWith('.tmp')), ...stored.slice(1)]
}

test('compact that is taken over at any step leaves no files', async () => {
  for (let turns = 0; turns < 40; turns++) {
    const environment = simulatedEnvironment({ seed: turns })
    const process = slowProcess(environment.files, new SeededRandom(turns))
    const db = openSync('/store', {
      engine: 'log',
      environment: { ...environment, files: process.files },
      durability: 'none',
      compactionThresholdBytes: Number.MAX_SAFE_INTEGER,
    })
    for (let i = 0; i < 20; i++) db.putSync(`key ${i % 10}`, 'value')
    const compacted = db.compact()
    for (let turn = 0; turn < turns; turn++) await new Promise((next) => setImmediate(next))
    db.putSync('key 1', 'one')
    db.compactSync()
    await compacted
    assert.deepEqual(leftIn(environment), [], `after ${turns} turns`)
    await db.close()
  }
})

test('compaction whose manifest cannot be written leaves no files', () => {
  for (const failing of ['write', 'sync', 'rename'] as const) {
    const environment = simulatedEnvironment({ seed: 1 })
    const db = openSync('/store', { engine: 'log', environment })
    for (let i = 0; i < 20; i++) db.putSync(`key ${i % 10}`, 'value')
    environment.files.failNext(({ call, path }) =>
      call === failing && path.includes('MANIFEST') ? 'ENOSPC' : undefined,
    )
    assert.throws(() => db.compactSync(), { code: 'COMPACTION_FAILED' })
    environment.files.clearFaults()
    assert.deepEqual(leftIn(environment), [])
    db.closeSync()
  }
})

test('compact fills leaves that writing longer values over others in order has left half full', () => {
  const environment = simulatedEnvironment({ seed: 1 })
  const count = 6000
  const values = new Map<string, string>()
  const put = (db: Filled, i: number, length: number): void => {
    const key = String(i).padStart(8, '0')
    const value = 'v'.repeat(length)
    db.putSync(key, value)
    values.set(key, value)
  }
  const db = openSync('/store', { environment, pageBytes: 4096 })
  for (let i = 0; i < count; i++) put(db, i, 40)
  for (let i = 0; i < count; i += 3) put(db, i, 60)
  const snapshot = db.snapshot()
  db.compactSync()
  assert.equal(snapshot.countSync(), count)
  snapshot.close()
  db.compactSync()
  const { diskBytes } = db.stats()
  assert.equal(db.stats().entries, count)
  for (const [key, value] of values) assert.equal(db.getSync(key), value)
  assert.deepEqual(db.verifySync().problems, [])
  db.closeSync()

  const fresh = openSync('/fresh', { environment, pageBytes: 4096 })
  for (const [key, value] of values) fresh.putSync(key, value)
  fresh.compactSync()
  assert.ok(diskBytes < 1.25 * fresh.stats().diskBytes, `${diskBytes} bytes`)
  fresh.closeSync()
})

test('compact gives back at once what was deleted since the last checkpoint, also where little is left of a full file', () => {
  for (const kept of [1, 100]) {
    const environment = simulatedEnvironment({ seed: 1 })
    const db = openSync('/store', { environment, pageBytes: 4096, durability: 'none' })
    for (let i = 0; i < kept; i++) db.putSync(`a${i}`, 'stays')
    for (let i = 1000; i < 9999; i++) db.putSync(`key ${i}`, 'x'.repeat(100))
    db.compactSync()
    const { diskBytes: full } = db.stats()
    db.clearSync({ prefix: 'key' })
    db.compactSync()
    const { diskBytes } = db.stats()
    assert.ok(diskBytes < full / 10, `${diskBytes} of ${full} bytes`)
    assert.equal(db.countSync(), kept)
    assert.deepEqual(db.verifySync().problems, [])
    db.closeSync()
  }
})
