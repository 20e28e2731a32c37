/**
 * Seeds of randomised tests: which ones run, and what a failing one tells.
 *
 *   node <file>.test.js                                               all seeds
 *   node --test-name-pattern='<test>' <file>.test.js --seed 17        only this one
 */

import { relative } from 'node:path'
import type { TestContext } from 'node:test'
import { parseArgs } from 'node:util'

const THOROUGH = process.env['KVARK_THOROUGH'] === '1'

const { values } = parseArgs({ options: { seed: { type: 'string' } }, strict: false })

/** So much of what a test would do many times; all of it in `npm run test:thorough`. What is left out, the proof has. */
export function partOf(count: number, part: number): number {
  return THOROUGH ? count : Math.ceil(count * part)
}

/** Where each of many calls is tried in turn: one of so many, or every one in `npm run test:thorough`. */
export function oneOf(many: number): number {
  return THOROUGH ? 1 : many
}

/** 1 … `count`, or the one that was asked for. */
export function seeds(count: number): number[] {
  if (typeof values['seed'] === 'string') return [Number(values['seed'])]
  return Array.from({ length: count }, (_, i) => i + 1)
}

/** Runs `act`; a failure tells how to run it again. */
export async function withSeed(
  t: TestContext,
  seed: number,
  act: () => Promise<void>,
): Promise<void> {
  try {
    await act()
  } catch (cause) {
    const file = relative(process.cwd(), process.argv[1] ?? '')
    const again = `node --test-name-pattern='${t.name}' ${file} --seed ${seed}`
    throw withContext(`seed ${seed} failed; run it again with\n  ${again}`, cause)
  }
}

/** An error that says where it happened before what happened: reporters do not show causes. */
export function withContext(context: string, cause: unknown): Error {
  const told = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
  const error = new Error(`${context}\n${told}`, { cause })
  error.stack = error.message
  return error
}
