/**
 * Files that fail when told to: every write (half of it done), or every sync. They count what is read. No other thread can reach them, so an
 * engine does all its work here, where the faults are.
 */

import { Effect } from '../../environment/routine.ts'
import { type ErrorCode, KvarkError } from '../../errors.ts'
import type { FileHandle, FileLock, FileStat, Files, OpenMode } from '../../vfs/files.ts'

export interface Fault {
  readonly call: 'write' | 'sync'
  readonly code: ErrorCode & ('NO_SPACE' | 'IO')
  /** The start of the paths that are concerned; absent: all. */
  readonly path?: string
}

export class FaultyFiles implements Files {
  readonly shareable = false
  /** What fails from now on. */
  fault: Fault | undefined = undefined
  /** Bytes asked for by `read`. */
  readBytes = 0
  readonly #files: Files

  constructor(files: Files) {
    this.#files = files
  }

  open(path: string, mode: OpenMode): Effect<FileHandle> {
    const opening = this.#files.open(path, mode)
    return new Effect(
      () => this.#wrap(opening.sync()),
      async () => this.#wrap(await opening.async()),
    )
  }

  rename(from: string, to: string): Effect<void> {
    return this.#files.rename(from, to)
  }

  remove(path: string): Effect<void> {
    return this.#files.remove(path)
  }

  list(folder: string): Effect<string[]> {
    return this.#files.list(folder)
  }

  makeFolder(path: string): Effect<void> {
    return this.#files.makeFolder(path)
  }

  removeFolder(path: string): Effect<void> {
    return this.#files.removeFolder(path)
  }

  syncFolder(path: string): Effect<void> {
    return this.#failing('sync', path, this.#files.syncFolder(path))
  }

  stat(path: string): Effect<FileStat | undefined> {
    return this.#files.stat(path)
  }

  lock(path: string, timeoutMs: number): Effect<FileLock> {
    return this.#files.lock(path, timeoutMs)
  }

  #wrap(handle: FileHandle): FileHandle {
    const { path } = handle
    return {
      path,
      read: (target, offset, length, position) => {
        this.readBytes += length
        return handle.read(target, offset, length, position)
      },
      write: (source, offset, length, position) => {
        const half = handle.write(source, offset, length >>> 1, position)
        return this.#failing('write', path, handle.write(source, offset, length, position), half)
      },
      sync: () => this.#failing('sync', path, handle.sync()),
      size: () => handle.size(),
      truncate: (size) => this.#failing('write', path, handle.truncate(size)),
      close: () => handle.close(),
    }
  }

  /** The effect, or while `call` fails: `instead`, and then an error. */
  #failing<T>(call: Fault['call'], path: string, whole: Effect<T>, instead?: Effect<T>): Effect<T> {
    const errorNow = (): KvarkError | undefined => {
      if (this.fault?.call !== call || !path.startsWith(this.fault.path ?? '')) return undefined
      const { code } = this.fault
      const errno = code === 'NO_SPACE' ? 'ENOSPC' : 'EIO'
      return new KvarkError(code, `${path}: ${errno} on purpose.`, { path, errno })
    }
    return new Effect(
      () => {
        const error = errorNow()
        if (error === undefined) return whole.sync()
        instead?.sync()
        throw error
      },
      async () => {
        const error = errorNow()
        if (error === undefined) return await whole.async()
        await instead?.async()
        throw error
      },
    )
  }
}
