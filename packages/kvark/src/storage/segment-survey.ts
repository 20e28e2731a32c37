/**
 * Reads what a damaged segment still has, from front to back, and tells what it has not.
 *
 *   walk ─► entries that are whole ─► reader          what cannot be read between them ─► `lost`
 *
 * 1. Only what a checksum vouches for is told. Where entries begin is known from the start of a frame only: behind a damaged block they
 *    cannot be told apart until the next frame, and nobody guesses, for what is in a value may look like an entry.
 * 2. The entries of a frame that is damaged in part are told, so of a batch some may be there and some not.
 * 3. An end that is not complete is taken back in silence where it may never have been durable: a crash leaves that.
 * 4. A value that runs through several windows counts when all blocks of it are there, of one frame and in a row.
 *
 * Left out: which segments there are (`segment-remains.ts`), and what becomes of the entries.
 */

import type { Environment } from '../environment/environment.ts'
import type { Routine } from '../environment/routine.ts'
import type { Segment } from './segment.ts'
import { FILE_HEADER_BYTES } from './segment-format.ts'
import type { Remains } from './segment-remains.ts'
import {
  advance,
  COMPLETE,
  DAMAGED,
  END,
  ENTRY,
  FRAME,
  NEED,
  readSpread,
  SegmentWalk,
} from './segment-walk.ts'

/** An entry over several windows. */
export interface SpreadEntry {
  readonly address: number
  readonly kind: number
  readonly flags: number
  readonly sequence: number
  readonly expiry: number
  /** Bytes of all of it, in the payloads. */
  readonly total: number
  readonly keyAddress: number
  readonly keyLength: number
  readonly valueLength: number
  /** The key, unless that runs through several windows, too. */
  readonly key: Buffer | undefined
}

/** Who is told. */
export interface SurveyReader {
  /** A frame begins, or is complete: `undo` goes back to here. */
  mark(): Routine<void>
  /** The entry that the walk has reported is whole, and its bytes are at hand. */
  entry(walk: SegmentWalk): void
  /** An entry over several windows is whole; `readSpread` reads it. */
  spread(entry: SpreadEntry): Routine<void>
  /** A frame is over, whole or not. */
  ended(): void
  /** What came since the last `mark` has never been. */
  undo(): void
  /** Sequences up to this one have been given out. */
  given(sequence: number): void
  /** `broken`: entries that begin there. */
  lost(from: number, to: number, reason: string, broken: readonly SpreadEntry[]): void
}

export class SegmentSurvey {
  readonly #environment: Environment
  readonly #remains: Remains
  readonly #file: Segment
  readonly #reader: SurveyReader
  /** Behind the last thing that is whole. */
  #read = FILE_HEADER_BYTES
  /** Checksum of the frame before; `undefined`: behind damage, and before the first frame where the header is lost. */
  #link: number | undefined
  #inFrame = false
  /** Where what cannot be read begins, −1: it can. */
  #lostFrom = -1
  /** An entry over several windows, of which not all has been seen yet. */
  #pending: SpreadEntry | undefined
  /** Entries that turned out not to be whole, of the range that is being lost. */
  readonly #broken: SpreadEntry[] = []

  constructor(environment: Environment, remains: Remains, reader: SurveyReader) {
    this.#environment = environment
    this.#remains = remains
    this.#file = remains.file
    this.#reader = reader
    this.#link = remains.first
  }

  /** `mayEnd`: whether an end at that address may be all that was durable. */
  *run(mayEnd: (address: number) => boolean): Routine<void> {
    const reader = this.#reader
    const walk = SegmentWalk.salvaging(this.#file, this.#file.end)
    walk.entry.references = this.#remains.references
    for (;;) {
      const step = walk.next()
      if (step === NEED) {
        yield* this.#environment.pause
        yield* walk.fill()
      } else if (step === FRAME) {
        this.#frame(walk)
        yield* reader.mark()
      } else if (step === ENTRY) {
        yield* this.#settle()
        this.#entry(walk)
      } else if (step === COMPLETE) {
        yield* this.#settle()
        this.#complete(walk)
        yield* reader.mark()
      } else if (step === DAMAGED) {
        this.#damaged(walk.address)
        walk.skipDamage()
      } else if (step === END) break
    }
    this.#end(mayEnd)
  }

  #frame(walk: SegmentWalk): void {
    const { address } = walk
    const { previousChecksum, firstSequence, syncedSequence } = walk.frame!
    if (this.#inFrame) this.#damaged(this.#read)
    if (this.#lostFrom >= 0) this.#found(address)
    else if (this.#link === undefined ? address > this.#read : this.#link !== previousChecksum) {
      // Nothing but zeros, and yet something has been there.
      this.#lose(this.#read, address, 'a part of the segment is missing')
    }
    this.#reader.ended()
    this.#inFrame = true
    this.#read = walk.position
    this.#reader.given(Math.max(firstSequence - 1, syncedSequence))
  }

  #entry(walk: SegmentWalk): void {
    const { entry, extent, address } = walk
    const { kind, flags, sequence, expiry, total, keyLength, valueLength } = entry
    const keyAt = walk.at + entry.length
    this.#reader.given(sequence)
    if (!walk.spread) {
      this.#read = walk.position
      this.#reader.entry(walk)
      return
    }
    const isKeyHere = keyAt + keyLength <= walk.payloadEnd
    this.#pending = {
      address,
      kind,
      flags,
      sequence,
      expiry,
      total,
      keyAddress: advance(this.#file.form, address, entry.length),
      keyLength,
      valueLength,
      key: isKeyHere ? Buffer.from(extent.subarray(keyAt, keyAt + keyLength)) : undefined,
    }
  }

  /** The walk has come to what lies behind an entry over several windows: all of that is there. */
  *#settle(): Routine<void> {
    const pending = this.#pending
    if (pending === undefined) return
    this.#pending = undefined
    yield* this.#reader.spread(pending)
  }

  #complete(walk: SegmentWalk): void {
    if (this.#lostFrom >= 0) this.#found(walk.position)
    this.#link = walk.checksum
    this.#read = walk.position
    this.#inFrame = false
    this.#reader.ended()
  }

  /** Something cannot be read from `address` on. */
  #damaged(address: number): void {
    const pending = this.#pending
    this.#inFrame = false
    this.#link = undefined
    this.#pending = undefined
    if (pending) this.#broken.push(pending)
    if (this.#lostFrom < 0) this.#lostFrom = pending?.address ?? address
  }

  /** From `to` on it can be read again. */
  #found(to: number): void {
    this.#lose(this.#lostFrom, to, 'blocks are damaged')
    this.#lostFrom = -1
  }

  #end(mayEnd: (address: number) => boolean): void {
    const { least } = this.#remains
    const { end } = this.#file
    const incomplete = this.#inFrame || this.#lostFrom >= 0
    if (!incomplete && this.#read >= least) {
      this.#reader.ended()
      return
    }
    if (this.#inFrame) this.#damaged(this.#read)
    const from = this.#lostFrom < 0 ? this.#read : this.#lostFrom
    if (this.#read >= least && mayEnd(this.#read)) {
      this.#reader.undo()
      return
    }
    this.#reader.ended()
    this.#lose(
      from,
      Math.max(end, least),
      from >= end ? 'the file is cut short' : 'blocks are damaged',
    )
  }

  #lose(from: number, to: number, reason: string): void {
    this.#reader.lost(from, to, reason, this.#broken.splice(0))
  }
}

/** The key of an entry over several windows. */
export function* keyOf(
  file: Segment,
  { key, keyAddress, keyLength }: SpreadEntry,
): Routine<Buffer> {
  return key ?? (yield* readSpread(file, keyAddress, keyLength))
}
