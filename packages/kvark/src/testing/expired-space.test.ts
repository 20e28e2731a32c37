/**
 * What has expired gives its space back without anybody asking, within a minute of the simulated clock: entries of many ends, long
 * values, stores that were closed or lost their power meanwhile. `npm run figures -- --only ttl` does the first with a million.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type SimulatedEnvironment, simulatedEnvironment } from '../environment/simulated.ts'
import { open } from '../index.ts'
import type { AnyStore } from './contract/place.ts'

const PATH = '/store'
const MINUTE = 60_000
/** What a store may keep that has nothing in it: see the engines' `compactionThresholdBytes`; of the tree the roots and the map. */
const FLOOR_BYTES = 128 * 1024

const ENGINES = ['btree', 'log'] as const

async function openAt(environment: SimulatedEnvironment, engine: (typeof ENGINES)[number]) {
  const options = { environment, durability: 'none' } as const
  const opened =
    engine === 'btree'
      ? await open(PATH, {
          ...options,
          engine,
          cacheBytes: 2 * 1024 * 1024,
          checkpointBytes: 262_144,
        })
      : await open(PATH, {
          ...options,
          engine,
          segmentBytes: 1024 * 1024,
          compactionThresholdBytes: 65_536,
        })
  return opened as unknown as AnyStore
}

/** Lets the simulated time pass, and the background work that comes due in it. */
async function pass(environment: SimulatedEnvironment, db: AnyStore, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 2500) {
    environment.advance(2500)
    do await new Promise((resolve) => setImmediate(resolve))
    while (db.stats().compacting)
  }
}

async function fill(db: AnyStore, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const done = db.put(`key${i}`, 'value'.repeat(20), { ttl: 1000 + ((i * 7919) % 59_001) })
    if (i % 64 === 0) await done
  }
}

/** Another machine with what a power cut left on the disk, and this time. */
function afterCrash(before: SimulatedEnvironment, time: number): SimulatedEnvironment {
  const environment = simulatedEnvironment({ seed: 3, files: before.files.crash() })
  environment.jump(time - environment.now())
  return environment
}

for (const engine of ENGINES) {
  test(`${engine}: entries with many ends leave an empty store, as small as one`, async () => {
    const environment = simulatedEnvironment({ seed: 1 })
    const db = await openAt(environment, engine)
    await fill(db, 20_000)
    await db.sync()
    const full = db.stats().diskBytes
    assert.ok(full > 2_000_000)
    await pass(environment, db, 2 * MINUTE)
    const { entries, diskBytes } = db.stats()
    assert.equal(entries, 0, 'they are gone, not only passed over')
    assert.ok(diskBytes < FLOOR_BYTES, `${diskBytes} bytes of ${full} are left`)
    await db.close()
    assert.deepEqual(environment.warnings, [])
  })

  test(`${engine}: what is left after half of them is whole, and goes after opening again`, async () => {
    let environment = simulatedEnvironment({ seed: 2 })
    let db = await openAt(environment, engine)
    await fill(db, 4000)
    for (let i = 0; i < 1000; i++) db.putSync(`stays${i}`, `${i}`)
    db.putSync('key7', 'overwritten')
    await pass(environment, db, MINUTE / 2)
    const left = (await db.count()) - 1001
    assert.ok(left > 1500 && left < 2500, `${left}`)
    await db.close()
    db = await openAt(environment, engine)
    assert.equal(await db.count(), 1001 + left)
    await pass(environment, db, MINUTE / 2)
    await db.sync()
    environment = afterCrash(environment, environment.now())
    db = await openAt(environment, engine)
    assert.equal(await db.count(), 1001)
    await pass(environment, db, MINUTE)
    assert.equal(await db.get('stays999'), '999')
    assert.equal(await db.get('key7'), 'overwritten')
    assert.ok(db.stats().diskBytes < 4 * FLOOR_BYTES, `${db.stats().diskBytes}`)
    const report = await db.verify()
    assert.deepEqual(report.problems, [])
    await db.close()
  })

  test(`${engine}: compact takes out long values, too, that have expired since the last checkpoint`, async () => {
    const environment = simulatedEnvironment({ seed: 5 })
    const db = await openAt(environment, engine)
    await db.put('stays', '')
    for (let i = 0; i < 5; i++) await db.put(`key${i}`, 'long'.repeat(20_000), { ttl: 1000 })
    environment.jump(1000)
    await db.compact()
    assert.equal(db.stats().entries, 1)
    await db.close()
  })

  test(`${engine}: after a power cut the clock goes on, though the machine's was set back`, async () => {
    const environment = simulatedEnvironment({ seed: 4 })
    const start = environment.now()
    let db = await openAt(environment, engine)
    for (let i = 0; i < 100; i++) await db.put(`key${i}`, 'value', { ttl: 1000 + i })
    environment.advance(1050)
    assert.equal(await db.count(), 49)
    await db.put('later', '1', { durability: 'disk', ttl: 10_000 })
    db = await openAt(afterCrash(environment, start), engine)
    assert.equal(await db.count(), 50)
    assert.equal(await db.get('key50'), undefined)
    assert.equal(await db.get('key51'), 'value')
    assert.equal((await db.getEntry('later'))?.expiresAt, start + 11_050)
    await db.put('last', '1', { ttl: 10 })
    assert.equal((await db.getEntry('last'))?.expiresAt, start + 1060)
    await db.close()
  })

  test(`${engine}: a snapshot keeps what it sees, and its space comes back after it`, async () => {
    const environment = simulatedEnvironment({ seed: 5 })
    const db = await openAt(environment, engine)
    await fill(db, 4000)
    const snapshot = db.snapshot()
    await pass(environment, db, 2 * MINUTE)
    assert.deepEqual([await db.count(), await snapshot.count()], [0, 4000])
    assert.equal(await snapshot.get('key3999'), 'value'.repeat(20))
    snapshot.close()
    await pass(environment, db, MINUTE)
    assert.equal(db.stats().entries, 0)
    assert.ok(db.stats().diskBytes < 4 * FLOOR_BYTES, `${db.stats().diskBytes}`)
    await db.close()
  })

  test(`${engine}: long values that came in pieces give their pages back once, whatever else takes them`, async () => {
    const environment = simulatedEnvironment({ seed: 6 })
    let db = await openAt(environment, engine)
    const value = Buffer.alloc(3 * 1024 * 1024, 'a')
    for (let round = 0; round < 3; round++) {
      await db.putStream(`ends${round}`, [value], { ttl: 1000 })
      await pass(environment, db, 15_000)
      const other = Buffer.alloc(value.length, `${round}`)
      await db.putStream(`stays${round}`, [other], { durability: 'disk' })
    }
    db = await openAt(afterCrash(environment, environment.now()), engine)
    await pass(environment, db, 30_000)
    assert.equal(await db.count(), 3)
    for (let round = 0; round < 3; round++) {
      assert.ok((await db.get(`stays${round}`)) === `${round}`.repeat(value.length), `${round}`)
    }
    assert.deepEqual((await db.verify()).problems, [])
    await db.close()
  })
}
