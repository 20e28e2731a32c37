/**
 * Writes a segment from front to back through one append buffer of 256 KiB, which always holds whole windows:
 *
 *   file    ────────────────┬──────────────────────────────────────────────
 *                      base ▼        ▼ flushed         ▼ end
 *   buffer                  │ window │ window │ window │    …     │ 16 windows
 *                                             ▲ block: the one being filled, sealed when its window or frame ends
 *
 * Where blocks are compressed or encrypted, a second buffer holds them as the file gets them (`stored`), place by place.
 *
 * 1. What has an address can be read in the buffer at once; it is in the file after `flush`.
 * 2. Writing to the file is synchronous and in order: no hole can stand before an acknowledged write.
 * 3. A frame is begun by `beginFrame` and ended by `endFrame`. Frames longer than the buffer are written in parts, without
 *    LAST, so they do not count until they are complete.
 * 4. After a failed write the writer is of no further use.
 * 5. Behind `flushed` the file may hold zeros, written ahead so that it need not grow at each sync; `trim` cuts them off.
 * 6. The first window may come last: `within` begins behind it, inside its frame, and `endWindow` writes it alone.
 *
 * It knows nothing of syncing, rolling or groups of callers: that is the journal's.
 */

import { type BufferMemory, COLLECTED } from '../bytes/memory.ts'
import { viewOf } from '../bytes/short-copy.ts'
import { type FileHandle, HOLE_BYTES } from '../vfs/files.ts'
import type { BlockForm } from './block-form.ts'
import { MAX_ENTRY_HEADER_BYTES } from './entry.ts'
import {
  alignSector,
  blockStart,
  CONTIGUOUS_BYTES,
  ENTRIES,
  FILE_HEADER_BYTES,
  FIRST,
  FRAME_HEADER_BYTES,
  frameMark,
  LAST,
  type SegmentHeader,
  WINDOW_BYTES,
  WINDOW_MASK,
  writeFrameHeader,
  writeSegmentHeader,
} from './segment-format.ts'

/** Size of the append buffer; larger ones fall out of the processor's cache and are slower. */
export const APPEND_BUFFER_BYTES: number = 256 * 1024

/**
 * Zeros that go ahead of small frames. A file that does not grow has nothing but its data to sync: 120 µs instead of 190.
 * Only after several small syncs, for each byte of it is written twice.
 */
const AHEAD: Buffer = Buffer.alloc(APPEND_BUFFER_BYTES)
const SMALL_SYNC_BYTES = 16 * 1024
const SMALL_SYNCS = 8

/** The memory of a writer, for one after the other. */
export class AppendBuffer {
  readonly form: BlockForm
  /** Blocks as they are read. */
  readonly plain: Buffer
  readonly view: DataView
  /** Blocks as they are in the file. */
  readonly stored: Buffer
  /** All that the buffers are pieces of, where sources of appends are pieces of it as well. */
  readonly whole: Uint8Array | undefined
  readonly #memory: BufferMemory

  constructor(form: BlockForm, memory: BufferMemory = COLLECTED) {
    this.form = form
    this.plain = memory.allocate(APPEND_BUFFER_BYTES)
    this.view = viewOf(this.plain)
    this.stored = form.sealed ? memory.allocate(APPEND_BUFFER_BYTES) : this.plain
    this.whole = memory === COLLECTED ? undefined : new Uint8Array(this.plain.buffer)
    this.#memory = memory
  }

  /** Gives the memory back; nothing may use it any more. */
  release(): void {
    this.#memory.release(this.plain)
    if (this.stored !== this.plain) this.#memory.release(this.stored)
  }
}

/** What a frame says about the moment it was made. */
export interface FrameContext {
  readonly epoch: number
  /** The last sequence known to be on disk. */
  readonly syncedSequence: number
  readonly clock: number
}

/** Hears which windows the buffer holds, so that they can be read there. */
export interface WindowListener {
  /** Window `window` of the file begins at `buffer[at]`. */
  opened(window: number, at: number): void
  /** The buffer is about to be used for something else; `buffer[at ..]` holds the window's bytes. */
  retired(window: number, at: number): void
}

export class SegmentWriter {
  readonly handle: FileHandle
  readonly buffer: Buffer
  /** The same, to copy short runs. */
  readonly view: DataView
  readonly stored: Buffer
  /** Next free byte of the file. */
  end: number
  /** Everything before it is in the file. */
  flushed: number
  /** Bytes left empty so that frames begin in fresh sectors. */
  padding = 0
  /** Checksum of the last frame that is complete. */
  previousChecksum: number
  readonly #life: number
  readonly #form: BlockForm
  readonly #listener: WindowListener | undefined
  readonly #whole: Uint8Array | undefined
  #base: number
  /** Windows of the buffer in use. */
  #windows = 0
  /** Where the open block begins, −1: none. */
  #block = -1
  #flags = 0
  #mark = 0
  #frameOpen = false
  #freshSector = false
  /** Zeros have been written up to here. */
  #ahead = 0
  /** Somebody before may have written zeros ahead. */
  #resumed = false
  #smallSyncs = 0
  #synced = 0
  /** Long rests of compressed blocks that are not in the file yet, as [from, to) pairs. */
  #holes: number[] = []

  private constructor(
    handle: FileHandle,
    life: number,
    memory: AppendBuffer,
    listener: WindowListener | undefined,
    end: number,
    previousChecksum: number,
  ) {
    this.handle = handle
    this.#life = life
    this.buffer = memory.plain
    this.view = memory.view
    this.stored = memory.stored
    this.#form = memory.form
    this.#whole = memory.whole
    this.#listener = listener
    this.end = end
    this.flushed = end
    this.previousChecksum = previousChecksum
    this.#base = end - (end & WINDOW_MASK)
  }

  /** Begins a new segment; its header goes out with the first flush. */
  static create(
    handle: FileHandle,
    header: SegmentHeader,
    memory: AppendBuffer,
    listener?: WindowListener,
  ): SegmentWriter {
    const writer = new SegmentWriter(
      handle,
      header.life,
      memory,
      listener,
      0,
      header.previousChecksum,
    )
    writer.#openWindow()
    writeSegmentHeader(memory.stored, header, memory.form)
    writer.end = FILE_HEADER_BYTES
    return writer
  }

  /** Goes on at `end` of a segment. `tail` holds the bytes of its last window up to there. */
  static resume(
    handle: FileHandle,
    header: SegmentHeader,
    memory: AppendBuffer,
    end: number,
    previousChecksum: number,
    tail: Uint8Array,
    listener?: WindowListener,
  ): SegmentWriter {
    const writer = new SegmentWriter(handle, header.life, memory, listener, end, previousChecksum)
    if ((end & WINDOW_MASK) !== 0) {
      writer.#openWindow()
      memory.plain.set(tail, 0)
    }
    writer.#freshSector = true
    writer.#resumed = true
    return writer
  }

  /** Begins in the second window, inside the frame with this `mark` that fills the first one. */
  static within(
    handle: FileHandle,
    life: number,
    memory: AppendBuffer,
    mark: number,
  ): SegmentWriter {
    const writer = new SegmentWriter(handle, life, memory, undefined, WINDOW_BYTES, 0)
    writer.#mark = mark
    writer.#openBlock(0, 0)
    writer.#frameOpen = true
    return writer
  }

  /** Whether a frame is begun. */
  get frameOpen(): boolean {
    return this.#frameOpen
  }

  /** All that is flushed is about to be synced. The next frame begins in a fresh sector. */
  beforeSync(): void {
    this.#freshSector = true
    const small = this.flushed - this.#synced <= SMALL_SYNC_BYTES
    this.#smallSyncs = small ? this.#smallSyncs + 1 : 0
    this.#synced = this.flushed
    if (this.#smallSyncs < SMALL_SYNCS || this.flushed < this.#ahead) return
    this.#ahead = this.flushed + AHEAD.length
    try {
      this.handle.write(AHEAD, 0, AHEAD.length, this.flushed).sync()
    } catch {
      // Nothing but speed is lost: perhaps there is room for what is asked, though not for this.
      this.#smallSyncs = Number.NEGATIVE_INFINITY
    }
  }

  /** Ends the file where the data ends. */
  trim(): void {
    if (this.#ahead > this.end || this.#resumed) this.handle.truncate(this.end).sync()
    this.#ahead = 0
    this.#resumed = false
  }

  /** Begins a frame unless one is open. `mark`: where the rest of the frame has one already. */
  beginFrame(
    firstSequence: number,
    context: FrameContext,
    kind: number = ENTRIES,
    mark: number = frameMark(context.epoch, firstSequence),
  ): void {
    if (this.#frameOpen) return
    if (this.#freshSector) {
      const aligned = alignSector(this.end)
      this.padding += aligned - this.end
      this.end = aligned
    }
    this.#freshSector = false
    this.#mark = mark
    this.#openBlock(FIRST, FRAME_HEADER_BYTES + MAX_ENTRY_HEADER_BYTES)
    writeFrameHeader(this.buffer, this.end - this.#base, {
      kind,
      firstSequence,
      epoch: context.epoch,
      previousChecksum: this.previousChecksum,
      syncedSequence: context.syncedSequence,
      clock: context.clock,
    })
    this.end += FRAME_HEADER_BYTES
    this.#frameOpen = true
  }

  /**
   * Makes room for an entry of `length` bytes in the open frame; returns its address. A contiguous one can then be written to
   * `buffer` at `bufferOffset(address)`; in any case through `append`, which moves `end`.
   */
  place(length: number): number {
    const rest = WINDOW_BYTES - (this.end & WINDOW_MASK)
    const needed = length <= CONTIGUOUS_BYTES ? length : MAX_ENTRY_HEADER_BYTES
    // A window that is exactly full leaves `end` at the start of the next one, which is not open yet.
    if (this.end - this.#base === this.#windows * WINDOW_BYTES || rest < needed) {
      this.#nextBlock()
    }
    return this.end
  }

  /** Where `address` lies in `buffer`; only for what was placed since the last flush of a full buffer. */
  bufferOffset(address: number): number {
    return address - this.#base
  }

  /** Copies bytes of the placed entry, through as many windows as they need. */
  append(source: Uint8Array, start: number, length: number): void {
    let from = start
    let left = length
    while (left > 0) {
      if (this.end - this.#base === this.#windows * WINDOW_BYTES) this.#nextBlock()
      const room = WINDOW_BYTES - (this.end & WINDOW_MASK)
      const part = left < room ? left : room
      const at = this.end - this.#base
      const whole = this.#whole
      if (whole !== undefined && source.buffer === whole.buffer) {
        const begin = source.byteOffset + from
        whole.copyWithin(this.buffer.byteOffset + at, begin, begin + part)
      } else if (part === source.length) this.buffer.set(source, at)
      else if (part < 48) for (let i = 0; i < part; i++) this.buffer[at + i] = source[from + i]!
      else this.buffer.set(new Uint8Array(source.buffer, source.byteOffset + from, part), at)
      this.end += part
      from += part
      left -= part
    }
  }

  /** Completes the open frame, if any. */
  endFrame(): void {
    if (!this.#frameOpen) return
    this.previousChecksum = this.#seal(LAST)
    this.#frameOpen = false
  }

  /** The open frame has filled its first window: hands that to the file. The rest of the frame is there already. */
  endWindow(): void {
    this.#seal(0)
    this.#write(this.end)
  }

  /** Hands everything that is complete to the file. */
  flush(): void {
    if (this.flushed === this.end) return
    this.#write(this.end)
  }

  /** Lets go of the buffer: its windows are retired. */
  retire(): void {
    for (let i = 0; i < this.#windows; i++) {
      this.#listener?.retired((this.#base + i * WINDOW_BYTES) / WINDOW_BYTES, i * WINDOW_BYTES)
    }
    this.#base += this.#windows * WINDOW_BYTES
    this.#windows = 0
  }

  /** Seals the open block and goes on with one of the same frame in the next window. */
  #nextBlock(): void {
    this.#seal(0)
    const used = this.end & WINDOW_MASK
    if (used !== 0) {
      const next = this.end + WINDOW_BYTES - used
      // The window's last page would be written for a few zeros only.
      if (this.#holes.at(-1) === this.end) this.#holes[this.#holes.length - 1] = next
      this.end = next
    }
    this.#openBlock(0, 0)
  }

  #openBlock(flags: number, payload: number): void {
    const { headerBytes } = this.#form
    let start = blockStart(this.#form, this.end)
    const rest = WINDOW_BYTES - (start & WINDOW_MASK)
    if (rest < headerBytes + payload) start += rest
    this.end = start
    if (start - this.#base === this.#windows * WINDOW_BYTES) this.#openWindow()
    this.#block = start
    this.#flags = flags
    this.end = start + headerBytes
  }

  #seal(flags: number): number {
    const at = this.#block - this.#base
    const { headerBytes, sealed } = this.#form
    const length = this.end - this.#block - headerBytes
    const life = this.#life
    const checksum = this.#form.seal(
      this.buffer,
      this.stored,
      at,
      length,
      this.#flags | flags,
      this.#mark,
      life,
      this.#block,
    )
    if (sealed) {
      const from = this.#block + this.#form.storedBytes(this.stored, at)
      // Shorter rests are written, as zeros.
      if (this.end - from >= HOLE_BYTES) this.#holes.push(from, this.end)
    }
    this.#block = -1
    return checksum
  }

  #openWindow(): void {
    if (this.#windows * WINDOW_BYTES === this.buffer.length) {
      this.#write(this.#base + this.#windows * WINDOW_BYTES)
      this.retire()
    }
    const at = this.#windows * WINDOW_BYTES
    this.buffer.fill(0, at, at + WINDOW_BYTES)
    if (this.#form.sealed) this.stored.fill(0, at, at + WINDOW_BYTES)
    this.#windows++
    this.#listener?.opened((this.#base + at) / WINDOW_BYTES, at)
  }

  /** Writes what is not in the file yet up to `end`, but for holes. The last byte is written, so that the file is as long. */
  #write(end: number): void {
    let from = this.flushed
    for (let i = 0; i < this.#holes.length; i += 2) {
      this.#writePart(from, this.#holes[i]!)
      from = Math.min(this.#holes[i + 1]!, end - 1)
    }
    this.#writePart(from, end)
    this.#holes.length = 0
    this.flushed = Math.max(this.flushed, end)
  }

  #writePart(from: number, to: number): void {
    if (from >= to) return
    this.handle.write(this.stored, from - this.#base, to - from, from).sync()
  }
}
