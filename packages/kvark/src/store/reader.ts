/**
 * The verbs that read, from the store now or from a snapshot.
 *
 *   getSync ─┐                         ┌─ FOUND, MISSING ──► answer: no promise, nothing allocated before the value
 *            ├─ encode key ─► engine.find
 *   get ─────┘                         └─ BLOCKED, SPREAD ──► `lookup`, at once or awaited
 *
 * 1. A synchronous read first carries out the writes that wait; a promised one waits for them.
 * 2. A read that waits has its own key and `Found`: what calls share never crosses an `await`.
 */

import { BLOCKED, type EngineSnapshot, FOUND, MISSING } from '../engine/engine.ts'
import { type Routine, runSync } from '../environment/routine.ts'
import { Slice } from '../environment/slice.ts'
import { invalid, rejected, show, unsupported } from './arguments.ts'
import type { Entry, OrderedCursor, RangeOptions } from './call-types.ts'
import type { Core } from './core.ts'
import { StoreCursor } from './cursor.ts'
import type { Life } from './life.ts'
import { type Asked, lookup, lookupMany } from './lookup.ts'
import { type Projection, toEntry, toKey, toPair, toPresence, toValue } from './project.ts'
import { planScan, type Scan } from './range.ts'
import type { OrderedReader } from './types.ts'
import { streamValue } from './value-stream.ts'
import type { View } from './view.ts'
import { countEntries, startWalk } from './walk.ts'

export class StoreReader<K, V> implements OrderedReader<K, V> {
  protected readonly life: Life
  readonly #core: Core<K, V>
  protected readonly view: View | undefined
  protected readonly at: EngineSnapshot | undefined

  constructor(core: Core<K, V>, view: View | undefined) {
    this.life = core.life
    this.#core = core
    this.view = view
    this.at = view?.at
  }

  /** What reading takes, now. */
  protected get core(): Core<K, V> {
    return this.#core
  }

  get(key: K): Promise<V | undefined> {
    return this.#find(key, toValue)
  }

  getSync(key: K): V | undefined {
    return this.#findSync(key, toValue)
  }

  getEntry(key: K): Promise<Entry<V> | undefined> {
    return this.#find(key, toEntry)
  }

  getEntrySync(key: K): Entry<V> | undefined {
    return this.#findSync(key, toEntry)
  }

  async has(key: K): Promise<boolean> {
    return (await this.#find(key, toPresence)) ?? false
  }

  hasSync(key: K): boolean {
    return this.#findSync(key, toPresence) ?? false
  }

  getStream(key: K): Promise<ReadableStream<Uint8Array> | undefined> {
    return this.promise(() => {
      const { core } = this
      const internal = copyKey(core, this.encodeKey(core, key))
      return core.life.run(() => streamValue(core, internal, this.view))
    })
  }

  viewSync<T>(key: K, use: (bytes: Uint8Array) => T): T | undefined {
    if (typeof use !== 'function') throw invalid(`viewSync needs a function, not ${show(use)}.`)
    return this.#findSync(key, (_core, { bytes, start, end }) =>
      use(new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start)),
    )
  }

  getManySync(keys: readonly K[]): (V | undefined)[] {
    this.checkUsable()
    // Where there are no keys, nobody else asks for the table, which may have been dropped.
    void this.core
    // Unlike `map` it does not pass over holes, which are no keys.
    return Array.from(checkKeys(keys), (key) => this.getSync(key))
  }

  getMany(keys: readonly K[]): Promise<(V | undefined)[]> {
    return this.promise(() => {
      const { core } = this
      checkKeys(keys)
      const values: (V | undefined)[] = []
      const rest: Asked[] = []
      // As long as nothing has to be waited for, all is read in one go. A codec of the user's may write meanwhile.
      let now = !core.life.unsettled && !core.copies
      const slice = new Slice(core.environment)
      for (let place = 0; place < keys.length; place++) {
        const length = core.encodeKey(keys[place]!)
        now &&= !slice.over()
        const status = now ? core.engine.find(core.key.bytes, length, this.at, core.found) : BLOCKED
        values.push(status === FOUND ? toValue(core, core.found) : undefined)
        if (status !== FOUND && status !== MISSING) rest.push({ place, key: copyKey(core, length) })
      }
      if (rest.length === 0) return Promise.resolve(values)
      return core.life.run(() => lookupMany(core, rest, values, this.view))
    })
  }

  entries(options?: RangeOptions<K>): OrderedCursor<K, [K, V]> {
    return this.#cursor(options, toPair)
  }

  keys(options?: RangeOptions<K>): OrderedCursor<K, K> {
    return this.#cursor(options, toKey)
  }

  values(options?: RangeOptions<K>): OrderedCursor<K, V> {
    return this.#cursor(options, toValue)
  }

  count(options?: RangeOptions<K>): Promise<number> {
    return this.promise(() => {
      const { core } = this
      const scan = planScan(core, options)
      return core.life.run(() => countEntries(core, scan, this.view))
    })
  }

  countSync(options?: RangeOptions<K>): number {
    this.checkUsable()
    const { core } = this
    return runSync(countEntries(core, planScan(core, options), this.view))
  }

  first(options?: RangeOptions<K>): Promise<[K, V] | undefined> {
    return this.promise(() => {
      const { core } = this
      const scan = this.#edge(core, options, 'first')
      return core.life.run(() => this.#take(core, scan))
    })
  }

  firstSync(options?: RangeOptions<K>): [K, V] | undefined {
    this.checkUsable()
    const { core } = this
    return runSync(this.#take(core, this.#edge(core, options, 'first')))
  }

  last(options?: RangeOptions<K>): Promise<[K, V] | undefined> {
    return this.promise(() => {
      const { core } = this
      const scan = this.#edge(core, options, 'last')
      return core.life.run(() => this.#take(core, scan))
    })
  }

  lastSync(options?: RangeOptions<K>): [K, V] | undefined {
    this.checkUsable()
    const { core } = this
    return runSync(this.#take(core, this.#edge(core, options, 'last')))
  }

  /** `CLOSED` when the store, or this view of it, is closed. */
  protected checkUsable(): void {
    this.life.checkOpen()
  }

  /** The promise of `act`; what it throws is a rejection. */
  protected promise<R>(act: () => Promise<R>): Promise<R> {
    try {
      this.checkUsable()
      return act()
    } catch (error) {
      return rejected(error)
    }
  }

  #findSync<R>(key: K, project: Projection<K, V, R>): R | undefined {
    const { core } = this
    const { life, found } = core
    if (life.unsettled) life.settle()
    const length = this.encodeKey(core, key)
    // A codec of the user's may have written.
    if (core.copies && life.unsettled) life.settle()
    const status = core.engine.find(core.key.bytes, length, this.at, found)
    if (status === FOUND) return project(core, found)
    if (status === MISSING) return undefined
    return runSync(lookup(core, copyKey(core, length), this.view, project))
  }

  #find<R>(key: K, project: Projection<K, V, R>): Promise<R | undefined> {
    try {
      const { core } = this
      const { life, found } = core
      if (life.unsettled) life.checkOpen()
      const length = this.encodeKey(core, key)
      if (!life.unsettled) {
        const status = core.engine.find(core.key.bytes, length, this.at, found)
        if (status === FOUND) return Promise.resolve(project(core, found))
        if (status === MISSING) return Promise.resolve(undefined)
      }
      life.checkOpen()
      const internal = copyKey(core, length)
      return life.run(() => lookup(core, internal, this.view, project))
    } catch (error) {
      return rejected(error)
    }
  }

  /** Of a store that is open. */
  protected encodeKey(core: Core<K, V>, key: K): number {
    return core.buildKey(key)
  }

  #cursor<T>(
    options: RangeOptions<K> | undefined,
    project: Projection<K, V, T>,
  ): StoreCursor<K, V, T> {
    this.checkUsable()
    const { core } = this
    const scan = planScan(core, options)
    if (core.life.unsettled) core.life.settle()
    return new StoreCursor(core, scan, startWalk(core, scan, this.view), project)
  }

  /** The scan whose first entry is the first, or last, of the range. */
  #edge(core: Core<K, V>, options: RangeOptions<K> | undefined, verb: 'first' | 'last'): Scan {
    const { engine, modules } = core
    if (!engine.supports.order) throw unsupported(engine.name, `'${verb}'`, 'order', modules)
    const scan = planScan(core, options)
    return { ...scan, reverse: scan.reverse !== (verb === 'last') }
  }

  *#take(core: Core<K, V>, scan: Scan): Routine<[K, V] | undefined> {
    yield* core.queue.passed
    const cursor = new StoreCursor(core, scan, startWalk(core, scan, this.view), toPair)
    try {
      return (yield* cursor.advance()).value
    } finally {
      cursor.close()
    }
  }
}

function copyKey<K, V>(core: Core<K, V>, length: number): Buffer {
  return Buffer.from(core.key.bytes.subarray(0, length))
}

function checkKeys<K>(keys: readonly K[]): readonly K[] {
  if (!Array.isArray(keys)) throw invalid(`The keys must be an array, not ${show(keys)}.`)
  return keys
}
