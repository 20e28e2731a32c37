/**
 * From the option of `open` to the codec that the store works with. The codecs themselves are in `codecs/`, one a file.
 */

import { KvarkError } from '../errors.ts'
import type { Codec } from './codec.ts'
import { BytesCodec } from './codecs/bytes.ts'
import { CustomCodec } from './codecs/custom.ts'
import { JsonCodec } from './codecs/json.ts'
import { cborCodec, messagePackCodec } from './codecs/library.ts'
import { describe, type Role } from './codecs/refuse.ts'
import { TupleCodec } from './codecs/tuple.ts'
import { Utf8Codec } from './codecs/utf8.ts'
import type { InternalCodec } from './internal-codec.ts'

/** A codec whose type only the caller of `open` knows. */
export type AnyCodec = InternalCodec<unknown>

const KEY_CODECS: ReadonlyMap<unknown, () => AnyCodec> = new Map<unknown, () => AnyCodec>([
  ['utf8', () => new Utf8Codec('key')],
  ['bytes', () => new BytesCodec('key')],
  ['tuple', () => new TupleCodec()],
])

const VALUE_CODECS: ReadonlyMap<unknown, () => AnyCodec> = new Map<unknown, () => AnyCodec>([
  ['utf8', () => new Utf8Codec('value')],
  ['bytes', () => new BytesCodec('value')],
  ['json', () => new JsonCodec()],
  ['msgpack', messagePackCodec],
  ['cbor', cborCodec],
])

/** The codec of the option `keys`; `undefined` is the default, `utf8`. */
export function resolveKeyCodec(option: unknown): AnyCodec {
  return resolve(option, 'key', KEY_CODECS)
}

/** The codec of the option `values`; `undefined` is the default, `utf8`. */
export function resolveValueCodec(option: unknown): AnyCodec {
  return resolve(option, 'value', VALUE_CODECS)
}

function resolve(
  option: unknown,
  role: Role,
  known: ReadonlyMap<unknown, () => AnyCodec>,
): AnyCodec {
  const make = known.get(option === undefined ? 'utf8' : option)
  if (make !== undefined) return make()
  if (isCodec(option)) return new CustomCodec(option, role)
  const expected = [...known.keys()].map((name) => `'${String(name)}'`).join(', ')
  throw new KvarkError(
    'INVALID_ARGUMENT',
    `The option '${role}s' must be one of ${expected} or a codec { name, encode, decode }, not ${
      typeof option === 'string' ? `'${option}'` : describe(option)
    }.`,
    { expected: [...known.keys()], found: typeof option === 'string' ? option : describe(option) },
  )
}

function isCodec(option: unknown): option is Codec<unknown> {
  if (typeof option !== 'object' || option === null) return false
  const { name, encode, decode } = option as Partial<Codec<unknown>>
  return (
    typeof name === 'string' &&
    name !== '' &&
    typeof encode === 'function' &&
    typeof decode === 'function'
  )
}
