/**
 * What a caller hands in as a value in pieces: an iterable, awaited or not, of byte arrays; each piece checked as it comes.
 *
 *   next ─► Uint8Array ─► next ─► … ─► undefined: the end          an error, or the end of the store ─► close: the iterator hears `return`
 *
 * 1. An error of the source's own is passed on as it is.
 * 2. The end of the store ends the waiting, whatever the source does. What then becomes of the source is not waited for.
 */

import { Effect } from '../environment/routine.ts'
import { invalid, show } from './arguments.ts'
import { checkBytes, checkMemory } from './codecs/bytes.ts'
import type { ByteSource } from './types.ts'

type AnyIterator = AsyncIterator<unknown, unknown> | Iterator<unknown, unknown>

export class Chunks {
  readonly #iterator: AnyIterator
  readonly #signal: AbortSignal
  readonly #onAbort: () => void
  /** Ends the waiting for the source. */
  #interrupt: (reason: unknown) => void = () => {}
  /** The source has come to its end, or failed: there is nothing to close. */
  #done = false

  constructor(source: ByteSource, signal: AbortSignal) {
    this.#iterator = iteratorOf(source)
    this.#signal = signal
    this.#onAbort = () => this.#interrupt(signal.reason)
    signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** The next piece, `undefined` at the end. It is the source's: it may change once the next one is asked for. */
  readonly next: Effect<Uint8Array | undefined> = new Effect(
    () => {
      throw new TypeError('A source is only awaited')
    },
    () => this.#next(),
  )

  /** Lets go of the source. */
  async close(): Promise<void> {
    this.#signal.removeEventListener('abort', this.#onAbort)
    if (this.#done) return
    this.#done = true
    try {
      const returned = this.#iterator.return?.()
      // It may never come to that: a source that is being waited for is not asked twice.
      if (!this.#signal.aborted) await returned
      else if (returned instanceof Promise) returned.catch(() => {})
    } catch {
      // Why it is closed says more.
    }
  }

  async #next(): Promise<Uint8Array | undefined> {
    this.#signal.throwIfAborted()
    let step: IteratorResult<unknown, unknown>
    try {
      step = await this.#interruptible(this.#iterator.next())
    } catch (error) {
      this.#done = !this.#signal.aborted
      throw error
    }
    if (step.done) {
      this.#done = true
      return undefined
    }
    const { value } = step
    checkBytes(value, 'value', 'Give an iterable of such pieces; a single one as [bytes].')
    checkMemory(value, 'value')
    return value
  }

  #interruptible<T>(wanted: T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#interrupt = reject
      Promise.resolve(wanted).then(resolve, reject)
    })
  }
}

function iteratorOf(source: ByteSource): AnyIterator {
  if (typeof source === 'object' && source !== null) {
    const { [Symbol.asyncIterator]: awaited, [Symbol.iterator]: plain } = source as Partial<
      AsyncIterable<unknown, unknown> & Iterable<unknown, unknown>
    >
    if (typeof awaited === 'function') return awaited.call(source)
    if (typeof plain === 'function') return plain.call(source)
  }
  throw invalid(
    `The source must be an iterable of Uint8Array, such as a stream, not ${show(source)}.`,
  )
}
