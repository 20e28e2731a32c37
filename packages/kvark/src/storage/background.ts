/**
 * One background job of a store at a time: compaction, checkpoints, merges. The work is a routine; it runs on the event loop in the steps
 * that its effects cut it into.
 *
 *   start ─► (the running code returns) ─► begun ─► step ─► step ─► … ─► settled
 *                                       end, abandon: the next step throws `CLOSED` inside the routine, which unwinds
 *
 * 1. A job that is to stop hears of it when the effect under way has finished. From then on the routine must not change its
 *    store, only clean up after itself. `abandon` does not wait for that: whoever calls it sees to it that this changes nothing
 *    that others may have by then.
 * 2. Nothing here keeps the process alive.
 */

import type { Environment } from '../environment/environment.ts'
import type { Routine } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'

interface Run {
  readonly work: () => Routine<void>
  promise: Promise<void>
  stopped: boolean
}

export class BackgroundJob {
  readonly #environment: Environment
  #current: Run | undefined
  #ended = false

  constructor(environment: Environment) {
    this.#environment = environment
  }

  get running(): boolean {
    return this.#current !== undefined
  }

  /** Nothing starts any more. */
  get ended(): boolean {
    return this.#ended
  }

  /** Begins `work` when the code that runs now has returned. Rejects with its error, or `CLOSED` when it was stopped. */
  start(work: () => Routine<void>): Promise<void> {
    if (this.#ended) return Promise.reject(stopped())
    const run: Run = { work, promise: Promise.resolve(), stopped: false }
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

  /** Stops what runs, and nothing starts any more. */
  end(): void {
    this.#ended = true
    this.#stop()
  }

  /** Stops what runs, and does not wait for the rest: another may start. */
  abandon(): void {
    this.#stop()
    this.#current = undefined
  }

  /** Resolves when nothing runs. */
  async settled(): Promise<void> {
    while (this.#current) await this.#current.promise.catch(() => {})
  }

  #stop(): void {
    if (this.#current) this.#current.stopped = true
  }

  async #drive(run: Run): Promise<void> {
    if (run.stopped) throw stopped()
    const routine = run.work()
    let told = false
    const toTell = (): boolean => run.stopped && !told
    let step = routine.next()
    while (!step.done) {
      let result: unknown
      let failure: unknown
      let failed = false
      // It may have been stopped during the step, by a callback of the user's.
      if (!toTell()) {
        try {
          result = await step.value.async()
        } catch (error) {
          failed = true
          failure = error
        }
      }
      if (toTell()) {
        told = true
        step.value.drop?.()
        step = routine.throw(stopped())
      } else step = failed ? routine.throw(failure) : routine.next(result)
    }
  }
}

function stopped(): KvarkError {
  return new KvarkError('CLOSED', 'the store was closed before this was done')
}
