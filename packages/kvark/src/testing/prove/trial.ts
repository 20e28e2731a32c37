/**
 * What a closed store must stand whose files were damaged, without anybody knowing its format:
 *
 *   damaged files ─► open, get all, scan, verify, close ─► files put back ─► everything is there
 *
 * 1. What comes out is the right value or `CORRUPTION` with its place, never anything else.
 * 2. The damage is noticed: by a refusal, by a read, by `verify`, or by a warning that the stored index is built anew. But for
 *    the close frame and what fills the sector before it: without it a store is as a crash right before it leaves it, and nothing is
 *    lost. So it is where the manifest that went with the close frame is lost as well, and the one before is there.
 * 3. A store that refuses to open changes none of the files that are whole. Where an opening changed files, those that were damaged,
 *    put back, give everything again.
 */

import assert from 'node:assert/strict'
import { assertWhole, type Content, contentOf, differences, examine, write } from '../damage.ts'
import { closeFrame } from '../tampering.ts'
import { type SmallStore, stillEnvironment } from './small-store.ts'

const MANIFEST = 'MANIFEST'

/** Nothing is wrong with the store while nobody has touched it: else every damage would seem to be noticed. */
export function assertSound({ content, expected, form }: SmallStore, seed: number): void {
  assertWhole(stillEnvironment(content, seed), expected, form)
}

/** Whether the damage was noticed; throws, with the hint, where it should have been, or where anything wrong came out. */
export function isNoticed(
  store: SmallStore,
  damaged: Content,
  hint: string,
  seed: number,
): boolean {
  let noticed: boolean
  try {
    noticed = stand(store, damaged, seed)
  } catch (cause) {
    throw new Error(`${hint}: ${(cause as Error).message}`, { cause })
  }
  if (!noticed) assert.ok(isClose(store, damaged), `${hint}: nobody noticed`)
  return noticed
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

/** Whether nothing but the close frame is damaged, or it and its manifest are both lost. */
function isClose({ content, form, earlier }: SmallStore, damaged: Content): boolean {
  const { name, at } = closeFrame(content, form)
  const manifest = damaged.get(MANIFEST)
  const isOld = manifest && earlier.some((files) => files.get(MANIFEST)?.equals(manifest))
  const names = differences(content, damaged).filter((one) => one !== MANIFEST || !isOld)
  const bytes = damaged.get(name)?.subarray(0, at)
  return (
    names.length === 1 && names[0] === name && content.get(name)!.subarray(0, at).equals(bytes!)
  )
}
