/**
 * Entries on their way in, in the order of their keys, kept aside until a batch makes them part of the store as a whole:
 *
 *   engine.load(expiry) ─► (key ─► value, written to it as to a sink ─► value is there ─► busy? proceed) … ─► finish ─► batch.setLoad
 *                       └──────────────────────────────────────────────┴──────────────► discard: nothing of it is left
 *
 *   engine.write(batch)    all of them are visible, all of the same sequence; `REFUSED` where the store has an entry from the first
 *                          key up to the last
 *
 * 1. Keys come strictly ascending: who hands them in has checked that.
 * 2. Nothing of it can be read, and nobody who reads or writes waits for it, until `engine.write`.
 * 3. What it takes of memory does not depend on how many entries there are, where the engine keeps them on disk.
 * 4. A load that the engine's `close` or `resume` meets is discarded; its calls then answer `CLOSED`.
 */

import type { Routine } from '../environment/routine.ts'

export interface Load {
  /** Entries so far. */
  readonly entries: number
  /** Where the value is written, from `used` on, once its key is there. `reserve` may replace `bytes`. */
  bytes: Buffer
  used: number
  /** Makes room for `length` bytes there; returns `used`. */
  reserve(length: number): number
  /** The internal key of the next entry, `key[0 .. length)`; `common`: so many bytes it has in common with the one before. It stays as it is until the next one. */
  key(key: Uint8Array, length: number, common: number): void
  /** `length` bytes at `used` are the value. `ascii`: all of them below 128. */
  value(length: number, ascii: boolean): void
  /** There is something to do before the next key. */
  readonly busy: boolean
  proceed(): Routine<void>
  /** One entry at least has come, and no more will: does what is left to do before it can be part of a batch. */
  finish(): Routine<void>
  /** Takes it away unless it was written. Repeating it is harmless. */
  discard(): Routine<void>
}
