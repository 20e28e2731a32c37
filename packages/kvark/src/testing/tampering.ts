/**
 * What somebody can do to the files of a store who knows the format but not the key: change bytes and make every checksum
 * right again, move blocks, put old copies back. And a look at what the store then says.
 *
 *   history ─► the files at every clean close, the last of them with all that they should give
 *   attack  ─► one file changed ─► look: opened, everything read in every way, scanned, verified
 */

import assert from 'node:assert/strict'
import { crc32 } from 'node:zlib'
import { xxh64 } from '../bytes/xxh64.ts'
import type { Environment } from '../environment/environment.ts'
import { immediate } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import { type BlockForm, STORED_LENGTH_AT, seedOf } from '../storage/block-form.ts'
import {
  FILE_HEADER_BYTES,
  HEADERS_AT,
  SECTOR_BYTES,
  WINDOW_BYTES,
} from '../storage/segment-format.ts'
import type { SegmentSource } from '../storage/segment-walk.ts'
import {
  assertAdvice,
  type Content,
  contentOf,
  type DamagedForm,
  type DamagedStore,
  type Expected,
  environmentWith,
  FOLDER,
  openAt,
} from './damage.ts'
import { repairIndex } from './stored-index.ts'

/** A store through its life. */
export interface StoreHistory {
  readonly form: DamagedForm
  /** The files at each clean close, oldest first. */
  readonly closed: readonly Content[]
  /** The files as a crash found them, with an end that was lost then. */
  readonly lost: Content
  /** What the last ones give. */
  readonly expected: Expected
}

/** Segments of every kind, overwritten, deleted and spread values, a crash in between; the same steps each time. */
export function historyOf(form: DamagedForm): StoreHistory {
  const expected = new Map<string, string | undefined>()
  const closed: Content[] = []
  let environment = environmentWith(new Map())
  let db = openAt(environment, form)
  const put = (key: string, value: string): void => {
    db.putSync(key, value, { durability: 'os' })
    expected.set(key, value)
  }
  const puts = (from: number, to: number, what: string, length = 300): void => {
    for (let i = from; i < to; i++) put(`key ${i}`, `${what} of ${i} `.padEnd(length, 'and so on '))
  }
  const close = (): void => {
    db.closeSync()
    closed.push(contentOf(environment))
  }
  const again = (): void => {
    close()
    db = openAt(environment, form)
  }
  puts(0, 80, 'first')
  put('spread', 'a value over several windows '.repeat(900))
  put('', 'the empty key')
  again()
  puts(0, 40, 'second')
  for (let i = 70; i < 80; i++) {
    db.deleteSync(`key ${i}`)
    expected.set(`key ${i}`, undefined)
  }
  db.compactSync()
  again()
  puts(10, 30, 'third', 900)
  again()
  db.compactSync()
  again()
  puts(80, 140, 'fourth', 600)
  again()
  // The power fails: two writes are lost, and others are written in their place.
  put('before the crash', 'kept')
  db.syncSync()
  const kept = contentOf(environment)
  db.putSync('key 0', 'a value that was lost in a crash', { durability: 'os' })
  db.putSync('key 1', 'a value that was lost in a crash', { durability: 'os' })
  const lost = contentOf(environment)
  db.closeSync()
  environment = environmentWith(kept)
  db = openAt(environment, form)
  put('key 0', 'a value written after the crash.')
  put('key 1', 'a value written after the crash.')
  again()
  puts(20, 25, 'fifth')
  put('last', 'behind the stored index')
  close()
  return { form, closed, lost, expected }
}

/** The files when it was closed last. */
export function lastOf({ closed }: StoreHistory): Content {
  return closed[closed.length - 1]!
}

/** Codes that say honestly that something is wrong with the files. */
const HONEST: ReadonlySet<string> = new Set(['CORRUPTION', 'VERSION', 'BAD_ENCRYPTION_KEY'])

/** What a store told of an attack. */
export interface Told {
  /** Nothing was opened. */
  readonly refused: KvarkError | undefined
  /** Everything that was refused or reported later, and what was said by a warning. */
  readonly later: readonly (KvarkError | string)[]
}

/** Fails where anything comes out but the right value or an honest error. */
export function look(content: Content, { form, expected }: StoreHistory): Told {
  const later: (KvarkError | string)[] = []
  const warnings: string[] = []
  const environment = environmentWith(content, warnings)
  let db: DamagedStore
  try {
    db = openAt(environment, form)
  } catch (error) {
    return { refused: honest(error), later }
  }
  const attempt = (act: () => void): void => {
    try {
      act()
    } catch (error) {
      later.push(honest(error))
    }
  }
  try {
    for (const [key, value] of expected) attempt(() => assert.equal(db.getSync(key), value, key))
    attempt(() => {
      const found = new Map(db.entries())
      const wanted = new Map([...expected].filter(([, value]) => value !== undefined))
      assert.deepEqual(found, wanted, 'a scan gives all or an error')
    })
    attempt(() => later.push(...db.verifySync().problems.map(honest)))
  } finally {
    attempt(() => db.closeSync())
  }
  later.push(...warnings)
  return { refused: undefined, later }
}

function honest(error: unknown): KvarkError {
  if (!(error instanceof KvarkError) || !HONEST.has(error.code)) throw error
  assertAdvice(error)
  return error
}

/** The files with one of them changed; `undefined`: removed. */
export function changed(content: Content, name: string, bytes: Buffer | undefined): Content {
  const copy = new Map(content)
  if (bytes === undefined) copy.delete(name)
  else copy.set(name, bytes)
  return copy
}

export const isSegment = (name: string): boolean => /\.(?:log|packed)$/.test(name)
export const lifeOf = (segment: Buffer): number => segment.readUInt32LE(32)

/** A segment in memory, as something that a walk reads from. */
export function sourceOf(segment: Buffer, form: BlockForm): SegmentSource {
  return {
    path: `${FOLDER}/1.log`,
    life: lifeOf(segment),
    form,
    *readAt(target, position, length) {
      const from = Math.min(position, segment.length)
      return yield* immediate(() => segment.copy(target, 0, from, position + length))
    },
  }
}

/** A block as it lies in a segment. */
export interface Place {
  readonly at: number
  /** Behind the bytes that are stored, and behind the room that it takes. */
  readonly storedEnd: number
  readonly end: number
}

export function headerBytesOf({ compression, encryption }: DamagedForm): number {
  if (encryption) return 44
  return compression === undefined || compression === 'none' ? 12 : 16
}

/** The blocks of a segment that nobody has touched. */
export function blocksOf(segment: Buffer, form: DamagedForm): Place[] {
  const headerBytes = headerBytesOf(form)
  const places: Place[] = []
  let at = FILE_HEADER_BYTES
  while (at + headerBytes <= segment.length) {
    const rest = SECTOR_BYTES - (at % SECTOR_BYTES)
    if (rest < headerBytes) at += rest
    const windowRest = WINDOW_BYTES - (at % WINDOW_BYTES)
    if (windowRest < headerBytes) at += windowRest
    if (at + headerBytes > segment.length) break
    const length = segment.readUInt16LE(at + 8)
    if (length === 0) {
      at += SECTOR_BYTES - (at % SECTOR_BYTES)
      continue
    }
    const stored = headerBytes > 12 ? segment.readUInt16LE(at + STORED_LENGTH_AT) : length
    const end = at + headerBytes + length
    places.push({ at, storedEnd: at + headerBytes + stored, end })
    at = end
  }
  return places
}

/**
 * The last journal segment, and where its close frame may begin: behind the frame before. Whatever happens to the bytes from there on
 * takes the close frame away, and without that a store is as a crash right before it leaves it.
 */
export function closeFrame(content: Content, form: DamagedForm): { name: string; at: number } {
  const number = Math.max(
    ...[...content.keys()].map((one) => Number(/^(\d+)\.log$/.exec(one)?.[1] ?? 0)),
  )
  const name = `${number}.log`
  const before = blocksOf(content.get(name)!, form).at(-2)
  return { name, at: before?.end ?? FILE_HEADER_BYTES }
}

/** Makes the checksum of the block at `at` right, as far as its lengths lead into the file. */
export function repairBlock(
  segment: Buffer,
  at: number,
  form: DamagedForm,
  seed: number = seedOf(lifeOf(segment), at),
): void {
  const headerBytes = headerBytesOf(form)
  const lengthAt = headerBytes > 12 ? STORED_LENGTH_AT : 8
  const end = at + headerBytes + segment.readUInt16LE(at + lengthAt)
  if (end > segment.length) return
  const isXxh64 = form.checksum === 'xxh64'
  const sum = isXxh64
    ? xxh64(segment, at + 4, end, seed)[0]!
    : crc32(segment.subarray(at + 4, end), seed)
  segment.writeUInt32LE(sum, at)
}

/** Makes the checksum of a copy of a segment's header right. */
export function repairHeader(segment: Buffer, at: number): void {
  segment.writeUInt32LE(crc32(segment.subarray(at, at + 60)), at + 60)
}

/** Where something begins or ends in a segment, besides its sectors and windows. */
export function segmentEdges(segment: Buffer, form: DamagedForm): number[] {
  const headerBytes = headerBytesOf(form)
  return blocksOf(segment, form).flatMap(({ at, storedEnd, end }) => {
    return [at, at + headerBytes, storedEnd, end]
  })
}

/** What is stored in a segment besides the headers of its blocks. */
export function segmentPayloads(
  segment: Buffer,
  form: DamagedForm,
): { readonly from: number; readonly to: number }[] {
  const headerBytes = headerBytesOf(form)
  return blocksOf(segment, form).map(({ at, storedEnd }) => {
    return { from: at + headerBytes, to: storedEnd }
  })
}

/** Makes the checksum right that covers byte `at` of `original`, in the changed `bytes` of a file of the log. */
export function repair(
  name: string,
  bytes: Buffer,
  original: Buffer,
  at: number,
  form: DamagedForm,
): void {
  if (name.endsWith('.index')) repairIndex(bytes, original, at, form.encryption !== undefined)
  else if (isSegment(name)) repairSegment(bytes, original, at, form)
  else repairSealed(bytes)
}

/** The same in a segment. */
export function repairSegment(
  bytes: Buffer,
  original: Buffer,
  at: number,
  form: DamagedForm,
): void {
  if (at < FILE_HEADER_BYTES) repairHeader(bytes, at < HEADERS_AT[1] ? 0 : HEADERS_AT[1])
  else {
    const block = blocksOf(original, form).find((one) => one.at <= at && at < one.end)
    if (block && at >= block.at + 4) repairBlock(bytes, block.at, form)
  }
}

/** A file of that line, with its checksum. */
export function resealed(line: string): Buffer {
  const bytes = Buffer.from(`${line}\n........\n`)
  repairSealed(bytes)
  return bytes
}

/** Makes the checksum of a file of one line right. */
export function repairSealed(bytes: Buffer): void {
  const end = bytes.length - 9
  const sum = crc32(bytes.subarray(0, end)).toString(16).padStart(8, '0')
  bytes.write(sum, end, 'latin1')
}

/** An environment for `db` alone, with the files of `content`. */
export function copyOf(content: Content): Environment {
  return environmentWith(content)
}
