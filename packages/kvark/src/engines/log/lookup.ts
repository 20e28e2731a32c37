/**
 * From a key to its entry: probe the index, read the entry where it points, compare the key, go on if it is another one.
 *
 * 1. Everything is read through the cache; what is not there makes the call answer `BLOCKED` with the page's `Block`.
 * 2. An entry in a damaged block is `CORRUPTION`, never taken for another key.
 *
 * Filled-in fields instead of a result object: this is the hot path of every get and put.
 */

import { BLOCKED, FOUND, MISSING, SPREAD } from '../../engine/engine.ts'
import type { Found } from '../../engine/found.ts'
import { corruption } from '../../errors.ts'
import { type Block, type Cache, PAGE_BITS, SLAB_BITS, SLAB_MASK } from '../../storage/cache.ts'
import {
  ASCII_VALUE,
  EntryHeader,
  EXPIRY_BYTES,
  SEQUENCE_BYTES,
  SHORT_HEADER_BYTES,
  SHORT_LENGTH,
  SHORT_PUT,
  SHORT_PUT_EXPIRING,
} from '../../storage/entry.ts'
import { copyCached, type Segment } from '../../storage/segment.ts'
import { WINDOW_BYTES, WINDOW_MASK } from '../../storage/segment-format.ts'
import { advance, roomInWindow } from '../../storage/segment-walk.ts'
import { type HashIndex, homeIn, TWO_32 } from './hash-index.ts'
import type { LogSegment, LogSegments } from './segments.ts'

const SLOT_MASK = 0x3ff_ffff
/** Values up to this length are gathered at once; longer ones take so long that the general way does not matter. */
const GATHERED_BYTES = 64 * 1024
/** `findShort` cannot say. */
export const UNDECIDED = -1

export class Lookup {
  readonly #segments: LogSegments
  readonly #cache: Cache
  /** The entry found: its position, segment, and address in the segment. */
  position = 0
  segment: LogSegment | undefined = undefined
  address = 0
  readonly entry: EntryHeader = new EntryHeader()
  /** The page that holds the entry's beginning, and where in it the value begins (unless spread). */
  bytes: Buffer = Buffer.alloc(0)
  valueStart = 0
  /** Keeps the compiler from leaving `touch` out. */
  touched = 0
  /** The value last gathered. */
  #gathered: Buffer = Buffer.alloc(0)
  /** After `BLOCKED`. */
  block: Block | undefined = undefined

  constructor(segments: LogSegments, cache: Cache) {
    this.#segments = segments
    this.#cache = cache
  }

  /**
   * `find` of the newest entry straight into `found`: the way of nearly every get. `UNDECIDED` where anything is out of
   * the ordinary (a long key, a page that is not in memory), then `find` knows. The key comes by words, and all is read by words: byte by byte it takes twice the time.
   * Whether the entry has expired is for the caller to see.
   */
  findShort(
    index: HashIndex,
    hash: number,
    key: Uint32Array,
    length: number,
    found: Found,
  ): 0 | 1 | typeof UNDECIDED {
    if (length >= SHORT_LENGTH) return UNDECIDED
    const table = index.tables[hash >>> 24]!
    const tag = hash & 0xff_ffff
    const cache = this.#cache
    for (let slot = homeIn(index.homes[hash >>> 24]!, tag); ; slot++) {
      const low = table[slot * 2]!
      const high = table[slot * 2 + 1]!
      if (low === 0 || high >>> 8 > tag) return MISSING
      if (high >>> 8 < tag) continue
      const segment = this.#segments.slots[((high & 0xff) << 6) | (low >>> 26)]
      if (segment?.slot !== (((high & 0xff) << 6) | (low >>> 26))) return UNDECIDED
      const { file } = segment
      const address = low & SLOT_MASK
      const frame = file.pages.frames[address >>> PAGE_BITS]
      if (frame === undefined || frame < 0 || file.damage !== undefined) return UNDECIDED
      cache.referenced[frame] = 1
      const view = cache.views[frame >> SLAB_BITS]!
      const at = ((frame & SLAB_MASK) << PAGE_BITS) + (address & WINDOW_MASK)
      const head = view.getUint32(at, true)
      if ((head & 0xff00) !== length << 8) return UNDECIDED
      let valueLength = (head >>> 16) & 0x7f
      let keyAt = at + SHORT_HEADER_BYTES
      let expiryBytes = 0
      if ((head & 0xff & ~ASCII_VALUE) !== SHORT_PUT) {
        if ((head & 0xff & ~ASCII_VALUE) !== SHORT_PUT_EXPIRING) return UNDECIDED
        expiryBytes = EXPIRY_BYTES
        keyAt += EXPIRY_BYTES
      }
      if ((head & 0x80_0000) !== 0) {
        valueLength |= (head >>> 17) & 0x3f80
        keyAt++
        if (head >= 0x8000_0000) {
          const third = view.getUint8(at + 4)
          if (third >= 0x80) return UNDECIDED
          valueLength |= third << 14
          keyAt++
        }
      }
      const end = keyAt + length + valueLength
      const windowEnd = at - (address & WINDOW_MASK) + WINDOW_BYTES
      if (keyAt + length > windowEnd) return UNDECIDED
      const whole = length & ~3
      let same = 0
      while (same < whole && view.getUint32(keyAt + same, true) === key[same >>> 2]) same += 4
      if (same < whole) continue
      const rest = key[whole >>> 2]!
      while (same < length && view.getUint8(keyAt + same) === ((rest >>> (same << 3)) & 0xff))
        same++
      if (same < length) continue
      if (end <= windowEnd) {
        found.bytes = cache.slabs[frame >> SLAB_BITS]!
        found.start = keyAt + length
        found.end = end
      } else {
        const from = advance(file.form, address, keyAt + length - at)
        if (!this.gather(found, file, from, valueLength)) return UNDECIDED
      }
      const sequenceAt = keyAt - SEQUENCE_BYTES - expiryBytes
      found.sequence =
        view.getUint16(sequenceAt + 4, true) * TWO_32 + view.getUint32(sequenceAt, true)
      found.expiry =
        expiryBytes === 0
          ? 0
          : view.getUint16(keyAt - 2, true) * TWO_32 + view.getUint32(keyAt - EXPIRY_BYTES, true)
      found.ascii = (head & ASCII_VALUE) !== 0
      return FOUND
    }
  }

  /**
   * Loads what lookups of many hashes will read, slots first and then entries: the processor waits for many of these misses at
   * once, not for each in its turn.
   */
  touch(index: HashIndex, hashes: Uint32Array, count: number): void {
    const { tables, homes } = index
    const cache = this.#cache
    let seen = 0
    for (let i = 0; i < count; i++) {
      const hash = hashes[i]!
      const table = tables[hash >>> 24]!
      seen ^= table[homeIn(homes[hash >>> 24]!, hash & 0xff_ffff) * 2]!
    }
    for (let i = 0; i < count; i++) {
      const hash = hashes[i]!
      const table = tables[hash >>> 24]!
      const tag = hash & 0xff_ffff
      let slot = homeIn(homes[hash >>> 24]!, tag)
      while (table[slot * 2] !== 0 && table[slot * 2 + 1]! >>> 8 < tag) slot++
      const low = table[slot * 2]!
      const high = table[slot * 2 + 1]!
      if (low === 0 || high >>> 8 > tag) continue
      const segment = this.#segments.slots[((high & 0xff) << 6) | (low >>> 26)]
      const address = low & SLOT_MASK
      const frame = segment?.file.pages.frames[address >>> PAGE_BITS]
      if (frame === undefined || frame < 0) continue
      const at = ((frame & SLAB_MASK) << PAGE_BITS) + (address & WINDOW_MASK)
      seen ^= cache.views[frame >> SLAB_BITS]!.getUint8(at)
    }
    this.touched = seen
  }

  /** Points `found` to a copy of a value that runs through several windows, if it is short and all of it in memory. */
  gather(found: Found, file: Segment, from: number, length: number): boolean {
    if (length > GATHERED_BYTES || file.damage !== undefined) return false
    if (this.#gathered.length < length) this.#gathered = Buffer.allocUnsafeSlow(2 * length)
    if (copyCached(this.#cache, file, from, this.#gathered, 0, length) < length) return false
    found.bytes = this.#gathered
    found.start = 0
    found.end = length
    return true
  }

  /** Looks for the newest entry of `key[start .. start + length)` not written after `maxSequence`. */
  find(
    index: HashIndex,
    hash: number,
    key: Uint8Array,
    start: number,
    length: number,
    maxSequence: number,
  ): 0 | 1 | 2 | 3 {
    const table = index.tables[hash >>> 24]!
    const tag = hash & 0xff_ffff
    for (let slot = homeIn(index.homes[hash >>> 24]!, tag); ; slot++) {
      const low = table[slot * 2]!
      const high = table[slot * 2 + 1]!
      if (low === 0 || high >>> 8 > tag) return MISSING
      if (high >>> 8 < tag) continue
      const status = this.read(high & 0xff, low, key, start, length)
      if (status === BLOCKED) return BLOCKED
      if (status !== MISSING && this.entry.sequence <= maxSequence) return status
    }
  }

  /** Reads the entry at a position and compares its key: `MISSING` when it is another one. */
  read(high: number, low: number, key: Uint8Array, start: number, length: number): 0 | 1 | 2 | 3 {
    const slot = (high << 6) | (low >>> 26)
    const segment = this.#segments.slots[slot] ?? this.#segments.at(high * TWO_32 + low)
    const address = (low & SLOT_MASK) + (slot - segment.slot) * (SLOT_MASK + 1)
    const { file } = segment
    const frame = file.pages.frames[address >>> PAGE_BITS]
    if (frame === undefined) throw corruption(file.path, address, 'the segment is cut short')
    if (frame < 0) {
      // What compaction lets go of nobody finds any more.
      file.pages.checkOpen()
      this.block = this.#cache.block(file.pages, address >>> PAGE_BITS)
      return BLOCKED
    }
    const cache = this.#cache
    cache.referenced[frame] = 1
    const bytes = cache.slabs[frame >> SLAB_BITS]!
    const at = ((frame & SLAB_MASK) << PAGE_BITS) + (address & WINDOW_MASK)
    const end = at - (address & WINDOW_MASK) + WINDOW_BYTES
    if (file.damage !== undefined) {
      const damage = file.damageAt(address, 1)
      if (damage) throw damage
    }
    // Most keys are shorter than 128 bytes: decide by one byte before reading the rest.
    const short = bytes[at + 1]!
    if (short < 0x80 && short !== length && (bytes[at]! & 3) !== 0) return MISSING
    const { entry } = this
    if (!entry.read(bytes, at, end) || entry.kind === 0) {
      throw corruption(file.path, address, 'there is no entry where the index points')
    }
    if (entry.keyLength !== length) return MISSING
    const keyAt = at + entry.length
    if (keyAt + length <= end) {
      for (let i = 0; i < length; i++) if (bytes[keyAt + i] !== key[start + i]) return MISSING
    } else {
      const status = this.#compareSpread(segment, address, key, start, length)
      if (status !== FOUND) return status
    }
    this.position = high * TWO_32 + low
    this.segment = segment
    this.address = address
    this.bytes = bytes
    this.valueStart = keyAt + length
    return keyAt + length + entry.valueLength <= end ? FOUND : SPREAD
  }

  /** Compares a key that runs through several windows. */
  #compareSpread(
    segment: LogSegment,
    address: number,
    key: Uint8Array,
    start: number,
    length: number,
  ): 0 | 1 | 2 {
    const { pages } = segment.file
    let done = 0
    while (done < length) {
      const from = advance(segment.file.form, address, this.entry.length + done)
      const page = from >>> PAGE_BITS
      const frame = pages.frames[page]
      if (frame === undefined) throw corruption(segment.file.path, from, 'the segment is cut short')
      if (frame < 0) {
        pages.checkOpen()
        this.block = this.#cache.block(pages, page)
        return BLOCKED
      }
      const damage = segment.file.damageAt(from, 1)
      if (damage) throw damage
      this.#cache.referenced[frame] = 1
      const bytes = this.#cache.slabs[frame >> SLAB_BITS]!
      const at = ((frame & SLAB_MASK) << PAGE_BITS) + (from & WINDOW_MASK)
      const part = Math.min(length - done, roomInWindow(from))
      for (let i = 0; i < part; i++) if (bytes[at + i] !== key[start + done + i]) return MISSING
      done += part
    }
    return FOUND
  }
}
