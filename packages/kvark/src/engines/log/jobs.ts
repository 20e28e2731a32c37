/**
 * The log's work for other threads: `rewrite` copies what is alive in some segments to new ones. Over plain data, with file handles of
 * its own; it changes nothing that exists.
 *
 *   inputs (segments, live offsets) ─► merge by sequence ─► live entries, deletions that still hide something ─► outputs
 *
 * 1. Every live offset must be met and every block read must be whole: else it fails, and the inputs stay.
 * 2. Outputs are complete and synced when it returns.
 * 3. Outputs are in the order of sequences, as every segment is.
 * 4. An entry that has expired becomes a deletion: an older one of its key may still lie elsewhere.
 */

import { GrowingFloats, GrowingIntegers } from '../../bytes/growing.ts'
import { hash32 } from '../../bytes/hash.ts'
import { DELETE, PUT } from '../../engine/write-batch.ts'
import type { Environment } from '../../environment/environment.ts'
import type { Routine } from '../../environment/routine.ts'
import { corruption } from '../../errors.ts'
import { type BlockForm, type FormDescription, storeForm } from '../../storage/block-form.ts'
import { entryHeaderLength, writeEntryHeader } from '../../storage/entry.ts'
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
import { Merge } from './merge.ts'

export interface RewriteInput {
  readonly path: string
  readonly life: number
  readonly end: number
  readonly chain: Chain
  readonly minSequence: number
  /** Position of its first byte, for the moves. */
  readonly base: number
  /** Offsets of its live entries, in any order; the first `liveCount` count. Sorted in place. */
  readonly live: Float64Array
  readonly liveCount: number
}

export interface RewriteArguments {
  readonly inputs: readonly RewriteInput[]
  /** Where to write, as many as could be needed. */
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
  readonly minSequence: number
  readonly maxSequence: number
}

export interface RewriteResult {
  readonly outputs: readonly RewrittenSegment[]
  /** Per entry copied: its hash, old position, and the new one as output number × 2^32 + address. */
  readonly hash: Uint32Array
  readonly from: Float64Array
  readonly to: Float64Array
  readonly size: Uint32Array
  /** Live entries that had expired: hash and old position. */
  readonly expiredHash: Uint32Array
  readonly expiredFrom: Float64Array
}

const COPY_BYTES = 1024 * 1024
/** Synced in portions: a file system that has much to sync at once keeps other writers waiting. */
const SYNC_BYTES = 4 * 1024 * 1024

export function* rewrite(environment: Environment, args: RewriteArguments): Routine<RewriteResult> {
  const form = storeForm(args.form, (length) => environment.random(length)).blocks
  const output = new Output(environment, args, form)
  try {
    yield* copyLive(environment, args, form, output)
    yield* output.finish()
    return output.result()
  } finally {
    yield* output.close()
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
): Routine<void> {
  const inputs: Reading[] = []
  try {
    for (const input of args.inputs) {
      const handle = yield* environment.files.open(input.path, 'read')
      const source = sourceOf(handle, input, form)
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
        throw corruption(segment.input.path, walk.address, 'a block is damaged')
      }
      const { kind, sequence } = walk.entry
      const alive = segment.live[segment.met] === walk.address
      if (alive) segment.met++
      if (kind === PUT ? alive : sequence >= args.floor) {
        yield* output.take(segment.source, walk, segment.input.base)
      }
    }
    for (const { input, live, met } of inputs) {
      if (met === live.length) continue
      throw corruption(input.path, live[met]!, 'there is no entry where the index points')
    }
  } finally {
    for (const { handle } of inputs) yield* handle.close()
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
  #min: number = Number.POSITIVE_INFINITY
  #max = 0
  #frameStart = 0
  #synced = 0
  readonly #hash: GrowingIntegers
  readonly #from: GrowingFloats
  readonly #to: GrowingFloats
  readonly #size: GrowingIntegers
  readonly #expiredHash = new GrowingIntegers()
  readonly #expiredFrom = new GrowingFloats()

  constructor(environment: Environment, args: RewriteArguments, form: BlockForm) {
    this.#environment = environment
    this.#args = args
    this.#memory = new AppendBuffer(form)
    // At once, for lists that grow leave holes in the memory of the process.
    const most = args.inputs.reduce((sum, { liveCount }) => sum + liveCount, 0)
    this.#hash = new GrowingIntegers(most)
    this.#from = new GrowingFloats(most)
    this.#to = new GrowingFloats(most)
    this.#size = new GrowingIntegers(most)
  }

  /** Copies the entry that the walk stands on. */
  *take(source: SegmentSource, walk: SegmentWalk, base: number): Routine<void> {
    const args = this.#args
    const { entry, address } = walk
    const { kind, flags, keyLength, valueLength, sequence, expiry } = entry
    const expired = kind === PUT && expiry !== 0 && expiry <= args.clock
    let key = walk.extent
    let keyStart = walk.at + entry.length
    if (walk.spread && keyStart + keyLength > walk.payloadEnd) {
      key = yield* readSpread(source, advance(source.form, address, entry.length), keyLength)
      keyStart = 0
    }
    const hash = kind === PUT ? hash32(key, keyStart, keyStart + keyLength, args.hashSeed) : 0
    if (expired) {
      this.#expiredHash.push(hash)
      this.#expiredFrom.push(base + address)
      if (sequence < args.floor) return
    }
    const written = expired ? DELETE : kind
    const length = expired || kind === DELETE ? 0 : valueLength
    const header = entryHeaderLength(keyLength, length, expired ? 0 : expiry)
    const total = header + keyLength + length
    const writer = yield* this.#ready(total, sequence)
    const to = writer.place(total)
    writeEntryHeader(
      writer.buffer,
      writer.bufferOffset(to),
      written,
      written === PUT ? flags : 0,
      keyLength,
      length,
      sequence,
      expired ? 0 : expiry,
    )
    writer.end = to + header
    writer.append(key, keyStart, keyLength)
    if (length > 0 && !walk.spread)
      writer.append(walk.extent, walk.at + entry.length + keyLength, length)
    else {
      for (let done = 0; done < length; done += COPY_BYTES) {
        const from = advance(source.form, address, entry.length + keyLength + done)
        const part = yield* readSpread(source, from, Math.min(COPY_BYTES, length - done))
        writer.append(part, 0, part.length)
      }
    }
    this.#total += total
    if (written === DELETE) this.#tombstones += total
    if (sequence < this.#min) this.#min = sequence
    if (sequence > this.#max) this.#max = sequence
    if (writer.flushed - this.#synced > SYNC_BYTES) {
      this.#synced = writer.flushed
      yield* this.#handle!.sync()
    }
    if (written !== PUT) return
    this.#hash.push(hash)
    this.#from.push(base + address)
    this.#to.push(this.#done.length * 2 ** 32 + to)
    this.#size.push(total)
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
      minSequence: this.#min,
      maxSequence: this.#max,
    })
    this.#writer = undefined
    this.#handle = undefined
    this.#synced = 0
    this.#total = 0
    this.#tombstones = 0
    this.#min = Number.POSITIVE_INFINITY
    this.#max = 0
  }

  *close(): Routine<void> {
    if (this.#handle) yield* this.#handle.close()
  }

  result(): RewriteResult {
    return {
      outputs: this.#done,
      hash: this.#hash.take(),
      from: this.#from.take(),
      to: this.#to.take(),
      size: this.#size.take(),
      expiredHash: this.#expiredHash.take(),
      expiredFrom: this.#expiredFrom.take(),
    }
  }

  /** A writer with an open frame and room for `total` bytes. */
  *#ready(total: number, sequence: number): Routine<SegmentWriter> {
    let writer = this.#writer
    // Windows that a long entry fills have headers too.
    const bytes = total + Math.ceil(total / 8192) * 64 + 4096
    if (writer && writer.end + bytes > this.#args.outputBytes && writer.end > FILE_HEADER_BYTES) {
      yield* this.finish()
      writer = undefined
    }
    if (!writer) {
      const target = this.#args.outputs[this.#done.length]!
      this.#handle = yield* this.#environment.files.open(target.path, 'create')
      writer = SegmentWriter.create(this.#handle, target.header, this.#memory)
      this.#writer = writer
    }
    if (writer.frameOpen && writer.end - this.#frameStart > APPEND_BUFFER_BYTES) writer.endFrame()
    if (!writer.frameOpen) {
      const { epoch, clock } = this.#args
      writer.beginFrame(sequence, { epoch, syncedSequence: 0, clock })
      this.#frameStart = writer.end
    }
    return writer
  }
}
