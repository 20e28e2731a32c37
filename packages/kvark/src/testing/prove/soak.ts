/**
 * Row: a process that goes on and on must not grow. For as long as a portion takes,
 *
 *   on the machine's disk   one long run of random operations (`model/run.ts`)
 *   on simulated disks      session after session in which calls fail, each with what is left of it
 *
 *   portion │ portion │ portion: settled │ portion │ …        after each round garbage is collected and what is held is looked at
 *
 * 1. Once the process has settled, what it holds grows by less than `GROWTH`, or `SLACK_BYTES`, from portion to portion; files stay
 *    few. In this, and only in this, the portions of a process know each other.
 * 2. Whoever closes a store lets go of all its files: no handle of a simulated disk is open, no descriptor leads to the folder.
 *
 * How many rounds fit into the time is up to the machine, so a portion that is done again does not do quite the same. What descriptors
 * lead to can be seen on Linux only.
 */

import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
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
import { type Portion, portionOf, type Row, type Tally } from './row.ts'

const SECONDS = 10
/** A process that has soaked so long has compiled what it needs: from then on memory must stay. */
const SETTLED_MS = 30_000
const GROWTH = 0.05
/** What goes up and down in a heap that is small as a whole. */
const SLACK_BYTES = 4 * 1024 * 1024
/** What compiling may take within one portion. */
const FAST_BYTES = 6 * 1024 * 1024
/** Steps of a session, and of the long run between two sessions. */
const STEPS = 40
const RUN_STEPS = 100
/** So many calls of a session may be the one that fails. */
const CALLS = 120
/** Of the event loop, for what was cut off to end. */
const TURNS = 100
/** For files that are being closed. */
const PATIENCE_MS = 2000
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

/** A portion on other engines than those of the package, of another length. */
export async function runSoak(
  { subject, subjects, seed }: Portion,
  modules: Readonly<Record<string, EngineModule>>,
  seconds: number = SECONDS,
): Promise<Tally> {
  const random = new SeededRandom(seed)
  const folder = mkdtempSync(join(tmpdir(), 'kvark-soak-'))
  const collect = collector()
  const looks: number[] = []
  const start = performance.now()
  const run = new ModelRun(new OptionWorld(modules, subject, join(folder, 'store')), MIX, seed)
  let sessions = 0
  try {
    await run.begin()
    while (performance.now() - start < seconds * 1000) {
      for (let step = 0; step < RUN_STEPS; step++) await run.step()
      // All option sets by turns: what they load and compile is there when the process has settled.
      const one = subjects[++sessions % subjects.length]!
      await session(portionOf(one, seed * 100_000 + sessions), random)
      const files = readdirSync(join(folder, 'store')).length
      assert.ok(files <= MOST_FILES, `${files} files in the folder`)
      collect()
      const { heapUsed, external } = process.memoryUsage()
      looks.push(heapUsed + external)
    }
    await run.finish()
  } catch (cause) {
    throw withContext(`the last steps:\n${run.trace.slice(-TOLD).join('\n')}`, cause)
  }
  // Files that were removed are closed by the system's threads, beside everything else.
  const patience = performance.now() + PATIENCE_MS
  while (descriptors(folder).length > 0 && performance.now() < patience) await setTimeout(20)
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
  const fault = failCall(files, {
    nth,
    error,
    forever: random.chance(0.3),
    only: ({ call }) => !LETS_GO.includes(call),
  })
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

/** What this process has held, over all its portions; a process that has just begun still compiles. */
const settled: { ms: number; bytes: number } = { ms: 0, bytes: 0 }

/**
 * The least of several looks each: what is held, not what is just being used. Within a portion only what grows fast shows; in a
 * process that has gone on for `SETTLED_MS`, everything.
 */
function checkGrowth(looks: readonly number[], ms: number): void {
  const third = Math.floor(looks.length / 3)
  if (third === 0) return
  const first = Math.min(...looks.slice(third, 2 * third))
  const last = Math.min(...looks.slice(-third))
  assert.ok(last < first + FAST_BYTES, grown(first, last))
  settled.ms += ms
  if (settled.ms < SETTLED_MS) return
  if (settled.bytes === 0) settled.bytes = last
  const most = settled.bytes + Math.max(settled.bytes * GROWTH, SLACK_BYTES)
  assert.ok(last < most, grown(settled.bytes, last))
}

function grown(first: number, last: number): string {
  const shown = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`
  return `memory has grown from ${shown(first)} after the warm-up to ${shown(last)}`
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
  ownProcess: true,
  name: 'soak',
  what: 'random operations and failing disks for minutes in one process',
  unit: 'seconds',
  rule: 'memory grows by less than 5 %, or 2 MiB, after the warm-up, no file is left open, nothing is lost',
  goal: 120,
  run: (portion) => runSoak(portion, engines),
}
