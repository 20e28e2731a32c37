/**
 * Every byte of every file of a closed store changed, one at a time.
 *
 *   option sets ─► one store for each form of the files ─► its bytes in slices, one a portion
 *   byte        ─► another value ─► open, get all, scan, verify ─► put back ─► everything is there
 *
 * 1. What comes out is the right value or `CORRUPTION` with its place, never anything else.
 * 2. The damage is noticed: by a refusal, by a read, by `verify`, or by a warning that the stored index is built anew. But for
 *    the close frame: without it a store is as a crash right before it leaves it, and nothing is lost.
 * 3. A store that refuses to open changes no file. Where an opening changed files, the byte put back gives everything again.
 */

import assert from 'node:assert/strict'
import { SeededRandom } from '../../bytes/random.ts'
import type { CrashSubject } from '../crash/subjects.ts'
import { assertWhole, contentOf, differences, examine, write } from '../damage.ts'
import { changed, closeFrame } from '../tampering.ts'
import type { Portion, Row, Tally } from './row.ts'
import {
  formOf,
  isEncrypted,
  knownStore,
  namesOf,
  type SmallStore,
  stillEnvironment,
} from './small-store.ts'

const SLICE_BYTES = 500

interface Slice {
  readonly subject: CrashSubject
  readonly store: SmallStore
  readonly name: string
  readonly from: number
  readonly to: number
}

/** Each compression with each cipher, the checksums by turns: the other options change nothing in what a byte means. */
export function formsOf(subjects: readonly CrashSubject[]): CrashSubject[] {
  const groups = new Map<string, CrashSubject[]>()
  for (const subject of subjects) {
    const { compression = 'none', encryption } = formOf(subject)
    const name = `${compression} ${encryption?.cipher}`
    groups.set(name, [...(groups.get(name) ?? []), subject])
  }
  return [...groups.values()].map((group, i) => group[i % group.length]!)
}

/** The store of a form. All kinds of files are in most; where opening takes longest, a stored index is in some only. */
function storeOf(subject: CrashSubject): SmallStore {
  const { compression = 'none', ...form } = formOf(subject)
  const compacted = !isEncrypted(form) || compression === 'lz4'
  return knownStore(subject, { compacted, spread: compression === 'none' && !isEncrypted(form) })
}

let planned: { readonly subjects: readonly CrashSubject[]; readonly slices: Slice[] } | undefined

function slicesOf(subjects: readonly CrashSubject[]): readonly Slice[] {
  if (planned?.subjects === subjects) return planned.slices
  const slices: Slice[] = []
  for (const subject of formsOf(subjects)) {
    const store = storeOf(subject)
    for (const name of namesOf(store.content)) {
      const { length } = store.content.get(name)!
      for (let from = 0; from < length; from += SLICE_BYTES) {
        slices.push({ subject, store, name, from, to: Math.min(length, from + SLICE_BYTES) })
      }
    }
  }
  planned = { subjects, slices }
  return slices
}

/** Changes a byte, looks, puts it back, looks again. Whether the damage was noticed. */
function tryByte({ store, name }: Slice, at: number, value: number, seed: number): boolean {
  const { content, expected, form } = store
  const bytes = Buffer.from(content.get(name)!)
  bytes[at] = value
  const damaged = changed(content, name, bytes)
  const warnings: string[] = []
  const environment = stillEnvironment(damaged, seed, warnings)
  const { refused, unreadable, problems } = examine(environment, expected, form)
  const others = differences(contentOf(environment), damaged)
  if (refused) assert.deepEqual(others, [], 'a refused opening changes no file')
  if (others.length > 0) {
    write(environment, name, content.get(name))
    assertWhole(environment, expected, form)
  }
  return refused !== undefined || unreadable.size + problems.length + warnings.length > 0
}

async function run({ subjects, seed }: Portion): Promise<Tally> {
  const slices = slicesOf(subjects)
  const slice = slices[seed - 1]
  if (slice === undefined) throw new RangeError(`seed ${seed} of ${slices.length}`)
  const { subject, store, name, from, to } = slice
  const random = new SeededRandom(seed)
  const original = store.content.get(name)!
  const close = closeFrame(store.content, store.form)
  let harmless = 0
  for (let at = from; at < to; at++) {
    const before = original[at]!
    const change = random.chance(0.5) ? 1 << random.below(8) : random.below(255) + 1
    const hint = `${subject.name}: ${name}, byte ${at}, ${before} became ${before ^ change} (seed ${seed})`
    let noticed: boolean
    try {
      noticed = tryByte(slice, at, before ^ change, seed)
    } catch (cause) {
      throw new Error(`${hint}: ${(cause as Error).message}`, { cause })
    }
    if (noticed) continue
    assert.ok(name === close.name && at >= close.at, `${hint}: nobody noticed`)
    harmless++
  }
  return { done: to - from, more: { 'of the mark of a clean close, harmless': harmless } }
}

export const byteCorruption: Row = {
  name: 'byte-corruption',
  what: 'every byte of every file of a closed store changed, one at a time: opened, read, scanned, verified, put back',
  unit: 'bytes',
  rule: 'the right value or CORRUPTION with its place; all damage is noticed; with the byte put back everything is there',
  goal: 100_000,
  portions: (subjects) => slicesOf(subjects).length,
  run,
}
