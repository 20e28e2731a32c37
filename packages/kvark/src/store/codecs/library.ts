/**
 * Values as MessagePack or CBOR, by libraries that the user installs beside kvark: optional peers, without native code.
 *
 *   msgpack   @msgpack/msgpack    what JSON has, bytes, dates; bigints not
 *   cbor      cbor2               that, and bigints, undefined, maps, sets, regular expressions, typed arrays, URLs
 *
 * 1. A library is loaded when its codec is first asked for, at once, since `openSync` cannot wait; without it that is `UNSUPPORTED`.
 * 2. What would come back as something else that looks like data is refused: it has no form in the library that is asked for.
 * 3. What comes out has memory of its own: libraries give views of the bytes that they read.
 *
 * 4. What is written can be read again: what a library writes and does not read is refused, too.
 *
 * Left out: instances of classes come back as plain objects, as with `json`; in `msgpack` a member that is `undefined` is null.
 */

import { isMap, isSet } from 'node:util/types'
import type * as MessagePack from '@msgpack/msgpack'
import type * as Cbor from 'cbor2'
import type * as CborEncoder from 'cbor2/encoder'
import { loadPackage } from '../../environment/packages.ts'
import type { InternalCodec, Sink } from '../internal-codec.ts'
import { brief, describe, refusal, undecodable } from './refuse.ts'
import { isWellFormed } from './utf8.ts'

interface Coder {
  encode(value: unknown): Uint8Array
  decode(bytes: Uint8Array): unknown
}

/** Dates as text: as seconds they lose milliseconds. */
const CBOR_DATE_TAG = 0
/** Its own type for dates. */
const MESSAGE_PACK_DATE_TYPE = -1

/** A map that is a `Map`, though all of its keys are text: without the tag that reads as an object. */
const CBOR_MAP_TAG = 259
const CBOR_MAP = 5
/** So deep arrays, maps and tags may lie in each other in CBOR: reading takes some of the stack for each. */
const CBOR_LEVELS = 1000
const CBOR_UNDEFINED = 0xf7

/** What TextEncoder makes of a lone surrogate. */
const REPLACEMENT = Buffer.from('\ufffd')

/** What TextDecoder takes off the beginning of a text. */
const MARK_CHARACTER = '\ufeff'
const MARK = Buffer.from(MARK_CHARACTER)

/** A value that is written as it is, without a tag. */
const UNTAGGED = Number.NaN

export class LibraryCodec implements InternalCodec<unknown> {
  readonly name: string
  readonly #coder: Coder

  constructor(name: string, coder: Coder) {
    this.name = name
    this.#coder = coder
  }

  encodeInto(value: unknown, sink: Sink): number {
    if (value === undefined) {
      // It would read like a missing key.
      throw refusal('value', `one for '${this.name}'`, 'undefined', 'To remove a key use `delete`.')
    }
    let encoded: Uint8Array
    try {
      encoded = this.#coder.encode(value)
    } catch (error) {
      const advice = `Change what does not go: ${brief(error).split('\n', 1)[0]}.`
      throw refusal('value', `one for '${this.name}'`, describe(value), advice, error)
    }
    const at = sink.reserve(encoded.length)
    sink.bytes.set(encoded, at)
    return encoded.length
  }

  decode(bytes: Buffer, start: number, end: number): unknown {
    try {
      return this.#coder.decode(new Uint8Array(bytes.subarray(start, end)))
    } catch (error) {
      throw undecodable('value', this.name, brief(error), error)
    }
  }
}

let messagePack: Coder | undefined
let cbor: Coder | undefined
const CBOR = "The codec 'cbor'"

export function messagePackCodec(): LibraryCodec {
  messagePack ??= messagePackCoder(
    loadPackage('@msgpack/msgpack', "The codec 'msgpack'") as typeof MessagePack,
  )
  return new LibraryCodec('msgpack', messagePack)
}

export function cborCodec(): LibraryCodec {
  cbor ??= cborCoder(
    loadPackage('cbor2', CBOR) as typeof Cbor,
    loadPackage('cbor2/encoder', CBOR) as typeof CborEncoder,
  )
  return new LibraryCodec('cbor', cbor)
}

function messagePackCoder(library: typeof MessagePack): Coder {
  const { encodeTimestampExtension, decodeTimestampExtension, Encoder, Decoder } = library
  const extensionCodec = new library.ExtensionCodec()
  extensionCodec.register({
    type: MESSAGE_PACK_DATE_TYPE,
    // Asked for every object.
    encode: (value) => {
      if (isMap(value) || isSet(value)) throw new TypeError('maps and sets have no form in it')
      if (value instanceof Date && Number.isNaN(value.getTime())) {
        throw new TypeError('an invalid date has no form in it')
      }
      if (typeof value === 'object' && value !== null && Object.hasOwn(value, '__proto__')) {
        throw new TypeError("a member '__proto__' is not read again")
      }
      return encodeTimestampExtension(value)
    },
    decode: decodeTimestampExtension,
  })
  // One of each for all: they hold no state between two calls.
  const encoder = new Encoder({ extensionCodec })
  const decoder = new Decoder({ extensionCodec })
  return {
    encode: (value) => {
      const bytes = encoder.encode(value)
      const written = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
      // Long strings lose their lone surrogates, and a mark at their beginning.
      if (written.includes(REPLACEMENT) && hasText(value, (text) => !isWellFormed(text))) {
        throw new TypeError('a lone surrogate has no form in it')
      }
      const losesMark = (text: string): boolean =>
        text.startsWith(MARK_CHARACTER) && decoder.decode(encoder.encode(text)) !== text
      if (written.includes(MARK) && hasText(value, losesMark)) {
        throw new TypeError('a long text that begins with the byte order mark U+FEFF loses it')
      }
      return bytes
    },
    decode: (bytes) => decoder.decode(bytes),
  }
}

/** Whether there is such a text: the value itself, or among the names and values of what the library has encoded. */
function hasText(value: unknown, is: (text: string) => boolean): boolean {
  if (typeof value === 'string') return is(value)
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return false
  return Object.entries(value).some(([name, one]) => is(name) || hasText(one, is))
}

function cborCoder(
  { encode, decode, TypeEncoderMap }: typeof Cbor,
  { writeInt, writeTag, writeUnknown }: typeof CborEncoder,
): Coder {
  const types = new TypeEncoderMap()
  // Otherwise as its `toJSON` gives it.
  types.registerEncoder(Buffer, (bytes: Buffer) => [
    UNTAGGED,
    new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length),
  ])
  types.registerEncoder(Map, (map: Map<unknown, unknown>, writer, all) => {
    if (isNamed(map.keys())) writeTag(CBOR_MAP_TAG, writer, all)
    writeInt(map.size, writer, CBOR_MAP)
    for (const [key, value] of map) {
      writeUnknown(key, writer, all)
      writeUnknown(value, writer, all)
    }
    return undefined
  })
  /** The object that was read last, and of what: its members may come in another order. */
  let last: { readonly object: unknown; readonly of: readonly (readonly unknown[])[] } | undefined
  const createObject = (of: readonly (readonly [unknown, unknown, ...unknown[]])[]): unknown => {
    if (!of.every(([key]) => typeof key === 'string'))
      return new Map(of.map(([key, value]) => [key, value]))
    const object: unknown = Object.fromEntries(of)
    last = { object, of }
    return object
  }
  const toMap = ({ contents }: { readonly contents: unknown }): unknown => {
    if (last === undefined || contents !== last.object) throw new TypeError('a map is expected')
    return new Map(last.of.map(([key, value]) => [key, value]))
  }
  const reading = {
    collapseBigInts: false,
    // How deep it is was seen when it was written.
    maxDepth: Number.POSITIVE_INFINITY,
    createObject,
    tags: new Map([[CBOR_MAP_TAG, toMap]]),
  }
  // Bigints stay bigints, and strings that are no UTF-8 what they are.
  const options = { types, dateTag: CBOR_DATE_TAG, collapseBigInts: false, wtf8: true }
  return {
    encode: (value) => {
      const bytes = encode(value, options)
      if (bytes.length === 1 && bytes[0] === CBOR_UNDEFINED) {
        throw new TypeError('its toJSON gives undefined, which is how a missing key reads')
      }
      if (bytes.length > CBOR_LEVELS && isDeeper(bytes, CBOR_LEVELS)) {
        throw new RangeError(`it has more than ${CBOR_LEVELS} levels`)
      }
      return bytes
    },
    decode: (bytes) => {
      try {
        return decode(bytes, reading)
      } finally {
        last = undefined
      }
    },
  }
}

/** Whether all keys of a map are text. */
function isNamed(keys: Iterable<unknown>): boolean {
  for (const key of keys) if (typeof key !== 'string') return false
  return true
}

/** Whether more than `levels` arrays, maps and tags lie in each other, in bytes that the library has written. */
function isDeeper(bytes: Uint8Array, levels: number): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  /** Of each level: how many items are still to come. */
  const left: number[] = []
  for (let at = 0; at < bytes.length; ) {
    const major = bytes[at]! >> 5
    const short = bytes[at]! & 31
    at++
    let number = short
    if (short === 24) number = view.getUint8(at)
    else if (short === 25) number = view.getUint16(at)
    else if (short === 26) number = view.getUint32(at)
    else if (short === 27) number = Number(view.getBigUint64(at))
    if (short >= 24) at += 2 ** (short - 24)
    if (left.length > 0) left[left.length - 1]!--
    if (major === 2 || major === 3) at += number
    else if (major === 4 || major === 5) left.push(number * (major - 3))
    else if (major === 6) left.push(1)
    if (left.length > levels) return true
    while (left.at(-1) === 0) left.pop()
  }
  return false
}
