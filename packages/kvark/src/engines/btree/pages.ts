/**
 * The pages of the tree in memory. A page that is changed is copied first, under a new number, unless it is fresh and no view sees it:
 *
 *   number ─► table ─► frame of the cache ─┬─ as it is in the file, may go at any time
 *                                          └─ fresh: not in the file yet, claimed until a checkpoint has written it
 *
 *   look(5) ─► read it          own(5) ─► 5, when no view sees it
 *                                         9, a copy: the caller puts 9 where 5 was; 5 is left to whoever still sees it
 *
 * 1. A page that a view sees is never changed, nor is one that has been written.
 * 2. When a page may be changed, so may all above it.
 * 3. What is copied is memory only where it must be: a page that is in the file, and that nobody sees but who reads it there, gets a new
 *    number with the memory it has, and takes no more of the cache.
 * 4. `sum(page)` is the checksum that the page has in the file, or 0 where nobody has said it yet: whoever reads it must find that
 *    one. It is kept here because a page may be written after the one above it has been copied.
 * 5. Where a single batch makes more fresh pages than the cache has frames, the rest lie in slabs of their own, until a checkpoint has
 *    written them.
 */

import { larger, ownIntegers, release } from '../../bytes/memory.ts'
import type { Found } from '../../engine/found.ts'
import {
  type Block,
  type Cache,
  type PageSource,
  PageTable,
  SLAB_BYTES,
} from '../../storage/cache.ts'
import { AdaptiveHash, type UNDECIDED } from './adaptive-hash.ts'
import { FLAGS_AT, misplaced, NO_PAGE, PIECE, ROOT_SLOTS, TREE_PAGE } from './format.ts'
import { Page, type PageMemory, pageMemory, TIRED } from './page.ts'
import { Space } from './space.ts'
import { Views } from './views.ts'

/** Bytes of a page, and where in it the block's header ends. */
export interface PageForm {
  readonly bits: number
  readonly headerBytes: number
}

const FIRST_PAGES = 1024
/** What a page looks at before it looks at anything. */
const NO_MEMORY: PageMemory = pageMemory(Buffer.alloc(64))

export class Pages {
  readonly cache: Cache
  readonly table: PageTable
  readonly views: Views
  readonly hash: AdaptiveHash
  space: Space = new Space()
  readonly #form: PageForm
  readonly #memories: (PageMemory | undefined)[] = []
  /** By page: the epoch in which it was made (0: before the file was opened), the same while it is fresh, and its checksum. */
  #born: Uint32Array = ownIntegers(FIRST_PAGES)
  #freshSince: Uint32Array = ownIntegers(FIRST_PAGES)
  #sums: Uint32Array = ownIntegers(FIRST_PAGES)
  readonly #fresh: Set<number> = new Set()
  /** Fresh pages that are pieces of values, and those that the tree has left: they go into the file for a checkpoint that sees them. */
  readonly #pieces: Set<number> = new Set()
  readonly #left: Set<number> = new Set()
  /** First frames of slabs that are not the cache's, and free frames in them. */
  #slabs: number[] = []
  #spare: number[] = []
  readonly #copied: Page

  /** `seed` and `bytes`: of the adaptive hash. */
  constructor(cache: Cache, source: PageSource, form: PageForm, seed: number, bytes: number) {
    this.cache = cache
    this.#form = form
    this.table = new PageTable(source, FIRST_PAGES)
    this.#copied = this.newPage()
    this.hash = new AdaptiveHash(
      this.newPage(),
      (page, number) => this.#glance(page, number),
      form.bits,
      seed,
      bytes,
    )
    this.views = new Views(
      (page) => this.#born[page]!,
      (page) => this.#give(page),
    )
  }

  /** Bytes of a page that are the tree's. */
  get size(): number {
    return (1 << this.#form.bits) - this.#form.headerBytes
  }

  /** A page to look with. */
  newPage(): Page {
    return new Page(NO_MEMORY, this.size)
  }

  /** Fresh pages. */
  get fresh(): number {
    return this.#fresh.size
  }

  /** Looks at a page; false where it is not in memory. */
  look(page: Page, number: number): boolean {
    const frame = this.table.frames[number]!
    if (!(frame >= 0)) return false
    const { cache } = this
    cache.referenced[frame] = 1
    const memory = this.#memoryOf(frame >> cache.slabBits)
    const at = (frame & cache.slabMask) << cache.pageBits
    if (memory.bytes[at + FLAGS_AT] === PIECE) throw misplaced()
    page.look(memory, at + this.#form.headerBytes)
    return true
  }

  /** `findShort` of the adaptive hash, in these pages. */
  findShort(key: Uint8Array, length: number, found: Found): 0 | 1 | typeof UNDECIDED {
    return this.hash.findShort(key, length, this.cache, this.table, this.#form.headerBytes, found)
  }

  /**
   * What brings a page into memory, and keeps those `above` it there that are. Those are all that a search needs then: what it holds
   * below would only keep others waiting who have to come through here, too.
   */
  block(number: number, above?: Iterable<number>): Block {
    this.checkOpen()
    this.#reach(number)
    const block = this.cache.block(this.table, number, above)
    return above === undefined ? block : { ...block, alone: true }
  }

  sum(number: number): number {
    return this.#sums[number] ?? 0
  }

  setSum(number: number, sum: number): void {
    this.#reach(number)
    this.#sums[number] = sum
  }

  /** A page that is about to be read has this checksum in the file, unless it was written since. */
  expect(number: number, sum: number): void {
    this.checkOpen()
    this.#check(number)
    if (sum !== 0 && this.sum(number) === 0) this.setSum(number, sum)
  }

  /** Makes an empty page, and looks at it; returns its number. */
  make(page: Page, level: number, prefix: Uint8Array): number {
    const number = this.#take()
    const frame = this.table.frames[number]!
    const { cache } = this
    const memory = this.#memoryOf(frame >> cache.slabBits)
    const at = (frame & cache.slabMask) << cache.pageBits
    memory.bytes[at + FLAGS_AT] = TREE_PAGE
    page.format(memory, at + this.#form.headerBytes, level, prefix)
    return number
  }

  /** Whether a page may be changed as it is. */
  isOwn(number: number): boolean {
    return this.#freshSince[number]! > this.views.newest
  }

  /** Keeps a page that is in memory there until it is released, whatever is claimed meanwhile. */
  hold(number: number): Block {
    const block = this.cache.block(this.table, number)
    block.load.sync()
    return block
  }

  /** Copies a page of an earlier epoch, which is held and which the tree leaves; returns the copy's number. */
  copy(number: number): number {
    const { cache, table } = this
    const before = table.frames[number]!
    const made = this.#take()
    const frame = table.frames[made]!
    const from = (before & cache.slabMask) << cache.pageBits
    const to = (frame & cache.slabMask) << cache.pageBits
    const source = cache.slabs[before >> cache.slabBits]!
    source.copy(cache.slabs[frame >> cache.slabBits]!, to, from, from + (1 << cache.pageBits))
    this.#goesOn(number, made)
    return made
  }

  /**
   * The same without copying: what is in memory becomes the new page, and the old one is in the file only. `NO_PAGE`: that cannot be, for
   * it is not there yet, somebody reads it, or frames are scarce.
   */
  renumber(number: number): number {
    if (this.#born[number]! <= this.views.newestReader) return NO_PAGE
    // Of one that is fresh it is claimed already.
    const frame = this.cache.claimFrom(this.table, number)
    if (frame < 0) return NO_PAGE
    const made = this.space.take()
    this.#freshen(made, frame)
    this.#goesOn(number, made)
    return made
  }

  /** A page of the tree has become another one. */
  #goesOn(number: number, made: number): void {
    this.look(this.#copied, made)
    if (this.#copied.generation === TIRED) this.#copied.rejuvenate()
    else this.hash.moved(number, made)
    this.leave(number)
  }

  /** The tree does not have the page any more. */
  leave(number: number): void {
    this.hash.gone(number)
    if (this.#fresh.has(number)) this.#left.add(number)
    this.views.leave(number)
  }

  /**
   * Takes a page that somebody has written to the file already, past the memory; `mark`: what it is known by. Whoever leaves it leaves
   * it to the newest view, for it may not be written over before the next checkpoint. `born`: since which epoch somebody sees it.
   */
  adopt(number: number, mark: number, born = 0): void {
    this.#reach(number)
    this.#born[number] = born
    this.#sums[number] = mark
  }

  /** A fresh page for a piece of a value, all zeros; `number`: one that was taken for it. */
  makePiece(number: number, mark: number): void {
    this.#freshen(number, this.#claim())
    this.#sums[number] = mark
    this.#pieces.add(number)
    this.bytesOf(number).fill(0)[FLAGS_AT] = PIECE
  }

  /** Whether a page is in memory. */
  has(number: number): boolean {
    return this.table.frames[number]! >= 0
  }

  isPiece(number: number): boolean {
    return this.#pieces.has(number)
  }

  /** Whether a page that was made in `epoch` or before is in memory only. */
  isFresh(number: number, epoch: number): boolean {
    const since = this.#freshSince[number]!
    return since > 0 && since <= epoch
  }

  /** Fresh pages that are not newer than `epoch`, in no order. */
  *freshUpTo(epoch: number): Generator<number> {
    for (const number of this.#fresh) if (this.#born[number]! <= epoch) yield number
  }

  /** The bytes of a page in memory, block header included. */
  bytesOf(number: number): Buffer {
    const { cache, table } = this
    const frame = table.frames[number]!
    const at = (frame & cache.slabMask) << cache.pageBits
    return cache.slabs[frame >> cache.slabBits]!.subarray(at, at + (1 << cache.pageBits))
  }

  /** What a page in memory holds behind the block's header. */
  payloadOf(number: number): Buffer {
    return this.bytesOf(number).subarray(this.#form.headerBytes)
  }

  /** Frees a page at once: nobody can see it. */
  free(number: number): void {
    this.#give(number)
  }

  /** A fresh page that was made in `epoch` or before is in the file now, and its frame needed no more. */
  written(number: number, epoch: number): void {
    // It may be gone by now, and its number be another page's.
    if (!this.isFresh(number, epoch)) return
    const { cache, table } = this
    const frame = table.frames[number]!
    // Nobody would find it in the cache: what the tree has instead needs the memory.
    const isDone = this.#left.has(number) && this.#born[number]! > this.views.newestReader
    this.#settle(number)
    if (isDone) {
      cache.forget(table, number)
      this.#giveFrame(frame)
      return
    }
    if (frame < cache.capacity) {
      cache.hand(frame, table, number)
      return
    }
    cache.insert(table, number, cache.slabs[frame >> cache.slabBits]!, this.#placeOf(frame))
    this.#spare.push(frame)
  }

  /** Gives back the memory of slabs in which no page is any more. What is left of the others is taken from the first of them on. */
  releaseSlabs(): void {
    if (this.#slabs.length === 0) return
    const { cache } = this
    const spare = Uint32Array.from(this.#spare).sort().reverse()
    const inUse = new Set<number>(this.#slabs)
    for (let i = 0; i < spare.length; ) {
      const first = (spare[i]! >> cache.slabBits) << cache.slabBits
      const from = i
      while (i < spare.length && spare[i]! >= first) i++
      if (i - from <= cache.slabMask) continue
      inUse.delete(first)
      this.#memories[first >> cache.slabBits] = undefined
      cache.unregister(first)
    }
    this.#slabs = [...inUse]
    this.#spare = Array.from(
      spare.filter((frame) => inUse.has((frame >> cache.slabBits) << cache.slabBits)),
    )
  }

  /** `CLOSED` where they have been let go of. */
  checkOpen(): void {
    this.table.checkOpen()
  }

  /** Lets go of all memory. */
  close(): void {
    this.cache.drop(this.table)
    for (const frame of this.#slabs) this.cache.unregister(frame)
    this.#slabs = []
    this.hash.close()
    release(this.#born)
    release(this.#freshSince)
    release(this.#sums)
  }

  /** Nobody sees the page any more. */
  #give(number: number): void {
    const frame = this.table.frames[number]!
    this.cache.forget(this.table, number)
    if (this.#settle(number)) this.#giveFrame(frame)
    this.#sums[number] = 0
    this.hash.gone(number)
    this.space.give(number)
  }

  /** No page is in a frame that was claimed. */
  #giveFrame(frame: number): void {
    if (frame < this.cache.capacity) this.cache.unclaim(frame)
    else this.#spare.push(frame)
  }

  /** The page is not fresh any more; false where it was not. */
  #settle(number: number): boolean {
    this.#pieces.delete(number)
    this.#left.delete(number)
    this.#freshSince[number] = 0
    return this.#fresh.delete(number)
  }

  #glance(page: Page, number: number): boolean {
    const frame = this.table.frames[number]!
    if (!(frame >= 0)) return false
    const { cache } = this
    cache.referenced[frame] = 1
    page.glance(
      this.#memoryOf(frame >> cache.slabBits),
      ((frame & cache.slabMask) << cache.pageBits) + this.#form.headerBytes,
    )
    return true
  }

  #placeOf(frame: number): number {
    return (frame & this.cache.slabMask) << this.cache.pageBits
  }

  #memoryOf(slab: number): PageMemory {
    const bytes = this.cache.slabs[slab]!
    let memory = this.#memories[slab]
    if (memory === undefined || memory.bytes !== bytes)
      memory = this.#memories[slab] = pageMemory(bytes)
    return memory
  }

  /** A new number with a fresh frame. */
  #take(): number {
    const number = this.space.take()
    this.#freshen(number, this.#claim())
    return number
  }

  /** A frame for a fresh page. */
  #claim(): number {
    const frame = this.#spare.pop() ?? this.cache.claim()
    if (frame >= 0) return frame
    this.#addSlab()
    return this.#spare.pop()!
  }

  /** A page that was taken is fresh now, in that frame. */
  #freshen(number: number, frame: number): void {
    this.#reach(number)
    this.#fresh.add(number)
    this.table.frames[number] = frame
    this.#born[number] = this.views.epoch
    this.#freshSince[number] = this.views.epoch
    this.#sums[number] = 0
  }

  #addSlab(): void {
    const { cache } = this
    const memory = Buffer.allocUnsafeSlow(SLAB_BYTES)
    const first = cache.register(memory)
    this.#slabs.push(first)
    for (let i = cache.slabMask; i >= 0; i--) this.#spare.push(first + i)
  }

  /** Whoever names a page that is not in use has it from a page that was forged. */
  #check(number: number): void {
    if (number < ROOT_SLOTS || number >= this.space.end) throw misplaced()
  }

  /** Makes room for what is known of a page. */
  #reach(number: number): void {
    this.#check(number)
    this.table.grow(number + 1)
    if (number < this.#born.length) return
    const length = Math.max(number + 1, this.#born.length * 2)
    this.#born = larger(this.#born, length)
    this.#freshSince = larger(this.#freshSince, length)
    this.#sums = larger(this.#sums, length)
  }
}
