/**
 * The exclusive lock of a store: a kernel lock on a file, which ends with the process however that dies.
 *
 *   open the lock file ──► flock -n -x 3 (a child that inherits our descriptor as its 3) ──► 0: ours; 1: taken
 *                                                          │
 *                                                          └─► no flock(1) on this system: `node-lock-fallback.ts`
 *
 * `flock` locks the open file that the child shares with us, and exits; our descriptor keeps the lock. Waiting is
 * `flock -x 3` without `-n`, ended after the timeout.
 *
 * Who only reads needs no permission to write. Where the lock file cannot be written, it is opened to read and locked with `flock -s`,
 * for some file systems refuse `-x` of such a descriptor: writers are kept off, others like us are not. Where there is no lock file and none can be
 * made, or no flock(1), there is no lock.
 *
 * 1. The lock file is never removed: two processes could then hold locks on two files of one name. Should somebody else
 *    remove it while we wait, the lock is taken anew on the file that has the name now.
 * 2. Its content is the holder's pid, which is for messages only; nothing while nobody holds it, for a message that names the wrong
 *    process makes somebody end that one.
 * 3. Node opens descriptors close-on-exec: no other child of ours keeps the lock alive.
 * 4. A registry by device and inode refuses a second lock by this thread without asking the kernel. On file systems that
 *    emulate flock by record locks, merely closing a second descriptor would end the first lock.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { delay } from '../environment/delay.ts'
import { Effect, immediate, type Routine } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import type { FileLock } from './files.ts'
import { lockedError } from './locked-error.ts'
import { NO_LOCK } from './no-lock.ts'
import { isAlive, takeFallbackLock } from './node-lock-fallback.ts'
import { errnoOf, systemError, systemErrorOf } from './system-error.ts'

const { O_CREAT, O_RDONLY, O_RDWR } = fs.constants

const LONGEST_TIMEOUT_MS = 2 ** 31 - 1

/** Who has just got the lock may not have written its pid yet: it is looked for so often, with so long in between. */
const LOOKS = 10
const LOOK_MS = 5

/** What opening a file fails with that may be read and not written. */
const UNWRITABLE: readonly unknown[] = ['EROFS', 'EACCES', 'EPERM']

/** So often the lock file may vanish while we take it. */
const ATTEMPTS = 5

/** The lock files that this thread holds, by device and inode. */
const held = new Set<string>()

export function* takeLock(path: string, timeoutMs: number, readOnly = false): Routine<FileLock> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    yield* refuseOwn(path, timeoutMs)
    const file = openLockFile(path, readOnly)
    if (file === undefined) return NO_LOCK
    const { fd, writable } = file
    let keep = false
    try {
      const unlock = yield* lockDescriptor(path, file, timeoutMs)
      if (unlock === undefined) throw lockedError(path, yield* holderOf(fd))
      const key = keyOf(fs.fstatSync(fd, { bigint: true }))
      if (key === keyAt(path)) {
        if (writable) writePid(fd)
        held.add(key)
        keep = true
        return new HeldLock(path, key, file, unlock)
      }
      unlock()
    } finally {
      if (!keep) fs.closeSync(fd)
    }
  }
  throw systemErrorOf('ESTALE', 'lock', path)
}

interface LockFile {
  readonly fd: number
  readonly writable: boolean
}

class HeldLock implements FileLock {
  readonly #path: string
  readonly #key: string
  readonly #file: LockFile
  readonly #unlock: () => void
  #released = false

  constructor(path: string, key: string, file: LockFile, unlock: () => void) {
    this.#path = path
    this.#key = key
    this.#file = file
    this.#unlock = unlock
  }

  isHeld(): boolean {
    return keyAt(this.#path) === this.#key
  }

  release(): Effect<void> {
    return immediate(() => {
      if (this.#released) return
      this.#released = true
      held.delete(this.#key)
      const { fd, writable } = this.#file
      if (writable) erasePid(fd)
      this.#unlock()
      fs.closeSync(fd)
    })
  }
}

/** `LOCKED` when this thread holds the lock and will not let go while we wait: always so under the sync driver. */
function* refuseOwn(path: string, timeoutMs: number): Routine<void> {
  const key = keyAt(path)
  if (key === undefined || !held.has(key)) return
  if (timeoutMs === 0) throw lockedError(path, process.pid)
  yield* new Effect(
    () => {
      throw lockedError(path, process.pid)
    },
    async () => {},
  )
}

/** How to unlock; `undefined` when the lock stayed taken. */
function* lockDescriptor(
  path: string,
  file: LockFile,
  timeoutMs: number,
): Routine<(() => void) | undefined> {
  // Closing the descriptor is what ends a lock of the kernel.
  const unlock = (): void => {}
  const first = yield* flock(path, file, undefined)
  if (first === 'locked') return unlock
  if (first === 'missing') {
    // What stands for the lock there is files beside it, which have to be made.
    return file.writable ? yield* takeFallbackLock(path, timeoutMs) : unlock
  }
  if (timeoutMs === 0) return undefined
  return (yield* flock(path, file, timeoutMs)) === 'locked' ? unlock : undefined
}

type FlockOutcome = 'locked' | 'taken' | 'missing'

interface FlockExit {
  readonly error?: Error | undefined
  readonly status: number | null
  readonly signal: string | null
  readonly stderr: string
}

/** Runs flock(1) on our descriptor; with a `timeoutMs` it waits so long, without one not at all. */
function flock(
  path: string,
  { fd, writable }: LockFile,
  timeoutMs: number | undefined,
): Effect<FlockOutcome> {
  const limit =
    timeoutMs === undefined
      ? undefined
      : { timeout: Math.max(1, Math.min(Math.ceil(timeoutMs), LONGEST_TIMEOUT_MS)) }
  // Not `-w`: BusyBox has none.
  const mode = writable ? '-x' : '-s'
  const args = timeoutMs === undefined ? ['-n', mode, '3'] : [mode, '3']
  // What it says is needed only where it fails; a pipe for that costs as much time as all the rest.
  const quiet = { stdio: ['ignore', 'ignore', 'ignore', fd] as Stdio, ...limit }
  const heard = { stdio: ['ignore', 'ignore', 'pipe', fd] as Stdio, ...limit }
  return new Effect(
    () => {
      const first = spawnSync('flock', args, quiet)
      if (isPlain(first)) return judge(path, { ...first, stderr: '' })
      const second = spawnSync('flock', args, { ...heard, encoding: 'utf8' })
      return judge(path, { ...second, stderr: second.stderr ?? '' })
    },
    async () => {
      const first = await exitOf(() => spawn('flock', args, quiet))
      return judge(path, isPlain(first) ? first : await exitOf(() => spawn('flock', args, heard)))
    },
  )
}

type Stdio = ('ignore' | 'pipe' | number)[]

/** Whether an end needs no words: done, not there, or ended by us. */
function isPlain({
  error,
  status,
  signal,
}: Pick<FlockExit, 'error' | 'status' | 'signal'>): boolean {
  return status === 0 || error !== undefined || signal !== null
}

function exitOf(start: () => ChildProcess): Promise<FlockExit> {
  return new Promise((resolve) => {
    const child = start()
    let stderr = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    child.on('error', (error) => resolve({ error, status: null, signal: null, stderr }))
    child.on('close', (status, signal) => resolve({ error: undefined, status, signal, stderr }))
  })
}

function judge(path: string, { error, status, signal, stderr }: FlockExit): FlockOutcome {
  const errno = errnoOf(error)
  if (errno === 'ENOENT') return 'missing'
  if (errno === 'ETIMEDOUT') return 'taken'
  if (error !== undefined) throw systemError(error, 'run flock to lock', path)
  if (status === 0) return 'locked'
  // Ended by us after the timeout.
  if (signal === 'SIGTERM') return 'taken'
  if (status === 1 && stderr === '') return 'taken'
  const said = stderr.trim() || `it ended with ${signal ?? status}`
  throw new KvarkError(
    'IO',
    `Cannot lock ${path}: ${said}. The file system may have no locks; keep the store on a local one.`,
    { path },
  )
}

/** `undefined`: there is none, and `readOnly` needs none. */
function openLockFile(path: string, readOnly: boolean): LockFile | undefined {
  try {
    return { fd: fs.openSync(path, O_RDWR | O_CREAT, 0o600), writable: true }
  } catch (error) {
    if (!readOnly || !UNWRITABLE.includes(errnoOf(error))) {
      throw systemError(error, 'open the lock file', path)
    }
  }
  try {
    return { fd: fs.openSync(path, O_RDONLY), writable: false }
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw systemError(error, 'open the lock file', path)
  }
}

function keyOf(stats: fs.BigIntStats): string {
  return `${stats.dev}:${stats.ino}`
}

function keyAt(path: string): string | undefined {
  try {
    const stats = fs.statSync(path, { bigint: true, throwIfNoEntry: false })
    return stats && keyOf(stats)
  } catch (error) {
    throw systemError(error, 'look at the lock file', path)
  }
}

function writePid(fd: number): void {
  try {
    fs.ftruncateSync(fd, 0)
    fs.writeSync(fd, `${process.pid}\n`, 0)
  } catch {
    // The pid is for messages only: a full disk must not keep a store from being opened.
  }
}

function erasePid(fd: number): void {
  try {
    fs.ftruncateSync(fd, 0)
  } catch {
    // As above.
  }
}

/** Who holds the lock, if that can be told: a killed holder leaves its pid behind. */
function* holderOf(fd: number): Routine<number | undefined> {
  for (let look = 0; look < LOOKS; look++) {
    if (look > 0) yield* delay(LOOK_MS)
    const pid = readPid(fd)
    if (pid !== undefined && isAlive(pid)) return pid
  }
  return undefined
}

function readPid(fd: number): number | undefined {
  const bytes = Buffer.alloc(20)
  const pid = Number.parseInt(bytes.toString('latin1', 0, fs.readSync(fd, bytes, 0, 20, 0)), 10)
  return pid > 0 ? pid : undefined
}
