/**
 * What is left of a damaged log's files: which of them belong to it.
 *
 *   MANIFEST   whole: the files that it names, and the journal that is newer     damaged or missing: every segment that there is
 *
 * 1. With a manifest, other segments are leftovers of compactions; to read them could bring deletions undone. Without one that cannot
 *    be told.
 * 2. The stored index is of no interest: it says nothing that the segments do not.
 */

import type { SalvageContext, StoreIdentity } from '../../engine/engine.ts'
import type { LostRange } from '../../engine/facts.ts'
import type { Environment } from '../../environment/environment.ts'
import type { Routine } from '../../environment/routine.ts'
import { KvarkError } from '../../errors.ts'
import { journalName } from '../../storage/journal-recovery.ts'
import type { Segment } from '../../storage/segment.ts'
import { FILE_HEADER_BYTES, type SegmentHeader } from '../../storage/segment-format.ts'
import type { FileRecord } from '../../storage/segment-opening.ts'
import { findSegment, identifySegments, type Remains } from '../../storage/segment-remains.ts'
import { MANIFEST_NAME, type Manifest, packedName, readManifest } from './manifest.ts'

export interface LogRemains extends Remains {
  readonly packed: boolean
}

export interface RemainsOfStore {
  readonly manifest: Manifest | undefined
  /** The journal in its order, then packed ones. */
  readonly segments: readonly LogRemains[]
}

/** Opens what there is. `lost` is told of the rest. The files are the caller's to close, as soon as they are in `opened`. */
export function* findRemains(
  context: SalvageContext,
  environment: Environment,
  opened: Segment[],
  lost: LostRange[],
): Routine<RemainsOfStore> {
  const { folder } = context
  const names = yield* environment.files.list(folder)
  const manifest = yield* salvageManifest(context, environment, names, lost)
  const store = { ...context, environment }
  const found: { remains: LogRemains; header: SegmentHeader | undefined }[] = []
  for (const { name, packed, number, record } of segmentsOf(names, manifest)) {
    const path = `${folder}/${name}`
    if (!names.includes(name)) {
      lost.push({ path, from: 0, to: record?.end ?? 0, reason: 'the file is missing' })
      continue
    }
    const { remains, header, size, reason } = yield* findSegment(
      store,
      name,
      number,
      record,
      false,
      opened,
    )
    if (remains) {
      found.push({ remains: { ...remains, packed }, header })
      continue
    }
    const to = Math.max(size, record?.end ?? 0)
    // One that was just begun when the power failed has nothing in it.
    const begun = manifest !== undefined && record === undefined && size <= FILE_HEADER_BYTES
    if (!begun && to > 0) lost.push({ path, from: 0, to, reason })
  }
  // One that is not listed yet is known from the next one only.
  for (const { header } of found) {
    const { previousNumber = 0, previousEnd = 0 } = header ?? {}
    const name = journalName(previousNumber)
    if (manifest === undefined || previousNumber < manifest.nextFile || names.includes(name))
      continue
    lost.push({
      path: `${folder}/${name}`,
      from: 0,
      to: previousEnd,
      reason: 'the file is missing',
    })
  }
  const segments = found.map(({ remains }): LogRemains => {
    if (remains.packed) return remains
    // The next segment of the journal says where the one before it ended.
    const ends = found.map(({ header }) =>
      header?.previousNumber === remains.number ? header.previousEnd : 0,
    )
    return { ...remains, least: Math.max(remains.least, ...ends) }
  })
  return { manifest, segments }
}

/** The names of the segments that there are, or should be. */
function segmentsOf(
  names: readonly string[],
  manifest: Manifest | undefined,
): { name: string; packed: boolean; number: number; record: FileRecord | undefined }[] {
  const found = names.flatMap((name) => {
    const match = /^(\d+)\.(log|packed)$/.exec(name)
    const number = Number(match?.[1])
    return match ? [{ name, packed: match[2] === 'packed', number, record: undefined }] : []
  })
  const byNumber = (a: { number: number }, b: { number: number }): number => a.number - b.number
  const logs = found.filter(({ packed }) => !packed)
  if (manifest === undefined) {
    return [...logs.sort(byNumber), ...found.filter(({ packed }) => packed).sort(byNumber)]
  }
  const listed = manifest.journal.map((record) => ({
    name: journalName(record.number),
    packed: false,
    number: record.number,
    record,
  }))
  const newer = logs.filter(
    ({ number }) =>
      number >= manifest.nextFile && !listed.some((record) => record.number === number),
  )
  const packed = manifest.packed.map((record) => ({
    name: packedName(record.number),
    packed: true,
    number: record.number,
    record,
  }))
  return [...[...listed, ...newer].sort(byNumber), ...packed]
}

/** The manifest, unless it is damaged, missing, or another store's. */
function* salvageManifest(
  { folder, descriptor, form }: SalvageContext,
  environment: Environment,
  names: readonly string[],
  lost: LostRange[],
): Routine<Manifest | undefined> {
  const path = `${folder}/${MANIFEST_NAME}`
  if (!names.includes(MANIFEST_NAME)) {
    // Also where nothing else is there: a store whose files are gone does not pass for an empty one.
    lost.push({ path, from: 0, to: 0, reason: 'the file is missing' })
    return undefined
  }
  let reason = 'the list of files is damaged'
  try {
    const manifest = yield* readManifest(environment, folder, descriptor.storeId, form.cipher)
    if (isManifest(manifest)) return manifest
  } catch (error) {
    if (!(error instanceof KvarkError)) throw error
    if (error.code === 'VERSION') reason = 'it is of a format that this version does not know'
    else if (error.code !== 'CORRUPTION') throw error
  }
  const to = (yield* environment.files.stat(path))?.size ?? 0
  lost.push({ path, from: 0, to, reason })
  return undefined
}

/** Whether it can be a manifest: a checksum can be made right by anybody. */
function isManifest(manifest: Manifest | undefined): manifest is Manifest {
  if (manifest === undefined) return false
  const { nextFile, packed, journal, clearedSequence, floor } = manifest
  const isRecord = (one: Partial<FileRecord> | null): boolean =>
    isNumber(one?.number) && isNumber(one?.life) && isNumber(one?.end)
  return (
    isNumber(nextFile) &&
    isNumber(clearedSequence) &&
    Array.isArray(packed) &&
    packed.every(isRecord) &&
    Array.isArray(journal) &&
    journal.every(isRecord) &&
    isNumber(floor?.segment) &&
    isNumber(floor?.end) &&
    isNumber(floor?.sequence)
  )
}

function isNumber(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** What the segments in a folder say of the store that they belong to: the one that most of them name. */
export function identify(
  environment: Environment,
  folder: string,
): Routine<StoreIdentity | undefined> {
  return identifySegments(environment, folder, /^\d+\.(?:log|packed)$/)
}
