/**
 * Contract, chapter 12: backups. A copy opens as the store of one moment, whatever goes on meanwhile; one that does not come
 * about leaves nothing, and the store as it was.
 */

import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import { SeededRandom } from '../../bytes/random.ts'
import type { BackupReport } from '../../engine/facts.ts'
import { nodeEnvironment } from '../../environment/node.ts'
import { effect } from '../../environment/routine.ts'
import type { KvarkError } from '../../errors.ts'
import { readDescriptor } from '../../storage/descriptor.ts'
import type { BatchOperation } from '../../store/call-types.ts'
import { type Change, History, mustHold } from '../crash/history.ts'
import { bytes, content, names, pattern, rejects, throws, turn } from './check.ts'
import { type Fault, FaultyFiles } from './faulty-files.ts'
import type { AnyStore, Case, Chapter, Place } from './place.ts'

const SEEDS = 6
const WRITERS = 5
const WRITES = 120
const BACKUPS = 4
const KEYS = 40

type EntryChange = Exclude<Change, { kind: 'clear' }>

/** Nothing may be left where the copy was to be. */
function assertNothing(place: Place, path: string = place.copy): void {
  assert.equal(place.environment.files.stat(path).sync(), undefined, 'nothing is left')
}

function nameFiles(place: Place, path: string): string[] {
  return place.environment.files.list(path).sync()
}

/** Writers, compactions and backups beside each other. */
class Traffic {
  readonly #place: Place
  readonly #db: AnyStore
  readonly #random: SeededRandom
  readonly #history = new History()
  /** By the number of the write: the version that it got, where that is told. */
  readonly #versions: number[] = []
  readonly #backups: { readonly path: string; readonly report: BackupReport }[] = []
  #writing = true

  constructor(place: Place, db: AnyStore, random: SeededRandom) {
    this.#place = place
    this.#db = db
    this.#random = random
  }

  async run(): Promise<void> {
    const writers = Array.from({ length: WRITERS }, () => this.#writer())
    const compacting = this.#compact()
    for (let i = 0; i < BACKUPS; i++) {
      await this.#backup(`${this.#place.copy}-${i}`)
      // The next one meets another moment of a compaction.
      for (let left = this.#random.below(20); left > 0; left--) await turn()
    }
    await Promise.all(writers)
    this.#writing = false
    await compacting
    // Only now all versions are known.
    for (const { path, report } of this.#backups) await this.#check(path, report)
    await this.#check(this.#place.path, { version: this.#db.stats().sequence }, this.#db)
  }

  async #writer(): Promise<void> {
    for (let i = 0; i < WRITES; i++) await this.#write()
  }

  async #write(): Promise<void> {
    const random = this.#random
    const db = this.#db
    const options = { durability: random.pick(['none', 'os', 'disk'] as const) }
    if (random.chance(0.01)) {
      this.#history.add([{ kind: 'clear' }])
      return await db.clear(options)
    }
    const count = db.supports.atomicBatch && random.chance(0.3) ? 5 : 1
    const changes = Array.from({ length: count }, () => this.#change())
    const number = this.#history.add(changes)
    const [first] = changes as [EntryChange]
    if (count > 1) {
      const operations = changes.map(({ kind, ...rest }) => ({ type: kind, ...rest }))
      this.#versions[number] = await db.batch(
        operations as BatchOperation<string, string>[],
        options,
      )
    } else if (first.kind === 'put') {
      this.#versions[number] = await db.put(first.key, first.value, options)
    } else this.#versions[number] = await db.delete(first.key, options)
  }

  #change(): EntryChange {
    const random = this.#random
    const key = `key${random.below(KEYS)}`
    if (random.chance(0.25)) return { kind: 'delete', key }
    const longest = random.chance(0.05) ? 40_000 : 1500
    return { kind: 'put', key, value: `${random.below(1e9)} `.padEnd(random.below(longest), 'x') }
  }

  async #compact(): Promise<void> {
    while (this.#writing) {
      await this.#db.compact()
      await turn()
    }
  }

  async #backup(path: string): Promise<void> {
    const db = this.#db
    const { sequence } = db.stats()
    const report = this.#random.chance(0.2) ? db.backupSync(path) : await db.backup(path)
    assert.ok(report.version >= sequence, 'what was written before the call is in it')
    this.#backups.push({ path, report })
  }

  /** The store holds what the writes up to `version` make; `clear` does not tell its version. */
  async #check(
    path: string,
    { version }: Pick<BackupReport, 'version'>,
    open?: AnyStore,
  ): Promise<void> {
    const copy = open ?? (await this.#place.open({}, path))
    const found = new Map(Object.entries(await content(copy)))
    const least = this.#versions.findLastIndex((one) => one !== undefined && one <= version)
    const later = this.#versions.findIndex((one) => one !== undefined && one > version)
    const most = later < 0 ? this.#history.started : later - 1
    for (let number = Math.max(0, least); number <= most; number++) {
      if (!isDeepStrictEqual(found, this.#history.contentAt(number)) && number < most) continue
      mustHold(found, this.#history.contentAt(number), `${path}, version ${version}:`)
      break
    }
    assert.deepEqual((await copy.verify()).problems, [])
    if (open !== undefined) return
    // It is a store like any other.
    await copy.put('more', 'more')
    await copy.compact()
    await copy.close()
    const again = await this.#place.open({}, path)
    assert.deepEqual(new Map(Object.entries(await content(again))), found.set('more', 'more'))
    await again.close()
  }
}

const FAULTS: readonly Omit<Fault, 'path'>[] = [
  { call: 'write', code: 'NO_SPACE' },
  { call: 'write', code: 'IO' },
  { call: 'sync', code: 'IO' },
]

const cases: readonly Case[] = [
  {
    name: 'a backup opens as the same store, and each goes its own way',
    async run(place) {
      const db = await place.openBytes()
      for (let i = 0; i < 60; i++) db.putSync(bytes(`key${i}`), pattern(i * 97, i))
      db.putSync(bytes('long'), pattern(300_000, 7))
      for (let i = 0; i < 20; i++) db.deleteSync(bytes(`key${i}`))
      for (const synchronous of [false, true]) {
        const path = `${place.copy}-${synchronous}`
        const report = synchronous ? db.backupSync(path) : await db.backup(path)
        assert.equal(report.entries, 41)
        assert.equal(report.version, db.stats().sequence)
        assert.ok(report.bytes > 300_000)
        const copy = await place.openBytes({ create: false }, path)
        assert.equal(await copy.count(), 41)
        for (let i = 20; i < 60; i++) {
          const key = bytes(`key${i}`)
          assert.deepEqual(await copy.getEntry(key), await db.getEntry(key))
        }
        assert.deepEqual(await copy.get(bytes('long')), pattern(300_000, 7))
        assert.deepEqual((await copy.verify()).problems, [])
        assert.equal((await copy.verify()).entries, 41)
        await copy.put(bytes('only'), bytes('in the copy'))
        await copy.clear()
        await copy.close()
        assert.equal(await db.count(), 41)
      }
      const [original, copied] = [place.path, `${place.copy}-true`].map((folder) =>
        effect(() => readDescriptor(place.environment, folder)).sync(),
      )
      assert.deepEqual(original, copied)
    },
  },
  {
    name: 'a backup of an empty store, one that was cleared, one just opened, and of a backup',
    async run(place) {
      let db = await place.open()
      assert.deepEqual(await db.backup(`${place.copy}-0`), {
        ...(await db.backup(`${place.copy}-1`)),
      })
      assert.deepEqual(await content(await place.open({}, `${place.copy}-0`)), {})
      for (const name of names(200)) db.putSync(name, name, { durability: 'none' })
      await db.clear()
      db.putSync('after', 'clear')
      await db.backup(`${place.copy}-2`)
      await db.close()
      db = await place.open()
      await db.backup(`${place.copy}-3`)
      for (const number of [2, 3]) {
        const copy = await place.open({}, `${place.copy}-${number}`)
        assert.deepEqual(await content(copy), { after: 'clear' })
        await copy.backup(`${place.copy}-${number}-again`)
        await copy.close()
        const again = await place.open({}, `${place.copy}-${number}-again`)
        assert.deepEqual(await content(again), { after: 'clear' })
        await again.close()
      }
    },
  },
  {
    name: 'a backup goes only where nothing is',
    async run(place) {
      const db = await place.open()
      await db.put('a', '1')
      const { files } = place.environment
      const before = nameFiles(place, place.path)
      const refused: unknown[] = [
        place.path,
        `${place.path}/inside`,
        `${place.path}/deep/inside`,
        ':memory:',
        '',
        7,
        undefined,
      ]
      for (const to of refused) {
        await rejects('INVALID_ARGUMENT', () => db.backup(to as string))
        throws('INVALID_ARGUMENT', () => db.backupSync(to as string))
      }
      assert.deepEqual(nameFiles(place, place.path), before)
      await rejects('INVALID_ARGUMENT', () =>
        db.backup(place.copy, { sgnal: undefined } as unknown as object),
      )
      assertNothing(place)

      await db.backup(place.copy)
      const copied = nameFiles(place, place.copy)
      await rejects('INVALID_ARGUMENT', () => db.backup(place.copy))
      assert.deepEqual(nameFiles(place, place.copy), copied)
      const file = `${place.copy}/KVARK`
      await rejects('INVALID_ARGUMENT', () => db.backup(file))

      const empty = `${place.copy}-empty`
      files.makeFolder(empty).sync()
      await db.backup(empty)
      assert.deepEqual(await content(await place.open({}, empty)), { a: '1' })
    },
  },
  {
    name: 'two backups into one folder: one of them is refused, the other complete',
    async run(place) {
      const db = await place.open()
      for (const name of names(50)) db.putSync(name, name, { durability: 'none' })
      const both = await Promise.allSettled([db.backup(place.copy), db.backup(place.copy)])
      const refused = both.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[]
      assert.equal(refused.length, 1)
      assert.ok(['LOCKED', 'INVALID_ARGUMENT'].includes((refused[0]!.reason as KvarkError).code))
      assert.equal(await (await place.open({}, place.copy)).count(), 50)
    },
  },
  {
    name: 'progress is told',
    async run(place) {
      const db = await place.open()
      for (const name of names(50)) db.putSync(name, name, { durability: 'none' })
      const told: [number, number][] = []
      await db.backup(place.copy, { progress: (done, total) => told.push([done, total]) })
      assert.ok(told.length > 0)
      for (const [i, [done, total]] of told.entries()) {
        assert.ok(done > (told[i - 1]?.[0] ?? 0) && done <= total, `${done} of ${total}`)
      }
      assert.equal(told.at(-1)![0], told.at(-1)![1])
    },
  },
  {
    name: 'a signal ends a backup with its reason, and nothing is left',
    async run(place) {
      const db = await place.open()
      for (const name of names(50)) db.putSync(name, name, { durability: 'none' })
      const reason = new Error('stop')
      await assert.rejects(db.backup(place.copy, { signal: AbortSignal.abort(reason) }), reason)
      assertNothing(place)
      for (const synchronous of [false, true]) {
        const controller = new AbortController()
        const { signal } = controller
        const progress = (): void => controller.abort(reason)
        if (synchronous)
          assert.throws(() => db.backupSync(place.copy, { signal, progress }), reason)
        else await assert.rejects(db.backup(place.copy, { signal, progress }), reason)
        assertNothing(place)
      }
      place.environment.files.makeFolder(place.copy).sync()
      const controller = new AbortController()
      const aborting = { signal: controller.signal, progress: () => controller.abort(reason) }
      await assert.rejects(db.backup(place.copy, aborting), reason)
      assert.deepEqual(nameFiles(place, place.copy), [], 'the folder was there before')
      await db.put('goes', 'on')
      await db.backup(place.copy)
      assert.equal((await content(await place.open({}, place.copy)))['goes'], 'on')
    },
  },
  {
    name: 'closing the store ends a backup, and nothing is left',
    async run(place) {
      for (const synchronous of [false, true]) {
        for (let turns = 0; turns < 6; turns++) {
          const db = await place.open()
          await db.put('a', '1')
          const backup = db.backup(place.copy).then(
            () => 'done',
            (error: KvarkError) => error.code,
          )
          for (let i = 0; i < turns; i++) await turn()
          if (synchronous) db.closeSync()
          else await db.close()
          const outcome = await backup
          // What was quicker than the close is complete.
          if (outcome === 'done') {
            assert.deepEqual(await content(await place.open({}, place.copy)), { a: '1' })
            return
          }
          assert.equal(outcome, 'CLOSED')
          assertNothing(place)
          await rejects('CLOSED', () => db.backup(place.copy))
          throws('CLOSED', () => db.backupSync(place.copy))
          assertNothing(place)
        }
      }
    },
  },
  {
    name: 'a disk that fails below the copy: nothing is left, and the store takes writes',
    async run(place) {
      const files = new FaultyFiles(place.environment.files)
      const environment = nodeEnvironment(files)
      const db = await place.open({ environment })
      for (const name of names(20)) db.putSync(name, 'safe', { durability: 'none' })
      for (const fault of FAULTS) {
        files.fault = { ...fault, path: place.copy }
        const error = await rejects(fault.code, () => db.backup(place.copy))
        assert.equal(error.outcome, undefined)
        if (fault.code === 'NO_SPACE') assert.match(error.message, /the store is not concerned/)
        throws(fault.code, () => db.backupSync(place.copy))
        assertNothing(place)
        assert.equal(db.stats().readOnly, undefined)
        await db.put('after', fault.call)
      }
      files.fault = undefined
      await db.backup(place.copy)
      assert.equal(await (await place.open({}, place.copy)).count(), 21)
    },
  },
  {
    name: 'a store that takes no writes is backed up once it is resumed',
    async run(place) {
      const files = new FaultyFiles(place.environment.files)
      const environment = nodeEnvironment(files)
      const db = await place.open({ environment })
      await db.put('a', '1')
      files.fault = { call: 'write', code: 'NO_SPACE', path: place.path }
      await rejects('NO_SPACE', () => db.put('b', '2'))
      files.fault = undefined
      await rejects('READ_ONLY', () => db.backup(place.copy))
      assertNothing(place)
      await db.resume()
      await db.backup(place.copy)
      assert.equal((await content(await place.open({}, place.copy)))['a'], '1')
    },
  },
  ...Array.from({ length: SEEDS }, (_, seed): Case => {
    return {
      name: `backups while others write and compact hold a prefix of the writes, seed ${seed + 1}`,
      async run(place) {
        const db = await place.open()
        await new Traffic(place, db, new SeededRandom(seed + 1)).run()
      },
    }
  }),
]

export const backup: Chapter = { name: 'backup', cases }
