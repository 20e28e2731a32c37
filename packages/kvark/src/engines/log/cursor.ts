/**
 * Walks the live entries of a snapshot, as far as their keys lie in the range, in the order in which they were written.
 *
 *   token   │ store 4 B │ sequence of the last entry given u48 │
 *
 * 1. An entry is live when the index or the overlays hold its position. In a segment whose entries are being moved the
 *    index may hold its copy's position: then the key is looked up and the sequence decides.
 * 2. A resumed walk misses no key that is present throughout, wherever compaction has put it: either its entry has been given,
 *    or its sequence is higher than the token's. And it ends, for it only goes forward.
 */

import { hash32 } from '../../bytes/hash.ts'
import { readU48, writeU48 } from '../../bytes/varint.ts'
import {
  BLOCKED,
  type EngineCursor,
  FOUND,
  MISSING,
  type ScanRequest,
  SPREAD,
  type Status,
} from '../../engine/engine.ts'
import type { Found } from '../../engine/found.ts'
import { PUT } from '../../engine/write-batch.ts'
import { effect, type Routine } from '../../environment/routine.ts'
import { corruption, KvarkError } from '../../errors.ts'
import type { Block } from '../../storage/cache.ts'
import { ASCII_VALUE } from '../../storage/entry.ts'
import {
  advance,
  DAMAGED,
  END,
  NEED,
  readSpread,
  type SegmentWalk,
} from '../../storage/segment-walk.ts'
import { Lookup } from './lookup.ts'
import { type Lane, Merge } from './merge.ts'
import type { LogSegment } from './segments.ts'
import { findAt, type LogSnapshot } from './snapshots.ts'
import type { LogState } from './state.ts'
import { readPart } from './value-part.ts'

const TOKEN_BYTES = 10

export class LogCursor implements EngineCursor {
  readonly #state: LogState
  readonly #snapshot: LogSnapshot
  readonly #seed: number
  readonly #lookup: Lookup
  readonly #ownsSnapshot: boolean
  readonly #from: Uint8Array
  readonly #to: Uint8Array
  #merge: Merge<LogSegment> | undefined
  /** Sequence of the last entry given. */
  #after = 0
  /** The merge stands on an entry that has not been judged yet. */
  #pending = false
  /** To judge it has taken something that was not in memory. */
  #blocked = false
  /** The pending entry's key, when it runs through several windows. */
  #spreadKey: Buffer | undefined
  #closed = false

  constructor(state: LogState, request: ScanRequest, seed: number) {
    this.#state = state
    this.#seed = seed
    this.#lookup = new Lookup(state.segments, state.cache)
    this.#ownsSnapshot = request.at === undefined
    this.#from = request.from
    this.#to = request.to
    this.#snapshot = (request.at ?? state.snapshot()) as LogSnapshot
    if (request.token) this.#after = this.#read(request.token)
    this.#merge = new Merge(this.#lanes(), this.#after)
  }

  next(found: Found): Status {
    if (this.#snapshot.released && !this.#closed) {
      throw new KvarkError('CLOSED', 'The snapshot that this cursor walks is released.')
    }
    for (;;) {
      const merge = this.#merge
      if (merge === undefined) return MISSING
      if (!this.#pending) {
        const step = merge.next()
        if (step === NEED) return this.#block(found, () => merge.fill())
        if (step === DAMAGED) {
          throw corruption(merge.walk.source.path, merge.walk.address, 'a block is damaged')
        }
        if (step === END || merge.walk.entry.sequence > this.#snapshot.sequence) {
          this.#after = Math.max(this.#after, this.#snapshot.sequence)
          this.#merge = undefined
          return MISSING
        }
        if (merge.walk.entry.kind !== PUT) continue
        this.#pending = true
        this.#blocked = false
        this.#spreadKey = undefined
      }
      const status = this.#judge(found, merge.walk, merge.segment)
      if (status === BLOCKED) return BLOCKED
      this.#pending = false
      if (status !== MISSING) {
        this.#after = found.sequence
        return status
      }
    }
  }

  token(): Uint8Array {
    const token = new Uint8Array(TOKEN_BYTES)
    token.set(this.#store())
    writeU48(token, 4, this.#after)
    return token
  }

  takeBack(): void {
    this.#after--
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#merge = undefined
    if (this.#ownsSnapshot) this.#snapshot.release()
  }

  /** The segments that the snapshot sees and that have something to give. */
  #lanes(): Lane<LogSegment>[] {
    const state = this.#state
    const { number, sequence } = this.#snapshot
    return [...state.segments.all.values(), ...state.retired]
      .filter((one) => one.bornAt <= number && one.retiredAt > number)
      .filter((one) => one.minSequence <= sequence && one.maxSequence > this.#after)
      .map((segment) => ({
        segment,
        source: segment.file,
        minSequence: segment.minSequence,
        end: () => {
          // Only whole frames can be walked.
          if (segment.file.writer) state.journal.seal()
          return segment.file.end
        },
        chain: () => segment.file.chain(),
      }))
  }

  #store(): Buffer {
    return Buffer.from(this.#state.storeId.slice(0, 8), 'hex')
  }

  #read(token: Uint8Array): number {
    if (token.length !== TOKEN_BYTES || !this.#store().equals(token.subarray(0, 4))) {
      throw new KvarkError(
        'INVALID_ARGUMENT',
        'This token was not made by a cursor of this store. Begin without one.',
      )
    }
    return readU48(token, 4)
  }

  /** Whether the pending entry is live, and if so what it is. */
  #judge(found: Found, walk: SegmentWalk, segment: LogSegment): Status {
    const { entry } = walk
    const { keyLength } = entry
    let key = walk.extent
    let start = walk.at + entry.length
    if (walk.spread && start + keyLength > walk.payloadEnd) {
      if (this.#spreadKey === undefined) return this.#block(found, () => this.#readKey(walk))
      key = this.#spreadKey
      start = 0
    }
    if (isBelow(key, start, keyLength, this.#from)) return MISSING
    if (this.#to.length > 0 && !isBelow(key, start, keyLength, this.#to)) return MISSING
    const hash = hash32(key, start, start + keyLength, this.#seed)
    const position = segment.base + walk.address
    const { snapshots } = this.#state
    let live = snapshots.holds(this.#snapshot, hash, position)
    if (!live && segment.moving) {
      const at = this.#snapshot
      const status = findAt(this.#lookup, snapshots, at, hash, key, start, keyLength)
      if (status === BLOCKED) {
        const block = this.#lookup.block!
        // Many dead entries may be passed by in one call, and each takes a page.
        found.block = this.#blocked ? block : { ...block, alone: true }
        this.#blocked = true
        return BLOCKED
      }
      live = status !== MISSING && this.#lookup.entry.sequence === entry.sequence
    }
    if (!live) return MISSING
    if (entry.expiry !== 0 && entry.expiry <= this.#snapshot.clock) {
      this.#state.judged = true
      return MISSING
    }
    found.sequence = entry.sequence
    found.expiry = entry.expiry
    found.ascii = (entry.flags & ASCII_VALUE) !== 0
    found.keyBytes = key
    found.keyStart = start
    found.keyEnd = start + keyLength
    if (!walk.spread) {
      found.bytes = walk.extent
      found.start = start + keyLength
      found.end = found.start + entry.valueLength
      return FOUND
    }
    const state = this.#state
    const from = advance(segment.file.form, walk.address, entry.length + keyLength)
    const { valueLength } = entry
    found.keyBytes = Buffer.from(key.subarray(start, start + keyLength))
    found.keyStart = 0
    found.keyEnd = keyLength
    found.start = 0
    found.end = valueLength
    found.part = (at, length) =>
      readPart(state, segment, advance(segment.file.form, from, at), length)
    return SPREAD
  }

  *#readKey(walk: SegmentWalk): Routine<void> {
    const { entry, address, source } = walk
    this.#spreadKey = yield* readSpread(
      source,
      advance(source.form, address, entry.length),
      entry.keyLength,
    )
  }

  #block(found: Found, load: () => Routine<void>): Status {
    const block: Block = { load: effect(load), release: () => {} }
    found.block = block
    return BLOCKED
  }
}

/** Whether the key comes before `bound`, which is short: nearly always one byte. */
function isBelow(bytes: Uint8Array, start: number, length: number, bound: Uint8Array): boolean {
  for (let i = 0; i < bound.length; i++) {
    if (i === length) return true
    const difference = bytes[start + i]! - bound[i]!
    if (difference !== 0) return difference < 0
  }
  return false
}
