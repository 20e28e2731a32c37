/**
 * What stands under a key in a leaf.
 *
 *   │ flags u8 │ sequence u48 │ expiry u48? │ value │
 *   │ flags u8 │ sequence u48 │ expiry u48? │ length u48 │ mark u32 │ (first page u48, pages u32) … │      LONG: it lies in an extent
 *
 *   flags   1 an expiry follows     2 the value is ASCII text     4 LONG     anything else is `VERSION`
 */

import { readU32, readU48, writeU32, writeU48 } from '../../bytes/varint.ts'
import { corruption, KvarkError } from '../../errors.ts'
import type { Extent, Run } from './format.ts'

export const HAS_EXPIRY = 1
export const ASCII = 2
const LONG = 4
/** Flags and sequence. */
export const HEAD_BYTES = 7
const EXTENT_BYTES = 10
const RUN_BYTES = 10

/** One body, read or to be written; reused. */
export class Leaf {
  sequence = 0
  expiry = 0
  ascii = false
  long = false
  /** The value, or where it lies: `bytes[start .. end)`. */
  start = 0
  end = 0

  /** Reads the body at `bytes[at .. at + length)`. */
  read(bytes: Buffer, at: number, length: number, path: string): void {
    const flags = bytes[at]!
    if (flags > 7) {
      throw new KvarkError(
        'VERSION',
        `${path} has an entry of a newer kvark. Open it with that one.`,
        {
          path,
          found: flags,
        },
      )
    }
    const head = headLength((flags & HAS_EXPIRY) !== 0)
    const least = (flags & LONG) === 0 ? head : head + EXTENT_BYTES
    if (length < least) throw corruption(path, at, 'an entry is malformed')
    this.sequence = readU48(bytes, at + 1)
    this.expiry = (flags & HAS_EXPIRY) === 0 ? 0 : readU48(bytes, at + 7)
    this.ascii = (flags & ASCII) !== 0
    this.long = (flags & LONG) !== 0
    this.start = at + head
    this.end = at + length
  }

  /** Only where the value is: of text that is ASCII and does not expire, for who reads many. False, and nothing is read, where it is not. */
  readAscii(bytes: Buffer, at: number, length: number): boolean {
    if (bytes[at] !== ASCII || length < HEAD_BYTES) return false
    this.start = at + HEAD_BYTES
    this.end = at + length
    return true
  }
}

/** Bytes of a body whose value, or extent, takes `length`. */
export function leafLength(length: number, expiry: number): number {
  return headLength(expiry !== 0) + length
}

/** Writes what comes before the value, or the extent; returns where that begins. */
export function writeLeaf(
  bytes: Buffer,
  at: number,
  sequence: number,
  expiry: number,
  ascii: boolean,
  long: boolean,
): number {
  bytes[at] = (expiry === 0 ? 0 : HAS_EXPIRY) | (ascii ? ASCII : 0) | (long ? LONG : 0)
  writeU48(bytes, at + 1, sequence)
  if (expiry !== 0) writeU48(bytes, at + 7, expiry)
  return at + headLength(expiry !== 0)
}

function headLength(expires: boolean): number {
  return expires ? HEAD_BYTES + 6 : HEAD_BYTES
}

export function extentLength({ runs }: Extent): number {
  return EXTENT_BYTES + runs.length * RUN_BYTES
}

export function writeExtent(bytes: Buffer, at: number, { length, mark, runs }: Extent): void {
  writeU48(bytes, at, length)
  writeU32(bytes, at + 6, mark)
  for (const [i, [first, count]] of runs.entries()) {
    const run = at + EXTENT_BYTES + i * RUN_BYTES
    writeU48(bytes, run, first)
    writeU32(bytes, run + 6, count)
  }
}

/** As it stands in a leaf, and in the journal. */
export function encodeExtent(extent: Extent): Buffer {
  const bytes = Buffer.alloc(extentLength(extent))
  writeExtent(bytes, 0, extent)
  return bytes
}

export function readExtent(bytes: Buffer, at: number, end: number): Extent {
  const runs: Run[] = []
  for (let run = at + EXTENT_BYTES; run + RUN_BYTES <= end; run += RUN_BYTES) {
    runs.push([readU48(bytes, run), readU32(bytes, run + 6)])
  }
  return { length: readU48(bytes, at), mark: readU32(bytes, at + 6), runs }
}
