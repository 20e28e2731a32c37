/**
 * Reads segments back into the index: the journal behind the stored index, or everything when there is none.
 *
 * Where the journal stops making sense (a bad block, a broken chain, a frame without its end), it is cut if nobody can have
 * been told that what follows is durable, and refused otherwise:
 *
 * 1. Below the manifest's `floor`, or below the `synced sequence` of any later frame that can still be read: `CORRUPTION`.
 * 2. A close frame that names a newer manifest than the one here: `CORRUPTION`, the manifest is an old copy.
 * 3. Everything else behind the stop is cut off, and later segments are removed.
 * 4. A frame counts when its last block is there: no entry of an incomplete one reaches the index, nor does its clear.
 */

import { readU32 } from '../../bytes/varint.ts'
import { DELETE, DELETE_RANGE } from '../../engine/write-batch.ts'
import type { Routine } from '../../environment/routine.ts'
import { corruption, KvarkError } from '../../errors.ts'
import type { Segment } from '../../storage/segment.ts'
import { CLOSE, FILE_HEADER_BYTES } from '../../storage/segment-format.ts'
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
} from '../../storage/segment-walk.ts'
import { Absorber } from './absorb.ts'
import type { CheckpointFooter } from './checkpoint.ts'
import { HashIndex } from './hash-index.ts'
import type { FileRecord } from './manifest.ts'
import type { LogSegment } from './segments.ts'
import type { LogState } from './state.ts'

/** What was read of the stored index. */
export interface StoredIndex {
  readonly footer: CheckpointFooter
  /** Up to which sequence each shard is complete. */
  readonly sequences: Float64Array
}

/** Where the journal stands while it is read. */
export interface Tail {
  sequence: number
  syncedSequence: number
  clock: number
  checksum: number
  /** The last frame was a close frame. */
  closed: boolean
  /** Frames that may not be on disk: [segment, address, first sequence], oldest first. */
  frames: { segment: Segment; address: number; sequence: number }[]
}

/** A clear in a frame that is not complete yet. */
interface Cleared {
  readonly sequence: number
  readonly size: number
  /** What the absorber had by then. */
  readonly mark: number
}

export class Replay {
  readonly tail: Tail
  readonly #state: LogState
  readonly #row: readonly Segment[]
  readonly #stored: StoredIndex | undefined
  readonly #behind: readonly Segment[]
  readonly #absorber: Absorber

  /** `row`: the journal's segments, oldest first; `behind`: those after one that has no header. */
  constructor(
    state: LogState,
    row: readonly Segment[],
    stored: StoredIndex | undefined,
    behind: readonly (Segment | string)[],
  ) {
    this.#state = state
    this.#behind = behind.filter((one) => typeof one !== 'string')
    this.#row = row
    this.#stored = stored
    this.#absorber = new Absorber(state)
    const footer = stored?.footer
    const sequence = footer?.replay.sequence ?? 0
    this.tail = {
      sequence,
      syncedSequence: Math.max(sequence, state.manifest.floor.sequence),
      clock: footer?.clock ?? 0,
      checksum: footer?.previousChecksum ?? 0,
      closed: false,
      frames: [],
    }
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

  /** The journal behind the stored index. Returns the segment to go on in. */
  *journal(): Routine<Segment | undefined> {
    const { tail } = this
    const row = this.#row
    const footer = this.#stored?.footer
    const found = footer ? row.findIndex((file) => file.number >= footer.replay.segment) : 0
    const first = found < 0 ? row.length : found
    for (const file of row.slice(0, first)) {
      const record = this.#record(file)
      file.end = record?.end ?? file.end
      file.checksum = record?.checksum
    }
    let previous: Segment | undefined = row[first - 1]
    for (let i = first; i < row.length; i++) {
      const file = row[i]!
      const resumed = footer !== undefined && file.number === footer.replay.segment
      const place = resumed ? 'next' : this.#placeOf(file, previous)
      if (place !== 'next') {
        if (i > first) {
          yield* this.#cut(i - 1, previous!.end)
          return this.#isPassed(previous) ? undefined : previous
        }
        if (place === 'changed') {
          throw corruption(previous!.path, previous!.end, 'its end is missing')
        }
        yield* this.#drop(i, FILE_HEADER_BYTES)
        return undefined
      }
      const from = resumed ? footer.replay.address : FILE_HEADER_BYTES
      const stop = yield* this.#segment(file, from)
      if (stop.at >= 0) {
        yield* this.#cut(i, stop.end, stop.at)
        return file
      }
      file.end = stop.end
      file.checksum = tail.checksum
      previous = file
    }
    this.#checkFloor(previous, previous?.end ?? 0)
    return found < 0 || this.#isPassed(previous) ? undefined : previous
  }

  /** Whether the journal had gone on behind a segment, and compaction has taken that: nothing is added to it any more. */
  #isPassed(file: Segment | undefined): boolean {
    return file !== undefined && file.number < this.#state.manifest.floor.segment
  }

  /**
   * Whether a segment is the `next` one, which goes on where the one before it ended. Where compaction has taken that one away the
   * chain begins anew. An `orphan`'s predecessor should be there and is not: its name never reached the disk, though the later one
   * did. The end of a `changed` one's is not what it was.
   */
  #placeOf(file: Segment, previous: Segment | undefined): 'next' | 'orphan' | 'changed' {
    const { tail } = this
    const { manifest } = this.#state
    const { previousNumber, previousEnd, previousChecksum } = file.header
    if (previous && previousNumber === previous.number) {
      const same = previousEnd === previous.end && previousChecksum === tail.checksum
      return same ? 'next' : 'changed'
    }
    const known = this.#record(file) !== undefined || previousNumber === manifest.floor.segment
    if (!known) return 'orphan'
    tail.checksum = previousChecksum
    return 'next'
  }

  /** What the manifest says of a segment of the journal. */
  #record(file: Segment): FileRecord | undefined {
    return this.#state.manifest.journal.find(({ number }) => number === file.number)
  }

  #checkFloor(file: Segment | undefined, end: number): void {
    const { manifest } = this.#state
    const { floor } = manifest
    const listed = manifest.journal.some(({ number }) => number === floor.segment)
    // Not by its sequence: that may count writes that were lost before the store was resumed.
    if (
      listed &&
      ((file?.number ?? 0) < floor.segment || (file?.number === floor.segment && end < floor.end))
    ) {
      const path = file?.path ?? `${this.#state.context.folder}/MANIFEST`
      throw corruption(
        path,
        end,
        'the end of the journal, which was written and closed, is missing',
      )
    }
  }

  /** Walks one segment. `at` −1: to its end; else where it stops making sense. `end`: behind the last complete frame. */
  *#segment(file: Segment, from: number): Routine<{ at: number; end: number }> {
    const { tail } = this
    const absorber = this.#absorber
    const segment = this.#state.segments.all.get(file.number)!
    const walk = new SegmentWalk(file, from, file.end)
    const record = this.#record(file)
    if (record?.end === from) checkEnd(file, record, from, tail.checksum)
    let end = from
    let mark = absorber.mark
    let inFrame = false
    let frameStart = from
    let sequence = tail.sequence
    let cleared: Cleared | undefined
    const cutAt = (at: number): { at: number; end: number } => {
      absorber.undo(mark)
      return { at, end }
    }
    for (;;) {
      const step = walk.next()
      if (step === NEED) yield* walk.fill()
      else if (step === FRAME) {
        const frame = walk.frame!
        const chained = frame.previousChecksum === tail.checksum
        // Sequences may jump where writes were lost and the store was resumed; the chain says that no frame is missing.
        if (inFrame || !chained || frame.firstSequence <= tail.sequence) {
          return cutAt(inFrame ? frameStart : walk.address)
        }
        if (frame.kind === CLOSE) this.#checkClose(walk, file)
        inFrame = true
        file.padding += Math.max(0, walk.address - end)
        frameStart = walk.address
        mark = absorber.mark
        sequence = frame.firstSequence - 1
        cleared = undefined
      } else if (step === ENTRY) {
        if (walk.entry.sequence !== ++sequence) return cutAt(frameStart)
        if (walk.entry.kind === DELETE_RANGE) {
          cleared = { sequence, size: walk.entry.total, mark: absorber.mark }
        } else if (!(yield* this.#take(segment, walk))) return cutAt(frameStart)
      } else if (step === COMPLETE) {
        if (cleared) this.#clear(segment, cleared)
        this.#frameRead(file, frameStart, walk, sequence)
        inFrame = false
        if (record && end < record.end && walk.position >= record.end) {
          checkEnd(file, record, walk.position, walk.checksum)
        }
        end = walk.position
        mark = absorber.mark
        if (absorber.full) {
          yield* absorber.merge()
          mark = 0
        }
      } else if (step === DAMAGED) return cutAt(inFrame ? frameStart : walk.address)
      else if (step === END) {
        return inFrame ? cutAt(frameStart) : { at: -1, end }
      }
    }
  }

  #checkClose(walk: SegmentWalk, file: Segment): void {
    const { manifest } = this.#state
    const number = readU32(walk.extent, walk.payloadAt)
    if (number > manifest.number) {
      throw new KvarkError(
        'CORRUPTION',
        `${this.#state.context.folder}/MANIFEST is older than the journal that was closed with it. Restore both from one backup.`,
        { path: file.path, offset: walk.address, expected: number, found: manifest.number },
      )
    }
  }

  #frameRead(file: Segment, address: number, walk: SegmentWalk, sequence: number): void {
    const { tail } = this
    const frame = walk.frame!
    tail.closed = frame.kind === CLOSE
    tail.frames.push({ segment: file, address, sequence: frame.firstSequence })
    tail.sequence = sequence
    tail.checksum = walk.checksum
    if (frame.syncedSequence > tail.syncedSequence) tail.syncedSequence = frame.syncedSequence
    if (frame.clock > tail.clock) tail.clock = frame.clock
  }

  /**
   * Hands one entry to the absorber, unless the stored index has it already or it was cleared. False where its key is not there as a
   * whole: a long key runs through several blocks, and the power may have failed between them.
   */
  *#take(segment: LogSegment, walk: SegmentWalk): Routine<boolean> {
    const state = this.#state
    const absorber = this.#absorber
    const { entry } = walk
    const { sequence, kind, keyLength } = entry
    const size = entry.total
    const address = walk.address
    let key: Buffer = walk.extent
    let start = walk.at + entry.length
    if (walk.spread && start + keyLength > walk.payloadEnd) {
      const read = yield* spreadKey(segment.file, address, entry.length, keyLength)
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
    absorber.add(kind, hash, segment.base + address, sequence, size, key, start, keyLength)
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
    }
    // What came after the clear in its frame is counted already; being off by that much only delays a compaction.
    segment.stale = Math.min(segment.total, later)
    segment.tombstones = size
    segment.maxSequence = Math.max(segment.maxSequence, sequence)
    segment.minSequence = Math.min(segment.minSequence, sequence)
  }

  /** Drops everything behind `end` of segment `i`, unless somebody may have been told that it is durable. */
  *#cut(i: number, end: number, at: number = end): Routine<void> {
    const file = this.#row[i]!
    const record = this.#record(file)
    if (record !== undefined && end < record.end) {
      throw corruption(file.path, at, 'a block of what was written and closed is damaged')
    }
    this.#checkFloor(file, end)
    yield* this.#drop(i + 1, at, i)
    file.end = end
    file.checksum = this.tail.checksum
    file.pages.frames.fill(-1)
    file.handle.truncate(end).sync()
    // Whoever goes on in another segment says that this one ends here.
    yield* file.handle.sync()
  }

  /** Removes the segments from `row[from]` on, unless one of their frames, or one behind `at` in `row[looked]`, speaks against it. */
  *#drop(from: number, at: number, looked: number = from): Routine<void> {
    const state = this.#state
    const row = this.#row
    if (yield* this.promisedBehind(looked, at)) {
      const { path } = row[looked]!
      const what =
        looked < from
          ? 'a block that was durable is damaged'
          : 'the segment of the journal before it, which was durable, is missing'
      throw corruption(path, at, what)
    }
    const { environment, folder } = state.context
    const { files } = environment
    for (const later of row.slice(from).reverse()) {
      const segment = state.segments.all.get(later.number)!
      state.segments.remove(segment)
      state.segments.free(segment)
      yield* later.handle.close()
      yield* files.remove(later.path)
    }
    if (from < row.length) yield* files.syncFolder(folder)
  }

  /** Whether a frame behind the stop (without one: behind the row) says that what is missing was durable when it was made. */
  *promisedBehind(i: number = this.#row.length, at = 0): Routine<boolean> {
    // Nothing is cut off that lies before the floor. Without a stored index the frames read so far may all be older.
    const sequence = Math.max(this.tail.sequence, this.#state.manifest.floor.sequence) + 1
    const row = [...this.#row, ...this.#behind]
    for (let k = i; k < row.length; k++) {
      const file = row[k]!
      const size = yield* file.handle.size()
      file.end = Math.max(file.end, size)
      const walk = new SegmentWalk(file, k === i ? at : FILE_HEADER_BYTES, size)
      for (;;) {
        const step = walk.next()
        if (step === NEED) yield* walk.fill()
        else if (step === FRAME) {
          if (walk.frame!.syncedSequence >= sequence) return true
          walk.skipFrame()
        } else if (step === DAMAGED) walk.skipDamage()
        else if (step === END) break
      }
    }
    return false
  }
}

/** The key of the entry at `address` that runs through several windows; `undefined` where a block of it is missing or damaged. */
function* spreadKey(
  file: Segment,
  address: number,
  header: number,
  length: number,
): Routine<Buffer | undefined> {
  try {
    return yield* readSpread(file, advance(file.form, address, header), length)
  } catch (error) {
    if (error instanceof KvarkError && error.code === 'CORRUPTION') return undefined
    throw error
  }
}

/** The frame that ended a segment when the manifest was written must be the one that is there. */
function checkEnd(file: Segment, record: FileRecord, end: number, checksum: number): void {
  if (end === record.end && checksum === record.checksum) return
  throw corruption(file.path, record.end, 'the file is an older copy, or its end was changed,')
}
