/**
 * Which pages of the tree file are in use: one bit a page.
 *
 * 1. The lowest free page is taken first, so that the end of the file becomes free and can be cut off.
 * 2. `end` is the first page behind all that are in use.
 */

import { ownIntegers, release } from '../../bytes/memory.ts'

const WORD_BITS = 32
const ALL = 0xffff_ffff
const FIRST_WORDS = 64

export class Space {
  #words: Uint32Array
  /** No word before this one has a free page. */
  #hint = 0
  #end = 0
  #used = 0
  /** Pages before this one are not taken: see `above`. */
  #floor = 0

  constructor(words: number = FIRST_WORDS) {
    this.#words = ownIntegers(words)
  }

  /** Pages in use. */
  get used(): number {
    return this.#used
  }

  get end(): number {
    return this.#end
  }

  /** Pages before `end` that are free. */
  get free(): number {
    return this.#end - this.#used
  }

  /** Only pages from `page` on are given out from now on; 0: all. */
  above(page: number): void {
    this.#floor = page
    this.#hint = 0
  }

  has(page: number): boolean {
    const word = this.#words[Math.floor(page / WORD_BITS)] ?? 0
    return (word & (1 << (page % WORD_BITS))) !== 0
  }

  /** Takes the lowest free page. */
  take(): number {
    let at = Math.max(this.#hint, Math.floor(this.#floor / WORD_BITS))
    for (;;) {
      if (at >= this.#words.length) this.#grow(at + 1)
      // Pages before the floor count as taken.
      const below = this.#floor - at * WORD_BITS
      const barred = below > 0 ? (below >= WORD_BITS ? ALL : (1 << below) - 1) : 0
      const free = ~(this.#words[at]! | barred)
      if (free !== 0) {
        const page = at * WORD_BITS + (31 - Math.clz32(free & -free))
        this.#hint = at
        this.mark(page)
        return page
      }
      at++
    }
  }

  /** Takes `count` pages in a row; returns the first. */
  takeRun(count: number): number {
    const words = this.#words
    let run = 0
    let page = Math.max(this.#hint * WORD_BITS, this.#floor)
    while (run < count && page < this.#end) {
      const word = page % WORD_BITS === 0 ? words[page / WORD_BITS]! : undefined
      // Most words are all taken or all free.
      if (word === ALL) {
        run = 0
        page += WORD_BITS
      } else if (word === 0 && page + WORD_BITS <= this.#end) {
        run += WORD_BITS
        page += WORD_BITS
      } else run = this.has(page++) ? 0 : run + 1
    }
    const first = run >= count ? page - run : Math.max(this.#end - run, this.#floor)
    for (let i = 0; i < count; i++) this.mark(first + i)
    return first
  }

  /** Takes a page that is free. */
  mark(page: number): void {
    const at = Math.floor(page / WORD_BITS)
    if (at >= this.#words.length) this.#grow(at + 1)
    this.#words[at]! |= 1 << (page % WORD_BITS)
    this.#used++
    if (page >= this.#end) this.#end = page + 1
  }

  give(page: number): void {
    const at = Math.floor(page / WORD_BITS)
    this.#words[at]! &= ~(1 << (page % WORD_BITS))
    this.#used--
    if (at < this.#hint) this.#hint = at
    while (this.#end > 0 && !this.has(this.#end - 1)) this.#end--
  }

  /** The bits up to `end`, the first page in the lowest one; `except`: calls back with pages that are not in use as they are saved. */
  save(except: (visit: (page: number) => void) => void): Buffer {
    const words = this.#words.slice(0, Math.ceil(this.#end / WORD_BITS))
    except((page) => {
      words[Math.floor(page / WORD_BITS)]! &= ~(1 << (page % WORD_BITS))
    })
    const bytes = Buffer.alloc(words.length * 4)
    for (let i = 0; i < words.length; i++) bytes.writeUInt32LE(words[i]!, i * 4)
    return bytes
  }

  /** What was saved. */
  static restore(bytes: Buffer): Space {
    const space = new Space(Math.max(FIRST_WORDS, bytes.length >>> 2))
    for (let at = 0; at + 4 <= bytes.length; at += 4) {
      const word = bytes.readUInt32LE(at)
      space.#words[at >>> 2] = word
      if (word === 0) continue
      space.#used += bitsOf(word)
      space.#end = at * 8 + WORD_BITS - Math.clz32(word)
    }
    return space
  }

  #grow(words: number): void {
    const before = this.#words
    const larger = ownIntegers(Math.max(words, before.length * 2))
    larger.set(before)
    release(before)
    this.#words = larger
  }
}

/** How many bits of a word are set. */
function bitsOf(word: number): number {
  let n = 0
  for (let rest = word; rest !== 0; rest = (rest & (rest - 1)) >>> 0) n++
  return n
}
