/**
 * A page of the tree: keys in their order, each with a body that means something to leaves and branches only.
 *
 *   │ header 16 │ prefix │ heads: capacity × u32 │ offsets: capacity × u16 │ free │ cells │
 *
 *   header   │ level u8 │ 0 u8 │ count u16 │ capacity u16 │ prefix length u16 │ start of the cells u16 │ holes u16 │ generation u16 │ 0 u16 │
 *   head     the first four bytes of a key behind the prefix, as one number, the first byte the highest; missing bytes are zeros
 *   offset   of the cell, from the start of the page
 *   cell     │ key length varint │ body length varint │ key │ body │      (the key, and its length, without the prefix)
 *
 * 1. All keys of a page begin with its prefix, which is stored once. (Head and tail truncation: R. Bayer and K. Unterauer, "Prefix
 *    B-trees", 1977; heads in the slots: G. Graefe and P.-Å. Larson, "B-tree indexes and CPU caches", 2001.)
 * 2. Heads are in order, and equal ones by the rest of their keys: a search touches the heads, and mostly one cell.
 * 3. A key of `longBytes` or more has only its first `longBytes` here, and a reference to the rest before its body:
 *    │ length u32 │ SHA-256 32 B │ mark u32 │ runs u8 │ (first page u48, pages u32) … │      the rest, as an extent (see `keys.ts`)
 *    Several of them may look the same here; who inserts them knows their order.
 * 4. `holes` are bytes among the cells that no offset leads to. They are won back by writing the cells anew, when room is needed.
 * 5. `generation` grows when a cell goes or moves, up to `TIRED`: one that was found at an offset is still there while it is the same.
 *
 * Left out: where pages come from, what is in a body, and how a page is checked on disk.
 */

import { copyShort, SHORT_COPY_BYTES, viewOf } from '../../bytes/short-copy.ts'
import { readVarint, varintLength, writeVarint } from '../../bytes/varint.ts'

/** What several pages lie in, to be read by bytes, by words and by halves of words; it begins at a multiple of 4. */
export interface PageMemory {
  readonly bytes: Buffer
  readonly view: DataView
  readonly words: Uint32Array
  readonly halves: Uint16Array
}

export function pageMemory(bytes: Buffer): PageMemory {
  const { buffer, byteOffset, length } = bytes
  return {
    bytes,
    view: viewOf(bytes),
    words: new Uint32Array(buffer, byteOffset, length >>> 2),
    halves: new Uint16Array(buffer, byteOffset, length >>> 1),
  }
}

export const HEADER_BYTES = 16
const LEVEL_AT = 0
const COUNT_AT = 2
const CAPACITY_AT = 4
export const PREFIX_AT = 6
const CELLS_AT = 8
const HOLES_AT = 10
export const GENERATION_AT = 12
const HEAD_BYTES = 4
const SLOT_BYTES = 6
/** A loop copies so many bytes faster than a call does. */
const SHORT_BYTES = 32
/** A reference to the rest of a key: before the runs, and each of them. */
export const REFERENCE_BYTES = 41
export const RUN_BYTES = 10
const RUNS_AT = 40
const FIRST_CAPACITY = 16
/** A generation that does not count any more. */
export const TIRED = 0xffff
/** No tree is higher: a branch has two children at least when it is made. */
export const MOST_LEVEL = 31
/** Of every entry of a branch. */
export const BRANCH_BODY_BYTES = 16

/** Looks at one page after the other; `at` says which. */
export class Page {
  #memory: PageMemory
  /** Of all pages that this one looks at. */
  readonly #size: number
  /** Where the page begins, in bytes, and its heads and offsets, in words and halves of words. */
  #at = 0
  #heads = 0
  #offsets = 0
  /** Keys from this length on are long. */
  readonly longBytes: number
  /** The entry of the slot last `read`: where its key without the prefix, and its body, are in the memory's bytes. */
  keyAt = 0
  bodyAt = 0
  bodyLength = 0
  /** And the reference to the rest of its key; 0 bytes where it is not long. */
  referenceAt = 0
  referenceLength = 0

  constructor(memory: PageMemory, size: number) {
    this.#memory = memory
    this.#size = size
    this.longBytes = longKeyBytes(size)
  }

  /** Looks at the page at `at` of a memory from now on. */
  look(memory: PageMemory, at: number): void {
    this.#memory = memory
    this.#at = at
    this.#place()
  }

  /** Makes an empty page at `at` of a memory, and looks at it. */
  format(memory: PageMemory, at: number, level: number, prefix: Uint8Array): void {
    const { bytes, halves } = memory
    // All of it goes into the file: what memory held before is nobody's business.
    bytes.fill(0, at, at + this.#size)
    bytes[at + LEVEL_AT] = level
    halves[(at + PREFIX_AT) >>> 1] = prefix.length
    halves[(at + CELLS_AT) >>> 1] = this.#size
    bytes.set(prefix, at + HEADER_BYTES)
    this.look(memory, at)
  }

  /** What its bodies lie in. */
  get bytes(): Buffer {
    return this.#memory.bytes
  }

  /** The same, to copy short runs. */
  get view(): DataView {
    return this.#memory.view
  }

  /** Where its cells begin and end in them. */
  get cellsAt(): number {
    return this.#at + this.#cells
  }

  get cellsEnd(): number {
    return this.#at + this.#size
  }

  /** 0: a leaf. */
  get level(): number {
    return this.#memory.bytes[this.#at + LEVEL_AT]!
  }

  get count(): number {
    return this.#memory.halves[(this.#at + COUNT_AT) >>> 1]!
  }

  get prefixLength(): number {
    return this.#memory.halves[(this.#at + PREFIX_AT) >>> 1]!
  }

  /** Where what all its keys begin with is in them. */
  get prefixAt(): number {
    return this.#at + HEADER_BYTES
  }

  /** What all its keys begin with. */
  get prefix(): Buffer {
    const from = this.prefixAt
    return this.#memory.bytes.subarray(from, from + this.prefixLength)
  }

  get generation(): number {
    return this.#memory.halves[(this.#at + GENERATION_AT) >>> 1]!
  }

  /** A page that nobody has found anything in yet. */
  rejuvenate(): void {
    this.#memory.halves[(this.#at + GENERATION_AT) >>> 1] = 0
  }

  /** Bytes that cells and slots may still take. */
  get free(): number {
    return this.#cells - this.#slotsEnd(this.#capacity) + this.#holes
  }

  /**
   * The slot of a key `key[start .. end)`; where it is not there, −1 − the slot where it would be.
   */
  find(key: Uint8Array, start: number, end: number): number {
    const { prefixLength } = this
    if (prefixLength !== 0) {
      const order = this.#comparePrefix(key, start, end, prefixLength)
      if (order !== 0) return order < 0 ? -1 : -1 - this.count
    }
    const from = start + prefixLength
    const head = headOf(key, from, end)
    const { words } = this.#memory
    const heads = this.#heads
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (words[heads + middle]! < head) low = middle + 1
      else high = middle
    }
    const { count } = this
    if (low === count || words[heads + low] !== head) return -1 - low
    const first = this.#compareRest(low, key, from, end)
    if (first >= 0) return first === 0 ? low : -1 - low
    // Keys that begin alike, with nothing above them that says so, may fill the page with one head.
    high = count
    for (low++; low < high; ) {
      const middle = (low + high) >>> 1
      const isLess = words[heads + middle] === head && this.#compareRest(middle, key, from, end) < 0
      if (isLess) low = middle + 1
      else high = middle
    }
    const isFound =
      low < count && words[heads + low] === head && this.#compareRest(low, key, from, end) === 0
    return isFound ? low : -1 - low
  }

  /** Whether a key begins with the prefix and comes behind all of the page: where keys come in order, that is asked first. */
  endsBefore(key: Uint8Array, start: number, end: number): boolean {
    const last = this.count - 1
    if (last < 0 || !this.takes(key, start, end)) return false
    const from = start + this.prefixLength
    const head = headOf(key, from, end)
    const other = this.#memory.words[this.#heads + last]!
    return other < head || (other === head && this.#compareRest(last, key, from, end) < 0)
  }

  /** Whether a key may be inserted: it begins with the prefix. */
  takes(key: Uint8Array, start: number, end: number): boolean {
    const { prefixLength } = this
    return prefixLength === 0 || this.#comparePrefix(key, start, end, prefixLength) === 0
  }

  /** Whether the key of a slot, as it is in the page, is `key[start .. end)`. */
  hasKey(slot: number, key: Uint8Array, start: number, end: number): boolean {
    const from = start + this.prefixLength
    if (this.keyLength(slot) !== end - start || !this.takes(key, start, end)) return false
    return (
      this.#memory.words[this.#heads + slot] === headOf(key, from, end) &&
      this.#compareRest(slot, key, from, end) === 0
    )
  }

  /** Looks at a page from now on, but only to `readAt`. */
  glance(memory: PageMemory, at: number): void {
    this.#memory = memory
    this.#at = at
  }

  /**
   * Whether the cell at an offset, where there was one in this generation, has the key `key[start .. end)`, which is not long. It is
   * `read` then.
   */
  readAt(offset: number, generation: number, key: Uint8Array, start: number, end: number): boolean {
    const { bytes, halves } = this.#memory
    const at = this.#at
    const cell = at + offset
    // First of all, so that memory is asked for the cell and for the header at once.
    const first = bytes[cell]!
    if (halves[(at + GENERATION_AT) >>> 1] !== generation) return false
    const prefixLength = halves[(at + PREFIX_AT) >>> 1]!
    const keyLength = first < 0x80 ? first : readVarint(bytes, cell, bytes.length)
    if (prefixLength + keyLength !== end - start) return false
    let next = cell + varintLength(keyLength)
    const length = readVarint(bytes, next, bytes.length)
    next += varintLength(length)
    const rest = start + prefixLength
    for (let i = 0; i < keyLength; i++) if (bytes[next + i] !== key[rest + i]) return false
    const prefix = at + HEADER_BYTES
    for (let i = 0; i < prefixLength; i++) if (bytes[prefix + i] !== key[start + i]) return false
    this.bodyAt = next + keyLength
    this.bodyLength = length
    return true
  }

  /** Where the cell of a slot is, for `readAt`. */
  offsetOf(slot: number): number {
    return this.#memory.halves[this.#offsets + slot]!
  }

  /** Sets `keyAt`, `bodyAt` and `bodyLength` to those of a slot, and what tells of the rest of its key. */
  read(slot: number): void {
    const { bytes } = this.#memory
    const cell = this.#cellOf(slot)
    const keyLength = readVarint(bytes, cell, bytes.length)
    const next = cell + varintLength(keyLength)
    const length = readVarint(bytes, next, bytes.length)
    this.keyAt = next + varintLength(length)
    const at = this.keyAt + keyLength
    let reference = 0
    if (this.prefixLength + keyLength === this.longBytes) {
      reference = REFERENCE_BYTES + bytes[at + RUNS_AT]! * RUN_BYTES
    }
    this.referenceAt = at
    this.referenceLength = reference
    this.bodyAt = at + reference
    this.bodyLength = length - reference
  }

  /**
   * `read` of a slot where key and body are shorter than 128 bytes and the key is not long, for who reads many. False, and nothing is
   * read, where they are not.
   */
  readShort(slot: number): boolean {
    const { bytes } = this.#memory
    const cell = this.#cellOf(slot)
    const keyLength = bytes[cell]!
    const bodyLength = bytes[cell + 1]!
    if ((keyLength | bodyLength) > 0x7f || this.prefixLength + keyLength === this.longBytes) {
      return false
    }
    this.keyAt = cell + 2
    this.referenceAt = this.keyAt + keyLength
    this.referenceLength = 0
    this.bodyAt = this.referenceAt
    this.bodyLength = bodyLength
    return true
  }

  /** What the entry of a slot takes of a page whose prefix has so many bytes, the slot included. */
  bytesOf(slot: number, prefixLength: number): number {
    const keyLength = this.keyLength(slot) - prefixLength
    this.read(slot)
    return SLOT_BYTES + cellLength(keyLength, this.referenceLength + this.bodyLength)
  }

  /** Bytes of the key of a slot, with the prefix. */
  keyLength(slot: number): number {
    const { bytes } = this.#memory
    return this.prefixLength + readVarint(bytes, this.#cellOf(slot), bytes.length)
  }

  /** Writes the key of a slot, with the prefix; returns the position behind it. */
  writeKey(slot: number, target: Uint8Array, to: number): number {
    const { bytes } = this.#memory
    const { prefixLength } = this
    const from = this.#at + HEADER_BYTES
    for (let i = 0; i < prefixLength; i++) target[to + i] = bytes[from + i]!
    const cell = this.#cellOf(slot)
    const length = readVarint(bytes, cell, bytes.length)
    const next = cell + varintLength(length)
    const key = next + varintLength(readVarint(bytes, next, bytes.length))
    const at = to + prefixLength
    if (length < SHORT_BYTES) for (let i = 0; i < length; i++) target[at + i] = bytes[key + i]!
    else target.set(bytes.subarray(key, key + length), at)
    return at + length
  }

  /**
   * Makes room in `slot` for a key `key[start .. end)`, which begins with the prefix and belongs there, and a body of `bodyLength`
   * bytes, that the caller then writes at `bodyAt`. Of a long key it is the beginning, and the body the reference and the body. False where the page has not so much left; nothing has changed then.
   */
  insert(slot: number, key: Uint8Array, start: number, end: number, bodyLength: number): boolean {
    const from = start + this.prefixLength
    const keyLength = end - from
    const length = cellLength(keyLength, bodyLength)
    if (!this.#makeRoom(length)) return false
    const { bytes, words, halves } = this.#memory
    const { count } = this
    const cell = this.#cells - length
    this.#cells = cell
    if (slot < count) {
      words.copyWithin(this.#heads + slot + 1, this.#heads + slot, this.#heads + count)
      halves.copyWithin(this.#offsets + slot + 1, this.#offsets + slot, this.#offsets + count)
    }
    words[this.#heads + slot] = headOf(key, from, end)
    halves[this.#offsets + slot] = cell
    halves[(this.#at + COUNT_AT) >>> 1] = count + 1
    let at = writeVarint(bytes, this.#at + cell, keyLength)
    at = writeVarint(bytes, at, bodyLength)
    for (let i = from; i < end; i++) bytes[at++] = key[i]!
    this.bodyAt = at
    this.bodyLength = bodyLength
    return true
  }

  /**
   * Makes this page one of `count` entries with the prefix `key[0 .. prefixLength)`: cells without holes in `cells[0 .. length)`, where they
   * begin there, and heads. There is room for them (`cellRoom`).
   */
  fill(
    memory: PageMemory,
    at: number,
    key: Uint8Array,
    prefixLength: number,
    count: number,
    heads: Uint32Array,
    offsets: Uint16Array,
    cells: Buffer,
    length: number,
  ): void {
    const { bytes, words, halves } = memory
    bytes.fill(0, at, at + HEADER_BYTES)
    for (let i = 0; i < prefixLength; i++) bytes[at + HEADER_BYTES + i] = key[i]!
    halves[(at + COUNT_AT) >>> 1] = count
    halves[(at + CAPACITY_AT) >>> 1] = count
    halves[(at + PREFIX_AT) >>> 1] = prefixLength
    this.look(memory, at)
    const start = this.#size - length
    this.#cells = start
    bytes.fill(0, at + HEADER_BYTES + prefixLength, this.#heads << 2)
    words.set(heads.subarray(0, count), this.#heads)
    for (let i = 0; i < count; i++) halves[this.#offsets + i] = offsets[i]! + start
    bytes.fill(0, at + this.#slotsEnd(count), at + start)
    cells.copy(bytes, at + start, 0, length)
  }

  remove(slot: number): void {
    const { words, halves } = this.#memory
    const { count } = this
    this.#holes += this.#lengthOf(slot)
    this.#age(this.generation)
    words.copyWithin(this.#heads + slot, this.#heads + slot + 1, this.#heads + count)
    halves.copyWithin(this.#offsets + slot, this.#offsets + slot + 1, this.#offsets + count)
    halves[(this.#at + COUNT_AT) >>> 1] = count - 1
  }

  /** Appends the entries of the slots `from` … `to` − 1 of another page; false where they do not all fit. */
  append(other: Page, from: number, to: number): boolean {
    const { prefixLength } = other
    if (this.level === 0 && this.count === 0 && this.prefixLength >= prefixLength && from < to) {
      return this.#appendCells(other, from, to)
    }
    const key = Buffer.allocUnsafe(this.#size)
    for (let slot = from; slot < to; slot++) {
      let end = other.writeKey(slot, key, 0)
      // The first key of a branch may come before what bounds the page.
      if (this.count === 0 && this.level > 0 && !this.takes(key, 0, end)) {
        end = this.prefixLength
        this.prefix.copy(key)
      }
      other.read(slot)
      const { referenceAt, referenceLength, bodyLength } = other
      const length = referenceLength + bodyLength
      if (!this.insert(this.count, key, 0, end, length)) return false
      other.#memory.bytes.copy(this.#memory.bytes, this.bodyAt, referenceAt, referenceAt + length)
    }
    return true
  }

  /**
   * `append` to an empty leaf whose prefix is not shorter than the other's: a cell goes over as it is, without what the prefix has more.
   * Dividing pages is much of a load in random order, and most of dividing is this.
   */
  #appendCells(other: Page, from: number, to: number): boolean {
    const more = this.prefixLength - other.prefixLength
    const count = to - from
    let total = 0
    for (let slot = from; slot < to; slot++) {
      other.read(slot)
      const { keyAt, referenceAt, referenceLength, bodyLength } = other
      total += cellLength(referenceAt - keyAt - more, referenceLength + bodyLength)
    }
    const most = Math.floor((this.#size - this.#slotsStart() - total) / SLOT_BYTES)
    if (most < count) return false
    const { bytes, view, words, halves } = this.#memory
    halves[(this.#at + CAPACITY_AT) >>> 1] = Math.min(
      most,
      Math.max(FIRST_CAPACITY, count + (count >>> 1)),
    )
    halves[(this.#at + COUNT_AT) >>> 1] = count
    this.#place()
    const source = other.bytes
    let cells = this.#size
    for (let i = 0; i < count; i++) {
      other.read(from + i)
      const { referenceAt, referenceLength, bodyLength } = other
      const keyAt = other.keyAt + more
      const length = referenceLength + bodyLength
      cells -= cellLength(referenceAt - keyAt, length)
      words[this.#heads + i] = headOf(source, keyAt, referenceAt)
      halves[this.#offsets + i] = cells
      const at = writeVarint(bytes, this.#at + cells, referenceAt - keyAt)
      const to = writeVarint(bytes, at, length)
      const moved = referenceAt + length - keyAt
      if (moved <= SHORT_COPY_BYTES) copyShort(view, to, other.view, keyAt, moved)
      else source.copy(bytes, to, keyAt, keyAt + moved)
    }
    this.#cells = cells
    return true
  }

  /** Whether a page that was read is one that can be worked on: nothing in it leads out of it, and its heads are in order. */
  isSound(): boolean {
    const { bytes, words } = this.#memory
    const { count, level } = this
    const capacity = this.#capacity
    const cells = this.#cells
    const holes = this.#holes
    if (count > capacity || count === 0 || level > MOST_LEVEL) return false
    if (this.#slotsEnd(capacity) > cells || cells > this.#size || holes > this.#size) return false
    const end = this.#at + this.#size
    let total = holes
    for (let slot = 0; slot < count; slot++) {
      const cell = this.#cellOf(slot)
      if (cell < this.#at + cells || cell >= end) return false
      const keyLength = readVarint(bytes, cell, end)
      if (keyLength < 0) return false
      const bodyLength = readVarint(bytes, cell + varintLength(keyLength), end)
      if (bodyLength < 0) return false
      const length = cellLength(keyLength, bodyLength)
      if (cell + length > end) return false
      const keyBytes = this.prefixLength + keyLength
      if (keyBytes > this.longBytes) return false
      if (keyBytes === this.longBytes && bodyLength < REFERENCE_BYTES) return false
      this.read(slot)
      if (this.bodyLength < 0 || (level > 0 && this.bodyLength !== BRANCH_BODY_BYTES)) return false
      if (slot > 0 && words[this.#heads + slot - 1]! > words[this.#heads + slot]!) return false
      const key = this.referenceAt - keyLength
      if (words[this.#heads + slot] !== headOf(bytes, key, key + keyLength)) return false
      total += length
    }
    return total === this.#size - cells
  }

  /** Makes this page one of the same level with another prefix and some entries of `other`, which is a copy; false where they do not fit. */
  rewrite(other: Page, prefix: Uint8Array, from: number, to: number): boolean {
    const { generation } = this
    this.format(this.#memory, this.#at, other.level, prefix)
    this.#age(generation)
    return this.append(other, from, to)
  }

  /** Becomes a copy of `other`, at the beginning of `memory`, which is as long as a page. */
  copyOf(other: Page, memory: PageMemory): void {
    other.bytes.copy(memory.bytes, 0, other.#at, other.#at + this.#size)
    this.look(memory, 0)
  }

  /** Takes on the bytes of a copy. */
  restore(copy: Page): void {
    copy.bytes.copy(this.bytes, this.#at, 0, this.#size)
    this.#place()
  }

  /** The slot at which about half of the bytes lie before it; a page with two entries or more is divided into two that have some. */
  middle(): number {
    const { count } = this
    const total = this.#size - this.#cells - this.#holes + count * SLOT_BYTES
    let before = 0
    for (let slot = 0; slot < count; slot++) {
      const length = this.#lengthOf(slot) + SLOT_BYTES
      if (before + length / 2 > total / 2) return Math.min(count - 1, Math.max(1, slot))
      before += length
    }
    return count - 1
  }

  get #capacity(): number {
    return this.#memory.halves[(this.#at + CAPACITY_AT) >>> 1]!
  }

  /** Where the cells begin, from the start of the page. */
  get #cells(): number {
    return this.#memory.halves[(this.#at + CELLS_AT) >>> 1]!
  }

  set #cells(cells: number) {
    this.#memory.halves[(this.#at + CELLS_AT) >>> 1] = cells
  }

  get #holes(): number {
    return this.#memory.halves[(this.#at + HOLES_AT) >>> 1]!
  }

  set #holes(holes: number) {
    this.#memory.halves[(this.#at + HOLES_AT) >>> 1] = holes
  }

  /** A cell went, or moved. */
  #age(generation: number): void {
    this.#memory.halves[(this.#at + GENERATION_AT) >>> 1] = Math.min(TIRED, generation + 1)
  }

  #place(): void {
    const slots = this.#slotsStart()
    this.#heads = (this.#at + slots) >>> 2
    this.#offsets = (this.#at + slots + this.#capacity * HEAD_BYTES) >>> 1
  }

  #slotsStart(): number {
    return (HEADER_BYTES + this.prefixLength + 3) & ~3
  }

  #slotsEnd(capacity: number): number {
    return this.#slotsStart() + capacity * SLOT_BYTES
  }

  #cellOf(slot: number): number {
    return this.#at + this.#memory.halves[this.#offsets + slot]!
  }

  #lengthOf(slot: number): number {
    this.read(slot)
    return this.bodyAt + this.bodyLength - this.#cellOf(slot)
  }

  /** 0 where the key begins with the prefix; else as the key comes before all keys of the page, or behind them. */
  #comparePrefix(key: Uint8Array, start: number, end: number, length: number): number {
    const { bytes } = this.#memory
    const at = this.#at + HEADER_BYTES
    const common = Math.min(length, end - start)
    for (let i = 0; i < common; i++) {
      const order = key[start + i]! - bytes[at + i]!
      if (order !== 0) return order
    }
    return common - length
  }

  /** Like `memcmp`: less than 0 where the slot's key, whose head is that of `key[from .. end)`, comes first. */
  #compareRest(slot: number, key: Uint8Array, from: number, end: number): number {
    const { bytes } = this.#memory
    const cell = this.#cellOf(slot)
    const length = readVarint(bytes, cell, bytes.length)
    const next = cell + varintLength(length)
    const rest = next + varintLength(readVarint(bytes, next, bytes.length))
    const common = Math.min(length, end - from)
    for (let i = HEAD_BYTES; i < common; i++) {
      const order = bytes[rest + i]! - key[from + i]!
      if (order !== 0) return order
    }
    // Missing bytes of a head are zeros: where heads are equal, the shorter key comes first.
    return length - (end - from)
  }

  /** Room for one more slot and a cell of `length` bytes. */
  #makeRoom(length: number): boolean {
    const capacity = this.#capacity
    const { count } = this
    let wanted = count === capacity ? this.#nextCapacity(length) : capacity
    // Slots that are kept for later give way.
    if (this.#slotsEnd(wanted) + length > this.#cells + this.#holes) wanted = count + 1
    if (this.#slotsEnd(wanted) + length > this.#cells + this.#holes) return false
    if (this.#slotsEnd(wanted) + length > this.#cells) this.#rewriteCells()
    if (wanted !== capacity) this.#resizeSlots(wanted)
    return true
  }

  /** Half as many slots again, or as many as there is room for beside the cell; at least one more. */
  #nextCapacity(length: number): number {
    const capacity = this.#capacity
    const room = this.free - length
    const most = capacity + Math.max(1, Math.floor(room / SLOT_BYTES))
    return Math.min(most, Math.max(FIRST_CAPACITY, capacity + (capacity >>> 1)))
  }

  #resizeSlots(capacity: number): void {
    const { halves } = this.#memory
    const before = this.#offsets
    halves[(this.#at + CAPACITY_AT) >>> 1] = capacity
    this.#place()
    halves.copyWithin(this.#offsets, before, before + this.count)
  }

  /** Writes all cells one behind the other at the end of the page. */
  #rewriteCells(): void {
    const { bytes, halves } = this.#memory
    const from = this.#cells
    const old = Buffer.from(bytes.subarray(this.#at + from, this.#at + this.#size))
    let cells = this.#size
    for (let slot = 0; slot < this.count; slot++) {
      const offset = halves[this.#offsets + slot]!
      const length = cellLengthAt(old, offset - from)
      cells -= length
      old.copy(bytes, this.#at + cells, offset - from, offset - from + length)
      halves[this.#offsets + slot] = cells
    }
    this.#cells = cells
    this.#holes = 0
    this.#age(this.generation)
  }
}

/** How long a key must be to be long, in pages of `size`: short enough that a page has room for several, with references and bodies. */
export function longKeyBytes(size: number): number {
  return Math.floor(size / 16)
}

/** Bytes of a page of `size` that `count` cells may take. */
export function cellRoom(size: number, prefixLength: number, count: number): number {
  return size - ((HEADER_BYTES + prefixLength + 3) & ~3) - count * SLOT_BYTES
}

/** The first four bytes of `key[from .. end)` as one number. */
export function headOf(key: Uint8Array, from: number, end: number): number {
  const length = end - from
  if (length >= HEAD_BYTES) {
    return (
      ((key[from]! << 24) | (key[from + 1]! << 16) | (key[from + 2]! << 8) | key[from + 3]!) >>> 0
    )
  }
  let head = 0
  for (let i = 0; i < HEAD_BYTES; i++) head = (head << 8) | (i < length ? key[from + i]! : 0)
  return head >>> 0
}

function cellLength(keyLength: number, bodyLength: number): number {
  return varintLength(keyLength) + varintLength(bodyLength) + keyLength + bodyLength
}

function cellLengthAt(bytes: Buffer, at: number): number {
  const keyLength = readVarint(bytes, at, bytes.length)
  const bodyLength = readVarint(bytes, at + varintLength(keyLength), bytes.length)
  return cellLength(keyLength, bodyLength)
}
