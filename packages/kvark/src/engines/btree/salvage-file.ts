/**
 * A tree file that may be damaged: its roots, its pages one by one, its values. What cannot be read is noted.
 *
 *   slot 0 │ slot 1     else the copies behind the maps, wherever they are; the newest one counts
 *
 * 1. A page is taken when its own checksum holds, and where the page above it is known, when it is the one that that one names.
 * 2. A page of the tree stands in one place of it: whoever comes to it again gets nothing, so that no circle is walked twice.
 */

import { readU32 } from '../../bytes/varint.ts'
import type { StoreIdentity } from '../../engine/engine.ts'
import type { LostKey, LostRange } from '../../engine/facts.ts'
import type { Environment } from '../../environment/environment.ts'
import { immediate, type Routine } from '../../environment/routine.ts'
import { KvarkError } from '../../errors.ts'
import { type BlockForm, salvagingForm } from '../../storage/block-form.ts'
import type { StoreCipher } from '../../storage/cipher.ts'
import { guessForm, identifySegments } from '../../storage/segment-remains.ts'
import type { FileHandle } from '../../vfs/files.ts'
import { MARK_AT, TreeFile } from './file.ts'
import {
  copyOf,
  type Extent,
  FLAGS_AT,
  isRoot,
  LOADED,
  PIECE,
  ROOT_BYTES,
  ROOT_SLOTS,
  type Root,
  readRoot,
  TREE_NAME,
  TREE_PAGE,
  unsealRoot,
} from './format.ts'
import { restOf } from './keys.ts'
import { Page, pageMemory } from './page.ts'
import { Space } from './space.ts'

const PAGE_SIZES = [4096, 8192, 16_384, 32_768, 65_536]
const LEAST_PAGE_BYTES = 4096
const SLICE_BYTES = 256 * 1024
/** Pages that are looked at to learn how blocks are made. */
const SEARCHED_PAGES = 1024

/** A page that nothing that can be read leads to. */
export interface Stray {
  readonly page: number
  readonly level: number
  /** Of the checkpoint that wrote it. */
  readonly number: number
}

export class DamagedTree {
  readonly root: Root
  readonly file: TreeFile
  readonly #environment: Environment
  readonly #size: number
  /** Pages that are accounted for. */
  readonly #seen: Space = new Space()
  /** Which pages the root leads to; `undefined`: the map cannot be read. */
  #inUse: Space | undefined
  /** By page: keys that are known to have lost their value there. */
  readonly #damaged: Map<number, LostKey[]> = new Map()

  constructor(
    environment: Environment,
    handle: FileHandle,
    size: number,
    root: Root,
    form: BlockForm,
  ) {
    this.#environment = environment
    this.#size = size
    this.root = root
    this.file = new TreeFile(handle, salvagingForm(form), root.life, Math.log2(root.pageBytes))
    for (let slot = 0; slot < ROOT_SLOTS; slot++) this.#see(slot)
  }

  /** Bytes of the pages that the root leads to, as far as that is known. */
  get bytes(): number {
    return this.#inUse ? this.#inUse.used * this.file.pageBytes : this.#size
  }

  /** Whether a page is accounted for. */
  has(page: number): boolean {
    return this.#seen.has(page)
  }

  /** Whether the map says which pages are in use. */
  get isMapped(): boolean {
    return this.#inUse !== undefined
  }

  *readMap(): Routine<void> {
    const { map } = this.root
    this.#see(copyOf(this.root))
    // A bit for each page of the file, and for some behind it perhaps.
    if (map.length > this.#size) return
    const bytes = yield* this.bytesOf(map)
    if (typeof bytes !== 'number') this.#inUse = Space.restore(bytes)
  }

  /**
   * A page of the tree, in memory of its own; `undefined`: it is damaged, or was met before. `sum`: what the page above it says, 0 where
   * there is none.
   */
  *page(number: number, sum: number, level?: number): Routine<Page | undefined> {
    if (number < ROOT_SLOTS || this.#seen.has(number)) return undefined
    this.#see(number)
    const bytes = yield* this.#read(number, sum)
    const page = bytes && this.#lookAt(bytes)
    if (page && (level === undefined || page.level === level)) return page
    this.damage(number)
    return undefined
  }

  /** All bytes of an extent, or the number of a page that cannot be read. */
  *bytesOf(extent: Extent, isCurrent = true): Routine<Buffer | number> {
    const parts: Buffer[] = []
    const keep = (piece: Buffer): Routine<void> =>
      immediate(() => void parts.push(piece))[Symbol.iterator]()
    const broken = yield* this.pieces(extent, isCurrent, keep)
    return broken ?? Buffer.concat(parts)
  }

  /**
   * Hands the pieces of an extent to `visit`, one by one; returns the number of a page that cannot be read. Where the extent is not
   * `isCurrent`, that is no damage: its pages may be another's by now.
   */
  *pieces(
    { length, mark, runs }: Extent,
    isCurrent: boolean,
    visit: (piece: Buffer) => Routine<void>,
  ): Routine<number | undefined> {
    const { payloadBytes, form, pageBytes } = this.file
    let rest = length
    let broken: number | undefined
    for (const [first, count] of runs) {
      for (let page = first; rest > 0 && page < first + count; page++) {
        if (isCurrent) this.#see(page)
        const bytes = yield* this.#read(page, mark)
        if (bytes === undefined || bytes[FLAGS_AT] !== PIECE) {
          broken ??= page
          if (!isCurrent) return broken
          this.damage(page)
          if ((page + 1) * pageBytes > this.#size) return broken
          // The others are looked at, so that they are known for what they are.
        } else if (broken === undefined) {
          const from = form.headerBytes
          yield* visit(bytes.subarray(from, from + Math.min(rest, payloadBytes)))
        }
        rest -= payloadBytes
      }
    }
    return broken ?? (rest > 0 ? (runs[0]?.[0] ?? 0) : undefined)
  }

  /** The whole key of a slot, or the number of a page that keeps it from being read. */
  *key(page: Page, slot: number): Routine<Buffer | number> {
    page.read(slot)
    const inPage = Buffer.alloc(page.keyLength(slot))
    page.writeKey(slot, inPage, 0)
    if (page.referenceLength === 0) return inPage
    let rest: Extent
    try {
      rest = restOf(page)
    } catch (error) {
      // It was forged.
      if (error instanceof KvarkError && error.code === 'CORRUPTION') return 0
      throw error
    }
    const bytes = yield* this.bytesOf(rest)
    return typeof bytes === 'number' ? bytes : Buffer.concat([inPage, bytes])
  }

  /**
   * Looks at every page that has not been met: pages of the tree, those that the root leads to and others. Pages that it leads to and
   * that cannot be read are damaged; returns whether there are any.
   */
  *strays(inUse: Stray[], others: Stray[]): Routine<boolean> {
    let unknown = false
    const end = Math.max(Math.ceil(this.#size / this.file.pageBytes), this.#inUse?.end ?? 0)
    for (let number = ROOT_SLOTS; number < end; number++) {
      if (this.#seen.has(number)) continue
      const isUsed = this.#inUse?.has(number) ?? false
      const bytes = yield* this.#read(number, 0)
      const page = bytes && this.#lookAt(bytes)
      if (page) {
        const stray = { page: number, level: page.level, number: readU32(bytes, MARK_AT) }
        if (isUsed) inUse.push(stray)
        else if (stray.number !== LOADED) others.push(stray)
      } else if (isUsed && bytes === undefined) {
        unknown = true
        this.damage(number)
      }
    }
    return unknown
  }

  /** A page that was met before, or that is nobody's. */
  *again(number: number): Routine<Page | undefined> {
    const bytes = yield* this.#read(number, 0)
    return bytes && this.#lookAt(bytes)
  }

  /** A page cannot be read. */
  damage(page: number): void {
    if (!this.#damaged.has(page)) this.#damaged.set(page, [])
  }

  /** A key has lost its value with a page. */
  loseKey(page: number, key: LostKey): void {
    this.damage(page)
    this.#damaged.get(page)!.push(key)
  }

  /** What cannot be read, in the order of the file. */
  lost(): LostRange[] {
    const { pageBytes, handle } = this.file
    const lost: (LostRange & { to: number; keys: LostKey[] })[] = []
    for (const [page, keys] of [...this.#damaged].sort(([a], [b]) => a - b)) {
      const from = page * pageBytes
      const to = from + pageBytes
      const reason = to > this.#size ? 'the file is cut short' : 'pages are damaged'
      const before = lost.at(-1)
      if (before?.to === from && before.reason === reason) {
        before.to = to
        before.keys.push(...keys)
      } else lost.push({ path: handle.path, from, to, reason, keys: [...keys] })
    }
    return lost.map(({ keys, ...range }) => (keys.length === 0 ? range : { ...range, keys }))
  }

  #see(page: number): void {
    // What leads out of the file is damaged anyway.
    if (page * this.file.pageBytes < this.#size && !this.#seen.has(page)) this.#seen.mark(page)
  }

  /** The bytes of a page, with memory of their own. */
  *#read(page: number, expected: number): Routine<Buffer | undefined> {
    const { file } = this
    yield* this.#environment.pause
    if ((page + 1) * file.pageBytes > this.#size) return undefined
    const bytes = Buffer.allocUnsafeSlow(file.pageBytes)
    file.expected = () => expected
    try {
      yield* file.readPage(page, bytes, 0)
    } catch (error) {
      if (error instanceof KvarkError && error.code === 'CORRUPTION') return undefined
      throw error
    }
    return bytes
  }

  #lookAt(bytes: Buffer): Page | undefined {
    if (bytes[FLAGS_AT] !== TREE_PAGE) return undefined
    const memory = pageMemory(bytes)
    const page = new Page(memory, this.file.payloadBytes)
    page.look(memory, this.file.form.headerBytes)
    return page
  }
}

/** What is known of a root that was found. */
export interface FoundRoot {
  readonly root: Root
  /** It stood in a slot: all that it leads to was complete. */
  readonly complete: boolean
}

/** The newest root of a tree file; else why there is none. */
export function* findRoot(
  handle: FileHandle,
  storeId: string,
  cipher: StoreCipher | undefined,
): Routine<FoundRoot | string> {
  const found: Root[] = []
  let reason = 'neither root can be read'
  const note = (text: Buffer, accept: (root: Root) => boolean): void => {
    try {
      const root = readRoot(handle.path, text, storeId, cipher)
      if (root && accept(root)) found.push(root)
    } catch (error) {
      if (!(error instanceof KvarkError)) throw error
      reason =
        error.code === 'VERSION'
          ? 'it is of a format that this version does not know'
          : 'it belongs to another store'
    }
  }
  const newest = (): Root | undefined =>
    found.sort((a, b) => b.number - a.number || b.sequence - a.sequence)[0]
  yield* eachSlot(handle, (text, at) => note(text, (root) => isInSlot(root, at)))
  const inSlot = newest()
  if (inSlot) return { root: inSlot, complete: true }
  yield* eachCopy(handle, (text, at) => note(text, (root) => isCopy(root, at)))
  const copy = newest()
  return copy ? { root: copy, complete: false } : reason
}

function isInSlot({ pageBytes }: Root, at: number): boolean {
  return at === 0 || at === pageBytes
}

function isCopy(root: Root, at: number): boolean {
  return copyOf(root) * root.pageBytes === at
}

/** The texts in the slots. The second one lies behind a page, of whatever size that is. */
function* eachSlot(handle: FileHandle, visit: (text: Buffer, at: number) => void): Routine<void> {
  for (const at of [0, ...PAGE_SIZES]) {
    const bytes = Buffer.alloc(ROOT_BYTES)
    const read = yield* handle.read(bytes, 0, ROOT_BYTES, at)
    visit(bytes.subarray(0, read), at)
  }
}

/** Everything that may be the copy of a root. */
function* eachCopy(handle: FileHandle, visit: (text: Buffer, at: number) => void): Routine<void> {
  const slice = Buffer.alloc(SLICE_BYTES)
  for (let start = 0; ; start += SLICE_BYTES) {
    const read = yield* handle.read(slice, 0, SLICE_BYTES, start)
    for (let at = 0; at < read; at += LEAST_PAGE_BYTES) {
      if (slice[at] === 0x7b) visit(slice.subarray(at, Math.min(read, at + ROOT_BYTES)), start + at)
    }
    if (read < SLICE_BYTES) return
  }
}

/** What the tree file in a folder says of the store that it belongs to, and where that is not enough, its journal. */
export function* identify(
  environment: Environment,
  folder: string,
): Routine<StoreIdentity | undefined> {
  const path = `${folder}/${TREE_NAME}`
  if ((yield* environment.files.stat(path)) === undefined) return undefined
  const handle = yield* environment.files.open(path, 'read')
  try {
    let encrypted = false
    let found: { root: Root; storeId: string } | undefined
    const note = (text: Buffer, accept: (root: Root) => boolean): void => {
      const content = unsealRoot(path, text, undefined)
      if (content === undefined) return
      const { kvark: _, storeId, sealed, ...root } = content
      if (typeof sealed === 'string') encrypted = true
      else if (typeof storeId === 'string' && isRoot(root) && accept(root)) {
        found ??= { root, storeId }
      }
    }
    yield* eachSlot(handle, (text, at) => note(text, (root) => isInSlot(root, at)))
    if (found === undefined && !encrypted) {
      yield* eachCopy(handle, (text, at) => note(text, (root) => isCopy(root, at)))
    }
    if (encrypted) return { storeId: '', encrypted, checksum: 'crc32', compression: 'none' }
    if (found === undefined) return yield* identifySegments(environment, folder, /^\d+\.log$/)
    const { root, storeId } = found
    const form = yield* guessForm((form, accept) => findPage(handle, form, root, accept))
    const { checksum = 'crc32', compression = 'none' } = form ?? {}
    const options = { pageBytes: root.pageBytes }
    return { storeId, encrypted, checksum, compression, options }
  } finally {
    yield* handle.close()
  }
}

/** The first page near the beginning of the file that is accepted, as its bytes. */
function* findPage(
  handle: FileHandle,
  form: BlockForm,
  { life, pageBytes }: Root,
  accept: (block: Buffer) => boolean,
): Routine<Buffer | undefined> {
  const bytes = Buffer.alloc(pageBytes)
  for (let page = ROOT_SLOTS; page < SEARCHED_PAGES; page++) {
    const at = page * pageBytes
    const read = yield* handle.read(bytes, 0, pageBytes, at)
    if (read < pageBytes) return undefined
    if (form.check(bytes, 0, pageBytes, life, at) >= 0 && accept(bytes)) return bytes
  }
  return undefined
}
