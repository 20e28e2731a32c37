/**
 * The stored index, so that opening does not read the data: `N.index`, named by the manifest.
 *
 *   │ magic 8 │ shard 0 │ shard 1 │ … │ shard 255 │ footer: JSON │ footer length u32 │ footer checksum u32 │ magic 8 │
 *   shard     │ count u32 │ sequence u48 │ 0 u16 │ checksum u32 │ envelope 32? │ count × (low u32, high u32) │
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
import { readU32, readU48, writeU32, writeU48 } from '../../bytes/varint.ts'
import type { Routine } from '../../environment/routine.ts'
import { corruption } from '../../errors.ts'
import type { StoreCipher } from '../../storage/cipher.ts'
import { TEMPORARY_SUFFIX } from '../../storage/sealed-file.ts'
import { type HashIndex, SHARDS } from './hash-index.ts'
import { type IndexRecord, indexName } from './manifest.ts'
import type { LogState } from './state.ts'

const MAGIC = Buffer.from('kvarkidx', 'latin1')
const PLAIN_HEADER_BYTES = 16
/** Slots begin at multiples of 8. */
const SEALED_HEADER_BYTES = 48
const PURPOSE = 'index'
const TRAILER_BYTES = 16
const BUFFER_BYTES = 256 * 1024
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
  let buffer = ownBytes(BUFFER_BYTES)
  let whole = false
  try {
    let position = 0
    let synced = 0
    let used = MAGIC.length
    let sinceStep = 0
    MAGIC.copy(buffer)
    for (let shard = 0; shard < SHARDS; shard++) {
      const length = headerBytes + index.countOf(shard) * 8
      if (used + length > buffer.length) {
        yield* handle.write(buffer, 0, used, position)
        position += used
        used = 0
        if (position - synced > SYNC_BYTES) {
          synced = position
          yield* handle.sync()
        }
        // The shard may have grown meanwhile.
        const needed = headerBytes + index.countOf(shard) * 8
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
  const handle = yield* state.context.environment.files.open(path, 'read')
  try {
    const size = yield* handle.size()
    const bytes = Buffer.allocUnsafeSlow(size)
    if ((yield* handle.read(bytes, 0, size, 0)) !== size)
      throw corruption(path, 0, 'it is cut short')
    const footer = readTrailer(bytes, path, number, cipher)
    if (footer.storeId !== state.storeId) throw corruption(path, 0, 'the index of another store')
    if (footer.life !== life) throw corruption(path, 0, 'an older index')
    let at = MAGIC.length
    for (let shard = 0; shard < SHARDS; shard++) {
      if (at + headerBytes > size) throw corruption(path, at, 'a shard is missing')
      const count = readU32(bytes, at)
      const end = at + headerBytes + count * 8
      if (end > size) throw corruption(path, at, 'a shard is cut short')
      if (shardChecksum(bytes, at, end, shard) !== readU32(bytes, at + 12)) {
        throw corruption(path, at, 'a shard is damaged')
      }
      sequences[shard] = readU48(bytes, at + 4)
      const from = at + headerBytes
      if (cipher) {
        const place = shardPlace(bytes, at, shard)
        const key = cipher.subkey(PURPOSE, life)
        const slots = cipher.decrypt(key, bytes, from, count * 8, at + PLAIN_HEADER_BYTES, place)
        if (slots === undefined || readU32(bytes, from - 4) !== 0)
          throw corruption(path, at, 'a shard was changed')
        bytes.set(slots, from)
      }
      index.restore(shard, new Uint32Array(bytes.buffer, from, count * 2))
      at = end
      if ((shard & 15) === 15) yield* state.context.environment.pause
    }
    return footer
  } finally {
    yield* handle.close()
  }
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
  const count = index.countOf(shard)
  const from = at + (cipher ? SEALED_HEADER_BYTES : PLAIN_HEADER_BYTES)
  const end = from + count * 8
  writeU32(target, at, count)
  writeU48(target, at + 4, sequence)
  target[at + 10] = 0
  target[at + 11] = 0
  index.dump(shard, new Uint32Array(target.buffer, from, count * 2), 0)
  if (cipher) {
    const envelope = at + PLAIN_HEADER_BYTES
    target.fill(0, envelope, from)
    const place = shardPlace(target, at, shard)
    const key = cipher.subkey(PURPOSE, life)
    cipher.encrypt(key, target, from, count * 8, target, from, envelope, place)
  }
  writeU32(target, at + 12, shardChecksum(target, at, end, shard))
  return end - at
}

/** What is authenticated with a shard's slots: which shard it is, and what its header says. */
function shardPlace(bytes: Buffer, at: number, shard: number): Uint8Array {
  return Uint8Array.of(shard, ...bytes.subarray(at, at + 12))
}

/** Covers the header before the checksum, all behind it, and which shard it is. */
function shardChecksum(bytes: Buffer, at: number, end: number, shard: number): number {
  const header = crc32(bytes.subarray(at, at + 12), shard + 1)
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

function readTrailer(
  bytes: Buffer,
  path: string,
  number: number,
  cipher: StoreCipher | undefined,
): CheckpointFooter {
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw corruption(path, 0, 'no stored index')
  const end = bytes.length - TRAILER_BYTES
  if (end < MAGIC.length || !bytes.subarray(end + 8).equals(MAGIC)) {
    throw corruption(path, Math.max(0, end), 'the end of the stored index is missing')
  }
  const start = end - readU32(bytes, end)
  const json = bytes.subarray(Math.max(0, start), end)
  if (start < MAGIC.length || crc32(json) !== readU32(bytes, end + 4)) {
    throw corruption(path, end, 'the footer of the stored index is damaged')
  }
  const plain = cipher ? cipher.unseal(indexName(number), json) : json
  if (plain === undefined)
    throw corruption(path, start, 'the footer of the stored index was changed')
  return JSON.parse(Buffer.from(plain).toString('utf8')) as CheckpointFooter
}
