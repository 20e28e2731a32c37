/**
 * The types of the public API: what `watch` and `follow` tell.
 *
 *   Change ── put, putStream, delete, clear, load ── of an entry or a range: `ChangeFacts`
 *         ├── rename, drop                        ── of the table: `ChangeFacts`
 *         └── gap                                 ── of what cannot be told any more
 */

import type { KeyRange } from './call-types.ts'

/** What to watch. Without `key` and range: all of the table. */
export interface WatchOptions<K> extends KeyRange<K> {
  /** Only this key. Not together with a range. */
  readonly key?: K
  /**
   * Everything behind this version: one that a write, `Change.version` or `Watch.version` gave. Absent: from now on. What is no longer
   * kept is told as a gap.
   */
  readonly since?: number
  /**
   * So many bytes of changes are kept for those who are slow, and those who come back with `since`; default 16 MiB. Of all who watch a store the
   * largest counts.
   */
  readonly bufferBytes?: number
  /** Ends the watch: it throws `signal.reason`. */
  readonly signal?: AbortSignal
}

/** What all changes have. */
export interface ChangeFacts {
  /** The number of the write. */
  readonly version: number
  /** It is the last one that is told of its batch: whoever has taken it in has the state behind a whole write. */
  readonly last: boolean
}

/** What `watch` tells. */
export type Change<K, V> =
  | PutChange<K, V>
  | StreamChange<K>
  | DeleteChange<K>
  | ClearChange<K>
  | LoadChange<K>
  | RenameChange
  | DropChange
  | Gap

/** A value was stored: by `put`, in a batch, or by `touch`. When it expires is told now, not then. */
export interface PutChange<K, V> extends ChangeFacts {
  readonly type: 'put'
  readonly key: K
  readonly value: V
  /** Ms since 1970; `undefined`: never. */
  readonly expiresAt: number | undefined
}

/** A value of 2 MiB or more was stored by `putStream`: `getStream` reads it. */
export interface StreamChange<K> extends ChangeFacts {
  readonly type: 'putStream'
  readonly key: K
  /** Length of the value. */
  readonly bytes: number
  readonly expiresAt: number | undefined
}

export interface DeleteChange<K> extends ChangeFacts {
  readonly type: 'delete'
  readonly key: K
}

/** The keys of a range are gone, those that were there. */
export interface ClearChange<K> extends ChangeFacts {
  readonly type: 'clear'
  /** Whether the range has this key. */
  covers(key: K): boolean
  /** The range, as bytes that the codec of the keys makes: from `gte` up to `lt`, which is not in it; `undefined`: to the end of the table. */
  readonly gte: Uint8Array
  readonly lt: Uint8Array | undefined
}

/** Entries have been loaded, from the first key up to the last, where there were none: `entries` reads them. */
export interface LoadChange<K> extends ChangeFacts {
  readonly type: 'load'
  readonly firstKey: K
  readonly lastKey: K
}

/** The table has another name. Where it was not there under the name that is watched, it has entries that were not told: read it. */
export interface RenameChange extends ChangeFacts {
  readonly type: 'rename'
  readonly from: string
  readonly to: string
}

/** The table was dropped. Nothing comes after it. */
export interface DropChange extends ChangeFacts {
  readonly type: 'drop'
}

/**
 * Changes with the versions `from` to `to` are not told, or not all: there were more than are kept, or `since` is too old, or writes have failed
 * and it was not known which of them are there until `resume` had looked. Whoever has something made of the changes reads the table again.
 */
export interface Gap {
  readonly type: 'gap'
  readonly from: number
  readonly to: number
}

/** The changes of a table, as they become durable. Iterable once; leaving the loop closes it. */
export interface Watch<K, V>
  extends AsyncIterableIterator<Change<K, V>, undefined>,
    AsyncDisposable,
    Disposable {
  [Symbol.asyncIterator](): Watch<K, V>
  next(): Promise<IteratorResult<Change<K, V>, undefined>>
  return(): Promise<IteratorResult<Change<K, V>, undefined>>
  /** All up to this version has been told: where to go on, as `since`. */
  readonly version: number
  close(): void
}

/** A table that another process writes. */
export interface Followed<K, V> {
  /** Tells what changes in it from now on. See `WatchOptions` and `Change`. */
  watch(options?: WatchOptions<K>): Watch<K, V>
}
