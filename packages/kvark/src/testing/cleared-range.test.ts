// What is put where a range was cleared: into pages whose keys were all larger before.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { openSync } from '../store/open.ts'

const VALUE = 'x'.repeat(300)

function name(i: number): string {
  return `key ${String(i).padStart(5, '0')}`
}

for (const [from, to] of [
  [0, 100],
  [0, 900],
  [300, 950],
] as const) {
  test(`keys ${from} … ${to} of 1000 are cleared, and put again in any order`, () => {
    const environment = simulatedEnvironment({ seed: 1 })
    const db = openSync('/store', { engine: 'btree', pageBytes: 4096, environment })
    for (let i = 0; i < 1000; i++) db.putSync(name(i), VALUE, { durability: 'none' })
    for (const step of [7, 11, 501]) {
      db.clearSync({ gte: name(from), lt: name(to), durability: 'none' })
      for (let i = 0; i < 1000; i++) {
        db.putSync(name((i * step) % 1000), `${VALUE} ${step}`, { durability: 'none' })
      }
      const keys = [...db.keys()]
      assert.equal(keys.length, 1000)
      assert.deepEqual(keys, keys.toSorted())
      assert.deepEqual(db.verifySync().problems, [])
    }
    db.closeSync()
  })
}
