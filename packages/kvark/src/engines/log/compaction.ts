/**
 * Getting space back. One job at a time:
 *
 *   choose victims ─► gather their live positions ─► rewrite (in a worker) ─► move: index → copies ─► persist ─► remove the old
 *                     from the index, in steps                               in steps              manifest
 *
 * 1. Whatever fails or is interrupted before the new manifest stands leaves the old files in charge: a crash at any step loses
 *    nothing, and leftovers are removed at the next open.
 * 2. While it runs, writes and reads go on. An entry that is overwritten meanwhile is stale in its copy at once.
 * 3. A deletion is dropped only when no segment that stays can hold an older entry of its key (`LogSegment.floor`).
 * 4. The journal is synced before a manifest or stored index that speaks of it.
 * 5. Once it is stopped, the folder stays as it is, whatever is still under way: names change at once (see `vfs/files.ts`), and what
 *    a worker writes to are files that were made here and have lost their names by then. Somebody else may have the folder.
 *
 * It starts when the stale bytes pass `compactionThresholdBytes` and a quarter of all, so that a big store does not compact all day;
 * or when there are many short segments. Entries that have expired are stale once no snapshot sees them any more; the store asks for
 * that now and then (`expire`), whether anything is written or not.
 */

import { type JobReport, observed } from '../../engine/diagnostics.ts'
import type { Progress } from '../../engine/engine.ts'
import { Effect, effect, type Routine, runSync } from '../../environment/routine.ts'
import { asKvarkError, KvarkError } from '../../errors.ts'
import { BackgroundJob } from '../../storage/background.ts'
import { TEMPORARY_SUFFIX } from '../../storage/sealed-file.ts'
import { Segment } from '../../storage/segment.ts'
import type { SegmentHeader } from '../../storage/segment-format.ts'
import { closeAll, openFile } from '../../vfs/open-file.ts'
import { Expiring } from './expiring.ts'
import { TWO_32 } from './hash-index.ts'
import {
  outputsFor,
  type RewriteArguments,
  type RewriteResult,
  releaseResult,
  rewrite,
} from './jobs.ts'
import { type LiveOffsets, liveOffsets } from './live.ts'
import { packedName } from './manifest.ts'
import type { LogOptions } from './options.ts'
import { persist } from './persist.ts'
import type { LogSegment } from './segments.ts'
import type { LogState } from './state.ts'

/** Stale share from which compaction starts. */
const STALE_SHARE = 0.25
/** Stale share and bytes from which a caller who never lets the event loop run compacts by itself. */
const URGENT_SHARE = 0.75
const URGENT_BYTES = 64 * 1024 * 1024
/** Segments with less than this share of stale bytes are left alone. */
const VICTIM_SHARE = 0.1
/** The index is stored when so much has been written since. */
const CHECKPOINT_BYTES = 64 * 1024 * 1024
const MOVES_A_STEP = 4096
/** Segments shorter than this share of a full one are put together with others. */
const SMALL_SHARE = 0.25
/**
 * So many of those are put together even where nothing is stale, for each takes a file handle and addresses: long values that were
 * spooled leave them, and each opening of an encrypted store.
 */
const CROWD = 32
/** With so many, those who would make more wait: each is an open file. */
const MOST_SMALL = 4 * CROWD
/** Live bytes that are rewritten at once: bounded for the memory that it takes, but worth storing the index anew. */
const ROUND_BYTES = 128 * 1024 * 1024
const ROUND_BYTES_A_KEY = 32
/** After a failure the next try waits for so much more to be written. */
const RETRY_BYTES = 16 * 1024 * 1024

export class Compactor {
  readonly #state: LogState
  readonly #options: Required<LogOptions>
  readonly #job: BackgroundJob
  /** The rest of a move that was begun: index → copies. */
  #moving: (() => boolean) | undefined
  /** Written bytes at which to look again. */
  #lookAt = 0
  #lookedAt = 0
  #wasCleared = false
  /** Something has expired, or was left for another round, since the last one began. */
  #expired = false
  /** A progress callback of the user's is running: what it calls must leave the compaction alone. */
  #telling = false
  /** Complete compactions, and those of them that `compactSync` made. */
  finished = 0
  #finishedAtOnce = 0

  constructor(state: LogState, options: Required<LogOptions>) {
    this.#state = state
    this.#options = options
    this.#job = new BackgroundJob(state.context.environment)
    state.snapshotReleased = () => this.release()
    state.moveOn = () => this.#moving?.() ?? false
  }

  get running(): boolean {
    return this.#job.running
  }

  /** Looks whether there is work, now and then. */
  consider(): void {
    if (this.#telling) return
    const written = this.#state.sinceCheckpoint
    if (written < this.#lookAt && written >= this.#lookedAt) return
    this.#lookedAt = written
    this.#lookAt = written + Math.min(64 * 1024, this.#options.compactionThresholdBytes / 2)
    // Its steps need the event loop, which a caller of many synchronous writes never lets turn.
    if (this.#job.running) {
      if (this.#urgent()) this.#runNow()
    } else if (this.#due()) {
      this.#start(() => this.#compact(false))
    } else if (written > Math.max(CHECKPOINT_BYTES, this.#state.totals().total / 4)) {
      this.#start(() => persist(this.#state))
    }
  }

  /** Counts what has expired, and begins if there is enough of it; false when there is nothing more that might. */
  expire(): boolean {
    const waits = this.#countExpired()
    if (this.#expired && !this.#job.running && !this.#telling) {
      if (this.#due()) this.#start(() => this.#compact(false))
      else this.#expired = false
    }
    return waits || this.#expired || this.#job.running
  }

  /** Ends when there are few enough small segments, or nothing is being done about them. */
  relief(): Effect<void> {
    return new Effect(
      () => {},
      async () => {
        while (this.#job.running && this.#countSmall() > MOST_SMALL) await this.#job.settled()
      },
    )
  }

  /** Everything was cleared: whole segments can go. */
  cleared(): void {
    this.#wasCleared = true
    this.#lookAt = 0
  }

  /** Compacts until nothing more can be freed. */
  compactAll(progress: Progress | undefined, signal: AbortSignal | undefined): Effect<void> {
    const work = (): Routine<void> => this.#compact(true, progress, signal)
    const failed = (error: unknown): unknown =>
      signal?.aborted ? signal.reason : compactionFailed(error)
    return new Effect(
      () => {
        if (this.#telling) {
          throw new KvarkError(
            'INVALID_ARGUMENT',
            'compactSync() was called by the progress callback of a compaction. Call it when that one has ended.',
          )
        }
        this.#takeOver()
        try {
          runSync(work())
          this.#finishedAtOnce++
        } catch (error) {
          throw failed(error)
        }
      },
      async () => {
        // Several may have waited for the same job.
        while (this.#job.running) await this.#job.settled()
        const before = this.#finishedAtOnce
        try {
          await this.#job.start(work)
        } catch (error) {
          // What took it over has done all of it.
          if (this.#finishedAtOnce === before) throw failed(error)
        }
      },
    )
  }

  /** Before an orderly close: those who open, write little and close would never let a job come to its end. */
  *tidy(): Routine<void> {
    if (this.#crowded()) yield* this.#putTogether()
  }

  /** After an opening: those who are killed each time would not close either. */
  *tidyOpened(): Routine<void> {
    if (this.#countSmall() > MOST_SMALL) yield* this.#putTogether()
  }

  *#putTogether(): Routine<void> {
    try {
      yield* this.#compact(false)
    } catch (error) {
      this.#state.context.environment.warn(`Compaction failed: ${asKvarkError(error).message}`)
    }
  }

  /** Ends background work for good. What is half done is either finished or leaves no trace. */
  stop(): Effect<void> {
    return new Effect(
      () => {
        this.#job.end()
        this.#takeOver()
      },
      async () => {
        this.#job.end()
        await this.#job.settled()
        this.#takeOver()
      },
    )
  }

  /** Removes replaced segments that nobody needs any more; awaited by nobody, for freeing the space of a large file can take long. */
  release(): void {
    void this.#removeUnneeded().async()
  }

  /** Their names go at once, their space as they are closed. One effect, so that a job that is stopped meanwhile leaves none open. */
  #removeUnneeded(): Effect<void> {
    const free = this.#unneeded()
    for (const { file } of free) this.#removeFile(file.path)
    return effect(function* () {
      for (const { file } of free) {
        try {
          yield* file.handle.close()
        } catch {
          // Nobody can come by it any more.
        }
      }
    })
  }

  /** Takes out of the state what no snapshot, no read under way and no manifest needs. */
  #unneeded(): LogSegment[] {
    const state = this.#state
    if (state.retired.length === 0) return []
    const { oldest } = state.snapshots
    const free = state.retired.filter(
      (one) => one.removable && one.retiredAt <= oldest && !state.held.has(one),
    )
    state.retired = state.retired.filter((one) => !free.includes(one))
    for (const segment of free) {
      state.segments.free(segment)
      state.cache.drop(segment.file.pages)
    }
    return free
  }

  /** No manifest names it: whatever happens here, the next open removes what is left. */
  #removeFile(path: string): void {
    const { environment } = this.#state.context
    try {
      environment.files.remove(path).sync()
    } catch (error) {
      environment.warn(`${path} stays until the next open: ${asKvarkError(error).message}`)
    }
  }

  /** Counts what has expired as stale; whether there is something that will. */
  #countExpired(): boolean {
    const clock = this.#expiryClock()
    let waits = false
    for (const segment of this.#state.segments.all.values()) {
      if (segment.expire(clock) > 0) this.#expired = true
      if (segment.expiring?.isEmpty === false) waits = true
    }
    return waits
  }

  /** What has expired by then nobody sees any more. */
  #expiryClock(): number {
    const { snapshots, journal } = this.#state
    return snapshots.living.reduce((clock, one) => Math.min(clock, one.clock), journal.now())
  }

  #due(): boolean {
    if (this.#wasCleared || this.#crowded()) return true
    const { total, stale } = this.#state.totals()
    return stale > this.#options.compactionThresholdBytes && stale > total * STALE_SHARE
  }

  #crowded(): boolean {
    const { all } = this.#state.segments
    return all.size > CROWD && this.#countSmall() > CROWD
  }

  #countSmall(): number {
    let count = 0
    for (const one of this.#state.segments.all.values()) {
      if (!one.damaged && this.#isSmall(one)) count++
    }
    return count
  }

  /** Whether it is worth putting together with others. */
  #isSmall({ file, end }: LogSegment): boolean {
    return !file.writer && end < this.#options.segmentBytes * SMALL_SHARE
  }

  #urgent(): boolean {
    const { total, stale } = this.#state.totals()
    return stale > URGENT_BYTES && stale > total * URGENT_SHARE
  }

  #start(work: () => Routine<void>): void {
    const { environment } = this.#state.context
    this.#job.start(work).catch((error: unknown) => {
      const { code, message, path } = asKvarkError(error)
      if (code === 'CLOSED') return
      if (code === 'CORRUPTION') {
        for (const one of this.#state.segments.all.values()) {
          if (one.file.path === path) one.damaged = true
        }
      }
      this.#lookAt = this.#state.sinceCheckpoint + RETRY_BYTES
      environment.warn(`Compaction failed and will be tried again later: ${message}`)
    })
  }

  #runNow(): void {
    try {
      this.#takeOver()
      runSync(this.#compact(false))
    } catch (error) {
      // The write that met it is not concerned.
      this.#lookAt = this.#state.sinceCheckpoint + RETRY_BYTES
      this.#state.context.environment.warn(`Compaction failed: ${asKvarkError(error).message}`)
    }
  }

  /** Nothing runs any more, a move that was begun is complete, and drafts are gone. */
  #takeOver(): void {
    this.#job.abandon()
    while (this.#moving?.()) {}
    const { drafts } = this.#state
    for (const path of drafts) this.#removeFile(path)
    drafts.clear()
  }

  #compact(everything: boolean, progress?: Progress, signal?: AbortSignal): Routine<void> {
    const state = this.#state
    return observed('kvark:compaction', state.context, (report) =>
      this.#compactRounds(everything, progress, signal, report),
    )
  }

  *#compactRounds(
    everything: boolean,
    progress: Progress | undefined,
    signal: AbortSignal | undefined,
    report: JobReport,
  ): Routine<void> {
    this.#countExpired()
    const { total: before } = this.#state.totals()
    const rounds = this.#rounds(everything)
    this.#wasCleared = false
    this.#expired = !everything && rounds.length > 1
    const total = rounds.flat().reduce((sum, one) => sum + liveBytes(one), 0)
    let done = 0
    this.#tell(progress, 0, total)
    for (const victims of rounds) {
      yield* this.#round(victims, signal)
      done += victims.reduce((sum, one) => sum + liveBytes(one), 0)
      this.#tell(progress, done, total)
      if (!everything) break
    }
    if (rounds.length === 0) {
      signal?.throwIfAborted()
      yield* persist(this.#state)
    }
    this.finished++
    report.bytes = before - this.#state.totals().total
  }

  #tell(progress: Progress | undefined, done: number, total: number): void {
    this.#telling = true
    try {
      progress?.(done, total)
    } finally {
      this.#telling = false
    }
  }

  /** Replaces some segments by what is alive in them. */
  *#round(victims: readonly LogSegment[], signal: AbortSignal | undefined): Routine<void> {
    // `progress` may have closed the store.
    signal?.throwIfAborted()
    const state = this.#state
    const { index } = state
    const numbers = this.#outputs(victims.reduce((sum, one) => sum + liveBytes(one), 0))
    if (victims.some((one) => one.file.writer)) state.journal.roll()
    const packedAt = state.journal.sequence
    const live = yield* liveOffsets(state, victims, signal)
    const args = this.#arguments(victims, live, numbers)
    try {
      const result = yield* this.#rewrite(args)
      signal?.throwIfAborted()
      if (state.index === index) {
        const outputs = yield* this.#adopt(args, result, packedAt)
        yield* this.#move(victims, outputs, result)
      }
      releaseResult(result)
    } finally {
      for (const { path } of args.outputs) yield* state.discard(path)
    }
    yield* persist(state)
    yield* this.#removeUnneeded()
  }

  /**
   * The segments worth rewriting, in portions, oldest first: what a portion frees is free before the next begins, and
   * deletions go when everything older has gone before them.
   */
  #rounds(everything: boolean): LogSegment[][] {
    const state = this.#state
    const all = state.segments.sorted().filter((one) => !one.damaged && one.end > 0)
    const { stale, tombstones } = state.totals()
    const share = everything ? 0 : VICTIM_SHARE
    // Deletions go only together with everything older: if they are most of what is stale, take all.
    const takeAll = tombstones * 2 > stale
    const isStale = (one: LogSegment): boolean =>
      one.stale + one.padding > (one.total + one.padding) * share
    const clock = this.#expiryClock()
    // Some of it may have expired that is not counted yet.
    const mayFree = (one: LogSegment): boolean =>
      everything && one.expiring?.mayHave(clock) === true
    const victims = all.filter(
      (one) => takeAll || isStale(one) || mayFree(one) || this.#isSmall(one),
    )
    if (victims.length === 1 && !isStale(victims[0]!) && !mayFree(victims[0]!)) return []
    const most = Math.max(ROUND_BYTES, state.index.count * ROUND_BYTES_A_KEY)
    const rounds: LogSegment[][] = []
    let bytes = Number.POSITIVE_INFINITY
    for (const victim of victims) {
      if (bytes + liveBytes(victim) > most) {
        rounds.push([])
        bytes = 0
      }
      rounds[rounds.length - 1]!.push(victim)
      bytes += liveBytes(victim)
    }
    return rounds
  }

  #outputs(liveBytes: number): number[] {
    const count = outputsFor(liveBytes, this.#options.segmentBytes)
    return Array.from({ length: count }, () => this.#state.nextFile++)
  }

  #arguments(
    victims: readonly LogSegment[],
    live: readonly LiveOffsets[],
    outputs: readonly number[],
  ): RewriteArguments {
    const state = this.#state
    const { environment, folder, descriptor, form } = state.context
    const staying = [...state.segments.all.values()].filter((one) => !victims.includes(one))
    const random = (): number => Buffer.from(environment.random(4)).readUInt32LE()
    return {
      inputs: victims.map((victim, i) => ({
        path: victim.file.path,
        life: victim.file.life,
        end: victim.file.end,
        chain: victim.file.chain(),
        minSequence: victim.minSequence,
        base: victim.base,
        live: live[i]!.memory,
        liveCount: live[i]!.count,
      })),
      outputs: outputs.map((number) => ({
        path: `${folder}/${packedName(number)}.${random().toString(16)}${TEMPORARY_SUFFIX}`,
        header: {
          storeId: state.storeId,
          life: random(),
          number,
          previousNumber: 0,
          previousEnd: 0,
          previousChecksum: 0,
        } satisfies SegmentHeader,
      })),
      outputBytes: this.#options.segmentBytes,
      hashSeed: descriptor.hashSeed,
      floor: Math.min(state.journal.sequence + 1, ...staying.map((one) => one.floor)),
      clock: this.#expiryClock(),
      epoch: random(),
      form: form.description,
    }
  }

  /** Runs the job in another thread where there is one, on files that are made here. */
  *#rewrite(args: RewriteArguments): Routine<RewriteResult> {
    const { drafts, context } = this.#state
    const { environment } = context
    for (const { path } of args.outputs) {
      drafts.add(path)
      yield* environment.files.open(path, 'create').sync().close()
    }
    if (!environment.execute) return yield* rewrite(environment, args)
    return yield* new Effect(
      () => runSync(rewrite(environment, args)),
      () =>
        environment.execute?.({ engine: 'log', job: 'rewrite', args }) as Promise<RewriteResult>,
    )
  }

  /** Gives the outputs their names and their places in the store. */
  *#adopt(args: RewriteArguments, result: RewriteResult, packedAt: number): Routine<LogSegment[]> {
    const state = this.#state
    const { environment, folder, form } = state.context
    const files: Segment[] = []
    let kept = false
    try {
      for (let i = 0; i < result.outputs.length; i++) {
        const { path, header } = args.outputs[i]!
        const handle = yield* openFile(environment.files, path, 'write')
        files.push(new Segment(handle, header, form.blocks, result.outputs[i]!.end, true))
      }
      // From here on nothing waits: a cancelled job has either no output in the store or all of them.
      const outputs = files.map((file, i) => {
        const output = result.outputs[i]!
        const path = `${folder}/${packedName(file.number)}`
        environment.files.rename(file.path, path).sync()
        file.path = path
        const segment = state.segments.add(file, Math.max(output.end, 1), true)
        segment.bornAt = Number.POSITIVE_INFINITY
        segment.packedAt = packedAt
        file.checksum = output.checksum
        segment.total = output.total
        segment.stale = output.tombstones
        segment.tombstones = output.tombstones
        segment.expiring = output.expiring && Expiring.from(output.expiring)
        segment.minSequence = output.minSequence
        segment.maxSequence = output.maxSequence
        return segment
      })
      kept = true
      return outputs
    } finally {
      if (!kept) yield* closeAll(files.map(({ handle }) => handle))
    }
  }

  /** Points the index to the copies, then takes the victims out of the store. */
  *#move(
    victims: readonly LogSegment[],
    outputs: readonly LogSegment[],
    result: RewriteResult,
  ): Routine<void> {
    const state = this.#state
    const { index } = state
    for (const victim of victims) victim.moving = true
    let next = 0
    const { moved: count, expired } = result
    /** One step; false when all is done. */
    const step = (): boolean => {
      const end = Math.min(next + MOVES_A_STEP, count + expired)
      for (; next < end; next++) {
        if (next < count) {
          const to = result.to[next]!
          const output = outputs[Math.floor(to / TWO_32)]!
          const position = output.base + (to % TWO_32)
          const hash = result.hash[next]!
          const moved = index.replace(hash, result.from[next]!, position)
          if (!moved) output.stale += result.size[next]!
        } else {
          const i = next - count
          index.remove(result.expiredHash[i]!, result.expiredFrom[i]!)
        }
      }
      if (next < count + expired) return true
      this.#moving = undefined
      const snapshot = state.snapshots.next
      for (const output of outputs) output.bornAt = snapshot
      for (const victim of victims) {
        victim.retiredAt = snapshot
        state.segments.remove(victim)
        state.retired.push(victim)
      }
      state.changed = true
      state.moved = true
      return false
    }
    this.#moving = step
    // Others may help it on, to its end too.
    while (this.#moving === step && step()) yield* state.context.environment.pause
  }
}

/** What compaction would copy of a segment: live entries, and deletions at most. */
function liveBytes(segment: LogSegment): number {
  return Math.max(0, segment.total - segment.stale) + segment.tombstones
}

function compactionFailed(cause: unknown): KvarkError {
  const error = asKvarkError(cause)
  if (error.code === 'CLOSED' || error.code === 'READ_ONLY') return error
  return new KvarkError(
    'COMPACTION_FAILED',
    `Compaction did not finish and changed nothing: ${error.message}`,
    { cause: error, ...(error.path === undefined ? {} : { path: error.path }) },
  )
}
