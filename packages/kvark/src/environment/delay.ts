/** Waiting, for code below the environment that polls something of the machine: a lock it cannot be told about. */

import { Effect } from './routine.ts'

/** Waits `ms`: the sync driver blocks the thread, the async one keeps the process alive meanwhile. */
export function delay(ms: number): Effect<void> {
  return new Effect(
    () => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
    },
    () => new Promise((resolve) => setTimeout(resolve, ms)),
  )
}
