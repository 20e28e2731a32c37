/**
 * A store of kvark for Keyv 5 and 6.
 *
 *   Keyv 5   set('keyv:a', text, ttl)          the namespace is in the key already, the end is a time to live
 *   Keyv 6   set('a', text, expires)           the namespace is this adapter's to add, the end is a time
 *
 *   in kvark │ namespace │ : │ key │ ─► text   in both cases, so that a namespace is a range of keys; `:key` where there is none
 *
 * 1. Which of the two it serves it learns from being asked for its `capabilities`: Keyv 6 does that before anything else, Keyv 5 never.
 * 2. An entry ends by kvark's own expiry: it is not read, counted or walked over from then on, and its space comes back.
 * 3. The adapter closes what it has opened, and only that.
 */

import { EventEmitter } from 'node:events'
import {
  type Expiry,
  KvarkError,
  type OpenOptions,
  type OrderedStore,
  open,
  type Store,
} from 'kvark'

/** What the adapter keeps: text under text, on any engine. */
export type TextStore = Store<string, string>

/** How to open the store: the options of kvark's `open`, but for the codecs. */
export type KvarkKeyvOptions = Omit<
  OpenOptions<'btree' | 'log' | 'any', never, never>,
  'keys' | 'values'
>

/** An entry as Keyv hands it to `setMany`: version 5 with a `ttl`, version 6 with `expires`. */
export interface KeyvStoredEntry {
  readonly key: string
  readonly value: unknown
  readonly ttl?: number | undefined
  readonly expires?: number | undefined
}

/** What an adapter for Keyv has to do. */
export type KeyvMethod = (typeof METHODS)[number]

/** What Keyv 6 asks of a store before it uses it. */
export interface KeyvCapabilities {
  readonly compatible: true
  readonly store: 'keyvStorage'
  /** It takes the time at which an entry ends. */
  readonly expires: true
  readonly methods: Readonly<
    Record<KeyvMethod, { readonly exists: true; readonly methodType: 'async' }>
  >
}

const METHODS = [
  'get',
  'getMany',
  'has',
  'hasMany',
  'set',
  'setMany',
  'delete',
  'deleteMany',
  'clear',
  'disconnect',
  'iterator',
] as const

const SEPARATOR = ':'
/** The character behind `SEPARATOR`: where the keys of a namespace end. */
const BEHIND = ';'
/** Ends behind this, such as `Infinity`, mean never: kvark takes none behind the year 10889. */
const FAR_MS = 2 ** 47
/** Keys removed in one batch, where a store has no ranges. */
const BATCH = 1000

/**
 * A store for Keyv, in a folder or in a store of kvark that is open.
 *
 * @example
 * const cache = new Keyv({ store: new KvarkKeyv('./cache') })
 * await cache.set('a', 1, 60_000)
 */
export class KvarkKeyv extends EventEmitter {
  /** Set by Keyv. */
  namespace?: string | undefined
  /**
   * For Keyv 5, which has an `iterator` only for stores whose dialect it knows, or whose URL names one: of those, an embedded file with
   * ordered keys comes nearest.
   */
  readonly opts: Record<string, unknown>
  readonly #path: string | undefined
  readonly #options: KvarkKeyvOptions
  #store: Promise<TextStore> | undefined
  /** Settles when the store that was closed last can be opened again. */
  #closed: Promise<void> = Promise.resolve()
  /** Keyv 6 has asked for the capabilities. */
  #isDirect = false

  /** `store`: the path of a folder, which is opened at first use, or a store whose keys and values are strings, which stays its owner's. */
  constructor(store: string | TextStore, options: KvarkKeyvOptions = {}) {
    super()
    if (
      typeof store !== 'string' &&
      typeof (store as Partial<TextStore> | null)?.get !== 'function'
    ) {
      throw new KvarkError(
        'INVALID_ARGUMENT',
        'KvarkKeyv takes the path of a folder, or a store of kvark whose keys and values are text.',
      )
    }
    this.#path = typeof store === 'string' ? store : undefined
    this.#store = typeof store === 'string' ? undefined : Promise.resolve(store)
    this.#options = options
    this.opts = { dialect: 'sqlite', url: this.#path ?? '' }
  }

  get capabilities(): KeyvCapabilities {
    this.#isDirect = true
    const method = { exists: true, methodType: 'async' } as const
    const methods = Object.fromEntries(METHODS.map((name) => [name, method]))
    return {
      compatible: true,
      store: 'keyvStorage',
      expires: true,
      methods: methods as KeyvCapabilities['methods'],
    }
  }

  /** The text, `undefined` where there is none (any more). */
  async get<Value>(key: string): Promise<Value | undefined> {
    return await this.#read(async (store) => (await store.get(this.#key(key))) as Value | undefined)
  }

  async getMany<Value>(keys: readonly string[]): Promise<(Value | undefined)[]> {
    return await this.#read(
      async (store) =>
        (await store.getMany(keys.map((key) => this.#key(key)))) as (Value | undefined)[],
    )
  }

  async has(key: string): Promise<boolean> {
    return await this.#read((store) => store.has(this.#key(key)))
  }

  async hasMany(keys: readonly string[]): Promise<boolean[]> {
    return await this.#read((store) => Promise.all(keys.map((key) => store.has(this.#key(key)))))
  }

  /** `end`: ms to live with Keyv 5, the time with Keyv 6. Resolves when the entry has the durability of the store. */
  async set(key: string, value: unknown, end?: number): Promise<boolean> {
    const store = await this.#opened()
    const entry = this.#isDirect ? { expires: end } : { ttl: end }
    await store.put(this.#key(key), textOf(value), endOf(entry))
    return true
  }

  /**
   * All of them or, where the engine has batches and one is refused, none. Keyv 6 wants to hear of each entry; the type of a store for
   * Keyv 5 has it that nothing is said.
   */
  setMany(entries: readonly KeyvStoredEntry[]): Promise<boolean[]>
  setMany(entries: readonly KeyvStoredEntry[]): Promise<void>
  async setMany(entries: readonly KeyvStoredEntry[]): Promise<unknown> {
    const store = await this.#opened()
    const puts = entries.map((entry) => ({
      key: this.#key(entry.key),
      value: textOf(entry.value),
      end: endOf(entry),
    }))
    if (isAtomic(store)) {
      await store.batch(puts.map(({ end, ...put }) => ({ type: 'put', ...put, ...end })))
    } else await Promise.all(puts.map(({ key, value, end }) => store.put(key, value, end)))
    return entries.map(() => true)
  }

  /** Whether it was there. */
  async delete(key: string): Promise<boolean> {
    const store = await this.#opened()
    return await remove(store, this.#key(key))
  }

  /** With Keyv 6 for each key, with Keyv 5 for any of them: whether it was there. */
  deleteMany(keys: readonly string[]): Promise<boolean[]>
  deleteMany(keys: readonly string[]): Promise<boolean>
  async deleteMany(keys: readonly string[]): Promise<boolean[] | boolean> {
    const store = await this.#opened()
    const removed = await Promise.all(keys.map((key) => remove(store, this.#key(key))))
    return this.#isDirect ? removed : removed.includes(true)
  }

  /** Removes the namespace, in one write where keys have an order; without a namespace everything. */
  async clear(): Promise<void> {
    const store = await this.#opened()
    const from = this.#prefix(this.namespace)
    if (from === undefined) await store.clear()
    else if (isOrdered(store)) await store.clear({ gte: from, lt: behind(from) })
    else await clearEach(store, from)
  }

  /** Walks a fixed view of the namespace. */
  async *iterator<Value>(
    namespace: string | undefined = this.namespace,
  ): AsyncGenerator<[string, Value], void> {
    const store = await this.#opened()
    const from = this.#isDirect ? this.#key('', namespace) : this.#prefix(namespace)
    // Keyv 5 takes the namespace off by itself.
    const cut = this.#isDirect ? from!.length : 0
    const entries =
      from !== undefined && isOrdered(store)
        ? store.entries({ gte: from, lt: behind(from) })
        : store.entries()
    for await (const [key, value] of entries) {
      if (from === undefined || key.startsWith(from)) yield [key.slice(cut), value as Value]
    }
  }

  /** Closes the store, if the adapter has opened it. It is opened again when it is used again. */
  async disconnect(): Promise<void> {
    if (this.#path === undefined) return
    const closed = this.#store?.then((one) => one.close())
    this.#store = undefined
    if (closed !== undefined) this.#closed = closed.catch(() => {})
    await (closed ?? this.#closed)
  }

  #opened(): Promise<TextStore> {
    if (this.#store !== undefined) return this.#store
    const store = this.#open().catch((error: unknown) => {
      // The cause may be gone at the next use.
      if (this.#store === store) this.#store = undefined
      throw error
    })
    this.#store = store
    return store
  }

  async #open(): Promise<TextStore> {
    await this.#closed
    return await open(this.#path!, this.#options)
  }

  /** Keyv 5 takes a read that fails for a miss: whoever listens hears of it. */
  async #read<T>(act: (store: TextStore) => Promise<T>): Promise<T> {
    try {
      return await act(await this.#opened())
    } catch (error) {
      if (!this.#isDirect && this.listenerCount('error') > 0) this.emit('error', error)
      throw error
    }
  }

  #key(key: string, namespace: string | undefined = this.namespace): string {
    return this.#isDirect ? `${escaped(namespace ?? '')}${SEPARATOR}${key}` : key
  }

  /** What the keys of a namespace begin with; `undefined`: everything. */
  #prefix(namespace: string | undefined): string | undefined {
    if (!namespace) return undefined
    return `${this.#isDirect ? escaped(namespace) : namespace}${SEPARATOR}`
  }
}

/** So that no namespace is the beginning of another one with its separator. */
function escaped(namespace: string): string {
  return namespace.replaceAll('%', '%25').replaceAll(SEPARATOR, '%3A')
}

function behind(prefix: string): string {
  return prefix.slice(0, -1) + BEHIND
}

function endOf({ ttl, expires }: Pick<KeyvStoredEntry, 'ttl' | 'expires'>): Expiry {
  if ((expires ?? ttl ?? 0) > FAR_MS) return { ttl: 'never' }
  if (typeof expires === 'number') return { expiresAt: Math.max(1, Math.ceil(expires)) }
  if (typeof ttl !== 'number') return {}
  // What has no time to live is over.
  return ttl > 0 ? { ttl } : { expiresAt: 1 }
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  throw new KvarkError(
    'INVALID_VALUE',
    `@kvark/keyv stores the text that Keyv makes of values, and got ${value === null ? 'null' : `a value of type ${typeof value}`}. Leave Keyv's serialization on.`,
  )
}

/** Two who remove the same key at the same time do not both hear that it was there. */
async function remove(store: TextStore, key: string): Promise<boolean> {
  // What has to be read from the disk is read without holding the event loop.
  if (!(await store.has(key)) || !store.hasSync(key)) return false
  await store.delete(key)
  return true
}

async function clearEach(store: TextStore, prefix: string): Promise<void> {
  let keys: string[] = []
  const flush = async (): Promise<void> => {
    if (isAtomic(store)) await store.batch(keys.map((key) => ({ type: 'delete' as const, key })))
    else await Promise.all(keys.map((key) => store.delete(key)))
    keys = []
  }
  for await (const key of store.keys()) {
    if (!key.startsWith(prefix)) continue
    keys.push(key)
    if (keys.length === BATCH) await flush()
  }
  await flush()
}

function isOrdered(store: TextStore): store is OrderedStore<string, string> {
  return store.supports.order
}

/** Ordered or not, what has batches has them like this. */
function isAtomic(store: TextStore): store is OrderedStore<string, string> {
  return store.supports.atomicBatch
}
