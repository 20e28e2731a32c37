/**
 * Row: random operations compared with a map (`model/run.ts`), on files in memory, with a clock that the run moves.
 *
 *   portion ─► a run of OPERATIONS on the engine with the options of the portion
 *           └► every MIRRORED-th: the same, shorter run on the engine and on the reference: both must give the same traces
 */

import assert from 'node:assert/strict'
import { SeededRandom } from '../../bytes/random.ts'
import type { EngineModule } from '../../engine/engine.ts'
import { engines } from '../../engines.ts'
import type { Environment } from '../../environment/environment.ts'
import { simulatedEnvironment } from '../../environment/simulated.ts'
import { openWith } from '../../store/opening.ts'
import { memoryFiles } from '../../vfs/memory.ts'
import { removeIndexes } from '../crash/image.ts'
import { withContext } from '../crash/seeds.ts'
import { type CrashSubject, optionSets } from '../crash/subjects.ts'
import { type ModelMix, ModelRun, type ModelStore, type ModelWorld } from '../model/run.ts'
import { referenceModule } from '../reference-engine.ts'
import type { Portion, Row, Tally } from './row.ts'

const OPERATIONS = 20_000
/** More than it takes to come to so many operations. */
const STEPS: readonly number[] = Array.from({ length: 2 * OPERATIONS }, (_, i) => i)
const MIRRORED = 8
const MIRRORED_OPERATIONS = 2000
/** So many of the last steps are told. */
const TOLD = 25

const MIX: Omit<ModelMix, 'keys'> = {
  long: 0.01,
  longest: 1024 * 1024,
  between: 100,
  byOrder: true,
  beside: true,
}
const MIRROR_MIX: ModelMix = { ...MIX, keys: 60, longest: 20_000, byOrder: false, beside: false }
const KEYS = [40, 40, 200, 1000]

const DURABILITIES = ['none', 'os', 'disk'] as const
/** The least that `open` takes; all of the data, or a part of it. */
const CACHE_BYTES = 1024 * 1024
const CACHES = 3
/** How often opening has to do without the stored index. */
const INDEX_LOST = 0.2
/** What is passed to the next flush of what nobody waits for. */
const FLUSH_MS = 1001

export type Modules = Readonly<Record<string, EngineModule>>

/** Where a run with changing options happens. */
export class OptionWorld implements ModelWorld {
  readonly #modules: Modules
  readonly #subject: CrashSubject
  readonly #path: string
  readonly #environment: Environment | undefined
  readonly #clock: { advance(ms: number): void } | undefined
  readonly #caches: number

  /** Without an environment: on the machine. `caches`: how many sizes the cache has by turns; with one it is the least. */
  constructor(
    modules: Modules,
    subject: CrashSubject,
    path: string,
    environment?: Environment & { advance(ms: number): void },
    caches: number = CACHES,
  ) {
    this.#modules = modules
    this.#subject = subject
    this.#path = path
    this.#environment = environment
    this.#clock = environment
    this.#caches = caches
  }

  async open(sync: boolean, random: SeededRandom): Promise<ModelStore> {
    if (this.#environment && random.chance(INDEX_LOST)) {
      removeIndexes(this.#environment.files, this.#path)
    }
    const opening = openWith(this.#modules, this.#path, {
      engine: this.#subject.engine,
      ...this.#subject.options,
      ...this.#live(random),
      keys: 'bytes',
      values: 'bytes',
      durability: random.pick(DURABILITIES),
      cacheBytes: CACHE_BYTES * (1 + random.below(this.#caches)),
      ...(this.#environment && { environment: this.#environment }),
    })
    return (sync ? opening.sync() : await opening.async()) as unknown as ModelStore
  }

  configure(db: ModelStore, random: SeededRandom): void {
    ;(db as ModelStore & { configure(options: object): void }).configure(this.#live(random))
  }

  advance(): void {
    this.#clock?.advance(FLUSH_MS)
  }

  /** Options that may change while the store is open, as another option set of the engine has them. */
  #live(random: SeededRandom): Record<string, unknown> {
    const { engine } = this.#subject
    const sets = (optionSets as Readonly<Record<string, readonly CrashSubject[] | undefined>>)[
      engine
    ]
    const other = random.chance(0.5) ? this.#subject : random.pick(sets ?? [this.#subject])
    const rules = this.#modules[engine]!.options
    return Object.fromEntries(
      Object.entries(other.options).filter(([name]) => rules[name]?.live === true),
    )
  }
}

/** A portion on other engines than those of the package. */
export async function runModel(
  { subject, seed, steps = STEPS }: Portion,
  modules: Modules,
): Promise<Tally> {
  const random = new SeededRandom(seed)
  const keys = random.pick(KEYS)
  const mix = { ...MIX, keys }
  const { operations } = await runOn(modules, subject, seed, mix, steps, OPERATIONS)
  if (seed % MIRRORED !== 0) return { done: operations }
  const mirrored = await mirror(modules, subject, seed, steps)
  return { done: operations + mirrored, more: { mirrored } }
}

/** The same run on two engines. */
async function mirror(
  modules: Modules,
  subject: CrashSubject,
  seed: number,
  steps: readonly number[],
): Promise<number> {
  const reference = { name: 'reference', engine: 'reference', options: {} }
  const module = { reference: referenceModule }
  const wanted = await runOn(module, reference, seed, MIRROR_MIX, steps, MIRRORED_OPERATIONS)
  const found = await runOn(modules, subject, seed, MIRROR_MIX, steps, MIRRORED_OPERATIONS)
  const at = wanted.trace.findIndex((line, i) => line !== found.trace[i])
  const told = (trace: readonly string[]): string =>
    trace.slice(Math.max(0, at - 5), at + 1).join('\n')
  assert.equal(
    at,
    -1,
    `${subject.engine} does not do what the reference does:\n${told(found.trace)}\nnot\n${told(wanted.trace)}`,
  )
  return found.operations
}

async function runOn(
  modules: Modules,
  subject: CrashSubject,
  seed: number,
  mix: ModelMix,
  steps: readonly number[],
  operations: number,
): Promise<ModelRun> {
  const environment = { ...simulatedEnvironment({ seed }), files: memoryFiles() }
  const run = new ModelRun(new OptionWorld(modules, subject, '/store', environment), mix, seed)
  try {
    await run.begin()
    for (const step of steps) {
      if (run.operations >= operations) break
      await run.step(step)
    }
    await run.finish()
  } catch (cause) {
    throw withContext(`the last steps:\n${run.trace.slice(-TOLD).join('\n')}`, cause)
  }
  return run
}

export const modelOperations: Row = {
  name: 'model-operations',
  what: 'random operations compared with a map and with the reference engine',
  unit: 'operations',
  rule: 'every answer is the model’s, and every engine gives the same',
  goal: 4_000_000,
  run: (portion) => runModel(portion, engines),
  stepsOf: () => STEPS,
}
