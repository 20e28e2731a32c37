/**
 * What engines and stores say about themselves: plain data that the public API hands on. Apart from the contract, so
 * that the types of the public API lead to nothing internal.
 */

import type { KvarkError } from '../errors.ts'

/** What an engine can do. What is false is absent from its store's type and answers `UNSUPPORTED`. */
export interface Supports {
  /** Entries come in key order; ranges, prefixes and `reverse` work. */
  readonly order: boolean
  readonly snapshots: boolean
  readonly atomicBatch: boolean
  readonly transactions: boolean
  readonly watch: boolean
  readonly search: boolean
  readonly threads: boolean
  readonly processes: boolean
}

/** The largest things an engine takes; one more is `INVALID_KEY`, `INVALID_VALUE` or `INVALID_ARGUMENT`. */
export interface Limits {
  /** Longest encoded key, bytes. */
  readonly keyBytes: number
  /** Longest encoded value, bytes. As a whole, not as a stream, it is written and read up to `batchBytes`. */
  readonly valueBytes: number
  /** Keys and values of one batch together, bytes. */
  readonly batchBytes: number
  /** Operations in one batch. */
  readonly batchOperations: number
}

/** Heard during long work: how much of how much is done, in bytes or entries. */
export type Progress = (done: number, total: number) => void

export interface VerifyReport {
  /** Live entries read and checked. */
  readonly entries: number
  /** Bytes on disk read and checked. */
  readonly bytes: number
  /** Each damaged place; empty when all is well. */
  readonly problems: readonly KvarkError[]
}

export interface BackupReport {
  /** Live entries in the copy (an upper bound where expired ones are still counted). */
  readonly entries: number
  /** Bytes of data copied, read back and compared. */
  readonly bytes: number
  /** The last write in the copy: it holds this one and all before it. */
  readonly version: number
  /** Of `bytes`, those in files that the copy shares with the backup `base`. Absent: none. */
  readonly linkedBytes?: number
}

/** A key whose newest value could not be read. */
export interface LostKey {
  readonly key: Uint8Array
  /** The table that it is in; absent: the root. */
  readonly table?: string
  /** Of the write that is lost; `undefined`: it is not known, nor whether anything is lost: what the new store has may be older. */
  readonly version: number | undefined
  /** The older version that the new store has instead; `undefined`: it does not have the key. */
  readonly kept: number | undefined
}

/** A part of a file that could not be read. */
export interface LostRange {
  readonly path: string
  /** First byte, and the one behind the last. Of a file that is missing as a whole `to` is its length, where that is known. */
  readonly from: number
  readonly to: number
  /** What is wrong there, for people. */
  readonly reason: string
  /** Keys that are known to have lost their value there. There may be more: most often a key is lost with its value. */
  readonly keys?: readonly LostKey[]
}

export interface RepairReport {
  /** Entries in the new store. */
  readonly entries: number
  /** Bytes of data written to it. */
  readonly bytes: number
  /** What could not be read; empty when all is there. */
  readonly lost: readonly LostRange[]
}

/** Numbers of one engine; the store adds its own. All plain, JSON-able. What is counted is so since the store was opened or resumed. */
export interface EngineStats {
  /** Live entries (an upper bound where expired ones are still counted). */
  readonly entries: number
  /** Files and bytes on disk. */
  readonly files: number
  readonly diskBytes: number
  /** Bytes of the journal behind the last checkpoint: what opening would have to read after a crash. */
  readonly journalBytes: number
  /** Bytes on disk that compaction could free. */
  readonly staleBytes: number
  /** Memory of the index that stays resident, bytes; 0 where there is none. */
  readonly indexBytes: number
  /** Memory of cached blocks, bytes. */
  readonly cachedBytes: number
  /** Blocks that were wanted and were in memory, or were not. */
  readonly cacheHits: number
  readonly cacheMisses: number
  /** Last sequence given out, and the last one that is durable on disk. */
  readonly sequence: number
  readonly durableSequence: number
  /** Living snapshots (cursors included), ms since the oldest was taken, and bytes held only for them. */
  readonly snapshots: number
  readonly oldestSnapshotMs: number
  readonly snapshotBytes: number
  /** Checkpoints finished: the tree's pages written, the log's index stored. */
  readonly checkpoints: number
  /** Compactions finished. */
  readonly compactions: number
  /** Whether work in the background is going on: compaction, a checkpoint, expiry. */
  readonly compacting: boolean
}

/** The pages of a tree that are equally far from its leaves. */
export interface TreeLevel {
  /** 0: the leaves. */
  readonly level: number
  readonly pages: number
  /** In the leaves those of the store, above them one for each page of the level below. */
  readonly entries: number
  /** How much of the pages is taken, from 0 to 1. */
  readonly fill: number
}

/** What `kvark inspect` shows: the files of a store and what is in them. All plain, JSON-able. */
export interface Inspection {
  readonly files: readonly {
    readonly name: string
    readonly kind: string
    readonly bytes: number
    readonly detail: Readonly<Record<string, string | number | boolean>>
  }[]
  readonly detail: Readonly<Record<string, string | number | boolean>>
  /** Of an engine whose data is a tree: its levels, from the root down to the leaves. */
  readonly levels?: readonly TreeLevel[]
}
