/**
 * A row: entries of a collection at positions that follow each other, with holes where some were removed, and its two ends.
 *
 *          head                                tail
 *            ▼                                  ▼
 *   positions │ entry │ hole │ entry │ entry │  …          both ends are at an entry where there is one
 *
 * What is at a position, and under which key it lies, is the collection's.
 */

import { Effect, type Routine } from '../../environment/routine.ts'
import type { Entry } from '../call-types.ts'
import type { OrderedTable } from '../types.ts'
import type { Collection, Shared } from './collection.ts'

/** Places that are looked at one by one before a cursor does it. */
const PROBED = 4
const LOOKED_AT = 64

/** From `head` on and before `tail` there are so many entries. */
export class Ends {
  readonly head: number
  readonly tail: number
  readonly items: number

  constructor(head: number, tail: number, items: number) {
    this.head = head
    this.tail = tail
    this.items = items
  }
}

const EMPTY = new Ends(0, 0, 0)
const ENDS_BYTES = 24

/** `undefined`: there are none yet. */
export function endsOf(entry: Entry<unknown> | undefined): Ends {
  return entry === undefined ? EMPTY : (entry.value as Ends)
}

/** Behind a byte that says what it is. */
export function encodeEnds(tag: number, { head, tail, items }: Ends): Uint8Array {
  const bytes = Buffer.alloc(1 + ENDS_BYTES)
  bytes[0] = tag
  bytes.writeDoubleLE(head, 1)
  bytes.writeDoubleLE(tail, 9)
  bytes.writeDoubleLE(items, 17)
  return bytes
}

export function decodeEnds(bytes: Uint8Array): Ends {
  if (bytes.length !== 1 + ENDS_BYTES) throw new RangeError('these are no ends of a row')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return new Ends(view.getFloat64(1, true), view.getFloat64(9, true), view.getFloat64(17, true))
}

export const POSITION_BYTES = 8
/** Positions go both ways from 0. */
const MIDDLE = 2 ** 52
const TWO_32 = 2 ** 32

/** Bytes that are in the order of the positions. */
export function writePosition(bytes: Buffer, at: number, position: number): void {
  const number = position + MIDDLE
  bytes.writeUInt32BE(Math.floor(number / TWO_32), at)
  bytes.writeUInt32BE(number % TWO_32, at + 4)
}

export function readPosition(bytes: Uint8Array, at: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, POSITION_BYTES)
  return view.getUint32(0) * TWO_32 + view.getUint32(4) - MIDDLE
}

export class Row<K, V> {
  readonly #collection: Collection<K, V, Shared>
  readonly #keyOf: (position: number) => K
  readonly #positionOf: (key: K) => number

  constructor(
    collection: Collection<K, V, Shared>,
    keyOf: (position: number) => K,
    positionOf: (key: K) => number,
  ) {
    this.#collection = collection
    this.#keyOf = keyOf
    this.#positionOf = positionOf
  }

  /** The first entry from `from` on, or with `back` the last before `to`, of those that are wanted: that is asked of those that are there. */
  *next(
    from: number,
    to: number,
    back: boolean,
    isWanted: (position: number) => boolean,
  ): Routine<number | undefined> {
    const { ordered } = this.#collection
    for (let i = 0; i < to - from; i++) {
      if (ordered && i === PROBED) {
        const [least, end] = back ? [from, to - i] : [from + i, to]
        return yield* this.#nextByOrder(least, end, back, isWanted)
      }
      const position = back ? to - 1 - i : from + i
      if ((yield* this.#collection.has(this.#keyOf(position))) && isWanted(position))
        return position
    }
    return undefined
  }

  /** The ends that are left without the entry at `position`. */
  *without(position: number, { head, tail, items }: Ends): Routine<Ends> {
    const isOther = (at: number): boolean => at !== position
    let first = head
    let last = tail
    if (position === head) first = (yield* this.next(head, tail, false, isOther)) ?? tail
    else if (position === tail - 1) {
      last = ((yield* this.next(head, tail, true, isOther)) ?? head - 1) + 1
    }
    return new Ends(first, last, items - 1)
  }

  *#nextByOrder(
    from: number,
    to: number,
    back: boolean,
    isWanted: (position: number) => boolean,
  ): Routine<number | undefined> {
    const table = this.#collection.table as OrderedTable<K, V>
    const cursor = table.keys({ gte: this.#keyOf(from), lt: this.#keyOf(to), reverse: back })
    const more = new Effect(
      () => cursor.nextManySync(LOOKED_AT),
      () => cursor.nextMany(LOOKED_AT),
    )
    try {
      for (;;) {
        const keys = yield* more
        const found = keys.map(this.#positionOf).find(isWanted)
        if (found !== undefined || keys.length < LOOKED_AT) return found
      }
    } finally {
      cursor.close()
    }
  }
}
