/** One leaf after the other of those to which branches lead: the others are not read. */

import type { Routine } from '../../environment/routine.ts'
import type { Block } from '../../storage/cache.ts'
import { AWAY, type Leads, PRESENT } from './path.ts'
import type { TreeState } from './state.ts'

/**
 * Calls `visit` when the next such leaf from `key` on is the one that was searched last; returns where to go on, `undefined`: there
 * are no more.
 */
export function* visitLeaf(
  state: TreeState,
  key: Uint8Array,
  leads: Leads,
  visit: () => void,
): Routine<Buffer | undefined> {
  const { tree } = state
  const held: Block[] = []
  try {
    // Others write while it waits, and may have cleared all.
    while (!state.closed) {
      const found = tree.searchWhere(key, leads)
      if (found === PRESENT) {
        const { behind } = tree
        visit()
        return behind
      }
      if (found !== AWAY) break
      const block = tree.block()
      yield* block.load
      held.push(block)
    }
    return undefined
  } finally {
    for (const block of held) block.release()
  }
}
