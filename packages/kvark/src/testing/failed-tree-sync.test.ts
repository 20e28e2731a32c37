// A sync of the tree file fails, of a checkpoint or of a long value, awaited or at once: the engine takes no more writes until it has
// looked at what the disk holds. What the next sync says of the same bytes is not asked.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { openSync } from '../store/open.ts'
import type { AtomicStore } from '../store/types.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'

type Store = AtomicStore<string, Uint8Array>

const LONG: Uint8Array = new Uint8Array(3 * 1024 * 1024).fill(7)
const SHORT: Uint8Array = new Uint8Array(30).fill(1)

function openOn(files: SimulatedFiles): Store {
  return openSync('/store', {
    engine: 'btree',
    values: 'bytes',
    checkpointBytes: Number.MAX_SAFE_INTEGER,
    environment: simulatedEnvironment({ seed: 1, files }),
  })
}

function* parts(value: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < value.length; at += 500_000) yield value.subarray(at, at + 500_000)
}

const acts: readonly (readonly [string, (db: Store) => void | Promise<void>])[] = [
  ['a checkpoint at once', (db) => db.compactSync()],
  ['a checkpoint that is awaited', async (db) => db.compact()],
  ['verify at once', (db) => void db.verifySync()],
  [
    'a long value',
    async (db) => {
      await db.putStream('long', parts(LONG))
    },
  ],
]

for (const [name, act] of acts) {
  test(name, async () => {
    const files = new SimulatedFiles()
    files.failedSync = 'clean'
    const db = openOn(files)
    db.putSync('key', SHORT)
    files.failNext({ call: 'sync', path: 'TREE', error: 'EIO' })
    await assert.rejects(async () => act(db), { code: 'IO' })
    assert.ok(db.stats().readOnly, 'it takes no more writes')
    assert.throws(() => db.putSync('other', SHORT), { code: 'READ_ONLY' })
    await db.resume()
    assert.deepEqual([...db.getSync('key')!], [...SHORT])
    assert.equal(db.hasSync('long'), false)
    db.putSync('other', SHORT)
    await db.compact()
    const disk = files.afterCrash()
    await db.close()
    const again = openOn(disk)
    assert.deepEqual([...again.keys()], ['key', 'other'])
    assert.deepEqual(again.verifySync().problems, [])
    again.closeSync()
  })
}
