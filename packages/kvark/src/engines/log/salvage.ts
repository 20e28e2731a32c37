/**
 * Everything that can still be read of a damaged log, written to a new one.
 *
 *   segments that are left ─► survey: every frame ─► newest of each key: an index ─► rewrite ─► packed segments, MANIFEST
 *   (`salvage-files.ts`)      that can be found      of positions (`absorb.ts`)      (`jobs.ts`)
 *
 * 1. Of each key the newest version that survives is taken, with its version and expiry. Deletions and clears that survive count.
 * 2. What can be read of a segment is told by `storage/segment-survey.ts`.
 *
 * Left out: the stored index, though it knows where entries begin. And who damages a plain store with checksums that are right again:
 * only an encrypted one can tell.
 */

import { BLOCKED, MISSING, type SalvageContext } from '../../engine/engine.ts'
import type { LostKey, LostRange, RepairReport } from '../../engine/facts.ts'
import { DELETE, DELETE_RANGE } from '../../engine/write-batch.ts'
import type { Environment } from '../../environment/environment.ts'
import type { Routine } from '../../environment/routine.ts'
import { Cache } from '../../storage/cache.ts'
import { salvagingEnvironment } from '../../storage/salvaging.ts'
import type { Segment } from '../../storage/segment.ts'
import { FILE_HEADER_BYTES } from '../../storage/segment-format.ts'
import type { Remains } from '../../storage/segment-remains.ts'
import {
  keyOf,
  SegmentSurvey,
  type SpreadEntry,
  type SurveyReader,
} from '../../storage/segment-survey.ts'
import { closeAll } from '../../vfs/open-file.ts'
import { Absorber } from './absorb.ts'
import { HashIndex } from './hash-index.ts'
import { outputsFor, type RewriteArguments, releaseResult, rewrite } from './jobs.ts'
import { liveOffsets } from './live.ts'
import { Lookup } from './lookup.ts'
import { FIRST_MANIFEST, type PackedRecord, packedName, writeManifest } from './manifest.ts'
import { findRemains, type RemainsOfStore } from './salvage-files.ts'
import { type LogSegment, LogSegments, SLOT_BYTES } from './segments.ts'
import { LogState } from './state.ts'

/** The index is compared with what lies where it points; pages come in order. */
const CACHE_BYTES = 16 * 1024 * 1024

export function* salvage(context: SalvageContext): Routine<RepairReport> {
  let total = 0
  let done = 0
  const heard = (bytes: number): void => {
    done += bytes
    context.progress?.(Math.min(done, total), total)
  }
  const environment = salvagingEnvironment(context.environment, heard, context.signal)
  const opened: Segment[] = []
  const lost: LostRange[] = []
  try {
    const remains = yield* findRemains(context, environment, opened, lost)
    // Once to find what there is, once to copy it.
    total = 2 * opened.reduce((sum, { end }) => sum + end, 0)
    const survey = new Survey(context, environment, remains, lost)
    yield* survey.run()
    const copied = yield* copy(context, environment, survey)
    return { ...copied, lost }
  } finally {
    yield* closeAll(opened.map(({ handle }) => handle))
  }
}

/** A key that is known to have lost a value, until it is known whether that was the newest. */
interface Suspect {
  readonly key: Buffer
  readonly sequence: number
  /** Which of the lost ranges. */
  readonly range: number
}

/** A clear in a frame that is being read, and what had been taken note of by then. */
interface Cleared {
  readonly sequence: number
  readonly mark: number
}

/** Finds the newest surviving entry of each key. */
class Survey {
  readonly state: LogState
  /** The highest sequence seen, also of what is lost: the next write gets a higher one. */
  sequence = 0
  readonly #environment: Environment
  readonly #remains: RemainsOfStore
  readonly #lost: LostRange[]
  readonly #suspects: Suspect[] = []
  readonly #absorber: Absorber

  constructor(
    context: SalvageContext,
    environment: Environment,
    remains: RemainsOfStore,
    lost: LostRange[],
  ) {
    const { folder, descriptor, form } = context
    const { manifest } = remains
    this.#environment = environment
    this.#remains = remains
    this.#lost = lost
    this.state = new LogState(
      {
        environment,
        folder,
        descriptor,
        form,
        options: {},
        cacheBytes: CACHE_BYTES,
        created: false,
      },
      new Cache(CACHE_BYTES),
      new LogSegments(folder),
      new HashIndex(),
      FIRST_MANIFEST,
      1,
      manifest?.clearedSequence ?? 0,
    )
    this.sequence = manifest?.floor.sequence ?? 0
    this.#absorber = new Absorber(this.state)
  }

  *run(): Routine<void> {
    const { segments } = this.#remains
    const journal = segments.filter((one) => !one.packed && one.file.end > FILE_HEADER_BYTES)
    const last = journal.at(-1)
    // The journal first: a clear in it takes away what came before, and the packed ones may hold what came after.
    for (const remains of segments) {
      const { file, packed } = remains
      const segment = this.state.segments.add(file, Math.max(file.end, 1), packed)
      const survey = new SegmentSurvey(this.#environment, remains, this.#reader(segment))
      yield* survey.run((address) => remains === last && this.#mayEnd(remains, address))
      yield* this.#absorber.merge()
    }
    yield* this.#judge()
    yield* this.#absorber.finish()
  }

  #reader(segment: LogSegment): SurveyReader {
    const absorber = this.#absorber
    const { file } = segment
    let mark = 0
    let cleared: Cleared | undefined
    const note = (
      { kind, sequence, total }: Pick<SpreadEntry, 'kind' | 'sequence' | 'total'>,
      address: number,
      key: Buffer,
      start: number,
      length: number,
    ): void => {
      if (kind === DELETE_RANGE) cleared = { sequence, mark: absorber.mark }
      else this.#take(segment, kind, address, sequence, total, key, start, length)
    }
    return {
      *mark() {
        if (absorber.full) yield* absorber.merge()
        mark = absorber.mark
      },
      entry({ entry, address, extent, at }) {
        note(entry, address, extent, at + entry.length, entry.keyLength)
      },
      *spread(entry) {
        note(entry, entry.address, yield* keyOf(file, entry), 0, entry.keyLength)
      },
      ended: () => {
        if (cleared) this.#clear(cleared)
        cleared = undefined
      },
      undo: () => absorber.undo(mark),
      given: (sequence) => {
        this.sequence = Math.max(this.sequence, sequence)
      },
      lost: (from, to, reason, broken) => {
        const range = this.#lost.push({ path: file.path, from, to, reason }) - 1
        for (const { key, sequence } of broken) {
          if (key) this.#suspects.push({ key, sequence, range })
        }
      },
    }
  }

  /** Takes note of an entry that is whole. */
  #take(
    segment: LogSegment,
    kind: number,
    address: number,
    sequence: number,
    size: number,
    key: Buffer,
    start: number,
    length: number,
  ): void {
    const absorber = this.#absorber
    if (sequence < segment.minSequence) segment.minSequence = sequence
    if (sequence > segment.maxSequence) segment.maxSequence = sequence
    if (sequence < this.state.clearedSequence) return
    segment.total += size
    if (kind === DELETE) segment.stale += size
    const hash = absorber.hashOf(key, start, length)
    // When it expires is for the copy to say.
    absorber.add(kind, hash, segment.base + address, sequence, 0, size, key, start, length)
  }

  /** A frame is over, whole or not: what it cleared is gone. */
  #clear(cleared: Cleared): void {
    const { state } = this
    if (cleared.sequence <= state.clearedSequence) return
    this.#absorber.forget(cleared.mark)
    state.index = new HashIndex()
    state.clearedSequence = cleared.sequence
    for (const one of state.segments.all.values()) one.stale = one.total
  }

  /** Whether what is missing at the end of the journal may never have been durable: a crash leaves that. */
  #mayEnd({ number }: Remains, address: number): boolean {
    const { manifest } = this.#remains
    if (manifest === undefined) return false
    const { segment, end } = manifest.floor
    return number > segment || (number === segment && address >= end)
  }

  /** Which keys have lost their newest value, and what they have instead. */
  *#judge(): Routine<void> {
    const { state } = this
    const lookup = new Lookup(state.segments, state.cache)
    const newest = new Map<string, Suspect>()
    for (const suspect of this.#suspects) {
      const name = suspect.key.toString('latin1')
      if ((newest.get(name)?.sequence ?? 0) < suspect.sequence) newest.set(name, suspect)
    }
    for (const { key, sequence, range } of newest.values()) {
      if (sequence < state.clearedSequence) continue
      const hash = this.#absorber.hashOf(key, 0, key.length)
      const at = Number.POSITIVE_INFINITY
      let status = lookup.find(state.index, hash, key, 0, key.length, at)
      while (status === BLOCKED) {
        const block = lookup.block!
        yield* block.load
        status = lookup.find(state.index, hash, key, 0, key.length, at)
        block.release()
      }
      const { entry } = lookup
      if (status !== MISSING && entry.sequence >= sequence) continue
      const kept = status === MISSING || entry.kind === DELETE ? undefined : entry.sequence
      const place = this.#lost[range]!
      const keys: LostKey[] = [...(place.keys ?? []), { key, version: sequence, kept }]
      this.#lost[range] = { ...place, keys }
    }
  }
}

/** Copies what the survey found to new segments, and names them in a manifest. */
function* copy(
  context: SalvageContext,
  environment: Environment,
  { state, sequence }: Survey,
): Routine<{ entries: number; bytes: number }> {
  const { to, form, signal } = context
  const { files } = environment
  const segments = state.segments.sorted()
  const live = yield* liveOffsets(state, segments, signal)
  const bytes = segments.reduce((sum, one) => sum + one.total - one.stale, 0)
  const random = (): number => Buffer.from(environment.random(4)).readUInt32LE()
  const { storeId } = to.descriptor
  const outputs = Array.from({ length: outputsFor(Math.max(0, bytes), SLOT_BYTES) }, (_, i) => ({
    path: `${to.folder}/${packedName(i + 1)}`,
    header: {
      storeId,
      life: random(),
      number: i + 1,
      previousNumber: 0,
      previousEnd: 0,
      previousChecksum: 0,
    },
  }))
  for (const { path } of outputs) yield* (yield* files.open(path, 'create')).close()
  const args: RewriteArguments = {
    inputs: segments.map((one, i) => ({
      path: one.file.path,
      life: one.file.life,
      end: one.file.end,
      chain: undefined,
      minSequence: one.minSequence,
      base: one.base,
      live: live[i]!.memory,
      liveCount: live[i]!.count,
    })),
    outputs,
    outputBytes: SLOT_BYTES,
    hashSeed: to.descriptor.hashSeed,
    // Deletions have nothing to hide in the new store, and what has expired does so there as well.
    floor: Number.POSITIVE_INFINITY,
    clock: 0,
    epoch: random(),
    form: form.description,
  }
  const result = yield* rewrite(environment, args)
  const written = result.outputs.length
  for (const { path } of outputs.slice(written)) yield* files.remove(path)
  const packed = result.outputs.map(
    ({ end, checksum }, i): PackedRecord => ({
      number: i + 1,
      life: outputs[i]!.header.life,
      end,
      checksum,
      packedAt: sequence,
    }),
  )
  const manifest = {
    ...FIRST_MANIFEST,
    number: 1,
    nextFile: written + 1,
    packed,
    edition: to.descriptor.edition,
    floor: { ...FIRST_MANIFEST.floor, sequence },
  }
  yield* writeManifest(environment, to.folder, storeId, manifest, form.cipher)
  const entries = result.moved
  releaseResult(result)
  return { entries, bytes: packed.reduce((sum, { end }) => sum + end, 0) }
}
