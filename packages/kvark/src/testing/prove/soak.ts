/**
 * Row: a process that goes on and on must not grow. For as long as a portion takes,
 *
 *   on the machine's disk   one long run of random operations (`model/run.ts`)
 *   on simulated disks      session after session in which calls fail, each with what is left of it
 *
 *   time   │ warm-up │ least of the first looks … │ … │ least of the last looks │      a look: garbage collected, heap and buffers
 *
 * 1. Memory that is held after the warm-up grows by less than `GROWTH`, or `SLACK_BYTES`, until the end, files stay few.
 * 2. Whoever closes a store lets go of all its files: no handle of a simulated disk is open, no descriptor leads to the folder.
 *
 * How many rounds fit into the time is up to the machine, so a portion that is done again does not do quite the same. What descriptors
 * lead to can be seen on Linux only.
 */

import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { SeededRandom } from '../../bytes/random.ts'
import type { EngineModule } from '../../engine/engine.ts'
import { engines } from '../../engines.ts'
import { type FileCall, SimulatedFiles } from '../../vfs/simulated.ts'
import { turn } from '../contract/check.ts'
import { failCall } from '../crash/fault.ts'
import { recoverAndGoOn } from '../crash/image.ts'
import { withContext } from '../crash/seeds.ts'
import { Session } from '../crash/session.ts'
import { type ModelMix, ModelRun } from '../model/run.ts'
import { OptionWorld } from './model-operations.ts'
import type { Portion, Row, Tally } from './row.ts'

const SECONDS = 10
/** Shares of the time. */
const WARM_UP = 0.4
const LOOKED_AT = 0.25
const GROWTH = 0.05
/** What the code that V8 goes on compiling takes of a heap that is small as a whole. */
const SLACK_BYTES = 2 * 1024 * 1024
/** Steps of a session, and of the long run between two sessions. */
const STEPS = 40
const RUN_STEPS = 400
/** So many calls of a session may be the one that fails. */
const CALLS = 120
/** Of the event loop, for what was cut off to end. */
const TURNS = 100
/** Files of a store whose data is a few hundred KiB. */
const MOST_FILES = 300
/** So many of the last steps are told. */
const TOLD = 25
/** Whatever lets go of something does so, even where it fails; the simulated files do not know that. */
const LETS_GO: readonly FileCall['call'][] = ['close', 'release']

const MIX: ModelMix = {
  keys: 100,
  long: 0.01,
  longest: 70_000,
  between: 40,
  byOrder: true,
  beside: true,
}

/** What was held at a moment, ms after the start. */
interface Look {
  readonly at: number
  readonly bytes: number
}

/** A portion on other engines than those of the package, of another length. */
export async function runSoak(
  { subject, seed }: Portion,
  modules: Readonly<Record<string, EngineModule>>,
  seconds: number = SECONDS,
): Promise<Tally> {
  const random = new SeededRandom(seed)
  const folder = mkdtempSync(join(tmpdir(), 'kvark-soak-'))
  const collect = collector()
  const looks: Look[] = []
  const start = performance.now()
  const run = new ModelRun(new OptionWorld(modules, subject, join(folder, 'store')), MIX, seed)
  let sessions = 0
  try {
    await run.begin()
    while (performance.now() - start < seconds * 1000) {
      for (let step = 0; step < RUN_STEPS; step++) await run.step()
      await session({ subject, seed: seed * 100_000 + ++sessions }, random)
      const files = readdirSync(join(folder, 'store')).length
      assert.ok(files <= MOST_FILES, `${files} files in the folder`)
      collect()
      const { heapUsed, external } = process.memoryUsage()
      looks.push({ at: performance.now() - start, bytes: heapUsed + external })
    }
    await run.finish()
  } catch (cause) {
    throw withContext(`the last steps:\n${run.trace.slice(-TOLD).join('\n')}`, cause)
  }
  assert.deepEqual(descriptors(folder), [], 'descriptors that are open still')
  rmSync(folder, { recursive: true })
  checkGrowth(looks, seconds * 1000)
  return { done: seconds, more: { sessions, operations: run.operations } }
}

/** A session in which a call fails, and all that comes after it. */
async function session({ subject, seed }: Portion, random: SeededRandom): Promise<void> {
  const files = new SimulatedFiles()
  const nth = 1 + random.below(CALLS)
  const error = random.pick(['EIO', 'ENOSPC'])
  const fault = failCall(
    files,
    nth,
    error,
    random.chance(0.3),
    ({ call }) => !LETS_GO.includes(call),
  )
  const one = new Session({ subject, files, seed, tolerant: true })
  try {
    await one.run(STEPS)
    await one.end()
    // What `closeSync` has cut off lets go a little later.
    for (let left = TURNS; files.openPaths.length > 0 && left > 0; left--) await turn()
    assert.deepEqual(files.openPaths, [], 'handles that are open still')
    const image = { files: files.crash(), history: one.history }
    await recoverAndGoOn(subject, image, random)
  } catch (cause) {
    const what = `session ${seed}: ${error} at call ${nth}, ${fault.what}`
    throw withContext(`${what}; it was:\n${one.trace}`, cause)
  }
}

/** The least of each end: what is held, not what is just being used. */
function checkGrowth(looks: readonly Look[], ms: number): void {
  const least = (from: number, to: number): number =>
    Math.min(
      ...looks.filter(({ at }) => at >= from * ms && at <= to * ms).map(({ bytes }) => bytes),
    )
  const first = least(WARM_UP, WARM_UP + LOOKED_AT)
  const last = least(1 - LOOKED_AT, Number.POSITIVE_INFINITY)
  const shown = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`
  assert.ok(
    last < first + Math.max(first * GROWTH, SLACK_BYTES),
    `memory has grown from ${shown(first)} after the warm-up to ${shown(last)}`,
  )
}

/** What the process has open in a folder, removed files too; nothing where that cannot be seen. */
function descriptors(folder: string): string[] {
  if (process.platform !== 'linux') return []
  return readdirSync('/proc/self/fd').flatMap((name) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${name}`)
      return path.startsWith(folder) ? [path] : []
    } catch {
      return [] // The one of the listing itself.
    }
  })
}

/** Collects all garbage, whatever Node was started with. */
function collector(): () => void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  return () => {
    // The second one waits for what the first one has begun to give back.
    collect()
    collect()
  }
}

export const soak: Row = {
  name: 'soak',
  what: 'random operations and failing disks for minutes in one process',
  unit: 'seconds',
  rule: 'memory grows by less than 5 %, or 2 MiB, after the warm-up, no file is left open, nothing is lost',
  goal: 120,
  run: (portion) => runSoak(portion, engines),
}
