/**
 * A backup of an open store into a folder of its own, which then is a store like the first: the same id, codecs, versions.
 *
 *   `buildStore`: descriptor, byte for byte ─► engine's files: copied, synced, read back
 *
 * 1. The copy is built as every store that is not made by opening it (`building.ts`): whole or not at all.
 * 2. It runs as one effect: a store that is closed meanwhile ends it by its signal, and it still cleans up.
 * 3. An earlier backup may be the base: what it has already an engine may share with it instead of copying it. It stays as it is.
 * 4. The store itself is only read. It stays as it is, whatever happens to the copy.
 */

import type { BackupReport, BackupTarget, Progress } from '../engine/engine.ts'
import { MEMORY } from '../environment/node.ts'
import type { Routine } from '../environment/routine.ts'
import { corruption, KvarkError } from '../errors.ts'
import { DESCRIPTOR_NAME, readDescriptor } from '../storage/descriptor.ts'
import { FileCopy } from '../storage/file-copy.ts'
import { openFile } from '../vfs/open-file.ts'
import { invalid, show } from './arguments.ts'
import { buildStore, checkOutside } from './building.ts'
import { look, noStore, UNFINISHED_NAME } from './folder.ts'
import type { Life } from './life.ts'
import { place } from './open-plan.ts'

/** Copies the store to the folder `to`. */
export function* backupStore(
  life: Life,
  to: unknown,
  base: unknown,
  progress: Progress | undefined,
  signal: AbortSignal,
): Routine<BackupReport> {
  const target = planTarget(life, to)
  const shared = yield* planBase(life, base)
  try {
    return yield* buildStore(life.modules, target, function* build() {
      yield* copyDescriptor(life, target)
      const report = yield* life.engine.backup({ ...target, ...shared }, progress, signal)
      signal.throwIfAborted()
      return report
    })
  } catch (error) {
    if (signal.aborted) throw signal.reason
    throw life.engine.failure === undefined ? inItsWords(error, target.folder) : error
  }
}

/** Where the copy goes: into the world of the store, or from memory to the machine's disk. */
function planTarget(life: Life, to: unknown): BackupTarget {
  if (typeof to !== 'string') {
    throw invalid(`A backup goes to the path of a folder, not to ${show(to)}.`)
  }
  if (to === MEMORY) {
    throw invalid('A backup in memory would be gone at once. Give the path of a folder.')
  }
  const { environment, folder } = place(to, life.given)
  if (life.path !== MEMORY) checkOutside(life.folder, folder)
  return { environment, folder }
}

/** The earlier backup that this one may share files with. */
function* planBase(life: Life, base: unknown): Routine<Pick<BackupTarget, 'base'>> {
  if (base === undefined) return {}
  if (typeof base !== 'string' || base === MEMORY) {
    throw invalid(`The option 'base' must be the path of an earlier backup, not ${show(base)}.`)
  }
  const { environment, folder } = place(base, life.given)
  if ((yield* look(environment.files, folder)) !== 'store') throw noStore(folder)
  const descriptor = yield* readDescriptor(environment, folder)
  if (descriptor?.storeId === life.descriptor.storeId && folder !== life.folder) {
    return { base: folder }
  }
  throw invalid(
    `${folder} is no backup of this store. Give an earlier backup of it as 'base', or none.`,
  )
}

/** Byte for byte, but under the name that nobody opens. */
function* copyDescriptor(life: Life, to: BackupTarget): Routine<void> {
  const { environment, folder } = life
  const path = `${folder}/${DESCRIPTOR_NAME}`
  const descriptor = yield* readDescriptor(environment, folder)
  if (descriptor?.storeId !== life.descriptor.storeId) {
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
