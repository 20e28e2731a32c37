import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hash32, hashWords } from './hash.ts'
import { SeededRandom } from './random.ts'

const of = (key: Uint8Array, seed: number): number => hash32(key, 0, key.length, seed)

test('stored indexes depend on these values', () => {
  const values: [string, number, number][] = [
    ['', 0, 0x00000000],
    ['', 1, 0xda78cb40],
    ['a', 0, 0xd2e45b2e],
    ['test', 0, 0x0f542ebe],
    ['Hello, world!', 0, 0xbbed3dd7],
    ['The quick brown fox jumps over the lazy dog', 0x9747b28c, 0x3c058a5f],
  ]
  for (const [text, seed, hash] of values) {
    assert.equal(of(Buffer.from(text), seed).toString(16), hash.toString(16), text)
  }
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

test('every bit of the key, and its length, changes every bit of the hash half of the time', () => {
  const random = new SeededRandom(7)
  const keys = 2000
  for (const length of [1, 3, 4, 8, 13, 17]) {
    const flips = new Uint32Array(length * 8 * 32)
    for (let k = 0; k < keys; k++) {
      const key = random.bytes(length)
      const seed = random.uint32()
      const hash = of(key, seed)
      for (let bit = 0; bit < length * 8; bit++) {
        key[bit >>> 3]! ^= 1 << (bit & 7)
        const changed = hash ^ of(key, seed)
        key[bit >>> 3]! ^= 1 << (bit & 7)
        for (let out = 0; out < 32; out++) flips[bit * 32 + out]! += (changed >>> out) & 1
      }
    }
    // 2000 throws of a coin: 6 standard deviations are 134.
    for (const count of flips) assert.ok(Math.abs(count - keys / 2) < 134, `${length}: ${count}`)
  }
})

test('keys as people make them spread as random ones do', () => {
  const count = 1 << 16
  const kinds: Record<string, (i: number) => Uint8Array> = {
    decimal: (i) => Buffer.from(`user:${i}`),
    padded: (i) => Buffer.from(`\0${String(i).padStart(16, '0')}`),
    hex: (i) => Buffer.from(`\0${i.toString(16).padStart(8, '0')}`),
    integers: (i) => new Uint8Array(new Uint32Array([0, i, 0]).buffer),
    twice: (i) => new Uint8Array(new Uint32Array([i, i]).buffer),
    zeros: (i) => new Uint8Array(i & 0xfff ? i % 5000 : 5000 + (i >>> 12)),
    longer: (i) => Buffer.from(`/home/somebody/files/${i >>> 8}/${i & 255}.txt`),
  }
  for (const [name, make] of Object.entries(kinds)) {
    const hashes = new Set<number>()
    const keys = new Set<string>()
    for (let i = 0; i < count; i++) {
      const key = make(i)
      keys.add(Buffer.from(key).toString('latin1'))
      hashes.add(of(key, 0x2545f491))
    }
    // 65,536 random hashes of 32 bits collide 0.5 times.
    assert.ok(keys.size - hashes.size <= 5, `${name}: ${keys.size - hashes.size} collide`)
    for (const shift of [0, 8, 16, 24]) {
      const buckets = new Uint32Array(256)
      for (const hash of hashes) buckets[(hash >>> shift) & 255]!++
      const expected = hashes.size / 256
      let chiSquare = 0
      for (const found of buckets) chiSquare += (found - expected) ** 2 / expected
      // 255 degrees of freedom: the mean is 255, 6 standard deviations are 136.
      assert.ok(chiSquare < 255 + 136, `${name}, bits from ${shift}: ${chiSquare.toFixed(0)}`)
    }
  }
})
