/**
 * How a store says in its descriptor that it is encrypted, and how the user's key opens it.
 *
 *   { cipher, salt | null, wrapped }
 *     wrapped   the data key under the user's (`cipher.ts`)
 *     salt      of the passphrase; null where the user has a key
 *
 * Beside it in the descriptor: `proof`, over all the rest of it, by the data key: whoever changes a word of it is found out.
 *
 * 1. A wrong key is `BAD_ENCRYPTION_KEY`; with the right one, a changed descriptor is `CORRUPTION`.
 */

import { Effect, type Routine } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import {
  type CipherName,
  keyBytes,
  keyOfPassphrase,
  keyOfPassphraseSync,
  type RandomBytes,
  unwrapKey,
  wrapKey,
} from './cipher.ts'

/** What the descriptor of an encrypted store holds. */
export interface StoredKey {
  readonly cipher: CipherName
  /** Hex. */
  readonly salt: string | null
  /** Hex. */
  readonly wrapped: string
}

/** The user's secret. */
export type Secret = { readonly key: Uint8Array } | { readonly passphrase: string }

const SALT_BYTES = 16

/** A data key for a new store: random bytes in hex. */
export function newDataKey(cipher: CipherName, random: RandomBytes): string {
  return Buffer.from(random(keyBytes(cipher))).toString('hex')
}

/** Wraps a data key in the user's. */
export function* storeKey(
  cipher: CipherName,
  dataKey: string,
  secret: Secret,
  random: RandomBytes,
): Routine<StoredKey> {
  const salt = 'passphrase' in secret ? Buffer.from(random(SALT_BYTES)).toString('hex') : null
  const userKey = yield* userKeyOf(secret, salt)
  return { cipher, salt, wrapped: wrapKey(userKey, Buffer.from(dataKey, 'hex'), random) }
}

/** The data key in hex; `BAD_ENCRYPTION_KEY` where the secret is not the one. */
export function* openKey(stored: StoredKey, secret: Secret, folder: string): Routine<string> {
  const isPassphrase = 'passphrase' in secret
  if (isPassphrase !== (stored.salt !== null)) {
    throw new KvarkError(
      'BAD_ENCRYPTION_KEY',
      `The store ${folder} was encrypted with a ${isPassphrase ? 'key, not with a passphrase' : 'passphrase, not with a key'}. Give that.`,
      { path: folder },
    )
  }
  const dataKey = unwrapKey(yield* userKeyOf(secret, stored.salt), stored.wrapped)
  if (dataKey === undefined) {
    throw new KvarkError(
      'BAD_ENCRYPTION_KEY',
      `The ${isPassphrase ? 'passphrase' : 'key'} does not open the store ${folder}. Give the one that it was encrypted with.`,
      { path: folder },
    )
  }
  return Buffer.from(dataKey).toString('hex')
}

function* userKeyOf(secret: Secret, salt: string | null): Routine<Uint8Array> {
  if ('key' in secret) return secret.key
  const bytes = Buffer.from(salt!, 'hex')
  const { passphrase } = secret
  return yield* new Effect(
    () => keyOfPassphraseSync(passphrase, bytes),
    () => keyOfPassphrase(passphrase, bytes),
  )
}
