/**
 * The one buffer in which a store builds the internal key of a read: the id of the key space, then the encoded key.
 *
 *   bytes   │ 0 │ key … │                reused by every read; whoever waits takes a copy
 *   words   │ 0 k k k │ k k k k │ …      the same memory, lowest byte first
 *
 * Engines take the key out a word at a time, to hash and to compare it. What went in a byte at a time cannot be forwarded
 * by the processor then: the read waits until all earlier stores have reached the cache. So short text goes in by words.
 */

import { writeVarint } from '../bytes/varint.ts'
import { LITTLE_ENDIAN } from '../bytes/words.ts'
import type { Sink } from './internal-codec.ts'
import { ROOT_SPACE } from './spaces.ts'

const FIRST_BYTES = 256
/** Up to this many characters a loop beats the call into native code. */
const SHORT_CHARACTERS = 48
const ASCII_END = 0x80

export class KeyBuffer implements Sink {
  bytes: Buffer = Buffer.alloc(FIRST_BYTES)
  /** Bytes of the id. */
  used = 1
  space: number = ROOT_SPACE
  #words: Uint32Array = wordsOf(this.bytes)
  /** The id, and zeros. */
  #prefix = 0

  /** Keys of another space follow. */
  begin(space: number): void {
    this.space = space
    this.bytes.fill(0, 0, 4)
    this.used = writeVarint(this.bytes, 0, space)
    this.#prefix = this.#words[0]!
  }

  reserve(length: number): number {
    if (this.used + length > this.bytes.length) {
      const bytes = Math.max(this.bytes.length * 2, this.used + length)
      this.bytes = Buffer.alloc((bytes + 3) & ~3)
      this.#words = wordsOf(this.bytes)
      this.begin(this.space)
    }
    return this.used
  }

  /** Writes `text` as the key if it is short and all ASCII; else false, and it has to be written otherwise. */
  writeAscii(text: string): boolean {
    const { length } = text
    if (length < 3 || length > SHORT_CHARACTERS || !LITTLE_ENDIAN) return false
    const words = this.#words
    const first = text.charCodeAt(0)
    const second = text.charCodeAt(1)
    let seen = first | second
    let i = 2
    if (this.used === 1) {
      const third = text.charCodeAt(i++)
      seen |= third
      words[0] = this.#prefix | (first << 8) | (second << 16) | (third << 24)
    } else if (this.used === 2) words[0] = this.#prefix | (first << 16) | (second << 24)
    else return false
    let word = 1
    for (; i + 4 <= length; i += 4) {
      const a = text.charCodeAt(i)
      const b = text.charCodeAt(i + 1)
      const c = text.charCodeAt(i + 2)
      const d = text.charCodeAt(i + 3)
      seen |= a | b | c | d
      words[word++] = a | (b << 8) | (c << 16) | (d << 24)
    }
    let last = 0
    for (let shift = 0; i < length; shift += 8) {
      const code = text.charCodeAt(i++)
      seen |= code
      last |= code << shift
    }
    words[word] = last
    return seen < ASCII_END
  }
}

function wordsOf(bytes: Buffer): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2)
}
