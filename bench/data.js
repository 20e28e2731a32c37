// @ts-check
// Keys and values that a number stands for, so that what is read can be checked without keeping what was written.
// Strings are made flat and one after the other: a string pieced together, or one that lies far away in memory,
// costs more to hash than the whole read that is to be measured.

export const KEY_BYTES = 16

/** A prime above all counts, so that its multiples meet every number. */
const STRIDE = 1_610_612_741

/** So many that equal pieces of it rarely lie near each other. A power of two. */
const NOISE_BYTES = 1024 * 1024

const HEX = Buffer.from('0123456789abcdef', 'latin1')
const keyBytes = Buffer.alloc(KEY_BYTES)

/**
 * The key of `i`: 16 hex digits, another for every number of 32 bits. Counting up gives them in random order.
 *
 * @param {number} i
 */
export function key(i) {
  writeKey(keyBytes, i)
  return keyBytes.toString('latin1')
}

/**
 * Values of `bytes` bytes, at least 24. After what tells them apart, half of each is text that repeats, the other half
 * looks random: about as much can be compressed as in real data.
 *
 * @param {number} bytes
 * @returns {(i: number, round: number) => string} the value that belongs to key `i` after the writes of `round`
 */
export function values(bytes) {
  const scratch = Buffer.alloc(bytes, 'kvark ')
  const randomBytes = Math.max(0, (bytes - KEY_BYTES) >> 1)
  const noise = noiseOf(NOISE_BYTES + randomBytes)
  return (i, round) => {
    const from = (mix(i) ^ round) & (NOISE_BYTES - 1)
    noise.copy(scratch, bytes - randomBytes, from, from + randomBytes)
    writeKey(scratch, i)
    hex(scratch, KEY_BYTES, round)
    return scratch.toString('latin1')
  }
}

/**
 * The numbers below `count` in the order of their keys.
 *
 * @param {number} count
 */
export function inKeyOrder(count) {
  const order = Uint32Array.from({ length: count }, (_, i) => i)
  return order.sort((a, b) => (mix(a) >>> 0) - (mix(b) >>> 0))
}

/**
 * The numbers below `count` in a random order, the same for the same seed.
 *
 * @param {number} count
 * @param {number} seed
 */
export function shuffled(count, seed) {
  const order = Uint32Array.from({ length: count }, (_, i) => i)
  const next = random(seed)
  for (let i = count - 1; i > 0; i--) {
    const j = next() % (i + 1)
    const other = /** @type {number} */ (order[j])
    order[j] = /** @type {number} */ (order[i])
    order[i] = other
  }
  return order
}

/**
 * A source of random numbers of 32 bits, the same ones for the same seed.
 *
 * @param {number} seed
 */
export function random(seed) {
  let state = mix(seed) || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
}

/**
 * The `n`th of the numbers below `count`, each once and scattered, without a table of them.
 *
 * @param {number} n
 * @param {number} count
 */
export function scattered(n, count) {
  return (n * STRIDE) % count
}

/**
 * Letters, digits and signs without a pattern.
 *
 * @param {number} bytes
 */
function noiseOf(bytes) {
  const next = random(1)
  return Buffer.from(Uint8Array.from({ length: bytes }, () => 35 + ((next() >>> 8) % 64)))
}

/**
 * @param {Buffer} target
 * @param {number} i
 */
function writeKey(target, i) {
  // The first half alone tells numbers apart: `mix` maps no two to one.
  hex(target, 0, mix(i))
  hex(target, 8, mix(i + 0x9e3779b9))
}

/**
 * @param {Buffer} target
 * @param {number} at
 * @param {number} word
 */
function hex(target, at, word) {
  for (let k = 0; k < 8; k++) {
    target[at + k] = /** @type {number} */ (HEX[(word >>> (28 - 4 * k)) & 15])
  }
}

/**
 * The last step of MurmurHash3: one to one on 32 bits.
 *
 * @param {number} word
 */
function mix(word) {
  let h = word | 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}
