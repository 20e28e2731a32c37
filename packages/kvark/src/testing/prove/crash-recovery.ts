/**
 * Power loss during recovery: what the power left is opened, and while that is mended, and goes on, the power fails again.
 *
 *   session ─► disk ─► open, commit ──┬────┬────┬──►        at every call that changes the disk: what it may leave then
 *                                     ▼    ▼    ▼
 *                                   disk, seen before? ─► open ─► a prefix of the history? ─► verify ─► commits ─► open again …
 */

import { SeededRandom } from '../../bytes/random.ts'
import { changesDisk } from '../crash/image.ts'
import { withContext } from '../crash/seeds.ts'
import { Session } from '../crash/session.ts'
import type { CrashSubject } from '../crash/subjects.ts'
import { type Crashed, crashesOf, Disks, stepsOf, Trials, use } from './crash-states.ts'
import type { Portion, Row, Tally } from './row.ts'

/** So many disks of a session are opened, and what each recovery may leave is looked at so often. */
const DISKS = 6
const MOST_STATES = 24
/** Sets its seeds apart from those of `crash-states`. */
const APART = 5e6

export const crashRecovery: Row = {
  name: 'crash-recovery',
  what: 'power loss again, at each change that opening makes',
  unit: 'different disks',
  rule: 'as crash-states',
  goal: 10_000,
  run,
  stepsOf,
}

async function run(portion: Portion): Promise<Tally> {
  const { subject, seed } = portion
  const random = new SeededRandom(seed)
  const trials = new Trials(subject)
  let crashes = 0
  // The first crashes are others than those of `crash-states`.
  const { disks } = await use(subject, seed + APART, portion.steps ?? stepsOf(portion))
  for (let i = 0; i < DISKS; i++) {
    const first = random.pick(disks)
    const again = await crashAgain(subject, first, random)
    crashes += again.crashes
    for (const disk of again.disks) {
      try {
        await trials.stand(disk, random)
      } catch (cause) {
        throw withContext(`the power failed ${first.what}\nand then again ${disk.what}`, cause)
      }
    }
  }
  return trials.tally(crashes)
}

/** What is left where the power fails again while the store opens and commits. */
async function crashAgain(
  subject: CrashSubject,
  first: Crashed,
  random: SeededRandom,
): Promise<{ disks: Crashed[]; crashes: number }> {
  const files = first.files.afterCrash()
  const session = new Session({
    subject,
    files,
    seed: random.uint32(),
    history: first.history.copy(),
  })
  const found = new Disks()
  files.failNext((made) => {
    if (!changesDisk(made)) return undefined
    for (const [mode, after] of crashesOf(files, random)) {
      const what = `before ${made.call} ${made.path}, ${mode}`
      found.add(after, session.history, what)
    }
    return undefined
  })
  await session.open()
  // All of it came from the disk: it stays there.
  session.history.acknowledge(session.history.started)
  for (let i = 0; i < 2; i++) await session.commit()
  files.clearFaults()
  await session.abandon()
  const kept: Crashed[] = []
  const { all, crashes } = found
  while (kept.length < MOST_STATES && all.length > 0) {
    kept.push(...all.splice(random.below(all.length), 1))
  }
  return { disks: kept, crashes }
}
