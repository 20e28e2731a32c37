/**
 * `convert`: everything that a store has, in a new store that is made otherwise: another engine, compression, encryption, size of pages.
 *
 *   old store, only read ─► a view of one moment ─► entries ─► engine of the new store ─► closed
 *                                     └─ sum of all entries ──── the same? ──── sum ◄─ read back ◄┘ ─► descriptor gets its name
 *
 * 1. The old store is opened to be read only: none of its files changes. Nobody may have it open meanwhile.
 * 2. The new store is built as every store that is not made by opening it (`building.ts`): whole or not at all.
 * 3. Tables, codecs and expiries stay as they are; versions are new, and so is the key that encrypts the data.
 * 4. Time stands still in the new store while it is made, so that no entry expires between being written and being counted.
 */

import type { Engine, EngineModule, Progress } from '../engine/engine.ts'
import type { BtreeOptions } from '../engines/btree/options.ts'
import type { LogOptions } from '../engines/log/options.ts'
import { engines } from '../engines.ts'
import type { Environment } from '../environment/environment.ts'
import { MEMORY } from '../environment/node.ts'
import { Effect, effect, type Routine } from '../environment/routine.ts'
import { asKvarkError, KvarkError } from '../errors.ts'
import type { ChecksumName } from '../storage/block-form.ts'
import type { CompressionName } from '../storage/compression.ts'
import { writeDescriptor } from '../storage/descriptor.ts'
import { checkJobOptions, checkNames, checkObject, invalid } from './arguments.ts'
import { buildStore, checkOutside } from './building.ts'
import type { Codec } from './codec.ts'
import { copyEntries, type Reading, sumOf } from './copying.ts'
import { UNFINISHED_NAME } from './folder.ts'
import { hearing } from './hearing.ts'
import type { Life } from './life.ts'
import type { StoreDescription } from './open.ts'
import { encryption, engineOptions, noSecret, type OpenPlan, planOpen } from './open-plan.ts'
import { newIdentity, openLife, readDescription, readOnlyEnvironment } from './opening.ts'
import type { Encryption, EngineName } from './options.ts'

/** How the new store is made; what is left out is as in the old one. */
export interface ConvertOptions extends BtreeOptions, LogOptions {
  readonly engine?: Exclude<EngineName, 'any'>
  readonly checksum?: ChecksumName
  readonly compression?: CompressionName
  /** The secret of the new store; `'none'`: it is not encrypted. Left out: that of the old one, if it has one. */
  readonly encryption?: Encryption | 'none'
  /** What opens the old store. */
  readonly from?: { readonly encryption?: Encryption }
  /** Heard now and then: entries written and read back, of how many. */
  readonly progress?: Progress
  readonly signal?: AbortSignal
  /** Another world to live in: files, clock, randomness. For tests. */
  readonly environment?: Environment
}

/** What `convert` did. */
export interface ConvertReport {
  /** What is in the new store, of all tables. */
  readonly entries: number
  /** Bytes of its files. */
  readonly bytes: number
}

/** Options that are not those of the new store. */
const OWN_NAMES: readonly string[] = ['from', 'progress', 'signal']
const COMMON_NAMES: readonly string[] = [
  'engine',
  'checksum',
  'compression',
  'encryption',
  'environment',
]

/**
 * Writes everything that is in the store in the folder `from` to a new store in the folder `to`, where nothing is yet or which is empty.
 * All tables come along, with their codecs, and so does every entry with its expiry; versions are new. The new store is read back and
 * compared before it gets its name: a crash leaves it whole or not at all. The old store is only read, and nobody may have it open.
 *
 * `NOT_FOUND`: there is no store at `from`. `LOCKED`: it is open. `BAD_ENCRYPTION_KEY`: it is encrypted, and `from.encryption` does not
 * open it. `INVALID_ARGUMENT`: an option is wrong, or something is at `to`. `INVALID_KEY`, `INVALID_VALUE`: the new engine does not
 * take one so long. `CORRUPTION`: the old store is damaged; `repair` saves what is left of it. `NO_SPACE`, `IO`. After an error or an abort
 * nothing of the new store is left.
 *
 * @example
 * await convert('./data', './faster', { engine: 'log', compression: 'lz4' })
 */
export async function convert(
  from: string,
  to: string,
  options?: ConvertOptions,
): Promise<ConvertReport> {
  return await convertWith(engines, from, to, options).async()
}

/** `convert` at once. */
export function convertSync(from: string, to: string, options?: ConvertOptions): ConvertReport {
  return convertWith(engines, from, to, options).sync()
}

/** `convert` with other engines than the ones of the package. */
function convertWith(
  modules: Readonly<Record<string, EngineModule>>,
  from: string,
  to: string,
  options: ConvertOptions = {},
): Effect<ConvertReport> {
  return effect(() => convertStore(modules, from, to, options))
}

function* convertStore(
  modules: Readonly<Record<string, EngineModule>>,
  from: string,
  to: string,
  options: ConvertOptions,
): Routine<ConvertReport> {
  checkOptions(modules, options)
  if (from === MEMORY || to === MEMORY) {
    throw invalid(
      `A store is converted from a folder into another, not from or to '${MEMORY}'. Give two paths.`,
    )
  }
  const { environment, signal } = options
  const given = environment === undefined ? {} : { environment }
  const made = yield* readDescription(from, given)
  const secret = secretOf(options)
  const source = planOpen(modules, from, {
    engine: 'any',
    readOnly: true,
    keys: anyBytes(made.keys),
    values: anyBytes(made.values),
    encryption: secret,
    ...given,
  })
  if (made.cipher !== undefined && secret === undefined) {
    throw noSecret(source.folder, 'from.encryption')
  }
  const target = planTarget(modules, to, options, made)
  checkOutside(source.folder, target.folder)
  signal?.throwIfAborted()
  const life = yield* openLife(modules, source, environment)
  return yield* hearing(options.progress, (progress) =>
    convertLife(modules, life, target, { ...options, ...(progress && { progress }) }),
  )
}

/** Writes what is in an open store to a new one, and closes the open one in any case. */
function* convertLife(
  modules: Readonly<Record<string, EngineModule>>,
  life: Life,
  target: OpenPlan,
  options: ConvertOptions,
): Routine<ConvertReport> {
  const closed = new Effect(
    () => life.closeSync(),
    () => life.close(),
  )
  let report: ConvertReport
  try {
    report = yield* new Conversion(modules, life, target, options).run()
  } catch (error) {
    try {
      yield* closed
    } catch {
      // The first error says more.
    }
    if (options.signal?.aborted) throw options.signal.reason
    throw inItsWords(error, target.folder)
  }
  yield* closed
  return report
}

class Conversion {
  readonly #modules: Readonly<Record<string, EngineModule>>
  readonly #life: Life
  readonly #plan: OpenPlan
  readonly #environment: Environment
  readonly #options: ConvertOptions
  #done = 0
  readonly #total: number

  constructor(
    modules: Readonly<Record<string, EngineModule>>,
    life: Life,
    plan: OpenPlan,
    options: ConvertOptions,
  ) {
    this.#modules = modules
    this.#life = life
    this.#plan = plan
    this.#environment = standingStill(plan.environment, life.engine.clock)
    this.#options = options
    this.#total = 2 * life.engine.stats().entries
  }

  *run(): Routine<ConvertReport> {
    const { folder } = this.#plan
    const environment = this.#environment
    const at = this.#life.engine.snapshot?.()
    const identity = yield* newIdentity(this.#plan)
    const { descriptor, form } = identity
    const describeUnfinished = (): Routine<void> =>
      writeDescriptor(environment, folder, descriptor, form.cipher, UNFINISHED_NAME)
    const open = (world: Environment, created: boolean): Routine<Engine> => {
      const { module, cacheBytes } = this.#plan
      const options = engineOptions(this.#plan, module!, {})
      return module!.open({
        ...identity,
        environment: world,
        folder,
        created,
        options,
        cacheBytes,
      })
    }
    const reading = (engine: Engine): Omit<Reading, 'at'> => ({
      engine,
      catalogue: this.#life.tables.known(),
      environment,
      signal: this.#options.signal,
      onEntry: () => this.#report(),
    })
    try {
      const from: Reading = { ...reading(this.#life.engine), at }
      return yield* buildStore(this.#modules, { environment, folder }, function* build() {
        yield* describeUnfinished()
        const engine = yield* open(environment, true)
        const copied = yield* thenClose(engine, () => copyEntries(from, engine))
        const again = yield* open(readOnlyEnvironment(environment), false)
        return yield* thenClose(again, function* check() {
          const found = yield* sumOf({ ...reading(again), at: undefined })
          if (!found.equals(copied)) throw differs(folder, copied.entries, found.entries)
          return { entries: found.entries, bytes: again.stats().diskBytes }
        })
      })
    } finally {
      at?.release()
    }
  }

  #report(): void {
    const { progress } = this.#options
    this.#done++
    if (progress !== undefined && this.#done % ENTRIES_A_REPORT === 0) {
      progress(Math.min(this.#done, this.#total), this.#total)
    }
  }
}

const ENTRIES_A_REPORT = 1024

/** Does something with an engine, and closes it in any case. */
function* thenClose<T>(engine: Engine, use: () => Routine<T>): Routine<T> {
  let result: T
  try {
    result = yield* use()
  } catch (error) {
    try {
      yield* engine.close()
    } catch {
      // The first error says more.
    }
    throw error
  }
  yield* engine.close()
  return result
}

/** A codec of that name which lets bytes through: none of the old one's is needed. */
function anyBytes(name: string): Codec<Uint8Array> {
  return { name, encode: (bytes) => bytes, decode: (bytes) => bytes.slice() }
}

/** What opens the old store. */
function secretOf({ from }: ConvertOptions): Encryption | undefined {
  return encryption(from?.encryption, 'from.encryption')
}

/** The new store: as the old one was made, but for what was asked for. */
function planTarget(
  modules: Readonly<Record<string, EngineModule>>,
  to: string,
  options: ConvertOptions,
  made: StoreDescription,
): OpenPlan {
  const { engine = made.engine, encryption: wanted, ...others } = options
  const own = Object.entries(others).filter(([name]) => !OWN_NAMES.includes(name))
  return planOpen(modules, to, {
    checksum: made.checksum,
    compression: made.compression,
    ...(engine === made.engine ? made.options : {}),
    ...Object.fromEntries(own.filter(([, value]) => value !== undefined)),
    engine,
    keys: anyBytes(made.keys),
    values: anyBytes(made.values),
    encryption: wanted === 'none' ? undefined : (wanted ?? secretOf(options)),
  })
}

/** The same world at one moment. */
function standingStill(environment: Environment, clock: number): Environment {
  return {
    files: environment.files,
    now: () => clock,
    monotonic: () => environment.monotonic(),
    random: (length) => environment.random(length),
    ...(environment.execute && { execute: (job) => environment.execute!(job) }),
    defer: (callback) => environment.defer(callback),
    pause: environment.pause,
    timer: (ms, callback) => environment.timer(ms, callback),
    warn: (message) => environment.warn(message),
  }
}

function checkOptions(
  modules: Readonly<Record<string, EngineModule>>,
  options: ConvertOptions,
): void {
  checkObject(options, 'The options of convert')
  const ofEngines = Object.values(modules).flatMap((module) => Object.keys(module.options))
  checkNames(options, [...OWN_NAMES, ...COMMON_NAMES, ...ofEngines], 'convert')
  checkJobOptions(options)
  if ((options.engine as unknown) === 'any') {
    throw invalid("The new store needs an engine, not 'any'. Leave it out for that of the old one.")
  }
  if (options.from === undefined) return
  checkObject(options.from, "The option 'from'")
  checkNames(options.from, ['encryption'], "The option 'from'")
}

function differs(path: string, expected: number, found: number): KvarkError {
  return new KvarkError(
    'CORRUPTION',
    `What was read back of the new store in ${path} is not what was written (${found} entries of ${expected}, or others). Nothing of it is left: check the disk, and try again.`,
    { path, expected, found },
  )
}

/** A full disk is the new store's. */
function inItsWords(thrown: unknown, folder: string): KvarkError {
  const error = asKvarkError(thrown)
  if (error.code !== 'NO_SPACE') return error
  const { path = folder, errno } = error
  return new KvarkError(
    'NO_SPACE',
    `The disk of ${folder} is full, so nothing was converted. Free some space there, or give another path; the old store is as it was.`,
    { path, cause: error, ...(errno === undefined ? {} : { errno }) },
  )
}
