/**
 * The one buffer in which a store builds the internal key of a read: the id of the root table, then the encoded key.
 *
 *   bytes   │ 0 │ key … │        reused by every read; whoever waits takes a copy
 */

import type { Sink } from './internal-codec.ts'

/** Bytes before the key: the root table's id. */
export const ROOT_PREFIX = 0
export const PREFIX_BYTES = 1

const FIRST_BYTES = 256

export class KeyBuffer implements Sink {
  bytes: Buffer = Buffer.alloc(FIRST_BYTES)
  readonly used: number = PREFIX_BYTES

  reserve(length: number): number {
    if (PREFIX_BYTES + length > this.bytes.length) {
      this.bytes = Buffer.alloc(Math.max(this.bytes.length * 2, PREFIX_BYTES + length))
    }
    return PREFIX_BYTES
  }
}
