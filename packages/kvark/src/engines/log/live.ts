/** Where the entries lie that the index points to, segment by segment: what a rewrite copies. */

import { GrowingFloats } from '../../bytes/growing.ts'
import type { Routine } from '../../environment/routine.ts'
import { SHARDS } from './hash-index.ts'
import { type LogSegment, SLOT_BYTES } from './segments.ts'
import type { LogState } from './state.ts'

const WORDS_A_STEP = 32_768

/** Offsets in one segment, in any order; the first `count` of `memory`. */
export type LiveOffsets = Pick<GrowingFloats, 'memory' | 'count'>

/** Offsets of the live entries of each of the `segments`; none at all once everything was cleared. */
export function* liveOffsets(
  state: LogState,
  segments: readonly LogSegment[],
  signal: AbortSignal | undefined,
): Routine<LiveOffsets[]> {
  const { index, context } = state
  const slots: ({ readonly first: number; readonly list: GrowingFloats } | undefined)[] = []
  const lists = segments.map((segment) => {
    const list = new GrowingFloats()
    const offsets = { first: segment.slot, list }
    for (let i = 0; i < segment.slots; i++) slots[segment.slot + i] = offsets
    return list
  })
  let scanned = 0
  for (let shard = 0; shard < SHARDS; shard++) {
    const table = index.tables[shard]!
    scanned += table.length
    for (let i = 0; i < table.length; i += 2) {
      const low = table[i]!
      if (low === 0) continue
      const slot = ((table[i + 1]! & 0xff) << 6) | (low >>> 26)
      const found = slots[slot]
      found?.list.push((low & (SLOT_BYTES - 1)) + (slot - found.first) * SLOT_BYTES)
    }
    if (scanned > WORDS_A_STEP) {
      scanned = 0
      yield* context.environment.pause
      signal?.throwIfAborted()
      if (state.index !== index) return lists.map(() => new GrowingFloats())
    }
  }
  return lists
}
