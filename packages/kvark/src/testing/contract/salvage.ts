/**
 * Contract, chapter 15: what can still be read of a damaged store goes to a new one. Whatever is damaged, nothing comes out that was not
 * written under its key, and what is missing is in the report.
 */

import assert from 'node:assert/strict'
import { SeededRandom } from '../../bytes/random.ts'
import type { RepairReport } from '../../engine/facts.ts'
import { type ErrorCode, KvarkError } from '../../errors.ts'
import { type RepairOptions, repairWith } from '../../store/repair.ts'
import { collect, names, rejects, throws } from './check.ts'
import type { AnyStore, Case, Chapter, Place } from './place.ts'
import { openRaw, SteppedEnvironment } from './raw-engine.ts'

const SECTOR_BYTES = 512
const RUNS = 40

/** What says honestly that nothing can be read. */
const HONEST: ReadonlySet<string> = new Set<ErrorCode>([
  'CORRUPTION',
  'NOT_FOUND',
  'VERSION',
  'BAD_ENCRYPTION_KEY',
])

function repairing(
  place: Place,
  options: RepairOptions = {},
): { sync(): RepairReport; async(): Promise<RepairReport> } {
  const { engine, environment, path, copy, form } = place
  const { encryption } = form
  return repairWith({ [engine.name]: engine }, path, copy, {
    environment,
    ...(encryption ? { encryption } : {}),
    ...options,
  })
}

/** All values that were ever written under a key, oldest first; `undefined`: it was deleted. */
type History = ReadonlyMap<string, readonly (string | undefined)[]>

/** A store with everything in it: overwritten, deleted, long, in several openings and behind compactions. */
async function fill(place: Place): Promise<History> {
  const random = new SeededRandom(5)
  const history = new Map<string, (string | undefined)[]>()
  const note = (key: string, value: string | undefined): void => {
    history.set(key, [...(history.get(key) ?? []), value])
  }
  for (let round = 0; round < 3; round++) {
    const db = await place.open({ durability: 'os' })
    const put = (key: string, value: string): void => {
      db.putSync(key, value)
      note(key, value)
    }
    for (const key of names(120)) {
      if (random.chance(0.6)) put(key, `${round} of ${key} ${'.'.repeat(random.below(300))}`)
    }
    put('long', `${round} is long `.repeat(4000))
    put('k'.repeat(6000), `${round} under a long key`)
    for (const key of names(120)) {
      if (!random.chance(0.2) || history.get(key)?.at(-1) === undefined) continue
      db.deleteSync(key)
      note(key, undefined)
    }
    if (round < 2) await db.compact()
    const puts = names(20).map((key) => ({ type: 'put', key, value: `batch ${round}` }) as const)
    if (db.supports.atomicBatch) {
      db.batchSync(puts)
      for (const { key, value } of puts) note(key, value)
    }
    await db.close()
  }
  return history
}

/** What must be there when nothing is damaged. */
function newestOf(history: History): Map<string, string> {
  const newest = new Map<string, string>()
  for (const [key, values] of history) {
    const last = values.at(-1)
    if (last !== undefined) newest.set(key, last)
  }
  return newest
}

function filesOf({ environment, path }: Place): Map<string, Buffer> {
  const { files } = environment
  const found = new Map<string, Buffer>()
  for (const name of files.list(path).sync()) {
    if (name.startsWith('LOCK')) continue
    const handle = files.open(`${path}/${name}`, 'read').sync()
    const bytes = Buffer.alloc(handle.size().sync())
    handle.read(bytes, 0, bytes.length, 0).sync()
    handle.close().sync()
    found.set(name, bytes)
  }
  return found
}

function putFile({ environment, path }: Place, name: string, bytes: Buffer | undefined): void {
  const { files } = environment
  files.remove(`${path}/${name}`).sync()
  if (bytes === undefined) return
  const handle = files.open(`${path}/${name}`, 'create').sync()
  handle.write(bytes, 0, bytes.length, 0).sync()
  handle.close().sync()
}

function clear({ environment, copy }: Place): void {
  const { files } = environment
  if (files.stat(copy).sync() === undefined) return
  for (const name of files.list(copy).sync()) files.remove(`${copy}/${name}`).sync()
  files.removeFolder(copy).sync()
}

/** The new store: whole, as the report says, and one that takes writes. */
async function look(place: Place, report: RepairReport): Promise<Map<string, string>> {
  const db: AnyStore = await place.open({}, place.copy)
  const { problems, entries } = await db.verify()
  assert.deepEqual([problems, entries], [[], report.entries])
  const found = new Map(await collect(db.entries()))
  assert.equal(found.size, report.entries)
  for (const [key, value] of found) assert.equal(db.getSync(key), value)
  for (const { from, to, reason, keys = [] } of report.lost) {
    assert.ok(from <= to && reason.length > 0)
    for (const { key, version, kept } of keys) {
      const now = db.getEntrySync(Buffer.from(key).toString())?.version
      assert.equal(now, kept, 'it is told what came in its place')
      assert.ok(version === undefined || kept === undefined || kept < version)
    }
  }
  const before = db.stats().sequence
  assert.ok((await db.put('new', 'value')) > before)
  await db.close()
  return found
}

/** Damages some files; tells what was done. */
function damage(random: SeededRandom, place: Place, content: ReadonlyMap<string, Buffer>): string {
  const done: string[] = []
  for (let left = 1 + random.below(4); left > 0; left--) {
    // Mostly where the data is; of an encrypted store nothing is left without the descriptor.
    const names = [...content.keys()].filter((name) => name !== 'KVARK' || random.chance(0.1))
    const name = random.pick(names)
    const bytes = Buffer.from(content.get(name)!)
    if (bytes.length === 0) continue
    const at = random.below(bytes.length)
    const sector = at - (at % SECTOR_BYTES)
    const kind = random.pick(['flip', 'flip', 'zeros', 'garbage', 'stale', 'cut', 'gone'] as const)
    done.push(`${kind} at ${at} of ${name}`)
    if (kind === 'flip') bytes[at]! ^= 1 << random.below(8)
    else if (kind === 'zeros') bytes.fill(0, sector, Math.min(bytes.length, sector + SECTOR_BYTES))
    else if (kind === 'garbage') bytes.set(random.bytes(Math.min(5000, bytes.length - at)), at)
    else if (kind === 'stale') bytes.copyWithin(sector, random.below(bytes.length), bytes.length)
    putFile(
      place,
      name,
      kind === 'gone' ? undefined : kind === 'cut' ? bytes.subarray(0, at) : bytes,
    )
  }
  return done.join(', ')
}

const cases: readonly Case[] = [
  {
    name: 'without damage the new store is the same, versions and all, and the old one as it was',
    needs: ['salvage'],
    async run(place) {
      const newest = newestOf(await fill(place))
      const content = filesOf(place)
      const old = await place.open()
      const versions = new Map<string, number | undefined>()
      for (const key of newest.keys()) versions.set(key, (await old.getEntry(key))?.version)
      await old.close()
      for (const [name, bytes] of content) putFile(place, name, bytes)
      for (const synchronous of [false, true]) {
        clear(place)
        const told: number[] = []
        const progress = (done: number, total: number): void => {
          assert.ok(done <= total)
          told.push(done)
        }
        const act = repairing(place, { progress })
        const report = synchronous ? act.sync() : await act.async()
        assert.deepEqual(report.lost, [])
        assert.ok(report.bytes > 0 && told.length > 3)
        const db = await place.open({}, place.copy)
        for (const [key, version] of versions) {
          assert.equal((await db.getEntry(key))?.version, version, key)
        }
        await db.close()
        assert.deepEqual(await look(place, report), newest)
      }
      for (const [name, bytes] of filesOf(place)) assert.ok(bytes.equals(content.get(name)!), name)
    },
  },
  {
    name: 'whatever is damaged: an honest error, or values that were written and a report of what is missing',
    needs: ['salvage'],
    async run(place) {
      const history = await fill(place)
      const newest = newestOf(history)
      const content = filesOf(place)
      const random = new SeededRandom(9)
      let losses = 0
      for (let run = 0; run < RUNS; run++) {
        for (const [name, bytes] of content) putFile(place, name, bytes)
        clear(place)
        const hint = damage(random, place, content)
        try {
          const codecs = { keys: 'utf8', values: 'utf8' }
          const report = await repairing(place, run % 2 === 0 ? codecs : {}).async()
          const found = await look(place, report)
          let missing = false
          for (const [key, value] of found) {
            assert.ok(history.get(key)?.includes(value), `${key.slice(0, 20)} has a wrong value`)
            missing ||= newest.get(key) !== value
          }
          missing ||= found.size < newest.size
          if (missing) assert.notEqual(report.lost.length, 0, 'the loss is told')
          if (report.lost.length > 0) losses++
        } catch (error) {
          const isHonest = error instanceof KvarkError && HONEST.has(error.code)
          if (!isHonest) throw new Error(`run ${run}: ${hint}`, { cause: error })
          assert.equal(place.environment.files.stat(place.copy).sync(), undefined)
        }
      }
      assert.ok(losses > RUNS / 4, `${losses} losses`)
    },
  },
  {
    name: 'where only the descriptor is left, it is told that the rest is lost',
    needs: ['salvage'],
    async run(place) {
      await fill(place)
      for (const name of filesOf(place).keys()) {
        if (name !== 'KVARK') putFile(place, name, undefined)
      }
      const report = await repairing(place).async()
      assert.equal(report.lost.length, 1)
      assert.equal((await look(place, report)).size, 0)
    },
  },
  {
    name: 'without the descriptor, what the files tell and the codecs as they are given',
    needs: ['salvage'],
    async run(place) {
      const newest = newestOf(await fill(place))
      putFile(place, 'KVARK', undefined)
      await rejects('CORRUPTION', () => repairing(place).async())
      const codecs = { keys: 'utf8', values: 'utf8' }
      if (place.form.encryption) {
        await rejects('CORRUPTION', () => repairing(place, codecs).async())
        return
      }
      const report = await repairing(place, codecs).async()
      assert.deepEqual(
        report.lost.map(({ path }) => path),
        [`${place.path}/KVARK`],
      )
      assert.deepEqual(await look(place, report), newest)
    },
  },
  {
    name: 'what is stopped leaves nothing, and an open store is LOCKED',
    needs: ['salvage'],
    async run(place) {
      await fill(place)
      const { files } = place.environment
      const reason = new Error('enough')
      for (const synchronous of [false, true]) {
        const controller = new AbortController()
        const progress = (done: number, total: number): void => {
          if (done > total / 2) controller.abort(reason)
        }
        const act = repairing(place, { progress, signal: controller.signal })
        if (synchronous) assert.throws(() => act.sync(), reason)
        else await assert.rejects(act.async(), reason)
        assert.equal(files.stat(place.copy).sync(), undefined)
      }
      const db = await place.open()
      await rejects('LOCKED', () => repairing(place).async())
      throws('LOCKED', () => repairing(place).sync())
      await db.close()
      await repairing(place).async()
      await rejects('INVALID_ARGUMENT', () => repairing(place).async())
    },
  },
  {
    name: 'expiry is kept',
    needs: ['salvage'],
    async run(place) {
      // The engine alone writes no descriptor, and of an encrypted store only that has the key.
      if (place.form.encryption) return
      const clock = new SteppedEnvironment(place.environment, 1_700_000_000_000)
      const raw = openRaw(place, clock, true)
      // Long enough to tell the compression.
      const value = 'value '.repeat(100)
      raw.put('soon', value, clock.time + 1000)
      raw.put('never', value, 0)
      raw.close()
      const codecs = { keys: 'utf8', values: 'utf8' }
      await repairing(place, { environment: clock, ...codecs }).async()
      const copy = await place.open({ environment: clock }, place.copy)
      assert.deepEqual([copy.getSync('soon'), copy.getSync('never')], [value, value])
      clock.time += 1000
      assert.deepEqual([copy.getSync('soon'), copy.getSync('never')], [undefined, value])
    },
  },
]

export const salvage: Chapter = { name: 'salvage', cases }
