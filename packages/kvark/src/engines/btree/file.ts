/**
 * The tree file in use: reads and checks its pages for the cache, and writes pages and roots.
 *
 *   compressed   │ header │ stored … │ zeros │ rest, in whole pieces of 4 KiB │
 *                ├──────────── written ──────┤
 *
 * 1. The rest of a compressed page is not written: a hole where nothing has been before, and what an older page has left else. It
 *    is nobody's: who reads the page takes it for zeros.
 * 2. The file ends with a whole page all the same.
 */

import { readU32 } from '../../bytes/varint.ts'
import { Effect, type Routine } from '../../environment/routine.ts'
import { corruption } from '../../errors.ts'
import type { BlockForm } from '../../storage/block-form.ts'
import type { PageSource } from '../../storage/cache.ts'
import { type FileHandle, HOLE_BYTES } from '../../vfs/files.ts'
import { FLAGS_AT, PIECE, ROOT_BYTES, TREE_PAGE } from './format.ts'
import { Page, type PageMemory, pageMemory } from './page.ts'

/** What a block is known by, in its header. */
export const MARK_AT = 4

export class TreeFile implements PageSource {
  readonly handle: FileHandle
  readonly form: BlockForm
  readonly life: number
  readonly pageBits: number
  /** What a page must be known by; 0: not known. Set by who has the pages. */
  expected: (page: number) => number = () => 0
  readonly #page: Page

  constructor(handle: FileHandle, form: BlockForm, life: number, pageBits: number) {
    this.handle = handle
    this.form = form
    this.life = life
    this.pageBits = pageBits
    this.#page = new Page(pageMemory(Buffer.alloc(64)), this.payloadBytes)
  }

  get pageBytes(): number {
    return 1 << this.pageBits
  }

  /** Bytes of a page behind the block's header. */
  get payloadBytes(): number {
    return this.pageBytes - this.form.headerBytes
  }

  readPage(page: number, target: Buffer, at: number): Effect<void> {
    const expected = this.expected(page)
    const read = this.handle.read(target, at, this.pageBytes, page * this.pageBytes)
    return new Effect(
      () => this.#check(page, expected, target, at, read.sync()),
      async () => this.#check(page, expected, target, at, await read.async()),
    )
  }

  /** Reads page `page` as it lies in the file into `target[at ..]`; `CORRUPTION` where it is damaged. */
  *copyPage(page: number, target: Buffer, at: number): Routine<void> {
    const { pageBytes, form, life, handle } = this
    const offset = page * pageBytes
    const read = yield* handle.read(target, at, pageBytes, offset)
    this.#clearRest(target, at)
    if (
      read < pageBytes ||
      form.check(target, at, at + pageBytes, life, offset) !== this.payloadBytes
    ) {
      throw corruption(handle.path, offset, 'a page is damaged')
    }
  }

  /** Seals page `page`, which lies in `plain[at ..]`, into `stored[at ..]`; returns its checksum. */
  seal(
    plain: Buffer,
    stored: Buffer,
    at: number,
    page: number,
    flags: number,
    mark: number,
  ): number {
    const { form, life, pageBytes, payloadBytes } = this
    return form.seal(plain, stored, at, payloadBytes, flags, mark, life, page * pageBytes)
  }

  /** Makes page `page`, which lies in `bytes[at ..]` as in the file, readable in place; false where it is damaged. */
  open(bytes: Buffer, at: number, page: number): boolean {
    const { pageBytes, form, life, payloadBytes } = this
    this.#clearRest(bytes, at)
    return form.open(bytes, at, at + pageBytes, life, page * pageBytes) === payloadBytes
  }

  /** Writes `count` sealed pages, which follow each other in `stored[at ..]` as in the file, from page `first` on. */
  write(stored: Buffer, at: number, first: number, count: number): void {
    const { pageBytes, handle } = this
    const base = first * pageBytes - at
    const end = at + count * pageBytes
    let from = at
    let to = at
    for (let page = at; page < end; page += pageBytes) {
      if (to < page) {
        handle.write(stored, from, to - from, base + from).sync()
        from = page
      }
      to = page + this.#writtenBytes(stored, page)
    }
    handle.write(stored, from, to - from, base + from).sync()
    if (to < end && handle.size().sync() < base + end) handle.truncate(base + end).sync()
  }

  *readSlot(slot: number): Routine<Buffer> {
    const bytes = Buffer.alloc(ROOT_BYTES)
    const read = yield* this.handle.read(bytes, 0, ROOT_BYTES, slot * this.pageBytes)
    return bytes.subarray(0, read)
  }

  /** Writes a root once more, as a page, so that the file ends with one. */
  writeCopy(root: Buffer, page: number): void {
    const bytes = Buffer.alloc(this.pageBytes)
    root.copy(bytes)
    this.handle.write(bytes, 0, bytes.length, page * this.pageBytes).sync()
  }

  /** How much of the sealed page in `bytes[at ..]` is in the file. */
  #writtenBytes(bytes: Buffer, at: number): number {
    const { pageBytes, form } = this
    if (!form.sealed) return pageBytes
    const stored = form.storedBytes(bytes, at)
    return Math.min(pageBytes, Math.ceil(stored / HOLE_BYTES) * HOLE_BYTES)
  }

  #clearRest(bytes: Buffer, at: number): void {
    bytes.fill(0, at + this.#writtenBytes(bytes, at), at + this.pageBytes)
  }

  #check(page: number, expected: number, target: Buffer, at: number, read: number): void {
    const { pageBytes, form } = this
    const { path } = this.handle
    const offset = page * pageBytes
    if (read < pageBytes) throw corruption(path, offset, 'a page is missing: the file is cut short')
    const isPiece = target[at + FLAGS_AT] === PIECE
    const found = readU32(target, isPiece ? at + MARK_AT : at)
    if (!this.open(target, at, page)) throw corruption(path, offset, 'a page is damaged')
    if (expected !== 0 && found !== expected) {
      throw corruption(path, offset, 'an older page lies where a newer one was written')
    }
    if (isPiece) return
    const memory: PageMemory = pageMemory(target)
    this.#page.look(memory, at + form.headerBytes)
    if (target[at + FLAGS_AT] !== TREE_PAGE || !this.#page.isSound()) {
      throw corruption(path, offset, 'a page is malformed')
    }
  }
}
