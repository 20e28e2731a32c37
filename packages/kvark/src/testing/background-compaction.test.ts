/** Space comes back by itself, and nobody who reads or writes meanwhile notices. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import { nodeEnvironment } from '../environment/node.ts'
import { type BatchOperation, type OrderedStore, open } from '../index.ts'
import { memoryFiles } from '../vfs/memory.ts'
import { oneOf } from './crash/seeds.ts'
import { exploreCrashes } from './explore.ts'

const PATH = '/memory/store'
const ENTRIES = 12_000
const OPTIONS = {
  cacheBytes: 4 * 1024 * 1024,
  checkpointBytes: 256 * 1024,
  durability: 'os',
} as const

/** Of the tests in which the power fails. */
const SMALL = { cacheBytes: 1024 * 1024, checkpointBytes: 8192, pageBytes: 4096 } as const

const keyOf = (i: number): string => `key${i}`.padStart(12, '0')
const textOf = (i: number): string => `${i}`.padEnd(100, 'kvark')

/** Until nothing goes on in the background. */
async function settled(db: OrderedStore<string, string>): Promise<void> {
  while (db.stats().compacting) await new Promise((resolve) => setImmediate(resolve))
}

/** Small batches: the background has its turns in between. */
async function inBatches(
  db: OrderedStore<string, string>,
  numbers: readonly number[],
  operation: (i: number) => BatchOperation<string, string>,
): Promise<void> {
  for (let at = 0; at < numbers.length; at += 20) {
    await db.batch(numbers.slice(at, at + 20).map(operation))
  }
}

async function fill(path = PATH) {
  const environment = nodeEnvironment(memoryFiles())
  const db = await open(path, { ...OPTIONS, environment })
  const random = new SeededRandom(1)
  const order = Array.from({ length: ENTRIES }, (_, i) => i)
  for (let i = ENTRIES - 1; i > 0; i--) {
    const j = random.below(i + 1)
    ;[order[i], order[j]] = [order[j]!, order[i]!]
  }
  await inBatches(db, order, (i) => ({ type: 'put', key: keyOf(i), value: textOf(i) }))
  const length = (): number => environment.files.open(`${path}/TREE`, 'read').sync().size().sync()
  /** Until nothing goes on in the background. */
  const rest = async (): Promise<void> => {
    do await new Promise((resolve) => setTimeout(resolve, 5))
    while (db.stats().compacting)
  }
  await rest()
  return { db, environment, order, length, rest }
}

test('the file becomes short when most entries are deleted, also under a snapshot', async () => {
  const { db, order, length, rest } = await fill()
  const full = length()
  const snapshot = db.snapshot()
  const gone = order.slice(ENTRIES / 10)
  const left = order.slice(0, ENTRIES / 10)
  for (const i of gone) {
    await db.delete(keyOf(i))
    // Somebody else writes all the time.
    if (i % 10 === 0) await db.put(keyOf(left[i % left.length]!), textOf(i))
  }
  await rest()
  for (const i of order) assert.equal(snapshot.getSync(keyOf(i)), textOf(i))
  assert.equal(await snapshot.count(), ENTRIES)
  snapshot.close()
  // It is cut off by the checkpoints that come.
  for (let round = 0; round < 5; round++) {
    for (const i of left) await db.put(keyOf(i), textOf(i))
  }
  await rest()
  // A tenth is left, in pages that may be half empty, and what a checkpoint writes beside them.
  assert.ok(length() < full / 3, `${length()} of ${full} bytes`)
  assert.equal(await db.count(), left.length)
  for (const i of left) assert.equal(db.getSync(keyOf(i)), textOf(i))
  assert.deepEqual((await db.verify()).problems, [])
  await db.close()
})

test('the file becomes short without anybody writing after the deletions', async () => {
  const { db, order, length, rest } = await fill()
  const full = length()
  await inBatches(db, order.slice(ENTRIES / 10), (i) => ({ type: 'delete', key: keyOf(i) }))
  await rest()
  assert.ok(length() < full / 3, `${length()} of ${full} bytes`)
  await db.close()
})

test('what is overwritten everywhere again and again is left where it is', async () => {
  const { db, order, rest } = await fill()
  await inBatches(db, order.splice(0, ENTRIES / 3), (i) => ({ type: 'delete', key: keyOf(i) }))
  for (let round = 0; round < 3; round++) {
    await inBatches(db, order, (i) => ({ type: 'put', key: keyOf(i), value: textOf(i) }))
  }
  await rest()
  // Leaves are thin, and none was put together with another yet.
  const { levels } = await db.inspect()
  const before = levels![levels!.length - 1]!.pages
  await db.compact()
  const after = (await db.inspect()).levels!
  assert.ok(after[after.length - 1]!.pages < before)
  await db.close()
})

test('what checkpoints wrote to in turn is given back when the store closes', async () => {
  const { db, environment, order, length } = await fill()
  await inBatches(db, order, (i) => ({ type: 'put', key: keyOf(i), value: textOf(i + 1) }))
  const before = length()
  await db.close()
  const again = await open(PATH, { ...OPTIONS, environment })
  const { staleBytes, diskBytes } = again.stats()
  assert.ok(diskBytes < before * 0.9, `${diskBytes} of ${before} bytes`)
  assert.ok(staleBytes < diskBytes / 8, `${staleBytes} of ${diskBytes} bytes are free`)
  for (const i of order) assert.equal(again.getSync(keyOf(i)), textOf(i + 1))
  assert.deepEqual((await again.verify()).problems, [])
  await again.close()
})

test('what a long value that was deleted leaves free is given back when the store closes', async () => {
  const environment = nodeEnvironment(memoryFiles(), false)
  const db = await open(PATH, { ...OPTIONS, cacheBytes: 1024 * 1024, environment })
  await db.put(keyOf(0), textOf(0))
  const pieces = Array.from({ length: 8 }, () => new Uint8Array(512 * 1024))
  await db.putStream('long', pieces)
  await db.delete('long')
  await db.close()
  const again = await open(PATH, { ...OPTIONS, environment })
  const { diskBytes } = again.stats()
  assert.ok(diskBytes < 512 * 1024, `${diskBytes} bytes`)
  assert.equal(again.getSync(keyOf(0)), textOf(0))
  assert.deepEqual((await again.verify()).problems, [])
  await again.close()
})

test('what a long value that was deleted leaves free is given back while the store is open', async () => {
  const { db, environment, length, rest } = await fill()
  const short = length()
  const pieces = Array.from({ length: 16 }, () => new Uint8Array(512 * 1024))
  const remove = [
    () => db.delete('long'),
    () => db.clear({ prefix: 'long' }),
    () => db.put('long', ''),
  ]
  for (const [i, leave] of remove.entries()) {
    await db.putStream('long', pieces)
    // Behind it.
    await db.load(Array.from({ length: 1000 }, (_, j) => [`more${i}${j + 1000}`, textOf(j)]))
    await rest()
    assert.ok(length() > short + 6 * 1024 * 1024, `${length()} bytes`)
    await leave()
    await rest()
    assert.ok(length() < short + 2 * 1024 * 1024, `${length()} bytes, ${short} without it`)
  }
  // One after the other, also while the space of those before is given back.
  for (let i = 0; i < 8; i++) await db.putStream(`long${i}`, pieces.slice(0, 4))
  await db.close()
  const again = await open(PATH, { ...OPTIONS, environment })
  for (let i = 0; i < 8; i++) await again.delete(`long${i}`)
  while (again.stats().compacting) await new Promise((resolve) => setImmediate(resolve))
  assert.ok(length() < short + 2 * 1024 * 1024, `${length()} bytes, ${short} without them`)
  assert.deepEqual((await again.verify()).problems, [])
  await again.close()
})

test('long values that are put and deleted in turn are left where they are', async () => {
  const { db, rest } = await fill()
  await db.putStream(
    'stays',
    Array.from({ length: 16 }, () => new Uint8Array(512 * 1024)),
  )
  const { compactions } = db.stats()
  const long = 'long'.repeat(25_000)
  for (let i = 0; i < 80; i++) {
    await db.batch([
      { type: 'put', key: `long${i}`, value: long },
      { type: 'delete', key: `long${i - 4}` },
    ])
  }
  await rest()
  assert.equal(db.stats().compactions, compactions)
  await db.close()
})

test('compact() gives back what it has copied leaves to', async () => {
  const environment = nodeEnvironment(memoryFiles(), false)
  const options = { ...OPTIONS, cacheBytes: 16 * 1024 * 1024, environment }
  const db = await open(PATH, options)
  const order = Array.from({ length: ENTRIES / 2 }, (_, i) => i)
  // Leaves are full, then divided, and half full.
  await db.load(order.map((i) => [keyOf(i), textOf(i)]))
  await inBatches(db, order, (i) => ({ type: 'put', key: keyOf(i), value: textOf(i).repeat(7) }))
  await db.close()
  const again = await open(PATH, options)
  await again.compact()
  const { staleBytes, diskBytes } = again.stats()
  assert.ok(staleBytes < diskBytes / 8, `${staleBytes} of ${diskBytes} bytes are free`)
  await again.close()
})

test('the power fails while it goes on', async (t) => {
  const count = 400
  const left = (i: number): boolean => i % 10 === 0
  let sessions = 0
  let shrunk = 0
  const { disks } = await exploreCrashes({
    runs: 3,
    callsApart: oneOf(2) * 3,
    async program({ environment, promise }) {
      sessions++
      const db = await open('/store', { ...SMALL, environment })
      const all = Array.from({ length: count }, (_, i) => i)
      await inBatches(db, all, (i) => ({ type: 'put', key: keyOf(i), value: textOf(i) }))
      const full = db.stats().diskBytes
      promise('filled')
      const gone = all.filter((i) => !left(i))
      await inBatches(db, gone, (i) => ({ type: 'delete', key: keyOf(i) }))
      promise('deleted')
      await settled(db)
      if (db.stats().diskBytes < full / 2) shrunk++
    },
    async check({ environment, promised }) {
      const db = await open('/store', { ...SMALL, environment })
      for (let i = 0; i < count; i++) {
        const found = await db.get(keyOf(i))
        if (found !== undefined) assert.equal(found, textOf(i))
        if (promised.includes(left(i) ? 'filled' : 'deleted')) {
          assert.equal(found !== undefined, left(i), keyOf(i))
        }
      }
      assert.deepEqual((await db.verify()).problems, [])
      await db.close()
    },
  })
  t.diagnostic(`${disks} different disks`)
  assert.equal(shrunk, sessions, 'space came back each time')
})

test('the power fails while the store closes', async (t) => {
  const all = Array.from({ length: 600 }, (_, i) => i)
  let closed = 0
  let shortened = 0
  const { disks } = await exploreCrashes({
    runs: 3,
    callsApart: oneOf(2) * 3,
    async program({ environment, promise }) {
      const db = await open('/store', { ...SMALL, environment })
      for (const version of [0, 1]) {
        const write = (i: number) =>
          ({ type: 'put', key: keyOf(i), value: textOf(i + version) }) as const
        await inBatches(db, all, write)
        // With this one a checkpoint begins that has all of them.
        await settled(db)
        await db.batch([write(0)])
        await settled(db)
      }
      promise('written')
      const length = (): number =>
        environment.files.open('/store/TREE', 'read').sync().size().sync()
      const before = length()
      await db.close()
      closed++
      if (length() < before) shortened++
    },
    async check({ environment, promised }) {
      const db = await open('/store', { ...SMALL, environment })
      if (promised.includes('written'))
        for (const i of all) assert.equal(await db.get(keyOf(i)), textOf(i + 1))
      assert.deepEqual((await db.verify()).problems, [])
      await db.close()
    },
  })
  t.diagnostic(`${disks} different disks`)
  assert.ok(closed > 0 && shortened === closed, `${shortened} of ${closed} became shorter`)
})
