/**
 * Many entries that come in the order of their keys, written as one.
 *
 *   entries ─► encode and check ─► load of the engine ─► finish ─► batch ─► queue.write ─► durable ─► version
 *                                  kept aside, on disk
 *
 * 1. Other writes go on meanwhile: its place in their order is where the last entry had come.
 * 2. Whatever goes wrong before that leaves nothing, and the source is closed.
 * 3. The event loop is never held for long, but for a source that holds it.
 */

import type { Load } from '../engine/load.ts'
import { WriteBatch } from '../engine/write-batch.ts'
import { Effect, type Routine, runAsync, runSync } from '../environment/routine.ts'
import { Slice } from '../environment/slice.ts'
import type { KvarkError } from '../errors.ts'
import {
  checkDurability,
  checkJobOptions,
  checkNames,
  checkObject,
  invalid,
  show,
  unsupported,
} from './arguments.ts'
import type { LoadOptions } from './call-types.ts'
import type { Core } from './core.ts'
import { expiryOf } from './expiry.ts'
import { KeyBuffer } from './key-buffer.ts'
import type { Life } from './life.ts'
import { type Checked, SchemaCodec } from './schema.ts'
import { Source } from './source.ts'
import { checkWholeLength } from './writes.ts'

const LOAD_NAMES: readonly string[] = ['durability', 'ttl', 'expiresAt', 'signal', 'progress']

/** Loads what `entries` gives; the promise gives the version of all of it. */
export async function load<K, V>(
  life: Life,
  table: () => Core<K, V>,
  entries: unknown,
  options: LoadOptions | undefined,
): Promise<number> {
  life.checkOpen()
  const intake = new Intake(life, table, entries, options, false)
  try {
    await life.run(() => intake.run())
    life.checkOpen()
    life.tables.check(intake.batch)
    return await life.queue.write(intake.batch, options?.durability ?? life.durability)
  } finally {
    await runAsync(intake.end())
    await intake.source.close()
  }
}

/** The same at once. */
export function loadSync<K, V>(
  life: Life,
  table: () => Core<K, V>,
  entries: unknown,
  options: LoadOptions | undefined,
): number {
  life.settle()
  const intake = new Intake(life, table, entries, options, true)
  const durability = options?.durability ?? life.durability
  let version: number
  try {
    runSync(intake.run())
    life.checkOpen()
    life.tables.check(intake.batch)
    version = life.queue.writeSync(intake.batch, durability)
  } finally {
    runSync(intake.end())
    intake.source.closeSync()
  }
  if (durability !== 'none') life.engine.commit(durability).sync()
  return version
}

/** Takes the entries in, and makes them the batch's one operation. */
class Intake<K, V> {
  readonly batch: WriteBatch = new WriteBatch(1)
  readonly source: Source
  readonly #life: Life
  readonly #table: () => Core<K, V>
  /** The table's, as it was when the first entry came. */
  #core: Core<K, V>
  readonly #signal: AbortSignal
  readonly #progress: LoadOptions['progress']
  readonly #slice: Slice
  /** What checks the values, where it may take its time. */
  readonly #schema: SchemaCodec | undefined
  /** An entry that is being checked. */
  #pending: { readonly key: K; readonly value: Promise<Checked> } | undefined
  /** How many there are, where that can be told. */
  readonly #total: number | undefined
  /** When all of them end; 0: never. */
  readonly #expiry: number
  #load: Load | undefined
  /** The last key, and the one before it. */
  #key: KeyBuffer = new KeyBuffer()
  #before: KeyBuffer = new KeyBuffer()
  #length = 0
  #first: Buffer | undefined

  constructor(
    life: Life,
    table: () => Core<K, V>,
    entries: unknown,
    options: LoadOptions | undefined,
    atOnce: boolean,
  ) {
    const { engine, modules } = life
    if (engine.load === undefined) throw unsupported(engine.name, 'load()', 'order', modules)
    life.checkWritable()
    if (options !== undefined) {
      checkObject(options, 'The options of a load')
      checkNames(options, LOAD_NAMES, 'A load')
      checkJobOptions(options)
      if (options.durability !== undefined) checkDurability(options.durability)
    }
    this.#life = life
    this.#table = table
    this.#core = table()
    const { values } = this.#core as Core<K, unknown>
    this.#schema = !atOnce && values instanceof SchemaCodec ? values : undefined
    this.#expiry = expiryOf(this.#core, options)
    this.#signal = life.jobSignal(options?.signal)
    this.#signal.throwIfAborted()
    this.#progress = options?.progress
    this.#slice = new Slice(life.environment)
    const refuse = (): KvarkError =>
      invalid(
        `${atOnce ? 'loadSync' : 'load'} takes an iterable of [key, value], not ${show(entries)}.`,
      )
    this.source = new Source(entries, this.#signal, refuse, atOnce)
    const { length, size } = entries as { length?: unknown; size?: unknown }
    const total = length ?? size
    this.#total = typeof total === 'number' ? total : undefined
  }

  /** After an error nothing is left, as after `end`. */
  *run(): Routine<void> {
    try {
      yield* this.#takeIn()
    } catch (error) {
      yield* this.end()
      throw error
    }
  }

  /** Nothing stays behind of entries that were not written. */
  *end(): Routine<void> {
    if (this.#load !== undefined) yield* this.#load.discard()
  }

  *#takeIn(): Routine<void> {
    const { isAwaited } = this.source
    const one = new Effect(
      () => {
        throw new TypeError('A source is only awaited')
      },
      () => this.#takeOne(),
    )
    const checked = new Effect(one.sync, () => this.#takePending())
    while (isAwaited ? yield* one : this.#takeSome()) {
      if (this.#pending !== undefined) yield* checked
      const load = this.#load!
      if (load.busy) yield* load.proceed()
      else if (!isAwaited || this.#slice.over()) yield* this.#life.environment.pause
      else continue
      this.#slice.begin()
      this.#signal.throwIfAborted()
      this.#progress?.(load.entries, this.#total ?? load.entries)
    }
    const load = this.#load
    if (load === undefined) return
    if (load.busy) yield* load.proceed()
    yield* load.finish()
    const last = this.#before.bytes.subarray(0, this.#length)
    this.batch.setLoad(load, this.#first!, last)
  }

  /** Takes entries until there is something else to do; false: that was all. */
  #takeSome(): boolean {
    const { source } = this
    for (;;) {
      const { done, value } = source.nextSync()
      if (done) return false
      this.#add(value)
      if (this.#pending !== undefined || this.#load!.busy || this.#slice.over()) return true
    }
  }

  /** Waits for an entry; false: there are no more. */
  async #takeOne(): Promise<boolean> {
    const { done, value } = await this.source.next()
    if (!done) this.#add(value)
    return !done
  }

  /** Waits for what the schema says of an entry. */
  async #takePending(): Promise<void> {
    const { key, value } = this.#pending!
    this.#pending = undefined
    this.#store(key, (await this.source.interruptible(value)) as V)
  }

  #add(entry: unknown): void {
    if (!Array.isArray(entry) || entry.length !== 2) {
      throw invalid(`${this.#nth} of the load must be [key, value], not ${show(entry)}.`)
    }
    const key = entry[0] as K
    const value = this.#schema === undefined ? (entry[1] as V) : this.#schema.check(entry[1])
    if (value instanceof Promise) this.#pending = { key, value }
    else this.#store(key, value as V)
  }

  #store(key: K, value: V): void {
    if (this.#load === undefined) this.#begin()
    const core = this.#core
    const { keys, values } = core
    const target = this.#key
    const encoded =
      keys.encodeKey === undefined ? keys.encodeInto(key, target) : keys.encodeKey(key, target)
    if (encoded > core.engine.limits.keyBytes) throw core.keyTooLong(encoded)
    const length = target.used + encoded
    const common = this.#checkOrder(target.bytes, length)
    this.#first ??= Buffer.from(target.bytes.subarray(0, length))
    const load = this.#load!
    load.key(target.bytes, length, common)
    if (values.asBytes !== undefined) checkWholeLength(core, values.asBytes(value).length)
    const bytes = values.encodeInto(value, load)
    checkWholeLength(core, bytes)
    load.value(bytes, values.isAscii?.(value, bytes) ?? false)
    this.#key = this.#before
    this.#before = target
    this.#length = length
  }

  /** The first entry has come: a table that is not there is made before, since a load is the only operation of its batch. */
  #begin(): void {
    const { unmade } = this.#table()
    if (unmade !== undefined) this.#life.tables.make(unmade)
    this.#core = this.#table()
    this.#key.begin(this.#core.space)
    this.#before.begin(this.#core.space)
    if (this.#expiry !== 0) this.#life.expiry.begin()
    this.#load = this.#core.engine.load!(this.#expiry)
  }

  /** How many bytes the key has in common with the one before it, which must be smaller. */
  #checkOrder(key: Uint8Array, length: number): number {
    const before = this.#before.bytes
    const most = Math.min(length, this.#length)
    let common = 0
    while (common < most && key[common] === before[common]) common++
    const isLarger = common === this.#length ? length > common : key[common]! > before[common]!
    if (isLarger && common < length) return common
    const isSame = common === length && common === this.#length
    throw invalid(
      `${this.#nth} of the load ${isSame ? 'has the same key as' : 'belongs before'} the one before it. ` +
        'Keys must come in ascending order of their bytes, each once: sort the entries, or write them with batch().',
    )
  }

  get #nth(): string {
    return `Entry ${this.#load?.entries ?? 0}`
  }
}
