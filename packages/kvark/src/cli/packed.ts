/**
 * Values of the codecs `msgpack` and `cbor` in words, where their packages are there; for `dump`, which only shows them. Everything
 * else moves such values as bytes.
 */

import { inspect } from 'node:util'

type Decode = (bytes: Uint8Array) => unknown

const DECODERS: Readonly<Record<string, () => Promise<Decode>>> = {
  msgpack: async () => (await import('@msgpack/msgpack')).decode,
  cbor: async () => (await import('cbor2')).decode,
}

/**
 * What shows values of the codec, `undefined` for bytes that it cannot read; `undefined` where it is another codec, or its package is
 * missing.
 */
export async function packedInWords(
  codec: string,
): Promise<((bytes: Uint8Array) => string | undefined) | undefined> {
  const load = Object.hasOwn(DECODERS, codec) ? DECODERS[codec] : undefined
  let decode: Decode
  try {
    if (load === undefined) return undefined
    decode = await load()
  } catch {
    return undefined
  }
  return (bytes) => {
    let value: unknown
    try {
      value = decode(bytes)
    } catch {
      return undefined
    }
    return inspect(value, {
      depth: Number.POSITIVE_INFINITY,
      compact: true,
      breakLength: Number.POSITIVE_INFINITY,
    })
  }
}
