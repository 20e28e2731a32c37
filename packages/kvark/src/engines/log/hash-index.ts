/**
 * The index in memory: hash of a key → position of its entry. Keys are not kept; whoever looks up compares the key of
 * the entry found, and asks on if it is another one.
 *
 *   hash (32 bits)   │ shard 8 │ tag 24 │                           shards: 256 open-addressed tables, each grows alone
 *   slot (2 × u32)   │ position, low 32 │ tag 24, position high 8 │       position 0 … 2^40 − 1; low half 0: empty
 *
 * 1. An entry's home is floor(tag × capacity / 2^24): tables stay in the order of tags, so growing reads and writes in order.
 *    Linear probing with wrap-around; deletion shifts back, so there are no tombstones.
 * 2. At most three quarters full; growth by half, of large tables by an eighth. So a key takes 10.7 to 16 bytes, above a million keys
 *    up to 13, and one growth moves 1/256 of the keys.
 * 3. A position is in the table at most once; several positions with one hash may be.
 */

import { extended, ownIntegers, release, roomFor } from '../../bytes/memory.ts'

const SHARD_BITS = 8
export const SHARDS: number = 1 << SHARD_BITS
const FIRST_CAPACITY = 8
export const SLOT_BYTES = 8
/** Larger tables grow by less: they take most of the memory, and growing small ones often takes time. */
const LARGE_CAPACITY = 4096
const LARGE_GROWTH = 1.125
const LEAST_GROWTH = 1.05
/** A table can grow in place to so many times its length: addresses only. */
const RESERVE = 4
const TAG_SCALE = 1 / 0x100_0000
export const TWO_32 = 0x1_0000_0000

export class HashIndex {
  /**
   * Slots of each shard, two words each. Not to be kept while anything is inserted: a table that grows is filled anew in place, or
   * is empty from then on.
   */
  readonly tables: Uint32Array[] = []
  readonly #counts: Int32Array = new Int32Array(SHARDS)
  /** Positions held. */
  count = 0

  constructor() {
    for (let i = 0; i < SHARDS; i++) this.tables.push(ownIntegers(2 * FIRST_CAPACITY))
  }

  /** Bytes of memory. */
  get bytes(): number {
    let bytes = 0
    for (const table of this.tables) bytes += table.byteLength
    return bytes
  }

  /** Positions in one shard. */
  countOf(shard: number): number {
    return this.#counts[shard]!
  }

  /** The slot to look at first for `hash`. */
  home(hash: number): number {
    const capacity = this.tables[hash >>> 24]!.length >>> 1
    return ((hash & 0xff_ffff) * capacity * TAG_SCALE) | 0
  }

  /** Adds a position. The caller knows that it is not there. */
  insert(hash: number, position: number): void {
    const shard = hash >>> 24
    let table = this.tables[shard]!
    const count = this.#counts[shard]! + 1
    if (count * 4 > (table.length >>> 1) * 3) table = this.#grow(shard, table)
    this.#counts[shard] = count
    this.count++
    place(table, hash & 0xff_ffff, position >>> 0, Math.floor(position / TWO_32))
  }

  /** Puts `next` in the place of `previous`; false when that is not there. */
  replace(hash: number, previous: number, next: number): boolean {
    const table = this.tables[hash >>> 24]!
    const slot = this.#slotOf(hash, previous)
    if (slot < 0) return false
    table[slot * 2] = next >>> 0
    table[slot * 2 + 1] = (((hash & 0xff_ffff) << 8) | Math.floor(next / TWO_32)) >>> 0
    return true
  }

  /** Takes a position out; false when it is not there. */
  remove(hash: number, position: number): boolean {
    let slot = this.#slotOf(hash, position)
    if (slot < 0) return false
    const shard = hash >>> 24
    const table = this.tables[shard]!
    const capacity = table.length >>> 1
    // Shift back what would no longer be reached (Knuth, vol. 3, 6.4, algorithm R).
    let next = slot
    for (;;) {
      next = next + 1 === capacity ? 0 : next + 1
      if (table[next * 2] === 0) break
      const home = ((table[next * 2 + 1]! >>> 8) * capacity * TAG_SCALE) | 0
      const fits = slot <= next ? home <= slot || home > next : home <= slot && home > next
      if (!fits) continue
      table[slot * 2] = table[next * 2]!
      table[slot * 2 + 1] = table[next * 2 + 1]!
      slot = next
    }
    table[slot * 2] = 0
    table[slot * 2 + 1] = 0
    this.#counts[shard]!--
    this.count--
    return true
  }

  /** Whether exactly this position is held. */
  has(hash: number, position: number): boolean {
    return this.#slotOf(hash, position) >= 0
  }

  /** All positions whose hash has the same 32 bits, into `found`. */
  candidates(hash: number, found: number[]): void {
    found.length = 0
    const table = this.tables[hash >>> 24]!
    const capacity = table.length >>> 1
    const tag = hash & 0xff_ffff
    for (let slot = this.home(hash); ; slot = slot + 1 === capacity ? 0 : slot + 1) {
      const low = table[slot * 2]!
      if (low === 0) return
      const high = table[slot * 2 + 1]!
      if (high >>> 8 === tag) found.push((high & 0xff) * TWO_32 + low)
    }
  }

  /** Words that `dump` writes: the whole table, or only the slots in use where most are empty. */
  dumpLength(shard: number): number {
    const { length } = this.tables[shard]!
    const used = this.#counts[shard]! * 2
    return used * 2 < length ? used : length
  }

  /** Writes a shard as it is stored into `target`, which has room for `dumpLength` words. */
  dump(shard: number, target: Uint32Array): void {
    const table = this.tables[shard]!
    if (target.length === table.length) {
      target.set(table)
      return
    }
    let next = 0
    for (let i = 0; i < table.length; i += 2) {
      if (table[i] === 0) continue
      target[next++] = table[i]!
      target[next++] = table[i + 1]!
    }
  }

  /** Makes a shard what `dump` gave, with `count` positions; false where that cannot be. */
  restore(shard: number, count: number, dump: Uint32Array): boolean {
    let slots = dump
    if (dump.length === count * 2) {
      const wanted = Math.max(FIRST_CAPACITY, (count * 3) / 2)
      slots = fill(tableLength((count * 4) / 3 + 1, wanted), dump)
    } else if (count * 8 > dump.length * 3 || !hasEmptySlot(dump)) return false
    const table = newTable(slots.length)
    table.set(slots)
    this.tables[shard] = table
    this.count += count - this.#counts[shard]!
    this.#counts[shard] = count
    return true
  }

  /** Adds all positions to `other`. */
  moveInto(other: HashIndex): void {
    for (let shard = 0; shard < SHARDS; shard++) {
      const table = this.tables[shard]!
      for (let i = 0; i < table.length; i += 2) {
        const low = table[i]!
        if (low === 0) continue
        const high = table[i + 1]!
        other.insert(((shard << 24) | (high >>> 8)) >>> 0, (high & 0xff) * TWO_32 + low)
      }
    }
  }

  #slotOf(hash: number, position: number): number {
    const table = this.tables[hash >>> 24]!
    const capacity = table.length >>> 1
    const low = position >>> 0
    const high = (((hash & 0xff_ffff) << 8) | Math.floor(position / TWO_32)) >>> 0
    for (let slot = this.home(hash); ; slot = slot + 1 === capacity ? 0 : slot + 1) {
      const found = table[slot * 2]!
      if (found === 0) return -1
      if (found === low && table[slot * 2 + 1] === high) return slot
    }
  }

  #grow(shard: number, table: Uint32Array): Uint32Array {
    const capacity = table.length >>> 1
    const wanted = capacity * (capacity < LARGE_CAPACITY ? 1.5 : LARGE_GROWTH)
    const length = tableLength(capacity * LEAST_GROWTH, wanted)
    const filled = fill(length, table)
    // In place only the new pages have to be had from the system.
    let larger = extended(table, length)
    if (larger === undefined) {
      larger = newTable(length)
      release(table)
    }
    larger.set(filled)
    this.tables[shard] = larger
    return larger
  }
}

/** Words of a table for about `wanted` entries, at least `least`. */
function tableLength(least: number, wanted: number): number {
  return roomFor(Math.ceil(least) * SLOT_BYTES, Math.ceil(wanted) * SLOT_BYTES) >>> 2
}

function newTable(length: number): Uint32Array {
  return ownIntegers(length, length * RESERVE)
}

/** Without one a search for what is not there would never end. */
function hasEmptySlot(table: Uint32Array): boolean {
  for (let i = 0; i < table.length; i += 2) if (table[i] === 0) return true
  return false
}

/** Where tables are filled: access to plain memory is twice as fast as to one that can be resized, and copies take little. */
let source = new Uint32Array(0)
let target = new Uint32Array(0)

/** A table of `length` words with the entries of `slots`; valid until the next call. */
function fill(length: number, slots: Uint32Array): Uint32Array {
  const words = slots.length
  if (source.length < words) source = new Uint32Array(2 * words)
  if (target.length < length) target = new Uint32Array(2 * length)
  source.set(slots)
  target.fill(0, 0, length)
  const from = source
  const table = target
  const capacity = length >>> 1
  for (let i = 0; i < words; i += 2) {
    const low = from[i]!
    if (low === 0) continue
    const high = from[i + 1]!
    let slot = ((high >>> 8) * capacity * TAG_SCALE) | 0
    while (table[slot * 2] !== 0) slot = slot + 1 === capacity ? 0 : slot + 1
    table[slot * 2] = low
    table[slot * 2 + 1] = high
  }
  return table.subarray(0, length)
}

function place(table: Uint32Array, tag: number, low: number, high: number): void {
  const capacity = table.length >>> 1
  let slot = (tag * capacity * TAG_SCALE) | 0
  while (table[slot * 2] !== 0) slot = slot + 1 === capacity ? 0 : slot + 1
  table[slot * 2] = low
  table[slot * 2 + 1] = ((tag << 8) | high) >>> 0
}
