/**
 * The database: what abstract-level asks of it, in kvark's verbs.
 *
 *   Level ──► AbstractLevel: encodings, sublevels, hooks, events, deferred open ──► _get, _put … ──► a store of kvark, engine btree
 *                                                                                               keys and values are bytes
 *
 * 1. Every read sees the database as it was when it was called: `getMany` of kvark takes such a view where it has to wait for the disk,
 *    the others read a snapshot.
 * 2. Without `sync` a write has the durability `os`, as LevelDB's: a killed process loses nothing, a power cut may take the last moments.
 * 3. A database that is forgotten is closed when it is collected, with a warning, as kvark does with its cursors. So nothing that a store
 *    holds may refer to its `Level`.
 *
 * Left out: `getProperty`, whose answers are about LevelDB's own files. And of promise 1, one case: a `get` that has to wait for earlier
 * writes, which themselves wait for the disk, also sees a later write that a synchronous verb carries out in the same turn.
 */

import type { AbstractSnapshot } from 'abstract-level'
import type { BatchOperation, Cursor, Encryption } from 'kvark'
import { AbstractDatabase, type SnapshotRequest } from './abstract.ts'
import { asLevelError, notOpen } from './errors.ts'
import { checkLocation, destroyDatabase, MEMORY, openStore, repairDatabase } from './folder.ts'
import { type Data, type Format, fromBytes, keyBytes, valueBytes } from './formats.ts'
import {
  byteRange,
  type EncodedRange,
  LevelIterator,
  LevelKeyIterator,
  LevelValueIterator,
  type WalkRequest,
} from './iterator.ts'
import {
  type DatabaseOptions,
  type OpenOptions,
  type StartEndOptions,
  type SyncOptions,
  storeOptions,
  writeOptions,
} from './options.ts'
import { type ByteReader, type ByteStore, LevelSnapshot } from './snapshot.ts'

/** What abstract-level hands over with a read. */
interface ReadRequest {
  readonly keyEncoding: Format
  readonly valueEncoding: Format
  readonly snapshot?: AbstractSnapshot
}

interface ClearRequest extends EncodedRange, SyncOptions {
  readonly reverse: boolean
  /** -1: none. */
  readonly limit: number
  readonly snapshot?: AbstractSnapshot
}

type Operation =
  | { readonly type: 'put'; readonly key: Data; readonly value: Data }
  | { readonly type: 'del'; readonly key: Data }

/** So many lookups of one call wait for the disk at the same time. */
const CONCURRENT_LOOKUPS = 32
/** So many keys are removed at a time where `clear` has to name them. */
const KEYS_AT_A_TIME = 1000
/** What an entry takes besides its key and value. */
const ENTRY_BYTES = 15

interface Held {
  readonly store: ByteStore
  readonly location: string
}

const forgotten = new FinalizationRegistry<Held>(({ store, location }) => {
  process.emitWarning(
    `The database ${location} was forgotten and has been closed. Close it as soon as it is done.`,
    'KvarkWarning',
  )
  store.close().catch((error: unknown) => {
    process.emitWarning(
      `The database ${location} could not be closed: ${String(error)}`,
      'KvarkWarning',
    )
  })
})

/**
 * An abstract-level database in the folder `location`, on kvark's engine btree. Made like a `ClassicLevel` of classic-level, and used like
 * one; it opens by itself. `':memory:'` is a database in memory, for tests.
 *
 * One process, and one thread of it, has a database open: another one gets `LEVEL_LOCKED` as the `cause` of `LEVEL_DATABASE_NOT_OPEN`.
 * Writes survive a killed process; with `{ sync: true }` a power cut, too.
 *
 * @example
 * const db = new Level<string, { n: number }>('./db', { valueEncoding: 'json' })
 * await db.put('a', { n: 1 })
 * for await (const [key, value] of db.iterator({ gte: 'a' })) console.log(key, value)
 * await db.close()
 */
export class Level<KDefault = string, VDefault = string> extends AbstractDatabase<
  KDefault,
  VDefault
> {
  readonly #location: string
  #store: ByteStore | undefined

  /** `TypeError` where `location` is no path. */
  constructor(location: string, options?: DatabaseOptions<KDefault, VDefault>) {
    checkLocation(location)
    super(
      {
        encodings: { buffer: true, utf8: true, view: true },
        implicitSnapshots: true,
        explicitSnapshots: true,
        permanence: location !== MEMORY,
        seek: true,
        has: true,
        getSync: true,
        createIfMissing: true,
        errorIfExists: true,
        additionalMethods: { approximateSize: true, compactRange: true },
        signals: { iterators: true },
      },
      options,
    )
    this.#location = location
  }

  /** As it was given to the constructor. */
  get location(): string {
    return this.#location
  }

  /**
   * The store of kvark behind the database, for what Level has no word for: `backup`, `verify`, `stats`. Its keys are those of the
   * whole database, with the prefixes of sublevels. What is written to it directly causes no events. `LEVEL_DATABASE_NOT_OPEN` unless
   * the database is open.
   *
   * @example
   * await db.store.backup('./backup')
   */
  get store(): ByteStore {
    if (this.#store === undefined) throw notOpen()
    return this.#store
  }

  /**
   * The bytes that the keys and values from `start` up to `end` take, without what pages have free. It reads the range.
   *
   * @example
   * await db.approximateSize('a', 'b')
   */
  approximateSize(start: KDefault, end: KDefault): Promise<number>
  approximateSize<K = KDefault>(start: K, end: K, options: StartEndOptions<K>): Promise<number>
  async approximateSize(
    start: unknown,
    end: unknown,
    options?: StartEndOptions<never>,
  ): Promise<number> {
    if (this.status === 'opening') {
      return await this.deferAsync(() => this.#approximateSize(start, end, options))
    }
    return await this.#approximateSize(start, end, options)
  }

  /** Frees what was overwritten and deleted: all of it, whatever the range. It also happens by itself. */
  compactRange(start: KDefault, end: KDefault): Promise<void>
  compactRange<K = KDefault>(start: K, end: K, options: StartEndOptions<K>): Promise<void>
  async compactRange(
    start: unknown,
    end: unknown,
    options?: StartEndOptions<never>,
  ): Promise<void> {
    if (this.status === 'opening') {
      return await this.deferAsync(() => this.#compactRange(start, end, options))
    }
    return await this.#compactRange(start, end, options)
  }

  /**
   * Removes the database in the folder `location`, which nobody has open, and the folder if nothing else is in it. Where nothing is, that
   * is all right.
   *
   * `LEVEL_LOCKED`: it is open. `NOT_FOUND`, of kvark: what is there is no database of this kind, and stays.
   */
  static async destroy(location: string): Promise<void> {
    checkLocation(location)
    await destroyDatabase(location)
  }

  /**
   * Puts what can be read of a damaged database, which nobody has open, in its place. The damaged one stays beside it, with `.damaged`
   * behind its name. See `repair` of kvark for what is saved, and for a report of what is lost.
   *
   * `LEVEL_LOCKED`: it is open. `INVALID_ARGUMENT`, of kvark: something is in the way at `<location>.repaired`. Other errors as those of
   * `repair`; the damaged database is where it was.
   */
  static async repair(location: string, options?: { encryption?: Encryption }): Promise<void> {
    checkLocation(location)
    await repairDatabase(location, options?.encryption)
  }

  protected async _open(options: OpenOptions): Promise<void> {
    const store = await openStore(this.#location, storeOptions(options))
    this.#store = store
    forgotten.register(this, { store, location: this.#location }, store)
  }

  protected async _close(): Promise<void> {
    const store = this.#store
    if (store === undefined) return
    // Whatever its end, it cannot be used any more.
    this.#store = undefined
    forgotten.unregister(store)
    try {
      await store.close()
    } catch (error) {
      throw asLevelError(error)
    }
  }

  protected async _put(key: Data, value: Data, options: SyncOptions): Promise<void> {
    try {
      await this.store.put(keyBytes(key), valueBytes(value), writeOptions(options))
    } catch (error) {
      throw asLevelError(error)
    }
  }

  protected async _del(key: Data, options: SyncOptions): Promise<void> {
    try {
      await this.store.delete(keyBytes(key), writeOptions(options))
    } catch (error) {
      throw asLevelError(error)
    }
  }

  protected async _batch(operations: readonly Operation[], options: SyncOptions): Promise<void> {
    try {
      await this.store.batch(operations.map(toKvark), writeOptions(options))
    } catch (error) {
      throw asLevelError(error)
    }
  }

  protected async _get(key: Data, options: ReadRequest): Promise<Data | undefined> {
    try {
      const [value] = await this.#viewOf(options.snapshot).getMany([keyBytes(key)])
      return value && fromBytes(value, options.valueEncoding)
    } catch (error) {
      throw asLevelError(error)
    }
  }

  protected _getSync(key: Data, options: ReadRequest): Data | undefined {
    try {
      const view = this.#viewOf(options.snapshot)
      if (options.valueEncoding === 'utf8') {
        return view.viewSync(keyBytes(key), (bytes) => fromBytes(bytes, 'utf8'))
      }
      const value = view.getSync(keyBytes(key))
      return value && fromBytes(value, options.valueEncoding)
    } catch (error) {
      throw asLevelError(error)
    }
  }

  protected async _getMany(
    keys: readonly Data[],
    options: ReadRequest,
  ): Promise<(Data | undefined)[]> {
    try {
      const values = await this.#viewOf(options.snapshot).getMany(keys.map(keyBytes))
      return values.map((value) => value && fromBytes(value, options.valueEncoding))
    } catch (error) {
      throw asLevelError(error)
    }
  }

  protected async _has(key: Data, options: ReadRequest): Promise<boolean> {
    const [has] = await this._hasMany([key], options)
    return has!
  }

  protected async _hasMany(keys: readonly Data[], options: ReadRequest): Promise<boolean[]> {
    try {
      const own = options.snapshot ? undefined : this.store.snapshot()
      try {
        return await hasMany(own ?? this.#viewOf(options.snapshot), keys.map(keyBytes))
      } finally {
        own?.close()
      }
    } catch (error) {
      throw asLevelError(error)
    }
  }

  protected async _clear(options: ClearRequest): Promise<void> {
    const { limit, snapshot } = options
    try {
      const range = byteRange(options)
      if (limit === -1 && !snapshot) {
        await this.store.clear({ ...range, ...writeOptions(options) })
        return
      }
      const own = snapshot ? undefined : this.store.snapshot()
      try {
        const keys = (own ?? this.#viewOf(snapshot)).keys({
          ...range,
          reverse: options.reverse,
          ...(limit !== -1 && { limit }),
        })
        await this.#remove(keys, options)
      } finally {
        own?.close()
      }
    } catch (error) {
      throw asLevelError(error)
    }
  }

  protected _iterator(options: WalkRequest): LevelIterator {
    try {
      return new LevelIterator(this, this.store, options)
    } catch (error) {
      throw asLevelError(error)
    }
  }

  protected _keys(options: WalkRequest): LevelKeyIterator {
    try {
      return new LevelKeyIterator(this, this.store, options)
    } catch (error) {
      throw asLevelError(error)
    }
  }

  protected _values(options: WalkRequest): LevelValueIterator {
    try {
      return new LevelValueIterator(this, this.store, options)
    } catch (error) {
      throw asLevelError(error)
    }
  }

  protected _snapshot(options: SnapshotRequest): LevelSnapshot {
    try {
      return new LevelSnapshot(this.store, options)
    } catch (error) {
      throw asLevelError(error)
    }
  }

  #viewOf(snapshot: AbstractSnapshot | undefined): ByteReader {
    return snapshot ? LevelSnapshot.viewOf(snapshot, this.store) : this.store
  }

  async #remove(keys: Cursor<Uint8Array>, options: SyncOptions): Promise<void> {
    try {
      for (;;) {
        const some = await keys.nextMany(KEYS_AT_A_TIME)
        if (some.length === 0) return
        await this.store.batch(
          some.map((key) => ({ type: 'delete', key })),
          writeOptions(options),
        )
      }
    } finally {
      keys.close()
    }
  }

  async #approximateSize(
    start: unknown,
    end: unknown,
    options: StartEndOptions<never> | undefined,
  ): Promise<number> {
    const [gte, lt] = this.#encodeBounds(start, end, options)
    try {
      let bytes = 0
      const { store } = this
      for await (const [key, value] of store.entries({ gte, lt })) {
        bytes += key.length + value.length + ENTRY_BYTES
      }
      return bytes
    } catch (error) {
      throw asLevelError(error)
    }
  }

  async #compactRange(
    start: unknown,
    end: unknown,
    options: StartEndOptions<never> | undefined,
  ): Promise<void> {
    // Bounds that would be refused elsewhere are refused here, too.
    this.#encodeBounds(start, end, options)
    try {
      await this.store.compact()
    } catch (error) {
      throw asLevelError(error)
    }
  }

  #encodeBounds(
    start: unknown,
    end: unknown,
    options: StartEndOptions<never> | undefined,
  ): [Uint8Array, Uint8Array] {
    if (start === undefined || end === undefined) {
      throw new TypeError("The arguments 'start' and 'end' are required")
    }
    const { encode } = this.keyEncoding(options?.keyEncoding as 'view')
    return [keyBytes(encode(start as Uint8Array)), keyBytes(encode(end as Uint8Array))]
  }
}

function toKvark(operation: Operation): BatchOperation<Uint8Array, Uint8Array> {
  const key = keyBytes(operation.key)
  return operation.type === 'put'
    ? { type: 'put', key, value: valueBytes(operation.value) }
    : { type: 'delete', key }
}

async function hasMany(view: ByteReader, keys: readonly Uint8Array[]): Promise<boolean[]> {
  const answers: boolean[] = []
  for (let i = 0; i < keys.length; i += CONCURRENT_LOOKUPS) {
    const some = keys.slice(i, i + CONCURRENT_LOOKUPS)
    answers.push(...(await Promise.all(some.map((key) => view.has(key)))))
  }
  return answers
}
