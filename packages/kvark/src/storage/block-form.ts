/**
 * How the blocks of a store are made and read: plain, or compressed, or encrypted, or both.
 *
 *   plain    │ checksum u32 │ mark u32 │ length u16 │ flags u8 │ form u8 │ payload …
 *   sealed   │ checksum u32 │ mark u32 │ length u16 │ flags u8 │ form u8 │ stored length u16 │ 0 u16 │ envelope 28? │ stored …
 *
 *   `length`    of the payload, which is the room that the block takes: an address means the same place in every form
 *   `stored`    the payload compressed, then encrypted; zeros fill the rest of the room, and where it is long nothing is written,
 *               so that the file has a hole there
 *   `envelope`  nonce and tag, where the store is encrypted; authenticated with the payload: file, address, and the header
 *   `form`      compression (low 4 bits) and cipher (high 4 bits)
 *
 * 1. The checksum covers header and stored bytes as they are in the file, and is seeded with the life of the file and the
 *    block's place: a block of another file, another life of it, or another place is not taken for this one.
 * 2. `check` leaves the bytes alone; `open` puts the payload where a plain block has it, and must be called once only.
 * 3. In an encrypted store no block is taken that is not encrypted.
 */

import type { KeyObject } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { readU16, readU32, writeU16, writeU32, writeU48 } from '../bytes/varint.ts'
import { xxh64 } from '../bytes/xxh64.ts'
import { KvarkError } from '../errors.ts'
import { type CipherName, ENVELOPE_BYTES, type RandomBytes, StoreCipher } from './cipher.ts'
import {
  type Compression,
  type CompressionName,
  compressionNamed,
  compressionOf,
} from './compression.ts'

export const PLAIN_HEADER_BYTES = 12
export const PROOF_BYTES = 16
const NO_PROOF = Buffer.alloc(PROOF_BYTES)
/** Where sealed blocks say how long their stored payload is. */
export const STORED_LENGTH_AT = 12
const ENVELOPE_AT = 16
/** Shorter payloads are not worth the call. */
const LEAST_COMPRESSED_BYTES = 64

export interface BlockForm {
  /** Bytes of a block before its payload. */
  readonly headerBytes: number
  /** Whether the bytes in the file differ from those in memory. */
  readonly sealed: boolean
  /** Whether a place of a file is written once only, so that an older block never fits where a newer one lies. */
  readonly writesOnce: boolean
  /** `PROOF_BYTES` that say that the header of a file was written by somebody with the key; zeros where there is none. */
  proof(header: Uint8Array): Uint8Array
  /**
   * Completes the block whose payload of `length` bytes lies in `plain[at + headerBytes ..]`, and writes it as the file gets it to
   * `stored[at ..]`: the same memory when the form is not `sealed`. Returns its checksum.
   */
  seal(
    plain: Buffer,
    stored: Buffer,
    at: number,
    length: number,
    flags: number,
    mark: number,
    life: number,
    address: number,
  ): number
  /** Bytes of the block at `bytes[at]` as its header has it, as the file gets it, but for the zeros that fill its room. */
  storedBytes(bytes: Buffer, at: number): number
  /** The payload length of the block at `bytes[at]`, `address` in its file; −1 where it is damaged or goes beyond `end`. */
  check(bytes: Buffer, at: number, end: number, life: number, address: number): number
  /** `check`, and then the payload is made readable in place. */
  open(bytes: Buffer, at: number, end: number, life: number, address: number): number
}

/** What another thread needs to work with the same form: plain data. */
export interface FormDescription {
  readonly checksum: ChecksumName
  readonly compression: CompressionName
  readonly encryption: { readonly cipher: CipherName; readonly key: string } | undefined
}

/** How a store has its data in files. */
export interface StoreForm {
  readonly description: FormDescription
  readonly blocks: BlockForm
  /** Present where the store is encrypted. */
  readonly cipher: StoreCipher | undefined
}

/** `crc32`, or the lower half of `xxh64`. */
export type ChecksumName = 'crc32' | 'xxh64'

export const CHECKSUMS: readonly ChecksumName[] = ['crc32', 'xxh64']

/** A checksum of `bytes[start .. end)`: 32 bits. */
type Checksum = (bytes: Buffer, start: number, end: number, seed: number) => number

const CHECKSUM_FUNCTIONS: Readonly<Record<ChecksumName, Checksum>> = {
  crc32: (bytes, start, end, seed) => crc32(bytes.subarray(start, end), seed),
  xxh64: (bytes, start, end, seed) => xxh64(bytes, start, end, seed)[0]!,
}

/** A block of another file or place has another seed. */
export function seedOf(life: number, address: number): number {
  return (Math.imul(life ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(address + 1, 0xc2b2ae35)) >>> 0
}

function writeHeader(
  target: Buffer,
  at: number,
  length: number,
  flags: number,
  mark: number,
): void {
  writeU32(target, at + 4, mark)
  writeU16(target, at + 8, length)
  target[at + 10] = flags
  target[at + 11] = 0
}

/** Blocks as they are. */
export class PlainForm implements BlockForm {
  readonly headerBytes: number = PLAIN_HEADER_BYTES
  readonly sealed = false
  readonly writesOnce = false
  readonly #checksum: Checksum

  constructor(checksum: ChecksumName) {
    this.#checksum = CHECKSUM_FUNCTIONS[checksum]
  }

  proof(): Uint8Array {
    return NO_PROOF
  }

  seal(
    plain: Buffer,
    _stored: Buffer,
    at: number,
    length: number,
    flags: number,
    mark: number,
    life: number,
    address: number,
  ): number {
    writeHeader(plain, at, length, flags, mark)
    const end = at + PLAIN_HEADER_BYTES + length
    const sum = this.#checksum(plain, at + 4, end, seedOf(life, address))
    writeU32(plain, at, sum)
    return sum
  }

  storedBytes(bytes: Buffer, at: number): number {
    return PLAIN_HEADER_BYTES + readU16(bytes, at + 8)
  }

  check(bytes: Buffer, at: number, end: number, life: number, address: number): number {
    const length = readU16(bytes, at + 8)
    const blockEnd = at + PLAIN_HEADER_BYTES + length
    if (length === 0 || blockEnd > end) return -1
    if (this.#checksum(bytes, at + 4, blockEnd, seedOf(life, address)) !== readU32(bytes, at)) {
      return -1
    }
    if (bytes[at + 11] !== 0) throw unknownForm(address, bytes[at + 11]!)
    return length
  }

  open(bytes: Buffer, at: number, end: number, life: number, address: number): number {
    return this.check(bytes, at, end, life, address)
  }
}

export class SealedForm implements BlockForm {
  readonly headerBytes: number
  readonly sealed = true
  readonly writesOnce: boolean
  readonly #checksum: Checksum
  readonly #compression: Compression | undefined
  readonly #cipher: StoreCipher | undefined
  readonly #place: Buffer = Buffer.alloc(22)
  #life = -1
  #key: KeyObject | undefined

  constructor(
    checksum: ChecksumName,
    compression: Compression | undefined,
    cipher: StoreCipher | undefined,
  ) {
    this.#checksum = CHECKSUM_FUNCTIONS[checksum]
    this.#compression = compression
    this.#cipher = cipher
    this.writesOnce = cipher !== undefined
    this.headerBytes = ENVELOPE_AT + (cipher === undefined ? 0 : ENVELOPE_BYTES)
  }

  proof(header: Uint8Array): Uint8Array {
    const proof = this.#cipher?.proof('segment header', header)
    return proof === undefined ? NO_PROOF : Buffer.from(proof, 'hex').subarray(0, PROOF_BYTES)
  }

  seal(
    plain: Buffer,
    stored: Buffer,
    at: number,
    length: number,
    flags: number,
    mark: number,
    life: number,
    address: number,
  ): number {
    // Readers of the memory look for the length, too.
    writeHeader(plain, at, length, flags, mark)
    writeHeader(stored, at, length, flags, mark)
    const from = at + this.headerBytes
    let payload = plain.subarray(from, from + length)
    let form = (this.#cipher?.id ?? 0) << 4
    if (this.#compression && length >= LEAST_COMPRESSED_BYTES) {
      const compressed = this.#compression.compress(payload)
      if (compressed.length < length) {
        payload = Buffer.from(compressed.buffer, compressed.byteOffset, compressed.length)
        form |= this.#compression.id
      }
    }
    stored[at + 11] = form
    writeU16(stored, at + STORED_LENGTH_AT, payload.length)
    writeU16(stored, at + STORED_LENGTH_AT + 2, 0)
    if (this.#cipher) {
      const key = this.#keyOf(life)
      const place = this.#placeOf(stored, at, life, address)
      this.#cipher.encrypt(key, payload, 0, payload.length, stored, from, at + ENVELOPE_AT, place)
    } else payload.copy(stored, from)
    stored.fill(0, from + payload.length, from + length)
    const sum = this.#checksum(stored, at + 4, from + payload.length, seedOf(life, address))
    writeU32(stored, at, sum)
    return sum
  }

  storedBytes(bytes: Buffer, at: number): number {
    return this.headerBytes + readU16(bytes, at + STORED_LENGTH_AT)
  }

  check(bytes: Buffer, at: number, end: number, life: number, address: number): number {
    const length = readU16(bytes, at + 8)
    const from = at + this.headerBytes
    if (length === 0 || from + length > end) return -1
    const storedLength = readU16(bytes, at + STORED_LENGTH_AT)
    if (storedLength === 0 || storedLength > length) return -1
    const sum = this.#checksum(bytes, at + 4, from + storedLength, seedOf(life, address))
    if (sum !== readU32(bytes, at)) return -1
    const form = bytes[at + 11]!
    const known = (form & 15) === 0 || compressionOf(form & 15) !== undefined
    if (!known || form >>> 4 !== (this.#cipher?.id ?? 0)) throw unknownForm(address, form)
    return length
  }

  open(bytes: Buffer, at: number, end: number, life: number, address: number): number {
    const length = this.check(bytes, at, end, life, address)
    if (length < 0) return -1
    const from = at + this.headerBytes
    const storedLength = readU16(bytes, at + STORED_LENGTH_AT)
    for (let i = from + storedLength; i < from + length; i++) if (bytes[i] !== 0) return -1
    let payload: Uint8Array = bytes.subarray(from, from + storedLength)
    if (this.#cipher) {
      const key = this.#keyOf(life)
      const place = this.#placeOf(bytes, at, life, address)
      const decrypted = this.#cipher.decrypt(
        key,
        bytes,
        from,
        storedLength,
        at + ENVELOPE_AT,
        place,
      )
      if (decrypted === undefined) return -1
      payload = decrypted
    }
    const compression = compressionOf(bytes[at + 11]! & 15)
    if (compression) {
      const plain = compression.decompress(payload, length)
      if (plain === undefined) return -1
      payload = plain
    } else if (storedLength !== length) return -1
    bytes.set(payload, from)
    return length
  }

  /** Most calls in a row are about one file. */
  #keyOf(life: number): KeyObject {
    if (life !== this.#life || this.#key === undefined) {
      this.#key = this.#cipher!.subkey('segment', life)
      this.#life = life
    }
    return this.#key
  }

  /** What is authenticated with the payload: the file, the address, and the header but for its checksum. */
  #placeOf(bytes: Buffer, at: number, life: number, address: number): Buffer {
    const place = this.#place
    writeU32(place, 0, life)
    writeU48(place, 4, address)
    bytes.copy(place, 10, at + 4, at + ENVELOPE_AT)
    return place
  }
}

/** The same form, to salvage from: a block that says it is of a form unknown here is damaged, like any other that cannot be read. */
export function salvagingForm(form: BlockForm): BlockForm {
  const orDamaged = (read: () => number): number => {
    try {
      return read()
    } catch (error) {
      if (error instanceof KvarkError && error.code === 'VERSION') return -1
      throw error
    }
  }
  return {
    headerBytes: form.headerBytes,
    sealed: form.sealed,
    writesOnce: form.writesOnce,
    storedBytes: (...block) => form.storedBytes(...block),
    proof: (header) => form.proof(header),
    seal: (...block) => form.seal(...block),
    check: (...block) => orDamaged(() => form.check(...block)),
    open: (...block) => orDamaged(() => form.open(...block)),
  }
}

/** The form that is described. `random`: for nonces. */
export function storeForm(description: FormDescription, random: RandomBytes): StoreForm {
  const { checksum, compression, encryption } = description
  const cipher =
    encryption && new StoreCipher(encryption.cipher, Buffer.from(encryption.key, 'hex'), random)
  const plain = compression === 'none' && cipher === undefined
  const blocks = plain
    ? new PlainForm(checksum)
    : new SealedForm(checksum, compressionNamed(compression), cipher)
  return { description, blocks, cipher }
}

function unknownForm(offset: number, form: number): KvarkError {
  return new KvarkError(
    'VERSION',
    `The block at offset ${offset} is compressed or encrypted in a way that this version does not know, or that the store has not. ` +
      'Open the store with the kvark that wrote it.',
    { offset, found: form },
  )
}
