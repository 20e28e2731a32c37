/**
 * What the store works with instead of a public `Codec`: the same thing without an allocation per key. `codecs.ts` makes
 * them, from a name or from a codec of the user's.
 *
 *   value ──encodeInto──► sink.bytes[sink.used .. + length)          bytes[start .. end) ──decode──► value
 *
 * 1. `encodeInto` leaves `sink.used` where it is; the caller advances it by the length returned.
 * 2. A user's `encode` may call the store again and so move the sink's contents: read `bytes` and `used` after it.
 * 3. What cannot be written is `INVALID_KEY` or `INVALID_VALUE`; bytes that cannot be read are `DECODE`.
 */

import type { KeyBuffer } from './key-buffer.ts'

/** Where encoded bytes go: a write batch, or the scratch buffer of reads. */
export interface Sink {
  bytes: Buffer
  /** Bytes in use; the next ones go here. */
  used: number
  /** Makes room for `length` more bytes, possibly in another `bytes`; returns where they go, which is `used`. */
  reserve(length: number): number
}

export interface InternalCodec<T> {
  /** Kept in the store's descriptor. */
  readonly name: string
  /** The codec that this one stands around; absent: none. */
  readonly inner?: InternalCodec<unknown>
  /** Writes the encoded form at `sink.used`; returns its length in bytes. */
  encodeInto(value: T, sink: Sink): number
  /** The same into the buffer that reads build keys in, where there is a faster way; else `encodeInto` does. */
  encodeKey?(key: T, target: KeyBuffer): number
  /** Whether the encoded form just written, of `length` bytes, is all ASCII. Absent: not known. */
  isAscii?(value: T, length: number): boolean
  /** The value whose encoded form is `bytes[start .. end)`, all ASCII if `ascii` says so; keeps no reference to `bytes`. */
  decode(bytes: Buffer, start: number, end: number, ascii: boolean): T
  /** The value whose encoded form is `text[start .. end)`, all ASCII; it may keep `text`. Absent: `decode` is faster. */
  decodeText?(text: string, start: number, end: number): T
  /** The encoded form where it is at hand as bytes, so that a large one need not be copied; not kept by the caller. */
  asBytes?(value: T): Uint8Array
  /**
   * Encoded keys that begin with `prefix`: from (inclusive) and to (exclusive; empty: no end). Absent: those whose
   * bytes begin with the bytes of `prefix`.
   */
  prefixRange?(prefix: T): readonly [from: Uint8Array, to: Uint8Array]
}
