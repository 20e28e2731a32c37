/**
 * A store is followed beside its writer: what is told is what the writer's own `watch` tells, whatever becomes of the segments meanwhile.
 *
 *   random work ─► store ─► its own watch ─► expected
 *                    └─ files ─► follower ─► told, or in a gap
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import { engines } from '../engines.ts'
import { type SimulatedEnvironment, simulatedEnvironment } from '../environment/simulated.ts'
import { type Durability, destroy, KvarkError, open } from '../index.ts'
import { journalName, journalNumber } from '../storage/journal-recovery.ts'
import type { Change, Followed, Watch } from '../store/change-types.ts'
import { followWith, type StoreFollower } from '../store/follow.ts'
import type { SimulatedFiles } from '../vfs/simulated.ts'
import type { AnyStore } from './contract/place.ts'
import { fileBytes, folderImage } from './folder-image.ts'

const SEEDS = 4
const STEPS = 120
const KEYS = 12
const FOLDER = '/store'
const POLL_MS = 50
const LONG_BYTES = 2 * 1024 * 1024
const OPTIONS = {
  btree: { cacheBytes: 1024 * 1024, checkpointBytes: 6000, pageBytes: 4096 },
  log: { segmentBytes: 32_768, compactionThresholdBytes: 2000 },
} as const
const FORMS = {
  plain: {},
  sealed: { compression: 'lz4', encryption: { key: Buffer.alloc(16, 7) } },
} as const

type Engine = keyof typeof OPTIONS
type Form = keyof typeof FORMS
type Told = Change<string, string>

/** What can be compared: without `last`, since a frame does not tell where a batch ends. */
function plain(change: Told): object {
  if (change.type === 'gap') return change
  const { last: _, ...facts } = change
  if (facts.type !== 'clear') return facts
  const { gte, lt, type, version } = facts
  return { type, version, gte: Buffer.from(gte), lt: lt && Buffer.from(lt) }
}

function keyAndVersion(change: Told): unknown[] {
  return change.type === 'put' ? [change.key, change.version] : [change]
}

/** Everything that is told, and how it ended. */
class Listener {
  readonly told: Told[] = []
  readonly end: Promise<unknown>

  constructor(watch: Watch<string, string>) {
    this.end = this.#listen(watch).catch((error: unknown) => error)
  }

  async #listen(watch: Watch<string, string>): Promise<void> {
    for await (const change of watch) this.told.push(change)
  }
}

class World {
  readonly engine: Engine
  readonly form: Form
  readonly environment: SimulatedEnvironment
  /** The follower's own clock. */
  readonly outside: SimulatedEnvironment
  readonly files: SimulatedFiles

  constructor(engine: Engine, form: Form = 'plain', seed = 1) {
    this.engine = engine
    this.form = form
    this.environment = simulatedEnvironment({ seed })
    this.files = this.environment.files
    this.outside = simulatedEnvironment({ seed: seed + 1, files: this.files })
  }

  async open(): Promise<AnyStore> {
    const { engine, form, environment } = this
    const options = { ...OPTIONS[engine], ...FORMS[form], engine, environment }
    return await open(FOLDER, options as { engine: 'btree' })
  }

  async follow(): Promise<StoreFollower> {
    const { encryption } = { encryption: undefined, ...FORMS[this.form] }
    return await followWith(engines, FOLDER, { encryption, environment: this.outside })
  }

  /** Lets the follower look, as often as that. */
  async poll(times = 1): Promise<void> {
    for (let i = 0; i < times; i++) {
      this.outside.advance(POLL_MS)
      for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

function listen(followed: Followed<unknown, unknown>): Listener {
  return new Listener(followed.watch() as Watch<string, string>)
}

/** The segment that is being written. */
function newestOf(files: SimulatedFiles): string {
  const numbers = files.list(FOLDER).sync().map(journalNumber)
  return `${FOLDER}/${journalName(Math.max(...numbers))}`
}

function overwrite(files: SimulatedFiles, path: string, bytes: Uint8Array, at: number): void {
  const handle = files.open(path, 'write').sync()
  handle.write(bytes, 0, bytes.length, at).sync()
  handle.close().sync()
}

/** All files of a store but the lock, by name. */
function copyOf(files: SimulatedFiles): Map<string, Buffer> {
  const names = files
    .list(FOLDER)
    .sync()
    .filter((name) => name !== 'LOCK')
  return new Map(names.map((name) => [name, fileBytes(files, `${FOLDER}/${name}`)]))
}

function putBack(files: SimulatedFiles, copy: ReadonlyMap<string, Buffer>): void {
  files.makeFolder(FOLDER).sync()
  for (const name of files.list(FOLDER).sync())
    if (name !== 'LOCK') files.remove(`${FOLDER}/${name}`).sync()
  for (const [name, bytes] of copy) {
    files.open(`${FOLDER}/${name}`, 'create').sync().close().sync()
    overwrite(files, `${FOLDER}/${name}`, bytes, 0)
  }
}

function isNotFound(error: unknown): boolean {
  return error instanceof KvarkError && error.code === 'NOT_FOUND'
}

async function step(
  db: AnyStore,
  table: { name: string },
  random: SeededRandom,
  levels: readonly Durability[],
): Promise<void> {
  const key = `k${random.below(KEYS)}`
  const value = 'v'.repeat(random.below(300))
  const durability = random.pick(levels)
  const own = db.table(table.name)
  switch (random.below(18)) {
    case 0:
      return void (await db.delete(key))
    case 1:
      return void (await own.delete(key))
    case 2:
      return void (await db.touch(key, { ttl: 1000 }))
    case 3:
      return void (await db.batch([
        { type: 'put', key, value },
        { type: 'put', table: own, key: 'both', value },
        { type: 'delete', key: 'k1' },
      ]))
    case 4:
      return void (await db.put('spread', 'ä'.repeat(40_000), { durability }))
    case 5:
      return random.below(3) === 0 ? await own.clear() : undefined
    case 6:
      if (random.below(3) > 0) return
      return await db.clear(db.supports.order ? { prefix: 'k1' } : undefined)
    case 7: {
      const to = table.name === 'one' ? 'two' : 'one'
      await db.renameTable(table.name, to)
      table.name = to
      return
    }
    case 8:
      await db.table('other').put(key, value)
      if (random.below(2) === 0) await db.dropTable('other')
      return
    case 9:
      return await db.compact()
    case 10:
      // Not there yet.
      if (db.supports.order) await db.load([[`l${random.below(1_000_000_000)}`, value]])
      return
    case 11:
      return void (await Promise.all([
        own.put(key, value),
        db.put(key, value),
        own.put('x', value),
      ]))
    default:
      return void (await (random.below(2) === 0 ? db : own).put(key, value, { durability }))
  }
}

for (const engine of Object.keys(OPTIONS) as Engine[]) {
  for (const form of Object.keys(FORMS) as Form[]) {
    test(`${engine}, ${form}: what the store's own watch tells, or a gap`, async () => {
      let gaps = 0
      for (let seed = 1; seed <= SEEDS; seed++) {
        const random = new SeededRandom(seed)
        const world = new World(engine, form, seed)
        const isSlow = seed % 2 === 0
        let db = await world.open()
        const table = { name: 'one' }
        await db.table('one').put('first', '')
        const follower = await world.follow()
        const followed = [follower, follower.table('one')].map(listen)
        const expected: Told[][] = [[], []]
        let own = [db, db.table('one')].map(listen)
        const collect = async (): Promise<void> => {
          await db.close()
          for (const [i, listener] of own.entries()) {
            await listener.end
            expected[i]!.push(...listener.told)
          }
        }
        if (seed === 3) await db.putStream('long', [Buffer.alloc(LONG_BYTES)])
        for (let i = 0; i < STEPS; i++) {
          await step(db, table, random, isSlow ? ['none', 'os', 'disk'] : ['os', 'disk'])
          if (!isSlow || random.below(20) === 0) await world.poll()
          if (random.below(30) > 0) continue
          await collect()
          if (!isSlow) await world.poll()
          db = await world.open()
          own = [db, db.table(table.name)].map(listen)
        }
        await collect()
        await world.poll(40)
        for (const [i, { told }] of followed.entries()) {
          const where = `seed ${seed}, ${i === 0 ? 'root' : 'table'}`
          const missed = told.filter((change) => change.type === 'gap')
          gaps += missed.length
          if (!isSlow) assert.equal(missed.length, 0, where)
          const isMissed = ({ version }: { version: number }): boolean =>
            missed.some(({ from, to }) => from <= version && version <= to)
          const seen = told.filter((change) => change.type !== 'gap')
          const wanted = expected[i]!.filter((one) => one.type !== 'gap' && !isMissed(one))
          assert.deepEqual(seen.map(plain), wanted.map(plain), where)
        }
        await follower.close()
        assert.deepEqual(world.files.openPaths, [])
      }
      assert.ok(gaps > 0, 'a slow follower has missed something')
    })
  }
}

for (const engine of Object.keys(OPTIONS) as Engine[]) {
  for (const form of Object.keys(FORMS) as Form[]) {
    test(`${engine}, ${form}: an end that is not all there yet waits, wherever it ends`, async () => {
      const writer = new World(engine, form)
      const db = await writer.open()
      await db.put('before', '')
      const copy = copyOf(writer.files)
      const begun = fileBytes(writer.files, newestOf(writer.files))
      await db.batch(['a', 'b', 'c'].map((key) => ({ type: 'put', key, value: key.repeat(30) })))
      await db.put('d', '', { durability: 'os' })
      await db.batch(['e', 'f'].map((key) => ({ type: 'put', key, value: '' })))
      const whole = fileBytes(writer.files, newestOf(writer.files))
      const from = whole.findIndex((byte, i) => byte !== begun[i])
      let to = whole.length
      while (whole[to - 1] === 0) to--
      await db.close()

      const reader = new World(engine, form)
      putBack(reader.files, copy)
      const follower = await reader.follow()
      const { told } = listen(follower)
      const counts = new Set<number>()
      for (let at = from; at < to; at++) {
        const bytes = Buffer.alloc(64, 0xa5)
        bytes[0] = whole[at]!
        overwrite(reader.files, newestOf(reader.files), bytes, at)
        await reader.poll()
        counts.add(told.length)
        if (told.length === 6) break
      }
      assert.deepEqual([...counts], [0, 3, 4, 6])
      assert.deepEqual(
        told.map((change) => change.type === 'put' && change.key),
        ['a', 'b', 'c', 'd', 'e', 'f'],
      )
      await follower.close()
    })
  }

  test(`${engine}: only what comes from now on, and nothing changes on the disk`, async () => {
    const world = new World(engine)
    const db = await world.open()
    await db.put('a', '1')
    await db.put('b', '1')
    const before = folderImage(world.files, FOLDER)
    const follower = await world.follow()
    const { told } = listen(follower)
    await world.poll(3)
    assert.deepEqual(folderImage(world.files, FOLDER), before)
    assert.deepEqual(follower.tables(), [])
    await db.put('c', '1', { durability: 'os' })
    await db.table('later', { values: 'json' }).put('d', 1)
    await world.poll()
    assert.deepEqual(
      told.map((change) => change.type === 'put' && change.key),
      ['c'],
    )
    assert.deepEqual(follower.tables(), [{ name: 'later', keys: 'utf8', values: 'json' }])
    await follower.close()
    await db.close()
    assert.deepEqual(world.files.openPaths, [])
  })

  test(`${engine}: what is written to a table in one frame with its drop is told, a clear too`, async () => {
    const world = new World(engine)
    const db = await world.open()
    const table = db.table('short')
    await table.put('a', '1')
    const follower = await world.follow()
    const followed = listen(follower.table('short'))
    const own = listen(table)
    await Promise.all([
      table.put('b', '1'),
      table.clear(),
      table.put('c', '1'),
      table.clear(),
      db.dropTable('short'),
    ])
    await db.table('short').put('another', '')
    await world.poll()
    await Promise.all([own.end, followed.end])
    assert.deepEqual(
      own.told.map(({ type }) => type),
      ['put', 'clear', 'put', 'clear', 'drop'],
    )
    assert.deepEqual(followed.told.map(plain), own.told.map(plain))
    await follower.close()
    await db.close()
  })

  test(`${engine}: of what came and went between two polls a gap is told, also where no segment is left`, async () => {
    const world = new World(engine)
    const db = await world.open()
    await db.put('a', '1')
    const follower = await world.follow()
    const { told } = listen(follower)
    for (const key of ['b', 'c', 'd']) {
      await db.put(key, '1')
      await db.compact()
      await world.poll(12)
      const last = told.at(-1)
      const { sequence } = db.stats()
      assert.equal(last?.type === 'gap' ? last.to : last?.version, sequence, key)
    }
    await follower.close()
    await db.close()
  })

  test(`${engine}: of what came and went before the first poll of a store that had nothing yet a gap is told`, async () => {
    const world = new World(engine)
    const db = await world.open()
    const follower = await world.follow()
    const { told } = listen(follower)
    const missed = await db.put('a', '1')
    await db.put('b', '1')
    for (const key of ['b', 'c', 'd']) {
      await db.compact()
      await db.put(key, '2')
    }
    await world.poll(12)
    const [first] = told
    assert.ok(first?.type === 'gap' ? first.from <= missed : first?.version === missed)
    await follower.close()
    await db.close()
  })

  test(`${engine}: a segment that is begun while the store is looked at does not end the telling`, async () => {
    const world = new World(engine)
    const db = await world.open()
    await db.put('a', '1')
    await db.compact()
    let lists = 0
    world.files.failNext(({ call }) => {
      // First the segments are looked for, then the store is opened.
      if (call === 'list' && ++lists === 2) {
        for (const value of ['1', '2']) db.putSync('b', value.repeat(20_000))
      }
      return undefined
    })
    const follower = await world.follow()
    world.files.clearFaults()
    assert.ok(lists >= 2)
    const { told } = listen(follower)
    const { sequence } = db.stats()
    await world.poll()
    await db.put('b', '1')
    await world.poll()
    assert.deepEqual(told.map(keyAndVersion), [['b', sequence + 1]])
    await follower.close()
    await db.close()
  })

  test(`${engine}: what has been told and is there no more ends it`, async () => {
    for (const how of ['an older copy', 'cut']) {
      const world = new World(engine)
      let db = await world.open()
      await db.put('a', '1')
      await db.close()
      const copy = copyOf(world.files)
      db = await world.open()
      await db.put('b', '1')
      const follower = await world.follow()
      const { told, end } = listen(follower)
      const { length } = fileBytes(world.files, newestOf(world.files))
      await db.put('c', '1')
      await world.poll()
      assert.equal(told.length, 1)
      if (how === 'cut') {
        const path = newestOf(world.files)
        const at = fileBytes(world.files, path).lastIndexOf('b1')
        const handle = world.files.open(path, 'write').sync()
        handle.truncate(at + 2).sync()
        handle.truncate(length).sync()
        handle.close().sync()
        await world.poll()
      }
      await db.close()
      if (how !== 'cut') putBack(world.files, copy)
      await world.poll(3)
      const error = await end
      assert.ok(isNotFound(error), how)
      assert.match(String(error), /has been replaced, or has lost what was written last/)
      await follower.close()
    }
  })

  test(`${engine}: a store that is removed or replaced ends it`, async () => {
    for (const replaced of [false, true]) {
      const world = new World(engine)
      let db = await world.open()
      await db.put('a', '1')
      const follower = await world.follow()
      const { end } = listen(follower)
      await db.close()
      const { environment } = world
      await destroy(FOLDER, { environment })
      if (replaced) {
        db = await world.open()
        await db.put('a', '1')
      }
      await world.poll(2)
      const error = await end
      assert.ok(isNotFound(error))
      assert.match(String(error), replaced ? /has been replaced/ : /is not there any more/)
      assert.throws(() => follower.watch(), isNotFound)
      await follower.close()
      await follower.close()
      if (replaced) await db.close()
      assert.deepEqual(world.files.openPaths, [])
    }
  })

  test(`${engine}: damage with more behind it ends it`, async () => {
    const world = new World(engine)
    const db = await world.open()
    await db.put('a', '1')
    const follower = await world.follow()
    const { told, end } = listen(follower)
    const at = fileBytes(world.files, newestOf(world.files)).lastIndexOf('a1')
    await db.put('b', '1')
    await db.put('c', '1')
    const bytes = fileBytes(world.files, newestOf(world.files))
    overwrite(world.files, newestOf(world.files), Buffer.from('X'), bytes.indexOf('b1', at))
    await world.poll(30)
    assert.equal(told.length, 0)
    const error = await end
    assert.ok(error instanceof KvarkError && error.code === 'CORRUPTION', String(error))
    await db.close()
    await follower.close()
  })
}

for (const engine of Object.keys(OPTIONS) as Engine[]) {
  test(`${engine}: who stops within a transaction that makes a table goes on behind the change that was told last`, async () => {
    const world = new World(engine)
    const db = await world.open()
    await db.table('one').put('first', '')
    const follower = await world.follow()
    const watch = follower.watch()
    const steps = watch[Symbol.asyncIterator]()
    const first = steps.next()
    await db.transaction((tx) => {
      tx.putSync('a', '1')
      tx.table('made').putSync('x', '2')
      tx.putSync('b', '3')
    })
    await world.poll()
    const one = (await first).value
    assert.ok(one?.type === 'put' && one.key === 'a')
    const since = watch.version
    const [made, others] = [follower.table('made'), follower].map((followed) => {
      return new Listener(followed.watch({ since }) as Watch<string, string>)
    }) as [Listener, Listener]
    await world.poll()
    assert.deepEqual(made.told.map(keyAndVersion), [['x', one.version + 1]])
    assert.deepEqual(others.told.map(keyAndVersion), [['b', one.version + 2]])
    await follower.close()
    await db.close()
  })
}

test('log: a store that is removed while the follower looks at it again ends it like one that was removed before', async () => {
  for (let nth = 1; ; nth++) {
    const world = new World('log')
    const db = await world.open()
    for (let i = 0; i < 12; i++) await db.put('a', 'v'.repeat(1000))
    const follower = await world.follow()
    const { end } = listen(follower)
    await db.compact()
    await db.close()
    // It looks for segments, and opens the store in the end.
    let lists = 0
    world.files.failNext(({ call }) => {
      if (call === 'list' && ++lists === nth) removeAll(world.files)
      return undefined
    })
    await world.poll(12)
    if (lists < nth) {
      await follower.close()
      break
    }
    const error = await end
    assert.ok(isNotFound(error))
    assert.match(String(error), /, which was followed, is not there any more/)
    await follower.close()
  }
})

function removeAll(files: SimulatedFiles): void {
  files.clearFaults()
  for (const name of files.list(FOLDER).sync()) files.remove(`${FOLDER}/${name}`).sync()
}

test('log: of a segment that came and was compacted away a gap is told, also where the one before it stays', async () => {
  const world = new World('log')
  const db = await world.open()
  // Nothing of it is stale.
  const full = Array.from({ length: 28 }, (_, i) => `kept ${i}`)
  await db.batch(full.map((key) => ({ type: 'put', key, value: 'v'.repeat(1000) })))
  const follower = await world.follow()
  const { told } = listen(follower)
  await world.poll()
  const first = newestOf(world.files)
  for (let i = 0; i < 12; i++) await db.put('b', 'v'.repeat(1000))
  await db.compact()
  assert.equal(newestOf(world.files), first)
  await world.poll(12)
  const { sequence } = db.stats()
  assert.deepEqual(told, [{ type: 'gap', from: sequence - 11, to: sequence }])
  await db.put('b', '')
  await world.poll()
  assert.deepEqual(told.slice(1).map(keyAndVersion), [['b', sequence + 1]])
  await follower.close()
  await db.close()
})

test('log: a list of files that grows while it is opened is looked at again', async () => {
  const world = new World('log')
  const db = await world.open()
  for (let i = 0; i < 20; i++) await db.put('a', `value ${i}`)
  let replaced = false
  world.files.failNext(({ call, path, mode }) => {
    if (!replaced && call === 'open' && mode === 'read' && path.endsWith('MANIFEST')) {
      replaced = true
      db.compactSync()
    }
    return undefined
  })
  const follower = await world.follow()
  assert.ok(replaced)
  const { told } = listen(follower)
  await db.put('b', '1')
  await world.poll()
  assert.equal(told.length, 1)
  await follower.close()
  await db.close()
})

test('what cannot be followed', async () => {
  const world = new World('btree', 'sealed')
  await assert.rejects(world.follow(), isNotFound)
  const db = await world.open()
  await db.put('a', '1')
  const { outside: environment } = world
  const encryption = { key: Buffer.alloc(16, 8) }
  const wrong: readonly (readonly [object, string])[] = [
    [{}, 'BAD_ENCRYPTION_KEY'],
    [{ encryption }, 'BAD_ENCRYPTION_KEY'],
    [{ ...FORMS.sealed, values: 'json' }, 'MISMATCH'],
    [{ ...FORMS.sealed, engine: 'log' }, 'MISMATCH'],
    [{ ...FORMS.sealed, create: true }, 'INVALID_ARGUMENT'],
  ]
  for (const [options, code] of wrong) {
    await assert.rejects(followWith(engines, FOLDER, { environment, ...options }), { code })
  }
  const others = { log: engines['log']! }
  const options = { environment, ...FORMS.sealed }
  await assert.rejects(followWith(others, FOLDER, options), { code: 'VERSION' })
  await db.close()
  assert.deepEqual(world.files.openPaths, [])
})
