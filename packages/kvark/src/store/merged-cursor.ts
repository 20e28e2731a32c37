/**
 * Walks what a transaction sees: the entries of its view, with what it has written itself laid over them, as both are when the walk
 * begins.
 *
 *   view       a   b       d   e                 in order: the lesser key of both goes first, and of equal ones the transaction's
 *   pending        b' c'   ✗                     without order: first what is pending, then the view without those keys
 *   walk       a   b'  c'      e
 *
 * It notes which part of its range it has walked (`ReadSet`): up to the key that was given last, or all of it at the end.
 *
 * 1. What it hands out may be the engine's memory, or the pending batch's: as ever it is valid until the next call. An entry of the
 *    engine's that has to wait for pending ones is copied.
 * 2. When the transaction ends, or takes back what the walk sees, every further call is `CLOSED`.
 *
 * Left out: tokens. A walk of a transaction ends with it.
 */

import {
  BLOCKED,
  type EngineCursor,
  FOUND,
  MISSING,
  SPREAD,
  type Status,
} from '../engine/engine.ts'
import { Found } from '../engine/found.ts'
import { PUT, type WriteBatch } from '../engine/write-batch.ts'
import type { KvarkError } from '../errors.ts'
import { hashOf } from './key-table.ts'
import { type Cleared, isWithin, type Mark, type PendingWrites } from './pending-writes.ts'
import type { Bounds } from './range.ts'
import type { ReadSet } from './read-set.ts'

/** What stands for the version of an entry that a transaction has written itself: above all that a store can have. */
const PROVISIONAL_VERSION = 2 ** 52
const NOTHING = Buffer.alloc(0)

/** Which entries to walk, and what with. */
export interface MergeRequest extends Bounds {
  /** The view's cursor over the same range. */
  readonly theirs: EngineCursor
  readonly reverse: boolean
  readonly ordered: boolean
  readonly pending: PendingWrites
  readonly reads: ReadSet
  /** The transaction's time, ms. */
  readonly clock: number
  /** Called when the walk ends. */
  readonly ended: () => void
}

/** Points `found` to the pending put `i`. */
export function showPending(found: Found, batch: WriteBatch, i: number): void {
  found.bytes = batch.source(i) as Buffer
  found.start = batch.valueStart[i]!
  found.end = found.start + batch.valueLength[i]!
  found.sequence = PROVISIONAL_VERSION + i
  found.expiry = batch.expiry[i]!
  found.ascii = batch.ascii[i] === 1
}

/** Whether the put `i` has not ended at the time `clock`. */
export function isAlive(batch: WriteBatch, i: number, clock: number): boolean {
  const expiry = batch.expiry[i]!
  return expiry === 0 || expiry > clock
}

export abstract class MergedCursor implements EngineCursor {
  /** Why it goes on no more. */
  failure: KvarkError | undefined
  protected readonly request: MergeRequest
  protected readonly batch: WriteBatch
  /** Operations of the transaction that were there when it began. */
  readonly #operations: number
  readonly #clears: readonly Cleared[]
  #closed = false

  constructor(request: MergeRequest) {
    const { pending } = request
    this.request = request
    this.batch = pending.batch
    this.#operations = pending.count
    this.#clears = pending.clears.slice()
  }

  next(found: Found): Status {
    if (this.failure !== undefined) throw this.failure
    return this.step(found)
  }

  /** Whether it sees what was written behind the mark. Where operations have been dropped since it began, the mark is younger. */
  sees({ operations }: Mark): boolean {
    return this.batch === this.request.pending.batch && this.#operations > operations
  }

  /** Nobody keeps what this says. */
  token(): Uint8Array {
    return NOTHING
  }

  takeBack(): void {}

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.settle()
    this.request.theirs.close()
    this.request.ended()
  }

  abstract seek(key: Uint8Array, length: number): void
  protected abstract step(found: Found): Status
  /** Notes what has been walked so far. */
  protected abstract settle(): void

  /** Whether operation `i` put an entry that is there. */
  protected isVisible(i: number): boolean {
    const { batch } = this
    if (batch.kind[i] !== PUT || !isAlive(batch, i, this.request.clock)) return false
    const start = batch.keyStart[i]!
    return this.clearOf(batch.bytes, start, start + batch.keyLength[i]!, i) === undefined
  }

  /** The range that was cleared after operation `i` and has the key. */
  protected clearOf(bytes: Buffer, start: number, end: number, i: number): Cleared | undefined {
    const clears = this.#clears
    for (let n = clears.length - 1; n >= 0 && clears[n]!.at > i; n--) {
      if (isWithin(clears[n]!, bytes, start, end)) return clears[n]
    }
    return undefined
  }

  protected show(found: Found, i: number): void {
    const { batch } = this
    found.keyBytes = batch.bytes
    found.keyStart = batch.keyStart[i]!
    found.keyEnd = found.keyStart + batch.keyLength[i]!
    showPending(found, batch, i)
  }
}

/** In the order of the keys. */
class OrderedMerge extends MergedCursor {
  /** Operations of the range, in the walk's direction. */
  readonly #mine: readonly number[]
  #next = 0
  readonly #theirs: Found = new Found()
  /** How the view's next entry was found; `undefined`: it has not been looked for. */
  #status: Status | undefined
  /** It lies in memory of its own. */
  #kept = false
  /** Where the part of the range begins that is being walked: in reverse its end. */
  #begin: Buffer
  /** The key given last in it: `#last[0 .. #length)`; −1: none. */
  #last: Buffer = Buffer.allocUnsafe(64)
  #length = -1

  constructor(request: MergeRequest) {
    super(request)
    const mine = request.pending.inOrder(request)
    this.#mine = request.reverse ? mine.reverse() : mine
    this.#begin = request.reverse ? request.to : request.from
  }

  protected step(found: Found): Status {
    for (;;) {
      const status = this.#peek()
      if (status === BLOCKED) {
        found.block = this.#theirs.block
        return BLOCKED
      }
      const i = this.#mine[this.#next]
      if (i === undefined && status === MISSING) {
        this.#walked()
        return MISSING
      }
      const difference = i === undefined ? 1 : status === MISSING ? -1 : this.#compare(i)
      if (difference > 0) {
        if (this.#isCleared()) continue
        this.#status = undefined
        this.#give(found)
        this.#note(found)
        return status
      }
      this.#next++
      if (difference === 0) this.#status = undefined
      if (!this.isVisible(i!)) continue
      if (this.#status === FOUND || this.#status === SPREAD) this.#keep()
      this.show(found, i!)
      this.#note(found)
      return FOUND
    }
  }

  seek(key: Uint8Array, length: number): void {
    if (this.failure !== undefined) throw this.failure
    this.settle()
    const { reverse, theirs, from, to } = this.request
    const target = Buffer.from(key.subarray(0, length))
    this.#begin = reverse ? Buffer.concat([target, ZERO]) : target
    if (reverse && to.length > 0 && this.#begin.compare(to) > 0) this.#begin = to
    if (!reverse && this.#begin.compare(from) < 0) this.#begin = from
    this.#next = this.#mine.findIndex((i) => {
      const difference = this.#compareTo(i, target, 0, length)
      return reverse ? difference <= 0 : difference >= 0
    })
    if (this.#next < 0) this.#next = this.#mine.length
    this.#status = undefined
    theirs.seek!(target, length)
  }

  protected settle(): void {
    if (this.#length < 0) return
    const last = this.#last.subarray(0, this.#length)
    const { reads, reverse } = this.request
    if (reverse) reads.addRange(Buffer.from(last), this.#begin)
    else reads.addRange(this.#begin, Buffer.concat([last, ZERO]))
    this.#length = -1
  }

  /** The view's next entry is in `#theirs`, or there is none. */
  #peek(): Status {
    if (this.#status === undefined || this.#status === BLOCKED) {
      this.#status = this.request.theirs.next(this.#theirs)
      this.#kept = false
    }
    return this.#status
  }

  /** Where operation `i` lies seen from the view's next entry, in the walk's direction. */
  #compare(i: number): number {
    const { keyBytes, keyStart, keyEnd } = this.#theirs
    const difference = this.#compareTo(i, keyBytes, keyStart, keyEnd)
    return this.request.reverse ? -difference : difference
  }

  #compareTo(i: number, key: Buffer, start: number, end: number): number {
    const { bytes, keyStart, keyLength } = this.batch
    const from = keyStart[i]!
    return bytes.compare(key, start, end, from, from + keyLength[i]!)
  }

  /** Passes over the view's next entry if it has been removed with a range, and over the rest of that. */
  #isCleared(): boolean {
    const { keyBytes, keyStart, keyEnd } = this.#theirs
    const cleared = this.clearOf(keyBytes, keyStart, keyEnd, -1)
    if (cleared === undefined) return false
    this.#status = undefined
    const { reverse, theirs, from, to } = this.request
    // In reverse a jump may end at the first key of the range, which is one of it: from there on step by step.
    if (!reverse && cleared.to.length > 0 && (to.length === 0 || cleared.to.compare(to) < 0)) {
      theirs.seek!(cleared.to, cleared.to.length)
    } else if (reverse && cleared.from.compare(from) > 0) {
      const isFirst = keyBytes.compare(cleared.from, 0, cleared.from.length, keyStart, keyEnd) === 0
      if (!isFirst) theirs.seek!(cleared.from, cleared.from.length)
    }
    return true
  }

  #give(found: Found): void {
    const theirs = this.#theirs
    found.keyBytes = theirs.keyBytes
    found.keyStart = theirs.keyStart
    found.keyEnd = theirs.keyEnd
    found.bytes = theirs.bytes
    found.start = theirs.start
    found.end = theirs.end
    found.sequence = theirs.sequence
    found.expiry = theirs.expiry
    found.ascii = theirs.ascii
    found.part = theirs.part
  }

  /** The view's next entry has to wait: other calls into the engine may come before its turn. */
  #keep(): void {
    if (this.#kept) return
    this.#kept = true
    const theirs = this.#theirs
    const { keyStart, keyEnd, start, end } = theirs
    theirs.keyBytes = Buffer.from(theirs.keyBytes.subarray(keyStart, keyEnd))
    theirs.keyStart = 0
    theirs.keyEnd = keyEnd - keyStart
    if (this.#status === SPREAD) return
    theirs.bytes = Buffer.from(theirs.bytes.subarray(start, end))
    theirs.start = 0
    theirs.end = end - start
  }

  #note({ keyBytes, keyStart, keyEnd }: Found): void {
    const length = keyEnd - keyStart
    if (length > this.#last.length) this.#last = Buffer.allocUnsafe(2 * length)
    keyBytes.copy(this.#last, 0, keyStart, keyEnd)
    this.#length = length
  }

  /** To the end of the range. */
  #walked(): void {
    const { reads, reverse, from, to } = this.request
    if (reverse) reads.addRange(from, this.#begin)
    else reads.addRange(this.#begin, to)
    this.#length = -1
  }
}

/** In no order: who walks reads everything. */
class UnorderedMerge extends MergedCursor {
  /** The last operation of each key that was written. */
  readonly #last: readonly number[]
  #next = 0

  constructor(request: MergeRequest) {
    super(request)
    this.#last = request.pending.lastOfKeys()
    request.reads.addRange(request.from, request.to)
  }

  protected step(found: Found): Status {
    const { pending, theirs } = this.request
    const last = this.#last
    while (this.#next < last.length) {
      const i = last[this.#next++]!
      if (i < 0 || !this.#isInRange(i) || !this.isVisible(i)) continue
      this.show(found, i)
      return FOUND
    }
    for (;;) {
      const status = theirs.next(found)
      if (status === BLOCKED || status === MISSING) return status
      const { keyBytes, keyStart, keyEnd } = found
      if (last.length > 0) {
        const hash = hashOf(keyBytes, keyStart, keyEnd)
        const key = pending.keys.find(keyBytes, keyStart, keyEnd, hash)
        if (key >= 0 && key < last.length && last[key]! >= 0) continue
      }
      if (this.clearOf(keyBytes, keyStart, keyEnd, -1) === undefined) return status
    }
  }

  seek(): never {
    throw new TypeError('There is no order to seek in')
  }

  protected settle(): void {}

  #isInRange(i: number): boolean {
    const { bytes, keyStart, keyLength } = this.batch
    const start = keyStart[i]!
    return isWithin(this.request, bytes, start, start + keyLength[i]!)
  }
}

const ZERO = Buffer.alloc(1)

export function mergedCursor(request: MergeRequest): MergedCursor {
  return request.ordered ? new OrderedMerge(request) : new UnorderedMerge(request)
}
