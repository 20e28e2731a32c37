/**
 * Encryption of a store: AES-GCM (NIST SP 800-38D) with a random data key that the user's key only wraps.
 *
 *   passphrase ─scrypt(salt)─► user's key ─AES-256-GCM─► wrapped data key (in the descriptor)
 *   data key ─HKDF-SHA-256(purpose, life of a file)─► one key for each file
 *
 * 1. Every encryption takes a fresh random nonce of 96 bits, under a key that one file has: neither a crash nor a restored copy can
 *    make the same nonce meet the same key but by chance (2^-64 for 2^16 blocks).
 * 2. What a piece of data is and where it lies is authenticated with it (`place`): moved or swapped, it is refused.
 * 3. A changed user's key wraps the same data key again: the data need not be written anew.
 */

import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  scrypt,
  scryptSync,
} from 'node:crypto'

export type CipherName = 'aes-128-gcm' | 'aes-256-gcm'

export const CIPHERS: readonly CipherName[] = ['aes-128-gcm', 'aes-256-gcm']

export const NONCE_BYTES = 12
const TAG_BYTES = 16
/** What encryption adds to a piece of data. */
export const ENVELOPE_BYTES: number = NONCE_BYTES + TAG_BYTES

/** Cost of scrypt (RFC 7914): 64 MiB and about a fifth of a second. */
const SCRYPT = { cost: 2 ** 16, blockSize: 8, parallelization: 1, maxmem: 2 ** 27 }

const IDS: Readonly<Record<CipherName, number>> = { 'aes-128-gcm': 1, 'aes-256-gcm': 2 }

const USER_KEY_BYTES = 32

export function keyBytes(cipher: CipherName): number {
  return cipher === 'aes-128-gcm' ? 16 : 32
}

/** Random bytes; the environment's. */
export type RandomBytes = (length: number) => Uint8Array

/** The data key of a store, and what is done with it. */
export class StoreCipher {
  readonly name: CipherName
  /** 1 … 15, kept in every block. */
  readonly id: number
  readonly #key: Uint8Array
  readonly #random: RandomBytes
  readonly #subkeys = new Map<string, KeyObject>()

  constructor(name: CipherName, key: Uint8Array, random: RandomBytes) {
    this.name = name
    this.id = IDS[name]
    this.#key = key
    this.#random = random
  }

  /** The data key in hex, for a thread that works on the same store. */
  get secret(): string {
    return Buffer.from(this.#key).toString('hex')
  }

  /** The key for one purpose, and one file of it. */
  subkey(purpose: string, life: number): KeyObject {
    const info = `kvark ${purpose} ${life}`
    let key = this.#subkeys.get(info)
    if (key === undefined) {
      const bytes = hkdfSync('sha256', this.#key, '', info, keyBytes(this.name))
      key = createSecretKey(new Uint8Array(bytes))
      // Compaction makes files for ever.
      if (this.#subkeys.size > 4096) this.#subkeys.clear()
      this.#subkeys.set(info, key)
    }
    return key
  }

  /** Encrypts `source[from .. from + length)` to `target[to ..]`; the envelope (nonce, tag) goes to `target[envelope ..]`. */
  encrypt(
    key: KeyObject,
    source: Uint8Array,
    from: number,
    length: number,
    target: Uint8Array,
    to: number,
    envelope: number,
    place: Uint8Array,
  ): void {
    const nonce = this.#random(NONCE_BYTES)
    const cipher = createCipheriv(this.name, key, nonce)
    cipher.setAAD(place)
    const encrypted = cipher.update(source.subarray(from, from + length))
    cipher.final()
    target.set(encrypted, to)
    target.set(nonce, envelope)
    target.set(cipher.getAuthTag(), envelope + NONCE_BYTES)
  }

  /** The other way round; `undefined` where anything was changed. */
  decrypt(
    key: KeyObject,
    source: Uint8Array,
    from: number,
    length: number,
    envelope: number,
    place: Uint8Array,
  ): Uint8Array | undefined {
    const nonce = source.subarray(envelope, envelope + NONCE_BYTES)
    const tag = source.subarray(envelope + NONCE_BYTES, envelope + ENVELOPE_BYTES)
    return unseal(this.name, key, nonce, tag, source.subarray(from, from + length), place)
  }

  /** Nonce, tag and ciphertext of a small piece of data in one. */
  seal(purpose: string, bytes: Uint8Array): Uint8Array {
    const sealed = new Uint8Array(ENVELOPE_BYTES + bytes.length)
    const place = Buffer.from(purpose)
    this.encrypt(this.subkey(purpose, 0), bytes, 0, bytes.length, sealed, ENVELOPE_BYTES, 0, place)
    return sealed
  }

  /** What `seal` was given; `undefined` where anything was changed. */
  unseal(purpose: string, sealed: Uint8Array): Uint8Array | undefined {
    if (sealed.length < ENVELOPE_BYTES) return undefined
    const place = Buffer.from(purpose)
    const length = sealed.length - ENVELOPE_BYTES
    return this.decrypt(this.subkey(purpose, 0), sealed, ENVELOPE_BYTES, length, 0, place)
  }

  /** A proof that `text` was written by somebody who has the data key, in hex. */
  proof(purpose: string, text: string | Uint8Array): string {
    return createHmac('sha256', this.subkey(purpose, 0)).update(text).digest('hex')
  }
}

/** Wraps a data key in the user's: hex. */
export function wrapKey(userKey: Uint8Array, dataKey: Uint8Array, random: RandomBytes): string {
  const nonce = random(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', wrappingKey(userKey), nonce)
  const wrapped = cipher.update(dataKey)
  cipher.final()
  return Buffer.concat([nonce, cipher.getAuthTag(), wrapped]).toString('hex')
}

/** The data key that `wrapKey` was given; `undefined` with another user's key. */
export function unwrapKey(userKey: Uint8Array, wrapped: string): Uint8Array | undefined {
  const bytes = Buffer.from(wrapped, 'hex')
  if (bytes.length < ENVELOPE_BYTES) return undefined
  const nonce = bytes.subarray(0, NONCE_BYTES)
  const tag = bytes.subarray(NONCE_BYTES, ENVELOPE_BYTES)
  const key = wrappingKey(userKey)
  return unseal('aes-256-gcm', key, nonce, tag, bytes.subarray(ENVELOPE_BYTES), undefined)
}

/** The user's key from a passphrase. Takes long, on purpose, but does not hold the thread. */
export function keyOfPassphrase(passphrase: string, salt: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    scrypt(normal(passphrase), salt, USER_KEY_BYTES, SCRYPT, (error, key) => {
      if (error) reject(error)
      else resolve(key)
    })
  })
}

/** The same at once. */
export function keyOfPassphraseSync(passphrase: string, salt: Uint8Array): Uint8Array {
  return scryptSync(normal(passphrase), salt, USER_KEY_BYTES, SCRYPT)
}

/** Composed, so that the same letters typed on another keyboard are the same passphrase. */
function normal(passphrase: string): string {
  return passphrase.normalize('NFC')
}

/** Keys of any length are taken; 32 bytes come out. */
function wrappingKey(userKey: Uint8Array): KeyObject {
  return createSecretKey(
    new Uint8Array(hkdfSync('sha256', userKey, '', 'kvark wrap', USER_KEY_BYTES)),
  )
}

function unseal(
  cipher: CipherName,
  key: KeyObject,
  nonce: Uint8Array,
  tag: Uint8Array,
  encrypted: Uint8Array,
  place: Uint8Array | undefined,
): Uint8Array | undefined {
  try {
    const decipher = createDecipheriv(cipher, key, nonce)
    decipher.setAuthTag(tag)
    if (place !== undefined) decipher.setAAD(place)
    const plain = decipher.update(encrypted)
    decipher.final()
    return plain
  } catch {
    return undefined
  }
}
