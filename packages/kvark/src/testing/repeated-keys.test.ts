// Batches that write a key several times: the last operation on it holds, whatever was there, and what the batch has written itself is
// not looked for on the disk, which may fail just then.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { KvarkError } from '../errors.ts'
import { openSync } from '../store/open.ts'

const ENGINES = ['log', 'btree'] as const

for (const engine of ENGINES) {
  test(`${engine}: a batch longer than the cache is whole or refused where reads fail`, () => {
    const environment = simulatedEnvironment({ seed: 1 })
    const options = { engine, environment, cacheBytes: 1024 * 1024, durability: 'os' } as const
    const db = openSync('/store', options)
    const keys = Array.from({ length: 150 }, (_, i) => `key${i}`)
    db.batchSync(keys.map((key) => ({ type: 'put', key, value: 'old' })))
    const operations = [
      ...keys.map((key) => ({ type: 'put', key, value: key.padEnd(12_000, '.') }) as const),
      ...keys.map((key) => ({ type: 'put', key, value: 'new' }) as const),
    ]
    let expected = 'new'
    environment.files.failNext({ call: 'read', error: 'EIO' })
    try {
      db.batchSync(operations)
    } catch (error) {
      assert.ok(error instanceof KvarkError && error.code === 'IO')
      expected = 'old'
    }
    environment.files.clearFaults()
    assert.deepEqual([...new Set(db.getManySync(keys))], [expected])
    assert.equal(db.stats().readOnly, undefined)
    db.closeSync()
    const again = openSync('/store', options)
    assert.deepEqual([...new Set(again.values())], [expected])
    assert.deepEqual(again.verifySync(), { ...again.verifySync(), entries: 150, problems: [] })
    again.closeSync()
  })

  test(`${engine}: three operations on one key, whatever was there`, () => {
    const environment = simulatedEnvironment({ seed: 2 })
    const options = { engine, environment, durability: 'none', expiryIntervalMs: 0 } as const
    const names = ['absent', 'there', 'expired'].flatMap((before) =>
      Array.from({ length: 8 }, (_, i) => `${before} ${i}`),
    )
    const db = openSync('/store', options)
    for (const name of names) {
      if (name.startsWith('there')) db.putSync(name, 'before')
      if (name.startsWith('expired')) db.putSync(name, 'before', { ttl: 1 })
    }
    environment.advance(10)
    const snapshot = db.snapshot()
    const expected: string[] = []
    db.batchSync(
      [0, 1, 2].flatMap((round) =>
        names.map((key, i) => {
          const puts = ((i >>> round) & 1) === 1
          if (round === 2 && puts) expected.push(key)
          return puts ? { type: 'put', key, value: `${round}` } : { type: 'delete', key }
        }),
      ),
    )
    const check = (): void => {
      assert.deepEqual([...db.keys()].sort(), [...expected].sort())
      assert.deepEqual([...new Set(db.getManySync(expected))], ['2'])
      for (const name of names) assert.equal(db.hasSync(name), expected.includes(name), name)
    }
    check()
    assert.deepEqual([...new Set(snapshot.values())], ['before'])
    assert.equal(snapshot.countSync(), 8)
    snapshot.close()
    db.compactSync()
    check()
    assert.equal(db.stats().entries, expected.length)
    db.closeSync()
  })
}
