/**
 * Backups and their removal on a disk that fails. A backup runs while others write, and
 *
 *   the power fails before each of its calls in turn ─► the store: a prefix of its history; the copy: all of one, or no store
 *   each of its calls in turn fails                  ─► the same, and the store takes writes, or does so once resumed
 *   a byte of the store is damaged                   ─► `CORRUPTION` and no copy, unless the copy is right all the same
 *
 * What is no store is taken away by `destroy`, at whatever call that was interrupted.
 */

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { SeededRandom } from '../../bytes/random.ts'
import type { BackupReport } from '../../engine/facts.ts'
import { type SimulatedEnvironment, simulatedEnvironment } from '../../environment/simulated.ts'
import { KvarkError } from '../../errors.ts'
import { destroySync } from '../../store/destroy.ts'
import { type FileCall, SimulatedFiles } from '../../vfs/simulated.ts'
import type { CrashMode } from '../../vfs/simulated-disk.ts'
import { failCall } from './fault.ts'
import { History, mustHold } from './history.ts'
import { oneOf, partOf, seeds, withContext, withSeed } from './seeds.ts'
import { type CrashStore, type CrashSubject, openSubject } from './subjects.ts'
import { carryOut, contentOf, type Mix, randomWrite } from './workload.ts'

const STORE = '/store'
const COPY = '/backups/copy'
const MODES: readonly CrashMode[] = ['drop', 'prefix', 'subset']
const POWER_SEEDS = partOf(5, 0.2)
const FAULT_SEEDS = 1
const STRIDE = oneOf(5)
const WRITES = 60
/** So many bytes of each file are damaged, one at a time. */
const DAMAGES = 60

const MIX: Mix = { keys: 24, clears: 0.02, sync: 0.5, durabilities: ['none', 'os', 'disk'] }

export function backupSuite(subject: CrashSubject): void {
  describe(`${subject.name}: backups on a failing disk`, () => {
    for (const mode of MODES) {
      test(`power loss at each call of a backup, mode ${mode}`, async (t) => {
        await sweepPower(t, subject, mode)
      })
      test(`power loss at each call of a destroy, mode ${mode}`, async (t) => {
        await sweepDestroy(t, subject, mode)
      })
    }
    for (const error of ['EIO', 'ENOSPC']) {
      for (const forever of [false, true]) {
        test(`${error} at each call of a backup, ${forever ? 'and ever after' : 'once'}`, async (t) => {
          await sweepFaults(t, subject, error, forever)
        })
      }
    }
    test('damage in the store', async (t) => await sweepDamage(t, subject))
  })
}

/** A store in use, and what was written to it. */
class Scene {
  readonly subject: CrashSubject
  readonly files = new SimulatedFiles()
  readonly environment: SimulatedEnvironment
  readonly history = new History()
  readonly #random: SeededRandom
  readonly #name: string
  db: CrashStore
  #writing = true
  #doubtful = false

  constructor(subject: CrashSubject, seed: number) {
    this.subject = subject
    this.environment = simulatedEnvironment({ seed, files: this.files })
    this.#random = new SeededRandom(seed)
    this.#name = String(seed)
    this.db = openSubject(subject, STORE, this.environment).sync()
    for (let i = 0; i < WRITES; i++) {
      this.#write()
      if (this.#random.chance(0.05)) this.db.compactSync()
      if (this.#random.chance(0.05)) {
        this.db.closeSync()
        this.db = openSubject(subject, STORE, this.environment).sync()
      }
    }
    this.db.syncSync()
    this.history.acknowledge(this.history.started)
  }

  /** A backup while others write and compact. */
  async backup(): Promise<BackupReport> {
    this.#writing = true
    const others = Promise.all([this.#keepWriting(), this.#keepCompacting()])
    try {
      return await this.db.backup(COPY)
    } finally {
      this.#writing = false
      await others
    }
  }

  #write(): void {
    const write = randomWrite(this.#random, `${this.#name}.${this.history.started}`, MIX)
    const number = this.history.add(write.changes)
    const acknowledge = (): void => {
      if (write.durability === 'disk' && !this.#doubtful) this.history.acknowledge(number)
    }
    const failed = (error: unknown): void => {
      if (!(error instanceof KvarkError)) throw error
      this.#doubtful = true
      if (error.outcome !== 'unknown') this.history.refuse(number)
    }
    try {
      const promise = carryOut(this.db, write)
      if (write.sync) acknowledge()
      else void (promise as Promise<unknown>).then(acknowledge, failed)
    } catch (error) {
      failed(error)
    }
  }

  async #keepWriting(): Promise<void> {
    while (this.#writing) {
      this.#write()
      await this.environment.pause.async()
    }
  }

  async #keepCompacting(): Promise<void> {
    while (this.#writing) {
      await this.db.compact().catch((error: unknown) => {
        if (!(error instanceof KvarkError)) throw error
      })
      for (let i = 0; i < 5; i++) await this.environment.pause.async()
    }
  }

  /** Resumes the store if it has to be; what it then shows is kept. */
  async recover(): Promise<void> {
    await this.environment.pause.async()
    if (this.db.stats().readOnly !== undefined) this.db.resumeSync()
    this.history.recovered(contentOf(this.db))
    this.db.putSync('after', 'the fault')
  }
}

/** What the disk holds after the power failed, and what had to survive. */
interface Image {
  readonly files: SimulatedFiles
  readonly history: History
  readonly call: FileCall
}

async function sweepPower(t: TestContext, subject: CrashSubject, mode: CrashMode): Promise<void> {
  const counts = { images: 0, copies: 0, parts: 0 }
  for (const seed of seeds(POWER_SEEDS)) {
    await withSeed(t, seed, async () => {
      const scene = new Scene(subject, seed)
      const { files, history } = scene
      const random = new SeededRandom(seed + 1e6)
      const least = history.acknowledged
      const images: Image[] = []
      files.failNext((call) => {
        images.push({ files: files.afterCrash({ mode, random }), history: history.copy(), call })
        return undefined
      })
      await scene.backup()
      files.clearFaults()
      scene.db.closeSync()
      const end = { call: 'close', path: 'the end', epoch: 0 } as const
      images.push({ files: files.crash(), history: history.copy(), call: end })
      let found = 'none'
      for (const image of images) {
        try {
          const environment = simulatedEnvironment({ seed, files: image.files })
          const db = openSubject(subject, STORE, environment).sync()
          image.history.recovered(contentOf(db))
          assert.deepEqual(db.verifySync().problems, [])
          found = judgeCopy(subject, environment, image.history, least)
          counts.images++
          if (found === 'whole') counts.copies++
          if (found === 'part') counts.parts++
          db.backupSync(COPY)
          db.closeSync()
        } catch (cause) {
          throw withContext(`before ${image.call.call} ${image.call.path}`, cause)
        }
      }
      assert.equal(found, 'whole', 'a backup that returned is on the disk')
    })
  }
  assert.ok(counts.copies > 0 && counts.parts > 0)
  t.diagnostic(`${counts.images} disks: ${counts.copies} with a copy, ${counts.parts} with a part`)
}

/** The copy is whole and right, or no store and removed by `destroy`, or not there. Nothing is there afterwards. */
function judgeCopy(
  subject: CrashSubject,
  environment: SimulatedEnvironment,
  history: History,
  least: number,
): 'whole' | 'part' | 'none' {
  let copy: CrashStore | undefined
  try {
    const options = { ...subject.options, create: false }
    copy = openSubject({ ...subject, options }, COPY, environment).sync()
  } catch (error) {
    assert.ok(error instanceof KvarkError, String(error))
    if (error.code === 'CORRUPTION') assert.match(error.message, /holds a part of a store/)
    else assert.equal(error.code, 'NOT_FOUND', error.message)
  }
  if (copy !== undefined) {
    history.recovered(contentOf(copy), least)
    assert.deepEqual(copy.verifySync().problems, [])
    copy.closeSync()
  }
  let destroyed = true
  try {
    destroySync(COPY, { environment })
  } catch (error) {
    assert.ok(error instanceof KvarkError && error.code === 'NOT_FOUND', String(error))
    assert.equal(copy, undefined)
    destroyed = false
  }
  const left = environment.files.stat(COPY).sync() && environment.files.list(COPY).sync()
  assert.deepEqual(left?.filter((name) => name !== 'LOCK') ?? [], [])
  return copy === undefined ? (destroyed ? 'part' : 'none') : 'whole'
}

async function sweepDestroy(t: TestContext, subject: CrashSubject, mode: CrashMode): Promise<void> {
  const counts = { images: 0, stores: 0 }
  for (const seed of seeds(POWER_SEEDS)) {
    await withSeed(t, seed, async () => {
      const { db, files, environment, history } = new Scene(subject, seed)
      db.closeSync()
      const random = new SeededRandom(seed + 1e6)
      const images: SimulatedFiles[] = []
      files.failNext(() => {
        images.push(files.afterCrash({ mode, random }))
        return undefined
      })
      destroySync(STORE, { environment })
      images.push(files.crash())
      for (const image of images) {
        const after = simulatedEnvironment({ seed, files: image })
        counts.images++
        const names = image.stat(STORE).sync() && image.list(STORE).sync()
        if (names?.includes('KVARK')) {
          counts.stores++
          const again = openSubject(subject, STORE, after).sync()
          mustHold(contentOf(again), history.contentAt(history.started), 'a store is a whole one')
          assert.deepEqual(again.verifySync().problems, [])
          again.closeSync()
        }
        if (names?.some((name) => name.startsWith('KVARK'))) {
          assert.deepEqual(destroySync(STORE, { environment: after }).kept, [])
        }
        const left = image.stat(STORE).sync() && image.list(STORE).sync()
        assert.deepEqual(left ?? [], [])
      }
    })
  }
  assert.ok(counts.stores > 0 && counts.stores < counts.images)
  t.diagnostic(`${counts.images} disks, ${counts.stores} of them with the store`)
}

async function sweepFaults(
  t: TestContext,
  subject: CrashSubject,
  error: string,
  forever: boolean,
): Promise<void> {
  const counts = { runs: 0, copies: 0 }
  for (const seed of seeds(FAULT_SEEDS)) {
    await withSeed(t, seed, async () => {
      for (let nth = 1, injected = true; injected; nth += STRIDE) {
        const scene = new Scene(subject, seed)
        const { files, environment, history } = scene
        const least = history.acknowledged
        const fault = failCall(files, { nth, error, forever })
        try {
          const outcome = await scene.backup().catch((cause: unknown) => {
            assert.ok(cause instanceof KvarkError, String(cause))
            return cause
          })
          files.clearFaults()
          // A lock that could not be let go of would be the process's for good.
          if (fault.failed?.call !== 'release' && !forever) {
            const found = judgeCopy(subject, environment, history, least)
            if (found === 'whole') counts.copies++
            const failure = outcome instanceof KvarkError
            assert.equal(found, failure ? 'none' : 'whole', 'a failed backup leaves nothing')
          }
          await scene.recover()
          scene.db.closeSync()
          const after = simulatedEnvironment({ seed, files: files.crash() })
          const db = openSubject(subject, STORE, after).sync()
          history.recovered(new Map([...contentOf(db)].filter(([key]) => key !== 'after')))
          assert.equal(db.getSync('after'), 'the fault')
          judgeCopy(subject, after, history, least)
          db.backupSync(COPY)
          db.closeSync()
        } catch (cause) {
          throw withContext(`call ${nth} failed: ${fault.what}`, cause)
        }
        injected = fault.failed !== undefined
        counts.runs++
      }
    })
  }
  t.diagnostic(`${counts.runs} backups with a fault, ${counts.copies} came about all the same`)
}

async function sweepDamage(t: TestContext, subject: CrashSubject): Promise<void> {
  const counts = { damages: 0, refused: 0 }
  const { db, files, environment } = new Scene(subject, 1)
  const expected = contentOf(db)
  for (const name of files.list(STORE).sync()) {
    if (!/^\d+\.(log|packed)$/.test(name)) continue
    const path = `${STORE}/${name}`
    const handle = files.open(path, 'write').sync()
    const size = handle.size().sync()
    for (let i = 0; i < DAMAGES; i++) {
      const position = Math.floor((size * i) / DAMAGES)
      const byte = new Uint8Array(1)
      handle.read(byte, 0, 1, position).sync()
      byte[0]! ^= 0x10
      handle.write(byte, 0, 1, position).sync()
      counts.damages++
      try {
        db.backupSync(COPY)
        const copy = openSubject(subject, COPY, environment).sync()
        mustHold(contentOf(copy), expected, `${name} is damaged at ${position}`)
        assert.deepEqual(copy.verifySync().problems, [])
        copy.closeSync()
        destroySync(COPY, { environment })
      } catch (error) {
        if (!(error instanceof KvarkError)) throw error
        assert.deepEqual([error.code, error.path], ['CORRUPTION', path], error.message)
        assert.equal(files.stat(COPY).sync(), undefined)
        counts.refused++
      }
      byte[0]! ^= 0x10
      handle.write(byte, 0, 1, position).sync()
    }
    handle.close().sync()
  }
  db.putSync('after', 'the damage')
  db.backupSync(COPY)
  db.closeSync()
  t.diagnostic(`${counts.damages} damaged bytes, ${counts.refused} refused`)
  assert.ok(counts.refused > counts.damages / 2)
}
