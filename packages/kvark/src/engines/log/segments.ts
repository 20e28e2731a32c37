/**
 * The segments of a store and the address space that their entries live in.
 *
 *   position (40 bits)   │ slot 14 │ offset 26 │          a slot is 64 MiB of addresses; a segment takes one, and one that
 *                                                       had to be longer takes as many as it needs in a row
 *
 * 1. A position means the same entry for as long as anybody may hold it: a slot is reused only after its segment's file
 *    is gone and no snapshot can ask for it.
 * 2. `stale` counts the bytes of entries that compaction would not copy. Those that have expired are among them once `expire` has
 *    counted them.
 */

import { KvarkError } from '../../errors.ts'
import type { Segment } from '../../storage/segment.ts'
import type { SegmentRecord } from './checkpoint.ts'
import { Expiring } from './expiring.ts'

const SLOT_BITS = 26
export const SLOT_BYTES: number = 2 ** SLOT_BITS
export const SLOTS: number = 2 ** (40 - SLOT_BITS)

export class LogSegment {
  readonly file: Segment
  readonly slot: number
  readonly slots: number
  /** Written by compaction, not by the journal. */
  readonly packed: boolean
  /** Bytes of entries that are overwritten, deleted, expired, or deletions themselves. */
  stale = 0
  /** Bytes of deletions among the stale ones. */
  tombstones = 0
  /** Bytes of all entries. */
  total = 0
  /** Of those that will expire; none: there are no such entries. */
  expiring: Expiring | undefined = undefined
  /** Smallest and largest sequence in it; none: Infinity and 0. */
  minSequence: number = Number.POSITIVE_INFINITY
  maxSequence = 0
  /** Packed ones: what was written when packing began. Older dead entries are not in here. */
  packedAt = 0
  /** Its entries are being given new places: the index may point to their copies. */
  moving = false
  /** The numbers of the first snapshot that sees it, and of the first that does not. */
  bornAt = 0
  retiredAt: number = Number.POSITIVE_INFINITY
  /** Replaced, and no manifest names it any more. */
  removable = false
  /** Compaction met damage in it and leaves it alone. */
  damaged = false

  constructor(file: Segment, slot: number, slots: number, packed: boolean) {
    this.file = file
    this.slot = slot
    this.slots = slots
    this.packed = packed
  }

  /** Position of its first byte. */
  get base(): number {
    return this.slot * SLOT_BYTES
  }

  /** Bytes between frames, left empty so that synced frames do not share sectors; as stale as can be. */
  get padding(): number {
    return this.file.padding + (this.file.writer?.padding ?? 0)
  }

  get end(): number {
    return this.file.writer?.end ?? this.file.end
  }

  /** An entry of so many bytes that is in here expires then. */
  expires(expiry: number, bytes: number): void {
    this.expiring ??= new Expiring()
    this.expiring.add(expiry, bytes)
  }

  /** An entry in here has been overwritten or deleted. */
  leave(expiry: number, bytes: number): void {
    if (expiry === 0 || this.expiring === undefined || this.expiring.remove(expiry, bytes)) {
      this.stale += bytes
    }
  }

  /** Counts as stale what has expired by then; returns how many bytes these are. */
  expire(clock: number): number {
    const bytes = this.expiring?.take(clock) ?? 0
    this.stale = Math.min(this.total, this.stale + bytes)
    return bytes
  }

  /** A deletion older than this could still have something to hide in here. */
  get floor(): number {
    return this.packed ? Math.max(this.minSequence, this.packedAt) : this.minSequence
  }
}

export class LogSegments {
  /** Slot → its segment. Read directly on hot paths. */
  readonly slots: (LogSegment | undefined)[] = []
  /** By file number. */
  readonly all: Map<number, LogSegment> = new Map()
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  /** Gives a file its place in the address space. */
  add(file: Segment, bytes: number, packed: boolean): LogSegment {
    const count = Math.max(1, Math.ceil(bytes / SLOT_BYTES))
    const slot = this.#free(count)
    const segment = new LogSegment(file, slot, count, packed)
    for (let i = 0; i < count; i++) this.slots[slot + i] = segment
    this.all.set(file.number, segment)
    return segment
  }

  /** Gives a file the place and the figures that a stored index has for it. */
  restore(file: Segment, record: SegmentRecord, packed: boolean): LogSegment {
    const segment = new LogSegment(file, record.slot, record.slots, packed)
    // More than there is in the file cannot be: compaction would make room for it.
    const most = file.end
    segment.total = Math.min(record.total, most)
    segment.stale = Math.min(record.stale, most)
    segment.tombstones = Math.min(record.tombstones, most)
    file.padding = Math.min(record.padding, most)
    segment.expiring = record.expiring && Expiring.from(record.expiring)
    segment.minSequence = record.max === 0 ? Number.POSITIVE_INFINITY : record.min
    segment.maxSequence = record.max
    for (let i = 0; i < record.slots; i++) this.slots[record.slot + i] = segment
    this.all.set(file.number, segment)
    return segment
  }

  /** Forgets all places. */
  reset(): void {
    this.slots.length = 0
    this.all.clear()
  }

  /** Takes it out of the store; its addresses stay taken until `free`. */
  remove(segment: LogSegment): void {
    this.all.delete(segment.file.number)
  }

  free(segment: LogSegment): void {
    for (let i = 0; i < segment.slots; i++) this.slots[segment.slot + i] = undefined
  }

  /** The segment that holds a position. */
  at(position: number): LogSegment {
    const segment = this.slots[Math.floor(position / SLOT_BYTES)]
    if (segment === undefined) {
      throw new KvarkError(
        'CORRUPTION',
        `${this.#folder}: the index points to position ${position}, where no segment is. Remove the file that ends with '.index', so that it is built anew, and run \`kvark verify\`.`,
        { path: this.#folder },
      )
    }
    return segment
  }

  /** In the order in which they were made. */
  sorted(): LogSegment[] {
    return [...this.all.values()].sort((a, b) => a.file.number - b.file.number)
  }

  #free(count: number): number {
    let run = 0
    for (let slot = 0; slot < SLOTS; slot++) {
      run = this.slots[slot] === undefined ? run + 1 : 0
      if (run === count) return slot - count + 1
    }
    throw new KvarkError(
      'NO_SPACE',
      'The store has reached 1 TiB, the most that the log engine can address. Delete what is not needed and compact.',
    )
  }
}
