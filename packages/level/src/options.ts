/**
 * The options: those of classic-level, and `kvark` for what only kvark has. From them to what `open` of kvark takes.
 */

import type {
  AbstractBatchOptions,
  AbstractChainedBatch,
  AbstractChainedBatchWriteOptions,
  AbstractClearOptions,
  AbstractDatabaseOptions,
  AbstractDelOptions,
  AbstractGetManyOptions,
  AbstractGetOptions,
  AbstractHasManyOptions,
  AbstractHasOptions,
  AbstractIteratorOptions,
  AbstractKeyIteratorOptions,
  AbstractOpenOptions,
  AbstractPutOptions,
  AbstractValueIteratorOptions,
  Transcoder,
} from 'abstract-level'
import type { BtreeOptions, Durability, OpenOptions as KvarkOpenOptions, StoreOptions } from 'kvark'
import { LevelError } from './errors.ts'

/** Options of the constructor. */
export interface DatabaseOptions<K, V>
  extends AbstractDatabaseOptions<K, V>,
    Omit<OpenOptions, 'passive'> {}

/** Options of `open`, and so of the constructor. */
export interface OpenOptions extends AbstractOpenOptions {
  /** Memory for cached pages, bytes; default 64 MiB, at least 1 MiB. It is taken as it is needed. */
  cacheSize?: number | undefined
  /** `true` is refused: one thread has the database open, not several. */
  multithreading?: boolean | undefined
  /**
   * What only kvark has, such as `encryption`, or a `durability` that counts for writes without `sync`. What is said here counts
   * before `cacheSize`.
   */
  kvark?: KvarkOptions | undefined
  /** No effect: a page is written with all of its room. See `kvark.compression`. */
  compression?: boolean | undefined
  /** No effect, a setting of LevelDB's own. */
  writeBufferSize?: number | undefined
  /** No effect, a setting of LevelDB's own. */
  blockSize?: number | undefined
  /** No effect, a setting of LevelDB's own. */
  maxOpenFiles?: number | undefined
  /** No effect, a setting of LevelDB's own. */
  blockRestartInterval?: number | undefined
  /** No effect, a setting of LevelDB's own. */
  maxFileSize?: number | undefined
}

/** kvark's own options of a store, but for those that Level has a word for. */
export type KvarkOptions = Omit<StoreOptions & BtreeOptions, 'create' | 'errorIfExists'>

/** How to read. */
export interface CacheOptions {
  /** No effect: what is read is cached. */
  fillCache?: boolean | undefined
}

export interface GetOptions<K, V> extends AbstractGetOptions<K, V>, CacheOptions {}
export interface GetManyOptions<K, V> extends AbstractGetManyOptions<K, V>, CacheOptions {}
export interface HasOptions<K> extends AbstractHasOptions<K>, CacheOptions {}
export interface HasManyOptions<K> extends AbstractHasManyOptions<K>, CacheOptions {}

/** How to walk. */
export interface WalkOptions extends CacheOptions {
  /**
   * `nextv()` ends when the keys and values that it has read take more bytes than this; default 16 KiB. With 0 it gives one at a time.
   */
  highWaterMarkBytes?: number | undefined
}

export type IteratorOptions<K, V> = AbstractIteratorOptions<K, V> & WalkOptions
export type KeyIteratorOptions<K> = AbstractKeyIteratorOptions<K> & WalkOptions
export type ValueIteratorOptions<K, V> = AbstractValueIteratorOptions<K, V> & WalkOptions

/** How to write. */
export interface SyncOptions {
  /**
   * `true`: the promise waits until the write, and all before it, are on the disk and survive a power cut. Without it: until it is
   * handed to the operating system and survives a killed process.
   */
  sync?: boolean | undefined
}

export interface PutOptions<K, V> extends AbstractPutOptions<K, V>, SyncOptions {}
export interface DelOptions<K> extends AbstractDelOptions<K>, SyncOptions {}
export interface BatchOptions<K, V> extends AbstractBatchOptions<K, V>, SyncOptions {}
export interface ChainedBatchWriteOptions extends AbstractChainedBatchWriteOptions, SyncOptions {}
export interface ChainedBatch<TDatabase, K, V> extends AbstractChainedBatch<TDatabase, K, V> {
  write(): Promise<void>
  write(options: ChainedBatchWriteOptions): Promise<void>
}
export interface ClearOptions<K> extends AbstractClearOptions<K>, SyncOptions {}

/** Options of `approximateSize` and `compactRange`. */
export interface StartEndOptions<K> {
  /** How `start` and `end` are encoded, if not as the database says. */
  keyEncoding?: string | Transcoder.PartialEncoder<K> | undefined
}

/** kvark takes no less. */
const LEAST_CACHE_BYTES = 1024 * 1024

/** What this package says to kvark itself. */
const FIXED = ['engine', 'keys', 'values', 'create', 'errorIfExists']

/** The options of a write of kvark. */
export function writeOptions({ sync }: SyncOptions): { durability: Durability } | undefined {
  return sync === true ? { durability: 'disk' } : undefined
}

/** What kvark is asked for. `TypeError` and `LEVEL_NOT_SUPPORTED` for what cannot be. */
export function storeOptions(options: OpenOptions): KvarkOpenOptions<'btree', 'bytes', 'bytes'> {
  const { cacheSize, createIfMissing, errorIfExists, kvark, multithreading } = options
  if (multithreading === true) {
    throw new LevelError(
      'LEVEL_NOT_SUPPORTED',
      "One thread has the database open, not several. Leave out 'multithreading', and have the other threads ask that one.",
    )
  }
  for (const name of Object.keys(kvark ?? {})) {
    if (FIXED.includes(name)) {
      throw new TypeError(`Leave '${name}' out of the option 'kvark': Level sets it itself.`)
    }
  }
  return {
    durability: 'os',
    ...(cacheSize !== undefined && { cacheBytes: Math.max(cacheSize, LEAST_CACHE_BYTES) }),
    ...kvark,
    // Who only reads makes nothing.
    create: createIfMissing !== false && kvark?.readOnly !== true,
    errorIfExists: errorIfExists === true,
    engine: 'btree',
    keys: 'bytes',
    values: 'bytes',
  }
}
