/**
 * One measure of the proof: something that is done to a store very often, each time from a seed, and that must never go wrong.
 *
 *   row ──portion(seed 1, options 1)──► tally ─┐
 *       ──portion(seed 2, options 2)──► tally ─┼──► counts, added up until the goal is reached
 *       ──portion(seed 3, …)──────────► tally ─┘
 *
 * 1. A portion is the work of about a second. The same engine, options and seed give the same portion in every process.
 * 2. A portion that finds something wrong throws; what it throws is told with the command that does the same again.
 * 3. Portions of a row do not know each other: they run in any order and in several processes at once.
 */

import type { CrashSubject } from '../crash/subjects.ts'

export interface Portion {
  /** Engine and options. */
  readonly subject: CrashSubject
  /** 1, 2, 3, … */
  readonly seed: number
  /** All option sets of the engine, of which `subject` is the one whose turn it is. */
  readonly subjects: readonly CrashSubject[]
  /** Only these steps of the session; where there are none, all. */
  readonly steps?: readonly number[]
}

/** A portion by itself. */
export function portionOf(subject: CrashSubject, seed: number): Portion {
  return { subject, subjects: [subject], seed }
}

/** What a portion did. */
export interface Tally {
  /** In the row's unit; where things must differ from each other, `distinct` is what counts. */
  readonly done: number
  /** A hash, below 2⁵³, of each thing that must differ from all the others to count. */
  readonly distinct?: readonly number[]
  /** The option set that it was done with, where that is not the portion's `subject`; `null`: with none in particular. */
  readonly options?: string | null
  /** What else is worth telling, by name: added up. */
  readonly more?: Readonly<Record<string, number>>
}

export interface Row {
  /** For people and on the command line: `crash-states`. */
  readonly name: string
  /** What is done, in a few words. */
  readonly what: string
  /** What is counted: `states`. */
  readonly unit: string
  /** What must hold. */
  readonly rule: string
  /** How many for one engine make a whole proof. */
  readonly goal: number
  /**
   * Where everything there is gets its turn: how many portions that is for these option sets together, seed 1 … that many. Which set
   * a portion takes its seed says, not `subject`. All of them are carried out, also where the goal is reached before; a part of a
   * proof takes the same part of them.
   */
  readonly portions?: (subjects: readonly CrashSubject[]) => number
  /** Its portions are carried out one after the other, in a process that does nothing else. */
  readonly ownProcess?: true
  /** A portion that takes longer hangs; 180,000 ms if not given. */
  readonly longestMs?: number
  readonly run: (portion: Portion) => Promise<Tally>
  /** Where a portion is a session: its steps, some of which can be left out to find out which ones a failure needs. */
  readonly stepsOf?: (portion: Portion) => readonly number[]
}
