/**
 * Everything that can still be read of a damaged tree, written to a new one.
 *
 *   newest root ─► tree, top down ─► what hangs below pages that are damaged: strays ─► journal behind the root ─► new tree
 *                                    (every page of the file is looked at)
 *
 * 1. What is reached from the root, each page by the checksum in the one above it, is what the tree has: all of it, and nothing else.
 * 2. A damaged page leaves a hole: keys between two others. Pages that the map says are in use, that can be read and were not reached
 *    hang below a hole. Their entries are current.
 * 3. Where a leaf may be missing after that, pages that are not in use any more fill the hole: they have it as it was at an earlier
 *    checkpoint. Newer ones come first, and speak for all keys from their first to their last. What they give may be older than what
 *    was lost, or deleted since: the report names each such key. Pages of a load are left out: it may never have come to its end.
 * 4. Then the journal's entries are put, by their sequences.
 * 5. Without a root in its slots the newest copy of one is taken. It may be of a checkpoint that never was complete: what is missing of
 *    it is a hole, and the journal before it counts there, too. Where pages are newer than that copy, a newer one is lost: their leaves
 *    are taken first, and the report names every key, as what it has may be older than what was lost, or deleted since.
 *
 * Left out: older versions of a key whose long value is damaged, and long keys of earlier checkpoints. And who damages a plain store with checksums that are right again.
 */

import type { SalvageContext } from '../../engine/engine.ts'
import type { LostKey, LostRange, RepairReport } from '../../engine/facts.ts'
import { DELETE, PUT } from '../../engine/write-batch.ts'
import type { Environment } from '../../environment/environment.ts'
import type { Routine } from '../../environment/routine.ts'
import { KvarkError } from '../../errors.ts'
import { ASCII_VALUE, REFERENCE } from '../../storage/entry.ts'
import { journalName } from '../../storage/journal-recovery.ts'
import { salvagingEnvironment } from '../../storage/salvaging.ts'
import type { Segment } from '../../storage/segment.ts'
import { FILE_HEADER_BYTES, type SegmentHeader } from '../../storage/segment-format.ts'
import { findSegment, type Remains } from '../../storage/segment-remains.ts'
import { keyOf, SegmentSurvey, type SurveyReader } from '../../storage/segment-survey.ts'
import { advance, readSpread } from '../../storage/segment-walk.ts'
import type { FileHandle } from '../../vfs/files.ts'
import { closeAll } from '../../vfs/open-file.ts'
import { childAt, sumAt } from './branch.ts'
import { type Extent, NO_PAGE, TREE_NAME } from './format.ts'
import { decodeLoaded } from './graft.ts'
import { KeyRanges, keyBehind } from './key-ranges.ts'
import { Leaf, readExtent } from './leaf.ts'
import { MAX_VALUE_BYTES } from './limits.ts'
import type { Page } from './page.ts'
import { DamagedTree, findRoot, type Stray } from './salvage-file.ts'
import { SalvageTarget, type Version } from './salvage-target.ts'

/** Longer values go from file to file piece by piece. */
const WHOLE_BYTES = 256 * 1024
const NOTHING = Buffer.alloc(0)

export function* salvage(context: SalvageContext): Routine<RepairReport> {
  const progress = { done: 0, total: 0 }
  const heard = (bytes: number): void => {
    progress.done += bytes
    const { done, total } = progress
    if (total > 0) context.progress?.(Math.min(done, total), total)
  }
  const environment = salvagingEnvironment(context.environment, heard, context.signal)
  const target = yield* SalvageTarget.create(context, environment)
  const work = new Salvage(context, environment, target, progress)
  try {
    return yield* work.run()
  } finally {
    yield* target.close()
    yield* closeAll(work.handles())
  }
}

/** Keys that a damaged page takes away: from `low` up to `high`. */
interface Hole {
  readonly low: Buffer
  readonly high: Buffer | undefined
  readonly page: number
  /** Of the page; `undefined`: it was the root. */
  readonly level: number | undefined
}

/** A key that may have lost its newest value, until all is known. */
interface Suspect {
  readonly key: Buffer
  /** What is lost; `undefined`: perhaps nothing, but what is there is of `kept`. */
  readonly version: number | undefined
  readonly kept: number
  readonly tell: (lost: LostKey) => void
}

/** An entry of the journal, at hand. */
interface Entry {
  readonly kind: number
  readonly flags: number
  readonly sequence: number
  readonly expiry: number
  readonly key: Buffer
  readonly value: Buffer
}

class Salvage {
  readonly #context: SalvageContext
  readonly #environment: Environment
  readonly #progress: { total: number }
  readonly #leaf: Leaf = new Leaf()
  readonly #opened: Segment[] = []
  readonly #lost: LostRange[] = []
  readonly #suspects: Suspect[] = []
  readonly #holes: Hole[] = []
  /** Where entries of the journal count that the root should have had. */
  readonly #open: KeyRanges = new KeyRanges()
  /** Keys of which leaves tell that are newer than the root; `undefined`: none is. */
  #newer: KeyRanges | undefined
  #handle: FileHandle | undefined
  #tree: DamagedTree | undefined
  /** The root was in a slot, so the journal up to it is of no interest. */
  #complete = false
  readonly #target: SalvageTarget
  /** Keys whose values are in a tree file of which nothing can be read. */
  readonly #treeKeys: LostKey[] = []

  constructor(
    context: SalvageContext,
    environment: Environment,
    target: SalvageTarget,
    progress: { total: number },
  ) {
    this.#context = context
    this.#environment = environment
    this.#target = target
    this.#progress = progress
  }

  *run(): Routine<RepairReport> {
    const { folder } = this.#context
    const names = yield* this.#environment.files.list(folder)
    yield* this.#openTree(names)
    const journal = yield* this.#findJournal(names)
    if (this.#tree) yield* this.#readTree(this.#tree)
    for (const remains of journal) yield* this.#replay(remains, remains === journal.at(-1))
    yield* this.#judge()
    const written = yield* this.#target.finish()
    return { ...written, lost: [...(this.#tree?.lost() ?? []), ...this.#lost] }
  }

  /** The files that were opened. */
  handles(): FileHandle[] {
    const handles = this.#opened.map(({ handle }) => handle)
    return this.#handle ? [this.#handle, ...handles] : handles
  }

  *#openTree(names: readonly string[]): Routine<void> {
    const { folder, descriptor, form } = this.#context
    const path = `${folder}/${TREE_NAME}`
    if (!names.includes(TREE_NAME)) {
      // Also where there is no journal: a store whose files are gone does not pass for an empty one.
      this.#loseTree(0, 'the file is missing')
      return
    }
    const handle = yield* this.#environment.files.open(path, 'read')
    this.#handle = handle
    const size = yield* handle.size()
    const found = yield* findRoot(handle, descriptor.storeId, form.cipher)
    if (typeof found === 'string') {
      this.#loseTree(size, found)
      return
    }
    const { root, complete } = found
    this.#complete = complete
    const tree = new DamagedTree(this.#environment, handle, size, root, form.blocks)
    this.#tree = tree
    if (!complete) for (const slot of [0, 1]) tree.damage(slot)
    yield* tree.readMap()
    this.#progress.total += tree.bytes
  }

  #loseTree(to: number, reason: string): void {
    const path = `${this.#context.folder}/${TREE_NAME}`
    this.#lost.push({ path, from: 0, to, reason, keys: this.#treeKeys })
  }

  /** The segments of the journal that are behind the root, in their order. */
  *#findJournal(names: readonly string[]): Routine<Remains[]> {
    const { folder, descriptor, form } = this.#context
    const store = { environment: this.#environment, folder, descriptor, form }
    const passed = this.#complete ? this.#tree!.root.journal.segment : 0
    const numbers = names
      .map(numberOf)
      .filter((number) => number > passed)
      .sort((a, b) => a - b)
    const found: { remains: Remains | undefined; header: SegmentHeader | undefined }[] = []
    for (const number of numbers) {
      const name = journalName(number)
      const one = yield* findSegment(store, name, number, undefined, true, this.#opened)
      this.#progress.total += one.size
      found.push(one)
      // One that was just begun when the power failed has nothing in it.
      if (one.remains || one.size <= FILE_HEADER_BYTES) continue
      this.#lost.push({ path: `${folder}/${name}`, from: 0, to: one.size, reason: one.reason })
    }
    for (const { header } of found) {
      const { previousNumber = 0, previousEnd = 0 } = header ?? {}
      if (previousNumber <= passed || numbers.includes(previousNumber)) continue
      // Without a root that says so, it may have been passed long ago.
      if (!this.#complete) continue
      const path = `${folder}/${journalName(previousNumber)}`
      this.#lost.push({ path, from: 0, to: previousEnd, reason: 'the file is missing' })
    }
    return found.flatMap(({ remains }): Remains[] => {
      if (remains === undefined) return []
      // The next segment says where the one before it ended.
      const ends = found.map(({ header }) =>
        header?.previousNumber === remains.number ? header.previousEnd : 0,
      )
      return [{ ...remains, least: Math.max(remains.least, ...ends) }]
    })
  }

  *#readTree(tree: DamagedTree): Routine<void> {
    const { root } = tree
    const target = this.#target
    target.sequence = Math.max(target.sequence, root.sequence)
    if (!this.#complete) yield* this.#readNewer(tree)
    if (root.page === NO_PAGE) return
    yield* this.#walk(tree, root.page, root.sum, undefined, NOTHING, undefined)
    if (this.#holes.length === 0) return
    this.#progress.total += yield* this.#handle!.size()
    const inUse: Stray[] = []
    const others: Stray[] = []
    const unknown = yield* tree.strays(inUse, others)
    /** Keys of which all is known. */
    const covered = new KeyRanges()
    // A branch tells what should be below it.
    inUse.sort((a, b) => b.level - a.level)
    for (const stray of inUse) yield* this.#hang(tree, stray, covered)
    // A root that has nothing below it was a leaf.
    const leaf = inUse.length === 0 ? undefined : 0
    const isFound = tree.isMapped && !unknown && this.#complete
    for (const { low, high, level } of this.#holes) {
      if (!isFound || level === 0 || level === leaf) this.#open.add(low, high)
    }
    if (this.#open.isEmpty) return
    others.sort((a, b) => b.number - a.number)
    for (const { page, level } of others) {
      if (level === 0) yield* this.#fill(tree, page, covered)
    }
  }

  /** Reads leaves that are newer than the root. */
  *#readNewer(tree: DamagedTree): Routine<void> {
    const found: Stray[] = []
    yield* tree.strays(found, found)
    const newer = found.filter(({ number }) => number > tree.root.number)
    if (newer.length === 0) return
    this.#newer = new KeyRanges()
    this.#holes.push({ low: NOTHING, high: undefined, page: 0, level: undefined })
    this.#open.add(NOTHING, undefined)
    newer.sort((a, b) => b.number - a.number)
    for (const { page, level } of newer) {
      if (level === 0) yield* this.#fill(tree, page, this.#newer)
    }
  }

  /** Reads what is below a page, all of whose keys are from `low` up to `high`. */
  *#walk(
    tree: DamagedTree,
    number: number,
    sum: number,
    level: number | undefined,
    low: Buffer,
    high: Buffer | undefined,
    covered?: KeyRanges,
  ): Routine<void> {
    const page = yield* tree.page(number, sum, level)
    if (page === undefined) {
      this.#holes.push({ low, high, page: number, level })
      return
    }
    if (page.level === 0) {
      const [first, last] = yield* this.#readLeaf(tree, page, number)
      if (covered && first && last) covered.add(first, keyBehind(last))
      return
    }
    const keys: (Buffer | undefined)[] = []
    for (let slot = 0; slot < page.count; slot++) {
      const key = yield* tree.key(page, slot)
      keys.push(typeof key === 'number' ? undefined : key)
    }
    for (let slot = 0; slot < page.count; slot++) {
      page.read(slot)
      const from = slot === 0 ? low : (keys[slot] ?? low)
      const to = keys[slot + 1] ?? high
      yield* this.#walk(tree, childAt(page), sumAt(page), page.level - 1, from, to, covered)
    }
  }

  /** Puts all entries of a leaf that the tree has; returns its first and its last key. */
  *#readLeaf(
    tree: DamagedTree,
    page: Page,
    number: number,
  ): Routine<[Buffer | undefined, Buffer | undefined]> {
    let first: Buffer | undefined
    let last: Buffer | undefined
    for (let slot = 0; slot < page.count; slot++) {
      const key = yield* tree.key(page, slot)
      // The page that has the rest of it is in the report.
      if (typeof key === 'number') {
        tree.damage(key)
        continue
      }
      first ??= key
      last = key
      if (this.#newer === undefined) yield* this.#entry(tree, page, slot, key, number, false)
      else if (!this.#newer.has(key)) yield* this.#entry(tree, page, slot, key, 0, true)
    }
    return [first, last]
  }

  /** Puts the entry in a slot. `unsure`: it may be older than what was lost. */
  *#entry(
    tree: DamagedTree,
    page: Page,
    slot: number,
    key: Buffer,
    number: number,
    unsure: boolean,
  ): Routine<void> {
    const target = this.#target
    const leaf = this.#leaf
    page.read(slot)
    const { bytes, bodyAt, bodyLength } = page
    try {
      leaf.read(bytes, bodyAt, bodyLength, this.#handle!.path)
    } catch (error) {
      // Of a newer version, or malformed with a checksum that is right.
      if (!(error instanceof KvarkError)) throw error
      tree.damage(number)
      return
    }
    const { sequence, expiry, ascii, long, start, end } = leaf
    const version = { sequence, expiry, ascii }
    let broken: number | undefined
    if (long) {
      const extent = readExtent(bytes, start, end)
      broken = yield* this.#putExtent(tree, key, extent, version, !unsure)
    } else yield* target.put(key, bytes.subarray(start, end), version)
    if (broken !== undefined && !unsure) this.#suspect(tree, broken, key, sequence)
    else if (broken === undefined && unsure) {
      const tell = (lost: LostKey): void => tree.loseKey(number, lost)
      this.#suspects.push({ key, version: undefined, kept: sequence, tell })
    }
  }

  /** The newest value of a key is lost with a page. */
  #suspect(tree: DamagedTree, page: number, key: Buffer, version: number): void {
    this.#suspects.push({ key, version, kept: 0, tell: (lost) => tree.loseKey(page, lost) })
  }

  /** Puts a value that lies in the tree file; returns the number of a page that keeps it from being read. */
  *#putExtent(
    tree: DamagedTree,
    key: Buffer,
    extent: Extent,
    version: Version,
    isCurrent: boolean,
  ): Routine<number | undefined> {
    const target = this.#target
    if (extent.length > MAX_VALUE_BYTES) return extent.runs[0]?.[0] ?? 0
    if (extent.length <= WHOLE_BYTES) {
      const value = yield* tree.bytesOf(extent, isCurrent)
      if (typeof value === 'number') return value
      yield* target.put(key, value, version)
      return undefined
    }
    let broken: number | undefined
    yield* target.putPieces(key, version, function* fill(append) {
      broken = yield* tree.pieces(extent, isCurrent, append)
      return broken === undefined
    })
    return broken
  }

  /** Reads a page that is in use and was not reached: it hangs below a hole. */
  *#hang(tree: DamagedTree, { page: number }: Stray, covered: KeyRanges): Routine<void> {
    if (tree.has(number)) return
    const page = yield* tree.again(number)
    const key = page && (yield* tree.key(page, 0))
    const known = Buffer.isBuffer(key) ? key : NOTHING
    const hole = this.#holes.find(
      ({ low, high }) => low.compare(known) <= 0 && (high === undefined || known.compare(high) < 0),
    )
    const { low, high } = hole ?? { low: NOTHING, high: undefined }
    yield* this.#walk(tree, number, 0, undefined, low, high, covered)
  }

  /** Fills holes with what a leaf of an earlier checkpoint has. */
  *#fill(tree: DamagedTree, number: number, covered: KeyRanges): Routine<void> {
    const page = yield* tree.again(number)
    if (page === undefined) return
    const keys: (Buffer | undefined)[] = []
    for (let slot = 0; slot < page.count; slot++) {
      page.read(slot)
      const key = page.referenceLength === 0 ? yield* tree.key(page, slot) : undefined
      keys.push(Buffer.isBuffer(key) ? key : undefined)
    }
    const first = keys.find((key) => key !== undefined)
    const last = keys.findLast((key) => key !== undefined)
    if (!first || !last || !this.#open.touches(first, last)) return
    for (const [slot, key] of keys.entries()) {
      if (!key || !this.#open.has(key) || covered.has(key)) continue
      if ((yield* this.#target.sequenceOf(key)) > 0) continue
      yield* this.#entry(tree, page, slot, key, this.#pageOf(key), true)
    }
    covered.add(first, keyBehind(last))
  }

  /** The page that is missing where a key should be. */
  #pageOf(key: Buffer): number {
    const isBelow = ({ low, high }: Hole): boolean =>
      low.compare(key) <= 0 && (high === undefined || key.compare(high) < 0)
    return this.#holes.findLast(isBelow)!.page
  }

  /** Puts what a segment of the journal has. */
  *#replay(remains: Remains, isLast: boolean): Routine<void> {
    const { file } = remains
    const found: Entry[] = []
    const apply = (): Routine<void> => this.#apply(found.splice(0))
    const reader: SurveyReader = {
      mark: apply,
      entry({ entry, extent, at }) {
        const { kind, flags, sequence, expiry, length, keyLength, total } = entry
        const bytes = Buffer.from(extent.subarray(at + length, at + total))
        const key = bytes.subarray(0, keyLength)
        found.push({ kind, flags, sequence, expiry, key, value: bytes.subarray(keyLength) })
      },
      *spread(entry) {
        const { kind, flags, sequence, expiry, keyAddress, keyLength, valueLength } = entry
        const key = yield* keyOf(file, entry)
        const value = yield* readSpread(
          file,
          advance(file.form, keyAddress, keyLength),
          valueLength,
        )
        found.push({ kind, flags, sequence, expiry, key, value })
      },
      ended: () => {},
      undo: () => void found.splice(0),
      given: (sequence) => {
        this.#target.sequence = Math.max(this.#target.sequence, sequence)
      },
      lost: (from, to, reason, broken) => {
        const keys: LostKey[] = []
        this.#lost.push({ path: file.path, from, to, reason, keys })
        for (const { key, sequence } of broken) {
          const tell = (lost: LostKey): number => keys.push(lost)
          if (key) this.#suspects.push({ key, version: sequence, kept: 0, tell })
        }
      },
    }
    // Behind the root nothing was ever said to be complete.
    const mayEnd = isLast && this.#complete
    yield* new SegmentSurvey(this.#environment, remains, reader).run(() => mayEnd)
    yield* apply()
  }

  /** Puts entries of the journal, as far as they are newer than what is there. */
  *#apply(entries: readonly Entry[]): Routine<void> {
    const target = this.#target
    const base = this.#tree?.root.sequence ?? 0
    for (const { kind, flags, sequence, expiry, key, value } of entries) {
      if (sequence <= base && (kind > DELETE || !this.#open.has(key))) continue
      if (kind > DELETE) {
        if ((flags & REFERENCE) === 0) yield* target.deleteRange(key, value)
        else yield* this.#putLoaded(key, value)
        continue
      }
      if ((yield* target.sequenceOf(key)) >= sequence) continue
      if (kind !== PUT) {
        yield* target.delete(key)
        continue
      }
      const version = { sequence, expiry, ascii: (flags & ASCII_VALUE) !== 0 }
      if ((flags & REFERENCE) === 0) {
        yield* target.put(key, value, version)
        continue
      }
      const extent = readExtent(value, 0, value.length)
      const tree = this.#tree
      if (tree === undefined) {
        const tell = (lost: LostKey): number => this.#treeKeys.push(lost)
        this.#suspects.push({ key, version: sequence, kept: 0, tell })
        continue
      }
      const broken = yield* this.#putExtent(tree, key, extent, version, true)
      if (broken !== undefined) this.#suspect(tree, broken, key, sequence)
    }
  }

  /** Puts what was loaded, and is in the journal only. Without a root nothing of the file can be read. */
  *#putLoaded(first: Buffer, value: Buffer): Routine<void> {
    const { root, last } = decodeLoaded(value, `${this.#context.folder}/${TREE_NAME}`)
    if (this.#tree) {
      const { page, sum, level } = root
      yield* this.#walk(this.#tree, page, sum, level, first, keyBehind(Buffer.from(last)))
    }
  }

  /** Which keys have lost their newest value, and what they have instead. */
  *#judge(): Routine<void> {
    const newest = new Map<string, Suspect>()
    for (const suspect of this.#suspects) {
      const name = suspect.key.toString('latin1')
      const before = newest.get(name)
      if (before && (before.version ?? 0) >= (suspect.version ?? 0)) continue
      newest.set(name, suspect)
    }
    for (const { key, version, kept, tell } of newest.values()) {
      const found = yield* this.#target.sequenceOf(key)
      const isNewer = version === undefined ? found !== kept : found >= version
      if (!isNewer) tell({ key, version, kept: found === 0 ? undefined : found })
    }
    for (const [i, { keys, ...range }] of this.#lost.entries()) {
      if (keys?.length === 0) this.#lost[i] = range
    }
  }
}

/** The number of a segment of the journal; 0: it is none. */
function numberOf(name: string): number {
  return Number(/^(\d+)\.log$/.exec(name)?.[1] ?? 0)
}
