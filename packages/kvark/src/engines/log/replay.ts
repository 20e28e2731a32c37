/**
 * Takes segments back into the index: the journal behind the stored index, as `storage/journal-recovery.ts` reads it, or everything
 * when there is none.
 *
 *   begin ─► entry … ─► complete: a clear in the frame forgets what came before it      packed: all of a segment that compaction wrote
 *                    └─► undo                                                           finish: the index is whole
 *
 * 1. No entry of an incomplete frame reaches the index, nor does its clear.
 * 2. What the stored index has already is passed over, shard by shard.
 */

import { DELETE, DELETE_RANGE } from '../../engine/write-batch.ts'
import type { Routine } from '../../environment/routine.ts'
import { corruption } from '../../errors.ts'
import { type FrameReader, readPart } from '../../storage/journal-recovery.ts'
import type { Segment } from '../../storage/segment.ts'
import { FILE_HEADER_BYTES } from '../../storage/segment-format.ts'
import { DAMAGED, END, ENTRY, FRAME, NEED, SegmentWalk } from '../../storage/segment-walk.ts'
import { Absorber } from './absorb.ts'
import type { CheckpointFooter } from './checkpoint.ts'
import { HashIndex } from './hash-index.ts'
import type { LogSegment } from './segments.ts'
import type { LogState } from './state.ts'

/** What was read of the stored index. */
export interface StoredIndex {
  readonly footer: CheckpointFooter
  /** Up to which sequence each shard is complete. */
  readonly sequences: Float64Array
}

/** A clear in a frame that is not complete yet. */
interface Cleared {
  readonly sequence: number
  readonly size: number
  /** What the absorber had by then. */
  readonly mark: number
}

export class Replay implements FrameReader {
  /** The latest of the packed segments that were read. */
  clock = 0
  readonly #state: LogState
  readonly #stored: StoredIndex | undefined
  readonly #absorber: Absorber
  /** What the absorber had when the frame began, and the segment that the frame is in. */
  #mark = 0
  #segment: LogSegment | undefined
  #cleared: Cleared | undefined

  constructor(state: LogState, stored: StoredIndex | undefined) {
    this.#state = state
    this.#stored = stored
    this.#absorber = new Absorber(state)
  }

  /** All has been read. */
  *finish(): Routine<void> {
    yield* this.#absorber.finish()
  }

  /** Everything of a segment that compaction wrote; only where there is no stored index. */
  *packed(file: Segment): Routine<void> {
    const absorber = this.#absorber
    const { segments } = this.#state
    const segment = segments.all.get(file.number)!
    const { end } = file
    const walk = new SegmentWalk(file, FILE_HEADER_BYTES, end, undefined, file.chain())
    for (;;) {
      const step = walk.next()
      if (step === NEED) yield* walk.fill()
      else if (step === FRAME) this.clock = Math.max(this.clock, walk.frame!.clock)
      else if (step === END) break
      else if (step === DAMAGED || (step === ENTRY && !(yield* this.#take(segment, walk)))) {
        throw corruption(
          file.path,
          walk.address,
          'a block is damaged, and the index has to be built from it,',
        )
      }
      if (absorber.full) yield* absorber.merge()
    }
    yield* absorber.merge()
  }

  begin(file: Segment): void {
    this.#mark = this.#absorber.mark
    this.#segment = this.#state.segments.all.get(file.number)!
    this.#cleared = undefined
  }

  entry(walk: SegmentWalk): Routine<boolean> {
    return this.#take(this.#segment!, walk)
  }

  *complete(): Routine<void> {
    if (this.#cleared) this.#clear(this.#segment!, this.#cleared)
    if (this.#absorber.full) yield* this.#absorber.merge()
  }

  undo(): void {
    this.#absorber.undo(this.#mark)
  }

  /**
   * Hands one entry to the absorber, unless the stored index has it already or it was cleared; a clear waits for the end of its frame.
   * False where its key is not there as a whole: a long key runs through several blocks, and the power may have failed between them.
   */
  *#take(segment: LogSegment, walk: SegmentWalk): Routine<boolean> {
    const state = this.#state
    const absorber = this.#absorber
    const { entry } = walk
    const { sequence, kind, keyLength } = entry
    const size = entry.total
    const address = walk.address
    // Compaction writes none.
    if (kind === DELETE_RANGE && !segment.packed) {
      this.#cleared = { sequence, size, mark: absorber.mark }
      return true
    }
    let key: Buffer = walk.extent
    let start = walk.at + entry.length
    if (walk.spread && start + keyLength > walk.payloadEnd) {
      const read = yield* readPart(walk, entry.length, keyLength)
      if (read === undefined) return false
      key = read
      start = 0
    }
    const hash = absorber.hashOf(key, start, keyLength)
    if (this.#stored && sequence <= this.#stored.sequences[hash >>> 24]!) return true
    if (sequence < segment.minSequence) segment.minSequence = sequence
    if (sequence > segment.maxSequence) segment.maxSequence = sequence
    segment.total += size
    state.sinceCheckpoint += size
    if (kind === DELETE) {
      segment.stale += size
      segment.tombstones += size
    }
    if (sequence < state.clearedSequence) {
      if (kind !== DELETE) segment.stale += size
      return true
    }
    const position = segment.base + address
    absorber.add(kind, hash, position, sequence, entry.expiry, size, key, start, keyLength)
    return true
  }

  /** A frame that held a clear is complete: everything before it is gone. */
  #clear(segment: LogSegment, cleared: Cleared): void {
    const state = this.#state
    const { sequence, size, mark } = cleared
    if (sequence <= state.clearedSequence) return
    this.#absorber.forget(mark)
    state.index = new HashIndex()
    state.clearedSequence = sequence
    const later = segment.total
    segment.total += size
    for (const one of state.segments.all.values()) {
      one.stale = one.total
      one.tombstones = 0
      one.expiring = undefined
    }
    // What came after the clear in its frame is counted already; being off by that much only delays a compaction.
    segment.stale = Math.min(segment.total, later)
    segment.tombstones = size
    segment.maxSequence = Math.max(segment.maxSequence, sequence)
    segment.minSequence = Math.min(segment.minSequence, sequence)
  }
}
