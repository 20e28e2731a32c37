/**
 * Gives space back: neighbouring leaves that are thin are put together, and what lies near the end of the file is copied to free pages
 * before it, so that the next checkpoint can cut the end off.
 *
 *   key ─► leaf: merge with the next one as long as that fits ─► thin? fill it from the next one, where that was asked for
 *       ─► beyond the limit? copy its path ─► the first key of the next leaf …
 *
 *   gather, when the store closes: only leaves that branches say are beyond the limit are read, and copied
 *
 * 1. It goes by keys, one leaf at a time: between two of them others may write.
 * 2. Nothing of it is in the journal, for it changes no entry; a checkpoint makes it last.
 *
 * Left out: thin branches, and long values, which stay where they are.
 */

import type { Progress } from '../../engine/engine.ts'
import type { Routine } from '../../environment/routine.ts'
import { Slice } from '../../environment/slice.ts'
import { readOnly } from '../../storage/journal.ts'
import { childAt } from './branch.ts'
import type { Checkpointer } from './checkpointer.ts'
import { NO_PAGE } from './format.ts'
import type { Leads } from './path.ts'
import type { TreeState } from './state.ts'
import { visitLeaf } from './visit.ts'

/** Leaves in one step of the event loop, at most. */
const STEP_LEAVES = 16

/** `fills`: whether thin leaves are filled, for which others are written as well. Returns how many leaves are gone. */
export function* repack(
  state: TreeState,
  checkpointer: Checkpointer,
  fills: boolean,
  progress: Progress | undefined,
  signal: AbortSignal | undefined,
): Routine<number> {
  const { tree, pages, journal, context } = state
  const { environment } = context
  const slice = Slice.ofBackground(environment)
  // All that is in use would fit before it.
  const limit = pages.space.used
  let done = 0
  let gone = 0
  let key: Buffer | undefined = Buffer.alloc(0)
  for (let leaves = 0; key !== undefined && !state.closed && tree.root !== NO_PAGE; leaves++) {
    if (slice.over() || leaves % STEP_LEAVES === 0) {
      yield* environment.pause
      signal?.throwIfAborted()
      yield* checkpointer.relieve()
      if (journal.failure) throw readOnly(journal.failure)
      slice.begin()
      progress?.(Math.min(done, tree.entries), tree.entries)
    }
    let next: Buffer | undefined
    do {
      yield* tree.warm(key, 0, key.length)
      // Others write between the steps, and may have cleared all.
      if (state.closed || tree.root === NO_PAGE) return gone
      tree.reach(tree.root, key, 0, key.length)
      next = tree.nextKey()
      if (next === undefined) break
      yield* tree.warm(next, 0, next.length)
      if (state.closed || tree.root === NO_PAGE) return gone
      tree.reach(tree.root, key, 0, key.length)
    } while (tree.merge() ? ++gone > 0 : fills && tree.fill())
    tree.reach(tree.root, key, 0, key.length)
    if (tree.isBeyond(limit)) tree.move()
    done += tree.leaf.count
    key = next
  }
  return gone
}

/** Copies what lies from the page `limit` on, and nothing else. Nobody writes meanwhile. */
export function* gather(
  state: TreeState,
  checkpointer: Checkpointer,
  limit: number,
): Routine<void> {
  const { tree, context } = state
  const slice = Slice.ofBackground(context.environment)
  const isBeyond: Leads = (branch, number) =>
    branch.level > 1 || number >= limit || childAt(branch) >= limit
  let key: Buffer | undefined = Buffer.alloc(0)
  for (let leaves = 1; key !== undefined; leaves++) {
    if (slice.over() || leaves % STEP_LEAVES === 0) {
      yield* context.environment.pause
      slice.begin()
    }
    if (checkpointer.isFull) yield* checkpointer.last()
    key = yield* visitLeaf(state, key, isBeyond, () => {
      // A branch that was beyond it may have been copied with the leaf before.
      if (tree.isBeyond(limit)) tree.move()
    })
  }
}
