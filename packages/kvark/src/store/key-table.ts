/**
 * A set of internal keys, each with a number in the order in which they came: 0, 1, 2, …
 *
 *   bytes    │ key 0 │ key 1 │ key 2 │ …           one after the other
 *   slots    │ 0 │ 3 │ 0 │ 1 │ 2 │ 0 │ …           number + 1 of the key that has its place there by its hash; 0: free
 *
 * 1. Typed arrays only: a key more allocates nothing as long as there is room.
 * 2. Emptied, it keeps its room, unless that has become large: it is used for one transaction after the other.
 */

import { hash32 } from '../bytes/hash.ts'

const SEED = 0x7a11
const FIRST_KEYS = 16
const FIRST_BYTES = 1024
/** More room than this is let go. */
const KEPT_KEYS = 1024
const KEPT_BYTES = 64 * 1024
/** Up to so many bytes a loop beats the call into native code. */
const SHORT_BYTES = 48

/** The hash by which keys are looked up here. */
export function hashOf(bytes: Uint8Array, start: number, end: number): number {
  return hash32(bytes, start, end, SEED)
}

export class KeyTable {
  count = 0
  bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES)
  /** Key i: `bytes[ends[i - 1] .. ends[i])`, the first one from 0 on. */
  #ends: Float64Array = new Float64Array(FIRST_KEYS)
  #hashes: Int32Array = new Int32Array(FIRST_KEYS)
  #slots: Int32Array = new Int32Array(2 * FIRST_KEYS)

  startOf(i: number): number {
    return i === 0 ? 0 : this.#ends[i - 1]!
  }

  endOf(i: number): number {
    return this.#ends[i]!
  }

  hash(i: number): number {
    return this.#hashes[i]!
  }

  /** The number of the key `bytes[start .. end)`, −1 where it is not here. */
  find(bytes: Uint8Array, start: number, end: number, hash: number): number {
    if (this.count === 0) return -1
    const slots = this.#slots
    const mask = slots.length - 1
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const i = slots[slot]! - 1
      if (i < 0 || this.#is(i, bytes, start, end, hash)) return i
    }
  }

  /** The number of the key, which is here from then on. */
  add(bytes: Uint8Array, start: number, end: number, hash: number): number {
    const known = this.find(bytes, start, end, hash)
    if (known >= 0) return known
    const i = this.count
    if (i === this.#ends.length) this.#grow()
    const from = this.startOf(i)
    const to = from + end - start
    if (to > this.bytes.length) this.#growBytes(from, to)
    const own = this.bytes
    if (to - from > SHORT_BYTES) own.set(bytes.subarray(start, end), from)
    else for (let at = from, n = start; n < end; n++) own[at++] = bytes[n]!
    this.#ends[i] = to
    this.#hashes[i] = hash
    this.count++
    this.#enter(i)
    return i
  }

  clear(): void {
    if (this.count === 0) return
    this.count = 0
    if (this.bytes.length > KEPT_BYTES) this.bytes = Buffer.allocUnsafeSlow(FIRST_BYTES)
    if (this.#ends.length > KEPT_KEYS) {
      this.#ends = new Float64Array(FIRST_KEYS)
      this.#hashes = new Int32Array(FIRST_KEYS)
      this.#slots = new Int32Array(2 * FIRST_KEYS)
    } else this.#slots.fill(0)
  }

  #is(i: number, bytes: Uint8Array, start: number, end: number, hash: number): boolean {
    if (this.#hashes[i] !== (hash | 0)) return false
    let at = this.startOf(i)
    if (this.#ends[i]! - at !== end - start) return false
    const own = this.bytes
    for (let n = start; n < end; n++) if (own[at++] !== bytes[n]) return false
    return true
  }

  #enter(i: number): void {
    const slots = this.#slots
    const mask = slots.length - 1
    let slot = this.#hashes[i]! & mask
    while (slots[slot] !== 0) slot = (slot + 1) & mask
    slots[slot] = i + 1
  }

  #grow(): void {
    const length = 2 * this.#ends.length
    const ends = new Float64Array(length)
    ends.set(this.#ends)
    this.#ends = ends
    const hashes = new Int32Array(length)
    hashes.set(this.#hashes)
    this.#hashes = hashes
    this.#slots = new Int32Array(2 * length)
    for (let i = 0; i < this.count; i++) this.#enter(i)
  }

  #growBytes(used: number, needed: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.bytes.length, needed))
    this.bytes.copy(larger, 0, 0, used)
    this.bytes = larger
  }
}
