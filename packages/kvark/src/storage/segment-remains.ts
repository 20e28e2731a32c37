/**
 * What is left of segments that may be damaged: whose they are, and how each is to be read.
 *
 *   segment   header whole │ damaged, but a copy still has the store's id and a life │ somebody knows the life │ lost
 *
 * 1. A segment that says it is another store's, or of which somebody knows that it is another file, is not read.
 * 2. Of a damaged header only what a block confirms is believed.
 *
 * Left out: which segments the store has, and what is in them (`segment-survey.ts`).
 */

import type { Environment } from '../environment/environment.ts'
import type { Routine } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import type { FileHandle } from '../vfs/files.ts'
import {
  type BlockForm,
  CHECKSUMS,
  type ChecksumName,
  PLAIN_HEADER_BYTES,
  PlainForm,
  SealedForm,
  salvagingForm,
} from './block-form.ts'
import { type CompressionName, compressionOf } from './compression.ts'
import { Segment } from './segment.ts'
import {
  blockBehindDamage,
  FILE_HEADER_BYTES,
  identifySegment,
  possibleLives,
  readSegmentHeader,
  type SegmentHeader,
  type SegmentIdentity,
  WINDOW_BYTES,
} from './segment-format.ts'
import type { FileRecord, SegmentStore } from './segment-opening.ts'

/** A segment that can be read, at least in part. */
export interface Remains {
  readonly file: Segment
  /** The checksum that its first frame names, where that is known. */
  readonly first: number | undefined
  /** It had data up to here at least. */
  readonly least: number
  /** Its number in the store; those of `file` only tell the files apart. */
  readonly number: number
  /** Whether its engine writes entries that only say where their values are. */
  readonly references: boolean
}

/** Of a file that is there. */
export interface FoundSegment {
  /** `undefined`: it cannot be read. */
  readonly remains: Remains | undefined
  /** Where it is whole. */
  readonly header: SegmentHeader | undefined
  readonly size: number
  /** Why it cannot be read. */
  readonly reason: string
}

/** Windows of a segment that are searched for a block, to learn how it is to be read. */
const SEARCHED_WINDOWS = 64

/** Opens a segment that is there; the caller closes it, as soon as it is in `opened`. `record`: what is known of it. */
export function* findSegment(
  { environment, folder, descriptor, form }: SegmentStore,
  name: string,
  number: number,
  record: FileRecord | undefined,
  references: boolean,
  opened: Segment[],
): Routine<FoundSegment> {
  const { storeId } = descriptor
  const handle = yield* environment.files.open(`${folder}/${name}`, 'read')
  let kept = false
  try {
    const size = yield* handle.size()
    const start = Buffer.alloc(FILE_HEADER_BYTES)
    const read = yield* handle.read(start, 0, start.length, 0)
    const known = yield* headerOf(storeId, form.blocks, handle, start, read, record)
    if (typeof known === 'string') {
      return { remains: undefined, header: undefined, size, reason: known }
    }
    const { life, header } = known
    const file = new Segment(
      handle,
      {
        storeId,
        life,
        number: opened.length + 1,
        previousNumber: 0,
        previousEnd: 0,
        previousChecksum: header?.previousChecksum ?? 0,
      },
      salvagingForm(form.blocks),
      size,
      true,
    )
    opened.push(file)
    kept = true
    const remains = {
      file,
      first: header?.previousChecksum,
      least: record?.end ?? 0,
      number,
      references,
    }
    return { remains, header, size, reason: '' }
  } finally {
    if (!kept) yield* handle.close()
  }
}

/** The life of a segment, and its header where that is whole; a sentence where it cannot be read at all. */
function* headerOf(
  storeId: string,
  form: BlockForm,
  handle: FileHandle,
  start: Buffer,
  read: number,
  record: FileRecord | undefined,
): Routine<{ life: number; header: SegmentHeader | undefined } | string> {
  try {
    const header = readSegmentHeader(start, read, handle.path, storeId, form)
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
    const block = yield* findBlock(handle, salvagingForm(form), life, () => true)
    if (block) return { life, header: undefined }
  }
  return 'the header of the segment is damaged'
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

/** What the segments of a folder say of the store that they belong to: the one that most of them name. */
export interface IdentifiedStore {
  readonly storeId: string
  readonly encrypted: boolean
  readonly checksum: ChecksumName
  readonly compression: CompressionName
}

/** `pattern`: the names of segments. */
export function* identifySegments(
  environment: Environment,
  folder: string,
  pattern: RegExp,
): Routine<IdentifiedStore | undefined> {
  const seen = new Map<string, { path: string; segment: SegmentIdentity }[]>()
  for (const name of yield* environment.files.list(folder)) {
    if (!pattern.test(name)) continue
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
  let made: GuessedForm | undefined
  for (const { path, segment } of most) {
    const handle = yield* environment.files.open(path, 'read')
    try {
      const found: GuessedForm | undefined = yield* guessForm((form, accept) =>
        findBlock(handle, form, segment.life, accept),
      )
      if (found) made ??= found
      if (found?.sure) {
        made = found
        break
      }
    } finally {
      yield* handle.close()
    }
  }
  const { checksum = 'crc32', compression = 'none' } = made ?? {}
  return { storeId, encrypted, checksum, compression }
}

export interface GuessedForm {
  readonly checksum: ChecksumName
  readonly compression: CompressionName
  /** Some block is compressed, or none ever is. Otherwise every block so far was too short for it: any compression reads them. */
  readonly sure: boolean
}

/** Checksum and compression of blocks, as far as they tell; `undefined`: there are none. `find`: a block of that form that is accepted. */
export function* guessForm(
  find: (form: BlockForm, accept: (block: Buffer) => boolean) => Routine<Buffer | undefined>,
): Routine<GuessedForm | undefined> {
  let found: GuessedForm | undefined
  for (const checksum of CHECKSUMS) {
    const plain = salvagingForm(new PlainForm(checksum))
    if (yield* find(plain, () => true)) return { checksum, compression: 'none', sure: true }
    const sealed = salvagingForm(new SealedForm(checksum, undefined, undefined))
    if (!(yield* find(sealed, () => true))) continue
    const block = yield* find(sealed, (one) => formByte(one) !== 0)
    const compression = block && compressionOf(formByte(block))?.name
    if (compression) return { checksum, compression, sure: true }
    found ??= { checksum, compression: 'lz4', sure: false }
  }
  return found
}

/** The byte of a block's header that says how it is compressed. */
function formByte(block: Buffer): number {
  return block[PLAIN_HEADER_BYTES - 1]!
}
