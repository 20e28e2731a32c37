/**
 * What a closed store must stand whose files were damaged, without anybody knowing its format:
 *
 *   damaged files ─► open, get all, scan, verify, close ─► files put back ─► everything is there
 *
 * 1. What comes out is the right value or `CORRUPTION` with its place, never anything else.
 * 2. The damage is noticed: by a refusal, by a read, by `verify`, or by a warning that something was made anew from what else there is.
 *    But for what nothing is lost with, which each engine says of its files (`Anatomy.harmless`), and which is counted.
 * 3. A store that refuses to open changes none of the files that are whole. Where an opening changed files, those that were damaged,
 *    put back, give everything again.
 */

import assert from 'node:assert/strict'
import { assertWhole, type Content, contentOf, differences, examine, write } from '../damage.ts'
import { anatomyOf } from './anatomies.ts'
import { type SmallStore, stillEnvironment } from './small-store.ts'

/** Nothing is wrong with the store while nobody has touched it: else every damage would seem to be noticed. */
export function assertSound({ content, expected, form }: SmallStore, seed: number): void {
  assertWhole(stillEnvironment(content, seed), expected, form)
}

/**
 * What harmless thing was damaged where nobody noticed it; `undefined`: it was noticed. Throws, with the hint, where it should have been
 * noticed, or where anything wrong came out.
 */
export function unnoticed(
  store: SmallStore,
  damaged: Content,
  hint: string,
  seed: number,
): string | undefined {
  let noticed: boolean
  try {
    noticed = stand(store, damaged, seed)
  } catch (cause) {
    throw new Error(`${hint}: ${(cause as Error).message}`, { cause })
  }
  if (noticed) return undefined
  const what = anatomyOf(store.form).harmless(store, damaged)
  assert.ok(what !== undefined, `${hint}: nobody noticed`)
  return what
}

/** Counts what was harmless, by what it was of. */
export class Harmless {
  readonly counts: Record<string, number> = {}

  add(what: string | undefined): void {
    if (what === undefined) return
    const name = `${what}, harmless`
    this.counts[name] = (this.counts[name] ?? 0) + 1
  }
}

function stand({ content, expected, form }: SmallStore, damaged: Content, seed: number): boolean {
  const warnings: string[] = []
  const environment = stillEnvironment(damaged, seed, warnings)
  const { refused, unreadable, problems } = examine(environment, expected, form)
  const changed = differences(contentOf(environment), damaged)
  if (changed.length > 0) {
    const harmed = differences(content, damaged)
    const whole = changed.filter((name) => !harmed.includes(name))
    if (refused) assert.deepEqual(whole, [], 'a refused opening changes no file that is whole')
    for (const name of harmed) write(environment, name, content.get(name))
    assertWhole(environment, expected, form)
  }
  return refused !== undefined || unreadable.size + problems.length + warnings.length > 0
}
