/**
 * Writing down what the store consists of: the stored index and the manifest.
 *
 *   journal point ─► index, shard by shard ─► sync journal and names ─► manifest ─► what it no longer names may go
 *
 * The order is the safety: the index speaks of entries that must be on disk before anything names it.
 */

import { type JobReport, observed } from '../../engine/diagnostics.ts'
import type { Routine } from '../../environment/routine.ts'
import type { JournalPoint } from '../../storage/journal.ts'
import type { Segment } from '../../storage/segment.ts'
import { FILE_HEADER_BYTES } from '../../storage/segment-format.ts'
import type { FileRecord } from '../../storage/segment-opening.ts'
import { writeCheckpoint } from './checkpoint.ts'
import { indexName, type Manifest, writeManifest } from './manifest.ts'
import type { LogSegment } from './segments.ts'
import type { LogState } from './state.ts'

/** Below this many journal bytes since the last one, a clean close does not store the index anew. */
const SHORT_TAIL_BYTES = 256 * 1024

/** Stores the index, then a manifest that names it and everything that the store consists of now. */
export function persist(state: LogState): Routine<void> {
  return observed('kvark:checkpoint', state.context, (report) => store(state, report))
}

function* store(state: LogState, report: JobReport): Routine<void> {
  const { journal } = state
  const before = state.sinceCheckpoint
  const point = journal.point()
  const replay =
    journal.active === undefined
      ? { segment: state.nextFile, address: FILE_HEADER_BYTES }
      : { segment: point.segment, address: point.end }
  const number = state.nextFile++
  const life = Buffer.from(state.context.environment.random(4)).readUInt32LE()
  const written = yield* writeCheckpoint(
    state,
    { number, life },
    {
      ...replay,
      sequence: point.sequence,
      previousChecksum: point.checksum,
    },
  )
  report.bytes = written
  if (written === 0) return yield* removeIndex(state, number)
  yield* commit(state, { number, life })
  state.moved = false
  state.sinceCheckpoint -= before
  state.checkpoints++
  yield* removeIndexes(state)
}

/** Once a manifest is durable: removes the stored indexes that it does not name, those before it and of jobs that were cut off. */
function* removeIndexes(state: LogState): Routine<void> {
  for (const number of state.indexes) {
    if (number !== state.manifest.index?.number) yield* removeIndex(state, number)
  }
}

function* removeIndex({ context, indexes }: LogState, number: number): Routine<void> {
  yield* context.environment.files.remove(`${context.folder}/${indexName(number)}`)
  indexes.delete(number)
}

/** Everything durable, the manifest up to date, the journal ended with a close frame. */
export function* closeCleanly(state: LogState): Routine<void> {
  // Before the manifest, which then lists the segment.
  state.journal.begin()
  if (state.moved || state.sinceCheckpoint > SHORT_TAIL_BYTES) yield* persist(state)
  else {
    yield* commit(state, state.manifest.index)
    yield* removeIndexes(state)
  }
  yield* markClose(state)
}

/**
 * The close frame for the manifest that there is. It must be there, also where compaction has taken all segments: it is what an older
 * manifest is found out by, and the clock of the next session goes on from it.
 */
export function* markClose({ journal, manifest }: LogState): Routine<void> {
  journal.begin()
  yield* journal.close(manifest.number)
}

/** A segment of the journal as far as it is certainly on disk. */
function journalRecord(
  { number, life, header, end, checksum }: Segment,
  floor: JournalPoint,
): FileRecord {
  if (number === floor.segment) return { number, life, end: floor.end, checksum: floor.checksum }
  if (number < floor.segment) return { number, life, end, checksum: checksum! }
  // Begun after the sync.
  return { number, life, end: FILE_HEADER_BYTES, checksum: header.previousChecksum }
}

/** Writes a manifest of what is there. */
function* commit(state: LogState, index: Manifest['index']): Routine<void> {
  const { environment, folder, form } = state.context
  const floor = yield* state.journal.syncPoint()
  yield* environment.files.syncFolder(folder)
  const all = state.segments.sorted()
  // A segment begun after the sync is not durable yet: it comes after the manifest.
  const named = all.filter((one) => one.packed || one.file.named)
  const unnamed = all.filter((one) => !one.packed && !one.file.named)
  const retired = [...state.retired]
  const nextFile = Math.min(state.nextFile, ...unnamed.map((one) => one.file.number))
  const manifest = manifestOf(state, named, index, floor, nextFile)
  yield* writeManifest(environment, folder, state.storeId, manifest, form.cipher, state.drafts)
  state.manifest = manifest
  for (const segment of retired) segment.removable = true
}

/** The next manifest, of a store that consists of `segments`. */
export function manifestOf(
  state: LogState,
  segments: readonly LogSegment[],
  index: Manifest['index'],
  floor: Manifest['floor'],
  nextFile: number,
): Manifest {
  return {
    number: state.manifest.number + 1,
    nextFile,
    packed: segments
      .filter((one) => one.packed)
      .map(({ file, packedAt }) => {
        const { number, life, end, checksum } = file
        return { number, life, end, checksum: checksum!, packedAt }
      }),
    journal: segments.filter((one) => !one.packed).map((one) => journalRecord(one.file, floor)),
    clearedSequence: state.clearedSequence,
    index,
    edition: state.context.descriptor.edition,
    floor,
  }
}
