/**
 * `Found` is what a lookup or a cursor fills in: one reusable object instead of one per entry, pointing into the block
 * that holds the entry. Its bytes are valid until the next call into the engine.
 */

import type { Routine } from '../environment/routine.ts'
import type { Block } from '../storage/cache.ts'

export type { Block }

const NOTHING: Buffer = Buffer.alloc(0)

/** In which form a part of a run is wanted. */
export const UNWANTED = 0
export const AS_TEXT = 1
export const AS_BYTES = 2
export type RunForm = 0 | 1 | 2

/**
 * Entries that come next: a cursor makes a run of many entries at once, which takes a fraction of the time that each by itself does.
 * Whoever walks takes them from here, `next` after `next`, before he asks the cursor again.
 *
 * 1. What it holds is its own: it stays as it is whatever is written, and whatever leaves the memory. Bytes stay until the cursor is
 *    asked again.
 * 2. All characters that an entry has in a text are ASCII.
 * 3. A cursor that is closed leaves none in it.
 */
export class Run {
  readonly keyForm: RunForm
  readonly valueForm: RunForm
  /** More entries than this are of no use. */
  most: number = Number.POSITIVE_INFINITY
  /** The entries `next` … `end` − 1 are left. */
  next = 0
  end = 0
  /** Internal keys, in their form: of entry i from `keyStarts[i]` to `keyStarts[i + 1]`. */
  keys = ''
  keyBytes: Buffer = NOTHING
  readonly keyStarts: number[] = []
  /** Values, in their form. */
  values = ''
  valueBytes: Buffer = NOTHING
  readonly valueStarts: number[] = []
  readonly valueEnds: number[] = []

  constructor(keyForm: RunForm, valueForm: RunForm) {
    this.keyForm = keyForm
    this.valueForm = valueForm
  }
}

/**
 * Reads a part of a value. To be a plain function that calls a generator which it shares with all others: V8 makes a prototype and a hidden
 * class for every generator function that is called, and those live until the next full collection.
 */
export type PartReader = (from: number, length: number) => Routine<Buffer>

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
  /** Set by who walks and can do with runs; a cursor that has something for it fills it in when it answers `FOUND`. */
  run: Run | undefined = undefined
  /** After `BLOCKED`: what to load. */
  block: Block | undefined = undefined
  /** After `SPREAD`, which tells all but the bytes of the value: reads `length` of them from `from` on, into memory of their own. */
  part: PartReader | undefined = undefined

  /** The value as bytes that nobody else will change. */
  copyValue(): Uint8Array {
    return Uint8Array.prototype.slice.call(this.bytes, this.start, this.end)
  }

  /** After `SPREAD`: brings the value as a whole. */
  *gather(): Routine<void> {
    const length = this.end - this.start
    this.bytes = yield* this.part!(0, length)
    this.start = 0
    this.end = length
  }
}
