/** What unstorage says of drivers, on both engines: items, raw items, keys below a base, meta, ttl, clear, mounts, dispose. */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { KvarkError, type OrderedStore, open } from 'kvark'
import { simulatedEnvironment } from 'kvark/testing'
import { createStorage, prefixStorage, restoreSnapshot, type Storage, snapshot } from 'unstorage'
import kvarkDriver, { type KvarkMeta } from './index.ts'

const ENGINES = ['btree', 'log'] as const

/** What was to be told has been told. */
async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
}

for (const engine of ENGINES) {
  function storageOf(t: TestContext): Storage {
    const options = { path: ':memory:', engine, durability: 'os' } as const
    const storage = createStorage({ driver: kvarkDriver(options) })
    t.after(() => storage.dispose())
    return storage
  }

  describe(`unstorage on ${engine}`, () => {
    test('items: set, get, has, remove', async (t) => {
      const storage = storageOf(t)
      assert.equal(await storage.hasItem('s1:a'), false)
      assert.equal(await storage.getItem('s1:a'), null)
      await storage.setItem('s1:a', 'test_data')
      await storage.set('s2:a', { n: [1, null] })
      assert.equal(await storage.hasItem('s1:a'), true)
      assert.equal(await storage.getItem('s1:a'), 'test_data')
      assert.deepEqual(await storage.get('s2:a'), { n: [1, null] })
      assert.equal(await storage.getItem('s1/a'), 'test_data', 'keys are normalized')
      await storage.setItem('s1:a', undefined as never)
      assert.equal(await storage.has('s1:a'), false)
      await storage.remove('s2:a')
      await storage.remove('s2:a')
      assert.equal(await storage.get('s2:a'), null)
    })

    test('many items at once, with an end for each or for all', async (t) => {
      const storage = storageOf(t)
      await storage.setItems<string | number>(
        [
          { key: 'a', value: 1 },
          { key: 'b', value: 'größer', options: { ttl: 1000 } },
          { key: 'over', value: 3, options: { ttl: 0 } },
        ],
        { ttl: 60 },
      )
      assert.deepEqual(await storage.getItems(['a', { key: 'b' }, 'over', 'none']), [
        { key: 'a', value: 1 },
        { key: 'b', value: 'größer' },
        { key: 'over', value: null },
        { key: 'none', value: null },
      ])
      const [a, b] = (await Promise.all(
        ['a', 'b'].map(async (key) => await storage.getMeta(key)),
      )) as KvarkMeta[]
      assert.ok(a!.ttl! > 50 && a!.ttl! <= 60 && b!.ttl! > 990)
    })

    test('raw items are bytes as they are', async (t) => {
      const storage = storageOf(t)
      const value = new Uint8Array([0, 255, 1, 128])
      await storage.setItemRaw('raw', value)
      const read = async (key: string): Promise<Buffer> => (await storage.getItemRaw<Buffer>(key))!
      assert.ok((await read('raw')).equals(value))
      await storage.setItemRaw('buffer', value.buffer)
      assert.ok((await read('buffer')).equals(value))
      assert.equal(await storage.getItemRaw('none'), null)
      await assert.rejects(
        storage.setItemRaw('raw', { a: 1 }),
        (error: unknown) => error instanceof KvarkError && error.code === 'INVALID_VALUE',
      )
      assert.ok((await read('raw')).equals(value))
    })

    test('keys, all and below a base; clear of a base', async (t) => {
      const storage = storageOf(t)
      for (const key of ['s1:a', 's1:b:c', 's12:a', 's2:a', 'top']) await storage.setItem(key, key)
      assert.deepEqual((await storage.getKeys()).sort(), ['s12:a', 's1:a', 's1:b:c', 's2:a', 'top'])
      assert.deepEqual((await storage.getKeys('s1')).sort(), ['s1:a', 's1:b:c'])
      assert.deepEqual(await storage.getKeys('s1', { maxDepth: 1 }), ['s1:a'])
      assert.deepEqual(await storage.getKeys('none'), [])
      // The storage itself clears whole mounts only.
      await storage.getMount().driver.clear!('s1:', {})
      assert.deepEqual((await storage.getKeys()).sort(), ['s12:a', 's2:a', 'top'])
      await storage.clear()
      assert.deepEqual(await storage.getKeys(), [])
    })

    test('meta: of the driver, and set', async (t) => {
      const storage = storageOf(t)
      await storage.setItem('a', '12345')
      const meta = (await storage.getMeta('a', { nativeOnly: true })) as KvarkMeta
      assert.deepEqual({ ...meta }, { size: 5, version: 1 })
      const mtime = new Date(5)
      await storage.setMeta('a', { mtime, owner: 'me' })
      const both = await storage.getMeta('a')
      assert.deepEqual([both['size'], both.mtime, both['owner']], [5, mtime, 'me'])
      assert.deepEqual(await storage.getKeys(), ['a'], 'meta is no key')
      await storage.removeItem('a', { removeMeta: true })
      assert.deepEqual({ ...(await storage.getMeta('a')) }, {})
    })

    test('items end, and are gone from the store', async () => {
      const environment = simulatedEnvironment({ seed: 1 })
      const options = { path: '/store', engine, environment, durability: 'none' } as const
      const driver = kvarkDriver({ ...options, ttl: 10 })
      const storage = createStorage({ driver })
      await storage.setItem('short', 1, { ttl: 1 })
      await storage.setItem('default', 2)
      await storage.setItem('kept', 3, { ttl: Number.POSITIVE_INFINITY })
      environment.advance(999)
      assert.equal(await storage.getItem('short'), 1)
      environment.advance(1)
      assert.deepEqual([await storage.get('short'), await storage.get('default')], [null, 2])
      assert.deepEqual((await storage.getKeys()).sort(), ['default', 'kept'])
      environment.advance(9000)
      const db = await driver.getInstance!()
      assert.equal(await db.count(), 1)
      assert.equal(await storage.getItem('kept'), 3)
      await storage.dispose()
    })

    test('watch: what was written, whoever has written it', async (t) => {
      const driver = kvarkDriver({ path: ':memory:', engine, durability: 'os' })
      const storage = createStorage()
      storage.mount('data', driver)
      t.after(() => storage.dispose())
      await storage.setItem('data:before', 1)
      const heard: string[] = []
      const more: string[] = []
      const stop = await storage.watch((event, key) => heard.push(`${event} ${key}`))
      const stopMore = await storage.watch((event, key) => more.push(`${event} ${key}`))
      await storage.setItem('data:a', 1)
      await storage.setItemRaw('data:b/c', new Uint8Array(1))
      await storage.setItems([
        { key: 'data:d', value: 1 },
        { key: 'data:e', value: 2 },
      ])
      await storage.removeItem('data:a')
      await storage.removeItem('data:none')
      const db = (await driver.getInstance!()) as OrderedStore<string, Uint8Array>
      await db.put('own', new Uint8Array(1))
      await driver.clear!('b:', {})
      await storage.clear('data')
      await settled()
      const expected = ['update a', 'update b:c', 'update d', 'update e', 'remove a', 'update own']
      const cleared = ['remove b:c', 'remove before', 'remove d', 'remove e', 'remove own']
      const named = [...expected, ...cleared].map((event) => event.replace(' ', ' data:'))
      // In which order a log gives its keys to `clear` is its own.
      assert.deepEqual(heard.slice(0, 7), named.slice(0, 7))
      assert.deepEqual(heard.toSorted(), named.toSorted())
      assert.deepEqual(more, heard)
      await stop()
      await storage.setItem('data:a', 1)
      await settled()
      assert.deepEqual(heard.length, 11)
      assert.equal(more.at(-1), 'update data:a')
      await stopMore()
      await storage.setItem('data:a', 2)
      await storage.clear('data')
      await settled()
      assert.equal(more.length, 12)
      assert.equal(await db.count(), 0)
    })

    test('watch: a listener that throws is an uncaught exception, and hears of what comes next', async (t) => {
      const storage = storageOf(t)
      const heard: string[] = []
      const thrown: unknown[] = []
      process.setUncaughtExceptionCaptureCallback((error) => thrown.push(error.message))
      t.after(() => process.setUncaughtExceptionCaptureCallback(null))
      const stop = await storage.watch((event, key) => {
        heard.push(`${event} ${key}`)
        if (key !== 'b') throw new Error(`no ${key}`)
      })
      for (const key of ['a', 'b', 'c']) await storage.setItem(key, 1)
      await settled()
      assert.deepEqual(heard, ['update a', 'update b', 'update c'])
      assert.deepEqual(thrown, ['no a', 'no c'])
      await stop()
    })

    test('watch: of each mount, long values and loads, after a gap everything', async (t) => {
      const files = simulatedEnvironment({ seed: 1 })
      const db = (await open('/store', {
        engine,
        values: 'bytes',
        environment: files,
      })) as OrderedStore<string, Uint8Array>
      const driver = kvarkDriver({ store: db })
      const storage = createStorage({ driver })
      t.after(() => db.close())
      const heard: string[] = []
      await storage.watch((event, key) => heard.push(`${event} ${key}`))
      storage.mount('late', kvarkDriver({ path: ':memory:', engine }))
      await settled()
      await storage.setItem('late:a', 1)
      await db.putStream('long', [new Uint8Array(3 * 1024 * 1024)])
      if (engine === 'btree') await db.load([['x', new Uint8Array(1)]])
      await settled()
      const expected = ['update late:a', 'update long']
      assert.deepEqual(heard.splice(0), [...expected, ...(engine === 'btree' ? ['update x'] : [])])
      await storage.unmount('late')
      files.files.failNext({ call: 'sync', error: 'EIO' })
      await assert.rejects(storage.setItem('doubtful', 1))
      files.files.clearFaults()
      await db.resume()
      await settled()
      assert.ok(heard.includes('update long'))
      await storage.dispose()
      heard.length = 0
      await db.put('after', new Uint8Array(1))
      await settled()
      assert.deepEqual(heard, [])
    })

    test('mounts, prefixes, snapshots and changes made through the storage', async (t) => {
      const storage = createStorage()
      storage.mount('data', kvarkDriver({ path: ':memory:', engine, durability: 'os' }))
      t.after(() => storage.dispose())
      const heard: string[] = []
      await storage.watch((event, key) => heard.push(`${event} ${key}`))
      const users = prefixStorage(storage, 'data:users')
      await users.setItem('1', 'Alice')
      await storage.setItem('elsewhere', 1)
      assert.deepEqual(await storage.getKeys('data'), ['data:users:1'])
      const copy = await snapshot(storage, 'data')
      await storage.clear('data')
      assert.equal(await users.getItem('1'), null)
      await restoreSnapshot(storage, copy, 'data')
      assert.equal(await users.getItem('1'), 'Alice')
      assert.equal(heard[0], 'update data:users:1')
    })
  })
}

test('a folder is opened at first use, closed by dispose, and keeps what it has', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kvark-unstorage-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'data')
  const first = createStorage({ driver: kvarkDriver({ path, durability: 'os' }) })
  await first.setItem('a', 1)
  const locked = createStorage({ driver: kvarkDriver({ path }) })
  await assert.rejects(
    locked.getItem('a'),
    (error: unknown) => error instanceof KvarkError && error.code === 'LOCKED',
  )
  await first.dispose()
  assert.equal(await locked.getItem('a'), 1, 'it tries again')
  // Used while it is closed it is opened again, when that has ended.
  const disposed = locked.dispose()
  await Promise.all([disposed, locked.setItem('a', 2)])
  assert.equal(await locked.getItem('a'), 2)
  await locked.dispose()
})

test('what is no place, and no function to call, is refused at once', async () => {
  const isWrong = (error: unknown): boolean =>
    error instanceof KvarkError && error.code === 'INVALID_ARGUMENT'
  for (const options of [
    undefined,
    null,
    'data',
    {},
    { path: 1 },
    { store: {} },
    { store: null },
  ]) {
    assert.throws(() => kvarkDriver(options as never), isWrong)
  }
  const driver = kvarkDriver({ path: ':memory:' })
  await assert.rejects(async () => await driver.watch!(1 as never), isWrong)
  await driver.dispose!()
  // Values of another kind.
  const db = await open(':memory:', { values: 'json' })
  const other = kvarkDriver({ store: db as never })
  await db.put('a', 1)
  await assert.rejects(async () => await other.getItem('a'), isWrong)
  await assert.rejects(async () => await other.getItemRaw!('a', {}), isWrong)
  await db.close()
})

test('a store of its owner stays open', async () => {
  const db = await open(':memory:', { values: 'bytes' })
  const storage = createStorage({ driver: kvarkDriver({ store: db }) })
  await storage.setItem('a', 1)
  await storage.dispose()
  assert.equal(await db.has('a'), true)
  await db.close()
})
