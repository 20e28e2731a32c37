/**
 * Opening a store.
 *
 *   options ─► look at the folder ─► make it ─► lock ─► descriptor: read and compare, or write ─► engine ─► store
 *
 * 1. A refusal by options or by what is in the folder leaves no trace on disk.
 * 2. Nothing is decided on what was seen before the lock was held.
 * 3. When opening fails, the lock is released.
 */

import type { EngineModule } from '../engine/engine.ts'
import { engines } from '../engines.ts'
import type { Environment } from '../environment/environment.ts'
import { type Effect, effect, type Routine } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import {
  checkWritable,
  type Descriptor,
  readDescriptor,
  writeDescriptor,
} from '../storage/descriptor.ts'
import { checkNames, checkObject, invalid } from './arguments.ts'
import type { Codec, KeyCodecs, ValueCodecs } from './codec.ts'
import { Core } from './core.ts'
import {
  foreignFolder,
  isBare,
  LOCK_NAME,
  look,
  makeFolder,
  noStore,
  removeHalfWritten,
} from './folder.ts'
import {
  checkEngineOptions,
  checkMatch,
  engineOptions,
  type OpenPlan,
  place,
  planOpen,
} from './open-plan.ts'
import type { EngineMap, EngineName, OpenOptions } from './options.ts'
import { KvarkStore } from './store.ts'

/** What a store says of itself without being opened. */
export interface StoreDescription {
  readonly engine: string
  /** 32 hex digits, random. */
  readonly storeId: string
  /** Names of the codecs. */
  readonly keys: string
  readonly values: string
  /** Options that belong to the files. */
  readonly options: Readonly<Record<string, unknown>>
}

export interface DescribeOptions {
  readonly environment?: Environment
}

type Opened<E extends EngineName, K, V> = EngineMap<K, V>[E]['store']

/**
 * Opens the store in the folder `path`, making it when there is none; `':memory:'` is a new one in memory.
 *
 * @example
 * const db = await open('./data', { values: 'json' })
 * await db.put('user:1', { name: 'Alice' })
 * await db.close()
 */
export function open<
  E extends EngineName = 'log',
  KC extends keyof KeyCodecs = 'utf8',
  VC extends keyof ValueCodecs = 'utf8',
>(
  path: string,
  options?: OpenOptions<E, KC, VC>,
): Promise<Opened<E, KeyCodecs[KC], ValueCodecs[VC]>>
export function open<K, E extends EngineName = 'log', VC extends keyof ValueCodecs = 'utf8'>(
  path: string,
  options: OpenOptions<E, Codec<K>, VC> & { readonly keys: Codec<K> },
): Promise<Opened<E, K, ValueCodecs[VC]>>
export function open<V, E extends EngineName = 'log', KC extends keyof KeyCodecs = 'utf8'>(
  path: string,
  options: OpenOptions<E, KC, Codec<V>> & { readonly values: Codec<V> },
): Promise<Opened<E, KeyCodecs[KC], V>>
export function open<K, V, E extends EngineName = 'log'>(
  path: string,
  options: OpenOptions<E, Codec<K>, Codec<V>> & {
    readonly keys: Codec<K>
    readonly values: Codec<V>
  },
): Promise<Opened<E, K, V>>
export function open(path: string, options?: object): Promise<unknown> {
  return openWith(engines, path, options).async()
}

/** `open` that returns the store itself, and holds the thread meanwhile. */
export function openSync<
  E extends EngineName = 'log',
  KC extends keyof KeyCodecs = 'utf8',
  VC extends keyof ValueCodecs = 'utf8',
>(path: string, options?: OpenOptions<E, KC, VC>): Opened<E, KeyCodecs[KC], ValueCodecs[VC]>
export function openSync<K, E extends EngineName = 'log', VC extends keyof ValueCodecs = 'utf8'>(
  path: string,
  options: OpenOptions<E, Codec<K>, VC> & { readonly keys: Codec<K> },
): Opened<E, K, ValueCodecs[VC]>
export function openSync<V, E extends EngineName = 'log', KC extends keyof KeyCodecs = 'utf8'>(
  path: string,
  options: OpenOptions<E, KC, Codec<V>> & { readonly values: Codec<V> },
): Opened<E, KeyCodecs[KC], V>
export function openSync<K, V, E extends EngineName = 'log'>(
  path: string,
  options: OpenOptions<E, Codec<K>, Codec<V>> & {
    readonly keys: Codec<K>
    readonly values: Codec<V>
  },
): Opened<E, K, V>
export function openSync(path: string, options?: object): unknown {
  return openWith(engines, path, options).sync()
}

/** Reads what the store in the folder `path` says of itself; `NOT_FOUND` where there is none. It may be open meanwhile. */
export async function describe(path: string, options?: DescribeOptions): Promise<StoreDescription> {
  return await effect(() => readDescription(path, options)).async()
}

/** `describe` at once. */
export function describeSync(path: string, options?: DescribeOptions): StoreDescription {
  return effect(() => readDescription(path, options)).sync()
}

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
  const { environment, folder } = plan
  const { files } = environment
  if (!(yield* isThere(plan))) yield* makeFolder(files, folder)
  const lock = yield* files.lock(`${folder}/${LOCK_NAME}`, plan.lockTimeoutMs)
  try {
    const descriptor = (yield* isThere(plan)) ? yield* readChecked(plan) : yield* makeStore(plan)
    const module = plan.module ?? moduleOf(modules, descriptor, plan)
    const engine = yield* module.open({
      environment,
      folder,
      descriptor,
      options: engineOptions(plan, module, descriptor.options),
      cacheBytes: plan.cacheBytes,
      created: yield* isBare(files, folder),
    })
    const { keys, values } = plan
    const parts = { engine, modules, environment, path: plan.path, descriptor, keys, values, lock }
    return new KvarkStore(new Core(parts), plan.durability)
  } catch (error) {
    try {
      yield* lock.release()
    } catch {
      // The first error says more.
    }
    throw error
  }
}

/** Whether there is a store; throws when that is not what the options want. */
function* isThere(plan: OpenPlan): Routine<boolean> {
  const { folder } = plan
  const state = yield* look(plan.environment.files, folder)
  if (state === 'store') {
    if (plan.errorIfExists) {
      throw invalid(
        `There is a store at ${folder} already, and 'errorIfExists' forbids to open it.`,
      )
    }
    return true
  }
  if (!plan.create || plan.module === undefined) throw noStore(folder)
  if (state === 'foreign') throw foreignFolder(folder)
  return false
}

function* readChecked(plan: OpenPlan): Routine<Descriptor> {
  const { environment, folder } = plan
  const descriptor = yield* readDescriptor(environment, folder)
  if (descriptor === undefined) throw noStore(folder)
  checkWritable(descriptor, folder)
  checkMatch(plan, descriptor)
  return descriptor
}

/** Makes the place a store of the engine that was asked for. */
function* makeStore(plan: OpenPlan): Routine<Descriptor> {
  const { environment, folder } = plan
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
    features: { compatible: 0, readOnlyCompatible: 0, incompatible: 0 },
  }
  yield* removeHalfWritten(environment.files, folder)
  yield* writeDescriptor(environment, folder, descriptor)
  return descriptor
}

/** The engine that the store was made with. */
function moduleOf(
  modules: Readonly<Record<string, EngineModule>>,
  { engine }: Descriptor,
  plan: OpenPlan,
): EngineModule {
  const module = Object.hasOwn(modules, engine) ? modules[engine] : undefined
  if (module === undefined) {
    throw new KvarkError(
      'VERSION',
      `The store ${plan.folder} was made with the engine '${engine}', which this kvark does not have. Open it with a newer kvark.`,
      { path: plan.folder, expected: Object.keys(modules), found: engine },
    )
  }
  checkEngineOptions(plan, module)
  return module
}

function* readDescription(
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
  const { engine, storeId, codecs } = descriptor
  return { engine, storeId, ...codecs, options: descriptor.options }
}
