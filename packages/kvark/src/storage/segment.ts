/**
 * One segment file in use: its handle, what is known of its data, and the ways to read it.
 *
 *   pages      through the cache, for lookups: `readPage` checks every block of a page as it comes in
 *   extents    past the cache, for walks: `readAt`, which also sees what a writer has not handed to the file yet
 *
 * 1. `end` is the end of the data; behind it the file may hold anything.
 * 2. A damaged block is remembered in `damage` and refused by whoever meets it; the rest of its page stays readable. So is
 *    anything but zeros where no block is, and zeros where a window should begin with a block: it may go on with an entry. Any other block
 *    that was lost as zeros is not seen as one: entries begin there, and are refused because no entry has kind 0.
 */

import { Effect, type Routine } from '../environment/routine.ts'
import { corruption, type KvarkError } from '../errors.ts'
import type { FileHandle } from '../vfs/files.ts'
import type { BlockForm } from './block-form.ts'
import {
  type Cache,
  PAGE_BITS,
  PAGE_BYTES,
  type PageSource,
  PageTable,
  SLAB_BITS,
  SLAB_MASK,
} from './cache.ts'
import {
  blockBehindDamage,
  FILE_HEADER_BYTES,
  nextBlock,
  type SegmentHeader,
} from './segment-format.ts'
import { advance, type Chain, roomInWindow, type SegmentSource } from './segment-walk.ts'
import type { SegmentWriter } from './segment-writer.ts'

const ZEROS = Buffer.alloc(PAGE_BYTES)

export class Segment implements SegmentSource, PageSource {
  readonly number: number
  path: string
  readonly handle: FileHandle
  readonly header: SegmentHeader
  readonly form: BlockForm
  readonly pages: PageTable
  /** End of the data; of a segment that is being written, as of the last flush of its frame. */
  end: number
  /** Present while it is written. */
  writer: SegmentWriter | undefined = undefined
  /** Checksum of the last frame, of a segment that is not being written. */
  checksum: number | undefined = undefined
  /** It has something to sync. */
  dirty = false
  /** Its name is durable. */
  named: boolean
  /** Bytes left empty between frames, as far as they are known; those of a writer come on top. */
  padding = 0
  /** Damaged places, as [from, to) pairs. */
  damage: number[] | undefined = undefined

  constructor(
    handle: FileHandle,
    header: SegmentHeader,
    form: BlockForm,
    end: number,
    named: boolean,
  ) {
    this.handle = handle
    this.header = header
    this.form = form
    this.number = header.number
    this.path = handle.path
    this.end = end
    this.named = named
    this.pages = new PageTable(this, Math.max(16, Math.ceil(end / PAGE_BYTES)))
  }

  get life(): number {
    return this.header.life
  }

  /** What a walk over all of it must find, as of now. */
  chain(strict = false): Chain {
    const last = this.writer ? this.writer.previousChecksum : this.checksum
    return { first: this.header.previousChecksum, last, strict }
  }

  /** The first damaged place that touches `address .. address + length`, as an error. */
  damageAt(address: number, length: number): KvarkError | undefined {
    const { damage } = this
    if (damage === undefined) return undefined
    for (let i = 0; i < damage.length; i += 2) {
      if (address < damage[i + 1]! && address + length > damage[i]!) {
        return corruption(this.path, damage[i]!, 'the block that holds the entry is damaged')
      }
    }
    return undefined
  }

  readPage(page: number, target: Buffer, at: number): Effect<void> {
    const position = page * PAGE_BYTES
    const read = this.handle.read(target, at, PAGE_BYTES, position)
    return new Effect(
      () => this.#check(page, target, at, read.sync()),
      async () => this.#check(page, target, at, await read.async()),
    )
  }

  *readAt(target: Buffer, position: number, length: number): Routine<number> {
    let done = 0
    while (done < length) {
      const at = position + done
      const { writer } = this
      const end = writer === undefined ? this.end : writer.end
      const flushed = writer === undefined ? this.end : writer.flushed
      const wanted = Math.min(length - done, end - at)
      if (wanted <= 0) break
      if (at < flushed) {
        const read = yield* this.#read(target, done, Math.min(wanted, flushed - at), at)
        if (read === 0) break
        done += read
      } else {
        const from = writer!.bufferOffset(at)
        writer!.stored.copy(target, done, from, from + wanted)
        done += wanted
      }
    }
    return done
  }

  *#read(target: Buffer, at: number, length: number, position: number): Routine<number> {
    try {
      return yield* this.handle.read(target, at, length, position)
    } catch (error) {
      this.pages.checkOpen()
      throw error
    }
  }

  #check(page: number, target: Buffer, at: number, read: number): void {
    if (read < PAGE_BYTES) target.fill(0, at + read, at + PAGE_BYTES)
    const { form } = this
    const windowStart = page * PAGE_BYTES
    // Of a frame that is not complete yet, the windows that fell out of the writer's buffer are in the file.
    const dataEnd = Math.max(this.end, this.writer?.flushed ?? 0)
    const end = Math.min(PAGE_BYTES, dataEnd - windowStart)
    const start = page === 0 ? FILE_HEADER_BYTES : 0
    let offset = start
    for (;;) {
      const next = nextBlock(form, target, at, offset, end)
      const gap = next < 0 ? Math.max(offset, end) : next
      // Data in a window begins at its start: zeros there are a block that was lost, perhaps in the midst of a long value.
      const lost = offset === start && gap > start
      // A block whose length was lost looks like padding.
      const bad = lost || target.compare(ZEROS, 0, gap - offset, at + offset, at + gap) !== 0
      if (!bad && next < 0) break
      const from = bad ? offset : next
      const length = bad
        ? -1
        : form.open(target, at + from, at + end, this.life, windowStart + from)
      if (length < 0) {
        const good = blockBehindDamage(form, target, at, from, end, this.life, windowStart)
        offset = good < 0 ? end : good
        this.#damaged(windowStart + from, windowStart + offset)
      } else offset = from + form.headerBytes + length
    }
  }

  #damaged(from: number, to: number): void {
    this.damage ??= []
    if (!this.damageAt(from, to - from)) this.damage.push(from, to)
  }
}

/** `length` bytes of an entry from `address` on, through as many pages of the cache as they take. */
export function* readCached(
  cache: Cache,
  file: Segment,
  address: number,
  length: number,
): Routine<Buffer> {
  // Not from Node's pool: parts of it go to the user, who may give the memory away.
  const result = Buffer.allocUnsafeSlow(length)
  let done = copyCached(cache, file, address, result, 0, length)
  while (done < length) {
    const page = advance(file.form, address, done) >>> PAGE_BITS
    file.pages.checkOpen()
    const block = cache.block(file.pages, page)
    try {
      yield* block.load
      done = copyCached(cache, file, address, result, done, length)
    } finally {
      block.release()
    }
  }
  return result
}

/** Copies the bytes from `done` to `length` of what begins at `address`, up to the first page that is not in memory. */
export function copyCached(
  cache: Cache,
  file: Segment,
  address: number,
  target: Buffer,
  done: number,
  length: number,
): number {
  const { form, pages } = file
  let position = advance(form, address, done)
  while (done < length) {
    const frame = pages.frames[position >>> PAGE_BITS]
    if (frame === undefined) throw corruption(file.path, position, 'the segment is cut short')
    if (frame < 0) break
    const part = Math.min(length - done, roomInWindow(position))
    const damage = file.damageAt(position, part)
    if (damage) throw damage
    cache.referenced[frame] = 1
    const at = ((frame & SLAB_MASK) << PAGE_BITS) + (position & (PAGE_BYTES - 1))
    cache.slabs[frame >> SLAB_BITS]!.copy(target, done, at, at + part)
    done += part
    position += part + form.headerBytes
  }
  return done
}
