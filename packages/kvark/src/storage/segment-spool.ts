/**
 * An entry with a long value on its way into the journal: a segment file that is written from its second window on while the
 * value arrives, under a temporary name. Where it belongs in the order of writes is known only when all is there, and so is
 * what the first window says; with that window and a name the file is the next segment of the journal.
 *
 *   window 0                                                     │ window 1 │ window 2 │ … │ last │
 *   │ file header │ frame header │ entry header │ key, value … │   … value, each block sealed as the journal seals it
 *     ▲ previous    ▲ sequence, clock  ▲ length                    ▲ written and synced as it arrives
 *     └───────────── known last: `complete` ───────┘
 *
 * 1. What comes out is what the journal would have written into an empty segment, so nobody who reads it knows the difference.
 *    Only the mark of the frame is random: it has to be in all blocks before the sequence is known.
 * 2. Until `complete` nothing of it counts: the file has no header, and its name says that it may be removed.
 * 3. The first window takes as much of the value as its headers leave room for, so these must not become longer or shorter: the
 *    lengths that a value may have all take a varint of the same length.
 * 4. It is synced in portions, so that neither the last sync nor anybody else's has much to wait for. Each place is written once.
 * 5. Memory: one append buffer and one window.
 */

import { readU32 } from '../bytes/varint.ts'
import type { Environment } from '../environment/environment.ts'
import type { Routine } from '../environment/routine.ts'
import { asKvarkError, KvarkError } from '../errors.ts'
import type { FileHandle } from '../vfs/files.ts'
import type { BlockForm } from './block-form.ts'
import { entryHeaderLength, writeEntryHeader } from './entry.ts'
import {
  blockStart,
  ENTRIES,
  FILE_HEADER_BYTES,
  FRAME_HEADER_BYTES,
  type SegmentHeader,
  WINDOW_BYTES,
  WINDOW_MASK,
} from './segment-format.ts'
import { AppendBuffer, type FrameContext, SegmentWriter } from './segment-writer.ts'

const SYNC_BYTES = 1024 * 1024

/** Where a spool stands: it takes bytes, has all of them, is a segment of the journal, or is gone. */
type State = 'open' | 'finished' | 'linked' | 'gone'

export class SegmentSpool {
  readonly path: string
  readonly handle: FileHandle
  /** Of the segment that it becomes. */
  readonly life: number
  /** Bytes of the value so far. */
  length = 0
  /** Once finished: where the data ends, the checksum of its last block, the bytes of its last window as they are read. */
  end = 0
  checksum = 0
  tail: Buffer = Buffer.alloc(0)
  readonly #environment: Environment
  readonly #memory: AppendBuffer
  readonly #writer: SegmentWriter
  readonly #mark: number
  readonly #keyLength: number
  readonly #expiry: number
  readonly #headerLength: number
  /** What stands behind the entry's header in the first window. */
  readonly #head: Buffer
  readonly #over: (spool: SegmentSpool) => void
  #headUsed = 0
  #synced = 0
  #state: State = 'open'

  /**
   * Begins the new file `path` for an entry of this key and expiry, whose value will be at least `least` bytes long. `over` hears when
   * it is one no more.
   */
  constructor(
    environment: Environment,
    path: string,
    form: BlockForm,
    key: Uint8Array,
    expiry: number,
    least: number,
    over: (spool: SegmentSpool) => void,
  ) {
    const random = environment.random(8)
    this.#environment = environment
    this.#over = over
    this.path = path
    this.life = readU32(random, 0)
    this.#mark = readU32(random, 4)
    this.#keyLength = key.length
    this.#expiry = expiry
    this.#headerLength = entryHeaderLength(key.length, least, expiry)
    const before =
      blockStart(form, FILE_HEADER_BYTES) +
      form.headerBytes +
      FRAME_HEADER_BYTES +
      this.#headerLength
    this.#head = Buffer.allocUnsafeSlow(WINDOW_BYTES - before)
    this.#memory = new AppendBuffer(form)
    this.handle = environment.files.open(path, 'create').sync()
    this.#writer = SegmentWriter.within(this.handle, this.life, this.#memory, this.#mark)
    this.#write(key, 0, key.length)
  }

  /** Adds `source[from .. to)` to the value. */
  *append(source: Uint8Array, from: number, to: number): Routine<void> {
    this.#check('open')
    this.#write(source, from, to)
    this.length += to - from
    if (this.#writer.flushed - this.#synced < SYNC_BYTES) return
    this.#synced = this.#writer.flushed
    yield* this.#sync()
  }

  /** All of the value is there: makes it durable. */
  *finish(): Routine<void> {
    this.#check('open')
    const writer = this.#writer
    writer.endFrame()
    writer.flush()
    this.end = writer.end
    this.checksum = writer.previousChecksum
    const window = this.end - (this.end & WINDOW_MASK)
    if (window < this.end) {
      const at = writer.bufferOffset(window)
      this.tail = Buffer.from(writer.buffer.subarray(at, at + this.end - window))
    }
    yield* this.#sync()
    this.#state = 'finished'
  }

  /**
   * Writes the first window, at once: the entry of `kind` is then the one write of the only frame of that segment. Returns its
   * address.
   */
  complete(header: SegmentHeader, kind: number, sequence: number, context: FrameContext): number {
    this.#check('finished')
    const keyLength = this.#keyLength
    const expiry = this.#expiry
    if (entryHeaderLength(keyLength, this.length, expiry) !== this.#headerLength) {
      throw new RangeError(`A spooled value cannot have ${this.length} bytes`)
    }
    const writer = SegmentWriter.create(this.handle, header, this.#memory)
    writer.beginFrame(sequence, context, ENTRIES, this.#mark)
    const address = writer.place(this.#headerLength + keyLength + this.length)
    const at = writer.bufferOffset(address)
    writeEntryHeader(writer.buffer, at, kind, 0, keyLength, this.length, sequence, expiry)
    writer.end = address + this.#headerLength
    writer.append(this.#head, 0, this.#head.length)
    writer.endWindow()
    return address
  }

  /** The file is a segment now, and the journal's. */
  linked(): void {
    this.#state = 'linked'
    this.#over(this)
  }

  /** Takes the file away, unless it has become a segment. Repeating it is harmless. */
  *discard(): Routine<void> {
    if (this.#state === 'linked' || this.#state === 'gone') return
    this.#state = 'gone'
    this.#over(this)
    try {
      // The name first, at once: after the end of the store the folder is somebody else's.
      this.#environment.files.remove(this.path).sync()
    } catch (error) {
      const { message } = asKvarkError(error)
      this.#environment.warn(`${this.path} stays until the next open: ${message}`)
    }
    try {
      yield* this.handle.close()
    } catch {
      // Nothing of it was to be kept.
    }
  }

  /** Bytes of key and value: the first window is filled first. */
  #write(source: Uint8Array, from: number, to: number): void {
    const head = Math.min(to - from, this.#head.length - this.#headUsed)
    if (head > 0) {
      this.#head.set(source.subarray(from, from + head), this.#headUsed)
      this.#headUsed += head
    }
    this.#writer.append(source, from + head, to - from - head)
  }

  *#sync(): Routine<void> {
    try {
      yield* this.handle.sync()
    } catch (error) {
      // Its file may have been closed meanwhile.
      this.#check('open')
      throw error
    }
    this.#check('open')
  }

  #check(state: State): void {
    if (this.#state === state) return
    throw new KvarkError(
      'CLOSED',
      'The store was closed or resumed while a value was being written to it. Nothing of the value is stored; write it again.',
    )
  }
}
