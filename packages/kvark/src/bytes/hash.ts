/**
 * The hash of keys: MurmurHash3 x86 32-bit (Austin Appleby, public domain), seeded per store so that nobody who chooses
 * keys can make them collide without knowing the seed.
 */

/** Hash of `bytes[start .. end)`: an integer 0 … 2^32 − 1. */
export function hash32(bytes: Uint8Array, start: number, end: number, seed: number): number {
  let h = seed | 0
  let at = start
  const blocks = end - ((end - start) & 3)
  while (at < blocks) {
    let k = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    at += 4
    k = Math.imul(k, 0xcc9e2d51)
    k = Math.imul((k << 15) | (k >>> 17), 0x1b873593)
    h ^= k
    h = Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64
  }
  if (at < end) {
    let k = bytes[at]!
    if (at + 1 < end) k |= bytes[at + 1]! << 8
    if (at + 2 < end) k |= bytes[at + 2]! << 16
    k = Math.imul(k, 0xcc9e2d51)
    h ^= Math.imul((k << 15) | (k >>> 17), 0x1b873593)
  }
  h ^= end - start
  h ^= h >>> 16
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/**
 * The same hash of the first `length` bytes of `words`, on little-endian machines: a word at a time, in a third of the
 * time. What lies behind `length` in the last word does not matter.
 */
export function hashWords(words: Uint32Array, length: number, seed: number): number {
  let h = seed | 0
  const blocks = length >>> 2
  for (let i = 0; i < blocks; i++) {
    let k = Math.imul(words[i]!, 0xcc9e2d51)
    k = Math.imul((k << 15) | (k >>> 17), 0x1b873593)
    h ^= k
    h = Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64
  }
  const rest = length & 3
  if (rest !== 0) {
    const k = Math.imul(words[blocks]! & ((1 << (rest * 8)) - 1), 0xcc9e2d51)
    h ^= Math.imul((k << 15) | (k >>> 17), 0x1b873593)
  }
  h ^= length
  h ^= h >>> 16
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
