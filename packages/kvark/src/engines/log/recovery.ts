/**
 * From files to an open log.
 *
 *   MANIFEST ─► packed segments, journal segments ─► stored index ─► replay of the journal behind it ─► cut or CORRUPTION
 *                                                    └─ damaged or missing: every segment is read
 *
 * Where the journal stops making sense (a bad block, a broken chain, a frame without its end), it is cut if nobody can have
 * been told that what follows is durable, and refused otherwise:
 *
 * 1. Below the manifest's `floor`, or below the `synced sequence` of any later frame that can still be read: `CORRUPTION`.
 * 2. A close frame that names a newer manifest than the one here: `CORRUPTION`, the manifest is an old copy.
 * 3. Everything else behind the stop is cut off, and later segments are removed.
 * 4. What was read but may never have reached the disk (`suspects`) is written again before anything is acknowledged.
 */

import { readU32 } from '../../bytes/varint.ts'
import type { EngineContext } from '../../engine/engine.ts'
import { DELETE, DELETE_RANGE } from '../../engine/write-batch.ts'
import type { Routine } from '../../environment/routine.ts'
import { corruption, KvarkError } from '../../errors.ts'
import { Cache } from '../../storage/cache.ts'
import { Journal, type JournalStart } from '../../storage/journal.ts'
import { TEMPORARY_SUFFIX } from '../../storage/sealed-file.ts'
import { Segment } from '../../storage/segment.ts'
import {
  CLOSE,
  FILE_HEADER_BYTES,
  readSegmentHeader,
  WINDOW_MASK,
} from '../../storage/segment-format.ts'
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
import { type CheckpointFooter, readCheckpoint } from './checkpoint.ts'
import { HashIndex, SHARDS } from './hash-index.ts'
import {
  FIRST_MANIFEST,
  indexName,
  journalName,
  type Manifest,
  packedName,
  readManifest,
  writeManifest,
} from './manifest.ts'
import type { LogOptions } from './options.ts'
import { type LogSegment, LogSegments, SLOT_BYTES } from './segments.ts'
import { LogState } from './state.ts'

/** `given`: the last sequence that this process has given out; none is given twice. */
export function* recover(
  context: EngineContext,
  options: Required<LogOptions>,
  given = 0,
): Routine<LogState> {
  const recovery = new Recovery(context)
  try {
    return yield* recovery.run(options, given)
  } catch (error) {
    yield* recovery.abandon()
    throw error
  }
}

/** Closes all files. */
export function* closeState(state: LogState): Routine<void> {
  for (const segment of [...state.segments.all.values(), ...state.retired]) {
    state.cache.drop(segment.file.pages)
    yield* segment.file.handle.close()
  }
}

/** Where the journal stands while it is read. */
interface Tail {
  sequence: number
  syncedSequence: number
  clock: number
  checksum: number
  /** The last frame was a close frame. */
  closed: boolean
  /** The next frame begins the chain anew: what was before it has been compacted away. */
  restart: boolean
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

class Recovery {
  readonly #context: EngineContext
  readonly #opened: Segment[] = []
  #state: LogState | undefined

  constructor(context: EngineContext) {
    this.#context = context
  }

  *run(options: Required<LogOptions>, given: number): Routine<LogState> {
    const { environment, folder } = this.#context
    const names = yield* environment.files.list(folder)
    const manifest = yield* this.#manifest(names)
    yield* this.#removeLeftovers(names, manifest)

    const packed = yield* this.#openPacked(manifest)
    const row = yield* this.#openRow(names, manifest)
    const state = new LogState(
      this.#context,
      new Cache(this.#context.cacheBytes),
      new LogSegments(),
      new HashIndex(),
      manifest,
      Math.max(manifest.nextFile, ...[...packed, ...row].map((file) => file.number + 1)),
      manifest.clearedSequence,
    )
    this.#state = state

    const sequences = new Float64Array(SHARDS)
    const footer = yield* this.#loadIndex(state, manifest, packed, row, sequences)
    if (!footer) for (const file of [...packed, ...row]) this.#place(state, file, manifest)

    const absorber = new Absorber(state)
    if (!footer)
      for (const file of packed) yield* this.#absorbPacked(state, absorber, file, manifest)
    const tail: Tail = {
      sequence: footer?.replay.sequence ?? 0,
      syncedSequence: Math.max(footer?.replay.sequence ?? 0, manifest.floor.sequence),
      clock: footer?.clock ?? 0,
      checksum: footer?.previousChecksum ?? 0,
      closed: false,
      restart: footer === undefined,
      frames: [],
    }
    const last = yield* this.#replay(state, absorber, row, footer, sequences, manifest, tail)
    yield* absorber.finish()
    for (const { maxSequence } of state.segments.all.values()) {
      tail.sequence = Math.max(tail.sequence, maxSequence)
    }
    tail.sequence = Math.max(tail.sequence, manifest.floor.sequence, given)
    state.journal = yield* this.#journal(state, options, tail, last, row)
    return state
  }

  *abandon(): Routine<void> {
    this.#state?.journal?.abandon()
    for (const file of this.#opened) yield* file.handle.close()
  }

  *#manifest(names: readonly string[]): Routine<Manifest> {
    const { environment, folder } = this.#context
    const manifest = yield* readManifest(environment, folder)
    if (manifest) return manifest
    if (names.some((name) => /^\d+\.(log|packed)$/.test(name))) {
      throw new KvarkError(
        'CORRUPTION',
        `${folder}/MANIFEST is missing although there is data beside it; restore it from a backup`,
        { path: `${folder}/MANIFEST`, offset: 0 },
      )
    }
    yield* writeManifest(environment, folder, FIRST_MANIFEST)
    return FIRST_MANIFEST
  }

  /** What a crash left behind: half-written files, and those that a manifest has replaced. */
  *#removeLeftovers(names: readonly string[], manifest: Manifest): Routine<void> {
    const { environment, folder } = this.#context
    const named = new Set(manifest.packed.map((record) => packedName(record.number)))
    if (manifest.index) named.add(indexName(manifest.index.number))
    for (const name of names) {
      const journal = /^(\d+)\.log$/.exec(name)
      const leftover = journal
        ? Number(journal[1]) < manifest.nextFile && !manifest.journal.includes(Number(journal[1]))
        : name.endsWith(TEMPORARY_SUFFIX) ||
          (/^\d+\.(packed|index)$/.test(name) && !named.has(name))
      if (leftover) yield* environment.files.remove(`${folder}/${name}`)
    }
  }

  *#openPacked(manifest: Manifest): Routine<Segment[]> {
    const files: Segment[] = []
    for (const record of manifest.packed) {
      const path = `${this.#context.folder}/${packedName(record.number)}`
      const file = yield* this.#open(path, record.number)
      if (!file) throw corruption(path, 0, 'the header of the segment is damaged')
      if (file.end < record.end) throw corruption(path, file.end, 'the segment is cut short')
      file.end = record.end
      files.push(file)
    }
    return files
  }

  /** Opens the journal's segments, up to the first that was never completed. */
  *#openRow(names: readonly string[], manifest: Manifest): Routine<Segment[]> {
    const { folder, environment } = this.#context
    const newer = names
      .map((name) => Number(/^(\d+)\.log$/.exec(name)?.[1] ?? 0))
      .filter((number) => number >= manifest.nextFile)
    const row: Segment[] = []
    let torn: string | undefined
    for (const number of [...manifest.journal, ...newer].sort((a, b) => a - b)) {
      const path = `${folder}/${journalName(number)}`
      if (torn) throw corruption(torn, 0, 'the header of the segment is damaged')
      const file = yield* this.#open(path, number)
      if (file) row.push(file)
      else if (manifest.journal.includes(number)) {
        throw corruption(path, 0, 'the header of the segment is damaged')
      } else torn = path
    }
    if (torn) yield* environment.files.remove(torn)
    return row
  }

  *#open(path: string, number: number): Routine<Segment | undefined> {
    const { files } = this.#context.environment
    if ((yield* files.stat(path)) === undefined) throw corruption(path, 0, 'the file is missing')
    const handle = yield* files.open(path, 'write')
    let kept = false
    try {
      const start = Buffer.alloc(FILE_HEADER_BYTES)
      const read = yield* handle.read(start, 0, start.length, 0)
      const header = readSegmentHeader(start, read, path, this.#context.descriptor.storeId)
      if (!header) return undefined
      if (header.number !== number) throw corruption(path, 36, `this is segment ${header.number}`)
      const file = new Segment(handle, header, yield* handle.size(), true)
      this.#opened.push(file)
      kept = true
      return file
    } finally {
      if (!kept) yield* handle.close()
    }
  }

  #place(state: LogState, file: Segment, manifest: Manifest): LogSegment {
    const record = manifest.packed.find(({ number }) => number === file.number)
    const segment = state.segments.add(file, file.end, record !== undefined)
    segment.packedAt = record?.packedAt ?? 0
    segment.checksum = record?.checksum ?? 0
    return segment
  }

  /** Loads the stored index and gives the segments the places it refers to; `undefined`: it has to be rebuilt. */
  *#loadIndex(
    state: LogState,
    manifest: Manifest,
    packed: readonly Segment[],
    row: readonly Segment[],
    sequences: Float64Array,
  ): Routine<CheckpointFooter | undefined> {
    if (!manifest.index) return undefined
    try {
      const index = new HashIndex()
      const footer = yield* readCheckpoint(state, manifest.index.number, index, sequences)
      const files = new Map([...packed, ...row].map((file) => [file.number, file]))
      for (const record of footer.segments) {
        const file = files.get(record.number)
        if (!file)
          throw corruption(indexName(manifest.index.number), 0, 'it names a missing segment')
        const isPacked = manifest.packed.find(({ number }) => number === record.number)
        const segment = state.segments.restore(file, record, isPacked !== undefined)
        segment.packedAt = isPacked?.packedAt ?? 0
        segment.checksum = isPacked?.checksum ?? 0
        files.delete(record.number)
      }
      for (const file of files.values()) this.#place(state, file, manifest)
      state.index = index
      // A later clear is still in the journal: replay meets it.
      state.clearedSequence = footer.clearedSequence
      return footer
    } catch (error) {
      if (!(error instanceof KvarkError) || !['CORRUPTION', 'IO'].includes(error.code)) throw error
      if (error.code === 'IO' && error.errno !== 'ENOENT') throw error
      this.#context.environment.warn(
        `the stored index cannot be used and is built anew from the data: ${error.message}`,
      )
      state.segments.reset()
      sequences.fill(0)
      return undefined
    }
  }

  *#absorbPacked(
    state: LogState,
    absorber: Absorber,
    file: Segment,
    manifest: Manifest,
  ): Routine<void> {
    const segment = state.segments.all.get(file.number)!
    const walk = new SegmentWalk(file, FILE_HEADER_BYTES, file.end)
    const record = manifest.packed.find(({ number }) => number === file.number)!
    for (;;) {
      const step = walk.next()
      if (step === NEED) yield* walk.fill()
      else if (step === ENTRY) yield* this.#take(state, absorber, segment, walk)
      else if (step === DAMAGED) {
        throw corruption(
          file.path,
          walk.address,
          'a block is damaged, and the index has to be built from it,',
        )
      } else if (step === END) break
      if (absorber.full) yield* absorber.merge()
    }
    if (walk.checksum !== record.checksum)
      throw corruption(file.path, file.end, 'its end is missing')
    yield* absorber.merge()
  }

  /** Reads the journal behind the stored index. Returns the segment to go on in. */
  *#replay(
    state: LogState,
    absorber: Absorber,
    row: readonly Segment[],
    footer: CheckpointFooter | undefined,
    sequences: Float64Array,
    manifest: Manifest,
    tail: Tail,
  ): Routine<Segment | undefined> {
    const found = footer ? row.findIndex((file) => file.number >= footer.replay.segment) : 0
    const first = found < 0 ? row.length : found
    let previous: Segment | undefined = row[first - 1]
    for (let i = first; i < row.length; i++) {
      const file = row[i]!
      const resumed = footer !== undefined && file.number === footer.replay.segment
      if (!resumed && !this.#follows(file, previous, manifest, tail)) {
        if (i === first) throw corruption(previous!.path, previous!.end, 'its end is missing')
        yield* this.#cut(state, row, i - 1, previous!.end, manifest, tail)
        return previous
      }
      const from = resumed ? footer.replay.address : FILE_HEADER_BYTES
      const stop = yield* this.#replaySegment(state, absorber, file, from, sequences, footer, tail)
      if (stop.at >= 0) {
        yield* this.#cut(state, row, i, stop.end, manifest, tail, stop.at)
        return file
      }
      file.end = stop.end
      previous = file
    }
    this.#checkFloor(manifest, previous, previous?.end ?? 0, tail)
    return found < 0 ? undefined : previous
  }

  /**
   * Whether a segment goes on where the one before it ended. Where compaction has taken that one away the chain begins
   * anew; where it should be there and is not, that is `CORRUPTION`.
   */
  #follows(file: Segment, previous: Segment | undefined, manifest: Manifest, tail: Tail): boolean {
    const { previousNumber, previousEnd, previousChecksum } = file.header
    if (previous && previousNumber === previous.number) {
      return previousEnd === previous.end && previousChecksum === tail.checksum
    }
    const known =
      manifest.journal.includes(file.number) || previousNumber === manifest.floor.segment
    if (!known) throw corruption(file.path, 0, 'the segment of the journal before it is missing')
    tail.checksum = previousChecksum
    tail.restart = true
    return true
  }

  #checkFloor(manifest: Manifest, file: Segment | undefined, end: number, tail: Tail): void {
    const { floor } = manifest
    const listed = manifest.journal.includes(floor.segment)
    if (
      listed &&
      (tail.sequence < floor.sequence ||
        (file?.number ?? 0) < floor.segment ||
        (file?.number === floor.segment && end < floor.end))
    ) {
      const path = file?.path ?? `${this.#context.folder}/MANIFEST`
      throw corruption(
        path,
        end,
        'the end of the journal, which was written and closed, is missing',
      )
    }
  }

  /** Walks one segment. `at` −1: to its end; else where it stops making sense. `end`: behind the last complete frame. */
  *#replaySegment(
    state: LogState,
    absorber: Absorber,
    file: Segment,
    from: number,
    sequences: Float64Array,
    footer: CheckpointFooter | undefined,
    tail: Tail,
  ): Routine<{ at: number; end: number }> {
    const segment = state.segments.all.get(file.number)!
    const walk = new SegmentWalk(file, from, file.end)
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
        const chained = tail.restart || frame.previousChecksum === tail.checksum
        tail.restart = false
        // Sequences may jump where writes were lost and the store was resumed; the chain says that no frame is missing.
        if (inFrame || !chained || frame.firstSequence <= tail.sequence) {
          return cutAt(inFrame ? frameStart : walk.address)
        }
        if (frame.kind === CLOSE) this.#checkClose(walk, state.manifest, file)
        inFrame = true
        frameStart = walk.address
        mark = absorber.mark
        sequence = frame.firstSequence - 1
        cleared = undefined
      } else if (step === ENTRY) {
        if (walk.entry.sequence !== ++sequence) return cutAt(frameStart)
        if (walk.entry.kind === DELETE_RANGE) {
          cleared = { sequence, size: walk.entry.total, mark: absorber.mark }
        } else yield* this.#take(state, absorber, segment, walk, sequences, footer)
      } else if (step === COMPLETE) {
        if (cleared) this.#clear(state, absorber, segment, cleared)
        this.#frameRead(file, frameStart, walk, tail, sequence)
        inFrame = false
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

  #checkClose(walk: SegmentWalk, manifest: Manifest, file: Segment): void {
    const number = readU32(walk.extent, walk.payloadAt)
    if (number > manifest.number) {
      throw new KvarkError(
        'CORRUPTION',
        `${this.#context.folder}/MANIFEST is older than the journal that was closed with it; restore both from one backup`,
        { path: file.path, offset: walk.address, expected: number, found: manifest.number },
      )
    }
  }

  #frameRead(
    file: Segment,
    address: number,
    walk: SegmentWalk,
    tail: Tail,
    sequence: number,
  ): void {
    const frame = walk.frame!
    tail.closed = frame.kind === CLOSE
    tail.frames.push({ segment: file, address, sequence: frame.firstSequence })
    tail.sequence = sequence
    tail.checksum = walk.checksum
    if (frame.syncedSequence > tail.syncedSequence) tail.syncedSequence = frame.syncedSequence
    if (frame.clock > tail.clock) tail.clock = frame.clock
  }

  /** Hands one entry to the absorber, unless the stored index has it already or it was cleared. */
  *#take(
    state: LogState,
    absorber: Absorber,
    segment: LogSegment,
    walk: SegmentWalk,
    sequences?: Float64Array,
    footer?: CheckpointFooter,
  ): Routine<void> {
    const { entry } = walk
    const { sequence, kind, keyLength } = entry
    const size = entry.total
    const address = walk.address
    let key: Buffer = walk.extent
    let start = walk.at + entry.length
    if (walk.spread && start + keyLength > walk.payloadEnd) {
      key = yield* readSpread(segment.file, advance(address, entry.length), keyLength)
      start = 0
    }
    const hash = absorber.hashOf(key, start, keyLength)
    if (footer && sequence <= sequences![hash >>> 24]!) return
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
      return
    }
    absorber.add(kind, hash, segment.base + address, sequence, size, key, start, keyLength)
  }

  /** A frame that held a clear is complete: everything before it is gone. */
  #clear(state: LogState, absorber: Absorber, segment: LogSegment, cleared: Cleared): void {
    const { sequence, size, mark } = cleared
    if (sequence <= state.clearedSequence) return
    absorber.forget(mark)
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
  *#cut(
    state: LogState,
    row: readonly Segment[],
    i: number,
    end: number,
    manifest: Manifest,
    tail: Tail,
    at: number = end,
  ): Routine<void> {
    const file = row[i]!
    this.#checkFloor(manifest, file, end, tail)
    const promised = yield* this.#promisedBehind(row, i, at, tail.sequence + 1)
    if (promised) throw corruption(file.path, at, 'a block that was durable is damaged')
    const { files } = this.#context.environment
    for (const later of row.slice(i + 1).reverse()) {
      const segment = state.segments.all.get(later.number)!
      state.segments.remove(segment)
      state.segments.free(segment)
      yield* later.handle.close()
      yield* files.remove(later.path)
    }
    if (i + 1 < row.length) yield* files.syncFolder(this.#context.folder)
    file.end = end
    file.pages.frames.fill(-1)
    yield* file.handle.truncate(end)
  }

  /** Whether a frame behind the stop says that `sequence` was durable when it was made. */
  *#promisedBehind(
    row: readonly Segment[],
    i: number,
    at: number,
    sequence: number,
  ): Routine<boolean> {
    for (let k = i; k < row.length; k++) {
      const file = row[k]!
      const size = yield* file.handle.size()
      file.end = Math.max(file.end, size)
      const walk = new SegmentWalk(file, k === i ? at : FILE_HEADER_BYTES, size)
      for (;;) {
        const step = walk.next()
        if (step === NEED) yield* walk.fill()
        else if (step === FRAME && walk.frame!.syncedSequence >= sequence) return true
        else if (step === END) break
        else if (step === DAMAGED) walk.skipDamage()
        else walk.skipPayload()
      }
    }
    return false
  }

  *#journal(
    state: LogState,
    options: Required<LogOptions>,
    tail: Tail,
    last: Segment | undefined,
    row: readonly Segment[],
  ): Routine<Journal> {
    const { environment, folder } = this.#context
    const { segments } = state
    let bytes = Buffer.alloc(0)
    if (last) {
      const start = last.end - (last.end & WINDOW_MASK)
      bytes = Buffer.alloc(last.end - start)
      yield* last.handle.read(bytes, 0, bytes.length, start)
    }
    const first = tail.closed ? [] : tail.frames.filter((f) => f.sequence > tail.syncedSequence)
    const suspects = new Map<Segment, number>()
    for (const { segment, address } of first) {
      if (!suspects.has(segment)) suspects.set(segment, address)
    }
    const before = row[row.length - 1]
    const start: JournalStart = {
      segment: last,
      previous: { number: before?.number ?? state.manifest.floor.segment, end: before?.end ?? 0 },
      previousChecksum: tail.checksum,
      tail: bytes,
      sequence: tail.sequence,
      syncedSequence: tail.closed ? tail.sequence : Math.min(tail.sequence, tail.syncedSequence),
      clock: tail.clock,
      suspects: [...suspects],
    }
    const owner = {
      storeId: state.storeId,
      get segmentBytes(): number {
        return options.segmentBytes
      },
      takeNumber: () => state.nextFile++,
      pathOf: (number: number) => `${folder}/${journalName(number)}`,
      begun: (file: Segment, size: number) => {
        const bytes = Math.max(size + FILE_HEADER_BYTES, options.segmentBytes)
        segments.add(file, bytes, false).bornAt = state.snapshots.next
      },
    }
    // A segment longer than a slot cannot be added to: its neighbours' addresses follow.
    const full = last !== undefined && last.end >= SLOT_BYTES
    const journal = new Journal(environment, folder, state.cache, owner, start)
    if (full) journal.roll()
    return journal
  }
}
