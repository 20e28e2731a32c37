/**
 * Numbers and bigints as bytes in one common order, by exact value; of equal values the number comes first.
 *
 *   50                                     -Infinity
 *   51 ~exponent ~fraction type            negative
 *   52 type                                0
 *   53 exponent fraction type              positive
 *   54                                     Infinity
 *
 * The size of a number is 1.bbbb… × 2^e. Written are e, then the bits after the point; both inverted (~) below zero, so
 * that more is less there.
 *
 *   exponent   e < 0         01, e + 2048 (2 bytes)      only numbers, e ≥ -1074
 *              e ≤ 238       10 + e
 *              else          ff, e (4 bytes)
 *   fraction   7 bits a byte: bbbbbbb1 while more follow, bbbbbbb0 the last; no trailing zero groups but the first
 *   type       00 number, 01 bigint
 *
 * 1. The exponent is self-delimiting and in order; a fraction that goes on is larger than one that ends with the same bits.
 * 2. Each value has one form; every other one is refused on reading.
 */

import { refusal } from './refuse.ts'
import type { Reader, Writer } from './tuple-bytes.ts'

/** The tags that begin a number. */
export const NUMBER_FIRST = 0x50
export const NUMBER_LAST = 0x54

/** Longest bigint. A bound, because few bytes can stand for many (2n ** 1000000n) and reading them makes them all. */
export const MAX_BIGINT_BITS: number = 1 << 20

const NEGATIVE_INFINITY = 0x50
const NEGATIVE = 0x51
const ZERO = 0x52
const POSITIVE = 0x53
const POSITIVE_INFINITY = 0x54

const TYPE_NUMBER = 0
const TYPE_BIGINT = 1

const EXPONENT_NEGATIVE = 0x01
const EXPONENT_SMALL = 0x10
const EXPONENT_LARGE = 0xff
const LARGEST_SMALL_EXPONENT = EXPONENT_LARGE - 1 - EXPONENT_SMALL
const EXPONENT_BIAS = 2048

const GROUP_BITS = 7
const GROUP_VALUES = 1 << GROUP_BITS
const MORE = 1
/** 52 bits after the point: 7 groups and 3 bits. */
const MAX_NUMBER_GROUPS = 8
const UNUSED_BITS = 0x0f

const SUBNORMAL_EXPONENT = -1022
const MIN_EXPONENT = -1074
const MAX_EXPONENT = 1023
/** Lifts every subnormal number into the normal ones, exactly. */
const LIFT_BITS = 64
const LIFT = 2 ** LIFT_BITS

const MAX_SAFE_BIGINT = BigInt(Number.MAX_SAFE_INTEGER)

/** One double, also seen as its bits. */
const VIEW = new DataView(new ArrayBuffer(8))

/** Writes a number (NaN is refused) or a bigint. */
export function writeNumber(writer: Writer, value: number | bigint): void {
  if (Number.isNaN(value)) {
    throw refusal(
      'key',
      'a tuple with numbers that have an order',
      'one that holds NaN',
      'Store null instead, or leave the entry out.',
    )
  }
  if (value === Number.POSITIVE_INFINITY) writer.byte(POSITIVE_INFINITY)
  else if (value === Number.NEGATIVE_INFINITY) writer.byte(NEGATIVE_INFINITY)
  else {
    if (value === 0 || value === 0n) writer.byte(ZERO)
    else if (value > 0) writePositive(writer, value)
    else writeNegative(writer, value)
    writer.byte(typeof value === 'bigint' ? TYPE_BIGINT : TYPE_NUMBER)
  }
}

function writePositive(writer: Writer, value: number | bigint): void {
  writer.byte(POSITIVE)
  writeSize(writer, value)
}

function writeNegative(writer: Writer, value: number | bigint): void {
  writer.byte(NEGATIVE)
  const start = writer.length
  writeSize(writer, -value)
  for (let i = start; i < writer.length; i++) writer.bytes[i] = ~writer.bytes[i]!
}

/** Exponent and fraction of a value above zero. */
function writeSize(writer: Writer, size: number | bigint): void {
  if (typeof size === 'number') writeDouble(writer, size)
  // Most bigints fit a double exactly and need no text of their bits.
  else if (size <= MAX_SAFE_BIGINT) writeDouble(writer, Number(size))
  else writeBits(writer, size)
}

function writeDouble(writer: Writer, size: number): void {
  VIEW.setFloat64(0, size)
  let exponent = (VIEW.getUint16(0) >>> 4) - MAX_EXPONENT
  if (exponent < SUBNORMAL_EXPONENT) {
    VIEW.setFloat64(0, size * LIFT)
    exponent = (VIEW.getUint16(0) >>> 4) - MAX_EXPONENT - LIFT_BITS
  }
  writeExponent(writer, exponent)
  // Between 1 and 2; taking off the whole part and multiplying by a power of two are exact.
  VIEW.setUint16(0, (VIEW.getUint16(0) & 0x000f) | (MAX_EXPONENT << 4))
  let rest = VIEW.getFloat64(0) - 1
  do {
    rest *= GROUP_VALUES
    const group = Math.floor(rest)
    rest -= group
    writer.byte((group << 1) | (rest > 0 ? MORE : 0))
  } while (rest > 0)
}

function writeBits(writer: Writer, size: bigint): void {
  const bits = size.toString(2)
  if (bits.length > MAX_BIGINT_BITS) {
    throw refusal(
      'key',
      `a tuple with bigints of up to ${MAX_BIGINT_BITS} bits`,
      `one that holds a bigint of ${bits.length} bits`,
      'Use its bytes, or a digest of it.',
    )
  }
  writeExponent(writer, bits.length - 1)
  const end = bits.lastIndexOf('1') + 1
  for (let at = 1; at === 1 || at < end; at += GROUP_BITS) {
    const group = Number.parseInt(bits.slice(at, at + GROUP_BITS).padEnd(GROUP_BITS, '0'), 2)
    writer.byte((group << 1) | (at + GROUP_BITS < end ? MORE : 0))
  }
}

function writeExponent(writer: Writer, exponent: number): void {
  if (exponent < 0) {
    writer.byte(EXPONENT_NEGATIVE)
    writer.byte((exponent + EXPONENT_BIAS) >>> 8)
    writer.byte((exponent + EXPONENT_BIAS) & 0xff)
  } else if (exponent <= LARGEST_SMALL_EXPONENT) {
    writer.byte(EXPONENT_SMALL + exponent)
  } else {
    writer.byte(EXPONENT_LARGE)
    writer.uint32(exponent)
  }
}

/** Reads on after the tag; `undefined` for bytes that `writeNumber` does not write. */
export function readNumber(reader: Reader, tag: number): number | bigint | undefined {
  if (tag === POSITIVE_INFINITY) return Number.POSITIVE_INFINITY
  if (tag === NEGATIVE_INFINITY) return Number.NEGATIVE_INFINITY
  if (tag === ZERO) {
    const type = readByte(reader, 0)
    return type === TYPE_NUMBER ? 0 : type === TYPE_BIGINT ? 0n : undefined
  }
  const inversion = tag === NEGATIVE ? 0xff : 0
  const exponent = readExponent(reader, inversion)
  if (exponent === undefined) return undefined
  const groups = readFraction(reader, inversion)
  if (groups === undefined) return undefined
  const type = readByte(reader, 0)
  let size: number | bigint | undefined
  if (type === TYPE_NUMBER) size = makeNumber(exponent, groups)
  else if (type === TYPE_BIGINT) size = makeBigint(exponent, groups)
  return size === undefined || inversion === 0 ? size : -size
}

/** -1 at the end, which nothing accepts. */
function readByte(reader: Reader, inversion: number): number {
  return reader.at < reader.end ? reader.bytes[reader.at++]! ^ inversion : -1
}

function readExponent(reader: Reader, inversion: number): number | undefined {
  const first = readByte(reader, inversion)
  if (first >= EXPONENT_SMALL && first < EXPONENT_LARGE) return first - EXPONENT_SMALL
  if (first !== EXPONENT_NEGATIVE && first !== EXPONENT_LARGE) return undefined
  const length = first === EXPONENT_NEGATIVE ? 2 : 4
  if (reader.at + length > reader.end) return undefined
  let value = 0
  for (let i = 0; i < length; i++) value = value * 256 + readByte(reader, inversion)
  if (first === EXPONENT_LARGE) return value > LARGEST_SMALL_EXPONENT ? value : undefined
  value -= EXPONENT_BIAS
  return value < 0 ? value : undefined
}

/** The groups; the last one is zero only where it is the only one. */
function readFraction(reader: Reader, inversion: number): number[] | undefined {
  const groups: number[] = []
  for (;;) {
    const byte = readByte(reader, inversion)
    if (byte < 0) return undefined
    groups.push(byte >>> 1)
    if ((byte & MORE) === 0) return byte === 0 && groups.length > 1 ? undefined : groups
  }
}

function makeNumber(exponent: number, groups: readonly number[]): number | undefined {
  if (exponent < MIN_EXPONENT || exponent > MAX_EXPONENT) return undefined
  if (groups.length > MAX_NUMBER_GROUPS) return undefined
  if (((groups[MAX_NUMBER_GROUPS - 1] ?? 0) & UNUSED_BITS) !== 0) return undefined
  let fraction = 0
  for (let i = groups.length - 1; i >= 0; i--) fraction = (fraction + groups[i]!) / GROUP_VALUES
  const lift = exponent < SUBNORMAL_EXPONENT ? LIFT_BITS : 0
  VIEW.setFloat64(0, 1 + fraction)
  VIEW.setUint16(0, (VIEW.getUint16(0) & 0x000f) | ((exponent + lift + MAX_EXPONENT) << 4))
  const lifted = VIEW.getFloat64(0)
  if (lift === 0) return lifted
  const size = lifted / LIFT
  return size * LIFT === lifted ? size : undefined
}

function makeBigint(exponent: number, groups: readonly number[]): bigint | undefined {
  if (exponent < 0 || exponent >= MAX_BIGINT_BITS) return undefined
  const bits = groups.map((group) => group.toString(2).padStart(GROUP_BITS, '0')).join('')
  const used = bits.lastIndexOf('1') + 1
  if (used > exponent) return undefined
  return BigInt(`0b1${bits.slice(0, exponent).padEnd(exponent, '0')}`)
}
