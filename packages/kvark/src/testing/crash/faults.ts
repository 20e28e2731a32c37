/**
 * A disk that fails: every call of a session in turn, a full disk, a sync that fails.
 *
 *   for n = 1, 2, …   session with call n failing ─► only `KvarkError`s ─► power loss ─► nothing acknowledged is lost
 *                     until a session ends before its n-th call
 *
 * 1. After a failed write or sync the store is read-only, says why, and goes on reading; `resume` takes it back to what the
 *    disk holds.
 * 2. After a failed sync the system may call lost pages clean: what is acknowledged later must have been written again.
 */

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { SeededRandom } from '../../bytes/random.ts'
import type { Environment } from '../../environment/environment.ts'
import { nodeEnvironment } from '../../environment/node.ts'
import { simulatedEnvironment } from '../../environment/simulated.ts'
import { KvarkError } from '../../errors.ts'
import { SimulatedFiles } from '../../vfs/simulated.ts'
import { rejects, throws } from '../contract/check.ts'
import { type FaultPlan, failCall } from './fault.ts'
import { History } from './history.ts'
import { recoverAndGoOn } from './image.ts'
import { oneOf, seeds, withContext, withSeed } from './seeds.ts'
import { Session } from './session.ts'
import { type CrashStore, type CrashSubject, openSubject } from './subjects.ts'
import { contentOf } from './workload.ts'

const SWEEPS = 2
const STEPS = 30
/** One call of so many fails; which ones, is another one for each test. */
const STRIDE = oneOf(7)

const FULL_BYTES = 2 * 1024 * 1024
const VALUE = 'full'.padEnd(3000, 'kvark')

/** `sweeps`: sessions in which every call fails once. */
export function faultSuite(subject: CrashSubject, sweeps: number = SWEEPS): void {
  describe(`${subject.name}: a failing disk`, () => {
    for (const error of ['EIO', 'ENOSPC']) {
      for (const forever of [false, true]) {
        test(`${error} at call 1, 2, … ${forever ? 'and ever after' : 'once'}`, async (t) => {
          await sweep(t, subject, sweeps, error, forever)
        })
      }
    }

    for (const sync of [false, true]) {
      test(`a full disk: read-only until ${sync ? 'resumeSync' : 'resume'}`, async () => {
        const files = new SimulatedFiles({ capacityBytes: FULL_BYTES })
        const environment = simulatedEnvironment({ seed: 1, files })
        await fillUp(subject, { path: '/store', environment, sync }, () => {
          files.capacityBytes *= 2
        })
      })
    }

    test('a full tmpfs', async (t) => await onTmpfs(t, subject))

    for (const call of ['sync', 'syncFolder', 'write'] as const) {
      test(`a ${call} that fails once: what is acknowledged later has been written`, async () => {
        await failOnce(subject, call)
      })
    }
  })
}

async function sweep(
  t: TestContext,
  subject: CrashSubject,
  sweeps: number,
  error: string,
  forever: boolean,
): Promise<void> {
  let runs = 0
  for (const seed of seeds(sweeps)) {
    await withSeed(t, seed, async () => {
      const first = 1 + ((seed + error.length + (forever ? 1 : 0)) % STRIDE)
      for (let nth = first, injected = true; injected; nth += STRIDE, runs++) {
        injected = await failAt(subject, seed, { nth, error, forever })
      }
    })
  }
  t.diagnostic(`${runs} sessions`)
}

/** A session in which one call fails, and what it leaves on the disk. Tells whether it came to that call. */
export async function failAt(
  subject: CrashSubject,
  seed: number,
  plan: FaultPlan,
  steps: number | readonly number[] = STEPS,
): Promise<boolean> {
  const files = new SimulatedFiles()
  files.failedSync = plan.failedSync ?? 'clean'
  const fault = failCall(files, plan)
  const session = new Session({ subject, files, seed, tolerant: true })
  try {
    await session.run(steps)
    await session.end()
    const image = { files: files.crash(), history: session.history }
    await recoverAndGoOn(subject, image, new SeededRandom(seed))
  } catch (cause) {
    throw withContext(
      `call ${plan.nth} failed: ${fault.what}; the session was:\n${session.trace}`,
      cause,
    )
  }
  return fault.failed !== undefined
}

interface Scene {
  readonly path: string
  readonly environment: Environment
  /** By the Sync twins. */
  readonly sync: boolean
}

/** Writes until the disk is full, reads, makes space, goes on. */
async function fillUp(
  subject: CrashSubject,
  { path, environment, sync }: Scene,
  makeSpace: () => void,
): Promise<void> {
  const open = async (): Promise<CrashStore> => {
    const opening = openSubject(subject, path, environment)
    return sync ? opening.sync() : await opening.async()
  }
  let db = await open()
  const history = new History()
  const puts = (number: number): { type: 'put'; key: string; value: string }[] =>
    Array.from({ length: 1 + (number % 3) }, (_, i) => ({
      type: 'put',
      key: `key${number}-${i}`,
      value: VALUE,
    }))
  let failure: KvarkError | undefined
  while (failure === undefined) {
    const operations = puts(history.started)
    const number = history.add(operations.map(({ key, value }) => ({ kind: 'put', key, value })))
    try {
      if (sync) db.batchSync(operations)
      else await db.batch(operations)
      history.acknowledge(number)
    } catch (error) {
      assert.ok(error instanceof KvarkError)
      failure = error
    }
  }
  assert.deepEqual([failure.code, failure.outcome], ['NO_SPACE', 'unknown'], failure.message)
  assert.ok(history.acknowledged > 50, `only ${history.acknowledged} batches fitted`)
  assert.equal(db.stats().readOnly?.code, 'NO_SPACE')

  await rejects('READ_ONLY', () => db.put('refused', VALUE))
  throws('READ_ONLY', () => db.deleteSync('key0-0'))
  assert.equal(db.getSync('key1-0'), VALUE)
  assert.equal(await db.get('key1-1'), VALUE)

  // As long as there is no space, resuming may fail, or the next write.
  try {
    await db.resume()
    while (true) await db.put(`more${history.add([])}`, VALUE)
  } catch (error) {
    assert.ok(error instanceof KvarkError && ['NO_SPACE', 'READ_ONLY'].includes(error.code))
  }

  makeSpace()
  if (sync) db.resumeSync()
  else await db.resume()
  assert.equal(db.stats().readOnly, undefined)
  const kept = contentOf(db)
  history.recovered(new Map([...kept].filter(([key]) => !key.startsWith('more'))))
  for (let i = 0; i < 20; i++) {
    if (sync) db.putSync(`after${i}`, VALUE)
    else await db.put(`after${i}`, VALUE)
  }
  await db.close()
  db = await open()
  const expected = new Map(kept)
  for (let i = 0; i < 20; i++) expected.set(`after${i}`, VALUE)
  assert.deepEqual([...contentOf(db).keys()].sort(), [...expected.keys()].sort())
  assert.deepEqual((await db.verify()).problems, [])
  await db.close()
}

async function onTmpfs(t: TestContext, subject: CrashSubject): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'kvark-full-'))
  const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${FULL_BYTES}`, 'tmpfs', folder], {
    encoding: 'utf8',
  })
  try {
    if (mount.status !== 0) {
      const why = (mount.error?.message ?? mount.stderr).trim()
      t.diagnostic(`mounting was refused (${why}): only the simulated disk was filled`)
      return
    }
    try {
      const ballast = join(folder, 'ballast')
      writeFileSync(ballast, new Uint8Array(FULL_BYTES / 2))
      const scene = { path: join(folder, 'store'), environment: nodeEnvironment(), sync: false }
      await fillUp(subject, scene, () => rmSync(ballast))
      t.diagnostic('a real file system was filled')
    } finally {
      spawnSync('umount', [folder])
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

async function failOnce(
  subject: CrashSubject,
  call: 'sync' | 'syncFolder' | 'write',
): Promise<void> {
  for (const sync of [false, true]) {
    const files = new SimulatedFiles()
    const environment = simulatedEnvironment({ seed: 1, files })
    const db = openSubject(subject, '/store', environment).sync()
    // The next write begins a file, so that every kind of call is made.
    const large = 'large'.padEnd(40_000, 'kvark')
    db.putSync('before', large)
    db.compactSync()
    files.failNext({ call, error: 'EIO' })
    const error = sync
      ? throws('IO', () => db.putSync('doubtful', large))
      : await rejects('IO', () => db.put('doubtful', large))
    assert.equal(error.outcome, 'unknown')
    await rejects('READ_ONLY', () => db.put('refused', 'value'))
    if (sync) db.resumeSync()
    else await db.resume()
    const kept = new Map(contentOf(db))
    assert.equal(kept.get('before'), large)
    if (sync) db.putSync('after', 'value')
    else await db.put('after', 'value')

    const after = simulatedEnvironment({ seed: 2, files: files.crash() })
    const again = openSubject(subject, '/store', after).sync()
    assert.deepEqual(contentOf(again), kept.set('after', 'value'))
    assert.deepEqual(again.verifySync().problems, [])
    again.closeSync()
  }
}
