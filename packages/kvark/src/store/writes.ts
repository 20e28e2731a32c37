/**
 * From what the caller wants written to a batch of the engine. Everything is checked here, before anything is written.
 */

import { DELETE, DELETE_RANGE, PUT, UNCONDITIONAL, type WriteBatch } from '../engine/write-batch.ts'
import { KvarkError } from '../errors.ts'
import {
  checkDurability,
  checkNames,
  checkObject,
  invalid,
  isIterable,
  isObject,
  show,
  unknownName,
} from './arguments.ts'
import type { BatchOperation, PutOptions, WriteOptions } from './call-types.ts'
import { checkMemory } from './codecs/bytes.ts'
import type { Core } from './core.ts'
import { expiryOf } from './expiry.ts'
import type { InternalCodec } from './internal-codec.ts'
import type { Bounds } from './range.ts'
import { prefixLength, startOf } from './spaces.ts'
import { tableOf } from './table-argument.ts'
import type { TableOperation } from './types.ts'

const CONDITIONS: readonly string[] = ['ifVersion', 'ifAbsent']
const EXPIRY: readonly string[] = ['ttl', 'expiresAt']
const WRITE_NAMES: readonly string[] = ['durability', ...CONDITIONS]
const PUT_NAMES: readonly string[] = [...WRITE_NAMES, ...EXPIRY]
const BATCH_NAMES: readonly string[] = ['durability']
const PUT_FIELDS: readonly string[] = ['type', 'table', 'key', 'value', ...CONDITIONS, ...EXPIRY]
const DELETE_FIELDS: readonly string[] = ['type', 'table', 'key', 'ifVersion']

export function checkWriteOptions(options: WriteOptions | undefined): void {
  checkOptions(options, WRITE_NAMES, 'A write')
}

export function checkPutOptions(options: PutOptions | undefined): void {
  checkOptions(options, PUT_NAMES, 'A write')
}

export function checkBatchOptions(options: object | undefined): void {
  checkOptions(options, BATCH_NAMES, 'This write')
}

/** The version that a condition demands. */
export function expectedVersion(options: WriteOptions | undefined): number {
  if (options === undefined) return UNCONDITIONAL
  const { ifVersion, ifAbsent } = options
  if (ifAbsent !== undefined) {
    if (typeof ifAbsent !== 'boolean') {
      throw invalid(`'ifAbsent' must be true or false, not ${show(ifAbsent)}.`)
    }
    if (ifVersion !== undefined) throw invalid("Give 'ifVersion' or 'ifAbsent', not both.")
    return ifAbsent ? 0 : UNCONDITIONAL
  }
  if (ifVersion === undefined) return UNCONDITIONAL
  if (!Number.isSafeInteger(ifVersion) || ifVersion < 0) {
    throw invalid(`'ifVersion' must be a version as getEntry gives it, not ${show(ifVersion)}.`)
  }
  return ifVersion
}

/** Begins a put, whose value is to follow. */
export function addKeyToPut<K, V>(
  core: Core<K, V>,
  batch: WriteBatch,
  key: K,
  expected: number,
  expiry: number,
): number {
  const i = batch.add(PUT, expected, expiry)
  if (expiry !== 0) core.life.expiry.begin()
  addKey(core, batch, i, key, true)
  return i
}

export function addPut<K, V>(
  core: Core<K, V>,
  batch: WriteBatch,
  key: K,
  value: V,
  expected: number,
  expiry: number,
): void {
  const i = addKeyToPut(core, batch, key, expected, expiry)
  addValue(core, core.values, batch, i, value)
  checkSize(core, batch)
}

/** `made`: the batch makes the table, which is not there, with a put that comes before. */
export function addDelete<K, V>(
  core: Core<K, V>,
  batch: WriteBatch,
  key: K,
  expected: number,
  made = false,
): void {
  addKey(core, batch, batch.add(DELETE, expected), key, made)
  checkSize(core, batch)
}

/** Nothing where there can be no key in the range. */
export function addClear(batch: WriteBatch, { from, to }: Bounds): void {
  if (from.equals(to)) return
  const i = batch.add(DELETE_RANGE)
  // First: it may replace `bytes`.
  const at = batch.reserve(from.length)
  batch.bytes.set(from, at)
  batch.keyWritten(i, from.length)
  batch.setValue(i, to)
}

export function addOperations<K, V>(
  core: Core<K, V>,
  batch: WriteBatch,
  operations: Iterable<BatchOperation<K, V> | TableOperation>,
): void {
  if (!isIterable(operations)) {
    throw invalid(`A batch takes an iterable of operations, not ${show(operations)}.`)
  }
  const limit = core.engine.limits.batchOperations
  // Else the caller's own code runs between two of them, and may use the memory of a long value again.
  const isArray = Array.isArray(operations)
  // Made only where it is said: a batch may have very many operations.
  const what = () => `Operation ${batch.count} of the batch`
  /** Names of tables that its puts make. */
  let made: Set<string> | undefined
  for (const operation of operations) {
    if (batch.count === limit) {
      throw invalid(`A batch takes up to ${limit} operations. Write more in several batches.`, {
        expected: limit,
      })
    }
    if (!isObject(operation)) checkObject(operation, what())
    const { table } = operation as { table?: unknown }
    const target = table === undefined ? core : tableOf(core.life, table, what())
    const { unmade } = target
    const isMade = unmade !== undefined && made?.has(unmade.name) === true
    addOperation(target as Core<K, V>, batch, operation as BatchOperation<K, V>, what, isMade)
    if (!isArray || target.copies) batch.ownLast()
    if (unmade !== undefined && operation.type === 'put')
      made = (made ?? new Set()).add(unmade.name)
  }
}

function addOperation<K, V>(
  core: Core<K, V>,
  batch: WriteBatch,
  operation: BatchOperation<K, V>,
  what: () => string,
  made: boolean,
): void {
  switch (operation.type) {
    case 'put':
      checkFields(operation, PUT_FIELDS, what)
      addPut(
        core,
        batch,
        operation.key,
        operation.value,
        expectedVersion(operation),
        expiryOf(core, operation),
      )
      return
    case 'delete':
      checkFields(operation, DELETE_FIELDS, what)
      addDelete(core, batch, operation.key, expectedVersion(operation), made)
      return
    default:
      throw invalid(
        `${what()} must have the type 'put' or 'delete', not ${show((operation as { type: unknown }).type)}.`,
      )
  }
}

function checkOptions(options: object | undefined, known: readonly string[], what: string): void {
  if (options === undefined) return
  checkObject(options, 'The options of a write')
  checkNames(options, known, what)
  const { durability } = options as WriteOptions
  if (durability !== undefined) checkDurability(durability)
}

/** A misspelt condition must not make a write unconditional. */
function checkFields(operation: object, known: readonly string[], what: () => string): void {
  for (const name in operation) {
    if (!known.includes(name)) throw unknownName(name, known, what())
  }
}

/** `made`: it goes to the space that the table gets with the batch. */
function addKey<K, V>(core: Core<K, V>, batch: WriteBatch, i: number, key: K, made: boolean): void {
  const { unmade } = core
  const space = made && unmade !== undefined ? core.life.tables.reserve(unmade).space : undefined
  addSpace(batch, i, space === undefined ? core.from : startOf(space))
  const length = core.keys.encodeInto(key, batch)
  if (length > core.engine.limits.keyBytes) throw core.keyTooLong(length)
  batch.keyWritten(i, length)
}

function addValue<K, V>(
  core: Core<K, V>,
  codec: InternalCodec<V>,
  batch: WriteBatch,
  i: number,
  value: V,
): void {
  if (codec.asBytes !== undefined) {
    const bytes = codec.asBytes(value)
    checkWholeLength(core, bytes.length)
    try {
      batch.setValue(i, bytes)
    } catch (error) {
      checkMemory(bytes, 'value')
      throw error
    }
    return
  }
  const length = codec.encodeInto(value, batch)
  checkWholeLength(core, length)
  if (codec.isAscii?.(value, length)) batch.ascii[i] = 1
  batch.valueWritten(i, length)
}

function addSpace(batch: WriteBatch, i: number, id: Buffer): void {
  const at = batch.reserve(id.length)
  for (let n = 0; n < id.length; n++) batch.bytes[at + n] = id[n]!
  batch.keyWritten(i, id.length)
}

export function checkValueLength<K, V>(core: Core<K, V>, length: number): void {
  const limit = core.engine.limits.valueBytes
  if (length <= limit) return
  throw new KvarkError(
    'INVALID_VALUE',
    `The value has ${length} bytes; the engine '${core.engine.name}' takes up to ${limit}. Store it in parts.`,
    { expected: limit, found: length },
  )
}

/** Of a value that is not a stream: it is part of a batch. */
export function checkWholeLength<K, V>(core: Core<K, V>, length: number): void {
  checkValueLength(core, length)
  const limit = core.engine.limits.batchBytes
  if (length <= limit) return
  throw new KvarkError(
    'INVALID_VALUE',
    `The value has ${length} bytes, and up to ${limit} are written as a whole. Write it with putStream.`,
    { expected: limit, found: length },
  )
}

/** The bytes of keys and values, without the id of the space before each key. */
function checkSize<K, V>(core: Core<K, V>, batch: WriteBatch): void {
  const limit = core.engine.limits.batchBytes
  if (batch.size - batch.count <= limit) return
  let size = batch.size
  for (let i = 0; i < batch.count; i++) size -= prefixLength(batch.bytes, batch.keyStart[i]!)
  if (size <= limit) return
  throw invalid(
    `The keys and values of the batch have more than ${limit} bytes. Write them in several batches, a long value with putStream.`,
    { expected: limit, found: size },
  )
}
