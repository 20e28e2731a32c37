/**
 * A world that replays from a seed: time moves only by `advance`, random bytes come from the seed, files are simulated,
 * there are no other threads (jobs run here, step by step).
 */

import { SeededRandom } from '../bytes/random.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'
import type { Environment, Timer } from './environment.ts'
import { Effect } from './routine.ts'

const START = Date.UTC(2024, 0, 1)

export interface SimulatedEnvironment extends Environment {
  readonly files: SimulatedFiles
  /** What was told through `warn`. */
  readonly warnings: string[]
  /** Lets time pass; timers that become due fire on the way, in the order of their times. */
  advance(ms: number): void
  /** Sets the wall clock forward or, with less than 0, back; no time passes. */
  jump(ms: number): void
}

interface SimulatedTimer {
  readonly due: number
  readonly callback: () => void
}

export function simulatedEnvironment({
  seed,
  files = new SimulatedFiles(),
}: {
  readonly seed: number
  readonly files?: SimulatedFiles
}): SimulatedEnvironment {
  const random = new SeededRandom(seed)
  const warnings: string[] = []
  let passed = 0
  let start = START
  // In the order in which they were started, which decides between equal times.
  const timers = new Set<SimulatedTimer>()

  const nextDue = (until: number): SimulatedTimer | undefined => {
    let next: SimulatedTimer | undefined
    for (const timer of timers) {
      if (timer.due <= until && (next === undefined || timer.due < next.due)) next = timer
    }
    return next
  }

  return {
    files,
    warnings,
    now: () => Math.floor(start + passed),
    monotonic: () => passed,
    random: (length) => random.bytes(length),
    defer: (callback) => process.nextTick(callback),
    pause: new Effect(
      () => {},
      () => new Promise<void>((resolve) => setImmediate(resolve)),
    ),
    timer: (ms, callback): Timer => {
      const timer: SimulatedTimer = { due: passed + Math.max(0, ms), callback }
      timers.add(timer)
      return { cancel: () => timers.delete(timer) }
    },
    warn: (message) => {
      warnings.push(message)
    },
    advance: (ms) => {
      const until = passed + ms
      for (let timer = nextDue(until); timer !== undefined; timer = nextDue(until)) {
        timers.delete(timer)
        passed = timer.due
        timer.callback()
      }
      passed = until
    },
    jump: (ms) => {
      start += ms
    },
  }
}
