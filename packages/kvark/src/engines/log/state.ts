/**
 * What an open log consists of. `recover` builds it, `resume` throws it away and builds another, everything else in
 * this folder works on it.
 */

import type { EngineContext } from '../../engine/engine.ts'
import type { Routine } from '../../environment/routine.ts'
import type { Cache } from '../../storage/cache.ts'
import type { Journal } from '../../storage/journal.ts'
import type { SegmentSpool } from '../../storage/segment-spool.ts'
import type { HashIndex } from './hash-index.ts'
import type { Manifest } from './manifest.ts'
import type { LogSegment, LogSegments } from './segments.ts'
import { type LogSnapshot, Snapshots } from './snapshots.ts'

export class LogState {
  readonly context: EngineContext
  readonly cache: Cache
  readonly segments: LogSegments
  readonly snapshots: Snapshots = new Snapshots()
  /** Set right after construction: the journal needs the state as its owner. */
  declare journal: Journal
  index: HashIndex
  manifest: Manifest
  nextFile: number
  /** Everything written before it was cleared. */
  clearedSequence: number
  /** Replaced segments that a snapshot or a read under way still needs. */
  retired: LogSegment[] = []
  /** Told when a snapshot is gone: replaced segments may go. */
  snapshotReleased: () => void = () => {}
  /** Takes a move of entries to their copies one step on; false when none is under way. */
  moveOn: () => boolean = () => false
  /** Files that a job is writing, under names that nothing else has: they go when it fails or is stopped. */
  readonly drafts: Set<string> = new Set()
  /** Numbers of the stored indexes that are, or may be, in the folder. */
  readonly indexes: Set<number> = new Set()
  /** Long values on their way in. */
  readonly spools: Set<SegmentSpool> = new Set()
  /** Reads under way past the cache, by segment. */
  readonly held: Map<LogSegment, number> = new Map()
  /** Journal bytes written since the index was last stored. */
  sinceCheckpoint = 0
  /** Stored indexes since the store was opened. */
  checkpoints = 0
  /** Not all of it is on disk with a close frame behind it. */
  changed = false
  /** No close frame names the manifest: a clean end writes one, even where nothing has changed. */
  unmarked = false
  /** Somebody has been told of an entry that it has expired: a clean end records the clock, so that it stays so. */
  judged = false
  /** Segments came or went since the index was stored: it must be stored anew before a manifest says so. */
  moved = false

  constructor(
    context: EngineContext,
    cache: Cache,
    segments: LogSegments,
    index: HashIndex,
    manifest: Manifest,
    nextFile: number,
    clearedSequence: number,
  ) {
    this.context = context
    this.cache = cache
    this.segments = segments
    this.index = index
    this.manifest = manifest
    this.nextFile = nextFile
    this.clearedSequence = clearedSequence
    if (manifest.index) this.indexes.add(manifest.index.number)
  }

  get storeId(): string {
    return this.context.descriptor.storeId
  }

  /** Bytes of entries, and of stale ones among them, in all segments that compaction may touch. */
  totals(): { total: number; stale: number; tombstones: number } {
    let total = 0
    let stale = 0
    let tombstones = 0
    for (const segment of this.segments.all.values()) {
      if (segment.damaged) continue
      total += segment.total + segment.padding
      stale += segment.stale + segment.padding
      tombstones += segment.tombstones
    }
    return { total, stale, tombstones }
  }

  /** A fixed view of now. */
  snapshot(): LogSnapshot {
    this.journal.seal()
    return this.snapshots.take(
      this.journal.sequence,
      this.journal.now(),
      this.index,
      this.context.environment.monotonic(),
      () => this.snapshotReleased(),
    )
  }

  /** Removes a draft, if it is still one. */
  *discard(path: string): Routine<void> {
    yield* this.context.environment.files.remove(path)
    this.drafts.delete(path)
  }

  /** Keeps a segment's file while something reads it past the cache. */
  hold(segment: LogSegment): void {
    this.held.set(segment, (this.held.get(segment) ?? 0) + 1)
  }

  letGo(segment: LogSegment): void {
    const count = this.held.get(segment)! - 1
    if (count === 0) {
      this.held.delete(segment)
      this.snapshotReleased()
    } else this.held.set(segment, count)
  }
}
