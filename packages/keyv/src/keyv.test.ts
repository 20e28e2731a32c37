/**
 * The cases of `@keyv/test-suite` with Keyv 6, and what it does not ask: both protocols, both engines, ends that come by kvark's own clock,
 * stores that stay. The suite itself runs by `npm run test:keyv`, with the Keyv that it is made for.
 */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import Keyv from 'keyv'
import { KvarkError, open } from 'kvark'
import { simulatedEnvironment } from 'kvark/testing'
import { KvarkKeyv, type TextStore } from './index.ts'

const ENGINES = ['btree', 'log'] as const

/** What the types of Keyv 5 ask of a store, in words of its own. */
interface StoreOfKeyvFive {
  opts: unknown
  namespace?: string | undefined
  get<Value>(key: string): Promise<Value | undefined>
  set(key: string, value: unknown, ttl?: number): unknown
  setMany?(entries: { key: string; value: unknown; ttl?: number }[]): Promise<void>
  delete(key: string): Promise<boolean>
  deleteMany?(keys: string[]): Promise<boolean>
  clear(): Promise<void>
  on(event: string, listener: (...parameters: unknown[]) => void): unknown
}

for (const engine of ENGINES) {
  async function memory(t: TestContext): Promise<TextStore> {
    const db = (await open(':memory:', { engine, durability: 'os' })) as unknown as TextStore
    t.after(() => (db as unknown as { close(): Promise<void> }).close())
    return db
  }
  const cacheOf = async (t: TestContext, namespace?: string): Promise<Keyv> =>
    new Keyv({
      store: new KvarkKeyv(await memory(t)),
      ...(namespace !== undefined && { namespace }),
    })

  describe(`Keyv 6 on ${engine}`, () => {
    test('is used as it is, not wrapped for an older version', async (t) => {
      const store = new KvarkKeyv(await memory(t))
      assert.equal(new Keyv({ store }).store, store)
    })

    test('set, get, has and delete', async (t) => {
      const cache = await cacheOf(t)
      const setting = cache.set('foo', 'bar')
      assert.ok(setting instanceof Promise)
      assert.equal(await setting, true)
      assert.equal(await cache.get('foo'), 'bar')
      assert.equal(await cache.get('none'), undefined)
      assert.deepEqual([await cache.has('foo'), await cache.has('fizz')], [true, false])
      assert.equal(await cache.delete('foo'), true)
      assert.equal(await cache.delete('foo'), false)
      assert.equal(await cache.get('foo'), undefined)
    })

    test('many at once', async (t) => {
      const cache = await cacheOf(t)
      const set = await cache.setMany<unknown>([
        { key: 'foo', value: 'bar' },
        { key: 'foo1', value: 'bar1', ttl: 3000 },
        { key: 'foo2', value: { n: 2 } },
      ])
      assert.deepEqual(set, [true, true, true])
      assert.deepEqual(await cache.getMany(['foo', 'none', 'foo2']), ['bar', undefined, { n: 2 }])
      assert.deepEqual(await cache.hasMany(['foo1', 'none']), [true, false])
      assert.deepEqual(await cache.deleteMany(['foo', 'none', 'foo2']), [true, false, true])
      assert.deepEqual(await cache.getMany(['foo', 'foo1', 'foo2']), [undefined, 'bar1', undefined])
      assert.deepEqual(await cache.getMany(['a', 'b']), [undefined, undefined])
    })

    test('an end that never comes is none', async (t) => {
      const cache = await cacheOf(t)
      for (const ttl of [Number.POSITIVE_INFINITY, Number.MAX_SAFE_INTEGER]) {
        assert.equal(await cache.set('a', `${ttl}`, ttl), true)
        assert.equal(await cache.get('a'), `${ttl}`)
        // As Keyv 5 says it.
        const db = await memory(t)
        await new KvarkKeyv(db).set('keyv:a', '1', ttl)
        assert.equal((await db.getEntry('keyv:a'))?.expiresAt, undefined)
      }
    })

    test('values of every kind', async (t) => {
      const cache = await cacheOf(t)
      for (const value of [false, null, 0, '"', "'", "''", 'bar', { fizz: 'buzz' }, [1, [2]]]) {
        await cache.set("'", value)
        assert.deepEqual(await cache.get("'"), value)
      }
      const buffer = Buffer.from('bar')
      await cache.set('buffer', buffer)
      assert.ok(buffer.equals((await cache.get('buffer')) as Buffer))
      await cache.set('undefined', undefined)
      assert.equal(await cache.get('undefined'), undefined)
    })

    test('namespaces in one store do not meet', async (t) => {
      const db = await memory(t)
      // One begins as the other does with its separator.
      const names = ['a', 'a:b', 'a%3Ab', undefined]
      const caches = names.map(
        (namespace) =>
          new Keyv({ store: new KvarkKeyv(db), ...(namespace !== undefined && { namespace }) }),
      )
      for (const [i, cache] of caches.entries()) {
        for (const key of ['x', 'b:x', 'a:x', '']) await cache.set(`${key}!`, i)
      }
      for (const [i, cache] of caches.entries()) {
        for (const key of ['x', 'b:x', 'a:x', '']) assert.equal(await cache.get(`${key}!`), i)
        const seen: string[] = []
        for await (const [key, value] of cache.iterator()) seen.push(`${key}=${value}`)
        assert.deepEqual(seen.sort(), ['x', 'b:x', 'a:x', ''].map((key) => `${key}!=${i}`).sort())
      }
      await caches[0]!.clear()
      assert.equal(await caches[0]!.get('x!'), undefined)
      for (const [i, cache] of [...caches.entries()].slice(1)) {
        assert.equal(await cache.get('b:x!'), i)
        assert.equal(await cache.delete('b:x!'), true)
      }
      await caches[3]!.clear()
      assert.equal(await db.count(), 0, 'without a namespace everything goes')
    })

    test('what has expired is gone from the store', async () => {
      const environment = simulatedEnvironment({ seed: 1 })
      const opened = await open('/store', { engine, environment, durability: 'none' })
      const db = opened as unknown as TextStore
      const store = new KvarkKeyv(db)
      // Keyv counts by the machine's clock.
      const ahead = Date.now() - environment.now()
      environment.jump(ahead)
      const cache = new Keyv({ store, namespace: 'n' })
      await cache.set('foo', 'bar', 1000)
      await cache.set('stays', 'bar')
      assert.equal(await cache.get('foo'), 'bar')
      environment.advance(2000)
      assert.equal(await cache.get('foo'), undefined)
      assert.equal(await db.count(), 1)
      await store.setMany([{ key: 'over', value: '1', expires: 5 }])
      assert.equal(await store.has('over'), false)
      await opened.close()
    })

    test('two who delete the same key do not both hear that it was there', async (t) => {
      const store = new KvarkKeyv(await memory(t))
      await store.set('a', '1')
      const heard = await Promise.all([store.delete('a'), store.delete('a'), store.delete('a')])
      assert.equal(heard.filter(Boolean).length, 1)
    })
  })

  test(`the protocol of Keyv 5 on ${engine}`, async (t) => {
    const db = await memory(t)
    const store = new KvarkKeyv(db)
    // A program in TypeScript hands it to `new Keyv(store)`.
    const typed: StoreOfKeyvFive = store
    typed.namespace = 'keyv'
    assert.equal(await store.set('keyv:a', '1', 60_000), true)
    await store.setMany([
      { key: 'keyv:b', value: '2', ttl: 60_000 },
      { key: 'keyv:c', value: '3', ttl: undefined },
      { key: 'keyv:over', value: '4', ttl: -1 },
    ])
    await store.set('other:a', '5')
    const ends = await Promise.all(['keyv:a', 'keyv:c'].map((key) => db.getEntry(key)))
    assert.ok(ends[0]!.expiresAt! > Date.now() + 30_000)
    assert.equal(ends[1]!.expiresAt, undefined)
    assert.deepEqual(await store.getMany(['keyv:b', 'keyv:over']), ['2', undefined])
    const seen: string[] = []
    for await (const [key, value] of store.iterator<string>('keyv')) seen.push(`${key}=${value}`)
    assert.deepEqual(seen.sort(), ['keyv:a=1', 'keyv:b=2', 'keyv:c=3'])
    assert.equal(await store.deleteMany(['keyv:a', 'keyv:none']), true)
    assert.equal(await store.deleteMany(['keyv:a', 'keyv:none']), false)
    await store.clear()
    assert.equal(await store.get('keyv:b'), undefined)
    assert.equal(await store.get('other:a'), '5')
    store.namespace = undefined
    await store.clear()
    assert.equal(await db.count(), 0)
  })
}

test('a folder is opened at first use, closed by disconnect, and keeps what it has', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kvark-keyv-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'cache')
  const cache = new Keyv({ store: new KvarkKeyv(path, { engine: 'log', durability: 'os' }) })
  await cache.set('a', 1)
  await cache.disconnect()
  const again = new Keyv({ store: new KvarkKeyv(path, { engine: 'log' }), throwOnErrors: true })
  assert.equal(await again.get('a'), 1)
  const locked = new KvarkKeyv(path, { engine: 'log' })
  const heard: unknown[] = []
  locked.on('error', (error) => heard.push(error))
  const isLocked = (error: unknown): boolean =>
    error instanceof KvarkError && error.code === 'LOCKED'
  await assert.rejects(locked.get('a'), isLocked)
  assert.equal(heard.length, 1)
  await again.disconnect()
  assert.equal(await locked.get('keyv:a'), undefined, 'it tries again')
  await locked.disconnect()
})

test('what is used while it is closed is opened again behind that', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kvark-keyv-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const store = new KvarkKeyv(join(folder, 'cache'), { durability: 'os' })
  await store.set('a', '1')
  const [, read] = await Promise.all([store.disconnect(), store.get('a'), store.disconnect()])
  assert.equal(read, '1')
  assert.equal(await store.get('a'), '1')
  await store.disconnect()
})

test('who disconnects while that is under way waits until the folder is free', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kvark-keyv-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const store = new KvarkKeyv(folder, { durability: 'os' })
  await store.set('a', '1')
  const first = store.disconnect()
  await store.disconnect()
  const db = await open(folder)
  assert.equal(await db.get('a'), '1')
  await Promise.all([first, db.close()])
})

test('what is no place for a store is refused at once', () => {
  for (const none of [undefined, null, 1, {}]) {
    assert.throws(
      () => new KvarkKeyv(none as never),
      (error: unknown) => error instanceof KvarkError && error.code === 'INVALID_ARGUMENT',
    )
  }
})

test('a store of its owner stays open; what is no text is refused', async () => {
  const db = (await open(':memory:')) as unknown as TextStore & { close(): Promise<void> }
  const store = new KvarkKeyv(db)
  await store.disconnect()
  await store.set('a', 'text')
  for (const value of [1, null, { a: 1 }]) {
    await assert.rejects(
      store.set('a', value),
      (error: unknown) => error instanceof KvarkError && error.code === 'INVALID_VALUE',
    )
  }
  assert.equal(await store.get('a'), 'text')
  await db.close()
})
