// Ranges between long keys whose rests, read one after the other, are more than the cache has room for.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { openSync } from '../store/open.ts'

const KEYS = 20
const OPTIONS = { engine: 'btree', pageBytes: 4096, cacheBytes: 1024 * 1024 } as const

/** They differ only behind 64 KiB. */
function name(i: number): string {
  return `${'p'.repeat(90_000)}${String(i).padStart(3, '0')}`
}

test('what is cleared between long keys is just what lies there', () => {
  const environment = simulatedEnvironment({ seed: 1 })
  for (const [from, to] of [
    [3, 17],
    [0, 18],
  ] as const) {
    let db = openSync('/store', { ...OPTIONS, environment })
    for (let i = 0; i < KEYS; i++) db.putSync(name(i), `${i}`, { durability: 'none' })
    db.closeSync()
    db = openSync('/store', { ...OPTIONS, environment })
    db.clearSync({ gte: name(from), lt: name(to) })
    const left = Array.from({ length: KEYS }, (_, i) => i).filter((i) => i < from || i >= to)
    assert.deepEqual([...db.keys()], left.map(name))
    assert.deepEqual(db.verifySync().problems, [])
    db.closeSync()
  }
})
