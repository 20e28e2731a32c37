/**
 * `open` and `describe`, as the user sees them; how opening goes is in `opening.ts`.
 */

import { engines } from '../engines.ts'
import type { Environment } from '../environment/environment.ts'
import { effect } from '../environment/routine.ts'
import type { ChecksumName } from '../storage/block-form.ts'
import type { CipherName } from '../storage/cipher.ts'
import type { CompressionName } from '../storage/compression.ts'
import type { Codec, KeyCodecs, ValueCodecs } from './codec.ts'
import { openWith, readDescription } from './opening.ts'
import type { DefaultEngine, EngineMap, EngineName, OpenOptions } from './options.ts'
import type { SchemaOption } from './types.ts'

/** What a store says of itself without being opened. */
export interface StoreDescription {
  readonly engine: string
  /** 32 hex digits, random. */
  readonly storeId: string
  /** Names of the codecs. */
  readonly keys: string
  readonly values: string
  /** Options that belong to the files. */
  readonly options: Readonly<Record<string, unknown>>
  readonly checksum: ChecksumName
  readonly compression: CompressionName
  /** `undefined`: not encrypted. */
  readonly cipher: CipherName | undefined
}

export interface DescribeOptions {
  readonly environment?: Environment
}

type Opened<E extends EngineName, K, V, I> = EngineMap<K, V, I>[E]['store']

/**
 * Opens the store in the folder `path`, making it when there is none; `':memory:'` is a new one in memory.
 *
 * @example
 * const db = await open('./data', { values: 'json' })
 * await db.put('user:1', { name: 'Alice' })
 * await db.close()
 */
export function open<
  E extends EngineName = DefaultEngine,
  KC extends keyof KeyCodecs = 'utf8',
  VC extends keyof ValueCodecs = 'utf8',
  V extends ValueCodecs[VC] = ValueCodecs[VC],
  I = V,
>(
  path: string,
  options?: OpenOptions<E, KC, VC> & SchemaOption<V, I>,
): Promise<Opened<E, KeyCodecs[KC], V, I>>
export function open<
  K,
  E extends EngineName = DefaultEngine,
  VC extends keyof ValueCodecs = 'utf8',
  V extends ValueCodecs[VC] = ValueCodecs[VC],
  I = V,
>(
  path: string,
  options: OpenOptions<E, Codec<K>, VC> & SchemaOption<V, I> & { readonly keys: Codec<K> },
): Promise<Opened<E, K, V, I>>
export function open<
  V,
  E extends EngineName = DefaultEngine,
  KC extends keyof KeyCodecs = 'utf8',
  I = V,
>(
  path: string,
  options: OpenOptions<E, KC, Codec<V>> & SchemaOption<V, I> & { readonly values: Codec<V> },
): Promise<Opened<E, KeyCodecs[KC], V, I>>
export function open<K, V, E extends EngineName = DefaultEngine, I = V>(
  path: string,
  options: OpenOptions<E, Codec<K>, Codec<V>> &
    SchemaOption<V, I> & {
      readonly keys: Codec<K>
      readonly values: Codec<V>
    },
): Promise<Opened<E, K, V, I>>
export function open(path: string, options?: object): Promise<unknown> {
  return openWith(engines, path, options).async()
}

/** `open` that returns the store itself, and holds the thread meanwhile. */
export function openSync<
  E extends EngineName = DefaultEngine,
  KC extends keyof KeyCodecs = 'utf8',
  VC extends keyof ValueCodecs = 'utf8',
  V extends ValueCodecs[VC] = ValueCodecs[VC],
  I = V,
>(
  path: string,
  options?: OpenOptions<E, KC, VC> & SchemaOption<V, I>,
): Opened<E, KeyCodecs[KC], V, I>
export function openSync<
  K,
  E extends EngineName = DefaultEngine,
  VC extends keyof ValueCodecs = 'utf8',
  V extends ValueCodecs[VC] = ValueCodecs[VC],
  I = V,
>(
  path: string,
  options: OpenOptions<E, Codec<K>, VC> & SchemaOption<V, I> & { readonly keys: Codec<K> },
): Opened<E, K, V, I>
export function openSync<
  V,
  E extends EngineName = DefaultEngine,
  KC extends keyof KeyCodecs = 'utf8',
  I = V,
>(
  path: string,
  options: OpenOptions<E, KC, Codec<V>> & SchemaOption<V, I> & { readonly values: Codec<V> },
): Opened<E, KeyCodecs[KC], V, I>
export function openSync<K, V, E extends EngineName = DefaultEngine, I = V>(
  path: string,
  options: OpenOptions<E, Codec<K>, Codec<V>> &
    SchemaOption<V, I> & {
      readonly keys: Codec<K>
      readonly values: Codec<V>
    },
): Opened<E, K, V, I>
export function openSync(path: string, options?: object): unknown {
  return openWith(engines, path, options).sync()
}

/** Reads what the store in the folder `path` says of itself; `NOT_FOUND` where there is none. It may be open meanwhile. */
export async function describe(path: string, options?: DescribeOptions): Promise<StoreDescription> {
  return await effect(() => readDescription(path, options)).async()
}

/** `describe` at once. */
export function describeSync(path: string, options?: DescribeOptions): StoreDescription {
  return effect(() => readDescription(path, options)).sync()
}
