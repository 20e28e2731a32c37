/**
 * Bytes as text and back: how keys and values are typed on the command line and shown.
 *
 *   --encoding   argument            shown                in JSON
 *   utf8         the text itself     the bytes            "text", or {"base64":"…"} where it is not UTF-8
 *   hex          00ff10              00ff10               "00ff10"
 *   base64       AP8Q                AP8Q                 "AP8Q"
 *
 * Every form is exact: text that is not a form of some bytes is refused, never repaired, and what is shown as JSON gives
 * the same bytes when it is read with the same encoding.
 */

import { isUtf8 } from 'node:buffer'
import { KvarkError } from '../index.ts'

export const ENCODINGS = ['utf8', 'hex', 'base64'] as const
export type Encoding = (typeof ENCODINGS)[number]

/** Whether it is a key or a value that is spoken of. */
export type Role = 'key' | 'value'

/** How bytes look in JSON. */
export type JsonBytes = string | { base64: string }

const LONE_SURROGATE = /\p{Surrogate}/u
const HEX = /^(?:[0-9a-f]{2})*$/i

/** The refusal of a key or value. */
export function refuse(role: Role, message: string): KvarkError {
  return new KvarkError(role === 'key' ? 'INVALID_KEY' : 'INVALID_VALUE', message)
}

/** The bytes that `text` stands for. */
export function parseBytes(text: string, encoding: Encoding, role: Role): Buffer {
  if (encoding === 'hex') {
    if (HEX.test(text)) return Buffer.from(text, 'hex')
    throw refuse(
      role,
      `The ${role} is not hex: it takes pairs of the digits 0-9 and a-f, such as 00ff10.`,
    )
  }
  if (encoding === 'base64') {
    const bytes = Buffer.from(text, 'base64')
    // Node skips what it does not know; only text that comes out again was base64.
    if (bytes.toString('base64').replace(/=+$/, '') === text.replace(/={0,2}$/, '')) return bytes
    throw refuse(role, `The ${role} is not base64: it takes the characters A-Z, a-z, 0-9, + and /.`)
  }
  if (LONE_SURROGATE.test(text)) {
    throw refuse(role, `The ${role} holds half of a surrogate pair, which no UTF-8 text can hold.`)
  }
  return Buffer.from(text)
}

/** The bytes as they are shown; with `utf8` just as they are. */
export function showBytes(bytes: Uint8Array, encoding: Encoding): Buffer {
  const buffer = asBuffer(bytes)
  return encoding === 'utf8' ? buffer : Buffer.from(buffer.toString(encoding))
}

/** The bytes as they stand in JSON. */
export function bytesToJson(bytes: Uint8Array, encoding: Encoding): JsonBytes {
  if (encoding !== 'utf8') return asBuffer(bytes).toString(encoding)
  return isUtf8(bytes) ? asBuffer(bytes).toString() : { base64: asBuffer(bytes).toString('base64') }
}

/** The bytes of `"text"` or `{"base64":"…"}`. */
export function bytesFromJson(json: unknown, role: Role): Buffer {
  if (typeof json === 'string') return parseBytes(json, 'utf8', role)
  if (typeof json === 'object' && json !== null && Object.keys(json).length === 1) {
    const { base64 } = json as { base64?: unknown }
    if (typeof base64 === 'string') return parseBytes(base64, 'base64', role)
  }
  throw refuse(
    role,
    `The ${role} must be a string, or {"base64":"…"} for bytes that are not UTF-8.`,
  )
}

/**
 * Text for a terminal: control characters, which could move its cursor or worse, are shown as `\x1b`. With `lines`, tabs
 * and line ends stay.
 */
export function visible(text: string, lines: boolean): string {
  return text.replace(/\p{Cc}/gu, (control) => {
    if (lines && (control === '\n' || control === '\t')) return control
    return `\\x${control.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
