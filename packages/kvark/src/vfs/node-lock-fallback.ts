/**
 * The lock of a store where flock(1) is missing, on a side file. The first of these that the system has:
 *
 *   store.lock.sqlite   an exclusive transaction of node:sqlite; the kernel ends it with the process
 *   store.lock.pid      a file that names the holder; one left by a dead process is taken over
 *
 * 1. The pid file appears with its whole content, by a hard link, or not at all.
 * 2. A pid file is stale only if its host is this one and its process is gone, or another process has that pid now. It
 *    is never removed in place: it is renamed away, and put back if it was not the stale one after all.
 *
 * Left out: programs that use different ways to lock do not see each other, such as two containers of which one has
 * flock. Two processes that take over the same stale pid file in the same instant could, in theory, both succeed.
 */

import fs from 'node:fs'
import { hostname } from 'node:os'
import { delay } from '../environment/delay.ts'
import type { Routine } from '../environment/routine.ts'
import { errnoOf, systemError } from './system-error.ts'

const POLL_MS = 25

type Unlock = () => void

/** How to unlock; `undefined` when the lock stayed taken. */
export function* takeFallbackLock(
  path: string,
  timeoutMs: number,
  tryLock: (path: string) => Unlock | undefined = sqliteIsThere() ? trySqliteLock : tryPidFileLock,
): Routine<Unlock | undefined> {
  for (let waited = 0; ; ) {
    const unlock = tryLock(path)
    if (unlock !== undefined || waited >= timeoutMs) return unlock
    const ms = Math.min(POLL_MS, timeoutMs - waited)
    yield* delay(ms)
    waited += ms
  }
}

/** What we use of node:sqlite, which the oldest supported Node lacks. */
interface Sqlite {
  readonly DatabaseSync: new (path: string) => { exec(sql: string): void; close(): void }
}

const SQLITE_BUSY = 5

export function sqliteIsThere(): boolean {
  return process.getBuiltinModule('node:sqlite') !== undefined
}

export function trySqliteLock(path: string): Unlock | undefined {
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite') as Sqlite
  const side = `${path}.sqlite`
  try {
    // Made here for its mode. One that exists is not opened: closing it would end the lock of another thread.
    fs.closeSync(fs.openSync(side, 'wx', 0o600))
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw systemError(error, 'make the lock file', side)
  }
  const database = new DatabaseSync(side)
  try {
    database.exec('PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
    return () => database.close()
  } catch (error) {
    database.close()
    if ((error as { errcode?: unknown }).errcode === SQLITE_BUSY) return undefined
    throw systemError(error, 'lock', side)
  }
}

export function tryPidFileLock(path: string): Unlock | undefined {
  const side = `${path}.pid`
  const draft = nextFree(`${side}.new`)
  try {
    fs.writeFileSync(draft, describeProcess(process.pid), { mode: 0o600 })
    for (;;) {
      if (link(draft, side)) return () => fs.rmSync(side, { force: true })
      const holder = read(side)
      if (holder !== undefined && !isStale(holder)) return undefined
      if (holder !== undefined) removeStale(side, holder)
    }
  } catch (error) {
    throw systemError(error, 'lock', side)
  } finally {
    fs.rmSync(draft, { force: true })
  }
}

/** A name that no other process or thread uses: the empty file is made here. */
function nextFree(prefix: string): string {
  for (let i = 0; ; i++) {
    const path = `${prefix}-${process.pid}-${i}`
    try {
      fs.closeSync(fs.openSync(path, 'wx', 0o600))
      return path
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw systemError(error, 'make the lock file', path)
    }
  }
}

/** False where the name is taken. */
function link(from: string, to: string): boolean {
  try {
    fs.linkSync(from, to)
    return true
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false
    throw error
  }
}

function read(path: string): string | undefined {
  try {
    return fs.readFileSync(path, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}

function removeStale(side: string, stale: string): void {
  const grave = nextFree(`${side}.stale`)
  try {
    fs.renameSync(side, grave)
    if (read(grave) !== stale) link(grave, side)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  } finally {
    fs.rmSync(grave, { force: true })
  }
}

/** Pid, host and, where the system tells it, what no other process with that pid has: boot and start time. */
function describeProcess(pid: number): string {
  return `${pid}\n${hostname()}\n${birthOf(pid)}\n`
}

function isStale(holder: string): boolean {
  const [pidText = '', host, birth = ''] = holder.split('\n')
  const pid = Number(pidText)
  // Whether a process of another host lives cannot be known from here.
  if (host !== hostname() || !Number.isInteger(pid) || pid <= 0) return false
  const birthNow = birthOf(pid)
  if (birth !== '' && birthNow !== '') return birth !== birthNow
  return !isAlive(pid)
}

/** Whether a process of this host has that pid. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return errnoOf(error) !== 'ESRCH'
  }
}

/** Linux only, elsewhere and for a pid that is free: empty. */
function birthOf(pid: number): string {
  try {
    const boot = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field is the program's name in parentheses and may hold anything; the 22nd is the start time.
    const start = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    return `${boot} ${start}`
  } catch {
    return ''
  }
}
