/**
 * Walks the live entries of a snapshot in the order of their keys.
 *
 *   token   │ 1 │ key of the last entry given │   or   │ 2 │ key that was sought, nothing given since │   or   │ 0 │ before the first one
 */

import {
  BLOCKED,
  type EngineCursor,
  FOUND,
  MISSING,
  type ScanRequest,
  SPREAD,
  type Status,
} from '../../engine/engine.ts'
import type { Found, Run } from '../../engine/found.ts'
import { KvarkError } from '../../errors.ts'
import type { Extent } from './format.ts'
import { restOf } from './keys.ts'
import { Leaf, readExtent } from './leaf.ts'
import { LeafRun } from './leaf-run.ts'
import { MAX_KEY_BYTES } from './limits.ts'
import type { Page } from './page.ts'
import { AWAY, PRESENT } from './path.ts'
import { NO_MEMORY, type ScratchMemory } from './scratch.ts'
import type { TreeSnapshot } from './snapshots.ts'
import type { TreeState } from './state.ts'
import { TreeWalk } from './walk.ts'

const FRESH = 0
const BEHIND = 1
const AT = 2
/** With the table of a key. */
const MOST_TOKEN_BYTES = MAX_KEY_BYTES + 2
/** Up to so many bytes a loop copies faster. */
const SHORT = 64
/** The rest of a leaf becomes a run when so many entries have been given, or are asked for, and so many are left in it. */
const MANY = 8

export class TreeCursor implements EngineCursor {
  readonly #state: TreeState
  readonly #snapshot: TreeSnapshot
  /** It took the snapshot itself. */
  readonly #own: boolean
  readonly #walk: TreeWalk
  readonly #leaf: Leaf = new Leaf()
  /** The key last given: `#key.bytes[0 .. #end)`; −1: none. */
  #key: ScratchMemory = NO_MEMORY
  #end = -1
  /** The key that was sought, until an entry is given. */
  #sought: Buffer | undefined
  /** Entries given. */
  #given = 0
  /** The leaf that was made a run of last. */
  #turn = 0
  readonly #run: LeafRun
  readonly #reverse: boolean
  /** A piece of the key of the entry that comes next is being read. */
  #pending = false
  /** The token from before that key was read over the one before it. */
  #held: Uint8Array | undefined

  constructor(state: TreeState, snapshot: TreeSnapshot, own: boolean, request: ScanRequest) {
    const { from, to, reverse, token } = request
    this.#state = state
    this.#snapshot = snapshot
    this.#own = own
    this.#reverse = reverse
    this.#run = new LeafRun(state)
    this.#walk = new TreeWalk(state.pages, state.keys, snapshot.root, from, to, reverse)
    if (token === undefined || (token.length === 1 && token[0] === FRESH)) return
    const { length } = token
    if ((token[0] !== BEHIND && token[0] !== AT) || length < 2 || length > MOST_TOKEN_BYTES) {
      throw new KvarkError(
        'INVALID_ARGUMENT',
        'This token was not made by a cursor of this store. Begin without one.',
      )
    }
    const key = Buffer.from(token.subarray(1))
    this.#walk.seek(key, token[0] === AT)
    if (token[0] === AT) this.#sought = key
    else {
      key.copy(this.#keyRoom(key.length))
      this.#end = key.length
    }
  }

  next(found: Found): Status {
    if (this.#snapshot.released) throw released()
    const walk = this.#walk
    const leaf = this.#leaf
    this.#passRun()
    const state = this.#state
    for (;;) {
      const status = this.#pending ? walk.again() : walk.next()
      if (status !== PRESENT) {
        if (status !== AWAY) return MISSING
        found.block = walk.block()
        return BLOCKED
      }
      const { page, slot } = walk
      page.read(slot)
      leaf.read(page.bytes, page.bodyAt, page.bodyLength, state.file.handle.path)
      if (leaf.expiry !== 0 && this.#isOver(leaf.expiry)) continue
      this.#pending = !this.#readKey(page, slot)
      if (!this.#pending) break
      found.block = state.keys.block()
      return BLOCKED
    }
    this.#sought = undefined
    this.#held = undefined
    found.keyBytes = this.#key.bytes
    found.keyStart = 0
    found.keyEnd = this.#end
    found.sequence = leaf.sequence
    found.expiry = leaf.expiry
    found.ascii = leaf.ascii
    const { bytes } = walk.page
    this.#given++
    if (leaf.long) return spread(state, found, readExtent(bytes, leaf.start, leaf.end))
    found.bytes = bytes
    found.start = leaf.start
    found.end = leaf.end
    const { run } = found
    if (run !== undefined && this.#turn !== walk.turn && this.#isMany(run)) {
      this.#turn = walk.turn
      this.#run.make(run, walk, this.#reverse, this.#snapshot.clock)
    }
    return FOUND
  }

  /** Whether enough will be asked for to make a run of the rest of the leaf: nobody knows who says no limit and stops soon. */
  #isMany({ most }: Run): boolean {
    if (this.#walk.left < MANY) return false
    return this.#given > MANY || (most >= MANY && most < Number.POSITIVE_INFINITY)
  }

  #isOver(expiry: number): boolean {
    if (expiry > this.#snapshot.clock) return false
    this.#state.judged = true
    return true
  }

  /** What was taken of a run has been given. */
  #passRun(): void {
    const run = this.#run
    if (!run.isMade) return
    const key = run.lastKey
    if (key !== undefined) {
      key.copy(this.#keyRoom(key.length))
      this.#end = key.length
      this.#given += run.taken
      this.#walk.skip(run.lastSlot)
    }
    run.forget()
  }

  /** False where a piece of the key is not in memory. */
  #readKey(page: Page, slot: number): boolean {
    const inPage = page.keyLength(slot)
    const rest = page.referenceLength === 0 ? undefined : restOf(page)
    const length = inPage + (rest?.length ?? 0)
    if (rest !== undefined) this.#held ??= this.token()
    const key = this.#keyRoom(length)
    this.#end = length
    page.writeKey(slot, key, 0)
    return rest === undefined || this.#state.keys.copyRest(rest, key, inPage)
  }

  /** Where a key of `length` bytes may be put; what is in it goes. */
  #keyRoom(length: number): Buffer {
    const { scratch } = this.#state
    if (length > this.#key.bytes.length) {
      scratch.give(this.#key)
      this.#key = scratch.take(2 * length)
    }
    return this.#key.bytes
  }

  seek(key: Uint8Array, length: number): void {
    this.#pending = false
    this.#held = undefined
    this.#passRun()
    this.#sought = Buffer.from(key.subarray(0, length))
    this.#walk.seek(this.#sought, true)
  }

  token(): Uint8Array {
    if (this.#held !== undefined) return this.#held
    const given =
      this.#run.lastKey ?? (this.#end < 0 ? undefined : this.#key.bytes.subarray(0, this.#end))
    const key = this.#sought ?? given
    if (key === undefined) return new Uint8Array([FRESH])
    const token = new Uint8Array(key.length + 1)
    token[0] = this.#sought === undefined ? BEHIND : AT
    // A loop: every walk asks for one at its end, and most keys are short.
    if (key.length > SHORT) token.set(key, 1)
    else for (let i = 0; i < key.length; i++) token[i + 1] = key[i]!
    return token
  }

  takeBack(): void {
    this.#sought = Buffer.from(this.#key.bytes.subarray(0, this.#end))
  }

  close(): void {
    this.#run.close()
    this.#state.scratch.give(this.#key)
    this.#key = NO_MEMORY
    this.#end = -1
    if (this.#own) this.#snapshot.release()
  }
}

/** `SPREAD`: sets how a long value is read. */
export function spread(state: TreeState, found: Found, extent: Extent): Status {
  found.start = 0
  found.end = extent.length
  found.part = (from, length) => state.extents.readKept(extent, from, length)
  return SPREAD
}

export function released(): KvarkError {
  return new KvarkError(
    'CLOSED',
    'This snapshot is released, or the store was resumed since it was taken. Take another one.',
  )
}
