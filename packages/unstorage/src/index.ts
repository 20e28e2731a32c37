/**
 * A driver of kvark for unstorage.
 *
 *   storage.setItem('a:b', 1) ─► driver.setItem('a:b', '1') ─► put: text or bytes, as they come ─► bytes in kvark
 *
 * 1. Keys stand in the store as unstorage normalizes them, so a base (`a:`) is a range.
 * 2. A `ttl`, in seconds as with unstorage's other drivers, is kvark's own expiry.
 * 3. The driver closes what it has opened, and only that.
 * 4. While somebody watches, `clear` removes the keys one by one, in few batches: a range that is cleared does not say which keys it had.
 */

import {
  type KeyRange,
  KvarkError,
  type OpenOptions,
  type OrderedStore,
  open,
  type Store,
  type Watch,
} from 'kvark'
import type { Driver, StorageMeta, WatchCallback } from 'unstorage'

/** What the driver keeps: bytes under text, on any engine. */
export type BytesStore = Store<string, Uint8Array>

type StoreOptions = Omit<OpenOptions<'btree' | 'log' | 'any', never, never>, 'keys' | 'values'>

/** Where the items are, and how the store is opened: the options of kvark's `open`, but for the codecs. */
export type KvarkDriverOptions = StoreOptions & {
  /** Seconds that items live for which nothing else is said; absent: for ever. */
  readonly ttl?: number
} & (
    | {
        /** The folder, which is opened at first use. */
        readonly path: string
        readonly store?: never
      }
    | {
        /** A store whose keys are strings and whose values are bytes; it stays its owner's. */
        readonly store: BytesStore
        readonly path?: never
      }
  )

/** What is known of an item beside its value. */
export interface KvarkMeta extends StorageMeta {
  /** Bytes of the value. */
  readonly size: number
  /** Number of the write that made it. */
  readonly version: number
  /** Seconds left, and when it ends; absent: it does not. */
  readonly ttl?: number
  readonly expiresAt?: Date
}

interface WriteOptions {
  readonly ttl?: number
}

/** Keys removed in one batch, where a store has no ranges. */
const BATCH = 1000

/**
 * A driver for `createStorage`.
 *
 * @example
 * const storage = createStorage({ driver: kvarkDriver({ path: './data' }) })
 * await storage.setItem('user:1', { name: 'Alice' }, { ttl: 60 })
 */
export default function kvarkDriver(
  options: KvarkDriverOptions,
): Driver<KvarkDriverOptions, Promise<BytesStore>> {
  const { path, store: given, ttl: defaultTtl, ...rest } = checked(options)
  let opened: Promise<BytesStore> | undefined
  /** Settles when the store that was closed last can be opened again. */
  let closed: Promise<void> = Promise.resolve()
  const openWhenClosed = async (): Promise<BytesStore> => {
    await closed
    const codecs = { keys: 'utf8', values: 'bytes' } as const
    return await open(path!, { ...rest, ...codecs })
  }
  const store = (): Promise<BytesStore> => {
    if (given !== undefined) return Promise.resolve(given)
    if (opened !== undefined) return opened
    const opening = openWhenClosed().catch((error: unknown) => {
      // The cause may be gone at the next use.
      if (opened === opening) opened = undefined
      throw error
    })
    opened = opening
    return opening
  }
  const watches = new Set<Watch<string, Uint8Array>>()
  const put = async (key: string, value: unknown, write?: WriteOptions): Promise<void> => {
    await (await store()).put(key, bytesOf(value), endOf(write?.ttl ?? defaultTtl))
  }
  return {
    name: 'kvark',
    options,
    flags: { ttl: true },
    getInstance: store,
    async hasItem(key) {
      return await (await store()).has(key)
    },
    async getItem(key) {
      return textOf(await (await store()).get(key))
    },
    async getItems(items) {
      const values = await (await store()).getMany(items.map(({ key }) => key))
      return items.map(({ key }, i) => ({ key, value: textOf(values[i]) }))
    },
    async getItemRaw(key) {
      const bytes = await (await store()).get(key)
      return bytes === undefined ? null : bufferOf(bytes)
    },
    async setItem(key, value, write) {
      await put(key, value, write)
    },
    async setItems(items, common) {
      const db = await store()
      const puts = items.map(({ key, value, options: own }) => ({
        key,
        value: bytesOf(value),
        end: endOf(own?.['ttl'] ?? common?.['ttl'] ?? defaultTtl),
      }))
      if (isAtomic(db)) {
        await db.batch(puts.map(({ key, value, end }) => ({ type: 'put', key, value, ...end })))
      } else await Promise.all(puts.map(({ key, value, end }) => db.put(key, value, end)))
    },
    async setItemRaw(key, value, write) {
      await put(key, value, write)
    },
    async removeItem(key) {
      await (await store()).delete(key)
    },
    async getMeta(key): Promise<KvarkMeta | null> {
      const entry = await (await store()).getEntry(key)
      if (entry === undefined) return null
      const { value, version, expiresAt } = entry
      if (expiresAt === undefined) return { size: value.length, version }
      const ttl = Math.max(0, (expiresAt - Date.now()) / 1000)
      return { size: value.length, version, ttl, expiresAt: new Date(expiresAt) }
    },
    async getKeys(base) {
      const keys: string[] = []
      for await (const key of keysBelow(await store(), base)) keys.push(key)
      return keys
    },
    async clear(base) {
      const db = await store()
      if (watches.size > 0) await clearEach(db, base)
      else if (!base) await db.clear()
      else if (isOrdered(db)) await db.clear({ prefix: base })
      else await clearEach(db, base)
    },
    async watch(callback) {
      if (typeof callback !== 'function') throw wrong('watch takes a function to call.')
      // What cannot be watched says so.
      const db = (await store()) as OrderedStore<string, Uint8Array>
      const watch = db.watch()
      watches.add(watch)
      const following = follow(db, watch, callback).finally(() => watches.delete(watch))
      return async () => {
        watch.close()
        await following
      }
    },
    async dispose() {
      for (const watch of watches) watch.close()
      const closing = opened
      opened = undefined
      // A store that was opened here has its lifetime.
      const done = closing?.then((one) => (one as BytesStore & { close(): Promise<void> }).close())
      if (done !== undefined) closed = done.catch(() => {})
      await (done ?? closed)
    },
  }
}

function checked(options: unknown): KvarkDriverOptions {
  const { path, store } = Object(options) as Partial<Record<'path' | 'store', unknown>>
  const isStore = typeof (store as Partial<BytesStore> | null | undefined)?.put === 'function'
  if (store === undefined ? typeof path === 'string' : isStore) return options as KvarkDriverOptions
  throw wrong(
    "The driver takes { path }, a folder, or { store }, a store of kvark with the values 'bytes'.",
  )
}

function wrong(message: string): KvarkError {
  return new KvarkError('INVALID_ARGUMENT', message)
}

/** Calls back for each item that has changed; where it is not known which have, for all that are there. */
async function follow(
  store: OrderedStore<string, Uint8Array>,
  watch: Watch<string, Uint8Array>,
  callback: WatchCallback,
): Promise<void> {
  const tell: WatchCallback = (event, key) => {
    try {
      callback(event, key)
    } catch (error) {
      // As of any listener: the process hears of it, and the watch goes on.
      queueMicrotask(() => {
        throw error
      })
    }
  }
  for await (const change of watch) {
    if (change.type === 'put' || change.type === 'putStream') tell('update', change.key)
    else if (change.type === 'delete') tell('remove', change.key)
    else if (change.type === 'load') {
      const range = { gte: change.firstKey, lte: change.lastKey }
      for (const key of await keysOf(store, range)) tell('update', key)
    } else if (change.type === 'gap') {
      for (const key of await keysOf(store, {})) tell('update', key)
    }
  }
}

/** None of a store that is closed meanwhile: then the watch ends, too. */
async function keysOf(
  store: OrderedStore<string, Uint8Array>,
  range: KeyRange<string>,
): Promise<string[]> {
  try {
    return await store.keys(range).nextMany(Number.MAX_SAFE_INTEGER)
  } catch (error) {
    if (error instanceof KvarkError && error.code === 'CLOSED') return []
    throw error
  }
}

async function* keysBelow(store: BytesStore, base: string): AsyncGenerator<string, void> {
  const keys = base && isOrdered(store) ? store.keys({ prefix: base }) : store.keys()
  for await (const key of keys) if (!base || key.startsWith(base)) yield key
}

async function clearEach(store: BytesStore, base: string): Promise<void> {
  let keys: string[] = []
  const flush = async (): Promise<void> => {
    if (isAtomic(store)) await store.batch(keys.map((key) => ({ type: 'delete' as const, key })))
    else await Promise.all(keys.map((key) => store.delete(key)))
    keys = []
  }
  for await (const key of keysBelow(store, base)) {
    keys.push(key)
    if (keys.length === BATCH) await flush()
  }
  await flush()
}

/** Seconds, as unstorage counts. What has no time to live is over, and what has no end stays, whatever the driver's own `ttl` is. */
function endOf(ttl: unknown): { ttl?: number; expiresAt?: number } {
  if (ttl === undefined || ttl === null || ttl === Number.POSITIVE_INFINITY) return {}
  if (typeof ttl === 'number' && ttl <= 0) return { expiresAt: 1 }
  return { ttl: (ttl as number) * 1000 }
}

function bytesOf(value: unknown): Uint8Array {
  if (typeof value === 'string') return Buffer.from(value)
  if (value instanceof ArrayBuffer) return new Uint8Array(value)
  // kvark refuses what is none, by name.
  return value as Uint8Array
}

function textOf(bytes: Uint8Array | undefined): string | null {
  return bytes === undefined ? null : bufferOf(bytes).toString()
}

/** Where types are not checked, a store may have values of another kind. */
function bufferOf(bytes: unknown): Buffer {
  if (bytes instanceof Uint8Array) {
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  }
  throw wrong("The values of the driver's store are no bytes. Open it with { values: 'bytes' }.")
}

function isOrdered(store: BytesStore): store is OrderedStore<string, Uint8Array> {
  return store.supports.order
}

/** Ordered or not, what has batches has them like this. */
function isAtomic(store: BytesStore): store is OrderedStore<string, Uint8Array> {
  return store.supports.atomicBatch
}
