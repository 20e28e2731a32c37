/**
 * The option `schema`: values are checked before they are written.
 *
 *   value ─► schema ─┬─ issues ─► INVALID_VALUE, nothing is written
 *                    └─ its output ─► codec ─► bytes                    reading: bytes ─► codec ─► value
 *
 * 1. What is stored is what the schema gives back: with its defaults, conversions and without what it strips.
 * 2. It stands around the codec of values, so nothing that is encoded gets past it.
 * 3. Where a schema answers with a promise, verbs that promise wait for it before they write; the others refuse with
 *    `INVALID_ARGUMENT`.
 *
 * Left out: reading checks nothing. A schema is the program's, not kept in the store, and what was stored without it stays. What
 * `putStream` stores goes past the schema, as it goes past the codec.
 */

import { isUint8Array } from 'node:util/types'
import { KvarkError } from '../errors.ts'
import { abandon, invalid, isPromise, show } from './arguments.ts'
import { copyOf } from './codecs/bytes.ts'
import { brief } from './codecs/refuse.ts'
import type { Core } from './core.ts'
import type { InternalCodec, Sink } from './internal-codec.ts'
import type { StandardIssue, StandardResult, StandardSchema } from './standard-schema.ts'
import { tableOf } from './table-argument.ts'

/** So many issues are told. */
const ISSUES_TOLD = 5

/** A value that a schema has let through. */
export class Checked {
  readonly value: unknown

  constructor(value: unknown) {
    this.value = value
  }
}

/** The codec of values that fit a schema. */
export class SchemaCodec implements InternalCodec<unknown> {
  readonly name: string
  readonly inner: InternalCodec<unknown>
  readonly asBytes?: (value: unknown) => Uint8Array
  readonly decodeText?: (text: string, start: number, end: number) => unknown
  readonly #validate: (value: unknown) => unknown

  constructor(inner: InternalCodec<unknown>, schema: StandardSchema) {
    this.name = inner.name
    this.inner = inner
    const standard = schema['~standard']
    this.#validate = (value) => standard.validate(value)
    if (inner.asBytes !== undefined) this.asBytes = (value) => inner.asBytes!(this.#valid(value))
    if (inner.decodeText !== undefined) this.decodeText = inner.decodeText.bind(inner)
  }

  encodeInto(value: unknown, sink: Sink): number {
    return this.inner.encodeInto(this.#valid(value), sink)
  }

  isAscii(value: unknown, length: number): boolean {
    return value instanceof Checked && this.inner.isAscii?.(value.value, length) === true
  }

  decode(bytes: Buffer, start: number, end: number, ascii: boolean): unknown {
    return this.inner.decode(bytes, start, end, ascii)
  }

  /** What to write for `value`, now or later; `INVALID_VALUE` where it does not fit. */
  check(value: unknown): Checked | Promise<Checked> {
    if (value instanceof Checked) return value
    let verdict: Checked | KvarkError
    try {
      const answer = this.#validate(value)
      if (isPromise(answer)) return Promise.resolve(answer).then(judge).catch(failed).then(passed)
      verdict = judge(answer)
    } catch (error) {
      verdict = failed(error)
    }
    return passed(verdict)
  }

  #valid(value: unknown): unknown {
    const checked = this.check(value)
    if (checked instanceof Checked) return checked.value
    abandon(checked)
    throw cannotWait()
  }
}

/** The verb cannot wait for what the schema has promised. */
export function cannotWait(): KvarkError {
  return invalid(
    'The schema answers with a promise, and this call cannot wait for it. Write with a verb that gives a promise itself (put, batch, load), or take a schema that answers at once.',
  )
}

/** The codec of the options `values` and `schema`. */
export function withSchema(codec: InternalCodec<unknown>, schema: unknown): InternalCodec<unknown> {
  if (schema === undefined) return codec
  if (!isSchema(schema)) {
    throw invalid(
      `The option 'schema' must be a Standard Schema, such as those of Zod, Valibot or ArkType, not ${show(schema)}.`,
    )
  }
  return new SchemaCodec(codec, schema)
}

/**
 * The operations of a batch with what the schemas of their tables make of their values.
 *
 *   source ─► operation ─► schema ─┬─ answers at once ─► is written to the batch before the next one comes
 *                                  └─ promises ─► `isWaiting`, the batch is given up ─► `all` takes the rest, and waits
 *
 * What the source gives is taken as it is then: it may use an object, or the memory of bytes, for the next one again.
 */
export class CheckedOperations<K, V> implements Iterator<never, undefined> {
  /** A schema has promised: the batch has to wait for `all`. */
  isWaiting = false
  readonly #core: Core<K, V>
  readonly #operations: Iterable<unknown>
  #source: Iterator<unknown> | undefined
  /** Nothing of the caller's runs between its operations. */
  readonly #isArray: boolean
  readonly #checked: Operation[] = []
  readonly #pending: Promise<void>[] = []

  constructor(core: Core<K, V>, operations: Iterable<unknown>) {
    this.#core = core
    this.#operations = operations
    this.#isArray = Array.isArray(operations)
  }

  [Symbol.iterator](): this {
    this.#source = this.#operations[Symbol.iterator]()
    return this
  }

  next(): IteratorResult<never, undefined> {
    const { done, value } = this.#source!.next()
    if (done) return { done, value: undefined }
    try {
      this.#take(value)
    } catch (error) {
      this.return()
      throw error
    }
    this.isWaiting = this.#pending.length > 0
    // Only the batch is given up: the source goes on with `all`.
    if (this.isWaiting) throw cannotWait()
    return { done: false, value: this.#checked.at(-1) as never }
  }

  return(): IteratorResult<never, undefined> {
    this.#source!.return?.()
    return { done: true, value: undefined }
  }

  /** All operations, when the schemas have answered. */
  async all(): Promise<Iterable<never>> {
    const most = this.#core.engine.limits.batchOperations
    try {
      // One too many is refused by whoever carries them out.
      for (const operation of { [Symbol.iterator]: () => this.#source! }) {
        this.#take(operation)
        if (this.#checked.length > most) break
      }
    } catch (error) {
      // What went wrong first is told.
      void Promise.allSettled(this.#pending)
      throw error
    }
    await Promise.all(this.#pending)
    return this.#checked as never[]
  }

  #take(given: unknown): void {
    const { length } = this.#checked
    const operation = this.#taken(given)
    this.#checked.push(operation)
    const answer = checkOperation(this.#core, operation, `Operation ${length} of the batch`)
    if (answer instanceof Checked) operation.value = answer
    else if (answer !== undefined) {
      this.#pending.push(
        answer.then((one) => {
          operation.value = one
        }),
      )
    }
  }

  #taken(given: unknown): Operation {
    // Refused by whoever carries it out.
    if (typeof given !== 'object' || given === null || Array.isArray(given))
      return given as Operation
    const operation: Operation = {}
    for (const name in given) operation[name] = (given as Operation)[name]
    // Accessors of classes are none of these names.
    for (const name of ['type', 'table', 'key', 'value']) {
      const value = (given as Operation)[name]
      if (value !== undefined) operation[name] = value
    }
    if (this.#isArray) return operation
    for (const role of ['key', 'value'] as const) {
      const bytes = operation[role]
      if (isUint8Array(bytes)) operation[role] = copyOf(bytes, role)
    }
    return operation
  }
}

type Operation = Record<string, unknown>

/** `undefined`: nothing to check. */
function checkOperation<K, V>(
  core: Core<K, V>,
  operation: unknown,
  what: string,
): Checked | Promise<Checked> | undefined {
  const { type, table, value } = Object(operation) as Operation
  if (type !== 'put') return undefined
  const { values } = table === undefined ? core : tableOf(core.life, table, what)
  return values instanceof SchemaCodec ? values.check(value) : undefined
}

function isSchema(schema: unknown): schema is StandardSchema {
  // Those of ArkType are functions.
  if ((typeof schema !== 'object' && typeof schema !== 'function') || schema === null) return false
  const { '~standard': standard } = schema as Partial<StandardSchema>
  return standard?.version === 1 && typeof standard.validate === 'function'
}

/** The value, or why it does not fit. Throws where the answer is none of a Standard Schema. */
function judge(answer: unknown): Checked | KvarkError {
  if (typeof answer !== 'object' || answer === null) {
    throw new TypeError(`it answers ${show(answer)}`)
  }
  const { issues, value } = answer as StandardResult<unknown> & { value?: unknown }
  if (issues === undefined) return new Checked(value)
  if (typeof issues !== 'object' || issues === null) {
    throw new TypeError(`its issues are ${show(issues)}`)
  }
  const told = Array.from(issues, inWords)
  const more = told.length - ISSUES_TOLD
  return new KvarkError(
    'INVALID_VALUE',
    `The value does not fit the schema: ${told.slice(0, ISSUES_TOLD).join('; ') || 'it does not say why'}${more > 0 ? `; and ${more} more` : ''}. Change the value; nothing was written.`,
    { found: told },
  )
}

function inWords({ message, path }: StandardIssue): string {
  const place = Array.from(path ?? [], (part) =>
    String(typeof part === 'object' && part !== null ? part.key : part),
  )
  const text = String(message).replace(/\.$/, '')
  return place.length === 0 ? text : `${place.join('.')}: ${text}`
}

function passed(verdict: Checked | KvarkError): Checked {
  if (verdict instanceof KvarkError) throw verdict
  return verdict
}

function failed(error: unknown): KvarkError {
  return new KvarkError(
    'INVALID_VALUE',
    `The schema failed on the value: ${brief(error).split('\n', 1)[0]}. Nothing was written: mend the schema, or change the value.`,
    { cause: error },
  )
}
