/**
 * The life of an open store, which its tables, snapshots and cursors share: the engine, the row of waiting writes, the buffers that
 * calls reuse, and who holds what.
 *
 *   open ──close()──► closing ──► closed            closing: new calls are CLOSED; what has begun is carried out
 *     └──closeSync()─────────────► closed           what has begun is cut off, and changes nothing in the folder any more
 *
 * 1. `unsettled` is true while a call has more to do than to ask the engine: writes wait in the queue, or the store closes.
 * 2. User code runs inside codecs and callbacks and may call the store again. So what is reused (`key`, `found`, a batch)
 *    is only held between two pieces of code of our own: fields are read before user code runs, and a batch is taken out
 *    of its place while it is filled.
 * 3. What holds something of the engine (cursor, snapshot) has a `Lease`; an abandoned one is released when its owner
 *    is collected, the others when the store closes.
 */

import { setMaxListeners } from 'node:events'
import type { Durability, Engine, EngineModule } from '../engine/engine.ts'
import { Found } from '../engine/found.ts'
import { WriteBatch } from '../engine/write-batch.ts'
import type { Environment } from '../environment/environment.ts'
import { type Routine, runAsync, runSync } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import type { Descriptor } from '../storage/descriptor.ts'
import type { FileLock } from '../vfs/files.ts'
import { Changes } from './changes.ts'
import { ExpiryTimer } from './expiry-timer.ts'
import { KeyBuffer } from './key-buffer.ts'
import { Tables } from './tables.ts'
import { Transactions } from './transactions.ts'
import { WriteQueue } from './write-queue.ts'

/** A larger arena is let go after the call that needed it. */
const KEPT_ARENA_BYTES = 1024 * 1024
/** Whether the holder of a lease has been forgotten is looked after from this age on; ms. */
const YOUNG_MS = 100

/** Something of the engine that somebody holds. Never refers to its owner. */
export interface Lease {
  /** What the warning calls it. */
  readonly what: string
  /** It is released when the engine has been closed, not before. */
  readonly lasting?: boolean
  release(): void
}

/** What opening hands over. */
export interface LifeParts {
  readonly engine: Engine
  readonly modules: Readonly<Record<string, EngineModule>>
  readonly environment: Environment
  /** The environment that the caller gave, if any. */
  readonly given: Environment | undefined
  readonly path: string
  readonly readOnly: boolean
  readonly folder: string
  readonly descriptor: Descriptor
  /** Of writes that do not say otherwise. */
  readonly durability: Durability
  /** Of puts that name no end, ms; 0: they have none. */
  readonly ttl: number
  /** Calls that take at least so long are told of; `undefined`: none are. */
  readonly slowMs: number | undefined
  readonly lock: FileLock
  /** How often to look for what has expired; 0: never. */
  readonly expiryIntervalMs: number
}

export class Life {
  readonly engine: Engine
  readonly modules: Readonly<Record<string, EngineModule>>
  readonly environment: Environment
  readonly given: Environment | undefined
  readonly path: string
  /** Opened with `readOnly`. */
  readonly readOnly: boolean
  readonly folder: string
  readonly descriptor: Descriptor
  readonly durability: Durability
  readonly ttl: number
  readonly slowMs: number | undefined
  readonly key: KeyBuffer = new KeyBuffer()
  readonly found: Found = new Found()
  readonly queue: WriteQueue
  readonly expiry: ExpiryTimer
  readonly tables: Tables
  readonly changes: Changes
  readonly transactions: Transactions
  unsettled = false
  /** Some table checks what is written into it. */
  hasSchemas = false
  /**
   * The cursor, and the transaction, that ended last. V8 forgets the shapes of objects of which a full collection finds none, and throws
   * away the code that was compiled for them: without these, walks are slow again for a tenth of a second after each collection (`range`
   * of the benchmark).
   */
  readonly exemplars: { cursor: object | undefined; transaction: object | undefined } = {
    cursor: undefined,
    transaction: undefined,
  }
  readonly #lock: FileLock
  readonly #leases = new Set<Lease>()
  /**
   * Leases that began just now, with their owners. Most are over soon, and never get to the registry: it costs more than a short walk does,
   * and what has been there lives until the next full collection.
   */
  readonly #young = new Map<Lease, object>()
  #growing = false
  readonly #abandoned: FinalizationRegistry<Lease>
  /** Aborts long jobs when the store closes. */
  readonly #ending = new AbortController()
  #batch: WriteBatch | undefined = new WriteBatch()
  #state: 'open' | 'closing' | 'finishing' | 'closed' = 'open'
  #closing: Promise<void> | undefined
  #running = 0
  #whenIdle: (() => void) | undefined

  constructor(parts: LifeParts) {
    this.engine = parts.engine
    this.modules = parts.modules
    this.environment = parts.environment
    this.given = parts.given
    this.path = parts.path
    this.readOnly = parts.readOnly
    this.folder = parts.folder
    this.descriptor = parts.descriptor
    this.durability = parts.durability
    this.ttl = parts.ttl
    this.slowMs = parts.slowMs
    // Every value that is being streamed in listens; Node would take more than ten for a leak.
    setMaxListeners(0, this.#ending.signal)
    this.#lock = parts.lock
    this.queue = new WriteQueue(parts.engine, parts.environment, (waiting) => {
      this.unsettled = waiting || this.#state !== 'open'
    })
    const { environment, engine, readOnly, expiryIntervalMs } = parts
    this.expiry = new ExpiryTimer(environment, readOnly ? undefined : engine, expiryIntervalMs)
    this.tables = new Tables(this)
    this.changes = new Changes(this, engine, environment)
    this.transactions = new Transactions(this)
    this.#abandoned = new FinalizationRegistry((lease) => {
      this.environment.warn(
        `${lease.what} of the store ${this.path} was forgotten and has been closed. Close it, or leave its loop, as soon as it is done.`,
      )
      this.endLease(lease)
    })
  }

  /** `CLOSED` unless the store is open. */
  checkOpen(): void {
    if (this.#state !== 'open') throw this.closedError()
  }

  closedError(): KvarkError {
    const { path } = this
    return new KvarkError('CLOSED', `The store ${path} is closed. Open it again to use it.`, {
      path,
    })
  }

  /** `READ_ONLY` when the store was opened with `readOnly`. */
  checkWritable(): void {
    if (this.readOnly) throw this.readOnlyError()
  }

  readOnlyError(): KvarkError {
    const { path } = this
    const message = `The store ${path} was opened with 'readOnly'. Open it without to write.`
    return new KvarkError('READ_ONLY', message, { path })
  }

  /** Carries out the writes that wait, so that what follows sees them. */
  settle(): void {
    this.checkOpen()
    this.queue.drain()
  }

  /** An empty batch for one call; `giveBatch` it back. */
  takeBatch(): WriteBatch {
    const batch = this.#batch ?? new WriteBatch()
    this.#batch = undefined
    return batch
  }

  giveBatch(batch: WriteBatch): void {
    batch.clear()
    if (batch.bytes.length <= KEPT_ARENA_BYTES) this.#batch = batch
  }

  /** Runs something that waits: `close` waits for it, `closeSync` cuts it off with `CLOSED`. */
  async run<T>(start: () => Routine<T>): Promise<T> {
    if (this.#isGone()) throw this.closedError()
    this.#running++
    try {
      return await runAsync(this.#whileAlive(start()))
    } finally {
      this.#running--
      if (this.#running === 0) this.#whenIdle?.()
    }
  }

  /** The routine, which finds the store closed when it is so after an effect. */
  *#whileAlive<T>(routine: Routine<T>): Routine<T> {
    let step = routine.next()
    while (!step.done) {
      let result: unknown
      try {
        result = yield step.value
        if (this.#isGone()) {
          step.value.drop?.()
          throw this.closedError()
        }
      } catch (error) {
        step = routine.throw(this.#isGone() ? this.closedError() : error)
        continue
      }
      step = routine.next(result)
    }
    return step.value
  }

  /** Waits for what code of the caller's has promised, and may never keep: `CLOSED` when the store is closed meanwhile. */
  async whileOpen<T>(promised: PromiseLike<T>): Promise<T> {
    const { signal } = this.#ending
    let end = (): void => {}
    const closed = new Promise<never>((_, reject) => {
      end = () => reject(this.closedError())
      signal.addEventListener('abort', end)
      if (signal.aborted) end()
    })
    try {
      return await Promise.race([promised, closed])
    } finally {
      signal.removeEventListener('abort', end)
    }
  }

  /** The signal of a long job: the caller's, or the end of the store. */
  jobSignal(signal: AbortSignal | undefined): AbortSignal {
    const end = this.#ending.signal
    return signal === undefined ? end : AbortSignal.any([signal, end])
  }

  /** Keeps `lease` until `endLease`, the collection of `owner`, or the end of the store. */
  addLease(lease: Lease, owner: object | undefined): void {
    if (owner === undefined) {
      this.#leases.add(lease)
      return
    }
    this.#young.set(lease, owner)
    if (this.#growing) return
    this.#growing = true
    this.environment.timer(YOUNG_MS, () => this.#grow())
  }

  #grow(): void {
    this.#growing = false
    for (const [lease, owner] of this.#young) {
      this.#leases.add(lease)
      this.#abandoned.register(owner, lease, lease)
    }
    this.#young.clear()
  }

  /** Harmless when repeated. */
  endLease(lease: Lease): void {
    if (!this.#young.delete(lease)) {
      if (!this.#leases.delete(lease)) return
      this.#abandoned.unregister(lease)
    }
    lease.release()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  closeSync(): void {
    if (this.#state === 'closed') return
    if (this.#state === 'finishing') {
      throw new KvarkError(
        'CLOSED',
        `The store ${this.path} is being closed by close(). Await its promise instead of calling closeSync().`,
        { path: this.path },
      )
    }
    this.#begin()
    this.queue.drain()
    runSync(this.#finish())
  }

  async #close(): Promise<void> {
    if (this.#state !== 'open') return
    this.#begin()
    await this.queue.passed.async()
    while (this.#running > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve
      })
    }
    // `closeSync` may have come in between.
    if (this.#isClosing()) await runAsync(this.#finish())
  }

  #isClosing(): boolean {
    return this.#state === 'closing'
  }

  #isGone(): boolean {
    return this.#state === 'finishing' || this.#state === 'closed'
  }

  #begin(): void {
    this.#state = 'closing'
    this.unsettled = true
    this.expiry.stop()
    this.#ending.abort(this.closedError())
  }

  #held(): Lease[] {
    return [...this.#leases, ...this.#young.keys()]
  }

  *#finish(): Routine<void> {
    this.#state = 'finishing'
    let durable = false
    try {
      for (const lease of this.#held()) if (lease.lasting !== true) this.endLease(lease)
      yield* this.engine.close()
      durable = true
    } finally {
      this.#state = 'closed'
      this.changes.end(durable)
      for (const lease of this.#held()) this.endLease(lease)
      yield* this.#lock.release()
    }
  }
}
