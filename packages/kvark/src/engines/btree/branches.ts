/**
 * Branches of a tree that is made from its leaves up, in the order of the keys:
 *
 *   add(leaf) add(leaf) … ─► branch of level 1, full ─► add to the one of level 2 ─► …          finish ─► the page on top
 *
 * 1. A branch is written when the next child does not fit, so that it holds the checksums of pages that have been written.
 * 2. A level has a branch from its second child on: the page on top has two children, or is a leaf.
 * 3. The first key of a branch is empty: it bounds nothing.
 */

import { type Subtree, writeBranch } from './branch.ts'
import { BRANCH_BODY_BYTES, Page, type PageMemory, pageMemory } from './page.ts'
import { commonPrefix } from './path.ts'

const NOTHING = Buffer.alloc(0)

/** A key between two pages; the rest of a long one is written once, when it is first tried to put it somewhere. */
class Bound {
  readonly key: Uint8Array
  reference: Buffer | undefined

  constructor(key: Uint8Array) {
    this.key = key
  }
}

const UNBOUNDED = new Bound(NOTHING)

/** What the branches are written with. */
export interface BranchWriter {
  /** The reference to the rest of a key; empty where it is not long. */
  referenceTo(key: Uint8Array): Buffer
  /** Writes a page; returns its number and its checksum. */
  write(page: Page): { readonly page: number; readonly sum: number }
}

interface Level {
  readonly page: Page
  readonly memory: PageMemory
  /** With which the branch begins. */
  bound: Bound
  /** The first child of all, as long as it is the only one. */
  only: Subtree | undefined
  entries: number
  traits: number
}

export class Branches {
  readonly #writer: BranchWriter
  readonly #size: number
  readonly #levels: Level[] = []

  /** `size`: of a page. */
  constructor(writer: BranchWriter, size: number) {
    this.#writer = writer
    this.#size = size
  }

  /** The next page of its level: its keys are not smaller than `separator`, all before it are. */
  add(separator: Uint8Array, child: Subtree): void {
    this.#add(new Bound(separator), child)
  }

  /** There are no more: what is on top. */
  finish(): Subtree {
    for (let i = 0; ; i++) {
      const level = this.#levels[i]!
      if (level.only !== undefined) return level.only
      this.#add(level.bound, this.#write(level, i + 1))
    }
  }

  #add(bound: Bound, child: Subtree): void {
    const { level } = child
    const known = this.#levels[level]
    if (known === undefined) {
      this.#levels[level] = this.#begin(bound, child)
      return
    }
    if (known.only !== undefined) {
      this.#put(known, UNBOUNDED, known.only)
      known.only = undefined
    }
    if (this.#put(known, bound, child)) return
    this.#add(known.bound, this.#write(known, level + 1))
    known.bound = bound
    known.entries = 0
    known.traits = 0
    known.page.format(known.memory, 0, level + 1, NOTHING)
    this.#put(known, UNBOUNDED, child)
  }

  #begin(bound: Bound, only: Subtree): Level {
    const memory = this.#newMemory()
    const page = new Page(memory, this.#size)
    page.format(memory, 0, only.level + 1, NOTHING)
    return { page, memory, bound, only, entries: 0, traits: 0 }
  }

  /** False where there is no room. */
  #put(level: Level, bound: Bound, child: Subtree): boolean {
    const { page } = level
    const { key } = bound
    const inPage = Math.min(key.length, page.longBytes)
    bound.reference ??= this.#writer.referenceTo(key)
    const { reference } = bound
    const length = reference.length + BRANCH_BODY_BYTES
    const fits = (): boolean =>
      (page.count === 0 || page.takes(key, 0, inPage)) &&
      page.insert(page.count, key, 0, inPage, length)
    if (!fits() && !(this.#shorten(page, key) && fits())) return false
    reference.copy(page.bytes, page.bodyAt)
    writeBranch(page.bytes, page.bodyAt + reference.length, child)
    level.entries += child.entries
    level.traits |= child.traits
    return true
  }

  /** Stores once what the keys of a branch and the next one begin with; false where that is no more than it was. */
  #shorten(page: Page, next: Uint8Array): boolean {
    if (page.count < 2) return false
    const second = Buffer.alloc(page.keyLength(1))
    page.writeKey(1, second, 0)
    const prefix = commonPrefix(second, next, page.longBytes - 1)
    if (prefix.length <= page.prefixLength) return false
    const memory = this.#newMemory()
    const copy = new Page(memory, this.#size)
    copy.copyOf(page, memory)
    return page.rewrite(copy, prefix, 0, copy.count)
  }

  #newMemory(): PageMemory {
    return pageMemory(Buffer.alloc(this.#size + (-this.#size & 3)))
  }

  #write({ page, entries, traits }: Level, level: number): Subtree {
    return { ...this.#writer.write(page), level, entries, traits }
  }
}
