/**
 * Opening a store.
 *
 *   options ─► look at the folder ─► make it ─► lock ─► descriptor: read and compare, or write ─► engine ─► store
 *
 * 1. A refusal by options or by what is in the folder leaves no trace on disk.
 * 2. Nothing is decided on what was seen before the lock was held.
 * 3. When opening fails, the engine is closed where it was open already, and the lock is released.
 */

import type { Engine, EngineModule } from '../engine/engine.ts'
import type { Environment, Job } from '../environment/environment.ts'
import { type Effect, effect, type Routine } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import { type StoreForm, storeForm } from '../storage/block-form.ts'
import type { CipherName } from '../storage/cipher.ts'
import {
  checkProof,
  checkWritable,
  type Descriptor,
  readDescriptor,
  writeDescriptor,
} from '../storage/descriptor.ts'
import { newDataKey, openKey, storeKey } from '../storage/store-key.ts'
import type { FileLock, Files } from '../vfs/files.ts'
import { heldFiles } from '../vfs/held-files.ts'
import { overlayFiles } from '../vfs/overlay.ts'
import { checkNames, checkObject, invalid } from './arguments.ts'
import {
  foreignFolder,
  isBare,
  LOCK_NAME,
  look,
  makeFolder,
  noStore,
  removeHalfWritten,
} from './folder.ts'
import { Life } from './life.ts'
import type { DescribeOptions, StoreDescription } from './open.ts'
import {
  checkEngineOptions,
  checkMatch,
  checkPinned,
  engineOptions,
  type OpenPlan,
  place,
  planOpen,
} from './open-plan.ts'
import { KvarkStore } from './store.ts'

const DEFAULT_CIPHER: CipherName = 'aes-256-gcm'

/** `open` with other engines than the ones of the package. */
export function openWith(
  modules: Readonly<Record<string, EngineModule>>,
  path: string,
  options: object = {},
): Effect<KvarkStore<unknown, unknown>> {
  return effect(() => openStore(modules, path, options))
}

function* openStore(
  modules: Readonly<Record<string, EngineModule>>,
  path: string,
  options: object,
): Routine<KvarkStore<unknown, unknown>> {
  const plan = planOpen(modules, path, options)
  const { environment: given } = options as { environment?: Environment }
  return new KvarkStore(yield* openLife(modules, plan, given), plan.keys, plan.values)
}

/** Opens what is there, or makes it; `given` is the environment that the user gave. */
export function* openLife(
  modules: Readonly<Record<string, EngineModule>>,
  plan: OpenPlan,
  given: Environment | undefined,
): Routine<Life> {
  const { environment, folder } = plan
  const { files } = environment
  if (!(yield* isThere(plan))) yield* makeFolder(files, folder)
  const lock = yield* files.lock(`${folder}/${LOCK_NAME}`, plan.lockTimeoutMs, plan.readOnly)
  let engine: Engine | undefined
  try {
    const { descriptor, form } = (yield* isThere(plan))
      ? yield* readChecked(plan)
      : yield* makeStore(plan)
    const module = plan.module ?? moduleOf(modules, descriptor, plan)
    engine = yield* module.open({
      environment: plan.readOnly
        ? readOnlyEnvironment(environment)
        : {
            ...withFiles(environment, heldFiles(files, lock, folder)),
            ...(environment.execute && { execute: (job: Job) => environment.execute!(job) }),
          },
      folder,
      descriptor,
      form,
      options: engineOptions(plan, module, descriptor.options),
      cacheBytes: plan.cacheBytes,
      created: yield* isBare(files, folder),
      readOnly: plan.readOnly,
    })
    const { path, readOnly, durability, ttl, slowMs, expiryIntervalMs } = plan
    const where = { environment, given, path, folder, readOnly, descriptor, lock, expiryIntervalMs }
    const life = new Life({ engine, modules, durability, ttl, slowMs, ...where })
    yield* life.tables.load()
    return life
  } catch (error) {
    try {
      yield* closed(engine, lock)
    } catch {
      // The first error says more.
    }
    throw error
  }
}

/** The lock is let go of in any case. */
function* closed(engine: Engine | undefined, lock: FileLock): Routine<void> {
  try {
    if (engine !== undefined) yield* engine.close()
  } finally {
    yield* lock.release()
  }
}

/** The same world, in which nothing written reaches the disk. */
export function readOnlyEnvironment(environment: Environment): Environment {
  return withFiles(environment, overlayFiles(environment.files))
}

/** The same world with other files. Jobs run in this thread, for no other sees the same files. */
function withFiles(environment: Environment, files: Files): Environment {
  return {
    files,
    now: () => environment.now(),
    monotonic: () => environment.monotonic(),
    random: (length) => environment.random(length),
    defer: (callback) => environment.defer(callback),
    pause: environment.pause,
    timer: (ms, callback) => environment.timer(ms, callback),
    warn: (message) => environment.warn(message),
  }
}

/** Whether there is a store; throws when that is not what the options want. */
function* isThere(plan: OpenPlan): Routine<boolean> {
  const { folder } = plan
  const state = yield* look(plan.environment.files, folder)
  if (state === 'store') {
    if (plan.errorIfExists) {
      throw invalid(`A store exists at ${folder} already, and 'errorIfExists' forbids to open it.`)
    }
    return true
  }
  if (!plan.create || plan.module === undefined) {
    throw noStore(folder, ", or make one by opening it with an engine and 'create'")
  }
  if (state === 'foreign') throw foreignFolder(folder)
  return false
}

/** Who a store is, and how it has its data in files. */
export interface Identity {
  readonly descriptor: Descriptor
  readonly form: StoreForm
}

/** Who the store is, if it is what the options want. */
export function* readChecked(plan: OpenPlan): Routine<Identity> {
  const { environment, folder } = plan
  const descriptor = yield* readDescriptor(environment, folder)
  if (descriptor === undefined) throw noStore(folder)
  if (!plan.readOnly) checkWritable(descriptor, folder)
  // What was changed by somebody without the key is told as that, not as a store that was made otherwise.
  const form = yield* formOf(plan, descriptor)
  checkMatch(plan, descriptor)
  return { descriptor, form }
}

/** How the store has its data in files, if the key is the right one and the descriptor was not changed. */
function* formOf(plan: OpenPlan, descriptor: Descriptor): Routine<StoreForm> {
  const { environment, folder } = plan
  const { checksum, compression } = descriptor
  const random = (length: number): Uint8Array => environment.random(length)
  if (!descriptor.encryption || !plan.encryption) {
    return storeForm({ checksum, compression, encryption: undefined }, random)
  }
  const key = yield* openKey(descriptor.encryption, plan.encryption, folder)
  const { cipher } = descriptor.encryption
  const form = storeForm({ checksum, compression, encryption: { cipher, key } }, random)
  yield* checkProof(environment, folder, form.cipher!)
  return form
}

/** Makes the place a store of the engine that was asked for. */
function* makeStore(plan: OpenPlan): Routine<Identity> {
  const { environment, folder } = plan
  const identity = yield* newIdentity(plan)
  const { descriptor, form } = identity
  yield* removeHalfWritten(environment.files, folder)
  yield* writeDescriptor(environment, folder, descriptor, form.cipher)
  return identity
}

/** Who a new store of the engine that was asked for is. */
export function* newIdentity(plan: OpenPlan): Routine<Identity> {
  const { environment } = plan
  const random = (length: number): Uint8Array => environment.random(length)
  const checksum = plan.checksum ?? 'crc32'
  const compression = plan.compression ?? 'none'
  const cipher = plan.encryption?.cipher ?? DEFAULT_CIPHER
  const key = plan.encryption && newDataKey(cipher, random)
  const encryption = key === undefined ? undefined : { cipher, key }
  const form = storeForm({ checksum, compression, encryption }, random)
  const module = plan.module!
  const options = Object.entries(engineOptions(plan, module, {})).filter(
    ([name]) => module.options[name]!.pinned,
  )
  const descriptor: Descriptor = {
    storeId: Buffer.from(environment.random(16)).toString('hex'),
    engine: module.name,
    hashSeed: Buffer.from(environment.random(4)).readUInt32LE(0),
    options: Object.fromEntries(options),
    codecs: { keys: plan.keys.name, values: plan.values.name },
    checksum,
    compression,
    encryption: plan.encryption && (yield* storeKey(cipher, key!, plan.encryption, random)),
    edition: 0,
    features: { compatible: 0, readOnlyCompatible: 0, incompatible: 0 },
  }
  return { descriptor, form }
}

/** The engine that the store was made with; `VERSION` where there is none of that name. */
export function moduleOf(
  modules: Readonly<Record<string, EngineModule>>,
  descriptor: Descriptor,
  plan: OpenPlan,
): EngineModule {
  const { engine } = descriptor
  const module = Object.hasOwn(modules, engine) ? modules[engine] : undefined
  if (module === undefined) {
    throw new KvarkError(
      'VERSION',
      `The store ${plan.folder} was made with the engine '${engine}', which this kvark does not have. Open it with a newer kvark.`,
      { path: plan.folder, expected: Object.keys(modules), found: engine },
    )
  }
  checkEngineOptions(plan, module)
  checkPinned(plan, module, descriptor)
  return module
}

/** What the store in the folder `path` says of itself. */
export function* readDescription(
  path: string,
  options: DescribeOptions | undefined,
): Routine<StoreDescription> {
  if (options !== undefined) {
    checkObject(options, 'The options of describe')
    checkNames(options, ['environment'], 'describe')
  }
  const { environment, folder } = place(path, options?.environment)
  if ((yield* look(environment.files, folder)) !== 'store') throw noStore(folder)
  const descriptor = yield* readDescriptor(environment, folder)
  if (descriptor === undefined) throw noStore(folder)
  const { engine, storeId, codecs, checksum, compression, encryption } = descriptor
  const cipher = encryption?.cipher
  return { engine, storeId, ...codecs, options: descriptor.options, checksum, compression, cipher }
}
