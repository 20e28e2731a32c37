/**
 * A run of the entries of a leaf (`Run` in `engine/found.ts`): what a cursor gives of a leaf after its first entry.
 *
 *   leaf   │ … │ entry just found │ entry │ entry │ entry │ …          keys    one after the other, each with the prefix of the page
 *                                  ├────── the run ──────┤             values  all of the page's cells, as one text or one copy
 *
 * 1. It ends before an entry that has expired, or needs something else than the page: a long key or value, text that is not ASCII.
 * 2. What has been taken of it tells where the cursor stands.
 */

import { isAscii } from 'node:buffer'
import { AHEAD_BYTES, copyAhead } from '../../bytes/short-copy.ts'
import { AS_BYTES, AS_TEXT, type Run } from '../../engine/found.ts'
import { Leaf } from './leaf.ts'
import { NO_MEMORY, type ScratchMemory } from './scratch.ts'
import type { TreeState } from './state.ts'
import type { TreeWalk } from './walk.ts'

export class LeafRun {
  readonly #state: TreeState
  #run: Run | undefined
  /** The bytes of its keys, and of the page where values are wanted as bytes. */
  #keys: ScratchMemory = NO_MEMORY
  #cells: ScratchMemory = NO_MEMORY
  /** The slot of its first entry, and how far it is from each to the next. */
  #first = 0
  #step = 1

  constructor(state: TreeState) {
    this.#state = state
  }

  get isMade(): boolean {
    return this.#run !== undefined
  }

  /** Entries that were taken of it. */
  get taken(): number {
    return this.#run?.next ?? 0
  }

  /** Of the entry that was taken last: its key, as long as the run is, and its slot. */
  get lastKey(): Buffer | undefined {
    const { taken } = this
    if (this.#run === undefined || taken === 0) return undefined
    const { keyStarts } = this.#run
    return this.#keys.bytes.subarray(keyStarts[taken - 1], keyStarts[taken])
  }

  get lastSlot(): number {
    return this.#first + (this.taken - 1) * this.#step
  }

  /** Makes a run of what the walk has left of its leaf, up to an entry that has expired by `clock`. */
  make(run: Run, walk: TreeWalk, reverse: boolean, clock: number): void {
    const { page, left } = walk
    const { bytes, view, prefixAt, prefixLength, cellsAt, cellsEnd } = page
    const { path } = this.#state.file.handle
    const { keyStarts, valueStarts, valueEnds, keyForm, valueForm } = run
    const leaf = new Leaf()
    // First of all: it brings the page into the processor's cache from one end to the other.
    if (valueForm === AS_TEXT) run.values = bytes.toString('latin1', cellsAt, cellsEnd)
    else if (valueForm === AS_BYTES) run.valueBytes = this.#copy(bytes, cellsAt, cellsEnd)
    this.#step = reverse ? -1 : 1
    this.#first = walk.slot + this.#step
    const { bytes: keys, view: target } = this.#room(
      left * prefixLength + cellsEnd - cellsAt + AHEAD_BYTES,
    )
    const most = Math.min(left, run.most)
    let end = 0
    let count = 0
    while (count < most) {
      const slot = this.#first + count * this.#step
      if (!page.readShort(slot) || !leaf.readAscii(bytes, page.bodyAt, page.bodyLength)) {
        page.read(slot)
        leaf.read(bytes, page.bodyAt, page.bodyLength, path)
        if (page.referenceLength > 0 || leaf.long) break
        if (leaf.expiry !== 0 && leaf.expiry <= clock) break
        if (valueForm === AS_TEXT && !leaf.ascii) break
      }
      const { keyAt, referenceAt } = page
      keyStarts[count] = end
      valueStarts[count] = leaf.start - cellsAt
      valueEnds[count] = leaf.end - cellsAt
      // Behind the prefix there are heads, and behind the key its body: neither ends with the memory.
      copyAhead(target, end, view, prefixAt, prefixLength)
      end += prefixLength
      copyAhead(target, end, view, keyAt, referenceAt - keyAt)
      end += referenceAt - keyAt
      keyStarts[++count] = end
    }
    if (keyForm === AS_TEXT) {
      if (!isAscii(keys.subarray(0, end))) return
      run.keys = keys.toString('latin1', 0, end)
    }
    run.keyBytes = keys
    run.next = 0
    run.end = count
    this.#run = run
  }

  /** There is none any more. */
  forget(): void {
    const run = this.#run
    this.#run = undefined
    if (run === undefined) return
    run.next = 0
    run.end = 0
    run.keys = ''
    run.values = ''
  }

  close(): void {
    this.forget()
    this.#state.scratch.give(this.#keys)
    this.#state.scratch.give(this.#cells)
    this.#keys = NO_MEMORY
    this.#cells = NO_MEMORY
  }

  #room(length: number): ScratchMemory {
    const { scratch } = this.#state
    if (this.#keys.bytes.length < length) {
      scratch.give(this.#keys)
      this.#keys = scratch.take(length)
    }
    return this.#keys
  }

  #copy(bytes: Buffer, from: number, to: number): Buffer {
    if (this.#cells === NO_MEMORY) this.#cells = this.#state.scratch.take(to - from)
    bytes.copy(this.#cells.bytes, 0, from, to)
    return this.#cells.bytes
  }
}
