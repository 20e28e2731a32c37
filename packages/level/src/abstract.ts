/**
 * The classes of abstract-level with what their types do not show: options of this package, arguments that are meant for
 * implementations only.
 */

import {
  type AbstractBatchOperation,
  type AbstractDatabaseOptions,
  type AbstractIterator,
  type AbstractKeyIterator,
  AbstractLevel,
  AbstractSnapshot,
  type AbstractValueIterator,
} from 'abstract-level'
import type {
  BatchOptions,
  ChainedBatch,
  ClearOptions,
  DelOptions,
  GetManyOptions,
  GetOptions,
  HasManyOptions,
  HasOptions,
  IteratorOptions,
  KeyIteratorOptions,
  OpenOptions,
  PutOptions,
  ValueIteratorOptions,
} from './options.ts'

type Manifest = ConstructorParameters<typeof AbstractLevel>[0] & { readonly getSync: boolean }

/** The verbs with the options that they take here. */
export interface Verbs<KDefault, VDefault>
  extends AbstractLevel<string | Uint8Array, KDefault, VDefault> {
  open(): Promise<void>
  open(options: OpenOptions): Promise<void>
  get(key: KDefault): Promise<VDefault | undefined>
  get<K = KDefault, V = VDefault>(key: K, options: GetOptions<K, V>): Promise<V | undefined>
  getSync(key: KDefault): VDefault | undefined
  getSync<K = KDefault, V = VDefault>(key: K, options: GetOptions<K, V>): V | undefined
  getMany(keys: KDefault[]): Promise<(VDefault | undefined)[]>
  getMany<K = KDefault, V = VDefault>(
    keys: K[],
    options: GetManyOptions<K, V>,
  ): Promise<(V | undefined)[]>
  has(key: KDefault): Promise<boolean>
  has<K = KDefault>(key: K, options: HasOptions<K>): Promise<boolean>
  hasMany(keys: KDefault[]): Promise<boolean[]>
  hasMany<K = KDefault>(keys: K[], options: HasManyOptions<K>): Promise<boolean[]>
  put(key: KDefault, value: VDefault): Promise<void>
  put<K = KDefault, V = VDefault>(key: K, value: V, options: PutOptions<K, V>): Promise<void>
  del(key: KDefault): Promise<void>
  del<K = KDefault>(key: K, options: DelOptions<K>): Promise<void>
  batch(operations: AbstractBatchOperation<this, KDefault, VDefault>[]): Promise<void>
  batch<K = KDefault, V = VDefault>(
    operations: AbstractBatchOperation<this, K, V>[],
    options: BatchOptions<K, V>,
  ): Promise<void>
  batch(): ChainedBatch<this, KDefault, VDefault>
  iterator(): AbstractIterator<this, KDefault, VDefault>
  iterator<K = KDefault, V = VDefault>(options: IteratorOptions<K, V>): AbstractIterator<this, K, V>
  keys(): AbstractKeyIterator<this, KDefault>
  keys<K = KDefault>(options: KeyIteratorOptions<K>): AbstractKeyIterator<this, K>
  values(): AbstractValueIterator<this, KDefault, VDefault>
  values<K = KDefault, V = VDefault>(
    options: ValueIteratorOptions<K, V>,
  ): AbstractValueIterator<this, K, V>
  clear(): Promise<void>
  clear<K = KDefault>(options: ClearOptions<K>): Promise<void>
}

export const AbstractDatabase: new <K, V>(
  manifest: Manifest,
  options?: AbstractDatabaseOptions<K, V>,
) => Verbs<K, V> = AbstractLevel

/** What abstract-level hands to `_snapshot`: the database, or sublevel, whose end is the snapshot's. */
export interface SnapshotRequest {
  readonly owner: object
}

export const AbstractToken: new (request: SnapshotRequest) => AbstractSnapshot = AbstractSnapshot
