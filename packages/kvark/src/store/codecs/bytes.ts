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

/** At most what is copied when it is handed in; longer values are only pointed to. */
const LONG_BYTES = 1024

export class BytesCodec implements InternalCodec<Uint8Array> {
  readonly name = 'bytes'
  readonly #role: Role

  constructor(role: Role) {
    this.#role = role
  }

  encodeInto(value: Uint8Array, sink: Sink): number {
    this.asBytes(value)
    const at = sink.reserve(value.length)
    copyInto(sink.bytes, value, at, this.#role)
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
  // Short ones are copied at once, and that tells.
  if (value.length === 0 || value.length >= LONG_BYTES) checkMemory(value, role)
}

/** Copies bytes that have been checked. */
export function copyInto(target: Uint8Array, value: Uint8Array, at: number, role: Role): void {
  try {
    target.set(value, at)
  } catch (error) {
    checkMemory(value, role)
    throw error
  }
}

/**
 * Throws where the memory of `value` was transferred away, or has shrunk below it. Such an array mostly looks like an empty one, but
 * V8 may also give the length that it had, so whoever fails to copy asks here why.
 */
export function checkMemory(value: Uint8Array, role: Role): void {
  try {
    Uint8Array.prototype.values.call(value)
  } catch {
    throw refusal(
      role,
      'a Uint8Array',
      'one whose memory is gone',
      'Write it before its buffer is transferred or made shorter, or write a copy.',
    )
  }
}

/** A copy, of the same class. */
export function copyOf(bytes: Uint8Array, role: Role): Uint8Array {
  checkMemory(bytes, role)
  // `Buffer.prototype.slice` does not copy.
  return Uint8Array.prototype.slice.call(bytes)
}
