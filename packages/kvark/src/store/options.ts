/**
 * Options of `open`, and `EngineMap`: each engine's own options and store type. The pure types of it; the checks are in
 * `open.ts`.
 */

import type { BtreeOptions } from '../engines/btree/options.ts'
import type { LogOptions } from '../engines/log/options.ts'
import type { Environment } from '../environment/environment.ts'
import type { ChecksumName } from '../storage/block-form.ts'
import type { CipherName } from '../storage/cipher.ts'
import type { CompressionName } from '../storage/compression.ts'
import type { Durability } from '../storage/durability.ts'
import type { AtomicStore, Configurable, ExpiryInterval, OrderedStore, Store } from './types.ts'

/** What every store takes. */
export interface StoreOptions extends ExpiryInterval {
  /** Make the store when there is none (default `true`); with `false` a missing one is `NOT_FOUND`. */
  readonly create?: boolean
  /**
   * Only read (default `false`): nothing on the disk changes, whatever state the store is in, and writing is `READ_ONLY`. What recovery
   * after a crash has to change is kept in memory. The store must not be open elsewhere meanwhile. The right to write is not needed.
   */
  readonly readOnly?: boolean
  /** Refuse to open a store that exists already (default `false`). */
  readonly errorIfExists?: boolean
  /**
   * What a write's promise waits for. `none`: nothing; flushed within 1 s or 1 MiB. `os`: handed to the operating system,
   * survives a killed process. `disk` (default): on disk, survives power loss; concurrent callers share one sync.
   */
  readonly durability?: Durability
  /**
   * How long entries live that are put without an end of their own, ms (default: for ever): in the root, and in tables that have no `ttl` of
   * their own. Not kept by the store: it goes for puts from now on, until the store is closed.
   */
  readonly ttl?: number
  /**
   * Calls of the store and its tables that take at least so many ms are told of on the channel `kvark:slow` of `node:diagnostics_channel`
   * (default: none are, and no call looks at the clock).
   */
  readonly slowMs?: number
  /** Memory for cached blocks, bytes (default 64 MiB, from 1 MiB to 256 GiB). */
  readonly cacheBytes?: number
  /** How blocks are checked: `crc32` (default) or `xxh64`, both to 32 bits. A property of the store, as `compression` is. */
  readonly checksum?: ChecksumName
  /**
   * How blocks are compressed: `none` (default), `lz4` (fast), `deflate`, `zstd` (Node 22.15 and newer). A property of the store: left
   * out when it is opened again, it is as the store was made.
   */
  readonly compression?: CompressionName
  /** Encrypts everything that the store writes. The store cannot be opened without the same key or passphrase. */
  readonly encryption?: Encryption
  /** How long to wait for another holder of the store, ms (default 0). */
  readonly lockTimeoutMs?: number
  /** Another world to live in: files, clock, randomness. For tests. */
  readonly environment?: Environment
}

/**
 * The secret of an encrypted store. A `key` (at least 16 random bytes) opens at once; a `passphrase` goes through scrypt, which takes
 * about a fifth of a second and 64 MiB at each opening. The secret only wraps a random data key: see `rekey`.
 */
export type Encryption = (
  | { readonly key: Uint8Array; readonly passphrase?: never }
  | { readonly passphrase: string; readonly key?: never }
) & {
  /** Default `aes-256-gcm`. */
  readonly cipher?: CipherName
}

/** Each engine: its options and the store it gives. `any` opens what is there. */
export interface EngineMap<K, V, I = V> {
  btree: {
    options: BtreeOptions
    store: OrderedStore<K, V, I> & Configurable<Omit<BtreeOptions, 'pageBytes'>>
  }
  log: { options: LogOptions; store: AtomicStore<K, V, I> & Configurable<LogOptions> }
  any: { options: object; store: Store<K, V, I> }
}

/** The engine of `open` without `engine`. */
export type DefaultEngine = 'btree'

export type EngineName = keyof EngineMap<unknown, unknown>

export type OpenOptions<E extends EngineName, KC, VC> = StoreOptions &
  EngineMap<unknown, unknown>[E]['options'] & {
    readonly engine?: E
    /** How keys become bytes (default `utf8`). */
    readonly keys?: KC
    /** How values become bytes (default `utf8`). */
    readonly values?: VC
  }
