/**
 * A checkpoint: what is in the journal and in memory only becomes part of the tree file, in one pass.
 *
 *   freeze: view, journal rolled ─► journal synced ─► fresh pages written, lowest level first ─► map of free pages, copy of the root
 *     ─► file synced ─► root into slot 0 ─► file synced ─► root into slot 1, pages of the root before are free, journal removed
 *
 * 1. Nothing that the root on the disk leads to is written over: a checkpoint that does not end has not been.
 * 2. A page is sealed after those below it, because it holds their checksums. So is the root after all.
 * 3. Writes go on meanwhile, in a later epoch. Everything but syncing is done at once, in slices: no write is ever under way when
 *    somebody else takes over.
 * 4. One that fails before its root is written, for want of space perhaps, has done nothing: it is tried again. From then on, and
 *    when a sync fails, the engine takes no more writes: what it leads to may be on the disk, or not.
 * 5. The map says what the root leads to, not what readers still see or what has been written since: these are free for whoever
 *    opens the file after a crash.
 */

import { writeU32 } from '../../bytes/varint.ts'
import { type JobReport, observed } from '../../engine/diagnostics.ts'
import { effect, type Routine } from '../../environment/routine.ts'
import { Slice } from '../../environment/slice.ts'
import { childAt, SUM_AT } from './branch.ts'
import { eachPage } from './extents.ts'
import { copyOf, type Extent, PIECE, type Root, TREE_PAGE, writeRoot } from './format.ts'
import type { Page } from './page.ts'
import type { Draft, TreeState } from './state.ts'
import { SyncAhead } from './sync-ahead.ts'
import type { View } from './views.ts'

/** Written in one step of the event loop, at most. */
const SLICE_BYTES = 256 * 1024
/** Pages of which a view lets go in one step. */
const STEP_PAGES = 1024
/** Written bytes are synced in portions, while the next one is written, so that the last sync is not the only one to wait for the disk. */
const SYNC_BYTES = 8 * 1024 * 1024

export function checkpoint(state: TreeState): Routine<void> {
  return observed('kvark:checkpoint', state.context, (report) => writeAll(state, report))
}

function* writeAll(state: TreeState, report: JobReport): Routine<void> {
  const { journal, pages, tree, file, context } = state
  const { environment } = context
  journal.roll()
  const point = journal.point()
  const view = pages.views.add(false)
  const before = state.segments.filter(({ number }) => number <= point.segment)
  const top = tree.root
  const { entries } = tree
  const clock = journal.now()
  const map = saveMap(state, view)
  const draft: Draft = { map: map.extent, view, named: false }
  state.drafts.add(draft)
  let write: (slot: number) => void
  let old: View
  try {
    yield* journal.commit('disk')
    const number = state.root.number + 1
    const fresh = new Writer(state, view.epoch, number)
    yield* fresh.run(report)
    yield* map.write()
    const root: Root = {
      number,
      life: file.life,
      pageBytes: file.pageBytes,
      page: top,
      sum: pages.sum(top),
      entries,
      sequence: point.sequence,
      clock,
      journal: point,
      map: map.extent,
      edition: context.descriptor.edition,
    }
    const bytes = writeRoot(root, context.descriptor.storeId, context.form.cipher)
    file.writeCopy(bytes, copyOf(root))
    yield* state.sync()
    fresh.synced()
    // Somebody else may have been told what this sync would have been.
    if (journal.failure) throw journal.failure
    write = (slot: number): void => {
      file.handle.write(bytes, 0, bytes.length, slot * file.pageBytes).sync()
    }
    draft.named = true
    try {
      write(0)
    } catch (error) {
      throw journal.fail(error)
    }
    yield* state.sync()
    state.drafts.delete(draft)
    for (const other of state.drafts) if (other.named) forget(state, other)
    eachPage(state.root.map, (page) => pages.views.keep(state.view, page))
    old = state.view
    state.view = view
    state.root = root
    state.unmarked = true
  } catch (error) {
    // A root that was written may be on the disk: what it leads to stays until the next one is there.
    if (!draft.named) forget(state, draft)
    throw error
  }
  // What follows is tidying up, with the new root in place: it is done again after a crash.
  try {
    // Before anybody writes over what the root before leads to.
    write(1)
    while (pages.views.loosen(old, STEP_PAGES)) yield* environment.pause
  } finally {
    if (!state.closed) {
      pages.views.end(old)
      pages.releaseSlabs()
    }
  }
  yield* state.trim()
  yield* effect(function* remove() {
    for (const segment of before) {
      state.segments = state.segments.filter((one) => one !== segment)
      yield* segment.handle.close()
    }
    for (const { path } of before) yield* environment.files.remove(path)
  })
}

/** A checkpoint will not become the one on the disk. */
function forget(state: TreeState, draft: Draft): void {
  if (!state.drafts.delete(draft) || state.closed) return
  state.extents.free(draft.map)
  state.pages.views.end(draft.view)
}

/** Takes pages for the map of free pages, which is fixed from here on, and one for the copy of the root. */
function saveMap(
  state: TreeState,
  view: View,
): {
  extent: Extent
  write(): Routine<void>
} {
  const { pages, file, root, context } = state
  const { payloadBytes, pageBytes, form } = file
  const mark = Buffer.from(context.environment.random(4)).readUInt32LE()
  const { space } = pages
  // Room for the pages of the map itself, too.
  const count = Math.ceil((space.end / 8 + 64) / (payloadBytes - 64))
  const first = space.takeRun(count + 1)
  const extent: Extent = { length: 0, mark, runs: [[first, count + 1]] }
  state.extents.adopt(extent, view.epoch)
  const bytes = space.save((visit) => {
    pages.views.eachKept(visit)
    eachPage(root.map, visit)
    for (const spool of state.spools) spool.eachPage(visit)
    for (const other of state.drafts) eachPage(other.map, visit)
  })
  const write = function* write(): Routine<void> {
    const plain = Buffer.alloc(pageBytes)
    const stored = form.sealed ? Buffer.alloc(pageBytes) : plain
    for (let i = 0; i < count; i++) {
      plain.fill(0)
      // There may be a page more than the map came to need.
      plain.set(bytes.subarray(i * payloadBytes, (i + 1) * payloadBytes), form.headerBytes)
      file.seal(plain, stored, 0, first + i, PIECE, mark)
      file.write(stored, 0, first + i, 1)
      yield* context.environment.pause
    }
  }
  return { extent: { ...extent, length: bytes.length }, write }
}

/** Writes all fresh pages up to an epoch. */
class Writer {
  readonly #state: TreeState
  readonly #epoch: number
  /** Of the checkpoint. */
  readonly #number: number
  readonly #plain: Buffer
  readonly #stored: Buffer
  readonly #page: Page
  readonly #slice: Slice
  /** Pages in the buffer: they follow each other in the file. */
  #first = 0
  #count = 0
  #written = 0
  readonly #ahead: SyncAhead
  /** Pages that are being synced, and those written since. */
  #syncing: number[] = []
  #unsynced: number[] = []

  constructor(state: TreeState, epoch: number, number: number) {
    this.#state = state
    this.#epoch = epoch
    this.#number = number
    const { pageBytes, form } = state.file
    this.#plain = Buffer.alloc(Math.max(SLICE_BYTES, pageBytes))
    this.#stored = form.sealed ? Buffer.alloc(this.#plain.length) : this.#plain
    this.#page = state.pages.newPage()
    this.#slice = Slice.ofBackground(state.context.environment)
    this.#ahead = new SyncAhead(state)
  }

  *run(report: JobReport): Routine<void> {
    try {
      for (const level of yield* this.#levels()) {
        for (const number of level) {
          // Compression and encryption may take long.
          if (!this.#fits(number) || this.#slice.over()) yield* this.#flush()
          this.#add(number)
        }
        yield* this.#flush()
      }
    } finally {
      yield* this.#ahead.settled
    }
    this.#checkSynced()
    report.bytes = this.#written
  }

  /** Fresh pages by level, pieces of values with the leaves; each in the order of the file. */
  *#levels(): Routine<number[][]> {
    const { pages } = this.#state
    const levels: number[][] = []
    let looked = 0
    for (const number of pages.freshUpTo(this.#epoch)) {
      let level = 0
      if (!pages.isPiece(number)) {
        pages.look(this.#page, number)
        level = this.#page.level
      }
      levels[level] ??= []
      levels[level]!.push(number)
      if (++looked % STEP_PAGES === 0) yield* this.#state.context.environment.pause
    }
    return Array.from(levels, (numbers) => (numbers ?? []).sort((a, b) => a - b))
  }

  #fits(number: number): boolean {
    const room = (this.#count + 1) * this.#state.file.pageBytes <= this.#plain.length
    return this.#count === 0 || (room && number === this.#first + this.#count)
  }

  #add(number: number): void {
    const { pages, file } = this.#state
    if (!pages.isFresh(number, this.#epoch)) return
    const isPiece = pages.isPiece(number)
    if (!isPiece) this.#nameChildren(number)
    if (this.#count === 0) this.#first = number
    const at = this.#count * file.pageBytes
    pages.bytesOf(number).copy(this.#plain, at)
    const mark = isPiece ? pages.sum(number) : this.#number
    const flags = isPiece ? PIECE : TREE_PAGE
    const sum = file.seal(this.#plain, this.#stored, at, number, flags, mark)
    if (!isPiece) pages.setSum(number, sum)
    this.#count++
  }

  /** Writes the checksums of its children into a branch, as far as they have been written since they stand there. */
  #nameChildren(number: number): void {
    const { pages } = this.#state
    const page = this.#page
    pages.look(page, number)
    if (page.level === 0) return
    for (let slot = 0; slot < page.count; slot++) {
      page.read(slot)
      const sum = pages.sum(childAt(page))
      if (sum !== 0) writeU32(page.bytes, page.bodyAt + SUM_AT, sum)
    }
  }

  *#flush(): Routine<void> {
    const { file, context } = this.#state
    if (this.#count === 0) return
    file.write(this.#stored, 0, this.#first, this.#count)
    for (let i = 0; i < this.#count; i++) this.#unsynced.push(this.#first + i)
    this.#written += this.#count * file.pageBytes
    this.#count = 0
    if (this.#unsynced.length * file.pageBytes >= SYNC_BYTES) {
      yield* this.#syncAhead()
    } else yield* context.environment.pause
    this.#slice.begin()
  }

  *#syncAhead(): Routine<void> {
    yield* this.#ahead.settled
    this.#checkSynced()
    this.#release(this.#syncing)
    this.#syncing = this.#unsynced
    this.#unsynced = []
    yield* this.#ahead.begin
  }

  /** Nothing is written behind a sync that has failed, and it is not tried again. */
  #checkSynced(): void {
    const { failure } = this.#state.journal
    if (failure) throw failure
  }

  /** All that has been written is on the disk. */
  synced(): void {
    this.#release(this.#syncing)
    this.#release(this.#unsynced)
  }

  /** Pages that are on the disk need not stay in memory. Until then somebody may have to write them again. */
  #release(numbers: number[]): void {
    for (const number of numbers) this.#state.pages.written(number, this.#epoch)
    numbers.length = 0
  }
}
