/**
 * Snapshots of the log: since nothing is overwritten in place, a snapshot has only to remember where the entries were that
 * the index no longer points to.
 *
 *   oldest ──► snapshot ──► snapshot ──► newest ──► the index now
 *              overlay      overlay      overlay    each overlay: positions taken out of the index while its snapshot was
 *                                                   the newest one
 *
 * 1. A read at a snapshot looks into its overlay, those of newer snapshots, and the index, for the key's entry with a sequence
 *    not above the snapshot's.
 * 2. An entry of a snapshot's segments is alive in it if the index or one of those overlays holds its position. Compaction moves
 *    entries without a note here: a copy has the same sequence, so lookups find it, and cursors ask by key (see `cursor.ts`).
 * 3. `clear` begins a new era with an empty index; older snapshots keep the index of theirs, which no longer changes.
 * 4. A released snapshot hands its overlay to the next older one of its era, if any.
 * 5. Segments that compaction replaced stay until no snapshot from before can ask for them (`retiredAt`).
 */

import { type EngineSnapshot, MISSING } from '../../engine/engine.ts'
import { KvarkError } from '../../errors.ts'
import { HashIndex } from './hash-index.ts'
import type { Lookup } from './lookup.ts'

export class LogSnapshot implements EngineSnapshot {
  readonly number: number
  readonly sequence: number
  readonly clock: number
  /** Its era's index. */
  readonly index: HashIndex
  /** When it was taken, by the monotonic clock, ms. */
  readonly taken: number
  overlay: HashIndex | undefined = undefined
  released = false
  readonly #release: (snapshot: LogSnapshot) => void

  constructor(
    number: number,
    sequence: number,
    clock: number,
    index: HashIndex,
    taken: number,
    release: (snapshot: LogSnapshot) => void,
  ) {
    this.number = number
    this.sequence = sequence
    this.clock = clock
    this.index = index
    this.taken = taken
    this.#release = release
  }

  release(): void {
    if (this.released) return
    this.released = true
    this.#release(this)
  }
}

export class Snapshots {
  /** Oldest first. */
  readonly living: LogSnapshot[] = []
  #next = 1

  /** The number that the next snapshot will get. */
  get next(): number {
    return this.#next
  }

  /** The number of the oldest living one; the next one's when there is none. */
  get oldest(): number {
    return this.living[0]?.number ?? this.#next
  }

  take(
    sequence: number,
    clock: number,
    index: HashIndex,
    taken: number,
    released: () => void,
  ): LogSnapshot {
    const snapshot = new LogSnapshot(this.#next++, sequence, clock, index, taken, (one) => {
      this.#remove(one)
      released()
    })
    this.living.push(snapshot)
    return snapshot
  }

  /** `position` leaves the index, or moves within it. */
  superseded(index: HashIndex, hash: number, position: number): void {
    const newest = this.living[this.living.length - 1]
    if (newest === undefined || newest.index !== index) return
    newest.overlay ??= new HashIndex()
    newest.overlay.insert(hash, position)
  }

  /** Whether the entry at a position is alive in the snapshot. */
  holds(snapshot: LogSnapshot, hash: number, position: number): boolean {
    if (snapshot.index.has(hash, position)) return true
    const { living } = this
    for (let i = living.indexOf(snapshot); i < living.length; i++) {
      const one = living[i]!
      if (one.index === snapshot.index && one.overlay?.has(hash, position)) return true
    }
    return false
  }

  /** The state is gone: nothing can be read at a snapshot of it any more. */
  close(): void {
    for (const one of this.living) one.released = true
    this.living.length = 0
  }

  /** Bytes of memory held for them. */
  get bytes(): number {
    let bytes = 0
    for (const one of this.living) bytes += one.overlay?.bytes ?? 0
    return bytes
  }

  #remove(snapshot: LogSnapshot): void {
    const at = this.living.indexOf(snapshot)
    if (at < 0) return
    this.living.splice(at, 1)
    const older = this.living[at - 1]
    const { overlay } = snapshot
    if (overlay === undefined || older === undefined || older.index !== snapshot.index) return
    if (older.overlay === undefined) older.overlay = overlay
    else overlay.moveInto(older.overlay)
  }
}

/** Looks a key up as of a snapshot; see `Lookup.find`. */
export function findAt(
  lookup: Lookup,
  snapshots: Snapshots,
  at: LogSnapshot,
  hash: number,
  key: Uint8Array,
  start: number,
  length: number,
): 0 | 1 | 2 | 3 {
  const { living } = snapshots
  const from = living.indexOf(at)
  if (from < 0) {
    throw new KvarkError(
      'CLOSED',
      'This snapshot is released, or the store was resumed since it was taken. Take another one.',
    )
  }
  for (let i = from; i < living.length; i++) {
    const { overlay, index } = living[i]!
    if (overlay === undefined || index !== at.index) continue
    const status = lookup.find(overlay, hash, key, start, length, at.sequence)
    if (status !== MISSING) return status
  }
  return lookup.find(at.index, hash, key, start, length, at.sequence)
}
