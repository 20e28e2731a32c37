/**
 * What the collections have in common: each is a table of its own, and every change of it is one batch that is decided on what was read
 * just before.
 *
 *   change ─► turn of the collection ─► read, decide ─► did anybody else change it meanwhile? ─► batch ─► turn over ─► durable ─► result
 *                    ▲                                   └─ yes: again                             └─ CONFLICT: again
 *                    └───────────────────────────────────────────────────────────────────────────────┘
 *
 * 1. A change takes effect as a whole, also when the power fails. What it read is as it was when it is written: promised changes take
 *    turns, synchronous ones come in between and are noticed, and whatever else writes to the table is met by conditions.
 * 2. A turn ends when the batch is handed over, not when it is durable: many who change a collection at once share one sync.
 * 3. Handles of one collection share what is kept of it in memory, where they were given the same name by the same store.
 */

import { Effect, type Routine, runAsync, runSync } from '../../environment/routine.ts'
import { KvarkError } from '../../errors.ts'
import {
  checkDurability,
  checkNames,
  checkObject,
  invalid,
  show,
  unsupported,
} from '../arguments.ts'
import type { Codec } from '../codec.ts'
import type { InternalCodec, Sink } from '../internal-codec.ts'
import type { Life } from '../life.ts'
import type { Handle } from '../table-argument.ts'
import type {
  AtomicTable,
  BatchOperation,
  DurabilityOptions,
  Entry,
  StoreLife,
  Tables,
} from '../types.ts'

const DURABILITY_NAMES: readonly string[] = ['durability']

/** A store that collections can be in: one that has batches. */
export type CollectionStore = Tables<'atomic'> & StoreLife

/** What a change comes to. Where there are no operations nothing is written. */
export interface Change<K, V, T> {
  readonly operations: readonly BatchOperation<K, V>[]
  readonly result: T
  /** Called in the step in which the operations are written. */
  readonly act?: () => void
  /** Called when they could not be. */
  readonly undo?: () => void
}

/** Reads, and decides. Carried out again where somebody else was faster. */
export type Plan<K, V, T> = () => Routine<Change<K, V, T>>

/** What handles of one collection share. */
export class Shared {
  /** Grows with every change. */
  changes = 0
  #last: Promise<void> = Promise.resolve()

  /** Waits for its turn; what it gives ends that. */
  async turn(): Promise<() => void> {
    const before = this.#last
    let end = (): void => {}
    this.#last = new Promise((resolve) => {
      end = resolve
    })
    await before
    return end
  }
}

const shared = new WeakMap<Life, Map<string, Shared>>()

export class Collection<K, V, S extends Shared = Shared> {
  readonly table: AtomicTable<K, V>
  readonly life: Life
  readonly shared: S

  constructor(
    db: CollectionStore,
    name: string,
    codecs: { readonly keys: Codec<K>; readonly values: Codec<V> },
    makeShared: () => S,
  ) {
    this.table = db.table(name, { ...codecs, ttl: 'never' })
    this.life = (this.table as AtomicTable<K, V> & Handle).coreAt(undefined).life
    const { engine, modules } = this.life
    if (!engine.supports.atomicBatch) {
      throw unsupported(engine.name, 'collections', 'atomicBatch', modules)
    }
    let all = shared.get(this.life)
    if (all === undefined) shared.set(this.life, (all = new Map()))
    // A table has one kind of collection only: its codecs say which.
    let own = all.get(name) as S | undefined
    if (own === undefined) all.set(name, (own = makeShared()))
    this.shared = own
  }

  /** Whether keys have an order here. */
  get ordered(): boolean {
    return this.life.engine.supports.order
  }

  entry(key: K): Effect<Entry<V> | undefined> {
    return new Effect(
      () => this.table.getEntrySync(key),
      () => this.table.getEntry(key),
    )
  }

  has(key: K): Effect<boolean> {
    return new Effect(
      () => this.table.hasSync(key),
      () => this.table.has(key),
    )
  }

  async change<T>(plan: Plan<K, V, T>, options: DurabilityOptions | undefined): Promise<T> {
    checkWaiting(options)
    for (;;) {
      const end = await this.shared.turn()
      let change: Change<K, V, T>
      let written: Promise<unknown> | undefined
      try {
        // Again in the same turn: who came later does not overtake.
        let changes: number
        do {
          changes = this.shared.changes
          change = await runAsync(plan())
        } while (changes !== this.shared.changes)
        written = this.#carryOut(change, () => this.table.batch(change.operations, options))
      } finally {
        end()
      }
      try {
        await written
        return change.result
      } catch (error) {
        change.undo?.()
        if (!isConflict(error)) throw error
      }
    }
  }

  changeSync<T>(plan: Plan<K, V, T>, options: DurabilityOptions | undefined): T {
    checkWaiting(options)
    for (;;) {
      const change = runSync(plan())
      try {
        this.#carryOut(change, () => this.table.batchSync(change.operations, options))
        return change.result
      } catch (error) {
        change.undo?.()
        if (!isConflict(error)) throw error
      }
    }
  }

  /** What the write gives, if there is anything to write. */
  #carryOut<R>({ operations, act }: Change<K, V, unknown>, write: () => R): R | undefined {
    if (operations.length === 0 && act === undefined) return undefined
    const written = operations.length === 0 ? undefined : write()
    this.shared.changes++
    act?.()
    return written
  }
}

/** A put that holds only if nobody has written the entry since it was read. */
export function putOver<K, V>(
  key: K,
  value: V,
  before: Entry<V> | undefined,
): BatchOperation<K, V> {
  const condition = before === undefined ? { ifAbsent: true } : { ifVersion: before.version }
  return { type: 'put', key, value, ...condition }
}

export function checkOptions(options: unknown, known: readonly string[], what: string): void {
  if (options === undefined) return
  checkObject(options, `The options of ${what}`)
  checkNames(options, known, what)
}

/** How to wait: checked before anything is read, for a misspelt durability must not be lost where nothing is written. */
export function checkWaiting(options: DurabilityOptions | undefined): void {
  checkOptions(options, DURABILITY_NAMES, 'This write')
  if (options?.durability !== undefined) checkDurability(options.durability)
}

/** A time in ms. */
export function checkMs(name: string, value: unknown, least: number): asserts value is number {
  if (typeof value === 'number' && value >= least) return
  throw invalid(`'${name}' must be a number of milliseconds from ${least} on, not ${show(value)}.`)
}

/** What a codec of the store's makes of a value, behind a byte that says what it is. */
export function encodeTagged<V>(codec: InternalCodec<V>, tag: number, value: V): Uint8Array {
  const sink = new Scratch()
  sink.bytes[0] = tag
  sink.used = 1
  const length = codec.encodeInto(value, sink)
  return sink.bytes.subarray(0, 1 + length)
}

export function decodeTagged<V>(codec: InternalCodec<V>, bytes: Uint8Array): V {
  const { buffer, byteOffset, length } = bytes
  return codec.decode(Buffer.from(buffer, byteOffset, length), 1, length, false)
}

class Scratch implements Sink {
  bytes: Buffer = Buffer.allocUnsafe(256)
  used = 0

  reserve(length: number): number {
    if (this.used + length > this.bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(2 * this.bytes.length, this.used + length))
      this.bytes.copy(larger, 0, 0, this.used)
      this.bytes = larger
    }
    return this.used
  }
}

function isConflict(error: unknown): boolean {
  return error instanceof KvarkError && error.code === 'CONFLICT'
}
