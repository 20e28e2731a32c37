/**
 * A long value on its way in, piece by piece, kept aside until a batch puts it:
 *
 *   engine.spool(key) ─► append … ─► finish ─► batch.setSpool ─► engine.write: visible, as a whole
 *                          └───────────┴──────────► discard: nothing of it is left
 *
 * 1. Nothing of it can be read, and nobody who reads or writes waits for it, until `engine.write`.
 * 2. What it takes of memory does not depend on the value's length, where the engine keeps values on disk.
 * 3. A spool that the engine's `close` or `resume` meets is discarded; its calls then answer `CLOSED`.
 */

import type { Routine } from '../environment/routine.ts'

/** Shorter values are not spooled: they go into a batch as they are. */
export const SPOOL_BYTES: number = 2 * 1024 * 1024

export interface Spool {
  /** Bytes of the value so far. */
  readonly length: number
  /** Adds `source[from .. to)`, which may change once this has returned. Holds the event loop while it adds them. */
  append(source: Uint8Array, from: number, to: number): Routine<void>
  /** All of the value, at least `SPOOL_BYTES`, has been appended: does what is left to do before it can be put. */
  finish(): Routine<void>
  /** Takes it away unless it was put. Repeating it is harmless. */
  discard(): Routine<void>
}
