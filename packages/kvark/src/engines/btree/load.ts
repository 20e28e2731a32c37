/**
 * Entries that come in the order of their keys, made into a subtree in free pages of the file:
 *
 *   key, value ─► cell ─► leaf full? ─► page ─► buffer full? ─► file          branches above it are made on the way (`branches.ts`)
 *                 long ones ─► pages of their own, before
 *
 *   cells of the leaf that is being filled:  │ cell │ cell │ … │ lengths │ key │ head of the body │ value ◄─ the codec writes it here
 *
 * 1. Leaves are full. What all keys of one begin with is stored once: as much as the leaf before had is tried, and less as soon as a
 *    key comes that does not begin with that.
 * 2. Nothing leads to its pages until the journal names the page on top, with its checksum. They carry the mark 0, which no checkpoint
 *    has, so that nobody who salvages takes those of a load that never ended for older ones of the tree.
 * 3. All entries have the sequence that the next write of the engine has when the load begins. Where others have written meanwhile,
 *    every page is gone through once more at the end (`restamp`), and the sequence is then one that is still to come.
 *
 * Memory: 256 KiB, twice that where pages are sealed, a page for each level; 4 bytes for each page of it while they are gone through.
 */

import { readVarint, varintLength, writeU32, writeU48, writeVarint } from '../../bytes/varint.ts'
import type { Load } from '../../engine/load.ts'
import type { Routine } from '../../environment/routine.ts'
import { corruption } from '../../errors.ts'
import { childAt, HAS_EXTENTS, MAY_EXPIRE, SUM_AT, type Subtree } from './branch.ts'
import { Branches } from './branches.ts'
import { EntryRoom } from './change.ts'
import { type Extent, FLAGS_AT, LOADED, PIECE, type Run, TREE_PAGE } from './format.ts'
import { encodeReference } from './keys.ts'
import { encodeExtent, leafLength, writeLeaf } from './leaf.ts'
import { cellRoom, headOf, type Page, type PageMemory, pageMemory } from './page.ts'
import { PageSpool } from './page-spool.ts'
import type { TreeState } from './state.ts'

const BUFFER_BYTES = 256 * 1024
/** A longer value is written in steps. */
const STEP_BYTES = 256 * 1024
/** What was once needed for a long value is let go when it is longer. */
const KEPT_BYTES = 1024 * 1024
/** Where the sequence is in what comes before a value. */
const SEQUENCE_AT = 1
/** So many sequences at least are left to others when all entries get another one. */
const MARGIN = 1024
const SEALED_BYTES = 64 * 1024
const NOTHING = Buffer.alloc(0)

export class TreeLoad extends PageSpool implements Load {
  entries = 0
  /** Of every entry: its sequence, and when it ends (0: never). */
  sequence: number
  readonly expiry: number
  /** Cells of the leaf that is being filled, and what comes next. */
  bytes: Buffer
  used = 0
  busy = false
  /** What is on top, once it is finished. */
  root: Subtree | undefined
  /** What comes before a value. */
  readonly #headBytes: number
  readonly #room: EntryRoom
  readonly #size: number
  readonly #branches: Branches
  readonly #page: Page
  #spare: Buffer
  /** Of the leaf: its cells end there, and so many there are. */
  #end = 0
  #count = 0
  readonly #heads: Uint32Array
  readonly #offsets: Uint16Array
  #traits = 0
  /** With which it begins, at least; its prefix, as long as that holds; what all its keys begin with. */
  #separator: Uint8Array = NOTHING
  readonly #prefix: Buffer
  #prefixLength = 0
  #common = 0
  /** The same of the leaf before, and of the one before that. */
  #before = 0
  #beforeThat = 0
  /** The entry that is coming. */
  #key: Uint8Array = NOTHING
  #keyLength = 0
  #shared = 0
  #keyAt = 0
  /** Bytes of the length of a body, as it was last. */
  #width = 1
  /** Of a value that waits to be put into pages of its own, or the key's rest does; −1: none. */
  #waiting = -1
  #waitingAscii = false
  /** Pages that are not in the file yet: they follow each other there. */
  readonly #plain: PageMemory
  readonly #stored: Buffer
  #first = 0
  #pages = 0
  #written = 0
  /** Counts the times that all pages were gone through. */
  #turn = 0

  constructor(state: TreeState, expiry: number) {
    super(state)
    const { file, pages, journal } = state
    this.sequence = journal.sequence + 1
    this.expiry = expiry
    this.#headBytes = leafLength(0, expiry)
    this.#size = pages.size
    this.#room = new EntryRoom(this.#size)
    this.#prefix = Buffer.alloc(this.#room.long)
    this.#page = pages.newPage()
    this.bytes = Buffer.alloc(2 * file.pageBytes)
    this.#spare = Buffer.alloc(2 * file.pageBytes)
    const most = Math.ceil(cellRoom(this.#size, 0, 0) / 8)
    this.#heads = new Uint32Array(most)
    this.#offsets = new Uint16Array(most)
    this.#plain = pageMemory(Buffer.alloc(Math.max(BUFFER_BYTES, file.pageBytes)))
    this.#stored = file.form.sealed ? Buffer.alloc(this.#plain.bytes.length) : this.#plain.bytes
    this.#branches = new Branches(
      {
        referenceTo: (key) => this.#referenceTo(key, key.length),
        write: (page) => this.#writePage(page),
      },
      this.#size,
    )
  }

  /** All its pages, once it is finished. */
  get pageRuns(): readonly Run[] {
    return this.runs
  }

  reserve(length: number): number {
    if (this.used + length > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(this.used + length)
      this.bytes.copy(larger, 0, 0, this.used)
      this.bytes = larger
    }
    return this.used
  }

  key(key: Uint8Array, length: number, common: number): void {
    this.#key = key
    this.#keyLength = length
    this.#shared = common
    const inPage = Math.min(length, this.#room.long)
    this.#fit(inPage)
    this.#writeKey(inPage, this.#headBytes)
  }

  value(length: number, ascii: boolean): void {
    const body = this.#headBytes + length
    if (this.#keyLength >= this.#room.long || this.#room.isLong(this.#keyLength, body)) {
      this.#waiting = length
      this.#waitingAscii = ascii
      this.busy = true
      return
    }
    const at = this.#place(this.#keyLength, body, this.used, length)
    writeLeaf(this.bytes, at, this.sequence, this.expiry, ascii, false)
  }

  *proceed(): Routine<void> {
    this.busy = false
    if (this.#waiting >= 0) yield* this.#placeLong()
    if (this.#written > 0) yield* this.#relieve()
  }

  *finish(): Routine<void> {
    this.check()
    this.#closeLeaf()
    this.root = this.#branches.finish()
    this.#write()
    // Before it waits for the disk: most often nobody else writes, and this is all.
    yield* this.settle()
    if (this.sequence !== this.state.journal.sequence + 1) yield* this.restamp()
  }

  /** Gives all entries a sequence that is still to come, for others have written since they got theirs. */
  *restamp(): Routine<void> {
    this.check()
    const turn = ++this.#turn
    const { file, journal } = this.state
    const { pageBytes, form, handle } = file
    // As many again as they have taken up to now, and as many once more.
    const sequence = journal.sequence + MARGIN + 2 * (journal.sequence - this.sequence + 1)
    const sums = new Uint32Array(this.runs.reduce((sum, [, count]) => sum + count, 0))
    const plain = this.#plain
    // Opening and sealing may take long.
    const most = Math.max(
      1,
      Math.min(plain.bytes.length, form.sealed ? SEALED_BYTES : BUFFER_BYTES) / pageBytes,
    )
    for (const [first, count] of this.runs) {
      for (let done = 0; done < count; done += most) {
        const pages = Math.min(most, count - done)
        const bytes = pages * pageBytes
        const offset = (first + done) * pageBytes
        const read = yield* handle.read(plain.bytes, 0, bytes, offset)
        // Somebody who could not wait has done it meanwhile.
        if (turn !== this.#turn) return
        this.check()
        if (read < bytes) throw corruption(handle.path, offset, 'the file is cut short')
        for (let i = 0; i < pages; i++) {
          const at = i * pageBytes
          const number = first + done + i
          if (plain.bytes[at + FLAGS_AT] === PIECE) continue
          if (!file.open(plain.bytes, at, number))
            throw corruption(handle.path, number * pageBytes, 'a page is damaged')
          this.#stampPage(at, sequence, sums)
          const sum = file.seal(plain.bytes, this.#stored, at, number, TREE_PAGE, LOADED)
          sums[this.#ordinalOf(number)] = sum
          file.write(this.#stored, at, number, 1)
        }
        yield* this.wrote(bytes)
        if (turn !== this.#turn) return
      }
    }
    const root = this.root!
    this.root = { ...root, sum: sums[this.#ordinalOf(root.page)]! }
    this.sequence = sequence
    yield* this.settle()
  }

  /** The page at `at` of the buffer gets a sequence, where it is a leaf, else the new checksums of its children. */
  #stampPage(at: number, sequence: number, sums: Uint32Array): void {
    const page = this.#page
    page.look(this.#plain, at + this.state.file.form.headerBytes)
    for (let slot = 0; slot < page.count; slot++) {
      page.read(slot)
      const { bytes, bodyAt } = page
      if (page.level === 0) writeU48(bytes, bodyAt + SEQUENCE_AT, sequence)
      else writeU32(bytes, bodyAt + SUM_AT, sums[this.#ordinalOf(childAt(page))]!)
    }
  }

  /** The how manieth page of all it is. */
  #ordinalOf(page: number): number {
    let before = 0
    for (const [first, count] of this.runs) {
      if (page >= first && page < first + count) return before + page - first
      before += count
    }
    throw corruption(this.state.file.handle.path, 0, 'a page is not where it belongs')
  }

  /** The prefix of the leaf becomes one that the key begins with, or the leaf ends before it. */
  #fit(inPage: number): void {
    const shared = this.#shared
    if (this.#count > 0 && shared < this.#prefixLength && !this.#shorten(shared)) this.#closeLeaf()
    if (this.#count > 0) {
      if (shared < this.#common) this.#common = shared
      return
    }
    // Shorter than long keys are, so that it can be a key by itself.
    const most = Math.min(inPage, this.#room.long - 1)
    this.#common = most
    this.#prefixLength = Math.min(most, Math.max(this.#before, this.#beforeThat))
    // Nothing is known yet: the next key will tell.
    if (this.entries === 0) this.#prefixLength = most
    for (let i = 0; i < this.#prefixLength; i++) this.#prefix[i] = this.#key[i]!
  }

  /** Writes the key behind all cells. The body comes behind it: the value from `used` on. */
  #writeKey(inPage: number, headBytes: number): void {
    const { bytes } = this
    const key = this.#key
    const rest = inPage - this.#prefixLength
    let at = this.#end + varintLength(rest) + this.#width
    this.#keyAt = at
    for (let i = this.#prefixLength; i < inPage; i++) bytes[at++] = key[i]!
    this.used = at + headBytes
  }

  /**
   * Completes the cell whose key has been written, with a body of `body` bytes that ends with the value, `length` bytes at `used`;
   * returns where the body begins. Where the leaf has no room for it, it is the first one of the next leaf.
   */
  #place(inPage: number, body: number, used: number, length: number): number {
    const width = varintLength(body)
    if (width !== this.#width) {
      this.bytes.copyWithin(this.#keyAt + width - this.#width, this.#keyAt, used + length)
      this.#keyAt += width - this.#width
      this.#width = width
    }
    const key = this.#keyAt
    const end = key + inPage - this.#prefixLength + body
    if (end > cellRoom(this.#size, this.#prefixLength, this.#count + 1)) {
      const from = end - length
      this.#closeLeaf()
      this.#fit(inPage)
      const rest = inPage - this.#prefixLength
      const to = varintLength(rest) + width + rest + body - length
      this.bytes.copyWithin(to, from, end)
      this.#writeKey(inPage, body - length)
      return this.#place(inPage, body, to, length)
    }
    const { bytes } = this
    const cell = this.#end
    const rest = inPage - this.#prefixLength
    writeVarint(bytes, cell, rest)
    writeVarint(bytes, key - width, body)
    this.#heads[this.#count] = headOf(bytes, key, key + rest)
    this.#offsets[this.#count] = cell
    this.#count++
    this.#end = end
    this.entries++
    return key + rest
  }

  /** The value that waits, or the rest of its key, goes into pages of its own. */
  *#placeLong(): Routine<void> {
    const length = this.#waiting
    const ascii = this.#waitingAscii
    this.#waiting = -1
    const { used, bytes } = this
    const value = bytes.subarray(used, used + length)
    const reference = this.#referenceTo(this.#key, this.#keyLength)
    let kept: Uint8Array = value
    const isLong = this.#room.isLong(this.#keyLength, leafLength(length, this.expiry))
    if (isLong) {
      const extent = this.#newExtent(length)
      const step = Math.max(1, Math.floor(STEP_BYTES / this.#size)) * this.#size
      for (let from = 0; from < length; from += step) {
        this.#append(extent, value, from, Math.min(length, from + step))
        yield* this.#relieve()
      }
      kept = encodeExtent(extent)
    } else kept = Buffer.from(value)
    if (bytes.length > KEPT_BYTES) {
      this.bytes = Buffer.alloc(2 * this.state.file.pageBytes)
      bytes.copy(this.bytes, 0, 0, this.#end)
    }
    const inPage = Math.min(this.#keyLength, this.#room.long)
    this.#writeKey(inPage, 0)
    const body = Buffer.alloc(reference.length + leafLength(kept.length, this.expiry))
    reference.copy(body)
    body.set(kept, writeLeaf(body, reference.length, this.sequence, this.expiry, ascii, isLong))
    this.bytes.set(body, this.used)
    this.#place(inPage, body.length, this.used, body.length)
    if (isLong || reference.length > 0) this.#traits |= HAS_EXTENTS
  }

  /** Writes the cells anew with a shorter prefix; false where they may not all fit then. */
  #shorten(prefixLength: number): boolean {
    const more = this.#prefixLength - prefixLength
    const most = this.#end + this.#count * (more + 1)
    if (most > cellRoom(this.#size, prefixLength, this.#count + 1)) return false
    const { bytes } = this
    const target = this.#spare
    const prefix = this.#prefix
    let to = 0
    for (let i = 0; i < this.#count; i++) {
      const cell = this.#offsets[i]!
      const end = i + 1 < this.#count ? this.#offsets[i + 1]! : this.#end
      const rest = readVarint(bytes, cell, end)
      const lengthAt = cell + varintLength(rest)
      const key = lengthAt + varintLength(readVarint(bytes, lengthAt, end))
      this.#offsets[i] = to
      to = writeVarint(target, to, rest + more)
      to += bytes.copy(target, to, lengthAt, key)
      for (let j = prefixLength; j < this.#prefixLength; j++) target[to++] = prefix[j]!
      bytes.copy(target, to, key, end)
      this.#heads[i] = headOf(target, to - more, to + rest)
      to += end - key
    }
    this.#end = to
    this.#prefixLength = prefixLength
    this.bytes = target
    this.#spare = bytes
    return true
  }

  /** The leaf is full, or all there is; the key that is coming begins the next one. */
  #closeLeaf(): void {
    const number = this.#nextPage()
    const at = this.#pages * this.state.file.pageBytes + this.state.file.form.headerBytes
    this.#page.fill(
      this.#plain,
      at,
      this.#prefix,
      this.#prefixLength,
      this.#count,
      this.#heads,
      this.#offsets,
      this.bytes,
      this.#end,
    )
    const sum = this.#seal(number, TREE_PAGE, LOADED)
    const entries = this.#count
    this.#branches.add(this.#separator, {
      page: number,
      sum,
      level: 0,
      entries,
      traits: this.#traits | (this.expiry === 0 ? 0 : MAY_EXPIRE),
    })
    this.#separator = Buffer.from(this.#key.subarray(0, this.#shared + 1))
    this.#beforeThat = this.#before
    this.#before = this.#common
    this.#end = 0
    this.#count = 0
    this.#traits = 0
  }

  #writePage(page: Page): { page: number; sum: number } {
    const number = this.#nextPage()
    const { pageBytes, form } = this.state.file
    page.bytes.copy(this.#plain.bytes, this.#pages * pageBytes + form.headerBytes, 0, this.#size)
    return { page: number, sum: this.#seal(number, TREE_PAGE, LOADED) }
  }

  /** The reference to the rest of a key, which is in pages of its own then; empty where it is not long. */
  #referenceTo(key: Uint8Array, length: number): Buffer {
    const { long } = this.#room
    if (length < long) return NOTHING
    const extent = this.#newExtent(length - long)
    this.#append(extent, key, long, length)
    return encodeReference(key.subarray(long, length), extent)
  }

  #newExtent(length: number): Extent & { readonly runs: Run[] } {
    const mark = Buffer.from(this.state.context.environment.random(4)).readUInt32LE()
    return { length, mark, runs: [] }
  }

  /** Puts `source[from .. to)` into the next pages of an extent: whole ones, but for the last one of all. */
  #append(
    { mark, runs }: Extent & { readonly runs: Run[] },
    source: Uint8Array,
    from: number,
    to: number,
  ): void {
    const { pageBytes, form } = this.state.file
    for (let at = from; at < to; at += this.#size) {
      const number = this.#nextPage()
      const start = this.#pages * pageBytes + form.headerBytes
      const part = source.subarray(at, Math.min(to, at + this.#size))
      this.#plain.bytes.set(part, start)
      this.#plain.bytes.fill(0, start + part.length, start + this.#size)
      this.#seal(number, PIECE, mark)
      const last = runs[runs.length - 1]
      if (last !== undefined && last[0] + last[1] === number)
        runs[runs.length - 1] = [last[0], last[1] + 1]
      else runs.push([number, 1])
    }
  }

  /** Takes the next page, which goes behind those in the buffer. */
  #nextPage(): number {
    const number = this.take()
    if (this.#pages > 0 && number !== this.#first + this.#pages) this.#write()
    if (this.#pages === 0) this.#first = number
    return number
  }

  /** Completes the page that was taken last; returns its checksum. */
  #seal(number: number, flags: number, mark: number): number {
    const { file } = this.state
    const at = this.#pages * file.pageBytes
    const sum = file.seal(this.#plain.bytes, this.#stored, at, number, flags, mark)
    this.#pages++
    if (at + file.pageBytes === this.#plain.bytes.length) this.#write()
    return sum
  }

  /** Writes the pages in the buffer. */
  #write(): void {
    this.check()
    const { file } = this.state
    if (this.#pages > 0) file.write(this.#stored, 0, this.#first, this.#pages)
    this.#written += this.#pages * file.pageBytes
    this.#pages = 0
    this.busy = true
  }

  *#relieve(): Routine<void> {
    const written = this.#written
    this.#written = 0
    yield* this.wrote(written)
  }
}
