/**
 * A queue: items go in and come out at both ends, and can be taken on trust.
 *
 *   key     │                    the ends:  │ 1 │ head f64 │ tail f64 │ items f64 │
 *           │ position + 2⁵² u64 │ an item: │ 0 │ value │
 *
 *          head                              tail
 *   ─ pop ◄─┤ item │ item │      │ item │ … ├─◄ push ─          a hole: an item that was taken, and acknowledged before those in front
 *              ▲ taken: it stays where it is, and is passed over until it is acknowledged (removed), released, or its time is over
 *
 * 1. A change is one batch: the items, and the ends that it leaves. It is refused where somebody else has changed the ends.
 * 2. No item is before the head, or from the tail on. Both are at an item where there is one.
 * 3. Who has taken what is known in memory only. A process that dies has taken nothing: the next one finds all of it.
 * 4. An item is removed only in the version in which it was taken. So who is too late removes none but his own.
 *
 * Where to look for the next item that is free (`Leases.from`) is a hint. Should it be wrong, because the store has gone back to what the disk
 * had, the others are found when nothing is left behind it.
 */

import type { Routine } from '../../environment/routine.ts'
import { checkJobOptions } from '../arguments.ts'
import type { DurabilityOptions, Entry } from '../call-types.ts'
import type { Codec, ValueCodecs } from '../codec.ts'
import { resolveValueCodec } from '../codecs.ts'
import type { InternalCodec } from '../internal-codec.ts'
import {
  type Change,
  Collection,
  type CollectionStore,
  checkItems,
  checkMs,
  checkOptions,
  decodeTagged,
  Encoded,
  encodeTagged,
  putOver,
} from './collection.ts'
import { type Lease, Leases } from './leases.ts'
import {
  decodeEnds,
  Ends,
  encodeEnds,
  endsOf,
  POSITION_BYTES,
  Row,
  readPosition,
  writePosition,
} from './row.ts'

const OPTION_NAMES: readonly string[] = ['values', 'leaseMs']
const TAKE_NAMES: readonly string[] = ['leaseMs', 'waitMs', 'signal']
const DEFAULT_LEASE_MS = 30_000

export interface QueueOptions<VC> {
  /** How items become bytes; default `utf8`. */
  readonly values?: VC
  /** How long an item that was taken stays with who has it, ms; default 30,000. */
  readonly leaseMs?: number
}

/** How to take an item. */
export interface TakeOptions {
  /** How long it stays with who has it, ms; default: that of the queue. */
  readonly leaseMs?: number
  /** How long to wait for one where there is none, ms; default 0. `Infinity`: for ever. */
  readonly waitMs?: number
  /** Ends the waiting with `signal.reason`. */
  readonly signal?: AbortSignal
}

/** An item that was taken, and is to be acknowledged. */
export interface Taken<V> {
  readonly value: V
  /**
   * It is done: removes it from the queue. The promise waits for durability; until then a crash brings the item back. False where it was
   * not there any more: its time was over, and somebody else has taken and acknowledged it.
   */
  ack(options?: DurabilityOptions): Promise<boolean>
  ackSync(options?: DurabilityOptions): boolean
  /** Gives it back: it is the next one that is taken. */
  release(): void
  /** Keeps it for so many ms more from now on (default: as when it was taken). False where its time was over already. */
  renew(leaseMs?: number): boolean
}

/**
 * Items in their order, durable. Every change is one atomic write; promises wait for durability, as those of `put` do.
 *
 * Errors are those of `put`, `get` and `delete`: `INVALID_VALUE` for what the codec does not take, `READ_ONLY`, `CLOSED`, …
 */
export interface Queue<V> {
  /** Adds an item behind all others. */
  push(value: V, options?: DurabilityOptions): Promise<void>
  pushSync(value: V, options?: DurabilityOptions): void
  /** Adds items behind all others, in their order: all of them or none. */
  pushMany(values: Iterable<V>, options?: DurabilityOptions): Promise<void>
  pushManySync(values: Iterable<V>, options?: DurabilityOptions): void
  /** Adds an item before all others. */
  pushFront(value: V, options?: DurabilityOptions): Promise<void>
  pushFrontSync(value: V, options?: DurabilityOptions): void
  /** Removes the first item that nobody has taken, and gives it; `undefined`: there is none. */
  pop(options?: DurabilityOptions): Promise<V | undefined>
  popSync(options?: DurabilityOptions): V | undefined
  /** Removes the last item that nobody has taken, and gives it. */
  popBack(options?: DurabilityOptions): Promise<V | undefined>
  popBackSync(options?: DurabilityOptions): V | undefined
  /** Gives the first item that nobody has taken, and leaves it where it is. */
  peek(): Promise<V | undefined>
  peekSync(): V | undefined
  /** Gives the last one. */
  peekBack(): Promise<V | undefined>
  peekBackSync(): V | undefined
  /**
   * Takes the first item that nobody has taken: it stays in the queue, and is nobody else's until it is acknowledged or released, until its
   * time is over, or until the store is opened again. Nothing is written. `undefined`: there is none.
   *
   * @example
   * for (let job; (job = await jobs.take({ waitMs: Infinity })); ) {
   *   await work(job.value)
   *   await job.ack()
   * }
   */
  take(options?: TakeOptions): Promise<Taken<V> | undefined>
  takeSync(options?: Pick<TakeOptions, 'leaseMs'>): Taken<V> | undefined
  /** Items, those that are taken among them. */
  count(): Promise<number>
  countSync(): number
  /** Removes everything. */
  clear(options?: DurabilityOptions): Promise<void>
  clearSync(options?: DurabilityOptions): void
}

/**
 * The queue `name` of a store, in a table of that name, which its first `push` makes. Touches no disk.
 *
 * `MISMATCH`: the table is something else, or has other codecs. `UNSUPPORTED`: the engine has no batches. `INVALID_ARGUMENT`: not a name, or not
 * an option.
 *
 * @example
 * const jobs = queue(db, 'jobs', { values: 'json' })
 * await jobs.push({ mail: 'alice@example.org' })
 */
export function queue<VC extends keyof ValueCodecs = 'utf8'>(
  db: CollectionStore,
  name: string,
  options?: QueueOptions<VC>,
): Queue<ValueCodecs[VC]>
export function queue<V>(
  db: CollectionStore,
  name: string,
  options: QueueOptions<Codec<V>> & { readonly values: Codec<V> },
): Queue<V>
export function queue(
  db: CollectionStore,
  name: string,
  options?: QueueOptions<unknown>,
): Queue<unknown> {
  checkOptions(options, OPTION_NAMES, 'A queue')
  const { leaseMs = DEFAULT_LEASE_MS } = options ?? {}
  checkMs('leaseMs', leaseMs, 0)
  return new StoreQueue(db, name, resolveValueCodec(options?.values), leaseMs)
}

/** Of the ends; items have numbers. */
const ENDS = undefined
type Key = number | undefined
type Value<V> = V | Encoded | Ends

class StoreQueue<V> implements Queue<V> {
  readonly #collection: Collection<Key, Value<V>, Leases>
  readonly #row: Row<Key, Value<V>>
  readonly #values: InternalCodec<V>
  readonly #leaseMs: number

  constructor(db: CollectionStore, name: string, values: InternalCodec<V>, leaseMs: number) {
    this.#values = values
    const codecs = { keys: POSITIONS, values: itemCodec(values) }
    this.#collection = new Collection(db, name, codecs, () => new Leases())
    this.#row = new Row(
      this.#collection,
      (position) => position,
      (key) => key as number,
    )
    this.#leaseMs = leaseMs
  }

  async push(value: V, options?: DurabilityOptions): Promise<void> {
    const items = this.#encode([value])
    await this.#change(() => this.#adding(items, false), options)
  }

  pushSync(value: V, options?: DurabilityOptions): void {
    const items = this.#encode([value])
    this.#changeSync(() => this.#adding(items, false), options)
  }

  async pushMany(values: Iterable<V>, options?: DurabilityOptions): Promise<void> {
    const items = this.#encode(values)
    await this.#change(() => this.#adding(items, false), options)
  }

  pushManySync(values: Iterable<V>, options?: DurabilityOptions): void {
    const items = this.#encode(values)
    this.#changeSync(() => this.#adding(items, false), options)
  }

  async pushFront(value: V, options?: DurabilityOptions): Promise<void> {
    const items = this.#encode([value])
    await this.#change(() => this.#adding(items, true), options)
  }

  pushFrontSync(value: V, options?: DurabilityOptions): void {
    const items = this.#encode([value])
    this.#changeSync(() => this.#adding(items, true), options)
  }

  pop(options?: DurabilityOptions): Promise<V | undefined> {
    return this.#change(() => this.#popping(false), options)
  }

  popSync(options?: DurabilityOptions): V | undefined {
    return this.#changeSync(() => this.#popping(false), options)
  }

  popBack(options?: DurabilityOptions): Promise<V | undefined> {
    return this.#change(() => this.#popping(true), options)
  }

  popBackSync(options?: DurabilityOptions): V | undefined {
    return this.#changeSync(() => this.#popping(true), options)
  }

  peek(): Promise<V | undefined> {
    return this.#change(() => this.#peeking(false), undefined)
  }

  peekSync(): V | undefined {
    return this.#changeSync(() => this.#peeking(false), undefined)
  }

  peekBack(): Promise<V | undefined> {
    return this.#change(() => this.#peeking(true), undefined)
  }

  peekBackSync(): V | undefined {
    return this.#changeSync(() => this.#peeking(true), undefined)
  }

  async take(options?: TakeOptions): Promise<Taken<V> | undefined> {
    checkOptions(options, TAKE_NAMES, 'take')
    const { waitMs = 0, signal } = options ?? {}
    const leaseMs = this.#leaseMsOf(options)
    checkMs('waitMs', waitMs, 0)
    checkJobOptions(options ?? {})
    const { environment } = this.#collection.life
    const until = environment.monotonic() + waitMs
    for (;;) {
      signal?.throwIfAborted()
      const { changes } = this.#leases
      const taken = await this.#change(() => this.#taking(leaseMs), undefined)
      if (taken !== undefined) return taken
      const left = until - environment.monotonic()
      if (!(left > 0)) return undefined
      // Something has come while it was looking.
      if (this.#leases.changes !== changes) continue
      const { life } = this.#collection
      await this.#leases.wait(environment, left, life.jobSignal(signal))
    }
  }

  takeSync(options?: Pick<TakeOptions, 'leaseMs'>): Taken<V> | undefined {
    checkOptions(options, ['leaseMs'], 'takeSync')
    const leaseMs = this.#leaseMsOf(options)
    return this.#changeSync(() => this.#taking(leaseMs), undefined)
  }

  async count(): Promise<number> {
    const ends = await this.#collection.inTurn(() => this.#collection.entry(ENDS).async())
    return endsOf(ends).items
  }

  countSync(): number {
    return endsOf(this.#collection.entry(ENDS).sync()).items
  }

  clear(options?: DurabilityOptions): Promise<void> {
    return this.#collection.clear(options)
  }

  clearSync(options?: DurabilityOptions): void {
    this.#collection.clearSync(options)
  }

  get #leases(): Leases {
    return this.#collection.shared
  }

  #leaseMsOf(options: Pick<TakeOptions, 'leaseMs'> | undefined): number {
    const { leaseMs = this.#leaseMs } = options ?? {}
    checkMs('leaseMs', leaseMs, 0)
    return leaseMs
  }

  #change<T>(
    plan: () => Routine<Change<Key, Value<V>, T>>,
    options: DurabilityOptions | undefined,
  ): Promise<T> {
    return this.#collection.change(plan, options)
  }

  #changeSync<T>(
    plan: () => Routine<Change<Key, Value<V>, T>>,
    options: DurabilityOptions | undefined,
  ): T {
    return this.#collection.changeSync(plan, options)
  }

  /** Each as it comes: its memory may be used for the next one. */
  #encode(values: Iterable<V>): Encoded[] {
    checkItems(values)
    return Array.from(values, (value) => new Encoded(encodeTagged(this.#values, ITEM_TAG, value)))
  }

  *#adding(items: readonly Encoded[], front: boolean): Routine<Change<Key, Value<V>, void>> {
    const entry = yield* this.#collection.entry(ENDS)
    const { head, tail, items: before } = endsOf(entry)
    const count = items.length
    if (count === 0) return { operations: [], result: undefined }
    const first = front ? head - count : tail
    const next = new Ends(front ? first : head, front ? tail : tail + count, before + count)
    const puts = items.map((value, i) => ({ type: 'put', key: first + i, value }) as const)
    return {
      operations: [...puts, putOver(ENDS, next, entry)],
      result: undefined,
      act: () => this.#leases.came(first),
    }
  }

  *#popping(back: boolean): Routine<Change<Key, Value<V>, V | undefined>> {
    const found = yield* this.#free(back)
    if (found === undefined) return { operations: [], result: undefined }
    const { position, entry, ends } = found
    const operations = yield* this.#removing(position, entry.version, ends)
    const undo = (): void => this.#leases.came(position)
    return { operations, result: entry.value as V, undo }
  }

  *#peeking(back: boolean): Routine<Change<Key, Value<V>, V | undefined>> {
    const found = yield* this.#free(back)
    return { operations: [], result: found?.entry.value as V | undefined }
  }

  *#taking(leaseMs: number): Routine<Change<Key, Value<V>, Taken<V> | undefined>> {
    const found = yield* this.#free(false)
    if (found === undefined) return { operations: [], result: undefined }
    const { position, entry } = found
    const { environment } = this.#collection.life
    const leases = this.#leases
    const until = environment.monotonic() + leaseMs
    const lease: Lease = { position, version: entry.version, until }
    const result: Taken<V> = {
      value: entry.value as V,
      ack: (options) => this.#change(() => this.#acking(lease), options),
      ackSync: (options) => this.#changeSync(() => this.#acking(lease), options),
      release: () => leases.release(lease),
      renew: (ms = leaseMs) => {
        checkMs('leaseMs', ms, 0)
        const now = environment.monotonic()
        return leases.renew(lease, now, now + ms)
      },
    }
    return { operations: [], result, act: () => leases.take(lease) }
  }

  *#acking(lease: Lease): Routine<Change<Key, Value<V>, boolean>> {
    const { position, version } = lease
    const { version: now } = (yield* this.#collection.entry(position)) ?? { version: 0 }
    // In one step with the item: before that is durable another one may be pushed to its position.
    const leases = this.#leases
    let ended: Lease | undefined
    const act = (): void => {
      ended = leases.end(lease)
    }
    if (now !== version) return { operations: [], result: false, act }
    const ends = yield* this.#collection.entry(ENDS)
    const operations = yield* this.#removing(position, version, ends)
    const undo = (): void => {
      if (ended !== undefined) leases.restore(ended)
    }
    return { operations, result: true, act, undo }
  }

  /** What removes an item, and sets the ends to those that are left. */
  *#removing(
    position: number,
    version: number,
    entry: Entry<Value<V>> | undefined,
  ): Routine<Change<Key, Value<V>, void>['operations']> {
    const ends = yield* this.#row.without(position, endsOf(entry))
    return [{ type: 'delete', key: position, ifVersion: version }, putOver(ENDS, ends, entry)]
  }

  /** The first item, or the last, that nobody has taken. */
  *#free(back: boolean): Routine<
    | {
        readonly position: number
        readonly entry: Entry<Value<V>>
        readonly ends: Entry<Value<V>> | undefined
      }
    | undefined
  > {
    const leases = this.#leases
    const ends = yield* this.#collection.entry(ENDS)
    const { head, tail } = endsOf(ends)
    leases.expire(this.#collection.life.environment.monotonic())
    const isFree = (at: number): boolean => !leases.has(at)
    const from = back ? head : Math.min(tail, Math.max(head, leases.from))
    let position = yield* this.#row.next(from, tail, back, isFree)
    if (position === undefined && from > head)
      position = yield* this.#row.next(head, from, false, isFree)
    if (position === undefined) return undefined
    const entry = yield* this.#collection.entry(position)
    return entry && { position, entry, ends }
  }
}

const POSITIONS: Codec<Key> = {
  name: 'queue',
  encode(position) {
    if (position === undefined) return new Uint8Array(0)
    const bytes = Buffer.alloc(POSITION_BYTES)
    writePosition(bytes, 0, position)
    return bytes
  },
  decode(bytes) {
    if (bytes.length === 0) return ENDS
    if (bytes.length !== POSITION_BYTES) throw new RangeError('it is no key of a queue')
    return readPosition(bytes, 0)
  },
}

const ITEM_TAG = 0
const ENDS_TAG = 1

function itemCodec<V>(codec: InternalCodec<V>): Codec<Value<V>> {
  return {
    name: `queue:${codec.name}`,
    // What is written has been encoded when it was given.
    encode: (value) =>
      value instanceof Ends ? encodeEnds(ENDS_TAG, value) : (value as Encoded).bytes,
    decode(bytes) {
      if (bytes[0] === ITEM_TAG) return decodeTagged(codec, bytes)
      if (bytes[0] === ENDS_TAG) return decodeEnds(bytes)
      throw new RangeError('it is no value of a queue')
    },
  }
}
