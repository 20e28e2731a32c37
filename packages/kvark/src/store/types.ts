/**
 * The types of the public API: readers, tables, transactions and stores. What their calls take is in `call-types.ts`, what `watch` tells in
 * `change-types.ts`. Interfaces only, from narrow to wide:
 *
 *   Reader ◄── Snapshot                          OrderedReader ◄── OrderedSnapshot
 *     ▲                                            ▲
 *   Table ◄── AtomicTable ◄── OrderedTable ────────┘       Table: reads and writes, what all engines have
 *     ▲            ▲               ▲                       Atomic…: batch, snapshot, transaction
 *   Store ◄── AtomicStore ◄── OrderedStore                 …Store: a root table with a lifetime, and tables of its kind
 *
 *   Reader ◄── TransactionTable ◄── Transaction            …and the same Ordered: what a transaction reads and writes
 *
 * What touches the disk is a promise and has a `Sync` twin; what does not is plain.
 */

import type {
  BackupReport,
  EngineStats,
  Inspection,
  Limits,
  Supports,
  VerifyReport,
} from '../engine/facts.ts'
import type { Durability } from '../storage/durability.ts'
import type {
  BatchOperation,
  ByteSource,
  ClearOptions,
  Condition,
  Cursor,
  DurabilityOptions,
  Entry,
  Expiry,
  JobOptions,
  KeyRange,
  LoadOptions,
  OrderedCursor,
  PutOptions,
  RangeOptions,
  ScanOptions,
  TouchOptions,
  TransactionOptions,
  UpdateOptions,
  WriteOptions,
} from './call-types.ts'
import type { Followed, Watch, WatchOptions } from './change-types.ts'
import type { Codec, KeyCodecs, ValueCodecs } from './codec.ts'
import type { StandardSchema } from './standard-schema.ts'

/** What can be read, from the store now or from a snapshot. */
export interface Reader<K, V> {
  /** The value, `undefined` when the key is missing. */
  get(key: K): Promise<V | undefined>
  getSync(key: K): V | undefined
  /** The values in the order of `keys`. */
  getMany(keys: readonly K[]): Promise<(V | undefined)[]>
  getManySync(keys: readonly K[]): (V | undefined)[]
  /** The value with its version and expiry. */
  getEntry(key: K): Promise<Entry<V> | undefined>
  getEntrySync(key: K): Entry<V> | undefined
  has(key: K): Promise<boolean>
  hasSync(key: K): boolean
  /**
   * Calls `use` with the value's bytes without copying them. The view is valid inside the callback only, until that
   * calls the store again. Returns what `use` returns, `undefined` when the key is missing.
   */
  viewSync<T>(key: K, use: (bytes: Uint8Array) => T): T | undefined
  /**
   * The value's bytes as a stream, `undefined` when the key is missing. For values too long to have in memory: it reads up to
   * 128 KiB at a time, and only when asked. The bytes are as they are stored, whatever the codec of values; each array is your own.
   * All of it is the value as it was when `getStream` was called, whatever is written meanwhile.
   *
   * Read it to its end or `cancel` it (leaving a `for await` does): until then it costs what a snapshot does. A forgotten one is
   * released when it is collected, with a warning. Reading rejects with `CORRUPTION` where the value is damaged, `IO` where it
   * cannot be read, `CLOSED` when the store has been closed or resumed.
   *
   * @example
   * const video = await db.getStream('video')
   * if (video) await pipeline(video, createWriteStream('./video.mp4')) // of node:stream/promises and node:fs
   */
  getStream(key: K): Promise<ReadableStream<Uint8Array> | undefined>
  entries(options?: ScanOptions): Cursor<[K, V]>
  keys(options?: ScanOptions): Cursor<K>
  values(options?: ScanOptions): Cursor<V>
  /** The number of entries. */
  count(options?: ScanOptions): Promise<number>
  countSync(options?: ScanOptions): number
}

/** A fixed view of the store. Release it: it costs what is overwritten while it lives. */
export interface Snapshot<K, V> extends Reader<K, V>, AsyncDisposable, Disposable {
  /** The last write it sees. */
  readonly version: number
  /**
   * Another table of the store, or its root (the store itself), as it was at this moment; empty where it was made later. `NOT_FOUND` where
   * it had been dropped.
   */
  table<TK, TV>(table: Table<TK, TV, never>): Reader<TK, TV>
  /** The tables of this moment. */
  tables(): TableInfo[]
  close(): void
}

/** Reads `V` and writes `I`: the same, unless a schema converts what is written. */
export interface Table<K, V, I = V> extends Reader<K, V> {
  /**
   * Stores `value` under `key`. Visible at once; the promise waits for durability and gives the write's version. An expiry that the
   * entry before had is gone, unless this one is given one.
   *
   * @example
   * await db.put('session:42', 'Alice', { ttl: 30 * 60_000 }) // for half an hour
   */
  put(key: K, value: I, options?: PutOptions): Promise<number>
  putSync(key: K, value: I, options?: PutOptions): number
  /** `put`. */
  set(key: K, value: I, options?: PutOptions): Promise<number>
  setSync(key: K, value: I, options?: PutOptions): number
  /**
   * Gives the entry of `key` another expiry, that of the table or none where `options` name none, and leaves its value as it is. The promise waits for
   * durability and gives the version that the entry has from then on; `undefined` when the key is missing, and nothing is written.
   *
   * `INVALID_ARGUMENT` for an expiry that cannot be; otherwise it fails as `put` does. A value longer than `limits.batchBytes` is
   * written anew as a stream; `touchSync` answers `INVALID_VALUE` for one.
   *
   * @example
   * if ((await db.touch('session:42', { ttl: 30 * 60_000 })) === undefined) console.log('the session is over')
   */
  touch(key: K, options?: TouchOptions): Promise<number | undefined>
  touchSync(key: K, options?: TouchOptions): number | undefined
  /**
   * Stores the bytes that `source` gives, one piece after the other, as the value of `key`: for values too long to have in memory.
   * It takes a few MiB, however long the value is. The bytes are stored as they come, whatever the codec of values.
   *
   * The value becomes visible as a whole when all of it has come; conditions are judged then. Until then `key` has its old value,
   * and other writes go on: the source may be slow. The promise waits for durability and gives the write's version. A `ttl` counts
   * from the call.
   *
   * When it rejects, nothing is stored, no space is taken and the source is closed: with the source's own error;
   * `INVALID_ARGUMENT` where the source cannot be iterated; `INVALID_VALUE` where a piece is no `Uint8Array`, or for more than
   * `limits.valueBytes`; `NO_SPACE` or `IO` where the disk does not take it, after which the store goes on (with `outcome:
   * 'unknown'` it is as after any write that failed: see `resume`); `CONFLICT`; `CLOSED` when the store is closed meanwhile, which
   * does not wait for the source.
   *
   * @example
   * await db.putStream('video', createReadStream('./video.mp4')) // of node:fs
   * await db.putStream('page', (await fetch('https://example.org')).body ?? [])
   */
  putStream(key: K, source: ByteSource, options?: PutOptions): Promise<number>
  /** Removes `key`; where it is not there nothing is written. */
  delete(key: K, options?: WriteOptions): Promise<number>
  deleteSync(key: K, options?: WriteOptions): number
  /** `delete`. */
  del(key: K, options?: WriteOptions): Promise<number>
  delSync(key: K, options?: WriteOptions): number
  /** Removes everything. */
  clear(options?: { readonly durability?: Durability }): Promise<void>
  clearSync(options?: { readonly durability?: Durability }): void
  /**
   * Replaces the value of `key` by what `change` makes of it, in one step: nothing comes between reading and writing. `change` gets the
   * value, `undefined` where the key is missing, and gives the new one; `undefined` removes the entry. The entry keeps its expiry, unless
   * `options` give another one. Gives the new value when that is durable.
   *
   * Where others write the key meanwhile, `change` is called again with what they have written, up to `attempts` times in all; then
   * `CONFLICT`. What it throws comes through, and nothing is written. `INVALID_ARGUMENT` where it gives a promise.
   *
   * @example
   * await db.update('cart', (cart = '') => `${cart} apple`)
   */
  update(
    key: K,
    change: (value: V | undefined) => I | undefined,
    options?: UpdateOptions,
  ): Promise<V | undefined>
  updateSync(
    key: K,
    change: (value: V | undefined) => I | undefined,
    options?: UpdateOptions,
  ): V | undefined
  /**
   * Adds `by` (default 1) to the number under `key`, where a missing key counts as 0, and gives the sum. The entry keeps its expiry,
   * unless `options` give another one.
   *
   * With the codec `utf8` the value is the number in decimal digits, as JSON writes it (`12`, `-0.5`, `1e21`); with `json`, or a codec of
   * your own, a number. `INVALID_VALUE` where the entry holds something else, or where the sum of two whole numbers leaves the range in
   * which they are exact (±2⁵³); `INVALID_ARGUMENT` for a `by` that is not a finite number, and for the codec `bytes`. Where a schema makes
   * another number of the sum, that one is stored and given.
   *
   * @example
   * const visits = await db.increment('visits')
   */
  increment(key: K, by?: number, options?: UpdateOptions): Promise<number>
  incrementSync(key: K, by?: number, options?: UpdateOptions): number
  /**
   * The value of `key`; where it is missing, stores `value` (or what it gives, if it is a function, awaited) and gives that. Of several
   * that do so at the same time one stores its value, and all give that one. `INVALID_VALUE` where that is `undefined`; `CLOSED` when the
   * store is closed meanwhile, which does not wait for the function.
   *
   * @example
   * const page = await db.getOrPut('page', () => render(), { ttl: 60_000 })
   */
  getOrPut(key: K, value: I | (() => I | Promise<I>), options?: UpdateOptions): Promise<V>
  getOrPutSync(key: K, value: I | (() => I), options?: UpdateOptions): V
}

/** What a transaction does with a table: what it reads is of one moment, with its own writes over it; others see them when it ends. */
export interface TransactionTable<K, V, I = V> extends Reader<K, V> {
  /** Stores `value` under `key`. Conditions are judged at once, against what the transaction sees. */
  put(key: K, value: I, options?: Condition & Expiry): Promise<void>
  putSync(key: K, value: I, options?: Condition & Expiry): void
  /** `put`. */
  set(key: K, value: I, options?: Condition & Expiry): Promise<void>
  setSync(key: K, value: I, options?: Condition & Expiry): void
  /** Gives the entry of `key` another expiry, or none; whether the key is there. */
  touch(key: K, options?: Expiry): Promise<boolean>
  touchSync(key: K, options?: Expiry): boolean
  /** Removes `key`. */
  delete(key: K, options?: Condition): Promise<void>
  deleteSync(key: K, options?: Condition): void
  /** `delete`. */
  del(key: K, options?: Condition): Promise<void>
  delSync(key: K, options?: Condition): void
  /** Removes everything. */
  clear(): Promise<void>
  clearSync(): void
  /** As `Table.update`. */
  update(
    key: K,
    change: (value: V | undefined) => I | undefined,
    options?: Expiry,
  ): Promise<V | undefined>
  updateSync(
    key: K,
    change: (value: V | undefined) => I | undefined,
    options?: Expiry,
  ): V | undefined
  /** As `Table.increment`. */
  increment(key: K, by?: number, options?: Expiry): Promise<number>
  incrementSync(key: K, by?: number, options?: Expiry): number
  /** As `Table.getOrPut`. */
  getOrPut(key: K, value: I | (() => I | Promise<I>), options?: Expiry): Promise<V>
  getOrPutSync(key: K, value: I | (() => I), options?: Expiry): V
}

/** A moment of a transaction to go back to. Those that were made after it end with it. */
export interface Savepoint {
  /** Takes back everything that the transaction has written since. The savepoint stays. `CLOSED` when it has ended. */
  rollback(): void
  /** Ends the savepoint; what was written since stays. */
  release(): void
}

/**
 * What the function of `transaction` gets. Valid until that ends, then `CLOSED`; and so are its cursors.
 *
 * What it has written itself has, in `getEntry`, a version that is of use for its own conditions only.
 */
export interface Transaction<K, V, I = V> extends TransactionTable<K, V, I> {
  /** Another table of the store, by handle or by name and codecs. `NOT_FOUND` where it had been dropped. */
  readonly table: TableAccess<'transaction'>['table'] &
    (<TK, TV, TI>(table: Table<TK, TV, TI>) => TransactionTable<TK, TV, TI>)
  /** The tables of the moment at which the transaction began. */
  tables(): TableInfo[]
  /**
   * A moment to go back to.
   *
   * @example
   * const before = tx.savepoint()
   * let least = 0
   * for (const item of order) least = Math.min(least, await tx.increment(item, -1))
   * if (least < 0) before.rollback()
   */
  savepoint(): Savepoint
}

/** An operation of a `batch` on another table of the same store; keys and values are those of that table. */
export type TableOperation = BatchOperation<unknown, unknown> & {
  /** What `db.table` gave, or the store itself: its root. */
  readonly table: Table<unknown, unknown>
}

export interface AtomicTable<K, V, I = V> extends Table<K, V, I> {
  /**
   * Carries out all operations, or none where one cannot be (`CONFLICT`, a refused key or value) or the process or
   * the power fails. Later operations on a key win. Conditions are judged against the state before the batch. With `table` an
   * operation goes to another table of the store.
   *
   * @example
   * await users.batch([
   *   { type: 'put', key: 7, value: { name: 'Alice' } },
   *   { type: 'put', table: names, key: 'Alice', value: '7' },
   * ])
   */
  batch(
    operations: Iterable<BatchOperation<K, I> | TableOperation>,
    options?: DurabilityOptions,
  ): Promise<number>
  batchSync(
    operations: Iterable<BatchOperation<K, I> | TableOperation>,
    options?: DurabilityOptions,
  ): number
  /** A fixed view of now. */
  snapshot(): Snapshot<K, V>
  /**
   * The changes of this table (of a store: of its root) from now on, or behind the version `since`, in the order of their versions, the ones of a
   * batch together. A change is told when it has reached the durability that its write asked for: what a crash could take
   * back for all that was promised is not told, and what has failed never.
   *
   * Memory: what was written lately, up to `bufferBytes`, for all who watch together. Who is slower than that is told a `gap`.
   *
   * It ends when the store is closed (what was durable until then is told), after a `drop`, and with `close`. Throws, or rejects, with
   * `INVALID_ARGUMENT`, `INVALID_KEY`; `DECODE` where the codec does not know a key or value; `MISMATCH` where the table comes to be with
   * other codecs; `UNSUPPORTED` on a store that was opened with `readOnly`; `CLOSED`; or `signal.reason`.
   *
   * @example
   * for await (const change of db.watch({ prefix: 'user:' })) {
   *   if (change.type === 'put') cache.set(change.key, change.value)
   *   else if (change.type === 'delete') cache.delete(change.key)
   *   else cache.clear() // gap, clear, …: read again
   * }
   */
  watch(options?: WatchOptions<K>): Watch<K, V>
  /**
   * Reads and writes as if nobody else did meanwhile: serializable. What `fn` reads through `tx` is of one moment, with its own writes over
   * it; these take effect together when it has ended, or not at all. Gives what `fn` gives, when the writes are durable.
   *
   * Nobody waits for anybody: if others have changed meanwhile what `fn` has read, a key or a range that it has walked, nothing is
   * written and `fn` runs again, up to `attempts` times in all; then `CONFLICT`. So it should do nothing else that must not happen twice.
   * One that writes nothing never conflicts. What `fn` throws comes through, and nothing is written. It must await all that it does.
   *
   * Writes past `tx` are not part of it. `CLOSED` when the store is closed meanwhile; otherwise it fails as `batch` does.
   *
   * @example
   * await db.transaction(async (tx) => {
   *   const balance = await tx.increment('alice', -10)
   *   if (balance < 0) throw new Error('not enough')
   *   await tx.increment('bob', 10)
   * })
   */
  transaction<R>(
    fn: (tx: Transaction<K, V, I>) => R | Promise<R>,
    options?: TransactionOptions,
  ): Promise<R>
  /** The same at once. `INVALID_ARGUMENT` inside another one, or where `fn` gives a promise: nothing is written then. */
  transactionSync<R>(fn: (tx: Transaction<K, V, I>) => R, options?: TransactionOptions): R
}

export interface OrderedReader<K, V> extends Reader<K, V> {
  entries(options?: RangeOptions<K>): OrderedCursor<K, [K, V]>
  keys(options?: RangeOptions<K>): OrderedCursor<K, K>
  values(options?: RangeOptions<K>): OrderedCursor<K, V>
  count(options?: RangeOptions<K>): Promise<number>
  countSync(options?: RangeOptions<K>): number
  /** The first entry of the range, `undefined` when it is empty. */
  first(options?: RangeOptions<K>): Promise<[K, V] | undefined>
  firstSync(options?: RangeOptions<K>): [K, V] | undefined
  last(options?: RangeOptions<K>): Promise<[K, V] | undefined>
  lastSync(options?: RangeOptions<K>): [K, V] | undefined
}

export interface OrderedSnapshot<K, V> extends Snapshot<K, V>, OrderedReader<K, V> {
  table<TK, TV>(table: Table<TK, TV, never>): OrderedReader<TK, TV>
  entries(options?: RangeOptions<K>): OrderedCursor<K, [K, V]>
  keys(options?: RangeOptions<K>): OrderedCursor<K, K>
  values(options?: RangeOptions<K>): OrderedCursor<K, V>
  count(options?: RangeOptions<K>): Promise<number>
  countSync(options?: RangeOptions<K>): number
}

export interface OrderedTransactionTable<K, V, I = V>
  extends TransactionTable<K, V, I>,
    OrderedReader<K, V> {
  entries(options?: RangeOptions<K>): OrderedCursor<K, [K, V]>
  keys(options?: RangeOptions<K>): OrderedCursor<K, K>
  values(options?: RangeOptions<K>): OrderedCursor<K, V>
  count(options?: RangeOptions<K>): Promise<number>
  countSync(options?: RangeOptions<K>): number
  /** Removes a range, or everything. */
  clear(options?: KeyRange<K>): Promise<void>
  clearSync(options?: KeyRange<K>): void
}

export interface OrderedTransaction<K, V, I = V>
  extends Transaction<K, V, I>,
    OrderedTransactionTable<K, V, I> {
  readonly table: TableAccess<'orderedTransaction'>['table'] &
    (<TK, TV, TI>(table: Table<TK, TV, TI>) => OrderedTransactionTable<TK, TV, TI>)
  entries(options?: RangeOptions<K>): OrderedCursor<K, [K, V]>
  keys(options?: RangeOptions<K>): OrderedCursor<K, K>
  values(options?: RangeOptions<K>): OrderedCursor<K, V>
  count(options?: RangeOptions<K>): Promise<number>
  countSync(options?: RangeOptions<K>): number
  clear(options?: KeyRange<K>): Promise<void>
  clearSync(options?: KeyRange<K>): void
}

export interface OrderedTable<K, V, I = V> extends AtomicTable<K, V, I>, OrderedReader<K, V> {
  entries(options?: RangeOptions<K>): OrderedCursor<K, [K, V]>
  keys(options?: RangeOptions<K>): OrderedCursor<K, K>
  values(options?: RangeOptions<K>): OrderedCursor<K, V>
  count(options?: RangeOptions<K>): Promise<number>
  countSync(options?: RangeOptions<K>): number
  /** Removes a range, or everything: all of it or nothing, also when the process or the power fails. */
  clear(options?: ClearOptions<K>): Promise<void>
  clearSync(options?: ClearOptions<K>): void
  /**
   * Stores many entries that come in ascending order of their keys' bytes, each key once: several times as fast as batches, and with
   * a few hundred KiB of memory, however many there are. The order is that in which `entries` of the store gives them; of strings
   * that is the order of code points.
   *
   * All of them become visible at the end, as one write, and have its version. Between the first key and the last one the store must
   * have no entry then. Until then nothing is seen of them, and other reads and writes go on. The promise waits for durability and
   * gives the version. Where nothing comes, nothing is written.
   *
   * `progress` hears how many entries have come of how many: of those in an array, a `Map` or a `Set`, else of those that have come.
   *
   * When it rejects, nothing is stored, no space is taken and the source is closed: with the source's own error, or `signal.reason`;
   * `INVALID_ARGUMENT` where a key is not larger than the one before it, which is named by its position from 0, or something that
   * comes is no pair; `INVALID_KEY` or `INVALID_VALUE`; `CONFLICT` where the store has entries in between; `NO_SPACE` or `IO` where
   * the disk does not take it, after which the store goes on (with `outcome: 'unknown'` it is as after any write that failed: see
   * `resume`); `READ_ONLY`; `CLOSED` when the store is closed meanwhile, which does not wait for the source.
   *
   * @example
   * await db.load([...words].sort().map((word, i) => [word, String(i)]))
   * await other.load(db.entries({ prefix: 'user:' })) // from one store to another
   */
  load(
    entries: Iterable<readonly [K, I]> | AsyncIterable<readonly [K, I]>,
    options?: LoadOptions,
  ): Promise<number>
  /** `load`, at once. */
  loadSync(entries: Iterable<readonly [K, I]>, options?: LoadOptions): number
  snapshot(): OrderedSnapshot<K, V>
  transaction<R>(
    fn: (tx: OrderedTransaction<K, V, I>) => R | Promise<R>,
    options?: TransactionOptions,
  ): Promise<R>
  transactionSync<R>(fn: (tx: OrderedTransaction<K, V, I>) => R, options?: TransactionOptions): R
}

/** How the keys and values of a table become bytes. A property of the table, kept by the store. */
export interface TableOptions<KC, VC> {
  /** Default `utf8`. */
  readonly keys?: KC
  /** Default `utf8`. */
  readonly values?: VC
  /**
   * How long entries live that are put through this handle without an end of their own, ms; `'never'`: for ever. Default: `ttl` of `open`.
   * Not kept by the store: another handle may say something else.
   */
  readonly ttl?: number | 'never'
}

/** The check of the values of a table, or of a store's root. */
export interface SchemaOption<V, I = V> {
  /**
   * A Standard Schema, such as those of Zod, Valibot or ArkType. Values go through it before they are written, and what it gives is stored;
   * `INVALID_VALUE` tells what does not fit. Where it answers with a promise, the write comes when it has answered (leave the key
   * as it is until then), and the Sync verbs are `INVALID_ARGUMENT`. The store does not keep it, and reading checks nothing.
   */
  readonly schema?: StandardSchema<I, V>
}

/** What `tables` lists. */
export interface TableInfo {
  readonly name: string
  /** Names of the codecs. */
  readonly keys: string
  readonly values: string
}

/** What `table` gives, by what the engine has. */
export interface TableKinds<K, V, I = V> {
  plain: Table<K, V, I>
  atomic: AtomicTable<K, V, I>
  ordered: OrderedTable<K, V, I>
  transaction: TransactionTable<K, V, I>
  orderedTransaction: OrderedTransactionTable<K, V, I>
  followed: Followed<K, V>
}

/** Key spaces of their own, by name, in one store: a key in one of them has nothing to do with the same key in another, or in the root. */
export interface TableAccess<Kind extends keyof TableKinds<unknown, unknown>> {
  /**
   * The table `name` (1 to 255 bytes of UTF-8). Touches no disk; a table that is not there is made by the first put into it, in one step
   * with that. The handle follows its table when that is renamed; when it is dropped all verbs of the handle are `NOT_FOUND`.
   *
   * `MISMATCH`: the table has other codecs. `INVALID_ARGUMENT`: not a name. `CORRUPTION`: the list of tables is damaged.
   *
   * @example
   * const users = db.table('users', { keys: 'tuple', values: 'json' })
   * await users.put(['de', 7], { name: 'Alice' })
   */
  table<
    KC extends keyof KeyCodecs = 'utf8',
    VC extends keyof ValueCodecs = 'utf8',
    V extends ValueCodecs[VC] = ValueCodecs[VC],
    I = V,
  >(
    name: string,
    options?: TableOptions<KC, VC> & SchemaOption<V, I>,
  ): TableKinds<KeyCodecs[KC], V, I>[Kind]
  table<
    K,
    VC extends keyof ValueCodecs = 'utf8',
    V extends ValueCodecs[VC] = ValueCodecs[VC],
    I = V,
  >(
    name: string,
    options: TableOptions<Codec<K>, VC> & SchemaOption<V, I> & { readonly keys: Codec<K> },
  ): TableKinds<K, V, I>[Kind]
  table<V, KC extends keyof KeyCodecs = 'utf8', I = V>(
    name: string,
    options: TableOptions<KC, Codec<V>> & SchemaOption<V, I> & { readonly values: Codec<V> },
  ): TableKinds<KeyCodecs[KC], V, I>[Kind]
  table<K, V, I = V>(
    name: string,
    options: TableOptions<Codec<K>, Codec<V>> &
      SchemaOption<V, I> & {
        readonly keys: Codec<K>
        readonly values: Codec<V>
      },
  ): TableKinds<K, V, I>[Kind]
  /** All tables, in the order in which they were made. The root is none of them. */
  tables(): TableInfo[]
}

/** The tables of a store, and what becomes of them. */
export interface Tables<Kind extends keyof TableKinds<unknown, unknown>> extends TableAccess<Kind> {
  /**
   * Removes a table with all its entries: all of it or nothing, also when the process or the power fails. `NOT_FOUND`: there is none of
   * that name.
   */
  dropTable(name: string, options?: DurabilityOptions): Promise<void>
  dropTableSync(name: string, options?: DurabilityOptions): void
  /** Gives a table another name. `NOT_FOUND`: there is none of the name `from`; `CONFLICT`: there is one of the name `to`. */
  renameTable(from: string, to: string, options?: DurabilityOptions): Promise<void>
  renameTableSync(from: string, to: string, options?: DurabilityOptions): void
}

/** Numbers of a store. All plain, JSON-able. */
export interface Stats extends EngineStats {
  readonly engine: string
  readonly path: string
  /** Tables, without the root. */
  readonly tables: number
  /** Writes that wait for what they need from the disk before they are carried out. */
  readonly waitingWrites: number
  /** Set while the store takes no writes: the code and message of the reason. */
  readonly readOnly: { readonly code: string; readonly message: string } | undefined
}

/** What a backup takes. */
export interface BackupOptions extends JobOptions {
  /**
   * The folder of an earlier backup of the same store, on the same disk. Files that it has already and that never change are shared with
   * it (hard links): they take neither time to write nor room. Both backups are whole, and either can be removed. Engine log; with
   * others, and where there are no hard links, everything is copied.
   */
  readonly base?: string
}

/** A store whose options `O` can be changed while it is open. */
export interface Configurable<O> {
  configure(options: O & ExpiryInterval): void
}

/** How often a store looks for entries that have expired. */
export interface ExpiryInterval {
  /**
   * Every so many ms (default 10,000) the store looks for entries that have expired, to give their space back; 0: not by itself,
   * `compact` does it. Where no entry has an expiry it does not look. May change while open.
   */
  readonly expiryIntervalMs?: number
}

/** The lifetime that every store has. */
export interface StoreLife extends AsyncDisposable {
  readonly path: string
  readonly engine: string
  readonly supports: Supports
  readonly limits: Limits
  /**
   * Makes everything so far durable on disk. `READ_ONLY` where a write that was waiting has failed meanwhile; its own promise says how.
   */
  sync(): Promise<void>
  syncSync(): void
  /**
   * After a full disk or an I/O error: reloads the state from what the disk holds, then takes writes again. Calls of `resume` beside each
   * other are one; `resumeSync` is `READ_ONLY` while one runs.
   */
  resume(): Promise<void>
  resumeSync(): void
  /** Frees the space of what was overwritten and deleted. It also happens by itself. */
  compact(options?: JobOptions): Promise<void>
  compactSync(options?: JobOptions): void
  /** Reads and checks every byte. */
  verify(options?: JobOptions): Promise<VerifyReport>
  verifySync(options?: JobOptions): VerifyReport
  /**
   * Copies the store to the folder `to` while it goes on being used: everything written before some moment during the call, and
   * nothing after it. All of it is checked, and read back. Restoring is opening the folder. Where `to` is relative, it is so to the
   * working directory. A store in memory is copied to the machine's disk.
   *
   * `INVALID_ARGUMENT` unless there is nothing at `to`, or an empty folder, and `base` is a backup of this store; `CORRUPTION` where the store is damaged; `NO_SPACE` or
   * `IO` when the copy cannot be written, which does the store no harm; `READ_ONLY` when a write has failed and the store is not
   * resumed yet; `LOCKED` when another backup goes to the same folder. After an error or an abort nothing of the copy is left.
   *
   * @example
   * const { entries, version } = await db.backup(`./backups/${new Date().toISOString()}`)
   */
  backup(to: string, options?: BackupOptions): Promise<BackupReport>
  backupSync(to: string, options?: BackupOptions): BackupReport
  /** The files and what is in them; of a tree also its shape, for which all of its pages are looked at. */
  inspect(options?: JobOptions): Promise<Inspection>
  inspectSync(options?: JobOptions): Inspection
  stats(): Stats
  /**
   * Makes everything durable and lets go of the files. Repeating it is harmless. `close` waits for what has begun; `closeSync` cuts it
   * off with `CLOSED`.
   */
  close(): Promise<void>
  closeSync(): void
}

export interface Store<K = string, V = string, I = V>
  extends Table<K, V, I>,
    Tables<'plain'>,
    StoreLife {}
export interface AtomicStore<K = string, V = string, I = V>
  extends AtomicTable<K, V, I>,
    Tables<'atomic'>,
    StoreLife {}
export interface OrderedStore<K = string, V = string, I = V>
  extends OrderedTable<K, V, I>,
    Tables<'ordered'>,
    StoreLife {}
