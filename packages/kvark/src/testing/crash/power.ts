/**
 * Power loss, simulated: a store is used at random, the power fails at random calls, and what the disk then holds is
 * opened again.
 *
 *   session ──┬──────────┬──────────┬────► its end            images are taken while it goes on
 *           image      image      image
 *             └─► open ─► a prefix of the history? ─► commits ─► verify ─► open ─► all there?
 *                  └─► image while it recovers ─► the same
 *
 * 1. What an image holds of changes that were not synced is said by the mode: `drop` nothing, `prefix` those before some
 *    moment, `subset` any of them, torn at 512 bytes.
 * 2. A seed gives the same calls each time; some seeds are run twice to see that.
 */

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { crc32 } from 'node:zlib'
import { SeededRandom } from '../../bytes/random.ts'
import { type FileCall, SimulatedFiles } from '../../vfs/simulated.ts'
import type { CrashMode } from '../../vfs/simulated-disk.ts'
import { type Image, imageOf, recoverAndGoOn } from './image.ts'
import { partOf, seeds, withContext, withSeed } from './seeds.ts'
import { Session } from './session.ts'
import type { CrashSubject } from './subjects.ts'

interface Plan {
  readonly mode: CrashMode
  readonly seeds: number
  /** The power fails again during each recovery. */
  readonly twice?: boolean
}

const PLANS: readonly Plan[] = [
  { mode: 'drop', seeds: 1000 },
  { mode: 'prefix', seeds: 300 },
  { mode: 'subset', seeds: 300 },
  { mode: 'drop', seeds: 60, twice: true },
  { mode: 'prefix', seeds: 60, twice: true },
  { mode: 'subset', seeds: 100, twice: true },
]
const LEAST_STEPS = 30
const MOST_STEPS = 120
/** One of so many seeds is run twice. */
const REPEATED = 100

/** How the crashes of a run lie: the first before one of the calls 1 … `spread`, each later one as far behind. */
interface Crashes {
  readonly mode: CrashMode
  readonly spread: number
  readonly most: number
}

const CRASHES = { spread: 400, most: 2 }
const CRASHES_AGAIN = { spread: 16, most: 3 }

/** `share`: of the seeds of every plan, where not all of them run. */
export function powerSuite(subject: CrashSubject, share = 1): void {
  describe(`${subject.name}: power loss`, () => {
    for (const whole of PLANS) {
      const plan = { ...whole, seeds: partOf(whole.seeds, share) }
      const { mode, twice = false } = plan
      const name = `mode ${mode}${twice ? ', again during recovery' : ''}, ${plan.seeds} seeds`
      test(name, async (t) => await runPlan(t, subject, plan))
    }
  })
}

async function runPlan(t: TestContext, subject: CrashSubject, plan: Plan): Promise<void> {
  const { mode, twice = false } = plan
  const images = new Set<number>()
  let crashes = 0
  const check = async (image: Image, random: SeededRandom, again: boolean): Promise<void> => {
    crashes++
    images.add(image.files.fingerprint)
    const inner: Image[] = []
    await recoverAndGoOn(subject, image, random, (session) => {
      if (again) takeImages(session, random, { mode, ...CRASHES_AGAIN }, (one) => inner.push(one))
    })
    for (const one of inner) await check(one, random, false)
  }
  for (const seed of seeds(plan.seeds)) {
    await withSeed(t, seed, async () => {
      const { images: found, trace, calls } = await use(subject, seed, mode)
      const random = new SeededRandom(seed + 1e6)
      for (const [i, image] of found.entries()) {
        await check(image, random, twice).catch((cause: unknown) => {
          throw withContext(
            `image ${i + 1} of ${found.length}; the session was:\n${trace(i)}`,
            cause,
          )
        })
      }
      if (seed % REPEATED === 0) {
        assert.equal((await use(subject, seed, mode)).calls, calls, 'a seed gives one run')
      }
    })
  }
  t.diagnostic(`${crashes} crashes, ${images.size} different disks`)
}

/** A session from its first call to its end, with images of the disk on the way or, where there was none, at the end. */
async function use(
  subject: CrashSubject,
  seed: number,
  mode: CrashMode,
): Promise<{ images: Image[]; trace: (image: number) => string; calls: number }> {
  const random = new SeededRandom(seed + 2e6)
  const files = new SimulatedFiles()
  const session = new Session({ subject, files, seed })
  const images: Image[] = []
  const traces: string[] = []
  takeImages(session, random, { mode, ...CRASHES }, (image) => {
    images.push(image)
    traces.push(session.trace)
  })
  try {
    await session.run(LEAST_STEPS + random.below(MOST_STEPS - LEAST_STEPS + 1))
  } catch (cause) {
    throw withContext(`the session itself failed; its last steps:\n${session.trace}`, cause)
  }
  if (images.length === 0) {
    images.push(imageOf(session, mode, random))
    traces.push(session.trace)
  }
  const calls = crc32(JSON.stringify(files.calls))
  await session.abandon()
  return { images, calls, trace: (i) => traces[i]! }
}

/** Takes an image before some of the calls that a session makes. */
function takeImages(
  session: Session,
  random: SeededRandom,
  { mode, spread, most }: Crashes,
  take: (image: Image) => void,
): void {
  let left = most
  let next = random.below(spread)
  session.files.failNext((_call: FileCall) => {
    if (left > 0 && next-- === 0) {
      left--
      next = random.below(spread)
      take(imageOf(session, mode, random))
    }
    return undefined
  })
}
