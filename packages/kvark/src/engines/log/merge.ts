/**
 * Walks several segments at once, in the order of sequences. Every segment is in that order by itself: the journal's as
 * they were written, the packed ones because compaction merges.
 *
 *   lanes, by their lowest sequence   ├──●────────────┤            ● the entry that comes next in each
 *                                          ├───●───────────┤       the lowest of them is next in all
 *                                                        ├──┤      not opened before its turn
 *
 * 1. Entries come with rising sequences; none at or below `after`.
 */

import { type BufferMemory, COLLECTED } from '../../bytes/memory.ts'
import { DELETE, PUT } from '../../engine/write-batch.ts'
import type { Routine } from '../../environment/routine.ts'
import { FILE_HEADER_BYTES, WINDOW_BYTES } from '../../storage/segment-format.ts'
import {
  type Chain,
  DAMAGED,
  END,
  ENTRY,
  FRAME,
  NEED,
  type SegmentSource,
  SegmentWalk,
} from '../../storage/segment-walk.ts'

const EXTENT_BYTES = 256 * 1024
/** With many lanes open, each reads less at once. */
const NARROW_EXTENT_BYTES = 32 * 1024
export const WIDE_LANES = 8

/** One segment of a merge; `T` is what the caller knows it by. */
export interface Lane<T> {
  readonly segment: T
  readonly source: SegmentSource
  /** Where its data ends; asked when the lane is opened. */
  readonly end: () => number
  /** What a walk over all of it must find; asked after `end`. None: it is salvaged from. */
  readonly chain: () => Chain | undefined
  /** No entry has a lower sequence. */
  readonly minSequence: number
}

interface OpenLane<T> {
  readonly lane: Lane<T>
  walk: SegmentWalk
  /** The walk has to begin further on. */
  seeking: boolean
  /** The walk stands on an entry that has not been passed yet. */
  ready: boolean
}

export class Merge<T> {
  readonly #waiting: Lane<T>[]
  readonly #after: number
  readonly #memory: BufferMemory
  readonly #extentBytes: number
  #open: OpenLane<T>[] = []
  /** The lane that `next` spoke of. */
  #lane: OpenLane<T> | undefined
  #told: 0 | 1 | 2 | 5 = END

  /** `memory` is where extents come from, and go when a lane has ended. */
  constructor(
    lanes: readonly Lane<T>[],
    after: number,
    memory: BufferMemory = COLLECTED,
    extentBytes: number = EXTENT_BYTES,
  ) {
    this.#extentBytes = extentBytes
    this.#waiting = lanes.toSorted((a, b) => b.minSequence - a.minSequence)
    this.#after = after
    this.#memory = memory
  }

  /** The segment of the entry, or of the damage, that `next` told of. */
  get segment(): T {
    return this.#lane!.lane.segment
  }

  get walk(): SegmentWalk {
    return this.#lane!.walk
  }

  /** `ENTRY` (a put or a deletion), `NEED` (run `fill`), `DAMAGED`, or `END`. */
  next(): 0 | 1 | 2 | 5 {
    if (this.#told === ENTRY) this.#lane!.ready = false
    this.#told = this.#step()
    return this.#told
  }

  *fill(): Routine<void> {
    const open = this.#lane!
    if (open.seeking) {
      const { source } = open.lane
      const end = open.lane.end()
      const from = yield* seek(source, end, this.#after)
      open.walk = new SegmentWalk(source, from, end, open.walk.extent, open.lane.chain())
      open.seeking = false
    }
    yield* open.walk.fill()
  }

  #step(): 0 | 1 | 2 | 5 {
    for (;;) {
      let lowest: OpenLane<T> | undefined
      for (const lane of this.#open) {
        if (!lane.ready) {
          const step = this.#advance(lane)
          if (step === END) {
            this.#memory.release(lane.walk.extent)
            this.#open = this.#open.filter((one) => one !== lane)
            continue
          }
          if (step !== ENTRY) {
            this.#lane = lane
            return step
          }
        }
        const { sequence } = lane.walk.entry
        if (lowest === undefined || sequence < lowest.walk.entry.sequence) lowest = lane
      }
      const waiting = this.#waiting[this.#waiting.length - 1]
      if (waiting && (!lowest || waiting.minSequence <= lowest.walk.entry.sequence)) {
        this.#waiting.pop()
        const { source, end, chain } = waiting
        const found = { end: end(), chain: chain() }
        const most = this.#open.length < WIDE_LANES ? this.#extentBytes : NARROW_EXTENT_BYTES
        const extent = this.#memory.allocate(Math.min(most, wholeWindows(found.end)))
        const walk =
          found.chain === undefined
            ? SegmentWalk.salvaging(source, found.end, extent)
            : new SegmentWalk(source, FILE_HEADER_BYTES, found.end, extent, found.chain)
        const seeking = waiting.minSequence < this.#after
        this.#open.push({ lane: waiting, walk, ready: false, seeking })
        continue
      }
      this.#lane = lowest
      return lowest === undefined ? END : ENTRY
    }
  }

  /** To the lane's next put or deletion. */
  #advance(lane: OpenLane<T>): 0 | 1 | 2 | 5 {
    if (lane.seeking) return NEED
    const { walk } = lane
    for (;;) {
      const step = walk.next()
      if (step === NEED || step === END || step === DAMAGED) return step
      if (step !== ENTRY || walk.entry.sequence <= this.#after) continue
      if (walk.entry.kind !== PUT && walk.entry.kind !== DELETE) continue
      lane.ready = true
      return ENTRY
    }
  }
}

/** What a whole segment takes: small ones need no more. */
function wholeWindows(end: number): number {
  return Math.max(1, Math.ceil(end / WINDOW_BYTES)) * WINDOW_BYTES
}

/** A frame's address from which on all entries above `after` come: found by halving, since frames are in their order too. */
function* seek(source: SegmentSource, end: number, after: number): Routine<number> {
  const extent = Buffer.allocUnsafeSlow(NARROW_EXTENT_BYTES)
  let low = FILE_HEADER_BYTES
  let high = end
  while (high - low > EXTENT_BYTES) {
    const middle = Math.floor((low + high) / 2 / WINDOW_BYTES) * WINDOW_BYTES
    const walk = new SegmentWalk(source, middle, high, extent)
    let step = walk.next()
    while (step === NEED || step === DAMAGED) {
      if (step === NEED) yield* walk.fill()
      else walk.skipDamage()
      step = walk.next()
    }
    if (step === FRAME && walk.frame!.firstSequence <= after) low = walk.address
    else high = middle
  }
  return low
}
