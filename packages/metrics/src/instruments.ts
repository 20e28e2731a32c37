/**
 * What is measured: from `stats()` of a store when somebody asks for the metrics, and from its messages as they come. Both kinds of metrics
 * are made from these tables, so that they have the same names.
 *
 *   name in here      Prometheus                             OpenTelemetry
 *   disk, bytes       kvark_disk_bytes                       kvark.disk, By
 *   cache_hits        kvark_cache_hits_total                 kvark.cache_hits
 *   checkpoint        kvark_checkpoint_duration_seconds      kvark.checkpoint.duration, s
 */

import type { Stats } from 'kvark'

/** A number of `stats()`. */
export interface Measure {
  readonly name: string
  readonly kind: 'gauge' | 'counter'
  readonly unit: 'bytes' | 'seconds' | undefined
  readonly help: string
  readonly of: (this: void, stats: Stats) => number
}

type Made = readonly [name: string, unit: Measure['unit'], help: string, of: Measure['of']]

const gauges: readonly Made[] = [
  ['entries', undefined, 'Entries of all tables', (s) => s.entries],
  ['tables', undefined, 'Tables, without the root', (s) => s.tables],
  ['files', undefined, 'Files', (s) => s.files],
  ['disk', 'bytes', 'Length of the files', (s) => s.diskBytes],
  ['stale', 'bytes', 'Bytes on disk that compaction could free', (s) => s.staleBytes],
  ['journal', 'bytes', 'Journal behind the last checkpoint', (s) => s.journalBytes],
  ['index', 'bytes', 'Memory of the resident index', (s) => s.indexBytes],
  ['cache', 'bytes', 'Memory of cached blocks', (s) => s.cachedBytes],
  ['sequence', undefined, 'The last write', (s) => s.sequence],
  ['durable_sequence', undefined, 'The last write on disk', (s) => s.durableSequence],
  ['waiting_writes', undefined, 'Writes that wait for the disk', (s) => s.waitingWrites],
  ['snapshots', undefined, 'Living snapshots and cursors', (s) => s.snapshots],
  ['oldest_snapshot', 'seconds', 'Age of the oldest snapshot', (s) => s.oldestSnapshotMs / 1000],
  ['snapshot', 'bytes', 'What is held for snapshots only', (s) => s.snapshotBytes],
  ['busy', undefined, '1 while work in the background goes on', (s) => (s.compacting ? 1 : 0)],
  ['read_only', undefined, '1 while no writes are taken', (s) => (s.readOnly ? 1 : 0)],
]

const counters: readonly Made[] = [
  ['cache_hits', undefined, 'Blocks that were in memory when wanted', (s) => s.cacheHits],
  ['cache_misses', undefined, 'Blocks that were not', (s) => s.cacheMisses],
]

export const NUMBERS: readonly Measure[] = [
  ...gauges.map(([name, unit, help, of]): Measure => ({ name, kind: 'gauge', unit, help, of })),
  ...counters.map(([name, unit, help, of]): Measure => ({ name, kind: 'counter', unit, help, of })),
]

/** A job: how long it took, by its outcome, and a count of bytes. */
export interface JobInstrument {
  readonly channel: 'kvark:recovery' | 'kvark:checkpoint' | 'kvark:compaction'
  readonly name: string
  readonly help: string
  readonly bytes: { readonly name: string; readonly help: string }
}

export const JOBS: readonly JobInstrument[] = [
  {
    channel: 'kvark:recovery',
    name: 'recovery',
    help: 'Time that resuming took',
    bytes: { name: 'recovery_read', help: 'Bytes of the journal that were read' },
  },
  {
    channel: 'kvark:checkpoint',
    name: 'checkpoint',
    help: 'Time that checkpoints took',
    bytes: { name: 'checkpoint_written', help: 'Bytes that checkpoints have written' },
  },
  {
    channel: 'kvark:compaction',
    name: 'compaction',
    help: 'Time that compactions took',
    bytes: { name: 'compaction_freed', help: 'Bytes by which compactions have made files shorter' },
  },
]

export const FAILURES = { name: 'failures', help: 'Times that the store stopped taking writes' }
export const SLOW = { name: 'slow_call', help: 'Time that calls of at least slowMs took' }

/** Bounds of durations, seconds. */
export const SECONDS: readonly number[] = [
  0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 1800,
]
