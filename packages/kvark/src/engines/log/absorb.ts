/**
 * Brings entries that are read back from segments into the index: the tail after a crash, or everything when there is
 * no stored index.
 *
 *   add (one entry) … ─► merge:  newest of each key within the batch  (keys are at hand)
 *                                ─► what the index holds under the same hash, read in file order, compared by key
 *                                ─► the higher sequence wins
 *
 * 1. Segments may come in any order: sequences decide, and deletions stay in the index until `finish`, lest an older entry that
 *    comes later came back.
 * 2. Memory: the keys of one batch, at most `BATCH_BYTES`, and 48 bytes an entry of it.
 */

import { hash32 } from '../../bytes/hash.ts'
import { BLOCKED, MISSING } from '../../engine/engine.ts'
import { DELETE } from '../../engine/write-batch.ts'
import type { Routine } from '../../environment/routine.ts'
import { TWO_32 } from './hash-index.ts'
import { Lookup } from './lookup.ts'
import type { LogState } from './state.ts'

const BATCH_BYTES = 64 * 1024 * 1024
const BATCH_ENTRIES = 1 << 20
/** Most stores that are opened have little to read back. */
const FIRST_ENTRIES = 1 << 3
const FIRST_KEY_BYTES = 1 << 8

export class Absorber {
  readonly #state: LogState
  readonly #lookup: Lookup
  #keys: Buffer = Buffer.allocUnsafeSlow(FIRST_KEY_BYTES)
  #used = 0
  #count = 0
  #bytes = 0
  #hash: Uint32Array = new Uint32Array(FIRST_ENTRIES)
  #position: Float64Array = new Float64Array(FIRST_ENTRIES)
  #sequence: Float64Array = new Float64Array(FIRST_ENTRIES)
  #expiry: Float64Array = new Float64Array(FIRST_ENTRIES)
  #size: Float64Array = new Float64Array(FIRST_ENTRIES)
  #keyStart: Float64Array = new Float64Array(FIRST_ENTRIES)
  #keyLength: Int32Array = new Int32Array(FIRST_ENTRIES)
  #kind: Uint8Array = new Uint8Array(FIRST_ENTRIES)
  /** Deletions in the index, as hash and position. */
  readonly #deletions: number[] = []

  constructor(state: LogState) {
    this.#state = state
    this.#lookup = new Lookup(state.segments, state.cache)
  }

  /** Whether `merge` should run before more is added. */
  get full(): boolean {
    return this.#bytes > BATCH_BYTES || this.#count >= BATCH_ENTRIES
  }

  hashOf(key: Uint8Array, start: number, length: number): number {
    return hash32(key, start, start + length, this.#state.context.descriptor.hashSeed)
  }

  /** Takes note of an entry. */
  add(
    kind: number,
    hash: number,
    position: number,
    sequence: number,
    expiry: number,
    size: number,
    key: Uint8Array,
    start: number,
    length: number,
  ): void {
    const i = this.#count++
    if (i === this.#hash.length) this.#grow()
    if (this.#used + length > this.#keys.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(this.#keys.length * 2, this.#used + length))
      this.#keys.copy(larger, 0, 0, this.#used)
      this.#keys = larger
    }
    for (let b = 0; b < length; b++) this.#keys[this.#used + b] = key[start + b]!
    this.#hash[i] = hash
    this.#position[i] = position
    this.#sequence[i] = sequence
    this.#expiry[i] = expiry
    this.#size[i] = size
    this.#kind[i] = kind
    this.#keyStart[i] = this.#used
    this.#keyLength[i] = length
    this.#used += length
    this.#bytes += size
  }

  /** How much has been taken note of, for `undo`. */
  get mark(): number {
    return this.#count
  }

  /** Forgets what came after `mark`: the frame was not complete. */
  undo(mark: number): void {
    this.#count = mark
  }

  /** Forgets the first `count` entries, and what was merged before: it was cleared. */
  forget(count: number): void {
    for (const array of [this.#hash, this.#position, this.#sequence, this.#expiry, this.#size]) {
      array.copyWithin(0, count, this.#count)
    }
    this.#keyStart.copyWithin(0, count, this.#count)
    this.#keyLength.copyWithin(0, count, this.#count)
    this.#kind.copyWithin(0, count, this.#count)
    this.#count -= count
    this.#deletions.length = 0
  }

  /** Brings what was added into the index. */
  *merge(): Routine<void> {
    const winners = this.#winners()
    const old = yield* this.#compareWithIndex(winners)
    const { index, segments } = this.#state
    for (let w = 0; w < winners.length; w++) {
      const i = winners[w]!
      const hash = this.#hash[i]!
      const position = this.#position[i]!
      const previous = old.position[w]!
      if (previous !== 0) {
        if (old.sequence[w]! >= this.#sequence[i]!) {
          this.#stale(i)
          continue
        }
        segments.at(previous).leave(old.expiry[w]!, old.size[w]!)
        index.replace(hash, previous, position)
      } else index.insert(hash, position)
      if (this.#kind[i] === DELETE) this.#deletions.push(hash, position)
      else if (this.#expiry[i] !== 0)
        segments.at(position).expires(this.#expiry[i]!, this.#size[i]!)
    }
    this.#count = 0
    this.#used = 0
    this.#bytes = 0
    yield* this.#state.context.environment.pause
  }

  /** Takes the deletions out of the index: nothing older can come any more. */
  *finish(): Routine<void> {
    yield* this.merge()
    const { index } = this.#state
    for (let i = 0; i < this.#deletions.length; i += 2) {
      index.remove(this.#deletions[i]!, this.#deletions[i + 1]!)
    }
    this.#deletions.length = 0
  }

  /** The newest entry of each key in the batch. */
  #winners(): number[] {
    const count = this.#count
    let slots = 16
    while (slots < count * 2) slots *= 2
    const heads = new Int32Array(slots).fill(-1)
    const next = new Int32Array(count).fill(-1)
    const dead = new Uint8Array(count)
    for (let i = 0; i < count; i++) {
      const slot = this.#hash[i]! & (slots - 1)
      let link = -1
      let at = heads[slot]!
      while (at >= 0 && !this.#sameKey(i, at)) {
        link = at
        at = next[at]!
      }
      if (at < 0) {
        next[i] = heads[slot]!
        heads[slot] = i
        continue
      }
      if (this.#sequence[at]! > this.#sequence[i]!) {
        dead[i] = 1
        this.#stale(i)
        continue
      }
      dead[at] = 1
      this.#stale(at)
      next[i] = next[at]!
      if (link < 0) heads[slot] = i
      else next[link] = i
    }
    const winners: number[] = []
    for (let i = 0; i < count; i++) if (dead[i] === 0) winners.push(i)
    return winners
  }

  /** What the index already holds of each winner's key. Read in the order of positions, so each page comes once. */
  *#compareWithIndex(winners: readonly number[]): Routine<{
    position: Float64Array
    sequence: Float64Array
    expiry: Float64Array
    size: Float64Array
  }> {
    const result = {
      position: new Float64Array(winners.length),
      sequence: new Float64Array(winners.length),
      expiry: new Float64Array(winners.length),
      size: new Float64Array(winners.length),
    }
    const { index } = this.#state
    const found: number[] = []
    const pairs: { position: number; winner: number }[] = []
    for (let w = 0; w < winners.length; w++) {
      index.candidates(this.#hash[winners[w]!]!, found)
      for (const position of found) pairs.push({ position, winner: w })
    }
    pairs.sort((a, b) => a.position - b.position)
    const lookup = this.#lookup
    for (const { position, winner } of pairs) {
      const i = winners[winner]!
      const start = this.#keyStart[i]!
      const length = this.#keyLength[i]!
      const high = Math.floor(position / TWO_32)
      let status = lookup.read(high, position >>> 0, this.#keys, start, length)
      while (status === BLOCKED) {
        const block = lookup.block!
        yield* block.load
        status = lookup.read(high, position >>> 0, this.#keys, start, length)
        block.release()
      }
      if (status === MISSING) continue
      result.position[winner] = position
      result.sequence[winner] = lookup.entry.sequence
      result.expiry[winner] = lookup.entry.expiry
      result.size[winner] = lookup.entry.total
    }
    return result
  }

  #sameKey(a: number, b: number): boolean {
    if (this.#hash[a] !== this.#hash[b]) return false
    const length = this.#keyLength[a]!
    if (length !== this.#keyLength[b]) return false
    const keys = this.#keys
    const startA = this.#keyStart[a]!
    const startB = this.#keyStart[b]!
    for (let i = 0; i < length; i++) if (keys[startA + i] !== keys[startB + i]) return false
    return true
  }

  /** A deletion is counted stale when it is read; everything else when it turns out to be replaced. */
  #stale(i: number): void {
    if (this.#kind[i] === DELETE) return
    this.#state.segments.at(this.#position[i]!).stale += this.#size[i]!
  }

  #grow(): void {
    const length = this.#hash.length * 2
    const hash = new Uint32Array(length)
    hash.set(this.#hash)
    this.#hash = hash
    const keyLength = new Int32Array(length)
    keyLength.set(this.#keyLength)
    this.#keyLength = keyLength
    const kind = new Uint8Array(length)
    kind.set(this.#kind)
    this.#kind = kind
    this.#position = larger(this.#position)
    this.#sequence = larger(this.#sequence)
    this.#expiry = larger(this.#expiry)
    this.#size = larger(this.#size)
    this.#keyStart = larger(this.#keyStart)
  }
}

function larger(array: Float64Array): Float64Array {
  const copy = new Float64Array(array.length * 2)
  copy.set(array)
  return copy
}
