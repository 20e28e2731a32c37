/**
 * `MANIFEST`: which files make up the store, changed by one atomic step (see `storage/sealed-file.ts`).
 *
 *   packed    segments written by compaction; they are valid only because they are named here
 *             every segment with its life, its end and the checksum of its last frame
 *   journal   the journal segments at that time; later ones (from `nextFile` on) belong to the store too
 *   index     the stored index, if any (see `checkpoint.ts`)
 *   edition   of the descriptor: an older copy of that is refused
 *   floor     how far the journal was durable: a missing tail below it is `CORRUPTION`
 *
 * It also names the store, so that one of another store is not believed.
 *
 * 1. A file that is neither named nor a journal segment of the row is a leftover and is removed at open.
 * 2. Before a manifest is written, all that it relies on is synced.
 */

import { isU32, isU48 } from '../../bytes/varint.ts'
import type { Environment } from '../../environment/environment.ts'
import type { Routine } from '../../environment/routine.ts'
import { corruption, KvarkError } from '../../errors.ts'
import type { StoreCipher } from '../../storage/cipher.ts'
import type { JournalPoint } from '../../storage/journal.ts'
import { journalName } from '../../storage/journal-recovery.ts'
import { readSealed, TEMPORARY_SUFFIX, writeSealed } from '../../storage/sealed-file.ts'
import type { FileRecord } from '../../storage/segment-opening.ts'

export const MANIFEST_NAME = 'MANIFEST'

export interface PackedRecord extends FileRecord {
  readonly packedAt: number
}

export interface IndexRecord {
  readonly number: number
  /** Random: an older file of the same number is not taken for this one. */
  readonly life: number
}

export interface Manifest {
  /** Grows by one with every change. */
  readonly number: number
  /** Journal segments from this number on are newer than the manifest. */
  readonly nextFile: number
  readonly packed: readonly PackedRecord[]
  /** Journal segments. Earlier ones have been replaced. */
  readonly journal: readonly FileRecord[]
  /** Everything up to this sequence was cleared. */
  readonly clearedSequence: number
  readonly index: IndexRecord | undefined
  /** Of the descriptor. */
  readonly edition: number
  readonly floor: JournalPoint
}

const FORMAT = 1

export const FIRST_MANIFEST: Manifest = {
  number: 0,
  nextFile: 1,
  packed: [],
  journal: [],
  clearedSequence: 0,
  index: undefined,
  edition: 0,
  floor: { segment: 0, end: 0, sequence: 0, checksum: 0 },
}

export function* readManifest(
  environment: Environment,
  folder: string,
  storeId: string,
  cipher: StoreCipher | undefined,
): Routine<Manifest | undefined> {
  const content = yield* readSealed(environment, folder, MANIFEST_NAME, cipher)
  if (content === undefined) return undefined
  const path = `${folder}/${MANIFEST_NAME}`
  if (!isRecord(content) || !isU32(content['format'])) {
    throw corruption(path, 0, 'no manifest of a store')
  }
  if (content['format'] !== FORMAT) {
    throw new KvarkError(
      'VERSION',
      `${path} was written by a newer kvark. Open it with that one.`,
      {
        path,
        expected: FORMAT,
        found: content['format'],
      },
    )
  }
  if (content['storeId'] !== storeId) {
    throw new KvarkError(
      'CORRUPTION',
      `${path} belongs to another store. Restore this store's own from a backup.`,
      { path, offset: 0, expected: storeId, found: content['storeId'] },
    )
  }
  if (!isManifest(content)) throw corruption(path, 0, 'a manifest with missing or wrong fields')
  return content
}

export function* writeManifest(
  environment: Environment,
  folder: string,
  storeId: string,
  manifest: Manifest,
  cipher: StoreCipher | undefined,
  drafts?: Set<string>,
): Routine<void> {
  const content = { format: FORMAT, storeId, ...manifest }
  yield* writeSealed(environment, folder, MANIFEST_NAME, content, cipher, drafts)
}

/** Whether it can be a manifest: a checksum can be made right by anybody. */
function isManifest(
  content: Record<string, unknown>,
): content is Record<string, unknown> & Manifest {
  const { number, nextFile, packed, journal, clearedSequence, index, edition, floor } = content
  return (
    isU48(number) &&
    isU32(nextFile) &&
    isU48(clearedSequence) &&
    isU32(edition) &&
    areFiles(packed) &&
    packed.every(({ packedAt }) => isU48(packedAt)) &&
    areFiles(journal) &&
    (index === undefined || (isRecord(index) && isU32(index['number']) && isU32(index['life']))) &&
    isRecord(floor) &&
    isU32(floor['segment']) &&
    isU48(floor['end']) &&
    isU48(floor['sequence']) &&
    isU32(floor['checksum'])
  )
}

/** Whether it can be a list of files, none of them twice. */
function areFiles(list: unknown): list is Record<string, unknown>[] {
  if (!Array.isArray(list)) return false
  const numbers = new Set<unknown>()
  return list.every((file: unknown) => {
    if (!isRecord(file) || numbers.has(file['number'])) return false
    numbers.add(file['number'])
    return (
      isU32(file['number']) && isU32(file['life']) && isU48(file['end']) && isU32(file['checksum'])
    )
  })
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Names of the store's files. */
export const packedName = (number: number): string => `${number}.packed`
export const indexName = (number: number): string => `${number}.index`
/** A value on its way in: it becomes a journal segment, whose number is not known yet. */
export const spoolName = (unique: Uint8Array): string =>
  `${journalName(0)}.${Buffer.from(unique).toString('hex')}${TEMPORARY_SUFFIX}`
