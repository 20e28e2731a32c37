/**
 * Iterators over entries, keys and values. abstract-level has a class for each; what they do is one `Walk`.
 *
 *   iterator() ──► Walk: a view of the store now, or the snapshot's ──► next, nextv ──► kvark's cursor ──► formats
 *                                                 └── seek: another cursor of the same view, from there
 *
 * 1. The view is taken when the iterator is made.
 * 2. A cursor is made when something is read. After `seek` it begins at the target; a target outside of the range is the end, until the
 *    next `seek`.
 * 3. abstract-level keeps the limit, and sees to it that calls do not overlap.
 */

import { AbstractIterator, AbstractKeyIterator, AbstractValueIterator } from 'abstract-level'
import type { Cursor, KeyRange, OrderedSnapshot, RangeOptions } from 'kvark'
import { asLevelError, LevelError } from './errors.ts'
import { type Data, type Format, fromBytes, keyBytes } from './formats.ts'
import { type ByteReader, type ByteStore, LevelSnapshot } from './snapshot.ts'

/** What abstract-level hands to `_iterator`, `_keys` and `_values`. */
export interface WalkRequest extends EncodedRange {
  readonly keyEncoding: Format
  readonly valueEncoding: Format
  readonly reverse: boolean
  readonly keys?: boolean
  readonly values?: boolean
  readonly snapshot?: LevelSnapshot
  readonly signal?: AbortSignal
  readonly highWaterMarkBytes?: number
}

/** A range whose keys are encoded. */
export interface EncodedRange {
  readonly gt?: Data
  readonly gte?: Data
  readonly lt?: Data
  readonly lte?: Data
}

type Entry = [Data | undefined, Data | undefined]

/** As of classic-level. */
const HIGH_WATER_MARK_BYTES = 16 * 1024

/** The range in kvark's terms, which takes one bound at each end. */
export function byteRange({ gt, gte, lt, lte }: EncodedRange): KeyRange<Uint8Array> {
  return {
    ...(gte !== undefined ? { gte: keyBytes(gte) } : gt !== undefined && { gt: keyBytes(gt) }),
    ...(lte !== undefined ? { lte: keyBytes(lte) } : lt !== undefined && { lt: keyBytes(lt) }),
  }
}

function isOutside(key: Uint8Array, { gt, gte, lt, lte }: KeyRange<Uint8Array>): boolean {
  return (
    (gte !== undefined && Buffer.compare(key, gte) < 0) ||
    (gt !== undefined && Buffer.compare(key, gt) <= 0) ||
    (lte !== undefined && Buffer.compare(key, lte) > 0) ||
    (lt !== undefined && Buffer.compare(key, lt) >= 0)
  )
}

/** What is no mark must not be taken for one: nothing would be read, and that looks like the end. */
function isMark(value: unknown): value is number {
  return typeof value === 'number' && value >= 0
}

/** Steps of one iterator. */
interface Steps<T> {
  next(): Promise<T | undefined>
  /** Up to `size` items; fewer where they take more bytes than the mark; none at the end. */
  nextMany(size: number): Promise<T[]>
  seek(target: Data): void
  close(): void
}

/** What a walk gets from the store, and what it makes of it. */
interface Source<Raw, T> {
  cursor(view: ByteReader, range: RangeOptions<Uint8Array>): Cursor<Raw>
  bytes(raw: Raw): number
  item(raw: Raw): T
}

class Walk<Raw, T> implements Steps<T> {
  readonly #source: Source<Raw, T>
  readonly #range: KeyRange<Uint8Array>
  readonly #reverse: boolean
  readonly #signal: AbortSignal | undefined
  readonly #mark: number
  readonly #own: OrderedSnapshot<Uint8Array, Uint8Array> | undefined
  readonly #view: ByteReader
  #cursor: Cursor<Raw> | undefined
  #target: Uint8Array | undefined

  constructor(store: ByteStore, request: WalkRequest, source: Source<Raw, T>) {
    const { snapshot, reverse, signal, highWaterMarkBytes } = request
    this.#source = source
    this.#range = byteRange(request)
    this.#reverse = reverse
    this.#signal = signal ?? undefined
    this.#mark = isMark(highWaterMarkBytes) ? highWaterMarkBytes : HIGH_WATER_MARK_BYTES
    this.#own = snapshot ? undefined : store.snapshot()
    this.#view = this.#own ?? LevelSnapshot.viewOf(snapshot!, store)
  }

  async next(): Promise<T | undefined> {
    try {
      const { done, value } = await this.#running().next()
      this.#checkSignal()
      return done ? undefined : this.#source.item(value)
    } catch (error) {
      throw asLevelError(error)
    }
  }

  async nextMany(size: number): Promise<T[]> {
    const items: T[] = []
    try {
      const cursor = this.#running()
      for (let bytes = 0; items.length < size && bytes <= this.#mark; ) {
        const { done, value } = await cursor.next()
        this.#checkSignal()
        if (done) break
        bytes += this.#source.bytes(value)
        items.push(this.#source.item(value))
      }
    } catch (error) {
      throw asLevelError(error)
    }
    return items
  }

  seek(target: Data): void {
    this.#target = keyBytes(target)
    this.#cursor?.close()
    this.#cursor = undefined
  }

  close(): void {
    this.#cursor?.close()
    this.#own?.close()
  }

  #running(): Cursor<Raw> {
    this.#cursor ??= this.#source.cursor(this.#view, { ...this.#rest(), reverse: this.#reverse })
    return this.#cursor
  }

  /** The range from the target on. */
  #rest(): RangeOptions<Uint8Array> {
    const target = this.#target
    if (target === undefined) return this.#range
    if (isOutside(target, this.#range)) return { limit: 0 }
    const { gt, gte, lt, lte } = this.#range
    return this.#reverse
      ? { ...(gte && { gte }), ...(gt && { gt }), lte: target }
      : { ...(lte && { lte }), ...(lt && { lt }), gte: target }
  }

  #checkSignal(): void {
    if (!this.#signal?.aborted) return
    throw new LevelError('LEVEL_ABORTED', 'The operation was aborted.', {
      cause: this.#signal.reason,
    })
  }
}

function walkKeys<T>(
  store: ByteStore,
  request: WalkRequest,
  item: (key: Uint8Array) => T,
): Steps<T> {
  return new Walk(store, request, {
    cursor: (view, range) => view.keys(range),
    bytes: (key) => key.length,
    item,
  })
}

function walkValues<T>(
  store: ByteStore,
  request: WalkRequest,
  item: (value: Uint8Array) => T,
): Steps<T> {
  return new Walk(store, request, {
    cursor: (view, range) => view.values(range),
    bytes: (value) => value.length,
    item,
  })
}

function walkEntries(store: ByteStore, request: WalkRequest): Steps<Entry> {
  const { keyEncoding, valueEncoding, keys, values } = request
  if (keys === false && values !== false) {
    return walkValues(store, request, (value) => [undefined, fromBytes(value, valueEncoding)])
  }
  if (values === false) {
    return walkKeys(store, request, (key) => [
      keys === false ? undefined : fromBytes(key, keyEncoding),
      undefined,
    ])
  }
  return new Walk<[Uint8Array, Uint8Array], Entry>(store, request, {
    cursor: (view, range) => view.entries(range),
    bytes: ([key, value]) => key.length + value.length,
    item: ([key, value]) => [fromBytes(key, keyEncoding), fromBytes(value, valueEncoding)],
  })
}

export class LevelIterator extends AbstractIterator<unknown, unknown, unknown> {
  readonly #walk: Steps<Entry>

  constructor(db: object, store: ByteStore, request: WalkRequest) {
    // First: an iterator that cannot be made must not be left with the database, which closes it.
    const walk = walkEntries(store, request)
    super(db, request)
    this.#walk = walk
  }

  protected _next(): Promise<Entry | undefined> {
    return this.#walk.next()
  }

  protected _nextv(size: number): Promise<Entry[]> {
    return this.#walk.nextMany(size)
  }

  protected _seek(target: Data): void {
    this.#walk.seek(target)
  }

  protected async _close(): Promise<void> {
    this.#walk.close()
  }
}

export class LevelKeyIterator extends AbstractKeyIterator<unknown, unknown> {
  readonly #walk: Steps<Data>

  constructor(db: object, store: ByteStore, request: WalkRequest) {
    // First: an iterator that cannot be made must not be left with the database, which closes it.
    const walk = walkKeys(store, request, (key) => fromBytes(key, request.keyEncoding))
    super(db, request)
    this.#walk = walk
  }

  protected _next(): Promise<Data | undefined> {
    return this.#walk.next()
  }

  protected _nextv(size: number): Promise<Data[]> {
    return this.#walk.nextMany(size)
  }

  protected _seek(target: Data): void {
    this.#walk.seek(target)
  }

  protected async _close(): Promise<void> {
    this.#walk.close()
  }
}

export class LevelValueIterator extends AbstractValueIterator<unknown, unknown, unknown> {
  readonly #walk: Steps<Data>

  constructor(db: object, store: ByteStore, request: WalkRequest) {
    // First: an iterator that cannot be made must not be left with the database, which closes it.
    const walk = walkValues(store, request, (value) => fromBytes(value, request.valueEncoding))
    super(db, request)
    this.#walk = walk
  }

  protected _next(): Promise<Data | undefined> {
    return this.#walk.next()
  }

  protected _nextv(size: number): Promise<Data[]> {
    return this.#walk.nextMany(size)
  }

  protected _seek(target: Data): void {
    this.#walk.seek(target)
  }

  protected async _close(): Promise<void> {
    this.#walk.close()
  }
}
