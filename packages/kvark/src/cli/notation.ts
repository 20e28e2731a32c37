/**
 * How the keys and values of one store are typed and shown. The command line moves bytes: it opens a store with a codec
 * that has the stored codec's name and passes bytes through, so that it works on a store of any codec. Before it writes,
 * it checks what the real codec will have to read back.
 *
 *   codec    as an argument                 what it refuses to write
 *   utf8     bytes in --encoding            what is not UTF-8
 *   bytes    bytes in --encoding            nothing
 *   json     bytes in --encoding            what is not JSON text in UTF-8
 *   tuple    ["user",42], see `tuple.ts`    what kvark's own codec refuses: these keys are not bytes here
 *   others   bytes in --encoding            everything, unless the codec is named with --keys or --values
 */

import { isUtf8 } from 'node:buffer'
import type { Codec, Tuple } from '../index.ts'
import {
  bytesFromJson,
  bytesToJson,
  type Encoding,
  parseBytes,
  type Role,
  refuse,
  showBytes,
} from './bytes.ts'
import { parseTuple, tupleFromJson, tupleToJson } from './tuple.ts'

export type Key = Uint8Array | Tuple

/**
 * One store's way with its keys, or with its values. A store gives back the kind that its codec makes, so a notation of
 * tuples is never handed bytes, though `Key` would let it.
 */
export interface Notation<T> {
  /** What `open` takes as `keys` or `values`. */
  readonly codec: 'tuple' | Codec<Uint8Array>
  /** From an argument. */
  parse(text: string): T
  /** From JSON, the reverse of `toJson`. */
  fromJson(json: unknown): T
  toJson(value: T): unknown
  /** As shown to people. */
  show(value: T): Buffer
  /** Throws where the store's codec could not read the value back. */
  check(value: T): void
}

/** Key codecs that a new store can get. */
export const KEY_CODECS = ['utf8', 'bytes', 'tuple'] as const
/** Value codecs that a new store can get. */
export const VALUE_CODECS = ['utf8', 'bytes', 'json'] as const

/** The codec of a store, and whether the user named it, so as to say: I know what it reads. */
export interface CodecChoice {
  readonly name: string
  readonly named: boolean
}

export function keyNotation(codec: CodecChoice, encoding: Encoding): Notation<Key> {
  return codec.name === 'tuple' ? TUPLES : bytesNotation('key', codec, encoding)
}

export function valueNotation(codec: CodecChoice, encoding: Encoding): Notation<Uint8Array> {
  return bytesNotation('value', codec, encoding)
}

const TUPLES: Notation<Tuple> = {
  codec: 'tuple',
  parse: parseTuple,
  fromJson: tupleFromJson,
  toJson: tupleToJson,
  show: (tuple) => Buffer.from(JSON.stringify(tupleToJson(tuple))),
  check: () => {},
}

function bytesNotation(role: Role, codec: CodecChoice, encoding: Encoding): Notation<Uint8Array> {
  return {
    codec: {
      name: codec.name,
      encode: (bytes) => bytes,
      // The codec's view is valid during the call only.
      decode: (bytes) => bytes.slice(),
    },
    parse: (text) => parseBytes(text, encoding, role),
    fromJson: (json) => bytesFromJson(json, role),
    toJson: (bytes) => bytesToJson(bytes, encoding),
    show: (bytes) => showBytes(bytes, encoding),
    check: (bytes) => checkBytes(bytes, role, codec),
  }
}

function checkBytes(bytes: Uint8Array, role: Role, codec: CodecChoice): void {
  switch (codec.name) {
    case 'bytes':
      return
    case 'utf8':
      if (isUtf8(bytes)) return
      throw refuse(
        role,
        `The ${role}s of this store are text, and this ${role} is not UTF-8. ` +
          `A new store made with --${role}s bytes takes any bytes.`,
      )
    case 'json':
      if (isJson(bytes)) return
      throw refuse(
        role,
        `The ${role}s of this store are JSON, and this ${role} is not: text, for one, stands in double quotes, '"Alice"'.`,
      )
    default:
      if (codec.named) return
      throw refuse(
        role,
        `The ${role}s of this store are written by a codec of its own, '${codec.name}'. ` +
          `To write bytes that it can read, say --${role}s ${codec.name}.`,
      )
  }
}

function isJson(bytes: Uint8Array): boolean {
  if (!isUtf8(bytes)) return false
  try {
    JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString())
    return true
  } catch {
    return false
  }
}
