/**
 * What one who watches a table is told: the changes in the table's commits that lie in his range, decoded when he asks for them.
 *
 *   Changes ─► commit ─► entries of the table, in the range ─► one change after the other
 *      │
 *      └ left before he came ─► gap
 *
 * 1. A commit is looked through when it is reached, and its entries are decoded one by one: what waits is bytes.
 * 2. A table is followed by its number: through a rename, and through a clear that gives it another space. When it is dropped, that is
 *    the last thing told.
 * 3. After an error, or the abort of its signal, it gives that error again and again; stopped, or with the store closed and all
 *    told, it is done.
 * 4. It never refers to the iterator that the user has, so that a forgotten one can be collected.
 */

import { readU48, readVarint } from '../bytes/varint.ts'
import { Found } from '../engine/found.ts'
import { DELETE, PUT } from '../engine/write-batch.ts'
import { ASCII_VALUE, EntryHeader, REFERENCE } from '../storage/entry.ts'
import type { KeyRange } from './call-types.ts'
import type { Catalogue } from './catalogue.ts'
import type { Change } from './change-types.ts'
import type { Changes, Commit, Listener } from './changes.ts'
import type { Core } from './core.ts'
import type { Lease } from './life.ts'
import { toKey, toPair } from './project.ts'
import { bounds } from './range.ts'
import { prefixLength } from './spaces.ts'
import type { Wanted } from './tables.ts'

type Step<K, V> = IteratorResult<Change<K, V>, undefined>

/** What is watched, from which version on, for how long. */
export interface Watched<K> {
  readonly range: KeyRange<K>
  /** `undefined`: from now on. */
  readonly since: number | undefined
  readonly bufferBytes: number
  readonly signal: AbortSignal | undefined
}

/** Where the table is, in one catalogue. */
interface Place {
  readonly space: number
  readonly name: string
}

/** A change: where its entry lies in the commit, or what has happened to the table. */
type Item = number | 'cleared' | 'dropped' | { readonly from: string; readonly to: string }

/** Versions that are not told. */
interface Missed {
  readonly from: number
  to: number
  /** What he knows all of afterwards. */
  version: number
  /** It is told when commits before this one are. */
  at: number
}

export class Telling<K, V> implements Listener {
  readonly core: Core<K, V>
  readonly lease: Lease
  readonly bufferBytes: number
  position = 0
  /** All changes up to it have been told. */
  version: number
  readonly #changes: Changes
  /** `undefined`: the root. */
  readonly #wanted: Wanted | undefined
  /** Keys without the id of the space; `#to`: the first behind them, `undefined`: none. */
  readonly #from: Buffer
  readonly #to: Buffer | undefined
  /** What has happened up to it he knows. */
  readonly #since: number
  readonly #signal: AbortSignal | undefined
  readonly #found = new Found()
  readonly #header = new EntryHeader()
  /** The catalogue that was looked at last, and where the table is in it. */
  #catalogue: Catalogue | undefined
  #place: Place | undefined
  #missed: Missed | undefined
  /** The commit that is being told, what of it, and how far. */
  #commit: Commit | undefined
  #items: readonly Item[] = []
  #next = 0
  #done = false
  #failure: { readonly reason: unknown } | undefined
  #wake: (() => void) | undefined

  /** Of the table `wanted`, or of the root. */
  constructor(core: Core<K, V>, wanted: Wanted | undefined, watched: Watched<K>) {
    const { life } = core
    this.core = core
    this.bufferBytes = watched.bufferBytes
    this.#changes = life.changes
    this.#wanted = wanted && { ...wanted }
    const { from, to } = bounds(core, watched.range)
    this.#from = from.subarray(core.from.length)
    this.#to = to.equals(core.to) ? undefined : to.subarray(core.from.length)
    this.#header.references = true
    // Writes that were called before are before it. A codec of the user's may have written just now.
    if (life.unsettled) life.settle()
    const { sequence } = this.#changes
    const since = watched.since ?? sequence
    this.#since = Math.min(since, sequence)
    this.version = this.#since
    const unknown = this.#changes.add(this, this.#since)
    if (since > sequence) {
      this.#missed = { from: sequence + 1, to: since, version: sequence, at: 0 }
    } else if (unknown > since) {
      this.#missed = { from: since + 1, to: unknown, version: unknown, at: 0 }
    }
    this.lease = {
      what: 'A watch',
      lasting: true,
      release: () => {
        // Of a store that has closed the last changes are told yet.
        if (!this.#changes.ended) this.stop()
      },
    }
    this.#signal = watched.signal
  }

  /** Heeds its signal. */
  begin(): void {
    if (this.#signal?.aborted) this.#abort()
    else this.#signal?.addEventListener('abort', this.#abort)
  }

  /** The next step; `undefined`: there is none yet. */
  step(): Step<K, V> | undefined {
    const changes = this.#changes
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure.reason
      if (this.#done) return { done: true, value: undefined }
      if (this.#next < this.#items.length) return { done: false, value: this.#give() }
      const missed = this.#missed
      if (missed !== undefined && missed.at <= changes.told) {
        const { from, to, version } = missed
        this.#missed = undefined
        this.version = version
        return { done: false, value: { type: 'gap', from, to } }
      }
      if (missed === undefined && this.position < changes.told) {
        this.#begin(changes.at(this.position++))
      } else if (changes.ended) this.stop()
      else return undefined
    }
  }

  /** Ends when there may be a step. */
  woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  wake(): void {
    this.#wake?.()
    this.#wake = undefined
  }

  miss(commit: Commit): void {
    this.position++
    if (!commit.gap && this.#itemsOf(commit).length === 0) return
    const { first, version } = commit
    this.#missed ??= { from: first, to: version, version, at: 0 }
    Object.assign(this.#missed, { to: version, version, at: this.position })
  }

  /** Harmless when repeated. */
  stop(): void {
    this.#done = true
    this.#items = []
    this.#commit = undefined
    this.#changes.remove(this)
    this.core.life.endLease(this.lease)
    this.#signal?.removeEventListener('abort', this.#abort)
    this.wake()
  }

  readonly #abort = (): void => this.fail(this.#signal!.reason)

  fail(reason: unknown): void {
    this.#failure ??= { reason }
    this.stop()
  }

  #begin(commit: Commit): void {
    const { first, version, gap, before } = commit
    if (gap) {
      this.#missed = { from: first, to: version, version, at: 0 }
      this.#findAgain(before)
      return
    }
    this.#commit = commit
    this.#items = this.#itemsOf(commit)
    this.#next = 0
    if (this.#items.length === 0) this.version = version
  }

  /** The next change of the commit. */
  #give(): Change<K, V> {
    const commit = this.#commit!
    const item = this.#items[this.#next++]!
    const last = this.#next === this.#items.length
    try {
      return this.#change(commit, item, last)
    } catch (error) {
      this.fail(error)
      throw error
    } finally {
      if (last) {
        this.version = commit.version
        this.#commit = undefined
      }
    }
  }

  #change(commit: Commit, item: Item, last: boolean): Change<K, V> {
    if (typeof item === 'number') return this.#decode(commit, item, last)
    // It comes before the entries, whatever the catalogue was written as.
    const { first: version } = commit
    if (item === 'cleared') {
      const gte = new Uint8Array(0)
      return { type: 'clear', gte, lt: undefined, covers: () => true, version, last }
    }
    if (item !== 'dropped') return { type: 'rename', ...item, version, last }
    this.stop()
    return { type: 'drop', version: commit.version, last }
  }

  /** What of a commit is told. */
  #itemsOf({ entries, before, after }: Commit): Item[] {
    const items: Item[] = []
    try {
      const old = this.#placeIn(before)
      const now = after === undefined ? old : this.#placeIn(after)
      if (now === undefined) return this.#isDropped(after ?? before) ? ['dropped'] : []
      // One that was not there may have come by getting its name, with all that is in it.
      const from = (old ?? before.tables.get(this.#wanted!.number))?.name
      if (from !== undefined && from !== now.name) items.push({ from, to: now.name })
      if (old !== undefined && old.space !== now.space) items.push('cleared')
      // What is told of the table comes first: then the entries have to be told behind it once more.
      const since = items.length > 0 ? 0 : this.#since
      const header = this.#header
      for (let at = 0; at < entries.length; at += header.total) {
        header.read(entries, at, entries.length)
        if (this.#concerns(entries, at + header.length, now.space, since)) items.push(at)
      }
    } catch (error) {
      this.fail(error)
    }
    return items
  }

  /** Whether the entry in `#header`, whose key lies at `start`, is of the space, in the range, and came behind `since`. */
  #concerns(entries: Buffer, start: number, space: number, since: number): boolean {
    const { kind, flags, keyLength, valueLength, sequence } = this.#header
    const end = start + keyLength
    if (sequence <= since || readVarint(entries, start, end) !== space) return false
    const from = this.#from
    const to = this.#to
    const idBytes = prefixLength(entries, start)
    const keyStart = start + idBytes
    if (to !== undefined && entries.compare(to, 0, to.length, keyStart, end) >= 0) return false
    if (kind === PUT || kind === DELETE) {
      return entries.compare(from, 0, from.length, keyStart, end) >= 0
    }
    const rangeEnd = end + valueLength
    if (!hasSameId(entries, start, end, rangeEnd)) return true
    const order = entries.compare(from, 0, from.length, end + idBytes, rangeEnd)
    // The last key of a load is one of its keys; the end of a range is behind it.
    return (flags & REFERENCE) === 0 ? order > 0 : order >= 0
  }

  #decode({ entries }: Commit, at: number, last: boolean): Change<K, V> {
    const header = this.#header
    header.read(entries, at, entries.length)
    const { kind, flags, keyLength, valueLength, sequence: version, expiry } = header
    const { core } = this
    const start = at + header.length
    const end = start + keyLength
    const valueEnd = end + valueLength
    const found = this.#foundAt(entries, start, end, valueEnd, flags)
    if (kind === DELETE) return { type: 'delete', key: toKey(core, found), version, last }
    const isReference = (flags & REFERENCE) !== 0
    if (kind === PUT) {
      const expiresAt = expiry === 0 ? undefined : expiry
      if (isReference) {
        const bytes = readU48(entries, end)
        return { type: 'putStream', key: toKey(core, found), bytes, expiresAt, version, last }
      }
      const [key, value] = toPair(core, found)
      return { type: 'put', key, value, expiresAt, version, last }
    }
    if (isReference) {
      const first = toKey(core, found)
      const final = toKey(core, this.#foundAt(entries, end, valueEnd, valueEnd, 0))
      return { type: 'load', firstKey: first, lastKey: final, version, last }
    }
    const isOpen = !hasSameId(entries, start, end, valueEnd)
    const gte = bytesOf(entries, start, end)
    const lt = isOpen ? undefined : bytesOf(entries, end, valueEnd)
    const covers = (key: K): boolean => {
      // First: it may replace `bytes`.
      const length = core.buildKey(key)
      const own = core.key.bytes.subarray(core.from.length, length)
      return own.compare(gte) >= 0 && (lt === undefined || own.compare(lt) < 0)
    }
    return { type: 'clear', gte, lt, covers, version, last }
  }

  #foundAt(entries: Buffer, start: number, end: number, valueEnd: number, flags: number): Found {
    const found = this.#found
    found.keyBytes = entries
    found.keyStart = start
    found.keyEnd = end
    found.bytes = entries
    found.start = end
    found.end = valueEnd
    found.ascii = (flags & ASCII_VALUE) !== 0
    return found
  }

  /** `undefined`: the table is not there. */
  #placeIn(catalogue: Catalogue): Place | undefined {
    if (this.#catalogue === catalogue) return this.#place
    const wanted = this.#wanted
    if (wanted === undefined) this.#place = { space: catalogue.root, name: '' }
    else if (this.#isDropped(catalogue)) this.#place = undefined
    else {
      const record = this.core.life.tables.find(catalogue, wanted)
      if (record !== undefined) wanted.number = record.number
      this.#place = record
    }
    this.#catalogue = catalogue
    return this.#place
  }

  #isDropped({ tables, next }: Catalogue): boolean {
    const { number = 0 } = this.#wanted ?? {}
    if (this.core.life.tables.isLost(number)) return false
    return number !== 0 && number < next && !tables.has(number)
  }

  /** The table may have been lost with a write that failed: then another one of its name may come. */
  #findAgain({ tables, next }: Catalogue): void {
    const wanted = this.#wanted
    if (wanted !== undefined && wanted.number >= next && !tables.has(wanted.number)) {
      wanted.number = 0
    }
  }
}

/** Whether the end of a range, at `end`, is in the space that its beginning, at `start`, is in; else it is behind all keys of that. */
function hasSameId(entries: Buffer, start: number, end: number, rangeEnd: number): boolean {
  const idBytes = prefixLength(entries, start)
  if (rangeEnd - end < idBytes) return false
  return entries.compare(entries, start, start + idBytes, end, end + idBytes) === 0
}

/** A key without the id of its space. */
function bytesOf(entries: Buffer, start: number, end: number): Uint8Array {
  return new Uint8Array(entries.subarray(start + prefixLength(entries, start), end))
}
