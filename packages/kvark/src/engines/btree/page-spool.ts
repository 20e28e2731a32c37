/**
 * Pages that are written to free places of the tree file past the memory, and synced there, before the journal names them: of a long
 * value on its way in, or of many entries.
 *
 *   take … take ─► written by who took them ─► finish: synced ─► put: the tree has them
 *      └───────────────┴─────────────────────────┴───► discard: free again
 *
 * 1. Until `put` its pages are in use for nobody but this process: the map of no checkpoint has them.
 * 2. They lie in a few runs, each twice as long as the one before. What is left of the last one is given back.
 */

import type { Routine } from '../../environment/routine.ts'
import { asKvarkError, KvarkError } from '../../errors.ts'
import { readOnly } from '../../storage/journal.ts'
import { eachPage } from './extents.ts'
import type { TreeState } from './state.ts'
import { SyncAhead } from './sync-ahead.ts'

const SYNC_BYTES = 8 * 1024 * 1024
/** The first run of pages, and the longest one, in bytes; each is twice as long as the one before. */
const FIRST_RUN_BYTES = 1024 * 1024
const LONGEST_RUN_BYTES = 256 * 1024 * 1024

export class PageSpool {
  protected readonly state: TreeState
  protected readonly runs: [number, number][] = []
  /** Pages of the last run that are in use. */
  #used = 0
  #unsynced = 0
  readonly #ahead: SyncAhead
  #open = true

  constructor(state: TreeState) {
    this.state = state
    this.#ahead = new SyncAhead(state)
  }

  get isOpen(): boolean {
    return this.#open
  }

  eachPage(visit: (page: number) => void): void {
    eachPage({ length: 0, mark: 0, runs: this.runs }, visit)
  }

  /** It has been put: its pages are the tree's. */
  put(): void {
    this.#open = false
    this.state.spools.delete(this)
  }

  *discard(): Routine<void> {
    if (!this.#open) return
    this.#open = false
    const { state } = this
    state.spools.delete(this)
    yield* this.#ahead.settled
    if (state.closed) return
    this.eachPage((page) => state.pages.space.give(page))
    if (state.journal.failure) return
    try {
      yield* state.trim()
    } catch (error) {
      if (state.closed) return
      const { message } = asKvarkError(error)
      state.context.environment.warn(
        `${state.file.handle.path} stays as long as it is until the next checkpoint: ${message}`,
      )
    }
  }

  /** `CLOSED` where nothing is written any more, `READ_ONLY` where the engine takes no writes. */
  check(): void {
    if (!this.#open) throw new KvarkError('CLOSED', 'This is not being written any more.')
    const { failure } = this.state.journal
    if (failure) throw readOnly(failure)
  }

  /** The next page. */
  protected take(): number {
    const { pages, file } = this.state
    const last = this.runs[this.runs.length - 1]
    if (last !== undefined && this.#used < last[1]) return last[0] + this.#used++
    const bytes = Math.min(LONGEST_RUN_BYTES, FIRST_RUN_BYTES * 2 ** this.runs.length)
    const count = Math.max(1, bytes / file.pageBytes)
    const first = pages.space.takeRun(count)
    this.runs.push([first, count])
    this.#used = 1
    return first
  }

  /** So many bytes have been written: lets others run, and begins to sync them when there are many. */
  protected *wrote(bytes: number): Routine<void> {
    this.#unsynced += bytes
    if (this.#unsynced >= SYNC_BYTES) {
      this.#unsynced = 0
      yield* this.#ahead.settled
      this.check()
      yield* this.#ahead.begin
    } else yield* this.state.context.environment.pause
    this.check()
  }

  /** All has been written: syncs it, and gives back what is left of the last run. */
  protected *settle(): Routine<void> {
    this.#unsynced = 0
    yield* this.#ahead.settled
    this.check()
    yield* this.state.sync()
    this.check()
    const last = this.runs[this.runs.length - 1]
    if (last === undefined) return
    const { space } = this.state.pages
    for (let i = this.#used; i < last[1]; i++) space.give(last[0] + i)
    last[1] = this.#used
  }
}
