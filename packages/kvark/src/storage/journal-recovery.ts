/**
 * From the files of a journal to where it goes on: finds the row of segments, hands the frames in it to the engine, and ends it where
 * it stops making sense.
 *
 *   new JournalRecovery ─► open ─► replay ─────────────────────────► start ─► new Journal ─► syncNames ─► leftovers may go
 *                          row     begin ─► entry … ─► complete      JournalStart
 *                          │                       └─► undo          (suspects, last window)
 *                          └─ 7.log ◄─ 8.log ◄─ 9.log │ torn, behind
 *                             each names the end and the last checksum of the one before
 *
 * Where the chain breaks (a bad block, a frame that does not name the one before, one without its end, a segment without a header or
 * whose predecessor is missing), the journal is cut if nobody can have been told that what follows is durable, and refused otherwise:
 *
 * 1. Below what the engine's record lists, below its `floor`, or below the `synced sequence` of any later frame that can still be read:
 *    `CORRUPTION`.
 * 2. A close frame that names a newer record than the one here: `CORRUPTION`, the record is an old copy.
 * 3. Everything else behind the stop is cut off, and later segments are removed.
 * 4. A frame counts when its last block is there; the engine forgets what it took of an incomplete one.
 * 5. What was read but may never have reached the disk (`suspects`) is written again before anything is acknowledged.
 * 6. Recovery that fails or is interrupted can be run again: it takes away only what it would take away again.
 *
 * What entries mean, and what the engine has of the journal already, is the engine's. So are leftovers: they are told from the row
 * here (`isLeftover`), and removed by the engine once all else is found to be in order.
 */

import { readU32 } from '../bytes/varint.ts'
import type { Routine } from '../environment/routine.ts'
import { corruption, KvarkError } from '../errors.ts'
import type { JournalPoint, JournalStart } from './journal.ts'
import type { Segment } from './segment.ts'
import { CLOSE, FILE_HEADER_BYTES, WINDOW_BYTES, WINDOW_MASK } from './segment-format.ts'
import {
  checkEnd,
  checkRecord,
  type FileRecord,
  openSegment,
  type SegmentStore,
} from './segment-opening.ts'
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

/** What an engine has on record of its journal, in a file that is replaced as a whole. */
export interface KnownJournal {
  /** Of the record; a later one has a larger number. */
  readonly number: number
  /** Segments from this number on are newer than the record. Earlier ones that it does not list are leftovers. */
  readonly nextFile: number
  /** Segments that must be there. */
  readonly journal: readonly FileRecord[]
  /** How far the journal was durable. */
  readonly floor: JournalPoint
  /** Whether its entries may be `REFERENCE`s. */
  readonly references?: boolean
}

/** Where replay begins: the engine has all that lies before. Its segment may be gone, if it was complete. */
export interface ReplayPoint extends JournalPoint {
  readonly clock: number
}

/** An entry, as the journal has it. */
export interface JournalEntry {
  readonly kind: number
  readonly flags: number
  readonly key: Buffer
  readonly value: Buffer
  readonly sequence: number
  readonly expiry: number
}

/** What an engine does with the frames that are read back. */
export interface FrameReader {
  /** A frame of this segment begins. */
  begin(file: Segment): void
  /** Takes `walk.entry`. False where its bytes are not there as a whole (see `readPart`): then its frame is not complete. */
  entry(walk: SegmentWalk): Routine<boolean>
  /** The frame is complete. */
  complete(): Routine<void>
  /** It is not: what was taken of it since `begin` is forgotten. */
  undo(): void
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

/** Name of a segment of the journal. */
export const journalName = (number: number): string => `${number}.log`

const JOURNAL_NAME = /^(\d+)\.log$/

/** Of a segment of that name; 0: it is none. */
export const journalNumber = (name: string): number => Number(JOURNAL_NAME.exec(name)?.[1] ?? 0)

export class JournalRecovery {
  /** The journal's segments, oldest first. `replay` removes some at the end. */
  readonly row: Segment[] = []
  /** All segments that were opened: whose recovery fails closes them. */
  readonly opened: Segment[] = []
  readonly tail: Tail
  readonly #store: SegmentStore
  readonly #known: KnownJournal
  readonly #knownPath: string
  readonly #listed: ReadonlyMap<number, FileRecord>
  /** The first segment without a header, if any, and everything after it. */
  #torn: string | undefined
  readonly #behind: (Segment | string)[] = []
  #hasNewer = false
  #from: ReplayPoint | undefined
  /** The segment to go on in. */
  #last: Segment | undefined

  /** `path`: of the file that `known` is from. */
  constructor(store: SegmentStore, known: KnownJournal, path: string) {
    this.#store = store
    this.#known = known
    this.#knownPath = path
    this.#listed = new Map(known.journal.map((record) => [record.number, record]))
    this.tail = {
      sequence: 0,
      syncedSequence: known.floor.sequence,
      clock: 0,
      checksum: 0,
      closed: false,
      frames: [],
    }
  }

  /** Opens the journal's segments, up to the first that was never completed. `names`: of the files in the folder. */
  *open(names: readonly string[]): Routine<void> {
    const { folder } = this.#store
    const { nextFile } = this.#known
    const newer = names.map(journalNumber).filter((number) => number >= nextFile)
    for (const number of [...this.#listed.keys(), ...newer].sort((a, b) => a - b)) {
      const path = `${folder}/${journalName(number)}`
      const file = yield* openSegment(this.#store, path, number, number >= nextFile)
      if (file) this.opened.push(file)
      const record = this.#listed.get(number)
      if (!file && record) throw corruption(path, 0, 'the header of the segment is damaged')
      if (file && record) checkRecord(file, record)
      if (this.#torn !== undefined) this.#behind.push(file ?? path)
      else if (file) this.row.push(file)
      else this.#torn = path
    }
    this.#hasNewer = this.row.some((file) => file.number >= nextFile)
  }

  /** Reads what lies behind `from` (without: everything), and ends the journal there. Returns the segments that it took from the row. */
  *replay(reader: FrameReader, from: ReplayPoint | undefined): Routine<Segment[]> {
    const { tail } = this
    this.#from = from
    if (from) {
      tail.sequence = from.sequence
      tail.syncedSequence = Math.max(from.sequence, tail.syncedSequence)
      tail.clock = from.clock
      tail.checksum = from.checksum
    }
    const found = [...this.row]
    this.#last = yield* this.#replay(reader)
    if (this.#torn !== undefined) yield* this.#removeTorn(this.#torn)
    return found.slice(this.row.length)
  }

  /** Bytes of the journal behind the place where replay began. */
  get replayedBytes(): number {
    const from = this.#from
    let bytes = 0
    for (const { number, end } of this.row) {
      if (from === undefined || number > from.segment) bytes += end
      else if (number === from.segment) bytes += end - from.end
    }
    return bytes
  }

  /** Where the journal goes on. `sequence`: the last one that counts as given out, not below what was read. */
  *start(sequence: number): Routine<JournalStart> {
    const { tail } = this
    const last = this.#last
    let bytes = Buffer.alloc(0)
    if (last) {
      // Read as a page, so that damage in what was not replayed is noticed.
      const page = Buffer.alloc(WINDOW_BYTES)
      yield* last.readPage(Math.floor(last.end / WINDOW_BYTES), page, 0)
      bytes = page.subarray(0, last.end & WINDOW_MASK)
    }
    const suspects = new Map<Segment, number>()
    for (const frame of tail.frames) {
      if (frame.sequence <= tail.syncedSequence || suspects.has(frame.segment)) continue
      suspects.set(frame.segment, withHeader(frame.address))
    }
    if (last?.end === FILE_HEADER_BYTES) suspects.set(last, 0)
    // Where all that is left of the journal lies before its end: its engine has taken the rest.
    const { floor } = this.#known
    return {
      segment: last,
      previous: { number: floor.segment, end: floor.end },
      previousChecksum: last === undefined ? floor.checksum : tail.checksum,
      tail: bytes,
      sequence,
      existing: Math.max(tail.sequence, floor.sequence),
      syncedSequence: tail.closed ? sequence : Math.min(sequence, tail.syncedSequence),
      clock: tail.clock,
      suspects: [...suspects],
    }
  }

  /**
   * Makes the names of newer segments durable, and that of what lists the others: whoever made them may not have lived to sync the folder. A clean
   * close has.
   */
  *syncNames(): Routine<void> {
    const { environment, folder } = this.#store
    if (this.#hasNewer || !this.tail.closed) yield* environment.files.syncFolder(folder)
  }

  /** Whether a file is a segment that is not the journal's any more. */
  isLeftover(name: string): boolean {
    const isSegment = JOURNAL_NAME.test(name)
    const number = journalNumber(name)
    return isSegment && number < this.#known.nextFile && !this.#listed.has(number)
  }

  /** Returns the segment to go on in. */
  *#replay(reader: FrameReader): Routine<Segment | undefined> {
    const { row, tail } = this
    const from = this.#from
    const found = from ? row.findIndex((file) => file.number >= from.segment) : 0
    const first = found < 0 ? row.length : found
    for (const file of row.slice(0, first)) {
      const record = this.#listed.get(file.number)
      file.end = record?.end ?? file.end
      file.checksum = record?.checksum
    }
    let previous: Segment | undefined = row[first - 1]
    let size = 0
    for (let i = first; i < row.length; i++) {
      const file = row[i]!
      size = file.end
      const resumed = from !== undefined && file.number === from.segment
      const place = resumed ? 'next' : this.#placeOf(file, previous)
      if (place !== 'next') {
        if (i > first) {
          yield* this.#cut(i - 1, previous!.end)
          return this.#isPassed(previous) ? undefined : previous
        }
        if (place === 'changed') {
          throw previous
            ? corruption(previous.path, previous.end, 'its end is missing')
            : corruption(file.path, 40, 'it does not go on where the one before it ended,')
        }
        yield* this.#drop(i, FILE_HEADER_BYTES)
        return undefined
      }
      const stop = yield* this.#segment(file, resumed ? from.end : FILE_HEADER_BYTES, reader)
      if (stop.at >= 0) {
        yield* this.#cut(i, stop.end, stop.at)
        return file
      }
      const record = this.#listed.get(file.number)
      // Zeros are no damage to a walk, and the segment that would miss the end may be gone.
      if (record && stop.end < record.end) throw missingOfListed(file, stop.end)
      file.end = stop.end
      file.checksum = tail.checksum
      previous = file
    }
    this.#checkFloor(previous, previous?.end ?? 0)
    if (previous === undefined || found < 0 || this.#isPassed(previous)) return undefined
    // What a crash has left there, and no block begins with, would be seen through the holes between compressed blocks.
    if (size > previous.end) previous.handle.truncate(previous.end).sync()
    return previous
  }

  /** Whether the journal had gone on behind a segment, and its engine has taken that: nothing is added to it any more. */
  #isPassed(file: Segment | undefined): boolean {
    return file !== undefined && file.number < this.#known.floor.segment
  }

  /**
   * Whether a segment is the `next` one, which goes on where the one before it ended. Where the engine has taken that one away the
   * chain begins anew. An `orphan`'s predecessor should be there and is not: its name never reached the disk, though the later one
   * did. The end of a `changed` one's is not what it was.
   */
  #placeOf(file: Segment, previous: Segment | undefined): 'next' | 'orphan' | 'changed' {
    const { tail } = this
    const { previousNumber, previousEnd, previousChecksum } = file.header
    // Without one in the row, replay begins behind one that is gone.
    if (previousNumber === (previous?.number ?? this.#from?.segment)) {
      const end = previous?.end ?? this.#from?.end
      return previousEnd === end && previousChecksum === tail.checksum ? 'next' : 'changed'
    }
    const known = this.#listed.has(file.number) || previousNumber === this.#known.floor.segment
    if (!known) return 'orphan'
    tail.checksum = previousChecksum
    return 'next'
  }

  #checkFloor(file: Segment | undefined, end: number): void {
    const { floor } = this.#known
    // Not by its sequence: that may count writes that were lost before the store was resumed.
    if (
      this.#listed.has(floor.segment) &&
      ((file?.number ?? 0) < floor.segment || (file?.number === floor.segment && end < floor.end))
    ) {
      throw corruption(
        file?.path ?? this.#knownPath,
        end,
        'the end of the journal, which was written and closed, is missing',
      )
    }
  }

  /** Walks one segment. `at` −1: to its end; else where it stops making sense. `end`: behind the last complete frame. */
  *#segment(
    file: Segment,
    from: number,
    reader: FrameReader,
  ): Routine<{ at: number; end: number }> {
    const { tail } = this
    const walk = new SegmentWalk(file, from, file.end)
    walk.entry.references = this.#known.references ?? false
    const record = this.#listed.get(file.number)
    if (record?.end === from) checkEnd(file, record, from, tail.checksum)
    let end = from
    let inFrame = false
    let frameStart = from
    let sequence = tail.sequence
    const cut = (): { at: number; end: number } => {
      if (inFrame) reader.undo()
      return { at: inFrame ? frameStart : walk.address, end }
    }
    for (;;) {
      const step = walk.next()
      if (step === NEED) yield* walk.fill()
      else if (step === FRAME) {
        const frame = walk.frame!
        const chained = frame.previousChecksum === tail.checksum
        // Sequences may jump where writes were lost and the store was resumed; the chain says that no frame is missing.
        if (inFrame || !chained || frame.firstSequence <= tail.sequence) return cut()
        if (frame.kind === CLOSE) this.#checkClose(walk, file)
        inFrame = true
        file.padding += Math.max(0, walk.address - end)
        frameStart = walk.address
        sequence = frame.firstSequence - 1
        reader.begin(file)
      } else if (step === ENTRY) {
        if (walk.entry.sequence !== ++sequence || !(yield* reader.entry(walk))) return cut()
      } else if (step === COMPLETE) {
        this.#frameRead(file, frameStart, walk, sequence)
        inFrame = false
        if (record && end < record.end && walk.position >= record.end) {
          checkEnd(file, record, walk.position, walk.checksum)
        }
        end = walk.position
        yield* reader.complete()
      } else if (step === DAMAGED || (step === END && inFrame)) return cut()
      else if (step === END) return { at: -1, end }
    }
  }

  #checkClose(walk: SegmentWalk, file: Segment): void {
    const expected = readU32(walk.extent, walk.payloadAt)
    const { number } = this.#known
    if (expected > number) {
      throw new KvarkError(
        'CORRUPTION',
        `${this.#knownPath} is older than the journal that was closed with it. Restore both from one backup.`,
        { path: file.path, offset: walk.address, expected, found: number },
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

  /** Drops everything behind `end` of segment `i`, unless somebody may have been told that it is durable. */
  *#cut(i: number, end: number, at: number = end): Routine<void> {
    const file = this.row[i]!
    const record = this.#listed.get(file.number)
    if (record !== undefined && end < record.end) throw missingOfListed(file, at)
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
    const { row } = this
    if (yield* this.#promisedBehind(looked, at)) {
      const { path } = row[looked]!
      const what =
        looked < from
          ? 'a block that was durable is damaged'
          : 'the segment of the journal before it, which was durable, is missing'
      throw corruption(path, at, what)
    }
    const { environment, folder } = this.#store
    const { files } = environment
    const drops = from < row.length
    while (row.length > from) {
      const later = row.pop()!
      yield* later.handle.close()
      yield* files.remove(later.path)
    }
    if (drops) yield* files.syncFolder(folder)
  }

  /** A segment whose beginning never reached the disk, and what came after it, if nobody was told that it is durable. */
  *#removeTorn(torn: string): Routine<void> {
    if (yield* this.#promisedBehind(this.row.length, 0)) {
      throw corruption(torn, 0, 'the header of a segment that was durable is damaged')
    }
    const { environment, folder } = this.#store
    const { files } = environment
    for (const one of this.#behind.toReversed()) {
      if (typeof one !== 'string') yield* one.handle.close()
      yield* files.remove(typeof one === 'string' ? one : one.path)
    }
    yield* files.remove(torn)
    yield* files.syncFolder(folder)
  }

  /** Whether a frame behind `at` of `row[i]`, or behind the row, says that what is missing was durable when it was made. */
  *#promisedBehind(i: number, at: number): Routine<boolean> {
    // Nothing is cut off that lies before the floor. Where all is read anew, the frames read so far may all be older.
    const sequence = Math.max(this.tail.sequence, this.#known.floor.sequence) + 1
    const row = [...this.row, ...this.#behind.filter((one) => typeof one !== 'string')]
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

function missingOfListed({ path }: Segment, at: number): KvarkError {
  return corruption(path, at, 'a block of what was written and closed is damaged')
}

/** Where what has to be written again begins: with a segment's first frame, its header was not on the disk either. */
function withHeader(address: number): number {
  return address === FILE_HEADER_BYTES ? 0 : address
}

/**
 * A copy of `length` bytes, from `distance` on, of the entry that `walk` has reported; `undefined` where a block of it is missing or
 * damaged, as may be of a `spread` one: the power may have failed between them.
 */
export function* readPart(
  walk: SegmentWalk,
  distance: number,
  length: number,
): Routine<Buffer | undefined> {
  if (!walk.spread || length === 0) {
    const at = walk.at + distance
    return Buffer.from(walk.extent.subarray(at, at + length))
  }
  const { source, address } = walk
  try {
    return yield* readSpread(source, advance(source.form, address, distance), length)
  } catch (error) {
    if (error instanceof KvarkError && error.code === 'CORRUPTION') return undefined
    throw error
  }
}
