/**
 * Row: processes that write to a store in a real folder and are killed (`crash/kill.ts`); what each leaves is opened, compared
 * and verified. What a child gets done before it is killed is up to the machine: a portion that is done again does not do the same.
 */

import type { EngineModule } from '../../engine/engine.ts'
import { engines } from '../../engines.ts'
import { killMany } from '../crash/kill.ts'
import type { Portion, Row, Tally } from './row.ts'

/** Several in one folder, one after the other, so that recoveries pile up. */
const KILLS = 8
const LANES = 2

/** A portion whose parent opens what is left with other engines than those of the package. */
export async function runKills(
  { subject, seed }: Portion,
  modules: Readonly<Record<string, EngineModule>>,
  kills: number = KILLS,
): Promise<Tally> {
  // Each lane has a seed of its own.
  const first = 1 + (seed - 1) * LANES
  const counts = await killMany(subject, kills, first, { lanes: LANES, modules })
  const { acknowledged, started, whileOpening } = counts
  return { done: counts.kills, more: { acknowledged, started, whileOpening } }
}

export const realKills: Row = {
  name: 'real-kills',
  what: 'processes killed with SIGKILL at random moments, on the real file system',
  unit: 'kills',
  rule: 'what was acknowledged at os or disk is there, no batch by half, verify is clean',
  goal: 200,
  run: (portion) => runKills(portion, engines),
}
