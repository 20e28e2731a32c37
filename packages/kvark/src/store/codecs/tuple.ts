/**
 * Keys of several parts, such as `['user', 42, 'name']`, in an order one can rely on: element by element, a shorter tuple
 * before the longer ones that it begins.
 *
 *   element           bytes                                     order
 *   null              10
 *   Uint8Array        20 escaped 00                             unsigned bytes
 *   string            30 escaped UTF-8 00                       code points
 *   array             40 elements… 00                           as tuples
 *   number, bigint    50 … 54, see `tuple-number.ts`            by value; a number before the bigint of the same value
 *   false, true       60, 61
 *   Date              70 8 bytes: ms + 2^63, big-endian         time
 *
 *   escaped: 00 → 01 01, 01 → 01 02, every other byte as it is
 *
 * 1. The order of the bytes is the order of the tuples: null < bytes < string < array < number = bigint < boolean < Date.
 * 2. Different tuples give different bytes, and each comes back as what it was; only -0 is 0, as it is for `Map`.
 * 3. No element's bytes begin another's. So the bytes of a tuple begin those of another one exactly when its elements are
 *    the first elements of the other: a prefix is whole elements.
 * 4. Only bytes that `encodeInto` writes are read; anything else is `DECODE`.
 *
 * Refused: NaN (it has no place in an order), invalid dates, strings with lone surrogates, `undefined` and other objects,
 * arrays nested deeper than `MAX_DEPTH`, bigints beyond `MAX_BIGINT_BITS`.
 */

import { isUtf8 } from 'node:buffer'
import { isDate, isUint8Array } from 'node:util/types'
import type { Tuple, TupleElement } from '../codec.ts'
import type { InternalCodec, Sink } from '../internal-codec.ts'
import { checkBytes, checkMemory } from './bytes.ts'
import { describe, isArray, refusal, undecodable } from './refuse.ts'
import { type Reader, Writer } from './tuple-bytes.ts'
import {
  MAX_BIGINT_BITS,
  NUMBER_FIRST,
  NUMBER_LAST,
  readNumber,
  writeNumber,
} from './tuple-number.ts'
import { isWellFormed } from './utf8.ts'

/** How deep arrays may stand in each other; also what ends an array that contains itself. */
export const MAX_DEPTH = 64

const END = 0x00
const ESCAPE = 0x01
const NULL = 0x10
const BYTES = 0x20
const STRING = 0x30
const ARRAY = 0x40
const FALSE = 0x60
const TRUE = 0x61
const DATE = 0x70

const TWO_32 = 2 ** 32
const SIGN_BIT = 2 ** 31
const MAX_DATE_MS = 8.64e15

export class TupleCodec implements InternalCodec<Tuple> {
  readonly name = 'tuple'
  /** Where a tuple is put together; taken out while it is in use, for an element's getter may come back here. */
  #spare: Writer | undefined

  encodeInto(tuple: Tuple, sink: Sink): number {
    if (!isArray(tuple)) {
      throw refusal(
        'key',
        'an array (a tuple)',
        describe(tuple),
        'Put a single part in brackets: [key].',
      )
    }
    const writer = this.#spare ?? new Writer()
    this.#spare = undefined
    writer.length = 0
    writeElements(writer, tuple, 0)
    const at = sink.reserve(writer.length)
    writer.bytes.copy(sink.bytes, at, 0, writer.length)
    this.#spare = writer
    return writer.length
  }

  decode(bytes: Buffer, start: number, end: number): Tuple {
    const reader: Reader = { bytes, at: start, end }
    const tuple: TupleElement[] = []
    while (reader.at < end) tuple.push(readElement(reader, 0))
    return tuple
  }
}

function writeElements(writer: Writer, elements: readonly TupleElement[], depth: number): void {
  // By index, so that a hole is seen as the `undefined` that it reads as.
  for (let i = 0; i < elements.length; i++) writeElement(writer, elements[i], depth)
}

function writeElement(writer: Writer, element: unknown, depth: number): void {
  if (typeof element === 'string') writeString(writer, element)
  else if (typeof element === 'number' || typeof element === 'bigint') writeNumber(writer, element)
  else if (typeof element === 'boolean') writer.byte(element ? TRUE : FALSE)
  else if (element === null) writer.byte(NULL)
  else if (isArray(element)) writeArray(writer, element as Tuple, depth)
  else if (isUint8Array(element)) writeBytes(writer, element)
  else if (isDate(element)) writeDate(writer, element.getTime())
  else throw refuseElement(describe(element), 'Convert it to one of these.')
}

function writeArray(writer: Writer, elements: readonly TupleElement[], depth: number): void {
  if (depth === MAX_DEPTH) {
    throw refuseElement(
      `an array nested deeper than ${MAX_DEPTH}`,
      'Does it contain itself? Else use a flatter key.',
    )
  }
  writer.byte(ARRAY)
  writeElements(writer, elements, depth + 1)
  writer.byte(END)
}

function writeBytes(writer: Writer, bytes: Uint8Array): void {
  checkBytes(bytes, 'key', 'Convert it.')
  // They are read one by one, and what is gone reads as zeros where V8 gives the length that it had.
  checkMemory(bytes, 'key')
  writer.byte(BYTES)
  writeEscaped(writer, bytes)
}

function writeString(writer: Writer, text: string): void {
  if (!isWellFormed(text)) {
    throw refuseElement(
      'a string with a lone surrogate',
      'Use a Uint8Array for data that is not text.',
    )
  }
  writer.byte(STRING)
  writeEscaped(writer, Buffer.from(text))
}

function writeEscaped(writer: Writer, bytes: Uint8Array): void {
  writer.ensure(bytes.length * 2 + 1)
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!
    if (byte <= ESCAPE) {
      writer.byte(ESCAPE)
      writer.byte(byte + 1)
    } else {
      writer.byte(byte)
    }
  }
  writer.byte(END)
}

function writeDate(writer: Writer, ms: number): void {
  if (Number.isNaN(ms))
    throw refuseElement('an invalid Date', 'Check it with `Number.isNaN(date.getTime())`.')
  const high = Math.floor(ms / TWO_32)
  writer.byte(DATE)
  writer.uint32(high + SIGN_BIT)
  writer.uint32(ms - high * TWO_32)
}

function readElement(reader: Reader, depth: number): TupleElement {
  const tag = nextByte(reader)
  if (tag >= NUMBER_FIRST && tag <= NUMBER_LAST) return readNumber(reader, tag) ?? malformed()
  switch (tag) {
    case NULL:
      return null
    case FALSE:
      return false
    case TRUE:
      return true
    case BYTES:
      return new Uint8Array(readEscaped(reader))
    case STRING: {
      const bytes = readEscaped(reader)
      return isUtf8(bytes) ? bytes.toString('utf8') : malformed()
    }
    case ARRAY: {
      if (depth === MAX_DEPTH) malformed()
      const elements: TupleElement[] = []
      while (reader.at < reader.end && reader.bytes[reader.at] !== END) {
        elements.push(readElement(reader, depth + 1))
      }
      nextByte(reader)
      return elements
    }
    case DATE: {
      const ms = (nextUint32(reader) - SIGN_BIT) * TWO_32 + nextUint32(reader)
      return Math.abs(ms) <= MAX_DATE_MS ? new Date(ms) : malformed()
    }
    default:
      return malformed()
  }
}

function readEscaped(reader: Reader): Buffer {
  const end = reader.bytes.indexOf(END, reader.at)
  if (end < 0 || end >= reader.end) malformed()
  const bytes = Buffer.allocUnsafe(end - reader.at)
  let length = 0
  while (reader.at < end) {
    const byte = reader.bytes[reader.at++]!
    if (byte !== ESCAPE) {
      bytes[length++] = byte
      continue
    }
    const escaped = nextByte(reader) - 1
    if (escaped !== END && escaped !== ESCAPE) malformed()
    bytes[length++] = escaped
  }
  reader.at = end + 1
  return bytes.subarray(0, length)
}

function nextUint32(reader: Reader): number {
  if (reader.at + 4 > reader.end) malformed()
  reader.at += 4
  return reader.bytes.readUInt32BE(reader.at - 4)
}

function nextByte(reader: Reader): number {
  return reader.at < reader.end ? reader.bytes[reader.at++]! : malformed()
}

function refuseElement(found: string, advice: string): Error {
  return refusal(
    'key',
    'a tuple of null, boolean, number, bigint ' +
      `(up to ${MAX_BIGINT_BITS} bits), string, Uint8Array, Date and arrays of these`,
    `one that holds ${found}`,
    advice,
  )
}

function malformed(): never {
  throw undecodable('key', 'tuple', 'its bytes are not those of a tuple')
}
