// Reads and writes that wait for pages of a tree while these go: all is cleared, the end of the file is cut off, and others take the room;
// or the store is resumed.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import type { KvarkError } from '../errors.ts'
import { open, openSync } from '../store/open.ts'
import type { EngineName } from '../store/options.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'
import { throws } from './contract/check.ts'
import { slowProcess } from './crash/slow-files.ts'

for (const [what, keyBytes, count] of [
  ['short keys', 8, 400],
  // In pages of 4 KiB the rests of these lie outside of them, and tell which is which.
  ['long keys', 300, 150],
] as const) {
  test(`${what}: who waits for a page that goes finds what is there then`, async () => {
    const name = (i: number): string => `${'k'.repeat(keyBytes)}${String(i).padStart(4, '0')}`
    const environment = simulatedEnvironment({ seed: 1 })
    const options = {
      engine: 'btree',
      pageBytes: 4096,
      cacheBytes: 1024 * 1024,
      environment,
    } as const
    const first = await open('/store', options)
    const names = Array.from({ length: count }, (_, i) => name(i))
    await first.load(names.map((key) => [key, 'v'.repeat(1000)]))
    await first.close()

    const db = await open('/store', options)
    const reads = names.map((key) => db.get(key))
    const deletes = names.map((key) => db.delete(`${key} `, { durability: 'none' }))
    db.clearSync({ durability: 'none' })
    db.compactSync()
    const streamed = db.putStream('z', [new Uint8Array(2 * 1024 * 1024).fill(0x7a)])
    for (const value of await Promise.all(reads)) {
      assert.ok(value === undefined || value === 'v'.repeat(1000))
    }
    await Promise.all(deletes)
    await streamed
    assert.equal(await db.get('z'), 'z'.repeat(2 * 1024 * 1024))
    assert.equal(await db.count(), 1)
    assert.deepEqual((await db.verify()).problems, [])
    await db.close()
  })
}

const READ = [
  ['long keys', 300, 100],
  ['long values', 8, 50_000],
  ['values that are read past the cache', 8, 300_000],
] as const

for (const engine of ['btree', 'log'] as const) {
  for (const [what, keyBytes, valueBytes] of READ) {
    test(`${what}, ${engine}: who reads while the store is resumed gets what is there, or is told`, async () => {
      let told = 0
      for (const turns of [0, 6, 12, 24, 36]) {
        told += await readAndResume(engine, keyBytes, valueBytes, turns, true)
      }
      told += await readAndResume(engine, keyBytes, valueBytes, 6, false)
      assert.ok(told > 0)
    })
  }
}

/** How many of the reads were told that the store was resumed, which it is so many turns after they have begun. */
async function readAndResume(
  engine: EngineName,
  keyBytes: number,
  valueBytes: number,
  turns: number,
  sync: boolean,
): Promise<number> {
  const files = new SimulatedFiles()
  const environment = simulatedEnvironment({ seed: 1, files })
  const pages = engine === 'btree' ? { pageBytes: 4096 } : {}
  const options = { engine, ...pages, cacheBytes: 1024 * 1024, environment }
  const names = Array.from({ length: 20 }, (_, i) => `${'k'.repeat(keyBytes)}${i + 10}`)
  const first = await open('/store', options)
  for (const key of names) first.putSync(key, 'v'.repeat(valueBytes), { durability: 'none' })
  await first.close()
  const db = await open('/store', options)
  const reads = [
    ...names.map((key) => db.get(key)),
    db.count(),
    db.verify(),
    db.inspect(),
    db.entries().nextMany(100),
  ]
  for (let i = 0; i < turns; i++) await Promise.resolve()
  files.failNext({ call: 'write', path: '.log', error: 'EIO' })
  throws('IO', () => db.putSync('lost', 'x'))
  files.clearFaults()
  if (sync) db.resumeSync()
  const resumed = sync ? Promise.resolve() : db.resume()
  const settled = Promise.allSettled([...reads, ...names.map((key) => db.get(key))])
  await resumed
  let told = 0
  for (const read of await settled) {
    if (read.status === 'fulfilled') continue
    assert.equal((read.reason as { code?: unknown }).code, 'CLOSED', String(read.reason))
    told++
  }
  assert.deepEqual((await db.verify()).problems, [])
  assert.equal(await db.count(), names.length)
  await db.close()
  return told
}

for (const engine of ['btree', 'log'] as const) {
  test(`${engine}: closeSync cuts verify off with CLOSED, at any step of it: no damage is told`, async () => {
    const environment = simulatedEnvironment({ seed: 1 })
    const first = await open('/store', { engine, environment })
    for (let i = 0; i < 10; i++) first.putSync(`${i}`, 'value')
    first.compactSync()
    first.closeSync()
    const seen = new Set<unknown>()
    for (let step = 0; !seen.has(0); step++) {
      // Each call takes some rounds.
      const { files } = slowProcess(environment.files, new SeededRandom(step))
      const db = openSync('/store', { engine, environment: { ...environment, files } })
      const verified = db.verify().then(
        ({ problems }) => problems.length,
        (error: KvarkError) => error.code,
      )
      for (let turns = step; turns > 0; turns--) await new Promise((next) => setImmediate(next))
      db.closeSync()
      seen.add(await verified)
    }
    assert.deepEqual(seen, new Set(['CLOSED', 0]))
  })
}
