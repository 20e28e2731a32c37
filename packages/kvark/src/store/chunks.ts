/**
 * What a caller hands in as a value in pieces: an iterable, awaited or not, of byte arrays; each piece checked as it comes.
 *
 *   next ─► Uint8Array ─► next ─► … ─► undefined: the end
 */

import { Effect } from '../environment/routine.ts'
import { invalid, show } from './arguments.ts'
import type { ByteSource } from './call-types.ts'
import { checkBytes, checkMemory } from './codecs/bytes.ts'
import { Source } from './source.ts'

export class Chunks {
  readonly #source: Source

  constructor(source: ByteSource, signal: AbortSignal) {
    this.#source = new Source(source, signal, () =>
      invalid(
        `The source must be an iterable of Uint8Array, such as a stream, not ${show(source)}.`,
      ),
    )
  }

  /** The next piece, `undefined` at the end. It is the source's: it may change once the next one is asked for. */
  readonly next: Effect<Uint8Array | undefined> = new Effect(
    () => {
      throw new TypeError('A source is only awaited')
    },
    () => this.#next(),
  )

  /** Lets go of the source. */
  close(): Promise<void> {
    return this.#source.close()
  }

  async #next(): Promise<Uint8Array | undefined> {
    const { done, value } = await this.#source.next()
    if (done) return undefined
    checkBytes(value, 'value', 'Give an iterable of such pieces; a single one as [bytes].')
    checkMemory(value, 'value')
    return value
  }
}
