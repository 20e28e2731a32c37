/**
 * `closeSync` in the middle of everything: the folder is left as it is from then on, for it may be somebody else's at once.
 *
 *   writes, compactions, backups, snapshots, a resume … ─► closeSync ─► nobody, or the next owner ─► all that was under way ends
 *                                                             └── the folder stays as it is, and so does what the next owner has,
 *                                                                 also when the power fails then
 *
 * 1. The awaited calls take a while (`slow-files.ts`), those of the next owner do not: all that is late comes after it.
 * 2. The next owner opens the store again, or has another one in its place, whose files have the same names.
 */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { SeededRandom } from '../../bytes/random.ts'
import type { Environment } from '../../environment/environment.ts'
import { nodeEnvironment } from '../../environment/node.ts'
import { type SimulatedEnvironment, simulatedEnvironment } from '../../environment/simulated.ts'
import { KvarkError } from '../../errors.ts'
import { destroySync } from '../../store/destroy.ts'
import type { Snapshot } from '../../store/types.ts'
import { SimulatedFiles } from '../../vfs/simulated.ts'
import { rejects, throws, turn } from '../contract/check.ts'
import { folderImage } from '../folder-image.ts'
import { type Content, History, mustHold } from './history.ts'
import { partOf, seeds, withSeed } from './seeds.ts'
import { slowProcess } from './slow-files.ts'
import { type CrashStore, type CrashSubject, openSubject } from './subjects.ts'
import { carryOut, contentOf, type Mix, randomWrite } from './workload.ts'

const STORE = '/store'
const SEEDS = partOf(60, 0.3)
const STEPS = 60
const MIX: Mix = {
  keys: 24,
  clears: 0.02,
  sync: 0.5,
  durabilities: ['none', 'none', 'os', 'disk'],
}
/** After so many turns of the event loop nothing is under way any more. */
const LONGEST_TURNS = 100

const ROUNDS = 12
const MOST_MS = 12

const HEIRS = ['nobody', 'the same store', 'another store'] as const
type Heir = (typeof HEIRS)[number]

const LASTS = ['all kinds of calls', 'compactions one after the other', 'a resume'] as const
type Last = (typeof LASTS)[number]

export function closingSuite(subject: CrashSubject): void {
  describe(`${subject.name}: closeSync while much is under way`, () => {
    for (const last of LASTS) {
      for (const heir of HEIRS) {
        test(`${last}, and ${heir} comes after it`, async (t) => {
          for (const seed of seeds(SEEDS)) {
            await withSeed(t, seed, async () => await closeAndInherit(subject, seed, last, heir))
          }
        })
      }
    }
    test('a compaction whose progress closes the store', async () => await closeWithin(subject))
    test('threads that compact leave the folder alone', async () => await onMachine(subject))
  })
}

async function closeAndInherit(
  subject: CrashSubject,
  seed: number,
  last: Last,
  heir: Heir,
): Promise<void> {
  const scene = new Scene(subject, seed)
  await scene.use(last)
  const expected = scene.close()
  if (heir === 'nobody') {
    const before = folderImage(scene.files, STORE)
    await scene.settle()
    assert.deepEqual(folderImage(scene.files, STORE), before)
  }
  const { environment } = scene
  if (heir === 'another store') destroySync(STORE, { environment })
  let db = openSubject(subject, STORE, environment).sync()
  const content = new Map(contentOf(db))
  if (heir === 'another store') mustHold(content, new Map(), 'Another store:')
  else if (last !== 'a resume') mustHold(content, expected, 'The store opened again:')
  for (let i = 0; i < 20; i++) {
    const [key, value] = [`later${i}`, `${i} `.padEnd(4000, 'kvark')]
    db.putSync(key, value)
    content.set(key, value)
  }
  db.compactSync()
  await scene.settle()
  const check = (): void => {
    assert.deepEqual(db.verifySync().problems, [], 'verify finds problems')
    mustHold(contentOf(db), content, 'What the next owner wrote:')
  }
  check()
  db = openSubject(subject, STORE, { ...environment, files: scene.files.crash() }).sync()
  check()
  db.closeSync()
}

/** A store in use, with much under way. */
class Scene {
  readonly files = new SimulatedFiles()
  /** Where calls take no time. */
  readonly environment: SimulatedEnvironment
  readonly #random: SeededRandom
  readonly #db: CrashStore
  readonly #history = new History()
  readonly #snapshots: Snapshot<string, string>[] = []
  readonly #begun: Promise<unknown>[] = []
  #copies = 0

  constructor(subject: CrashSubject, seed: number) {
    this.#random = new SeededRandom(seed)
    this.environment = simulatedEnvironment({ seed, files: this.files })
    const { files } = slowProcess(this.files, this.#random)
    const slow: Environment = { ...this.environment, files }
    this.#db = openSubject(subject, STORE, slow).sync()
  }

  async use(last: Last): Promise<void> {
    for (let i = 0; i < STEPS; i++) this.#write()
    if (this.#random.chance(0.5)) this.#db.compactSync()
    for (let i = 0; i < STEPS; i++) await this.#step()
    if (last === 'a resume') await this.#failAndResume()
    else if (last !== 'all kinds of calls') this.#compactAgainAndAgain()
    // Resuming takes longer.
    const turns = this.#random.below(last === 'a resume' ? 150 : 12)
    for (let i = 0; i < turns; i++) await turn()
  }

  /** Closes it; returns what it must hold. */
  close(): Content {
    try {
      this.#db.closeSync()
    } catch (error) {
      // Resuming had not come to its end.
      if (!(error instanceof KvarkError)) throw error
    }
    return this.#history.contentAt(this.#history.started)
  }

  /** Ends when nothing of it is under way any more. */
  async settle(): Promise<void> {
    await Promise.all(this.#begun)
    for (let i = 0; i < LONGEST_TURNS; i++) await turn()
  }

  async #step(): Promise<void> {
    const db = this.#db
    const kind = this.#random.below(100)
    if (kind < 70) this.#write()
    else if (kind < 80) this.#begin(db.compact())
    else if (kind < 84) this.#begin(db.verify())
    else if (kind < 87) this.#begin(db.backup(`/copies/${this.#copies++}`))
    else if (kind < 90) this.#snapshots.push(db.snapshot())
    else if (kind < 95) this.#snapshots.shift()?.close()
    else await turn()
  }

  #write(): void {
    const write = randomWrite(this.#random, `${this.#history.started}`, MIX)
    this.#history.add(write.changes)
    const written = carryOut(this.#db, write)
    if (!write.sync) this.#begin(written as Promise<unknown>)
  }

  /** Those that come later find nothing to do but to store the index. */
  #compactAgainAndAgain(): void {
    this.#db.compactSync()
    for (let i = 0; i < 3; i++) this.#begin(this.#db.compact())
  }

  /** Half of a long write is in the file, so there is something to cut off. */
  async #failAndResume(): Promise<void> {
    const nth = 1 + this.#random.below(3)
    this.files.failNext({ call: 'write', path: '.log', nth, error: 'EIO', forever: true })
    this.#begin(this.#db.put('lost', 'lost'.padEnd(900_000, '?')))
    await turn()
    this.files.clearFaults()
    this.#begin(this.#db.resume())
  }

  /** Whatever is under way may be cut off. */
  #begin(promise: Promise<unknown>): void {
    this.#begun.push(
      promise.catch((error: unknown) => {
        if (!(error instanceof KvarkError)) throw error
      }),
    )
  }
}

/** Where there is much to compact, and where there is nothing. */
async function closeWithin(subject: CrashSubject): Promise<void> {
  for (const synchronous of [false, true]) {
    for (const compacted of [false, true]) {
      const environment = simulatedEnvironment({ seed: 1 })
      const db = openSubject(subject, STORE, environment).sync()
      for (let i = 0; i < 100; i++) db.putSync(`key${i % 10}`, `${i} `.padEnd(1000, 'kvark'))
      if (compacted) db.compactSync()
      let before: string[] | undefined
      const progress = (): void => {
        db.closeSync()
        before ??= folderImage(environment.files, STORE)
      }
      if (synchronous) throws('CLOSED', () => db.compactSync({ progress }))
      else await rejects('CLOSED', () => db.compact({ progress }))
      assert.deepEqual(folderImage(environment.files, STORE), before)
    }
  }
}

/** On the machine's files, where a thread compacts. */
async function onMachine(subject: CrashSubject): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'kvark-closing-'))
  const random = new SeededRandom(1)
  const environment = nodeEnvironment()
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const path = join(folder, `${round}`)
      const db = openSubject(subject, path, environment).sync()
      for (let i = 0; i < 2000; i++) {
        db.putSync(`key${i % 700}`, `${i} `.padEnd(1000, 'kvark'), { durability: 'none' })
      }
      const compacting = db.compact().catch(() => {})
      const ms = random.below(MOST_MS)
      await new Promise((resolve) => setTimeout(resolve, ms))
      db.closeSync()
      const before = folderImage(environment.files, path)
      await compacting
      assert.deepEqual(folderImage(environment.files, path), before)
      const again = openSubject(subject, path, environment).sync()
      assert.deepEqual(again.verifySync().problems, [])
      assert.equal(again.countSync(), 700)
      again.closeSync()
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
