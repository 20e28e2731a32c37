/**
 * The bytes of a segment: a file of frames, written from front to back. The journal is a row of segments; compaction
 * writes segments too.
 *
 *   file      │ header 64 B, proof 16 B │ 0 … │ both again, at 4096 │ 0 … │ frame │ frame │ …
 *             in windows of 16 KiB; window 0 begins with the header, frames begin at 4608
 *   frame     = one or more blocks: what is written, synced and lost as a whole
 *   block     never across a window; plain, compressed or encrypted: see `block-form.ts`
 *   payload   of a FIRST block begins with the frame's header:
 *             │ kind u8 │ 0 u8 │ first sequence u48 │ epoch u32 │ checksum of the frame before u32 │
 *             │ synced sequence u48 │ clock u48 │                                                        30 B
 *             then entries. An entry of at most `CONTIGUOUS_BYTES` lies in one window; a longer one may run through the
 *             payloads of several, filling each to its end.
 *
 * 1. A frame is there when all its blocks are, from FIRST to LAST, with one `mark` (from epoch and first sequence, or random where
 *    these were not known yet).
 * 2. Each frame names the checksum of the one before (its last block's); the header names the segment before, where that one
 *    ended and its last checksum. So a row of segments is one chain.
 * 3. `synced sequence` says which writes were durable when the frame was made: what is damaged among those is `CORRUPTION`;
 *    behind them the end may simply be missing.
 * 4. Nothing but zeros fills the rest of a window or of a 512-byte sector. A block with length 0 means: go on at the next sector.
 *    After a sync the next frame begins in a fresh sector, so that a torn write cannot hurt what was acknowledged.
 * 5. One damaged sector does not take the header away, of 512 bytes or of 4 KiB: it stands twice. Where neither copy holds, none was ever
 *    completed.
 * 6. The proof says that the header was written by somebody with the key; zeros in a store without.
 */

import { crc32 } from 'node:zlib'
import { readU16, readU32, readU48, writeU32, writeU48 } from '../bytes/varint.ts'
import { KvarkError } from '../errors.ts'
import { type BlockForm, PROOF_BYTES } from './block-form.ts'

const WINDOW_BITS = 14
export const WINDOW_BYTES: number = 1 << WINDOW_BITS
export const WINDOW_MASK: number = WINDOW_BYTES - 1
export const SECTOR_BYTES = 512
/** Where the copies of the header are: in different sectors of a disk that has large ones. */
export const HEADERS_AT: readonly [number, number] = [0, 4096]
/** Where the frames begin. */
export const FILE_HEADER_BYTES: number = HEADERS_AT[1] + SECTOR_BYTES
const HEADER_BYTES = 64
export const FRAME_HEADER_BYTES = 30
/** Entries up to this length never cross a window. */
export const CONTIGUOUS_BYTES = 2048

export const FIRST = 1
export const LAST = 2
const ALL_FLAGS = FIRST | LAST

/** Frame kinds. */
export const ENTRIES = 1
/** The clean end of a journal; its payload names the manifest that goes with it. */
export const CLOSE = 2

const FORMAT_VERSION = 1
const CRC32_ID = 1

export interface SegmentHeader {
  readonly storeId: string
  /** Random; new for every file, also one of the same name. */
  readonly life: number
  readonly number: number
  /** The segment before in the journal; 0: none. */
  readonly previousNumber: number
  readonly previousEnd: number
  readonly previousChecksum: number
}

const MAGIC = Buffer.from('kvarkseg', 'latin1')

/** Writes both copies of the header at the beginning of `target`. */
export function writeSegmentHeader(target: Buffer, header: SegmentHeader, form: BlockForm): void {
  target.fill(0, 0, FILE_HEADER_BYTES)
  MAGIC.copy(target, 0)
  target[8] = FORMAT_VERSION
  target[9] = CRC32_ID
  target.write(header.storeId, 16, 16, 'hex')
  writeU32(target, 32, header.life)
  writeU32(target, 36, header.number)
  writeU32(target, 40, header.previousNumber)
  writeU48(target, 44, header.previousEnd)
  writeU32(target, 52, header.previousChecksum)
  writeU32(target, 60, crc32(target.subarray(0, 60)))
  target.set(form.proof(target.subarray(0, HEADER_BYTES)), HEADER_BYTES)
  target.copy(target, HEADERS_AT[1], 0, HEADER_BYTES + PROOF_BYTES)
}

/** Reads a segment's header from its first `length` bytes; `undefined` where neither copy is whole. */
export function readSegmentHeader(
  source: Buffer,
  length: number,
  path: string,
  storeId: string,
  form: BlockForm,
): SegmentHeader | undefined {
  if (length < FILE_HEADER_BYTES) return undefined
  const at = HEADERS_AT.find((copy) => isHeader(source, copy, form))
  if (at === undefined) return undefined
  if (
    source[at + 8] !== FORMAT_VERSION ||
    source[at + 9] !== CRC32_ID ||
    readU32(source, at + 12) !== 0
  ) {
    throw new KvarkError(
      'VERSION',
      `${path} was written by a newer kvark. Open it with that one.`,
      {
        path,
        expected: FORMAT_VERSION,
        found: source[at + 8]!,
      },
    )
  }
  const found = source.toString('hex', at + 16, at + 32)
  if (found !== storeId) {
    throw new KvarkError(
      'CORRUPTION',
      `${path} belongs to another store. Move it out of this folder.`,
      {
        path,
        offset: at + 16,
        expected: storeId,
        found,
      },
    )
  }
  return {
    storeId: found,
    life: readU32(source, at + 32),
    number: readU32(source, at + 36),
    previousNumber: readU32(source, at + 40),
    previousEnd: readU48(source, at + 44),
    previousChecksum: readU32(source, at + 52),
  }
}

/** What a segment says of itself to somebody who does not know its store. */
export interface SegmentIdentity {
  readonly storeId: string
  readonly life: number
  /** It was written with a key. */
  readonly encrypted: boolean
}

/** Reads who a segment is from its first bytes; `undefined` where neither copy of the header is whole. */
export function identifySegment(source: Buffer, length: number): SegmentIdentity | undefined {
  if (length < FILE_HEADER_BYTES) return undefined
  const at = HEADERS_AT.find((copy) => isSummed(source.subarray(copy, copy + HEADER_BYTES)))
  if (at === undefined) return undefined
  const proof = source.subarray(at + HEADER_BYTES, at + HEADER_BYTES + PROOF_BYTES)
  return { ...namesIn(source, at), encrypted: proof.some((byte) => byte !== 0) }
}

/** Which life a segment may have had whose header is damaged: what a copy says that still names the store. */
export function possibleLives(source: Buffer, length: number, storeId: string): number[] {
  if (length < FILE_HEADER_BYTES) return []
  return HEADERS_AT.map((copy) => namesIn(source, copy))
    .filter((names) => names.storeId === storeId)
    .map(({ life }) => life)
}

function namesIn(source: Buffer, at: number): { storeId: string; life: number } {
  return { storeId: source.toString('hex', at + 16, at + 32), life: readU32(source, at + 32) }
}

/** Whether both copies of the header are whole and the same, with nothing behind them. */
export function headerIntact(source: Buffer, form: BlockForm): boolean {
  const [first, second] = HEADERS_AT
  const length = HEADER_BYTES + PROOF_BYTES
  const header = source.subarray(first, first + length)
  return (
    isHeader(source, first, form) &&
    header.equals(source.subarray(second, second + length)) &&
    source.subarray(first + length, second).every((byte) => byte === 0) &&
    source.subarray(second + length, FILE_HEADER_BYTES).every((byte) => byte === 0)
  )
}

function isHeader(source: Buffer, at: number, form: BlockForm): boolean {
  const header = source.subarray(at, at + HEADER_BYTES)
  return (
    isSummed(header) &&
    // A newer format may prove it in another way; it is refused for its number.
    (header[8] !== FORMAT_VERSION ||
      source
        .subarray(at + HEADER_BYTES, at + HEADER_BYTES + PROOF_BYTES)
        .equals(form.proof(header)))
  )
}

function isSummed(header: Buffer): boolean {
  return (
    crc32(header.subarray(0, 60)) === readU32(header, 60) && header.subarray(0, 8).equals(MAGIC)
  )
}

/** What all blocks of a frame carry. */
export function frameMark(epoch: number, firstSequence: number): number {
  const low = firstSequence >>> 0
  const high = Math.floor(firstSequence / 0x1_0000_0000)
  return (Math.imul(epoch ^ low, 0x9e3779b1) ^ Math.imul(high + 1, 0x85ebca77) ^ epoch) >>> 0
}

export interface FrameHeader {
  readonly kind: number
  readonly firstSequence: number
  readonly epoch: number
  readonly previousChecksum: number
  readonly syncedSequence: number
  readonly clock: number
}

export function writeFrameHeader(target: Buffer, at: number, header: FrameHeader): void {
  target[at] = header.kind
  target[at + 1] = 0
  writeU48(target, at + 2, header.firstSequence)
  writeU32(target, at + 8, header.epoch)
  writeU32(target, at + 12, header.previousChecksum)
  writeU48(target, at + 16, header.syncedSequence)
  writeU48(target, at + 22, header.clock)
  target[at + 28] = 0
  target[at + 29] = 0
}

export function readFrameHeader(source: Buffer, at: number): FrameHeader {
  return {
    kind: source[at]!,
    firstSequence: readU48(source, at + 2),
    epoch: readU32(source, at + 8),
    previousChecksum: readU32(source, at + 12),
    syncedSequence: readU48(source, at + 16),
    clock: readU48(source, at + 22),
  }
}

/** The next sector's start at or behind `address`. */
export function alignSector(address: number): number {
  return Math.ceil(address / SECTOR_BYTES) * SECTOR_BYTES
}

/** Where a block may begin at or behind `address`: its header never crosses a sector, so that zeros are known for what they are. */
export function blockStart(form: BlockForm, address: number): number {
  const rest = SECTOR_BYTES - (address % SECTOR_BYTES)
  return rest < form.headerBytes ? address + rest : address
}

/**
 * Looks for a block in the window that lies at `window[base ..]`, from `offset` within it. Returns its offset, with a whole
 * header before `end`; −1 when nothing more is in the window. The block is not checked yet.
 */
export function nextBlock(
  form: BlockForm,
  window: Buffer,
  base: number,
  offset: number,
  end: number,
): number {
  let at = blockStart(form, offset)
  while (at + form.headerBytes <= end) {
    if (readU16(window, base + at + 8) !== 0) return at
    at = alignSector(at + 1)
  }
  return -1
}

/**
 * The offset of the first good block behind damage at `window[base + offset]`, wherever in the window it begins; −1 when there is none.
 * Nothing that the damaged place says of itself is believed, its length least of all.
 */
export function blockBehindDamage(
  form: BlockForm,
  window: Buffer,
  base: number,
  offset: number,
  end: number,
  life: number,
  windowStart: number,
): number {
  for (let at = blockStart(form, offset + 1); at + form.headerBytes <= end; ) {
    // What cannot be a block is most of it; the checksum of the rest takes long.
    const possible = readU16(window, base + at + 8) !== 0 && window[base + at + 10]! <= ALL_FLAGS
    if (possible && form.check(window, base + at, base + end, life, windowStart + at) >= 0) {
      return at
    }
    at = blockStart(form, at + 1)
  }
  return -1
}
