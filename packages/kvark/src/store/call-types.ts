/**
 * The types of the public API: what calls take, and the cursors that some of them give.
 */

import type { Progress } from '../engine/facts.ts'
import type { Durability } from '../storage/durability.ts'

/** How to wait for a write. */
export interface DurabilityOptions {
  /** Overrides the store's durability for this call. */
  readonly durability?: Durability
}

/** How to wait for a write, and under which condition to do it. */
export interface WriteOptions {
  /** Overrides the store's durability for this call. */
  readonly durability?: Durability
  /** Write only if the key has exactly this version; else `CONFLICT`. */
  readonly ifVersion?: number
  /** Write only if the key is absent; else `CONFLICT`. */
  readonly ifAbsent?: boolean
}

/** When an entry ends. At most one of the two; neither: as its table says, or never. From then on the entry is not there any more. */
export interface Expiry {
  /** So many ms from now, more than 0; `'never'`: it has no end, whatever the table says. */
  readonly ttl?: number | 'never'
  /** Ms since 1970, as `Date.now()` counts them. A time that is over already is taken: the entry is then never seen. */
  readonly expiresAt?: number
}

/** How to put an entry. */
export interface PutOptions extends WriteOptions, Expiry {}

/** Under which condition to write. */
export interface Condition {
  /** Write only if the key has exactly this version; else `CONFLICT`. */
  readonly ifVersion?: number
  /** Write only if the key is absent; else `CONFLICT`. */
  readonly ifAbsent?: boolean
}

/** How to change an entry by what it is. */
export interface UpdateOptions extends Expiry {
  /** Overrides the store's durability for this call. */
  readonly durability?: Durability
  /** How often it may be tried in all, where others write the key meanwhile. Default 100. */
  readonly attempts?: number
}

/** How to carry out a transaction. */
export interface TransactionOptions {
  /** Overrides the store's durability for this call. */
  readonly durability?: Durability
  /** How often its function may run in all, where others change meanwhile what it has read. Default 100. */
  readonly attempts?: number
}

/** When an entry is to end that is there, and how to wait for that. */
export interface TouchOptions extends Expiry {
  /** Overrides the store's durability for this call. */
  readonly durability?: Durability
}

/** A value in pieces: an iterable of bytes, awaited or not, such as a stream. A single array of bytes goes in as `[bytes]`. */
export type ByteSource =
  | AsyncIterable<Uint8Array>
  | Iterable<Uint8Array>
  | ReadableStream<Uint8Array>

/** One operation of a `batch`. */
export type BatchOperation<K, V> =
  | {
      readonly type: 'put'
      readonly key: K
      readonly value: V
      readonly ifVersion?: number
      readonly ifAbsent?: boolean
      readonly ttl?: number | 'never'
      readonly expiresAt?: number
    }
  | { readonly type: 'delete'; readonly key: K; readonly ifVersion?: number }

/** What `getEntry` gives. */
export interface Entry<V> {
  readonly value: V
  /** The sequence number of the write that made it. */
  readonly version: number
  /** When it ends, ms since 1970; `undefined`: never. */
  readonly expiresAt: number | undefined
}

/** Which entries to walk, on any engine. */
export interface ScanOptions {
  /** At most this many. */
  readonly limit?: number
  /** Ends the walk with `signal.reason`. */
  readonly signal?: AbortSignal
  /** Go on where `Cursor.token` was taken, possibly in another process. */
  readonly token?: Uint8Array
}

/** A range of keys, on an ordered engine; all of them where nothing is said. */
export interface KeyRange<K> {
  readonly gt?: K
  readonly gte?: K
  readonly lt?: K
  readonly lte?: K
  /** Only keys that begin with this. */
  readonly prefix?: K
}

/** Which entries to walk, on an ordered engine. */
export interface RangeOptions<K> extends ScanOptions, KeyRange<K> {
  /** From the last to the first. */
  readonly reverse?: boolean
}

/** Which entries to remove, on an ordered engine. */
export interface ClearOptions<K> extends KeyRange<K> {
  /** Overrides the store's durability for this call. */
  readonly durability?: Durability
}

/** How to load many entries, all of which end at the same time: a `ttl` counts from the call. */
export interface LoadOptions extends JobOptions, Expiry {
  /** Overrides the store's durability for this call. */
  readonly durability?: Durability
}

/**
 * Walks a fixed view of the entries. Iterable once, with `for await` or, at once, with `for`; leaving the loop closes
 * it. A forgotten cursor is closed when it is collected, with a warning.
 */
export interface Cursor<T>
  extends AsyncIterableIterator<T, undefined>,
    AsyncDisposable,
    Disposable {
  [Symbol.asyncIterator](): Cursor<T>
  [Symbol.iterator](): IterableIterator<T, undefined>
  next(): Promise<IteratorResult<T, undefined>>
  nextSync(): IteratorResult<T, undefined>
  return(): Promise<IteratorResult<T, undefined>>
  /** Up to `count` more; fewer only at the end, none after it. */
  nextMany(count: number): Promise<T[]>
  nextManySync(count: number): T[]
  /**
   * Where the next entry will come from, to hand to `ScanOptions.token` later, also in another process. On an unordered
   * store it misses no key that is present throughout and may repeat one.
   */
  readonly token: Uint8Array
  close(): void
}

/** A cursor of an ordered store: it can jump. */
export interface OrderedCursor<K, T> extends Cursor<T> {
  [Symbol.asyncIterator](): OrderedCursor<K, T>
  /** Go on at the first key ≥ `key` (walking in reverse: the last key ≤ `key`), within the range it was made for. */
  seek(key: K): void
}

/** What long work takes. */
export interface JobOptions {
  readonly signal?: AbortSignal
  readonly progress?: Progress
}
