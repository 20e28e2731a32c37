/**
 * The index in memory: hash of a key → position of its entry. Keys are not kept; whoever looks up compares the key of
 * the entry found, and asks on if it is another one.
 *
 *   hash (32 bits)   │ shard 8 │ tag 24 │                           shards: 256 open-addressed tables, each grows alone
 *   slot (2 × u32)   │ position, low 32 │ tag 24, position high 8 │       position 0 … 2^40 − 1; low half 0: empty
 *
 * 1. Slots in use are in the order of their tags, and none lies before its home, floor(tag × homes / 2^24). So a search from the home on
 *    ends at a larger tag, and growing reads and writes in order. (Ordered hash tables: O. Amble and D. E. Knuth, 1974.)
 * 2. Nothing wraps around: behind the homes there is room for those that were pushed on, as much as they need, and the last slot is
 *    always empty.
 * 3. At most three quarters full; growth by half, of large tables by an eighth. So a key takes 10.7 to 16 bytes, above a million keys
 *    up to 13, and one growth moves 1/256 of the keys.
 * 4. A position is in the table at most once; several positions with one hash may be.
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
/** Slots behind the homes of a large table, unless more are needed. */
const PUSHED = 32
export const TWO_32 = 0x1_0000_0000
/** The table of all shards that hold nothing: a store opens in a third less time than with 256 of their own. Never written to. */
const EMPTY = new Uint32Array(2)

export class HashIndex {
  /**
   * Slots of each shard, two words each. Not to be kept while anything is inserted: a table that grows is filled anew in place, or
   * is empty from then on.
   */
  readonly tables: Uint32Array[] = []
  /** Homes of each shard's table. */
  readonly homes: Uint32Array = new Uint32Array(SHARDS).fill(1)
  readonly #counts: Int32Array = new Int32Array(SHARDS)
  /** Positions held. */
  count = 0

  constructor() {
    for (let i = 0; i < SHARDS; i++) this.tables.push(EMPTY)
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

  /** Adds a position. The caller knows that it is not there. */
  insert(hash: number, position: number): void {
    const shard = hash >>> 24
    const count = this.#counts[shard]! + 1
    if (count * 4 > (this.tables[shard]!.length >>> 1) * 3) this.#grow(shard)
    const low = position >>> 0
    const high = highOf(hash, position)
    while (!place(this.tables[shard]!, this.homes[shard]!, low, high)) this.#makeRoom(shard)
    this.#counts[shard] = count
    this.count++
  }

  /** Puts `next` in the place of `previous`; false when that is not there. */
  replace(hash: number, previous: number, next: number): boolean {
    const table = this.tables[hash >>> 24]!
    const slot = this.#slotOf(hash, previous)
    if (slot < 0) return false
    table[slot * 2] = next >>> 0
    table[slot * 2 + 1] = highOf(hash, next)
    return true
  }

  /** Takes a position out; false when it is not there. */
  remove(hash: number, position: number): boolean {
    let slot = this.#slotOf(hash, position)
    if (slot < 0) return false
    const shard = hash >>> 24
    const table = this.tables[shard]!
    const homes = this.homes[shard]!
    // Those that were pushed on come back.
    for (;;) {
      const low = table[slot * 2 + 2]!
      const high = table[slot * 2 + 3]!
      if (low === 0 || homeIn(homes, high >>> 8) > slot) break
      table[slot * 2] = low
      table[slot * 2 + 1] = high
      slot++
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
    const tag = hash & 0xff_ffff
    for (let slot = homeIn(this.homes[hash >>> 24]!, tag); ; slot++) {
      const low = table[slot * 2]!
      const high = table[slot * 2 + 1]!
      if (low === 0 || high >>> 8 > tag) return
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

  /** Makes a shard what `dump` gave of one with `count` positions and so many homes; false where that cannot be. */
  restore(shard: number, count: number, homes: number, dump: Uint32Array): boolean {
    if (count === 0 && dump.length === 0) {
      this.tables[shard] = EMPTY
      this.homes[shard] = 1
    } else if (dump.length === count * 2) {
      const slots = Math.max(FIRST_CAPACITY, (count * 3) / 2)
      this.#put(shard, tableLength((count * 4) / 3 + 2, slots), undefined, dump)
    } else {
      const slots = dump.length >>> 1
      if (count * 4 > slots * 3 || homes >= slots || dump[dump.length - 2] !== 0) return false
      this.#set(shard, dump)
      this.homes[shard] = homes
    }
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
    const tag = hash & 0xff_ffff
    const low = position >>> 0
    const high = highOf(hash, position)
    for (let slot = homeIn(this.homes[hash >>> 24]!, tag); ; slot++) {
      const found = table[slot * 2]!
      const foundHigh = table[slot * 2 + 1]!
      if (found === 0 || foundHigh >>> 8 > tag) return -1
      if (found === low && foundHigh === high) return slot
    }
  }

  #grow(shard: number): void {
    const table = this.tables[shard]!
    const slots = table.length >>> 1
    const growth = slots < LARGE_CAPACITY ? 1.5 : LARGE_GROWTH
    const wanted = slots === 1 ? FIRST_CAPACITY : slots * growth
    this.#put(shard, tableLength(slots * LEAST_GROWTH, wanted), undefined, table)
  }

  /** More room behind the homes: so many have tags near the largest one. */
  #makeRoom(shard: number): void {
    const table = this.tables[shard]!
    const slots = (table.length >>> 1) + PUSHED
    this.#put(shard, tableLength(slots, slots * LARGE_GROWTH), this.homes[shard], table)
  }

  /** Gives a shard a table of `length` words, or more where that is too little, with the entries of `slots`. */
  #put(shard: number, length: number, homes: number | undefined, slots: Uint32Array): void {
    const words = slots.length
    if (source.length < words) source = new Uint32Array(2 * words)
    source.set(slots)
    const wanted = homes ?? homesOf(length >>> 1)
    for (
      let tried = length;
      ;
      tried = tableLength((tried >>> 1) + 1, (tried >>> 1) * LARGE_GROWTH)
    ) {
      if (target.length < tried) target = new Uint32Array(2 * tried)
      const filled = target.subarray(0, tried)
      filled.fill(0)
      if (!fill(filled, wanted, source, words)) continue
      this.#set(shard, filled)
      this.homes[shard] = wanted
      return
    }
  }

  /** Makes `slots` a shard's table. */
  #set(shard: number, slots: Uint32Array): void {
    const table = this.tables[shard]!
    // In place only the new pages have to be had from the system.
    let larger = slots.length > table.length ? extended(table, slots.length) : undefined
    if (larger === undefined) {
      larger = ownIntegers(slots.length, slots.length * RESERVE)
      release(table)
    }
    larger.set(slots)
    this.tables[shard] = larger
  }
}

/** Where a search for `tag` begins. */
export function homeIn(homes: number, tag: number): number {
  return (tag * homes * TAG_SCALE) | 0
}

/** Homes of a table of so many slots, if what is pushed on needs no more room than usual. */
function homesOf(slots: number): number {
  return slots - Math.min(slots >>> 2, PUSHED)
}

/** The second word of a slot. */
function highOf(hash: number, position: number): number {
  return (((hash & 0xff_ffff) << 8) | Math.floor(position / TWO_32)) >>> 0
}

/** Words of a table for about `wanted` entries, at least `least`. */
function tableLength(least: number, wanted: number): number {
  return roomFor(Math.ceil(least) * SLOT_BYTES, Math.ceil(wanted) * SLOT_BYTES) >>> 2
}

/** Where tables are filled: access to plain memory is twice as fast as to one that can be resized, and copies take little. */
let source = new Uint32Array(0)
let target = new Uint32Array(0)

/** False where there is no room behind the homes for what is pushed on. */
function fill(table: Uint32Array, homes: number, from: Uint32Array, words: number): boolean {
  const last = (table.length >>> 1) - 1
  let next = 0
  for (let i = 0; i < words; i += 2) {
    const low = from[i]!
    if (low === 0) continue
    const high = from[i + 1]!
    const home = homeIn(homes, high >>> 8)
    const slot = home > next ? home : next
    if (slot >= last) return false
    table[slot * 2] = low
    table[slot * 2 + 1] = high
    next = slot + 1
  }
  return true
}

/** Puts a slot in its place in the order; false where the table has to grow for it. */
function place(table: Uint32Array, homes: number, low: number, high: number): boolean {
  const tag = high >>> 8
  let slot = homeIn(homes, tag)
  while (table[slot * 2] !== 0 && table[slot * 2 + 1]! >>> 8 <= tag) slot++
  let end = slot
  while (table[end * 2] !== 0) end++
  if (end >= (table.length >>> 1) - 1) return false
  for (; end > slot; end--) {
    table[end * 2] = table[end * 2 - 2]!
    table[end * 2 + 1] = table[end * 2 - 1]!
  }
  table[slot * 2] = low
  table[slot * 2 + 1] = high
  return true
}
