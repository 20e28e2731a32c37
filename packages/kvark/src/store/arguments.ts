/**
 * Checks of what callers hand in, each a sentence that names what is wrong and what would be right.
 */

import type { Durability, EngineModule, Supports } from '../engine/engine.ts'
import { KvarkError } from '../errors.ts'
import type { JobOptions } from './call-types.ts'

export function invalid(
  message: string,
  fields?: { expected?: unknown; found?: unknown },
): KvarkError {
  return new KvarkError('INVALID_ARGUMENT', message, fields)
}

/** Whether something was given that has to be awaited. */
export function isPromise(value: unknown): value is PromiseLike<unknown> {
  const isObject = typeof value === 'object' ? value !== null : typeof value === 'function'
  return isObject && typeof (value as { then?: unknown }).then === 'function'
}

/** Whether its parts can be taken one by one, at once. */
export function isIterable(value: unknown): value is Iterable<unknown> {
  if (typeof value !== 'object' || value === null) return false
  return typeof (value as Partial<Iterable<unknown>>)[Symbol.iterator] === 'function'
}

/** What comes of it is nobody's any more: that it rejects is no fault of the process. */
export function abandon(promise: PromiseLike<unknown>): void {
  Promise.resolve(promise).catch(() => {})
}

/** Throwing, for verbs that promise. */
export async function rejected(error: unknown): Promise<never> {
  throw error
}

/** A value as it is shown in a sentence: short, and never its whole content. */
export function show(value: unknown): string {
  if (typeof value === 'string')
    return value.length <= 40 ? `'${value}'` : `'${value.slice(0, 37)}…'`
  if (typeof value === 'function') return 'a function'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object' && value !== null) return 'an object'
  return typeof value === 'bigint' ? `${value}n` : String(value)
}

/** Refuses what is no plain object of options. */
export function checkObject(options: unknown, what: string): asserts options is object {
  if (!isObject(options)) throw invalid(`${what} must be an object, not ${show(options)}.`)
}

export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Refuses names that are not among `known`; most are misspelt, and a misspelt condition must not be lost. */
export function checkNames(options: object, known: readonly string[], what: string): void {
  for (const name in options) {
    if (!known.includes(name)) throw unknownName(name, known, what)
  }
}

export function unknownName(name: string, known: readonly string[], what: string): KvarkError {
  const near = nearest(name, known)
  return invalid(
    `${what} has no option '${name}'${near === undefined ? '' : ` (did you mean '${near}'?)`}. ` +
      `Known: ${known.join(', ')}.`,
    { expected: known, found: name },
  )
}

export function checkDurability(value: unknown): asserts value is Durability {
  if (value !== 'none' && value !== 'os' && value !== 'disk') {
    throw invalid(`The option 'durability' must be 'none', 'os' or 'disk', not ${show(value)}.`)
  }
}

/** The signal and the progress of long work. */
export function checkJobOptions({ signal, progress }: JobOptions): void {
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw invalid(`The option 'signal' must be an AbortSignal, not ${show(signal)}.`)
  }
  if (progress !== undefined && typeof progress !== 'function') {
    throw invalid(`The option 'progress' must be a function, not ${show(progress)}.`)
  }
}

/** `UNSUPPORTED`, naming the engines that have what was asked for. */
export function unsupported(
  engine: string,
  what: string,
  capability: keyof Supports,
  modules: Readonly<Record<string, EngineModule>>,
): KvarkError {
  const engines = Object.keys(modules).filter((name) => modules[name]!.supports[capability])
  const advice =
    engines.length === 0
      ? 'No engine of this version has it.'
      : `Engines that have it: ${engines.join(', ')}.`
  return new KvarkError('UNSUPPORTED', `The engine '${engine}' has no ${what}. ${advice}`, {
    engines,
  })
}

/** The known name that differs from `name` by the least, when it differs by little. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let least = 1 + Math.floor(name.length / 3)
  for (const candidate of known) {
    const distance = edits(name.toLowerCase(), candidate.toLowerCase())
    if (distance < least || (distance === least && best === undefined)) {
      best = candidate
      least = distance
    }
  }
  return best
}

/** Levenshtein distance, row by row. */
function edits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}
