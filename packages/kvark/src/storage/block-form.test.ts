import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { suite, test } from 'node:test'
import zlib, { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { SeededRandom } from '../bytes/random.ts'
import { readU16, writeU32 } from '../bytes/varint.ts'
import { KvarkError } from '../errors.ts'
import {
  type BlockForm,
  type ChecksumName,
  type FormDescription,
  STORED_LENGTH_AT,
  storeForm,
} from './block-form.ts'
import { CIPHERS, type CipherName } from './cipher.ts'
import { COMPRESSIONS, type CompressionName } from './compression.ts'

const LIFE = 0x81234567
const ADDRESS = 2 ** 33 + 512
const MARK = 0xfedcba98
const FLAGS = 5
/** Where the block lies in its buffer. */
const AT = 24

const KEYS = {
  'aes-128-gcm': '0123456789abcdef'.repeat(2),
  'aes-256-gcm': '0123456789abcdef'.repeat(4),
}

function described(
  checksum: ChecksumName,
  compression: CompressionName,
  cipher: CipherName | undefined,
): FormDescription {
  return { checksum, compression, encryption: cipher && { cipher, key: KEYS[cipher] } }
}

const descriptions: readonly FormDescription[] = [
  ...COMPRESSIONS.flatMap((compression) =>
    [undefined, ...CIPHERS].map((cipher) => described('crc32', compression, cipher)),
  ),
  described('xxh64', 'none', undefined),
  described('xxh64', 'lz4', 'aes-256-gcm'),
]

function nameOf({ checksum, compression, encryption }: FormDescription): string {
  return `${checksum}, ${compression}, ${encryption?.cipher ?? 'not encrypted'}`
}

function skipped({ compression }: FormDescription): string | false {
  return compression === 'zstd' && !('zstdCompressSync' in zlib) && 'this Node has no zstd'
}

function formOf(description: FormDescription): BlockForm {
  return storeForm(description, randomBytes).blocks
}

/** The bytes of a file that holds `payload` in a block at `AT`, with noise around it. */
function sealed(form: BlockForm, payload: Uint8Array): Buffer {
  const size = AT + form.headerBytes + payload.length
  const plain = Buffer.alloc(size + 10, 0xee)
  const stored = form.sealed ? Buffer.alloc(size + 10, 0xdd) : plain
  plain.set(payload, AT + form.headerBytes)
  form.seal(plain, stored, AT, payload.length, FLAGS, MARK, LIFE, ADDRESS)
  assert.equal(readU16(plain, AT + 8), payload.length)
  return stored
}

function check(form: BlockForm, bytes: Buffer, end = bytes.length - 10): number {
  return form.check(bytes, AT, end, LIFE, ADDRESS)
}

/** The payload; `undefined` where the block is refused. */
function opened(
  form: BlockForm,
  bytes: Buffer,
  life = LIFE,
  address = ADDRESS,
): Buffer | undefined {
  const copy = Buffer.from(bytes)
  const length = form.open(copy, AT, copy.length - 10, life, address)
  if (length < 0) return undefined
  return copy.subarray(AT + form.headerBytes, AT + form.headerBytes + length)
}

/** What opening comes to: `VERSION`, or whether a payload came out. */
function outcome(form: BlockForm, bytes: Buffer, life = LIFE, address = ADDRESS): string {
  try {
    return opened(form, bytes, life, address) === undefined ? 'refused' : 'opened'
  } catch (error) {
    assert.ok(error instanceof KvarkError, String(error))
    return error.code
  }
}

/** Gives a block that was changed on purpose the checksum that belongs to it. */
function repair(form: BlockForm, bytes: Buffer, life = LIFE, address = ADDRESS): void {
  const length = readU16(bytes, AT + (form.sealed ? STORED_LENGTH_AT : 8))
  const seed = (Math.imul(life ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(address + 1, 0xc2b2ae35)) >>> 0
  writeU32(bytes, AT, crc32(bytes.subarray(AT + 4, AT + form.headerBytes + length), seed))
}

const text = Buffer.from('A line of text that repeats itself. '.repeat(12))

for (const description of descriptions) {
  suite(nameOf(description), { skip: skipped(description) }, () => {
    const encrypted = description.encryption !== undefined
    const compressed = description.compression !== 'none'

    test('a payload comes back, of every content and many sizes', () => {
      const form = formOf(description)
      const roundTrip = (payload: Uint8Array): void => {
        const bytes = sealed(form, payload)
        assert.equal(check(form, bytes), payload.length)
        const back = opened(form, bytes)
        assert.ok(back?.equals(payload), `${payload.length} bytes`)
      }
      const random = new SeededRandom(1)
      for (const length of [1, 2, 63, 64, 65, 500, 16_372, 65_000]) {
        roundTrip(new Uint8Array(length))
        roundTrip(random.bytes(length))
      }
      const contents = fc.oneof(
        fc.uint8Array({ minLength: 1, maxLength: 400 }),
        fc.string({ minLength: 1, maxLength: 30 }).map((part) => Buffer.from(part.repeat(40))),
      )
      fc.assert(fc.property(contents, roundTrip), { numRuns: 60 })
    })

    test('what is stored is not readable where it should not be', () => {
      const form = formOf(description)
      const bytes = sealed(form, text)
      assert.equal(bytes.includes('repeats itself. A line'), !encrypted && !compressed)
      if (encrypted) assert.notDeepEqual(sealed(form, text), bytes, 'a nonce is never used twice')
      if (!compressed) return
      const storedLength = readU16(bytes, AT + STORED_LENGTH_AT)
      assert.ok(storedLength < text.length / 2)
      const rest = bytes.subarray(AT + form.headerBytes + storedLength, bytes.length - 10)
      assert.ok(
        rest.every((byte) => byte === 0),
        'the rest of the room is zeros',
      )
    })

    test('every flipped bit is refused', () => {
      const form = formOf(description)
      const whole = sealed(form, text)
      const storedEnd =
        AT + form.headerBytes + readU16(whole, AT + (form.sealed ? STORED_LENGTH_AT : 8))
      for (let bit = AT * 8; bit < (whole.length - 10) * 8; bit++) {
        const damaged = Buffer.from(whole)
        damaged[bit >>> 3]! ^= 1 << (bit & 7)
        // Zeros behind what is stored are not under the checksum.
        if (bit >>> 3 < storedEnd) assert.equal(check(form, damaged), -1, `bit ${bit}`)
        assert.equal(outcome(form, damaged), 'refused', `bit ${bit}`)
      }
    })

    test('cut short, or of another file or place, it is refused', () => {
      const form = formOf(description)
      const bytes = sealed(form, text)
      const end = bytes.length - 10
      for (let cut = end - 1; cut >= AT + form.headerBytes; cut--) {
        assert.equal(check(form, bytes, cut), -1)
      }
      assert.equal(outcome(form, bytes, LIFE + 1), 'refused')
      assert.equal(outcome(form, bytes, LIFE, ADDRESS + 512), 'refused')
      assert.equal(outcome(form, Buffer.alloc(bytes.length)), 'refused')
    })

    // Whoever damages on purpose repairs the checksum; crc32 stands for both.
    if (!encrypted || description.checksum !== 'crc32') return

    test('encrypted: every bit changed on purpose is refused', () => {
      const form = formOf(description)
      const whole = sealed(form, text)
      const storedLength = readU16(whole, AT + STORED_LENGTH_AT)
      for (let at = AT + 4; at < AT + form.headerBytes + storedLength; at++) {
        for (let bit = 0; bit < 8; bit++) {
          const changed = Buffer.from(whole)
          changed[at]! ^= 1 << bit
          repair(form, changed)
          const found = outcome(form, changed)
          const where = `byte ${at - AT}, bit ${bit}`
          if (at === AT + 11) assert.match(found, /^(?:refused|VERSION)$/, where)
          else assert.equal(found, 'refused', where)
        }
      }
    })

    test('encrypted: a block moved on purpose is refused', () => {
      const form = formOf(description)
      const bytes = sealed(form, text)
      for (const [life, address] of [
        [LIFE, ADDRESS + 512],
        [LIFE, ADDRESS - 2 ** 33],
        [LIFE + 1, ADDRESS],
        [1, 0],
      ] as const) {
        const moved = Buffer.from(bytes)
        repair(form, moved, life, address)
        assert.equal(form.check(moved, AT, moved.length - 10, life, address), text.length)
        assert.equal(outcome(form, moved, life, address), 'refused')
      }
      const back = Buffer.from(bytes)
      repair(form, back)
      assert.equal(outcome(form, back), 'opened', 'the repair is the right one')
    })
  })
}

test('in an encrypted store no block is taken that is not encrypted, and the other way round', () => {
  const encrypted = formOf(described('crc32', 'lz4', 'aes-256-gcm'))
  const compressed = formOf(described('crc32', 'lz4', undefined))
  const plain = formOf(described('crc32', 'none', undefined))
  const other = formOf({
    ...described('crc32', 'lz4', undefined),
    encryption: { cipher: 'aes-256-gcm', key: '00'.repeat(32) },
  })
  // A block of the one form with the form byte and the checksum of the other.
  const forged = sealed(encrypted, text)
  forged[AT + 11]! &= 15
  repair(encrypted, forged)
  assert.equal(outcome(encrypted, forged), 'VERSION')
  for (const [writer, reader] of [
    [compressed, encrypted],
    [encrypted, compressed],
    [plain, encrypted],
    [encrypted, plain],
    [other, encrypted],
  ] as const) {
    assert.notEqual(outcome(reader, sealed(writer, text)), 'opened')
  }
})

test('a form of a newer kvark is VERSION', () => {
  const sealedForm = formOf(described('crc32', 'lz4', undefined))
  const plainForm = formOf(described('crc32', 'none', undefined))
  for (const form of [sealedForm, plainForm]) {
    for (const id of [4, 15, 0x30, 0xf0]) {
      const bytes = sealed(form, text)
      bytes[AT + 11] = id
      repair(form, bytes)
      assert.equal(outcome(form, bytes), 'VERSION')
      assert.throws(() => check(form, bytes), { code: 'VERSION', found: id, offset: ADDRESS })
    }
  }
})
