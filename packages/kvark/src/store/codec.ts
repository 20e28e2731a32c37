/**
 * Codecs turn keys and values into bytes and back. The names of a store's codecs are kept in it and checked when it is
 * opened.
 */

/**
 * A way to write `T` as bytes. `encode` throws, or returns something that is not bytes, for what it refuses; kvark turns that into
 * `INVALID_KEY` or `INVALID_VALUE`. `decode` gets a view that is valid during the call only, and throws on bytes that it did
 * not write (`DECODE`). Keys: equal values must give equal bytes, different values different bytes.
 *
 * @example
 * const date: Codec<Date> = {
 *   name: 'example-date',
 *   encode: (date) => new TextEncoder().encode(date.toISOString()),
 *   decode: (bytes) => new Date(new TextDecoder().decode(bytes)),
 * }
 */
export interface Codec<T> {
  /** Kept in the store; opening it with a codec of another name is `MISMATCH`. */
  readonly name: string
  encode(value: T): Uint8Array
  decode(bytes: Uint8Array): T
}

/**
 * Codecs by name. `json` is for values, `tuple` for keys. `msgpack` needs the package `@msgpack/msgpack` beside kvark, `cbor` the
 * package `cbor2`; without it they are `UNSUPPORTED`.
 */
export interface KeyCodecs {
  utf8: string
  bytes: Uint8Array
  tuple: Tuple
}
export interface ValueCodecs {
  utf8: string
  bytes: Uint8Array
  json: unknown
  msgpack: unknown
  cbor: unknown
}

/** What a `tuple` key may hold; order: null < bytes < string < array < number = bigint < boolean < Date. */
export type TupleElement =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Date
  | readonly TupleElement[]
export type Tuple = readonly TupleElement[]
