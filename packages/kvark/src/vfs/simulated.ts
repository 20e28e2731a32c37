/**
 * A simulated disk behind `Files`: it records every call, forgets at a crash what was not synced, and fails where a test
 * wants it to.
 *
 *   const files = new SimulatedFiles()
 *   …                                                       a store runs on it
 *   files.failNext({ call: 'sync', error: 'EIO' })          a call fails
 *   const after = files.crash({ mode: 'subset', random })   power loss: `files` is dead, `after` is the disk afterwards
 *
 * 1. What a crash keeps is said in `simulated-disk.ts`. The handles and locks of before are gone with it.
 * 2. An awaited call happens a moment after it was made, not at once, so that what runs in between can get in its way; but
 *    for changes of names, whose end is heard of a moment later. In which order calls happen depends on the calls only.
 * 3. A full disk takes the part of a write that fits before it fails, as a real one does.
 */

import { crc32 } from 'node:zlib'
import { SeededRandom } from '../bytes/random.ts'
import { Effect } from '../environment/routine.ts'
import type { FileHandle, FileLock, FileStat, Files, OpenMode } from './files.ts'
import { type FileInode, type FolderInode, Tree } from './inode.ts'
import { lockInode } from './memory.ts'
import { type CrashMode, type FailedSync, SimulatedDisk } from './simulated-disk.ts'
import { errnoOf, systemErrorOf } from './system-error.ts'

/** A call that reached the disk. */
export interface FileCall {
  readonly call: keyof Files | keyof FileHandle | 'release'
  readonly path: string
  /** `rename`: the new path. */
  readonly to?: string
  readonly mode?: OpenMode
  /** `read`, `write`: where; `truncate`: the new size. */
  readonly position?: number
  readonly length?: number
  /** How many syncs, of files and folders, had succeeded before. */
  readonly epoch: number
  /** The errno of a call that failed. */
  error?: string
}

/** Which call fails, and how. */
export interface Fault {
  readonly call: FileCall['call']
  /** The end of the path, such as `.log` or a name; absent: any path. */
  readonly path?: string
  /** The how many-th matching call from now on; default 1, the next one. */
  readonly nth?: number
  /** The errno: `EIO`, `ENOSPC`, … */
  readonly error: string
  /** All matching calls from there on fail, not only this one. */
  readonly forever?: boolean
}

/** A `write` that fails half-way: the first `written` bytes of it have reached the file. */
export interface HalfWritten {
  readonly error: string
  readonly written: number
}

/** Looks at each call before it happens; an errno makes it fail. */
export type FaultRule = (call: FileCall) => string | HalfWritten | undefined

export interface CrashOptions {
  /** Default `drop`. */
  readonly mode?: CrashMode
  readonly random?: SeededRandom
}

type Details = Omit<FileCall, 'epoch' | 'error'>

/** How an error speaks of a call, where not by its name. */
const ACTIONS: Partial<Record<FileCall['call'], string>> = {
  write: 'write to',
  stat: 'look at',
  size: 'look at',
  truncate: 'resize',
  makeFolder: 'make the folder',
  removeFolder: 'remove the folder',
  syncFolder: 'sync the folder',
}

export class SimulatedFiles implements Files {
  readonly shareable = false
  /** Every call so far, the failed ones too. May be emptied. */
  readonly calls: FileCall[] = []
  /** The bytes that all files together may have. */
  capacityBytes: number
  /** What becomes of pending writes when a sync fails; default `clean`. */
  failedSync: FailedSync = 'clean'
  readonly #tree: Tree
  readonly #disk: SimulatedDisk
  readonly #open = new Map<FileHandle, FileInode>()
  #rules: FaultRule[] = []
  #epoch = 0
  #crashed = false

  constructor(options: { readonly capacityBytes?: number; readonly root?: FolderInode } = {}) {
    this.capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY
    this.#tree = new Tree(options.root)
    this.#disk = new SimulatedDisk(this.#tree)
  }

  /** Changes that a crash now would put at risk. */
  get unsyncedChanges(): number {
    return this.#disk.pending
  }

  /** The path of every handle that is open: none once every store is closed. */
  get openPaths(): string[] {
    return [...this.#open.keys()].map(({ path }) => path)
  }

  /** What tells one disk from another: a hash, below 2⁵³, of all names and bytes that programs see. */
  get fingerprint(): number {
    let low = 0
    let high = 1
    const walk = (folder: FolderInode, path: string): void => {
      for (const name of [...folder.names.keys()].sort()) {
        const inode = folder.names.get(name)!
        const below = `${path}/${name}`
        const content = inode.kind === 'file' ? `${inode.size} ${inode.checksum}` : 'folder'
        const sum = crc32(`${below} ${content}`)
        low = crc32(`${low}`, sum)
        high = (Math.imul(high, 0x9e3779b1) ^ sum) >>> 0
        if (inode.kind === 'folder') walk(inode, below)
      }
    }
    walk(this.#tree.root, '')
    return (high & 0x1f_ffff) * 2 ** 32 + low
  }

  /** Lets a call fail, or hands every call to a rule until `clearFaults`. */
  failNext(fault: Fault | FaultRule): void {
    this.#rules.push(typeof fault === 'function' ? fault : ruleOf(fault))
  }

  clearFaults(): void {
    this.#rules = []
  }

  /** Power loss: every call from now on fails; the disk as it is found afterwards is returned. */
  crash(options: CrashOptions = {}): SimulatedFiles {
    const after = this.afterCrash(options)
    this.#crashed = true
    return after
  }

  /** The disk as a crash now would leave it; this one goes on. */
  afterCrash({ mode = 'drop', random = new SeededRandom(0) }: CrashOptions = {}): SimulatedFiles {
    const root = this.#disk.afterCrash(this.#tree.root, mode, random)
    return new SimulatedFiles({ capacityBytes: this.capacityBytes, root })
  }

  /** The disks that a crash now can leave, each made of whole changes; none where more than eight are pending. */
  *everyCrash(): Generator<SimulatedFiles> {
    for (const root of this.#disk.everySubset(this.#tree.root)) {
      yield new SimulatedFiles({ capacityBytes: this.capacityBytes, root })
    }
  }

  open(path: string, mode: OpenMode): Effect<FileHandle> {
    return this.#effect({ call: 'open', path, mode }, () => {
      const { file, change } = this.#tree.open(path, mode)
      if (change !== undefined) this.#disk.nameChanged(change)
      return this.#handle(path, file, mode !== 'read')
    })
  }

  rename(from: string, to: string): Effect<void> {
    return this.#effect({ call: 'rename', path: from, to }, () => {
      for (const change of this.#tree.rename(from, to)) this.#disk.nameChanged(change)
    })
  }

  remove(path: string): Effect<void> {
    return this.#effect({ call: 'remove', path }, () => {
      const change = this.#tree.remove(path)
      if (change !== undefined) this.#disk.nameChanged(change)
    })
  }

  list(folder: string): Effect<string[]> {
    return this.#effect({ call: 'list', path: folder }, () => this.#tree.list(folder))
  }

  makeFolder(path: string): Effect<void> {
    return this.#effect({ call: 'makeFolder', path }, () => {
      for (const change of this.#tree.makeFolder(path)) this.#disk.folderMade(change)
    })
  }

  removeFolder(path: string): Effect<void> {
    return this.#effect({ call: 'removeFolder', path }, () => {
      const change = this.#tree.removeFolder(path)
      if (change !== undefined) this.#disk.nameChanged(change)
    })
  }

  syncFolder(path: string): Effect<void> {
    return this.#effect({ call: 'syncFolder', path }, () => {
      this.#disk.syncFolder(this.#tree.folder(path, 'sync the folder'))
      this.#epoch++
    })
  }

  stat(path: string): Effect<FileStat | undefined> {
    return this.#effect({ call: 'stat', path }, () => this.#tree.stat(path))
  }

  lock(path: string, _timeoutMs: number): Effect<FileLock> {
    return this.#effect({ call: 'lock', path }, () => {
      const { lock, change } = lockInode(this.#tree, path)
      if (change !== undefined) this.#disk.nameChanged(change)
      return {
        isHeld: () => lock.isHeld?.() !== false,
        release: () => this.#effect({ call: 'release', path }, () => lock.release().sync()),
      }
    })
  }

  #handle(path: string, file: FileInode, writable: boolean): FileHandle {
    const act = <T>(
      details: Omit<Details, 'path'>,
      call: () => T,
      onFault?: (written: number) => void,
    ): Effect<T> => {
      const perform = (isOpen: boolean): T =>
        this.#perform(
          { ...details, path },
          () => {
            if (!isOpen) throw systemErrorOf('EBADF', actionOf(details.call), path)
            return call()
          },
          onFault,
        )
      const isOpen = (): boolean => this.#open.has(handle)
      return new Effect(
        () => perform(isOpen()),
        async () => {
          // What has begun goes on when the handle is closed meanwhile.
          const begun = isOpen()
          await Promise.resolve()
          return perform(begun)
        },
      )
    }
    const handle: FileHandle = {
      path,
      read: (target, offset, length, position) =>
        act({ call: 'read', position, length }, () => file.read(target, offset, length, position)),
      write: (source, offset, length, position) => {
        const write = (count: number): void => {
          if (count === 0) return
          file.write(source, offset, count, position)
          this.#disk.written(file, source.subarray(offset, offset + count), position)
        }
        return act(
          { call: 'write', position, length },
          () => {
            if (!writable) throw systemErrorOf('EBADF', 'write to', path)
            const fitting = Math.min(length, Math.max(0, this.#largestSize(file) - position))
            write(fitting)
            if (fitting < length) throw systemErrorOf('ENOSPC', 'write to', path)
          },
          (written) => write(Math.min(written, length)),
        )
      },
      sync: () =>
        act(
          { call: 'sync' },
          () => {
            this.#disk.syncFile(file)
            this.#epoch++
          },
          () => this.#disk.failedSync(file, this.failedSync),
        ),
      size: () => act({ call: 'size' }, () => file.size),
      truncate: (size) =>
        act({ call: 'truncate', position: size }, () => {
          if (!writable) throw systemErrorOf('EINVAL', 'resize', path)
          if (size > this.#largestSize(file)) throw systemErrorOf('ENOSPC', 'resize', path)
          file.truncate(size)
          this.#disk.truncated(file, size)
        }),
      close: () =>
        this.#effect({ call: 'close', path }, () => {
          this.#open.delete(handle)
        }),
    }
    this.#open.set(handle, file)
    return handle
  }

  /** How large the file may get; never less than it is. */
  #largestSize(file: FileInode): number {
    if (this.capacityBytes === Number.POSITIVE_INFINITY) return this.capacityBytes
    const files = new Set(this.#open.values())
    const walk = (folder: FolderInode): void => {
      for (const inode of folder.names.values()) {
        if (inode.kind === 'folder') walk(inode)
        else files.add(inode)
      }
    }
    walk(this.#tree.root)
    let used = 0
    for (const other of files) used += other.size
    return file.size + Math.max(0, this.capacityBytes - used)
  }

  #effect<T>(details: Details, call: () => T): Effect<T> {
    const perform = (): T => this.#perform(details, call)
    const atOnce = changesNames(details)
    return new Effect(perform, async () => {
      if (!atOnce) await Promise.resolve()
      const result = perform()
      if (atOnce) await Promise.resolve()
      return result
    })
  }

  #perform<T>(details: Details, call: () => T, onFault?: (written: number) => void): T {
    const record: FileCall = { ...details, epoch: this.#epoch }
    if (this.#crashed) throw systemErrorOf('EIO', actionOf(record.call), record.path)
    this.calls.push(record)
    try {
      // Every rule sees every call, so that each counts for itself.
      const [fault] = this.#rules.map((rule) => rule(record)).filter((found) => found !== undefined)
      if (fault !== undefined) {
        const { error, written } = typeof fault === 'string' ? { error: fault, written: 0 } : fault
        onFault?.(written)
        throw systemErrorOf(error, actionOf(record.call), record.path)
      }
      return call()
    } catch (error) {
      record.error = errnoOf(error) ?? String(error)
      throw error
    }
  }
}

function changesNames({ call, mode }: Details): boolean {
  return call === 'rename' || call === 'remove' || mode === 'create'
}

function ruleOf({ call, path = '', nth = 1, error, forever = false }: Fault): FaultRule {
  let seen = 0
  return (made) => {
    if (made.call !== call || !made.path.endsWith(path)) return undefined
    seen++
    return seen === nth || (forever && seen > nth) ? error : undefined
  }
}

function actionOf(call: FileCall['call']): string {
  return ACTIONS[call] ?? call
}
