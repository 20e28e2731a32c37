/**
 * The folder of a store, before and while it is opened.
 *
 *   look ──► missing ──makeFolder──► empty ──lock, descriptor──► store
 *                                      └─ backup ─► unfinished ──┘  │
 *                                                   unfinished ◄────┘ destroy ─► missing
 *
 * 1. A folder with files that are not ours is never written to, and one without a store is only when one is to be made.
 * 2. Data without its descriptor is damage, not an empty place.
 * 3. While a store is not whole, as a backup or repair puts it together or a destroy takes it apart, its descriptor has another name
 *    (`UNFINISHED_NAME`): nobody can open it, and yet everybody can see what it is.
 */

import { dirname } from 'node:path'
import type { EngineModule } from '../engine/engine.ts'
import type { Routine } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import { DESCRIPTOR_NAME } from '../storage/descriptor.ts'
import { TEMPORARY_SUFFIX } from '../storage/sealed-file.ts'
import type { Files } from '../vfs/files.ts'
import { invalid } from './arguments.ts'

/** The file whose lock the one process holds that has the store open. */
export const LOCK_NAME = 'LOCK'

/** What the descriptor is called while the store is not whole. */
export const UNFINISHED_NAME: string = `${DESCRIPTOR_NAME}.unfinished${TEMPORARY_SUFFIX}`

/** The lock, and what stands beside it where the system has no lock of the kernel, also after a process was killed. */
const LOCK_FILE = /^LOCK(?:\.(?:sqlite(?:-journal)?|pid(?:\.(?:new|stale)-\d+-\d+)?))?$/

/** What half-written files have behind their name. */
const HALF_WRITTEN = /(?:\.[0-9a-f]{1,8})?\.tmp$/

/** Names that engines give to their files. */
const DATA_NAME = /^(?:MANIFEST|TREE|\d+\.[a-z]+)$/

export type FolderState = 'missing' | 'empty' | 'foreign' | 'store'

/** Whether data of a store is in a folder, whole or not, with its descriptor or without. */
export function* holdsData(files: Files, folder: string): Routine<boolean> {
  const stat = yield* files.stat(folder)
  if (stat?.kind !== 'folder') return false
  const names = yield* files.list(folder)
  if (names.includes(DESCRIPTOR_NAME)) return true
  return names.some((name) => DATA_NAME.test(name)) && !names.includes(UNFINISHED_NAME)
}

/** What is in the place of a store. */
export function* look(files: Files, folder: string): Routine<FolderState> {
  const stat = yield* files.stat(folder)
  if (stat === undefined) return 'missing'
  if (stat.kind !== 'folder') {
    throw invalid(`${folder} is not a folder. A store is a folder of its own: give another path.`)
  }
  const names = yield* files.list(folder)
  if (names.includes(DESCRIPTOR_NAME)) return 'store'
  const data = names.find((name) => DATA_NAME.test(name))
  if (data !== undefined && names.includes(UNFINISHED_NAME)) {
    throw new KvarkError(
      'CORRUPTION',
      `${folder} holds a part of a store: a backup, repair or conversion into it, or its removal, was interrupted. Remove it with destroy() or \`kvark destroy\`.`,
      { path: folder },
    )
  }
  if (data !== undefined) {
    const path = `${folder}/${DESCRIPTOR_NAME}`
    throw new KvarkError(
      'CORRUPTION',
      `${folder} holds data of a store (${data}) but no ${DESCRIPTOR_NAME}, which says how to read it. Restore that file from a backup, or run \`kvark repair\`.`,
      { path },
    )
  }
  return names.every((name) => isLock(name) || isHalfWritten(name)) ? 'empty' : 'foreign'
}

/** Whether a file is the lock of a store. */
export function isLock(name: string): boolean {
  return LOCK_FILE.test(name)
}

/** Whether a file is one that a store of these engines makes, half-written ones too; the lock is not meant. */
export function isOwn(name: string, modules: Readonly<Record<string, EngineModule>>): boolean {
  if (name === DESCRIPTOR_NAME || isHalfWritten(name)) return true
  const whole = name.replace(HALF_WRITTEN, '')
  return Object.values(modules).some(({ files }) => files.test(whole))
}

/** Whether the store has only been named so far: the engine has put nothing there. */
export function* isBare(files: Files, folder: string): Routine<boolean> {
  const names = yield* files.list(folder)
  return names.every(
    (name) => name === DESCRIPTOR_NAME || isLock(name) || name.endsWith(TEMPORARY_SUFFIX),
  )
}

/** Removes descriptors that somebody left half-written. */
export function* removeHalfWritten(files: Files, folder: string): Routine<void> {
  for (const name of yield* files.list(folder)) {
    if (isHalfWritten(name)) yield* files.remove(`${folder}/${name}`)
  }
}

/** Whether a file is a half-written descriptor. */
export function isHalfWritten(name: string): boolean {
  return name.startsWith(`${DESCRIPTOR_NAME}.`) && name.endsWith(TEMPORARY_SUFFIX)
}

/**
 * Makes the folder and the missing ones above it, durably. Gives those that it has made, the innermost first; when it fails, none of them is
 * left.
 */
export function* makeFolder(files: Files, folder: string): Routine<string[]> {
  const made: string[] = []
  for (let name = folder; (yield* files.stat(name)) === undefined; name = dirname(name)) {
    if (name === dirname(name)) break
    made.push(name)
  }
  try {
    yield* files.makeFolder(folder)
    // One that was there may not be durable yet: who made it may have died before that.
    for (const name of made.length === 0 ? [folder] : made) yield* files.syncFolder(dirname(name))
  } catch (error) {
    yield* removeMade(files, made)
    throw error
  }
  return made
}

/** Removes folders that were made for nothing, the innermost first, as far as nobody has put anything there. */
export function* removeMade(files: Files, made: readonly string[]): Routine<void> {
  try {
    for (const name of made) yield* files.removeFolder(name)
  } catch {
    // What they were made for has failed: that is told.
  }
}

/** `advice`: what to do besides looking at the path again. */
export function noStore(path: string, advice = ''): KvarkError {
  return new KvarkError('NOT_FOUND', `There is no store at ${path}. Check the path${advice}.`, {
    path,
  })
}

export function foreignFolder(path: string): KvarkError {
  return invalid(
    `${path} holds files that are not of a store. Give an empty folder, or a path where nothing is yet.`,
  )
}
