/**
 * Contract, chapter 9: random work, compared with a map as it goes. A failure prints the seed and the last steps; the same
 * seed does the same again.
 */

import { withContext } from '../crash/seeds.ts'
import { type ModelMix, ModelRun, type ModelStore } from '../model/run.ts'
import type { Case, Chapter } from './place.ts'

const SEEDS = 20
/** On the machine's files so many: each opening takes its time there. */
const MACHINE_SEEDS = 6
const STEPS = 300
const MIX: ModelMix = {
  keys: 60,
  long: 0.05,
  longest: 63_000,
  between: 1,
  byOrder: true,
  beside: true,
}
/** So many of the last steps are printed. */
const TRACED = 25
const OPTIONS = { keys: 'bytes', values: 'bytes', durability: 'os' }

function seedCase(seed: number): Case {
  return {
    name: `seed ${seed}`,
    ...(seed > MACHINE_SEEDS && { memoryOnly: true }),
    async run(place) {
      const open = async (sync: boolean): Promise<ModelStore> =>
        sync ? place.openSync(OPTIONS) : await place.open(OPTIONS)
      const run = new ModelRun({ open }, MIX, seed)
      await run.begin()
      try {
        for (let step = 0; step < STEPS; step++) await run.step()
        await run.finish()
      } catch (error) {
        throw withContext(
          `seed ${seed} failed; the last steps:\n${run.trace.slice(-TRACED).join('\n')}`,
          error,
        )
      }
    },
  }
}

export const model: Chapter = {
  name: 'model',
  cases: Array.from({ length: SEEDS }, (_, i) => seedCase(i + 1)),
}
