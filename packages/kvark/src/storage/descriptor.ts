/**
 * `KVARK`, the first file of every store: who it is and how it was made. One line of JSON that a person can read, then
 * the CRC-32 of that line in hex (a sealed file).
 *
 *   {"kvark":1,"storeId":"…","engine":"log","hashSeed":123,"options":{…},"codecs":{…},"features":[0,0,0],
 *    "checksum":"crc32","compression":"none","encryption":null,"edition":0}\n
 *   9ae0daaf\n
 *
 * 1. Written before anything else, through a temporary file and a rename; there is no store without it. Only another secret
 *    (`rekey`) replaces it.
 * 2. An unknown bit in `features.incompatible` is `VERSION`: a newer kvark has written what this one cannot read.
 *    `readOnlyCompatible` bits refuse writing only, `compatible` ones nothing.
 */

import { isU32 } from '../bytes/varint.ts'
import type { Environment } from '../environment/environment.ts'
import type { Routine } from '../environment/routine.ts'
import { corruption, KvarkError } from '../errors.ts'
import { CHECKSUMS, type ChecksumName } from './block-form.ts'
import { CIPHERS, type CipherName, type StoreCipher } from './cipher.ts'
import { COMPRESSIONS, type CompressionName } from './compression.ts'
import { readSealed, writeSealed } from './sealed-file.ts'
import type { StoredKey } from './store-key.ts'

export interface Descriptor {
  /** 32 hex digits, random. */
  readonly storeId: string
  readonly engine: string
  /** Seeds the hash of keys: 32 bits. */
  readonly hashSeed: number
  /** Options that belong to the files and cannot change. */
  readonly options: Readonly<Record<string, unknown>>
  /** The codecs' names. */
  readonly codecs: { readonly keys: string; readonly values: string }
  readonly checksum: ChecksumName
  readonly compression: CompressionName
  /** Present where the store is encrypted. */
  readonly encryption: StoredKey | undefined
  /** How often the secret has been replaced. Who has seen a later one knows this file for an older copy. */
  readonly edition: number
  readonly features: {
    readonly compatible: number
    readonly readOnlyCompatible: number
    readonly incompatible: number
  }
}

export const DESCRIPTOR_NAME = 'KVARK'

/** The number of this file's own format. */
const FORMAT = 1

/** Feature bits that this version knows. */
const KNOWN_INCOMPATIBLE = 0
const KNOWN_READ_ONLY_COMPATIBLE = 0

/** The descriptor of the store in `folder`; `undefined` where there is none. */
export function* readDescriptor(
  environment: Environment,
  folder: string,
): Routine<Descriptor | undefined> {
  const content = yield* readSealed(environment, folder, DESCRIPTOR_NAME)
  return content === undefined
    ? undefined
    : parse(content, `${folder}/${DESCRIPTOR_NAME}`).descriptor
}

/** `CORRUPTION` when the descriptor was not written by somebody with the data key. */
export function* checkProof(
  environment: Environment,
  folder: string,
  cipher: StoreCipher,
): Routine<void> {
  const path = `${folder}/${DESCRIPTOR_NAME}`
  const { descriptor, proof } = parse(yield* readSealed(environment, folder, DESCRIPTOR_NAME), path)
  if (proofOf(descriptor, cipher) !== proof) {
    throw corruption(path, 0, 'the descriptor was changed by somebody without the key')
  }
}

/** Makes `folder` a store, or writes the descriptor of one under another `name` for the time being. Durable when it returns. */
export function* writeDescriptor(
  environment: Environment,
  folder: string,
  descriptor: Descriptor,
  cipher: StoreCipher | undefined,
  name: string = DESCRIPTOR_NAME,
): Routine<void> {
  const proof = cipher && proofOf(descriptor, cipher)
  const content = { ...contentOf(descriptor), ...(proof === undefined ? {} : { proof }) }
  yield* writeSealed(environment, folder, name, content)
}

function contentOf(descriptor: Descriptor): object {
  const { storeId, engine, hashSeed, options, codecs, features } = descriptor
  const { checksum, compression, encryption, edition } = descriptor
  return {
    kvark: FORMAT,
    storeId,
    engine,
    hashSeed,
    options,
    codecs,
    features: [features.compatible, features.readOnlyCompatible, features.incompatible],
    checksum,
    compression,
    encryption: encryption ?? null,
    edition,
  }
}

function proofOf(descriptor: Descriptor, cipher: StoreCipher): string {
  return cipher.proof(DESCRIPTOR_NAME, JSON.stringify(contentOf(descriptor)))
}

/** `VERSION` when the store has features that a writer of this version would damage. */
export function checkWritable(descriptor: Descriptor, folder: string): void {
  const unknown = unknownBits(descriptor.features.readOnlyCompatible, KNOWN_READ_ONLY_COMPATIBLE)
  if (unknown !== 0)
    throw newer(`${folder}/${DESCRIPTOR_NAME}`, unknown, 'can be read but not written')
}

function parse(content: unknown, path: string): { descriptor: Descriptor; proof: unknown } {
  if (!isRecord(content)) throw corruption(path, 0, 'no descriptor of a store')
  const { kvark, storeId, engine, hashSeed, options, codecs, features } = content
  const { checksum, compression, encryption, edition, proof } = content
  if (!isU32(kvark) || kvark === 0) throw corruption(path, 0, 'no descriptor of a store')
  if (kvark > FORMAT) {
    throw new KvarkError(
      'VERSION',
      `${path} has format ${kvark}; this kvark reads up to ${FORMAT}. Open the store with the newer kvark that made it.`,
      { path, expected: FORMAT, found: kvark },
    )
  }
  if (
    typeof storeId !== 'string' ||
    !/^[0-9a-f]{32}$/.test(storeId) ||
    typeof engine !== 'string' ||
    !isU32(hashSeed) ||
    !isRecord(options) ||
    !isRecord(codecs) ||
    typeof codecs['keys'] !== 'string' ||
    typeof codecs['values'] !== 'string' ||
    !Array.isArray(features) ||
    features.length !== 3 ||
    !features.every(isU32) ||
    !CHECKSUMS.includes(checksum as ChecksumName) ||
    !COMPRESSIONS.includes(compression as CompressionName) ||
    !(encryption === null || isStoredKey(encryption)) ||
    !isU32(edition)
  ) {
    throw corruption(path, 0, 'a descriptor with missing or wrong fields')
  }
  const [compatible, readOnlyCompatible, incompatible] = features as [number, number, number]
  const unknown = unknownBits(incompatible, KNOWN_INCOMPATIBLE)
  if (unknown !== 0) throw newer(path, unknown, 'cannot be read')
  const descriptor: Descriptor = {
    storeId,
    engine,
    hashSeed,
    options,
    codecs: { keys: codecs['keys'], values: codecs['values'] },
    checksum: checksum as ChecksumName,
    compression: compression as CompressionName,
    encryption: encryption ?? undefined,
    edition,
    features: { compatible, readOnlyCompatible, incompatible },
  }
  return { descriptor, proof }
}

function newer(path: string, bits: number, consequence: string): KvarkError {
  return new KvarkError(
    'VERSION',
    `${path} names features that this kvark does not know (bits 0x${bits.toString(16)}), so the store ${consequence}. ` +
      'Open it with the newer kvark that made it.',
    { path, found: bits },
  )
}

function unknownBits(word: number, known: number): number {
  return (word & ~known) >>> 0
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isStoredKey(value: unknown): value is StoredKey {
  if (!isRecord(value)) return false
  const { cipher, salt, wrapped } = value
  return (
    CIPHERS.includes(cipher as CipherName) &&
    (salt === null || isHex(salt)) &&
    isHex(wrapped) &&
    Object.keys(value).length === 3
  )
}

function isHex(value: unknown): value is string {
  return typeof value === 'string' && /^(?:[0-9a-f]{2})+$/.test(value)
}
