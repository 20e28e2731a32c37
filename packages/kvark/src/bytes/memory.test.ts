import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GrowingFloats, GrowingIntegers } from './growing.ts'
import { extended, ownBytes, ownFloats, ownIntegers, release, roomFor } from './memory.ts'

test('memory of its own is zero, can be filled, and is empty when it is released', () => {
  for (const array of [ownBytes(20_000), ownFloats(20_000), ownIntegers(20_000)]) {
    assert.equal(array.length, 20_000)
    assert.ok(array.every((element) => element === 0))
    array.fill(7)
    assert.ok(array.every((element) => element === 7))
    release(array)
    assert.equal(array.buffer.byteLength, 0)
    assert.equal(array.length, 0)
  }
})

test('memory with a reserve grows in place, with zeros', () => {
  const array = ownIntegers(5000, 8000).fill(7)
  const larger = extended(array, 8000)!
  assert.equal(larger.buffer, array.buffer)
  assert.equal(larger.length, 8000)
  assert.ok(larger.every((element, i) => element === (i < 5000 ? 7 : 0)))
  assert.equal(extended(larger, 8001), undefined)
  assert.equal(extended(ownIntegers(8, 100), 9), undefined, 'small memory does not')
})

test('small memory is left to the garbage collector', () => {
  const array = ownIntegers(8)
  release(array)
  assert.equal(array.length, 8)
})

test('large memory is whole pages, as many as are wanted, but never too few', () => {
  assert.equal(roomFor(90, 100), 100)
  assert.equal(roomFor(12_000, 13_000), 12_288)
  assert.equal(roomFor(12_289, 13_000), 16_384)
  assert.equal(roomFor(20_480, 20_480), 20_480)
})

test('lists keep what is pushed while they grow', () => {
  const count = 5000
  const floats = new GrowingFloats()
  const integers = new GrowingIntegers(3)
  for (let i = 0; i < count; i++) {
    floats.push(i * 2 ** 33)
    integers.push(i)
  }
  assert.equal(floats.count, count)
  assert.equal(integers.count, count)
  for (let i = 0; i < count; i++) {
    assert.equal(floats.memory[i], i * 2 ** 33)
    assert.equal(integers.memory[i], i)
  }
})
