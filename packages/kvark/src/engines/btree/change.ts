/** Changes of a tree by entries: what a write does to it, and what recovery does again. */

import { copyShort, SHORT_COPY_BYTES } from '../../bytes/short-copy.ts'
import { HAS_EXTENTS, MAY_EXPIRE } from './branch.ts'
import type { Extent } from './format.ts'
import { extentLength, Leaf, leafLength, readExtent, writeExtent, writeLeaf } from './leaf.ts'
import { longKeyBytes, type Page, REFERENCE_BYTES, RUN_BYTES } from './page.ts'
import { PRESENT } from './path.ts'
import type { TreeState } from './state.ts'

/** A page has room for so many entries at least; longer ones have their values in extents. */
const LEAST_ENTRIES = 2
/** Header of a page, and what an entry takes besides its key and body. */
const PAGE_OVERHEAD_BYTES = 16
const ENTRY_OVERHEAD_BYTES = 14
/** A reference with four runs, the most that a key has. */
const MOST_REFERENCE_BYTES: number = REFERENCE_BYTES + 4 * RUN_BYTES

/** What entries may take of a page. */
export class EntryRoom {
  /** Key and body together. */
  readonly most: number
  /** Keys from this length on are long. */
  readonly long: number

  /** `size`: of a page. */
  constructor(size: number) {
    this.long = longKeyBytes(size)
    this.most = Math.floor((size - PAGE_OVERHEAD_BYTES) / LEAST_ENTRIES) - ENTRY_OVERHEAD_BYTES
  }

  /** Whether an entry with a key and a body of these lengths has its value in an extent. */
  isLong(keyLength: number, bodyLength: number): boolean {
    const inPage = keyLength < this.long ? keyLength : this.long + MOST_REFERENCE_BYTES
    return inPage + bodyLength > this.most
  }
}

export class Change {
  readonly #state: TreeState
  readonly #leaf: Leaf = new Leaf()
  readonly #room: EntryRoom

  constructor(state: TreeState) {
    this.#state = state
    this.#room = new EntryRoom(state.file.payloadBytes)
    state.tree.traits = (page) => this.#traits(page)
    state.tree.leaving = (page) => this.#left(page)
  }

  /** Puts `source[from .. from + length)` under `key[start .. end)`; `view`: of `source`, where there is one. */
  put(
    key: Uint8Array,
    start: number,
    end: number,
    source: Uint8Array,
    from: number,
    length: number,
    sequence: number,
    expiry: number,
    ascii: boolean,
    view?: DataView,
  ): void {
    const body = leafLength(length, expiry)
    if (this.#room.isLong(end - start, body)) {
      const extent = this.#state.extents.write(source, from, length)
      this.#putExtent(key, start, end, extent, sequence, expiry, ascii)
      return
    }
    const { tree } = this.#state
    tree.put(key, start, end, body, expiry === 0 ? 0 : MAY_EXPIRE)
    const { bytes, bodyAt } = tree.body
    const at = writeLeaf(bytes, bodyAt, sequence, expiry, ascii, false)
    if (view !== undefined && length <= SHORT_COPY_BYTES)
      copyShort(tree.body.view, at, view, from, length)
    else if (length < 32) for (let i = 0; i < length; i++) bytes[at + i] = source[from + i]!
    else bytes.set(source.subarray(from, from + length), at)
  }

  /** Puts a value that lies in the file already. */
  putExtent(
    key: Uint8Array,
    start: number,
    end: number,
    extent: Extent,
    sequence: number,
    expiry: number,
  ): void {
    this.#state.extents.adopt(extent)
    this.#putExtent(key, start, end, extent, sequence, expiry, false)
  }

  delete(key: Uint8Array, start: number, end: number): void {
    const { tree } = this.#state
    if (tree.reach(tree.root, key, start, end) === PRESENT) tree.delete()
  }

  /** Takes all keys from `from` up to `to` (empty: to the end) away. */
  deleteRange(from: Uint8Array, to: Uint8Array): void {
    this.#state.tree.deleteRange(from, to)
  }

  #putExtent(
    key: Uint8Array,
    start: number,
    end: number,
    extent: Extent,
    sequence: number,
    expiry: number,
    ascii: boolean,
  ): void {
    const { tree } = this.#state
    const traits = expiry === 0 ? HAS_EXTENTS : HAS_EXTENTS | MAY_EXPIRE
    tree.put(key, start, end, leafLength(extentLength(extent), expiry), traits)
    const { bytes, bodyAt } = tree.body
    writeExtent(bytes, writeLeaf(bytes, bodyAt, sequence, expiry, ascii, true), extent)
  }

  #traits(page: Page): number {
    const leaf = this.#leaf
    leaf.read(page.bytes, page.bodyAt, page.bodyLength, this.#state.file.handle.path)
    return (leaf.expiry === 0 ? 0 : MAY_EXPIRE) | (leaf.long ? HAS_EXTENTS : 0)
  }

  /** An entry is about to go: so does its long value. */
  #left(page: Page): void {
    const leaf = this.#leaf
    const { file, extents } = this.#state
    leaf.read(page.bytes, page.bodyAt, page.bodyLength, file.handle.path)
    if (leaf.long) extents.leave(readExtent(page.bytes, leaf.start, leaf.end))
  }
}
