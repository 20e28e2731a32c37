/**
 * Bytes as they are. What goes in is only read during the call; what comes out is the caller's own.
 *
 * Results up to 8 KiB share memory, as those of Node's own file functions do: keeping one keeps up to 64 KiB with it, and its
 * buffer cannot be transferred to another thread (copy it first). See `bytes/byte-pool.ts`.
 */

import { isUint8Array } from 'node:util/types'
import { copyBytes } from '../../bytes/byte-pool.ts'
import type { InternalCodec, Sink } from '../internal-codec.ts'
import { describe, type Role, refusal } from './refuse.ts'

export class BytesCodec implements InternalCodec<Uint8Array> {
  readonly name = 'bytes'
  readonly #role: Role

  constructor(role: Role) {
    this.#role = role
  }

  encodeInto(value: Uint8Array, sink: Sink): number {
    this.asBytes(value)
    const at = sink.reserve(value.length)
    sink.bytes.set(value, at)
    return value.length
  }

  asBytes(value: Uint8Array): Uint8Array {
    checkBytes(
      value,
      this.#role,
      `Convert it, or open the store with another codec for ${this.#role}s.`,
    )
    return value
  }

  decode(bytes: Buffer, start: number, end: number): Uint8Array {
    return copyBytes(bytes, start, end)
  }
}

/** Throws unless `value` is a `Uint8Array` (of any realm) whose memory is still there. */
export function checkBytes(
  value: unknown,
  role: Role,
  advice: string,
): asserts value is Uint8Array {
  if (!isUint8Array(value)) throw refusal(role, 'a Uint8Array', describe(value), advice)
  if (value.length === 0 && isDetached(value)) {
    throw refusal(
      role,
      'a Uint8Array',
      'one whose memory was transferred away',
      'Write it before it is transferred, or transfer a copy.',
    )
  }
}

/** A transferred array looks like an empty one; only making a view on its buffer tells. */
function isDetached(value: Uint8Array): boolean {
  try {
    new Uint8Array(value.buffer)
    return false
  } catch {
    return true
  }
}
