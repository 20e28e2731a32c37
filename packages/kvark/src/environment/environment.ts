/**
 * Everything a store takes from the outside world besides its calls: files, clock, randomness, threads, the order in
 * which deferred work runs. Handing in another environment replays a whole run from a seed.
 */

import type { Files } from '../vfs/files.ts'
import type { Effect } from './routine.ts'

/** Work over plain data that may run in another thread: `jobs[job](args)` of the engine named. */
export interface Job {
  readonly engine: string
  readonly job: string
  /** Structured-cloneable. */
  readonly args: unknown
}

export interface Timer {
  cancel(): void
}

export interface Environment {
  readonly files: Files
  /** Wall clock, ms since 1970. May jump. */
  now(): number
  /** Ms from some start, never backwards. */
  monotonic(): number
  /** Fresh random bytes. */
  random(length: number): Uint8Array
  /** Runs a job in another thread; typed arrays in `args` are handed over. Absent: jobs run here, one step at a time. */
  execute?(job: Job): Promise<unknown>
  /** Runs `callback` once the code that is running now has returned, before anything else. */
  defer(callback: () => void): void
  /** Lets other work of the event loop run; nothing under the sync driver. */
  readonly pause: Effect<void>
  /** Calls back once after `ms`; never keeps the process alive. */
  timer(ms: number, callback: () => void): Timer
  /** Tells the user something that is no error of a call: an abandoned snapshot, a failed background job. */
  warn(message: string): void
}
