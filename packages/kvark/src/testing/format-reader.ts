/**
 * A reader of stores written from `docs/format/` alone: it imports nothing of kvark. What it reads and what the store says must
 * be the same, so the pages say enough and say it right.
 *
 *   files by name ─► KVARK ─► MANIFEST ─► segments: header, blocks, frames, entries ─► the newest entry of each key
 *
 * 1. Anything that is not as the pages say throws. It is for stores that were closed, and takes no damage.
 */

import { createDecipheriv, createHmac, hkdfSync, scryptSync } from 'node:crypto'
import zlib from 'node:zlib'
import { unpackLz4, xxh64Of } from './format-bytes.ts'

export type StoredFiles = ReadonlyMap<string, Buffer>

/** The user's secret. */
export type ReaderSecret = { readonly key: Uint8Array } | { readonly passphrase: string }

export interface StoredEntry {
  /** The block's file and the entry's address in it. */
  readonly file: string
  readonly address: number
  readonly kind: number
  readonly ascii: boolean
  /** The value only says where its bytes are. */
  readonly reference: boolean | undefined
  readonly sequence: number
  /** 0: never. */
  readonly expiry: number
  /** With the id of the table. */
  readonly key: Buffer
  readonly value: Buffer
}

export interface StoredContent {
  readonly descriptor: Descriptor
  readonly manifest: Manifest
  /** Where the store is encrypted. */
  readonly keys: Keys | undefined
  /** Every entry of every segment that counts, dead ones too. */
  readonly entries: readonly StoredEntry[]
  /** What is there: the user's key in hex, and the value. Expired entries are still in it. */
  readonly live: ReadonlyMap<string, Buffer>
}

export interface Descriptor {
  readonly kvark: number
  readonly storeId: string
  readonly engine: string
  readonly hashSeed: number
  readonly features: readonly number[]
  readonly checksum: 'crc32' | 'xxh64'
  readonly compression: string
  readonly encryption: {
    cipher: 'aes-128-gcm' | 'aes-256-gcm'
    salt: string | null
    wrapped: string
  } | null
  readonly edition: number
  readonly proof?: string
}

export interface Manifest {
  readonly format: number
  readonly storeId: string
  readonly number: number
  readonly nextFile: number
  readonly packed: readonly SegmentRecord[]
  readonly journal: readonly SegmentRecord[]
  readonly clearedSequence: number
  readonly index?: { readonly number: number; readonly life: number }
  readonly edition: number
  readonly floor: { segment: number; end: number; sequence: number; checksum: number }
}

/** What is known of a journal from elsewhere. */
export interface KnownJournal extends Pick<Manifest, 'number' | 'nextFile' | 'journal' | 'floor'> {
  /** Whether values may lie elsewhere. */
  readonly references?: boolean
}

export interface SegmentRecord {
  readonly number: number
  readonly life: number
  readonly end: number
  readonly checksum: number
}

export interface Keys {
  readonly cipher: 'aes-128-gcm' | 'aes-256-gcm'
  readonly of: (purpose: string, life: number) => Buffer
}

/** How the blocks of a store are read. */
export interface Form {
  readonly storeId: string
  readonly headerBytes: number
  readonly checksum: 'crc32' | 'xxh64'
  readonly keys: Keys | undefined
}

const WINDOW = 16_384
const SECTOR = 512
const SECOND_HEADER = 4096
export const HEADERS = 4608
const SHORT_ENTRY = 2048
export const ENVELOPE = 28
const CIPHER_IDS = { 'aes-128-gcm': 1, 'aes-256-gcm': 2 }

export function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`not as docs/format says: ${what}`)
}

export function readStore(files: StoredFiles, secret?: ReaderSecret): StoredContent {
  const { descriptor, keys, form } = readKvark(files, 'log', secret)
  const manifest = manifestOf(files, keys)
  check(manifest.format === 1 && manifest.storeId === descriptor.storeId, 'a foreign manifest')
  check(descriptor.edition >= manifest.edition, 'an old descriptor')
  const entries = [
    ...manifest.packed.flatMap((record) => packed(files, form, record)),
    ...readJournal(files, form, manifest),
  ]
  return { descriptor, manifest, keys, entries, live: liveOf(entries, manifest) }
}

/** Reads the descriptor of a store with this engine. */
export function readKvark(
  files: StoredFiles,
  engine: string,
  secret: ReaderSecret | undefined,
): { descriptor: Descriptor; keys: Keys | undefined; form: Form } {
  const descriptor = JSON.parse(lineOf(files.get('KVARK'), 'KVARK')) as Descriptor
  check(descriptor.kvark === 1 && descriptor.engine === engine, 'a store of another kind')
  check(descriptor.features[2] === 0, 'an unknown feature')
  const keys = descriptor.encryption ? keysOf(descriptor, secret) : undefined
  if (keys) {
    const { proof, ...rest } = descriptor
    check(hmac(keys, 'KVARK', JSON.stringify(rest)).toString('hex') === proof, 'proof of KVARK')
  }
  const { storeId, checksum } = descriptor
  const sealed = descriptor.compression !== 'none' || keys !== undefined
  const headerBytes = sealed ? 16 + (keys ? ENVELOPE : 0) : 12
  return { descriptor, keys, form: { storeId, headerBytes, checksum, keys } }
}

/** The one line of a sealed file. */
function lineOf(bytes: Buffer | undefined, name: string): string {
  check(bytes !== undefined, `${name} is missing`)
  const end = bytes.indexOf(0x0a) + 1
  const sum = zlib.crc32(bytes.subarray(0, end)).toString(16).padStart(8, '0')
  check(bytes.toString('latin1', end) === `${sum}\n`, `checksum of ${name}`)
  return bytes.toString('utf8', 0, end - 1)
}

function manifestOf(files: StoredFiles, keys: Keys | undefined): Manifest {
  return sealedJson(files.get('MANIFEST'), 'MANIFEST', keys) as Manifest
}

/** What a sealed file says; in an encrypted store its line is an envelope. */
export function sealedJson(
  file: Buffer | undefined,
  name: string,
  keys: Keys | undefined,
): unknown {
  const line = lineOf(file, name)
  if (!keys) return JSON.parse(line)
  const { sealed } = JSON.parse(line) as { sealed: string }
  const bytes = Buffer.from(sealed, 'base64')
  const key = keys.of(name, 0)
  const plain = decrypt(keys.cipher, key, bytes, bytes.subarray(ENVELOPE), Buffer.from(name))
  return JSON.parse(plain.toString('utf8'))
}

function keysOf({ encryption }: Descriptor, secret: ReaderSecret | undefined): Keys {
  check(encryption !== null && secret !== undefined, 'a secret is needed')
  const { cipher, salt, wrapped } = encryption
  const length = cipher === 'aes-128-gcm' ? 16 : 32
  const userKey =
    'key' in secret
      ? secret.key
      : scryptSync(secret.passphrase.normalize('NFC'), Buffer.from(salt!, 'hex'), 32, {
          N: 65_536,
          r: 8,
          p: 1,
          maxmem: 2 ** 27,
        })
  const bytes = Buffer.from(wrapped, 'hex')
  const wrapping = hkdf(userKey, 'kvark wrap', 32)
  const dataKey = decrypt('aes-256-gcm', wrapping, bytes, bytes.subarray(ENVELOPE), undefined)
  check(dataKey.length === length, 'length of the data key')
  return { cipher, of: (purpose, life) => hkdf(dataKey, `kvark ${purpose} ${life}`, length) }
}

function hkdf(key: Uint8Array, info: string, length: number): Buffer {
  return Buffer.from(hkdfSync('sha256', key, '', info, length))
}

function hmac(keys: Keys, purpose: string, text: string | Uint8Array): Buffer {
  return createHmac('sha256', keys.of(purpose, 0)).update(text).digest()
}

/** `envelope` begins with nonce and tag. */
export function decrypt(
  cipher: 'aes-128-gcm' | 'aes-256-gcm',
  key: Buffer,
  envelope: Buffer,
  encrypted: Buffer,
  associated: Buffer | undefined,
): Buffer {
  const decipher = createDecipheriv(cipher, key, envelope.subarray(0, 12))
  decipher.setAuthTag(envelope.subarray(12, ENVELOPE))
  if (associated) decipher.setAAD(associated)
  return Buffer.concat([decipher.update(encrypted), decipher.final()])
}

interface Header {
  readonly life: number
  readonly number: number
  readonly previousNumber: number
  readonly previousEnd: number
  readonly previousChecksum: number
}

function headerOf(bytes: Buffer, file: string, form: Form): Header {
  const header = bytes.subarray(0, 80)
  check(header.equals(bytes.subarray(SECOND_HEADER, SECOND_HEADER + 80)), `${file}: two headers`)
  check(header.toString('latin1', 0, 8) === 'kvarkseg', `${file}: magic`)
  check(header[8] === 1 && header[9] === 1 && header.readUInt32LE(12) === 0, `${file}: version`)
  check(header.toString('hex', 16, 32) === form.storeId, `${file}: store`)
  check(zlib.crc32(header.subarray(0, 60)) === header.readUInt32LE(60), `${file}: header`)
  const proof = form.keys
    ? hmac(form.keys, 'segment header', header.subarray(0, 64)).subarray(0, 16)
    : Buffer.alloc(16)
  check(proof.equals(header.subarray(64)), `${file}: proof`)
  return {
    life: header.readUInt32LE(32),
    number: header.readUInt32LE(36),
    previousNumber: header.readUInt32LE(40),
    previousEnd: header.readUIntLE(44, 6),
    previousChecksum: header.readUInt32LE(52),
  }
}

function packed(files: StoredFiles, form: Form, record: SegmentRecord): StoredEntry[] {
  const file = `${record.number}.packed`
  const bytes = files.get(file)
  check(bytes !== undefined && bytes.length >= record.end, `${file}: length`)
  const header = headerOf(bytes, file, form)
  check(header.number === record.number && header.life === record.life, `${file}: another file`)
  const walk = new Walk(bytes.subarray(0, record.end), file, form, header)
  walk.run()
  check(walk.checksum === record.checksum, `${file}: last checksum`)
  return walk.entries
}

/** Every segment of the journal, and that they are one chain which a close frame ends. */
export function readJournal(files: StoredFiles, form: Form, known: KnownJournal): StoredEntry[] {
  const listed = known.journal.map(({ number }) => number)
  const newer = [...files.keys()]
    .map((name) => Number(/^(\d+)\.log$/.exec(name)?.[1] ?? 0))
    .filter((number) => number >= known.nextFile)
  const numbers = [...new Set([...listed, ...newer])].sort((a, b) => a - b)
  const entries: StoredEntry[] = []
  let before: { number: number; end: number; checksum: number } | undefined
  let sequence = 0
  for (const number of numbers) {
    const file = `${number}.log`
    const bytes = files.get(file)
    check(bytes !== undefined, `${file} is missing`)
    const header = headerOf(bytes, file, form)
    check(header.number === number, `${file}: number`)
    if (before && header.previousNumber === before.number) {
      check(header.previousEnd === before.end, `${file}: end of the one before`)
      check(header.previousChecksum === before.checksum, `${file}: checksum of the one before`)
    } else {
      const goesOn = header.previousNumber === known.floor.segment
      check(listed.includes(number) || goesOn, `${file}: the one before is missing`)
    }
    const walk = new Walk(bytes, file, form, header)
    walk.sequence = sequence
    walk.manifest = known.number
    walk.references = known.references ?? false
    walk.run()
    entries.push(...walk.entries)
    sequence = walk.sequence
    before = { number, end: walk.end, checksum: walk.checksum }
    const record = known.journal.find((one) => one.number === number)
    check(!record || (record.life === header.life && record.end <= walk.end), `${file}: record`)
  }
  return entries
}

export interface Block {
  readonly mark: number
  readonly flags: number
  readonly payload: Buffer
  readonly sum: number
}

/** The block at `at`, which ends before `bytes` do; `key`: the subkey for blocks of that life. */
export function readBlock(
  bytes: Buffer,
  at: number,
  file: string,
  { headerBytes, checksum, keys }: Form,
  life: number,
  key: Buffer | undefined,
): Block {
  const place = `${file} at ${at}`
  const length = bytes.readUInt16LE(at + 8)
  const form = bytes[at + 11]!
  const from = at + headerBytes
  const stored = headerBytes === 12 ? length : bytes.readUInt16LE(at + 12)
  check(from + length <= bytes.length && stored >= 1 && stored <= length, `${place}: length`)
  const seed = (Math.imul(life ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(at + 1, 0xc2b2ae35)) >>> 0
  const covered = bytes.subarray(at + 4, from + stored)
  const sum =
    checksum === 'crc32'
      ? zlib.crc32(covered, seed)
      : Number(BigInt.asUintN(32, xxh64Of(covered, seed)))
  check(sum === bytes.readUInt32LE(at), `${place}: checksum`)
  check(form >>> 4 === (keys ? CIPHER_IDS[keys.cipher] : 0), `${place}: cipher`)
  check(
    bytes.subarray(from + stored, from + length).every((byte) => byte === 0),
    `${place}: rest`,
  )
  let payload = bytes.subarray(from, from + stored)
  if (keys) {
    const associated = Buffer.alloc(22)
    associated.writeUInt32LE(life, 0)
    associated.writeUIntLE(at, 4, 6)
    bytes.copy(associated, 10, at + 4, at + 16)
    const envelope = bytes.subarray(at + 16, from)
    payload = decrypt(keys.cipher, key!, envelope, payload, associated)
  }
  payload = decompress(payload, form & 15, length)
  check(payload.length === length, `${place}: length of the payload`)
  return { mark: bytes.readUInt32LE(at + 4), flags: bytes[at + 10]!, payload, sum }
}

/** Walks a segment from front to back. */
class Walk {
  readonly entries: StoredEntry[] = []
  /** Of the last frame. */
  checksum: number
  /** Behind the last block. */
  end: number = HEADERS
  /** Of a journal: the last sequence, and the number of the manifest. */
  sequence = 0
  manifest: number | undefined = undefined
  references = false
  readonly #bytes: Buffer
  readonly #file: string
  readonly #form: Form
  readonly #life: number
  readonly #key: Buffer | undefined
  /** Of the open frame: the payload of its blocks so far, and where in the file each begins. */
  #frame: Buffer[] = []
  #places: number[] = []
  #mark = 0

  constructor(bytes: Buffer, file: string, form: Form, header: Header) {
    this.#bytes = bytes
    this.#file = file
    this.#form = form
    this.#life = header.life
    this.#key = form.keys?.of('segment', header.life)
    this.checksum = header.previousChecksum
  }

  run(): void {
    const { headerBytes } = this.#form
    const bytes = this.#bytes
    for (let window = 0; window < bytes.length; window += WINDOW) {
      const windowEnd = Math.min(window + WINDOW, bytes.length)
      let at = window === 0 ? HEADERS : window
      for (;;) {
        const rest = SECTOR - (at % SECTOR)
        if (rest < headerBytes) at += rest
        while (at + headerBytes <= windowEnd && bytes.readUInt16LE(at + 8) === 0) {
          at += SECTOR - (at % SECTOR)
        }
        if (at + headerBytes > windowEnd) break
        at = this.#block(at, windowEnd)
      }
    }
    check(this.#frame.length === 0, `${this.#file}: a frame without its end`)
  }

  /** Reads the block at `at`; returns where it ends. */
  #block(at: number, windowEnd: number): number {
    const { mark, flags, payload, sum } = readBlock(
      this.#bytes.subarray(0, windowEnd),
      at,
      this.#file,
      this.#form,
      this.#life,
      this.#key,
    )
    this.end = at + this.#form.headerBytes + payload.length
    this.#take(at, mark, flags, payload, sum)
    return this.end
  }

  #take(at: number, mark: number, flags: number, payload: Buffer, sum: number): void {
    const place = `${this.#file} at ${at}`
    const first = (flags & 1) !== 0
    check(first === (this.#frame.length === 0), `${place}: FIRST`)
    if (first) this.#mark = mark
    else {
      const last = this.#places[this.#places.length - 1]!
      check(mark === this.#mark && at === last - (last % WINDOW) + WINDOW, `${place}: frame`)
    }
    this.#frame.push(payload)
    this.#places.push(at + this.#form.headerBytes)
    if ((flags & 2) === 0) return
    this.#readFrame(place)
    this.checksum = sum
    this.#frame = []
    this.#places = []
  }

  #readFrame(place: string): void {
    const payload = Buffer.concat(this.#frame)
    const kind = payload[0]!
    const firstSequence = payload.readUIntLE(2, 6)
    check(payload.readUInt32LE(12) === this.checksum, `${place}: checksum of the frame before`)
    check(firstSequence > this.sequence, `${place}: sequence`)
    if (kind === 2) {
      check(payload.readUInt32LE(30) <= this.manifest!, `${place}: an old manifest`)
      return
    }
    check(kind === 1, `${place}: kind of frame`)
    let next = firstSequence
    for (let at = 30; at < payload.length; next++) {
      const { entry, end } = this.#entry(payload, at)
      if (this.manifest === undefined) check(entry.sequence >= next, `${place}: order`)
      else check(entry.sequence === next, `${place}: sequence of an entry`)
      next = entry.sequence
      this.sequence = entry.sequence
      this.entries.push(entry)
      at = end
    }
  }

  #entry(payload: Buffer, start: number): { entry: StoredEntry; end: number } {
    const first = payload[start]!
    let at = start + 1
    const varint = (): number => {
      const { value, end } = readVarint(payload, at)
      at = end
      return value
    }
    const known = this.references ? 0xc4 : 0xe4
    check((first & known) === 4 && (first & 3) !== 0, `${this.#file}: first byte of an entry`)
    const keyLength = varint()
    const valueLength = varint()
    const sequence = payload.readUIntLE(at, 6)
    at += 6
    const expiry = (first & 8) === 0 ? 0 : payload.readUIntLE(at, 6)
    if ((first & 8) !== 0) at += 6
    const keyEnd = at + keyLength
    const end = keyEnd + valueLength
    check(end <= payload.length, `${this.#file}: an entry is cut short`)
    const address = this.#addressOf(start)
    if (end - start <= SHORT_ENTRY) {
      const last = this.#addressOf(end - 1)
      check(address - (address % WINDOW) === last - (last % WINDOW), 'a short entry in one window')
    }
    const entry = {
      file: this.#file,
      address,
      kind: first & 3,
      ascii: (first & 16) !== 0,
      reference: (first & 32) !== 0 ? true : undefined,
      sequence,
      expiry,
      key: Buffer.from(payload.subarray(at, keyEnd)),
      value: Buffer.from(payload.subarray(keyEnd, end)),
    }
    return { entry, end }
  }

  /** Where in the file a byte of the frame lies. */
  #addressOf(offset: number): number {
    let rest = offset
    let i = 0
    while (rest >= this.#frame[i]!.length) rest -= this.#frame[i++]!.length
    return this.#places[i]! + rest
  }
}

export function readVarint(bytes: Buffer, at: number): { value: number; end: number } {
  let value = 0
  let end = at
  for (let scale = 1; ; scale *= 128) {
    const byte = bytes[end++]!
    value += (byte & 127) * scale
    if (byte < 128) return { value, end }
  }
}

function decompress(payload: Buffer, id: number, length: number): Buffer {
  if (id === 0) return payload
  if (id === 1) {
    check(payload.readUInt32LE(0) === length, 'length before an LZ4 block')
    return unpackLz4(payload.subarray(4), length)
  }
  if (id === 2) return zlib.inflateRawSync(payload)
  const { zstdDecompressSync } = zlib as { zstdDecompressSync?: (bytes: Uint8Array) => Buffer }
  check(id === 3 && zstdDecompressSync !== undefined, 'an unknown compression')
  return zstdDecompressSync(payload)
}

function liveOf(entries: readonly StoredEntry[], manifest: Manifest): Map<string, Buffer> {
  const cleared = entries.reduce(
    (sequence, entry) => (entry.kind === 3 ? Math.max(sequence, entry.sequence) : sequence),
    manifest.clearedSequence,
  )
  const live = new Map<string, Buffer>()
  const sorted = entries.toSorted((a, b) => a.sequence - b.sequence)
  for (let i = 0; i < sorted.length; i++) {
    const { kind, key, value, sequence } = sorted[i]!
    check(sequence !== sorted[i - 1]?.sequence, 'a sequence that comes twice')
    if (kind === 3 || sequence < cleared) continue
    check(key[0] === 0, 'the root table')
    const name = key.toString('hex', 1)
    if (kind === 1) live.set(name, value)
    else live.delete(name)
  }
  return live
}
