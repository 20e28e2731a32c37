import assert from 'node:assert/strict'
import { test } from 'node:test'
import xxhash from 'xxhash-wasm'
import { SeededRandom } from './random.ts'
import { xxh64 } from './xxh64.ts'
import { XXH64_INPUT_BYTES } from './xxh64-kernel.ts'

function of(bytes: Uint8Array, start: number, end: number, seed: number): bigint {
  const [low, high] = xxh64(bytes, start, end, seed)
  return (BigInt(high!) << 32n) | BigInt(low!)
}

test('it gives what the library gives, at every length up to 300 and at some longer ones', async () => {
  const library = await xxhash()
  const random = new SeededRandom(5)
  const bytes = random.bytes(XXH64_INPUT_BYTES + 64)
  const longer = [4096, 16_384, 65_519, 65_536, XXH64_INPUT_BYTES]
  const lengths = [...Array.from({ length: 301 }, (_, i) => i), ...longer]
  for (const length of lengths) {
    const start = random.below(64)
    const seed = random.uint32()
    const expected = library.h64Raw(bytes.subarray(start, start + length), BigInt(seed))
    assert.equal(of(bytes, start, start + length, seed), expected, `${length} bytes`)
  }
  assert.throws(() => xxh64(bytes, 0, XXH64_INPUT_BYTES + 1, 0), RangeError)
})
