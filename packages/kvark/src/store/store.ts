/**
 * The store: its root table, and the life of the whole. One class has all verbs; the type that `open` gives shows those that the
 * engine supports, the others answer `UNSUPPORTED`.
 */

import type {
  BackupReport,
  Engine,
  Inspection,
  Limits,
  Supports,
  VerifyReport,
} from '../engine/engine.ts'
import { WriteBatch } from '../engine/write-batch.ts'
import { Effect, effect, type Routine, runSync } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import { readOnly } from '../storage/journal.ts'
import {
  checkJobOptions,
  checkNames,
  checkObject,
  invalid,
  show,
  unknownName,
} from './arguments.ts'
import { askedTable } from './asked-table.ts'
import { backupStore } from './backup.ts'
import type { DurabilityOptions, JobOptions } from './call-types.ts'
import type { Catalogue } from './catalogue.ts'
import { hearing } from './hearing.ts'
import type { InternalCodec } from './internal-codec.ts'
import type { Life } from './life.ts'
import { EXPIRY_INTERVAL, expiryInterval } from './open-plan.ts'
import { KvarkTable } from './table.ts'
import type {
  BackupOptions,
  Configurable,
  OrderedStore,
  SchemaOption,
  Stats,
  TableInfo,
  TableOptions,
} from './types.ts'
import { checkBatchOptions } from './writes.ts'

const JOB_NAMES: readonly string[] = ['signal', 'progress']
const BACKUP_NAMES: readonly string[] = [...JOB_NAMES, 'base']
const NOTHING_LEFT: Effect<void> = new Effect(
  () => {},
  () => Promise.resolve(),
)

export class KvarkStore<K, V>
  extends KvarkTable<K, V>
  implements OrderedStore<K, V>, Configurable<Record<string, unknown>>
{
  readonly path: string
  readonly engine: string
  readonly supports: Supports
  readonly limits: Limits
  /** That of `resume`, as long as it runs. */
  #resuming: Promise<void> | undefined

  constructor(life: Life, keys: InternalCodec<K>, values: InternalCodec<V>) {
    super(life, keys, values, undefined, life.ttl)
    this.path = life.path
    this.engine = life.engine.name
    this.supports = life.engine.supports
    this.limits = life.engine.limits
  }

  /** Which table it gives is said by the types of `Tables`. */
  table(name: string, options?: TableOptions<unknown, unknown> & SchemaOption<unknown>): never
  table(name: string, options?: TableOptions<unknown, unknown> & SchemaOption<unknown>): unknown {
    const { life } = this
    life.checkOpen()
    const { wanted, keys, values, ttl } = askedTable(life, name, options)
    const { tables } = life
    const number = tables.find(tables.known(), wanted)?.number ?? 0
    return new KvarkTable(life, keys, values, { ...wanted, number }, ttl)
  }

  tables(): TableInfo[] {
    const { tables } = this.life
    this.life.checkOpen()
    return tables.list(tables.catalogue)
  }

  dropTable(name: string, options?: DurabilityOptions): Promise<void> {
    return this.#changeTables(options, (batch) => this.life.tables.fillDrop(batch, name))
  }

  dropTableSync(name: string, options?: DurabilityOptions): void {
    this.#writeTables(options, (batch) => this.life.tables.fillDrop(batch, name)).sync()
  }

  renameTable(from: string, to: string, options?: DurabilityOptions): Promise<void> {
    return this.#changeTables(options, (batch) => this.life.tables.fillRename(batch, from, to))
  }

  renameTableSync(from: string, to: string, options?: DurabilityOptions): void {
    this.#writeTables(options, (batch) => this.life.tables.fillRename(batch, from, to)).sync()
  }

  sync(): Promise<void> {
    const { changes, engine } = this.life
    const before = engine.failure
    return this.#run(function* (engine) {
      changes.flush()
      checkSince(before, engine)
      yield* engine.commit('disk')
    })
  }

  syncSync(): void {
    const before = this.life.engine.failure
    const engine = this.#settled()
    checkSince(before, engine)
    engine.commit('disk').sync()
    this.life.changes.flush()
  }

  resume(): Promise<void> {
    // Two that recover the same files would each go on with a journal of its own.
    if (this.#resuming !== undefined) return this.#resuming
    const resuming = this.#run(() => this.#resume())
    const end = (): void => {
      this.#resuming = undefined
    }
    this.#resuming = resuming
    resuming.then(end, end)
    return resuming
  }

  resumeSync(): void {
    this.life.settle()
    if (this.#resuming !== undefined && this.life.engine.failure !== undefined) {
      throw new KvarkError(
        'READ_ONLY',
        `The store ${this.path} is being resumed by resume(). Await its promise instead of calling resumeSync().`,
        { path: this.path },
      )
    }
    runSync(this.#resume())
  }

  compact(options?: JobOptions): Promise<void> {
    const { life } = this
    return this.#run((engine) => {
      life.checkWritable()
      return this.#job(options, function* compact(progress, signal) {
        yield* life.tables.purge()
        yield* engine.compact(progress, signal)
      })
    })
  }

  compactSync(options?: JobOptions): void {
    const engine = this.#settled()
    const { life } = this
    life.checkWritable()
    runSync(
      this.#job(options, function* compact(progress, signal) {
        yield* life.tables.purge()
        yield* engine.compact(progress, signal)
      }),
    )
  }

  verify(options?: JobOptions): Promise<VerifyReport> {
    return this.#run((engine) => this.#verify(engine, options))
  }

  verifySync(options?: JobOptions): VerifyReport {
    return runSync(this.#verify(this.#settled(), options))
  }

  backup(to: string, options?: BackupOptions): Promise<BackupReport> {
    return this.#run(() => {
      const work = this.#backup(to, options)
      // One effect: it cleans up after itself, also when the store is closed meanwhile.
      return effect(() => work)[Symbol.iterator]()
    })
  }

  backupSync(to: string, options?: BackupOptions): BackupReport {
    this.life.settle()
    return runSync(this.#backup(to, options))
  }

  inspect(options?: JobOptions): Promise<Inspection> {
    return this.#run((engine) => this.#inspect(engine, options))
  }

  inspectSync(options?: JobOptions): Inspection {
    return runSync(this.#inspect(this.#settled(), options))
  }

  stats(): Stats {
    const { engine, path, tables, queue } = this.life
    this.life.checkOpen()
    const failure = engine.failure ?? (this.life.readOnly ? this.life.readOnlyError() : undefined)
    return {
      engine: engine.name,
      path,
      tables: tables.catalogue.tables.size,
      waitingWrites: queue.waiting,
      readOnly: failure && { code: failure.code, message: failure.message },
      ...engine.stats(),
    }
  }

  configure(options: Readonly<Record<string, unknown>>): void {
    const { engine, modules } = this.life
    this.life.checkOpen()
    checkObject(options, 'The options to change')
    const rules = modules[engine.name]!.options
    const live = [...Object.keys(rules).filter((name) => rules[name]!.live), EXPIRY_INTERVAL]
    const { [EXPIRY_INTERVAL]: interval, ...own } = options
    for (const [name, value] of Object.entries(own)) {
      if (!live.includes(name)) throw unknownName(name, live, 'A store that is open')
      const { check, expected } = rules[name]!
      if (!check(value))
        throw invalid(`The option '${name}' must be ${expected}, not ${show(value)}.`)
    }
    if (interval !== undefined) this.core.life.expiry.intervalMs = expiryInterval(options)
    engine.configure(own)
  }

  close(): Promise<void> {
    return this.life.close()
  }

  closeSync(): void {
    this.life.closeSync()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  *#resume(): Routine<void> {
    const { engine, tables, changes, transactions } = this.life
    transactions.reset()
    const durable = engine.failure === undefined ? undefined : engine.stats().durableSequence
    yield* engine.resume()
    // At once: the engine takes writes again, which must not find the tables of before.
    runSync(tables.load())
    transactions.reset()
    if (durable !== undefined) changes.resumed(durable)
  }

  #changeTables(
    options: DurabilityOptions | undefined,
    fill: (batch: WriteBatch) => Catalogue,
  ): Promise<void> {
    return this.promise(() => {
      const durable = this.#writeTables(options, fill)
      return this.life.run(function* () {
        yield* durable
      })
    })
  }

  /**
   * Carries the change out before it returns, behind all earlier writes; gives what makes it durable. What has to be read for it is read at
   * once, also for a promise: what is put behind the call must find the tables as it leaves them.
   */
  #writeTables(
    options: DurabilityOptions | undefined,
    fill: (batch: WriteBatch) => Catalogue,
  ): Effect<void> {
    const { life } = this
    const engine = this.#settled()
    life.checkWritable()
    checkBatchOptions(options)
    const batch = new WriteBatch()
    const catalogue = fill(batch)
    const durability = options?.durability ?? life.durability
    life.queue.writeSync(batch, durability)
    life.tables.install(catalogue)
    return durability === 'none' ? NOTHING_LEFT : engine.commit(durability)
  }

  /** The engine, after all earlier writes. */
  #settled(): Engine {
    this.life.settle()
    return this.life.engine
  }

  /** Carries out work of the engine after all earlier writes. */
  #run<T>(start: (engine: Engine) => Routine<T>): Promise<T> {
    return this.promise(() => {
      const { life } = this
      return life.run(function* () {
        if (life.unsettled) yield* life.queue.passed
        return yield* start(life.engine)
      })
    })
  }

  #verify(engine: Engine, options: JobOptions | undefined): Routine<VerifyReport> {
    const { tables } = this.life
    return this.#job(options, (progress, signal) => tables.verify(engine.verify(progress, signal)))
  }

  #inspect(engine: Engine, options: JobOptions | undefined): Routine<Inspection> {
    return this.#job(options, (progress, signal) => engine.inspect(progress, signal))
  }

  #backup(to: string, options: BackupOptions | undefined): Routine<BackupReport> {
    const { life } = this
    return this.#job(
      options,
      (progress, signal) => backupStore(life, to, options?.base, progress, signal),
      BACKUP_NAMES,
    )
  }

  /** Work that can be aborted, and of which the caller hears. Its options are checked at once. */
  #job<T>(
    options: JobOptions | undefined,
    work: (progress: JobOptions['progress'], signal: AbortSignal) => Routine<T>,
    names = JOB_NAMES,
  ): Routine<T> {
    if (options !== undefined) {
      checkObject(options, 'The options of a job')
      checkNames(options, names, 'A job')
      checkJobOptions(options)
      options.signal?.throwIfAborted()
    }
    const signal = this.life.jobSignal(options?.signal)
    return hearing(options?.progress, (progress) => work(progress, signal))
  }
}

/** Whoever syncs hears of a write that waited and has failed now, also where all that was written before it is on the disk. */
function checkSince(before: KvarkError | undefined, { failure }: Engine): void {
  if (failure !== undefined && failure !== before) throw readOnly(failure)
}
