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
import { checkDurability, rejected, unsupported } from './arguments.ts'
import { expiryOf } from './expiry.ts'
import { load, loadSync } from './load.ts'
import { putStream } from './put-stream.ts'
import { planClear } from './range.ts'
import { StoreReader } from './reader.ts'
import { StoreSnapshot } from './snapshot.ts'
import { touch, touchSync } from './touch.ts'
import type {
  BatchOperation,
  ByteSource,
  ClearOptions,
  LoadOptions,
  OrderedSnapshot,
  OrderedTable,
  PutOptions,
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

interface DurabilityOptions {
  readonly durability?: Durability
}

export class KvarkTable<K, V> extends StoreReader<K, V> implements OrderedTable<K, V> {
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
    return putStream(this.core, key, source, options)
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
    return load(this.core, entries, options)
  }

  loadSync(entries: Iterable<readonly [K, V]>, options?: LoadOptions): number {
    return loadSync(this.core, entries, options)
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
    core.life.settle()
    if (engine.snapshot === undefined) {
      throw unsupported(engine.name, 'snapshots', 'snapshots', modules)
    }
    return new StoreSnapshot(core, new View(engine.snapshot()))
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
    if (core.life.unsettled) {
      try {
        core.life.checkOpen()
      } catch (error) {
        return rejected(error)
      }
    }
    const batch = core.life.takeBatch()
    try {
      core.life.checkWritable()
      fill(batch)
      // A codec or an iterable of the user's has run in between.
      if (core.life.unsettled) core.life.checkOpen()
      return core.queue.write(batch, options?.durability ?? core.life.durability)
    } catch (error) {
      return rejected(error)
    } finally {
      core.life.giveBatch(batch)
    }
  }

  #writeSync(options: DurabilityOptions | undefined, fill: (batch: WriteBatch) => void): number {
    const { core } = this
    if (core.life.unsettled) core.life.checkOpen()
    core.life.checkWritable()
    const batch = core.life.takeBatch()
    let version: number
    try {
      fill(batch)
      if (core.life.unsettled) core.life.checkOpen()
      version = core.queue.writeSync(batch)
    } finally {
      core.life.giveBatch(batch)
    }
    const durability = options?.durability ?? core.life.durability
    if (durability !== 'none') core.engine.commit(durability).sync()
    return version
  }
}
