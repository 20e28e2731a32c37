/**
 * What of a file tree is on the simulated disk, and what is only on its way there.
 *
 *   calls ──► Tree (what programs see)
 *     └────► pending changes, in order ──sync──► durable names and contents ──crash──► a new Tree
 *                                    └─ crash: none, a prefix or a subset of them, too
 *
 * 1. A sync of a file makes its pending writes and resizes durable, a sync of a folder its pending names.
 * 2. A change of names within a folder is atomic; a rename between two folders is two changes, one in each: synced in one
 *    folder only, a file can come back under both names or, with the wrong order of syncs, under none.
 * 3. Names of a folder become durable in their order, except in the mode that is about them. Writes to a file have no order:
 *    each may reach the disk or not, whole or in sectors of 512 bytes.
 * 4. Folders are durable once made, and so is it that their names were free for them.
 * 5. After a failed sync the pending writes of the file are, as the disk was told to behave, `clean`: a later sync succeeds
 *    without writing them, programs still read them, the disk never gets them (ext4, XFS); `dirty`: a later sync writes them;
 *    `reverted`: they are gone for programs, too (Btrfs). Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020.
 */

import type { SeededRandom } from '../bytes/random.ts'
import {
  applyNameChange,
  FileInode,
  FolderInode,
  type Inode,
  type NameChange,
  type Tree,
} from './inode.ts'

/**
 * What a crash leaves of the changes that were not synced:
 *
 * - `drop`: none
 * - `prefix`: those before a random moment
 * - `subset`: any that may survive by invariants 2 and 3, writes also in sectors
 * - `torn`: any, and of one write only the first sectors, the last ones, those in the middle, or any
 * - `size`: any, and the sizes of files that grew without the bytes, which are zeros or garbage
 * - `names`: any, and names lost or in another order
 * - `garbage`: those before a random moment; a sector of the write under way then holds garbage, all 512 bytes of it. One that the
 *   write does not change is spared: the system writes whole pages, so that what is durable is written again with every neighbour
 */
export type CrashMode = (typeof CRASH_MODES)[number]

export const CRASH_MODES = ['drop', 'prefix', 'subset', 'torn', 'size', 'names', 'garbage'] as const

/** So many pending changes have all their subsets looked at. */
const MOST_ENUMERATED = 8

/** What becomes of pending writes when a sync fails. */
export type FailedSync = (typeof FAILED_SYNCS)[number]

export const FAILED_SYNCS = ['clean', 'dirty', 'reverted'] as const

export const SECTOR_BYTES = 512

interface Write {
  readonly kind: 'write'
  readonly file: FileInode
  readonly bytes: Uint8Array
  readonly position: number
}

type Change =
  | { readonly kind: 'name'; readonly change: NameChange }
  | Write
  | { readonly kind: 'truncate'; readonly file: FileInode; readonly size: number }

/** Names and contents by inode. Built on another state it is a copy that costs only what is touched. */
class State {
  readonly #below: State | undefined
  readonly #names = new WeakMap<FolderInode, Map<string, Inode>>()
  readonly #contents = new WeakMap<FileInode, FileInode>()

  constructor(below?: State) {
    this.#below = below
  }

  /** An inode that was not here yet has no names, or no bytes. */
  namesIn(folder: FolderInode): Map<string, Inode> {
    let names = this.#names.get(folder)
    if (names === undefined)
      this.#names.set(folder, (names = new Map(this.#below?.namesIn(folder))))
    return names
  }

  contentOf(file: FileInode): FileInode {
    let content = this.#contents.get(file)
    if (content === undefined) {
      this.#contents.set(file, (content = this.#below?.contentOf(file).copy() ?? new FileInode()))
    }
    return content
  }

  /** Everything below `folder` as it stands now. */
  take(folder: FolderInode): void {
    this.#names.set(folder, new Map(folder.names))
    for (const inode of folder.names.values()) {
      if (inode.kind === 'folder') this.take(inode)
      else this.#contents.set(inode, inode.copy())
    }
  }

  apply(change: Change): void {
    switch (change.kind) {
      case 'name':
        applyNameChange(this.namesIn(change.change.folder), change.change)
        break
      case 'write':
        this.contentOf(change.file).write(change.bytes, 0, change.bytes.length, change.position)
        break
      case 'truncate':
        this.contentOf(change.file).truncate(change.size)
        break
    }
  }

  /** Some of the changes, as invariants 2 and 3 allow; what becomes of a write that survives is for `write` to say. */
  applySome(changes: readonly Change[], random: SeededRandom, write: (write: Write) => void): void {
    const left = new Map<FolderInode, number>()
    for (const [folder, names] of namesByFolder(changes)) {
      left.set(folder, random.below(names.length + 1))
    }
    for (const change of changes) {
      if (change.kind === 'name') {
        const count = left.get(change.change.folder) ?? 0
        if (count > 0) this.apply(change)
        left.set(change.change.folder, count - 1)
      } else if (change.kind === 'write') write(change)
      else if (random.chance(0.5)) this.apply(change)
    }
  }

  /** A tree of its own that holds this state from `root` on. */
  build(root: FolderInode): FolderInode {
    // One copy for each inode: after a rename that was synced by half a file has two names.
    const copies = new Map<FileInode, FileInode>()
    const copyFile = (file: FileInode): FileInode => {
      let copy = copies.get(file)
      if (copy === undefined) copies.set(file, (copy = this.contentOf(file).copy()))
      return copy
    }
    const copyFolder = (folder: FolderInode): FolderInode => {
      const copy = new FolderInode()
      for (const [name, inode] of this.namesIn(folder)) {
        copy.names.set(name, inode.kind === 'file' ? copyFile(inode) : copyFolder(inode))
      }
      return copy
    }
    return copyFolder(root)
  }
}

function namesByFolder(changes: readonly Change[]): Map<FolderInode, NameChange[]> {
  const folders = new Map<FolderInode, NameChange[]>()
  for (const change of changes) {
    if (change.kind !== 'name') continue
    const { folder } = change.change
    const names = folders.get(folder)
    if (names === undefined) folders.set(folder, [change.change])
    else names.push(change.change)
  }
  return folders
}

/** How each mode makes what is left of the pending changes. */
const LEAVINGS: Readonly<
  Record<CrashMode, (state: State, changes: readonly Change[], random: SeededRandom) => void>
> = {
  drop: () => {},
  prefix(state, changes, random) {
    for (const change of changes.slice(0, random.below(changes.length + 1))) state.apply(change)
  },
  subset(state, changes, random) {
    state.applySome(changes, random, (write) => {
      const fate = random.pick(['kept', 'lost', 'torn'])
      if (fate === 'kept') state.apply(write)
      else if (fate === 'torn') tear(state, write, () => random.chance(0.5), random)
    })
  },
  torn(state, changes, random) {
    const writes = changes.filter((change) => change.kind === 'write')
    const torn = writes.length > 0 ? random.pick(writes) : undefined
    state.applySome(changes, random, (write) => {
      if (write === torn) tear(state, write, partOf(sectorsOf(write), random), random)
      else if (random.chance(0.5)) state.apply(write)
    })
  },
  size(state, changes, random) {
    state.applySome(changes, random, (write) => {
      const content = state.contentOf(write.file)
      const from = content.size
      const end = write.position + write.bytes.length
      if (end <= from || random.chance(0.5)) {
        if (random.chance(0.5)) state.apply(write)
        return
      }
      content.truncate(end)
      if (random.chance(0.5)) content.write(random.bytes(end - from), 0, end - from, from)
    })
  },
  names(state, changes, random) {
    const rest = changes.filter((change) => change.kind !== 'name')
    for (const names of namesByFolder(changes).values()) {
      while (names.length > 0) {
        const [change] = names.splice(random.below(names.length), 1)
        if (random.chance(0.6)) state.apply({ kind: 'name', change: change! })
      }
    }
    state.applySome(rest, random, (write) => {
      if (random.chance(0.7)) state.apply(write)
    })
  },
  garbage(state, changes, random) {
    const count = random.below(changes.length + 1)
    for (const change of changes.slice(0, count)) state.apply(change)
    const last = changes[count]
    if (last?.kind !== 'write') return
    const content = state.contentOf(last.file)
    const under = random.below(sectorsOf(last))
    let sector = 0
    eachSector(last, (from, to) => {
      const changed = isChanged(content, last, from, to)
      if (sector < under) content.write(last.bytes, from - last.position, to - from, from)
      if (sector++ !== under || !changed) return
      const start = from - (from % SECTOR_BYTES)
      // The file's last sector is garbage as far as the file goes.
      const length = Math.min(SECTOR_BYTES, Math.max(content.size, to) - start)
      content.write(random.bytes(length), 0, length, start)
    })
  },
}

/** The pieces of a write that are each in one sector. */
function eachSector({ bytes, position }: Write, visit: (from: number, to: number) => void): void {
  const end = position + bytes.length
  for (let from = position; from < end; ) {
    const to = Math.min(end, (Math.floor(from / SECTOR_BYTES) + 1) * SECTOR_BYTES)
    visit(from, to)
    from = to
  }
}

/** Whether the disk holds other bytes there; behind the end of a file they are zeros. */
function isChanged(
  content: FileInode,
  { bytes, position }: Write,
  from: number,
  to: number,
): boolean {
  const before = new Uint8Array(to - from)
  content.read(before, 0, to - from, from)
  return before.some((byte, i) => byte !== bytes[from - position + i])
}

function sectorsOf(write: Write): number {
  let count = 0
  eachSector(write, () => count++)
  return count
}

/** Which of so many sectors reach the disk. */
function partOf(sectors: number, random: SeededRandom): (sector: number) => boolean {
  const [low, high] = [random.below(sectors + 1), random.below(sectors + 1)].sort((a, b) => a - b)
  switch (random.pick(['first', 'last', 'middle', 'any'])) {
    case 'first':
      return (sector) => sector < high!
    case 'last':
      return (sector) => sector >= low!
    case 'middle':
      return (sector) => sector >= low! && sector < high!
    default:
      return () => random.chance(0.5)
  }
}

/** Writes some of the sectors; the size may have reached the disk without the bytes, which then read as zeros. */
function tear(
  state: State,
  write: Write,
  reaches: (sector: number) => boolean,
  random: SeededRandom,
): void {
  const content = state.contentOf(write.file)
  const end = write.position + write.bytes.length
  let sector = 0
  eachSector(write, (from, to) => {
    if (reaches(sector++)) content.write(write.bytes, from - write.position, to - from, from)
  })
  if (content.size < end && random.chance(0.5)) content.truncate(end)
}

export class SimulatedDisk {
  #pending: Change[] = []
  readonly #durable = new State()

  /** A disk that holds all of `tree`. */
  constructor(tree: Tree) {
    this.#durable.take(tree.root)
  }

  /** Changes that are on their way. */
  get pending(): number {
    return this.#pending.length
  }

  nameChanged(change: NameChange): void {
    this.#pending.push({ kind: 'name', change })
  }

  folderMade(change: NameChange): void {
    const isBefore = (one: Change): boolean =>
      one.kind === 'name' &&
      one.change.folder === change.folder &&
      one.change.removed === change.added
    for (const one of this.#take(isBefore)) this.#durable.apply(one)
    this.#durable.apply({ kind: 'name', change })
  }

  written(file: FileInode, bytes: Uint8Array, position: number): void {
    this.#pending.push({ kind: 'write', file, bytes: new Uint8Array(bytes), position })
  }

  truncated(file: FileInode, size: number): void {
    this.#pending.push({ kind: 'truncate', file, size })
  }

  syncFile(file: FileInode): void {
    for (const change of this.#take((change) => change.kind !== 'name' && change.file === file)) {
      this.#durable.apply(change)
    }
  }

  syncFolder(folder: FolderInode): void {
    const isHere = (change: Change): boolean =>
      change.kind === 'name' && change.change.folder === folder
    for (const change of this.#take(isHere)) this.#durable.apply(change)
  }

  /** A sync of the file failed. */
  failedSync(file: FileInode, behaviour: FailedSync): void {
    if (behaviour === 'dirty') return
    this.#take((change) => change.kind !== 'name' && change.file === file)
    if (behaviour === 'reverted') file.become(this.#durable.contentOf(file))
  }

  /** What stands on the disk after a crash now, from `root` on; this disk stays as it is. */
  afterCrash(root: FolderInode, mode: CrashMode, random: SeededRandom): FolderInode {
    const state = new State(this.#durable)
    LEAVINGS[mode](state, this.#pending, random)
    return state.build(root)
  }

  /**
   * Every disk that a crash now can leave of whole changes, by invariants 2 and 3; none where more than eight are pending, for
   * there are too many.
   */
  *everySubset(root: FolderInode): Generator<FolderInode> {
    const changes = this.#pending
    if (changes.length > MOST_ENUMERATED) return
    const names = [...namesByFolder(changes).values()]
    for (let kept = 0; kept < 2 ** changes.length; kept++) {
      const isKept = (change: Change): boolean => (kept & (1 << changes.indexOf(change))) !== 0
      const survivors = changes.filter(isKept)
      const inOrder = [...namesByFolder(survivors).values()].every((found) => {
        const all = names.find(([first]) => first!.folder === found[0]!.folder)!
        return found.every((change, i) => change === all[i])
      })
      if (!inOrder) continue
      const state = new State(this.#durable)
      for (const change of survivors) state.apply(change)
      yield state.build(root)
    }
  }

  /** Takes the matching changes out of what is pending. */
  #take(matches: (change: Change) => boolean): Change[] {
    const taken: Change[] = []
    const left: Change[] = []
    for (const change of this.#pending) (matches(change) ? taken : left).push(change)
    this.#pending = left
    return taken
  }
}
