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
 * 3. Names of a folder become durable in their order. Writes to a file have no order: each may reach the disk or not,
 *    whole or in sectors of 512 bytes.
 * 4. Folders are durable once made.
 * 5. After a failed sync the pending writes of the file count as clean: a later sync succeeds without writing them, as
 *    on Linux. Programs still read them, the disk never gets them.
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
 * What a crash leaves of the changes that were not synced: `drop` none, `prefix` those before a random moment,
 * `subset` any that may survive by invariants 2 and 3.
 */
export type CrashMode = 'drop' | 'prefix' | 'subset'

export const SECTOR_BYTES = 512

type Change =
  | { readonly kind: 'name'; readonly change: NameChange }
  | {
      readonly kind: 'write'
      readonly file: FileInode
      readonly bytes: Uint8Array
      readonly position: number
    }
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

  /** Some of the changes, as invariants 2 and 3 allow. */
  applySubset(changes: readonly Change[], random: SeededRandom): void {
    const counts = new Map<FolderInode, number>()
    for (const change of changes) {
      if (change.kind !== 'name') continue
      counts.set(change.change.folder, (counts.get(change.change.folder) ?? 0) + 1)
    }
    const left = new Map<FolderInode, number>()
    for (const [folder, count] of counts) left.set(folder, random.below(count + 1))

    for (const change of changes) {
      if (change.kind === 'name') {
        const count = left.get(change.change.folder) ?? 0
        if (count > 0) this.apply(change)
        left.set(change.change.folder, count - 1)
      } else if (change.kind === 'truncate') {
        if (random.chance(0.5)) this.apply(change)
      } else {
        const fate = random.pick(['kept', 'lost', 'torn'])
        if (fate === 'kept') this.apply(change)
        else if (fate === 'torn') tear(this.contentOf(change.file), change, random)
      }
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

/** Writes some of the sectors; the size may have reached the disk without the bytes, which then read as zeros. */
function tear(
  content: FileInode,
  { bytes, position }: { readonly bytes: Uint8Array; readonly position: number },
  random: SeededRandom,
): void {
  const end = position + bytes.length
  for (let from = position; from < end; ) {
    const to = Math.min(end, (Math.floor(from / SECTOR_BYTES) + 1) * SECTOR_BYTES)
    if (random.chance(0.5)) content.write(bytes, from - position, to - from, from)
    from = to
  }
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
  loseFile(file: FileInode): void {
    this.#take((change) => change.kind !== 'name' && change.file === file)
  }

  /** What stands on the disk after a crash now, from `root` on; this disk stays as it is. */
  afterCrash(root: FolderInode, mode: CrashMode, random: SeededRandom): FolderInode {
    const state = new State(this.#durable)
    if (mode === 'prefix') {
      const count = random.below(this.#pending.length + 1)
      for (const change of this.#pending.slice(0, count)) state.apply(change)
    } else if (mode === 'subset') {
      state.applySubset(this.#pending, random)
    }
    return state.build(root)
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
