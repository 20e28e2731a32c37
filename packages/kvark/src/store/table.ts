/**
 * A table: the verbs that read, and here the verbs that write. One class has all verbs; the types that users see show those that the
 * engine supports, the others answer `UNSUPPORTED`.
 *
 *   put ─► encode and check ─► batch ─► queue.write ──► visible ──► commit (durability) ──► version
 *
 * 1. A write that is refused has written nothing; it is checked as a whole before the engine sees it.
 * 2. Promised verbs never throw; they reject.
 */

import type { Durability } from '../engine/engine.ts'
import type { WriteBatch } from '../engine/write-batch.ts'
import { type Routine, runSync } from '../environment/routine.ts'
import { abandon, checkDurability, isIterable, rejected, unsupported } from './arguments.ts'
import type {
  BatchOperation,
  ByteSource,
  ClearOptions,
  DurabilityOptions,
  LoadOptions,
  PutOptions,
  TouchOptions,
  TransactionOptions,
  UpdateOptions,
  WriteOptions,
} from './call-types.ts'
import type { Catalogue } from './catalogue.ts'
import type { Watch, WatchOptions } from './change-types.ts'
import { Core } from './core.ts'
import { expiryOf } from './expiry.ts'
import type { InternalCodec } from './internal-codec.ts'
import type { Life } from './life.ts'
import { load, loadSync } from './load.ts'
import { putStream } from './put-stream.ts'
import { planClear } from './range.ts'
import { StoreReader } from './reader.ts'
import { CheckedOperations, SchemaCodec } from './schema.ts'
import { tellSlow } from './slow.ts'
import { StoreSnapshot } from './snapshot.ts'
import { NO_SPACE } from './spaces.ts'
import type { Handle } from './table-argument.ts'
import { TableCell } from './table-cell.ts'
import type { Tables, Wanted } from './tables.ts'
import { touch, touchSync } from './touch.ts'
import { type Origin, transaction, transactionSync } from './transaction.ts'
import type { OrderedSnapshot, OrderedTable, OrderedTransaction, TableOperation } from './types.ts'
import { type Cell, checkUpdateOptions, getOrPut, increment, update } from './update.ts'
import { View } from './view.ts'
import { watch } from './watch.ts'
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

/** Fills a batch; gives the catalogue that has to be written with it, where it has changed that itself. */
type Fill = (batch: WriteBatch) => Catalogue | undefined

/** Of a table that is not there. No table has this number. */
const NOWHERE = { number: NO_SPACE, space: NO_SPACE }

export class KvarkTable<K, V> extends StoreReader<K, V> implements OrderedTable<K, V>, Handle {
  /** `undefined`: the root. */
  readonly #wanted: Wanted | undefined
  /** The core of now, and the catalogue that it was made for. */
  #current: Core<K, V>
  #seen: Catalogue | undefined
  readonly #tables: Tables
  readonly #schema: SchemaCodec | undefined
  /** As transactions know it, once one has begun here. */
  #origin: Origin<K, V> | undefined

  /** The table `wanted`, or the root. `ttl`: of puts that name no end, ms; 0: they have none. */
  constructor(
    life: Life,
    keys: InternalCodec<K>,
    values: InternalCodec<V>,
    wanted: Wanted | undefined,
    ttl: number,
  ) {
    const core = new Core(life, NOWHERE, keys, values, ttl)
    super(core, undefined)
    this.#current = core
    this.#tables = life.tables
    this.#wanted = wanted
    if (values instanceof SchemaCodec) {
      this.#schema = values
      life.hasSchemas = true
    }
    tellSlow(this, life, wanted?.name)
  }

  get #asOrigin(): Origin<K, V> {
    if (this.#origin !== undefined) return this.#origin
    const { life } = this
    this.#origin = {
      life,
      coreNow: () => this.core,
      coreAt: (at) => this.coreAt(at),
      handleOf: ({ wanted, keys, values, ttl }) => new KvarkTable(life, keys, values, wanted, ttl),
    }
    return this.#origin
  }

  protected override get core(): Core<K, V> {
    if (this.#tables.catalogue !== this.#seen) this.#bind()
    return this.#current
  }

  coreAt(at: Catalogue | undefined): Core<unknown, unknown> {
    return at === undefined ? this.core : this.#coreOf(at)
  }

  put(key: K, value: V, options?: PutOptions): Promise<number> {
    const schema = this.#schema
    return schema === undefined
      ? this.#put(key, value, options)
      : this.#whenChecked(
          // What is checked goes in in place of the value.
          () => schema.check(value) as V | Promise<V>,
          (checked) => this.#put(key, checked, options),
        )
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
    return putStream(this.life, () => this.core, key, source, options)
  }

  touch(key: K, options?: TouchOptions): Promise<number | undefined> {
    return this.promise(() => touch(this.core, key, options))
  }

  touchSync(key: K, options?: TouchOptions): number | undefined {
    return touchSync(this.core, key, options)
  }

  load(
    entries: Iterable<readonly [K, V]> | AsyncIterable<readonly [K, V]>,
    options?: LoadOptions,
  ): Promise<number> {
    return load(this.life, () => this.core, entries, options)
  }

  loadSync(entries: Iterable<readonly [K, V]>, options?: LoadOptions): number {
    return loadSync(this.life, () => this.core, entries, options)
  }

  update(
    key: K,
    change: (value: V | undefined) => V | undefined,
    options?: UpdateOptions,
  ): Promise<V | undefined> {
    return this.#updating((cell) => update(cell, change, options), key, options)
  }

  updateSync(
    key: K,
    change: (value: V | undefined) => V | undefined,
    options?: UpdateOptions,
  ): V | undefined {
    return this.#updatingSync((cell) => update(cell, change, options), key, options)
  }

  increment(key: K, by?: number, options?: UpdateOptions): Promise<number> {
    return this.#updating((cell) => increment(cell, by, options), key, options)
  }

  incrementSync(key: K, by?: number, options?: UpdateOptions): number {
    return this.#updatingSync((cell) => increment(cell, by, options), key, options)
  }

  getOrPut(key: K, value: V | (() => V | Promise<V>), options?: UpdateOptions): Promise<V> {
    return this.#updating((cell) => getOrPut(cell, value, options), key, options)
  }

  getOrPutSync(key: K, value: V | (() => V), options?: UpdateOptions): V {
    return this.#updatingSync((cell) => getOrPut(cell, value, options), key, options)
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

  batch(
    operations: Iterable<BatchOperation<K, V> | TableOperation>,
    options?: DurabilityOptions,
  ): Promise<number> {
    if (!this.life.hasSchemas || !isIterable(operations)) return this.#batch(operations, options)
    const checked = new CheckedOperations(this.core, operations)
    const written = this.#batch(checked, options)
    if (!checked.isWaiting) return written
    // A schema takes its time: that was the refusal of a verb that cannot wait.
    abandon(written)
    return this.#whenChecked(
      () => checked.all(),
      (all) => this.#batch(all, options),
    )
  }

  batchSync(
    operations: Iterable<BatchOperation<K, V> | TableOperation>,
    options?: DurabilityOptions,
  ): number {
    return this.#writeSync(options, (batch) => this.#fillBatch(batch, operations, options))
  }

  async clear(options?: ClearOptions<K>): Promise<void> {
    await this.#write(options, (batch) => this.#fillClear(batch, options))
  }

  clearSync(options?: ClearOptions<K>): void {
    this.#writeSync(options, (batch) => this.#fillClear(batch, options))
  }

  transaction<R>(
    fn: (tx: OrderedTransaction<K, V>) => R | Promise<R>,
    options?: TransactionOptions,
  ): Promise<R> {
    return transaction(this.#asOrigin, fn, options)
  }

  transactionSync<R>(fn: (tx: OrderedTransaction<K, V>) => R, options?: TransactionOptions): R {
    return transactionSync(this.#asOrigin, fn, options)
  }

  snapshot(): OrderedSnapshot<K, V> {
    const { core } = this
    const { engine, modules } = core
    core.life.settle()
    if (engine.snapshot === undefined) {
      throw unsupported(engine.name, 'snapshots', 'snapshots', modules)
    }
    return new StoreSnapshot(core, new View(engine.snapshot()))
  }

  watch(options?: WatchOptions<K>): Watch<K, V> {
    this.checkUsable()
    return watch(this.core, this.#wanted, options)
  }

  #put(key: K, value: V, options: PutOptions | undefined): Promise<number> {
    return this.#write(options, (batch) => this.#fillPut(batch, key, value, options))
  }

  #batch(
    operations: Iterable<BatchOperation<K, V> | TableOperation>,
    options: DurabilityOptions | undefined,
  ): Promise<number> {
    return this.#write(options, (batch) => this.#fillBatch(batch, operations, options))
  }

  #updating<R>(
    start: (cell: Cell<V>) => Routine<R>,
    key: K,
    options: UpdateOptions | undefined,
  ): Promise<R> {
    return this.promise(() => {
      checkUpdateOptions(options)
      const held = this.core.heldKey(key)
      return this.life.run(() => start(this.#cell(held, options)))
    })
  }

  #updatingSync<R>(
    start: (cell: Cell<V>) => Routine<R>,
    key: K,
    options: UpdateOptions | undefined,
  ): R {
    this.life.settle()
    checkUpdateOptions(options)
    return runSync(start(this.#cell(key, options)))
  }

  #cell(key: K, options: UpdateOptions | undefined): Cell<V> {
    const durability = options?.durability ?? this.life.durability
    return new TableCell(this, () => this.core, key, durability)
  }

  #fillPut(batch: WriteBatch, key: K, value: V, options: PutOptions | undefined): undefined {
    checkPutOptions(options)
    addPut(this.core, batch, key, value, expectedVersion(options), expiryOf(this.core, options))
  }

  #fillDelete(batch: WriteBatch, key: K, options: WriteOptions | undefined): undefined {
    checkWriteOptions(options)
    addDelete(this.core, batch, key, expectedVersion(options))
  }

  #fillBatch(
    batch: WriteBatch,
    operations: Iterable<BatchOperation<K, V> | TableOperation>,
    options: DurabilityOptions | undefined,
  ): undefined {
    const { engine, modules } = this.core
    if (!engine.supports.atomicBatch) {
      throw unsupported(engine.name, 'batches', 'atomicBatch', modules)
    }
    checkBatchOptions(options)
    addOperations(this.core, batch, operations)
  }

  #fillClear(batch: WriteBatch, options: ClearOptions<K> | undefined): Catalogue | undefined {
    const { core } = this
    const bounds = planClear(core, options)
    if (options?.durability !== undefined) checkDurability(options.durability)
    if (core.unmade !== undefined) return undefined
    if (!core.engine.supports.order) {
      const next = this.#tables.fillClear(batch, core.number)
      if (next !== undefined) return next
    }
    addClear(batch, bounds)
    return undefined
  }

  /** Writes what the schema makes of it, at once where the schema answers at once. */
  #whenChecked<T>(
    check: () => T | Promise<T>,
    write: (checked: T) => Promise<number>,
  ): Promise<number> {
    let checked: T | Promise<T>
    try {
      this.life.checkOpen()
      checked = check()
    } catch (error) {
      return rejected(error)
    }
    return checked instanceof Promise ? this.life.whileOpen(checked).then(write) : write(checked)
  }

  #write(options: DurabilityOptions | undefined, fill: Fill): Promise<number> {
    const { life } = this
    if (life.unsettled) {
      try {
        life.checkOpen()
      } catch (error) {
        return rejected(error)
      }
    }
    const batch = life.takeBatch()
    try {
      life.checkWritable()
      const catalogue = this.#fill(batch, fill)
      const durability = options?.durability ?? life.durability
      if (catalogue === undefined) return life.queue.write(batch, durability)
      const written = life.queue.writeAtOnce(batch, durability)
      this.#tables.install(catalogue)
      return written
    } catch (error) {
      return rejected(error)
    } finally {
      life.giveBatch(batch)
    }
  }

  #writeSync(options: DurabilityOptions | undefined, fill: Fill): number {
    const { life } = this
    if (life.unsettled) life.checkOpen()
    life.checkWritable()
    const batch = life.takeBatch()
    let version: number
    let durability: Durability
    try {
      const catalogue = this.#fill(batch, fill)
      // Checked by now.
      durability = options?.durability ?? life.durability
      version = life.queue.writeSync(batch, durability)
      if (catalogue !== undefined) this.#tables.install(catalogue)
    } finally {
      life.giveBatch(batch)
    }
    if (durability !== 'none') life.engine.commit(durability).sync()
    return version
  }

  /** The catalogue that has to be written with the batch, if any. */
  #fill(batch: WriteBatch, fill: Fill): Catalogue | undefined {
    const { life } = this
    const before = this.#tables.catalogue
    const own = fill(batch)
    // A codec or an iterable of the user's has run in between.
    if (life.unsettled) life.checkOpen()
    if (own !== undefined) return own
    const made = this.#tables.complete(batch, before)
    if (made !== undefined) batch.lastToFront()
    return made
  }

  #bind(): void {
    const { catalogue } = this.#tables
    this.#current = this.#coreOf(catalogue)
    const { number, unmade } = this.#current
    const wanted = this.#wanted
    if (wanted !== undefined) wanted.number = unmade === undefined ? number : 0
    this.#seen = catalogue
  }

  #coreOf(catalogue: Catalogue): Core<K, V> {
    const tables = this.#tables
    const wanted = this.#wanted
    const { life, keys, values, ttl } = this.#current
    if (wanted === undefined) {
      const space = tables.rootSpace(catalogue)
      return space === this.#current.space && this.#current.number === 0
        ? this.#current
        : new Core(life, { number: 0, space }, keys, values, ttl)
    }
    const record = tables.find(catalogue, wanted)
    return new Core(
      life,
      record ?? NOWHERE,
      keys,
      values,
      ttl,
      record === undefined ? wanted : undefined,
    )
  }
}
