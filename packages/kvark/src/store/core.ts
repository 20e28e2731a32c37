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
import type { KeyBuffer } from './key-buffer.ts'
import type { Life } from './life.ts'
import { endOf, startOf } from './spaces.ts'
import type { Wanted } from './tables.ts'
import type { WriteQueue } from './write-queue.ts'

export class Core<K, V> {
  readonly life: Life
  /** Of the table; 0: the root. */
  readonly number: number
  /** The id of its key space, of this moment: a table that is cleared or made gets another core. */
  readonly space: number
  /** Of a table that is not there: what its first put makes. */
  readonly unmade: Wanted | undefined
  /** Before the first of its keys, and behind the last. */
  readonly from: Buffer
  readonly to: Buffer
  readonly keys: InternalCodec<K>
  readonly values: InternalCodec<V>
  /** Of puts that name no end, ms; 0: they have none. */
  readonly ttl: number
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

  constructor(
    life: Life,
    { number, space }: { readonly number: number; readonly space: number },
    keys: InternalCodec<K>,
    values: InternalCodec<V>,
    ttl: number,
    unmade?: Wanted,
  ) {
    this.life = life
    this.number = number
    this.space = space
    this.unmade = unmade
    this.from = startOf(space)
    this.to = endOf(space)
    this.keys = keys
    this.values = values
    this.ttl = ttl
    this.engine = life.engine
    this.modules = life.modules
    this.environment = life.environment
    this.queue = life.queue
    this.key = life.key
    this.found = life.found
    this.copies = isCustom(keys) || isCustom(values)
    this.#keyBytes = life.engine.limits.keyBytes
  }

  /** Builds the internal key of `key` in `this.key`; returns its length. */
  encodeKey(key: K): number {
    if (this.life.unsettled) this.life.checkOpen()
    return this.buildKey(key)
  }

  /** The same for a store that is known to be open. */
  buildKey(key: K): number {
    const { keys, key: target } = this
    if (target.space !== this.space) target.begin(this.space)
    const length =
      keys.encodeKey === undefined ? keys.encodeInto(key, target) : keys.encodeKey(key, target)
    if (length > this.#keyBytes) throw this.keyTooLong(length)
    if (this.copies) this.#moveKey(length)
    return target.used + length
  }

  /** A codec of the user's may have read from another table meanwhile: then the key stands behind the id of that one. */
  #moveKey(length: number): void {
    const { key } = this
    if (key.space === this.space) return
    const bytes = Buffer.from(key.bytes.subarray(key.used, key.used + length))
    key.begin(this.space)
    // First: it may replace `bytes`.
    const at = key.reserve(length)
    key.bytes.set(bytes, at)
  }

  /**
   * A key for a call that waits: as it is now, for bytes and tuples are the caller's, who may use them again meanwhile. What a codec of the
   * user's takes is left as it is.
   */
  heldKey(key: K): K {
    if (typeof key !== 'object' || this.copies) return key
    const length = this.encodeKey(key)
    return this.keys.decode(this.key.bytes, this.key.used, length, false)
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

function isCustom(codec: Pick<InternalCodec<unknown>, 'name' | 'inner'>): boolean {
  return codec instanceof CustomCodec || codec.inner instanceof CustomCodec
}
