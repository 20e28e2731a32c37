/**
 * Takes out entries that have expired.
 *
 *   key ─► the first leaf from there on of which its branch says that something may expire ─► what has expired goes ─► the next one …
 *          (`MAY_EXPIRE`)                                                                      └─ nothing left that will: so say branches
 *
 * 1. It goes by keys, one leaf at a time, in slices: between two of them others may read and write.
 * 2. Nothing of it is in the journal. Replay brings back nothing but entries that have expired, for the clock goes on from the last
 *    frame or root; the next checkpoint makes it last. Snapshots keep the pages that they see.
 * 3. A long value that the root on the disk does not lead to stays until the next checkpoint: its pages may have been written before
 *    the journal told of them, and replay would take them for it again, whoever has them by then.
 * 4. A pass begins when something that it has seen, or that was put since, has expired. Then it rests ten times as long as that took.
 *
 * Left out: where the entries are that expire next. A pass looks at all leaves that have some that expire at all.
 */

import { Effect, type Routine } from '../../environment/routine.ts'
import { Slice } from '../../environment/slice.ts'
import { asKvarkError } from '../../errors.ts'
import { BackgroundJob } from '../../storage/background.ts'
import { readOnly } from '../../storage/journal.ts'
import { MAY_EXPIRE, traitsAt } from './branch.ts'
import type { Checkpointer } from './checkpointer.ts'
import { NO_PAGE } from './format.ts'
import { Leaf } from './leaf.ts'
import type { Leads } from './path.ts'
import type { TreeState } from './state.ts'
import { visitLeaf } from './visit.ts'

/** Leaves in one step of the event loop, at most. */
const STEP_LEAVES = 16
const REST = 10
/** After a failure. */
const RETRY_MS = 10 * 60_000

const mayExpire: Leads = (branch) => (traitsAt(branch) & MAY_EXPIRE) !== 0

export class Sweeper {
  readonly #state: TreeState
  readonly #checkpointer: Checkpointer
  readonly #deleted: (count: number) => void
  readonly #job: BackgroundJob
  readonly #leaf: Leaf = new Leaf()
  /** When the first entry expires; 0: nobody has looked yet; infinite: there is none. */
  #first = 0
  /** By the monotonic clock. */
  #restsUntil = 0

  /** `deleted` hears of entries that were taken out. */
  constructor(state: TreeState, checkpointer: Checkpointer, deleted: (count: number) => void) {
    this.#state = state
    this.#checkpointer = checkpointer
    this.#deleted = deleted
    this.#job = new BackgroundJob(state.context.environment)
  }

  get running(): boolean {
    return this.#job.running
  }

  /** An entry has been put that expires then. */
  put(expiry: number): void {
    if (expiry < this.#first) this.#first = expiry
  }

  /** Begins a pass if it is time; false when nothing in the tree expires. */
  expire(): boolean {
    const { journal, context } = this.#state
    if (this.#first === Number.POSITIVE_INFINITY) return this.#job.running
    const { environment } = context
    if (this.#job.running || journal.failure || !this.#isTime()) return true
    if (environment.monotonic() < this.#restsUntil) return true
    const begun = environment.monotonic()
    this.#job
      .start(() => this.#pass(undefined))
      .then(() => {
        const now = environment.monotonic()
        this.#restsUntil = now + REST * (now - begun)
      })
      .catch((error: unknown) => this.#warn(error))
    return true
  }

  /** Takes out everything that has expired by now. */
  *sweep(signal: AbortSignal | undefined): Routine<void> {
    // One that runs may be past what has expired since it began.
    if (this.#job.running || this.#isTime()) yield* this.#pass(signal)
    // Long values waited for the checkpoint with which that ended.
    if (this.#isTime()) yield* this.#pass(signal)
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

  #isTime(): boolean {
    return this.#first <= this.#state.journal.now()
  }

  *#pass(signal: AbortSignal | undefined): Routine<void> {
    const { tree, journal, context } = this.#state
    const slice = Slice.ofBackground(context.environment)
    this.#first = Number.POSITIVE_INFINITY
    const clock = journal.now()
    const { entries } = tree
    try {
      let key: Buffer | undefined = Buffer.alloc(0)
      for (let leaves = 1; key !== undefined; leaves++) {
        if (slice.over() || leaves % STEP_LEAVES === 0) {
          yield* context.environment.pause
          signal?.throwIfAborted()
          yield* this.#checkpointer.relieve()
          slice.begin()
        }
        if (journal.failure) throw readOnly(journal.failure)
        key = yield* visitLeaf(this.#state, key, mayExpire, () => this.#sweepLeaf(clock))
      }
      // What waits for a checkpoint is for the next pass.
      if (this.#first <= clock) yield* this.#checkpointer.now()
      // Where nothing is left, the file can be as short as at the beginning: once the second one lies before all that was.
      for (let i = 0; i < 2 && entries > 0 && tree.root === NO_PAGE; i++)
        yield* this.#checkpointer.now()
    } catch (error) {
      this.#first = 0
      throw error
    }
  }

  /** The leaf that was searched last. */
  #sweepLeaf(clock: number): void {
    const state = this.#state
    const { tree, file } = state
    const { leaf: page } = tree
    const leaf = this.#leaf
    const gone: number[] = []
    let stays = false
    for (let slot = 0; slot < page.count; slot++) {
      page.read(slot)
      leaf.read(page.bytes, page.bodyAt, page.bodyLength, file.handle.path)
      if (leaf.expiry === 0) continue
      const isNew = leaf.long && leaf.sequence > state.root.sequence
      if (leaf.expiry <= clock && !isNew) gone.push(slot)
      else {
        stays = true
        this.put(leaf.expiry)
      }
    }
    const dropped = !stays && gone.length < page.count && tree.dropTraits(MAY_EXPIRE)
    if (gone.length > 0) tree.deleteSlots(gone)
    else if (!dropped) return
    state.changed = true
    this.#deleted(gone.length)
    this.#checkpointer.consider()
  }

  #warn(error: unknown): void {
    const { environment } = this.#state.context
    const { code, message } = asKvarkError(error)
    if (code === 'CLOSED' || this.#state.journal.failure) return
    this.#restsUntil = environment.monotonic() + RETRY_MS
    environment.warn(`Expired entries stay for now, and are tried again later: ${message}`)
  }
}
