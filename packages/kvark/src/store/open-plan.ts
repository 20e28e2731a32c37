/**
 * The options of `open`, checked: everything that can be known to be wrong before a file is touched.
 */

import { resolve } from 'node:path'
import type { Durability, EngineModule } from '../engine/engine.ts'
import type { Environment } from '../environment/environment.ts'
import { MEMORY, MEMORY_FOLDER, nodeEnvironment } from '../environment/node.ts'
import { KvarkError } from '../errors.ts'
import { CHECKSUMS, type ChecksumName } from '../storage/block-form.ts'
import { CIPHERS, type CipherName } from '../storage/cipher.ts'
import { COMPRESSIONS, type CompressionName, compressionNamed } from '../storage/compression.ts'
import type { Descriptor } from '../storage/descriptor.ts'
import { memoryFiles } from '../vfs/memory.ts'
import {
  checkDurability,
  checkNames,
  checkObject,
  invalid,
  nearest,
  show,
  unknownName,
} from './arguments.ts'
import { resolveKeyCodec, resolveValueCodec } from './codecs.ts'
import { checkTtl } from './expiry.ts'
import type { InternalCodec } from './internal-codec.ts'
import type { DefaultEngine, Encryption } from './options.ts'
import { withSchema } from './schema.ts'

/** Opens what is there. */
const ANY = 'any'

const DEFAULT_ENGINE: DefaultEngine = 'btree'
const DEFAULT_CACHE_BYTES = 64 * 1024 * 1024
const LEAST_KEY_BYTES = 16
const LEAST_CACHE_BYTES = 1024 * 1024
/** 256 GiB: what is known of a page takes a few bytes of memory, used or not. */
const MOST_CACHE_BYTES = 2 ** 38
export const EXPIRY_INTERVAL = 'expiryIntervalMs'
const DEFAULT_EXPIRY_INTERVAL_MS = 10_000
/** Timers take no more. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1

const COMMON_NAMES: readonly string[] = [
  'engine',
  'keys',
  'values',
  'schema',
  'create',
  'errorIfExists',
  'durability',
  'ttl',
  'slowMs',
  'cacheBytes',
  'checksum',
  'compression',
  'encryption',
  'lockTimeoutMs',
  EXPIRY_INTERVAL,
  'readOnly',
  'environment',
]

/** What to open, and how. */
export interface OpenPlan {
  /** As the user wrote it. */
  readonly path: string
  readonly folder: string
  readonly environment: Environment
  /** `undefined`: whatever is there. */
  readonly module: EngineModule | undefined
  readonly create: boolean
  readonly errorIfExists: boolean
  readonly readOnly: boolean
  readonly durability: Durability
  /** Of puts that name no end, ms; 0: they have none. */
  readonly ttl: number
  /** Calls that take at least so long are told of; `undefined`: none are. */
  readonly slowMs: number | undefined
  readonly keys: InternalCodec<unknown>
  readonly values: InternalCodec<unknown>
  readonly cacheBytes: number
  /** `undefined`: as the store was made, or the default for a new one. */
  readonly checksum: ChecksumName | undefined
  readonly compression: CompressionName | undefined
  readonly encryption: Encryption | undefined
  readonly lockTimeoutMs: number
  readonly expiryIntervalMs: number
  /** Options of the engine that were given. */
  readonly given: Readonly<Record<string, unknown>>
}

export function planOpen(
  modules: Readonly<Record<string, EngineModule>>,
  path: string,
  options: unknown,
): OpenPlan {
  checkObject(options, 'The options of open')
  const given = Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  )
  const module = moduleOf(modules, 'engine' in given ? given['engine'] : DEFAULT_ENGINE)
  const readOnly = flag(given, 'readOnly', false)
  const plan: OpenPlan = {
    ...place(path, given['environment']),
    module,
    create: flag(given, 'create', !readOnly),
    errorIfExists: flag(given, 'errorIfExists', false),
    readOnly,
    durability: durability(given['durability']),
    ttl: 'ttl' in given ? checkTtl(given['ttl']) : 0,
    slowMs: 'slowMs' in given ? slowMs(given['slowMs']) : undefined,
    keys: resolveKeyCodec(given['keys']),
    values: withSchema(resolveValueCodec(given['values']), given['schema']),
    cacheBytes: wholeNumber(
      given,
      'cacheBytes',
      DEFAULT_CACHE_BYTES,
      LEAST_CACHE_BYTES,
      MOST_CACHE_BYTES,
    ),
    checksum: oneOf(given, 'checksum', CHECKSUMS),
    compression: compression(given),
    encryption: encryption(given['encryption']),
    lockTimeoutMs: wholeNumber(given, 'lockTimeoutMs', 0, 0, LONGEST_TIMEOUT_MS),
    expiryIntervalMs: expiryInterval(given),
    given: Object.fromEntries(
      Object.entries(given).filter(([name]) => !COMMON_NAMES.includes(name)),
    ),
  }
  for (const name of ['create', 'errorIfExists'] as const) {
    if (readOnly && plan[name])
      throw invalid(`'readOnly' opens what is there; leave out '${name}'.`)
  }
  if (module !== undefined) checkEngineOptions(plan, module)
  return plan
}

/** Where a store is. */
export function place(
  path: unknown,
  environment: unknown,
): Pick<OpenPlan, 'path' | 'folder' | 'environment'> {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) {
    throw invalid(`The path must be the path of a folder or '${MEMORY}', not ${show(path)}.`)
  }
  if (path === MEMORY) {
    if (environment !== undefined) {
      throw invalid(
        `'${MEMORY}' is an environment of its own. Give a path in yours, or no 'environment'.`,
      )
    }
    return { path, folder: MEMORY_FOLDER, environment: nodeEnvironment(memoryFiles()) }
  }
  // An environment has its own idea of paths.
  if (isEnvironment(environment)) return { path, folder: path, environment }
  if (environment === undefined) {
    const folder = resolve(path)
    return { path: folder, folder, environment: nodeEnvironment() }
  }
  throw invalid(`The option 'environment' must be an Environment, not ${show(environment)}.`)
}

/** Refuses options that the engine does not have, and wrong values of those it has. */
export function checkEngineOptions(plan: OpenPlan, module: EngineModule): void {
  const known = [...COMMON_NAMES, ...Object.keys(module.options)]
  for (const [name, value] of Object.entries(plan.given)) {
    const rule = Object.hasOwn(module.options, name) ? module.options[name] : undefined
    if (rule === undefined) throw unknownName(name, known, `The engine '${module.name}'`)
    if (!rule.check(value)) {
      throw invalid(`The option '${name}' must be ${rule.expected}, not ${show(value)}.`)
    }
  }
}

/** The engine's options: as given, else as the store was made, else the defaults. */
export function engineOptions(
  plan: Pick<OpenPlan, 'given'>,
  module: EngineModule,
  made: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const options: Record<string, unknown> = {}
  for (const [name, rule] of Object.entries(module.options)) {
    const kept = rule.pinned && Object.hasOwn(made, name) ? made[name] : rule.default
    options[name] = Object.hasOwn(plan.given, name) ? plan.given[name] : kept
  }
  return options
}

/** `MISMATCH` where what was asked for is not what the store was made with. */
export function checkMatch(plan: OpenPlan, descriptor: Descriptor): void {
  const { module, folder: path } = plan
  const differ = (what: string, expected: unknown, found: unknown): void =>
    checkSame(path, what, expected, found)
  if (module !== undefined) {
    differ('engine', module.name, descriptor.engine)
    checkPinned(plan, module, descriptor)
  }
  for (const name of ['checksum', 'compression'] as const) {
    if (plan[name] !== undefined) differ(name, plan[name], descriptor[name])
  }
  const { encryption } = plan
  if (encryption && descriptor.encryption === undefined) throw notEncrypted(path)
  if (!encryption && descriptor.encryption) throw noSecret(path, 'encryption')
  if (encryption?.cipher !== undefined) {
    differ('cipher', encryption.cipher, descriptor.encryption!.cipher)
  }
  differ('keys', plan.keys.name, descriptor.codecs.keys)
  differ('values', plan.values.name, descriptor.codecs.values)
}

/** `MISMATCH` where an option of the engine was asked for that the store has otherwise, for good. */
export function checkPinned(plan: OpenPlan, module: EngineModule, { options }: Descriptor): void {
  for (const [name, rule] of Object.entries(module.options)) {
    if (!rule.pinned || !Object.hasOwn(plan.given, name)) continue
    const made = Object.hasOwn(options, name) ? options[name] : rule.default
    checkSame(plan.folder, name, plan.given[name], made)
  }
}

function checkSame(path: string, what: string, expected: unknown, found: unknown): void {
  if (JSON.stringify(expected) !== JSON.stringify(found)) {
    throw madeOtherwise(path, what, expected, found)
  }
}

/** `MISMATCH`: the store was made with something else. */
export function madeOtherwise(
  path: string,
  what: string,
  expected: unknown,
  found: unknown,
): KvarkError {
  return new KvarkError(
    'MISMATCH',
    `The store ${path} was made with ${what} ${show(found)}, not ${show(expected)}. Open it as it was made, or make another store.`,
    { path, expected, found },
  )
}

/** `BAD_ENCRYPTION_KEY`: the option that opens the store is not there. */
export function noSecret(path: string, option: string): KvarkError {
  return new KvarkError(
    'BAD_ENCRYPTION_KEY',
    `The store ${path} is encrypted. Give its key or its passphrase with the option '${option}'.`,
    { path },
  )
}

/** `MISMATCH`: a secret was given for a store that has none. */
export function notEncrypted(path: string): KvarkError {
  return new KvarkError(
    'MISMATCH',
    `The store ${path} is not encrypted. Open it without 'encryption', or convert it to a new, encrypted one.`,
    { path },
  )
}

function moduleOf(
  modules: Readonly<Record<string, EngineModule>>,
  name: unknown,
): EngineModule | undefined {
  if (name === ANY) return undefined
  if (typeof name === 'string' && Object.hasOwn(modules, name)) return modules[name]
  const known = [...Object.keys(modules), ANY]
  const near = typeof name === 'string' ? nearest(name, known) : undefined
  throw invalid(
    `There is no engine ${show(name)}${near === undefined ? '' : ` (did you mean '${near}'?)`}. Known: ${known.join(', ')}.`,
    { expected: known, found: name },
  )
}

function isEnvironment(value: unknown): value is Environment {
  return typeof value === 'object' && value !== null && 'files' in value && 'pause' in value
}

function durability(value: unknown): Durability {
  if (value === undefined) return 'disk'
  checkDurability(value)
  return value
}

function oneOf<T extends string>(
  given: Record<string, unknown>,
  name: string,
  known: readonly T[],
): T | undefined {
  const value = given[name]
  if (value === undefined || known.includes(value as T)) return value as T | undefined
  throw invalid(`The option '${name}' must be one of ${known.join(', ')}, not ${show(value)}.`, {
    expected: known,
    found: value,
  })
}

/** `UNSUPPORTED` where this Node does not have it. */
function compression(given: Record<string, unknown>): CompressionName | undefined {
  const name = oneOf(given, 'compression', COMPRESSIONS)
  if (name !== undefined) compressionNamed(name)
  return name
}

/** Checked, and never shown in an error. */
export function encryption(value: unknown, what = 'encryption'): Encryption | undefined {
  if (value === undefined) return undefined
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  if (!isObject || ArrayBuffer.isView(value)) {
    // Not shown: it may be the secret itself.
    throw invalid(
      `The option '${what}' must be an object with a 'key' or a 'passphrase', such as { passphrase: '…' }.`,
    )
  }
  checkNames(value, ['key', 'passphrase', 'cipher'], `The option '${what}'`)
  const { key, passphrase, cipher } = value as Record<string, unknown>
  if (cipher !== undefined && !CIPHERS.includes(cipher as CipherName)) {
    throw invalid(`The cipher must be one of ${CIPHERS.join(', ')}, not ${show(cipher)}.`, {
      expected: CIPHERS,
      found: cipher,
    })
  }
  if ((key === undefined) === (passphrase === undefined)) {
    throw invalid(`The option '${what}' takes either a 'key' or a 'passphrase'. Give one of them.`)
  }
  const chosen = cipher === undefined ? {} : { cipher: cipher as CipherName }
  if (key !== undefined) {
    if (!(key instanceof Uint8Array) || key.length < LEAST_KEY_BYTES) {
      throw invalid(
        `The encryption key must be a Uint8Array of at least ${LEAST_KEY_BYTES} bytes, such as randomBytes(32) gives.`,
      )
    }
    return { key: Uint8Array.prototype.slice.call(key), ...chosen }
  }
  if (typeof passphrase !== 'string' || passphrase === '') {
    throw invalid('The passphrase must be a string that is not empty.')
  }
  return { passphrase, ...chosen }
}

/** The one common option that may change while a store is open. */
export function expiryInterval(given: Readonly<Record<string, unknown>>): number {
  return wholeNumber(given, EXPIRY_INTERVAL, DEFAULT_EXPIRY_INTERVAL_MS, 0, LONGEST_TIMEOUT_MS)
}

function slowMs(value: unknown): number {
  if (typeof value === 'number' && value >= 0 && value < Number.POSITIVE_INFINITY) return value
  throw invalid(
    `The option 'slowMs' must be a number of milliseconds from 0 on, not ${show(value)}.`,
  )
}

function flag(given: Record<string, unknown>, name: string, otherwise: boolean): boolean {
  const { [name]: value = otherwise } = given
  if (typeof value === 'boolean') return value
  throw invalid(`The option '${name}' must be true or false, not ${show(value)}.`)
}

function wholeNumber(
  given: Readonly<Record<string, unknown>>,
  name: string,
  otherwise: number,
  least: number,
  most: number = Number.MAX_SAFE_INTEGER,
): number {
  const { [name]: value = otherwise } = given
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most) {
    return value
  }
  const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`
  throw invalid(`The option '${name}' must be a whole number ${range}, not ${show(value)}.`)
}
