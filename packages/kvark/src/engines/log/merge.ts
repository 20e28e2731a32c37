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

import { DELETE, PUT } from '../../engine/write-batch.ts'
import type { Routine } from '../../environment/routine.ts'
import { FILE_HEADER_BYTES } from '../../storage/segment-format.ts'
import {
  DAMAGED,
  END,
  ENTRY,
  NEED,
  type SegmentSource,
  SegmentWalk,
} from '../../storage/segment-walk.ts'

const EXTENT_BYTES = 256 * 1024
/** With many lanes open, each reads less at once. */
const NARROW_EXTENT_BYTES = 32 * 1024
const WIDE_LANES = 8

/** One segment of a merge; `T` is what the caller knows it by. */
export interface Lane<T> {
  readonly segment: T
  readonly source: SegmentSource
  /** Where its data ends; asked when the lane is opened. */
  readonly end: () => number
  /** No entry has a lower sequence. */
  readonly minSequence: number
}

interface OpenLane<T> {
  readonly segment: T
  readonly walk: SegmentWalk
  /** The walk stands on an entry that has not been passed yet. */
  ready: boolean
}

export class Merge<T> {
  readonly #waiting: Lane<T>[]
  readonly #after: number
  #open: OpenLane<T>[] = []
  /** The lane that `next` spoke of. */
  #lane: OpenLane<T> | undefined
  #told: 0 | 1 | 2 | 5 = END

  constructor(lanes: readonly Lane<T>[], after: number) {
    this.#waiting = lanes.toSorted((a, b) => b.minSequence - a.minSequence)
    this.#after = after
  }

  /** The segment of the entry, or of the damage, that `next` told of. */
  get segment(): T {
    return this.#lane!.segment
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
    yield* this.#lane!.walk.fill()
  }

  #step(): 0 | 1 | 2 | 5 {
    for (;;) {
      let lowest: OpenLane<T> | undefined
      for (const lane of this.#open) {
        if (!lane.ready) {
          const step = this.#advance(lane)
          if (step === END) {
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
        const bytes = this.#open.length < WIDE_LANES ? EXTENT_BYTES : NARROW_EXTENT_BYTES
        const extent = Buffer.allocUnsafeSlow(bytes)
        const walk = new SegmentWalk(waiting.source, FILE_HEADER_BYTES, waiting.end(), extent)
        this.#open.push({ segment: waiting.segment, walk, ready: false })
        continue
      }
      this.#lane = lowest
      return lowest === undefined ? END : ENTRY
    }
  }

  /** To the lane's next put or deletion. */
  #advance(lane: OpenLane<T>): 0 | 1 | 2 | 5 {
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
