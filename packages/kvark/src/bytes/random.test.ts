import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from './random.ts'

test('the same seed gives the same numbers, another seed others', () => {
  const take = (seed: number): number[] => {
    const random = new SeededRandom(seed)
    return Array.from({ length: 20 }, () => random.uint32())
  }
  assert.deepEqual(take(7), take(7))
  for (const other of [0, 8, 2 ** 32 + 7]) assert.notDeepEqual(take(7), take(other))
})

test('a run replays on every machine', () => {
  const random = new SeededRandom(1)
  assert.deepEqual(
    Array.from({ length: 3 }, () => random.uint32()),
    [2012149540, 1872316204, 1707632675],
  )
})

test('below, chance, bytes and pick keep to their ranges and reach all of them', () => {
  const random = new SeededRandom(3)
  const seen = new Array<number>(10).fill(0)
  for (let i = 0; i < 10_000; i++) seen[random.below(10)]!++
  assert.equal(seen.length, 10)
  for (const count of seen) assert.ok(count > 850 && count < 1150, `${seen.join(' ')}`)

  let heads = 0
  for (let i = 0; i < 10_000; i++) if (random.chance(0.25)) heads++
  assert.ok(heads > 2300 && heads < 2700, `${heads}`)
  assert.equal(random.chance(0), false)
  assert.equal(random.chance(1), true)

  assert.equal(new Set(random.bytes(10_000)).size, 256)
  assert.equal(random.bytes(0).length, 0)
  assert.ok([1, 2, 3].includes(random.pick([1, 2, 3])))
  assert.throws(() => random.pick([]), RangeError)
})
