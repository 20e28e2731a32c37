/**
 * `Found` is what a lookup or a cursor fills in: one reusable object instead of one per entry, pointing into the block
 * that holds the entry. Its bytes are valid until the next call into the engine.
 */

import type { Routine } from '../environment/routine.ts'
import type { Block } from '../storage/cache.ts'

export type { Block }

const NOTHING: Buffer = Buffer.alloc(0)

export class Found {
  /** The internal key: `keyBytes[keyStart .. keyEnd)`. Cursors fill it in, `find` does not. */
  keyBytes: Buffer = NOTHING
  keyStart = 0
  keyEnd = 0
  /** The value: `bytes[start .. end)`. */
  bytes: Buffer = NOTHING
  start = 0
  end = 0
  /** The write that made the entry. */
  sequence = 0
  /** When it ends, ms since 1970; 0: never. */
  expiry = 0
  /** Whether every byte of the value is known to be ASCII. */
  ascii = false
  /** After `BLOCKED`: what to load. */
  block: Block | undefined = undefined
  /** After `SPREAD`: fills the rest of this object in, with bytes of its own. */
  gather: (() => Routine<void>) | undefined = undefined
  /**
   * After a `find` that answered `SPREAD`: `length` bytes of the value from `from` on, with memory of their own. `start` and `end`
   * tell how long the value is.
   */
  part: ((from: number, length: number) => Routine<Uint8Array>) | undefined = undefined

  /** The value as bytes that nobody else will change. */
  copyValue(): Uint8Array {
    return Uint8Array.prototype.slice.call(this.bytes, this.start, this.end)
  }
}
