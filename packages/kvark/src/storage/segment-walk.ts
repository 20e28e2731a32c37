/**
 * Walks the blocks and entries of a segment from some address to its end, reading large extents: for recovery, scans,
 * compaction and verification.
 *
 *   next(): FRAME ─► ENTRY ─► ENTRY ─► … ─► COMPLETE ─► FRAME …         NEED: run `fill`, then call again
 *                                                       END: nothing more       DAMAGED: the block at `address` is bad
 *
 * 1. An entry is reported only from blocks whose checksum holds.
 * 2. `next` never touches the file; `fill` does, one extent at a time.
 * 3. With a `Chain` nothing can be missing unnoticed: a frame that does not name the one before it, or an end that is not the
 *    one expected, is `DAMAGED`.
 * 4. A salvaging walk also takes a malformed entry for damage, and anything but zeros between blocks. It asks for no chain: what is
 *    missing is for its caller to see, from frames without their end and from the checksums that they name.
 * 5. An entry that runs through several windows is reported with `spread`: its header is at hand, its bytes are had from
 *    `readSpread`.
 */

import { readU16, readU32 } from '../bytes/varint.ts'
import type { Routine } from '../environment/routine.ts'
import { corruption } from '../errors.ts'
import type { BlockForm } from './block-form.ts'
import { EntryHeader } from './entry.ts'
import {
  blockBehindDamage,
  blockStart,
  ENTRIES,
  FILE_HEADER_BYTES,
  FIRST,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  LAST,
  nextBlock,
  readFrameHeader,
  WINDOW_BYTES,
  WINDOW_MASK,
} from './segment-format.ts'

export const END = 0
export const ENTRY = 1
export const NEED = 2
export const FRAME = 3
export const COMPLETE = 4
export const DAMAGED = 5
export type WalkStep = 0 | 1 | 2 | 3 | 4 | 5

const EXTENT_BYTES = 256 * 1024

/** What a walk reads from: the file, or what a writer still holds. */
export interface SegmentSource {
  readonly path: string
  readonly life: number
  readonly form: BlockForm
  /** Fills `target` from `position`; returns the bytes read, fewer only at the end of the data. */
  readAt(target: Buffer, position: number, length: number): Routine<number>
}

/** What a walk over a whole segment must find. */
export interface Chain {
  /** The checksum that the first frame names, and the one of the last frame, if it is known. */
  readonly first: number
  readonly last: number | undefined
  /** Nothing but zeros lies between blocks. */
  readonly strict?: boolean
}

export class SegmentWalk {
  readonly source: SegmentSource
  /** The bytes at hand. */
  readonly extent: Buffer
  /** Place of the block or entry last reported. */
  address = 0
  /** The frame last reported, and the checksum of the block last checked. */
  frame: FrameHeader | undefined
  checksum = 0
  /** The entry last reported; its bytes are `extent[at ..]` unless `spread`. */
  readonly entry: EntryHeader = new EntryHeader()
  at = 0
  spread = false
  #end: number
  #extentStart = 0
  #extentEnd = 0
  /** The next thing to look at. */
  #position: number
  /** End of the payload that is being walked; 0: none. */
  #payloadEnd = 0
  #flags = 0
  #mark = 0
  #inFrame = false
  #skipping = false
  /** Bytes of an entry that continue in the next block. */
  #carry = 0
  /** Where the next block of the frame begins. */
  #nextInFrame = 0

  readonly #chain: Chain | undefined
  #salvaging = false
  /** What was damaged was an entry: the rest of its frame is passed over. */
  #malformed = false
  /** Checksum of the last complete frame, once it is known. */
  #link: number | undefined
  /** The end has been looked at. */
  #ended = false

  /** `from` must be where a block begins, or `FILE_HEADER_BYTES`. */
  constructor(source: SegmentSource, from: number, end: number, extent?: Buffer, chain?: Chain) {
    this.source = source
    this.#chain = chain
    this.#link = from === FILE_HEADER_BYTES ? chain?.first : undefined
    this.#position = Math.max(from, FILE_HEADER_BYTES)
    this.#end = end
    this.#extentStart = this.#extentEnd = this.#position - (this.#position & WINDOW_MASK)
    this.extent =
      extent ?? Buffer.allocUnsafeSlow(Math.min(EXTENT_BYTES, Math.max(0, end - this.#extentStart)))
  }

  /** A walk over all that a damaged segment still has. */
  static salvaging(source: SegmentSource, end: number, extent?: Buffer): SegmentWalk {
    const walk = new SegmentWalk(source, FILE_HEADER_BYTES, end, extent)
    walk.#salvaging = true
    return walk
  }

  /** Where the walk goes on: the end of what was reported. */
  get position(): number {
    return this.#position
  }

  /** Where in `extent` the rest of the payload that is being walked begins and ends. */
  get payloadAt(): number {
    return this.#position - this.#extentStart
  }

  get payloadEnd(): number {
    return this.#payloadEnd - this.#extentStart
  }

  /** The entries of the frame that is being walked are passed over, unread. */
  skipFrame(): void {
    this.#skipping = true
  }

  /** After `DAMAGED`: goes on at the next good block of the window, else in the next window; behind a malformed entry, at the next frame. */
  skipDamage(): void {
    if (this.#ended || this.#malformed) return
    const offset = this.address & WINDOW_MASK
    const windowStart = this.address - offset
    const base = windowStart - this.#extentStart
    const limit = Math.min(WINDOW_BYTES, this.#extentEnd - windowStart)
    const { life, form } = this.source
    const good = blockBehindDamage(form, this.extent, base, offset, limit, life, windowStart)
    this.restart(windowStart + (good < 0 ? WINDOW_BYTES : good))
  }

  /** Goes on from `position`, forgetting where in a frame it was. */
  restart(position: number): void {
    this.#position = position
    this.#payloadEnd = 0
    this.#inFrame = false
    this.#carry = 0
    this.#link = undefined
  }

  next(): WalkStep {
    for (;;) {
      if (this.#payloadEnd !== 0) {
        const readable = this.frame!.kind === ENTRIES && !this.#skipping
        if (readable && this.#position < this.#payloadEnd) return this.#entry()
        this.#position = this.#payloadEnd
        this.#payloadEnd = 0
        if ((this.#flags & LAST) !== 0 && this.#inFrame) {
          this.#inFrame = false
          this.#link = this.checksum
          return COMPLETE
        }
      }
      const step = this.#block()
      if (step !== ENTRY) return step
    }
  }

  /** Reads the extent that the walk needs. */
  *fill(): Routine<void> {
    const start = this.#position - (this.#position & WINDOW_MASK)
    const length = Math.min(this.extent.length, this.#end - start)
    this.#extentStart = start
    this.#extentEnd = start
    if (length <= 0) return
    const read = yield* this.source.readAt(this.extent, start, length)
    this.#extentEnd = start + read
    if (read < length) this.#end = start + read
  }

  /** Finds and checks the next block. ENTRY: its payload is ready. */
  #block(): WalkStep {
    const { form } = this.source
    for (;;) {
      const from = this.#position
      this.#position = blockStart(form, from)
      if (!this.#isEmpty(from, this.#position)) return this.#damaged(from)
      if (this.#position + form.headerBytes > this.#end) return this.#finish()
      const windowStart = this.#position - (this.#position & WINDOW_MASK)
      const windowEnd = Math.min(windowStart + WINDOW_BYTES, this.#end)
      if (windowStart < this.#extentStart || windowEnd > this.#extentEnd) return NEED
      const base = windowStart - this.#extentStart
      const limit = windowEnd - windowStart
      const offset = nextBlock(form, this.extent, base, this.#position - windowStart, limit)
      const gap = this.#position
      if (offset < 0) {
        this.#position = windowStart + WINDOW_BYTES
        if (!this.#isEmpty(gap, windowEnd)) return this.#damaged(gap)
        continue
      }
      const address = windowStart + offset
      if (!this.#isEmpty(gap, address)) return this.#damaged(gap)
      this.address = address
      const { life } = this.source
      const length = form.open(this.extent, base + offset, base + limit, life, address)
      if (length < 0) return this.#damaged(address)
      const at = base + offset
      this.checksum = readU32(this.extent, at)
      const mark = readU32(this.extent, at + 4)
      this.#flags = this.extent[at + 10]!
      this.#position = address + form.headerBytes
      const payloadEnd = this.#position + length
      if ((this.#flags & FIRST) !== 0) {
        this.frame = readFrameHeader(this.extent, at + form.headerBytes)
        const linked = this.#link === undefined || this.frame.previousChecksum === this.#link
        if (this.#chain && (this.#inFrame || !linked)) return this.#damaged(address)
        this.#position += FRAME_HEADER_BYTES
        this.#payloadEnd = payloadEnd
        this.#mark = mark
        this.#inFrame = true
        this.#skipping = false
        this.#carry = 0
        this.#nextInFrame = windowStart + WINDOW_BYTES
        return FRAME
      }
      const whole = this.#inFrame && mark === this.#mark && address === this.#nextInFrame
      this.#nextInFrame = windowStart + WINDOW_BYTES
      if (!whole) {
        if (this.#chain && this.#link !== undefined) return this.#damaged(address)
        // A block before it is missing, perhaps lost as zeros: entries cannot be told apart in the rest of the frame.
        this.#position = payloadEnd
        this.#inFrame = false
        continue
      }
      this.#payloadEnd = payloadEnd
      const carried = Math.min(this.#carry, length)
      this.#carry -= carried
      this.#position += carried
      return ENTRY
    }
  }

  #damaged(address: number): WalkStep {
    this.#malformed = false
    this.address = address
    this.#position = address
    return DAMAGED
  }

  /** Nothing more: is that the end that it should be? */
  #finish(): WalkStep {
    const { last } = this.#chain ?? {}
    const whole =
      !this.#inFrame && (last === undefined || this.#link === undefined || this.#link === last)
    if (this.#ended || whole || !this.#chain) return END
    this.#ended = true
    this.address = this.#position
    return DAMAGED
  }

  /** Whether there is nothing from one address to another, as far as that is at hand and asked. */
  #isEmpty(from: number, to: number): boolean {
    if (!this.#chain?.strict && !this.#salvaging) return true
    const end = Math.min(to, this.#extentEnd) - this.#extentStart
    for (let at = from - this.#extentStart; at < end; at++) if (this.extent[at] !== 0) return false
    return true
  }

  #entry(): WalkStep {
    const at = this.#position - this.#extentStart
    const end = this.#payloadEnd - this.#extentStart
    if (this.#salvaging) {
      if (!isSound(this.entry, this.extent, at, end)) {
        this.#skipping = true
        this.#damaged(this.#position)
        this.#malformed = true
        return DAMAGED
      }
    } else if (!this.entry.read(this.extent, at, end)) {
      throw corruption(this.source.path, this.#position, 'an entry is malformed')
    }
    this.address = this.#position
    this.at = at
    const { total } = this.entry
    const room = this.#payloadEnd - this.#position
    this.spread = total > room
    this.#carry = this.spread ? total - room : 0
    this.#position += this.spread ? room : total
    return ENTRY
  }
}

/** Reads an entry's header; false where it cannot be what was written, whatever a checksum says. */
function isSound(entry: EntryHeader, bytes: Buffer, at: number, end: number): boolean {
  try {
    return entry.read(bytes, at, end) && entry.kind !== 0 && entry.sequence !== 0
  } catch {
    return false
  }
}

/** How far the bytes of one window reach from `address` (inside a payload that fills the window). */
export function roomInWindow(address: number): number {
  return WINDOW_BYTES - (address & WINDOW_MASK)
}

/** The address of the byte `distance` behind `address` in an entry that runs through several windows. */
export function advance(form: BlockForm, address: number, distance: number): number {
  const room = roomInWindow(address)
  if (distance < room) return address + distance
  const rest = distance - room
  const payload = WINDOW_BYTES - form.headerBytes
  const windows = Math.floor(rest / payload)
  return address + room + windows * WINDOW_BYTES + form.headerBytes + (rest - windows * payload)
}

/** Reads `length` bytes of an entry from `address` on, through as many windows as they take; checks every block. */
export function* readSpread(
  source: SegmentSource,
  address: number,
  length: number,
): Routine<Buffer> {
  const { headerBytes } = source.form
  if (length > EXTENT_BYTES) {
    // The length is believed only where the segment goes so far: it may have been forged.
    const last = advance(source.form, address, length - 1)
    if ((yield* source.readAt(Buffer.allocUnsafe(1), last, 1)) === 0) {
      throw corruption(source.path, address, 'the entry goes on behind the end of the segment')
    }
  }
  const result = Buffer.allocUnsafeSlow(length)
  const extent = Buffer.allocUnsafeSlow(
    Math.min(EXTENT_BYTES, (Math.ceil(length / (WINDOW_BYTES - headerBytes)) + 2) * WINDOW_BYTES),
  )
  let done = 0
  let position = address
  while (done < length) {
    const start = position - (position & WINDOW_MASK)
    const read = yield* source.readAt(extent, start, extent.length)
    let base = 0
    while (done < length && base < extent.length) {
      const offset = position - start - base
      const end = Math.min(WINDOW_BYTES, read - base)
      const part = Math.min(length - done, WINDOW_BYTES - offset)
      checkPayload(source, extent, base, end, start + base, offset, part)
      extent.copy(result, done, base + offset, base + offset + part)
      done += part
      base += WINDOW_BYTES
      position = start + base + headerBytes
    }
  }
  return result
}

/** Opens the blocks of the window at `extent[base ..]` up to the one that holds `offset .. offset + length`. */
function checkPayload(
  source: SegmentSource,
  extent: Buffer,
  base: number,
  end: number,
  windowStart: number,
  offset: number,
  length: number,
): void {
  const { form, life } = source
  const first = windowStart === 0 ? FILE_HEADER_BYTES : 0
  const isWhole = (at: number): boolean => {
    const from = at + form.headerBytes
    const payload = form.open(extent, base + at, base + end, life, windowStart + at)
    return payload >= 0 && offset >= from && offset + length <= from + payload
  }
  for (let at = first; ; ) {
    at = nextBlock(form, extent, base, at, end)
    if (at < 0 || at > offset) break
    // Only the block's own damage counts, if the length of one before it can still be believed.
    const claimed = at + form.headerBytes + readU16(extent, base + at + 8)
    if (claimed > offset) {
      if (isWhole(at)) return
      break
    }
    at = claimed
  }
  // Or it cannot, and the block begins somewhere else.
  for (let at = first - 1; ; ) {
    at = blockBehindDamage(form, extent, base, at, end, life, windowStart)
    if (at < 0 || at > offset) break
    const claimed = at + form.headerBytes + readU16(extent, base + at + 8)
    if (claimed > offset) {
      if (isWhole(at)) return
      break
    }
    at = claimed - 1
  }
  throw corruption(source.path, windowStart + offset, 'the block that holds the entry is damaged')
}
