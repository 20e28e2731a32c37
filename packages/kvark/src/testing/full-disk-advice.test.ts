// A full disk that a checkpoint or a compaction meets leaves the store able to write: only where a write of the
// journal failed is its user told to resume it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { openSync } from '../store/open.ts'
import type { AtomicStore } from '../store/types.ts'

type Act = (db: AtomicStore<string, string>) => Promise<unknown>

const acts: readonly (readonly [engine: 'btree' | 'log', path: string, act: Act])[] = [
  ['btree', 'TREE', (db) => db.compact()],
  ['btree', 'TREE', (db) => db.verify()],
  ['log', '.tmp', (db) => db.compact()],
]

for (const [engine, path, act] of acts) {
  test(`${engine}: ${act.toString()}`, async () => {
    const environment = simulatedEnvironment({ seed: 1 })
    const db = openSync('/store', { engine, environment }) as AtomicStore<string, string>
    for (let i = 0; i < 100; i++) await db.put(`key${i % 10}`, 'x'.repeat(1000))
    environment.files.failNext({ call: 'write', path, error: 'ENOSPC' })
    await assert.rejects(act(db), ({ message }: Error) => {
      assert.match(message, /the disk is full \(ENOSPC\)\. Free some space\.$/)
      return true
    })
    await db.put('more', 'x')
    environment.files.failNext({ call: 'write', path: '.log', error: 'ENOSPC' })
    await assert.rejects(db.put('last', 'x'), {
      code: 'NO_SPACE',
      message:
        /Free some space\. The write may or may not be kept; call resume\(\) and read it back\.$/,
    })
    await db.resume()
    await db.put('last', 'x')
    await db.close()
  })
}
