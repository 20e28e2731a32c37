/**
 * What reading and writing a table takes: how its keys and values become bytes, and the life of the store that it belongs to.
 *
 * 1. User code runs inside codecs and may call the store again: see `life.ts`.
 */

import type { Engine, EngineModule } from '../engine/engine.ts'
import type { Found } from '../engine/found.ts'
import type { Environment } from '../environment/environment.ts'
import { KvarkError } from '../errors.ts'
import { CustomCodec } from './codecs/custom.ts'
import type { InternalCodec } from './internal-codec.ts'
import { type KeyBuffer, PREFIX_BYTES } from './key-buffer.ts'
import type { Life } from './life.ts'
import type { WriteQueue } from './write-queue.ts'

export class Core<K, V> {
  readonly life: Life
  readonly keys: InternalCodec<K>
  readonly values: InternalCodec<V>
  /** Those of `life`. */
  readonly engine: Engine
  readonly modules: Readonly<Record<string, EngineModule>>
  readonly environment: Environment
  readonly queue: WriteQueue
  readonly key: KeyBuffer
  readonly found: Found
  /** A codec is the user's: it may call the store while it decodes, so it gets bytes that stay as they are. */
  readonly copies: boolean
  readonly #keyBytes: number

  constructor(life: Life, keys: InternalCodec<K>, values: InternalCodec<V>) {
    this.life = life
    this.keys = keys
    this.values = values
    this.engine = life.engine
    this.modules = life.modules
    this.environment = life.environment
    this.queue = life.queue
    this.key = life.key
    this.found = life.found
    this.copies = keys instanceof CustomCodec || values instanceof CustomCodec
    this.#keyBytes = life.engine.limits.keyBytes
  }

  /** Builds the internal key of `key` in `this.key`; returns its length. */
  encodeKey(key: K): number {
    if (this.life.unsettled) this.life.checkOpen()
    const { keys } = this
    const length =
      keys.encodeKey === undefined ? keys.encodeInto(key, this.key) : keys.encodeKey(key, this.key)
    if (length > this.#keyBytes) throw this.keyTooLong(length)
    return PREFIX_BYTES + length
  }

  keyTooLong(length: number): KvarkError {
    const limit = this.#keyBytes
    return new KvarkError(
      'INVALID_KEY',
      `The key has ${length} bytes; the engine '${this.engine.name}' takes up to ${limit}. Use a shorter one, for example a digest of it.`,
      { expected: limit, found: length },
    )
  }
}
