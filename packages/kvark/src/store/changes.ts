/**
 * What was written lately, for those who watch: kept in memory, in the order of the versions, as long as somebody watches.
 *
 *   queue ─record─► │ commit │ commit │ commit ┊ commit │ commit │
 *                     ▲ base    ▲ a listener    ▲ told             written, not as durable yet as its write asked for
 *
 * A commit is one batch. Its entries lie behind each other in the form that they have in the journal (`storage/entry.ts`): a value that
 * was spooled is a put with `REFERENCE` and its length instead, a load a deletion of a range with `REFERENCE` and its last key.
 *
 * 1. A commit is told when it, and all before it, have the durability that their writes asked for: `none` counts as handed to the
 *    system, after `FLUSH_MS` at the latest. Nothing is flushed or synced for that which would not be anyway.
 * 2. Whose write has failed, or may have, is never told. `resume` puts a gap in the place of all that is in doubt.
 * 3. It keeps `limit` bytes. What is older leaves; who has not come to it yet is owed a gap, if it was anything to him.
 * 4. With nobody watching nothing is recorded, but for this: what is kept stays until the limit is reached once more, so that who
 *    comes back in time has lost nothing.
 *
 * Left out: what was written before somebody watched. No engine's journal keeps it for long.
 */

import { writeU48 } from '../bytes/varint.ts'
import type { Durability, Engine } from '../engine/engine.ts'
import type { WriteBatch } from '../engine/write-batch.ts'
import type { Environment, Timer } from '../environment/environment.ts'
import { ASCII_VALUE, entryHeaderLength, REFERENCE, writeEntryHeader } from '../storage/entry.ts'
import { FLUSH_MS } from '../storage/journal.ts'
import { type Catalogue, decodeCatalogue } from './catalogue.ts'
import type { Life } from './life.ts'
import { CATALOGUE_SPACE } from './spaces.ts'
import { spaceOf } from './tables.ts'
import type { Recorder } from './write-queue.ts'

/** What a commit takes beside its entries, about: its object, and that of the buffer. */
const COMMIT_BYTES = 200
/** Of the length that stands for a spooled value. */
const LENGTH_BYTES = 6
const NO_ENTRIES = Buffer.alloc(0)

/** One batch that was written. */
export interface Commit {
  /** Of its first operation, and of its last. */
  readonly first: number
  readonly version: number
  readonly durability: Durability
  readonly entries: Buffer
  /** The tables before it. */
  readonly before: Catalogue
  /** Those after it, where it has changed them. */
  readonly after: Catalogue | undefined
  /** It stands for changes that are not known. */
  readonly gap: boolean
}

/** Somebody who is told, from `position` on. */
export interface Listener {
  /** The commit that comes next, counted from the first that was ever recorded. */
  position: number
  /** How many bytes of changes he wants kept. */
  readonly bufferBytes: number
  /** The commit at his position leaves: he moves on, and is owed a gap if it was anything to him. */
  miss(commit: Commit): void
  /** Nothing more can be told, for this reason. */
  fail(reason: unknown): void
  /** There is more to be told, or there will be nothing any more. */
  wake(): void
}

export class Changes implements Recorder {
  readonly #life: Life
  readonly #engine: Engine
  readonly #environment: Environment
  readonly #listeners = new Set<Listener>()
  /** From `#head` on; the ones before have left. */
  #commits: (Commit | undefined)[] = []
  #head = 0
  /** The number of the commit at `#head`. */
  #base = 0
  /** Commits before this one are told. */
  #told = 0
  /** Commits before these are flushed, and synced. */
  #flushed = 0
  #synced = 0
  /** Of what has left before it was told: what it was waited for. */
  #left: Durability = 'none'
  /** Everything behind this version is kept. */
  #keptFrom = 0
  #bytes = 0
  #limit = 0
  /** Grows with `resume`: what was waited for before is no longer what is here. */
  #era = 0
  #timer: Timer | undefined
  #ended = false
  /** Of a store that another process writes: what is known of it. */
  #followed: number | undefined

  constructor(life: Life, engine: Engine, environment: Environment) {
    this.#life = life
    this.#engine = engine
    this.#environment = environment
  }

  /** The version of the last write. */
  get sequence(): number {
    return this.#followed ?? this.#engine.sequence
  }

  set sequence(version: number) {
    this.#followed = version
  }

  /** Whether nobody has come to the end of what he may be told. */
  get waiting(): boolean {
    for (const { position } of this.#listeners) if (position >= this.#told) return false
    return this.#listeners.size > 0
  }

  /** Commits before this one may be told. */
  get told(): number {
    return this.#told
  }

  /** Nothing will be recorded any more. */
  get ended(): boolean {
    return this.#ended
  }

  /** Commit `position`, which has not left. */
  at(position: number): Commit {
    return this.#commits[this.#head + position - this.#base]!
  }

  /**
   * From now on the listener is told what comes behind the version `since`; sets his position. Returns the version up to which nothing is
   * known any more: `since`, if everything is.
   */
  add(listener: Listener, since: number): number {
    const { queue } = this.#life
    if (queue.recorder === undefined) {
      this.#keptFrom = this.sequence
      queue.recorder = this
    }
    this.#limit = this.#listeners.size === 0 ? listener.bufferBytes : this.#limit
    this.#limit = Math.max(this.#limit, listener.bufferBytes)
    this.#listeners.add(listener)
    let position = this.#end
    while (position > this.#base && this.at(position - 1).version > since) position--
    listener.position = position
    return Math.max(since, this.#keptFrom)
  }

  /** The listener is told nothing any more. Harmless when repeated. */
  remove(listener: Listener): void {
    this.#listeners.delete(listener)
    if (this.#ended && this.#listeners.size === 0) this.#forget()
  }

  record(batch: WriteBatch, durability: Durability): void {
    const { skipped, count } = batch
    if (skipped.length === count) return
    const { sequence } = this.#engine
    const first = sequence - (count - skipped.length) + 1
    const { catalogue: before } = this.#life.tables
    let after: Catalogue | undefined
    for (let i = 0; i < count; i++) {
      if (spaceOf(batch, i) !== CATALOGUE_SPACE) continue
      after = decodeCatalogue(valueIn(batch, i), this.#life.folder)
    }
    const size = encodedBytes(batch)
    const gap = size > this.#limit
    const entries = gap ? NO_ENTRIES : encode(batch, first, size)
    this.#push({ first, version: sequence, durability, entries, before, after, gap })
    this.tellAt(durability)
  }

  /** What another process has written is told at once: see `follow.ts`. */
  tell(commit: Commit): void {
    this.#followed = commit.version
    if (this.#life.queue.recorder !== this) return
    this.#push(commit)
    this.#reached('os', this.#end)
  }

  /** All who watch end with this. */
  fail(reason: unknown): void {
    for (const listener of this.#listeners) listener.fail(reason)
  }

  /** Tells what has been recorded so far as soon as it is as durable as that. */
  tellAt(durability: Durability): void {
    if (durability === 'none') {
      this.#timer ??= this.#environment.timer(FLUSH_MS, () => {
        this.#timer = undefined
        this.tellAt('os')
      })
      return
    }
    const era = this.#era
    const end = this.#end
    this.#engine
      .commit(durability)
      .async()
      .then(
        () => {
          if (era === this.#era) this.#reached(durability, end)
        },
        // `resume` or the end of the store decides.
        () => {},
      )
  }

  /** Everything so far is about to be on disk, whatever it was written with. */
  flush(): void {
    if (this.#told < this.#end) this.tellAt('disk')
  }

  /** The engine has loaded its state anew after a failure, when everything up to `durable` was on disk. */
  resumed(durable: number): void {
    if (this.#life.queue.recorder !== this) return
    this.#era++
    // What was on disk by then is told, also what nobody has waited for.
    let safe = this.#end
    while (safe > this.#base && this.at(safe - 1).version > durable) safe--
    this.#reached('disk', safe)
    for (let position = this.#told; position < this.#end; position++) {
      if (position >= this.#base) this.#bytes -= bytesOf(this.at(position))
    }
    const kept = Math.max(0, this.#told - this.#base)
    this.#commits.length = this.#head + kept
    for (const listener of this.#listeners) {
      listener.position = Math.min(listener.position, this.#end)
    }
    const { sequence } = this.#engine
    const { catalogue } = this.#life.tables
    if (durable < sequence) {
      const where = { first: durable + 1, version: sequence, entries: NO_ENTRIES, gap: true }
      this.#push({ ...where, durability: 'none', before: catalogue, after: undefined })
    }
    this.#reached('disk', this.#end)
  }

  /** The store is closed; `durable`: with everything on disk. */
  end(durable: boolean): void {
    this.#era++
    this.#timer?.cancel()
    this.#life.queue.recorder = undefined
    this.#ended = true
    if (durable) this.#reached('disk', this.#end)
    for (const listener of this.#listeners) listener.wake()
    if (this.#listeners.size === 0) this.#forget()
  }

  /** The number of the commit that will be recorded next. */
  get #end(): number {
    return this.#base + this.#commits.length - this.#head
  }

  #push(commit: Commit): void {
    this.#commits.push(commit)
    this.#bytes += bytesOf(commit)
    if (this.#bytes <= this.#limit) return
    if (this.#listeners.size === 0) {
      this.#life.queue.recorder = undefined
      this.#forget()
    }
    while (this.#bytes > this.#limit) this.#evict()
  }

  /** The oldest commit leaves. */
  #evict(): void {
    const position = this.#base
    const commit = this.at(position)
    this.#commits[this.#head++] = undefined
    this.#base++
    if (this.#head > 1024 && this.#head * 2 > this.#commits.length) {
      this.#commits = this.#commits.slice(this.#head)
      this.#head = 0
    }
    this.#bytes -= bytesOf(commit)
    this.#keptFrom = commit.version
    if (position >= this.#told && this.#left !== 'disk') this.#left = commit.durability
    for (const listener of this.#listeners) {
      if (listener.position === position) listener.miss(commit)
    }
  }

  /** Commits before `end` have been flushed, or synced. */
  #reached(durability: Durability, end: number): void {
    this.#flushed = Math.max(this.#flushed, end)
    if (durability === 'disk') this.#synced = Math.max(this.#synced, end)
    const before = this.#told
    if (this.#told < this.#base) {
      if ((this.#left === 'disk' ? this.#synced : this.#flushed) < this.#base) return
      this.#told = this.#base
      this.#left = 'none'
    }
    const last = this.#end
    while (this.#told < last) {
      const isDisk = this.at(this.#told).durability === 'disk'
      if ((isDisk ? this.#synced : this.#flushed) <= this.#told) break
      this.#told++
    }
    if (this.#told > before) for (const listener of this.#listeners) listener.wake()
  }

  #forget(): void {
    this.#base = this.#end
    this.#told = this.#base
    this.#commits = []
    this.#head = 0
    this.#bytes = 0
    this.#left = 'none'
  }
}

function bytesOf({ entries }: Commit): number {
  return entries.length + COMMIT_BYTES
}

function valueIn(batch: WriteBatch, i: number): Uint8Array {
  const start = batch.valueStart[i]!
  return batch.source(i).subarray(start, start + batch.valueLength[i]!)
}

/** Bytes of the entries of a batch, where none is skipped. */
function encodedBytes(batch: WriteBatch): number {
  let bytes = 0
  for (let i = 0; i < batch.count; i++) {
    const keyLength = batch.keyLength[i]!
    const valueLength = batch.spool === undefined ? batch.valueLength[i]! : LENGTH_BYTES
    bytes += entryHeaderLength(keyLength, valueLength, batch.expiry[i]!) + keyLength + valueLength
  }
  return bytes
}

/** The entries of a batch whose first has the version `first`, in up to `size` bytes. */
function encode(batch: WriteBatch, first: number, size: number): Buffer {
  const { count, kind, keyStart, keyLength, skipped, spool, load } = batch
  const entries = Buffer.allocUnsafe(size)
  let at = 0
  let version = first
  let nextSkipped = 0
  for (let i = 0; i < count; i++) {
    if (skipped[nextSkipped] === i) {
      nextSkipped++
      continue
    }
    const value = spool === undefined ? valueIn(batch, i) : u48(spool.length)
    const isReference = spool !== undefined || load !== undefined
    const flags = isReference ? REFERENCE : batch.ascii[i] === 1 ? ASCII_VALUE : 0
    const start = keyStart[i]!
    const length = keyLength[i]!
    const expiry = batch.expiry[i]!
    at = writeEntryHeader(entries, at, kind[i]!, flags, length, value.length, version, expiry)
    at += batch.bytes.copy(entries, at, start, start + length)
    entries.set(value, at)
    at += value.length
    version++
  }
  return at === size ? entries : entries.subarray(0, at)
}

function u48(value: number): Uint8Array {
  const bytes = new Uint8Array(LENGTH_BYTES)
  writeU48(bytes, 0, value)
  return bytes
}
