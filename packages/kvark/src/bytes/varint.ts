/**
 * Integers in bytes. Varints are LEB128: 7 bits a byte, low bits first, the high bit says that more follow. 48-bit
 * integers (sequences, times, offsets) are little-endian and read and written as doubles, which hold them exactly.
 */

/** Largest 48-bit integer. */
export const MAX_U48: number = 2 ** 48 - 1

const TWO_32 = 0x1_0000_0000

/** Whether a value of unknown origin is an integer that 32 bits hold. */
export function isU32(value: unknown): value is number {
  return isU48(value) && value < TWO_32
}

/** Whether it is one that 48 bits hold. */
export function isU48(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_U48
}

/** Bytes that `value` (0 … 2^32 − 1) takes as a varint: 1 to 5. */
export function varintLength(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5
}

/** Writes `value` (0 … 2^32 − 1); returns the position behind it. */
export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  let rest = value
  while (rest >= 0x80) {
    bytes[at++] = (rest & 0x7f) | 0x80
    rest = Math.floor(rest / 0x80)
  }
  bytes[at++] = rest
  return at
}

/** Reads a varint of at most 5 bytes that ends before `end`; −1 where there is none. */
export function readVarint(bytes: Uint8Array, at: number, end: number): number {
  const first = bytes[at]!
  if (first < 0x80 && at < end) return first
  let value = 0
  let scale = 1
  for (let i = 0; i < 5 && at < end; i++) {
    const byte = bytes[at++]!
    value += (byte & 0x7f) * scale
    if (byte < 0x80) return value < TWO_32 ? value : -1
    scale *= 0x80
  }
  return -1
}

export function writeU48(bytes: Uint8Array, at: number, value: number): void {
  const low = value >>> 0
  const high = (value - low) / TWO_32
  bytes[at] = low & 0xff
  bytes[at + 1] = (low >>> 8) & 0xff
  bytes[at + 2] = (low >>> 16) & 0xff
  bytes[at + 3] = low >>> 24
  bytes[at + 4] = high & 0xff
  bytes[at + 5] = (high >>> 8) & 0xff
}

export function readU48(bytes: Uint8Array, at: number): number {
  const low = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16)
  const high = bytes[at + 3]! | (bytes[at + 4]! << 8) | (bytes[at + 5]! << 16)
  return high * 0x100_0000 + low
}

export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value & 0xff
  bytes[at + 1] = (value >>> 8) & 0xff
  bytes[at + 2] = (value >>> 16) & 0xff
  bytes[at + 3] = value >>> 24
}

export function readU32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
  )
}

export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value & 0xff
  bytes[at + 1] = value >>> 8
}

export function readU16(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8)
}
