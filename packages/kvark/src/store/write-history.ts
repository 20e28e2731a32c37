/**
 * What was written lately: the keys and the ranges, in the order of the writes, as far back as somebody may ask.
 *
 *   position    0 … 41 │ 42 │ 43 │ 44 │ 45 │ …            forgotten │ kept │ next one: `end`
 *                        key  key  range key
 *
 * 1. A position is never used twice. Whoever notes `end` and asks later hears of every write that came in between, or that it
 *    is not known any more (`knows`).
 * 2. It is bounded: when there is more than it keeps, it forgets the older half.
 */

import { DELETE_RANGE, type WriteBatch } from '../engine/write-batch.ts'
import { hashOf } from './key-table.ts'

/** At most so many keys and ranges, and so many bytes of them. */
export const MOST_WRITES = 65_536
const MOST_BYTES = 8 * 1024 * 1024
const FIRST_WRITES = 64
const FIRST_BYTES = 4096

/** Hears of a key, or of a range, that was written; `true`: that is enough. */
export interface WriteVisitor {
  key(bytes: Buffer, start: number, end: number, hash: number): boolean
  /** From the first (inclusive) to the second (exclusive; empty: to the end). */
  range(from: Buffer, to: Buffer): boolean
}

export class WriteHistory {
  /** Position of the next write. */
  end = 0
  /** Position of the first one that is kept. */
  #begin = 0
  #bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES)
  #used = 0
  /** By position, from `#begin` on: where its bytes end, its hash, and the length of the key that a range begins with (−1: no range). */
  #ends: Float64Array = new Float64Array(FIRST_WRITES)
  #hashes: Int32Array = new Int32Array(FIRST_WRITES)
  #firsts: Float64Array = new Float64Array(FIRST_WRITES)

  /** Whether every write from `position` on is kept. */
  knows(position: number): boolean {
    return position >= this.#begin
  }

  add(batch: WriteBatch): void {
    const { count, bytes } = batch
    if (count > MOST_WRITES) {
      this.end += count
      this.forget()
      return
    }
    for (let i = 0; i < count; i++) {
      const start = batch.keyStart[i]!
      const length = batch.keyLength[i]!
      if (batch.kind[i] !== DELETE_RANGE) {
        this.#reserve(length)
        bytes.copy(this.#bytes, this.#used, start, start + length)
        this.#written(length, hashOf(bytes, start, start + length), -1)
        continue
      }
      const from = batch.valueStart[i]!
      const to = batch.valueLength[i]!
      // Of a load the last key belongs to it: the least key above it has a zero byte more.
      const more = batch.load === undefined ? 0 : 1
      this.#reserve(length + to + more)
      bytes.copy(this.#bytes, this.#used, start, start + length)
      this.#bytes.set(batch.source(i).subarray(from, from + to), this.#used + length)
      if (more === 1) this.#bytes[this.#used + length + to] = 0
      this.#written(length + to + more, 0, length)
    }
  }

  /** Tells of the writes from `position` on, until one is enough; whether one was. */
  tell(position: number, visitor: WriteVisitor): boolean {
    const bytes = this.#bytes
    const count = this.end - this.#begin
    for (let i = position - this.#begin; i < count; i++) {
      const start = i === 0 ? 0 : this.#ends[i - 1]!
      const end = this.#ends[i]!
      const first = this.#firsts[i]!
      const enough =
        first < 0
          ? visitor.key(bytes, start, end, this.#hashes[i]!)
          : visitor.range(bytes.subarray(start, start + first), bytes.subarray(start + first, end))
      if (enough) return true
    }
    return false
  }

  /** Nobody asks for what was written before `position`. */
  trim(position: number): void {
    const kept = this.end - position
    if (kept <= 0) {
      this.forget()
      return
    }
    const gone = position - this.#begin
    // Moving the rest should not cost more than what has gone.
    if (gone >= FIRST_WRITES && gone >= kept) this.#drop(gone)
  }

  /** Forgets the first `gone` writes, of which there are more. */
  #drop(gone: number): void {
    const kept = this.end - this.#begin - gone
    const at = this.#ends[gone - 1]!
    this.#bytes.copyWithin(0, at, this.#used)
    this.#used -= at
    for (let i = 0; i < kept; i++) this.#ends[i] = this.#ends[gone + i]! - at
    this.#hashes.copyWithin(0, gone, gone + kept)
    this.#firsts.copyWithin(0, gone, gone + kept)
    this.#begin += gone
  }

  /** Everything so far is not known any more. */
  forget(): void {
    this.#begin = this.end
    this.#used = 0
    if (this.#bytes.length > MOST_BYTES / 8) this.#bytes = Buffer.allocUnsafeSlow(FIRST_BYTES)
  }

  #reserve(length: number): void {
    while (this.end - this.#begin === MOST_WRITES || this.#used + length > MOST_BYTES) {
      const half = (this.end - this.#begin) >>> 1
      if (half === 0) {
        this.forget()
        break
      }
      this.#drop(half)
    }
    if (this.end - this.#begin === this.#ends.length) this.#grow()
    if (this.#used + length <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#bytes.length, this.#used + length))
    this.#bytes.copy(larger, 0, 0, this.#used)
    this.#bytes = larger
  }

  #written(length: number, hash: number, first: number): void {
    const i = this.end - this.#begin
    this.#used += length
    this.#ends[i] = this.#used
    this.#hashes[i] = hash
    this.#firsts[i] = first
    this.end++
  }

  #grow(): void {
    const length = 2 * this.#ends.length
    const ends = new Float64Array(length)
    ends.set(this.#ends)
    this.#ends = ends
    const firsts = new Float64Array(length)
    firsts.set(this.#firsts)
    this.#firsts = firsts
    const hashes = new Int32Array(length)
    hashes.set(this.#hashes)
    this.#hashes = hashes
  }
}
