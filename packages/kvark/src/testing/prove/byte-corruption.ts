/**
 * Every byte of every file of a closed store changed, one at a time.
 *
 *   option sets ─► one store for each form of the files ─► its bytes in slices, one a portion
 *   byte        ─► another value ─► open, get all, scan, verify ─► put back ─► everything is there
 *
 * What is right and what is wrong then: see `trial.ts`.
 */

import { SeededRandom } from '../../bytes/random.ts'
import type { CrashSubject } from '../crash/subjects.ts'
import { changed } from '../tampering.ts'
import type { Portion, Row, Tally } from './row.ts'
import { formOf, knownStore, namesOf, type SmallStore } from './small-store.ts'
import { assertSound, Harmless, unnoticed } from './trial.ts'

const SLICE_BYTES = 500
/** Bytes that make a whole proof, for one engine. */
const GOAL_BYTES = 100_000
/** Where the files of some forms are large enough, not all forms have their turn. */
const ENOUGH_BYTES = 1.5 * GOAL_BYTES

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

/**
 * The store of a form: with all kinds of files where nothing is encrypted, and with one of the compressions where something is; the row
 * `encryption` changes bytes of the others' stored indexes.
 */
function storeOf(subject: CrashSubject): SmallStore {
  const { compression = 'none', encryption } = formOf(subject)
  return knownStore(subject, {
    compacted: !encryption || compression === 'lz4',
    spread: !encryption && compression === 'none',
  })
}

let planned: { readonly subjects: readonly CrashSubject[]; readonly slices: Slice[] } | undefined

function slicesOf(subjects: readonly CrashSubject[]): readonly Slice[] {
  if (planned?.subjects === subjects) return planned.slices
  const slices: Slice[] = []
  const forms = formsOf(subjects)
  // Every second one first, so that what is left out is like its neighbours.
  const order = [...forms.filter((_, i) => i % 2 === 0), ...forms.filter((_, i) => i % 2 === 1)]
  let total = 0
  for (const subject of order) {
    if (total >= ENOUGH_BYTES) break
    const store = storeOf(subject)
    for (const name of namesOf(store.content)) {
      const { length } = store.content.get(name)!
      total += length
      for (let from = 0; from < length; from += SLICE_BYTES) {
        slices.push({ subject, store, name, from, to: Math.min(length, from + SLICE_BYTES) })
      }
    }
  }
  planned = { subjects, slices }
  return slices
}

async function run({ subjects, seed }: Portion): Promise<Tally> {
  const slices = slicesOf(subjects)
  const slice = slices[seed - 1]
  if (slice === undefined) throw new RangeError(`seed ${seed} of ${slices.length}`)
  const { subject, store, name, from, to } = slice
  const random = new SeededRandom(seed)
  const original = store.content.get(name)!
  const harmless = new Harmless()
  assertSound(store, seed)
  for (let at = from; at < to; at++) {
    const before = original[at]!
    const after = before ^ (random.chance(0.5) ? 1 << random.below(8) : random.below(255) + 1)
    const bytes = Buffer.from(original)
    bytes[at] = after
    const hint = `${subject.name}: ${name}, byte ${at}, ${before} became ${after} (seed ${seed})`
    harmless.add(unnoticed(store, changed(store.content, name, bytes), hint, seed))
  }
  return {
    done: to - from,
    options: subject.name,
    more: harmless.counts,
  }
}

export const byteCorruption: Row = {
  name: 'byte-corruption',
  what: 'every byte of every file of a closed store changed, one at a time: opened, read, scanned, verified, put back',
  unit: 'bytes',
  rule: 'the right value or CORRUPTION with its place; all damage is noticed; with the byte put back everything is there',
  goal: GOAL_BYTES,
  portions: (subjects) => slicesOf(subjects).length,
  run,
}
