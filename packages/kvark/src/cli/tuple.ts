/**
 * Tuple keys as JSON: `["user",42]` is the user's key `['user', 42]`. What JSON has no word for is an object with one
 * member:
 *
 *   {"base64":"AP8Q"}                      bytes
 *   {"bigint":"9007199254740993"}          bigint
 *   {"date":"2026-01-31T12:00:00.000Z"}    Date
 *   {"number":"-Infinity"}                 the numbers that JSON cannot write: Infinity, -Infinity
 *
 * A whole number that JavaScript would round is refused: it would be another key.
 *
 * Kvark's own tuple codec makes the bytes, so its rules and refusals hold.
 */

import type { Tuple, TupleElement } from '../index.ts'
import { parseBytes, refuse } from './bytes.ts'

/** The tuple of an argument. */
export function parseTuple(text: string): Tuple {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw refuse(
      'key',
      `The keys of this store are tuples: write the key as a JSON array, such as '["user",42]'.`,
    )
  }
  checkNumbers(text)
  return tupleFromJson(json)
}

/** A string, or a number. */
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g

/** Refuses numbers in JSON text that would not be the ones that stand there. */
export function checkNumbers(text: string): void {
  for (const [token] of text.matchAll(STRING_OR_NUMBER)) {
    const value = Number(token)
    // As JavaScript itself writes a number it is the same again, though it may stand for another one: 2 ** 70 is 1180591620717411300000.
    if (token.startsWith('"') || Number.isSafeInteger(value) || String(value) === token) continue
    const isWhole = /^-?\d+$/.test(token)
    if (Number.isFinite(value) && !(isWhole && BigInt(token) !== BigInt(value))) continue
    throw refuse(
      'key',
      `The number ${token} cannot be kept as it stands: it would become ${value}.${isWhole ? ` Write {"bigint":"${token}"}, which is another key than a number.` : ''}`,
    )
  }
}

export function tupleFromJson(json: unknown): Tuple {
  if (Array.isArray(json)) return json.map((one) => elementFromJson(one, 1))
  throw refuse(
    'key',
    `The keys of this store are tuples: the key must be a JSON array, such as ["user",42].`,
  )
}

export function tupleToJson(tuple: Tuple): unknown {
  return tuple.map(elementToJson)
}

/** Far beyond what the codec takes, and far from the end of the stack. */
const MOST_LEVELS = 1000

function elementFromJson(json: unknown, level: number): TupleElement {
  if (
    json === null ||
    typeof json === 'boolean' ||
    typeof json === 'number' ||
    typeof json === 'string'
  )
    return json
  if (Array.isArray(json)) {
    if (level < MOST_LEVELS) return json.map((one) => elementFromJson(one, level + 1))
    throw refuse('key', `The key has arrays in each other, more than ${MOST_LEVELS} levels deep.`)
  }
  const members = Object.entries(json as object)
  const [name, text] = members[0] ?? []
  if (members.length === 1 && typeof text === 'string') {
    if (name === 'base64') return parseBytes(text, 'base64', 'key')
    if (name === 'bigint' && /^-?\d+$/.test(text)) return BigInt(text)
    if (name === 'date' && !Number.isNaN(Date.parse(text))) return new Date(text)
    if (name === 'number' && /^-?Infinity$/.test(text)) return Number(text)
  }
  throw refuse(
    'key',
    `A tuple cannot hold ${JSON.stringify(json)}. Besides plain JSON it takes {"base64":"…"}, {"bigint":"…"}, ` +
      `{"date":"…"} and {"number":"Infinity"}.`,
  )
}

function elementToJson(element: TupleElement): unknown {
  if (typeof element === 'bigint') return { bigint: String(element) }
  if (typeof element === 'number' && !Number.isFinite(element)) return { number: String(element) }
  if (element instanceof Date) return { date: element.toISOString() }
  if (element instanceof Uint8Array) {
    return {
      base64: Buffer.from(element.buffer, element.byteOffset, element.byteLength).toString(
        'base64',
      ),
    }
  }
  return Array.isArray(element) ? element.map(elementToJson) : element
}
