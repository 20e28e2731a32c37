/**
 * The power fails while a long value is streamed in, or a call fails: the value is there as a whole, or what was there before.
 *
 *   old value │ before │ streamed value │ behind │              writes in this order, some of them acknowledged
 *   image: a prefix of them, at least up to the last acknowledged one; no file is left of what did not come to its end
 */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { KvarkError } from '../errors.ts'
import { openSync } from '../store/open.ts'
import type { AtomicStore } from '../store/types.ts'
import { type FileCall, SimulatedFiles } from '../vfs/simulated.ts'
import type { CrashMode } from '../vfs/simulated-disk.ts'
import { pattern } from './contract/check.ts'
import { oneOf, partOf } from './crash/seeds.ts'

type Store = AtomicStore<string, Uint8Array>

const FOLDER = '/store'
const ENGINES = {
  log: { engine: 'log', segmentBytes: 1024 * 1024 },
  // The journal of some writes is there to be replayed.
  btree: { engine: 'btree', pageBytes: 4096, checkpointBytes: 1024 },
} as const
const FORMS = {
  plain: {},
  compressed: { compression: 'lz4' },
  encrypted: { encryption: { key: new Uint8Array(32).fill(5) } },
} as const
const MODES: readonly CrashMode[] = ['drop', 'prefix', 'subset']

const FAILING: readonly FileCall['call'][] = ['open', 'write', 'sync', 'rename', 'syncFolder']
/** About so many of the calls before the last are tried, and so many of the last. */
const MOST_EACH = partOf(12, 0.25)

/** Just long enough to be spooled. */
const LONG = 2 * 1024 * 1024 + 5000
const OLD = pattern(LONG + 1, 1)
const STREAMED = pattern(LONG, 2)
const SHORT = pattern(30, 3)

/** What the store holds after the first, second, … write. */
const STATES: readonly Readonly<Record<string, Uint8Array>>[] = [
  { key: OLD },
  { key: OLD, before: SHORT },
  { key: STREAMED, before: SHORT },
  { key: STREAMED, before: SHORT, behind: SHORT },
]

/** `form`: engine and options. */
function open(files: SimulatedFiles, form: object, seed = 1): Store {
  return openSync(FOLDER, {
    engine: 'log',
    ...form,
    values: 'bytes',
    cacheBytes: 1024 * 1024,
    environment: simulatedEnvironment({ seed, files }),
  })
}

function* cut(value: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < value.length; at += 300_000) yield value.subarray(at, at + 300_000)
}

/** The state that the store is in. */
function stateOf(db: Store): number {
  const found = new Map(db.entries() as Iterable<[string, Uint8Array]>)
  const state = STATES.findIndex((one) => {
    const entries = Object.entries(one)
    return (
      entries.length === found.size &&
      entries.every(
        ([key, value]) => found.has(key) && Buffer.compare(found.get(key)!, value) === 0,
      )
    )
  })
  assert.ok(
    state >= 0,
    `neither old nor new: ${[...found].map(([key, { length }]) => `${key}: ${length}`).join(', ')}`,
  )
  return state
}

function assertTidy(files: SimulatedFiles): void {
  const names = files.list(FOLDER).sync()
  assert.deepEqual(
    names.filter((name) => name.endsWith('.tmp')),
    [],
  )
}

/** A disk with the old value. */
async function begun(form: object): Promise<SimulatedFiles> {
  const files = new SimulatedFiles()
  const db = open(files, form)
  await db.putStream('key', cut(OLD))
  await db.close()
  return files.afterCrash()
}

/** Opens the disk, and goes on: what is found there stays, and can be streamed over. */
async function recover(files: SimulatedFiles, form: object, least: number): Promise<number> {
  let db = open(files, form, 2)
  const state = stateOf(db)
  assert.ok(state >= least, `${state} of at least ${least}`)
  assertTidy(files)
  assert.deepEqual((await db.verify()).problems, [])
  await db.putStream('more', cut(STREAMED))
  const after = files.crash()
  await db.close().catch(() => {})
  db = open(after, form, 3)
  assert.deepEqual(Buffer.from(db.getSync('more')!).equals(STREAMED), true)
  await db.delete('more')
  assert.equal(stateOf(db), state)
  await db.close()
  return state
}

async function write(db: Store, durability: 'none' | 'disk', done: (state: number) => void) {
  const acknowledge = (state: number) => () => (durability === 'disk' ? done(state) : undefined)
  await Promise.all([
    db.put('before', SHORT, { durability }).then(acknowledge(1)),
    db
      .putStream('key', cut(STREAMED), { durability })
      .then(acknowledge(2))
      .then(() => db.put('behind', SHORT, { durability }))
      .then(acknowledge(3)),
  ])
}

/** How many calls a streamed value makes that can fail. */
async function callsOf(disk: SimulatedFiles, form: object): Promise<number> {
  const files = disk.afterCrash()
  const db = open(files, form)
  let calls = 0
  files.failNext(({ call }: FileCall) => {
    if (FAILING.includes(call)) calls++
    return undefined
  })
  await db.putStream('key', cut(STREAMED))
  const found = calls
  await db.close()
  return found
}

/** Lets the `nth` of those calls fail. */
function faultAt(nth: number, error: string): (call: FileCall) => string | undefined {
  let seen = 0
  return ({ call }) => (FAILING.includes(call) && ++seen === nth ? error : undefined)
}

/** Nothing but what a test does. */
const ALONE = {
  log: { compactionThresholdBytes: Number.MAX_SAFE_INTEGER },
  btree: { checkpointBytes: Number.MAX_SAFE_INTEGER },
} as const

const subjects = (['log', 'btree'] as const).flatMap((engine) =>
  Object.entries(FORMS).map(([name, form]) => ({
    engine,
    name,
    form: { ...ENGINES[engine], ...form },
  })),
)

for (const { engine, name, form } of subjects) {
  describe(`${engine}, ${name}`, () => {
    // What the disk keeps is the same in every form.
    for (const mode of name === 'plain' ? MODES : MODES.slice(-1)) {
      test(`power loss, mode ${mode}: the old value or the new one`, async (t) => {
        const disk = await begun(form)
        const states = new Set<number>()
        for (const durability of ['disk', 'none'] as const) {
          const files = disk.afterCrash()
          const random = new SeededRandom(1)
          const images: { readonly image: SimulatedFiles; readonly least: number }[] = []
          let acknowledged = 0
          const db = open(files, form)
          let writes = 0
          files.failNext(({ call }: FileCall) => {
            // What changes nothing leaves nothing new behind. Compressed blocks have holes between them, so many writes.
            if (['read', 'stat', 'list', 'size', 'close'].includes(call)) return undefined
            if (call === 'write' && writes++ % (32 * oneOf(4)) !== 0) return undefined
            images.push({ image: files.afterCrash({ mode, random }), least: acknowledged })
            return undefined
          })
          await write(db, durability, (state) => {
            acknowledged = state
          })
          await db.close()
          assert.ok(images.length > 10)
          for (const { image, least } of images) states.add(await recover(image, form, least))
        }
        t.diagnostic(`states found: ${[...states].sort((a, b) => a - b).join(', ')}`)
        assert.ok(states.has(0) && states.has(3))
      })
    }

    test('whichever call fails: the value is whole or absent, and no file is left', async () => {
      const disk = await begun(form)
      const alone = { ...form, ...ALONE[engine] }
      const all = await callsOf(disk, alone)
      for (const error of ['ENOSPC', 'EIO']) {
        for (
          let nth = 1;
          nth <= all;
          nth += nth < all - MOST_EACH ? Math.ceil(all / MOST_EACH) : 1
        ) {
          const files = disk.afterCrash()
          const db = open(files, alone)
          files.failNext(faultAt(nth, error))
          let outcome: unknown
          await db.putStream('key', cut(STREAMED)).catch((reason: unknown) => {
            outcome = reason
          })
          files.clearFaults()
          assert.ok(outcome instanceof KvarkError, `call ${nth} of ${all}: ${String(outcome)}`)
          assert.equal(outcome.code, error === 'EIO' ? 'IO' : 'NO_SPACE')
          const refused = outcome.outcome !== 'unknown'
          assert.equal(db.stats().readOnly === undefined, refused, 'the store goes on')
          await db.resume()
          const found = Buffer.from(db.getSync('key')!)
          assert.ok(found.equals(OLD) || (found.equals(STREAMED) && !refused))
          assertTidy(files)
          await db.putStream('key', cut(OLD))
          await db.close()
          const again = open(files, form)
          assert.equal(stateOf(again), 0)
          assert.deepEqual((await again.verify()).problems, [])
          await again.close()
        }
      }
    })
  })
}

for (const [engine, form] of Object.entries(ENGINES)) {
  test(`what is written while a long value comes in does not lie in its place, ${engine}`, async () => {
    const files = new SimulatedFiles()
    const db = open(files, { ...form, ...ALONE[engine as keyof typeof ALONE] })
    await db.put('before', SHORT)
    await db.compact()
    const keys = Array.from({ length: 200 }, (_, i) => `meanwhile ${i}`)
    const value = pattern(900, 4)
    const long = pattern(LONG + 1_000_000, 5)
    function* slowly(): Generator<Uint8Array> {
      for (const [i, part] of [...cut(long)].entries()) {
        // It is being spooled by then.
        if (i === 9) for (const key of keys) db.putSync(key, value, { durability: 'none' })
        yield part
      }
    }
    await db.putStream('key', slowly())
    const disk = files.crash({ mode: 'drop', random: new SeededRandom(1) })
    await db.close().catch(() => {})
    for (let life = 0; life < 3; life++) {
      const again = open(disk, form)
      assert.ok(Buffer.from(again.getSync('key')!).equals(long))
      for (const key of keys) assert.ok(Buffer.from(again.getSync(key)!).equals(value))
      assert.deepEqual((await again.verify()).problems, [])
      await again.close()
    }
  })
}

for (const [engine, form] of Object.entries(ENGINES)) {
  test(`a full disk takes nothing, and has as much room as before, ${engine}`, async () => {
    const disk = await begun(form)
    const files = disk.afterCrash()
    const db = open(files, { ...form, ...ALONE[engine as keyof typeof ALONE] })
    await db.put('before', SHORT)
    const used = (): number =>
      files
        .list(FOLDER)
        .sync()
        .reduce((sum, name) => sum + files.stat(`${FOLDER}/${name}`).sync()!.size, 0)
    const before = used()
    files.capacityBytes = before + 1024 * 1024
    for (let i = 0; i < 3; i++) {
      await assert.rejects(db.putStream('key', cut(STREAMED)), { code: 'NO_SPACE' })
      assert.equal(db.stats().readOnly, undefined)
      assert.equal(used(), before)
    }
    await db.put('other', SHORT)
    await db.delete('other')
    assert.equal(stateOf(db), 1)
    await db.close()
  })
}
