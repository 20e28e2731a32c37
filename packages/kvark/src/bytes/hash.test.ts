import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hash32, hashWords } from './hash.ts'
import { SeededRandom } from './random.ts'

test('MurmurHash3 x86 32: published values', () => {
  const of = (text: string, seed: number): number => {
    const bytes = Buffer.from(text)
    return hash32(bytes, 0, bytes.length, seed)
  }
  assert.equal(of('', 0), 0)
  assert.equal(of('', 1), 0x514e28b7)
  assert.equal(of('test', 0), 0xba6bd213)
  assert.equal(of('Hello, world!', 0), 0xc0363e43)
  assert.equal(of('The quick brown fox jumps over the lazy dog', 0x9747b28c), 0x2fa826cd)
})

test('by words it gives the same, whatever lies behind the key', () => {
  const random = new SeededRandom(3)
  for (let i = 0; i < 5000; i++) {
    const bytes = random.bytes(64)
    const length = random.below(61)
    const seed = random.uint32()
    const words = new Uint32Array(bytes.slice().buffer)
    assert.equal(hashWords(words, length, seed), hash32(bytes, 0, length, seed))
  }
})
