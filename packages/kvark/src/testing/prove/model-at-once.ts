/**
 * Row: much at the same time, compared with a map (`model/at-once.ts`), on a simulated disk whose calls take a while, with the least cache.
 *
 *   portion ─► a run on the engine, with options of two sets: calm steps, and every few of them one in which
 *              very many read, write, load, walk and back up at once │ a call fails │ the process is killed │ the power fails
 *
 * The numbers among the options are those of another set than the rest: every form of the files meets every size.
 */

import { SeededRandom } from '../../bytes/random.ts'
import { engines } from '../../engines.ts'
import type { Environment } from '../../environment/environment.ts'
import { simulatedEnvironment } from '../../environment/simulated.ts'
import { SimulatedFiles } from '../../vfs/simulated.ts'
import { CRASH_MODES } from '../../vfs/simulated-disk.ts'
import { failCall } from '../crash/fault.ts'
import { withContext } from '../crash/seeds.ts'
import { type SlowProcess, slowProcess } from '../crash/slow-files.ts'
import type { CrashSubject } from '../crash/subjects.ts'
import type { Trouble } from '../model/at-once.ts'
import { type ModelMix, ModelRun, type ModelStore, type ModelWorld } from '../model/run.ts'
import { type Modules, OptionWorld } from './model-operations.ts'
import type { Portion, Row, Tally } from './row.ts'

const STORE = '/store'
const STEPS: readonly number[] = Array.from({ length: 80 }, (_, i) => i)
/** Most portions have a tree of some hundred pages, some of many more than fit into the cache. */
const KEYS = [60, 400, 400, 3000]
const LONG_KEYS = [50, 5]
const MIX: Omit<ModelMix, 'keys'> = {
  long: 0.03,
  longest: 80_000,
  between: 1,
  byOrder: true,
  beside: true,
  atOnce: 60,
}
/** So many calls of a step may be the one that fails. */
const CALLS = 60
/** Sets the seed of the files' slowness apart from that of the steps. */
const SLOWNESS = 3e6
/** So many of the last steps are told. */
const TOLD = 60
/** Whatever lets go of something does so, even where it fails; the simulated files do not know that. */
const LETS_GO: readonly string[] = ['close', 'release']

/** A simulated machine on which a process uses a store until something happens to it. */
class Machine implements ModelWorld {
  readonly #modules: Modules
  readonly #subject: CrashSubject
  readonly #random: SeededRandom
  readonly #seed: number
  #files = new SimulatedFiles()
  #process: SlowProcess
  #environment: Environment & { advance(ms: number): void }
  #copies = 0
  readonly trouble: Trouble

  constructor(modules: Modules, subject: CrashSubject, seed: number) {
    this.#modules = modules
    this.#subject = subject
    this.#seed = seed
    this.#random = new SeededRandom(seed + SLOWNESS)
    this.#process = slowProcess(this.#files, this.#random)
    this.#environment = this.#newEnvironment()
    this.trouble = {
      fail: (random) => this.#fail(random),
      stop: (random) => this.#stop(random),
      open: (path, random) => this.#worldAt(path).open(random.chance(0.5), random),
      newPath: () => `/copy ${++this.#copies}`,
    }
  }

  open(sync: boolean, random: SeededRandom): Promise<ModelStore> {
    return this.#worldAt(STORE).open(sync, random)
  }

  configure(db: ModelStore, random: SeededRandom): void {
    this.#worldAt(STORE).configure(db, random)
  }

  advance(): void {
    this.#worldAt(STORE).advance()
  }

  #worldAt(path: string = STORE): OptionWorld {
    return new OptionWorld(this.#modules, this.#subject, path, this.#environment, 1)
  }

  #newEnvironment(): Environment & { advance(ms: number): void } {
    const environment = simulatedEnvironment({ seed: this.#seed, files: this.#files })
    return { ...environment, files: this.#process.files }
  }

  #fail(random: SeededRandom): () => boolean {
    const files = this.#files
    const fault = failCall(files, {
      nth: 1 + random.below(CALLS),
      error: random.pick(['EIO', 'ENOSPC']),
      forever: random.chance(0.3),
      halfWritten: random.chance(0.3),
      only: ({ call }) => !LETS_GO.includes(call),
    })
    return () => {
      files.clearFaults()
      return fault.failed !== undefined
    }
  }

  #stop(random: SeededRandom): void {
    if (random.chance(0.3)) this.#process.kill()
    else this.#files = this.#files.crash({ mode: random.pick(CRASH_MODES), random })
    this.#process = slowProcess(this.#files, this.#random)
    this.#environment = this.#newEnvironment()
  }
}

/** A portion on other engines than those of the package. */
export async function runAtOnce(
  { subject, subjects, seed, steps = STEPS }: Portion,
  modules: Modules,
): Promise<Tally> {
  const random = new SeededRandom(seed)
  const options = { ...subject.options, ...numbersOf(random.pick(subjects)) }
  const mix = { ...MIX, keys: random.pick(KEYS), longKeys: random.pick(LONG_KEYS) }
  const run = new ModelRun(new Machine(modules, { ...subject, options }, seed), mix, seed)
  try {
    await run.begin()
    for (const step of steps) await run.step(step)
    await run.finish()
  } catch (cause) {
    throw withContext(`the last steps:\n${run.trace.slice(-TOLD).join('\n')}`, cause)
  }
  return { done: run.operations }
}

/** Sizes, and when something happens; `name` stays the subject's. */
function numbersOf({ options }: CrashSubject): CrashSubject['options'] {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => typeof value === 'number'),
  )
}

export const modelAtOnce: Row = {
  name: 'model-at-once',
  what: 'reads, writes, loads, walks and backups beside each other, calls that fail, kills, compared with a map',
  unit: 'operations',
  rule: 'as model-operations; nothing durable is lost, no half of a write is there',
  goal: 500_000,
  run: (portion) => runAtOnce(portion, engines),
  stepsOf: () => STEPS,
}
