/**
 * When checkpoints run: in the background once the journal or the pages that are in memory only have become large; before the next
 * write goes on once either has become very large; and when somebody asks for one.
 *
 * Without the second rule whoever writes faster than the event loop turns, or without letting it turn at all, would have a journal
 * without end, and its crash an opening without end.
 */

import { Effect, type Routine, runSync } from '../../environment/routine.ts'
import { asKvarkError } from '../../errors.ts'
import { BackgroundJob } from '../../storage/background.ts'
import { readOnly } from '../../storage/journal.ts'
import { checkpoint } from './checkpoint.ts'
import type { BtreeOptions } from './options.ts'
import type { TreeState } from './state.ts'

/** Shares of `cacheBytes` that fresh pages may take before a checkpoint begins, and before writes wait for it. */
const BEGIN_SHARE = 3 / 8
const WAIT_SHARE = 1 / 2
const LEAST_PAGES = 64
/** Times `checkpointBytes` that the journal may have before writes wait, and bytes that it always may. */
const WAIT_TIMES = 2
const LEAST_BYTES = 4 * 1024 * 1024
/** With more of them than that an opening makes a checkpoint: each is an open file. */
const MOST_SEGMENTS = 128
/** After a checkpoint that failed: how many times as much there must be for the next one. */
const MORE = 1.25

/** Pages that are in memory only, and bytes of the journal. */
interface Amount {
  readonly pages: number
  readonly bytes: number
}
const NOTHING: Amount = { pages: 0, bytes: 0 }

export class Checkpointer {
  readonly #state: TreeState
  readonly #options: Required<BtreeOptions>
  readonly #job: BackgroundJob
  /** Checkpoints that have ended well. */
  finished = 0
  /** Those that somebody began who could not wait, whatever ran. */
  #atOnce = 0
  /** Called after each of them with the number of pages that were free when it began. */
  after: (unused: number) => void = () => {}
  /** What there was when the last one failed; nothing: it did not. */
  #failedAt: Amount = NOTHING

  constructor(state: TreeState, options: Required<BtreeOptions>) {
    this.#state = state
    this.#options = options
    this.#job = new BackgroundJob(state.context.environment)
  }

  get running(): boolean {
    return this.#job.running
  }

  /** Whether writes should wait. */
  get isFull(): boolean {
    const { checkpointBytes } = this.#options
    const bytes = Math.max(WAIT_TIMES * checkpointBytes, LEAST_BYTES)
    return this.#exceeds(this.#pages(WAIT_SHARE), bytes)
  }

  /** Begins one in the background if it is time. */
  consider(): void {
    if (this.#job.running || this.#state.journal.failure) return
    if (this.#exceeds(this.#pages(BEGIN_SHARE), this.#options.checkpointBytes)) {
      this.#job.start(() => this.#work()).catch((error: unknown) => this.#warn(error))
    }
  }

  /** Waits until writes may go on. A checkpoint that fails does not hold them up: the journal will say when there is no space. */
  relieve(): Effect<void> {
    return new Effect(
      () => {
        if (!this.isFull) return
        try {
          this.now().sync()
        } catch (error) {
          this.#warn(error)
        }
      },
      async () => {
        // When the store closes there are no more checkpoints, and who waits here will be told so.
        while (!this.#job.ended && this.isFull && !this.#state.journal.failure) {
          // One that runs makes room, too.
          if (this.#job.running) await this.#job.settled()
          else
            await this.now()
              .async()
              .catch((error: unknown) => this.#warn(error))
        }
      },
    )
  }

  /** A checkpoint of everything so far. */
  now(): Effect<void> {
    return new Effect(
      () => {
        this.#atOnce++
        this.#job.abandon()
        runSync(this.#work())
      },
      async () => {
        for (;;) {
          while (this.#job.running) await this.#job.settled()
          const { finished } = this
          const atOnce = this.#atOnce
          try {
            return await this.#job.start(() => this.#work())
          } catch (error) {
            // Somebody who could not wait has taken it over; where that has failed, it is told to him only.
            if (this.finished !== finished) return
            if (this.#atOnce === atOnce) throw error
          }
        }
      },
    )
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

  /** After an opening. Each one of an encrypted store begins a segment, and those who are killed each time would make no checkpoint. */
  *tidyOpened(): Routine<void> {
    if (this.#state.segments.length <= MOST_SEGMENTS) return
    try {
      yield* this.#work()
    } catch (error) {
      this.#warn(error)
    }
  }

  /** After `stop`: one of everything so far. */
  last(): Routine<void> {
    return this.#work()
  }

  /** After the last one: the journal's clean end. */
  *finish(): Routine<void> {
    const { journal } = this.#state
    // Both roots are on the disk before the journal says so: a copy that is missing then was damaged.
    yield* this.#state.file.handle.sync()
    journal.begin()
    yield* journal.close(this.#state.root.number)
  }

  *#work(): Routine<void> {
    const { journal, pages } = this.#state
    // A root that was written and not synced may be on the disk: nothing may be written over what it leads to.
    if (journal.failure) throw readOnly(journal.failure)
    const unused = pages.space.free
    try {
      yield* checkpoint(this.#state)
    } catch (error) {
      this.#failedAt = { pages: this.#state.pages.fresh, bytes: this.#journalBytes() }
      throw error
    }
    this.#failedAt = NOTHING
    this.finished++
    this.after(unused)
  }

  #warn(error: unknown): void {
    const { code, message } = asKvarkError(error)
    if (code === 'CLOSED' || this.#state.journal.failure) return
    this.#state.context.environment.warn(
      `A checkpoint failed, and is tried again later: ${message}`,
    )
  }

  #pages(share: number): number {
    const { context, file } = this.#state
    return Math.max(LEAST_PAGES, Math.floor((context.cacheBytes * share) / file.pageBytes))
  }

  /** After one that failed there must be more to do before the next. */
  #exceeds(pages: number, bytes: number): boolean {
    const failed = this.#failedAt
    return (
      this.#state.pages.fresh > Math.max(pages, MORE * failed.pages) ||
      this.#journalBytes() > Math.max(bytes, MORE * failed.bytes)
    )
  }

  #journalBytes(): number {
    let bytes = 0
    for (const { writer, end } of this.#state.segments) bytes += writer?.end ?? end
    return bytes
  }
}
