/**
 * Syncs of the tree file that go on while more is written to it, one at a time.
 *
 *   written ─► settled ─► begin ─┬─► written ─► settled ─► begin ─┬─► …
 *                                └── the disk is busy with it ────┘
 *
 * 1. What was written before `begin` is on the disk once `settled` has ended and the engine takes writes still: a sync that fails
 *    makes it refuse them (`TreeState.sync`).
 * 2. Who cannot wait has it synced when `begin` returns.
 * 3. Whoever ends, well or not, waits for `settled`: a file system tells of a write that failed once, to one of those who sync.
 */

import { Effect } from '../../environment/routine.ts'
import type { TreeState } from './state.ts'

export class SyncAhead {
  readonly #state: TreeState
  #running: Promise<void> | undefined

  constructor(state: TreeState) {
    this.#state = state
  }

  /** Syncs what has been written; who can wait goes on meanwhile. The one before has ended. */
  readonly begin: Effect<void> = new Effect(
    () => this.#state.sync().sync(),
    async () => {
      this.#running = this.#state.sync().async()
      // Then the engine takes no more writes, and so it is told.
      this.#running.catch(() => {})
    },
  )

  /** Ends when the sync that is under way has ended, well or not. Who cannot wait does not need it: what he syncs is synced. */
  readonly settled: Effect<void> = new Effect(
    () => {},
    async () => {
      await this.#running?.catch(() => {})
    },
  )
}
