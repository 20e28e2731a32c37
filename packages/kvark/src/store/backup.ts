/**
 * A backup of an open store into a folder of its own, which then is a store like the first: the same id, codecs, versions.
 *
 *   nothing there, or an empty folder ─► lock ─► descriptor under its unfinished name ─► engine's files ─► descriptor gets its name
 *                                                                                         copied, synced, read back
 *
 * 1. Until the last step nobody can open the copy; with it, and not before, it is complete and durable.
 * 2. Whatever ends it before takes everything away again. Only a process that dies leaves something: a part that nothing opens
 *    and `destroy` removes.
 * 3. It runs as one effect: a store that is closed meanwhile ends it by its signal, and it still cleans up.
 * 4. The store itself is only read. It stays as it is, whatever happens to the copy.
 */

import { isAbsolute, relative } from 'node:path'
import type { BackupReport, BackupTarget, Progress } from '../engine/engine.ts'
import type { Routine } from '../environment/routine.ts'
import { corruption, KvarkError } from '../errors.ts'
import { DESCRIPTOR_NAME, readDescriptor } from '../storage/descriptor.ts'
import { FileCopy } from '../storage/file-copy.ts'
import type { Files } from '../vfs/files.ts'
import { openFile } from '../vfs/open-file.ts'
import { invalid, show } from './arguments.ts'
import type { Core } from './core.ts'
import { removeFolder, removeStore } from './destroy.ts'
import { isLock, LOCK_NAME, makeFolder, UNFINISHED_NAME } from './folder.ts'
import { MEMORY, place } from './open-plan.ts'

/** Copies the store to the folder `to`. */
export function* backupStore<K, V>(
  core: Core<K, V>,
  to: unknown,
  progress: Progress | undefined,
  signal: AbortSignal,
): Routine<BackupReport> {
  const target = planTarget(core, to)
  const { folder } = target
  const { files } = target.environment
  const made = yield* checkVacant(files, folder)
  if (made) yield* makeFolder(files, folder)
  const lock = yield* files.lock(`${folder}/${LOCK_NAME}`, 0)
  let begun = false
  let report: BackupReport
  try {
    // Somebody else may have been quicker.
    yield* checkVacant(files, folder)
    begun = true
    yield* copyDescriptor(core, target)
    report = yield* core.engine.backup(target, progress, signal)
    signal.throwIfAborted()
    yield* files.rename(`${folder}/${UNFINISHED_NAME}`, `${folder}/${DESCRIPTOR_NAME}`)
    yield* files.syncFolder(folder)
  } catch (error) {
    if (begun) yield* takeAway(core, target, made)
    yield* lock.release()
    if (signal.aborted) throw signal.reason
    throw core.engine.failure === undefined ? inItsWords(error, folder) : error
  }
  yield* lock.release()
  return report
}

/** Where the copy goes: into the world of the store, or from memory to the machine's disk. */
function planTarget<K, V>(core: Core<K, V>, to: unknown): BackupTarget {
  if (typeof to !== 'string') {
    throw invalid(`A backup goes to the path of a folder, not to ${show(to)}.`)
  }
  if (to === MEMORY) {
    throw invalid('A backup in memory would be gone at once. Give the path of a folder.')
  }
  const { environment, folder } = place(to, core.given)
  if (core.path !== MEMORY) {
    const way = relative(core.folder, folder)
    if (way === '' || !(way.split(/[\\/]/)[0] === '..' || isAbsolute(way))) {
      throw invalid(
        `${folder} is the folder of the store, or in it. Give a path outside, best on another disk.`,
      )
    }
  }
  return { environment, folder }
}

/** Tells whether the folder has to be made; refuses one that has something in it. */
function* checkVacant(files: Files, folder: string): Routine<boolean> {
  const stat = yield* files.stat(folder)
  if (stat === undefined) return true
  if (stat.kind !== 'folder') {
    throw invalid(`${folder} is not a folder. Give a path where nothing is, or an empty folder.`)
  }
  const names = (yield* files.list(folder)).filter((name) => !isLock(name))
  if (names.length === 0) return false
  throw invalid(
    names.includes(UNFINISHED_NAME)
      ? `${folder} holds what an interrupted backup has left. Remove it with destroy() or \`kvark destroy\`, or give another path.`
      : `${folder} is not empty. Give a path where nothing is, or an empty folder.`,
  )
}

/** Byte for byte, but under the name that nobody opens. */
function* copyDescriptor<K, V>(core: Core<K, V>, to: BackupTarget): Routine<void> {
  const { environment, folder } = core
  const path = `${folder}/${DESCRIPTOR_NAME}`
  const descriptor = yield* readDescriptor(environment, folder)
  if (descriptor?.storeId !== core.descriptor.storeId) {
    throw corruption(path, 0, 'the descriptor is not the one of this store')
  }
  const handle = yield* openFile(environment.files, path, 'read')
  let bytes: Buffer
  try {
    bytes = Buffer.alloc(yield* handle.size())
    bytes = bytes.subarray(0, yield* handle.read(bytes, 0, bytes.length, 0))
  } finally {
    yield* handle.close()
  }
  const copy = yield* FileCopy.create(to.environment, `${to.folder}/${UNFINISHED_NAME}`)
  try {
    yield* copy.append(bytes, 0, bytes.length)
    yield* copy.finish()
  } finally {
    yield* copy.close()
  }
  yield* copy.check(Buffer.alloc(bytes.length), () => {})
  yield* to.environment.files.syncFolder(to.folder)
}

/** Removes what there is of the copy. */
function* takeAway<K, V>(
  core: Core<K, V>,
  { environment, folder }: BackupTarget,
  made: boolean,
): Routine<void> {
  try {
    yield* removeStore(core.modules, environment.files, folder, false)
    if (made) yield* removeFolder(environment.files, folder, false)
  } catch {
    // The first error says more. What stays opens as no store.
  }
}

/** A full disk is no matter of the store's here. */
function inItsWords(error: unknown, folder: string): unknown {
  if (!(error instanceof KvarkError) || error.code !== 'NO_SPACE') return error
  const { path = folder, errno } = error
  return new KvarkError(
    'NO_SPACE',
    `The disk of ${folder} is full, so there is no backup. Free some space there, or give another path; the store is not concerned.`,
    { path, cause: error, ...(errno === undefined ? {} : { errno }) },
  )
}
