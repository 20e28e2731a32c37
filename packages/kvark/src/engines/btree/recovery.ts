/**
 * From files to an open tree.
 *
 *   TREE: two roots, the newer one that holds ─► map of free pages ─► journal behind the root: its entries are put once more
 *
 * 1. Until then no page is given out below the end of the file as it was found: entries of the journal may lead to values there.
 * 2. A file without a root was never completed: nothing has been acknowledged then, and it is made anew.
 * 3. What was read but may never have reached the disk is written again before anything is acknowledged or removed.
 * 4. A file that the journal does not account for is a leftover; it is removed once all else is found to be in order.
 */

import { type JobReport, observed, publishFailure } from '../../engine/diagnostics.ts'
import type { EngineContext } from '../../engine/engine.ts'
import { DELETE, PUT } from '../../engine/write-batch.ts'
import type { Routine } from '../../environment/routine.ts'
import { corruption } from '../../errors.ts'
import { Cache } from '../../storage/cache.ts'
import { DESCRIPTOR_NAME } from '../../storage/descriptor.ts'
import { ASCII_VALUE, REFERENCE } from '../../storage/entry.ts'
import { Journal, type JournalOwner } from '../../storage/journal.ts'
import {
  type FrameReader,
  type JournalEntry,
  JournalRecovery,
  journalName,
  journalNumber,
  type KnownJournal,
  readPart,
} from '../../storage/journal-recovery.ts'
import { TEMPORARY_SUFFIX } from '../../storage/sealed-file.ts'
import type { Segment } from '../../storage/segment.ts'
import type { SegmentWalk } from '../../storage/segment-walk.ts'
import { closeAll, openFile } from '../../vfs/open-file.ts'
import { Change } from './change.ts'
import { Extents, eachPage } from './extents.ts'
import { TreeFile } from './file.ts'
import {
  copyOf,
  isPageSize,
  NO_PAGE,
  PIECE,
  ROOT_SLOTS,
  type Root,
  readRoot,
  TREE_NAME,
  writeRoot,
} from './format.ts'
import { decodeLoaded, graft } from './graft.ts'
import { Keys } from './keys.ts'
import { readExtent } from './leaf.ts'

import type { BtreeOptions } from './options.ts'
import { longKeyBytes } from './page.ts'
import { Pages } from './pages.ts'
import { Space } from './space.ts'
import { TreeState } from './state.ts'
import { Tree } from './tree.ts'

/** The rest is for the adaptive hash. */
const CACHE_SHARE = 7 / 8
const SEGMENT_BYTES = 64 * 1024 * 1024
/** Of a file that was just made: there is none before it. */
const FIRST_ROOT = 1

/** `given`: the last sequence that this process has given out; none is given twice. */
export function* recover(
  context: EngineContext,
  options: Required<BtreeOptions>,
  given: number,
): Routine<TreeState> {
  const recovery = new Recovery(context)
  try {
    return yield* observed('kvark:recovery', context, (report) =>
      recovery.run(options, given, report),
    )
  } catch (error) {
    yield* recovery.abandon()
    throw error
  }
}

class Recovery {
  readonly #context: EngineContext
  readonly #path: string
  #file: TreeFile | undefined
  #journal: JournalRecovery | undefined
  #state: TreeState | undefined

  constructor(context: EngineContext) {
    this.#context = context
    this.#path = `${context.folder}/${TREE_NAME}`
  }

  *run(options: Required<BtreeOptions>, given: number, report: JobReport): Routine<TreeState> {
    const { environment, folder, descriptor } = this.#context
    const names = yield* environment.files.list(folder)
    const { file, root, isWhole } = yield* this.#open(names, options)
    if (descriptor.edition < root.edition) {
      throw corruption(`${folder}/${DESCRIPTOR_NAME}`, 0, 'the descriptor is an older copy')
    }
    const known: KnownJournal = {
      number: root.number,
      nextFile: root.journal.segment + 1,
      journal: [],
      floor: root.journal,
      references: true,
    }
    const recovery = new JournalRecovery(this.#context, known, this.#path)
    this.#journal = recovery
    yield* recovery.open(names)
    const state = yield* this.#load(file, root)
    const replay = new Replay(state)
    yield* recovery.replay(replay, { ...root.journal, clock: root.clock })
    report.bytes = recovery.replayedBytes
    state.pages.space.above(0)
    state.segments = [...recovery.row]
    const { tail } = recovery
    if (tail.closed && !isWhole) {
      environment.warn(`${this.#path}: one of the two roots was damaged, and is written anew.`)
    }
    const start = yield* recovery.start(Math.max(tail.sequence, root.sequence, given))
    if (!tail.closed) {
      state.unmarked = root.number > FIRST_ROOT
      if (start.suspects.length > 0) state.changed = true
    }
    if (root.edition !== descriptor.edition) state.changed = true
    state.nextSegment = Math.max(root.journal.segment, ...names.map(journalNumber)) + 1
    state.journal = new Journal(environment, folder, undefined, this.#owner(state), start)
    // A place is written once: what may lie behind the end is not written over.
    if (this.#context.form.blocks.writesOnce) state.journal.roll()
    yield* recovery.syncNames()
    for (const name of this.#context.created ? [] : names) {
      if (recovery.isLeftover(name) || name.endsWith(TEMPORARY_SUFFIX)) {
        yield* environment.files.remove(`${folder}/${name}`)
      }
    }
    return state
  }

  *abandon(): Routine<void> {
    this.#state?.journal?.abandon()
    this.#state?.pages.close()
    const handles = (this.#journal?.opened ?? []).map(({ handle }) => handle)
    yield* closeAll(this.#file ? [this.#file.handle, ...handles] : handles)
  }

  #owner(state: TreeState): JournalOwner {
    const { folder, form, descriptor } = this.#context
    return {
      storeId: descriptor.storeId,
      form: form.blocks,
      segmentBytes: SEGMENT_BYTES,
      takeNumber: () => state.nextSegment++,
      pathOf: (number) => `${folder}/${journalName(number)}`,
      begun: (segment: Segment) => state.segments.push(segment),
      failed: (reason) => publishFailure(this.#context, reason),
    }
  }

  /** Opens the tree file, or makes it. */
  *#open(
    names: readonly string[],
    options: Required<BtreeOptions>,
  ): Routine<{ file: TreeFile; root: Root; isWhole: boolean }> {
    const { environment, descriptor, form } = this.#context
    const { files } = environment
    if (!names.includes(TREE_NAME)) {
      const journal = names.find((name) => journalNumber(name) > 0)
      if (journal !== undefined)
        throw corruption(this.#path, 0, 'the file is missing, and there is a journal beside it')
      yield* this.#make(options.pageBytes)
    }
    const handle = yield* openFile(files, this.#path, 'write')
    const pageBits = Math.log2(options.pageBytes)
    let file = new TreeFile(handle, form.blocks, 0, pageBits)
    this.#file = file
    const roots: Root[] = []
    for (let slot = 0; slot < ROOT_SLOTS; slot++) {
      const bytes = yield* file.readSlot(slot)
      const root = readRoot(this.#path, bytes, descriptor.storeId, form.cipher)
      if (root) roots.push(root)
    }
    const [root] = roots.sort((a, b) => b.number - a.number)
    if (root === undefined) throw corruption(this.#path, 0, 'neither root can be read')
    if (!isPageSize(root.pageBytes) || root.pageBytes !== options.pageBytes) {
      throw corruption(this.#path, 0, 'its pages have another size than the descriptor says')
    }
    file = new TreeFile(handle, form.blocks, root.life, pageBits)
    this.#file = file
    const isWhole =
      roots.length === ROOT_SLOTS && roots.every(({ number }) => number === root.number)
    if (!isWhole) yield* this.#settle(file, root)
    return { file, root, isWhole }
  }

  /** Writes a root again that may never have reached the disk. All that it leads to has. */
  *#settle(file: TreeFile, root: Root): Routine<void> {
    const { descriptor, form } = this.#context
    const bytes = writeRoot(root, descriptor.storeId, form.cipher)
    for (let slot = 0; slot < ROOT_SLOTS; slot++) {
      file.handle.write(bytes, 0, bytes.length, slot * file.pageBytes).sync()
      yield* file.handle.sync()
    }
  }

  /** Makes the file of an empty tree. Complete, or not there at all. */
  *#make(pageBytes: number): Routine<void> {
    const { environment, folder, descriptor, form } = this.#context
    const { files } = environment
    const life = Buffer.from(environment.random(4)).readUInt32LE()
    const mark = Buffer.from(environment.random(4)).readUInt32LE()
    const unique = Buffer.from(environment.random(4)).toString('hex')
    const temporary = `${this.#path}.${unique}${TEMPORARY_SUFFIX}`
    const handle = files.open(temporary, 'create').sync()
    try {
      const file = new TreeFile(handle, form.blocks, life, Math.log2(pageBytes))
      const space = new Space()
      // The slots, the map, the copy of the root.
      for (let page = 0; page < ROOT_SLOTS + 2; page++) space.mark(page)
      const map = space.save(() => {})
      const plain = Buffer.alloc(pageBytes)
      const stored = form.blocks.sealed ? Buffer.alloc(pageBytes) : plain
      map.copy(plain, form.blocks.headerBytes)
      file.seal(plain, stored, 0, ROOT_SLOTS, PIECE, mark)
      file.write(stored, 0, ROOT_SLOTS, 1)
      const root: Root = {
        number: FIRST_ROOT,
        life,
        pageBytes,
        page: NO_PAGE,
        sum: 0,
        entries: 0,
        sequence: 0,
        clock: 0,
        journal: { segment: 0, end: 0, sequence: 0, checksum: 0 },
        map: { length: map.length, mark, runs: [[ROOT_SLOTS, 2]] },
        edition: descriptor.edition,
      }
      const bytes = writeRoot(root, descriptor.storeId, form.cipher)
      for (let slot = 0; slot < ROOT_SLOTS; slot++) {
        handle.write(bytes, 0, bytes.length, slot * pageBytes).sync()
      }
      file.writeCopy(bytes, copyOf(root))
      yield* handle.sync()
    } finally {
      yield* handle.close()
    }
    files.rename(temporary, this.#path).sync()
    yield* files.syncFolder(folder)
  }

  /** The tree that a root leads to. */
  *#load(file: TreeFile, root: Root): Routine<TreeState> {
    const { environment, descriptor, cacheBytes } = this.#context
    const { pageBits, form } = file
    const cache = new Cache(Math.floor(cacheBytes * CACHE_SHARE), pageBits, false)
    const pages = new Pages(
      cache,
      file,
      { bits: pageBits, headerBytes: form.headerBytes },
      descriptor.hashSeed,
      cacheBytes * (1 - CACHE_SHARE),
    )
    file.expected = (page) => pages.sum(page)
    const extents = new Extents(pages, file, () =>
      Buffer.from(environment.random(4)).readUInt32LE(),
    )
    const keys = new Keys(extents, longKeyBytes(pages.size))
    const tree = new Tree(pages, keys)
    const state = new TreeState(this.#context, file, pages, tree, extents, keys, root, 0)
    this.#state = state
    const size = yield* file.handle.size()
    eachPage(root.map, (page) => {
      if (page * file.pageBytes >= size) throw corruption(this.#path, size, 'the file is cut short')
    })
    const end = Math.ceil(size / file.pageBytes)
    // Until the map has been read, a page of it may be anywhere in the file.
    pages.space.mark(end - 1)
    pages.space = Space.restore(yield* extents.read(root.map, 0, root.map.length))
    extents.adopt(root.map)
    pages.space.above(Math.max(pages.space.end, end))
    tree.root = root.page
    tree.entries = root.entries
    if (root.page !== NO_PAGE) pages.setSum(root.page, root.sum)
    return state
  }
}

/** Puts the entries of complete frames into the tree once more. */
class Replay implements FrameReader {
  readonly #state: TreeState
  readonly #change: Change
  /** Of the frame that is not complete yet. */
  #frame: JournalEntry[] = []

  constructor(state: TreeState) {
    this.#state = state
    this.#change = new Change(state)
  }

  begin(_file: Segment): void {
    this.#frame = []
  }

  *entry(walk: SegmentWalk): Routine<boolean> {
    const { kind, flags, length, keyLength, valueLength, sequence, expiry } = walk.entry
    const bytes = yield* readPart(walk, length, keyLength + valueLength)
    if (bytes === undefined) return false
    const key = bytes.subarray(0, keyLength)
    this.#frame.push({ kind, flags, key, value: bytes.subarray(keyLength), sequence, expiry })
    return true
  }

  *complete(): Routine<void> {
    const { pages, tree, root, file } = this.#state
    for (const one of this.#frame) {
      const { kind, flags, key, value, sequence, expiry } = one
      if (sequence <= root.sequence) continue
      yield* tree.warm(key, 0, key.length)
      const end = key.length
      if (kind === DELETE) this.#change.delete(key, 0, end)
      else if (kind !== PUT && (flags & REFERENCE) !== 0) {
        const loaded = decodeLoaded(value, file.handle.path)
        eachPage({ length: 0, mark: 0, runs: loaded.runs }, (page) => pages.space.mark(page))
        graft(this.#state, key, loaded)
      } else if (kind !== PUT) this.#change.deleteRange(key, value)
      else if ((flags & REFERENCE) !== 0) {
        const extent = readExtent(value, 0, value.length)
        eachPage(extent, (page) => pages.space.mark(page))
        this.#change.putExtent(key, 0, end, extent, sequence, expiry)
      } else {
        const ascii = (flags & ASCII_VALUE) !== 0
        this.#change.put(key, 0, end, value, 0, value.length, sequence, expiry, ascii)
      }
      this.#state.changed = true
    }
    this.#frame = []
  }

  undo(): void {
    this.#frame = []
  }
}
