/**
 * `Found` is what a lookup or a cursor fills in: one reusable object instead of one per entry, pointing into the block
 * that holds the entry. Its bytes are valid until the next call into the engine.
 */

import type { Routine } from '../environment/routine.ts'
import type { Block } from '../storage/cache.ts'

export type { Block }

const NOTHING: Buffer = Buffer.alloc(0)

/**
 * Entries that come next, as text: a cursor makes one of many entries at once, which takes a fraction of the time that each by itself
 * does. Whoever walks takes them from here, `next` after `next`, before he asks the cursor again.
 *
 * 1. The text is its own: it stays as it is whatever is written, and whatever leaves the memory.
 * 2. All characters that an entry has in it are ASCII.
 */
export class Run {
  /** What is wanted of the entries. */
  readonly wantsKeys: boolean
  readonly wantsValues: boolean
  /** The entries `next` … `end` − 1 are left. */
  next = 0
  end = 0
  /** Internal keys, as far as they are wanted: of entry i from `keyStarts[i]` to `keyStarts[i + 1]`. */
  keys = ''
  readonly keyStarts: number[] = []
  /** Values, as far as they are wanted. */
  values = ''
  readonly valueStarts: number[] = []
  readonly valueEnds: number[] = []

  constructor(wantsKeys: boolean, wantsValues: boolean) {
    this.wantsKeys = wantsKeys
    this.wantsValues = wantsValues
  }
}

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
  /** Set by who walks and can do with text; a cursor that has something for it fills it in when it answers `FOUND`. */
  run: Run | undefined = undefined
  /** After `BLOCKED`: what to load. */
  block: Block | undefined = undefined
  /** After `SPREAD`, which tells all but the bytes of the value: brings them, in memory of their own. */
  gather: (() => Routine<void>) | undefined = undefined
  /**
   * After a `find` that answered `SPREAD`: `length` bytes of the value from `from` on, with memory of their own.
   */
  part: ((from: number, length: number) => Routine<Uint8Array>) | undefined = undefined

  /** The value as bytes that nobody else will change. */
  copyValue(): Uint8Array {
    return Uint8Array.prototype.slice.call(this.bytes, this.start, this.end)
  }
}
