/** What the B+ tree can do, and its limits. */

import type { Limits, Supports } from '../../engine/engine.ts'

export const SUPPORTS: Supports = {
  order: true,
  snapshots: true,
  atomicBatch: true,
  transactions: true,
  watch: true,
  search: false,
  threads: false,
  processes: false,
}

/** Longest key, bytes: 1 MiB. */
export const MAX_KEY_BYTES: number = 2 ** 20
/** Longest value, bytes: one less than 4 GiB. */
export const MAX_VALUE_BYTES: number = 2 ** 32 - 1
/** Keys and values of one batch, bytes: 256 MiB. */
export const MAX_BATCH_BYTES: number = 2 ** 28
/** Operations of one batch. */
export const MAX_BATCH_OPERATIONS: number = 2 ** 20

export const LIMITS: Limits = {
  keyBytes: MAX_KEY_BYTES,
  valueBytes: MAX_VALUE_BYTES,
  batchBytes: MAX_BATCH_BYTES,
  batchOperations: MAX_BATCH_OPERATIONS,
}
