/**
 * `repair`: what can still be read of a damaged store, in a new one. A damaged store may not even open, so it is a function beside it.
 *
 *   lock ─► descriptor, or what the files say in its place ─► secret ─► data key ─► `buildStore`: new descriptor ─► engine.salvage
 *
 * 1. The damaged store is only read; of its files only the lock is touched. Nobody writes to it meanwhile.
 * 2. The new store is made like the old one (engine, options, codecs, form, secret) but for its id, so that a file of the old one that
 *    gets into its folder is known for a stranger. The data key stays, wrapped as it was.
 * 3. What was saved of tables whose names are not is found in tables `lost-N`, with codecs of bytes (`mend.ts`).
 * 4. Damage is in the report. What is thrown is what keeps everything from being read or written, always as a `KvarkError` or the
 *    reason of the signal.
 */

import type { EngineModule, Progress, StoreIdentity } from '../engine/engine.ts'
import type { LostRange, RepairReport } from '../engine/facts.ts'
import { engines } from '../engines.ts'
import type { Environment } from '../environment/environment.ts'
import { MEMORY } from '../environment/node.ts'
import { type Effect, effect, type Routine } from '../environment/routine.ts'
import { asKvarkError, KvarkError } from '../errors.ts'
import { type StoreForm, storeForm } from '../storage/block-form.ts'
import {
  checkProof,
  DESCRIPTOR_NAME,
  type Descriptor,
  readDescriptor,
  writeDescriptor,
} from '../storage/descriptor.ts'
import { openKey } from '../storage/store-key.ts'
import type { FileLock } from '../vfs/files.ts'
import { checkNames, checkObject, invalid, show } from './arguments.ts'
import { buildStore, checkOutside } from './building.ts'
import type { Catalogue } from './catalogue.ts'
import { holdsData, LOCK_NAME, look, noStore, UNFINISHED_NAME } from './folder.ts'
import { hearing } from './hearing.ts'
import { inTables, mendCatalogue } from './mend.ts'
import {
  encryption,
  engineOptions,
  madeOtherwise,
  noSecret,
  notEncrypted,
  place,
} from './open-plan.ts'
import type { Encryption } from './options.ts'

export interface RepairOptions {
  /** The secret of an encrypted store; the new one has the same. */
  readonly encryption?: Encryption
  /** Names of the codecs, where the file `KVARK` is lost and nothing else tells; otherwise they are only checked. */
  readonly keys?: string
  readonly values?: string
  /** Heard now and then: bytes read, of how many. */
  readonly progress?: Progress
  readonly signal?: AbortSignal
  /** Another world to live in: files, clock, randomness. For tests. */
  readonly environment?: Environment
}

/** Of the new store while its tables are looked through. */
const CACHE_BYTES = 16 * 1024 * 1024

const NAMES: readonly string[] = [
  'encryption',
  'keys',
  'values',
  'progress',
  'signal',
  'environment',
]

/**
 * Writes what can still be read of the store in the folder `from` to a new store in the folder `to`, where nothing is yet or which is
 * empty, and tells what could not be read. Nobody may have the damaged store open; it is only read. It takes as long as to read and
 * write all data, and memory like the open store.
 *
 * Of each key the newest version that survives is there, with its version. If the newest is lost an older one may come back, and a
 * key whose deletion is lost may, too; `lost` names the keys of which that is known. Of a batch that is damaged in part, what survives
 * is there. A value that no checksum vouches for never is. Where the name of a table is lost, its entries are in a table `lost-N` with the
 * codec `bytes` for keys and values. Without damage the new store holds exactly what the old one does.
 *
 * `NOT_FOUND`: there is no store. `LOCKED`: it is open. `INVALID_ARGUMENT`: `to` is not empty, or an option is wrong.
 * `BAD_ENCRYPTION_KEY`: it is encrypted, and `encryption` does not open it. `CORRUPTION`: the file `KVARK` is lost, and with it what
 * nothing else tells; the message says what to give. `UNSUPPORTED`: the engine cannot. `VERSION`: a newer kvark has made it.
 * `NO_SPACE`, `IO`: nothing of the new store is left.
 *
 * @example
 * const { entries, lost } = await repair('./data', './repaired')
 * for (const { path, from, to, reason } of lost) console.log(`${path}, bytes ${from} to ${to}: ${reason}`)
 */
export async function repair(
  from: string,
  to: string,
  options?: RepairOptions,
): Promise<RepairReport> {
  return await repairWith(engines, from, to, options).async()
}

/** `repair` at once. */
export function repairSync(from: string, to: string, options?: RepairOptions): RepairReport {
  return repairWith(engines, from, to, options).sync()
}

/** `repair` with other engines than the ones of the package. */
export function repairWith(
  modules: Readonly<Record<string, EngineModule>>,
  from: string,
  to: string,
  options?: RepairOptions,
): Effect<RepairReport> {
  return effect(() => repairStore(modules, from, to, options ?? {}))
}

function* repairStore(
  modules: Readonly<Record<string, EngineModule>>,
  from: string,
  to: string,
  options: RepairOptions,
): Routine<RepairReport> {
  checkOptions(options)
  const secret = encryption(options.encryption)
  if (from === MEMORY || to === MEMORY) {
    throw invalid(
      `A store is repaired from a folder into another, not from or to '${MEMORY}'. Give two paths.`,
    )
  }
  const { environment, folder } = place(from, options.environment)
  const target = place(to, options.environment)
  checkOutside(folder, target.folder)
  const { files } = environment
  // It tells of a part of a store, too.
  if (!(yield* holdsData(files, folder)) && (yield* look(files, folder)) !== 'store') {
    throw noStore(folder)
  }
  const lock = yield* files.lock(`${folder}/${LOCK_NAME}`, 0, true)
  return yield* hearing(options.progress, (progress) => {
    const heard = { ...options, ...(progress && { progress }) }
    const work = new Repair(modules, environment, folder, target.folder, secret, heard)
    return repairLocked(lock, work, folder, options.signal)
  })
}

/** Carries out the repair of the folder, and lets go of its lock in any case. */
function* repairLocked(
  lock: FileLock,
  work: Repair,
  folder: string,
  signal: AbortSignal | undefined,
): Routine<RepairReport> {
  let report: RepairReport
  try {
    report = yield* work.run()
  } catch (error) {
    try {
      yield* lock.release()
    } catch {
      // The first error says more.
    }
    if (signal?.aborted) throw signal.reason
    throw inItsWords(error, folder)
  }
  yield* lock.release()
  return report
}

class Repair {
  readonly #modules: Readonly<Record<string, EngineModule>>
  readonly #environment: Environment
  readonly #folder: string
  readonly #to: string
  readonly #secret: Encryption | undefined
  readonly #options: RepairOptions
  readonly #lost: LostRange[] = []

  constructor(
    modules: Readonly<Record<string, EngineModule>>,
    environment: Environment,
    folder: string,
    to: string,
    secret: Encryption | undefined,
    options: RepairOptions,
  ) {
    this.#modules = modules
    this.#environment = environment
    this.#folder = folder
    this.#to = to
    this.#secret = secret
    this.#options = options
  }

  *run(): Routine<RepairReport> {
    const { progress, signal } = this.#options
    const environment = this.#environment
    const folder = this.#folder
    const descriptor = (yield* this.#readDescriptor()) ?? (yield* this.#guessDescriptor())
    const module = this.#moduleOf(descriptor)
    this.#checkCodecs(descriptor)
    const form = yield* this.#formOf(descriptor)
    const random = environment.random(20)
    const next: Descriptor = {
      ...descriptor,
      storeId: Buffer.from(random.subarray(0, 16)).toString('hex'),
      hashSeed: Buffer.from(random.subarray(16)).readUInt32LE(0),
      edition: 0,
    }
    const to = { folder: this.#to, descriptor: next }
    const target = { environment, folder: this.#to }
    const describeUnfinished = (): Routine<void> =>
      writeDescriptor(environment, to.folder, next, form.cipher, UNFINISHED_NAME)
    const mend = (): Routine<Catalogue> => this.#mend(module, next, form)
    const report = yield* buildStore(this.#modules, target, function* build() {
      yield* describeUnfinished()
      const context = { environment, folder, descriptor, form, to, progress, signal }
      const report = yield* module.salvage!(context)
      signal?.throwIfAborted()
      if (report.lost.length === 0) return report
      const catalogue = yield* mend()
      // The engine has removed it, as it does with all that is half-written.
      yield* describeUnfinished()
      return { ...report, lost: report.lost.map((range) => inTables(range, catalogue)) }
    })
    return { ...report, lost: [...this.#lost, ...report.lost] }
  }

  /** Makes the catalogue of the new store fit what was saved. */
  *#mend(module: EngineModule, descriptor: Descriptor, form: StoreForm): Routine<Catalogue> {
    const engine = yield* module.open({
      environment: this.#environment,
      folder: this.#to,
      descriptor,
      form,
      options: engineOptions({ given: {} }, module, descriptor.options),
      cacheBytes: CACHE_BYTES,
      created: false,
    })
    let catalogue: Catalogue
    try {
      catalogue = yield* mendCatalogue(engine, this.#to, this.#options.signal)
    } catch (error) {
      try {
        yield* engine.close()
      } catch {
        // The first error says more.
      }
      throw error
    }
    yield* engine.close()
    return catalogue
  }

  /** The descriptor, `undefined` where it is missing or damaged. */
  *#readDescriptor(): Routine<Descriptor | undefined> {
    try {
      return yield* readDescriptor(this.#environment, this.#folder)
    } catch (error) {
      if (error instanceof KvarkError && error.code === 'CORRUPTION') return undefined
      throw error
    }
  }

  /** What the data says in its place; for the rest the caller's word is taken. */
  *#guessDescriptor(): Routine<Descriptor> {
    const path = `${this.#folder}/${DESCRIPTOR_NAME}`
    const { keys, values } = this.#options
    let found: (StoreIdentity & { engine: string }) | undefined
    const names = yield* this.#environment.files.list(this.#folder)
    const explained = ({ files }: EngineModule): number =>
      names.filter((one) => files.test(one)).length
    // Some files are of the same name with several engines.
    const likely = Object.entries(this.#modules).sort(([, a], [, b]) => explained(b) - explained(a))
    for (const [engine, module] of likely) {
      const identity = yield* module.identify?.(this.#environment, this.#folder) ?? nothing()
      if (identity) found ??= { engine, ...identity }
    }
    const lost = (advice: string): KvarkError =>
      new KvarkError('CORRUPTION', `${path} cannot be read. ${advice}`, { path, offset: 0 })
    if (found === undefined) {
      throw lost(
        'Nothing else says how to read the store. Restore that file from a backup of this store, then repair it again.',
      )
    }
    if (found.encrypted) {
      throw lost(
        'The store is encrypted, and only that file holds the key of its data. Restore it from a backup of this store, then repair it again.',
      )
    }
    if (keys === undefined || values === undefined) {
      throw lost(
        "Nothing else tells the codecs of the store. Restore that file from a backup of this store, or give the options 'keys' and 'values', such as 'utf8' (on the command line --keys and --values).",
      )
    }
    const size = (yield* this.#environment.files.stat(path))?.size ?? 0
    const reason = 'what the store is, which the data tells only in part'
    this.#lost.push({ path, from: 0, to: size, reason })
    const { engine, storeId, checksum, compression, options = {} } = found
    return {
      storeId,
      engine,
      hashSeed: 0,
      options,
      codecs: { keys, values },
      checksum,
      compression,
      encryption: undefined,
      edition: 0,
      features: { compatible: 0, readOnlyCompatible: 0, incompatible: 0 },
    }
  }

  #moduleOf({ engine }: Descriptor): EngineModule {
    const modules = this.#modules
    const module = Object.hasOwn(modules, engine) ? modules[engine] : undefined
    if (module === undefined) {
      throw new KvarkError(
        'VERSION',
        `The store ${this.#folder} was made with the engine '${engine}', which this kvark does not have. Repair it with a newer kvark.`,
        { path: this.#folder, expected: Object.keys(modules), found: engine },
      )
    }
    if (module.salvage === undefined) {
      const able = Object.keys(modules).filter((name) => modules[name]!.salvage !== undefined)
      throw new KvarkError(
        'UNSUPPORTED',
        `The engine '${engine}' cannot repair its stores in this version. Restore the store from a backup.`,
        { path: this.#folder, engines: able },
      )
    }
    return module
  }

  #checkCodecs({ codecs }: Descriptor): void {
    for (const name of ['keys', 'values'] as const) {
      const given = this.#options[name]
      if (given === undefined || given === codecs[name]) continue
      throw madeOtherwise(this.#folder, name, given, codecs[name])
    }
  }

  *#formOf({ checksum, compression, encryption: stored }: Descriptor): Routine<StoreForm> {
    const environment = this.#environment
    const folder = this.#folder
    const secret = this.#secret
    const random = (length: number): Uint8Array => environment.random(length)
    if (stored === undefined) {
      if (secret !== undefined) throw notEncrypted(folder)
      return storeForm({ checksum, compression, encryption: undefined }, random)
    }
    if (secret === undefined) throw noSecret(folder, 'encryption')
    const { cipher } = stored
    if (secret.cipher !== undefined && secret.cipher !== cipher) {
      throw madeOtherwise(folder, 'cipher', secret.cipher, cipher)
    }
    const key = yield* openKey(stored, secret, folder)
    const form = storeForm({ checksum, compression, encryption: { cipher, key } }, random)
    yield* checkProof(environment, folder, form.cipher!)
    return form
  }
}

function* nothing(): Routine<undefined> {}

function checkOptions(options: unknown): asserts options is RepairOptions {
  checkObject(options, 'The options of repair')
  checkNames(options, NAMES, 'repair')
  const { keys, values, progress, signal } = options as Record<string, unknown>
  for (const [name, value] of Object.entries({ keys, values })) {
    if (value === undefined || (typeof value === 'string' && value !== '')) continue
    throw invalid(`The option '${name}' must be the name of a codec, not ${show(value)}.`)
  }
  if (progress !== undefined && typeof progress !== 'function') {
    throw invalid(`The option 'progress' must be a function, not ${show(progress)}.`)
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw invalid(`The option 'signal' must be an AbortSignal, not ${show(signal)}.`)
  }
}

/** A full disk is the new store's; and nobody gets anything but a `KvarkError`. */
function inItsWords(thrown: unknown, folder: string): KvarkError {
  const error = asKvarkError(thrown)
  if (error.code !== 'NO_SPACE') return error
  const { path = folder, errno } = error
  return new KvarkError(
    'NO_SPACE',
    `The disk is full, so nothing was repaired: ${path} cannot be written. Free some space there, or give another path; the damaged store is as it was.`,
    { path, cause: error, ...(errno === undefined ? {} : { errno }) },
  )
}
