/**
 * The keys, ranges and values of model runs. Keys are few, so that every one meets everything, and of all lengths that are coded in
 * another way; values are windows on one pool, half of which repeats itself, so that making one costs nothing.
 */

import type { SeededRandom } from '../../bytes/random.ts'

/** Lengths of keys, one after the other; lengths are coded in 1 byte up to 127, in 2 above. */
const KEY_BYTES = [1, 2, 3, 8, 12, 16, 16, 20, 24, 31, 32, 33, 48, 63, 64, 100, 126, 127, 128, 129]
/** Every so many keys one is long. */
const LONG_EVERY = 50
const LONG_KEY_BYTES = [255, 8192, 256, 800, 2000, 4000]

const POOL_BYTES = 256 * 1024
const REPEATED = Buffer.from('kvark keeps what it was given. ')

export interface ModelKey {
  readonly bytes: Uint8Array
  /** A character for each byte. */
  readonly text: string
  /** For people: `key 7 (12 bytes)`. */
  readonly name: string
}

/** `count` keys that differ, of which one in `longEvery` is long; the first is empty. */
export function modelKeys(count: number, longEvery: number = LONG_EVERY): ModelKey[] {
  return Array.from({ length: count }, (_, i) => {
    const length =
      i % longEvery === longEvery - 1
        ? LONG_KEY_BYTES[Math.floor(i / longEvery) % LONG_KEY_BYTES.length]!
        : KEY_BYTES[i % KEY_BYTES.length]!
    const bytes = i === 0 ? Buffer.alloc(0) : keyBytes(i, length)
    return { bytes, text: bytes.toString('latin1'), name: `key ${i} (${bytes.length} bytes)` }
  })
}

/** The number of the key stands at its end, so that long keys share all but that. */
function keyBytes(i: number, length: number): Buffer {
  const number = i < 256 ? [i] : [i >>> 8, i & 255]
  const padding = Buffer.alloc(Math.max(0, length - number.length), 'ab')
  // What is too short for its number would be another key.
  return Buffer.concat([padding, Buffer.from(number)])
}

/** A part of the keys, as a walk takes it. */
export interface KeySpan {
  readonly options: { readonly gte?: Uint8Array; readonly lt?: Uint8Array; readonly reverse?: true }
  readonly has: (key: ModelKey) => boolean
}

export const ALL_KEYS: KeySpan = { options: {}, has: () => true }

/** From one of the keys up to another, from the end in half of the cases. */
export function randomSpan(random: SeededRandom, keys: readonly ModelKey[]): KeySpan {
  const [a, b] = [random.pick(keys), random.pick(keys)].sort(inOrder) as [ModelKey, ModelKey]
  const reverse = random.chance(0.5)
  return {
    options: { gte: a.bytes, lt: b.bytes, ...(reverse && { reverse }) },
    has: (key) => inOrder(a, key) <= 0 && inOrder(key, b) < 0,
  }
}

/** Of a span, what is behind a key that was sought. */
export function spanFrom({ options, has }: KeySpan, sought: ModelKey): KeySpan {
  const sign = options.reverse ? -1 : 1
  return { options, has: (key) => has(key) && sign * inOrder(key, sought) >= 0 }
}

export class ValuePool {
  readonly #pool: Buffer

  constructor(random: SeededRandom) {
    this.#pool = Buffer.alloc(POOL_BYTES, REPEATED)
    for (let at = 0; at < POOL_BYTES; at += 64) {
      // Of 64 bytes, 32 do not compress.
      for (let i = 0; i < 8; i++) this.#pool.writeUInt32LE(random.below(2 ** 32), at + 4 * i)
    }
  }

  /** A value of `length` bytes that is nearly always unlike all others. */
  take(length: number, random: SeededRandom): Uint8Array {
    const start = random.below(POOL_BYTES - Math.min(length, POOL_BYTES - 1))
    if (start + length <= POOL_BYTES) return this.#pool.subarray(start, start + length)
    const long = Buffer.alloc(length, this.#pool)
    long.writeUInt32LE(random.below(2 ** 32))
    return long
  }
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0
}

/** Both in the order of their bytes. */
export function inOrder(a: ModelKey, b: ModelKey): number {
  return Buffer.compare(a.bytes, b.bytes)
}

/** For people: enough of a value to tell it from others. */
export function shownValue(value: Uint8Array | undefined): string {
  if (value === undefined) return 'nothing'
  const start = Buffer.from(value.buffer, value.byteOffset, Math.min(8, value.length))
  return `${value.length} bytes ${start.toString('hex')}…`
}
