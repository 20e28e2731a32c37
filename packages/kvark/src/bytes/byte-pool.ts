/**
 * Copies of bytes for callers, cut from shared pieces of memory.
 *
 *   piece   │ copy │ copy │ copy │ free … │        8 KiB for copies up to 1 KiB, 64 KiB for those up to 8 KiB
 *
 * Out of measurement: an array with memory of its own costs 900 ns from 65 bytes on (V8 keeps up to 64 bytes on its heap, for
 * more it asks the allocator), one cut from a piece 100 ns; at 4 KiB it is 1.8 µs beside 1.1 µs.
 *
 * 1. Copies never overlap, and nothing else is ever in a piece: what is not written yet is zero.
 * 2. A piece lives as long as one of its copies: keeping one keeps at most one piece.
 * 3. A piece cannot be transferred to another thread, for that would take the other copies away. `postMessage` clones instead.
 *    Streams of type 'bytes' do take it away on Node 20, and refuse it on later ones: give them a copy.
 */

import { markAsUntransferable } from 'node:worker_threads'

/** The longest typed array that V8 keeps on its own heap. */
const ON_HEAP_BYTES = 64
const ALIGNMENT_MASK = 7

/** Where copies up to `longest` bytes come from, in pieces of `#length`. */
class Pool {
  readonly longest: number
  readonly #length: number
  #piece: Buffer = Buffer.alloc(0)
  #used: number

  constructor(length: number, longest: number) {
    this.#length = length
    this.longest = longest
    this.#used = length
  }

  copy(bytes: Buffer, start: number, end: number): Uint8Array {
    const length = end - start
    // A byte stream takes away even what is marked: then all the rest of the piece is gone as well.
    if (this.#used + length > this.#length || this.#piece.buffer.byteLength === 0) {
      const memory = new ArrayBuffer(this.#length)
      markAsUntransferable(memory)
      this.#piece = Buffer.from(memory)
      this.#used = 0
    }
    const at = this.#used
    this.#used = (at + length + ALIGNMENT_MASK) & ~ALIGNMENT_MASK
    bytes.copy(this.#piece, at, start, end)
    return new Uint8Array(this.#piece.buffer, at, length)
  }
}

const SMALL = new Pool(8 * 1024, 1024)
const LARGE = new Pool(64 * 1024, 8 * 1024)

/** `bytes[start .. end)` as bytes that nobody else will change. */
export function copyBytes(bytes: Buffer, start: number, end: number): Uint8Array {
  const length = end - start
  if (length <= ON_HEAP_BYTES) {
    const copy = new Uint8Array(length)
    for (let i = 0; i < length; i++) copy[i] = bytes[start + i]!
    return copy
  }
  if (length <= SMALL.longest) return SMALL.copy(bytes, start, end)
  if (length <= LARGE.longest) return LARGE.copy(bytes, start, end)
  const copy = new Uint8Array(length)
  copy.set(bytes.subarray(start, end))
  return copy
}
