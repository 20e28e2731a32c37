/**
 * What a caller hands in to be taken one by one: an iterable, awaited or not.
 *
 *   next ─► step ─► next ─► … ─► done          an error, or the signal ─► close: the iterator hears `return`
 *
 * 1. An error of the source's own is passed on as it is.
 * 2. The signal ends the waiting, whatever the source does. What then becomes of the source is not waited for.
 */

import type { KvarkError } from '../errors.ts'

type Step = IteratorResult<unknown, unknown>

export class Source {
  /** Whether each step has to be awaited. */
  readonly isAwaited: boolean
  readonly #iterator: AsyncIterator<unknown, unknown> | Iterator<unknown, unknown>
  readonly #signal: AbortSignal
  readonly #onAbort: () => void
  /** Ends the waiting for the source. */
  #interrupt: (reason: unknown) => void = () => {}
  /** The source has come to its end, or failed: there is nothing to close. */
  #done = false

  /** `refuse`: the error where it is none. `plain`: one that is not awaited is asked for. */
  constructor(source: unknown, signal: AbortSignal, refuse: () => KvarkError, plain = false) {
    const { [Symbol.asyncIterator]: awaited, [Symbol.iterator]: atOnce } = Object(
      source,
    ) as Partial<AsyncIterable<unknown, unknown> & Iterable<unknown, unknown>>
    this.isAwaited = !plain && typeof awaited === 'function'
    if (typeof source !== 'object' || source === null) throw refuse()
    if (this.isAwaited) this.#iterator = awaited!.call(source)
    else if (typeof atOnce === 'function') this.#iterator = atOnce.call(source)
    else throw refuse()
    this.#signal = signal
    this.#onAbort = () => this.#interrupt(signal.reason)
    signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** The next step, awaited. */
  async next(): Promise<Step> {
    this.#signal.throwIfAborted()
    let step: Step
    try {
      step = await this.interruptible(this.#iterator.next())
    } catch (error) {
      this.#done = !this.#signal.aborted
      throw error
    }
    if (step.done) this.#done = true
    return step
  }

  /** The next step of one that is not awaited. */
  nextSync(): Step {
    // Where it throws there is nothing to close.
    this.#done = true
    const step = this.#iterator.next() as Step
    this.#done = step.done === true
    return step
  }

  /** Lets go of the source. */
  async close(): Promise<void> {
    try {
      const returned = this.#return()
      // It may never come to that: a source that is being waited for is not asked twice.
      if (!this.#signal.aborted) await returned
      else if (returned instanceof Promise) returned.catch(() => {})
    } catch {
      // Why it is closed says more.
    }
  }

  closeSync(): void {
    try {
      this.#return()
    } catch {
      // Why it is closed says more.
    }
  }

  #return(): unknown {
    this.#signal.removeEventListener('abort', this.#onAbort)
    if (this.#done) return undefined
    this.#done = true
    return this.#iterator.return?.()
  }

  /** Waits until the signal ends that. */
  interruptible<T>(wanted: T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#interrupt = reject
      Promise.resolve(wanted).then(resolve, reject)
      // What gave the promise may have aborted before.
      if (this.#signal.aborted) this.#onAbort()
    })
  }
}
