/**
 * A table as a transaction sees and changes it.
 *
 *   get ─► pending? ─┬─ yes ─► that
 *                    └─ no ─► noted as read ─► the newest state, or the view ─┬─ FOUND, MISSING
 *                                                                             └─ BLOCKED: at the view, at once or awaited
 *   put ─► encode and check ─► pending                                        nobody else sees it
 *
 * 1. Promised verbs do what they can at once: operations of one transaction that run side by side come one after the other, each
 *    as a whole.
 */

import { FOUND, MISSING, SPREAD, type Status } from '../engine/engine.ts'
import type { Found } from '../engine/found.ts'
import { PUT, UNCONDITIONAL } from '../engine/write-batch.ts'
import { type Routine, runSync } from '../environment/routine.ts'
import { checkNames, checkObject, invalid, rejected, show, unsupported } from './arguments.ts'
import type {
  Condition,
  Entry,
  Expiry,
  KeyRange,
  OrderedCursor,
  RangeOptions,
} from './call-types.ts'
import type { Core } from './core.ts'
import { StoreCursor } from './cursor.ts'
import { checkExpiry, expiryOf } from './expiry.ts'
import { hashOf } from './key-table.ts'
import { locate, lookup, lookupMany } from './lookup.ts'
import { mergedCursor, showPending } from './merged-cursor.ts'
import { REMOVED } from './pending-writes.ts'
import {
  gather,
  type Projection,
  toEntry,
  toKey,
  toPair,
  toPresence,
  toValue,
  toVersion,
} from './project.ts'
import { planClear, planScan, type Scan } from './range.ts'
import { SchemaCodec } from './schema.ts'
import type { TransactionState } from './transaction-state.ts'
import type { OrderedTransactionTable } from './types.ts'
import { type Cell, getOrPut, increment, update } from './update.ts'
import { streamValue } from './value-stream.ts'
import { Walk } from './walk.ts'
import { conditionFailed } from './write-queue.ts'
import { addClear, addDelete, addPut, checkWholeLength, expectedVersion } from './writes.ts'

const CONDITIONS: readonly string[] = ['ifVersion', 'ifAbsent']
const EXPIRY: readonly string[] = ['ttl', 'expiresAt']
const PUT_NAMES: readonly string[] = [...CONDITIONS, ...EXPIRY]

export class TransactionTable<K, V> implements OrderedTransactionTable<K, V> {
  protected readonly state: TransactionState
  readonly #core: Core<K, V>
  /** Of a table that is not there, as the transaction makes it. */
  #ofMade: Core<K, V> | undefined

  constructor(state: TransactionState, core: Core<K, V>) {
    this.state = state
    this.#core = core
  }

  get(key: K): Promise<V | undefined> {
    return this.#find(key, toValue)
  }

  getSync(key: K): V | undefined {
    return this.#findSync(key, toValue)
  }

  getEntry(key: K): Promise<Entry<V> | undefined> {
    return this.#find<Entry<V>>(key, toEntry)
  }

  getEntrySync(key: K): Entry<V> | undefined {
    return this.#findSync<Entry<V>>(key, toEntry)
  }

  async has(key: K): Promise<boolean> {
    return (await this.#find(key, toPresence)) ?? false
  }

  hasSync(key: K): boolean {
    return this.#findSync(key, toPresence) ?? false
  }

  viewSync<T>(key: K, use: (bytes: Uint8Array) => T): T | undefined {
    if (typeof use !== 'function') throw invalid(`viewSync needs a function, not ${show(use)}.`)
    return this.#findSync(key, (_core, { bytes, start, end }) =>
      use(new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start)),
    )
  }

  getManySync(keys: readonly K[]): (V | undefined)[] {
    this.state.check()
    return Array.from(checkKeys(keys), (key) => this.getSync(key))
  }

  getMany(keys: readonly K[]): Promise<(V | undefined)[]> {
    return this.#promise(() => {
      this.state.check()
      const core = this.#now
      const values: (V | undefined)[] = []
      const rest: { place: number; key: Buffer }[] = []
      for (const [place, key] of checkKeys(keys).entries()) {
        const step = this.#quick(key, toValue)
        values.push(isAway(step) ? undefined : step)
        if (isAway(step)) rest.push({ place, key: copyKey(core, this.#encode(core, key)) })
      }
      if (rest.length === 0) return Promise.resolve(values)
      return core.life.run(() => lookupMany(core, rest, values, this.state.view))
    })
  }

  getStream(key: K): Promise<ReadableStream<Uint8Array> | undefined> {
    return this.#promise(async () => {
      this.state.check()
      const core = this.#now
      const length = this.#encode(core, key)
      const own = this.#own(core, length)
      if (own === REMOVED) return undefined
      if (own !== undefined) return streamOf(own.copyValue())
      const internal = copyKey(core, length)
      this.state.reads.keys.add(internal, 0, length, hashOf(internal, 0, length))
      return await core.life.run(() => streamValue(core, internal, this.state.view))
    })
  }

  entries(options?: RangeOptions<K>): OrderedCursor<K, [K, V]> {
    return this.#cursor(this.#scan(options), toPair)
  }

  keys(options?: RangeOptions<K>): OrderedCursor<K, K> {
    return this.#cursor(this.#scan(options), toKey)
  }

  values(options?: RangeOptions<K>): OrderedCursor<K, V> {
    return this.#cursor(this.#scan(options), toValue)
  }

  count(options?: RangeOptions<K>): Promise<number> {
    return this.#run(() => this.#counting(this.#scan(options)))
  }

  countSync(options?: RangeOptions<K>): number {
    return runSync(this.#counting(this.#scan(options)))
  }

  first(options?: RangeOptions<K>): Promise<[K, V] | undefined> {
    return this.#run(() => this.#taking(this.#edge(options, 'first')))
  }

  firstSync(options?: RangeOptions<K>): [K, V] | undefined {
    return runSync(this.#taking(this.#edge(options, 'first')))
  }

  last(options?: RangeOptions<K>): Promise<[K, V] | undefined> {
    return this.#run(() => this.#taking(this.#edge(options, 'last')))
  }

  lastSync(options?: RangeOptions<K>): [K, V] | undefined {
    return runSync(this.#taking(this.#edge(options, 'last')))
  }

  put(key: K, value: V, options?: Condition & Expiry): Promise<void> {
    const { values } = this.#core
    try {
      if (values instanceof SchemaCodec) {
        const checked = values.check(value) as V | Promise<V>
        if (checked instanceof Promise)
          return this.#core.life
            .whileOpen(checked)
            .then((one) => this.#putChecked(key, one, options))
        return this.#putChecked(key, checked, options)
      }
      return this.#putChecked(key, value, options)
    } catch (error) {
      return rejected(error)
    }
  }

  putSync(key: K, value: V, options?: Condition & Expiry): void {
    if (options === undefined) this.#put(key, value, this.#expiry(undefined))
    else runSync(this.#putting(key, value, options))
  }

  set(key: K, value: V, options?: Condition & Expiry): Promise<void> {
    return this.put(key, value, options)
  }

  setSync(key: K, value: V, options?: Condition & Expiry): void {
    this.putSync(key, value, options)
  }

  touch(key: K, options?: Expiry): Promise<boolean> {
    return this.#run(() => this.#touching(key, options))
  }

  touchSync(key: K, options?: Expiry): boolean {
    return runSync(this.#touching(key, options))
  }

  delete(key: K, options?: Condition): Promise<void> {
    return this.#run(() => this.#deleting(key, options))
  }

  deleteSync(key: K, options?: Condition): void {
    runSync(this.#deleting(key, options))
  }

  del(key: K, options?: Condition): Promise<void> {
    return this.delete(key, options)
  }

  delSync(key: K, options?: Condition): void {
    this.deleteSync(key, options)
  }

  clear(options?: KeyRange<K>): Promise<void> {
    return this.#promise(async () => this.clearSync(options))
  }

  clearSync(options?: KeyRange<K>): void {
    this.state.check()
    const core = this.#now
    const bounds = planClear(core, options)
    if (options !== undefined && 'durability' in options) throw ownDurability()
    if (core.unmade !== undefined) return
    this.state.write((batch) => addClear(batch, bounds), bounds)
  }

  update(
    key: K,
    change: (value: V | undefined) => V | undefined,
    options?: Expiry,
  ): Promise<V | undefined> {
    return this.#run(() => update(this.#cell(key, options), change, options))
  }

  updateSync(
    key: K,
    change: (value: V | undefined) => V | undefined,
    options?: Expiry,
  ): V | undefined {
    return runSync(update(this.#cell(key, options), change, options))
  }

  increment(key: K, by?: number, options?: Expiry): Promise<number> {
    return this.#run(() => increment(this.#cell(key, options), by, options))
  }

  incrementSync(key: K, by?: number, options?: Expiry): number {
    return runSync(increment(this.#cell(key, options), by, options))
  }

  getOrPut(key: K, value: V | (() => V | Promise<V>), options?: Expiry): Promise<V> {
    return this.#run(() => getOrPut(this.#cell(key, options), value, options))
  }

  getOrPutSync(key: K, value: V | (() => V), options?: Expiry): V {
    return runSync(getOrPut(this.#cell(key, options), value, options))
  }

  /** What reading takes: a table that the transaction makes is there from then on, as long as that is not taken back. */
  get #now(): Core<K, V> {
    const core = this.#core
    if (core.unmade === undefined) return core
    const space = this.state.madeSpace(core.unmade)
    if (space === undefined) return core
    if (this.#ofMade?.space !== space) this.#ofMade = this.state.make(core)
    return this.#ofMade
  }

  /** Where puts go. */
  get #made(): Core<K, V> {
    const core = this.#now
    return core.unmade === undefined ? core : this.state.make(core)
  }

  #findSync<R>(key: K, project: Projection<K, V, R>): R | undefined {
    const step = this.#quick(key, project)
    return isAway(step) ? runSync(this.#look(key, project)) : step
  }

  #find<R>(key: K, project: Projection<K, V, R>): Promise<R | undefined> {
    try {
      const step = this.#quick(key, project)
      if (!isAway(step)) return Promise.resolve(step)
      return this.#core.life.run(() => this.#look(key, project))
    } catch (error) {
      return rejected(error)
    }
  }

  /** What there is in memory; `AWAY`: the disk has to be read, or a view to be taken. */
  #quick<R>(key: K, project: Projection<K, V, R>): R | undefined | typeof AWAY {
    const { state } = this
    state.check()
    const core = this.#now
    const length = this.#encode(core, key)
    const { bytes } = core.key
    const hash = hashOf(bytes, 0, length)
    const own = state.find(bytes, length, hash)
    const { found } = core
    if (own >= 0) {
      showPending(found, state.pending.batch, own)
      return project(core, found)
    }
    if (own === REMOVED) return undefined
    state.reads.keys.add(bytes, 0, length, hash)
    const { at } = state
    const status = core.engine.find(bytes, length, at, found)
    if (status === MISSING) return undefined
    // An entry that can end needs a clock that stands.
    if (status !== FOUND || (at === undefined && found.expiry !== 0)) return AWAY
    return project(core, found)
  }

  /** The same, whatever it takes. */
  *#look<R>(key: K, project: Projection<K, V, R>): Routine<R | undefined> {
    const step = this.#quick(key, project)
    if (!isAway(step)) return step
    const core = this.#now
    const internal = copyKey(core, this.#encode(core, key))
    const result = yield* lookup(core, internal, this.state.view, project)
    this.state.check()
    // Meanwhile the transaction may have written the key.
    const own = this.#own(core, internal.length, internal)
    if (own === undefined) return result
    return own === REMOVED ? undefined : project(core, own)
  }

  #encode(core: Core<K, V>, key: K): number {
    const length = core.buildKey(key)
    // A codec of the user's may have ended the transaction.
    if (core.copies) this.state.check()
    return length
  }

  /** What is pending of a key: shown, `REMOVED`, or `undefined`. */
  #own(
    core: Core<K, V>,
    length: number,
    bytes = core.key.bytes,
  ): Found | typeof REMOVED | undefined {
    const own = this.state.find(bytes, length, hashOf(bytes, 0, length))
    if (own === REMOVED) return REMOVED
    if (own < 0) return undefined
    showPending(core.found, this.state.pending.batch, own)
    return core.found
  }

  #putChecked(key: K, value: V, options: (Condition & Expiry) | undefined): Promise<void> {
    if (options !== undefined) return this.#run(() => this.#putting(key, value, options))
    this.#put(key, value, this.#expiry(undefined))
    return DONE
  }

  #put(key: K, value: V, expiry: number): void {
    const { state } = this
    state.check()
    state.write((batch) => addPut(this.#made, batch, key, value, UNCONDITIONAL, expiry))
  }

  *#putting(key: K, value: V, options: Condition & Expiry): Routine<void> {
    this.state.check()
    checkOptions(options, PUT_NAMES)
    const held = this.#now.heldKey(key)
    yield* this.#judge(held, options)
    this.#put(held, value, this.#expiry(options))
  }

  *#deleting(key: K, options: Condition | undefined): Routine<void> {
    const { state } = this
    state.check()
    let held = key
    if (options !== undefined) {
      checkOptions(options, CONDITIONS)
      held = this.#now.heldKey(key)
      yield* this.#judge(held, options)
    }
    const core = this.#now
    state.write((batch) => addDelete(core, batch, held, UNCONDITIONAL))
  }

  /** `CONFLICT` unless the condition holds. The key is not read again: what follows comes in the same step. */
  *#judge(key: K, options: Condition): Routine<void> {
    const expected = expectedVersion(options)
    if (expected === UNCONDITIONAL) return
    const version = (yield* this.#look(key, toVersion)) ?? 0
    if (version !== expected) throw conditionFailed('The key', expected, version)
  }

  *#touching(key: K, options: Expiry | undefined): Routine<boolean> {
    const { state } = this
    state.check()
    if (options !== undefined) checkOptions(options, EXPIRY)
    const expiry = this.#expiry(options)
    const core = this.#now
    const internal = copyKey(core, this.#encode(core, key))
    const hash = hashOf(internal, 0, internal.length)
    const copy = (found: Found): boolean => {
      const value = Buffer.from(found.bytes.subarray(found.start, found.end))
      const { ascii } = found
      state.write((batch) => {
        const i = batch.add(PUT, UNCONDITIONAL, expiry)
        const at = batch.reserve(internal.length)
        batch.bytes.set(internal, at)
        batch.keyWritten(i, internal.length)
        batch.setValue(i, value)
        batch.ascii[i] = ascii ? 1 : 0
      })
      return true
    }
    let own = this.#own(core, internal.length, internal)
    if (own === undefined) {
      state.reads.keys.add(internal, 0, internal.length, hash)
      const view = state.view.hold()
      try {
        const touched = yield* locate(core, internal, view.at, (found, status) =>
          whole(core, found, status),
        )
        state.check()
        own = this.#own(core, internal.length, internal) ?? touched
      } finally {
        view.release()
      }
    }
    return own === undefined || own === REMOVED ? false : copy(own)
  }

  /** When an entry is to end. The transaction's clock stands from then on. */
  #expiry(options: Expiry | undefined): number {
    const expiry = expiryOf(this.#core, options)
    if (expiry !== 0) void this.state.view
    return expiry
  }

  #cell(given: K, options: Expiry | undefined): Cell<V> {
    this.state.check()
    if (options !== undefined) checkOptions(options, EXPIRY)
    checkExpiry(options)
    const key = this.#now.heldKey(given)
    let own = 0
    return {
      values: this.#core.values,
      wait: (promised) => this.#core.life.whileOpen(promised),
      read: () => {
        own = this.#pendingOf(key)
        return this.#look<Entry<V>>(key, toEntry)
      },
      write: (value, _, expiry) => this.#replace(key, value, own, expiry),
    }
  }

  /** Which operation of the transaction says what is under the key; below 0: none. */
  #pendingOf(key: K): number {
    this.state.check()
    const core = this.#now
    const length = this.#encode(core, key)
    return this.state.find(core.key.bytes, length, hashOf(core.key.bytes, 0, length))
  }

  *#replace(key: K, value: V | undefined, own: number, expiry: Expiry): Routine<boolean> {
    // What was awaited since the reading may have written it.
    if (this.#pendingOf(key) !== own) return false
    if (value === undefined) yield* this.#deleting(key, undefined)
    else this.#put(key, value, this.#expiry(expiry))
    return true
  }

  #scan(options: RangeOptions<K> | undefined): Scan {
    this.state.check()
    if (options?.token !== undefined) {
      throw invalid(
        'A walk of a transaction ends with it and has no token. Begin behind a key that you have seen, or walk the store.',
      )
    }
    return planScan(this.#now, options)
  }

  /** The scan whose first entry is the first, or last, of the range. */
  #edge(options: RangeOptions<K> | undefined, verb: 'first' | 'last'): Scan {
    const { engine, modules } = this.#core
    if (!engine.supports.order) throw unsupported(engine.name, `'${verb}'`, 'order', modules)
    const scan = this.#scan(options)
    return { ...scan, reverse: scan.reverse !== (verb === 'last') }
  }

  #cursor<T>(scan: Scan, project: Projection<K, V, T>): StoreCursor<K, V, T> {
    const core = this.#now
    return new StoreCursor(core, scan, this.#walk(core, scan), project)
  }

  #walk(core: Core<K, V>, { from, to, reverse }: Scan): Walk {
    const { state } = this
    const view = state.view.hold()
    try {
      const request = { at: view.at, from, to, reverse, token: undefined }
      const cursor = mergedCursor({
        from,
        to,
        reverse,
        ordered: core.engine.supports.order,
        theirs: core.engine.cursor(request),
        pending: state.pending,
        reads: state.reads,
        clock: view.at.clock,
        ended: () => state.endWalk(cursor),
      })
      const walk = new Walk(cursor, view)
      state.addWalk(cursor, walk)
      return walk
    } catch (error) {
      view.release()
      throw error
    }
  }

  *#counting(scan: Scan): Routine<number> {
    const core = this.#now
    const { state } = this
    const { engine } = core
    const { from, to, reverse, limit, signal } = scan
    if (engine.count !== undefined && !state.pending.touches(scan)) {
      signal?.throwIfAborted()
      state.reads.addRange(from, to)
      const view = state.view.hold()
      try {
        return Math.min(
          limit,
          yield* engine.count({ at: view.at, from, to, reverse, token: undefined }),
        )
      } finally {
        view.release()
      }
    }
    const cursor = this.#cursor(scan, toPresence)
    let count = 0
    try {
      while (!(yield* cursor.advance()).done) count++
      return count
    } finally {
      cursor.close()
    }
  }

  *#taking(scan: Scan): Routine<[K, V] | undefined> {
    const cursor = this.#cursor<[K, V]>(scan, toPair)
    try {
      return (yield* cursor.advance()).value
    } finally {
      cursor.close()
    }
  }

  #promise<R>(act: () => Promise<R>): Promise<R> {
    try {
      return act()
    } catch (error) {
      return rejected(error)
    }
  }

  /** `start` throws where it can do nothing; that is a rejection. */
  #run<R>(start: () => Routine<R>): Promise<R> {
    return this.#promise(() => {
      this.state.check()
      return this.#core.life.run(start)
    })
  }
}

const DONE = Promise.resolve()
/** Not in memory. */
const AWAY = Symbol('away')

function isAway(step: unknown): step is typeof AWAY {
  return step === AWAY
}

/** What was found, with its value. */
function* whole<K, V>(core: Core<K, V>, found: Found, status: Status): Routine<Found> {
  checkWholeLength(core, found.end - found.start)
  if (status === SPREAD) yield* gather(core, found)
  return found
}

function copyKey<K, V>(core: Core<K, V>, length: number): Buffer {
  return Buffer.from(core.key.bytes.subarray(0, length))
}

function checkKeys<K>(keys: readonly K[]): readonly K[] {
  if (!Array.isArray(keys)) throw invalid(`The keys must be an array, not ${show(keys)}.`)
  return keys
}

function checkOptions(options: object, known: readonly string[]): void {
  checkObject(options, 'The options of a write')
  if ('durability' in options) throw ownDurability()
  checkNames(options, known, 'A write of a transaction')
}

function ownDurability(): Error {
  return invalid(
    "The writes of a transaction become durable together. Give 'durability' to transaction() itself.",
  )
}

function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      if (bytes.length > 0) controller.enqueue(bytes)
      controller.close()
    },
  })
}
