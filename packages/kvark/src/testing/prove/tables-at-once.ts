/**
 * Row: tables, transactions and watches beside each other (`model/tables-at-once.ts`), on a simulated disk whose calls take a while.
 *
 *   portion ─► a store with the options of a set ─► STEPS: up to some ten calls begun beside each other, until all have ended ─► judged
 */

import { SeededRandom } from '../../bytes/random.ts'
import { simulatedEnvironment } from '../../environment/simulated.ts'
import { SimulatedFiles } from '../../vfs/simulated.ts'
import { withContext } from '../crash/seeds.ts'
import { slowProcess } from '../crash/slow-files.ts'
import { openSubject } from '../crash/subjects.ts'
import { TablesRun } from '../model/tables-at-once.ts'
import type { Portion, Row, Tally } from './row.ts'

const STEPS: readonly number[] = Array.from({ length: 12 }, (_, i) => i)
/** So many of the last calls are told. */
const TOLD = 60

async function run({ subject, seed, steps = STEPS }: Portion): Promise<Tally> {
  const random = new SeededRandom(seed)
  const files = new SimulatedFiles()
  const world = simulatedEnvironment({ seed, files })
  const environment = { ...world, files: slowProcess(files, random).files }
  const db = await openSubject(subject, '/store', environment).async()
  const tables = new TablesRun({
    db,
    random,
    now: () => world.now(),
    advance: (ms) => world.advance(ms),
  })
  try {
    for (const _ of steps) await tables.step()
    await tables.finish()
  } catch (cause) {
    throw withContext(`the last calls:\n${tables.trace.slice(-TOLD).join('\n')}`, cause)
  }
  return { done: tables.operations }
}

export const tablesAtOnce: Row = {
  name: 'tables-at-once',
  what: 'tables made, dropped, renamed, cleared, transactions, expiry and watches beside each other',
  unit: 'operations',
  rule: 'what was read and written is explained by what watch has told, in one order',
  goal: 200_000,
  run,
  stepsOf: () => STEPS,
}
