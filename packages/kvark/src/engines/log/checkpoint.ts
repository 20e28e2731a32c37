/**
 * The stored index, so that opening does not read the data: `N.index`, named by the manifest.
 *
 *   │ magic 8 │ slots │ slots │ … │ footer: table of shards, JSON │ footer length u32 │ footer checksum u32 │ magic 8 │
 *   slots     │ envelope 32? │ slots × (low u32, high u32) │                              of each shard that holds something
 *   table     │ count u32 │ slots u32 │ sequence u48 │ 0 u16 │ homes u32 │ checksum u32 │                   of all 256 shards
 *
 * The slots of a shard are its table as it is in memory, so that opening only copies it; of a table that is mostly empty, only those
 * in use (`slots` = `count`).
 *
 * In an encrypted store the slots of a shard are encrypted, its envelope (nonce, tag, 4 zeros) is there, and the footer is sealed.
 *
 * The footer names the file's life, which the manifest knows: an older file of the same number is refused, and so is a shard of it.
 *
 * 1. It is fuzzy: written shard by shard while writes go on. Each shard holds exactly the writes up to its sequence; opening replays
 *    the journal from `replay` and applies to each shard what is newer than that.
 * 2. Written to a name of its own, synced and renamed before a manifest names it. It is a copy of what the segments say: when it is
 *    damaged, the index is rebuilt from them.
 */

import { crc32 } from 'node:zlib'
import { ownBytes, release } from '../../bytes/memory.ts'
import { isU32, isU48, readU32, readU48, writeU32, writeU48 } from '../../bytes/varint.ts'
import type { Routine } from '../../environment/routine.ts'
import { corruption, type KvarkError } from '../../errors.ts'
import type { StoreCipher } from '../../storage/cipher.ts'
import { TEMPORARY_SUFFIX } from '../../storage/sealed-file.ts'
import { FILE_HEADER_BYTES } from '../../storage/segment-format.ts'
import type { FileHandle } from '../../vfs/files.ts'
import { openFile } from '../../vfs/open-file.ts'
import { type ExpiringRecord, isExpiringRecord } from './expiring.ts'
import { type HashIndex, SHARDS, SLOT_BYTES } from './hash-index.ts'
import { type IndexRecord, indexName } from './manifest.ts'
import { SLOTS } from './segments.ts'
import type { LogState } from './state.ts'

const MAGIC = Buffer.from('kvarkidx', 'latin1')
/** In front of encrypted slots, which begin at multiples of 8. */
const SEALED_BYTES = 32
/** What the table of shards says of one. */
const RECORD_BYTES = 24
const SLOTS_AT = 4
const SEQUENCE_AT = 8
const HOMES_AT = 16
const CHECKSUM_AT = 20
const TABLE_BYTES = SHARDS * RECORD_BYTES
const PURPOSE = 'index'
const TRAILER_BYTES = 16
const BUFFER_BYTES = 256 * 1024
/** Each read is a trip to another thread. */
const READ_BYTES = 1024 * 1024
const BYTES_A_STEP = 256 * 1024
/** Synced in portions: a file system that has much to sync at once keeps other writers waiting. */
const SYNC_BYTES = 1024 * 1024

export interface SegmentRecord {
  readonly number: number
  readonly slot: number
  readonly slots: number
  readonly stale: number
  readonly tombstones: number
  readonly total: number
  readonly padding: number
  readonly min: number
  readonly max: number
  /** Absent: no entry in it has an expiry. */
  readonly expiring?: ExpiringRecord
}

/** What is stored beside the shards. */
export interface CheckpointFooter {
  readonly format: 1
  readonly storeId: string
  readonly life: number
  readonly clearedSequence: number
  readonly clock: number
  /** The journal is replayed from here. */
  readonly replay: { readonly segment: number; readonly address: number; readonly sequence: number }
  /** Checksum of the last frame before it. */
  readonly previousChecksum: number
  readonly segments: readonly SegmentRecord[]
}

/**
 * Writes the index to the file `number`; gives its length, 0 when a `clear` came between and it is worthless. `replay` is where the journal stood
 * before the first shard.
 */
export function* writeCheckpoint(
  state: LogState,
  { number, life }: IndexRecord,
  replay: CheckpointFooter['replay'] & { previousChecksum: number },
): Routine<number> {
  const { files, pause } = state.context.environment
  const { folder } = state.context
  const { index } = state
  const { cipher } = state.context.form
  const draft = `${folder}/${indexName(number)}.${life.toString(16)}${TEMPORARY_SUFFIX}`
  state.drafts.add(draft)
  const handle = files.open(draft, 'create').sync()
  const table = Buffer.alloc(TABLE_BYTES)
  let bytes = MAGIC.length
  for (let shard = 0; shard < SHARDS; shard++) bytes += storedLength(index, shard, cipher)
  let buffer = ownBytes(Math.min(BUFFER_BYTES, bytes))
  let whole = false
  let position = 0
  try {
    let synced = 0
    let used = MAGIC.length
    let sinceStep = 0
    MAGIC.copy(buffer)
    for (let shard = 0; shard < SHARDS; shard++) {
      const length = storedLength(index, shard, cipher)
      if (used + length > buffer.length) {
        yield* handle.write(buffer, 0, used, position)
        position += used
        used = 0
        if (position - synced > SYNC_BYTES) {
          synced = position
          yield* handle.sync()
        }
        // The shard may have grown meanwhile.
        const needed = storedLength(index, shard, cipher)
        if (needed > buffer.length) {
          release(buffer)
          buffer = ownBytes(needed * 2)
        }
      }
      used += writeShard(index, shard, state.journal.sequence, buffer, used, table, life, cipher)
      sinceStep += length
      if (sinceStep > BYTES_A_STEP) {
        sinceStep = 0
        yield* pause
      }
      if (state.index !== index) return 0
    }
    yield* handle.write(buffer, 0, used, position)
    position += used
    if (state.index !== index) return 0
    const end = endOf(table, footerOf(state, replay, life), number, cipher)
    yield* handle.write(end, 0, end.length, position)
    yield* handle.sync()
    position += end.length
    whole = true
  } finally {
    release(buffer)
    yield* handle.close()
    if (!whole) yield* state.discard(draft)
  }
  // First: whoever is cut off while it gets its name hears of that no more.
  state.indexes.add(number)
  yield* files.rename(draft, `${folder}/${indexName(number)}`)
  state.drafts.delete(draft)
  return state.index === index ? position : 0
}

/** Reads a stored index into `index`; `sequences` gets each shard's. `CORRUPTION` when any part is damaged. */
export function* readCheckpoint(
  state: LogState,
  { number, life }: IndexRecord,
  index: HashIndex,
  sequences: Float64Array,
): Routine<CheckpointFooter> {
  const path = `${state.context.folder}/${indexName(number)}`
  const { cipher } = state.context.form
  const handle = yield* openFile(state.context.environment.files, path, 'read')
  let window: Window | undefined
  try {
    window = new Window(handle, path, yield* handle.size())
    const { footer, table, start } = yield* readEnd(window, number, cipher)
    if (footer.storeId !== state.storeId) throw corruption(path, 0, 'the index of another store')
    if (footer.life !== life) throw corruption(path, 0, 'an older index')
    const magic = yield* window.find(0, MAGIC.length)
    if (!isMagicAt(window.buffer, magic)) throw corruption(path, 0, 'no stored index')
    let position = MAGIC.length
    for (let shard = 0; shard < SHARDS; shard++) {
      const record = shard * RECORD_BYTES
      const count = readU32(table, record)
      const slots = readU32(table, record + SLOTS_AT)
      sequences[shard] = readU48(table, record + SEQUENCE_AT)
      if (slots === 0) {
        if (count > 0) throw corruption(path, start, 'a shard cannot be what was written')
        continue
      }
      const length = (cipher ? SEALED_BYTES : 0) + slots * SLOT_BYTES
      if (position + length > start) throw corruption(path, position, 'a shard is cut short')
      const at = yield* window.find(position, length)
      const { buffer } = window
      const end = at + length
      if (crc32(buffer.subarray(at, end), shard + 1) !== readU32(table, record + CHECKSUM_AT)) {
        throw corruption(path, position, 'a shard is damaged')
      }
      if (cipher && !openShard(buffer, at, end, shard, life, cipher)) {
        throw corruption(path, position, 'a shard was changed')
      }
      const homes = readU32(table, record + HOMES_AT)
      const words = slots * (SLOT_BYTES / 4)
      const from = buffer.byteOffset + end - words * 4
      if (!index.restore(shard, count, homes, new Uint32Array(buffer.buffer, from, words))) {
        throw corruption(path, position, 'a shard cannot be what was written')
      }
      position += length
    }
    if (position !== start) throw corruption(path, position, 'there is more than the index')
    return footer
  } finally {
    window?.release()
    yield* handle.close()
  }
}

/** A part of a file in memory. */
class Window {
  readonly path: string
  readonly size: number
  readonly #handle: FileHandle
  /** Of a small file not more than it takes: to map and unmap a megabyte is half of opening a small store. */
  #buffer: Buffer
  #from = 0
  #end = 0

  constructor(handle: FileHandle, path: string, size: number) {
    this.#handle = handle
    this.path = path
    this.size = size
    this.#buffer = ownBytes(Math.min(READ_BYTES, size))
  }

  get buffer(): Buffer {
    return this.#buffer
  }

  /** Where in `buffer` a part of the file is, from now until the next call. The part is not longer than the file. */
  *find(position: number, length: number): Routine<number> {
    if (position < this.#from || position + length > this.#end) {
      if (length > this.#buffer.length) {
        release(this.#buffer)
        this.#buffer = ownBytes(length * 2)
      }
      // A small file is read at once, each read being a trip to another thread.
      const from = this.size <= this.#buffer.length ? 0 : position
      const extent = Math.min(this.#buffer.length, this.size - from)
      const read = yield* this.#handle.read(this.#buffer, 0, extent, from)
      if (read < extent) throw corruption(this.path, from + read, 'it is cut short')
      this.#from = from
      this.#end = from + extent
    }
    return position - this.#from
  }

  release(): void {
    release(this.#buffer)
  }
}

/** Bytes of a shard in the file. */
function storedLength(index: HashIndex, shard: number, cipher: StoreCipher | undefined): number {
  const words = index.dumpLength(shard)
  return words === 0 ? 0 : (cipher ? SEALED_BYTES : 0) + words * 4
}

/** Writes a shard into `target` at a multiple of 8, and what it is into `table`; returns the bytes that it takes. */
function writeShard(
  index: HashIndex,
  shard: number,
  sequence: number,
  target: Buffer,
  at: number,
  table: Buffer,
  life: number,
  cipher: StoreCipher | undefined,
): number {
  const words = index.dumpLength(shard)
  const record = shard * RECORD_BYTES
  writeU32(table, record, index.countOf(shard))
  writeU32(table, record + SLOTS_AT, words / (SLOT_BYTES / 4))
  writeU48(table, record + SEQUENCE_AT, sequence)
  writeU32(table, record + HOMES_AT, index.homes[shard]!)
  if (words === 0) return 0
  const from = at + (cipher ? SEALED_BYTES : 0)
  const end = from + words * 4
  index.dump(shard, new Uint32Array(target.buffer, target.byteOffset + from, words))
  if (cipher) {
    target.fill(0, at, from)
    const key = cipher.subkey(PURPOSE, life)
    cipher.encrypt(key, target, from, end - from, target, from, at, Uint8Array.of(shard))
  }
  writeU32(table, record + CHECKSUM_AT, crc32(target.subarray(at, end), shard + 1))
  return end - at
}

/** Decrypts the slots of a shard in place; false where they are not what was written. */
function openShard(
  bytes: Buffer,
  at: number,
  end: number,
  shard: number,
  life: number,
  cipher: StoreCipher,
): boolean {
  const from = at + SEALED_BYTES
  const key = cipher.subkey(PURPOSE, life)
  const slots = cipher.decrypt(key, bytes, from, end - from, at, Uint8Array.of(shard))
  if (slots === undefined || readU32(bytes, from - 4) !== 0) return false
  bytes.set(slots, from)
  return true
}

function footerOf(
  state: LogState,
  replay: CheckpointFooter['replay'] & { previousChecksum: number },
  life: number,
): CheckpointFooter {
  const { previousChecksum, ...from } = replay
  return {
    format: 1,
    storeId: state.storeId,
    life,
    clearedSequence: state.clearedSequence,
    clock: state.journal.now(),
    replay: from,
    previousChecksum,
    segments: state.segments.sorted().map((segment) => ({
      number: segment.file.number,
      slot: segment.slot,
      slots: segment.slots,
      stale: segment.stale,
      tombstones: segment.tombstones,
      total: segment.total,
      padding: segment.padding,
      min: segment.minSequence === Number.POSITIVE_INFINITY ? 0 : segment.minSequence,
      max: segment.maxSequence,
      ...(segment.expiring && { expiring: segment.expiring.record() }),
    })),
  }
}

/** Footer and trailer. */
function endOf(
  table: Buffer,
  footer: CheckpointFooter,
  number: number,
  cipher: StoreCipher | undefined,
): Buffer {
  const plain = Buffer.concat([table, Buffer.from(JSON.stringify(footer), 'utf8')])
  const stored = cipher ? cipher.seal(indexName(number), plain) : plain
  const trailer = Buffer.alloc(TRAILER_BYTES)
  writeU32(trailer, 0, stored.length)
  writeU32(trailer, 4, crc32(stored))
  MAGIC.copy(trailer, 8)
  return Buffer.concat([stored, trailer])
}

/** The footer, the table of shards, and where both begin. */
function* readEnd(
  window: Window,
  number: number,
  cipher: StoreCipher | undefined,
): Routine<{
  readonly footer: CheckpointFooter
  readonly table: Uint8Array
  readonly start: number
}> {
  const { path, size } = window
  const end = size - TRAILER_BYTES
  const trailer = end < MAGIC.length ? 0 : yield* window.find(end, TRAILER_BYTES)
  if (end < MAGIC.length || !isMagicAt(window.buffer, trailer + 8)) {
    throw corruption(path, Math.max(0, end), 'the end of the stored index is missing')
  }
  const damaged = (): KvarkError =>
    corruption(path, end, 'the footer of the stored index is damaged')
  const length = readU32(window.buffer, trailer)
  const checksum = readU32(window.buffer, trailer + 4)
  const start = end - length
  if (start < MAGIC.length) throw damaged()
  const at = yield* window.find(start, length)
  const stored = Buffer.from(window.buffer.subarray(at, at + length))
  if (crc32(stored) !== checksum) throw damaged()
  const plain = cipher ? cipher.unseal(indexName(number), stored) : stored
  if (plain === undefined)
    throw corruption(path, start, 'the footer of the stored index was changed')
  const footer = parsed(plain.subarray(TABLE_BYTES))
  if (plain.length < TABLE_BYTES || !isFooter(footer)) throw damaged()
  return { footer, table: plain, start }
}

function isMagicAt(bytes: Buffer, at: number): boolean {
  return bytes.subarray(at, at + MAGIC.length).equals(MAGIC)
}

/** `undefined`: it is no JSON. A checksum can be made right by anybody. */
function parsed(json: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(json).toString('utf8'))
  } catch {
    return undefined
  }
}

/** Whether it can be a footer. */
function isFooter(footer: unknown): footer is CheckpointFooter {
  if (typeof footer !== 'object' || footer === null) return false
  const { format, clearedSequence, clock, previousChecksum, segments, replay } =
    footer as Partial<CheckpointFooter>
  return (
    format === 1 &&
    isU48(clearedSequence) &&
    isU48(clock) &&
    isU32(previousChecksum) &&
    typeof replay === 'object' &&
    replay !== null &&
    isU32(replay.segment) &&
    isU48(replay.address) &&
    replay.address >= FILE_HEADER_BYTES &&
    isU48(replay.sequence) &&
    Array.isArray(segments) &&
    segments.every(isSegmentRecord)
  )
}

function isSegmentRecord(record: Partial<SegmentRecord> | null): boolean {
  if (typeof record !== 'object' || record === null) return false
  const { number, slot, slots, stale, tombstones, total, padding, min, max, expiring } = record
  const figures = [stale, tombstones, total, padding, min, max]
  return (
    isU32(number) &&
    isU32(slot) &&
    isU32(slots) &&
    slot + slots <= SLOTS &&
    figures.every(isU48) &&
    (expiring === undefined || isExpiringRecord(expiring))
  )
}
