/**
 * Removing a store, whole or not, damaged or not.
 *
 *   lock ─► descriptor gets its unfinished name ─► synced ─► engine's files go, and the lock's ─► synced ─► that name ─► folder
 *
 * 1. From the first step on nobody can take what is left for a store; whatever interrupts it, `destroy` can be called again and
 *    goes on. The unfinished name goes last, for it says that the folder was a store's.
 * 2. Only files that a store makes are removed, and only where a descriptor says that there is one. Other files stay, and the
 *    folder with them.
 * 3. A store that somebody has open is not touched.
 *
 * Left out: a lock whose file cannot be removed while it is held, as on Windows; that file stays, and the folder with it.
 */

import { dirname } from 'node:path'
import type { EngineModule } from '../engine/engine.ts'
import { engines } from '../engines.ts'
import type { Environment } from '../environment/environment.ts'
import { MEMORY } from '../environment/node.ts'
import { type Effect, effect, type Routine } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import { DESCRIPTOR_NAME, readDescriptor } from '../storage/descriptor.ts'
import type { Files } from '../vfs/files.ts'
import { checkNames, checkObject, invalid } from './arguments.ts'
import { holdsData, isLock, isOwn, LOCK_NAME, UNFINISHED_NAME } from './folder.ts'
import { place } from './open-plan.ts'

export interface DestroyOptions {
  readonly environment?: Environment
}

/** What `destroy` did. */
export interface DestroyReport {
  /** Bytes of the files that were removed. */
  readonly bytes: number
  /** Names in the folder that are not the store's: they stay, and the folder with them. */
  readonly kept: readonly string[]
}

/**
 * Removes the store in the folder `path` for good, and the folder if nothing else is in it. Also removes a damaged store, and what
 * an interrupted backup, repair or destroy has left.
 *
 * `NOT_FOUND` where there is no store, `LOCKED` while it is open, `VERSION` when a newer kvark has made it. After an error part of
 * it may be gone: what is left does not open as a store, and `destroy` can be called again.
 *
 * @example
 * const { kept } = await destroy('./data')
 * if (kept.length > 0) console.log(`still in ./data: ${kept.join(', ')}`)
 */
export async function destroy(path: string, options?: DestroyOptions): Promise<DestroyReport> {
  return await destroyWith(engines, path, options).async()
}

/** `destroy` at once. */
export function destroySync(path: string, options?: DestroyOptions): DestroyReport {
  return destroyWith(engines, path, options).sync()
}

/** `destroy` with other engines than the ones of the package. */
export function destroyWith(
  modules: Readonly<Record<string, EngineModule>>,
  path: string,
  options?: DestroyOptions,
): Effect<DestroyReport> {
  return effect(() => destroyStore(modules, path, options))
}

function* destroyStore(
  modules: Readonly<Record<string, EngineModule>>,
  path: string,
  options: DestroyOptions | undefined,
): Routine<DestroyReport> {
  if (options !== undefined) {
    checkObject(options, 'The options of destroy')
    checkNames(options, ['environment'], 'destroy')
  }
  if (path === MEMORY) {
    throw invalid('A store in memory is gone once it is closed; there is nothing to destroy.')
  }
  const { environment, folder } = place(path, options?.environment)
  const { files } = environment
  yield* checkStore(files, folder)
  yield* checkKnown(modules, environment, folder)
  const lock = yield* files.lock(`${folder}/${LOCK_NAME}`, 0)
  let bytes: number
  try {
    // Somebody else may have been quicker.
    yield* checkStore(files, folder)
    bytes = yield* removeStore(modules, files, folder, true)
  } finally {
    yield* lock.release()
  }
  return { bytes, kept: yield* removeFolder(files, folder, true) }
}

/** `NOT_FOUND` unless a store is there, or what is left of one. */
function* checkStore(files: Files, folder: string): Routine<void> {
  const stat = yield* files.stat(folder)
  const names = stat?.kind === 'folder' ? yield* files.list(folder) : []
  if (names.includes(DESCRIPTOR_NAME) || names.includes(UNFINISHED_NAME)) return
  if (yield* holdsData(files, folder)) {
    throw new KvarkError(
      'NOT_FOUND',
      `${folder} holds files that look like data of a store, but no ${DESCRIPTOR_NAME}, which would say that they are. Nothing was removed: if it is a store, remove the folder by hand.`,
      { path: folder },
    )
  }
  throw new KvarkError(
    'NOT_FOUND',
    `There is no store at ${folder}, so there is nothing to destroy. Check the path.`,
    { path: folder },
  )
}

/** `VERSION` when the store has files that this version does not know. A damaged descriptor does not matter. */
function* checkKnown(
  modules: Readonly<Record<string, EngineModule>>,
  environment: Environment,
  folder: string,
): Routine<void> {
  let engine: string | undefined
  try {
    engine = (yield* readDescriptor(environment, folder))?.engine
  } catch (error) {
    if (!(error instanceof KvarkError) || error.code !== 'CORRUPTION') throw error
  }
  if (engine === undefined || Object.hasOwn(modules, engine)) return
  throw new KvarkError(
    'VERSION',
    `The store ${folder} was made with the engine '${engine}', which this kvark does not have. Destroy it with a newer kvark.`,
    { path: folder, expected: Object.keys(modules), found: engine },
  )
}

/**
 * Removes the files of the store in `folder`, whose lock the caller holds; returns their bytes. Where it need not be `durable`,
 * a crash may bring back a part, but nothing that opens.
 */
export function* removeStore(
  modules: Readonly<Record<string, EngineModule>>,
  files: Files,
  folder: string,
  durable: boolean,
): Routine<number> {
  const unfinished = `${folder}/${UNFINISHED_NAME}`
  const names = yield* files.list(folder)
  if (names.includes(DESCRIPTOR_NAME)) {
    yield* files.rename(`${folder}/${DESCRIPTOR_NAME}`, unfinished)
    yield* files.syncFolder(folder)
  }
  let bytes = 0
  const data = names.filter((name) => name !== DESCRIPTOR_NAME && name !== UNFINISHED_NAME)
  for (const name of data.filter((one) => isOwn(one, modules))) {
    const stat = yield* files.stat(`${folder}/${name}`)
    if (stat?.kind !== 'file') continue
    yield* files.remove(`${folder}/${name}`)
    bytes += stat.size
  }
  // While it is held: nobody else can have it, and whoever waits for it looks whether the name still leads to it.
  for (const name of data.filter(isLock)) yield* removeIfPossible(files, `${folder}/${name}`)
  if (durable) yield* files.syncFolder(folder)
  bytes += (yield* files.stat(unfinished))?.size ?? 0
  yield* files.remove(unfinished)
  if (durable) yield* files.syncFolder(folder)
  return bytes
}

/** Removes the folder if nothing is in it and the system lets us, which it does not where it is a mount point; returns what is in it. */
export function* removeFolder(files: Files, folder: string, durable: boolean): Routine<string[]> {
  const names = yield* files.list(folder)
  if (names.length > 0) return names
  try {
    yield* files.removeFolder(folder)
  } catch (error) {
    if (!(error instanceof KvarkError) || error.code !== 'IO') throw error
    return yield* files.list(folder)
  }
  if (durable) yield* files.syncFolder(dirname(folder))
  return []
}

function* removeIfPossible(files: Files, path: string): Routine<void> {
  try {
    yield* files.remove(path)
  } catch (error) {
    if (!(error instanceof KvarkError) || error.code !== 'IO') throw error
  }
}
