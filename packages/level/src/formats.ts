/**
 * The formats of abstract-level and the bytes that the store has.
 *
 *   'utf8'    string       ◄──►  UTF-8
 *   'view'    Uint8Array   ◄──►  the same bytes, not copied
 *   'buffer'  Buffer       ◄──►  the same bytes, not copied
 *
 * 1. Different keys have different bytes: a string with a lone surrogate is refused, for it has no bytes of its own in UTF-8.
 * 2. Bytes that are not UTF-8 are read as a string all the same, with U+FFFD in their place, as other Level databases do: keys of all
 *    sublevels lie in one database, and who looks at them all sees some that are no text.
 */

import { LevelError } from './errors.ts'

/** How abstract-level hands keys and values over. */
export type Format = 'utf8' | 'view' | 'buffer'

export type Data = string | Uint8Array

/** Standard since ES2024; every Node that this package runs on has it. */
type Es2024String = string & { isWellFormed(): boolean }

/** A byte order mark is data. */
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

export function keyBytes(key: Data): Uint8Array {
  return typeof key === 'string' ? utf8(key, 'LEVEL_INVALID_KEY', 'key') : key
}

export function valueBytes(value: Data): Uint8Array {
  return typeof value === 'string' ? utf8(value, 'LEVEL_INVALID_VALUE', 'value') : value
}

/** `bytes` are the caller's own, or he is done with them before they change. */
export function fromBytes(bytes: Uint8Array, format: Format): Data {
  if (format === 'utf8') return decoder.decode(bytes)
  if (format === 'view') return bytes
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function utf8(
  text: string,
  code: 'LEVEL_INVALID_KEY' | 'LEVEL_INVALID_VALUE',
  what: string,
): Uint8Array {
  if ((text as Es2024String).isWellFormed()) return Buffer.from(text)
  throw new LevelError(
    code,
    `The ${what} is a string with a lone surrogate, which has no form in UTF-8. Use the encoding 'view' for data that is not text.`,
  )
}
