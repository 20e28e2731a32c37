/**
 * How codecs say no. A codec serves keys or values; what it cannot write is `INVALID_KEY` or `INVALID_VALUE` by that role,
 * and bytes that it did not write are `DECODE`.
 */

import { KvarkError } from '../../errors.ts'

export type Role = 'key' | 'value'

/** The error of a key or value that cannot be written. `advice` ends the message: what to do next. */
export function refusal(
  role: Role,
  expected: string,
  found: string,
  advice: string,
  cause?: unknown,
): KvarkError {
  return new KvarkError(
    role === 'key' ? 'INVALID_KEY' : 'INVALID_VALUE',
    `The ${role} must be ${expected}, not ${found}. ${advice}`,
    { expected, found, cause },
  )
}

/** The error of stored bytes that the codec cannot read. */
export function undecodable(role: Role, codec: string, what: string, cause?: unknown): KvarkError {
  return new KvarkError(
    'DECODE',
    `A stored ${role} cannot be read by the codec '${codec}': ${what}. ` +
      "It was written with another codec; open the store with that one, or with 'bytes' to see what is there.",
    { expected: codec, cause },
  )
}

/** What a value is, in a word or two, without showing it. */
export function describe(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value !== 'object') return typeof value
  if (isArray(value)) return 'an array'
  try {
    const name: unknown = value.constructor?.name
    return typeof name === 'string' && name !== '' ? name : 'object'
  } catch {
    // A proxy may refuse even that.
    return 'object'
  }
}

/** `Array.isArray`, which throws on a proxy that is revoked. */
export function isArray(value: unknown): value is unknown[] {
  try {
    return Array.isArray(value)
  } catch {
    return false
  }
}

const SHOWN_CHARACTERS = 200

/** The beginning of what somebody else's code threw, for a message; the whole is the `cause`. */
export function brief(error: unknown): string {
  try {
    return String(error).slice(0, SHOWN_CHARACTERS)
  } catch {
    return 'it threw what has no text'
  }
}
