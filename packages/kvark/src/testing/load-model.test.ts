/**
 * Loads of random lengths at random places, between puts, deletes and ranges that are cleared, against a sorted list: what is there, what a
 * snapshot sees, what is there once more after a checkpoint, a clean end and a crash.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { KvarkError } from '../errors.ts'
import { openSync } from '../store/open.ts'
import type { OrderedStore } from '../store/types.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'

type Store = OrderedStore<string, string>

const FOLDER = '/store'
const STEPS = 30
/** Keys are numbers behind one of these: pages hold many of them, a few, or their beginnings only. */
const STEMS = ['', 'a'.repeat(90), 'b'.repeat(240), 'c'.repeat(700)] as const

interface Form {
  readonly name: string
  readonly pageBytes: number
  readonly seeds: readonly number[]
  readonly options: object
}

const FORMS: readonly Form[] = [
  { name: 'pages of 4 KiB', pageBytes: 4096, seeds: [1, 2], options: {} },
  {
    name: 'pages of 8 KiB, compressed',
    pageBytes: 8192,
    seeds: [7],
    options: { compression: 'lz4' },
  },
  {
    name: 'pages of 16 KiB, encrypted',
    pageBytes: 16_384,
    seeds: [8],
    options: { encryption: { key: new Uint8Array(32).fill(5) } },
  },
  { name: 'pages of 64 KiB', pageBytes: 65_536, seeds: [9], options: {} },
]

class Model {
  readonly random: SeededRandom
  readonly form: Form
  files: SimulatedFiles = new SimulatedFiles()
  db: Store
  /** By key: value and version. */
  readonly content: Map<string, [string, number]> = new Map()
  loaded = 0
  refused = 0
  highest = 0

  constructor(form: Form, seed: number) {
    this.random = new SeededRandom(seed)
    this.form = form
    this.db = this.open()
  }

  open(): Store {
    return openSync(FOLDER, {
      engine: 'btree',
      pageBytes: this.form.pageBytes,
      // Some journals are replayed with many writes, some with few.
      checkpointBytes: this.random.pick([1024, 100_000, 10_000_000]),
      cacheBytes: this.random.pick([1, 8]) * 2 ** 20,
      ...this.form.options,
      environment: simulatedEnvironment({ seed: this.random.below(1000), files: this.files }),
    })
  }

  key(): string {
    const { random } = this
    return random.pick(STEMS) + String(random.below(100_000)).padStart(5, '0')
  }

  value(): string {
    const { random } = this
    return random.chance(0.01) ? 'é'.repeat(random.below(9000)) : 'v'.repeat(random.below(60))
  }

  /** Keys from `from` on, each the next or a later one, up to the first that the store has. */
  run(from: string, most: number): string[] {
    const { random, content } = this
    const stem = from.slice(0, -5)
    const keys: string[] = []
    const gap = random.pick([1, 1, 3, 50])
    for (
      let n = Number(from.slice(-5));
      keys.length < most && n < 100_000;
      n += 1 + random.below(gap)
    ) {
      const key = stem + String(n).padStart(5, '0')
      keys.push(key)
    }
    const sorted = [...content.keys()].sort()
    const next = sorted.find((key) => key >= from)
    return next === undefined ? keys : keys.filter((key) => key < next)
  }

  async step(): Promise<void> {
    const { random, db, content } = this
    const chance = random.below(100)
    if (chance < 45) await this.load()
    else if (chance < 70) {
      for (let i = random.below(60); i > 0; i--) {
        const key = this.key()
        const value = this.value()
        content.set(key, [value, db.putSync(key, value, { durability: 'none' })])
      }
    } else if (chance < 80) {
      const keys = [...content.keys()].sort()
      const from = random.below(keys.length + 1)
      for (const key of keys.slice(from, from + random.below(300))) {
        db.deleteSync(key, { durability: 'none' })
        content.delete(key)
      }
    } else if (chance < 90) {
      const gte = this.key()
      const lt = random.chance(0.3) ? undefined : this.key()
      db.clearSync({ gte, ...(lt === undefined ? {} : { lt }) })
      for (const key of content.keys()) {
        if (key >= gte && (lt === undefined || key < lt)) content.delete(key)
      }
    } else if (chance < 93) await db.compact()
    else if (chance < 96) this.crash()
    else if (chance < 98) {
      await db.close()
      this.db = this.open()
    } else await db.verify()
    if (random.chance(0.2)) await this.check()
  }

  async load(): Promise<void> {
    const { random, db, content } = this
    const keys = this.run(this.key(), random.pick([1, 10, 100, 1000, 5000]))
    if (keys.length === 0) return
    const isTaken = random.chance(0.1) && content.size > 0
    if (isTaken) {
      keys.push(random.pick([...content.keys()]))
      keys.sort()
    }
    const entries = keys.map((key): [string, string] => [key, this.value()])
    const snapshot = db.snapshot()
    const before = snapshot.countSync()
    const meanwhile = random.chance(0.3) && this.between(keys)
    try {
      const version = random.chance(0.5)
        ? db.loadSync(entries)
        : await db.load(meanwhile ? this.writing(entries, meanwhile) : entries)
      assert.equal(isTaken, false)
      for (const [key, value] of entries) content.set(key, [value, version])
      this.loaded++
    } catch (error) {
      if (!(error instanceof KvarkError) || error.code !== 'CONFLICT' || !isTaken) throw error
      this.refused++
    }
    assert.equal(snapshot.countSync(), before)
    assert.equal(snapshot.getSync(keys[0]!) !== undefined && !isTaken, false)
    snapshot.close()
  }

  /** A key that others may write while these are loaded. */
  between(keys: readonly string[]): string | undefined {
    const key = this.key()
    return key < keys[0]! || key > keys.at(-1)! ? key : undefined
  }

  /** Gives the entries, and writes another one meanwhile. */
  *writing(entries: [string, string][], key: string): Generator<[string, string]> {
    for (const [i, entry] of entries.entries()) {
      if (i === 0) this.content.set(key, ['other', this.db.putSync(key, 'other')])
      yield entry
    }
  }

  crash(): void {
    this.db.syncSync()
    this.files = this.files.crash({ mode: 'drop', random: this.random })
    this.db = this.open()
  }

  async check(): Promise<void> {
    const { db, content, random } = this
    const keys = [...content.keys()].sort()
    assert.equal(db.stats().entries, keys.length)
    assert.equal(db.countSync(), keys.length)
    assert.deepEqual(
      [...db.entries()],
      keys.map((key) => [key, content.get(key)![0]]),
    )
    for (let i = 0; i < 50 && keys.length > 0; i++) {
      const key = random.pick(keys)
      const { value, version } = db.getEntrySync(key)!
      assert.deepEqual([value, version], content.get(key))
      assert.equal(db.getSync(`${key}x`), undefined)
    }
    const gte = this.key()
    const lt = this.key()
    const within = keys.filter((key) => key >= gte && key < lt)
    assert.equal(db.countSync({ gte, lt }), within.length)
    assert.deepEqual([...db.keys({ gte, lt, reverse: true })], within.toReversed())
    assert.deepEqual((await db.verify()).problems, [])
    this.highest = Math.max(this.highest, (await db.inspect()).levels?.length ?? 0)
  }
}

for (const form of FORMS) {
  test(`loads between other writes leave what a sorted list has, ${form.name}`, async (t) => {
    let loaded = 0
    let refused = 0
    let highest = 0
    for (const seed of form.seeds) {
      const model = new Model(form, seed)
      for (let step = 0; step < STEPS; step++) {
        try {
          await model.step()
        } catch (error) {
          throw new Error(`seed ${seed}, step ${step}`, { cause: error })
        }
      }
      await model.check()
      // Everything that it took can be given back.
      await model.db.clear()
      await model.db.compact()
      assert.equal(model.db.stats().entries, 0)
      const { diskBytes } = model.db.stats()
      assert.ok(diskBytes < 40 * form.pageBytes, `${diskBytes} bytes without an entry`)
      await model.db.close()
      loaded += model.loaded
      refused += model.refused
      highest = Math.max(highest, model.highest)
    }
    t.diagnostic(`${loaded} loads, ${refused} refused, up to ${highest} levels`)
    assert.ok(loaded > 6 * form.seeds.length)
  })
}

/** Three to a page of 4 KiB. */
const WIDE = 'v'.repeat(1000)

function numbered(stem: string, from: number, to: number): [string, string][] {
  return Array.from({ length: to - from }, (_, i) => [
    stem + String(from + i).padStart(5, '0'),
    WIDE,
  ])
}

function openSmall(): Store {
  const environment = simulatedEnvironment({ seed: 1 })
  return openSync(FOLDER, { engine: 'btree', pageBytes: 4096, environment })
}

test('a load between what was put before the first key of a branch, and that', async () => {
  const db = openSmall()
  await db.load(numbered('m', 0, 1000))
  // The branch begins with a larger key now, and has a leaf with a smaller one only.
  await db.clear({ lt: 'm00300' })
  await db.put('m00100', WIDE)
  await db.clear({ gte: 'm00200', lt: 'm00310' })
  await db.load(numbered('m', 200, 250))
  assert.deepEqual((await db.verify()).problems, [])
  assert.equal(await db.count(), 1 + 50 + 690)
  await db.close()
})

test('a load before a branch that begins with a long key, which is gone', async () => {
  const db = openSmall()
  const stem = 'a'.repeat(600)
  await db.load([...numbered(stem, 0, 5), ['m5', WIDE], ...numbered('mb', 0, 1000)])
  await db.clear({ lt: `${stem}00003` })
  await db.clear({ lt: 'm5' })
  await db.load(numbered('m4', 0, 50))
  // What begins with the long key is divided, several times.
  for (const [key, value] of numbered('m6', 0, 1000)) await db.put(key, value)
  assert.deepEqual((await db.verify()).problems, [])
  assert.equal(await db.count(), 50 + 1 + 1000 + 1000)
  await db.close()
})
