/**
 * One background job of a store at a time: compaction, checkpoints, merges. The work is a routine; it runs on the event loop in the steps
 * that its effects cut it into.
 *
 *   start ─► (the running code returns) ─► begun ─► step ─► step ─► … ─► settled
 *                                            cancel: the next step throws `CANCELLED` inside the routine, which unwinds
 *
 * 1. `cancel` takes effect when the effect under way has finished. From then on the routine must not change its store, only
 *    clean up after itself.
 * 2. Nothing here keeps the process alive.
 */

import type { Environment } from '../environment/environment.ts'
import type { Routine } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'

interface Run {
  readonly work: () => Routine<void>
  promise: Promise<void>
  cancelled: boolean
}

export class BackgroundJob {
  readonly #environment: Environment
  #current: Run | undefined

  constructor(environment: Environment) {
    this.#environment = environment
  }

  get running(): boolean {
    return this.#current !== undefined
  }

  /** Begins `work` when the code that runs now has returned. Rejects with its error, or `CLOSED` when it was cancelled. */
  start(work: () => Routine<void>): Promise<void> {
    const run: Run = { work, promise: Promise.resolve(), cancelled: false }
    this.#current = run
    run.promise = new Promise<void>((resolve, reject) => {
      this.#environment.defer(() => {
        this.#drive(run).then(resolve, reject)
      })
    }).finally(() => {
      if (this.#current === run) this.#current = undefined
    })
    run.promise.catch(() => {}) // Whoever is interested awaits it.
    return run.promise
  }

  cancel(): void {
    if (this.#current) this.#current.cancelled = true
  }

  /** Cancels, and does not wait for the rest: another may start. */
  abandon(): void {
    this.cancel()
    this.#current = undefined
  }

  /** Resolves when nothing runs. */
  async settled(): Promise<void> {
    while (this.#current) await this.#current.promise.catch(() => {})
  }

  async #drive(run: Run): Promise<void> {
    if (run.cancelled) throw cancelled()
    const routine = run.work()
    let told = false
    let step = routine.next()
    while (!step.done) {
      let result: unknown
      let failure: unknown
      let failed = false
      try {
        result = await step.value.async()
      } catch (error) {
        failed = true
        failure = error
      }
      if (run.cancelled && !told) {
        told = true
        step = routine.throw(cancelled())
      } else step = failed ? routine.throw(failure) : routine.next(result)
    }
  }
}

function cancelled(): KvarkError {
  return new KvarkError('CLOSED', 'the store was closed before this was done')
}
