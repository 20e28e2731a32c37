/**
 * Counters: whole numbers by key, that are added to.
 *
 *   key │ as the codec writes it │        value │ f64 │
 *
 * A key that is not there counts 0; adding makes it.
 */

import type { Routine } from '../../environment/routine.ts'
import { KvarkError } from '../../errors.ts'
import { show } from '../arguments.ts'
import type { Cursor, DurabilityOptions, ScanOptions } from '../call-types.ts'
import type { Codec, KeyCodecs } from '../codec.ts'
import {
  type Change,
  Collection,
  type CollectionStore,
  checkOptions,
  putOver,
  Shared,
} from './collection.ts'

export interface CountersOptions<KC> {
  /** How keys become bytes; default `utf8`. */
  readonly keys?: KC
}

/** Whole numbers by key, durable. Every change is one atomic write; promises wait for durability, as those of `put` do. */
export interface Counters<K> {
  /**
   * Adds `by` (default 1; less than 0 takes away) and gives what it comes to. `INVALID_VALUE`, and nothing is written, where that is beyond
   * ±(2⁵³ − 1), or `by` is no whole number.
   */
  add(key: K, by?: number, options?: DurabilityOptions): Promise<number>
  addSync(key: K, by?: number, options?: DurabilityOptions): number
  /** What a key has come to; 0 where it is not there. */
  get(key: K): Promise<number>
  getSync(key: K): number
  /** Removes a key, and gives what it had come to. */
  take(key: K, options?: DurabilityOptions): Promise<number>
  takeSync(key: K, options?: DurabilityOptions): number
  entries(options?: ScanOptions): Cursor<[K, number]>
  clear(options?: DurabilityOptions): Promise<void>
  clearSync(options?: DurabilityOptions): void
}

const NUMBER_BYTES = 8

const NUMBER: Codec<number> = {
  name: 'counter',
  encode(number) {
    const bytes = Buffer.alloc(NUMBER_BYTES)
    bytes.writeDoubleLE(number)
    return bytes
  },
  decode(bytes) {
    if (bytes.length !== NUMBER_BYTES) throw new RangeError('it is no counter')
    return new DataView(bytes.buffer, bytes.byteOffset, NUMBER_BYTES).getFloat64(0, true)
  },
}

/**
 * The counters `name` of a store, in a table of that name, which the first `add` makes. Touches no disk. Fails as `db.table` does.
 *
 * @example
 * const visits = counters(db, 'visits')
 * await visits.add('/index.html') // 1
 */
export function counters<KC extends keyof KeyCodecs = 'utf8'>(
  db: CollectionStore,
  name: string,
  options?: CountersOptions<KC>,
): Counters<KeyCodecs[KC]>
export function counters<K>(
  db: CollectionStore,
  name: string,
  options: CountersOptions<Codec<K>> & { readonly keys: Codec<K> },
): Counters<K>
export function counters(
  db: CollectionStore,
  name: string,
  options?: CountersOptions<unknown>,
): Counters<unknown> {
  checkOptions(options, ['keys'], 'Counters')
  return new StoreCounters(db, name, (options?.keys ?? 'utf8') as Codec<unknown>)
}

class StoreCounters<K> implements Counters<K> {
  readonly #collection: Collection<K, number>

  constructor(db: CollectionStore, name: string, keys: Codec<K>) {
    this.#collection = new Collection(db, name, { keys, values: NUMBER }, () => new Shared())
  }

  add(key: K, by?: number, options?: DurabilityOptions): Promise<number> {
    return this.#collection.change(() => this.#adding(key, by), options)
  }

  addSync(key: K, by?: number, options?: DurabilityOptions): number {
    return this.#collection.changeSync(() => this.#adding(key, by), options)
  }

  async get(key: K): Promise<number> {
    return (await this.#collection.inTurn(() => this.#collection.table.get(key))) ?? 0
  }

  getSync(key: K): number {
    return this.#collection.table.getSync(key) ?? 0
  }

  take(key: K, options?: DurabilityOptions): Promise<number> {
    return this.#collection.change(() => this.#taking(key), options)
  }

  takeSync(key: K, options?: DurabilityOptions): number {
    return this.#collection.changeSync(() => this.#taking(key), options)
  }

  entries(options?: ScanOptions): Cursor<[K, number]> {
    return this.#collection.table.entries(options)
  }

  clear(options?: DurabilityOptions): Promise<void> {
    return this.#collection.clear(options)
  }

  clearSync(options?: DurabilityOptions): void {
    this.#collection.clearSync(options)
  }

  *#adding(key: K, by = 1): Routine<Change<K, number, number>> {
    if (!Number.isSafeInteger(by)) {
      throw new KvarkError('INVALID_VALUE', `A counter takes whole numbers, not ${show(by)}.`)
    }
    const entry = yield* this.#collection.entry(key)
    const sum = (entry?.value ?? 0) + by
    if (!Number.isSafeInteger(sum)) {
      throw new KvarkError(
        'INVALID_VALUE',
        `The counter would come to ${sum}, and goes up to ±${Number.MAX_SAFE_INTEGER}. Nothing was added.`,
        { expected: Number.MAX_SAFE_INTEGER, found: sum },
      )
    }
    return { operations: [putOver(key, sum, entry)], result: sum }
  }

  *#taking(key: K): Routine<Change<K, number, number>> {
    const entry = yield* this.#collection.entry(key)
    if (entry === undefined) return { operations: [], result: 0 }
    return {
      operations: [{ type: 'delete', key, ifVersion: entry.version }],
      result: entry.value,
    }
  }
}
