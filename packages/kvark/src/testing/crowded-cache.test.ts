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

test('very many walks, counts and streams at once, over long keys and values: all of them end well', async () => {
  const environment = simulatedEnvironment({ seed: 1 })
  const options = { pageBytes: 65_536, cacheBytes: 1024 * 1024, environment } as const
  const count = 240
  const keyOf = (i: number): string => `${'p'.repeat(9000)}${String(i).padStart(6, '0')}`
  const textOf = (i: number): string => `${i} `.padEnd((i % 5) * 9000, 'v')
  const keys = Array.from({ length: count }, (_, i) => keyOf(i))
  const first = await open('/store', options)
  for (const [i, key] of keys.entries()) await first.put(key, textOf(i), { durability: 'none' })
  await first.close()
  const db = await open('/store', options)
  const random = new SeededRandom(1)
  const calls = Array.from({ length: 250 }, async (_, n) => {
    const i = random.below(count)
    if (n % 4 === 0) {
      let text = ''
      for await (const piece of (await db.getStream(keys[i]!))!)
        text += Buffer.from(piece).toString()
      assert.equal(text, textOf(i))
    } else if (n % 4 === 1) assert.equal(await db.count({ gte: keys[i]! }), count - i)
    else if (n % 4 === 2) {
      const found = await db.entries({ gte: keys[i]!, limit: 8 }).nextMany(8)
      assert.deepEqual(
        found,
        keys.slice(i, i + 8).map((key, j) => [key, textOf(i + j)]),
      )
    } else {
      const found = await db.keys({ lte: keys[i]!, reverse: true, limit: 8 }).nextMany(8)
      assert.deepEqual(found, keys.slice(Math.max(0, i - 7), i + 1).toReversed())
    }
  })
  await Promise.all(calls)
  assert.deepEqual((await db.verify()).problems, [])
  await db.close()
})
