/**
 * The only door to files. A store sees folders and files through `Files`; there are three of them: the machine's
 * (`node.ts`), a store in memory (`memory.ts`), and a simulated disk that records every call and forgets what was not
 * synced (`simulated.ts`).
 *
 * What every implementation keeps:
 * 1. A failure is a `KvarkError`: `NO_SPACE` (ENOSPC, EDQUOT) or `IO` with `path` and `errno`.
 * 2. `write` writes everything or fails; `read` is short only at the end of the file.
 * 3. `sync` makes a file's bytes and size durable (fdatasync); names (created, renamed, removed) are durable only after
 *    `syncFolder` of their folder.
 * 4. Files are made with mode 0600, folders with 0700; a folder is durable once made.
 * 5. The name of a file is given, changed or taken away (`open` with `create`, `rename`, `remove`) at once, under the async
 *    driver too: no such call is ever under way. So whoever lets go of a folder knows what is in it.
 */

import type { Effect } from '../environment/routine.ts'

/**
 * - `read`: an existing file, to read
 * - `write`: an existing file, to read and write
 * - `create`: a new file, to read and write; fails with errno EEXIST where the name is taken
 */
export type OpenMode = 'read' | 'write' | 'create'

/** What is never written of a file takes no room on most disks, in whole pieces of so many bytes: a hole, which reads as zeros. */
export const HOLE_BYTES = 4096

export interface FileHandle {
  readonly path: string
  /** Fills `target[offset .. offset + length)` from `position` in the file; returns the bytes read, fewer only at the end of the file. */
  read(target: Uint8Array, offset: number, length: number, position: number): Effect<number>
  /** Writes `source[offset .. offset + length)` at `position`; all of it or an error. */
  write(source: Uint8Array, offset: number, length: number, position: number): Effect<void>
  /** Bytes and size are durable once this succeeds. After a failure nothing is known: never retry it on this handle. */
  sync(): Effect<void>
  size(): Effect<number>
  /** Cuts the file, or extends it with zeros. */
  truncate(size: number): Effect<void>
  close(): Effect<void>
}

export interface FileStat {
  readonly kind: 'file' | 'folder' | 'other'
  readonly size: number
}

/** A lock that the operating system drops when the holder dies. */
export interface FileLock {
  /** Whether the locked file still has its name. Absent: that cannot be told. */
  isHeld?(): boolean
  release(): Effect<void>
}

export interface Files {
  /** Whether another thread of this process can open the same files through its own machine `Files`. */
  readonly shareable: boolean
  open(path: string, mode: OpenMode): Effect<FileHandle>
  /** Replaces `to` where it exists, atomically. */
  rename(from: string, to: string): Effect<void>
  /** Gives the file `from` the second name `to`, which is not taken, on the same disk. Absent, or errno EXDEV, EPERM, …: that cannot be. */
  link?(from: string, to: string): Effect<void>
  /** Removes a file; no error where there is none. */
  remove(path: string): Effect<void>
  /** The names in a folder, sorted; errno ENOENT where it does not exist. */
  list(folder: string): Effect<string[]>
  /** Makes a folder and the missing ones above it. */
  makeFolder(path: string): Effect<void>
  /** Removes an empty folder; no error where there is none, errno ENOTEMPTY where something is in it. */
  removeFolder(path: string): Effect<void>
  /** Makes the names in a folder durable. */
  syncFolder(path: string): Effect<void>
  /** `undefined` where there is nothing. */
  stat(path: string): Effect<FileStat | undefined>
  /**
   * Takes the exclusive lock of the file `path` (made when missing), waiting up to `timeoutMs`; the holder's pid is
   * written into it. `LOCKED` with the holder's `pid` when it stays taken, also by this process.
   *
   * `readOnly`, of who only reads what it guards: a file that cannot be written, or made, is no reason to fail. The lock may then be
   * shared with others who only read, and where there is no file, nobody is kept off.
   */
  lock(path: string, timeoutMs: number, readOnly?: boolean): Effect<FileLock>
}
