/**
 * Power loss: a store is used at random, the power fails at many calls of one use, in every way that the model of the disk
 * knows, and each disk that comes of it is opened again.
 *
 *   session ──┬───┬────┬─────┬──► its end         at a call: one disk of each mode, or every subset of what is pending
 *             ▼   ▼    ▼     ▼
 *           disk, seen before? ─► open ─► a prefix of the history? ─► verify ─► commits ─► open again ─► all there? ─► verify
 *
 * 1. A disk counts once, by what is on it. The same disk is another case where more was acknowledged before the power failed: what
 *    it gives is then judged again.
 * 2. One of a hundred seeds is used twice: its calls must be the same.
 */

import assert from 'node:assert/strict'
import { crc32 } from 'node:zlib'
import { SeededRandom } from '../../bytes/random.ts'
import { SimulatedFiles } from '../../vfs/simulated.ts'
import { CRASH_MODES, type CrashMode } from '../../vfs/simulated-disk.ts'
import type { Content, History } from '../crash/history.ts'
import { type Image, recoverAndGoOn } from '../crash/image.ts'
import { withContext } from '../crash/seeds.ts'
import { Session } from '../crash/session.ts'
import type { CrashSubject } from '../crash/subjects.ts'
import type { Portion, Row, Tally } from './row.ts'

const LEAST_STEPS = 20
const MOST_STEPS = 80
/** The power fails before one of so many calls. */
const CALLS_APART = 12
const REPEATED = 100

/** A disk after a crash, and how it came about. */
export interface Crashed extends Image {
  readonly what: string
  readonly fingerprint: number
}

export const crashStates: Row = {
  name: 'crash-states',
  what: 'power loss at any call, opened again',
  unit: 'different disks',
  rule: 'nothing acknowledged lost, no half batch, no failed open',
  goal: 60_000,
  run,
  stepsOf,
}

async function run(portion: Portion): Promise<Tally> {
  const { subject, seed } = portion
  const random = new SeededRandom(seed)
  const steps = portion.steps ?? stepsOf(portion)
  // With a script somebody looks for the one moment that matters.
  const apart = portion.steps === undefined ? CALLS_APART : 1
  const { disks, calls, crashes } = await use(subject, seed, steps, apart)
  const trials = new Trials(subject)
  for (const disk of disks) {
    try {
      await trials.stand(disk, random)
    } catch (cause) {
      throw withContext(`the power failed ${disk.what}`, cause)
    }
  }
  if (seed % REPEATED === 0) {
    const again = await use(subject, seed, steps, apart)
    assert.equal(again.calls, calls, 'a seed gives one run')
  }
  return trials.tally(crashes)
}

/** The trials of a portion's disks, each disk once. */
export class Trials {
  readonly #subject: CrashSubject
  readonly #contents = new Map<number, Content>()
  #mended = 0

  constructor(subject: CrashSubject) {
    this.#subject = subject
  }

  async stand(disk: Crashed, random: SeededRandom): Promise<void> {
    const known = this.#contents.get(disk.fingerprint)
    if (known !== undefined) {
      // What it gives is known: is that enough here, too?
      disk.history.recovered(known)
      return
    }
    const { mended, content } = await recoverAndGoOn(this.#subject, disk, random)
    this.#contents.set(disk.fingerprint, content)
    this.#mended += Number(mended)
  }

  tally(crashes: number): Tally {
    const distinct = [...this.#contents.keys()]
    return { done: distinct.length, distinct, more: { crashes, recovered: this.#mended } }
  }
}

/** A session from its first call to its end, and the disks that it could have left on the way. */
export async function use(
  subject: CrashSubject,
  seed: number,
  steps: readonly number[],
  apart: number = CALLS_APART,
): Promise<{ disks: readonly Crashed[]; calls: number; crashes: number }> {
  const random = new SeededRandom(seed + 1e6)
  const files = new SimulatedFiles()
  const session = new Session({ subject, files, seed })
  const disks = new Disks()
  let left = random.below(apart)
  files.failNext(({ call, path }) => {
    if (left-- === 0) {
      left = random.below(2 * apart - 1)
      for (const [mode, after] of crashesOf(files, random)) {
        const what = `before ${call} ${path}, ${mode}; the session was:\n${session.trace}`
        disks.add(after, session.history, what)
      }
    }
    return undefined
  })
  try {
    await session.run(steps)
  } catch (cause) {
    throw withContext(`the session itself failed; its last steps:\n${session.trace}`, cause)
  }
  const calls = crc32(JSON.stringify(files.calls))
  await session.abandon()
  return { disks: disks.all, calls, crashes: disks.crashes }
}

/** Disks after crashes: each once, and again where more was acknowledged before it came about. */
export class Disks {
  readonly all: Crashed[] = []
  crashes = 0
  readonly #acknowledged = new Map<number, number>()

  add(files: SimulatedFiles, history: History, what: string): void {
    this.crashes++
    const { fingerprint } = files
    const before = this.#acknowledged.get(fingerprint)
    if (before !== undefined && before >= history.acknowledged) return
    this.#acknowledged.set(fingerprint, history.acknowledged)
    this.all.push({ files, history: history.copy(), what, fingerprint })
  }
}

export function stepsOf({ seed }: Portion): number[] {
  const random = new SeededRandom(seed + 2e6)
  const length = LEAST_STEPS + random.below(MOST_STEPS - LEAST_STEPS)
  return Array.from({ length }, (_, i) => i)
}

/** What a crash now may leave. */
export function* crashesOf(
  files: SimulatedFiles,
  random: SeededRandom,
): Generator<[mode: CrashMode | 'every subset', after: SimulatedFiles]> {
  for (const after of files.everyCrash()) yield ['every subset', after]
  for (const mode of CRASH_MODES) yield [mode, files.afterCrash({ mode, random })]
}
