/**
 * One entry as it lies in journals and logs.
 *
 *   │ kind, flags u8 │ key length varint │ value length varint │ sequence u48? │ expiry u48? │ key │ value │
 *
 *   bits 0–1  kind: 1 put, 2 delete, 3 delete-range (the value is the range's end)
 *   bit 2     a sequence follows     bit 3  an expiry follows (ms since 1970)     bit 4  the value is ASCII text
 *   bit 5     the value only says where its bytes are, or those of the entries that take the range's place; for engines that have such
 *   bits 6–7  zero; anything else is `VERSION`
 *
 * The key is an internal one: table id (varint) and the user's bytes.
 */

import { readU48, readVarint, varintLength, writeU48, writeVarint } from '../bytes/varint.ts'
import { KvarkError } from '../errors.ts'

const KIND_BITS = 3
const HAS_SEQUENCE = 4
const HAS_EXPIRY = 8
/** Flag: every byte of the value is below 128, so that a reader may take it for Latin-1, which is faster than UTF-8. */
export const ASCII_VALUE = 16
/** Flag: the value only says where its bytes are. */
export const REFERENCE = 32
const UNKNOWN_BITS = 0xc0

/**
 * The header of nearly all entries: this first byte (a put with its sequence and no expiry, `ASCII_VALUE` or not), a key
 * and a value shorter than 128 bytes.
 * Hot paths look for it before they take the general way.
 */
export const SHORT_PUT = 0x05
/** The same with an expiry, which follows the sequence. */
export const SHORT_PUT_EXPIRING: number = SHORT_PUT | HAS_EXPIRY
export const EXPIRY_BYTES = 6
export const SHORT_LENGTH = 0x80
export const SHORT_HEADER_BYTES = 9
/** The last bytes of a header without expiry. */
export const SEQUENCE_BYTES = 6
/** Where the sequence lies in a short header. */
const SHORT_SEQUENCE_AT: number = SHORT_HEADER_BYTES - SEQUENCE_BYTES

/** The longest header: kind, two varints, sequence, expiry. */
export const MAX_ENTRY_HEADER_BYTES: number = 1 + 5 + 5 + 6 + 6

/** Bytes of an entry's header, sequence included. */
export function entryHeaderLength(keyLength: number, valueLength: number, expiry: number): number {
  return 1 + varintLength(keyLength) + varintLength(valueLength) + 6 + (expiry === 0 ? 0 : 6)
}

/** Writes the header of an entry (`flags`: `ASCII_VALUE` or 0); returns the position behind it, where the key begins. */
export function writeEntryHeader(
  target: Uint8Array,
  at: number,
  kind: number,
  flags: number,
  keyLength: number,
  valueLength: number,
  sequence: number,
  expiry: number,
): number {
  target[at] = kind | flags | HAS_SEQUENCE | (expiry === 0 ? 0 : HAS_EXPIRY)
  let next = writeVarint(target, at + 1, keyLength)
  next = writeVarint(target, next, valueLength)
  writeU48(target, next, sequence)
  next += 6
  if (expiry !== 0) {
    writeU48(target, next, expiry)
    next += 6
  }
  return next
}

/** A parsed entry header; reused. */
export class EntryHeader {
  kind = 0
  /** `ASCII_VALUE`, `REFERENCE`, or 0. */
  flags = 0
  keyLength = 0
  valueLength = 0
  sequence = 0
  expiry = 0
  /** Bytes of the header itself. */
  length = 0
  /** Whether the engine has `REFERENCE`s. */
  references = false

  /** Bytes of the whole entry. */
  get total(): number {
    return this.length + this.keyLength + this.valueLength
  }

  /** Reads the header at `source[at ..]`, which ends before `end`; false where none is complete. */
  read(source: Uint8Array, at: number, end: number): boolean {
    if (at >= end) return false
    const first = source[at]!
    const keyByte = source[at + 1]!
    const valueByte = source[at + 2]!
    // Nearly all entries: a short key, a value below 128 bytes, no expiry. Saves a third of the time of this call.
    if (
      (first & ~(KIND_BITS | ASCII_VALUE)) === HAS_SEQUENCE &&
      keyByte < SHORT_LENGTH &&
      valueByte < SHORT_LENGTH
    ) {
      if (at + SHORT_HEADER_BYTES > end) return false
      this.kind = first & KIND_BITS
      this.flags = first & ASCII_VALUE
      this.keyLength = keyByte
      this.valueLength = valueByte
      this.sequence = readU48(source, at + SHORT_SEQUENCE_AT)
      this.expiry = 0
      this.length = SHORT_HEADER_BYTES
      return true
    }
    if ((first & UNKNOWN_BITS) !== 0 || ((first & REFERENCE) !== 0 && !this.references)) {
      throw new KvarkError(
        'VERSION',
        'An entry has a flag that this version does not know. Open the store with the kvark that wrote it.',
        { found: first },
      )
    }
    let next = at + 1
    const keyLength = readVarint(source, next, end)
    if (keyLength < 0) return false
    next += varintLength(keyLength)
    const valueLength = readVarint(source, next, end)
    if (valueLength < 0) return false
    next += varintLength(valueLength)
    const sequenceAt = next
    if ((first & HAS_SEQUENCE) !== 0) next += 6
    const expiryAt = next
    if ((first & HAS_EXPIRY) !== 0) next += 6
    if (next > end) return false
    this.kind = first & KIND_BITS
    this.flags = first & (ASCII_VALUE | REFERENCE)
    this.keyLength = keyLength
    this.valueLength = valueLength
    this.sequence = (first & HAS_SEQUENCE) !== 0 ? readU48(source, sequenceAt) : 0
    this.expiry = (first & HAS_EXPIRY) !== 0 ? readU48(source, expiryAt) : 0
    this.length = next - at
    return true
  }
}
