/**
 * A set: each element is a key without a value.
 *
 *   key │ element, as the codec writes it │        value │ nothing │
 */

import type { Routine } from '../../environment/routine.ts'
import type {
  BatchOperation,
  Cursor,
  DurabilityOptions,
  OrderedCursor,
  RangeOptions,
  ScanOptions,
} from '../call-types.ts'
import type { Codec, KeyCodecs } from '../codec.ts'
import type { OrderedTable, Tables } from '../types.ts'
import {
  type Change,
  Collection,
  type CollectionStore,
  checkItems,
  checkOptions,
  putOver,
  Shared,
} from './collection.ts'

export interface SetOptions<KC> {
  /** How elements become bytes; default `utf8`. */
  readonly values?: KC
}

/** Elements, each once, durable. Every change is one atomic write; promises wait for durability, as those of `put` do. */
export interface SetOf<T> {
  /** Puts an element in; false where it is there already, and nothing is written. */
  add(value: T, options?: DurabilityOptions): Promise<boolean>
  addSync(value: T, options?: DurabilityOptions): boolean
  /** Puts elements in, all of them or none. */
  addMany(values: Iterable<T>, options?: DurabilityOptions): Promise<void>
  addManySync(values: Iterable<T>, options?: DurabilityOptions): void
  /** Takes an element out; false where it is not there. */
  delete(value: T, options?: DurabilityOptions): Promise<boolean>
  deleteSync(value: T, options?: DurabilityOptions): boolean
  has(value: T): Promise<boolean>
  hasSync(value: T): boolean
  /** The elements, in the order of their bytes where the engine has one. */
  values(options?: ScanOptions): Cursor<T>
  count(options?: ScanOptions): Promise<number>
  countSync(options?: ScanOptions): number
  clear(options?: DurabilityOptions): Promise<void>
  clearSync(options?: DurabilityOptions): void
}

/** A set on an engine with order. */
export interface OrderedSet<T> extends SetOf<T> {
  values(options?: RangeOptions<T>): OrderedCursor<T, T>
  count(options?: RangeOptions<T>): Promise<number>
  countSync(options?: RangeOptions<T>): number
}

const MEMBER: Codec<undefined> = {
  name: 'set',
  encode: () => new Uint8Array(0),
  decode(bytes) {
    if (bytes.length > 0) throw new RangeError('an element of a set has no value')
    return undefined
  },
}

/**
 * The set `name` of a store, in a table of that name, which its first element makes. Touches no disk. Fails as `db.table` does.
 *
 * @example
 * const tags = set(db, 'tags')
 * await tags.add('new') // true
 */
export function set<KC extends keyof KeyCodecs = 'utf8'>(
  db: CollectionStore & Tables<'ordered'>,
  name: string,
  options?: SetOptions<KC>,
): OrderedSet<KeyCodecs[KC]>
export function set<T>(
  db: CollectionStore & Tables<'ordered'>,
  name: string,
  options: SetOptions<Codec<T>> & { readonly values: Codec<T> },
): OrderedSet<T>
export function set<KC extends keyof KeyCodecs = 'utf8'>(
  db: CollectionStore,
  name: string,
  options?: SetOptions<KC>,
): SetOf<KeyCodecs[KC]>
export function set<T>(
  db: CollectionStore,
  name: string,
  options: SetOptions<Codec<T>> & { readonly values: Codec<T> },
): SetOf<T>
export function set(
  db: CollectionStore,
  name: string,
  options?: SetOptions<unknown>,
): OrderedSet<unknown> {
  checkOptions(options, ['values'], 'A set')
  return new StoreSet(db, name, (options?.values ?? 'utf8') as Codec<unknown>)
}

class StoreSet<T> implements OrderedSet<T> {
  readonly #collection: Collection<T, undefined>
  readonly #table: OrderedTable<T, undefined>

  constructor(db: CollectionStore, name: string, keys: Codec<T>) {
    this.#collection = new Collection(db, name, { keys, values: MEMBER }, () => new Shared())
    this.#table = this.#collection.table as OrderedTable<T, undefined>
  }

  add(value: T, options?: DurabilityOptions): Promise<boolean> {
    return this.#collection.change(() => this.#adding(value), options)
  }

  addSync(value: T, options?: DurabilityOptions): boolean {
    return this.#collection.changeSync(() => this.#adding(value), options)
  }

  async addMany(values: Iterable<T>, options?: DurabilityOptions): Promise<void> {
    const puts = [...putsOf(values)]
    await this.#collection.inTurn(() => this.#table.batch(puts, options))
  }

  addManySync(values: Iterable<T>, options?: DurabilityOptions): void {
    this.#table.batchSync(putsOf(values), options)
  }

  delete(value: T, options?: DurabilityOptions): Promise<boolean> {
    return this.#collection.change(() => this.#deleting(value), options)
  }

  deleteSync(value: T, options?: DurabilityOptions): boolean {
    return this.#collection.changeSync(() => this.#deleting(value), options)
  }

  has(value: T): Promise<boolean> {
    return this.#collection.inTurn(() => this.#table.has(value))
  }

  hasSync(value: T): boolean {
    return this.#table.hasSync(value)
  }

  values(options?: RangeOptions<T>): OrderedCursor<T, T> {
    return this.#table.keys(options)
  }

  count(options?: RangeOptions<T>): Promise<number> {
    return this.#collection.inTurn(() => this.#table.count(options))
  }

  countSync(options?: RangeOptions<T>): number {
    return this.#table.countSync(options)
  }

  clear(options?: DurabilityOptions): Promise<void> {
    return this.#collection.clear(options)
  }

  clearSync(options?: DurabilityOptions): void {
    this.#collection.clearSync(options)
  }

  *#adding(value: T): Routine<Change<T, undefined, boolean>> {
    if (yield* this.#collection.has(value)) return { operations: [], result: false }
    return { operations: [putOver(value, undefined, undefined)], result: true }
  }

  *#deleting(value: T): Routine<Change<T, undefined, boolean>> {
    const entry = yield* this.#collection.entry(value)
    if (entry === undefined) return { operations: [], result: false }
    return { operations: [{ type: 'delete', key: value, ifVersion: entry.version }], result: true }
  }
}

function* putsOf<T>(values: Iterable<T>): Generator<BatchOperation<T, undefined>> {
  checkItems(values)
  for (const key of values) yield { type: 'put', key, value: undefined }
}
