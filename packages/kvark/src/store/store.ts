/**
 * The store: the verbs that read, the verbs that write, and the life of the whole. One class has all verbs; the type
 * that `open` gives shows those that the engine supports, the others answer `UNSUPPORTED`.
 *
 *   put ─► encode and check ─► batch ─► queue.write ──► visible ──► commit (durability) ──► version
 *
 * 1. A write that is refused has written nothing; it is checked as a whole before the engine sees it.
 * 2. Promised verbs never throw; they reject.
 */

import type {
  BackupReport,
  Durability,
  Engine,
  Inspection,
  Limits,
  Supports,
  VerifyReport,
} from '../engine/engine.ts'
import type { WriteBatch } from '../engine/write-batch.ts'
import { effect, type Routine, runSync } from '../environment/routine.ts'
import {
  checkDurability,
  checkJobOptions,
  checkNames,
  checkObject,
  invalid,
  rejected,
  show,
  unknownName,
  unsupported,
} from './arguments.ts'
import { backupStore } from './backup.ts'
import type { Core } from './core.ts'
import { expiryOf } from './expiry.ts'
import { load, loadSync } from './load.ts'
import { EXPIRY_INTERVAL, expiryInterval } from './open-plan.ts'
import { putStream } from './put-stream.ts'
import { planClear } from './range.ts'
import { StoreReader } from './reader.ts'
import { StoreSnapshot } from './snapshot.ts'
import { touch, touchSync } from './touch.ts'
import type {
  BatchOperation,
  ByteSource,
  ClearOptions,
  Configurable,
  JobOptions,
  LoadOptions,
  OrderedSnapshot,
  OrderedStore,
  PutOptions,
  Stats,
  TouchOptions,
  WriteOptions,
} from './types.ts'
import { View } from './view.ts'
import {
  addClear,
  addDelete,
  addOperations,
  addPut,
  checkBatchOptions,
  checkPutOptions,
  checkWriteOptions,
  expectedVersion,
} from './writes.ts'

const JOB_NAMES: readonly string[] = ['signal', 'progress']

interface DurabilityOptions {
  readonly durability?: Durability
}

export class KvarkStore<K, V>
  extends StoreReader<K, V>
  implements OrderedStore<K, V>, Configurable<Record<string, unknown>>
{
  readonly path: string
  readonly engine: string
  readonly supports: Supports
  readonly limits: Limits
  readonly #durability: Durability

  constructor(core: Core<K, V>, durability: Durability) {
    super(core, undefined)
    this.path = core.path
    this.engine = core.engine.name
    this.supports = core.engine.supports
    this.limits = core.engine.limits
    this.#durability = durability
  }

  put(key: K, value: V, options?: PutOptions): Promise<number> {
    return this.#write(options, (batch) => this.#fillPut(batch, key, value, options))
  }

  putSync(key: K, value: V, options?: PutOptions): number {
    return this.#writeSync(options, (batch) => this.#fillPut(batch, key, value, options))
  }

  set(key: K, value: V, options?: PutOptions): Promise<number> {
    return this.put(key, value, options)
  }

  setSync(key: K, value: V, options?: PutOptions): number {
    return this.putSync(key, value, options)
  }

  putStream(key: K, source: ByteSource, options?: PutOptions): Promise<number> {
    return putStream(this.core, key, source, options, this.#durability)
  }

  touch(key: K, options?: TouchOptions): Promise<number | undefined> {
    return this.promise(() => touch(this.core, key, options, this.#durability))
  }

  touchSync(key: K, options?: TouchOptions): number | undefined {
    return touchSync(this.core, key, options, this.#durability)
  }

  load(
    entries: Iterable<readonly [K, V]> | AsyncIterable<readonly [K, V]>,
    options?: LoadOptions,
  ): Promise<number> {
    return load(this.core, entries, options, this.#durability)
  }

  loadSync(entries: Iterable<readonly [K, V]>, options?: LoadOptions): number {
    return loadSync(this.core, entries, options, this.#durability)
  }

  delete(key: K, options?: WriteOptions): Promise<number> {
    return this.#write(options, (batch) => this.#fillDelete(batch, key, options))
  }

  deleteSync(key: K, options?: WriteOptions): number {
    return this.#writeSync(options, (batch) => this.#fillDelete(batch, key, options))
  }

  del(key: K, options?: WriteOptions): Promise<number> {
    return this.delete(key, options)
  }

  delSync(key: K, options?: WriteOptions): number {
    return this.deleteSync(key, options)
  }

  batch(operations: Iterable<BatchOperation<K, V>>, options?: DurabilityOptions): Promise<number> {
    return this.#write(options, (batch) => this.#fillBatch(batch, operations, options))
  }

  batchSync(operations: Iterable<BatchOperation<K, V>>, options?: DurabilityOptions): number {
    return this.#writeSync(options, (batch) => this.#fillBatch(batch, operations, options))
  }

  async clear(options?: ClearOptions<K>): Promise<void> {
    await this.#write(options, (batch) => this.#fillClear(batch, options))
  }

  clearSync(options?: ClearOptions<K>): void {
    this.#writeSync(options, (batch) => this.#fillClear(batch, options))
  }

  snapshot(): OrderedSnapshot<K, V> {
    const { core } = this
    const { engine, modules } = core
    core.settle()
    if (engine.snapshot === undefined) {
      throw unsupported(engine.name, 'snapshots', 'snapshots', modules)
    }
    return new StoreSnapshot(core, new View(engine.snapshot()))
  }

  sync(): Promise<void> {
    return this.#run(function* (engine) {
      yield* engine.commit('disk')
    })
  }

  syncSync(): void {
    this.#settled().commit('disk').sync()
  }

  resume(): Promise<void> {
    return this.#run((engine) => engine.resume())
  }

  resumeSync(): void {
    runSync(this.#settled().resume())
  }

  compact(options?: JobOptions): Promise<void> {
    return this.#run((engine) => {
      this.core.checkWritable()
      return engine.compact(...this.#job(options))
    })
  }

  compactSync(options?: JobOptions): void {
    const engine = this.#settled()
    this.core.checkWritable()
    runSync(engine.compact(...this.#job(options)))
  }

  verify(options?: JobOptions): Promise<VerifyReport> {
    return this.#run((engine) => engine.verify(...this.#job(options)))
  }

  verifySync(options?: JobOptions): VerifyReport {
    return runSync(this.#settled().verify(...this.#job(options)))
  }

  backup(to: string, options?: JobOptions): Promise<BackupReport> {
    return this.#run(() => {
      const job = this.#job(options)
      // One effect: it cleans up after itself, also when the store is closed meanwhile.
      return effect(() => backupStore(this.core, to, ...job))[Symbol.iterator]()
    })
  }

  backupSync(to: string, options?: JobOptions): BackupReport {
    this.core.settle()
    return runSync(backupStore(this.core, to, ...this.#job(options)))
  }

  inspect(options?: JobOptions): Promise<Inspection> {
    return this.#run((engine) => engine.inspect(...this.#job(options)))
  }

  inspectSync(options?: JobOptions): Inspection {
    return runSync(this.#settled().inspect(...this.#job(options)))
  }

  stats(): Stats {
    const { engine, path } = this.core
    this.core.checkOpen()
    const failure = engine.failure ?? (this.core.readOnly ? this.core.readOnlyError() : undefined)
    return {
      engine: engine.name,
      path,
      readOnly: failure && { code: failure.code, message: failure.message },
      ...engine.stats(),
    }
  }

  configure(options: Readonly<Record<string, unknown>>): void {
    const { engine, modules } = this.core
    this.core.checkOpen()
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
    if (interval !== undefined) this.core.expiry.intervalMs = expiryInterval(options)
    engine.configure(own)
  }

  close(): Promise<void> {
    return this.core.close()
  }

  closeSync(): void {
    this.core.closeSync()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #fillPut(batch: WriteBatch, key: K, value: V, options: PutOptions | undefined): void {
    checkPutOptions(options)
    addPut(this.core, batch, key, value, expectedVersion(options), expiryOf(this.core, options))
  }

  #fillDelete(batch: WriteBatch, key: K, options: WriteOptions | undefined): void {
    checkWriteOptions(options)
    addDelete(this.core, batch, key, expectedVersion(options))
  }

  #fillBatch(
    batch: WriteBatch,
    operations: Iterable<BatchOperation<K, V>>,
    options: DurabilityOptions | undefined,
  ): void {
    const { engine, modules } = this.core
    if (!engine.supports.atomicBatch) {
      throw unsupported(engine.name, 'batches', 'atomicBatch', modules)
    }
    checkBatchOptions(options)
    addOperations(this.core, batch, operations)
  }

  #fillClear(batch: WriteBatch, options: ClearOptions<K> | undefined): void {
    const bounds = planClear(this.core, options)
    if (options?.durability !== undefined) checkDurability(options.durability)
    addClear(batch, bounds)
  }

  #write(
    options: DurabilityOptions | undefined,
    fill: (batch: WriteBatch) => void,
  ): Promise<number> {
    const { core } = this
    if (core.unsettled) {
      try {
        core.checkOpen()
      } catch (error) {
        return rejected(error)
      }
    }
    const batch = core.takeBatch()
    try {
      core.checkWritable()
      fill(batch)
      // A codec or an iterable of the user's has run in between.
      if (core.unsettled) core.checkOpen()
      return core.queue.write(batch, options?.durability ?? this.#durability)
    } catch (error) {
      return rejected(error)
    } finally {
      core.giveBatch(batch)
    }
  }

  #writeSync(options: DurabilityOptions | undefined, fill: (batch: WriteBatch) => void): number {
    const { core } = this
    if (core.unsettled) core.checkOpen()
    core.checkWritable()
    const batch = core.takeBatch()
    let version: number
    try {
      fill(batch)
      if (core.unsettled) core.checkOpen()
      version = core.queue.writeSync(batch)
    } finally {
      core.giveBatch(batch)
    }
    const durability = options?.durability ?? this.#durability
    if (durability !== 'none') core.engine.commit(durability).sync()
    return version
  }

  /** The engine, after all earlier writes. */
  #settled(): Engine {
    this.core.settle()
    return this.core.engine
  }

  /** Carries out work of the engine after all earlier writes. */
  #run<T>(start: (engine: Engine) => Routine<T>): Promise<T> {
    return this.promise(() => {
      const { core } = this
      return core.run(function* () {
        if (core.unsettled) yield* core.queue.passed
        return yield* start(core.engine)
      })
    })
  }

  #job(options: JobOptions | undefined): [JobOptions['progress'], AbortSignal] {
    if (options !== undefined) {
      checkObject(options, 'The options of a job')
      checkNames(options, JOB_NAMES, 'A job')
      checkJobOptions(options)
      options.signal?.throwIfAborted()
    }
    return [options?.progress, this.core.jobSignal(options?.signal)]
  }
}
