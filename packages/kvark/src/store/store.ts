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
import { effect, type Routine, runSync } from '../environment/routine.ts'
import { checkJobOptions, checkNames, checkObject, invalid, show, unknownName } from './arguments.ts'
import { backupStore } from './backup.ts'
import type { Core } from './core.ts'
import { EXPIRY_INTERVAL, expiryInterval } from './open-plan.ts'
import { KvarkTable } from './table.ts'
import type { Configurable, JobOptions, OrderedStore, Stats } from './types.ts'

const JOB_NAMES: readonly string[] = ['signal', 'progress']

export class KvarkStore<K, V>
  extends KvarkTable<K, V>
  implements OrderedStore<K, V>, Configurable<Record<string, unknown>>
{
  readonly path: string
  readonly engine: string
  readonly supports: Supports
  readonly limits: Limits

  constructor(core: Core<K, V>) {
    super(core, undefined)
    this.path = core.life.path
    this.engine = core.engine.name
    this.supports = core.engine.supports
    this.limits = core.engine.limits
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
      this.core.life.checkWritable()
      return engine.compact(...this.#job(options))
    })
  }

  compactSync(options?: JobOptions): void {
    const engine = this.#settled()
    this.core.life.checkWritable()
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
      return effect(() => backupStore(this.core.life, to, ...job))[Symbol.iterator]()
    })
  }

  backupSync(to: string, options?: JobOptions): BackupReport {
    this.core.life.settle()
    return runSync(backupStore(this.core.life, to, ...this.#job(options)))
  }

  inspect(options?: JobOptions): Promise<Inspection> {
    return this.#run((engine) => engine.inspect(...this.#job(options)))
  }

  inspectSync(options?: JobOptions): Inspection {
    return runSync(this.#settled().inspect(...this.#job(options)))
  }

  stats(): Stats {
    const { engine, path } = this.core.life
    this.core.life.checkOpen()
    const failure =
      engine.failure ?? (this.core.life.readOnly ? this.core.life.readOnlyError() : undefined)
    return {
      engine: engine.name,
      path,
      readOnly: failure && { code: failure.code, message: failure.message },
      ...engine.stats(),
    }
  }

  configure(options: Readonly<Record<string, unknown>>): void {
    const { engine, modules } = this.core
    this.core.life.checkOpen()
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
    return this.core.life.close()
  }

  closeSync(): void {
    this.core.life.closeSync()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** The engine, after all earlier writes. */
  #settled(): Engine {
    this.core.life.settle()
    return this.core.engine
  }

  /** Carries out work of the engine after all earlier writes. */
  #run<T>(start: (engine: Engine) => Routine<T>): Promise<T> {
    return this.promise(() => {
      const { core } = this
      return core.life.run(function* () {
        if (core.life.unsettled) yield* core.queue.passed
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
    return [options?.progress, this.core.life.jobSignal(options?.signal)]
  }
}
