/**
 * A batch of writes on its way into an engine: one arena with the keys and small values, and typed arrays that say
 * where each lies. Reused from call to call, so that a put allocates nothing.
 *
 *   bytes   │ key 0 │ value 0 │ key 1 │ value 1 │ …        values of `LARGE_VALUE_BYTES` and more stay where they
 *             ▲ keyStart[0]      valueStart[1] ▲           are and are only pointed to (`source`)
 *
 * 1. `add` first, then the key through `reserve`/`keyStart`, then the value; the store does it in that order.
 * 2. Conditions are judged against the state before the batch.
 */

import { viewOf } from '../bytes/short-copy.ts'
import type { Load } from './load.ts'
import type { Spool } from './spool.ts'

/** Store value under key. */
export const PUT = 1
/** Remove the key. */
export const DELETE = 2
/** Remove all keys from `key` (inclusive) to `value` (exclusive; empty: to the end). */
export const DELETE_RANGE = 3
export type Kind = 1 | 2 | 3

/** `expected` of an operation without a condition. */
export const UNCONDITIONAL = -1

/** Values at least this long are not copied into the arena. */
const LARGE_VALUE_BYTES = 4096

const FIRST_ARENA_BYTES = 16 * 1024
/** Arrays of eight numbers lie in V8's own heap, and cost next to nothing. */
const FIRST_OPERATIONS = 8

export class WriteBatch {
  /** Keys and small values. */
  bytes: Buffer
  /** The same, to copy short runs. */
  view: DataView
  /** Bytes of the arena in use. */
  used = 0
  /** Operations. */
  count = 0
  /** Bytes of all keys and values. */
  size = 0
  kind: Uint8Array
  keyStart: Uint32Array
  keyLength: Uint32Array
  valueStart: Uint32Array
  valueLength: Uint32Array
  /** Ms since 1970, 0: never. */
  expiry: Float64Array
  /** The version the key must have; 0: it must be absent; `UNCONDITIONAL`: anything. */
  expected: Float64Array
  /** 1 where every byte of the value is ASCII. */
  ascii: Uint8Array
  /** Large values, by operation. */
  readonly large: (Uint8Array | undefined)[] = []
  /** The value of the batch's only operation, where it was spooled. */
  spool: Spool | undefined = undefined
  /** The entries that the batch's only operation, a `DELETE_RANGE` from the first key up to the last, puts there instead. */
  load: Load | undefined = undefined
  /** Operations in front that are not its caller's: see `lastToFront`. */
  before = 0
  /** Whether any operation has a condition. */
  conditional = false
  /** `warm` has run for it: a write that still misses something reads it at once. */
  warmed = false
  /** After `REFUSED`: the operation whose condition failed, and the version that its key has (0: absent). */
  conflict = -1
  conflictVersion = 0
  /** After `DONE`: the operations that wrote nothing and have no sequence, ascending: deletions of what was not there. */
  readonly skipped: number[] = []

  /** With room for so many operations and so many bytes of keys and small values; both grow. */
  constructor(operations: number = FIRST_OPERATIONS, arenaBytes: number = FIRST_ARENA_BYTES) {
    this.bytes = Buffer.allocUnsafe(arenaBytes)
    this.view = viewOf(this.bytes)
    this.kind = new Uint8Array(operations)
    this.keyStart = new Uint32Array(operations)
    this.keyLength = new Uint32Array(operations)
    this.valueStart = new Uint32Array(operations)
    this.valueLength = new Uint32Array(operations)
    this.expiry = new Float64Array(operations)
    this.expected = new Float64Array(operations)
    this.ascii = new Uint8Array(operations)
  }

  clear(): void {
    this.used = 0
    this.count = 0
    this.size = 0
    if (this.large.length > 0) this.large.length = 0
    this.spool = undefined
    this.load = undefined
    this.before = 0
    this.conditional = false
    this.warmed = false
    this.conflict = -1
    if (this.skipped.length > 0) this.skipped.length = 0
  }

  /** Begins an operation with an empty key and value; returns its number. */
  add(kind: Kind, expected: number = UNCONDITIONAL, expiry = 0): number {
    const i = this.count++
    if (i === this.kind.length) this.#grow()
    this.kind[i] = kind
    this.keyStart[i] = this.used
    this.keyLength[i] = 0
    this.valueStart[i] = this.used
    this.valueLength[i] = 0
    this.expiry[i] = expiry
    this.expected[i] = expected
    this.ascii[i] = 0
    if (expected !== UNCONDITIONAL) this.conditional = true
    return i
  }

  /** Takes back operation `from`, also one that was only begun, and all behind it. */
  truncate(from: number): void {
    if (from === this.count) return
    for (let i = from; i < this.count; i++) this.size -= this.keyLength[i]! + this.valueLength[i]!
    this.count = from
    this.used = this.keyStart[from]!
    this.large.length = Math.min(this.large.length, from)
  }

  /**
   * Puts the last operation, which is none of the caller's, before all others: so what he wrote last has the last sequence, which is
   * the version that he gets.
   */
  lastToFront(): void {
    const last = this.count - 1
    for (const list of [
      this.kind,
      this.keyStart,
      this.keyLength,
      this.valueStart,
      this.valueLength,
      this.expiry,
      this.expected,
      this.ascii,
    ]) {
      const moved = list[last]!
      list.copyWithin(1, 0, last)
      list[0] = moved
    }
    const large = this.large[last]
    if (large !== undefined) this.large.pop()
    if (large !== undefined || this.large.length > 0) this.large.unshift(large)
    this.before++
  }

  /** Adds a copy of operation `i` of another batch, with another key if one is given; a large value is only pointed to. Returns its number. */
  copy(other: WriteBatch, i: number, key?: Uint8Array): number {
    const start = other.keyStart[i]!
    const own = key ?? other.bytes.subarray(start, start + other.keyLength[i]!)
    const from = other.valueStart[i]!
    const value = other.source(i).subarray(from, from + other.valueLength[i]!)
    const to = this.add(other.kind[i] as Kind, other.expected[i], other.expiry[i])
    // First: it may replace `bytes`.
    const at = this.reserve(own.length)
    this.bytes.set(own, at)
    this.keyWritten(to, own.length)
    this.setValue(to, value)
    this.ascii[to] = other.ascii[i]!
    return to
  }

  /** Makes room for `length` more bytes; returns where they go in `bytes`. */
  reserve(length: number): number {
    if (this.used + length > this.bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.bytes.length * 2, this.used + length))
      this.bytes.copy(larger, 0, 0, this.used)
      this.bytes = larger
      this.view = viewOf(larger)
    }
    return this.used
  }

  /** `length` bytes at `used` have become the key (they follow what the key already has). */
  keyWritten(i: number, length: number): void {
    this.used += length
    this.keyLength[i] = this.keyLength[i]! + length
    this.valueStart[i] = this.used
    this.size += length
  }

  /** `length` bytes at `used` have become the value. */
  valueWritten(i: number, length: number): void {
    this.used += length
    this.valueLength[i] = length
    this.size += length
  }

  /** Sets the value: copied when small, else pointed to. */
  setValue(i: number, value: Uint8Array): void {
    const length = value.length
    if (length < LARGE_VALUE_BYTES) {
      // First: it may replace `bytes`.
      const at = this.reserve(length)
      this.bytes.set(value, at)
      this.valueWritten(i, length)
      return
    }
    while (this.large.length < i) this.large.push(undefined)
    this.large[i] = value
    this.valueStart[i] = 0
    this.valueLength[i] = length
    this.size += length
  }

  /** The last operation's value is the batch's own from now on: whoever gave it may use its memory again. */
  ownLast(): void {
    const last = this.count - 1
    const value = this.large[last]
    // `Buffer.prototype.slice` does not copy.
    if (value !== undefined) this.large[last] = Uint8Array.prototype.slice.call(value)
  }

  /** Sets the value of `i`, the only operation: a spool that is finished. */
  setSpool(i: number, spool: Spool): void {
    this.spool = spool
    this.valueLength[i] = spool.length
    this.size += spool.length
  }

  /** Makes entries that are finished the batch's only operation: `first` and `last` are their internal keys. */
  setLoad(load: Load, first: Uint8Array, last: Uint8Array): void {
    const i = this.add(DELETE_RANGE)
    // First: it may replace `bytes`.
    const at = this.reserve(first.length)
    this.bytes.set(first, at)
    this.keyWritten(i, first.length)
    this.setValue(i, last)
    this.load = load
  }

  /** Where the value of operation `i` lies, unless it was spooled, from `valueStart[i]`. */
  source(i: number): Uint8Array {
    return i < this.large.length ? (this.large[i] ?? this.bytes) : this.bytes
  }

  /**
   * A copy that shares nothing, for a batch that has to wait: `spare`, whose memory is used again, or a new one no larger than it
   * must be, for many may wait.
   */
  detach(spare?: WriteBatch): WriteBatch {
    const { count, used } = this
    const copy = spare ?? new WriteBatch(count, used)
    copy.clear()
    while (copy.kind.length < count) copy.#grow()
    copy.reserve(used)
    this.bytes.copy(copy.bytes, 0, 0, used)
    for (let i = 0; i < count; i++) {
      copy.kind[i] = this.kind[i]!
      copy.keyStart[i] = this.keyStart[i]!
      copy.keyLength[i] = this.keyLength[i]!
      copy.valueStart[i] = this.valueStart[i]!
      copy.valueLength[i] = this.valueLength[i]!
      copy.expiry[i] = this.expiry[i]!
      copy.expected[i] = this.expected[i]!
      copy.ascii[i] = this.ascii[i]!
    }
    copy.used = used
    copy.count = count
    copy.size = this.size
    // `Buffer.prototype.slice` does not copy.
    for (const value of this.large) copy.large.push(value && Uint8Array.prototype.slice.call(value))
    copy.spool = this.spool
    copy.load = this.load
    copy.before = this.before
    copy.conditional = this.conditional
    return copy
  }

  #grow(): void {
    const length = Math.max(FIRST_OPERATIONS, this.kind.length * 2)
    for (const name of ['kind', 'ascii'] as const) {
      const larger = new Uint8Array(length)
      larger.set(this[name])
      this[name] = larger
    }
    for (const name of ['keyStart', 'keyLength', 'valueStart', 'valueLength'] as const) {
      const larger = new Uint32Array(length)
      larger.set(this[name])
      this[name] = larger
    }
    for (const name of ['expiry', 'expected'] as const) {
      const larger = new Float64Array(length)
      larger.set(this[name])
      this[name] = larger
    }
  }
}
