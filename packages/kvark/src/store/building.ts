/**
 * Building a store in a folder of its own, file by file, out of what another one has: a backup, a repair.
 *
 *   nothing there, or an empty folder ─► lock ─► descriptor under its unfinished name, engine's files ─► descriptor gets its name
 *                                                └──────────────── the caller's ─────────────────┘
 *
 * 1. Until the last step nobody can open the new store; with it, and not before, it is complete and durable.
 * 2. Whatever ends it before takes everything away again. Only a process that dies leaves something: a part that nothing opens
 *    and `destroy` removes.
 */

import { isAbsolute, relative } from 'node:path'
import type { BackupTarget, EngineModule } from '../engine/engine.ts'
import type { Routine } from '../environment/routine.ts'
import { DESCRIPTOR_NAME } from '../storage/descriptor.ts'
import type { Files } from '../vfs/files.ts'
import { invalid } from './arguments.ts'
import { removeFolder, removeStore } from './destroy.ts'
import {
  isHalfWritten,
  isLock,
  LOCK_NAME,
  makeFolder,
  removeHalfWritten,
  UNFINISHED_NAME,
} from './folder.ts'

/** Makes a store of what `build` puts into the folder: durable files, and a descriptor called `UNFINISHED_NAME`. */
export function* buildStore<T>(
  modules: Readonly<Record<string, EngineModule>>,
  { environment, folder }: BackupTarget,
  build: () => Routine<T>,
): Routine<T> {
  const { files } = environment
  const made = yield* checkVacant(files, folder)
  if (made) yield* makeFolder(files, folder)
  const lock = yield* files.lock(`${folder}/${LOCK_NAME}`, 0)
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
    if (begun) yield* takeAway(modules, files, folder, made)
    yield* lock.release()
    throw error
  }
  yield* lock.release()
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

/** Removes what there is of the new store. */
function* takeAway(
  modules: Readonly<Record<string, EngineModule>>,
  files: Files,
  folder: string,
  made: boolean,
): Routine<void> {
  try {
    yield* removeStore(modules, files, folder, false)
    if (made) yield* removeFolder(files, folder, false)
  } catch {
    // The first error says more. What stays opens as no store.
  }
}
