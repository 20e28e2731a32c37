/**
 * Carries out a proof: hands portions to worker processes until every row has reached its goal, time is up or something is wrong.
 *
 *   state of each row and engine ──the one that is least far──► task ──► worker 1, 2, … ──► counts, failures
 *
 * 1. Rows go forward side by side, so that what time cuts short is cut short everywhere by the same part.
 * 2. A row with failures goes on only until it has a few of them.
 * 3. A worker that gives no answer is stopped: that is a failure, too.
 */

import { type ChildProcess, fork } from 'node:child_process'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type CrashSubject, optionSets } from '../crash/subjects.ts'
import type { Row } from './row.ts'
import type { Outcome, Task } from './worker.ts'

const WORKER = fileURLToPath(new URL('worker.js', import.meta.url))
const MOST_FAILURES = 3
/** All cores have work: threads for garbage would only be in the way of another worker. */
const FLAGS = ['--enable-source-maps', '--single-threaded-gc']
/** No portion takes nearly as long. */
const LONGEST_MS = 180_000
/** How long a lane waits that finds nothing to do. */
const IDLE_MS = 100
/** Runs of different seeds share no portion. */
const SEEDS_APART = 1_000_000

export interface ProofOptions {
  readonly rows: readonly Row[]
  readonly engines: readonly string[]
  /** Part of the goals, from 0 to 1. */
  readonly share: number
  readonly seed: number
  /** Worker processes. More than there are cores are in each other's way. */
  readonly lanes: number
  /** So many failures of a row end it; default 3. */
  readonly mostFailures?: number
  /** When it ends at the latest, ms since 1970. */
  readonly deadline: number
  /** Hears of each failure when it comes. */
  readonly onFailure?: (failure: Failure) => void
  /** Hears how far it is; at every portion. */
  readonly onProgress?: (progress: readonly Progress[]) => void
}

export interface Failure {
  readonly task: Task
  readonly options: string
  readonly message: string
}

/** How far a row is with an engine. */
export interface Progress {
  readonly row: Row
  readonly engine: string
  readonly goal: number
  done: number
  portions: number
  cpuMs: number
  readonly distinct: Set<number>
  readonly more: Record<string, number>
  /** What was done with each option set. */
  readonly spread: Record<string, number>
  readonly failures: Failure[]
}

export async function prove(options: ProofOptions): Promise<Progress[]> {
  const states = options.engines.flatMap((engine) =>
    options.rows.map((row) => new State(row, engine, options)),
  )
  const lane = async (): Promise<void> => {
    const worker = new Worker()
    try {
      while (Date.now() < options.deadline) {
        const [state] = states.filter((one) => one.ready).sort((a, b) => a.expected - b.expected)
        if (state === undefined) {
          if (states.every((one) => one.ended)) break
          // All that is left waits for a process of its own.
          await setTimeout(IDLE_MS)
          continue
        }
        await state.go(worker)
        options.onProgress?.(states)
      }
    } finally {
      worker.end()
    }
  }
  try {
    await Promise.all(Array.from({ length: options.lanes }, lane))
  } finally {
    for (const state of states) state.end()
  }
  return states
}

/** Whether a task fails in a process of its own. */
export async function fails(task: Task): Promise<boolean> {
  const worker = new Worker()
  try {
    return 'failure' in (await worker.run(task))
  } finally {
    worker.end()
  }
}

class State implements Progress {
  readonly row: Row
  readonly engine: string
  readonly goal: number
  done = 0
  portions = 0
  cpuMs = 0
  readonly distinct: Set<number> = new Set()
  readonly more: Record<string, number> = {}
  readonly spread: Record<string, number> = {}
  readonly failures: Failure[] = []
  readonly #seed: number
  /** How many portions are carried out, of how many that there are; for rows in which everything gets its turn. */
  readonly #portions: { readonly taken: number; readonly all: number } | undefined
  readonly #mostFailures: number
  readonly #onFailure: ProofOptions['onFailure']
  #begun = 0
  readonly #own: Worker | undefined
  #busy = false

  constructor(row: Row, engine: string, { share, seed, mostFailures, onFailure }: ProofOptions) {
    this.row = row
    this.engine = engine
    this.goal = Math.max(1, Math.ceil(row.goal * share))
    this.#own = row.ownProcess ? new Worker() : undefined
    this.#onFailure = onFailure
    this.#mostFailures = mostFailures ?? MOST_FAILURES
    this.#seed = seed
    const all = row.portions?.(setsOf(engine))
    this.#portions = all === undefined ? undefined : { taken: Math.ceil(all * share), all }
  }

  /** Whether a portion can be begun. */
  get ready(): boolean {
    return !this.ended && !(this.#busy && this.#own !== undefined)
  }

  get ended(): boolean {
    if (this.#portions !== undefined && this.#begun >= this.#portions.taken) return true
    return this.expected >= 1 || this.failures.length >= this.#mostFailures
  }

  /** How far it will be when what is under way has ended: 1 is the goal. */
  get expected(): number {
    if (this.#portions !== undefined) return this.#begun / this.#portions.taken
    const each = this.portions === 0 ? 0 : this.done / this.portions
    // Portions that have not ended yet keep the others from beginning too many of the same row.
    const running = this.#begun - this.portions
    if (this.done >= this.goal) return 1
    return Math.min(1 - 1 / this.goal, (this.done + running * each) / this.goal + running * 1e-9)
  }

  end(): void {
    this.#own?.end()
  }

  /** Portions of which there are so many are taken at equal distances, beginning elsewhere with another seed of the proof. */
  #nextSeed(): number {
    const number = this.#begun++
    if (this.#portions === undefined) return (this.#seed - 1) * SEEDS_APART + number + 1
    const { taken, all } = this.#portions
    return ((Math.floor((number * all) / taken) + this.#seed - 1) % all) + 1
  }

  async go(worker: Worker): Promise<void> {
    const sets = setsOf(this.engine)
    const seed = this.#nextSeed()
    const set = seed % sets.length
    const task = { row: this.row.name, engine: this.engine, set, seed }
    this.#busy = true
    const outcome = await (this.#own ?? worker).run(task, this.row.longestMs)
    this.#busy = false
    this.portions++
    this.cpuMs += outcome.cpuMs
    const options = sets[set]!.name
    if ('failure' in outcome) {
      const failure = { task, options, message: outcome.failure }
      this.failures.push(failure)
      this.#onFailure?.(failure)
      return
    }
    const { done, distinct, more = {} } = outcome.tally
    const before = this.done
    if (distinct === undefined) this.done += done
    else {
      for (const hash of distinct) this.distinct.add(hash)
      this.done = this.distinct.size
    }
    const spread = outcome.tally.options === undefined ? options : outcome.tally.options
    if (spread !== null) this.spread[spread] = (this.spread[spread] ?? 0) + this.done - before
    for (const [name, count] of Object.entries(more)) {
      this.more[name] = (this.more[name] ?? 0) + count
    }
  }
}

export function setsOf(engine: string): readonly CrashSubject[] {
  const sets = (optionSets as Readonly<Record<string, readonly CrashSubject[] | undefined>>)[engine]
  if (sets === undefined) throw new Error(`there is no engine '${engine}'`)
  return sets
}

/** A worker process; begun anew when it has ended. */
class Worker {
  #child: ChildProcess | undefined

  async run(task: Task, longestMs: number = LONGEST_MS): Promise<Outcome> {
    const child = (this.#child ??= fork(WORKER, { execArgv: FLAGS }))
    return await new Promise<Outcome>((resolve) => {
      const settle = (outcome: Outcome): void => {
        globalThis.clearTimeout(timer)
        child.removeAllListeners()
        resolve(outcome)
      }
      const fail = (failure: string): void => {
        this.end()
        settle({ failure, cpuMs: 0 })
      }
      const timer = globalThis.setTimeout(
        () => fail(`no end after ${longestMs / 1000} s`),
        longestMs,
      )
      child.once('message', (outcome) => settle(outcome as Outcome))
      child.once('exit', (code, signal) => fail(`the process ended with ${signal ?? code}`))
      child.once('error', (error) => fail(String(error)))
      child.send(task)
    })
  }

  end(): void {
    this.#child?.removeAllListeners()
    this.#child?.kill('SIGKILL')
    this.#child = undefined
  }
}
