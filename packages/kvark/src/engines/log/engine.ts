/**
 * The log engine: every write is appended to a log and the index in memory points to it (after Bitcask, Sheehy and Smith
 * 2010). The contract's verbs stand here; how a log comes into being after a start is in `recovery.ts`, how its stale parts go
 * away in `compaction.ts`. See README.md in this folder.
 *
 * A write takes three steps: look (nothing changes; may answer `BLOCKED` or `REFUSED`), append (may fail, then the
 * engine takes no more writes), point the index to the new entries (cannot fail).
 */

import { hash32, hashWords } from '../../bytes/hash.ts'
import { LITTLE_ENDIAN } from '../../bytes/words.ts'
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
  SPREAD,
  type Status,
  type Supports,
  type VerifyReport,
} from '../../engine/engine.ts'
import type { Found } from '../../engine/found.ts'
import { SPOOL_BYTES, type Spool } from '../../engine/spool.ts'
import {
  DELETE,
  DELETE_RANGE,
  PUT,
  UNCONDITIONAL,
  type WriteBatch,
} from '../../engine/write-batch.ts'
import type { Effect, Routine } from '../../environment/routine.ts'
import { KvarkError } from '../../errors.ts'
import { ASCII_VALUE, entryHeaderLength } from '../../storage/entry.ts'
import { readOnly } from '../../storage/journal.ts'
import { SegmentSpool } from '../../storage/segment-spool.ts'
import { advance } from '../../storage/segment-walk.ts'
import { backup } from './backup.ts'
import { Compactor } from './compaction.ts'
import { LogCursor } from './cursor.ts'
import { HashIndex } from './hash-index.ts'
import { inspect, verify } from './inspection.ts'
import { LIMITS, SUPPORTS } from './limits.ts'
import { Lookup, UNDECIDED } from './lookup.ts'
import { spoolName } from './manifest.ts'
import type { LogOptions } from './options.ts'
import { closeCleanly, markClose } from './persist.ts'
import { closeState, recover } from './recovery.ts'
import type { LogSegment } from './segments.ts'
import { findAt, type LogSnapshot } from './snapshots.ts'
import type { LogState } from './state.ts'
import { readPart } from './value-part.ts'

/** Longer values go past the cache, so that one does not drive everything else out. */
const CACHED_VALUE_BYTES = 256 * 1024
/** Arrays of eight doubles lie in V8's own heap, and cost next to nothing. */
const FIRST_OPERATIONS = 8

export class LogEngine implements Engine {
  readonly name = 'log'
  readonly supports: Supports = SUPPORTS
  readonly limits: Limits = LIMITS
  readonly #context: EngineContext
  readonly #seed: number
  readonly #options: Required<LogOptions>
  #state: LogState
  #lookup: Lookup
  #compactor: Compactor
  /** Per operation of the batch being written: hash, and the entry it replaces (0: none), which may have expired. */
  #hashes: Uint32Array = new Uint32Array(FIRST_OPERATIONS)
  #previous: Float64Array = new Float64Array(FIRST_OPERATIONS)
  #previousBytes: Float64Array = new Float64Array(FIRST_OPERATIONS)
  #previousExpiry: Float64Array = new Float64Array(FIRST_OPERATIONS)
  #addresses: Float64Array = new Float64Array(FIRST_OPERATIONS)
  /** The key buffer last seen, and a view of it by words. */
  #keyBytes: Uint8Array | undefined
  #keyWords: Uint32Array | undefined
  /** 1 where there was nothing to be seen before the batch: a deletion has nothing to do. */
  #absent: Uint8Array = new Uint8Array(FIRST_OPERATIONS)
  /** The last operation before it on the same key, −1: none. */
  #earlier: Int32Array = new Int32Array(FIRST_OPERATIONS).fill(-1)
  /** The operations by their hashes: the last one on each key, and the one that comes behind it in its slot. Made for the first batch of several. */
  #heads: Int32Array = new Int32Array(0)
  #next: Int32Array = new Int32Array(0)

  constructor(context: EngineContext, options: Required<LogOptions>, state: LogState) {
    this.#context = context
    this.#seed = context.descriptor.hashSeed
    this.#options = options
    this.#state = state
    this.#lookup = new Lookup(state.segments, state.cache)
    this.#compactor = new Compactor(state, options)
  }

  static *open(context: EngineContext): Routine<Engine> {
    const options = { ...context.options } as unknown as Required<LogOptions>
    const engine = new LogEngine(context, options, yield* recover(context, options))
    if (!context.readOnly) yield* engine.#compactor.tidyOpened()
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
    const lookup = this.#lookup
    // The store's key buffer comes every time: hashed by words, through a view that is kept.
    if (key !== this.#keyBytes) this.#watch(key)
    const words = this.#keyWords
    let hash: number
    if (words === undefined) hash = hash32(key, 0, length, this.#seed)
    else {
      hash = hashWords(words, length, this.#seed)
      if (at === undefined) {
        const short = lookup.findShort(state.index, hash, words, length, found)
        if (short !== UNDECIDED) {
          const over = short === FOUND && found.expiry !== 0 && this.#isOver(found.expiry)
          return over ? MISSING : short
        }
      }
    }
    const status =
      at === undefined
        ? lookup.find(state.index, hash, key, 0, length, Number.POSITIVE_INFINITY)
        : findAt(lookup, state.snapshots, at as LogSnapshot, hash, key, 0, length)
    if (status === MISSING) return MISSING
    if (status === BLOCKED) {
      found.block = lookup.block
      return BLOCKED
    }
    const { entry } = lookup
    if (entry.expiry !== 0 && this.#isOver(entry.expiry, at)) return MISSING
    found.sequence = entry.sequence
    found.expiry = entry.expiry
    found.ascii = (entry.flags & ASCII_VALUE) !== 0
    if (status === FOUND) {
      found.bytes = lookup.bytes
      found.start = lookup.valueStart
      found.end = lookup.valueStart + entry.valueLength
      return FOUND
    }
    const { segment, address } = lookup
    const from = advance(segment!.file.form, address, entry.length + entry.keyLength)
    if (lookup.gather(found, segment!.file, from, entry.valueLength)) return FOUND
    this.#spread(found)
    return SPREAD
  }

  write(batch: WriteBatch): Status {
    const { journal } = this.#state
    if (journal.failure) throw readOnly(journal.failure)
    const looked = this.#look(batch)
    if (looked !== DONE) return looked
    if (!this.#changesSomething(batch)) return DONE
    this.#append(batch)
    this.#apply(batch)
    this.#state.changed = true
    this.#compactor.consider()
    return DONE
  }

  *warm(batch: WriteBatch): Routine<void> {
    const lookup = this.#lookup
    for (let i = 0; i < batch.count; i++) {
      const start = batch.keyStart[i]!
      const length = batch.keyLength[i]!
      const hash = hash32(batch.bytes, start, start + length, this.#seed)
      // A few pages may be needed one after the other: another key with this hash, or a key over several windows.
      for (let tries = 0; tries < 16; tries++) {
        const state = this.#state
        const at = Number.POSITIVE_INFINITY
        if (lookup.find(state.index, hash, batch.bytes, start, length, at) !== BLOCKED) break
        const block = lookup.block!
        yield* block.load
        block.release()
      }
    }
    batch.warmed = true
  }

  get spoolRoom(): Effect<void> {
    return this.#compactor.relief()
  }

  spool(key: Uint8Array, length: number, expiry: number): Spool {
    const { spools, journal } = this.#state
    if (journal.failure) throw readOnly(journal.failure)
    const { environment, folder, form } = this.#context
    const spool = new SegmentSpool(
      environment,
      `${folder}/${spoolName(environment.random(4))}`,
      form.blocks,
      key.subarray(0, length),
      expiry,
      SPOOL_BYTES,
      (one) => spools.delete(one),
    )
    spools.add(spool)
    return spool
  }

  commit(durability: Durability): Effect<void> {
    return this.#state.journal.commit(durability)
  }

  snapshot(): EngineSnapshot {
    return this.#state.snapshot()
  }

  cursor(request: ScanRequest): EngineCursor {
    return new LogCursor(this.#state, request, this.#seed)
  }

  expire(): boolean {
    return this.failure !== undefined || this.#compactor.expire()
  }

  *compact(progress: Progress | undefined, signal: AbortSignal | undefined): Routine<void> {
    const { failure } = this
    if (failure) throw readOnly(failure)
    yield* this.#compactor.compactAll(progress, signal)
  }

  *verify(progress: Progress | undefined, signal: AbortSignal | undefined): Routine<VerifyReport> {
    return yield* verify(this.#state, progress, signal)
  }

  *backup(
    to: BackupTarget,
    progress: Progress | undefined,
    signal: AbortSignal | undefined,
  ): Routine<BackupReport> {
    return yield* backup(this.#state, to, progress, signal)
  }

  *inspect(): Routine<Inspection> {
    return yield* inspect(this.#state)
  }

  *resume(): Routine<void> {
    if (!this.failure) return
    yield* this.#compactor.stop()
    yield* this.#state.journal.idle()
    yield* closeState(this.#state)
    const state = yield* recover(this.#context, this.#options, this.sequence)
    state.journal.clock = Math.max(state.journal.clock, this.clock)
    this.#state = state
    this.#lookup = new Lookup(state.segments, state.cache)
    this.#compactor = new Compactor(state, this.#options)
  }

  configure(options: Readonly<Record<string, unknown>>): void {
    Object.assign(this.#options, options)
    if (!this.failure) this.#compactor.consider()
  }

  stats(): EngineStats {
    const state = this.#state
    const { journal, snapshots, cache } = state
    const { stale } = state.totals()
    let diskBytes = 0
    for (const segment of state.segments.all.values()) diskBytes += segment.end
    let held = 0
    for (const segment of state.retired) {
      if (segment.retiredAt > snapshots.oldest) held += segment.end
    }
    const oldest = snapshots.living[0]
    return {
      entries: state.index.count,
      files: state.segments.all.size + state.retired.length,
      diskBytes: state.retired.reduce((sum, one) => sum + one.end, diskBytes),
      journalBytes: state.sinceCheckpoint,
      staleBytes: stale,
      indexBytes: state.index.bytes,
      cachedBytes: cache.bytes,
      cacheHits: cache.counts[0]!,
      cacheMisses: cache.counts[1]!,
      sequence: journal.sequence,
      durableSequence: journal.syncedSequence,
      snapshots: snapshots.living.length,
      oldestSnapshotMs:
        oldest === undefined ? 0 : this.#context.environment.monotonic() - oldest.taken,
      snapshotBytes: snapshots.bytes + held,
      checkpoints: state.checkpoints,
      compactions: this.#compactor.finished,
      compacting: this.#compactor.running,
    }
  }

  *close(): Routine<void> {
    const state = this.#state
    yield* this.#compactor.stop()
    yield* state.journal.idle()
    try {
      const writable = !state.journal.failure && !state.context.readOnly
      if (writable && (state.changed || state.judged)) {
        yield* this.#compactor.tidy()
        yield* closeCleanly(state)
      } else if (writable && state.unmarked) yield* markClose(state)
      if (state.journal.failure) throw state.journal.failure
    } finally {
      yield* closeState(state)
    }
  }

  /** Whether that time has come, now or at a snapshot. */
  #isOver(expiry: number, at?: EngineSnapshot): boolean {
    const state = this.#state
    if (expiry > (at === undefined ? state.journal.now() : at.clock)) return false
    state.judged = true
    return true
  }

  /** Looks at a key buffer by words where it can be: little-endian machine, aligned, whole words. */
  #watch(key: Uint8Array): void {
    const { buffer, byteOffset, length } = key
    this.#keyBytes = key
    this.#keyWords =
      LITTLE_ENDIAN && (byteOffset & 3) === 0 && (length & 3) === 0
        ? new Uint32Array(buffer, byteOffset, length >>> 2)
        : undefined
  }

  /** `SPREAD`: sets how the value of the entry just looked up is read. Not in `find`, where closures would cost every call. */
  #spread(found: Found): void {
    const state = this.#state
    const { entry, address } = this.#lookup
    const segment = this.#lookup.segment!
    const { valueLength } = entry
    const before = entry.length + entry.keyLength
    found.start = 0
    found.end = valueLength
    found.part = (from, length) => {
      const at = advance(segment.file.form, address, before + from)
      const cache = valueLength <= CACHED_VALUE_BYTES ? state.cache : undefined
      return readPart(state, segment, at, length, cache)
    }
  }

  /** Step 1: what does each operation replace, and do the conditions hold? */
  #look(batch: WriteBatch): Status {
    const { count } = batch
    if (this.#hashes.length < count) this.#growScratch(count)
    const lookup = this.#lookup
    const { index } = this.#state
    this.#hash(batch)
    if (count > 1) {
      lookup.touch(index, this.#hashes, count)
      this.#findRepeated(batch)
    } else this.#earlier[0] = -1
    for (let i = 0; i < count; i++) {
      if (batch.kind[i] === DELETE_RANGE) {
        checkRange(batch, i)
        continue
      }
      const status = this.#findForWrite(index, this.#hashes[i]!, batch, i)
      if (status === BLOCKED) return BLOCKED
      let version = 0
      this.#absent[i] = 1
      if (status === MISSING) this.#previous[i] = 0
      else {
        const { entry } = lookup
        this.#previous[i] = lookup.position
        this.#previousBytes[i] = entry.total
        this.#previousExpiry[i] = entry.expiry
        const expired = entry.expiry !== 0 && this.#isOver(entry.expiry)
        // An expired entry is as good as deleted; compaction takes it away.
        if (!expired) {
          version = entry.sequence
          this.#absent[i] = 0
        }
      }
      const expected = batch.expected[i]!
      if (expected !== UNCONDITIONAL && expected !== version) {
        batch.conflict = i
        batch.conflictVersion = version
        return REFUSED
      }
    }
    return DONE
  }

  #hash(batch: WriteBatch): void {
    const { bytes, count, keyStart, keyLength } = batch
    const hashes = this.#hashes
    const seed = this.#seed
    for (let i = 0; i < count; i++) {
      const start = keyStart[i]!
      hashes[i] = hash32(bytes, start, start + keyLength[i]!, seed)
    }
  }

  /** Notes of each operation which one before it is on the same key: where its entry lies is then known without the disk. */
  #findRepeated(batch: WriteBatch): void {
    const { count } = batch
    const hashes = this.#hashes
    let slots = 16
    while (slots < 2 * count) slots *= 2
    if (this.#heads.length < slots) {
      this.#heads = new Int32Array(slots)
      this.#next = new Int32Array(slots >>> 1)
    }
    const heads = this.#heads
    const next = this.#next
    const earlier = this.#earlier
    heads.fill(-1, 0, slots)
    for (let i = 0; i < count; i++) {
      earlier[i] = -1
      if (batch.kind[i] === DELETE_RANGE) continue
      const slot = hashes[i]! & (slots - 1)
      let link = -1
      let at = heads[slot]!
      while (at >= 0 && !(hashes[at] === hashes[i] && isSameKey(batch, at, i))) {
        link = at
        at = next[at]!
      }
      earlier[i] = at
      next[i] = at < 0 ? heads[slot]! : next[at]!
      if (at < 0 || link < 0) heads[slot] = i
      else next[link] = i
    }
  }

  #findForWrite(index: HashIndex, hash: number, batch: WriteBatch, i: number): 0 | 1 | 2 | 3 {
    const lookup = this.#lookup
    const start = batch.keyStart[i]!
    const length = batch.keyLength[i]!
    for (;;) {
      const at = Number.POSITIVE_INFINITY
      const status = lookup.find(index, hash, batch.bytes, start, length, at)
      if (status !== BLOCKED || !batch.warmed) return status
      const block = lookup.block!
      block.load.sync()
      block.release()
    }
  }

  /** Deleting what is not there writes nothing. */
  #changesSomething(batch: WriteBatch): boolean {
    const { count, skipped } = batch
    for (let i = 0; i < count; i++) {
      if (batch.kind[i] !== DELETE || !this.#hasNothing(i)) return true
    }
    for (let i = 0; i < count; i++) skipped.push(i)
    return false
  }

  /** Whether a deletion has nothing to do. */
  #hasNothing(i: number): boolean {
    return this.#absent[i] === 1 && this.#earlier[i]! < 0
  }

  /** Step 2: into the journal, all of it or nothing that counts. */
  #append(batch: WriteBatch): void {
    const { journal, segments } = this.#state
    const { count, spool } = batch
    if (spool) {
      const address = journal.link(spool as SegmentSpool, PUT)
      this.#addresses[0] = segments.all.get(journal.active!.number)!.base + address
      return
    }
    journal.prepare(journalBytes(batch))
    const { base } = segments.all.get(journal.active!.number)!
    for (let i = 0; i < count; i++) {
      const kind = batch.kind[i]!
      if (kind === DELETE && this.#hasNothing(i)) {
        this.#addresses[i] = -1
        batch.skipped.push(i)
        continue
      }
      this.#addresses[i] =
        base +
        journal.append(
          kind,
          batch.ascii[i] === 1 ? ASCII_VALUE : 0,
          batch.bytes,
          batch.keyStart[i]!,
          batch.keyLength[i]!,
          batch.source(i),
          batch.valueStart[i]!,
          batch.valueLength[i]!,
          batch.expiry[i]!,
          batch.view,
        )
    }
  }

  /** Step 3: the index points to the new entries. Nothing here needs the disk. */
  #apply(batch: WriteBatch): void {
    const state = this.#state
    const { count } = batch
    let cleared = -1
    const active = state.segments.all.get(state.journal.active!.number)!
    let sequence = state.journal.sequence - written(this.#addresses, count)
    for (let i = 0; i < count; i++) {
      const position = this.#addresses[i]!
      if (position < 0) continue
      sequence++
      if (sequence < active.minSequence) active.minSequence = sequence
      if (sequence > active.maxSequence) active.maxSequence = sequence
      const bytes = entryBytes(batch, i)
      active.total += bytes
      state.sinceCheckpoint += bytes
      const kind = batch.kind[i]!
      if (kind === DELETE_RANGE) {
        this.#clear(sequence, active, bytes)
        cleared = i
        continue
      }
      const hash = this.#hashes[i]!
      let previous = cleared < 0 ? this.#previous[i]! : 0
      let previousBytes = this.#previousBytes[i]!
      let previousExpiry = this.#previousExpiry[i]!
      const earlier = this.#earlier[i]!
      // A deletion that was left out has changed nothing.
      if (earlier > cleared && this.#addresses[earlier]! >= 0) {
        previous = batch.kind[earlier] === PUT ? this.#addresses[earlier]! : 0
        previousBytes = entryBytes(batch, earlier)
        previousExpiry = batch.expiry[earlier]!
      }
      if (previous !== 0) {
        state.segments.at(previous).leave(previousExpiry, previousBytes)
        if (state.snapshots.living.length > 0) {
          state.snapshots.superseded(state.index, hash, previous)
        }
      }
      if (kind === PUT) {
        if (batch.expiry[i] !== 0) active.expires(batch.expiry[i]!, bytes)
        if (previous === 0) state.index.insert(hash, position)
        else state.index.replace(hash, previous, position)
      } else {
        if (previous !== 0) state.index.remove(hash, previous)
        active.stale += bytes
        active.tombstones += bytes
      }
    }
  }

  /** Everything so far is gone: a new era with an empty index. */
  #clear(sequence: number, active: LogSegment, bytes: number): void {
    const state = this.#state
    for (const segment of state.segments.all.values()) {
      segment.stale = segment.total
      segment.tombstones = 0
      segment.expiring = undefined
    }
    active.tombstones = bytes
    state.index = new HashIndex()
    state.clearedSequence = sequence
    this.#compactor.cleared()
  }

  #growScratch(count: number): void {
    const length = Math.max(count, this.#hashes.length * 2)
    this.#hashes = new Uint32Array(length)
    this.#previous = new Float64Array(length)
    this.#previousBytes = new Float64Array(length)
    this.#previousExpiry = new Float64Array(length)
    this.#addresses = new Float64Array(length)
    this.#absent = new Uint8Array(length)
    this.#earlier = new Int32Array(length)
  }
}

/** Whole-store clears only: an unordered index cannot find a range. Where there are tables, the store does not ask for one. */
function checkRange(batch: WriteBatch, i: number): void {
  const from = batch.keyLength[i]! === 0 ? 0 : batch.bytes[batch.keyStart[i]!]!
  if (batch.keyLength[i]! <= 1 && from === 0 && batch.valueLength[i]! <= 1) return
  throw new KvarkError(
    'UNSUPPORTED',
    'The log engine clears a whole table, not a range of keys. Delete the keys one by one.',
    {
      engines: [],
    },
  )
}

/** At most what a batch takes in a journal, with headers and the rests of windows. */
function journalBytes(batch: WriteBatch): number {
  const payload = batch.size + batch.count * 23 + 64
  return payload + (Math.floor(payload / 14_000) + 1) * 2200
}

/** Bytes of the entry that operation `i` becomes. */
function entryBytes(batch: WriteBatch, i: number): number {
  const keyLength = batch.keyLength[i]!
  const valueLength = batch.valueLength[i]!
  return entryHeaderLength(keyLength, valueLength, batch.expiry[i]!) + keyLength + valueLength
}

function isSameKey({ bytes, keyStart, keyLength }: WriteBatch, a: number, b: number): boolean {
  const length = keyLength[a]!
  if (length !== keyLength[b]) return false
  const from = keyStart[a]!
  const other = keyStart[b]!
  for (let i = 0; i < length; i++) if (bytes[from + i] !== bytes[other + i]) return false
  return true
}

function written(addresses: Float64Array, count: number): number {
  let n = 0
  for (let i = 0; i < count; i++) if (addresses[i]! >= 0) n++
  return n
}
