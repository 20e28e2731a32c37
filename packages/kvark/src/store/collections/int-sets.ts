/**
 * Sets of whole numbers by key, each sorted and stored compactly, in chunks.
 *
 *   key     │ 0 │ key of the set │           the set:    │ 0 │ items │ next id │
 *           │ 1 │ key of the set │           directory:  │ 1 │ (first − first before, id) … │
 *           │ 2 │ id u32 │ key of the set │  a chunk:    │ 2 │ number │ number − number before │ … │
 *
 *   directory   │ 0, id 1 │ 4711, id 3 │ 90210, id 2 │        a chunk has the numbers from its first up to the first of the next one
 *
 * All numbers are varints: of a set whose numbers lie close together each takes one byte.
 *
 * 1. A change is one batch: chunks, the directory where chunks come or go, and the set, which is refused where somebody else has changed it.
 * 2. No chunk is empty, none has more than `MOST` numbers. The first of the first chunk is 0. A set without numbers has no entry.
 *
 * Left out: chunks that become thin are not put together.
 */

import { writeVarint } from '../../bytes/varint.ts'
import type { Routine } from '../../environment/routine.ts'
import { KvarkError } from '../../errors.ts'
import { invalid, show } from '../arguments.ts'
import type { BatchOperation, DurabilityOptions } from '../call-types.ts'
import type { Codec, KeyCodecs } from '../codec.ts'
import { resolveKeyCodec } from '../codecs.ts'
import type { InternalCodec } from '../internal-codec.ts'
import {
  type Change,
  Collection,
  type CollectionStore,
  checkOptions,
  decodeTagged,
  encodeTagged,
  itemsOf,
  putOver,
  Shared,
} from './collection.ts'

/** Numbers in a chunk: written as a whole, 1 to 8 KiB. */
const MOST = 1024

export interface IntSetsOptions<KC> {
  /** How keys become bytes; default `utf8`. */
  readonly keys?: KC
}

/** Which numbers of a set to give: all of them where nothing is said. */
export interface IntRange {
  /** From this one on. */
  readonly gte?: number
  /** Before this one. */
  readonly lt?: number
}

/**
 * Sets of whole numbers from 0 to 2⁵³ − 1, by key, durable. Every change is one atomic write; promises wait for durability, as those of `put`
 * do. `INVALID_VALUE` for what is no such number.
 */
export interface IntSets<K> {
  /** Puts a number in; false where it is there already, and nothing is written. */
  add(key: K, value: number, options?: DurabilityOptions): Promise<boolean>
  addSync(key: K, value: number, options?: DurabilityOptions): boolean
  /** Puts numbers in, all of them or none; gives how many were not there yet. */
  addMany(key: K, values: Iterable<number>, options?: DurabilityOptions): Promise<number>
  addManySync(key: K, values: Iterable<number>, options?: DurabilityOptions): number
  /** Takes a number out; false where it is not there. */
  delete(key: K, value: number, options?: DurabilityOptions): Promise<boolean>
  deleteSync(key: K, value: number, options?: DurabilityOptions): boolean
  has(key: K, value: number): Promise<boolean>
  hasSync(key: K, value: number): boolean
  /** How many numbers the set has; reads one entry. */
  count(key: K): Promise<number>
  countSync(key: K): number
  /** The numbers, ascending, chunk by chunk as the set is then. */
  values(key: K, range?: IntRange): AsyncGenerator<number, void>
  valuesSync(key: K, range?: IntRange): Generator<number, void>
  /** Removes all numbers of a set, in one write; gives how many there were. */
  clear(key: K, options?: DurabilityOptions): Promise<number>
  clearSync(key: K, options?: DurabilityOptions): number
}

/**
 * The sets of numbers `name` of a store, in a table of that name, which the first number makes. Touches no disk. Fails as `db.table` does.
 *
 * @example
 * const pages = intSets(db, 'index')
 * await pages.addMany('kvark', [3, 17, 4711])
 */
export function intSets<KC extends keyof KeyCodecs = 'utf8'>(
  db: CollectionStore,
  name: string,
  options?: IntSetsOptions<KC>,
): IntSets<KeyCodecs[KC]>
export function intSets<K>(
  db: CollectionStore,
  name: string,
  options: IntSetsOptions<Codec<K>> & { readonly keys: Codec<K> },
): IntSets<K>
export function intSets(
  db: CollectionStore,
  name: string,
  options?: IntSetsOptions<unknown>,
): IntSets<unknown> {
  checkOptions(options, ['keys'], 'Sets of numbers')
  return new StoreIntSets(db, name, resolveKeyCodec(options?.keys))
}

const SET = 0
const DIRECTORY = 1
const CHUNK = 2

/** A part of a set: the set itself, its directory, or the chunk `id`. */
class Part<K> {
  readonly what: number
  readonly key: K
  readonly id: number

  constructor(what: number, key: K, id = 0) {
    this.what = what
    this.key = key
    this.id = id
  }
}

interface Head {
  readonly items: number
  readonly next: number
}

interface Place {
  readonly first: number
  readonly id: number
}

type Value =
  | { readonly set: Head }
  | { readonly directory: readonly Place[] }
  | { readonly numbers: readonly number[] }

type Operation<K> = BatchOperation<Part<K>, Value>

const EMPTY: Head = { items: 0, next: 1 }

class StoreIntSets<K> implements IntSets<K> {
  readonly #collection: Collection<Part<K>, Value>

  constructor(db: CollectionStore, name: string, keys: InternalCodec<K>) {
    const codecs = { keys: partCodec(keys), values: VALUES }
    this.#collection = new Collection(db, name, codecs, () => new Shared())
  }

  async add(key: K, value: number, options?: DurabilityOptions): Promise<boolean> {
    return (await this.#collection.change(() => this.#adding(key, [value]), options)) > 0
  }

  addSync(key: K, value: number, options?: DurabilityOptions): boolean {
    return this.#collection.changeSync(() => this.#adding(key, [value]), options) > 0
  }

  async addMany(key: K, values: Iterable<number>, options?: DurabilityOptions): Promise<number> {
    const all = itemsOf(values)
    return await this.#collection.change(() => this.#adding(key, all), options)
  }

  addManySync(key: K, values: Iterable<number>, options?: DurabilityOptions): number {
    const all = itemsOf(values)
    return this.#collection.changeSync(() => this.#adding(key, all), options)
  }

  delete(key: K, value: number, options?: DurabilityOptions): Promise<boolean> {
    return this.#collection.change(() => this.#deleting(key, value), options)
  }

  deleteSync(key: K, value: number, options?: DurabilityOptions): boolean {
    return this.#collection.changeSync(() => this.#deleting(key, value), options)
  }

  has(key: K, value: number): Promise<boolean> {
    return this.#collection.change(() => this.#looking(key, value), undefined)
  }

  hasSync(key: K, value: number): boolean {
    return this.#collection.changeSync(() => this.#looking(key, value), undefined)
  }

  async count(key: K): Promise<number> {
    const { table } = this.#collection
    return headOf(await this.#collection.inTurn(() => table.get(new Part(SET, key)))).items
  }

  countSync(key: K): number {
    return headOf(this.#collection.table.getSync(new Part(SET, key))).items
  }

  async *values(key: K, range?: IntRange): AsyncGenerator<number, void> {
    const { gte, lt } = boundsOf(range)
    for (let from = gte; from < lt; ) {
      const start = from
      const numbers = await this.#collection.change(() => this.#reading(key, start), undefined)
      if (numbers.length === 0) return
      for (const number of numbers) {
        if (number >= lt) return
        yield number
      }
      from = numbers.at(-1)! + 1
    }
  }

  *valuesSync(key: K, range?: IntRange): Generator<number, void> {
    const { gte, lt } = boundsOf(range)
    for (let from = gte; from < lt; ) {
      const start = from
      const numbers = this.#collection.changeSync(() => this.#reading(key, start), undefined)
      if (numbers.length === 0) return
      for (const number of numbers) {
        if (number >= lt) return
        yield number
      }
      from = numbers.at(-1)! + 1
    }
  }

  clear(key: K, options?: DurabilityOptions): Promise<number> {
    return this.#collection.change(() => this.#clearing(key), options)
  }

  clearSync(key: K, options?: DurabilityOptions): number {
    return this.#collection.changeSync(() => this.#clearing(key), options)
  }

  *#adding(key: K, values: readonly number[]): Routine<Change<Part<K>, Value, number>> {
    const added = Float64Array.from(new Set(values.map(checkNumber))).sort()
    const set = yield* this.#collection.entry(new Part(SET, key))
    const { items, next: firstId } = headOf(set?.value)
    const places = yield* this.#directory(key)
    const operations: Operation<K>[] = []
    const after: Place[] = []
    let next = firstId
    let done = 0
    let count = 0
    for (const [i, place] of (places.length > 0 ? places : [{ first: 0, id: 0 }]).entries()) {
      const end = places[i + 1]?.first ?? Number.POSITIVE_INFINITY
      const from = done
      while (done < added.length && added[done]! < end) done++
      if (from === done) {
        after.push(place)
        continue
      }
      const before = yield* this.#chunk(key, place.id)
      const merged = merge(before, added.subarray(from, done))
      count += merged.length - before.length
      if (merged.length === before.length) {
        after.push(place)
        continue
      }
      for (const [n, numbers] of cut(merged, before.at(-1)).entries()) {
        const id = n === 0 && place.id !== 0 ? place.id : next++
        after.push({ first: n === 0 ? place.first : numbers[0]!, id })
        operations.push({ type: 'put', key: new Part(CHUNK, key, id), value: { numbers } })
      }
    }
    if (count === 0) return { operations: [], result: 0 }
    if (after.length !== places.length) {
      const value = { directory: after }
      operations.push({ type: 'put', key: new Part(DIRECTORY, key), value })
    }
    const value = { set: { items: items + count, next } }
    operations.push(putOver<Part<K>, Value>(new Part(SET, key), value, set))
    return { operations, result: count }
  }

  *#deleting(key: K, value: number): Routine<Change<Part<K>, Value, boolean>> {
    checkNumber(value)
    const set = yield* this.#collection.entry(new Part(SET, key))
    if (set === undefined) return { operations: [], result: false }
    const { items, next } = headOf(set.value)
    const places = yield* this.#directory(key)
    const at = placeOf(places, value)
    const { id } = places[at]!
    const before = yield* this.#chunk(key, id)
    const numbers = before.filter((number) => number !== value)
    if (numbers.length === before.length) return { operations: [], result: false }
    if (items === 1) return { operations: this.#removing(key, places, set.version), result: true }
    const operations: Operation<K>[] = []
    if (numbers.length > 0) {
      operations.push({ type: 'put', key: new Part(CHUNK, key, id), value: { numbers } })
    } else {
      const left = places.filter((place) => place.id !== id)
      const directory = left.map((place, i) => (i === 0 ? { ...place, first: 0 } : place))
      operations.push(
        { type: 'delete', key: new Part(CHUNK, key, id) },
        { type: 'put', key: new Part(DIRECTORY, key), value: { directory } },
      )
    }
    const head = { set: { items: items - 1, next } }
    operations.push(putOver<Part<K>, Value>(new Part(SET, key), head, set))
    return { operations, result: true }
  }

  *#clearing(key: K): Routine<Change<Part<K>, Value, number>> {
    const set = yield* this.#collection.entry(new Part(SET, key))
    if (set === undefined) return { operations: [], result: 0 }
    const places = yield* this.#directory(key)
    const operations = this.#removing(key, places, set.version)
    return { operations, result: headOf(set.value).items }
  }

  *#looking(key: K, value: number): Routine<Change<Part<K>, Value, boolean>> {
    checkNumber(value)
    const places = yield* this.#directory(key)
    if (places.length === 0) return { operations: [], result: false }
    const numbers = yield* this.#chunk(key, places[placeOf(places, value)]!.id)
    const at = lowerBound(numbers, value)
    return { operations: [], result: numbers[at] === value }
  }

  /** The numbers of the first chunk that has some from `from` on, from there on. */
  *#reading(key: K, from: number): Routine<Change<Part<K>, Value, readonly number[]>> {
    const places = yield* this.#directory(key)
    for (let i = Math.max(0, placeOf(places, from)); i < places.length; i++) {
      const numbers = yield* this.#chunk(key, places[i]!.id)
      const at = lowerBound(numbers, from)
      if (at < numbers.length) return { operations: [], result: numbers.slice(at) }
    }
    return { operations: [], result: [] }
  }

  #removing(key: K, places: readonly Place[], version: number): Operation<K>[] {
    return [
      { type: 'delete', key: new Part(SET, key), ifVersion: version },
      { type: 'delete', key: new Part(DIRECTORY, key) },
      ...places.map(({ id }) => ({ type: 'delete', key: new Part(CHUNK, key, id) }) as const),
    ]
  }

  *#directory(key: K): Routine<readonly Place[]> {
    const entry = yield* this.#collection.entry(new Part(DIRECTORY, key))
    return entry === undefined ? [] : (entry.value as { directory: readonly Place[] }).directory
  }

  *#chunk(key: K, id: number): Routine<readonly number[]> {
    const entry = yield* this.#collection.entry(new Part(CHUNK, key, id))
    return entry === undefined ? [] : (entry.value as { numbers: readonly number[] }).numbers
  }
}

function headOf(value: Value | undefined): Head {
  return value === undefined ? EMPTY : (value as { set: Head }).set
}

function checkNumber(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw new KvarkError(
    'INVALID_VALUE',
    `A set of numbers takes whole numbers from 0 to ${Number.MAX_SAFE_INTEGER}, not ${show(value)}.`,
  )
}

function boundsOf(range: IntRange | undefined): Required<IntRange> {
  checkOptions(range, ['gte', 'lt'], 'values')
  const { gte = 0, lt = Number.POSITIVE_INFINITY } = range ?? {}
  for (const bound of [gte, lt]) {
    if (typeof bound !== 'number' || Number.isNaN(bound))
      throw invalid(`A bound must be a number, not ${show(bound)}.`)
  }
  return { gte, lt }
}

/** The last place whose first number is not above `value`. */
function placeOf(places: readonly Place[], value: number): number {
  let from = 0
  let to = places.length
  while (from < to) {
    const middle = (from + to) >>> 1
    if (places[middle]!.first <= value) from = middle + 1
    else to = middle
  }
  return from - 1
}

/** The first index whose number is not below `value`. */
function lowerBound(numbers: readonly number[], value: number): number {
  let from = 0
  let to = numbers.length
  while (from < to) {
    const middle = (from + to) >>> 1
    if (numbers[middle]! < value) from = middle + 1
    else to = middle
  }
  return from
}

/** Both, sorted, each number once. */
function merge(a: readonly number[], b: Float64Array): number[] {
  const merged: number[] = []
  let i = 0
  for (const number of b) {
    while (i < a.length && a[i]! < number) merged.push(a[i++]!)
    if (a[i] === number) i++
    merged.push(number)
  }
  while (i < a.length) merged.push(a[i++]!)
  return merged
}

/** Chunks of at most `MOST`: equal ones, or full ones where numbers have come behind `last`, as more will. */
function cut(numbers: readonly number[], last: number | undefined): number[][] {
  const count = Math.ceil(numbers.length / MOST)
  const ascending = last === undefined || numbers[numbers.length - 1]! > last
  const size = ascending ? MOST : Math.ceil(numbers.length / count)
  return Array.from({ length: count }, (_, i) => numbers.slice(i * size, (i + 1) * size))
}

const ID_BYTES = 4

function partCodec<K>(codec: InternalCodec<K>): Codec<Part<K>> {
  return {
    name: `ints:${codec.name}`,
    encode({ what, key, id }) {
      const encoded = encodeTagged(codec, what, key)
      if (what !== CHUNK) return encoded
      const bytes = Buffer.alloc(ID_BYTES + encoded.length)
      bytes.set(encoded, ID_BYTES)
      bytes[0] = CHUNK
      bytes.writeUInt32BE(id, 1)
      return bytes
    },
    decode(bytes) {
      const [what] = bytes
      if (what === SET || what === DIRECTORY) return new Part(what, decodeTagged(codec, bytes))
      if (what !== CHUNK || bytes.length < 1 + ID_BYTES)
        throw new RangeError('it is no key of sets')
      const id = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(1)
      return new Part(CHUNK, decodeTagged(codec, bytes.subarray(ID_BYTES)), id)
    },
  }
}

const VALUES: Codec<Value> = {
  name: 'ints',
  encode(value) {
    if ('set' in value) return varints(SET, [value.set.items, value.set.next])
    if ('numbers' in value) return varints(CHUNK, differences(value.numbers))
    const firsts = differences(value.directory.map(({ first }) => first))
    return varints(
      DIRECTORY,
      value.directory.flatMap(({ id }, i) => [firsts[i]!, id]),
    )
  },
  decode(bytes) {
    const all = readVarints(bytes)
    if (bytes[0] === SET && all.length === 2) return { set: { items: all[0]!, next: all[1]! } }
    if (bytes[0] === CHUNK) return { numbers: sums(all) }
    if (bytes[0] !== DIRECTORY || all.length % 2 > 0) throw new RangeError('it is no value of sets')
    const firsts = sums(all.filter((_, i) => i % 2 === 0))
    return { directory: firsts.map((first, i) => ({ first, id: all[2 * i + 1]! })) }
  },
}

function differences(numbers: readonly number[]): number[] {
  return numbers.map((number, i) => (i === 0 ? number : number - numbers[i - 1]!))
}

function sums(numbers: readonly number[]): number[] {
  let sum = 0
  return numbers.map((number) => (sum += number))
}

function varints(tag: number, numbers: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(numbers.reduce((length, one) => length + lengthOf(one), 1))
  bytes[0] = tag
  let at = 1
  for (const number of numbers) at = writeVarint(bytes, at, number)
  return bytes
}

/** As `varintLength`, for numbers of up to 53 bits. */
function lengthOf(number: number): number {
  let length = 1
  for (let rest = number; rest >= 0x80; rest = Math.floor(rest / 0x80)) length++
  return length
}

/** Behind the first byte. */
function readVarints(bytes: Uint8Array): number[] {
  const numbers: number[] = []
  let number = 0
  let scale = 1
  for (let at = 1; at < bytes.length; at++) {
    const byte = bytes[at]!
    number += (byte & 0x7f) * scale
    scale *= 0x80
    if (byte >= 0x80) continue
    numbers.push(number)
    number = 0
    scale = 1
  }
  if (scale > 1) throw new RangeError('a number is cut short')
  return numbers
}
