/**
 * Everything that turns bytes into something, one by one: given bytes that nobody wrote, and bytes that it wrote itself.
 *
 *   garbage ─► codec ─► a value, "nothing", or a typed error          what a tuple gives is the only thing with these bytes
 *   value   ─► bytes ─► codec ─► the same value
 *
 * 1. No other error, no second of time, no buffer beyond 16 MiB.
 * 2. A block whose bytes were changed is not taken, or gives what was sealed; with its checksum made right it may give anything, of
 *    the right length.
 */

import assert from 'node:assert/strict'
import { SeededRandom } from '../../bytes/random.ts'
import {
  MAX_U48,
  readU48,
  readVarint,
  varintLength,
  writeU48,
  writeVarint,
} from '../../bytes/varint.ts'
import { WriteBatch } from '../../engine/write-batch.ts'
import { runSync } from '../../environment/routine.ts'
import { KvarkError } from '../../errors.ts'
import { type BlockForm, seedOf, storeForm } from '../../storage/block-form.ts'
import { keyBytes } from '../../storage/cipher.ts'
import { compressionNamed } from '../../storage/compression.ts'
import { readDescriptor } from '../../storage/descriptor.ts'
import { EntryHeader, MAX_ENTRY_HEADER_BYTES, writeEntryHeader } from '../../storage/entry.ts'
import {
  FILE_HEADER_BYTES,
  FRAME_HEADER_BYTES,
  HEADERS_AT,
  readFrameHeader,
  readSegmentHeader,
  writeFrameHeader,
  writeSegmentHeader,
} from '../../storage/segment-format.ts'
import type { Tuple, TupleElement } from '../../store/codec.ts'
import { type AnyCodec, resolveKeyCodec, resolveValueCodec } from '../../store/codecs.ts'
import { environmentWith, FOLDER } from '../damage.ts'
import { repairBlock, repairHeader, resealed } from '../tampering.ts'
import { anatomyOf } from './anatomies.ts'
import type { Input } from './anatomy.ts'
import { guarded, mostFor } from './guard.ts'
import type { Portion, Row, Tally } from './row.ts'
import { formOf } from './small-store.ts'

const INPUTS = 30_000
/** Of one kind in a row. */
const BATCH = 100

/** Runs `act`; a `KvarkError` with one of the codes is an answer like any other. */
function answers<T>(codes: readonly string[], act: () => T): T | undefined {
  try {
    return act()
  } catch (error) {
    if (error instanceof KvarkError && codes.includes(error.code)) return undefined
    throw error
  }
}

/** The codecs of a store with the options of a subject. */
class Inputs {
  readonly #random: SeededRandom
  readonly #form: BlockForm
  readonly #headerBytes: number
  readonly #options: ReturnType<typeof formOf>
  readonly #tuple: AnyCodec = resolveKeyCodec('tuple')
  readonly #json: AnyCodec = resolveValueCodec('json')
  readonly #utf8: AnyCodec = resolveKeyCodec('utf8')
  readonly #entry: EntryHeader = new EntryHeader()
  readonly #buffer: Buffer = Buffer.alloc(2 * FILE_HEADER_BYTES)

  constructor({ subject }: Portion, random: SeededRandom) {
    this.#random = random
    this.#options = formOf(subject)
    const { checksum = 'crc32', compression = 'none', encryption } = this.#options
    const cipher = encryption?.cipher
    const key = cipher && Buffer.alloc(keyBytes(cipher), 5).toString('hex')
    const form = { checksum, compression, encryption: cipher && { cipher, key: key! } }
    this.#form = storeForm(form, (length) => random.bytes(length)).blocks
    this.#headerBytes = this.#form.headerBytes
  }

  /** By name: what is tried, and how often compared with the others. */
  readonly kinds: readonly Input[] = [
    ['integers', 4, () => this.#integers()],
    ['entry header', 4, () => this.#entryHeader()],
    ['frame header', 1, () => this.#frameHeader()],
    ['segment header', 1, () => this.#segmentHeader()],
    ['block', 3, () => this.#block()],
    ['lz4', 1, () => this.#compressed('lz4')],
    ['deflate', 1, () => this.#compressed('deflate')],
    ['tuple of garbage', 4, () => this.#tupleOfGarbage()],
    ['tuple', 3, () => this.#tupleOfValues()],
    ['text', 3, () => this.#text()],
    ['JSON', 2, () => this.#jsonValue()],
    ['descriptor', 1, () => this.#descriptor()],
  ]

  #integers(): void {
    const random = this.#random
    const bytes = this.#buffer
    const value = random.uint32() >>> random.below(32)
    const end = writeVarint(bytes, 0, value)
    assert.equal(end, varintLength(value))
    assert.equal(readVarint(bytes, 0, end), value)
    assert.equal(readVarint(bytes, 0, end - 1), -1, 'a varint that is cut short')
    const large = random.uint32() * 0x1_0000 + random.below(0x1_0000)
    writeU48(bytes, 0, large)
    assert.equal(readU48(bytes, 0), large)
    const garbage = random.bytes(1 + random.below(8))
    const read = readVarint(garbage, 0, garbage.length)
    assert.ok(read === -1 || (Number.isInteger(read) && read >= 0 && read < 2 ** 32))
  }

  #entryHeader(): void {
    const random = this.#random
    const entry = this.#entry
    const bytes = this.#buffer
    const kind = 1 + random.below(3)
    const flags = random.pick([0, 16])
    const keyLength = random.uint32() >>> random.below(32)
    const valueLength = random.uint32() >>> random.below(32)
    const sequence = random.uint32() * 0x1_0000
    const expiry = random.chance(0.5) ? 0 : 1 + random.below(0xffff_ffff)
    const end = writeEntryHeader(bytes, 0, kind, flags, keyLength, valueLength, sequence, expiry)
    assert.ok(entry.read(bytes, 0, end))
    const { length } = entry
    assert.deepEqual(
      [entry.kind, entry.flags, entry.keyLength, entry.valueLength, entry.sequence],
      [kind, flags, keyLength, valueLength, sequence],
    )
    assert.deepEqual([entry.expiry, length], [expiry, end])
    assert.equal(entry.read(bytes, 0, end - 1), false, 'a header that is cut short')
    const garbage = random.bytes(random.below(MAX_ENTRY_HEADER_BYTES + 2))
    const read = answers(['VERSION'], () => entry.read(garbage, 0, garbage.length))
    if (read) assert.ok(entry.length <= garbage.length && entry.sequence <= MAX_U48)
  }

  #frameHeader(): void {
    const random = this.#random
    const bytes = this.#buffer
    const header = {
      kind: random.below(256),
      firstSequence: random.uint32() * 0x1_0000,
      epoch: random.uint32(),
      previousChecksum: random.uint32(),
      syncedSequence: random.uint32(),
      clock: random.uint32() * 0x100,
    }
    writeFrameHeader(bytes, 1, header)
    assert.deepEqual(readFrameHeader(bytes, 1), header)
    const garbage = readFrameHeader(Buffer.from(random.bytes(FRAME_HEADER_BYTES)), 0)
    assert.ok(Object.values(garbage).every((value) => Number.isSafeInteger(value) && value >= 0))
  }

  #segmentHeader(): void {
    const random = this.#random
    const bytes = this.#buffer.subarray(0, FILE_HEADER_BYTES)
    const header = {
      storeId: Buffer.from(random.bytes(16)).toString('hex'),
      life: random.uint32(),
      number: random.uint32(),
      previousNumber: random.uint32(),
      previousEnd: random.uint32(),
      previousChecksum: random.uint32(),
    }
    const read = (): unknown =>
      readSegmentHeader(bytes, bytes.length, '/store/1.log', header.storeId, this.#form)
    writeSegmentHeader(bytes, header, this.#form)
    bytes[random.pick(HEADERS_AT) + random.below(80)]! ^= 1 << random.below(8)
    assert.deepEqual(read(), header, 'one copy is enough')
    for (const copy of HEADERS_AT) {
      bytes[copy + random.below(60)] = random.below(256)
      if (random.chance(0.5)) repairHeader(bytes, copy)
    }
    answers(['VERSION', 'CORRUPTION'], read)
  }

  #block(): void {
    const random = this.#random
    const form = this.#form
    const headerBytes = this.#headerBytes
    const length = 1 + random.below(random.chance(0.1) ? 3000 : 200)
    const address = FILE_HEADER_BYTES + random.below(2 ** 26)
    const life = random.uint32()
    const end = headerBytes + length
    const plain = Buffer.alloc(end)
    const payload = random.chance(0.5) ? random.bytes(length) : new Uint8Array(length).fill(length)
    plain.set(payload, headerBytes)
    const stored = form.sealed ? Buffer.alloc(end) : plain
    form.seal(plain, stored, 0, length, random.below(4), random.uint32(), life, address)
    const opened = Buffer.from(stored)
    assert.equal(form.open(opened, 0, end, life, address), length)
    assert.ok(opened.subarray(headerBytes).equals(payload), 'a block gives what was sealed')
    const again = Buffer.from(stored)
    assert.equal(form.open(again, 0, end, life, address + 1), -1, 'a block of another place')
    const damaged = Buffer.from(stored)
    const at = random.below(end)
    damaged[at]! ^= 1 << random.below(8)
    const found = answers(['VERSION'], () => form.open(damaged, 0, end, life, address))
    assert.equal(found ?? -1, -1, `a block with byte ${at} changed is taken`)
    const forged = Buffer.from(stored)
    forged[4 + random.below(end - 4)] = random.below(256)
    repairBlock(forged, 0, this.#options, seedOf(life, address))
    const any = answers(['VERSION'], () => form.open(forged, 0, end, life, address)) ?? -1
    assert.ok(any === -1 || (any > 0 && headerBytes + any <= end))
  }

  #compressed(name: 'lz4' | 'deflate'): void {
    const random = this.#random
    const compression = compressionNamed(name)!
    const length = 1 + random.below(500)
    const values = random.pick([2, 256])
    const bytes = random.bytes(length).map((byte) => byte % values)
    const compressed = Buffer.from(compression.compress(bytes))
    assert.deepEqual(Buffer.from(compression.decompress(compressed, length)!), Buffer.from(bytes))
    const damaged = Buffer.from(compressed)
    const first = name === 'lz4' && random.chance(0.9) ? 4 : 0
    for (let edits = random.below(4); edits >= 0; edits--) {
      if (damaged.length > first)
        damaged[first + random.below(damaged.length - first)] = random.below(256)
    }
    const cut = damaged.subarray(0, random.chance(0.8) ? undefined : random.below(damaged.length))
    for (const claimed of [length, random.below(20_000)]) {
      const found = compression.decompress(cut, claimed)
      assert.ok(found === undefined || found.length === claimed)
    }
  }

  #encoded(codec: AnyCodec, value: unknown): Buffer {
    const sink = new WriteBatch()
    const length = codec.encodeInto(value, sink)
    return Buffer.from(sink.bytes.subarray(sink.used, sink.used + length))
  }

  #tupleOfGarbage(): void {
    const random = this.#random
    let bytes: Buffer = Buffer.from(random.bytes(random.below(24)))
    if (random.chance(0.7)) {
      // Nearly right: a tuple with some bytes changed.
      bytes = this.#encoded(this.#tuple, this.#value(2))
      if (bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256)
    }
    const value = answers(['DECODE'], () => this.#tuple.decode(bytes, 0, bytes.length, false))
    if (value !== undefined) {
      assert.ok(this.#encoded(this.#tuple, value).equals(bytes), 'two forms of one tuple')
    }
  }

  #tupleOfValues(): void {
    const value = this.#value(3)
    const bytes = this.#encoded(this.#tuple, value)
    assert.deepEqual(this.#tuple.decode(bytes, 0, bytes.length, false), value)
  }

  #value(depth: number): Tuple {
    return Array.from({ length: this.#random.below(4) }, () => this.#element(depth))
  }

  #element(depth: number): TupleElement {
    const random = this.#random
    const kinds: (() => TupleElement)[] = [
      () => null,
      () => random.chance(0.5),
      () => random.below(1000) - 500,
      () => new Float64Array(random.bytes(8).buffer)[0]! || 0,
      () => BigInt(random.uint32()) ** BigInt(random.below(9)) * (random.chance(0.5) ? 1n : -1n),
      () => this.#string(),
      () => random.bytes(random.below(9)),
      () => new Date(random.uint32() * 1000),
      () => (depth === 0 ? null : this.#value(depth - 1)),
    ]
    const value = random.pick(kinds)()
    return Number.isNaN(value) ? 0 : value
  }

  #string(): string {
    const random = this.#random
    const characters = ['a', 'Z', '\0', '\u00ff', '\u20ac', '\u{1f600}', '"', '\\', '\u2028']
    return Array.from({ length: random.below(12) }, () => random.pick(characters)).join('')
  }

  #text(): void {
    const random = this.#random
    const text = this.#string()
    const bytes = this.#encoded(this.#utf8, text)
    assert.equal(this.#utf8.decode(bytes, 0, bytes.length, false), text)
    const garbage = Buffer.from(random.bytes(random.below(20)))
    const found = answers(['DECODE'], () => this.#utf8.decode(garbage, 0, garbage.length, false))
    if (typeof found === 'string') assert.ok(Buffer.from(found).equals(garbage))
  }

  #jsonValue(): void {
    const random = this.#random
    const value = { a: [this.#string(), random.below(1e6) / 8, null], [this.#string()]: true }
    const bytes = this.#encoded(this.#json, value)
    assert.deepEqual(this.#json.decode(bytes, 0, bytes.length, false), value)
    if (bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256)
    answers(['DECODE'], () => this.#json.decode(bytes, 0, bytes.length, false))
  }

  #descriptor(): void {
    const random = this.#random
    const fields: Record<string, unknown> = {
      kvark: 1,
      storeId: 'ab'.repeat(16),
      engine: 'log',
      hashSeed: 1,
      options: {},
      codecs: { keys: 'utf8', values: 'utf8' },
      features: [0, 0, 0],
      checksum: 'crc32',
      compression: 'none',
      encryption: null,
      edition: 0,
    }
    const name = random.pick(Object.keys(fields))
    fields[name] = random.pick([null, -1, 2 ** 32, '', 'log', [], {}, [0, 0], true, { keys: 1 }])
    const line = Buffer.from(JSON.stringify(random.chance(0.9) ? fields : fields[name]))
    if (random.chance(0.3)) line[random.below(line.length)] = 32 + random.below(90)
    const environment = environmentWith(new Map([['KVARK', resealed(line.toString('latin1'))]]))
    answers(['CORRUPTION', 'VERSION'], () => runSync(readDescriptor(environment, FOLDER)))
  }
}

async function run(portion: Portion): Promise<Tally> {
  const { subject, seed } = portion
  const random = new SeededRandom(seed)
  const { kinds } = new Inputs(portion, random)
  const own = anatomyOf(formOf(subject)).inputs(random)
  const turns = [...kinds, ...own].flatMap((kind) => new Array<Input>(kind[1]).fill(kind))
  const more: Record<string, number> = {}
  let done = 0
  while (done < INPUTS) {
    const [name, , trial] = random.pick(turns)
    const { error } = attempt(
      `${subject.name}: ${name}, inputs from ${done} on (seed ${seed})`,
      () => {
        for (let i = 0; i < BATCH; i++) trial()
      },
    )
    assert.equal(error, undefined)
    more[name] = (more[name] ?? 0) + BATCH
    done += BATCH
  }
  return { done, more }
}

function attempt(hint: string, act: () => void): ReturnType<typeof guarded> {
  try {
    return guarded(mostFor(0), act)
  } catch (cause) {
    throw new Error(`${hint}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

export const codecInputs: Row = {
  name: 'codec-inputs',
  what: 'integers, headers of entries, frames and segments, blocks, compressions, keys, values, descriptors, and what only one engine has (shards of an index; roots, pages, leaves, maps of a tree): from garbage and back and forth',
  unit: 'inputs',
  rule: 'a value or a typed error; no second of time, no buffer beyond 16 MiB; what was written comes back the same',
  goal: 1_000_000,
  run,
}
