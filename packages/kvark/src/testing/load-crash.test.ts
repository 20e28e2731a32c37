/**
 * The power fails while entries are loaded, or a call fails: all of them are there, or none, and no page is lost.
 *
 *   there │ before │ loaded │ behind │            writes in this order, some of them acknowledged
 *   image: a prefix of them, at least up to the last acknowledged one
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { KvarkError } from '../errors.ts'
import { openSync } from '../store/open.ts'
import type { OrderedStore } from '../store/types.ts'
import { type FileCall, SimulatedFiles } from '../vfs/simulated.ts'
import type { CrashMode } from '../vfs/simulated-disk.ts'

type Store = OrderedStore<string, string>
type Pair = [string, string]

const FOLDER = '/store'
const PAGE_BYTES = 4096
const FORMS = {
  plain: {},
  compressed: { compression: 'lz4' },
  encrypted: { encryption: { key: new Uint8Array(32).fill(5) } },
} as const
const MODES: readonly CrashMode[] = ['drop', 'prefix', 'subset']
const FAILING: readonly FileCall['call'][] = ['open', 'write', 'sync', 'rename', 'syncFolder']
/** About so many of the calls are tried. */
const MOST_FAILING = 12

const key = (i: number): string => `key ${String(i).padStart(6, '0')}`
/** Long values and a long key are among them. */
const THERE = Array.from({ length: 40 }, (_, i): Pair => [key(i * 1000), 'there'.repeat(40)])
const LOADED = Array.from({ length: 900 }, (_, i): Pair => {
  const rest = i === 500 ? 'k'.repeat(600) : ''
  return [`${key(20_001 + i)}${rest}`, 'loaded'.repeat(i % 300 === 7 ? 2000 : i % 50)]
})
const BEFORE: Pair = [key(3), 'before']
const BEHIND: Pair = [key(20_950), 'behind']

/** What the store holds after the first, second, … write. */
const STATES: readonly (readonly Pair[])[] = [
  THERE,
  [...THERE, BEFORE],
  [...THERE, BEFORE, ...LOADED],
  [...THERE, BEFORE, ...LOADED, BEHIND],
].map((state) => state.toSorted(([a], [b]) => (a < b ? -1 : 1)))

function open(files: SimulatedFiles, options: object, seed = 1): Store {
  return openSync(FOLDER, {
    engine: 'btree',
    pageBytes: PAGE_BYTES,
    cacheBytes: 1024 * 1024,
    ...options,
    environment: simulatedEnvironment({ seed, files }),
  })
}

/** The state that the store is in. */
function stateOf(db: Store): number {
  const found = [...db.entries()]
  const state = STATES.findIndex(
    (one) =>
      one.length === found.length &&
      one.every(([k, value], i) => found[i]![0] === k && found[i]![1] === value),
  )
  assert.ok(state >= 0, `neither all of it nor nothing: ${found.length} entries`)
  assert.equal(db.countSync(), found.length)
  return state
}

function begun(options: object): SimulatedFiles {
  const files = new SimulatedFiles()
  const db = open(files, options)
  for (const [k, value] of THERE) db.putSync(k, value, { durability: 'none' })
  db.closeSync()
  return files.afterCrash()
}

/** Opens the disk, and goes on: what is found there stays, and what it takes can be given back. */
async function recover(files: SimulatedFiles, options: object, least: number): Promise<number> {
  let db = open(files, options, 2)
  const state = stateOf(db)
  assert.ok(state >= least, `${state} of at least ${least}`)
  assert.deepEqual((await db.verify()).problems, [])
  for (let i = 0; i < 50; i++) db.putSync(`more ${i}`, 'm'.repeat(200))
  const after = files.crash()
  db = open(after, options, 3)
  await db.clear({ prefix: 'more' })
  assert.equal(stateOf(db), state)
  await db.clear()
  await db.compact()
  const pages = db.stats().diskBytes / PAGE_BYTES
  assert.ok(pages < 12, `${pages} pages are left`)
  await db.close()
  return state
}

async function write(db: Store, durability: 'none' | 'disk', done: (state: number) => void) {
  const acknowledge = (state: number) => () => (durability === 'disk' ? done(state) : undefined)
  await Promise.all([
    db.put(...BEFORE, { durability }).then(acknowledge(1)),
    db
      .load(LOADED, { durability })
      .then(acknowledge(2))
      .then(() => db.put(...BEHIND, { durability }))
      .then(acknowledge(3)),
  ])
}

for (const [name, form] of Object.entries(FORMS)) {
  for (const mode of name === 'plain' ? MODES : MODES.slice(-1)) {
    test(`power loss, ${name}, mode ${mode}: all that was loaded, or nothing`, async (t) => {
      const states = new Set<number>()
      let tried = 0
      for (const durability of ['disk', 'none'] as const) {
        for (const checkpointBytes of [1, Number.MAX_SAFE_INTEGER]) {
          const options = { ...form, checkpointBytes }
          const files = begun(options)
          const random = new SeededRandom(1)
          const images: { readonly image: SimulatedFiles; readonly least: number }[] = []
          let acknowledged = 0
          const db = open(files, options)
          let calls = 0
          files.failNext(({ call }: FileCall) => {
            // What changes nothing leaves nothing new behind.
            if (['read', 'stat', 'list', 'size', 'close'].includes(call)) return undefined
            if (calls++ % (name === 'plain' ? 6 : 50) !== 0) return undefined
            images.push({ image: files.afterCrash({ mode, random }), least: acknowledged })
            return undefined
          })
          await write(db, durability, (state) => {
            acknowledged = state
          })
          images.push({ image: files.afterCrash({ mode, random }), least: acknowledged })
          await db.close()
          for (const { image, least } of images) states.add(await recover(image, options, least))
          tried += images.length
        }
      }
      t.diagnostic(`${tried} images, states ${[...states].sort((a, b) => a - b).join(', ')}`)
      assert.ok(states.has(0) && states.has(3))
    })
  }
}

/** How many calls a load makes that can fail. */
async function callsOf(disk: SimulatedFiles, options: object): Promise<number> {
  const files = disk.afterCrash()
  const db = open(files, options)
  let calls = 0
  files.failNext(({ call }: FileCall) => {
    if (FAILING.includes(call)) calls++
    return undefined
  })
  await db.load(LOADED)
  const found = calls
  await db.close()
  return found
}

test('whichever call fails: all of it is there or nothing, and no page is lost', async () => {
  const options = { checkpointBytes: Number.MAX_SAFE_INTEGER }
  const disk = begun(options)
  const all = await callsOf(disk, options)
  for (const error of ['ENOSPC', 'EIO']) {
    for (let nth = 1; nth <= all; nth += Math.ceil(all / MOST_FAILING)) {
      const files = disk.afterCrash()
      const db = open(files, options)
      let seen = 0
      files.failNext(({ call }) => (FAILING.includes(call) && ++seen === nth ? error : undefined))
      let outcome: unknown
      await db.load(LOADED).catch((reason: unknown) => {
        outcome = reason
      })
      files.clearFaults()
      assert.ok(outcome instanceof KvarkError, `call ${nth} of ${all}: ${String(outcome)}`)
      assert.equal(outcome.code, error === 'EIO' ? 'IO' : 'NO_SPACE')
      await db.resume()
      const isLoaded = db.getSync(LOADED[0]![0]) !== undefined
      assert.ok(!isLoaded || outcome.outcome === 'unknown')
      assert.equal(db.countSync(), THERE.length + (isLoaded ? LOADED.length : 0))
      await db.clear({ gte: key(20_001), lt: key(21_000) })
      await db.load(LOADED)
      assert.deepEqual((await db.verify()).problems, [])
      await db.clear()
      await db.compact()
      assert.ok(db.stats().diskBytes < 12 * PAGE_BYTES)
      await db.close()
    }
  }
})

test('a full disk takes nothing of a load, and has as much room as before', async () => {
  const options = { checkpointBytes: Number.MAX_SAFE_INTEGER }
  const files = begun(options)
  const db = open(files, options)
  await db.put(...BEFORE)
  const { diskBytes } = db.stats()
  files.capacityBytes = files.stat(`${FOLDER}/TREE`).sync()!.size + 300_000
  const long = (function* entries(): Generator<Pair> {
    for (let i = 0; i < 100_000; i++) yield [key(20_001 + i), 'x'.repeat(100)]
  })()
  await assert.rejects(db.load(long), { code: 'NO_SPACE' })
  assert.equal(db.stats().readOnly, undefined)
  assert.equal(db.stats().diskBytes, diskBytes)
  assert.equal(stateOf(db), 1)
  await db.put('behind', 'b')
  await db.delete('behind')
  assert.equal(stateOf(db), 1)
  await db.close()
})
