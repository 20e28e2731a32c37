/**
 * Walks the live entries of a snapshot, segment after segment in the order of their numbers, each from front to back.
 *
 *   token   │ store 4 B │ segment u32 │ frame's address u48 │ entry's address u48 │
 *
 * 1. An entry is live when the index or the overlays hold its position. In a segment whose entries are being moved the
 *    index may hold its copy's position: then the key is looked up and the sequence decides.
 * 2. A key that is present throughout is not missed when a walk is resumed: whatever happens to its entry, it goes to a segment with a
 *    higher number.
 */

import { hash32 } from '../../bytes/hash.ts'
import { readU32, readU48, writeU32, writeU48 } from '../../bytes/varint.ts'
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
import { FILE_HEADER_BYTES } from '../../storage/segment-format.ts'
import {
  advance,
  DAMAGED,
  END,
  ENTRY,
  FRAME,
  NEED,
  readSpread,
  SegmentWalk,
} from '../../storage/segment-walk.ts'
import { Lookup } from './lookup.ts'
import type { LogSegment } from './segments.ts'
import { findAt, type LogSnapshot } from './snapshots.ts'
import type { LogState } from './state.ts'

const TOKEN_BYTES = 20

export class LogCursor implements EngineCursor {
  readonly #state: LogState
  readonly #snapshot: LogSnapshot
  readonly #seed: number
  readonly #lookup: Lookup
  readonly #segments: LogSegment[]
  readonly #ownsSnapshot: boolean
  readonly #extent: Buffer = Buffer.allocUnsafeSlow(256 * 1024)
  #at = 0
  #walk: SegmentWalk | undefined
  #frame = 0
  /** Where to begin in the first segment: entries before it have been seen. */
  #skip = 0
  /** The walk stands on an entry that has not been judged yet. */
  #pending = false
  /** The pending entry's key, when it runs through several windows. */
  #spreadKey: Buffer | undefined
  #closed = false

  constructor(state: LogState, request: ScanRequest, seed: number) {
    this.#state = state
    this.#seed = seed
    this.#lookup = new Lookup(state.segments, state.cache)
    this.#ownsSnapshot = request.at === undefined
    this.#snapshot = (request.at ?? state.snapshot()) as LogSnapshot
    const { number } = this.#snapshot
    this.#segments = [...state.segments.all.values(), ...state.retired]
      .filter((segment) => segment.bornAt <= number && segment.retiredAt > number)
      .sort((a, b) => a.file.number - b.file.number)
    if (request.token) this.#resume(request.token)
    else if (this.#segments.length > 0) this.#begin(FILE_HEADER_BYTES)
  }

  next(found: Found): Status {
    if (this.#snapshot.released && !this.#closed) {
      throw new KvarkError('CLOSED', 'the snapshot that this cursor walks is released')
    }
    for (;;) {
      const walk = this.#walk
      if (walk === undefined) return MISSING
      if (!this.#pending) {
        const step = walk.next()
        if (step === NEED) return this.#block(found, () => walk.fill())
        if (step === DAMAGED) {
          throw corruption(walk.source.path, walk.address, 'a block is damaged')
        }
        if (step === END) {
          this.#at++
          this.#walk = undefined
          if (this.#at < this.#segments.length) this.#begin(FILE_HEADER_BYTES)
        } else if (step === FRAME) {
          this.#frame = walk.address
        } else if (step === ENTRY && walk.entry.kind === PUT && walk.address >= this.#skip) {
          this.#pending = true
          this.#spreadKey = undefined
        }
        continue
      }
      const status = this.#judge(found, walk)
      if (status === BLOCKED) return BLOCKED
      this.#pending = false
      if (status !== MISSING) return status
    }
  }

  token(): Uint8Array {
    const token = new Uint8Array(TOKEN_BYTES)
    token.set(Buffer.from(this.#state.storeId.slice(0, 8), 'hex'))
    const walk = this.#walk
    const segment = this.#segments[this.#at]
    if (walk === undefined || segment === undefined) {
      // At the end: what is written from now on goes to later segments.
      const last = this.#segments[this.#segments.length - 1]
      writeU32(token, 4, last?.file.number ?? 0)
      writeU48(token, 8, last === undefined ? 0 : this.#frame)
      writeU48(token, 14, last?.end ?? 0)
      return token
    }
    writeU32(token, 4, segment.file.number)
    writeU48(token, 8, this.#frame)
    writeU48(token, 14, this.#pending ? walk.address : walk.position)
    return token
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#walk = undefined
    if (this.#ownsSnapshot) this.#snapshot.release()
  }

  #begin(from: number): void {
    const { file } = this.#segments[this.#at]!
    // Only whole frames can be walked.
    if (file.writer) this.#state.journal.seal()
    this.#frame = from
    this.#walk = new SegmentWalk(file, Math.min(from, file.end), file.end, this.#extent)
  }

  #resume(token: Uint8Array): void {
    const own = Buffer.from(this.#state.storeId.slice(0, 8), 'hex')
    if (token.length !== TOKEN_BYTES || !own.equals(token.subarray(0, 4))) {
      throw new KvarkError('INVALID_ARGUMENT', 'this token was not made by a cursor of this store')
    }
    const number = readU32(token, 4)
    this.#at = this.#segments.findIndex((segment) => segment.file.number >= number)
    const segment = this.#segments[this.#at]
    if (segment === undefined) {
      this.#at = this.#segments.length
      return
    }
    if (segment.file.number > number) this.#begin(FILE_HEADER_BYTES)
    else {
      this.#skip = readU48(token, 14)
      const frame = readU48(token, 8)
      this.#begin(Math.max(frame, FILE_HEADER_BYTES))
    }
  }

  /** Whether the pending entry is live, and if so what it is. */
  #judge(found: Found, walk: SegmentWalk): Status {
    const { entry } = walk
    const { keyLength } = entry
    const segment = this.#segments[this.#at]!
    let key = walk.extent
    let start = walk.at + entry.length
    if (walk.spread && start + keyLength > walk.payloadEnd) {
      if (this.#spreadKey === undefined) return this.#block(found, () => this.#readKey(walk))
      key = this.#spreadKey
      start = 0
    }
    const hash = hash32(key, start, start + keyLength, this.#seed)
    const position = segment.base + walk.address
    const { snapshots } = this.#state
    let live = snapshots.holds(this.#snapshot, hash, position)
    if (!live && segment.moving) {
      const at = this.#snapshot
      const status = findAt(this.#lookup, snapshots, at, hash, key, start, keyLength)
      if (status === BLOCKED) {
        found.block = this.#lookup.block
        return BLOCKED
      }
      live = status !== MISSING && this.#lookup.entry.sequence === entry.sequence
    }
    if (entry.sequence > this.#snapshot.sequence) live = false
    if (!live || (entry.expiry !== 0 && entry.expiry <= this.#snapshot.clock)) return MISSING
    this.#skip = 0
    found.sequence = entry.sequence
    found.expiry = entry.expiry
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
    const from = advance(walk.address, entry.length + keyLength)
    const { valueLength } = entry
    const keyCopy = Buffer.from(key.subarray(start, start + keyLength))
    found.gather = function* gather(): Routine<void> {
      state.hold(segment)
      try {
        found.bytes = yield* readSpread(segment.file, from, valueLength)
        found.start = 0
        found.end = valueLength
        found.keyBytes = keyCopy
        found.keyStart = 0
        found.keyEnd = keyLength
      } finally {
        state.letGo(segment)
      }
    }
    return SPREAD
  }

  *#readKey(walk: SegmentWalk): Routine<void> {
    const { entry, address, source } = walk
    this.#spreadKey = yield* readSpread(source, advance(address, entry.length), entry.keyLength)
  }

  #block(found: Found, load: () => Routine<void>): Status {
    const block: Block = { load: effect(load), release: () => {} }
    found.block = block
    return BLOCKED
  }
}
