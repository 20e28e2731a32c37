/**
 * A disk as it is found after the power has failed, and the trial that it must stand:
 *
 *   open ─► a prefix of the history? ─► commits ─► verify ─► close, or the power fails again ─► open ─► all there?
 */

import type { SeededRandom } from '../../bytes/random.ts'
import type { Files } from '../../vfs/files.ts'
import type { FileCall, SimulatedFiles } from '../../vfs/simulated.ts'
import type { CrashMode } from '../../vfs/simulated-disk.ts'
import type { Content, History } from './history.ts'
import { Session, STORE } from './session.ts'
import type { CrashSubject } from './subjects.ts'

const COMMITS = 20
/** So many wait for the disk together. */
const AT_ONCE = 5
/** How often the index has to be built from the segments. */
const INDEX_LOST = 0.3

const CHANGES: ReadonlySet<FileCall['call']> = new Set(['write', 'truncate', 'rename', 'remove'])

/** What the disk holds after the power failed, and what the store had promised by then. */
export interface Image {
  readonly files: SimulatedFiles
  readonly history: History
}

export function imageOf(session: Session, mode: CrashMode, random: SeededRandom): Image {
  return { files: session.files.afterCrash({ mode, random }), history: session.history.copy() }
}

export interface Recovered {
  /** Opening had something to mend: it changed files. */
  readonly mended: boolean
  /** What it found. */
  readonly content: Content
}

/** Opens what is left, commits, and opens that again. `begin` gets the session before it opens the store. */
export async function recoverAndGoOn(
  subject: CrashSubject,
  { files, history }: Image,
  random: SeededRandom,
  begin: (session: Session) => void = () => {},
): Promise<Recovered> {
  // The stored index is a copy of what the segments say.
  if (random.chance(INDEX_LOST)) removeIndexes(files, STORE)
  const session = new Session({ subject, files, seed: random.uint32(), history })
  begin(session)
  await session.open()
  const mended = files.calls.some(changesDisk)
  const content = session.history.contentAt(session.history.started)
  // All of it came from the disk: it stays there.
  session.history.acknowledge(session.history.started)
  for (let done = 0; done < COMMITS; done += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, () => session.commit()))
  }
  await session.check()
  const closed = random.chance(0.5)
  if (closed) await session.close()
  const after = { files: files.crash(), history: session.history }
  if (!closed) await session.abandon()

  const last = new Session({ subject, seed: random.uint32(), ...after })
  await last.open()
  last.compare()
  await last.close()
  return { mended, content }
}

/** Stored indexes go; what they say has to be found out from the segments. */
export function removeIndexes(files: Files, folder: string): void {
  if (files.stat(folder).sync() === undefined) return
  for (const name of files.list(folder).sync()) {
    if (name.endsWith('.index')) files.remove(`${folder}/${name}`).sync()
  }
}

/** Whether a call changes what a crash leaves of the store. */
export function changesDisk({ call, path }: FileCall): boolean {
  return CHANGES.has(call) && !path.endsWith('/LOCK')
}
