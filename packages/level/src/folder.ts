/**
 * Opening, removing and repairing what is in the folder of a database.
 *
 *   repair:   db ──kvark's repair──► db.repaired      db ──► db.damaged      db.repaired ──► db
 *
 * 1. Nothing is removed but by `destroyDatabase`, and that removes only what kvark has made.
 * 2. `repairDatabase` may be interrupted anywhere: either the damaged database is still in its place, or calling it again puts the
 *    repaired one there.
 */

import { existsSync } from 'node:fs'
import { readdir, rename } from 'node:fs/promises'
import { resolve } from 'node:path'
import { destroy, type Encryption, KvarkError, type OpenOptions, open, repair } from 'kvark'
import { asLevelError, LevelError } from './errors.ts'
import type { ByteStore } from './snapshot.ts'

/** The location of a database that lives in memory only. */
export const MEMORY = ':memory:'

export function checkLocation(location: unknown): asserts location is string {
  if (typeof location !== 'string' || location === '') {
    throw new TypeError("The first argument 'location' must be a non-empty string")
  }
}

export async function openStore(
  location: string,
  options: OpenOptions<'btree', 'bytes', 'bytes'>,
): Promise<ByteStore> {
  try {
    return await open(location, options)
  } catch (error) {
    if (isOfLevelDb(location)) {
      throw new LevelError(
        'LEVEL_NOT_SUPPORTED',
        `${location} holds a database of LevelDB, which kvark cannot read. Nothing was changed. Copy its entries from a ClassicLevel to a Level in another folder.`,
        { cause: error },
      )
    }
    if (isNotFound(error)) {
      throw new KvarkError(
        'NOT_FOUND',
        `The database ${location} does not exist. Check the path, or leave out what keeps it from being made: 'createIfMissing: false', 'readOnly'.`,
        { path: location, cause: error },
      )
    }
    throw asLevelError(error)
  }
}

export async function destroyDatabase(location: string): Promise<void> {
  try {
    await destroy(location)
  } catch (error) {
    if (!isNotFound(error)) throw asLevelError(error)
    // Something that is not ours must not pass for removed.
    if ((await namesIn(location)).length > 0) throw error
  }
}

export async function repairDatabase(
  location: string,
  encryption: Encryption | undefined,
): Promise<void> {
  const folder = resolve(location)
  const repaired = `${folder}.repaired`
  try {
    // A process died between the two renames.
    const begun = !existsSync(folder) && existsSync(repaired) && existsSync(`${folder}.damaged`)
    if (!begun) {
      await repair(folder, repaired, encryption && { encryption })
      await rename(folder, freeName(`${folder}.damaged`))
    }
    await rename(repaired, folder)
  } catch (error) {
    throw asLevelError(error)
  }
}

function freeName(path: string): string {
  let name = path
  for (let i = 2; existsSync(name); i++) name = `${path}-${i}`
  return name
}

/** LevelDB's file `CURRENT` names its manifest; kvark makes none of that name. */
function isOfLevelDb(location: string): boolean {
  return existsSync(`${location}/CURRENT`) && !existsSync(`${location}/KVARK`)
}

function isNotFound(error: unknown): boolean {
  return error instanceof KvarkError && error.code === 'NOT_FOUND'
}

async function namesIn(location: string): Promise<string[]> {
  try {
    return await readdir(location)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
