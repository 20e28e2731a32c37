/**
 * The adaptive hash: where keys that were read lately stand, so that a read of the newest tree goes there at once.
 *
 *   key ─► hash ─► bucket: 8 slots, a line of the processor's cache ─► leaf, offset of the cell ─► page ─► the cell: the key, whole?
 *
 *   bucket   │ 8 × (tag u16, generation u16) │ 8 × (leaf, offset of the cell: as many bits as a page's size has) │     64 bytes
 *
 *   leaf     a number of its own for a leaf of the newest tree: it stays when the leaf is copied to another page
 *
 * 1. A slot counts only while the leaf's generation is its own: that grows whenever a cell goes or moves, and stops counting at its
 *    largest, `TIRED`: such a leaf is not in here until it is copied.
 * 2. Numbers of leaves are not used twice: when they are used up, everything begins anew.
 * 3. A slot is a hint. Which entry it is the key in the cell says.
 * 4. Keys that are long in their page are not in here.
 * 5. A leaf that is searched again and again gets all its keys in at once, if there is room for those of the whole tree: one by one it
 *    would take a search for each of them. It costs about as much as that many searches, so it is never more than twice the work.
 *
 * It is a cache itself: a bucket that is full loses a slot, and a table that is too small for the tree is replaced by an empty one.
 * (The idea is that of InnoDB's adaptive hash index, MySQL reference manual, 17.5.3.)
 */

import { hash32, hashWords } from '../../bytes/hash.ts'
import { viewOf } from '../../bytes/short-copy.ts'
import { LITTLE_ENDIAN } from '../../bytes/words.ts'
import { FOUND, MISSING } from '../../engine/engine.ts'
import type { Found } from '../../engine/found.ts'
import type { Cache, PageTable } from '../../storage/cache.ts'
import { ASCII, HAS_EXPIRY, HEAD_BYTES } from './leaf.ts'
import { GENERATION_AT, HEADER_BYTES, type Page, PREFIX_AT, TIRED } from './page.ts'

const SLOTS = 8
const BUCKET_WORDS = 2 * SLOTS
const BUCKET_BYTES = 4 * BUCKET_WORDS
const FIRST_BUCKETS = 16
const FIRST_LEAVES = 64
/** Of the slots, before there are twice as many. */
const FULL = 3 / 4
/** Searches of a leaf before all its keys come in: as many as take as long as that. Each time twice as many, for its cells may keep moving. */
const FIRST_SEARCHES = 16
const MOST_SEARCHES = 0x8000
const NONE: Uint32Array = new Uint32Array(0)
const NO_VIEW: DataView = viewOf(new Uint8Array(0))
const EXPIRY_BYTES = 6
const TWO_32 = 0x1_0000_0000
/** `findShort` cannot say. */
export const UNDECIDED = -1

/** Plain memory: what can be resized, as elsewhere for large tables, is slower to read, by a twentieth of a whole get. */
function integers(length: number, before: Uint32Array = NONE): Uint32Array {
  const list = new Uint32Array(length)
  list.set(before)
  return list
}

/** Looks at the page with this number, for `readAt`; false where it is not in memory. */
export type Glance = (page: Page, number: number) => boolean

export class AdaptiveHash {
  /** Of the page that `find` has found an entry in. */
  number = 0
  /** Keeps the compiler from leaving out what is read only to have it near. */
  touched = 0
  readonly #page: Page
  readonly #glance: Glance
  readonly #bits: number
  readonly #seed: number
  readonly #mostBuckets: number
  #buckets: Uint32Array = NONE
  #mask = -1
  #filled = 0
  #victim = 0
  /** By leaf: its page; by page: its leaf, 0: none. */
  #pages: Uint32Array = integers(FIRST_LEAVES)
  #leaves: Uint32Array = integers(FIRST_LEAVES)
  #count = 0
  /** By leaf: searches before all its keys come in, and those since they did; u16 each. */
  #searches: Uint32Array = integers(FIRST_LEAVES)
  /** For a key of a leaf. */
  #scratch: Buffer | undefined
  /** The buffer in which keys come mostly, and the same as words, and from any place on. */
  #keyBytes: Uint8Array | undefined
  #keyWords: Uint32Array | undefined
  #keyView: DataView = NO_VIEW

  /** `bits`: of a page's size; `bytes`: how large it may become. */
  constructor(page: Page, glance: Glance, bits: number, seed: number, bytes: number) {
    this.#page = page
    this.#glance = glance
    this.#bits = bits
    this.#seed = seed
    this.#mostBuckets = 2 ** Math.floor(Math.log2(Math.max(1, bytes / BUCKET_BYTES)))
  }

  /** Memory that it takes. */
  get bytes(): number {
    return this.#buckets.byteLength
  }

  /** The leaf with the entry of the key `key[start .. end)`, as if it had been `read` there; `undefined`: not known here. */
  find(key: Uint8Array, start: number, end: number): Page | undefined {
    const mask = this.#mask
    if (mask < 0 || end - start >= this.#page.longBytes) return undefined
    const hash = this.#hashOf(key, start, end)
    const buckets = this.#buckets
    const at = (hash & mask) * BUCKET_WORDS
    const bits = this.#bits
    const tag = hash >>> 16
    for (let slot = at; slot < at + SLOTS; slot++) {
      const word = buckets[slot]!
      if (word >>> 16 !== tag) continue
      const place = buckets[slot + SLOTS]!
      const number = this.#pages[place >>> bits]!
      const page = this.#page
      if (number === 0 || !this.#glance(page, number)) continue
      const offset = place & ((1 << bits) - 1)
      if (page.readAt(offset, word & 0xffff, key, start, end)) {
        this.number = number
        return page
      }
    }
    return undefined
  }

  /**
   * `find` of `key[0 .. length)` straight into `found`: the way of nearly every get. `MISSING`: not known here; `UNDECIDED` where
   * anything is out of the ordinary, then `find` knows. All is read by words and none of it through a `Page`, which takes a fifth of a get
   * out of the processor's cache. Whether the entry has expired is for the caller to see.
   */
  findShort(
    key: Uint8Array,
    length: number,
    cache: Cache,
    table: PageTable,
    headerBytes: number,
    found: Found,
  ): 0 | 1 | typeof UNDECIDED {
    const mask = this.#mask
    if (mask < 0 || length >= this.#page.longBytes) return MISSING
    if (key !== this.#keyBytes) this.#watch(key)
    const words = this.#keyWords
    if (words === undefined) return UNDECIDED
    const keyView = this.#keyView
    const hash = hashWords(words, length, this.#seed)
    const buckets = this.#buckets
    const first = (hash & mask) * BUCKET_WORDS
    const bits = this.#bits
    const tag = hash >>> 16
    for (let slot = first; slot < first + SLOTS; slot++) {
      const word = buckets[slot]!
      if (word >>> 16 !== tag) continue
      const place = buckets[slot + SLOTS]!
      const number = this.#pages[place >>> bits]!
      if (number === 0) continue
      const frame = table.frames[number]!
      if (!(frame >= 0)) continue
      cache.referenced[frame] = 1
      const slab = frame >> cache.slabBits
      const view = cache.views[slab]!
      const block = (frame & cache.slabMask) << cache.pageBits
      const page = block + headerBytes
      const cell = page + (place & ((1 << bits) - 1))
      // First of all, so that memory is asked for the cell and for the header at once.
      const lengths = view.getUint16(cell, true)
      if (view.getUint16(page + GENERATION_AT, true) !== (word & 0xffff)) continue
      const keyLength = lengths & 0xff
      let bodyLength = lengths >>> 8
      let keyAt = cell + 2
      if (keyLength >= 0x80) return UNDECIDED
      if (bodyLength >= 0x80) {
        const second = view.getUint8(keyAt++)
        if (second >= 0x80) return UNDECIDED
        bodyLength = (bodyLength & 0x7f) | (second << 7)
      }
      const prefixLength = view.getUint16(page + PREFIX_AT, true)
      if (prefixLength + keyLength !== length) continue
      const body = keyAt + keyLength
      const end = body + bodyLength
      if (bodyLength < HEAD_BYTES || end > block + (1 << bits)) return UNDECIDED
      if (!isSame(view, keyAt, keyView, prefixLength, keyLength)) continue
      if (!isSame(view, page + HEADER_BYTES, keyView, 0, prefixLength)) continue
      const flags = view.getUint8(body)
      let start = body + HEAD_BYTES
      found.expiry = 0
      if ((flags & ~ASCII) !== 0) {
        if ((flags & ~ASCII) !== HAS_EXPIRY || bodyLength < HEAD_BYTES + EXPIRY_BYTES)
          return UNDECIDED
        found.expiry = view.getUint32(start, true) + view.getUint16(start + 4, true) * TWO_32
        start += EXPIRY_BYTES
      }
      found.sequence = view.getUint32(body + 1, true) + view.getUint16(body + 5, true) * TWO_32
      found.ascii = (flags & ASCII) !== 0
      found.bytes = cache.slabs[slab]!
      found.start = start
      found.end = end
      return FOUND
    }
    return MISSING
  }

  /** A search has found the key `key[start .. end)` in a cell of a leaf of the newest tree, which `page` looks at; the tree has so many. */
  add(
    key: Uint8Array,
    start: number,
    end: number,
    number: number,
    page: Page,
    offset: number,
    entries: number,
  ): void {
    const { generation } = page
    if (end - start >= page.longBytes || generation === TIRED) return
    if (this.#mask < 0 || this.#filled > FULL * SLOTS * (this.#mask + 1)) this.#grow(entries)
    const leaf = this.#leafOf(number)
    if (this.#isSought(leaf) && entries <= FULL * SLOTS * (this.#mask + 1)) {
      this.#insertAll(leaf, page)
    } else this.#insert(this.#hashOf(key, start, end), leaf, generation, offset)
  }

  /** Counts a search of the leaf; whether all its keys should come in now. */
  #isSought(leaf: number): boolean {
    const searches = this.#searches[leaf]!
    const most = searches >>> 16 || FIRST_SEARCHES
    const count = (searches & 0xffff) + 1
    const isSought = count === most
    this.#searches[leaf] = isSought
      ? (Math.min(2 * most, MOST_SEARCHES) << 16) >>> 0
      : ((most << 16) | count) >>> 0
    return isSought
  }

  #insertAll(leaf: number, page: Page): void {
    const { count, generation, longBytes } = page
    const scratch = (this.#scratch ??= Buffer.alloc(longBytes))
    const buckets = this.#buckets
    const hashes = new Uint32Array(count)
    // First all that has to come from memory, so that it is waited for at once.
    let seen = 0
    for (let slot = 0; slot < count; slot++) {
      if (page.keyLength(slot) >= longBytes) continue
      const hash = hash32(scratch, 0, page.writeKey(slot, scratch, 0), this.#seed)
      hashes[slot] = hash
      seen |= buckets[(hash & this.#mask) * BUCKET_WORDS]!
    }
    this.touched = seen
    for (let slot = 0; slot < count; slot++) {
      if (page.keyLength(slot) >= longBytes) continue
      this.#insert(hashes[slot]!, leaf, generation, page.offsetOf(slot))
    }
  }

  #insert(hash: number, leaf: number, generation: number, offset: number): void {
    const buckets = this.#buckets
    const at = (hash & this.#mask) * BUCKET_WORDS
    const tag = hash >>> 16
    let chosen = -1
    for (let slot = at; slot < at + SLOTS; slot++) {
      if (buckets[slot + SLOTS] === 0) {
        if (chosen < 0) {
          chosen = slot
          this.#filled++
        }
        break
      }
      if (buckets[slot]! >>> 16 === tag) chosen = slot
    }
    if (chosen < 0) chosen = at + (this.#victim++ & (SLOTS - 1))
    buckets[chosen] = ((tag << 16) | generation) >>> 0
    buckets[chosen + SLOTS] = ((leaf << this.#bits) | offset) >>> 0
  }

  /** A leaf goes on under another number. */
  moved(from: number, to: number): void {
    const leaf = this.#leaves[from]
    if (leaf === undefined || leaf === 0) return
    this.#leaves[from] = 0
    this.#reach(to)
    this.#leaves[to] = leaf
    this.#pages[leaf] = to
  }

  /** The newest tree does not have the page any more. */
  gone(number: number): void {
    const leaf = this.#leaves[number]
    if (leaf === undefined || leaf === 0) return
    this.#leaves[number] = 0
    this.#pages[leaf] = 0
  }

  close(): void {
    this.#mask = -1
    this.#filled = 0
    this.#buckets = NONE
    this.#pages = integers(FIRST_LEAVES)
    this.#leaves = integers(FIRST_LEAVES)
    this.#searches = integers(FIRST_LEAVES)
    this.#count = 0
  }

  #hashOf(key: Uint8Array, start: number, end: number): number {
    if (start !== 0) return hash32(key, start, end, this.#seed)
    if (key !== this.#keyBytes) this.#watch(key)
    const words = this.#keyWords
    return words === undefined ? hash32(key, 0, end, this.#seed) : hashWords(words, end, this.#seed)
  }

  #watch(key: Uint8Array): void {
    this.#keyBytes = key
    const { buffer, byteOffset, length } = key
    const fits = LITTLE_ENDIAN && byteOffset % 4 === 0 && length % 4 === 0
    this.#keyWords = fits ? new Uint32Array(buffer, byteOffset, length >>> 2) : undefined
    this.#keyView = viewOf(key)
  }

  #leafOf(number: number): number {
    this.#reach(number)
    const known = this.#leaves[number]!
    if (known !== 0) return known
    if (this.#count + 1 >= 2 ** (32 - this.#bits)) this.#begin()
    const leaf = ++this.#count
    if (leaf >= this.#pages.length) {
      this.#pages = integers(2 * leaf, this.#pages)
      this.#searches = integers(2 * leaf, this.#searches)
    }
    this.#leaves[number] = leaf
    this.#pages[leaf] = number
    return leaf
  }

  #reach(number: number): void {
    if (number >= this.#leaves.length) this.#leaves = integers(2 * number, this.#leaves)
  }

  /** Everything anew. */
  #begin(): void {
    this.#buckets.fill(0)
    this.#pages.fill(0)
    this.#leaves.fill(0)
    this.#searches.fill(0)
    this.#filled = 0
    this.#count = 0
  }

  /** What is not touched of it takes no memory yet. */
  #grow(entries: number): void {
    const enough = 2 ** Math.ceil(Math.log2(entries / (FULL * SLOTS) + 1))
    const wanted = Math.min(this.#mostBuckets, Math.max(FIRST_BUCKETS, enough))
    this.#filled = 0
    if (wanted <= this.#mask + 1) return
    this.#buckets = integers(wanted * BUCKET_WORDS)
    this.#mask = wanted - 1
    this.#searches.fill(0)
  }
}

/** Whether `length` bytes at two places are the same. */
function isSame(a: DataView, at: number, b: DataView, from: number, length: number): boolean {
  const whole = length & ~3
  let i = 0
  for (; i < whole; i += 4) if (a.getInt32(at + i) !== b.getInt32(from + i)) return false
  for (; i < length; i++) if (a.getUint8(at + i) !== b.getUint8(from + i)) return false
  return true
}
