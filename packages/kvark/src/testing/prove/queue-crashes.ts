/**
 * Row: a queue with four consumers that die (`queue-use.ts`), while the power fails at any call. Each disk that comes of it is opened, looked
 * at, used and opened again.
 */

import type { EngineModule } from '../../engine/engine.ts'
import { engines } from '../../engines.ts'
import type { Environment } from '../../environment/environment.ts'
import type { SimulatedEnvironment } from '../../environment/simulated.ts'
import { type CrashStore, openSubject } from '../crash/subjects.ts'
import { exploreCrashes } from '../explore.ts'
import { checkLeft, checkRest, type Fact, useQueue } from './queue-use.ts'
import type { Portion, Row, Tally } from './row.ts'

const FOLDER = '/store'
const ITEMS = 40
const LEASE_MS = 1000
/** The power fails before one of so many calls. */
const CALLS_APART = 10

export const queueCrashes: Row = {
  name: 'queue-crashes',
  what: 'a queue with four consumers that die, power loss at any call',
  unit: 'disks',
  rule: 'no item lost, none twice, none that was durably acknowledged comes again',
  goal: 5000,
  run: (portion) => runQueue(portion, engines),
}

export async function runQueue(
  { subject, seed }: Portion,
  modules: Readonly<Record<string, EngineModule>>,
): Promise<Tally> {
  let deliveries = 0
  const openOn = async (environment: Environment): Promise<CrashStore> =>
    await openSubject(subject, FOLDER, environment, modules).async()
  const { disks, crashes } = await exploreCrashes<Fact>({
    seed,
    runs: 1,
    callsApart: CALLS_APART,
    async program({ environment, promise, random }) {
      const db = await openOn(environment)
      deliveries += await useQueue({
        db,
        random,
        first: 0,
        end: ITEMS,
        leaseMs: LEASE_MS,
        tell: promise,
        survives: (durability) => durability === 'disk',
        async wait() {
          ;(environment as SimulatedEnvironment).advance(LEASE_MS / 10)
          await environment.pause.async()
        },
      })
    },
    async check({ environment, promised }) {
      const db = await openOn(environment)
      const rest = await checkLeft(db, promised, ITEMS)
      await db.close()
      const again = await openOn(environment)
      await checkRest(again, rest)
      await again.close()
    },
  })
  return { done: disks, more: { crashes, deliveries } }
}
