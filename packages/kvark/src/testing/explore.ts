/**
 * Crash tests and fault tests for programs that use a store: yours run on a simulated disk, again and again, and your own check looks
 * at what each crash leaves.
 *
 *   program ──call──call──call──► its end        at some of the calls: what could be on the disk if the power failed there
 *               │           │                    `promise(fact)`: from here on this must survive
 *               ▼           ▼
 *             disk        disk ─► check({ environment, promised })        anything it throws is a failure, with the seed that repeats it
 *
 * 1. One seed gives one run: the same calls, the same disks. Time, randomness and files of the store come from `environment`.
 * 2. A disk is checked once, however it came about.
 * 3. `promised` holds what had been promised before the power failed; what was promised later may be there or not.
 */

import { SeededRandom } from '../bytes/random.ts'
import type { Environment } from '../environment/environment.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'
import { CRASH_MODES, type CrashMode } from '../vfs/simulated-disk.ts'

/** What a program gets. */
export interface ProgramContext<Fact> {
  /** To be handed to `open`: files, clock and randomness of the simulated machine. */
  readonly environment: Environment
  /** Says that this must survive every crash from now on. */
  readonly promise: (fact: Fact) => void
  /** For decisions of the program: the same numbers for the same seed. */
  readonly random: SeededRandom
}

/** What a check gets. */
export interface CheckContext<Fact> {
  /** The machine after the crash; the store is opened there anew. */
  readonly environment: Environment
  /** What the program had promised, in order. */
  readonly promised: readonly Fact[]
}

export interface CrashExploration<Fact> {
  /** Uses a store as the real program does. Runs once for each seed. */
  readonly program: (context: ProgramContext<Fact>) => Promise<void> | void
  /** Throws where what it finds is not what was promised. Runs once for each disk. */
  readonly check: (context: CheckContext<Fact>) => Promise<void> | void
  /** The first seed; default 1. */
  readonly seed?: number
  /** How many seeds; default 10. */
  readonly runs?: number
  /** What crashes leave of changes that were not synced; default: all there are. */
  readonly modes?: readonly CrashMode[]
  /** The power fails before one of so many calls in the mean; default 4, 1 is every call. */
  readonly callsApart?: number
}

/** What an exploration came to. */
export interface CrashReport {
  readonly runs: number
  /** Calls before which the power failed. */
  readonly crashes: number
  /** Different disks that were checked. */
  readonly disks: number
}

interface Disk<Fact> {
  readonly files: SimulatedFiles
  readonly promised: readonly Fact[]
  readonly how: string
}

/** Sets what the crash decides apart from what the program decides. */
const CRASH_SEED = 1e9

/**
 * Lets the power fail at many moments of a program and checks what is left each time.
 *
 * ```ts
 * const report = await exploreCrashes({
 *   async program({ environment, promise }) {
 *     const db = await open('/data', { engine: 'log', environment })
 *     await db.put('order', 'paid', { durability: 'disk' })
 *     promise('paid')
 *   },
 *   async check({ environment, promised }) {
 *     const db = await open('/data', { engine: 'log', environment })
 *     if (promised.length > 0) assert.equal(await db.get('order'), 'paid')
 *     await db.close()
 *   },
 * })
 * ```
 *
 * Rejects with an `Error` that names seed, call and mode, with what the check or the program threw as its `cause`. A program may end
 * with its store open. What the crash modes keep: {@link CrashMode}. After: Pillai et al., "All File Systems Are Not Created Equal"
 * (ALICE), OSDI 2014.
 */
export async function exploreCrashes<Fact = unknown>(
  exploration: CrashExploration<Fact>,
): Promise<CrashReport> {
  const { seed: first = 1, runs = 10 } = exploration
  const seen = new Set<string>()
  let crashes = 0
  for (let seed = first; seed < first + runs; seed++) {
    const found = await runProgram(exploration, seed)
    crashes += found.crashes
    for (const { files, promised, how } of found.disks) {
      // The same disk is another case where less was promised.
      const once = `${files.fingerprint} ${promised.length}`
      if (seen.has(once)) continue
      seen.add(once)
      const environment = simulatedEnvironment({ seed, files })
      try {
        await exploration.check({ environment, promised })
      } catch (cause) {
        throw failure(`seed ${seed}: the power failed ${how}`, cause)
      }
    }
  }
  return { runs, crashes, disks: seen.size }
}

async function runProgram<Fact>(
  { program, modes = CRASH_MODES, callsApart = 4 }: CrashExploration<Fact>,
  seed: number,
): Promise<{ disks: Disk<Fact>[]; crashes: number }> {
  const files = new SimulatedFiles()
  const random = new SeededRandom(seed + CRASH_SEED)
  const promised: Fact[] = []
  const disks: Disk<Fact>[] = []
  let calls = 0
  let crashes = 0
  let left = random.below(callsApart)
  const crash = (what: string): void => {
    crashes++
    for (const mode of modes) {
      const how = `${what} (call ${calls}), mode ${mode}`
      disks.push({ files: files.afterCrash({ mode, random }), promised: [...promised], how })
    }
  }
  files.failNext(({ call, path }) => {
    calls++
    if (left-- === 0) {
      left = random.below(2 * callsApart - 1)
      crash(`before ${call} ${path}`)
    }
    return undefined
  })
  const context = {
    environment: simulatedEnvironment({ seed, files }),
    promise: (fact: Fact) => void promised.push(fact),
    random: new SeededRandom(seed),
  }
  try {
    await program(context)
  } catch (cause) {
    throw failure(`seed ${seed}: the program failed by itself`, cause)
  }
  crash('when the program had ended')
  files.crash()
  return { disks, crashes }
}

export interface FaultExploration<Fact> {
  /** Uses a store as the real program does; it may throw whatever the failed call leads to. */
  readonly program: (context: ProgramContext<Fact>) => Promise<void> | void
  /** Throws where what it finds is not what was promised. */
  readonly check: (context: CheckContext<Fact>) => Promise<void> | void
  /** Default 1. */
  readonly seed?: number
  /** Default `EIO`, `ENOSPC` and `EMFILE`. */
  readonly errors?: readonly string[]
}

export interface FaultReport {
  /** Calls that failed, once and for ever: each is a run of the program. */
  readonly faults: number
}

/**
 * Lets every file call of a program fail in turn, with each error, once and from then on; then the power fails, and the check looks at
 * what is left. The sweep ends where a run comes to its end before its call is reached.
 *
 * Rejects as {@link exploreCrashes} does. What the program throws is its own affair.
 */
export async function exploreFaults<Fact = unknown>({
  program,
  check,
  seed = 1,
  errors = ['EIO', 'ENOSPC', 'EMFILE'],
}: FaultExploration<Fact>): Promise<FaultReport> {
  let faults = 0
  for (const error of errors) {
    for (const forever of [false, true]) {
      for (let nth = 1, failed = true; failed; nth++) {
        const files = new SimulatedFiles()
        const promised: Fact[] = []
        failed = false
        let calls = 0
        files.failNext(() => {
          calls++
          if (calls < nth || (calls > nth && !forever)) return undefined
          failed = true
          return error
        })
        const environment = simulatedEnvironment({ seed, files })
        const promise = (fact: Fact): void => void promised.push(fact)
        try {
          await program({ environment, promise, random: new SeededRandom(seed) })
        } catch (cause) {
          if (!failed) throw failure('the program failed by itself', cause)
        }
        if (!failed) break
        faults++
        const after = simulatedEnvironment({ seed, files: files.crash() })
        try {
          await check({ environment: after, promised })
        } catch (cause) {
          throw failure(
            `call ${nth} failed with ${error}${forever ? ' and all later ones' : ''}`,
            cause,
          )
        }
      }
    }
  }
  return { faults }
}

function failure(what: string, cause: unknown): Error {
  const told = cause instanceof Error ? cause.message : String(cause)
  return new Error(`${what}: ${told}`, { cause })
}
