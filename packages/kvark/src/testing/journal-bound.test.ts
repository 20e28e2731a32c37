// The journal of a tree stays short, and opening after a crash with it, also where nobody lets the event loop turn.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeEnvironment } from '../environment/node.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { openSync } from '../index.ts'
import { memoryFiles } from '../vfs/memory.ts'

const MIB = 1024 * 1024
/** From so many on writes wait: it is the least there is. */
const LONGEST = 4 * MIB
const WRITTEN = 12 * MIB
/** Few pages, which are written again and again. */
const KEYS = 40
const VALUE = 'kvark'.repeat(400)

const keyOf = (i: number): string => `key ${i % KEYS}`

for (const durability of ['none', 'os'] as const) {
  test(`puts at once, durability ${durability}`, () => {
    const db = openSync('/memory/store', {
      checkpointBytes: MIB,
      durability,
      environment: nodeEnvironment(memoryFiles()),
    })
    let longest = 0
    for (let i = 0; i * VALUE.length < WRITTEN; i++) {
      db.putSync(keyOf(i), `${i} ${VALUE}`)
      longest = Math.max(longest, db.stats().journalBytes)
    }
    assert.ok(longest > LONGEST / 2, 'it was put to the test')
    assert.ok(longest < LONGEST + MIB, `${longest} bytes`)
    assert.ok(db.stats().checkpoints > 1)
    db.closeSync()
  })
}

test('batches that are awaited', async () => {
  const db = openSync('/memory/store', {
    checkpointBytes: MIB,
    durability: 'none',
    environment: nodeEnvironment(memoryFiles()),
  })
  let longest = 0
  for (let i = 0; i * VALUE.length < WRITTEN; i += 200) {
    const batch = Array.from(
      { length: 200 },
      (_, j) => ({ type: 'put', key: keyOf(i + j), value: `${i + j} ${VALUE}` }) as const,
    )
    await db.batch(batch)
    longest = Math.max(longest, db.stats().journalBytes)
  }
  assert.ok(longest < LONGEST + MIB, `${longest} bytes`)
  await db.close()
})

test('checkpoints that fail hold nobody up, and one that does not makes up for them', () => {
  const environment = simulatedEnvironment({ seed: 1 })
  const db = openSync('/store', { checkpointBytes: MIB, durability: 'none', environment })
  const fail = (): void => {
    environment.files.failNext({ call: 'write', path: 'TREE', error: 'ENOSPC' })
  }
  let i = 0
  const write = (bytes: number): void => {
    for (const end = i + bytes / VALUE.length; i < end; i++) db.putSync(keyOf(i), `${i} ${VALUE}`)
  }
  const { checkpoints } = db.stats()
  fail()
  write(LONGEST + MIB / 2)
  assert.equal(db.stats().checkpoints, checkpoints)
  assert.equal(db.stats().readOnly, undefined)
  // A quarter more has to come before it is tried again.
  write(LONGEST / 2)
  assert.ok(db.stats().checkpoints > checkpoints)
  assert.ok(db.stats().journalBytes < LONGEST)
  for (let k = 0; k < KEYS; k++) assert.ok(db.getSync(keyOf(k))!.endsWith(VALUE))
  assert.deepEqual(db.verifySync().problems, [])
  db.closeSync()
})
