/**
 * The log's work for other threads: `rewrite` copies what is alive in some segments to new ones. Over plain data, with file handles of
 * its own; it changes nothing that exists, and no names: who has them taken away has cut it off.
 *
 *   inputs (segments, live offsets) ─► merge by sequence ─► live entries, deletions that still hide something ─► outputs
 *
 * 1. Every live offset must be met and every block read must be whole: else it fails, and the inputs stay.
 * 2. Outputs are complete and synced when it returns.
 * 3. Outputs are in the order of sequences, as every segment is.
 * 4. Where an input is damaged (`chain` is missing), the same holds of what is live in it.
 * 5. An entry that has expired becomes a deletion: an older one of its key may still lie elsewhere.
 */

import { GrowingFloats, GrowingIntegers } from '../../bytes/growing.ts'
import { hash32 } from '../../bytes/hash.ts'
import { release } from '../../bytes/memory.ts'
import { DELETE, PUT } from '../../engine/write-batch.ts'
import type { Environment } from '../../environment/environment.ts'
import type { Routine } from '../../environment/routine.ts'
import { corruption } from '../../errors.ts'
import {
  type BlockForm,
  type FormDescription,
  salvagingForm,
  storeForm,
} from '../../storage/block-form.ts'
import { type EntryHeader, entryHeaderLength, writeEntryHeader } from '../../storage/entry.ts'
import { FILE_HEADER_BYTES, type SegmentHeader } from '../../storage/segment-format.ts'
import {
  advance,
  type Chain,
  DAMAGED,
  END,
  NEED,
  readSpread,
  type SegmentSource,
  type SegmentWalk,
} from '../../storage/segment-walk.ts'
import { APPEND_BUFFER_BYTES, AppendBuffer, SegmentWriter } from '../../storage/segment-writer.ts'
import type { FileHandle } from '../../vfs/files.ts'
import { closeAll, openFile } from '../../vfs/open-file.ts'
import { Expiring, type ExpiringRecord } from './expiring.ts'
import { TWO_32 } from './hash-index.ts'
import { EXTENT_BYTES, JobMemory } from './job-memory.ts'
import { Merge } from './merge.ts'

export interface RewriteInput {
  readonly path: string
  readonly life: number
  readonly end: number
  /** None: it is damaged. What is not live is passed over then. */
  readonly chain: Chain | undefined
  readonly minSequence: number
  /** Position of its first byte, for the moves. */
  readonly base: number
  /** Offsets of its live entries, in any order; the first `liveCount` count. Sorted in place, and released at the end. */
  readonly live: Float64Array
  readonly liveCount: number
}

export interface RewriteArguments {
  readonly inputs: readonly RewriteInput[]
  /** Where to write, as many as could be needed: empty files. */
  readonly outputs: readonly { readonly path: string; readonly header: SegmentHeader }[]
  readonly outputBytes: number
  readonly hashSeed: number
  /** Deletions with a sequence below have nothing left to hide. */
  readonly floor: number
  /** Entries that expired by then are not copied. */
  readonly clock: number
  readonly epoch: number
  readonly form: FormDescription
}

export interface RewrittenSegment {
  readonly end: number
  readonly checksum: number
  readonly total: number
  readonly tombstones: number
  readonly expiring: ExpiringRecord | undefined
  readonly minSequence: number
  readonly maxSequence: number
}

export interface RewriteResult {
  readonly outputs: readonly RewrittenSegment[]
  /** Entries copied, each with its hash, old position, new one as output number × 2^32 + address, and length. */
  readonly moved: number
  readonly hash: Uint32Array
  readonly from: Float64Array
  readonly to: Float64Array
  readonly size: Uint32Array
  /** Live entries that had expired: hash and old position. */
  readonly expired: number
  readonly expiredHash: Uint32Array
  readonly expiredFrom: Float64Array
}

/** How many segments so many bytes of entries may need. */
export function outputsFor(liveBytes: number, segmentBytes: number): number {
  // Long entries can leave half of each empty: only two that follow each other have more than one takes.
  return Math.ceil((liveBytes * 3) / segmentBytes) + 2
}

/** Gives back the memory of a result that has been dealt with. */
export function releaseResult(result: RewriteResult): void {
  for (const list of [result.hash, result.from, result.to, result.size]) release(list)
  release(result.expiredHash)
  release(result.expiredFrom)
}

const COPY_BYTES = 1024 * 1024
/** Synced in portions: a file system that has much to sync at once keeps other writers waiting. */
const SYNC_BYTES = 1024 * 1024

export function* rewrite(environment: Environment, args: RewriteArguments): Routine<RewriteResult> {
  const form = storeForm(args.form, (length) => environment.random(length)).blocks
  const memory = JobMemory.take()
  const output = new Output(environment, args, form, memory)
  try {
    yield* copyLive(environment, args, form, output, memory)
    yield* output.finish()
    return output.result()
  } finally {
    yield* output.close()
    memory.keep()
  }
}

/** An input while it is read. */
interface Reading {
  readonly input: RewriteInput
  readonly handle: FileHandle
  readonly source: SegmentSource
  /** Offsets of its live entries, rising. */
  readonly live: Float64Array
  /** How many of them have been met. */
  met: number
}

function* copyLive(
  environment: Environment,
  args: RewriteArguments,
  form: BlockForm,
  output: Output,
  memory: JobMemory,
): Routine<void> {
  const inputs: Reading[] = []
  try {
    for (const input of args.inputs) {
      const handle = yield* openFile(environment.files, input.path, 'read')
      const source = sourceOf(handle, input, input.chain ? form : salvagingForm(form))
      const live = input.live.subarray(0, input.liveCount).sort()
      inputs.push({ input, handle, source, live, met: 0 })
    }
    const merge = new Merge(
      inputs.map((one) => ({
        segment: one,
        source: one.source,
        end: () => one.input.end,
        chain: () => one.input.chain,
        minSequence: one.input.minSequence,
      })),
      0,
      memory,
      EXTENT_BYTES,
    )
    for (;;) {
      const step = merge.next()
      if (step === END) break
      if (step === NEED) {
        yield* environment.pause
        yield* merge.fill()
        continue
      }
      const { walk, segment } = merge
      if (step === DAMAGED) {
        if (segment.input.chain !== undefined) {
          throw corruption(segment.input.path, walk.address, 'a block is damaged')
        }
        walk.skipDamage()
        continue
      }
      const { kind, sequence } = walk.entry
      const alive = segment.live[segment.met] === walk.address
      if (alive) segment.met++
      if (kind === PUT ? !alive : sequence < args.floor) continue
      const { source, input } = segment
      let key = walk.extent
      let keyStart = walk.at + walk.entry.length
      if (walk.spread && keyStart + walk.entry.keyLength > walk.payloadEnd) {
        const from = advance(source.form, walk.address, walk.entry.length)
        key = yield* readSpread(source, from, walk.entry.keyLength)
        keyStart = 0
      }
      if (!output.begin(walk, input.base, key, keyStart)) continue
      if (!output.ready) yield* output.makeReady(walk)
      if (walk.spread) yield* output.copySpread(source, walk, key, keyStart)
      else output.copy(walk)
      if (output.syncDue) yield* output.sync()
    }
    for (const { input, live, met } of inputs) {
      if (met === live.length) continue
      throw corruption(input.path, live[met]!, 'there is no entry where the index points')
    }
  } finally {
    for (const { live } of args.inputs) release(live)
    yield* closeAll(inputs.map(({ handle }) => handle))
  }
}

function sourceOf(handle: FileHandle, input: RewriteInput, form: BlockForm): SegmentSource {
  return {
    form,
    path: input.path,
    life: input.life,
    *readAt(target, position, length) {
      return yield* handle.read(target, 0, Math.min(length, input.end - position), position)
    },
  }
}

/** The segments being written, and the notes of what went where. */
class Output {
  readonly #environment: Environment
  readonly #args: RewriteArguments
  readonly #memory: AppendBuffer
  readonly #done: RewrittenSegment[] = []
  #handle: FileHandle | undefined
  #writer: SegmentWriter | undefined
  #total = 0
  #tombstones = 0
  #expiring: Expiring | undefined
  #min: number = Number.POSITIVE_INFINITY
  #max = 0
  #frameStart = 0
  #synced = 0
  /** Of the entry that is being copied: what it becomes, its old position. */
  #kind = 0
  #expiry = 0
  #header = 0
  #length = 0
  #bytes = 0
  #hashed = 0
  #position = 0
  readonly #hash: GrowingIntegers
  readonly #from: GrowingFloats
  readonly #to: GrowingFloats
  readonly #size: GrowingIntegers
  readonly #expiredHash = new GrowingIntegers()
  readonly #expiredFrom = new GrowingFloats()

  constructor(
    environment: Environment,
    args: RewriteArguments,
    form: BlockForm,
    memory: JobMemory,
  ) {
    this.#environment = environment
    this.#args = args
    this.#memory = new AppendBuffer(form, memory)
    const most = args.inputs.reduce((sum, { liveCount }) => sum + liveCount, 0)
    this.#hash = new GrowingIntegers(most)
    this.#from = new GrowingFloats(most)
    this.#to = new GrowingFloats(most)
    this.#size = new GrowingIntegers(most)
  }

  /**
   * Takes on the entry that the walk stands on, whose key begins at `key[keyStart]`; false when it is not to be copied. Then comes
   * `makeReady` unless it is `ready`, then `copy` or `copySpread`: a generator for every entry is more garbage than all else.
   */
  begin(walk: SegmentWalk, base: number, key: Buffer, keyStart: number): boolean {
    const { floor, clock, hashSeed } = this.#args
    const { kind, keyLength, valueLength, sequence, expiry } = walk.entry
    const expired = kind === PUT && expiry !== 0 && expiry <= clock
    this.#hashed = kind === PUT ? hash32(key, keyStart, keyStart + keyLength, hashSeed) : 0
    this.#position = base + walk.address
    if (expired) {
      this.#expiredHash.push(this.#hashed)
      this.#expiredFrom.push(this.#position)
      if (sequence < floor) return false
    }
    this.#kind = expired ? DELETE : kind
    this.#expiry = expired ? 0 : expiry
    this.#length = this.#kind === PUT ? valueLength : 0
    this.#header = entryHeaderLength(keyLength, this.#length, this.#expiry)
    this.#bytes = this.#header + keyLength + this.#length
    return true
  }

  /** Whether there is a writer with an open frame and room for the entry. */
  get ready(): boolean {
    const writer = this.#writer
    if (!writer?.frameOpen || !this.#fits(writer)) return false
    return writer.end - this.#frameStart <= APPEND_BUFFER_BYTES
  }

  /** Begins a segment or a frame where that is needed. */
  *makeReady({ entry }: SegmentWalk): Routine<void> {
    if (this.#writer && !this.#fits(this.#writer)) yield* this.finish()
    if (!this.#writer) {
      const target = this.#args.outputs[this.#done.length]!
      this.#handle = yield* openFile(this.#environment.files, target.path, 'write')
      this.#writer = SegmentWriter.create(this.#handle, target.header, this.#memory)
    }
    this.#writer.endFrame()
    const { epoch, clock } = this.#args
    this.#writer.beginFrame(entry.sequence, { epoch, syncedSequence: 0, clock })
    this.#frameStart = this.#writer.end
  }

  /** Copies an entry that is in the walk's extent as a whole. */
  copy(walk: SegmentWalk): void {
    const { entry, extent } = walk
    const writer = this.#writer!
    const to = this.#writeHeader(writer, entry)
    const from = walk.at + entry.length
    writer.append(extent, from, entry.keyLength)
    if (this.#length > 0) writer.append(extent, from + entry.keyLength, this.#length)
    this.#note(entry.sequence, to)
  }

  /** Copies an entry that runs through several windows. */
  *copySpread(
    source: SegmentSource,
    { entry, address }: SegmentWalk,
    key: Buffer,
    keyStart: number,
  ): Routine<void> {
    const writer = this.#writer!
    const to = this.#writeHeader(writer, entry)
    writer.append(key, keyStart, entry.keyLength)
    const behindKey = entry.length + entry.keyLength
    for (let done = 0; done < this.#length; done += COPY_BYTES) {
      const from = advance(source.form, address, behindKey + done)
      const part = yield* readSpread(source, from, Math.min(COPY_BYTES, this.#length - done))
      writer.append(part, 0, part.length)
    }
    this.#note(entry.sequence, to)
  }

  /** Whether so much has been written that it should be synced. */
  get syncDue(): boolean {
    return this.#writer!.flushed - this.#synced > SYNC_BYTES
  }

  *sync(): Routine<void> {
    this.#synced = this.#writer!.flushed
    yield* this.#handle!.sync()
  }

  /** Completes the last output. */
  *finish(): Routine<void> {
    const writer = this.#writer
    const handle = this.#handle
    if (!writer || !handle) return
    writer.endFrame()
    writer.flush()
    yield* handle.sync()
    yield* handle.close()
    this.#done.push({
      end: writer.end,
      checksum: writer.previousChecksum,
      total: this.#total,
      tombstones: this.#tombstones,
      expiring: this.#expiring?.record(),
      minSequence: this.#min,
      maxSequence: this.#max,
    })
    this.#writer = undefined
    this.#handle = undefined
    this.#synced = 0
    this.#total = 0
    this.#tombstones = 0
    this.#expiring = undefined
    this.#min = Number.POSITIVE_INFINITY
    this.#max = 0
  }

  *close(): Routine<void> {
    this.#memory.release()
    if (this.#handle) yield* this.#handle.close()
  }

  result(): RewriteResult {
    return {
      outputs: this.#done,
      moved: this.#hash.count,
      hash: this.#hash.memory,
      from: this.#from.memory,
      to: this.#to.memory,
      size: this.#size.memory,
      expired: this.#expiredHash.count,
      expiredHash: this.#expiredHash.memory,
      expiredFrom: this.#expiredFrom.memory,
    }
  }

  #fits(writer: SegmentWriter): boolean {
    // Windows that a long entry fills have headers too.
    const bytes = this.#bytes + Math.ceil(this.#bytes / 8192) * 64 + 4096
    return writer.end + bytes <= this.#args.outputBytes || writer.end <= FILE_HEADER_BYTES
  }

  /** Returns the address of the copy. */
  #writeHeader(writer: SegmentWriter, { flags, keyLength, sequence }: EntryHeader): number {
    const to = writer.place(this.#bytes)
    writeEntryHeader(
      writer.buffer,
      writer.bufferOffset(to),
      this.#kind,
      this.#kind === PUT ? flags : 0,
      keyLength,
      this.#length,
      sequence,
      this.#expiry,
    )
    writer.end = to + this.#header
    return to
  }

  /** Keeps account of a copy. */
  #note(sequence: number, to: number): void {
    this.#total += this.#bytes
    if (this.#kind === DELETE) this.#tombstones += this.#bytes
    if (sequence < this.#min) this.#min = sequence
    if (sequence > this.#max) this.#max = sequence
    if (this.#kind !== PUT) return
    if (this.#expiry !== 0) {
      this.#expiring ??= new Expiring()
      this.#expiring.add(this.#expiry, this.#bytes)
    }
    this.#hash.push(this.#hashed)
    this.#from.push(this.#position)
    this.#to.push(this.#done.length * TWO_32 + to)
    this.#size.push(this.#bytes)
  }
}
