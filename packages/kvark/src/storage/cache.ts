/**
 * The cache of pages: fixed memory for the blocks of all files of a store.
 *
 *   PageTable (one a file)                 frames, 128 to a slab of 2 MiB
 *   frames: Int32Array   page ──► frame ──► slabs[frame >> 7] at (frame & 127) * 16 KiB
 *                             −1: not here                       (with pages of another size: slabBits, slabMask, pageBits)
 *
 * A hit is two typed-array reads and a store of the CLOCK bit: no object, no map. What a writer fills before it is on disk lies in
 * frames that he has claimed, or in a slab of his own that he has registered: readers see it through the same table.
 *
 * 1. A frame holds a page that its source has checked, or nothing.
 * 2. A pinned frame is never reused. A page is pinned from the start of its loading until `release`, a claimed frame until it is given
 *    back.
 * 3. A page is loaded once, however many wait for it; at most `LOADS_AT_ONCE` loads are awaited at a time.
 *    One that is forgotten meanwhile is not kept, whatever was read: who waited finds nothing, and looks again.
 * 4. Who waits for the disk, and who claims, leave some frames to calls that cannot wait: these let go of theirs before anybody else
 *    runs, so that there are always some for them. Where all who keep frames wait for one, they let go of what has led them there, and
 *    wait again.
 * 5. Memory never exceeds the capacity plus the registered slabs; slabs are allocated when first needed, and the first one grows
 *    unless somebody claims frames: what is being loaded then is copied when it is there.
 *
 * Replacement is CLOCK (F. J. Corbató, "A paging experiment with the Multics system", 1968).
 */

import { viewOf } from '../bytes/short-copy.ts'
import { Effect } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'

export const PAGE_BITS = 14
/** The size of a page where nothing else is said: 16 KiB. */
export const PAGE_BYTES: number = 1 << PAGE_BITS
/** Frame → slab, and frame within it. */
export const SLAB_BITS = 7
export const SLAB_MASK: number = (1 << SLAB_BITS) - 1
const SLAB_BYTES_BITS = PAGE_BITS + SLAB_BITS
export const SLAB_BYTES: number = 1 << SLAB_BYTES_BITS
/** What the first slab begins with: a small store needs no more. */
const FIRST_BYTES = 8 * PAGE_BYTES
const LOADS_AT_ONCE = 32
/** So many microtasks are waited for a frame when all are pinned. */
const PATIENCE = 100
/** So often a call waits for one; it keeps nothing meanwhile after the first time. */
const TRIES = 100
/** Instead of a frame. */
const NO_ROOM = -2
/** Frames that cannot be claimed: a quarter of all, and what a few readers need. */
const LEAST_UNCLAIMED = 12
/** Frames for calls that cannot wait: an eighth of all, but not more than they need for the way through a tree. */
const LEAST_RESERVED = 4
const MOST_RESERVED = 16
const NOT_BEGUN: Promise<number> = Promise.resolve(-1)
const TURN: Promise<void> = Promise.resolve()
const NO_SLAB: Buffer = Buffer.alloc(0)
const NO_VIEW: DataView = viewOf(NO_SLAB)

/** Something on disk that has to be in memory before a call can go on. */
export interface Block {
  /** Brings it into memory and keeps it there. */
  readonly load: Effect<void>
  /** Ends what `load` began; harmless before it and when repeated. */
  release(): void
  /** What was loaded before it for the same call is not needed any more: the call has come further. */
  readonly alone?: true
}

/** Where a file's pages come from. */
export interface PageSource {
  /** Reads page `page` into `target[at ..]`, as long as the cache's pages are, and checks it; `CORRUPTION` where it is damaged. */
  readPage(page: number, target: Buffer, at: number): Effect<void>
}

/** A page that is being loaded, for so many. */
interface Loading {
  frame: Promise<number>
  waiters: number
  /** It was forgotten meanwhile: another one may be in its place by now. */
  gone: boolean
}

/** Which pages of one file are in memory. */
export class PageTable {
  /** Page → frame, −1 where absent. */
  frames: Int32Array
  readonly source: PageSource
  /** Loads under way, by page. */
  readonly loading: Map<number, Loading> = new Map()
  dropped = false

  constructor(source: PageSource, pages: number) {
    this.source = source
    this.frames = new Int32Array(pages).fill(-1)
  }

  /** `CLOSED` where they have been let go of: for who has waited meanwhile, or has failed since the file was closed. */
  checkOpen(): void {
    if (!this.dropped) return
    throw new KvarkError('CLOSED', 'The store was closed, or resumed, before this was done.')
  }

  /** Makes room for at least `pages` pages. */
  grow(pages: number): void {
    if (pages <= this.frames.length) return
    const frames = new Int32Array(Math.max(pages, this.frames.length * 2)).fill(-1)
    frames.set(this.frames)
    this.frames = frames
  }
}

export class Cache {
  /** Memory of the frames; see the drawing. Read directly by engines on their hot paths. */
  readonly slabs: Buffer[] = []
  /** The same memory, to read several bytes at once. */
  readonly views: DataView[] = []
  /** CLOCK bits. */
  referenced: Uint8Array
  /** Pages are 2^pageBits bytes; frame → slab, and frame within it. */
  readonly pageBits: number
  readonly slabBits: number
  readonly slabMask: number
  /** Pages found and not found, as [hits, misses]. */
  readonly counts: Float64Array = new Float64Array(2)
  readonly #capacity: number
  readonly #reserved: number
  readonly #grows: boolean
  readonly #pins: Uint32Array
  /** Of the frames that have been used: a cache may be far larger than what it comes to hold. */
  readonly #owners: (PageTable | undefined)[] = []
  readonly #pages: Int32Array
  readonly #free: number[] = []
  readonly #registered: Set<number> = new Set()
  #fresh = 0
  #claimed = 0
  /** Frames that somebody pins. */
  #pinned = 0
  #hand = 0
  #loads = 0
  readonly #waiting: (() => void)[] = []
  /** Reads of the disk under way, and who waits until one of them has ended. */
  #reading = 0
  readonly #ending: (() => void)[] = []

  /** `grows`: the first slab is small at first; nobody may claim frames then. */
  constructor(bytes: number, pageBits: number = PAGE_BITS, grows = true) {
    this.pageBits = pageBits
    this.#grows = grows
    this.slabBits = SLAB_BYTES_BITS - pageBits
    this.slabMask = (1 << this.slabBits) - 1
    this.#capacity = Math.max(16, Math.floor(bytes / 2 ** pageBits))
    this.#reserved = Math.min(MOST_RESERVED, Math.max(LEAST_RESERVED, this.#capacity >> 3))
    const slabs = Math.ceil(this.#capacity / (this.slabMask + 1))
    for (let i = 0; i < slabs; i++) {
      this.slabs.push(NO_SLAB)
      this.views.push(NO_VIEW)
    }
    // Registered slabs come behind; their CLOCK bits are written by readers too.
    this.referenced = new Uint8Array((slabs + 16) << this.slabBits)
    this.#pins = new Uint32Array(this.#capacity)
    this.#pages = new Int32Array(this.#capacity)
  }

  /** Bytes of memory in use for frames. */
  get bytes(): number {
    let bytes = 0
    for (const slab of this.slabs) bytes += slab.length
    return bytes
  }

  /** Frames that it has at most, besides registered ones: those before this one. */
  get capacity(): number {
    return this.#capacity
  }

  /** A frame for a page that is not on disk: nobody else gets it until it is given back. −1: none can be had. */
  claim(): number {
    if (!this.#canClaim) return -1
    const frame = this.#allocate()
    if (frame < 0) return frame
    this.#claimed++
    return this.#pin(frame)
  }

  /** Claims the frame of a page with what is in it: from now on the page is only in its source. −1: it is not to be had. */
  claimFrom(table: PageTable, page: number): number {
    const frame = table.frames[page]!
    const isOurs = frame >= 0 && frame < this.#capacity && this.#owners[frame] === table
    if (!isOurs || this.#pins[frame] !== 0 || !this.#canClaim) return -1
    table.frames[page] = -1
    this.#owners[frame] = undefined
    this.#claimed++
    return this.#pin(frame)
  }

  /** Gives a claimed frame back: with what its source has from now on, the page `page`, in it. */
  hand(frame: number, table: PageTable, page: number): void {
    this.#own(frame, table, page)
    this.unclaim(frame)
  }

  /** Gives a claimed frame back that no table points to any more. */
  unclaim(frame: number): void {
    this.#claimed--
    this.#unpin(frame)
  }

  /** Makes `memory` (at most one slab long) readable as frames; returns its first frame. */
  register(memory: Buffer): number {
    const reusable = this.#registered.values().next()
    let slab = this.slabs.length
    if (!reusable.done) {
      slab = reusable.value
      this.#registered.delete(slab)
    }
    this.#setSlab(slab, memory)
    const end = (slab + 1) << this.slabBits
    if (end > this.referenced.length) {
      const referenced = new Uint8Array(2 * end)
      referenced.set(this.referenced)
      this.referenced = referenced
    }
    return slab << this.slabBits
  }

  /** Takes back `register`. No page table may point there any more. */
  unregister(frame: number): void {
    this.#setSlab(frame >> this.slabBits, NO_SLAB)
    this.#registered.add(frame >> this.slabBits)
  }

  /** Copies a page that is known to be good into the cache. */
  insert(table: PageTable, page: number, source: Buffer, at: number): void {
    const present = table.frames[page]!
    const frame =
      present >= 0 && present < this.#capacity && this.#owners[present] === table
        ? present
        : this.#allocate()
    if (frame < 0) {
      table.frames[page] = -1
      return
    }
    source.copy(
      this.slabs[frame >> this.slabBits]!,
      this.#placeOf(frame),
      at,
      at + (1 << this.pageBits),
    )
    this.#own(frame, table, page)
  }

  /** Forgets a page that nobody needs any more. Who waits for it hears that it is gone, and looks again: `load` ends without it. */
  forget(table: PageTable, page: number): void {
    const loading = table.loading.get(page)
    if (loading !== undefined) {
      loading.gone = true
      table.loading.delete(page)
    }
    const frame = table.frames[page]!
    if (frame < 0) return
    table.frames[page] = -1
    if (frame < this.#capacity && this.#owners[frame] === table) this.#disown(frame)
  }

  /**
   * What brings a page into memory, for a `Found`. Pages that have led to it stay there, too, as far as they still are: many callers who
   * each hold their page and wait for one above it would wait for each other.
   */
  block(table: PageTable, page: number, above: Iterable<number> = []): Block {
    const pinned: number[] = []
    const begin = (waits: boolean): void => {
      for (const one of above) {
        const frame = table.frames[one]!
        if (frame >= 0 && !(waits && this.#isSpared(frame))) pinned.push(this.#pin(frame))
      }
    }
    const release = (): void => {
      for (const frame of pinned.splice(0)) if (frame >= 0) this.#unpin(frame)
    }
    return {
      load: new Effect(
        () => {
          begin(false)
          try {
            pinned.push(this.#loadSync(table, page))
          } catch (error) {
            release()
            throw error
          }
        },
        async () => {
          begin(true)
          for (let tries = TRIES; tries > 0; tries--) {
            try {
              const frame = await this.#load(table, page)
              if (frame !== NO_ROOM) {
                pinned.push(frame)
                return
              }
            } catch (error) {
              release()
              throw error
            }
            release()
          }
          throw exhausted()
        },
      ),
      release,
    }
  }

  /** Forgets all pages of a file. */
  drop(table: PageTable): void {
    table.dropped = true
    const { frames } = table
    for (let page = 0; page < frames.length; page++) {
      const frame = frames[page]!
      if (frame < 0) continue
      frames[page] = -1
      if (frame < this.#capacity && this.#owners[frame] === table) this.#disown(frame)
    }
  }

  /** Where a frame begins in its slab. */
  #placeOf(frame: number): number {
    return (frame & this.slabMask) << this.pageBits
  }

  #setSlab(slab: number, memory: Buffer): void {
    this.slabs[slab] = memory
    this.views[slab] = viewOf(memory)
  }

  /** Who reads in the old memory may go on: nothing is written there any more. */
  #growSlab(slab: number): void {
    const before = this.slabs[slab]!
    const rest = (this.#capacity - (slab << this.slabBits)) * 2 ** this.pageBits
    const most = Math.min(SLAB_BYTES, rest)
    const wanted = slab > 0 || !this.#grows ? most : Math.max(FIRST_BYTES, 2 * before.length)
    const memory = Buffer.allocUnsafeSlow(Math.min(most, wanted))
    before.copy(memory)
    this.#setSlab(slab, memory)
  }

  #loadSync(table: PageTable, page: number): number {
    if (table.dropped) return -1
    const present = table.frames[page]!
    if (present >= 0) return this.#pin(present)
    const frame = this.#allocate()
    if (frame < 0) throw exhausted()
    this.counts[1]!++
    this.#pin(frame)
    try {
      table.source.readPage(page, this.slabs[frame >> this.slabBits]!, this.#placeOf(frame)).sync()
    } catch (error) {
      this.#unpin(frame)
      throw error
    }
    this.#own(frame, table, page)
    return frame
  }

  async #load(table: PageTable, page: number): Promise<number> {
    // The file is gone: who asked looks again and finds its data elsewhere.
    if (table.dropped) return -1
    const present = table.frames[page]!
    // He looks again and finds it.
    if (present >= 0) return this.#isSpared(present) ? -1 : this.#pin(present)
    let loading = table.loading.get(page)
    if (!loading) {
      loading = { frame: NOT_BEGUN, waiters: 0, gone: false }
      table.loading.set(page, loading)
      loading.frame = this.#read(table, page, loading)
    }
    loading.waiters++
    try {
      return await loading.frame
    } catch (error) {
      if (table.dropped || loading.gone) return -1
      throw error
    }
  }

  /**
   * The frame of a page, pinned for everybody who waits for it: their turn comes later, and others make room meanwhile. −1: none;
   * `NO_ROOM`.
   */
  async #read(table: PageTable, page: number, loading: Loading): Promise<number> {
    const room = this.#capacity - this.#reserved - this.#claimed
    if (this.#loads >= LOADS_AT_ONCE || this.#loads >= room >> 1) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    } else this.#loads++
    let frame = -1
    try {
      if (loading.gone) return -1
      frame = this.#take()
      if (frame < 0) frame = await this.#wait()
      if (frame < 0) return NO_ROOM
      this.counts[1]!++
      const slab = frame >> this.slabBits
      const memory = this.slabs[slab]!
      const at = this.#placeOf(frame)
      try {
        this.#reading++
        await table.source.readPage(page, memory, at).async()
      } finally {
        this.#reading--
        for (const go of this.#ending.splice(0)) go()
      }
      if (this.slabs[slab] !== memory)
        memory.copy(this.slabs[slab]!, at, at, at + (1 << this.pageBits))
      if (table.dropped || loading.gone) return -1
      const other = table.frames[page]!
      // A synchronous read was faster.
      const kept = other >= 0 ? other : frame
      if (other < 0) this.#own(frame, table, page)
      for (let { waiters } = loading; waiters > 0; waiters--) this.#pin(kept)
      return kept
    } finally {
      if (!loading.gone) table.loading.delete(page)
      if (frame >= 0) this.#unpin(frame)
      const next = this.#waiting.shift()
      if (next) next()
      else this.#loads--
    }
  }

  /** A frame for who can wait, pinned; −1: there is none now. */
  #take(): number {
    const frame = this.isShort ? -1 : this.#allocate()
    return frame < 0 ? frame : this.#pin(frame)
  }

  /** Waits for one; −1: all who have them wait themselves. */
  async #wait(): Promise<number> {
    for (let turns = PATIENCE; ; ) {
      // Who has just got a page lets go of it within some turns.
      if (turns-- > 0) await TURN
      else if (this.#reading === 0) return -1
      else {
        await new Promise<void>((resolve) => this.#ending.push(resolve))
        turns = PATIENCE
      }
      const frame = this.#take()
      if (frame >= 0) return frame
    }
  }

  get #canClaim(): boolean {
    const unclaimed = this.#capacity - this.#claimed
    return unclaimed > Math.max(LEAST_UNCLAIMED, this.#capacity >> 2) && !this.isShort
  }

  /** Whether all but those that are reserved are pinned. */
  get isShort(): boolean {
    return this.#pinned >= this.#capacity - this.#reserved
  }

  /** Whether a frame that nobody pins stays so as far as who can wait goes. */
  #isSpared(frame: number): boolean {
    return this.isShort && frame < this.#capacity && this.#pins[frame] === 0
  }

  #pin(frame: number): number {
    if (frame < this.#capacity && this.#pins[frame]!++ === 0) this.#pinned++
    return frame
  }

  #unpin(frame: number): void {
    if (frame >= this.#capacity) return
    if (--this.#pins[frame]! > 0) return
    this.#pinned--
    if (this.#owners[frame] === undefined) this.#free.push(frame)
  }

  #own(frame: number, table: PageTable, page: number): void {
    this.#owners[frame] = table
    this.#pages[frame] = page
    table.frames[page] = frame
    this.referenced[frame] = 1
  }

  /** A frame without an owner goes back to the free ones, unless somebody still reads it. */
  #disown(frame: number): void {
    this.#owners[frame] = undefined
    if (this.#pins[frame] === 0) this.#free.push(frame)
  }

  /** A frame that holds nothing and that nobody pins; −1 when all are pinned. */
  #allocate(): number {
    const free = this.#free.pop()
    if (free !== undefined) return free
    if (this.#fresh < this.#capacity) {
      const frame = this.#fresh++
      this.#owners.push(undefined)
      const end = this.#placeOf(frame) + (1 << this.pageBits)
      const slab = frame >> this.slabBits
      if (end > this.slabs[slab]!.length) this.#growSlab(slab)
      return frame
    }
    for (let steps = 2 * this.#capacity; steps > 0; steps--) {
      const frame = this.#hand
      this.#hand = frame + 1 === this.#capacity ? 0 : frame + 1
      if (this.#pins[frame] !== 0) continue
      if (this.referenced[frame] !== 0) {
        this.referenced[frame] = 0
        continue
      }
      const owner = this.#owners[frame]
      if (owner === undefined) continue // It is on its way to the free ones, or loading.
      // The page may have got another frame since: that of a writer who goes on in it.
      const page = this.#pages[frame]!
      if (owner.frames[page] === frame) owner.frames[page] = -1
      this.#owners[frame] = undefined
      return frame
    }
    return -1
  }
}

function exhausted(): KvarkError {
  return new KvarkError(
    'INVALID_ARGUMENT',
    'Every page of the cache is in use at this moment. Try again, or open the store with a larger cacheBytes.',
    { retryable: true },
  )
}
