/**
 * The machine's files, on `node:fs`.
 *
 * 1. Files get mode 0600, folders 0700; what exists keeps its mode.
 * 2. A folder that was made is durable when `makeFolder` returns: the folders above it are synced too.
 * 3. Names of files change by synchronous calls, which take microseconds. What takes long about removing a file is to free
 *    its space, and that comes when its last descriptor is closed: the async driver holds one and awaits that.
 *
 * Left out: on Windows folders cannot be synced; names are as durable there as NTFS makes them, and the name of a file that is
 * open may go only when that is closed.
 */

import fs from 'node:fs'
import { dirname, resolve } from 'node:path'
import { Effect, effect } from '../environment/routine.ts'
import type { FileHandle, FileStat, Files, OpenMode } from './files.ts'
import { NodeHandle } from './node-handle.ts'
import { takeLock } from './node-lock.ts'
import { errnoOf, systemError } from './system-error.ts'

const { O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR } = fs.constants

const FLAGS: Readonly<Record<OpenMode, number>> = {
  read: O_RDONLY,
  write: O_RDWR,
  create: O_RDWR | O_CREAT | O_EXCL,
}

const FILE_MODE = 0o600
const FOLDER_MODE = 0o700

export const nodeFiles: Files = {
  shareable: true,

  open(path: string, mode: OpenMode): Effect<FileHandle> {
    const openNow = (): FileHandle =>
      new NodeHandle(path, fs.openSync(path, FLAGS[mode], FILE_MODE))
    if (mode === 'create') return act('create', path, openNow, async () => openNow())
    return act('open', path, openNow, async () => {
      return new NodeHandle(path, await openDescriptor(path, FLAGS[mode]))
    })
  },

  rename(from: string, to: string): Effect<void> {
    const renameNow = (): void => fs.renameSync(from, to)
    return act(`rename to ${to} the file`, from, renameNow, async () => renameNow())
  },

  link(from: string, to: string): Effect<void> {
    const linkNow = (): void => fs.linkSync(from, to)
    return act(`link to ${to} the file`, from, linkNow, async () => linkNow())
  },

  remove(path: string): Effect<void> {
    const removeNow = (): void => unless('ENOENT', () => fs.unlinkSync(path))
    return act('remove', path, removeNow, async () => {
      const held = holdSpace(path)
      try {
        removeNow()
      } finally {
        if (held !== undefined) await new Promise<void>((freed) => fs.close(held, () => freed()))
      }
    })
  },

  list(folder: string): Effect<string[]> {
    return act(
      'list',
      folder,
      () => fs.readdirSync(folder).sort(),
      async () => (await fs.promises.readdir(folder)).sort(),
    )
  },

  makeFolder(path: string): Effect<void> {
    return act(
      'make the folder',
      path,
      () => {
        for (const parent of makeFolders(path)) syncFolderAtOnce(parent)
      },
      async () => {
        for (const parent of makeFolders(path)) await syncFolder(parent)
      },
    )
  },

  removeFolder(path: string): Effect<void> {
    return act(
      'remove the folder',
      path,
      () => unless('ENOENT', () => fs.rmdirSync(path)),
      () => fs.promises.rmdir(path).catch(ignore('ENOENT')),
    )
  },

  syncFolder(path: string): Effect<void> {
    return act(
      'sync the folder',
      path,
      () => syncFolderAtOnce(path),
      () => syncFolder(path),
    )
  },

  stat(path: string): Effect<FileStat | undefined> {
    return act(
      'look at',
      path,
      () => {
        const stats = unless('ENOTDIR', () => fs.statSync(path, { throwIfNoEntry: false }))
        return stats && describe(stats)
      },
      async () => {
        const stats = await fs.promises.stat(path).catch(ignore('ENOENT', 'ENOTDIR'))
        return stats && describe(stats)
      },
    )
  },

  lock: (path, timeoutMs, readOnly) => effect(() => takeLock(path, timeoutMs, readOnly)),
}

/** An effect whose failures are `KvarkError`s about `path`. */
function act<T>(action: string, path: string, sync: () => T, async: () => Promise<T>): Effect<T> {
  return new Effect(
    () => {
      try {
        return sync()
      } catch (error) {
        throw systemError(error, action, path)
      }
    },
    async () => {
      try {
        return await async()
      } catch (error) {
        throw systemError(error, action, path)
      }
    },
  )
}

function openDescriptor(path: string, flags: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.open(path, flags, FILE_MODE, (error, fd) => {
      if (error) reject(error)
      else resolve(fd)
    })
  })
}

/** A descriptor that keeps the space of a file while its name goes; `undefined` where there is none. Never waits, whatever is there. */
function holdSpace(path: string): number | undefined {
  try {
    return fs.openSync(path, O_RDONLY | O_NONBLOCK)
  } catch {
    return undefined
  }
}

/**
 * Makes the folder and those above it that are missing, and gives the folders that hold the new names, the uppermost first.
 *
 * One by one: `mkdir` of Node with `recursive` never comes back where a file system answers ENOENT in a folder that is there, as /proc does.
 */
function makeFolders(path: string): string[] {
  let above = resolve(path)
  const folders = [above]
  while (above !== dirname(above) && !fs.existsSync(dirname(above))) {
    above = dirname(above)
    folders.unshift(above)
  }
  return folders.filter((folder) => makeOne(folder)).map((folder) => dirname(folder))
}

/** Whether the folder is new. Whatever `mkdir` says of one that is there, it is there. */
function makeOne(folder: string): boolean {
  try {
    fs.mkdirSync(folder, FOLDER_MODE)
    return true
  } catch (error) {
    if (isFolder(folder)) return false
    throw error
  }
}

function isFolder(path: string): boolean {
  try {
    return fs.statSync(path).isDirectory()
  } catch {
    return false
  }
}

function syncFolderAtOnce(path: string): void {
  if (process.platform === 'win32') return
  const fd = fs.openSync(path, O_RDONLY)
  try {
    unless('EINVAL', () => fs.fsyncSync(fd))
  } finally {
    fs.closeSync(fd)
  }
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const folder = await fs.promises.open(path, O_RDONLY)
  try {
    // Some network file systems have no such thing for folders and answer EINVAL; they keep names by themselves.
    await folder.sync().catch(ignore('EINVAL'))
  } finally {
    await folder.close()
  }
}

function describe(stats: fs.Stats): FileStat {
  const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'folder' : 'other'
  return { kind, size: stats.size }
}

function unless<T>(errno: string, call: () => T): T | undefined {
  try {
    return call()
  } catch (error) {
    if (errnoOf(error) === errno) return undefined
    throw error
  }
}

function ignore(...errnos: readonly string[]): (error: unknown) => undefined {
  return (error) => {
    if (!errnos.includes(errnoOf(error) ?? '')) throw error
  }
}
