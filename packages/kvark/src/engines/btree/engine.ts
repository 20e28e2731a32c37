/**
 * The B+ tree engine: the contract's verbs over a copy-on-write tree with a journal in front. See README.md in this folder.
 *
 *   write ─► journal (durable when it is synced) ─► pages in memory (visible at once) ─► checkpoint: the tree file
 *
 * A write takes three steps: look (nothing changes; may answer `BLOCKED` or `REFUSED`), journal (may fail, then the engine takes no
 * more writes), change the tree.
 */

import {
  type BackupReport,
  type BackupTarget,
  BLOCKED,
  DONE,
  type Durability,
  type Engine,
  type EngineContext,
  type EngineCursor,
  type EngineSnapshot,
  type EngineStats,
  FOUND,
  type Inspection,
  type Limits,
  MISSING,
  type Progress,
  REFUSED,
  type ScanRequest,
  type Status,
  type Supports,
  type VerifyReport,
} from '../../engine/engine.ts'
import type { Found } from '../../engine/found.ts'
import type { Load } from '../../engine/load.ts'
import type { Spool } from '../../engine/spool.ts'
import {
  DELETE,
  DELETE_RANGE,
  PUT,
  UNCONDITIONAL,
  type WriteBatch,
} from '../../engine/write-batch.ts'
import { Effect, type Routine } from '../../environment/routine.ts'
import type { KvarkError } from '../../errors.ts'
import { ASCII_VALUE, REFERENCE } from '../../storage/entry.ts'
import { readOnly } from '../../storage/journal.ts'
import { UNDECIDED } from './adaptive-hash.ts'
import { backup } from './backup.ts'
import { Change } from './change.ts'
import { Checkpointer } from './checkpointer.ts'
import { Compactor } from './compactor.ts'
import { Count } from './count.ts'
import { released, spread, TreeCursor } from './cursor.ts'
import { warmLoad, writeLoad } from './graft.ts'
import { inspect, verify } from './inspection.ts'
import { encodeExtent, Leaf, readExtent } from './leaf.ts'
import { LIMITS, SUPPORTS } from './limits.ts'
import { TreeLoad } from './load.ts'
import type { BtreeOptions } from './options.ts'
import type { Page } from './page.ts'
import { AWAY, PRESENT, type Search } from './path.ts'
import { recover } from './recovery.ts'
import { Snapshots, type TreeSnapshot } from './snapshots.ts'
import { ExtentSpool } from './spool.ts'
import type { TreeState } from './state.ts'
import { Sweeper } from './sweeper.ts'

export class TreeEngine implements Engine {
  readonly name = 'btree'
  readonly supports: Supports = SUPPORTS
  readonly limits: Limits = LIMITS
  readonly #context: EngineContext
  readonly #options: Required<BtreeOptions>
  readonly #leaf: Leaf = new Leaf()
  #state: TreeState
  #change: Change
  #snapshots: Snapshots
  #checkpointer: Checkpointer
  #compactor: Compactor
  #sweeper: Sweeper
  /** Operations of the batch that is being written that change nothing. */
  #idle: Uint8Array = new Uint8Array(8)

  constructor(context: EngineContext, options: Required<BtreeOptions>, state: TreeState) {
    this.#context = context
    this.#options = options
    this.#state = state
    this.#change = new Change(state)
    this.#snapshots = new Snapshots(state.pages.views, state.tree)
    this.#checkpointer = new Checkpointer(state, options)
    this.#compactor = new Compactor(state, this.#checkpointer, options)
    this.#sweeper = this.#newSweeper()
  }

  static *open(context: EngineContext): Routine<Engine> {
    const options = { ...context.options } as unknown as Required<BtreeOptions>
    const engine = new TreeEngine(context, options, yield* recover(context, options, 0))
    if (!context.readOnly) yield* engine.#checkpointer.tidyOpened()
    return engine
  }

  get failure(): KvarkError | undefined {
    return this.#state.journal.failure
  }

  get sequence(): number {
    return this.#state.journal.sequence
  }

  get clock(): number {
    return this.#state.journal.now()
  }

  find(key: Uint8Array, length: number, at: EngineSnapshot | undefined, found: Found): Status {
    const state = this.#state
    const { tree, journal } = state
    const snapshot = at as TreeSnapshot | undefined
    if (snapshot?.released) throw released()
    let page: Page | undefined
    if (snapshot === undefined) {
      const short = state.pages.findShort(key, length, found)
      if (short === FOUND) {
        if (found.expiry === 0 || found.expiry > journal.now()) return FOUND
        state.judged = true
        return MISSING
      }
      if (short === UNDECIDED) page = tree.hit(key, 0, length)
    }
    if (page === undefined) {
      const status = tree.search(snapshot === undefined ? tree.root : snapshot.root, key, 0, length)
      if (status !== PRESENT) {
        if (status !== AWAY) return MISSING
        found.block = tree.block()
        return BLOCKED
      }
      page = tree.leaf
      page.read(tree.slot)
      if (snapshot === undefined) tree.remember(key, 0, length)
    }
    const leaf = this.#leaf
    const { bytes } = page
    leaf.read(bytes, page.bodyAt, page.bodyLength, state.file.handle.path)
    if (
      leaf.expiry !== 0 &&
      leaf.expiry <= (snapshot === undefined ? journal.now() : snapshot.clock)
    ) {
      state.judged = true
      return MISSING
    }
    found.sequence = leaf.sequence
    found.expiry = leaf.expiry
    found.ascii = leaf.ascii
    if (leaf.long) return spread(state, found, readExtent(bytes, leaf.start, leaf.end))
    found.bytes = bytes
    found.start = leaf.start
    found.end = leaf.end
    return FOUND
  }

  write(batch: WriteBatch): Status {
    const state = this.#state
    const { journal } = state
    if (journal.failure) throw readOnly(journal.failure)
    if (!batch.warmed && this.#checkpointer.isFull) return BLOCKED
    if (batch.load instanceof TreeLoad) {
      const written = writeLoad(state, batch.load, batch)
      if (written !== DONE) return written
      if (batch.load.expiry !== 0) this.#sweeper.put(batch.load.expiry)
    } else {
      const looked = this.#look(batch)
      if (looked !== DONE) return looked
      const first = this.#append(batch)
      if (first < 0) return DONE
      try {
        this.#apply(batch, first)
      } catch (error) {
        // Something could not be read. What the journal has is whole; `resume` carries it out.
        throw journal.fail(error)
      }
    }
    state.changed = true
    this.#checkpointer.consider()
    this.#compactor.consider()
    return DONE
  }

  *warm(batch: WriteBatch): Routine<void> {
    yield* this.#checkpointer.relieve()
    if (batch.load instanceof TreeLoad) yield* warmLoad(this.#state, batch.load, batch)
    for (let i = 0; i < batch.count; i++) {
      const start = batch.keyStart[i]!
      yield* this.#state.tree.warm(batch.bytes, start, start + batch.keyLength[i]!)
    }
    batch.warmed = true
  }

  spool(_key: Uint8Array, _length: number, _expiry: number): Spool {
    const { spools, journal } = this.#state
    if (journal.failure) throw readOnly(journal.failure)
    const spool = new ExtentSpool(this.#state)
    spools.add(spool)
    return spool
  }

  load(expiry: number): Load {
    const { spools, journal } = this.#state
    if (journal.failure) throw readOnly(journal.failure)
    const load = new TreeLoad(this.#state, expiry)
    spools.add(load)
    return load
  }

  commit(durability: Durability): Effect<void> {
    return this.#state.journal.commit(durability)
  }

  snapshot(): EngineSnapshot {
    const { journal } = this.#state
    return this.#snapshots.take(
      journal.sequence,
      journal.now(),
      this.#context.environment.monotonic(),
    )
  }

  cursor(request: ScanRequest): EngineCursor {
    const given = request.at as TreeSnapshot | undefined
    const snapshot = given ?? (this.snapshot() as TreeSnapshot)
    return new TreeCursor(this.#state, snapshot, given === undefined, request)
  }

  *count({ at, from, to }: ScanRequest): Routine<number> {
    const given = at as TreeSnapshot | undefined
    if (given?.released) throw released()
    const snapshot = given ?? (this.snapshot() as TreeSnapshot)
    const { pages, keys, file } = this.#state
    const leaf = new Leaf()
    const count = new Count(pages, keys, (page) => {
      leaf.read(page.bytes, page.bodyAt, page.bodyLength, file.handle.path)
      if (leaf.expiry === 0 || leaf.expiry > snapshot.clock) return true
      this.#state.judged = true
      return false
    })
    try {
      return yield* count.between(snapshot.root, from, to)
    } finally {
      if (given === undefined) snapshot.release()
    }
  }

  expire(): boolean {
    return this.#sweeper.expire()
  }

  *compact(progress: Progress | undefined, signal: AbortSignal | undefined): Routine<void> {
    const { failure } = this
    if (failure) throw readOnly(failure)
    yield* this.#sweeper.sweep(signal)
    yield* this.#compactor.compact(true, progress, signal)
  }

  *verify(progress: Progress | undefined, signal: AbortSignal | undefined): Routine<VerifyReport> {
    // What nobody has changed is looked at as it was found.
    if (!this.failure && this.#state.changed) yield* this.#checkpointer.now()
    return yield* verify(this.#state, progress, signal)
  }

  *backup(
    to: BackupTarget,
    progress: Progress | undefined,
    signal: AbortSignal | undefined,
  ): Routine<BackupReport> {
    const { failure } = this
    if (failure) throw readOnly(failure)
    yield* this.#checkpointer.now()
    return yield* backup(this.#state, to, progress, signal)
  }

  *inspect(progress: Progress | undefined, signal: AbortSignal | undefined): Routine<Inspection> {
    return yield* inspect(this.#state, progress, signal)
  }

  *resume(): Routine<void> {
    if (!this.failure) return
    const before = this.#state
    yield* this.#stop()
    yield* before.journal.idle()
    before.journal.abandon()
    this.#snapshots.close()
    yield* before.close()
    const state = yield* recover(this.#context, this.#options, before.journal.sequence)
    state.journal.clock = Math.max(state.journal.clock, this.clock)
    this.#state = state
    this.#change = new Change(state)
    this.#snapshots = new Snapshots(state.pages.views, state.tree)
    this.#checkpointer = new Checkpointer(state, this.#options)
    this.#compactor = new Compactor(state, this.#checkpointer, this.#options)
    this.#sweeper = this.#newSweeper()
  }

  configure(options: Readonly<Record<string, unknown>>): void {
    Object.assign(this.#options, options)
    if (!this.failure) this.#checkpointer.consider()
  }

  stats(): EngineStats {
    const { journal, tree, pages, file, segments } = this.#state
    const { cache, space, views } = pages
    const { pageBytes } = file
    const oldest = this.#snapshots.living[0]
    let journalBytes = 0
    for (const segment of segments) journalBytes += segment.writer?.end ?? segment.end
    return {
      entries: tree.entries,
      files: 1 + segments.length,
      diskBytes: space.end * pageBytes + journalBytes,
      journalBytes,
      staleBytes: (space.free + views.kept) * pageBytes,
      indexBytes: 0,
      cachedBytes: cache.bytes,
      cacheHits: cache.counts[0]!,
      cacheMisses: cache.counts[1]!,
      sequence: journal.sequence,
      durableSequence: journal.syncedSequence,
      snapshots: this.#snapshots.living.length,
      oldestSnapshotMs:
        oldest === undefined ? 0 : this.#context.environment.monotonic() - oldest.taken,
      snapshotBytes: oldest === undefined ? 0 : views.kept * pageBytes,
      checkpoints: this.#checkpointer.finished,
      compactions: this.#compactor.finished,
      compacting: this.#checkpointer.running || this.#compactor.running || this.#sweeper.running,
    }
  }

  *close(): Routine<void> {
    const state = this.#state
    const { journal } = state
    yield* this.#stop()
    yield* journal.idle()
    try {
      // First: the last checkpoint cuts off the room that they have taken.
      for (const spool of state.spools) yield* spool.discard()
      const writable = !journal.failure && !state.context.readOnly
      if (writable && (state.changed || state.judged)) {
        yield* this.#checkpointer.last()
        yield* this.#compactor.finish()
        if (!journal.failure) yield* this.#checkpointer.finish()
      } else if (writable && state.unmarked) yield* this.#checkpointer.finish()
      if (journal.failure) throw journal.failure
    } finally {
      journal.abandon()
      this.#snapshots.close()
      yield* state.close()
    }
  }

  #newSweeper(): Sweeper {
    const compactor = this.#compactor
    return new Sweeper(this.#state, this.#checkpointer, (count) => {
      compactor.deleted(count)
      compactor.consider()
    })
  }

  /** Nothing goes on in the background any more. */
  *#stop(): Routine<void> {
    const checkpoints = this.#checkpointer.stop()
    const compaction = this.#compactor.stop()
    const sweep = this.#sweeper.stop()
    yield* new Effect(
      () => {
        sweep.sync()
        compaction.sync()
        checkpoints.sync()
      },
      // All at once: the others may be waiting for a checkpoint.
      async () => {
        await Promise.all([sweep.async(), compaction.async(), checkpoints.async()])
      },
    )
  }

  /** Step 1: do the conditions hold, and is all in memory that is needed? */
  #look(batch: WriteBatch): Status {
    const { count } = batch
    const { journal } = this.#state
    if (this.#idle.length < count)
      this.#idle = new Uint8Array(Math.max(count, 2 * this.#idle.length))
    const puts = new Set<string>()
    let known = 0
    // It may have been looked at before.
    if (batch.skipped.length > 0) batch.skipped.length = 0
    for (let i = 0; i < count; i++) {
      this.#idle[i] = 0
      const kind = batch.kind[i]!
      if (kind === DELETE_RANGE) continue
      if (kind === PUT && batch.expected[i] === UNCONDITIONAL && this.#isNear(batch, i)) continue
      const found = this.#search(batch, i)
      if (found === AWAY) return BLOCKED
      let version = 0
      if (found === PRESENT) {
        const leaf = this.#bodyFound()
        if (leaf.expiry === 0 || leaf.expiry > journal.now()) version = leaf.sequence
        else this.#state.judged = true
      }
      const expected = batch.expected[i]!
      if (expected !== UNCONDITIONAL && expected !== version) {
        batch.conflict = i
        batch.conflictVersion = version
        return REFUSED
      }
      // Deleting what is not there, and what an earlier operation of the batch has not put there, writes nothing.
      if (kind !== DELETE || version !== 0) continue
      for (; known < i; known++) if (batch.kind[known] === PUT) puts.add(keyIn(batch, known))
      if (puts.has(keyIn(batch, i))) continue
      this.#idle[i] = 1
      batch.skipped.push(i)
    }
    return DONE
  }

  #search(batch: WriteBatch, i: number): Search {
    const { tree } = this.#state
    const start = batch.keyStart[i]!
    const end = start + batch.keyLength[i]!
    return batch.warmed
      ? tree.reach(tree.root, batch.bytes, start, end)
      : tree.search(tree.root, batch.bytes, start, end)
  }

  #isNear(batch: WriteBatch, i: number): boolean {
    const { tree, keys } = this.#state
    const start = batch.keyStart[i]!
    const end = start + batch.keyLength[i]!
    if (keys.endInPage(start, end) !== end) return false
    return tree.isKnownOwn(batch.bytes, start, end) || tree.isNear(batch.bytes, start, end)
  }

  /** The entry that was searched last, and is there. */
  #bodyFound(): Leaf {
    const { tree, file } = this.#state
    const { leaf: page } = tree
    page.read(tree.slot)
    this.#leaf.read(page.bytes, page.bodyAt, page.bodyLength, file.handle.path)
    return this.#leaf
  }

  /** Step 2: into the journal, all of it or nothing that counts. Returns the first sequence; −1 where there is nothing to write. */
  #append(batch: WriteBatch): number {
    const { journal } = this.#state
    const { count, spool } = batch
    if (batch.skipped.length === count) return -1
    const first = journal.sequence + 1
    journal.prepare(batch.size + batch.count * 23 + 64)
    for (let i = 0; i < count; i++) {
      if (this.#idle[i] === 1) continue
      const reference = spool instanceof ExtentSpool ? encodeExtent(spool.extent) : undefined
      const value = reference ?? batch.source(i)
      journal.append(
        batch.kind[i]!,
        reference ? REFERENCE : batch.ascii[i] === 1 ? ASCII_VALUE : 0,
        batch.bytes,
        batch.keyStart[i]!,
        batch.keyLength[i]!,
        value,
        reference ? 0 : batch.valueStart[i]!,
        reference ? reference.length : batch.valueLength[i]!,
        batch.expiry[i]!,
        batch.view,
      )
    }
    return first
  }

  /** Step 3: the tree. */
  #apply(batch: WriteBatch, first: number): void {
    const change = this.#change
    const { bytes } = batch
    let sequence = first
    for (let i = 0; i < batch.count; i++) {
      if (this.#idle[i] === 1) continue
      const start = batch.keyStart[i]!
      const end = start + batch.keyLength[i]!
      const kind = batch.kind[i]!
      if (kind === PUT) {
        const { spool } = batch
        if (batch.expiry[i] !== 0) this.#sweeper.put(batch.expiry[i]!)
        if (spool instanceof ExtentSpool) {
          change.putExtent(bytes, start, end, spool.extent, sequence, batch.expiry[i]!)
          spool.put()
        } else {
          const from = batch.valueStart[i]!
          const length = batch.valueLength[i]!
          const ascii = batch.ascii[i] === 1
          const expiry = batch.expiry[i]!
          const source = batch.source(i)
          const view = source === bytes ? batch.view : undefined
          change.put(bytes, start, end, source, from, length, sequence, expiry, ascii, view)
        }
      } else {
        const { tree } = this.#state
        const { entries } = tree
        if (kind === DELETE) change.delete(bytes, start, end)
        else {
          const from = batch.valueStart[i]!
          const to = batch.source(i).subarray(from, from + batch.valueLength[i]!)
          change.deleteRange(bytes.subarray(start, end), to)
        }
        this.#compactor.deleted(entries - tree.entries)
      }
      sequence++
    }
  }
}

function keyIn(batch: WriteBatch, i: number): string {
  const start = batch.keyStart[i]!
  return batch.bytes.toString('latin1', start, start + batch.keyLength[i]!)
}
