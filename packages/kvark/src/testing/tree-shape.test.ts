/** What `inspect` tells of the shape of a tree agrees with the store, and with itself. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import type { Inspection } from '../engine/engine.ts'
import type { Environment } from '../environment/environment.ts'
import { memoryEnvironment } from '../environment/node.ts'
import { openSync } from '../store/open.ts'
import type { OrderedStore } from '../store/types.ts'

const PAGE_BYTES = 4096
/** Both root slots. */
const ROOT_PAGES = 2

function openTree(environment: Environment): OrderedStore {
  return openSync('/store', {
    environment,
    engine: 'btree',
    pageBytes: PAGE_BYTES,
    cacheBytes: 1024 * 1024,
    durability: 'none',
  })
}

/** So many entries that the tree has three levels and does not fit the cache. */
function fill(db: OrderedStore, count = 60_000): void {
  const random = new SeededRandom(1)
  const keys = Array.from({ length: count }, (_, i) => `key ${String(i).padStart(6, '0')}`)
  for (let i = keys.length; i > 0; ) {
    const part = Math.min(i, 1000)
    const operations = Array.from({ length: part }, () => {
      const at = random.below(i)
      const key = keys[at]!
      keys[at] = keys[--i]!
      return { type: 'put', key, value: `value of ${key}` } as const
    })
    db.batchSync(operations)
  }
}

function assertAgrees(inspection: Inspection, entries: number): void {
  const { levels, detail, files } = inspection
  assert.ok(levels !== undefined)
  assert.deepEqual(
    levels.map(({ level }) => level),
    levels.map((_, i) => levels.length - 1 - i),
  )
  assert.equal(levels[0]!.pages, 1)
  for (const [i, { fill, pages, entries }] of levels.entries()) {
    assert.ok(fill > 0 && fill <= 1, `${fill}`)
    if (i + 1 < levels.length) assert.equal(entries, levels[i + 1]!.pages)
    assert.ok(entries >= pages)
  }
  assert.equal(levels.at(-1)!.entries, entries)
  assert.equal(detail['entries'], entries)
  assert.equal(detail['damagedPages'], 0)
  assert.deepEqual(
    files.map(({ kind }) => kind),
    ['tree', ...files.slice(1).map(() => 'journal')],
  )
}

test('levels, entries and pages agree with the store, in memory and on disk', () => {
  const environment = memoryEnvironment()
  let db = openTree(environment)
  fill(db)
  const live = db.inspectSync()
  assertAgrees(live, 60_000)
  assert.equal(live.levels!.length, 3)
  db.closeSync()
  db = openTree(environment)
  const stored = db.inspectSync()
  assertAgrees(stored, 60_000)
  assert.deepEqual(stored.levels, live.levels)
  const treePages = stored.levels!.reduce((sum, { pages }) => sum + pages, 0)
  const { detail, files } = stored
  assert.equal(detail['freshPages'], 0)
  assert.ok(Math.abs((detail['pages'] as number) - treePages - ROOT_PAGES) <= 4, 'a map besides')
  const pages = (detail['pages'] as number) + (detail['freePages'] as number)
  assert.ok(files[0]!.bytes <= pages * PAGE_BYTES)
  db.closeSync()
})

test('an empty tree has no levels', () => {
  const db = openTree(memoryEnvironment())
  assert.deepEqual(db.inspectSync().levels, [])
  db.putSync('a', '1')
  assert.deepEqual(
    db.inspectSync().levels!.map(({ level, pages, entries }) => [level, pages, entries]),
    [[0, 1, 1]],
  )
  db.deleteSync('a')
  assert.deepEqual(db.inspectSync().levels, [])
  db.closeSync()
})

test('long values and keys, and what snapshots keep, are counted', () => {
  const db = openTree(memoryEnvironment())
  fill(db, 1000)
  for (let i = 0; i < 5; i++) db.putSync(`long ${i}`, 'x'.repeat(3 * PAGE_BYTES))
  db.putSync('k'.repeat(2000), 'short')
  const { detail } = db.inspectSync()
  assert.deepEqual([detail['longValues'], detail['longValuePages']], [5, 20])
  assert.deepEqual([detail['longKeys'], detail['longKeyPages']], [1, 1])
  assert.equal(detail['keptPages'], 0)
  const snapshot = db.snapshot()
  db.clearSync()
  const cleared = db.inspectSync()
  assert.deepEqual(cleared.levels, [])
  assert.ok((cleared.detail['keptPages'] as number) > 25)
  snapshot.close()
  assert.equal(db.inspectSync().detail['keptPages'], 0)
  db.closeSync()
})

test('a damaged page is counted, and the rest is told', () => {
  const environment = memoryEnvironment()
  const { files } = environment
  openTree(environment).closeSync()
  let db = openTree(environment)
  fill(db)
  db.closeSync()
  const handle = files.open('/store/TREE', 'write').sync()
  const all = Buffer.alloc(handle.size().sync())
  handle.read(all, 0, all.length, 0).sync()
  // Free pages have it, too, and others from which it has moved.
  for (let at = -1; (at = all.indexOf('value of key 030000', at + 1)) >= 0; ) {
    handle.write(Uint8Array.of(0), 0, 1, at).sync()
  }
  handle.close().sync()
  db = openTree(environment)
  const { detail, levels } = db.inspectSync()
  const damaged = detail['damagedPages'] as number
  assert.ok(damaged > 0 && damaged < 10)
  const [leaves, above] = [levels!.at(-1)!, levels!.at(-2)!]
  assert.equal(leaves.pages, above.entries - damaged)
  assert.ok(leaves.entries < 60_000)
  db.closeSync()
})

test('it tells how far it is, and ends when it is told to, or the store is closed', async () => {
  const environment = memoryEnvironment()
  const db = openTree(environment)
  fill(db)
  let heard = 0
  let last = 0
  await db.inspect({
    progress: (done, total) => {
      assert.ok(done > last && done <= total)
      last = done
      heard++
    },
  })
  assert.ok(heard > 500)
  const controller = new AbortController()
  const reason = new Error('enough')
  const inspected = db.inspect({
    signal: controller.signal,
    progress: (done) => done === 100 && controller.abort(reason),
  })
  await assert.rejects(inspected, reason)
  assert.throws(() => db.inspectSync({ signal: AbortSignal.abort(reason) }), reason)
  let during = 0
  const changed = await db.inspect({
    progress: (done) => {
      if (done % 10 === 0) db.putSync(`new ${during++}`, 'meanwhile')
    },
  })
  assert.ok(during > 50)
  assert.equal(changed.levels!.at(-1)!.entries, 60_000, 'all of it is of one moment')
  const cut = db.inspect({ progress: (done) => done === 100 && db.closeSync() })
  await assert.rejects(cut, { code: 'CLOSED' })
})
