// Reads and writes that wait for pages of a tree while all is cleared, the end of the file is cut off, and others take the room.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { open } from '../store/open.ts'

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
