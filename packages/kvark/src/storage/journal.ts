/**
 * The journal: the one order of all writes of a store, as a row of segments of which the last is being written.
 *
 *   append ─► frame in the append buffer ─► flush (`os`) ─► fdatasync (`disk`)
 *             visible to readers            write(2), synchronous     shared by all who wait
 *
 * Everything appended between two flushes is one frame. Callers who want a durability join the round that is being
 * gathered; the code of the running tick may still add to it. While one round's fdatasync is under way the next one gathers.
 *
 * 1. Frames reach the files in order and without holes: writing is synchronous, only syncing is awaited.
 * 2. A write is acknowledged at `disk` when its segment, every segment before it, and their names are synced.
 * 3. After a failed write or sync nothing more is written or synced here (`failure`). What a failed sync left behind is not
 *    retried: a file system may call lost pages clean. Whoever opens the files again reads them and writes the suspect part
 *    anew (`suspects`) before anything there is acknowledged.
 * 4. `clock` never goes backwards, also across restarts.
 * 5. A long value that was spooled comes in as a segment that is nearly complete (`link`): the file gets its beginning and its name.
 *
 * What entries mean, which segments still matter and how they are read is the engine's.
 */

import { copyShort, SHORT_COPY_BYTES } from '../bytes/short-copy.ts'
import { writeU32 } from '../bytes/varint.ts'
import type { Environment, Timer } from '../environment/environment.ts'
import { Effect, effect, type Routine } from '../environment/routine.ts'
import { asKvarkError, KvarkError } from '../errors.ts'
import type { BlockForm } from './block-form.ts'
import type { Cache } from './cache.ts'
import type { Durability } from './durability.ts'
import { entryHeaderLength, writeEntryHeader } from './entry.ts'
import { GroupCommit } from './group-commit.ts'
import { Segment } from './segment.ts'
import { CLOSE, CONTIGUOUS_BYTES, type SegmentHeader, WINDOW_BYTES } from './segment-format.ts'
import type { SegmentSpool } from './segment-spool.ts'
import {
  APPEND_BUFFER_BYTES,
  AppendBuffer,
  SegmentWriter,
  type WindowListener,
} from './segment-writer.ts'

/** A frame grows no longer than this, so that an abrupt end loses no more of what nobody waited for. */
const FRAME_BYTES = 1024 * 1024
/** What nobody waits for is flushed after this time. */
export const FLUSH_MS = 1000

/** Where a recovered journal goes on. */
export interface JournalStart {
  /** The segment to go on in; none: a new one is begun at the first write, behind `previous`. */
  readonly segment: Segment | undefined
  readonly previous: { readonly number: number; readonly end: number }
  readonly previousChecksum: number
  /** The bytes of the last window up to its end. */
  readonly tail: Uint8Array
  /** The last sequence that was given out, and the last one of what is there: those between were lost. */
  readonly sequence: number
  readonly existing: number
  readonly syncedSequence: number
  readonly clock: number
  /** Parts that may be in the page cache only: [segment, from]. */
  readonly suspects: readonly (readonly [Segment, number])[]
}

/** A place in the journal: everything up to `sequence` lies before `end` of segment `segment`. */
export interface JournalPoint {
  readonly segment: number
  readonly end: number
  readonly sequence: number
  /** Of the last frame. */
  readonly checksum: number
}

/** What the journal asks of its engine. */
export interface JournalOwner {
  readonly storeId: string
  readonly form: BlockForm
  readonly segmentBytes: number
  /** The number of the next segment file. */
  takeNumber(): number
  pathOf(number: number): string
  /** A segment has been begun for a batch of about `bytes`. */
  begun(segment: Segment, bytes: number): void
  /** It takes no more writes. */
  failed(reason: KvarkError): void
}

export class Journal {
  readonly #environment: Environment
  readonly #folder: string
  readonly #cache: Cache | undefined
  readonly #owner: JournalOwner
  readonly #memory: AppendBuffer
  readonly #start: { readonly sequence: number; readonly existing: number }
  readonly #firstFrame: number
  readonly #epoch: number
  /** The segment being written. */
  active: Segment | undefined
  /** The last sequence given out, flushed to the operating system, synced to disk. */
  sequence: number
  flushedSequence: number
  syncedSequence: number
  clock: number
  failure: KvarkError | undefined = undefined
  #writer: SegmentWriter | undefined
  #previous: { number: number; end: number; checksum: number }
  #suspects: readonly (readonly [Segment, number])[]
  /** Segments with something to sync, in order. */
  #unsynced: Segment[] = []
  /** Segments whose names are not durable yet, in order. */
  #unnamed: Segment[] = []
  #frameStart = 0
  readonly #group: GroupCommit
  #timer: Timer | undefined

  constructor(
    environment: Environment,
    folder: string,
    cache: Cache | undefined,
    owner: JournalOwner,
    start: JournalStart,
  ) {
    this.#environment = environment
    this.#folder = folder
    this.#cache = cache
    this.#owner = owner
    this.#group = new GroupCommit(
      environment,
      () => this.flush(),
      () => this.#flushAndSync(),
    )
    this.#memory = new AppendBuffer(owner.form)
    this.#firstFrame = cache === undefined ? -1 : cache.register(this.#memory.plain)
    this.#epoch = Buffer.from(environment.random(4)).readUInt32LE()
    this.#start = { sequence: start.sequence, existing: start.existing }
    this.active = start.segment
    this.sequence = start.sequence
    this.flushedSequence = start.sequence
    this.syncedSequence = start.syncedSequence
    this.clock = Math.max(start.clock, environment.now())
    this.#suspects = start.suspects
    this.#previous = { ...start.previous, checksum: start.previousChecksum }
    const { segment } = start
    if (segment) this.#resume(segment, start.previousChecksum, start.tail)
    for (const [suspect] of start.suspects) {
      suspect.dirty = true
      this.#unsynced.push(suspect)
    }
  }

  /** Now, by a clock that never goes backwards. */
  now(): number {
    const now = this.#environment.now()
    if (now > this.clock) this.clock = now
    return this.clock
  }

  /** Prepares for a batch of about `bytes`: begins a new segment when the active one is full. */
  prepare(bytes: number): void {
    if (this.failure) throw readOnly(this.failure)
    try {
      if (this.active === undefined) this.#begin(bytes)
      else if (this.#writer!.end + bytes > this.#owner.segmentBytes) {
        this.#finishSegment()
        this.#begin(bytes)
      } else if (this.#writer!.frameOpen && this.#writer!.end - this.#frameStart > FRAME_BYTES) {
        this.#endFrame()
      }
    } catch (error) {
      throw this.fail(error)
    }
    this.#markDirty()
    this.#timer ??= this.#environment.timer(FLUSH_MS, () => this.#flushLate())
  }

  /** The next entry has the sequence behind this one. Those between are nobody's. */
  skipTo(sequence: number): void {
    if (sequence === this.sequence) return
    try {
      // Within a frame there is no gap.
      this.seal()
    } catch (error) {
      throw this.fail(error)
    }
    this.sequence = sequence
  }

  /**
   * Appends an entry to the open frame under the next sequence; returns its address in the active segment. `view`: of `key`, where there
   * is one.
   */
  append(
    kind: number,
    flags: number,
    key: Buffer,
    keyStart: number,
    keyLength: number,
    value: Uint8Array,
    valueStart: number,
    valueLength: number,
    expiry: number,
    view?: DataView,
  ): number {
    const writer = this.#writer!
    const header = entryHeaderLength(keyLength, valueLength, expiry)
    const total = header + keyLength + valueLength
    try {
      if (!writer.frameOpen) this.#beginFrame()
      const sequence = ++this.sequence
      const address = writer.place(total)
      const at = writer.bufferOffset(address)
      writeEntryHeader(writer.buffer, at, kind, flags, keyLength, valueLength, sequence, expiry)
      writer.end = address + header
      if (total <= CONTIGUOUS_BYTES) {
        const { buffer } = writer
        const keyAt = at + header
        const length = keyLength + valueLength
        if (value === key && valueStart === keyStart + keyLength && valueLength >= 32) {
          // As batches have them: both at once.
          if (view !== undefined && length <= SHORT_COPY_BYTES)
            copyShort(writer.view, keyAt, view, keyStart, length)
          else key.copy(buffer, keyAt, keyStart, keyStart + length)
          writer.end = address + total
          return address
        }
        for (let i = 0; i < keyLength; i++) buffer[keyAt + i] = key[keyStart + i]!
        if (valueLength < 32) {
          const valueAt = keyAt + keyLength
          for (let i = 0; i < valueLength; i++) buffer[valueAt + i] = value[valueStart + i]!
          writer.end = address + total
        } else {
          writer.end += keyLength
          writer.append(value, valueStart, valueLength)
        }
      } else {
        writer.append(key, keyStart, keyLength)
        writer.append(value, valueStart, valueLength)
      }
      return address
    } catch (error) {
      throw this.fail(error)
    }
  }

  /**
   * Takes on the entry that a spool has ready, under the next sequence; its file becomes the active segment. Returns its address
   * there. Where the disk refuses before the file has its name, nothing has happened and the journal goes on.
   */
  link(spool: SegmentSpool, kind: number): number {
    if (this.failure) throw readOnly(this.failure)
    this.roll()
    const { files } = this.#environment
    const header = this.#nextHeader(spool.life)
    const address = spool.complete(header, kind, this.sequence + 1, this.#frameContext())
    const { handle, end, checksum, tail } = spool
    const segment = new Segment(handle, header, this.#owner.form, end, false)
    this.#owner.begun(segment, end)
    spool.linked()
    segment.path = this.#owner.pathOf(header.number)
    try {
      files.rename(spool.path, segment.path).sync()
    } catch (error) {
      throw this.fail(error)
    }
    this.#resume(segment, checksum, tail)
    this.active = segment
    this.#unnamed.push(segment)
    this.sequence++
    this.flushedSequence = this.sequence
    this.#markDirty()
    return address
  }

  /**
   * Ends the open frame, so that everything written can be walked; nothing reaches the file. After a failure there is
   * nothing to end: what was complete then is sealed.
   */
  seal(): void {
    if (this.#writer?.frameOpen && !this.failure) this.#endFrame()
  }

  /** Hands everything to the operating system. */
  flush(): void {
    if (this.flushedSequence === this.sequence) return
    if (this.failure) throw unknown(this.failure)
    try {
      this.seal()
      this.#writer!.flush()
      this.flushedSequence = this.sequence
    } catch (error) {
      throw this.fail(error)
    }
  }

  /** Begins a segment where there is none, without an entry. */
  begin(): void {
    if (this.active !== undefined) return
    if (this.failure) throw readOnly(this.failure)
    try {
      this.#begin(0)
      this.#writer!.flush()
    } catch (error) {
      throw this.fail(error)
    }
    this.#markDirty()
  }

  /** Ends the active segment; the next write begins a new one. */
  roll(): void {
    if (this.active === undefined) return
    // The frame that is open then is not whole, and must not come to lie before the segment's end.
    if (this.failure) throw readOnly(this.failure)
    try {
      this.#finishSegment()
    } catch (error) {
      throw this.fail(error)
    }
  }

  /** Where the journal ends now. */
  point(): JournalPoint {
    this.seal()
    const { sequence } = this
    if (this.active === undefined) {
      const { number, end, checksum } = this.#previous
      return { segment: number, end, sequence, checksum }
    }
    const { end, previousChecksum } = this.#writer!
    return { segment: this.active.number, end, sequence, checksum: previousChecksum }
  }

  /** Makes everything so far durable and tells where that was. */
  *syncPoint(): Routine<JournalPoint> {
    const point = this.point()
    yield* this.commit('disk')
    return point
  }

  /** Everything written so far becomes at least this durable. */
  commit(durability: Durability): Effect<void> {
    if (durability === 'none') {
      return new Effect(
        () => {},
        async () => {},
      )
    }
    if (durability === 'os') {
      return new Effect(
        () => this.flush(),
        () => this.#join('os'),
      )
    }
    return new Effect(
      () => this.#syncNow(),
      () => this.#join('disk'),
    )
  }

  /** Ends the journal cleanly: everything is durable, then a close frame names the manifest that goes with it. */
  *close(manifestNumber: number): Routine<void> {
    this.#timer?.cancel()
    this.#timer = undefined
    const writer = this.#writer
    if (writer === undefined) return
    const payload = new Uint8Array(4)
    writeU32(payload, 0, manifestNumber)
    try {
      this.seal()
      writer.beginFrame(this.sequence + 1, this.#frameContext(), CLOSE)
      writer.append(payload, 0, 4)
      this.#endFrame()
      writer.flush()
      writer.trim()
      this.#markDirty()
    } catch (error) {
      throw this.fail(error)
    }
    yield* effect(() => this.#syncFiles())
  }

  /** Stops all that is timed or awaited, without writing anything. */
  abandon(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.failure ??= new KvarkError('CLOSED', 'the store is closed')
    if (this.active) this.active.writer = undefined
    this.#cache?.unregister(this.#firstFrame)
  }

  /** Waits until no sync is under way. */
  idle(): Effect<void> {
    return new Effect(
      () => {},
      () => this.#group.idle(),
    )
  }

  /** Makes what is written readable through the cache, where there is one. */
  #listener(segment: Segment): WindowListener | undefined {
    const cache = this.#cache
    if (cache === undefined) return undefined
    return {
      opened: (window, at) => {
        segment.pages.grow(window + 1)
        segment.pages.frames[window] = this.#firstFrame + at / WINDOW_BYTES
      },
      retired: (window, at) => {
        segment.pages.frames[window] = -1
        cache.insert(segment.pages, window, this.#memory.plain, at)
      },
    }
  }

  /** Goes on at the end of a segment. `tail`: the bytes of its last window up to there. */
  #resume(segment: Segment, checksum: number, tail: Uint8Array): void {
    const { handle, header, end } = segment
    const listener = this.#listener(segment)
    this.#writer = SegmentWriter.resume(handle, header, this.#memory, end, checksum, tail, listener)
    segment.writer = this.#writer
  }

  /** Of the segment that comes after the last one. */
  #nextHeader(life: number): SegmentHeader {
    const { number, end, checksum } = this.#previous
    return {
      storeId: this.#owner.storeId,
      life,
      number: this.#owner.takeNumber(),
      previousNumber: number,
      previousEnd: end,
      previousChecksum: checksum,
    }
  }

  /** Makes the next segment file. Its name is made durable by the next sync. */
  #begin(bytes: number): void {
    const header = this.#nextHeader(Buffer.from(this.#environment.random(4)).readUInt32LE())
    const path = this.#owner.pathOf(header.number)
    const handle = this.#environment.files.open(path, 'create').sync()
    const segment = new Segment(handle, header, this.#owner.form, 0, false)
    this.#writer = SegmentWriter.create(handle, header, this.#memory, this.#listener(segment))
    segment.writer = this.#writer
    segment.end = this.#writer.end
    this.active = segment
    this.#unnamed.push(segment)
    this.#owner.begun(segment, bytes)
  }

  #finishSegment(): void {
    const writer = this.#writer!
    const segment = this.active!
    this.seal()
    writer.flush()
    writer.trim()
    this.flushedSequence = this.sequence
    segment.end = writer.end
    segment.checksum = writer.previousChecksum
    segment.writer = undefined
    segment.padding += writer.padding
    writer.retire()
    this.#previous = {
      number: segment.number,
      end: writer.end,
      checksum: writer.previousChecksum,
    }
    this.#writer = undefined
    this.active = undefined
  }

  #frameContext(): { epoch: number; syncedSequence: number; clock: number } {
    // Of what was given out and lost, nothing was durable: nobody may take it for a gap.
    const { sequence, existing } = this.#start
    const synced = this.syncedSequence
    const syncedSequence = synced > sequence ? synced : Math.min(synced, existing)
    return { epoch: this.#epoch, syncedSequence, clock: this.now() }
  }

  #beginFrame(): void {
    const writer = this.#writer!
    writer.beginFrame(this.sequence + 1, this.#frameContext())
    this.#frameStart = writer.end
  }

  #endFrame(): void {
    const writer = this.#writer!
    writer.endFrame()
    this.active!.end = writer.end
  }

  #markDirty(): void {
    const active = this.active!
    if (active.dirty) return
    active.dirty = true
    this.#unsynced.push(active)
  }

  #flushLate(): void {
    this.#timer = undefined
    try {
      if (!this.failure) this.flush()
    } catch {
      // The failure is remembered; whoever waits or writes next hears of it.
    }
  }

  get #allSynced(): boolean {
    if (this.syncedSequence !== this.sequence) return false
    return this.#suspects.length === 0 && this.#unnamed.length === 0
  }

  #join(durability: 'os' | 'disk'): Promise<void> {
    const reached = durability === 'os' ? this.flushedSequence === this.sequence : this.#allSynced
    if (reached) return Promise.resolve()
    if (this.failure) return Promise.reject(unknown(this.failure))
    return durability === 'os' ? this.#group.flushed() : this.#group.synced()
  }

  #syncNow(): void {
    effect(() => this.#flushAndSync()).sync()
  }

  *#flushAndSync(): Routine<void> {
    if (this.#allSynced) return
    if (this.failure) throw unknown(this.failure)
    this.flush()
    // What comes now must not share a sector with what is about to be acknowledged.
    this.#writer?.beforeSync()
    const target = this.sequence
    yield* this.#syncFiles()
    if (target > this.syncedSequence) this.syncedSequence = target
  }

  /** Syncs all files written to, oldest first, and the folder when a name is new. */
  *#syncFiles(): Routine<void> {
    try {
      const suspects = this.#suspects
      // Another caller may do it meanwhile, and compaction close the files then.
      const wanted = (): boolean => this.#suspects === suspects
      for (const [segment, from] of suspects) yield* rewrite(segment, from, wanted)
      // A file stays on the list until its sync has succeeded: a second caller must not count on one under way.
      const files = [...this.#unsynced]
      const begun = [...this.#unnamed]
      for (const segment of files) {
        // Another caller has synced it meanwhile, and compaction may have closed it since.
        if (!segment.dirty) continue
        const flushed = segment.writer?.flushed ?? segment.end
        yield* segment.handle.sync()
        // What is not in the file yet, or came while it was being synced, needs another sync.
        const end = segment.writer?.end ?? segment.end
        if (end !== flushed || !segment.dirty) continue
        segment.dirty = false
        this.#unsynced = this.#unsynced.filter((one) => one !== segment)
      }
      // Not before they are synced, for the same reason.
      if (wanted()) this.#suspects = []
      if (begun.length > 0) {
        yield* this.#environment.files.syncFolder(this.#folder)
        for (const segment of begun) segment.named = true
        this.#unnamed = this.#unnamed.filter((segment) => !segment.named)
      }
    } catch (error) {
      throw this.fail(error)
    }
  }

  /** From here on nothing is written, here or in what its engine does with the files. Returns the error for those whose writes are now in doubt. */
  fail(error: unknown): KvarkError {
    const isFirst = this.failure === undefined
    this.failure ??= asKvarkError(error)
    const doubt = unknown(this.failure)
    this.#group.fail(doubt)
    if (isFirst) this.#owner.failed(this.failure)
    return doubt
  }
}

/** Writes the bytes that are there again, as long as that is wanted, so that a later sync really writes them. */
function* rewrite(segment: Segment, from: number, wanted: () => boolean): Routine<void> {
  const end = segment.writer === undefined ? segment.end : segment.writer.flushed
  const extent = Buffer.allocUnsafeSlow(Math.min(APPEND_BUFFER_BYTES, Math.max(1, end - from)))
  for (let at = from; at < end && wanted(); at += extent.length) {
    const length = Math.min(extent.length, end - at)
    const read = yield* segment.handle.read(extent, 0, length, at)
    if (wanted()) segment.handle.write(extent, 0, read, at).sync()
  }
}

/** The error of a write whose fate is open until `resume` or the next open. */
function unknown(failure: KvarkError): KvarkError {
  if (failure.outcome === 'unknown' || failure.code === 'CLOSED') return failure
  return new KvarkError(
    failure.code,
    `${failure.message} The write may or may not be kept; call resume() and read it back.`,
    {
      outcome: 'unknown',
      cause: failure,
      ...(failure.path === undefined ? {} : { path: failure.path }),
      ...(failure.errno === undefined ? {} : { errno: failure.errno }),
    },
  )
}

/** The error of a write that was not even tried. */
export function readOnly(failure: KvarkError): KvarkError {
  if (failure.code === 'CLOSED') return failure
  return new KvarkError(
    'READ_ONLY',
    `The store takes no writes since an earlier one failed (${failure.code}: ${failure.message}) ` +
      'Remove the cause, then call resume().',
    { cause: failure, ...(failure.path === undefined ? {} : { path: failure.path }) },
  )
}
