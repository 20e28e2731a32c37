/**
 * Files in memory, for stores named `:memory:` and for tests: the same behaviour and the same errors as the machine's
 * files, gone with the last reference to them.
 *
 * 1. An open handle survives the removal and the renaming of its file.
 * 2. Other threads and processes cannot see them; a lock that is taken is refused at once, whatever the timeout.
 */

import { type Effect, immediate } from '../environment/routine.ts'
import type { FileHandle, FileLock, FileStat, Files, OpenMode } from './files.ts'
import { type FileInode, type NameChange, Tree } from './inode.ts'
import { lockedError } from './locked-error.ts'
import { systemErrorOf } from './system-error.ts'

/** A new, empty file system. */
export function memoryFiles(): Files {
  return new MemoryFiles()
}

class MemoryFiles implements Files {
  readonly shareable = false
  readonly #tree = new Tree()

  open(path: string, mode: OpenMode): Effect<FileHandle> {
    return immediate(
      () => new MemoryHandle(path, this.#tree.open(path, mode).file, mode !== 'read'),
    )
  }

  rename(from: string, to: string): Effect<void> {
    return immediate(() => {
      this.#tree.rename(from, to)
    })
  }

  remove(path: string): Effect<void> {
    return immediate(() => {
      this.#tree.remove(path)
    })
  }

  list(folder: string): Effect<string[]> {
    return immediate(() => this.#tree.list(folder))
  }

  makeFolder(path: string): Effect<void> {
    return immediate(() => {
      this.#tree.makeFolder(path)
    })
  }

  removeFolder(path: string): Effect<void> {
    return immediate(() => {
      this.#tree.removeFolder(path)
    })
  }

  syncFolder(path: string): Effect<void> {
    return immediate(() => {
      this.#tree.folder(path, 'sync the folder')
    })
  }

  stat(path: string): Effect<FileStat | undefined> {
    return immediate(() => this.#tree.stat(path))
  }

  lock(path: string, _timeoutMs: number): Effect<FileLock> {
    return immediate(() => lockInode(this.#tree, path).lock)
  }
}

class MemoryHandle implements FileHandle {
  readonly path: string
  readonly #file: FileInode
  readonly #writable: boolean
  #closed = false

  constructor(path: string, file: FileInode, writable: boolean) {
    this.path = path
    this.#file = file
    this.#writable = writable
  }

  read(target: Uint8Array, offset: number, length: number, position: number): Effect<number> {
    return immediate(() => this.#open('read').read(target, offset, length, position))
  }

  write(source: Uint8Array, offset: number, length: number, position: number): Effect<void> {
    return immediate(() => {
      const file = this.#open('write to')
      if (!this.#writable) throw systemErrorOf('EBADF', 'write to', this.path)
      file.write(source, offset, length, position)
    })
  }

  sync(): Effect<void> {
    return immediate(() => {
      this.#open('sync')
    })
  }

  size(): Effect<number> {
    return immediate(() => this.#open('look at').size)
  }

  truncate(size: number): Effect<void> {
    return immediate(() => {
      const file = this.#open('resize')
      if (!this.#writable) throw systemErrorOf('EINVAL', 'resize', this.path)
      file.truncate(size)
    })
  }

  close(): Effect<void> {
    return immediate(() => {
      this.#closed = true
    })
  }

  #open(action: string): FileInode {
    if (this.#closed) throw systemErrorOf('EBADF', action, this.path)
    return this.#file
  }
}

/** Takes the lock of a file in a tree; `change` is there when the file was made for it. */
export function lockInode(
  tree: Tree,
  path: string,
): { lock: FileLock; change: NameChange | undefined } {
  const missing = tree.stat(path) === undefined
  const { file, change } = tree.open(path, missing ? 'create' : 'write')
  if (file.locked) throw lockedError(path, process.pid)
  file.locked = true
  const pid = Buffer.from(`${process.pid}\n`)
  file.truncate(0)
  file.write(pid, 0, pid.length, 0)
  const isHeld = (): boolean =>
    tree.stat(path)?.kind === 'file' && tree.open(path, 'read').file === file
  let released = false
  const release = (): Effect<void> =>
    immediate(() => {
      if (released) return
      released = true
      file.locked = false
    })
  return { lock: { isHeld, release }, change }
}
