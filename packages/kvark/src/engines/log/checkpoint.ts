/**
 * The stored index, so that opening does not read the data: `N.index`, named by the manifest.
 *
 *   │ magic 8 │ shard 0 │ shard 1 │ … │ shard 255 │ footer: JSON │ footer length u32 │ footer checksum u32 │ magic 8 │
 *   shard     │ count u32 │ slots u32 │ sequence u48 │ 0 u16 │ homes u32 │ checksum u32 │ envelope 32? │ slots × (low u32, high u32) │
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
import { type HashIndex, SHARDS, SLOT_BYTES } from './hash-index.ts'
import { type IndexRecord, indexName } from './manifest.ts'
import { SLOTS } from './segments.ts'
import type { LogState } from './state.ts'

const MAGIC = Buffer.from('kvarkidx', 'latin1')
const PLAIN_HEADER_BYTES = 24
/** Slots begin at multiples of 8. */
const SEALED_HEADER_BYTES = 56
const SEQUENCE_AT = 8
const HOMES_AT = 16
const CHECKSUM_AT = 20
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
 * Writes the index to the file `number`; false when a `clear` came between and it is worthless. `replay` is where the journal stood
 * before the first shard.
 */
export function* writeCheckpoint(
  state: LogState,
  { number, life }: IndexRecord,
  replay: CheckpointFooter['replay'] & { previousChecksum: number },
): Routine<boolean> {
  const { files, pause } = state.context.environment
  const { folder } = state.context
  const { index } = state
  const { cipher } = state.context.form
  const headerBytes = cipher ? SEALED_HEADER_BYTES : PLAIN_HEADER_BYTES
  const draft = `${folder}/${indexName(number)}.${life.toString(16)}${TEMPORARY_SUFFIX}`
  state.drafts.add(draft)
  const handle = files.open(draft, 'create').sync()
  let bytes = MAGIC.length + SHARDS * headerBytes
  for (let shard = 0; shard < SHARDS; shard++) bytes += index.dumpLength(shard) * 4
  let buffer = ownBytes(Math.min(BUFFER_BYTES, bytes))
  let whole = false
  try {
    let position = 0
    let synced = 0
    let used = MAGIC.length
    let sinceStep = 0
    MAGIC.copy(buffer)
    for (let shard = 0; shard < SHARDS; shard++) {
      const length = headerBytes + index.dumpLength(shard) * 4
      if (used + length > buffer.length) {
        yield* handle.write(buffer, 0, used, position)
        position += used
        used = 0
        if (position - synced > SYNC_BYTES) {
          synced = position
          yield* handle.sync()
        }
        // The shard may have grown meanwhile.
        const needed = headerBytes + index.dumpLength(shard) * 4
        if (needed > buffer.length) {
          release(buffer)
          buffer = ownBytes(needed * 2)
        }
      }
      used += writeShard(index, shard, state.journal.sequence, buffer, used, life, cipher)
      sinceStep += length
      if (sinceStep > BYTES_A_STEP) {
        sinceStep = 0
        yield* pause
      }
      if (state.index !== index) return false
    }
    yield* handle.write(buffer, 0, used, position)
    position += used
    if (state.index !== index) return false
    const footer = trailer(footerOf(state, replay, life), number, cipher)
    yield* handle.write(footer, 0, footer.length, position)
    yield* handle.sync()
    whole = true
  } finally {
    release(buffer)
    yield* handle.close()
    if (!whole) yield* state.discard(draft)
  }
  yield* files.rename(draft, `${folder}/${indexName(number)}`)
  state.drafts.delete(draft)
  return state.index === index
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
  const headerBytes = cipher ? SEALED_HEADER_BYTES : PLAIN_HEADER_BYTES
  const handle = yield* openFile(state.context.environment.files, path, 'read')
  let buffer = ownBytes(0)
  try {
    const size = yield* handle.size()
    // Of a small index not more than it takes: to map and unmap a megabyte is half of opening a small store.
    buffer = ownBytes(Math.min(READ_BYTES, size))
    const { footer, start } = yield* readTrailer(handle, size, path, number, cipher)
    if (footer.storeId !== state.storeId) throw corruption(path, 0, 'the index of another store')
    if (footer.life !== life) throw corruption(path, 0, 'an older index')
    let position = MAGIC.length
    let at = 0
    let read = 0
    for (let shard = 0; shard < SHARDS; shard++) {
      const rest = read - at
      const wanted = rest < headerBytes ? headerBytes : shardLength(buffer, at, headerBytes)
      if (rest < wanted) {
        // `position` is where this shard begins.
        if (position + wanted > start) throw corruption(path, position, 'a shard is cut short')
        if (wanted > buffer.length) {
          release(buffer)
          buffer = ownBytes(wanted * 2)
        }
        const extent = Math.min(buffer.length, start - position)
        read = yield* handle.read(buffer, 0, extent, position)
        if (read < extent) throw corruption(path, position + read, 'it is cut short')
        at = 0
        shard--
        continue
      }
      if (shardChecksum(buffer, at, at + wanted, shard) !== readU32(buffer, at + CHECKSUM_AT)) {
        throw corruption(path, position, 'a shard is damaged')
      }
      sequences[shard] = readU48(buffer, at + SEQUENCE_AT)
      const from = at + headerBytes
      const slots = new Uint32Array(
        buffer.buffer,
        buffer.byteOffset + from,
        (wanted - headerBytes) >>> 2,
      )
      if (cipher && !openShard(buffer, at, at + wanted, shard, life, cipher)) {
        throw corruption(path, position, 'a shard was changed')
      }
      if (!index.restore(shard, readU32(buffer, at), readU32(buffer, at + HOMES_AT), slots)) {
        throw corruption(path, position, 'a shard cannot be what was written')
      }
      at += wanted
      position += wanted
    }
    if (position !== start) throw corruption(path, position, 'there is more than the index')
    return footer
  } finally {
    release(buffer)
    yield* handle.close()
  }
}

function shardLength(bytes: Buffer, at: number, headerBytes: number): number {
  return headerBytes + readU32(bytes, at + 4) * SLOT_BYTES
}

/** Writes a shard into `target` at a multiple of 8; returns the bytes that it takes. */
function writeShard(
  index: HashIndex,
  shard: number,
  sequence: number,
  target: Buffer,
  at: number,
  life: number,
  cipher: StoreCipher | undefined,
): number {
  const words = index.dumpLength(shard)
  const from = at + (cipher ? SEALED_HEADER_BYTES : PLAIN_HEADER_BYTES)
  const end = from + words * 4
  target.fill(0, at, from)
  writeU32(target, at, index.countOf(shard))
  writeU32(target, at + 4, (words * 4) / SLOT_BYTES)
  writeU48(target, at + SEQUENCE_AT, sequence)
  writeU32(target, at + HOMES_AT, index.homes[shard]!)
  index.dump(shard, new Uint32Array(target.buffer, target.byteOffset + from, words))
  if (cipher) {
    const envelope = at + PLAIN_HEADER_BYTES
    const place = shardPlace(target, at, shard)
    const key = cipher.subkey(PURPOSE, life)
    cipher.encrypt(key, target, from, end - from, target, from, envelope, place)
  }
  writeU32(target, at + CHECKSUM_AT, shardChecksum(target, at, end, shard))
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
  const envelope = at + PLAIN_HEADER_BYTES
  const from = at + SEALED_HEADER_BYTES
  const key = cipher.subkey(PURPOSE, life)
  const place = shardPlace(bytes, at, shard)
  const slots = cipher.decrypt(key, bytes, from, end - from, envelope, place)
  if (slots === undefined || readU32(bytes, from - 4) !== 0) return false
  bytes.set(slots, from)
  return true
}

/** What is authenticated with a shard's slots: which shard it is, and what its header says. */
function shardPlace(bytes: Buffer, at: number, shard: number): Uint8Array {
  return Uint8Array.of(shard, ...bytes.subarray(at, at + CHECKSUM_AT))
}

/** Covers the header before the checksum, all behind it, and which shard it is. */
function shardChecksum(bytes: Buffer, at: number, end: number, shard: number): number {
  const header = crc32(bytes.subarray(at, at + CHECKSUM_AT), shard + 1)
  return crc32(bytes.subarray(at + PLAIN_HEADER_BYTES, end), header)
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
    })),
  }
}

function trailer(
  footer: CheckpointFooter,
  number: number,
  cipher: StoreCipher | undefined,
): Buffer {
  const plain = Buffer.from(JSON.stringify(footer), 'utf8')
  const json = cipher ? cipher.seal(indexName(number), plain) : plain
  const end = Buffer.alloc(TRAILER_BYTES)
  writeU32(end, 0, json.length)
  writeU32(end, 4, crc32(json))
  MAGIC.copy(end, 8)
  return Buffer.concat([json, end])
}

/** The footer, and where it begins. */
function* readTrailer(
  handle: FileHandle,
  size: number,
  path: string,
  number: number,
  cipher: StoreCipher | undefined,
): Routine<{ readonly footer: CheckpointFooter; readonly start: number }> {
  const first = Buffer.alloc(MAGIC.length)
  yield* handle.read(first, 0, first.length, 0)
  if (!first.equals(MAGIC)) throw corruption(path, 0, 'no stored index')
  const end = size - TRAILER_BYTES
  const trailer = Buffer.alloc(TRAILER_BYTES)
  if (end >= MAGIC.length) yield* handle.read(trailer, 0, trailer.length, end)
  if (!trailer.subarray(8).equals(MAGIC)) {
    throw corruption(path, Math.max(0, end), 'the end of the stored index is missing')
  }
  const length = readU32(trailer, 0)
  const start = end - length
  const damaged = (): KvarkError =>
    corruption(path, end, 'the footer of the stored index is damaged')
  if (start < MAGIC.length) throw damaged()
  const json = Buffer.alloc(length)
  yield* handle.read(json, 0, length, start)
  if (crc32(json) !== readU32(trailer, 4)) throw damaged()
  const plain = cipher ? cipher.unseal(indexName(number), json) : json
  if (plain === undefined)
    throw corruption(path, start, 'the footer of the stored index was changed')
  const footer = parsed(plain)
  if (!isFooter(footer)) throw damaged()
  return { footer, start }
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
  const { clearedSequence, clock, previousChecksum, segments, replay } =
    footer as Partial<CheckpointFooter>
  return (
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
  const { number, slot, slots, stale, tombstones, total, padding, min, max } = record
  const figures = [stale, tombstones, total, padding, min, max]
  return (
    isU32(number) && isU32(slot) && isU32(slots) && slot + slots <= SLOTS && figures.every(isU48)
  )
}
