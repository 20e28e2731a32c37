import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from './random.ts'
import { AHEAD_BYTES, copyAhead, copyShort, viewOf } from './short-copy.ts'

test('runs of every length, at every place, are copied whole, and nothing beside them', () => {
  const random = new SeededRandom(7)
  const source = Buffer.from(random.bytes(300))
  for (let length = 0; length <= 260; length++) {
    const from = random.below(20)
    const to = random.below(20)
    const target = Buffer.alloc(300, 0xee)
    const expected = Buffer.from(target)
    source.copy(expected, to, from, from + length)
    copyShort(viewOf(target), to, viewOf(source), from, length)
    assert.deepEqual(target, expected)
  }
})

test('pieces are copied whole, and nothing before them or further behind than said', () => {
  const random = new SeededRandom(8)
  for (let length = 0; length <= 70; length++) {
    const from = random.below(20)
    const to = random.below(20)
    const source = Buffer.from(random.bytes(from + length + AHEAD_BYTES))
    const target = Buffer.alloc(to + length + AHEAD_BYTES, 0xee)
    copyAhead(viewOf(target), to, viewOf(source), from, length)
    assert.deepEqual(target.subarray(0, to), Buffer.alloc(to, 0xee))
    assert.deepEqual(target.subarray(to, to + length), source.subarray(from, from + length))
  }
})
