/**
 * `rekey`: a store gets another secret. The data is encrypted with a random data key, which stays; only its wrapping in the
 * descriptor is made anew, so this takes as long for a large store as for a small one.
 *
 *   lock ─► descriptor ─► old secret ─► data key ─► proof ─► wrapped in the new secret ─► descriptor, replaced ─► engine ─► unlock
 *
 * 1. The descriptor is replaced as a whole: whenever a crash comes, exactly one of the two secrets opens the store.
 * 2. A failure from there on says so: the new secret must not be taken for one that opens nothing.
 * 3. The descriptor has a higher edition, which the engine writes down, opened and closed for that: from then on an older copy of the descriptor is
 *    refused. After a crash before that, the next close of the store does it.
 */

import { engines } from '../engines.ts'
import type { Environment } from '../environment/environment.ts'
import { type Effect, effect, type Routine } from '../environment/routine.ts'
import { asKvarkError, KvarkError } from '../errors.ts'
import { storeForm } from '../storage/block-form.ts'
import { StoreCipher } from '../storage/cipher.ts'
import {
  checkProof,
  checkWritable,
  type Descriptor,
  readDescriptor,
  writeDescriptor,
} from '../storage/descriptor.ts'
import { openKey, storeKey } from '../storage/store-key.ts'
import { checkNames, invalid } from './arguments.ts'
import { LOCK_NAME, look, noStore, removeHalfWritten } from './folder.ts'
import { encryption, engineOptions, madeOtherwise, notEncrypted, place } from './open-plan.ts'
import type { Encryption } from './options.ts'

export interface RekeyOptions {
  /** The secret that opens the store now. */
  readonly encryption: Encryption
  /** The secret that is to open it from now on. The cipher stays as it is. */
  readonly to: Encryption
  /** Another world to live in: files, clock, randomness. For tests. */
  readonly environment?: Environment
}

const NAMES: readonly string[] = ['encryption', 'to', 'environment']
/** Recovery needs a few pages at most. */
const CACHE_BYTES = 1024 * 1024

/**
 * Gives the encrypted store in the folder `path` another key or passphrase; nobody may have it open. The data itself is not
 * written anew. When it resolves, only the new secret opens the store, and an old copy of its file `KVARK` is `CORRUPTION`. When it
 * fails or is cut off, exactly one of the two does; the message of a failure tells which to keep.
 *
 * An old copy of the whole store still opens with the old secret, and gives away the key of the data. If both have leaked, `convert`
 * the store to a new one instead, which gets another one.
 *
 * `NOT_FOUND`: there is no store. `LOCKED`: it is open. `MISMATCH`: it is not encrypted. `BAD_ENCRYPTION_KEY`: `encryption` does
 * not open it. `INVALID_ARGUMENT`: `to` names another cipher, or an option is wrong.
 *
 * @example
 * await rekey('./data', { encryption: { passphrase: 'old one' }, to: { key: randomBytes(32) } })
 */
export async function rekey(path: string, options: RekeyOptions): Promise<void> {
  await rekeying(path, options).async()
}

/** `rekey` at once. */
export function rekeySync(path: string, options: RekeyOptions): void {
  rekeying(path, options).sync()
}

function rekeying(path: string, options: RekeyOptions): Effect<void> {
  return effect(() => replaceSecret(path, options))
}

function* replaceSecret(path: string, options: RekeyOptions): Routine<void> {
  checkOptions(options)
  const now = required(options, 'encryption')
  const to = required(options, 'to')
  const { environment, folder } = place(path, options.environment)
  const { files } = environment
  if ((yield* look(files, folder)) !== 'store') throw noStore(folder)
  const lock = yield* files.lock(`${folder}/${LOCK_NAME}`, 0)
  try {
    const descriptor = yield* readDescriptor(environment, folder)
    if (descriptor === undefined) throw noStore(folder)
    checkWritable(descriptor, folder)
    if (descriptor.encryption === undefined) throw notEncrypted(folder)
    const { cipher } = descriptor.encryption
    if (now.cipher !== undefined && now.cipher !== cipher) {
      throw madeOtherwise(folder, 'cipher', now.cipher, cipher)
    }
    if (to.cipher !== undefined && to.cipher !== cipher) {
      throw invalid(
        `The store ${folder} is encrypted with '${cipher}', and rekey cannot change that to '${to.cipher}'. Leave the cipher out, or convert the store to a new one.`,
        { expected: cipher, found: to.cipher },
      )
    }
    const random = (length: number): Uint8Array => environment.random(length)
    const dataKey = yield* openKey(descriptor.encryption, now, folder)
    const storeCipher = new StoreCipher(cipher, Buffer.from(dataKey, 'hex'), random)
    yield* checkProof(environment, folder, storeCipher)
    const wrapped = yield* storeKey(cipher, dataKey, to, random)
    // What an earlier call left holds the data key under a secret that may have been given up since.
    yield* removeHalfWritten(files, folder)
    const edition = descriptor.edition + 1
    const next: Descriptor = { ...descriptor, encryption: wrapped, edition }
    let replaced = false
    try {
      yield* writeDescriptor(environment, folder, next, storeCipher)
      replaced = true
      yield* tellEngine(environment, folder, next, dataKey)
    } catch (error) {
      throw withSecret(asKvarkError(error), replaced)
    }
  } catch (error) {
    try {
      yield* lock.release()
    } catch {
      // The first error says more.
    }
    throw error
  }
  yield* lock.release()
}

/** The failure, and which secret to keep: who takes it for nothing done throws away the only one that opens the store. */
function withSecret(failure: KvarkError, replaced: boolean): KvarkError {
  const { code, message, retryable, path, offset, errno } = failure
  const secret = replaced
    ? 'Only the new secret opens the store now: keep it. Another rekey, from it to itself, does what is left to do.'
    : 'One of the two secrets opens the store: keep both until it was opened.'
  return new KvarkError(code, `${message} ${secret}`, {
    retryable: retryable && !replaced,
    cause: failure,
    ...(path === undefined ? {} : { path }),
    ...(offset === undefined ? {} : { offset }),
    ...(errno === undefined ? {} : { errno }),
  })
}

/** Opens and closes the engine, which then knows the edition of the descriptor. */
function* tellEngine(
  environment: Environment,
  folder: string,
  descriptor: Descriptor,
  key: string,
): Routine<void> {
  const module = engines[descriptor.engine]
  const { checksum, compression, encryption } = descriptor
  // A store of an engine that only a newer kvark has: that will do it.
  if (module === undefined || encryption === undefined) return
  const { cipher } = encryption
  const form = storeForm({ checksum, compression, encryption: { cipher, key } }, (length) =>
    environment.random(length),
  )
  const engine = yield* module.open({
    environment,
    folder,
    descriptor,
    form,
    options: engineOptions({ given: {} }, module, descriptor.options),
    cacheBytes: CACHE_BYTES,
    created: false,
  })
  yield* engine.close()
}

/** Not shown when they are wrong: they may be a secret. */
function checkOptions(options: unknown): asserts options is RekeyOptions {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw invalid('The options of rekey must be an object like { encryption, to }.')
  }
  checkNames(options, NAMES, 'rekey')
}

function required(options: RekeyOptions, name: 'encryption' | 'to'): Encryption {
  const secret = encryption(options[name], name)
  if (secret === undefined) {
    throw invalid(`rekey needs the option '${name}'. Give it a key or a passphrase.`)
  }
  return secret
}
