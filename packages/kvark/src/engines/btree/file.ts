/**
 * The tree file in use: reads and checks its pages for the cache, and writes pages and roots.
 */

import { readU32 } from '../../bytes/varint.ts'
import { Effect, type Routine } from '../../environment/routine.ts'
import { corruption } from '../../errors.ts'
import type { BlockForm } from '../../storage/block-form.ts'
import type { PageSource } from '../../storage/cache.ts'
import type { FileHandle } from '../../vfs/files.ts'
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

  #check(page: number, expected: number, target: Buffer, at: number, read: number): void {
    const { pageBytes, form, life } = this
    const { path } = this.handle
    const offset = page * pageBytes
    if (read < pageBytes) throw corruption(path, offset, 'a page is missing: the file is cut short')
    const isPiece = target[at + FLAGS_AT] === PIECE
    const found = readU32(target, isPiece ? at + MARK_AT : at)
    if (form.open(target, at, at + pageBytes, life, offset) !== this.payloadBytes) {
      throw corruption(path, offset, 'a page is damaged')
    }
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
