/**
 * A list of entries that have a key each, in an order of their own: that in which they came, until they are moved.
 *
 *   key     │                          the ends:    │ 2 │ head f64 │ tail f64 │ items f64 │
 *           │ 0 │ position + 2⁵² u64 │ a place:     │ 1 │ key of the entry, as the codec writes it │
 *           │ 1 │ key of the entry   │ the entry:   │ 0 │ position + 2⁵² u64 │ value │
 *
 * 1. A change is one batch: entry, place, ends. It is refused where somebody else has changed one of them.
 * 2. Each place has one entry, which names that place.
 *
 * Left out: the number of an entry. `at` counts places from the nearer end.
 */

import { Effect, type Routine } from '../../environment/routine.ts'
import { invalid, show } from '../arguments.ts'
import type { BatchOperation, DurabilityOptions, Entry } from '../call-types.ts'
import type { Codec, KeyCodecs, ValueCodecs } from '../codec.ts'
import { resolveKeyCodec, resolveValueCodec } from '../codecs.ts'
import type { InternalCodec } from '../internal-codec.ts'
import {
  type Change,
  Collection,
  type CollectionStore,
  checkOptions,
  decodeTagged,
  Encoded,
  encodeTagged,
  putOver,
  Shared,
} from './collection.ts'
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

const OPTION_NAMES: readonly string[] = ['keys', 'values']
const WALK_NAMES: readonly string[] = ['reverse', 'limit']

export interface ListOptions<KC, VC> {
  /** How keys become bytes; default `utf8`. */
  readonly keys?: KC
  /** How values become bytes; default `utf8`. */
  readonly values?: VC
}

/** How to walk a list. */
export interface ListWalk {
  /** From the last to the first. */
  readonly reverse?: boolean
  /** At most this many. */
  readonly limit?: number
}

/**
 * Entries with a key each, in the order in which they came, durable. Every change is one atomic write; promises wait for durability, as those of
 * `put` do.
 */
export interface List<K, V> {
  /** Stores a value: behind all others where the key is not there, else in its place. Gives whether it was not there. */
  set(key: K, value: V, options?: DurabilityOptions): Promise<boolean>
  setSync(key: K, value: V, options?: DurabilityOptions): boolean
  get(key: K): Promise<V | undefined>
  getSync(key: K): V | undefined
  has(key: K): Promise<boolean>
  hasSync(key: K): boolean
  /** Moves an entry behind all others; false where it is not there. */
  promote(key: K, options?: DurabilityOptions): Promise<boolean>
  promoteSync(key: K, options?: DurabilityOptions): boolean
  /** Moves an entry before all others; false where it is not there. */
  demote(key: K, options?: DurabilityOptions): Promise<boolean>
  demoteSync(key: K, options?: DurabilityOptions): boolean
  /** Removes an entry; false where it is not there. */
  delete(key: K, options?: DurabilityOptions): Promise<boolean>
  deleteSync(key: K, options?: DurabilityOptions): boolean
  /**
   * The entry with this number: 0 is the first, −1 the last; `undefined`: there is none. It counts from the nearer end, so one in the middle
   * of a long list takes its time.
   */
  at(index: number): Promise<[K, V] | undefined>
  atSync(index: number): [K, V] | undefined
  /** Removes the first entry, and gives it. */
  shift(options?: DurabilityOptions): Promise<[K, V] | undefined>
  shiftSync(options?: DurabilityOptions): [K, V] | undefined
  /** Removes the last entry, and gives it. */
  pop(options?: DurabilityOptions): Promise<[K, V] | undefined>
  popSync(options?: DurabilityOptions): [K, V] | undefined
  /** The entries of the list as it is while it is walked: what is moved meanwhile may come twice, or not at all. */
  entries(options?: ListWalk): AsyncGenerator<[K, V], void>
  entriesSync(options?: ListWalk): Generator<[K, V], void>
  count(): Promise<number>
  countSync(): number
  clear(options?: DurabilityOptions): Promise<void>
  clearSync(options?: DurabilityOptions): void
}

/**
 * The list `name` of a store, in a table of that name, which its first entry makes. Touches no disk. Fails as `db.table` does.
 *
 * @example
 * const recent = list(db, 'recent')
 * await recent.set('/index.html', 'Home')
 * await recent.promote('/index.html')
 */
export function list<KC extends keyof KeyCodecs = 'utf8', VC extends keyof ValueCodecs = 'utf8'>(
  db: CollectionStore,
  name: string,
  options?: ListOptions<KC, VC>,
): List<KeyCodecs[KC], ValueCodecs[VC]>
export function list<K, V>(
  db: CollectionStore,
  name: string,
  options: { readonly keys: Codec<K>; readonly values: Codec<V> },
): List<K, V>
export function list(
  db: CollectionStore,
  name: string,
  options?: ListOptions<unknown, unknown>,
): List<unknown, unknown> {
  checkOptions(options, OPTION_NAMES, 'A list')
  return new StoreList(db, name, resolveKeyCodec(options?.keys), resolveValueCodec(options?.values))
}

/** The key of an entry; places have numbers, the ends have none. */
class Name<K> {
  readonly key: K

  constructor(key: K) {
    this.key = key
  }
}

/** What is under the key of an entry. */
class Item<V> {
  readonly position: number
  readonly value: V

  constructor(position: number, value: V) {
    this.position = position
    this.value = value
  }
}

const ENDS = undefined
type Key<K> = Name<K> | number | undefined
type Value<K, V> = Item<V> | Item<Encoded> | Name<K> | Ends
type Operation<K, V> = BatchOperation<Key<K>, Value<K, V>>

class StoreList<K, V> implements List<K, V> {
  readonly #collection: Collection<Key<K>, Value<K, V>>
  readonly #row: Row<Key<K>, Value<K, V>>
  readonly #values: InternalCodec<V>

  constructor(db: CollectionStore, name: string, keys: InternalCodec<K>, values: InternalCodec<V>) {
    this.#values = values
    const codecs = { keys: keyCodec(keys), values: valueCodec(keys, values) }
    this.#collection = new Collection(db, name, codecs, () => new Shared())
    this.#row = new Row(
      this.#collection,
      (position) => position,
      (key) => key as number,
    )
  }

  async set(key: K, value: V, options?: DurabilityOptions): Promise<boolean> {
    const encoded = this.#encode(value)
    return await this.#collection.change(() => this.#setting(key, encoded), options)
  }

  setSync(key: K, value: V, options?: DurabilityOptions): boolean {
    const encoded = this.#encode(value)
    return this.#collection.changeSync(() => this.#setting(key, encoded), options)
  }

  async get(key: K): Promise<V | undefined> {
    const { table } = this.#collection
    const entry = await this.#collection.inTurn(() => table.getEntry(new Name(key)))
    return itemOf(entry)?.value as V | undefined
  }

  getSync(key: K): V | undefined {
    return itemOf(this.#collection.table.getEntrySync(new Name(key)))?.value as V | undefined
  }

  has(key: K): Promise<boolean> {
    return this.#collection.inTurn(() => this.#collection.table.has(new Name(key)))
  }

  hasSync(key: K): boolean {
    return this.#collection.table.hasSync(new Name(key))
  }

  promote(key: K, options?: DurabilityOptions): Promise<boolean> {
    return this.#collection.change(() => this.#moving(key, false), options)
  }

  promoteSync(key: K, options?: DurabilityOptions): boolean {
    return this.#collection.changeSync(() => this.#moving(key, false), options)
  }

  demote(key: K, options?: DurabilityOptions): Promise<boolean> {
    return this.#collection.change(() => this.#moving(key, true), options)
  }

  demoteSync(key: K, options?: DurabilityOptions): boolean {
    return this.#collection.changeSync(() => this.#moving(key, true), options)
  }

  delete(key: K, options?: DurabilityOptions): Promise<boolean> {
    return this.#collection.change(() => this.#deleting(key), options)
  }

  deleteSync(key: K, options?: DurabilityOptions): boolean {
    return this.#collection.changeSync(() => this.#deleting(key), options)
  }

  at(index: number): Promise<[K, V] | undefined> {
    return this.#collection.change(() => this.#finding(index), undefined)
  }

  atSync(index: number): [K, V] | undefined {
    return this.#collection.changeSync(() => this.#finding(index), undefined)
  }

  shift(options?: DurabilityOptions): Promise<[K, V] | undefined> {
    return this.#collection.change(() => this.#taking(0), options)
  }

  shiftSync(options?: DurabilityOptions): [K, V] | undefined {
    return this.#collection.changeSync(() => this.#taking(0), options)
  }

  pop(options?: DurabilityOptions): Promise<[K, V] | undefined> {
    return this.#collection.change(() => this.#taking(-1), options)
  }

  popSync(options?: DurabilityOptions): [K, V] | undefined {
    return this.#collection.changeSync(() => this.#taking(-1), options)
  }

  async *entries(options?: ListWalk): AsyncGenerator<[K, V], void> {
    const walk = new Walk(options)
    for (;;) {
      const next = await this.#collection.change(() => this.#walking(walk), undefined)
      if (next === undefined) return
      walk.passed(next.position)
      yield next.pair
    }
  }

  *entriesSync(options?: ListWalk): Generator<[K, V], void> {
    const walk = new Walk(options)
    for (;;) {
      const next = this.#collection.changeSync(() => this.#walking(walk), undefined)
      if (next === undefined) return
      walk.passed(next.position)
      yield next.pair
    }
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

  #encode(value: V): Encoded {
    return new Encoded(encodeTagged(this.#values, ITEM, value))
  }

  *#setting(key: K, value: Encoded): Routine<Change<Key<K>, Value<K, V>, boolean>> {
    const name = new Name(key)
    const before = yield* this.#collection.entry(name)
    const old = itemOf<V>(before)
    if (old !== undefined) {
      const item = new Item(old.position, value)
      return { operations: [putOver<Key<K>, Value<K, V>>(name, item, before)], result: false }
    }
    const ends = yield* this.#collection.entry(ENDS)
    const { head, tail, items } = endsOf(ends)
    return {
      operations: [
        { type: 'put', key: name, value: new Item(tail, value), ifAbsent: true },
        { type: 'put', key: tail, value: name },
        putOver<Key<K>, Value<K, V>>(ENDS, new Ends(head, tail + 1, items + 1), ends),
      ],
      result: true,
    }
  }

  *#moving(key: K, front: boolean): Routine<Change<Key<K>, Value<K, V>, boolean>> {
    const name = new Name(key)
    const before = yield* this.#collection.entry(name)
    const item = itemOf<V>(before)
    if (item === undefined) return { operations: [], result: false }
    const { position, value } = item
    const ends = yield* this.#collection.entry(ENDS)
    const { head, tail, items } = endsOf(ends)
    if (position === (front ? head : tail - 1)) return { operations: [], result: true }
    const without = yield* this.#row.without(position, endsOf(ends))
    const place = front ? head - 1 : tail
    const next = new Ends(front ? place : without.head, front ? without.tail : place + 1, items)
    return {
      operations: [
        { type: 'delete', key: position },
        { type: 'put', key: place, value: name },
        putOver<Key<K>, Value<K, V>>(name, new Item(place, value), before),
        putOver<Key<K>, Value<K, V>>(ENDS, next, ends),
      ],
      result: true,
    }
  }

  *#deleting(key: K): Routine<Change<Key<K>, Value<K, V>, boolean>> {
    const entry = yield* this.#collection.entry(new Name(key))
    const item = itemOf<V>(entry)
    if (entry === undefined || item === undefined) return { operations: [], result: false }
    return {
      operations: yield* this.#removing(key, item.position, entry.version),
      result: true,
    }
  }

  *#taking(index: number): Routine<Change<Key<K>, Value<K, V>, [K, V] | undefined>> {
    const position = yield* this.#positionOf(index)
    if (position === undefined) return { operations: [], result: undefined }
    const { key, entry } = yield* this.#entryAt(position)
    const operations = yield* this.#removing(key, position, entry.version)
    return { operations, result: [key, (entry.value as Item<V>).value] }
  }

  *#finding(index: number): Routine<Change<Key<K>, Value<K, V>, [K, V] | undefined>> {
    if (!Number.isSafeInteger(index))
      throw invalid(`The number of an entry must be a whole number, not ${show(index)}.`)
    const position = yield* this.#positionOf(index)
    if (position === undefined) return { operations: [], result: undefined }
    const { key, entry } = yield* this.#entryAt(position)
    return { operations: [], result: [key, (entry.value as Item<V>).value] }
  }

  *#walking(
    walk: Walk,
  ): Routine<
    Change<Key<K>, Value<K, V>, { readonly position: number; readonly pair: [K, V] } | undefined>
  > {
    const { head, tail } = endsOf(yield* this.#collection.entry(ENDS))
    const from = walk.reverse ? head : Math.max(head, walk.from)
    const to = walk.reverse ? Math.min(tail, walk.to) : tail
    const position =
      walk.left === 0 ? undefined : yield* this.#row.next(from, to, walk.reverse, () => true)
    if (position === undefined) return { operations: [], result: undefined }
    const { key, entry } = yield* this.#entryAt(position)
    return { operations: [], result: { position, pair: [key, (entry.value as Item<V>).value] } }
  }

  *#removing(key: K, position: number, version: number): Routine<Operation<K, V>[]> {
    const ends = yield* this.#collection.entry(ENDS)
    const without = yield* this.#row.without(position, endsOf(ends))
    return [
      { type: 'delete', key: new Name(key), ifVersion: version },
      { type: 'delete', key: position },
      putOver<Key<K>, Value<K, V>>(ENDS, without, ends),
    ]
  }

  /** Where the entry with this number is, counted from the nearer end. */
  *#positionOf(index: number): Routine<number | undefined> {
    const { head, tail, items } = endsOf(yield* this.#collection.entry(ENDS))
    const number = index < 0 ? items + index : index
    if (number < 0 || number >= items) return undefined
    const back = number >= items / 2
    let left = back ? items - 1 - number : number
    return yield* this.#row.next(head, tail, back, () => left-- === 0)
  }

  *#entryAt(position: number): Routine<{ readonly key: K; readonly entry: Entry<unknown> }> {
    const place = yield* this.#collection.entry(position)
    const name = place?.value as Name<K>
    const entry = yield* new Effect(
      () => this.#collection.table.getEntrySync(name),
      () => this.#collection.table.getEntry(name),
    )
    return { key: name.key, entry: entry! }
  }
}

/** How far a walk has come. */
class Walk {
  readonly reverse: boolean
  left: number
  from: number = Number.NEGATIVE_INFINITY
  to: number = Number.POSITIVE_INFINITY

  constructor(options: ListWalk | undefined) {
    checkOptions(options, WALK_NAMES, 'entries')
    const { reverse = false, limit = Number.POSITIVE_INFINITY } = options ?? {}
    if (typeof reverse !== 'boolean')
      throw invalid(`'reverse' must be true or false, not ${show(reverse)}.`)
    if (limit !== Number.POSITIVE_INFINITY && !(Number.isSafeInteger(limit) && limit >= 0))
      throw invalid(`'limit' must be a whole number from 0 on, not ${show(limit)}.`)
    this.reverse = reverse
    this.left = limit
  }

  passed(position: number): void {
    this.left--
    if (this.reverse) this.to = position
    else this.from = position + 1
  }
}

function itemOf<V>(entry: Entry<unknown> | undefined): Item<V> | undefined {
  return entry?.value as Item<V> | undefined
}

const PLACE = 0
const NAMED = 1

function keyCodec<K>(codec: InternalCodec<K>): Codec<Key<K>> {
  return {
    name: `list:${codec.name}`,
    encode(key) {
      if (key === undefined) return new Uint8Array(0)
      if (key instanceof Name) return encodeTagged(codec, NAMED, key.key)
      const bytes = Buffer.alloc(1 + POSITION_BYTES)
      bytes[0] = PLACE
      writePosition(bytes, 1, key)
      return bytes
    },
    decode(bytes) {
      if (bytes.length === 0) return ENDS
      if (bytes[0] === NAMED) return new Name(decodeTagged(codec, bytes))
      if (bytes[0] === PLACE && bytes.length === 1 + POSITION_BYTES) return readPosition(bytes, 1)
      throw new RangeError('it is no key of a list')
    },
  }
}

const ITEM = 0
const NAME = 1
const ENDS_TAG = 2

function valueCodec<K, V>(keys: InternalCodec<K>, values: InternalCodec<V>): Codec<Value<K, V>> {
  return {
    name: `list:${values.name}`,
    encode(value) {
      if (value instanceof Ends) return encodeEnds(ENDS_TAG, value)
      if (value instanceof Name) return encodeTagged(keys, NAME, value.key)
      const { value: inner } = value
      const encoded = inner instanceof Encoded ? inner.bytes : encodeTagged(values, ITEM, inner)
      const bytes = Buffer.alloc(POSITION_BYTES + encoded.length)
      bytes.set(encoded, POSITION_BYTES)
      bytes[0] = ITEM
      writePosition(bytes, 1, value.position)
      return bytes
    },
    decode(bytes) {
      if (bytes[0] === ENDS_TAG) return decodeEnds(bytes)
      if (bytes[0] === NAME) return new Name(decodeTagged(keys, bytes))
      if (bytes[0] !== ITEM || bytes.length < 1 + POSITION_BYTES)
        throw new RangeError('it is no value of a list')
      const value = decodeTagged(values, bytes.subarray(POSITION_BYTES))
      return new Item(readPosition(bytes, 1), value)
    },
  }
}
