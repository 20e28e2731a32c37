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

/** What a number of JSON is made of, from its first character on. */
const NUMBER = /-?\d[\d.eE+-]*/y

/** Refuses numbers in JSON text, which has been parsed, that would not be the ones that stand there. */
export function checkNumbers(text: string): void {
  for (let at = 0; at < text.length; ) {
    if (text[at] === '"') {
      at = behindString(text, at)
      continue
    }
    NUMBER.lastIndex = at
    const token = NUMBER.exec(text)?.[0]
    if (token !== undefined) checkNumber(token)
    at += token?.length ?? 1
  }
}

/** Not by an expression: one that has alternatives in it runs out of stack in a value of some MiB. */
function behindString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1)
  for (;;) {
    let backslashes = 0
    while (text[end - 1 - backslashes] === '\\') backslashes++
    if (backslashes % 2 === 0) return end + 1
    end = text.indexOf('"', end + 1)
  }
}

function checkNumber(token: string): void {
  const value = Number(token)
  // As JavaScript itself writes a number it is the same again, though it may stand for another one: 2 ** 70 is 1180591620717411300000.
  if (Number.isSafeInteger(value) || String(value) === token) return
  const isWhole = /^-?\d+$/.test(token)
  if (Number.isFinite(value) && !(isWhole && BigInt(token) !== BigInt(value))) return
  throw refuse(
    'key',
    `The number ${token} cannot be kept as it stands: it would become ${value}.${isWhole ? ` Write {"bigint":"${token}"}, which is another key than a number.` : ''}`,
  )
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
    if (name === 'date' && isDate(text)) return new Date(text)
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

/** A day, or a moment with its time zone: without it the key would be another one elsewhere. */
const DATE =
  /^(?:\d{4}|[+-]\d{6})-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d))?$/

function isDate(text: string): boolean {
  const [day] = text.split('T') as [string]
  if (!DATE.test(text) || Number.isNaN(Date.parse(text)) || Number.isNaN(Date.parse(day)))
    return false
  // JavaScript takes February 30 for March 2.
  return new Date(day).toISOString().startsWith(day)
}
