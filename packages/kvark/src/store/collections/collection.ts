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
 * 3. Promised calls take effect in the order in which they were made, and those that read see what was called before them.
 * 4. Handles of one collection share what is kept of it in memory: those of one table, whatever it is called by now.
 */

import { Effect, type Routine, runAsync, runSync } from '../../environment/routine.ts'
import { KvarkError } from '../../errors.ts'
import {
  checkDurability,
  checkNames,
  checkObject,
  invalid,
  isIterable,
  show,
  unsupported,
} from '../arguments.ts'
import type { BatchOperation, DurabilityOptions, Entry } from '../call-types.ts'
import type { Catalogue } from '../catalogue.ts'
import type { Codec } from '../codec.ts'
import type { Core } from '../core.ts'
import type { InternalCodec, Sink } from '../internal-codec.ts'
import type { Life } from '../life.ts'
import type { Handle } from '../table-argument.ts'
import { idOf } from '../tables.ts'
import type { AtomicTable, StoreLife, Tables } from '../types.ts'

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

  /** All that was in the table is gone. */
  cleared(): void {
    this.changes++
  }

  /** The table is gone, or another one has come in its place. */
  replaced(): void {}
}

/** By the number of the table, for a name can come to be that of another one; of those that are not made yet, by what is wanted. */
type AllShared = Map<number | string, Shared>

const shared = new WeakMap<Life, AllShared>()

export class Collection<K, V, S extends Shared = Shared> {
  readonly table: AtomicTable<K, V>
  readonly life: Life
  readonly #handle: Handle
  readonly #makeShared: () => S
  /** Those that it was bound to last. */
  #core: Core<unknown, unknown> | undefined
  #shared: S | undefined

  constructor(
    db: CollectionStore,
    name: string,
    codecs: { readonly keys: Codec<K>; readonly values: Codec<V> },
    makeShared: () => S,
  ) {
    if (!isStore(db)) {
      throw invalid(`A collection is in a store that open() has given, not in ${show(db)}.`)
    }
    const table = db.table(name, { ...codecs, ttl: 'never' }) as AtomicTable<K, V> & Handle
    this.table = table
    this.#handle = table
    this.#makeShared = makeShared
    this.life = table.coreAt(undefined).life
    const { engine, modules } = this.life
    if (!engine.supports.atomicBatch) {
      throw unsupported(engine.name, 'collections', 'atomicBatch', modules)
    }
  }

  /** `NOT_FOUND` when the table was dropped. */
  get shared(): S {
    const core = this.#handle.coreAt(undefined)
    if (core !== this.#core || this.#shared === undefined) {
      this.#core = core
      this.#shared = this.#find(core)
    }
    return this.#shared
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
        change = await this.#decide(plan)
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

  /** Removes everything, behind the promised calls before it. */
  async clear(options: DurabilityOptions | undefined): Promise<void> {
    checkWaiting(options)
    await this.inTurn(() => {
      const cleared = this.table.clear(options)
      this.shared.cleared()
      return cleared
    })
  }

  clearSync(options: DurabilityOptions | undefined): void {
    checkWaiting(options)
    this.table.clearSync(options)
    this.shared.cleared()
  }

  /** What is no change by a plan, behind the promised calls before it: `act` hands over a write, or begins to read. Reads may go on beside each other. */
  async inTurn<T>(act: () => Promise<T>): Promise<T> {
    const end = await this.shared.turn()
    let result: Promise<T>
    try {
      result = act()
    } finally {
      end()
    }
    return await result
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

  /** Again in the same turn, where somebody else has changed something meanwhile: who came later does not overtake. */
  async #decide<T>(plan: Plan<K, V, T>): Promise<Change<K, V, T>> {
    for (;;) {
      const { changes } = this.shared
      try {
        const change = await runAsync(plan())
        if (changes === this.shared.changes) return change
      } catch (error) {
        // What was read may not belong together.
        if (changes === this.shared.changes) throw error
      }
    }
  }

  #find({ number, unmade }: Core<unknown, unknown>): S {
    const all = allShared(this.life)
    const key = unmade === undefined ? number : idOf(unmade)
    let own = all.get(key)
    if (own === undefined) {
      own = this.#makeShared()
      all.set(key, own)
    }
    // A table has one kind of collection only: its codecs say which.
    return own as S
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
function checkWaiting(options: DurabilityOptions | undefined): void {
  checkOptions(options, DURABILITY_NAMES, 'This write')
  if (options?.durability !== undefined) checkDurability(options.durability)
}

/** What many values are given in. A text has characters, but is one value. */
export function checkItems(values: unknown): asserts values is Iterable<unknown> {
  if (isIterable(values)) return
  throw invalid(`Give an array of values, or another iterable, not ${show(values)}.`)
}

/** All of them, before anything is written. */
export function itemsOf<T>(values: Iterable<T>): T[] {
  checkItems(values)
  return [...values]
}

/** A time in ms. */
export function checkMs(name: string, value: unknown, least: number): asserts value is number {
  if (typeof value === 'number' && value >= least) return
  throw invalid(`'${name}' must be a number of milliseconds from ${least} on, not ${show(value)}.`)
}

/** A value as it was when it was given: what the caller does with it while the call waits for its turn changes nothing. */
export class Encoded {
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
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

function allShared(life: Life): AllShared {
  let all = shared.get(life)
  if (all === undefined) {
    const made: AllShared = new Map()
    all = made
    shared.set(life, made)
    life.tables.onChange.add(() => follow(made, life.tables.catalogue))
  }
  return all
}

/** What is kept of a table that is gone goes; what is of one that was not there goes to the one that has come, if that has none yet. */
function follow(all: AllShared, catalogue: Catalogue): void {
  for (const [key, one] of all) {
    if (typeof key === 'number' && catalogue.tables.has(key)) continue
    if (typeof key === 'string') {
      const [name] = JSON.parse(key) as [string]
      const record = catalogue.named(name)
      if (record === undefined) continue
      if (idOf(record) === key && !all.has(record.number)) all.set(record.number, one)
    }
    all.delete(key)
    one.replaced()
  }
}

/** A transaction has tables, too, but nothing stays of those. */
function isStore(db: unknown): boolean {
  return typeof db === 'object' && db !== null && 'coreAt' in db && 'table' in db
}

function isConflict(error: unknown): boolean {
  return error instanceof KvarkError && error.code === 'CONFLICT'
}
