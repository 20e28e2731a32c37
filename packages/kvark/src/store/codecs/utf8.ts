/**
 * Strings as UTF-8, the default for keys and values.
 *
 * 1. Different strings give different bytes: a string with a lone surrogate is refused, for it has no bytes of its own in
 *    UTF-8 (every encoder replaces it with U+FFFD).
 * 2. Bytes that are not UTF-8 are refused on the way out: every decoder would replace them too. They show as U+FFFD in the
 *    result, so only a string that holds one is checked.
 */

import { isUtf8 } from 'node:buffer'
import type { InternalCodec, Sink } from '../internal-codec.ts'
import type { KeyBuffer } from '../key-buffer.ts'
import { describe, type Role, refusal, undecodable } from './refuse.ts'

/** Up to this many characters a loop beats the call into native code. */
const SHORT_CHARACTERS = 32
/** Up to this many characters there is room for the longest encoding, without measuring it first. */
const UNMEASURED_CHARACTERS = 1024
const ASCII_END = 0x80

/** Standard since ES2024; every Node that kvark runs on has it. */
type Es2024String = string & { isWellFormed(): boolean }

export class Utf8Codec implements InternalCodec<string> {
  readonly name = 'utf8'
  readonly #role: Role

  constructor(role: Role) {
    this.#role = role
  }

  encodeKey(value: string, target: KeyBuffer): number {
    return typeof value === 'string' && target.writeAscii(value)
      ? value.length
      : this.encodeInto(value, target)
  }

  encodeInto(value: string, sink: Sink): number {
    if (typeof value !== 'string') {
      throw refusal(
        this.#role,
        'a string',
        describe(value),
        `Convert it, or open the store with another codec for ${this.#role}s.`,
      )
    }
    const length = value.length
    if (length > SHORT_CHARACTERS) return this.#encodeLong(value, sink)
    let at = sink.reserve(length)
    const bytes = sink.bytes
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i)
      if (code >= ASCII_END) return this.#encodeLong(value, sink)
      bytes[at++] = code
    }
    return length
  }

  /** Every character beyond ASCII takes more bytes than it has UTF-16 units. */
  isAscii(value: string, length: number): boolean {
    return value.length === length
  }

  decode(bytes: Buffer, start: number, end: number, ascii: boolean): string {
    if (ascii) return (bytes as NativeBuffer).latin1Slice(start, end)
    return decodeUtf8(bytes, start, end, this.#role, this.name)
  }

  decodeText(text: string, start: number, end: number): string {
    return text.substring(start, end)
  }

  #encodeLong(value: string, sink: Sink): number {
    if (!isWellFormed(value)) {
      throw refusal(
        this.#role,
        'a well-formed string',
        'one with a lone surrogate',
        "Use the codec 'bytes' for data that is not text.",
      )
    }
    return writeUtf8(value, sink)
  }
}

export function isWellFormed(value: string): boolean {
  return (value as Es2024String).isWellFormed()
}

/** Writes a well-formed string; returns the bytes written. */
export function writeUtf8(value: string, sink: Sink): number {
  if (value.length <= UNMEASURED_CHARACTERS) {
    const most = value.length * 3
    const at = sink.reserve(most)
    return (sink.bytes as NativeBuffer).utf8Write(value, at, most)
  }
  const length = Buffer.byteLength(value)
  const at = sink.reserve(length)
  return sink.bytes.write(value, at, length, 'utf8')
}

/** What `toString` and `write` end in; called directly they save 30 ns of every get, and more of every put. */
type NativeBuffer = Buffer & {
  utf8Slice(start: number, end: number): string
  latin1Slice(start: number, end: number): string
  utf8Write(value: string, at: number, length: number): number
}

/** Reads a string; bytes that are not UTF-8 are `DECODE`. */
export function decodeUtf8(
  bytes: Buffer,
  start: number,
  end: number,
  role: Role,
  codec: string,
): string {
  const value = (bytes as NativeBuffer).utf8Slice(start, end)
  if (value.includes('\uFFFD') && !isUtf8(bytes.subarray(start, end))) {
    throw undecodable(role, codec, 'its bytes are not UTF-8')
  }
  return value
}
