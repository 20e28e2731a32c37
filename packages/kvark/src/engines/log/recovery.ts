/**
 * From files to an open log.
 *
 *   MANIFEST ─► packed segments, journal segments ─► stored index ─► replay of the journal behind it (`replay.ts`)
 *                                                    └─ damaged or missing: every segment is read
 *
 * What the journal's files have in order, and where it ends, is found out in `storage/journal-recovery.ts`.
 *
 * 1. A file that neither the manifest nor the journal's row accounts for is a leftover; it is removed once all else is found to
 *    be in order, so that a manifest that does not belong here takes nothing away.
 * 2. Recovery that fails or is interrupted can be run again: it takes away only what it would take away again. What it changes it
 *    changes at once, under both drivers: `resume` may be cut off by `closeSync`, and then somebody else recovers the same files.
 */

import { type JobReport, observed, publishFailure } from '../../engine/diagnostics.ts'
import type { EngineContext } from '../../engine/engine.ts'
import type { Routine } from '../../environment/routine.ts'
import { corruption, KvarkError } from '../../errors.ts'
import { Cache } from '../../storage/cache.ts'
import { DESCRIPTOR_NAME } from '../../storage/descriptor.ts'
import { Journal, type JournalStart } from '../../storage/journal.ts'
import { JournalRecovery, journalName, type ReplayPoint } from '../../storage/journal-recovery.ts'
import { TEMPORARY_SUFFIX } from '../../storage/sealed-file.ts'
import type { Segment } from '../../storage/segment.ts'
import { FILE_HEADER_BYTES } from '../../storage/segment-format.ts'
import { checkRecord, openSegment } from '../../storage/segment-opening.ts'
import { closeAll } from '../../vfs/open-file.ts'
import { type CheckpointFooter, readCheckpoint } from './checkpoint.ts'
import { HashIndex, SHARDS } from './hash-index.ts'
import {
  FIRST_MANIFEST,
  indexName,
  MANIFEST_NAME,
  type Manifest,
  packedName,
  readManifest,
  writeManifest,
} from './manifest.ts'
import type { LogOptions } from './options.ts'
import { Replay, type StoredIndex } from './replay.ts'
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
    return yield* observed('kvark:recovery', context, (report) =>
      recovery.run(options, given, report),
    )
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

/** What the stored index has of the journal. */
function replayPoint({ replay, previousChecksum, clock }: CheckpointFooter): ReplayPoint {
  const { segment, address, sequence } = replay
  return { segment, end: address, sequence, checksum: previousChecksum, clock }
}

/** Ends the journal, and closes all files. */
export function* closeState(state: LogState): Routine<void> {
  state.snapshots.close()
  const segments = [...state.segments.all.values(), ...state.retired]
  // First, and all at once: the journal's memory, which is that of the last pages, must not be read when it has let go of it.
  for (const { file } of segments) state.cache.drop(file.pages)
  state.journal.abandon()
  for (const spool of state.spools) yield* spool.discard()
  // What is still held, and is let go later, is for the next recovery to remove.
  state.retired = []
  yield* closeAll(segments.map(({ file }) => file.handle))
}

class Recovery {
  readonly #context: EngineContext
  readonly #packed: Segment[] = []
  #journal: JournalRecovery | undefined
  #state: LogState | undefined

  constructor(context: EngineContext) {
    this.#context = context
  }

  *run(options: Required<LogOptions>, given: number, report: JobReport): Routine<LogState> {
    const { environment, folder } = this.#context
    const names = yield* environment.files.list(folder)
    const manifest = yield* this.#manifest(names)
    yield* this.#openPacked(manifest)
    const packed = this.#packed
    const journal = new JournalRecovery(this.#context, manifest, `${folder}/${MANIFEST_NAME}`)
    this.#journal = journal
    yield* journal.open(names)
    const { row } = journal
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
    const replay = new Replay(state, stored)
    if (!stored) for (const file of packed) yield* replay.packed(file)
    const point = stored && replayPoint(stored.footer)
    for (const file of yield* journal.replay(replay, point)) {
      const segment = state.segments.all.get(file.number)!
      state.segments.remove(segment)
      state.segments.free(segment)
    }
    report.bytes = journal.replayedBytes
    yield* replay.finish()
    let sequence = Math.max(journal.tail.sequence, manifest.floor.sequence, given)
    for (const { maxSequence } of state.segments.all.values()) {
      sequence = Math.max(sequence, maxSequence)
    }
    journal.tail.clock = Math.max(journal.tail.clock, replay.clock)
    const start = yield* journal.start(sequence)
    if (!journal.tail.closed) {
      state.unmarked = manifest.number > 0
      // A clean close has something to do, even where nothing is written until then.
      if (start.suspects.length > 0) state.changed = true
    }
    state.journal = this.#goOn(state, options, start)
    yield* journal.syncNames()
    // Only now is it certain that the manifest goes with the data.
    if (!this.#context.created) yield* this.#removeLeftovers(names, manifest, journal)
    return state
  }

  *abandon(): Routine<void> {
    this.#state?.journal?.abandon()
    const opened = [...this.#packed, ...(this.#journal?.opened ?? [])]
    yield* closeAll(opened.map(({ handle }) => handle))
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
  *#removeLeftovers(
    names: readonly string[],
    manifest: Manifest,
    journal: JournalRecovery,
  ): Routine<void> {
    const { environment, folder } = this.#context
    const named = new Set(manifest.packed.map((record) => packedName(record.number)))
    if (manifest.index) named.add(indexName(manifest.index.number))
    for (const name of names) {
      const leftover =
        journal.isLeftover(name) ||
        name.endsWith(TEMPORARY_SUFFIX) ||
        (/^\d+\.(packed|index)$/.test(name) && !named.has(name))
      if (leftover) yield* environment.files.remove(`${folder}/${name}`)
    }
  }

  *#openPacked(manifest: Manifest): Routine<void> {
    for (const record of manifest.packed) {
      const path = `${this.#context.folder}/${packedName(record.number)}`
      const file = yield* openSegment(this.#context, path, record.number)
      if (!file) throw corruption(path, 0, 'the header of the segment is damaged')
      this.#packed.push(file)
      checkRecord(file, record)
      file.end = record.end
      file.checksum = record.checksum
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

  #goOn(state: LogState, options: Required<LogOptions>, start: JournalStart): Journal {
    const { environment, folder } = this.#context
    const { segments } = state
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
      failed: (reason: KvarkError) => publishFailure(this.#context, reason),
    }
    // A segment longer than a slot cannot be added to: its neighbours' addresses follow. In an encrypted store no place is
    // written twice, not even in a copy of it or where a crash took something away: each opening has segments of its own.
    const { writesOnce } = this.#context.form.blocks
    const last = start.segment
    const full = last !== undefined && (writesOnce || last.end >= SLOT_BYTES)
    const journal = new Journal(environment, folder, state.cache, owner, start)
    if (full) journal.roll()
    return journal
  }
}
