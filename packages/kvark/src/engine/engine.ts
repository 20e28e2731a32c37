/**
 * The contract that every storage engine keeps. An engine stores *entries*: internal key → value, each with the
 * sequence of the write that made it and an optional expiry. An internal key is the table's id (varint, 0 = root)
 * followed by the user's key bytes; engines treat it as opaque bytes.
 *
 * How a read meets the disk. The hot calls (`find`, `write`, `EngineCursor.next`) are plain functions over what is in
 * memory and answer with a `Status`:
 *
 *            ┌────────────── BLOCKED: found.block names what is missing ◄──┐
 *            ▼                                                             │
 *    load it (at once, or awaited), run the call again, release it ───────►┘──► FOUND | MISSING | SPREAD
 *                                                                               SPREAD: run found.gather(), then FOUND
 *
 * so one read path serves `getSync` and `get`.
 *
 * 1. A write is sequenced, journaled (in memory) and visible when `write` returns `DONE`; `commit` makes it durable.
 *    A refused write leaves no trace.
 * 2. `find`, cursors and snapshots see a prefix of the order of writes.
 * 3. A failed append or sync makes the engine read-only (`failure`) until `resume`.
 * 4. Bytes in a `Found` are the engine's: valid until the next call into the engine, then they may change.
 * 5. Routines run interleaved with every other call; between two effects an engine is always consistent.
 */

import type { Environment } from '../environment/environment.ts'
import type { Effect, Routine } from '../environment/routine.ts'
import type { KvarkError } from '../errors.ts'
import type { ChecksumName, StoreForm } from '../storage/block-form.ts'
import type { CompressionName } from '../storage/compression.ts'
import type { Descriptor } from '../storage/descriptor.ts'
import type { Durability } from '../storage/durability.ts'
import type {
  BackupReport,
  EngineStats,
  Inspection,
  Limits,
  Progress,
  RepairReport,
  Supports,
  TreeLevel,
  VerifyReport,
} from './facts.ts'
import type { Found } from './found.ts'
import type { Load } from './load.ts'
import type { Spool } from './spool.ts'
import type { WriteBatch } from './write-batch.ts'

export type {
  BackupReport,
  Durability,
  EngineStats,
  Inspection,
  Limits,
  Progress,
  RepairReport,
  Supports,
  TreeLevel,
  VerifyReport,
}

/** No such entry; from a cursor: the end. */
export const MISSING = 0
/** The entry is in `found`. */
export const FOUND = 1
/** Not in memory: load `found.block` and call again. */
export const BLOCKED = 2
/** The entry lies in several blocks: run `found.gather()`, then it is in `found`. */
export const SPREAD = 3
/** `write`: a condition did not hold; `batch.conflict` tells which. Nothing was written. */
export const REFUSED = 4
/** `write`: done, visible. */
export const DONE = 5
export type Status = 0 | 1 | 2 | 3 | 4 | 5

/** A fixed view. Costs what is overwritten while it lives. */
export interface EngineSnapshot {
  /** The last write it sees. */
  readonly sequence: number
  /** The time by which it judges expiry, ms. */
  readonly clock: number
  release(): void
}

/** Which entries to walk: internal keys from `from` (inclusive) to `to` (exclusive; empty: to the end). */
export interface ScanRequest {
  readonly at: EngineSnapshot | undefined
  readonly from: Uint8Array
  readonly to: Uint8Array
  readonly reverse: boolean
  /** Resume where a cursor's `token` was taken; `undefined`: from the start. */
  readonly token: Uint8Array | undefined
}

/** Walks entries of one view; an ordered engine in key order, an unordered one in an order of its own. */
export interface EngineCursor {
  /** The next entry: `FOUND`, `SPREAD` (gather it), `BLOCKED` (load and call again), or `MISSING` at the end. */
  next(found: Found): Status
  /**
   * Ordered engines only: continue at the first key ≥ `key[0..length)` (with `reverse`: ≤), within the request's range.
   * The next call of `next` goes there.
   */
  seek?(key: Uint8Array, length: number): void
  /** Where the next entry will come from, to resume later, also in another process. */
  token(): Uint8Array
  /** The entry that `next` has just found is not given after all: the token is before it. Nothing but the token is asked for then. */
  takeBack(): void
  close(): void
}

/** Where a copy of a store goes: a folder, possibly in another world than the store's. */
export interface BackupTarget {
  readonly environment: Environment
  readonly folder: string
  /** Of an earlier backup of the same store: files that are the same there, and never change, may be shared with it. */
  readonly base?: string
}

export interface Engine {
  readonly name: string
  readonly supports: Supports
  readonly limits: Limits
  /** Why it takes no writes; `undefined` when it does. */
  readonly failure: KvarkError | undefined
  /** The sequence of the last write. */
  readonly sequence: number
  /** The time by which it judges expiry, ms since 1970: the environment's, but it never goes back, also not across restarts. */
  readonly clock: number

  /** Looks up the internal key `key[0..length)`, now or at a snapshot: `FOUND`, `MISSING`, `BLOCKED`, `SPREAD`. */
  find(key: Uint8Array, length: number, at: EngineSnapshot | undefined, found: Found): Status

  /**
   * Writes a batch as a whole: `DONE`, `REFUSED` (a condition failed), or `BLOCKED` (nothing changed: run `warm`, then
   * again). Deleting what is not there writes nothing. Throws the `failure` of a read-only engine.
   */
  write(batch: WriteBatch): Status
  /** Brings what `write` of this batch needs into memory; after it `write` of this batch does not answer `BLOCKED`. */
  warm(batch: WriteBatch): Routine<void>
  /**
   * Begins a value of `SPOOL_BYTES` or more for the internal key `key[0..length)`, which a batch is to put, with the same expiry, when
   * all of it is there. Throws the `failure` of a read-only engine.
   */
  spool(key: Uint8Array, length: number, expiry: number): Spool
  /** To be waited for before `spool`: ends when what earlier ones left is nearly tidied up. Absent: nothing is left. */
  readonly spoolRoom?: Effect<void>
  /**
   * Begins entries that come in the order of their keys, which a batch is to put as a whole; all of them expire then (0: never). Present when
   * `supports.order`. Throws the `failure` of a read-only engine.
   */
  load?(expiry: number): Load
  /** Everything written so far gets at least this durable; concurrent callers share one sync. */
  commit(durability: Durability): Effect<void>

  /** Present when `supports.snapshots`. */
  snapshot?(): EngineSnapshot
  cursor(request: ScanRequest): EngineCursor

  /** The number of live entries that a cursor of this request would give. Absent: it takes one to know. */
  count?(request: ScanRequest): Routine<number>
  /**
   * Looks for entries that have expired, and begins in the background to give their space back where that is worth it. Called now and
   * then, and never where nothing may be written; takes a bounded part of the time. Returns whether it should be called again: some
   * entry may have an expiry. Absent: there is nothing to be done.
   */
  expire?(): boolean
  /** Rewrites what holds stale data, expired entries among it, until nothing more can be freed. */
  compact(progress: Progress | undefined, signal: AbortSignal | undefined): Routine<void>
  /** Reads and checks everything. Damage is in the report, not thrown. */
  verify(progress: Progress | undefined, signal: AbortSignal | undefined): Routine<VerifyReport>
  /**
   * Copies the engine's files into `to`, as they are at one moment from now on: a prefix of the writes, all of it durable, while
   * writes go on. Nothing of the engine's is in the folder yet. When it returns, the copy is durable, and what was written has
   * been read back. `CORRUPTION` where a byte of the store that the copy needs is damaged. What a failure leaves is the caller's
   * to remove.
   */
  backup(
    to: BackupTarget,
    progress: Progress | undefined,
    signal: AbortSignal | undefined,
  ): Routine<BackupReport>
  /** Tells what the files are and what is in them, as far as it can be read. */
  inspect(progress: Progress | undefined, signal: AbortSignal | undefined): Routine<Inspection>
  /** After a failure: reloads the state from what the disk holds and takes writes again. Without one: nothing. */
  resume(): Routine<void>
  /** Changes options that may change while open; the store has checked names and types by `EngineModule.options`. */
  configure(options: Readonly<Record<string, unknown>>): void
  stats(): EngineStats
  /**
   * Stops background work, makes everything durable, records a clean end, and lets go of all files. Whatever is still under way when
   * it returns, as it can be under the sync driver, leaves the folder as it is from then on: somebody else may have it.
   */
  close(): Routine<void>
}

/** How one engine option is checked. */
export interface OptionRule {
  readonly check: (value: unknown) => boolean
  /** Completes the sentence "… must be". */
  readonly expected: string
  /** Kept in the descriptor: opening with another value is `MISMATCH`. */
  readonly pinned: boolean
  /** May be changed by `configure`. */
  readonly live: boolean
  readonly default: unknown
}

/** What the store hands to an engine that opens. The folder exists, is locked, and its descriptor is written. */
export interface EngineContext {
  readonly environment: Environment
  readonly folder: string
  readonly descriptor: Descriptor
  readonly form: StoreForm
  /** Checked engine options, defaults filled in. */
  readonly options: Readonly<Record<string, unknown>>
  readonly cacheBytes: number
  /** The folder was made just now: nothing is in it. */
  readonly created: boolean
  /** What is written goes nowhere: when the engine closes, nothing has to be made last. */
  readonly readOnly?: boolean
}

/** What the store hands to an engine that salvages. Both folders exist and are locked. */
export interface SalvageContext {
  readonly environment: Environment
  /** Of the damaged store, which is only read. */
  readonly folder: string
  readonly descriptor: Descriptor
  /** How both stores have their data in files. */
  readonly form: StoreForm
  /** The new store; nothing of the engine's is in its folder yet. */
  readonly to: { readonly folder: string; readonly descriptor: Descriptor }
  readonly progress: Progress | undefined
  readonly signal: AbortSignal | undefined
}

/** What the files of a store say of it whose descriptor is lost. */
export interface StoreIdentity {
  readonly storeId: string
  /** Nothing else can be read without what the descriptor held. */
  readonly encrypted: boolean
  readonly checksum: ChecksumName
  readonly compression: CompressionName
  /** Options of the engine that belong to the files. */
  readonly options?: Readonly<Record<string, unknown>>
}

/** Everything the store needs to know of an engine before one is open. */
export interface EngineModule {
  readonly name: string
  readonly supports: Supports
  readonly limits: Limits
  readonly options: Readonly<Record<string, OptionRule>>
  /** Names of the files that it makes in its folder. Half-written ones have `TEMPORARY_SUFFIX` behind, and perhaps hex digits before that. */
  readonly files: RegExp
  /** The last key of a load, from the value of its entry in the journal. Absent: the journal has no entry that only says where bytes are. */
  lastLoaded?(value: Buffer): Uint8Array
  /** Functions over plain data that may run in another thread, by name. */
  readonly jobs: Readonly<
    Record<string, (environment: Environment, args: never) => Routine<unknown>>
  >
  open(context: EngineContext): Routine<Engine>
  /**
   * Writes everything that can still be read of a damaged store to a new one: of each key the newest version that survives. Damage of
   * any kind is in the report, its keys internal ones; only what prevents reading or writing altogether is thrown. Durable when it
   * returns. Absent: the engine cannot.
   */
  salvage?(context: SalvageContext): Routine<RepairReport>
  /** What the files in `folder` say of the store that they belong to; `undefined`: nothing. Comes with `salvage`. */
  identify?(environment: Environment, folder: string): Routine<StoreIdentity | undefined>
}
