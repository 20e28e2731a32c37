/**
 * What a transaction has read: keys, there or not, and ranges in which it knows every key.
 *
 *   get 'b'                          keys      b
 *   walk from 'd', left at 'f'       ranges    [d, f·0)         f·0: the least key above f
 *   walk of [p, q) to its end                  [p, q)
 *
 * It tells whether writes that came later would have changed what was read (`isChangedSince`).
 *
 * 1. A key of a range counts as read although it is not there: what appears in it is a change (no phantoms).
 */

import { KeyTable } from './key-table.ts'
import type { Bounds } from './range.ts'
import type { WriteHistory, WriteVisitor } from './write-history.ts'

export class ReadSet implements WriteVisitor {
  readonly keys: KeyTable = new KeyTable()
  readonly #ranges: Bounds[] = []
  /** The ranges are in order and apart from each other. */
  #sorted = true

  get isEmpty(): boolean {
    return this.keys.count === 0 && this.#ranges.length === 0
  }

  /** Nothing where the range is empty. */
  addRange(from: Buffer, to: Buffer): void {
    if (to.length > 0 && from.compare(to) >= 0) return
    this.#ranges.push({ from, to })
    this.#sorted = this.#ranges.length === 1
  }

  /** Whether a write from `position` on has changed what was read, or that is not known any more. */
  isChangedSince(position: number, history: WriteHistory): boolean {
    if (this.isEmpty || position === history.end) return false
    if (!history.knows(position)) return true
    if (!this.#sorted) this.#merge()
    return history.tell(position, this)
  }

  clear(): void {
    this.keys.clear()
    if (this.#ranges.length > 0) this.#ranges.length = 0
    this.#sorted = true
  }

  key(bytes: Buffer, start: number, end: number, hash: number): boolean {
    if (this.keys.find(bytes, start, end, hash) >= 0) return true
    const i = this.#rangeAt(bytes, start, end)
    return i >= 0 && isBelow(bytes, start, end, this.#ranges[i]!.to)
  }

  range(from: Buffer, to: Buffer): boolean {
    const { keys } = this
    for (let i = 0; i < keys.count; i++) {
      const start = keys.startOf(i)
      const end = keys.endOf(i)
      if (keys.bytes.compare(from, 0, from.length, start, end) < 0) continue
      if (isBelow(keys.bytes, start, end, to)) return true
    }
    return this.#ranges.some(
      (one) => isBelow(one.from, 0, one.from.length, to) && isBelow(from, 0, from.length, one.to),
    )
  }

  /** The last range that begins at this key or before it, −1: none. */
  #rangeAt(bytes: Buffer, start: number, end: number): number {
    const ranges = this.#ranges
    let low = 0
    let high = ranges.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const { from } = ranges[middle]!
      if (bytes.compare(from, 0, from.length, start, end) >= 0) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  #merge(): void {
    const ranges = this.#ranges
    ranges.sort((a, b) => a.from.compare(b.from))
    let last = 0
    for (let i = 1; i < ranges.length; i++) {
      const before = ranges[last]!
      const one = ranges[i]!
      if (before.to.length > 0 && one.from.compare(before.to) > 0) ranges[++last] = one
      else if (before.to.length > 0 && isAbove(one.to, before.to)) {
        ranges[last] = { from: before.from, to: one.to }
      }
    }
    ranges.length = last + 1
    this.#sorted = true
  }
}

/** Whether a key lies before the end of a range; empty: there is none. */
function isBelow(bytes: Buffer, start: number, end: number, to: Buffer): boolean {
  return to.length === 0 || bytes.compare(to, 0, to.length, start, end) < 0
}

function isAbove(end: Buffer, other: Buffer): boolean {
  return end.length === 0 || end.compare(other) > 0
}
