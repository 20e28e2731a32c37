/** Looking at a log: `verify` reads and checks every byte of it, `inspect` lists its files. */

import type { Inspection, Progress, VerifyReport } from '../../engine/engine.ts'
import type { Routine } from '../../environment/routine.ts'
import { asKvarkError, corruption, type KvarkError } from '../../errors.ts'
import { FILE_HEADER_BYTES, headerIntact } from '../../storage/segment-format.ts'
import { DAMAGED, END, ENTRY, NEED, SegmentWalk } from '../../storage/segment-walk.ts'
import { readCheckpoint } from './checkpoint.ts'
import { HashIndex, SHARDS, TWO_32 } from './hash-index.ts'
import { indexName } from './manifest.ts'
import { type LogSegment, SLOT_BYTES } from './segments.ts'
import type { LogSnapshot } from './snapshots.ts'
import type { LogState } from './state.ts'

/**
 * Reads all segments and the stored index; every live entry must be where the index says. What compaction replaces meanwhile is read
 * in its new place, and counted there.
 */
export function* verify(
  state: LogState,
  progress: Progress | undefined,
  signal: AbortSignal | undefined,
): Routine<VerifyReport> {
  const problems: KvarkError[] = []
  const snapshot = state.snapshot()
  /** Live entries in each. */
  const counts = new Map<LogSegment, number>()
  let entries = 0
  let bytes = 0
  try {
    // What the journal begins from now on is not asked for.
    const asked = new Set(state.segments.sorted().filter((one) => one.bornAt <= snapshot.number))
    for (;;) {
      // As long as entries move, the index points to neither all of the old ones nor all of the copies.
      while (state.moveOn()) yield* state.context.environment.pause
      const left = state.segments
        .sorted()
        .filter((one) => (asked.has(one) || one.packed) && Number.isFinite(one.bornAt))
        .filter((one) => !counts.has(one))
      const [segment] = left
      if (segment === undefined) break
      const done = bytes
      const total = left.reduce((sum, one) => sum + one.file.end, done)
      const heard: Progress = (part) => progress?.(done + part, total)
      state.hold(segment)
      try {
        counts.set(segment, yield* verifySegment(state, snapshot, segment, problems, heard, signal))
      } finally {
        state.letGo(segment)
      }
      bytes += segment.file.end
    }
    // At once: from now on others may be replaced.
    for (const [{ retiredAt }, count] of counts) if (!Number.isFinite(retiredAt)) entries += count
    bytes += yield* verifyIndex(state, problems)
  } finally {
    snapshot.release()
  }
  return { entries, bytes, problems }
}

function* verifySegment(
  state: LogState,
  snapshot: LogSnapshot,
  segment: LogSegment,
  problems: KvarkError[],
  progress: Progress,
  signal: AbortSignal | undefined,
): Routine<number> {
  const { file } = segment
  const header = Buffer.alloc(FILE_HEADER_BYTES)
  yield* file.readAt(header, 0, header.length)
  if (!headerIntact(header, file.form)) {
    problems.push(corruption(file.path, 0, 'a copy of the header is damaged'))
  }
  const live = yield* liveOffsets(state, snapshot, segment)
  const known = problems.length
  if (file.writer) state.journal.seal()
  const walk = new SegmentWalk(file, FILE_HEADER_BYTES, file.end, undefined, file.chain(true))
  let next = 0
  let entries = 0
  for (;;) {
    let step: number
    try {
      step = walk.next()
    } catch (error) {
      problems.push(asKvarkError(error))
      break
    }
    if (step === NEED) {
      signal?.throwIfAborted()
      yield* state.context.environment.pause
      yield* walk.fill()
      progress(walk.position, file.end)
    } else if (step === DAMAGED) {
      problems.push(corruption(file.path, walk.address, 'a block is damaged'))
      walk.skipDamage()
    } else if (step === ENTRY) {
      while (next < live.length && live[next]! < walk.address) next++
      if (next < live.length && live[next] === walk.address) entries++
    } else if (step === END) break
  }
  if (entries < live.length && problems.length === known) {
    problems.push(
      corruption(file.path, file.end, `${live.length - entries} live entries are missing`),
    )
  }
  return entries
}

/** Where the snapshot's live entries begin in a segment, ascending. */
function* liveOffsets(
  state: LogState,
  snapshot: LogSnapshot,
  segment: LogSegment,
): Routine<Float64Array> {
  const first = segment.base
  // A file that is not written any more may have been cut: what it lacks counts too.
  const { file } = segment
  const end = first + (file.writer ? Math.max(file.end, 1) : segment.slots * SLOT_BYTES)
  const offsets: number[] = []
  for (let shard = 0; shard < SHARDS; shard++) {
    const table = snapshot.index.tables[shard]!
    for (let i = 0; i < table.length; i += 2) {
      if (table[i] === 0) continue
      const position = (table[i + 1]! & 0xff) * TWO_32 + table[i]!
      if (position >= first && position < end) offsets.push(position - first)
    }
    if ((shard & 15) === 15) yield* state.context.environment.pause
  }
  return Float64Array.from(offsets).sort()
}

function* verifyIndex(state: LogState, problems: KvarkError[]): Routine<number> {
  const { index } = state.manifest
  if (!index) return 0
  const { environment, folder } = state.context
  try {
    yield* readCheckpoint(state, index, new HashIndex(), new Float64Array(SHARDS))
  } catch (error) {
    const problem = asKvarkError(error)
    // Cut off: nothing is known of it.
    if (problem.code === 'CLOSED') throw problem
    // A newer manifest may have replaced it while it was read.
    if (state.manifest.index?.number === index.number) problems.push(problem)
    return 0
  }
  return (yield* environment.files.stat(`${folder}/${indexName(index.number)}`))?.size ?? 0
}

/** Lists what the store consists of. */
export function* inspect(state: LogState): Routine<Inspection> {
  const { environment, folder } = state.context
  const names = yield* environment.files.list(folder)
  const files: Inspection['files'][number][] = []
  const segments = new Map(state.segments.sorted().map((one) => [one.file.path, one]))
  const retired = new Set(state.retired.map((one) => one.file.path))
  const spools = new Set([...state.spools].map((one) => one.path))
  for (const name of names) {
    const path = `${folder}/${name}`
    const bytes = (yield* environment.files.stat(path))?.size ?? 0
    const segment = segments.get(path)
    if (segment) {
      files.push({
        name,
        kind: segment.packed
          ? 'packed segment'
          : segment.file.writer
            ? 'active segment'
            : 'segment',
        bytes,
        detail: {
          entryBytes: segment.total,
          staleBytes: segment.stale,
          firstSequence: segment.maxSequence === 0 ? 0 : segment.minSequence,
          lastSequence: segment.maxSequence,
        },
      })
    } else if (spools.has(path)) {
      files.push({ name, kind: 'value on its way in', bytes, detail: {} })
    } else files.push({ name, kind: kindOf(name, path, retired), bytes, detail: {} })
  }
  const { manifest, journal } = state
  return {
    files,
    detail: {
      manifest: manifest.number,
      sequence: journal.sequence,
      durableSequence: journal.syncedSequence,
      entries: state.index.count,
      clearedSequence: state.clearedSequence,
    },
  }
}

function kindOf(name: string, path: string, retired: ReadonlySet<string>): string {
  if (retired.has(path)) return 'replaced segment, kept for a snapshot'
  if (name === 'KVARK') return 'descriptor'
  if (name === 'LOCK') return 'lock'
  if (name === 'MANIFEST') return 'manifest'
  return name.endsWith('.index') ? 'stored index' : 'other'
}
