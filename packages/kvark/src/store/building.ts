/**
 * Building a store in a folder of its own, file by file, out of what another one has: a backup, a repair.
 *
 *   nothing there, or an empty folder ─► lock ─► descriptor under its unfinished name, engine's files ─► descriptor gets its name
 *                                                └──────────────── the caller's ─────────────────┘
 *
 * 1. Until the last step nobody can open the new store; with it, and not before, it is complete and durable.
 * 2. Whatever ends it before takes everything away again, and the folders that were made for it. Only a process that dies leaves
 *    something: a part that nothing opens and `destroy` removes.
 */

import { isAbsolute, relative } from 'node:path'
import type { BackupTarget, EngineModule } from '../engine/engine.ts'
import type { Routine } from '../environment/routine.ts'
import { DESCRIPTOR_NAME } from '../storage/descriptor.ts'
import type { FileLock, Files } from '../vfs/files.ts'
import { invalid } from './arguments.ts'
import { removeStore } from './destroy.ts'
import {
  isHalfWritten,
  isLock,
  LOCK_NAME,
  makeFolder,
  removeHalfWritten,
  removeMade,
  UNFINISHED_NAME,
} from './folder.ts'

/** Makes a store of what `build` puts into the folder: durable files, and a descriptor called `UNFINISHED_NAME`. */
export function* buildStore<T>(
  modules: Readonly<Record<string, EngineModule>>,
  { environment, folder }: BackupTarget,
  build: () => Routine<T>,
): Routine<T> {
  const { files } = environment
  const made = (yield* checkVacant(files, folder)) ? yield* makeFolder(files, folder) : []
  let lock: FileLock
  try {
    lock = yield* files.lock(`${folder}/${LOCK_NAME}`, 0)
  } catch (error) {
    yield* removeMade(files, made)
    throw error
  }
  let begun = false
  let result: T
  try {
    // Somebody else may have been quicker.
    yield* checkVacant(files, folder)
    begun = true
    // Of one that died before its descriptor had a name: `destroy` takes it for none.
    yield* removeHalfWritten(files, folder)
    result = yield* build()
    yield* files.rename(`${folder}/${UNFINISHED_NAME}`, `${folder}/${DESCRIPTOR_NAME}`)
    yield* files.syncFolder(folder)
  } catch (error) {
    yield* takeAway(modules, files, folder, begun)
    yield* removeMade(files, made)
    yield* letGo(lock)
    throw error
  }
  yield* letGo(lock)
  return result
}

/** Refuses a new place that is that of the store, or in it. */
export function checkOutside(store: string, folder: string): void {
  const way = relative(store, folder)
  if (way !== '' && (way.split(/[\\/]/)[0] === '..' || isAbsolute(way))) return
  throw invalid(
    `${folder} is the folder of the store, or in it. Give a path outside, best on another disk.`,
  )
}

/** Tells whether the folder has to be made; refuses one that has something in it. */
function* checkVacant(files: Files, folder: string): Routine<boolean> {
  const stat = yield* files.stat(folder)
  if (stat === undefined) return true
  if (stat.kind !== 'folder') {
    throw invalid(`${folder} is not a folder. Give a path where nothing is, or an empty folder.`)
  }
  const names = (yield* files.list(folder)).filter((name) => !isLock(name))
  if (names.every((name) => name !== UNFINISHED_NAME && isHalfWritten(name))) return false
  throw invalid(
    names.includes(UNFINISHED_NAME)
      ? `${folder} holds what an interrupted backup or repair has left. Remove it with destroy() or \`kvark destroy\`, or give another path.`
      : `${folder} is not empty. Give a path where nothing is, or an empty folder.`,
  )
}

/** Removes what there is of the new store. Where it had not `begun`, it may be somebody else's. */
function* takeAway(
  modules: Readonly<Record<string, EngineModule>>,
  files: Files,
  folder: string,
  begun: boolean,
): Routine<void> {
  try {
    if (!begun) yield* checkVacant(files, folder)
    yield* removeStore(modules, files, folder, false)
  } catch {
    // The first error says more. What stays opens as no store.
  }
}

/** What comes of the store is decided by then: that the lock cannot be let go of changes nothing of it. */
function* letGo(lock: FileLock): Routine<void> {
  try {
    yield* lock.release()
  } catch {
    // The system ends it with the process.
  }
}
