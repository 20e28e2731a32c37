// Very many reads at once in the least cache, each of which holds pages and waits for others: all come to their end, and writes that
// cannot wait find room between them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { open } from '../store/open.ts'

for (const [what, pageBytes, keyBytes, count] of [
  ['few pages', 65_536, 4000, 700],
  ['few pages, long keys', 65_536, 5000, 300],
  ['many pages, long keys', 4096, 1000, 900],
] as const) {
  test(`${what}: very many reads at once, and batches among them`, async () => {
    const random = new SeededRandom(1)
    const environment = simulatedEnvironment({ seed: 1 })
    const options = { engine: 'btree', pageBytes, cacheBytes: 1024 * 1024, environment } as const
    const first = await open('/store', options)
    const name = (i: number): string => `${'k'.repeat(keyBytes - 4)}${String(i).padStart(4, '0')}`
    const names = Array.from({ length: count }, (_, i) => `${String(i).padStart(4, '0')}${name(i)}`)
    await first.load(names.map((key) => [key, 'v']))
    await first.close()
    const db = await open('/store', options)
    for (let round = 0; round < 2; round++) {
      const reads = names.flatMap((_, i) => [
        db.get(names[(i * 7) % count]!),
        i % 7 === 0 ? db.put(names[i]!, 'w', { durability: 'none' }) : db.get(names[i]!),
        i % 50 === 0 ? db.keys({ gte: names[i]!, limit: 3 }).nextMany(3) : db.has(names[i]!),
      ])
      for (let i = 0; i < 8; i++) {
        for (let turns = random.below(30); turns > 0; turns--) await Promise.resolve()
        const operations = Array.from({ length: 10 }, () => {
          return { type: 'put', key: random.pick(names), value: `w${i}` } as const
        })
        db.batchSync(operations, { durability: 'none' })
        assert.equal(db.getSync(operations[9]!.key), operations[9]!.value)
      }
      await Promise.all(reads)
    }
    assert.equal(await db.count(), count)
    assert.deepEqual((await db.verify()).problems, [])
    await db.close()
  })
}
