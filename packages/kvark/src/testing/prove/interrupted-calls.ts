/**
 * System calls that move less than they were asked for, or are interrupted (EINTR): the machine's files go on as if nothing had been.
 *
 *   for n = 1, 2, …   a store on real files, whose n-th read or write is cut short ─► no error ─► closed, opened, all there
 *                     until a run makes fewer than n
 *
 * 1. `node:fs` itself is patched, below the machine's files; syncs do nothing meanwhile, for nothing crashes here.
 * 2. What a store loads once in a process (a compression's package) is loaded before: Node reads it by the calls that are patched.
 */

import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SeededRandom } from '../../bytes/random.ts'
import { History, mustHold } from '../crash/history.ts'
import { type CrashSubject, openSubject } from '../crash/subjects.ts'
import { carryOut, contentOf, type Mix, randomWrite } from '../crash/workload.ts'

export type Interruption = 'short read' | 'short write' | 'EINTR'

export const INTERRUPTIONS: readonly Interruption[] = ['short read', 'short write', 'EINTR']

const MIX: Mix = { keys: 12, clears: 0.02, sync: 0.5, durabilities: ['none', 'os', 'disk'] }
const WRITES = 12

type Call = (...args: unknown[]) => unknown

/** Interrupts each call in turn, or all of them; returns how many that were. */
export async function interruptCalls(
  subject: CrashSubject,
  seed: number,
  kind: Interruption,
  all: boolean,
): Promise<number> {
  let interrupted = 0
  for (let nth = 1; ; nth++) {
    const count = await runOnce(subject, seed, kind, all ? undefined : nth)
    interrupted += count
    if (all || count === 0) return interrupted
  }
}

/** Returns how many calls were interrupted. */
async function runOnce(
  subject: CrashSubject,
  seed: number,
  kind: Interruption,
  nth: number | undefined,
): Promise<number> {
  const folder = fs.mkdtempSync(join(tmpdir(), 'kvark-calls-'))
  openSubject(subject, join(folder, 'loading')).sync().closeSync()
  const patched = patch(kind, nth)
  try {
    await useStore(subject, join(folder, 'store'), seed)
  } finally {
    patched.restore()
    fs.rmSync(folder, { recursive: true })
  }
  return patched.interrupted()
}

async function useStore(subject: CrashSubject, path: string, seed: number): Promise<void> {
  const random = new SeededRandom(seed)
  const history = new History()
  let db = openSubject(subject, path).sync()
  for (let number = 1; number <= WRITES; number++) {
    const write = randomWrite(random, `${seed}.${number}`, MIX)
    history.add(write.changes)
    await carryOut(db, write)
  }
  mustHold(contentOf(db), history.contentAt(WRITES), 'The store must show every write:')
  await db.close()
  db = await openSubject(subject, path).async()
  mustHold(contentOf(db), history.contentAt(WRITES), 'The store must hold every write:')
  db.closeSync()
}

/** Makes the `nth` call of the kind, or every one, move half of what it should, or fail once. */
function patch(
  kind: Interruption,
  nth: number | undefined,
): { restore(): void; interrupted(): number } {
  const { readSync, read, writeSync, write, fdatasyncSync, fdatasync } = fs
  const whole = { readSync, read, writeSync, write, fdatasyncSync, fdatasync }
  let calls = 0
  let interrupted = 0
  let failed = false
  const isHit = (): boolean => {
    // The call is made again: it must not be interrupted for ever.
    if (kind === 'EINTR' && failed) {
      failed = false
      return false
    }
    calls++
    if (nth !== undefined && calls !== nth) return false
    interrupted++
    failed = true
    return true
  }
  const interrupt =
    (call: Call): Call =>
    (...args: unknown[]): unknown => {
      if (typeof args[3] !== 'number' || !isHit()) return call(...args)
      if (kind !== 'EINTR') {
        args[3] = Math.ceil(args[3] / 2)
        return call(...args)
      }
      const error = Object.assign(new Error('EINTR'), { code: 'EINTR' })
      const done = args[5]
      if (typeof done !== 'function') throw error
      setImmediate(() => done(error))
    }
  const reads = kind !== 'short write'
  const writes = kind !== 'short read'
  Object.assign(fs, {
    ...(reads && {
      readSync: interrupt(readSync as Call),
      read: interrupt(read as Call),
    }),
    ...(writes && {
      writeSync: interrupt(writeSync as Call),
      write: interrupt(write as Call),
    }),
    fdatasyncSync: () => {},
    fdatasync: (_fd: number, done: () => void) => void setImmediate(done),
  })
  return { restore: () => void Object.assign(fs, whole), interrupted: () => interrupted }
}
