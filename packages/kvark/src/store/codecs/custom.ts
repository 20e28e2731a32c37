/**
 * A codec of the user's own, made safe: what its `encode` throws or returns wrongly is a refused key or value, what its
 * `decode` throws is `DECODE`.
 */

import { type ErrorCode, KvarkError } from '../../errors.ts'
import type { Codec } from '../codec.ts'
import type { InternalCodec, Sink } from '../internal-codec.ts'
import { checkBytes, copyInto } from './bytes.ts'
import { brief, type Role, refusal, undecodable } from './refuse.ts'

const ENCODING: readonly ErrorCode[] = ['INVALID_KEY', 'INVALID_VALUE']
const DECODING: readonly ErrorCode[] = ['DECODE']

export class CustomCodec implements InternalCodec<unknown> {
  readonly name: string
  readonly #codec: Codec<unknown>
  readonly #role: Role

  constructor(codec: Codec<unknown>, role: Role) {
    this.name = codec.name
    this.#codec = codec
    this.#role = role
  }

  encodeInto(value: unknown, sink: Sink): number {
    const encoded = this.asBytes(value)
    const at = sink.reserve(encoded.length)
    copyInto(sink.bytes, encoded, at, this.#role)
    return encoded.length
  }

  asBytes(value: unknown): Uint8Array {
    let encoded: unknown
    try {
      encoded = this.#codec.encode(value)
    } catch (error) {
      if (isSaid(error, ENCODING)) throw error
      throw refusal(this.#role, `what the codec '${this.name}' takes`, 'this', brief(error), error)
    }
    checkBytes(encoded, this.#role, `It is what \`encode\` of the codec '${this.name}' returned.`)
    return encoded
  }

  decode(bytes: Buffer, start: number, end: number): unknown {
    try {
      return this.#codec.decode(new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start))
    } catch (error) {
      if (isSaid(error, DECODING)) throw error
      throw undecodable(this.#role, this.name, brief(error), error)
    }
  }
}

/** A codec of the store's, around which the user's is, has said it better already. */
function isSaid(error: unknown, codes: readonly ErrorCode[]): boolean {
  return error instanceof KvarkError && codes.includes(error.code)
}
