/**
 * Everything that can still be read of a damaged log, written to a new one.
 *
 *   segments that are left ─► survey: every frame ─► newest of each key: an index ─► rewrite ─► packed segments, MANIFEST
 *   (`salvage-files.ts`)      that can be found      of positions (`absorb.ts`)      (`jobs.ts`)
 *
 * 1. Only what a checksum vouches for is taken: of each key the newest version that survives, with its version and expiry. Deletions
 *    and clears that survive count.
 * 2. Where entries begin is known from the start of a frame only. Behind a damaged block they cannot be told apart until the next
 *    frame, and nobody guesses: what is in a value may look like an entry.
 * 3. The entries of a frame that is damaged in part are kept, so of a batch some may be there and some not; the report has the place.
 * 4. The last frame of the journal is dropped in silence where it is not complete and nothing says that it was durable: that is what a
 *    crash leaves, and `open` cuts it off, too.
 * 5. A value that runs through several windows counts when all blocks of it are there, of one frame and in a row.
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
import { closeAll } from '../../vfs/open-file.ts'
import { Absorber } from './absorb.ts'
import { HashIndex } from './hash-index.ts'
import { outputsFor, type RewriteArguments, releaseResult, rewrite } from './jobs.ts'
import { liveOffsets } from './live.ts'
import { Lookup } from './lookup.ts'
import { FIRST_MANIFEST, type PackedRecord, packedName, writeManifest } from './manifest.ts'
import { findRemains, type Remains, type RemainsOfStore } from './salvage-files.ts'
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

/** An entry over several windows, of which not all has been seen yet. */
interface Pending {
  readonly address: number
  readonly kind: number
  readonly sequence: number
  readonly total: number
  readonly keyAddress: number
  readonly keyLength: number
  /** The key, unless that runs through several windows, too. */
  readonly key: Buffer | undefined
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
      const reading = new Reading(remains, segment, remains === last)
      yield* this.#segment(reading)
      yield* this.#absorber.merge()
    }
    yield* this.#judge()
    yield* this.#absorber.finish()
  }

  /** Reads one segment from front to back. */
  *#segment(reading: Reading): Routine<void> {
    const { file } = reading
    const absorber = this.#absorber
    const walk = SegmentWalk.salvaging(file, file.end)
    for (;;) {
      const step = walk.next()
      if (step === NEED) {
        yield* this.#environment.pause
        yield* walk.fill()
      } else if (step === FRAME) {
        this.#frame(reading, walk)
        if (absorber.full) yield* absorber.merge()
        reading.mark = absorber.mark
      } else if (step === ENTRY) {
        yield* this.#settle(reading)
        this.#entry(reading, walk)
      } else if (step === COMPLETE) {
        yield* this.#settle(reading)
        this.#complete(reading, walk)
      } else if (step === DAMAGED) {
        this.#damaged(reading, walk.address)
        walk.skipDamage()
      } else if (step === END) break
    }
    this.#end(reading)
  }

  #frame(reading: Reading, walk: SegmentWalk): void {
    const { address } = walk
    const { previousChecksum, firstSequence, syncedSequence } = walk.frame!
    if (reading.inFrame) this.#damaged(reading, reading.read)
    if (reading.lostFrom >= 0) this.#found(reading, address)
    else if (
      reading.link === undefined ? address > reading.read : reading.link !== previousChecksum
    ) {
      // Nothing but zeros, and yet something has been there.
      const reason = 'a part of the segment is missing'
      this.#lose(reading, reading.read, address, reason)
    }
    this.#endFrame(reading)
    reading.inFrame = true
    reading.read = walk.position
    this.sequence = Math.max(this.sequence, firstSequence - 1, syncedSequence)
  }

  #entry(reading: Reading, walk: SegmentWalk): void {
    const { entry, extent, address } = walk
    const { kind, sequence, total, keyLength } = entry
    const keyAt = walk.at + entry.length
    this.sequence = Math.max(this.sequence, sequence)
    if (!walk.spread) {
      reading.read = walk.position
      this.#take(reading.segment, reading, kind, address, sequence, total, extent, keyAt, keyLength)
      return
    }
    const isKeyHere = keyAt + keyLength <= walk.payloadEnd
    reading.pending = {
      address,
      kind,
      sequence,
      total,
      keyAddress: advance(reading.file.form, address, entry.length),
      keyLength,
      key: isKeyHere ? Buffer.from(extent.subarray(keyAt, keyAt + keyLength)) : undefined,
    }
  }

  /** The walk has come to what lies behind an entry over several windows: all of that is there. */
  *#settle(reading: Reading): Routine<void> {
    const { pending, file } = reading
    if (pending === undefined) return
    reading.pending = undefined
    const { kind, address, sequence, total, keyAddress, keyLength } = pending
    const key = pending.key ?? (yield* readSpread(file, keyAddress, keyLength))
    this.#take(reading.segment, reading, kind, address, sequence, total, key, 0, keyLength)
  }

  /** Takes note of an entry that is whole. */
  #take(
    segment: LogSegment,
    reading: Reading,
    kind: number,
    address: number,
    sequence: number,
    size: number,
    key: Buffer,
    start: number,
    length: number,
  ): void {
    const absorber = this.#absorber
    if (kind === DELETE_RANGE) {
      reading.cleared = { sequence, mark: absorber.mark }
      return
    }
    if (sequence < segment.minSequence) segment.minSequence = sequence
    if (sequence > segment.maxSequence) segment.maxSequence = sequence
    if (sequence < this.state.clearedSequence) return
    segment.total += size
    if (kind === DELETE) segment.stale += size
    const hash = absorber.hashOf(key, start, length)
    absorber.add(kind, hash, segment.base + address, sequence, size, key, start, length)
  }

  #complete(reading: Reading, walk: SegmentWalk): void {
    if (reading.lostFrom >= 0) this.#found(reading, walk.position)
    reading.link = walk.checksum
    reading.read = walk.position
    reading.inFrame = false
    this.#endFrame(reading)
    reading.mark = this.#absorber.mark
  }

  /** Something cannot be read from `address` on. */
  #damaged(reading: Reading, address: number): void {
    const { pending } = reading
    reading.inFrame = false
    reading.link = undefined
    reading.pending = undefined
    if (pending) reading.broken.push(pending)
    if (reading.lostFrom < 0) reading.lostFrom = pending?.address ?? address
  }

  /** From `to` on it can be read again. */
  #found(reading: Reading, to: number): void {
    this.#lose(reading, reading.lostFrom, to, 'blocks are damaged')
    reading.lostFrom = -1
  }

  /** A frame is over, whole or not: what it cleared is gone. */
  #endFrame(reading: Reading): void {
    const { cleared } = reading
    reading.cleared = undefined
    const { state } = this
    if (cleared === undefined || cleared.sequence <= state.clearedSequence) return
    this.#absorber.forget(cleared.mark)
    state.index = new HashIndex()
    state.clearedSequence = cleared.sequence
    for (const one of state.segments.all.values()) one.stale = one.total
  }

  #end(reading: Reading): void {
    const { file, remains } = reading
    const incomplete = reading.inFrame || reading.lostFrom >= 0
    if (!incomplete && reading.read >= remains.least) {
      this.#endFrame(reading)
      return
    }
    if (reading.inFrame) this.#damaged(reading, reading.read)
    const from = reading.lostFrom < 0 ? reading.read : reading.lostFrom
    if (this.#isTorn(reading)) {
      this.#absorber.undo(reading.mark)
      return
    }
    this.#endFrame(reading)
    const to = Math.max(file.end, remains.least)
    const isShort = from >= file.end
    this.#lose(reading, from, to, isShort ? 'the file is cut short' : 'blocks are damaged')
  }

  /** Whether the end that is missing may never have been durable: a crash leaves that. */
  #isTorn({ remains, isLast, read }: Reading): boolean {
    const { manifest } = this.#remains
    if (!isLast || manifest === undefined || read < remains.least) return false
    const { segment, end } = manifest.floor
    return remains.number > segment || (remains.number === segment && read >= end)
  }

  #lose(reading: Reading, from: number, to: number, reason: string): void {
    const range = this.#lost.push({ path: reading.file.path, from, to, reason }) - 1
    for (const { key, sequence } of reading.broken) {
      if (key) this.#suspects.push({ key, sequence, range })
    }
    reading.broken.length = 0
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

/** A segment while it is read. */
class Reading {
  readonly remains: Remains
  readonly segment: LogSegment
  readonly file: Segment
  /** No segment of the journal with anything in it comes after this one. */
  readonly isLast: boolean
  /** Behind the last thing that is whole. */
  read = FILE_HEADER_BYTES
  /** Checksum of the frame before; `undefined`: behind damage, and before the first frame where the header is lost. */
  link: number | undefined
  inFrame = false
  /** What the absorber had when the last frame began, or where that is complete, ended. */
  mark = 0
  /** Where what cannot be read begins, −1: it can. */
  lostFrom = -1
  pending: Pending | undefined = undefined
  cleared: Cleared | undefined = undefined
  /** Entries that turned out not to be whole, of the range that is being lost. */
  readonly broken: Pending[] = []

  constructor(remains: Remains, segment: LogSegment, isLast: boolean) {
    this.remains = remains
    this.segment = segment
    this.file = remains.file
    this.isLast = isLast
    this.link = remains.first
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
