/**
 * The parts of a stored index, for who takes one apart and puts it together again with every checksum right:
 *
 *   │ magic 8 │ slots of each shard that holds something … │ footer: table of shards, JSON │ trailer │
 */

import { crc32 } from 'node:zlib'
import { readU32 } from '../bytes/varint.ts'

/** What the table of shards says of one. */
export const SHARD_RECORD_BYTES = 24
export const SHARD_TABLE_BYTES: number = 256 * SHARD_RECORD_BYTES
export const INDEX_TRAILER_BYTES = 16
/** In front of the slots of an encrypted shard. */
export const SHARD_ENVELOPE_BYTES = 32
const MAGIC_BYTES = 8
const SLOT_BYTES = 8

/** What the footer of a stored index that is not encrypted says behind the table of shards. */
export function footerJson(index: Buffer): string {
  return footerOf(index).toString('utf8', SHARD_TABLE_BYTES)
}

/** A stored index that says something else there. */
export function withFooterJson(index: Buffer, json: string): Buffer {
  const table = footerOf(index).subarray(0, SHARD_TABLE_BYTES)
  return withFooter(index, Buffer.concat([table, Buffer.from(json)]))
}

/** A stored index with another footer, of which the checksum is right. */
export function withFooter(index: Buffer, footer: Uint8Array): Buffer {
  const end = index.length - INDEX_TRAILER_BYTES
  const trailer = Buffer.from(index.subarray(end))
  trailer.writeUInt32LE(footer.length, 0)
  trailer.writeUInt32LE(crc32(footer), 4)
  return Buffer.concat([index.subarray(0, end - index.readUInt32LE(end)), footer, trailer])
}

/** The footer of a stored index, as it is in the file. */
export function footerOf(index: Buffer): Buffer {
  const end = index.length - INDEX_TRAILER_BYTES
  return index.subarray(end - index.readUInt32LE(end), end)
}

/** Checksums of a stored index; those of encrypted shards are sealed: there only the footer's. */
export function repairIndex(
  bytes: Buffer,
  original: Buffer,
  changedAt: number,
  encrypted: boolean,
): void {
  const end = bytes.length - INDEX_TRAILER_BYTES
  const start = Math.max(0, end - bytes.readUInt32LE(end))
  const footer = bytes.subarray(start, end)
  const shard = encrypted
    ? undefined
    : shardsOf(footerOf(original), false).find(({ at, end }) => at <= changedAt && changedAt < end)
  if (shard && footer.length >= SHARD_TABLE_BYTES) {
    footer.writeUInt32LE(shardChecksum(bytes, shard), checksumAt(shard.number))
  }
  bytes.writeUInt32LE(crc32(footer), end + 4)
}

/** A shard of a stored index that holds something, and where it lies. */
export interface StoredShard {
  readonly number: number
  readonly at: number
  readonly end: number
}

/** The shards that hold something, by the table at the beginning of a footer that is not sealed. */
export function shardsOf(footer: Uint8Array, encrypted: boolean): StoredShard[] {
  const shards: StoredShard[] = []
  let at = MAGIC_BYTES
  for (let number = 0; number * SHARD_RECORD_BYTES < SHARD_TABLE_BYTES; number++) {
    const slots = readU32(footer, number * SHARD_RECORD_BYTES + 4)
    if (slots === 0) continue
    const end = at + (encrypted ? SHARD_ENVELOPE_BYTES : 0) + slots * SLOT_BYTES
    shards.push({ number, at, end })
    at = end
  }
  return shards
}

/** The checksum that belongs to what lies there. */
export function shardChecksum(index: Buffer, { number, at, end }: StoredShard): number {
  return crc32(index.subarray(at, end), number + 1)
}

/** Where the table of shards has the checksum of one. */
export function checksumAt(shard: number): number {
  return shard * SHARD_RECORD_BYTES + 20
}
