/**
 * What is left of a damaged log's files: which of them belong to it, and how each is to be read.
 *
 *   MANIFEST   whole: the files that it names, and the journal that is newer     damaged or missing: every segment that there is
 *   segment    header whole │ damaged, but a copy still has the store's id and a life │ the manifest knows the life │ lost
 *
 * 1. With a manifest, other segments are leftovers of compactions; to read them could bring deletions undone. Without one that cannot
 *    be told.
 * 2. A segment that says it is another store's, or of which the manifest says that it is another file, is not read.
 * 3. The stored index is of no interest: it says nothing that the segments do not.
 */

import type { SalvageContext, StoreIdentity } from '../../engine/engine.ts'
import type { LostRange } from '../../engine/facts.ts'
import type { Environment } from '../../environment/environment.ts'
import type { Routine } from '../../environment/routine.ts'
import { KvarkError } from '../../errors.ts'
import {
  type BlockForm,
  CHECKSUMS,
  type ChecksumName,
  PLAIN_HEADER_BYTES,
  PlainForm,
  SealedForm,
  salvagingForm,
} from '../../storage/block-form.ts'
import { type CompressionName, compressionOf } from '../../storage/compression.ts'
import { journalName } from '../../storage/journal-recovery.ts'
import { Segment } from '../../storage/segment.ts'
import {
  blockBehindDamage,
  FILE_HEADER_BYTES,
  identifySegment,
  possibleLives,
  readSegmentHeader,
  type SegmentHeader,
  type SegmentIdentity,
  WINDOW_BYTES,
} from '../../storage/segment-format.ts'
import type { FileRecord } from '../../storage/segment-opening.ts'
import type { FileHandle } from '../../vfs/files.ts'
import { MANIFEST_NAME, type Manifest, packedName, readManifest } from './manifest.ts'

/** A segment that can be read, at least in part. */
export interface Remains {
  readonly file: Segment
  readonly packed: boolean
  /** The checksum that its first frame names, where that is known. */
  readonly first: number | undefined
  /** It had data up to here at least. */
  readonly least: number
  /** Its number in the store; those of `file` only tell the files apart. */
  readonly number: number
}

export interface RemainsOfStore {
  readonly manifest: Manifest | undefined
  /** The journal in its order, then packed ones. */
  readonly segments: readonly Remains[]
}

/** Windows of a segment that are searched for a block, to learn how it is to be read. */
const SEARCHED_WINDOWS = 64

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
  const found: (Omit<Remains, 'least'> & { least: number; header: SegmentHeader | undefined })[] =
    []
  for (const { name, packed, number, record } of segmentsOf(names, manifest)) {
    const path = `${folder}/${name}`
    if (!names.includes(name)) {
      lost.push({ path, from: 0, to: record?.end ?? 0, reason: 'the file is missing' })
      continue
    }
    const handle = yield* environment.files.open(path, 'read')
    let kept = false
    try {
      const size = yield* handle.size()
      const start = Buffer.alloc(FILE_HEADER_BYTES)
      const read = yield* handle.read(start, 0, start.length, 0)
      const known = yield* headerOf(context, handle, start, read, record)
      if (typeof known === 'string') {
        const to = Math.max(size, record?.end ?? 0)
        // One that was just begun when the power failed has nothing in it.
        const begun = manifest !== undefined && record === undefined && size <= FILE_HEADER_BYTES
        if (!begun && to > 0) lost.push({ path, from: 0, to, reason: known })
        continue
      }
      const { life, header } = known
      const file = new Segment(
        handle,
        {
          storeId: context.descriptor.storeId,
          life,
          number: opened.length + 1,
          previousNumber: 0,
          previousEnd: 0,
          previousChecksum: header?.previousChecksum ?? 0,
        },
        salvagingForm(context.form.blocks),
        size,
        true,
      )
      opened.push(file)
      kept = true
      const first = header?.previousChecksum
      found.push({ file, packed, number, first, least: record?.end ?? 0, header })
    } finally {
      if (!kept) yield* handle.close()
    }
  }
  for (const { header } of found) {
    // The next segment of the journal says where the one before it ended.
    const before = found.find((one) => !one.packed && one.number === header?.previousNumber)
    if (before && header) before.least = Math.max(before.least, header.previousEnd)
  }
  return { manifest, segments: found }
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

/** The life of a segment, and its header where that is whole; a sentence where it cannot be read at all. */
function* headerOf(
  { descriptor, form }: SalvageContext,
  handle: FileHandle,
  start: Buffer,
  read: number,
  record: FileRecord | undefined,
): Routine<{ life: number; header: SegmentHeader | undefined } | string> {
  const { storeId } = descriptor
  try {
    const header = readSegmentHeader(start, read, handle.path, storeId, form.blocks)
    if (header) {
      if (record && header.life !== record.life) return 'it is another file of that name'
      return { life: header.life, header }
    }
  } catch (error) {
    if (!(error instanceof KvarkError)) throw error
    return error.code === 'VERSION'
      ? 'it is of a format that this version does not know'
      : 'it belongs to another store'
  }
  const lives = record ? [record.life] : possibleLives(start, read, storeId)
  for (const life of lives) {
    if (yield* hasBlock(handle, salvagingForm(form.blocks), life)) {
      return { life, header: undefined }
    }
  }
  return 'the header of the segment is damaged'
}

/** Whether there is a block of this form and life near the beginning of a segment. */
function* hasBlock(handle: FileHandle, form: BlockForm, life: number): Routine<boolean> {
  return (yield* findBlock(handle, form, life, () => true)) !== undefined
}

/** The first block near the beginning of a segment that is accepted, as its bytes. */
function* findBlock(
  handle: FileHandle,
  form: BlockForm,
  life: number,
  accept: (block: Buffer) => boolean,
): Routine<Buffer | undefined> {
  const window = Buffer.alloc(WINDOW_BYTES)
  for (let i = 0; i < SEARCHED_WINDOWS; i++) {
    const start = i * WINDOW_BYTES
    const read = yield* handle.read(window, 0, WINDOW_BYTES, start)
    let at = (i === 0 ? FILE_HEADER_BYTES : 0) - 1
    for (;;) {
      at = blockBehindDamage(form, window, 0, at, read, life, start)
      if (at < 0) break
      if (accept(window.subarray(at))) return window.subarray(at)
    }
    if (read < WINDOW_BYTES) break
  }
  return undefined
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
    const data = names.some((name) => /^\d+\.(?:log|packed)$/.test(name))
    if (data) lost.push({ path, from: 0, to: 0, reason: 'the file is missing' })
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
export function* identify(
  environment: Environment,
  folder: string,
): Routine<StoreIdentity | undefined> {
  const seen = new Map<string, { path: string; segment: SegmentIdentity }[]>()
  for (const name of yield* environment.files.list(folder)) {
    if (!/^\d+\.(?:log|packed)$/.test(name)) continue
    const path = `${folder}/${name}`
    const handle = yield* environment.files.open(path, 'read')
    try {
      const start = Buffer.alloc(FILE_HEADER_BYTES)
      const read = yield* handle.read(start, 0, start.length, 0)
      const segment = identifySegment(start, read)
      if (!segment) continue
      const same = seen.get(segment.storeId) ?? []
      seen.set(segment.storeId, same)
      same.push({ path, segment })
    } finally {
      yield* handle.close()
    }
  }
  const [most] = [...seen.values()].sort((a, b) => b.length - a.length)
  if (most === undefined) return undefined
  const { storeId, encrypted } = most[0]!.segment
  const made = yield* formIn(environment, most)
  return { storeId, encrypted, ...(made ?? { checksum: 'crc32', compression: 'none' }) }
}

/** Checksum and compression of the blocks in some segments, as far as they tell; `undefined`: there are none. */
function* formIn(
  environment: Environment,
  segments: readonly { path: string; segment: SegmentIdentity }[],
): Routine<{ checksum: ChecksumName; compression: CompressionName } | undefined> {
  let found: { checksum: ChecksumName; compression: CompressionName } | undefined
  for (const { path, segment } of segments) {
    const handle = yield* environment.files.open(path, 'read')
    try {
      for (const checksum of CHECKSUMS) {
        const plain = salvagingForm(new PlainForm(checksum))
        if (yield* hasBlock(handle, plain, segment.life)) return { checksum, compression: 'none' }
        const sealed = salvagingForm(new SealedForm(checksum, undefined, undefined))
        if (!(yield* hasBlock(handle, sealed, segment.life))) continue
        const block = yield* findBlock(handle, sealed, segment.life, (one) => formByte(one) !== 0)
        const compression = block && compressionOf(formByte(block))?.name
        if (compression) return { checksum, compression }
        // Compressed, but every block so far was too short for it: any compression reads them.
        found ??= { checksum, compression: 'lz4' }
      }
    } finally {
      yield* handle.close()
    }
  }
  return found
}

/** The byte of a block's header that says how it is compressed. */
function formByte(block: Buffer): number {
  return block[PLAIN_HEADER_BYTES - 1]!
}
