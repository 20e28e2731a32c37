/**
 * An engine that is simple enough to be obviously right, to check the store and the contract suite with, and to compare
 * real engines against: one sorted array of immutable records.
 *
 *   #records   [ {a 1 …}, {c 5 …}, {d 2 …} ]  ◄── snapshots and cursors hold the same array
 *
 * 1. An array that a snapshot or cursor holds never changes: the next write copies it first. That is all there is to a
 *    fixed view.
 * 2. Every commit writes everything (`reference-file.ts`), so what is on disk is always one whole state.
 * 3. It blocks and spreads on purpose, in a fixed rhythm, as a real engine with a cold cache does.
 *
 * Left out: writes with durability `none` stay in memory until the next commit or close; there is no cache and nothing to
 * compact; the time for a write grows with the number of entries.
 */

import {
  type BackupReport,
  type BackupTarget,
  BLOCKED,
  DONE,
  type Durability,
  type Engine,
  type EngineContext,
  type EngineCursor,
  type EngineModule,
  type EngineSnapshot,
  type EngineStats,
  type Inspection,
  type Limits,
  MISSING,
  type Progress,
  REFUSED,
  type ScanRequest,
  type Status,
  type Supports,
  type VerifyReport,
} from '../engine/engine.ts'
import type { Found } from '../engine/found.ts'
import type { Load } from '../engine/load.ts'
import type { Spool } from '../engine/spool.ts'
import type { WriteBatch } from '../engine/write-batch.ts'
import type { Environment } from '../environment/environment.ts'
import { Effect, type Routine, runAsync, runSync } from '../environment/routine.ts'
import { asKvarkError, corruption, KvarkError } from '../errors.ts'
import { ReferenceCursor } from './reference-cursor.ts'
import { STATE_NAMES, StateFiles } from './reference-file.ts'
import { ReferenceLoad } from './reference-load.ts'
import {
  answer,
  isExpired,
  lowerBound,
  pausingBlock,
  type Record,
  sizeOf,
  type View,
} from './reference-records.ts'
import { ReferenceSpool } from './reference-spool.ts'
import { applyOperation, conditionsHold } from './reference-write.ts'

const REFERENCE_SUPPORTS: Supports = {
  order: true,
  snapshots: true,
  atomicBatch: true,
  transactions: true,
  watch: true,
  search: false,
  threads: false,
  processes: false,
}

const REFERENCE_LIMITS: Limits = {
  keyBytes: 4096,
  valueBytes: 8 * 1024 * 1024,
  batchBytes: 16 * 1024 * 1024,
  batchOperations: 10_000,
}

/** Every so many lookups and writes find something missing in memory. */
const FIND_BLOCKS_EVERY = 7
const WRITE_BLOCKS_EVERY = 11

export const referenceModule: EngineModule = {
  name: 'reference',
  supports: REFERENCE_SUPPORTS,
  limits: REFERENCE_LIMITS,
  options: {},
  files: STATE_NAMES,
  jobs: {},
  *open(context: EngineContext): Routine<Engine> {
    const engine = new ReferenceEngine(context)
    yield* engine.restore()
    return engine
  },
}

class ReferenceEngine implements Engine {
  readonly name = 'reference'
  readonly supports: Supports = REFERENCE_SUPPORTS
  readonly limits: Limits = REFERENCE_LIMITS
  readonly #environment: Environment
  failure: KvarkError | undefined = undefined
  sequence = 0

  readonly #folder: string
  readonly #files: StateFiles
  #records: Record[] = []
  /** A view holds `#records`: copy before the next change. */
  #held = false
  readonly #living: Set<View> = new Set()
  #clock = 0

  /** The sequences that survive a killed process, and a power loss. */
  #written = 0
  #synced = 0
  #running: Promise<void> | undefined = undefined
  /** Grows when the state is loaded anew: what was on its way to disk then is no longer what is in memory. */
  #life = 0

  #finds = 0
  #writes = 0
  /** Keys that may be looked up without blocking: those loaded for a lookup that is going on. */
  readonly #warm: Set<string> = new Set()
  #compactions = 0

  constructor(context: EngineContext) {
    this.#environment = context.environment
    this.#folder = context.folder
    this.#files = new StateFiles(context.environment.files, context.folder)
  }

  *restore(): Routine<void> {
    const state = yield* this.#files.read()
    this.#life++
    this.#records = [...(state?.records ?? [])]
    this.#held = false
    // Never back, so that a version that was seen once is not given to another write.
    this.sequence = Math.max(this.sequence, state?.sequence ?? 0)
    this.#clock = Math.max(this.#clock, state?.clock ?? 0)
    this.#written = this.#synced = this.sequence
  }

  /** The environment's time, never backwards. */
  #now(): number {
    this.#clock = Math.max(this.#clock, this.#environment.now())
    return this.#clock
  }

  find(key: Uint8Array, length: number, at: EngineSnapshot | undefined, found: Found): Status {
    const wanted = key.subarray(0, length)
    const name = Buffer.from(wanted).toString('latin1')
    if (!this.#warm.has(name) && ++this.#finds % FIND_BLOCKS_EVERY === 0) {
      found.block = pausingBlock(
        this.#environment,
        () => this.#warm.add(name),
        () => this.#warm.delete(name),
      )
      return BLOCKED
    }
    const view = at === undefined ? undefined : (at as View)
    const records = view?.records ?? this.#records
    const place = lowerBound(records, wanted)
    const record = records[place]
    if (record === undefined || !record.key.equals(wanted)) return MISSING
    if (isExpired(record, view?.clock ?? this.#now())) return MISSING
    return answer(found, record, this.#environment)
  }

  write(batch: WriteBatch): Status {
    if (this.failure !== undefined) throw readOnly(this.failure)
    if (!batch.warmed && ++this.#writes % WRITE_BLOCKS_EVERY === 0) return BLOCKED
    const clock = this.#now()
    if (!conditionsHold(this.#records, batch, clock)) return REFUSED
    if (this.#held) this.#records = this.#records.slice()
    this.#held = false
    for (let i = 0; i < batch.count; i++) {
      if (applyOperation(this.#records, batch, i, this.sequence + 1, clock)) this.sequence++
      else batch.skipped.push(i)
    }
    return DONE
  }

  *warm(batch: WriteBatch): Routine<void> {
    yield* this.#environment.pause
    batch.warmed = true
  }

  get clock(): number {
    return this.#now()
  }

  spool(): Spool {
    if (this.failure !== undefined) throw readOnly(this.failure)
    return new ReferenceSpool(this.#environment)
  }

  load(expiry: number): Load {
    if (this.failure !== undefined) throw readOnly(this.failure)
    return new ReferenceLoad(this.#environment, expiry)
  }

  commit(durability: Durability): Effect<void> {
    return new Effect(
      () => {
        if (!this.#reached(durability, this.sequence)) runSync(this.#flush(durability))
      },
      async () => {
        const sequence = this.sequence
        while (!this.#reached(durability, sequence)) {
          // Whoever comes while a flush is running waits for it, and all who were too late for it share the next.
          this.#running ??= runAsync(this.#flush(durability)).finally(() => {
            this.#running = undefined
          })
          await this.#running
        }
      },
    )
  }

  snapshot(): View {
    this.#held = true
    const view: View = {
      records: this.#records,
      sequence: this.sequence,
      clock: this.#now(),
      takenAt: this.#environment.monotonic(),
      release: () => {
        this.#living.delete(view)
      },
    }
    this.#living.add(view)
    return view
  }

  cursor(request: ScanRequest): EngineCursor {
    const environment = this.#environment
    if (request.at !== undefined) {
      return new ReferenceCursor(environment, request.at as View, request, () => {})
    }
    const own = this.snapshot()
    return new ReferenceCursor(environment, own, request, () => own.release())
  }

  *compact(progress: Progress | undefined, signal: AbortSignal | undefined): Routine<void> {
    yield* this.#environment.pause
    signal?.throwIfAborted()
    this.#records = this.#records.filter((record) => !isExpired(record, this.#now()))
    this.#held = false
    yield* this.commit('disk')
    this.#compactions++
    progress?.(this.#records.length, this.#records.length)
  }

  *verify(progress: Progress | undefined, signal: AbortSignal | undefined): Routine<VerifyReport> {
    yield* this.commit('disk')
    const problems: KvarkError[] = []
    let entries = 0
    let bytes = 0
    for (const file of yield* this.#files.list()) {
      signal?.throwIfAborted()
      const state = yield* this.#files.check(file.name)
      bytes += file.bytes
      progress?.(bytes, bytes)
      if (state === undefined) {
        problems.push(corruption(`${this.#folder}/${file.name}`, 0, 'wrong checksum'))
      } else {
        entries = state.records.filter((record) => !isExpired(record, this.#now())).length
      }
    }
    return { entries, bytes, problems }
  }

  *backup(
    to: BackupTarget,
    progress: Progress | undefined,
    signal: AbortSignal | undefined,
  ): Routine<BackupReport> {
    if (this.failure !== undefined) throw readOnly(this.failure)
    const view = this.snapshot()
    const { records, sequence: version, clock } = view
    try {
      yield* this.commit('disk')
      signal?.throwIfAborted()
      const copy = new StateFiles(to.environment.files, to.folder)
      const name = yield* copy.write({ sequence: version, clock, records }, true)
      const written = yield* copy.check(name)
      if (written === undefined) throw corruption(`${to.folder}/${name}`, 0, 'wrong checksum')
      signal?.throwIfAborted()
      const bytes = sizeOf(records)
      progress?.(bytes, bytes)
      return { entries: records.length, bytes, version }
    } finally {
      view.release()
    }
  }

  *inspect(): Routine<Inspection> {
    const files = yield* this.#files.list()
    return {
      files: files.map(({ name, bytes }) => ({ name, kind: 'state', bytes, detail: {} })),
      detail: { entries: this.#records.length, sequence: this.sequence },
    }
  }

  *resume(): Routine<void> {
    if (this.failure === undefined) return
    yield* this.restore()
    this.failure = undefined
    // Shows that the disk takes writes again, and overtakes every commit that is still on its way.
    yield* this.#flush('disk')
  }

  configure(): void {}

  stats(): EngineStats {
    const current = new Set(this.#records)
    const kept = new Set([...this.#living].flatMap((view) => view.records))
    const now = this.#environment.monotonic()
    return {
      entries: this.#records.length,
      files: this.#synced > 0 ? 1 : 0,
      diskBytes: sizeOf(this.#records),
      journalBytes: 0,
      staleBytes: 0,
      indexBytes: 0,
      cachedBytes: 0,
      cacheHits: 0,
      cacheMisses: 0,
      sequence: this.sequence,
      durableSequence: this.#synced,
      snapshots: this.#living.size,
      oldestSnapshotMs: Math.max(0, ...[...this.#living].map((view) => now - view.takenAt)),
      snapshotBytes: sizeOf([...kept].filter((record) => !current.has(record))),
      checkpoints: 0,
      compactions: this.#compactions,
      compacting: false,
    }
  }

  *close(): Routine<void> {
    if (this.failure !== undefined) return
    yield* this.commit('disk')
    // What has expired stays so.
    if (this.#records.some((record) => isExpired(record, this.#now()))) yield* this.#flush('disk')
  }

  #reached(durability: Durability, sequence: number): boolean {
    if (durability === 'none') return true
    return sequence <= (durability === 'os' ? this.#written : this.#synced)
  }

  *#flush(durability: Durability): Routine<void> {
    const life = this.#life
    const sequence = this.sequence
    const durable = durability === 'disk'
    try {
      if (this.failure !== undefined) throw this.failure
      yield* this.#files.write({ sequence, clock: this.#now(), records: this.#records }, durable)
    } catch (error) {
      const reason = asKvarkError(error)
      if (life === this.#life) this.failure ??= reason
      throw unknownOutcome(reason)
    }
    if (life !== this.#life) throw unknownOutcome(undefined)
    this.#written = Math.max(this.#written, sequence)
    if (durable) this.#synced = Math.max(this.#synced, sequence)
  }
}

/** The error of a write that was not even tried. */
function readOnly(reason: KvarkError): KvarkError {
  return new KvarkError(
    'READ_ONLY',
    `The store takes no writes since one failed: ${reason.message} Remove the cause, then call resume().`,
    { cause: reason },
  )
}

/** The error of a write that failed on its way to the disk; without a reason: it was overtaken by `resume`. */
function unknownOutcome(reason: KvarkError | undefined): KvarkError {
  return new KvarkError(
    reason?.code ?? 'IO',
    `A write may not have reached the disk: ${reason?.message ?? 'the store was loaded anew'}. ` +
      'Call `resume()`, then read what is there.',
    {
      ...(reason?.errno === undefined ? {} : { errno: reason.errno }),
      outcome: 'unknown',
      cause: reason,
    },
  )
}
