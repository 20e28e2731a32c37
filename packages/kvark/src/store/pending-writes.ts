/**
 * What a transaction has written and nobody else sees yet: operations in the order in which they came, as one batch, and the last one
 * of each key.
 *
 *   operation    0        1        2          3        4
 *                put a    put b    clear a…c  put a    delete b
 *   last of      a: 3     b: 4                                       before them: a: 0, b: 1
 *
 * 1. Operations are only added, and taken back from the end (`rollback`); what an older number stands for stays as it is.
 * 2. A range that is cleared hides every earlier operation in it, and what the store has there.
 * 3. Values are copies: the caller's memory may change before the transaction ends.
 */

import { PUT, WriteBatch } from '../engine/write-batch.ts'
import { hashOf, KeyTable } from './key-table.ts'
import type { Bounds } from './range.ts'

/** `find`: the transaction has not written the key. */
export const UNWRITTEN = -1
/** `find`: it has removed it. */
export const REMOVED = -2

/** Replaced operations go when they take so many bytes, and more than the others. */
const MOST_REPLACED_BYTES = 64 * 1024
/** Of an operation beside its key and value. */
const OPERATION_BYTES = 64
const FIRST_ARENA_BYTES = 2048
/** A larger arena is let go after the transaction. */
const KEPT_ARENA_BYTES = 64 * 1024

/** A range that was cleared by operation `at`. */
export interface Cleared extends Bounds {
  readonly at: number
}

/** A moment to go back to. */
export interface Mark {
  readonly operations: number
  readonly clears: number
}

export class PendingWrites {
  batch: WriteBatch = newBatch()
  readonly keys: KeyTable = new KeyTable()
  readonly clears: Cleared[] = []
  /** Marks that may be gone back to. */
  marks = 0
  /** The last operation of each key, −1: none any more. */
  readonly #last: number[] = []
  /** Of each operation: its key (−1: a range), and the operation of the same key before it (−1: none). */
  readonly #keyOf: number[] = []
  readonly #before: number[] = []
  #replaced = 0
  #replacedBytes = 0
  /** Numbers of the keys, in the order of the keys, as far as they have been sorted. */
  #sorted: number[] = []

  get count(): number {
    return this.batch.count
  }

  /** The operation of the batch that was added last, a put or a deletion, is complete. */
  keyAdded(): void {
    const { batch, keys } = this
    const i = batch.count - 1
    const start = batch.keyStart[i]!
    const end = start + batch.keyLength[i]!
    const large = batch.large[i]
    if (large !== undefined) batch.large[i] = Buffer.from(large)
    const key = keys.add(batch.bytes, start, end, hashOf(batch.bytes, start, end))
    const before = key < this.#last.length ? this.#last[key]! : -1
    this.#last[key] = i
    this.#keyOf[i] = key
    this.#before[i] = before
    if (before < 0) return
    this.#replaced++
    this.#replacedBytes += this.#bytesOf(before)
    const isMuch = this.#replacedBytes > MOST_REPLACED_BYTES
    const all = batch.size + OPERATION_BYTES * batch.count
    if (isMuch && 2 * this.#replacedBytes > all && this.marks === 0) this.compact()
  }

  /** The operation of the batch that was added last, a cleared range, is complete. */
  rangeAdded(bounds: Bounds): void {
    const i = this.batch.count - 1
    this.#keyOf[i] = -1
    this.#before[i] = -1
    this.clears.push({ ...bounds, at: i })
  }

  /** The put of a key, `UNWRITTEN` or `REMOVED`. */
  find(bytes: Buffer, start: number, end: number, hash: number): number {
    const key = this.keys.find(bytes, start, end, hash)
    const at = key < 0 ? -1 : this.#last[key]!
    const { clears } = this
    for (let i = clears.length - 1; i >= 0 && clears[i]!.at > at; i--) {
      if (isWithin(clears[i]!, bytes, start, end)) return REMOVED
    }
    if (at < 0) return UNWRITTEN
    return this.batch.kind[at] === PUT ? at : REMOVED
  }

  get mark(): Mark {
    return { operations: this.batch.count, clears: this.clears.length }
  }

  /** Takes back everything since a mark. */
  rollback({ operations, clears }: Mark): void {
    for (let i = this.batch.count - 1; i >= operations; i--) {
      const key = this.#keyOf[i]!
      if (key < 0) continue
      const before = this.#before[i]!
      this.#last[key] = before
      if (before < 0) continue
      this.#replaced--
      this.#replacedBytes -= this.#bytesOf(before)
    }
    this.batch.truncate(operations)
    this.#keyOf.length = operations
    this.#before.length = operations
    this.clears.length = clears
  }

  /** Drops operations that were replaced by later ones. Whoever has the batch from before keeps what it says. */
  compact(): void {
    if (this.#replaced === 0) return
    const old = this.batch
    const batch = new WriteBatch(old.count - this.#replaced, old.used)
    let cleared = 0
    for (let i = 0; i < old.count; i++) {
      const key = this.#keyOf[i]!
      if (key >= 0 && this.#last[key] !== i) continue
      const to = batch.copy(old, i)
      this.#keyOf[to] = key
      this.#before[to] = -1
      if (key >= 0) this.#last[key] = to
      else {
        this.clears[cleared] = { ...this.clears[cleared]!, at: to }
        cleared++
      }
    }
    this.batch = batch
    this.#keyOf.length = batch.count
    this.#before.length = batch.count
    this.#replaced = 0
    this.#replacedBytes = 0
  }

  /** The last operations of the keys from `from` to `to`, in the order of the keys. */
  inOrder({ from, to }: Bounds): number[] {
    const sorted = this.#sort()
    const last = this.#last
    const operations: number[] = []
    for (let i = this.#lowerBound(sorted, from); i < sorted.length; i++) {
      const key = sorted[i]!
      if (to.length > 0 && this.#compare(key, to) >= 0) break
      if (last[key]! >= 0) operations.push(last[key]!)
    }
    return operations
  }

  /** Whether something in the range may be other than in the view. */
  touches(bounds: Bounds): boolean {
    return this.clears.length > 0 || (this.count > 0 && this.inOrder(bounds).length > 0)
  }

  /** The last operation of each key, by the key's number in `keys`. */
  lastOfKeys(): number[] {
    return this.#last.slice()
  }

  clear(): void {
    if (this.count === 0 && this.keys.count === 0) return
    if (this.batch.bytes.length > KEPT_ARENA_BYTES) this.batch = newBatch()
    else this.batch.clear()
    this.keys.clear()
    this.clears.length = 0
    this.marks = 0
    this.#last.length = 0
    this.#keyOf.length = 0
    this.#before.length = 0
    this.#replaced = 0
    this.#replacedBytes = 0
    if (this.#sorted.length > 0) this.#sorted = []
  }

  #bytesOf(i: number): number {
    return OPERATION_BYTES + this.batch.keyLength[i]! + this.batch.valueLength[i]!
  }

  /** Keys that came since the last time are sorted and merged with the others. */
  #sort(): number[] {
    const { keys } = this
    const old = this.#sorted
    if (old.length === keys.count) return old
    const compare = (a: number, b: number): number =>
      keys.bytes.compare(keys.bytes, keys.startOf(b), keys.endOf(b), keys.startOf(a), keys.endOf(a))
    const added = Array.from({ length: keys.count - old.length }, (_, i) => old.length + i)
    added.sort(compare)
    const sorted: number[] = []
    let next = 0
    for (const key of added) {
      while (next < old.length && compare(old[next]!, key) < 0) sorted.push(old[next++]!)
      sorted.push(key)
    }
    while (next < old.length) sorted.push(old[next++]!)
    this.#sorted = sorted
    return sorted
  }

  #lowerBound(sorted: readonly number[], from: Buffer): number {
    let low = 0
    let high = sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#compare(sorted[middle]!, from) < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  #compare(key: number, other: Buffer): number {
    const { keys } = this
    return keys.bytes.compare(other, 0, other.length, keys.startOf(key), keys.endOf(key))
  }
}

/** Whether a key lies in a range. */
export function isWithin({ from, to }: Bounds, bytes: Buffer, start: number, end: number): boolean {
  return (
    bytes.compare(from, 0, from.length, start, end) >= 0 &&
    (to.length === 0 || bytes.compare(to, 0, to.length, start, end) < 0)
  )
}

function newBatch(): WriteBatch {
  return new WriteBatch(undefined, FIRST_ARENA_BYTES)
}
