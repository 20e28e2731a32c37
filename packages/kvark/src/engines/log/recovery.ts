/**
 * From files to an open log.
 *
 *   MANIFEST ─► packed segments, journal segments ─► stored index ─► replay of the journal behind it (`replay.ts`)
 *                                                    └─ damaged or missing: every segment is read
 *
 * 1. A file that neither the manifest nor the journal's row accounts for is a leftover; it is removed once all else is found to
 *    be in order, so that a manifest that does not belong here takes nothing away.
 * 2. What was read but may never have reached the disk (`suspects`) is written again before anything is acknowledged.
 * 3. Recovery that fails or is interrupted can be run again: it takes away only what it would take away again. What it changes it
 *    changes at once, under both drivers: `resume` may be cut off by `closeSync`, and then somebody else recovers the same files.
 */

import type { EngineContext } from '../../engine/engine.ts'
import type { Routine } from '../../environment/routine.ts'
import { corruption, KvarkError } from '../../errors.ts'
import { Cache } from '../../storage/cache.ts'
import { DESCRIPTOR_NAME } from '../../storage/descriptor.ts'
import { Journal, type JournalStart } from '../../storage/journal.ts'
import { TEMPORARY_SUFFIX } from '../../storage/sealed-file.ts'
import { Segment } from '../../storage/segment.ts'
import {
  FILE_HEADER_BYTES,
  headerIntact,
  readSegmentHeader,
  WINDOW_BYTES,
  WINDOW_MASK,
  writeSegmentHeader,
} from '../../storage/segment-format.ts'
import { closeAll } from '../../vfs/open-file.ts'
import { readCheckpoint } from './checkpoint.ts'
import { HashIndex, SHARDS } from './hash-index.ts'
import {
  FIRST_MANIFEST,
  type FileRecord,
  indexName,
  journalName,
  type Manifest,
  packedName,
  readManifest,
  writeManifest,
} from './manifest.ts'
import type { LogOptions } from './options.ts'
import { Replay, type StoredIndex, type Tail } from './replay.ts'
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

/** A number that no file has. */
function nextFile(names: readonly string[], manifest: Manifest): number {
  const numbers = names.map((name) => Number(/^(\d+)\./.exec(name)?.[1] ?? 0))
  return Math.max(manifest.nextFile, ...numbers.map((number) => number + 1))
}

function isListed({ journal }: Manifest, number: number): boolean {
  return journal.some((record) => record.number === number)
}

/** `CORRUPTION` where the file is not the one that the manifest speaks of, or has become shorter since. */
function checkRecord({ path, life, end }: Segment, record: FileRecord): void {
  if (life !== record.life) throw corruption(path, 32, 'it is another file of that name')
  if (end < record.end) throw corruption(path, end, 'the segment is cut short')
}

/** Closes all files. */
export function* closeState(state: LogState): Routine<void> {
  for (const spool of state.spools) yield* spool.discard()
  const segments = [...state.segments.all.values(), ...state.retired]
  // What is still held, and is let go later, is for the next recovery to remove.
  state.retired = []
  for (const segment of segments) {
    state.cache.drop(segment.file.pages)
    yield* segment.file.handle.close()
  }
}

/** Where what has to be written again begins: with a segment's first frame, its header was not on the disk either. */
function withHeader(address: number): number {
  return address === FILE_HEADER_BYTES ? 0 : address
}

/** The journal's files as they were found. */
interface Row {
  readonly row: Segment[]
  /** The first one without a header, if any, and everything after it. */
  torn: string | undefined
  readonly behind: (Segment | string)[]
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
    const packed = yield* this.#openPacked(manifest)
    const { row, torn, behind } = yield* this.#openRow(names, manifest)
    const state = new LogState(
      this.#context,
      new Cache(this.#context.cacheBytes),
      new LogSegments(folder),
      new HashIndex(),
      manifest,
      nextFile(names, manifest),
      manifest.clearedSequence,
    )
    this.#state = state
    // After `rekey`: the next manifest tells which descriptor is the newest.
    if (manifest.edition !== this.#context.descriptor.edition) state.changed = true

    const stored = yield* this.#loadIndex(state, packed, row)
    if (!stored) for (const file of [...packed, ...row]) this.#place(state, file, manifest)
    const replay = new Replay(state, row, stored, behind)
    if (!stored) for (const file of packed) yield* replay.packed(file)
    const last = yield* replay.journal()
    if (torn !== undefined) yield* this.#removeTorn(replay, torn, behind)
    yield* replay.finish()
    const { tail } = replay
    for (const { maxSequence } of state.segments.all.values()) {
      tail.sequence = Math.max(tail.sequence, maxSequence)
    }
    tail.sequence = Math.max(tail.sequence, manifest.floor.sequence, given)
    state.journal = yield* this.#journal(state, options, tail, last)
    if (row.some((file) => file.number >= manifest.nextFile)) {
      // Their names may not be on the disk yet: whoever made them did not live to sync the folder.
      yield* environment.files.syncFolder(folder)
    }
    // Only now is it certain that the manifest goes with the data.
    yield* this.#removeLeftovers(names, manifest)
    return state
  }

  *abandon(): Routine<void> {
    this.#state?.journal?.abandon()
    yield* closeAll(this.#opened.map(({ handle }) => handle))
  }

  *#manifest(names: readonly string[]): Routine<Manifest> {
    const { environment, folder, descriptor, form } = this.#context
    const manifest = yield* readManifest(environment, folder, descriptor.storeId, form.cipher)
    if (manifest) {
      if (descriptor.edition < manifest.edition) {
        throw corruption(`${folder}/${DESCRIPTOR_NAME}`, 0, 'the descriptor is an older copy')
      }
      return manifest
    }
    if (names.some((name) => /^\d+\.(log|packed)$/.test(name))) {
      throw new KvarkError(
        'CORRUPTION',
        `${folder}/MANIFEST is missing although there is data beside it. Restore it from a backup.`,
        { path: `${folder}/MANIFEST`, offset: 0 },
      )
    }
    yield* writeManifest(environment, folder, descriptor.storeId, FIRST_MANIFEST, form.cipher)
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
        ? Number(journal[1]) < manifest.nextFile && !isListed(manifest, Number(journal[1]))
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
      checkRecord(file, record)
      file.end = record.end
      file.checksum = record.checksum
      files.push(file)
    }
    return files
  }

  /** Opens the journal's segments, up to the first that was never completed. */
  *#openRow(names: readonly string[], manifest: Manifest): Routine<Row> {
    const { folder } = this.#context
    const newer = names
      .map((name) => Number(/^(\d+)\.log$/.exec(name)?.[1] ?? 0))
      .filter((number) => number >= manifest.nextFile)
    const found: Row = { row: [], torn: undefined, behind: [] }
    const listed = new Map(manifest.journal.map((record) => [record.number, record]))
    for (const number of [...listed.keys(), ...newer].sort((a, b) => a - b)) {
      const path = `${folder}/${journalName(number)}`
      const file = yield* this.#open(path, number, number >= manifest.nextFile)
      if (!file && isListed(manifest, number)) {
        throw corruption(path, 0, 'the header of the segment is damaged')
      }
      const record = listed.get(number)
      if (file && record) checkRecord(file, record)
      if (found.torn !== undefined) found.behind.push(file ?? path)
      else if (file) found.row.push(file)
      else found.torn = path
    }
    return found
  }

  /** A segment whose beginning never reached the disk, and what came after it, if nobody was told that it is durable. */
  *#removeTorn(replay: Replay, torn: string, behind: readonly (Segment | string)[]): Routine<void> {
    if (yield* replay.promisedBehind()) {
      throw corruption(torn, 0, 'the header of a segment that was durable is damaged')
    }
    const { files } = this.#context.environment
    for (const one of behind.toReversed()) {
      if (typeof one !== 'string') yield* one.handle.close()
      yield* files.remove(typeof one === 'string' ? one : one.path)
    }
    yield* files.remove(torn)
    yield* files.syncFolder(this.#context.folder)
  }

  /** `torn`: it may have been begun when the power failed; then the copy of the header that was lost is written again. */
  *#open(path: string, number: number, torn = false): Routine<Segment | undefined> {
    const { files } = this.#context.environment
    if ((yield* files.stat(path)) === undefined) throw corruption(path, 0, 'the file is missing')
    const handle = yield* files.open(path, 'write')
    let kept = false
    try {
      const start = Buffer.alloc(FILE_HEADER_BYTES)
      const read = yield* handle.read(start, 0, start.length, 0)
      const { descriptor, form } = this.#context
      const header = readSegmentHeader(start, read, path, descriptor.storeId, form.blocks)
      if (!header) return undefined
      if (header.number !== number) throw corruption(path, 36, `this is segment ${header.number}`)
      if (torn && !headerIntact(start, form.blocks)) {
        writeSegmentHeader(start, header, form.blocks)
        handle.write(start, 0, start.length, 0).sync()
      }
      const file = new Segment(handle, header, form.blocks, yield* handle.size(), true)
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
    return segment
  }

  /** Loads the stored index and gives the segments the places it refers to; `undefined`: it has to be rebuilt. */
  *#loadIndex(
    state: LogState,
    packed: readonly Segment[],
    row: readonly Segment[],
  ): Routine<StoredIndex | undefined> {
    const { manifest } = state
    const sequences = new Float64Array(SHARDS)
    if (!manifest.index) return undefined
    try {
      const index = new HashIndex()
      const footer = yield* readCheckpoint(state, manifest.index, index, sequences)
      const files = new Map([...packed, ...row].map((file) => [file.number, file]))
      for (const record of footer.segments) {
        const file = files.get(record.number)
        if (!file)
          throw corruption(indexName(manifest.index.number), 0, 'it names a missing segment')
        const isPacked = manifest.packed.find(({ number }) => number === record.number)
        const segment = state.segments.restore(file, record, isPacked !== undefined)
        segment.packedAt = isPacked?.packedAt ?? 0
        files.delete(record.number)
      }
      for (const file of files.values()) this.#place(state, file, manifest)
      state.index = index
      // A later clear is still in the journal: replay meets it.
      state.clearedSequence = footer.clearedSequence
      return { footer, sequences }
    } catch (error) {
      if (!(error instanceof KvarkError) || !['CORRUPTION', 'IO'].includes(error.code)) throw error
      if (error.code === 'IO' && error.errno !== 'ENOENT') throw error
      this.#context.environment.warn(
        `The stored index cannot be used and is built anew from the data: ${error.message}`,
      )
      state.segments.reset()
      state.manifest = { ...manifest, index: undefined }
      state.moved = true
      state.changed = true
      return undefined
    }
  }

  *#journal(
    state: LogState,
    options: Required<LogOptions>,
    tail: Tail,
    last: Segment | undefined,
  ): Routine<Journal> {
    const { environment, folder } = this.#context
    const { segments } = state
    let bytes = Buffer.alloc(0)
    if (last) {
      // Read as a page, so that damage in what was not replayed is noticed.
      const page = Buffer.alloc(WINDOW_BYTES)
      yield* last.readPage(Math.floor(last.end / WINDOW_BYTES), page, 0)
      bytes = page.subarray(0, last.end & WINDOW_MASK)
    }
    const suspects = new Map<Segment, number>()
    for (const { segment, address, sequence } of tail.frames) {
      if (sequence <= tail.syncedSequence || suspects.has(segment)) continue
      suspects.set(segment, withHeader(address))
    }
    if (last?.end === FILE_HEADER_BYTES) suspects.set(last, 0)
    // A clean close has something to do, even where nothing is written until then.
    if (!tail.closed && suspects.size > 0) state.changed = true
    // Where all that is left of the journal lies before its end: compaction has taken the rest.
    const { floor } = state.manifest
    const start: JournalStart = {
      segment: last,
      previous: { number: floor.segment, end: floor.end },
      previousChecksum: last === undefined ? floor.checksum : tail.checksum,
      tail: bytes,
      sequence: tail.sequence,
      syncedSequence: tail.closed ? tail.sequence : Math.min(tail.sequence, tail.syncedSequence),
      clock: tail.clock,
      suspects: [...suspects],
    }
    const owner = {
      storeId: state.storeId,
      form: this.#context.form.blocks,
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
    // A segment longer than a slot cannot be added to: its neighbours' addresses follow. In an encrypted store no place is
    // written twice, not even in a copy of it or where a crash took something away: each opening has segments of its own.
    const { writesOnce } = this.#context.form.blocks
    const full = last !== undefined && (writesOnce || last.end >= SLOT_BYTES)
    const journal = new Journal(environment, folder, state.cache, owner, start)
    if (full) journal.roll()
    return journal
  }
}
