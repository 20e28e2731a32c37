/**
 * Walks the live entries of a snapshot in the order of their keys.
 *
 *   token   │ 1 │ key of the last entry given │   or   │ 0 │ before the first one
 */

import { isAscii } from 'node:buffer'
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
import { restOf } from './keys.ts'
import { Leaf, readExtent } from './leaf.ts'
import { MAX_KEY_BYTES } from './limits.ts'
import type { Page } from './page.ts'
import type { TreeSnapshot } from './snapshots.ts'
import type { TreeState } from './state.ts'
import { AWAY, PRESENT } from './tree.ts'
import { TreeWalk } from './walk.ts'

const NOTHING = Buffer.alloc(0)
const SCRATCH_BYTES = 4096
const MOST_SCRATCH = 16
const FRESH = 0
const BEHIND = 1
/** With the table of a key. */
const MOST_TOKEN_BYTES = MAX_KEY_BYTES + 2
/** The rest of a leaf becomes a run when so many entries have been given, and so many are left in it. */
const MANY = 8

export class TreeCursor implements EngineCursor {
  readonly #state: TreeState
  readonly #snapshot: TreeSnapshot
  /** It took the snapshot itself. */
  readonly #own: boolean
  readonly #walk: TreeWalk
  readonly #leaf: Leaf = new Leaf()
  /** The key last given: `#key[0 .. #end)`; −1: none. */
  #key: Buffer = NOTHING
  #end = -1
  /** Entries given. */
  #given = 0
  /** The leaf that was made a run of last; the run, the bytes of its keys, the slots of its entries. */
  #turn = 0
  #run: Run | undefined
  #keys: Buffer = NOTHING
  readonly #slots: number[] = []
  readonly #reverse: boolean
  /** A piece of the key of the entry that comes next is being read. */
  #pending = false

  constructor(state: TreeState, snapshot: TreeSnapshot, own: boolean, request: ScanRequest) {
    const { from, to, reverse, token } = request
    this.#state = state
    this.#snapshot = snapshot
    this.#own = own
    this.#reverse = reverse
    this.#walk = new TreeWalk(state.pages, state.keys, snapshot.root, from, to, reverse)
    if (token === undefined || (token.length === 1 && token[0] === FRESH)) return
    if (token[0] !== BEHIND || token.length > MOST_TOKEN_BYTES) {
      throw new KvarkError(
        'INVALID_ARGUMENT',
        'This token was not made by a cursor of this store. Begin without one.',
      )
    }
    this.#end = token.length - 1
    this.#key = Buffer.from(token.subarray(1))
    this.#walk.seek(Buffer.from(this.#key), false)
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
      if (leaf.expiry !== 0 && leaf.expiry <= this.#snapshot.clock) continue
      this.#pending = !this.#readKey(page, slot)
      if (!this.#pending) break
      found.block = state.keys.block()
      return BLOCKED
    }
    found.keyBytes = this.#key
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
    if (found.run && this.#given > MANY && this.#turn !== walk.turn && walk.left >= MANY) {
      this.#fill(found.run)
    }
    return FOUND
  }

  /** Makes a run of the entries of the leaf behind the one just found. */
  #fill(run: Run): void {
    const walk = this.#walk
    const { page } = walk
    const leaf = new Leaf()
    const { path } = this.#state.file.handle
    const { keyStarts, valueStarts, valueEnds, wantsKeys, wantsValues } = run
    this.#turn = walk.turn
    // First of all: it brings the page into the processor's cache from one end to the other.
    const from = page.cellsAt
    if (wantsValues) run.values = page.bytes.toString('latin1', from, page.cellsEnd)
    const step = this.#reverse ? -1 : 1
    let keys = this.#keys
    let end = 0
    let count = 0
    for (let left = walk.left, slot = walk.slot + step; left > 0; left--, slot += step) {
      page.read(slot)
      const length = page.keyLength(slot)
      leaf.read(page.bytes, page.bodyAt, page.bodyLength, path)
      if (leaf.expiry !== 0 && leaf.expiry <= this.#snapshot.clock) continue
      if (page.referenceLength > 0 || leaf.long || (wantsValues && !leaf.ascii)) break
      if (end + length > keys.length) {
        const larger = this.#buffer(2 * (end + length))
        keys.copy(larger, 0, 0, end)
        this.#keys = keys = larger
      }
      this.#slots[count] = slot
      keyStarts[count] = end
      valueStarts[count] = leaf.start - from
      valueEnds[count] = leaf.end - from
      end = page.writeKey(slot, keys, end)
      keyStarts[++count] = end
    }
    if (wantsKeys) {
      if (!isAscii(keys.subarray(0, end))) return
      run.keys = keys.toString('latin1', 0, end)
    }
    run.next = 0
    run.end = count
    this.#run = run
  }

  /** What was taken of a run has been given. */
  #passRun(): void {
    const run = this.#run
    if (run === undefined) return
    this.#run = undefined
    if (run.next > 0) {
      const key = this.#lastOf(run)
      if (key.length > this.#key.length) this.#key = this.#buffer(2 * key.length)
      key.copy(this.#key)
      this.#end = key.length
      this.#given += run.next
      this.#walk.skip(this.#slots[run.next - 1]!)
    }
    run.next = 0
    run.end = 0
  }

  /** The key of the entry that was taken of a run last. */
  #lastOf({ keyStarts, next }: Run): Buffer {
    return this.#keys.subarray(keyStarts[next - 1], keyStarts[next])
  }

  /** False where a piece of the key is not in memory. */
  #readKey(page: Page, slot: number): boolean {
    const inPage = page.keyLength(slot)
    const rest = page.referenceLength === 0 ? undefined : restOf(page)
    const length = inPage + (rest?.length ?? 0)
    if (length > this.#key.length) this.#key = this.#buffer(2 * length)
    this.#end = length
    page.writeKey(slot, this.#key, 0)
    return rest === undefined || this.#state.keys.copyRest(rest, this.#key, inPage)
  }

  seek(key: Uint8Array, length: number): void {
    this.#pending = false
    this.#passRun()
    this.#walk.seek(Buffer.from(key.subarray(0, length)), true)
  }

  token(): Uint8Array {
    const run = this.#run
    const taken = run !== undefined && run.next > 0
    if (!taken && this.#end < 0) return new Uint8Array([FRESH])
    const key = taken ? this.#lastOf(run) : this.#key.subarray(0, this.#end)
    const token = new Uint8Array(key.length + 1)
    token[0] = BEHIND
    token.set(key, 1)
    return token
  }

  /** Larger ones than most keys need are not kept. */
  #buffer(length: number): Buffer {
    if (length > SCRATCH_BYTES) return Buffer.allocUnsafe(length)
    return this.#state.scratch.pop() ?? Buffer.allocUnsafe(SCRATCH_BYTES)
  }

  close(): void {
    const { scratch } = this.#state
    for (const buffer of [this.#key, this.#keys]) {
      if (buffer.length === SCRATCH_BYTES && scratch.length < MOST_SCRATCH) scratch.push(buffer)
    }
    this.#key = NOTHING
    this.#keys = NOTHING
    this.#end = -1
    this.#run = undefined
    if (this.#own) this.#snapshot.release()
  }
}

/** `SPREAD`: sets how a long value is read. Nothing of it is written over meanwhile. */
export function spread(
  state: TreeState,
  found: Found,
  extent: ReturnType<typeof readExtent>,
): Status {
  const part = function* part(from: number, length: number): ReturnType<typeof state.extents.read> {
    const { views } = state.pages
    const view = views.add()
    try {
      return yield* state.extents.read(extent, from, length)
    } finally {
      if (!state.closed) views.end(view)
    }
  }
  found.start = 0
  found.end = extent.length
  found.part = part
  found.gather = function* gather() {
    found.bytes = yield* part(0, extent.length)
  }
  return SPREAD
}

export function released(): KvarkError {
  return new KvarkError(
    'CLOSED',
    'This snapshot is released, or the store was resumed since it was taken. Take another one.',
  )
}
