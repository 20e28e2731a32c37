/**
 * Row: transactions of several clients at once, in an order that comes from the seed, and what they saw: lists (`isolation/lists.ts`), whose
 * histories are searched for circles, and a bank (`isolation/bank.ts`), whose sum must stay.
 *
 *   portion ─► HISTORIES of each kind, each of CLIENTS × TRANSACTIONS, on files in memory that answer when they like
 */

import { SeededRandom } from '../../bytes/random.ts'
import { simulatedEnvironment } from '../../environment/simulated.ts'
import { memoryFiles } from '../../vfs/memory.ts'
import { slowProcess } from '../crash/slow-files.ts'
import { openSubject } from '../crash/subjects.ts'
import { bankHistory } from '../isolation/bank.ts'
import { listHistory } from '../isolation/lists.ts'
import { isolationStore } from '../isolation/store.ts'
import type { Portion, Row, Tally } from './row.ts'

const CLIENTS = 8
const TRANSACTIONS = 200
/** Of each kind. */
const HISTORIES = 2
const DURABILITIES = ['none', 'os', 'disk'] as const
/** So many problems of a history are told. */
const TOLD = 5

async function run({ subject, seed }: Portion): Promise<Tally> {
  let runs = 0
  for (let n = 0; n < HISTORIES; n++) {
    for (const history of [listHistory, bankHistory]) {
      const random = new SeededRandom(seed * HISTORIES + n)
      const { files } = slowProcess(memoryFiles(), random)
      const environment = { ...simulatedEnvironment({ seed }), files }
      const options = { ...subject.options, durability: random.pick(DURABILITIES) }
      const db = await openSubject({ ...subject, options }, '/store', environment).async()
      const result = await history(isolationStore(db), random, CLIENTS, TRANSACTIONS)
      await db.close()
      runs += result.runs
      const { problems } = result
      if (problems.length > 0) {
        const told = problems.slice(0, TOLD).join('\n')
        throw new Error(`${history.name} ${n}: ${problems.length} problems\n${told}`)
      }
    }
  }
  return { done: 2 * HISTORIES, more: { runs } }
}

export const isolation: Row = {
  name: 'isolation',
  what: `histories of ${CLIENTS} clients with ${TRANSACTIONS} transactions each: lists, and a bank`,
  unit: 'histories',
  rule: 'an order explains everything that was read: serializable',
  goal: 400,
  run,
}
