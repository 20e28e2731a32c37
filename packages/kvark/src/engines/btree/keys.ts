/**
 * Keys of any length among the entries of a page. A long key has its first bytes in the page and the rest in an extent; where the first
 * bytes are the same, the rests are compared.
 *
 *   page   │ a │ abc… (1) │ abc… (2) │ b │          (1) < (2) by their rests
 *
 * 1. Whether two keys are the same is told by their lengths and the SHA-256 of their rests: a hit reads no extent.
 * 2. A key that is not long comes before all long ones that begin with it.
 * 3. A rest that has been read is kept for as long as somebody holds its block.
 */

import { readU32, readU48, writeU32, writeU48 } from '../../bytes/varint.ts'
import { Effect, effect } from '../../environment/routine.ts'
import type { Block } from '../../storage/cache.ts'
import { SHA256_BYTES, sha256 } from '../../storage/digest.ts'
import { type Extents, pageOf } from './extents.ts'
import { type Extent, misplaced, type Run } from './format.ts'
import { MAX_KEY_BYTES } from './limits.ts'
import { type Page, REFERENCE_BYTES, RUN_BYTES } from './page.ts'

/** `find`: the rest of a key has to be read first (`block`). */
export const UNREAD = -0x8000_0000
const DIGEST_AT = 4
const MARK_AT: number = DIGEST_AT + SHA256_BYTES
const RUNS_AT: number = MARK_AT + 4
const NOTHING = Buffer.alloc(0)

/** The rest of a key in memory, and for how many. */
interface Loaded {
  readonly mark: number
  readonly bytes: Buffer
  holders: number
}

export class Keys {
  readonly #extents: Extents
  readonly #long: number
  /** By first page. */
  readonly #loaded: Map<number, Loaded> = new Map()
  #missing: Extent | undefined

  /** `long`: from which length on keys are. */
  constructor(extents: Extents, long: number) {
    this.#extents = extents
    this.#long = long
  }

  /** The slot of a key; −1 − the slot where it would be; `UNREAD`. */
  find(page: Page, key: Uint8Array, start: number, end: number): number {
    const length = end - start
    if (length < this.#long) return page.find(key, start, end)
    const first = page.find(key, start, start + this.#long)
    if (first < 0) return first
    return this.#among(page, first, key, start + this.#long, end)
  }

  /** `find`, which reads what is missing at once. */
  findNow(page: Page, key: Uint8Array, start: number, end: number): number {
    const held: Block[] = []
    try {
      for (;;) {
        const found = this.find(page, key, start, end)
        if (found !== UNREAD) return found
        const block = this.block()
        block.load.sync()
        held.push(block)
      }
    } finally {
      for (const block of held) block.release()
    }
  }

  /** Where the page has the key's part ends. */
  endInPage(start: number, end: number): number {
    return Math.min(end, start + this.#long)
  }

  /** Bytes of a reference to the rest of a key; 0 where it is not long. */
  referenceTo(key: Uint8Array, start: number, end: number): Buffer {
    if (end - start < this.#long) return NOTHING
    const from = start + this.#long
    const length = end - from
    const extent = this.#extents.write(key, from, length)
    return encodeReference(key.subarray(from, end), extent)
  }

  /** The entry that was `read` last goes: so does the rest of its key. */
  leave(page: Page): void {
    if (page.referenceLength > 0) this.#extents.leave(restOf(page))
  }

  /** A reference that was made and is not used after all. */
  forget(reference: Buffer): void {
    if (reference.length > 0) this.#extents.leave(extentIn(reference, 0))
  }

  /** What reads the rest that was missing. */
  block(): Block {
    const rest = this.#missing!
    const page = pageOf(rest, 0)!
    let loaded: Loaded | undefined
    const read = effect(() => this.#extents.readKept(rest, 0, rest.length))
    const hold = (bytes: Buffer): void => {
      loaded = this.#loaded.get(page)
      // Its pages may have been another's.
      if (loaded?.mark !== rest.mark) loaded = { mark: rest.mark, bytes, holders: 0 }
      loaded.holders++
      this.#loaded.set(page, loaded)
    }
    return {
      load: new Effect(
        () => hold(read.sync()),
        async () => hold(await read.async()),
      ),
      release: () => {
        if (loaded && --loaded.holders === 0 && this.#loaded.get(page) === loaded)
          this.#loaded.delete(page)
        loaded = undefined
      },
    }
  }

  /** The whole key of a slot; what is missing in memory is read at once. */
  whole(page: Page, slot: number): Buffer {
    page.read(slot)
    const rest = page.referenceLength === 0 ? undefined : restOf(page)
    const inPage = page.keyLength(slot)
    const key = Buffer.alloc(inPage + (rest?.length ?? 0))
    page.writeKey(slot, key, 0)
    if (rest)
      effect(() => this.#extents.read(rest, 0, rest.length))
        .sync()
        .copy(key, inPage)
    return key
  }

  /** Copies the rest of a key; false where it has to be read first (`block`). */
  copyRest(rest: Extent, target: Buffer, at: number): boolean {
    const bytes = this.#bytesOf(rest)
    bytes?.copy(target, at)
    return bytes !== undefined
  }

  /** Among the slots from `first` on that look like the key: which one is it, by its rest `key[from .. end)`? */
  #among(page: Page, first: number, key: Uint8Array, from: number, end: number): number {
    const digest = sha256(key.subarray(from, end))
    let slot = first
    for (; slot < page.count && page.hasKey(slot, key, from - this.#long, from); slot++) {
      page.read(slot)
      const { bytes, referenceAt } = page
      const same =
        readU32(bytes, referenceAt) === end - from &&
        digest.compare(bytes, referenceAt + DIGEST_AT, referenceAt + MARK_AT) === 0
      if (same) return slot
      const rest = this.#bytesOf(restOf(page))
      if (rest === undefined) return UNREAD
      if (rest.compare(key, from, end) > 0) break
    }
    return -1 - slot
  }

  /** The rest of a key, if it is in memory. */
  #bytesOf(rest: Extent): Buffer | undefined {
    const page = pageOf(rest, 0)
    if (page === undefined) return NOTHING
    const loaded = this.#loaded.get(page)
    if (loaded?.mark === rest.mark) return loaded.bytes
    const bytes = this.#extents.inMemory(rest)
    if (bytes === undefined) this.#missing = rest
    return bytes
  }
}

/** Where the rest of the key is whose entry was `read` last. */
export function restOf({ bytes, referenceAt }: Page): Extent {
  return extentIn(bytes, referenceAt)
}

/** As it stands before a body: the reference to a rest that lies in an extent. */
export function encodeReference(rest: Uint8Array, { length, mark, runs }: Extent): Buffer {
  const reference = Buffer.alloc(REFERENCE_BYTES + runs.length * RUN_BYTES)
  writeU32(reference, 0, length)
  sha256(rest).copy(reference, DIGEST_AT)
  writeU32(reference, MARK_AT, mark)
  reference[RUNS_AT] = runs.length
  for (const [i, [page, count]] of runs.entries()) {
    writeU48(reference, REFERENCE_BYTES + i * RUN_BYTES, page)
    writeU32(reference, REFERENCE_BYTES + i * RUN_BYTES + 6, count)
  }
  return reference
}

function extentIn(bytes: Buffer, at: number): Extent {
  const length = readU32(bytes, at)
  if (length > MAX_KEY_BYTES) throw misplaced()
  const runs: Run[] = []
  for (let i = 0; i < bytes[at + RUNS_AT]!; i++) {
    const run = at + REFERENCE_BYTES + i * RUN_BYTES
    runs.push([readU48(bytes, run), readU32(bytes, run + 6)])
  }
  return { length, mark: readU32(bytes, at + MARK_AT), runs }
}
