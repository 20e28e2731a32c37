/**
 * Forges what a tree has besides its journal:
 *
 *   root   ─► JSON ─► edited ─► sealed, into one slot or both
 *   page   ─► opened ─► edited ─► sealed anew ─► its checksum into the page above it … ─► into the root, both slots
 *
 * Which pages there are is found by following the root, not by the map of the file.
 */

import { readU32, writeU32 } from '../../../bytes/varint.ts'
import { childAt, SUM_AT } from '../../../engines/btree/branch.ts'
import { eachPage } from '../../../engines/btree/extents.ts'
import {
  copyOf,
  type Extent,
  NO_PAGE,
  ROOT_BYTES,
  ROOT_SLOTS,
  type Root,
  readRoot,
  TREE_NAME,
} from '../../../engines/btree/format.ts'
import { restOf } from '../../../engines/btree/keys.ts'
import { Leaf, readExtent } from '../../../engines/btree/leaf.ts'
import { Page, pageMemory } from '../../../engines/btree/page.ts'
import { type Content, FOLDER } from '../../damage.ts'
import { changed } from '../../tampering.ts'
import { Forger, type Json, type StoredFiles } from '../forger.ts'

const MARK_AT = 4
const FLAGS_AT = 10

/** A page that the root leads to. */
export interface TreePage {
  readonly number: number
  /** −1: a piece of a value, of a key, or of the map. */
  readonly level: number
  /** Of the page above it; 0: that is the root, or nothing has its checksum. */
  readonly parent: number
  /** And the slot there. */
  readonly slot: number
}

/** What a block says of itself, besides its checksum and its place. */
interface Header {
  mark: number
  flags: number
}

export class TreeForger extends Forger {
  readonly tree: Buffer
  /** The newest that can be read. */
  readonly root: Root
  readonly pages: ReadonlyMap<number, TreePage>

  constructor(files: StoredFiles, random: (length: number) => Uint8Array) {
    super(files, random)
    this.tree = this.content.get(TREE_NAME)!
    const first = this.#rootAt(0)
    const second = first && this.#rootAt(first.pageBytes)
    this.root = second !== undefined && second.number > first!.number ? second : first!
    const pages = new Map<number, TreePage>()
    this.#pieces(this.root.map, pages)
    pages.delete(copyOf(this.root))
    if (this.root.page !== NO_PAGE) this.#walk(this.root.page, NO_PAGE, 0, pages)
    this.pages = pages
  }

  /** What the root says. */
  rootJson(): Json {
    return { kvark: 1, storeId: this.storeId, ...this.root } as unknown as Json
  }

  /** The files with another root in some slots. */
  withRoot(content: Json, slots: readonly number[]): Content {
    const tree = Buffer.from(this.tree)
    for (const slot of slots) this.#putRoot(tree, content, slot)
    return changed(this.content, TREE_NAME, tree)
  }

  /** The files with a page that was edited, and all that has its checksum. */
  withPage(number: number, edit: (page: Page, payload: Buffer, header: Header) => void): Content {
    const tree = Buffer.from(this.tree)
    const { page, bytes, header } = this.#open(number)
    edit(page, bytes.subarray(this.blocks.headerBytes), header)
    let sum = this.#seal(tree, number, bytes, header)
    for (let at = this.pages.get(number)!; at.level >= 0; at = this.pages.get(at.parent)!) {
      if (at.parent === NO_PAGE) {
        const root = { ...(this.rootJson() as object), sum } as Json
        for (let slot = 0; slot < ROOT_SLOTS; slot++) this.#putRoot(tree, root, slot)
        break
      }
      const above = this.#open(at.parent)
      above.page.read(at.slot)
      writeU32(above.page.bytes, above.page.bodyAt + SUM_AT, sum)
      sum = this.#seal(tree, at.parent, above.bytes, above.header)
    }
    return changed(this.content, TREE_NAME, tree)
  }

  /** A page as it is in memory. */
  #open(number: number): { page: Page; bytes: Buffer; header: Header } {
    const { blocks, root } = this
    const { pageBytes, life } = root
    const at = number * pageBytes
    const bytes = Buffer.alloc(pageBytes)
    this.tree.copy(bytes, 0, at, at + pageBytes)
    if (blocks.open(bytes, 0, pageBytes, life, at) < 0) throw new Error(`page ${number} is damaged`)
    const page = new Page(pageMemory(bytes), pageBytes - blocks.headerBytes)
    page.look(pageMemory(bytes), blocks.headerBytes)
    return { page, bytes, header: { mark: readU32(bytes, MARK_AT), flags: bytes[FLAGS_AT]! } }
  }

  #seal(tree: Buffer, number: number, bytes: Buffer, { mark, flags }: Header): number {
    const { blocks, root } = this
    const { pageBytes, life } = root
    const stored = blocks.sealed ? Buffer.alloc(pageBytes) : bytes
    const length = pageBytes - blocks.headerBytes
    const sum = blocks.seal(bytes, stored, 0, length, flags, mark, life, number * pageBytes)
    stored.copy(tree, number * pageBytes)
    return sum
  }

  #rootAt(at: number): Root | undefined {
    const bytes = this.tree.subarray(at, at + ROOT_BYTES)
    return readRoot(`${FOLDER}/${TREE_NAME}`, bytes, this.storeId, this.cipher)
  }

  #putRoot(tree: Buffer, content: Json, slot: number): void {
    const at = slot * this.root.pageBytes
    const text = this.file(TREE_NAME, content)
    tree.fill(0, at, at + ROOT_BYTES)
    text.copy(tree, at, 0, ROOT_BYTES)
  }

  #walk(number: number, parent: number, slot: number, pages: Map<number, TreePage>): void {
    const { page } = this.#open(number)
    pages.set(number, { number, level: page.level, parent, slot })
    const leaf = new Leaf()
    for (let i = 0; i < page.count; i++) {
      page.read(i)
      if (page.referenceLength > 0) this.#pieces(restOf(page), pages)
      if (page.level > 0) this.#walk(childAt(page), number, i, pages)
      else {
        leaf.read(page.bytes, page.bodyAt, page.bodyLength, TREE_NAME)
        if (leaf.long) this.#pieces(readExtent(page.bytes, leaf.start, leaf.end), pages)
      }
    }
  }

  #pieces(extent: Extent, pages: Map<number, TreePage>): void {
    eachPage(extent, (number) => {
      pages.set(number, { number, level: -1, parent: NO_PAGE, slot: 0 })
    })
  }
}
