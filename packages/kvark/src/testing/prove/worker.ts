/**
 * A process that carries out portions of the proof, one at a time, as its parent asks.
 *
 *   parent ──Task──► worker ──Outcome──► parent
 */

import { optionSets } from '../crash/subjects.ts'
import type { Tally } from './row.ts'
import { rows } from './rows.ts'

export interface Task {
  readonly row: string
  readonly engine: string
  /** Which of the engine's option sets. */
  readonly set: number
  readonly seed: number
  readonly steps?: readonly number[]
}

export type Outcome =
  | { readonly tally: Tally; readonly cpuMs: number }
  | { readonly failure: string; readonly cpuMs: number }

/** Carries out a task in this process. */
export async function carryOut(task: Task): Promise<Outcome> {
  const before = process.cpuUsage()
  const cpuMs = (): number => {
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1000
  }
  try {
    const row = rows.find(({ name }) => name === task.row)
    const sets = (optionSets as Readonly<Record<string, (typeof optionSets)['log'] | undefined>>)[
      task.engine
    ]
    const subject = sets?.[task.set]
    if (row === undefined || sets === undefined || subject === undefined)
      throw new Error(`there is no ${task.row}`)
    const { seed, steps } = task
    const tally = await row.run({ subject, subjects: sets, seed, ...(steps && { steps }) })
    return { tally, cpuMs: cpuMs() }
  } catch (error) {
    const failure = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return { failure, cpuMs: cpuMs() }
  }
}

process.on('message', (task: Task) => {
  void carryOut(task).then((outcome) => process.send?.(outcome))
})
