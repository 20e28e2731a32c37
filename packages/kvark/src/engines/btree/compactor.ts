/**
 * Gives space back by itself: begins compaction
 *
 * 1. when as many entries have been deleted since the last time as there are left: the leaves could be half as many, or fewer;
 * 2. when the tree takes fewer pages than it did since the last time, by more than a quarter of the file: a long value may be that much;
 * 3. after a checkpoint, when more than a quarter of the file has been free since the checkpoint before, without anybody needing it.
 *    What the last compaction could not give back does not count;
 * 4. when the store closes: checkpoints write to what the one before has left, and there are no more of them. Only what lies near the
 *    end of the file is moved then, as far as it would fit into the cache; leaves stay as thin as they are.
 *
 * Files shorter than `checkpointBytes` are left alone: the journal may take as much at any time.
 *
 * Left out: what was deleted before the store was opened, and values in pages that became shorter, are not seen by the first two.
 */

import { type JobReport, observed } from '../../engine/diagnostics.ts'
import type { Progress } from '../../engine/engine.ts'
import { Effect, type Routine } from '../../environment/routine.ts'
import { asKvarkError } from '../../errors.ts'
import { BackgroundJob } from '../../storage/background.ts'
import type { Checkpointer } from './checkpointer.ts'
import type { BtreeOptions } from './options.ts'
import { gather, repack } from './repack.ts'
import type { TreeState } from './state.ts'

const FREE_SHARE = 1 / 4
/** When the store closes: what pays, and what stays free for the branches that are copied, and the next map of free pages. */
const LAST_SHARE = 1 / 16
const LAST_ROOM = 1 / 32
const LAST_PAGES = 8

export class Compactor {
  readonly #state: TreeState
  readonly #checkpointer: Checkpointer
  readonly #options: Required<BtreeOptions>
  readonly #job: BackgroundJob
  /** Compactions that have ended well. */
  finished = 0
  /** Entries deleted since the last time. */
  #deleted = 0
  /** The most pages that the tree had since the last time. */
  #most: number
  /** Free pages that the last time has left. */
  #left = 0

  constructor(state: TreeState, checkpointer: Checkpointer, options: Required<BtreeOptions>) {
    this.#state = state
    this.#checkpointer = checkpointer
    this.#options = options
    this.#job = new BackgroundJob(state.context.environment)
    this.#most = this.#taken
    checkpointer.after = (unused) => {
      this.#left = Math.min(this.#left, unused)
      this.#begin(unused - this.#left > this.#share)
    }
  }

  get running(): boolean {
    return this.#job.running
  }

  /** So many entries have been deleted. */
  deleted(count: number): void {
    if (count > 0) this.#deleted += count
  }

  /** Begins one in the background if something that was written makes it pay. */
  consider(): void {
    const { tree } = this.#state
    const taken = this.#taken
    if (taken > this.#most) this.#most = taken
    const isThin = this.#deleted > 0 && this.#deleted >= tree.entries
    this.#begin(isThin || this.#most - taken > this.#share)
  }

  /** `fills`: thin leaves from those behind them. By itself only what fits into one is put together, which costs the fewest pages. */
  compact(
    fills: boolean,
    progress: Progress | undefined,
    signal: AbortSignal | undefined,
  ): Routine<void> {
    return observed('kvark:compaction', this.#state.context, (report) =>
      this.#compact(fills, progress, signal, report),
    )
  }

  *#compact(
    fills: boolean,
    progress: Progress | undefined,
    signal: AbortSignal | undefined,
    report: JobReport,
  ): Routine<void> {
    const { pages, file } = this.#state
    const { space } = pages
    const { end: before } = space
    this.#deleted = 0
    this.#most = this.#taken
    try {
      // Else what the tree has left would count as in use, and nothing behind it had to be moved.
      if (pages.views.kept > 0) yield* this.#settle()
      // The first round may make the file longer, by the copies of what it has put together.
      let end = 0
      for (let rounds = 0; space.end < end || (space.end !== end && rounds < 2); rounds++) {
        end = space.end
        const gone = yield* repack(this.#state, this.#checkpointer, fills, progress, signal)
        this.#most -= gone
        yield* this.#settle()
      }
      this.finished++
    } finally {
      this.#left = space.free
      report.bytes = (before - space.end) * file.pageBytes
    }
  }

  /** What the tree has left makes room at the end only when a checkpoint has forgotten where it was, and the next one lies before it. */
  *#settle(): Routine<void> {
    yield* this.#checkpointer.now()
    yield* this.#checkpointer.now()
  }

  /** After `stop`, and the last checkpoint. */
  *finish(): Routine<void> {
    const { pages, file, context } = this.#state
    const { space } = pages
    const limit = Math.ceil(space.used * (1 + LAST_ROOM)) + LAST_PAGES
    if (this.#isSmall || space.end - limit <= space.end * LAST_SHARE) return
    // So much is moved at most: what a long value leaves free is more than that.
    if (Math.min(space.free, space.used) * file.pageBytes > context.cacheBytes) return
    try {
      yield* gather(this.#state, this.#checkpointer, limit)
      yield* this.#checkpointer.last()
    } catch (error) {
      // Everything is in the file, which is longer than it would have to be.
      this.#warn(error)
    }
  }

  /** Nothing runs any more when it returns, nor will it. */
  stop(): Effect<void> {
    return new Effect(
      () => this.#job.end(),
      async () => {
        this.#job.end()
        await this.#job.settled()
      },
    )
  }

  get #isSmall(): boolean {
    const { pages, file } = this.#state
    return pages.space.end * file.pageBytes <= this.#options.checkpointBytes
  }

  /** Pages that the tree of now has; what is on its way in counts, too. */
  get #taken(): number {
    const { space, views } = this.#state.pages
    return space.used - views.kept
  }

  /** So many pages of the file are worth it. */
  get #share(): number {
    return this.#state.pages.space.end * FREE_SHARE
  }

  #begin(pays: boolean): void {
    if (!pays || this.#job.running || this.#isSmall) return
    this.#job
      .start(() => this.compact(false, undefined, undefined))
      // Much may have been deleted meanwhile.
      .then(() => this.consider())
      .catch((error: unknown) => this.#warn(error))
  }

  #warn(error: unknown): void {
    const { code, message } = asKvarkError(error)
    if (code === 'CLOSED' || this.#state.journal.failure) return
    this.#state.context.environment.warn(
      `Compaction failed, and is tried again when more has been deleted: ${message}`,
    )
  }
}
