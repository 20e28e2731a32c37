/**
 * The types of `open`, checked when the tests are compiled. What must not compile stands behind `@ts-expect-error`,
 * which is itself an error where the line compiles after all.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BackupReport } from '../engine/facts.ts'
import { engines } from '../engines.ts'
import type { Change } from './change-types.ts'
import type { Codec, Tuple } from './codec.ts'
import { type DestroyReport, destroy, destroySync } from './destroy.ts'
import { type Follower, follow } from './follow.ts'
import { describe, open, openSync } from './open.ts'
import type { EngineMap, EngineName } from './options.ts'
import { rekey, rekeySync } from './rekey.ts'
import type {
  AtomicStore,
  AtomicTable,
  OrderedReader,
  OrderedStore,
  OrderedTable,
  OrderedTransaction,
  OrderedTransactionTable,
  Reader,
  Snapshot,
  Store,
  Table,
  Transaction,
} from './types.ts'

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
type Extends<A, B> = A extends B ? true : false

function holds<T extends true>(): T | undefined {
  return undefined
}
function fails<T extends false>(): T | undefined {
  return undefined
}

interface Point {
  readonly x: number
}
declare const points: Codec<Point>
declare const dates: Codec<Date>

/** Never called: only its types matter. */
async function uses(): Promise<void> {
  const db = await open('./data')
  holds<Equal<Awaited<ReturnType<typeof db.get>>, string | undefined>>()
  holds<Extends<typeof db, AtomicStore<string, string>>>()
  await db.batch([{ type: 'put', key: 'a', value: '1' }])
  db.snapshot().close()
  holds<Equal<Awaited<ReturnType<typeof db.getStream>>, ReadableStream<Uint8Array> | undefined>>()
  await db.putStream('a', [new Uint8Array(1)], { ifAbsent: true })
  await db.putStream('a', (await db.snapshot().getStream('a'))!)
  // @ts-expect-error a source gives bytes, whatever the codec
  await db.putStream('a', ['1'])
  // @ts-expect-error one array of bytes is no iterable of them
  await db.putStream('a', new Uint8Array(1))
  await db.put('a', '1', { ttl: 1000, ifAbsent: true })
  await db.putStream('a', [new Uint8Array(1)], { expiresAt: 1 })
  await db.batch([{ type: 'put', key: 'a', value: '1', ttl: 1000 }])
  holds<Equal<Awaited<ReturnType<typeof db.touch>>, number | undefined>>()
  holds<Equal<ReturnType<typeof db.touchSync>, number | undefined>>()
  // @ts-expect-error what is deleted does not expire
  await db.delete('a', { ttl: 1000 })
  // @ts-expect-error what is deleted does not expire
  await db.batch([{ type: 'delete', key: 'a', ttl: 1000 }])
  await db.table('a', { ttl: 1000 }).put('a', '1', { ttl: 'never' })
  await db.load([], { ttl: 1000 })
  await open('./data', { ttl: 1000, values: 'json' })
  // @ts-expect-error a time is a number
  await db.touch('a', { expiresAt: new Date() })
  db.configure({ checkpointBytes: 1, expiryIntervalMs: 1000 })
  // @ts-expect-error an option of the log engine
  db.configure({ segmentBytes: 1 })
  holds<Equal<Awaited<ReturnType<typeof db.first>>, [string, string] | undefined>>()
  db.entries({ prefix: 'a', reverse: true }).seek('a')
  await db.clear({ prefix: 'a', durability: 'os' })
  db.clearSync({ gt: 'a', lte: 'b' })
  // @ts-expect-error keys are strings
  await db.clear({ gte: 1 })
  // @ts-expect-error a range is removed as a whole
  await db.clear({ limit: 1 })
  holds<Extends<typeof db, OrderedStore<string, string>>>()
  const log = await open('./data', { engine: 'log' })
  holds<Extends<typeof log, AtomicStore<string, string>>>()
  log.configure({ compactionThresholdBytes: 1 })
  await log.clear({ durability: 'os' })
  // @ts-expect-error the log engine has no order
  await log.clear({ prefix: 'a' })
  // @ts-expect-error the log engine has no order
  await log.first()
  // @ts-expect-error the log engine has no order
  log.entries({ prefix: 'a' })
  // @ts-expect-error the log engine has no order
  log.entries().seek('a')
  // @ts-expect-error keys are strings
  await db.get(1)
  // @ts-expect-error a delete has no value
  await db.batch([{ type: 'delete', key: 'a', value: '1' }])

  const any = await open('./data', { engine: 'any' })
  holds<Equal<typeof any, Store<string, string>>>()
  // @ts-expect-error not every engine has batches
  await any.batch([])
  // @ts-expect-error not every engine has snapshots
  any.snapshot()

  // Which engine is known when it runs: what all of them have is named, and then has tables, too.
  const engine: 'btree' | 'log' = Date.now() > 0 ? 'btree' : 'log'
  const either: AtomicStore<string, unknown> = await open('./data', { engine, values: 'json' })
  const ofEither = either.table('t', { keys: 'tuple' })
  holds<Equal<typeof ofEither, AtomicTable<Tuple, string>>>()
  either.watch({ prefix: 'a' }).close()

  const users = db.table('users', { keys: 'tuple', values: 'json' })
  holds<Equal<typeof users, OrderedTable<Tuple, unknown>>>()
  holds<Equal<ReturnType<typeof log.table>, AtomicTable<unknown, unknown>>>()
  const plain = log.table('plain')
  holds<Equal<typeof plain, AtomicTable<string, string>>>()
  const any1 = any.table('t', { values: points })
  holds<Equal<typeof any1, Table<string, Point>>>()
  const both = db.table('both', { keys: dates, values: points })
  holds<Equal<typeof both, OrderedTable<Date, Point>>>()
  const byDate = db.table('dates', { keys: dates })
  holds<Equal<Awaited<ReturnType<typeof byDate.first>>, [Date, string] | undefined>>()
  await db.batch([
    { type: 'put', table: users, key: ['a'], value: 1 },
    { type: 'delete', table: both, key: new Date() },
    { type: 'put', table: db, key: 'a', value: 'b' },
  ])
  for await (const change of db.watch({ prefix: 'a', since: 1, bufferBytes: 1024 })) {
    holds<Equal<typeof change, Change<string, string>>>()
    // @ts-expect-error a gap has no key
    console.log(change.key)
    // @ts-expect-error nor a version
    console.log(change.version)
    if (change.type === 'put') holds<Equal<typeof change.value, string>>()
    if (change.type === 'gap') holds<Equal<typeof change.to, number>>()
  }
  for await (const change of users.watch({ key: ['de'] })) {
    if (change.type === 'delete') holds<Equal<typeof change.key, Tuple>>()
  }
  // What is told is chosen by keys, which needs no order.
  log.watch({ prefix: 'a' }).close()
  // @ts-expect-error keys are strings
  db.watch({ key: 1 })
  // @ts-expect-error not every engine can be watched
  any.watch()
  // @ts-expect-error a snapshot does not change
  db.snapshot().watch()

  const view = db.snapshot().table(users)
  holds<Equal<typeof view, OrderedReader<Tuple, unknown>>>()
  holds<Equal<ReturnType<typeof db.tables>[number]['keys'], string>>()
  const moved = await db.transaction(async (tx) => {
    holds<Extends<typeof tx, OrderedTransaction<string, string>>>()
    const mine = tx.table(users)
    holds<Equal<typeof mine, OrderedTransactionTable<Tuple, unknown>>>()
    const byName = tx.table('dates', { keys: dates })
    holds<Equal<typeof byName, OrderedTransactionTable<Date, string>>>()
    await tx.put('a', 'b', { ifAbsent: true, ttl: 1 })
    tx.savepoint().rollback()
    // @ts-expect-error it becomes durable as a whole
    await tx.put('a', 'b', { durability: 'os' })
    // @ts-expect-error keys are strings
    await tx.get(1)
    // @ts-expect-error a stream is a write by itself
    await tx.putStream('a', [])
    return tx.first({ prefix: 'a' })
  })
  holds<Equal<typeof moved, [string, string] | undefined>>()
  const counted = log.transactionSync((tx) => {
    holds<Equal<typeof tx, Transaction<string, string>>>()
    // @ts-expect-error the log engine has no order
    tx.firstSync()
    return tx.countSync()
  })
  holds<Equal<typeof counted, number>>()
  // @ts-expect-error not every engine has transactions
  await any.transaction(() => 1)
  holds<Equal<Awaited<ReturnType<typeof any.increment>>, number>>()
  const got = await any1.getOrPut('a', async () => ({ x: 1 }))
  holds<Equal<typeof got, Point>>()
  // @ts-expect-error a change gives a value
  any1.updateSync('a', () => 1)
  // @ts-expect-error tuple is for keys
  db.table('t', { values: 'tuple' })
  // @ts-expect-error the table of a log has no order
  await plain.first()
  // @ts-expect-error not every engine has batches
  await any1.batch([])
  // @ts-expect-error a table has no lifetime
  await users.close()
  // @ts-expect-error a table has no tables
  users.table('t')
  // @ts-expect-error a name is needed
  db.table()
  // @ts-expect-error a handle, not a name
  await db.batch([{ type: 'put', table: 'users', key: 'a', value: 'b' }])

  const named = openSync('./data', { keys: 'tuple', values: 'json' })
  holds<Extends<typeof named, AtomicStore<Tuple, unknown>>>()
  const bytes = openSync('./data', { engine: 'log', keys: 'bytes', values: 'bytes' })
  holds<Equal<ReturnType<typeof bytes.getSync>, Uint8Array | undefined>>()
  const ownKeys = openSync('./data', { keys: dates })
  holds<Extends<typeof ownKeys, AtomicStore<Date, string>>>()
  const ownValues = await open('./data', { engine: 'any', keys: 'bytes', values: points })
  holds<Equal<typeof ownValues, Store<Uint8Array, Point>>>()
  const own = await open('./data', { keys: dates, values: points, pageBytes: 4096 })
  holds<Extends<typeof own, OrderedStore<Date, Point>>>()
  // @ts-expect-error keys are dates
  own.getSync('2020-01-01')

  const report = await any.backup('./copy', {
    signal: new AbortController().signal,
    progress: (done, total) => done / total,
  })
  holds<Equal<typeof report, BackupReport>>()
  holds<Equal<ReturnType<typeof db.backupSync>, BackupReport>>()
  // @ts-expect-error a path is needed
  await any.backup()
  // @ts-expect-error no such option
  await any.backup('./copy', { overwrite: true })
  // @ts-expect-error a snapshot has no backup
  await db.snapshot().backup('./copy')
  holds<Equal<Awaited<ReturnType<typeof destroy>>['kept'], readonly string[]>>()
  holds<Equal<ReturnType<typeof destroySync>, DestroyReport>>()
  // @ts-expect-error a path is needed
  await destroy()
  // @ts-expect-error no such option
  destroySync('./data', { engine: 'log' })

  // @ts-expect-error no such engine
  await open('./data', { engine: 'logs' })
  // @ts-expect-error no such option
  await open('./data', { cacheSize: 1 })
  // @ts-expect-error a property of the store
  db.configure({ pageBytes: 4096 })
  // @ts-expect-error not of `any`
  await open('./data', { engine: 'any', segmentBytes: 1 })
  // @ts-expect-error no such durability
  await open('./data', { durability: 'memory' })
  // @ts-expect-error json is for values
  await open('./data', { keys: 'json' })
  // @ts-expect-error tuple is for keys
  openSync('./data', { values: 'tuple' })
  // @ts-expect-error a path is needed
  await open()

  const key = new Uint8Array(32)
  const passphrase = 'words'
  const sealed = await open('./data', { compression: 'lz4', encryption: { key } })
  holds<Extends<typeof sealed, AtomicStore<string, string>>>()
  openSync('./data', {
    encryption: { passphrase, cipher: 'aes-128-gcm' },
    engine: 'any',
  }).closeSync()
  const { compression, cipher } = await describe('./data')
  holds<Equal<typeof compression, 'none' | 'lz4' | 'deflate' | 'zstd'>>()
  holds<Equal<typeof cipher, 'aes-128-gcm' | 'aes-256-gcm' | undefined>>()
  await rekey('./data', { encryption: { key }, to: { passphrase } })
  // @ts-expect-error no such compression
  await open('./data', { compression: 'gzip' })
  // @ts-expect-error one secret
  await open('./data', { encryption: { key, passphrase } })
  // @ts-expect-error a secret is needed
  await open('./data', { encryption: { cipher: 'aes-256-gcm' } })
  // @ts-expect-error keys are bytes
  await open('./data', { encryption: { key: 'words' } })
  // @ts-expect-error no such cipher
  await open('./data', { encryption: { key, cipher: 'aes-256-cbc' } })
  // @ts-expect-error the new secret is missing
  rekeySync('./data', { encryption: { key } })
}

/** Which store type goes with which `supports`. */
type StoreFor<K, V> = {
  plain: Store<K, V>
  atomic: AtomicStore<K, V>
  ordered: OrderedStore<K, V>
}
const stores: { readonly [E in EngineName]: keyof StoreFor<unknown, unknown> } = {
  btree: 'ordered',
  log: 'atomic',
  any: 'plain',
}

test('the types hold', () => {
  assert.equal(typeof uses, 'function')
  holds<Extends<EngineMap<string, Point>['btree']['store'], StoreFor<string, Point>['ordered']>>()
  holds<Extends<EngineMap<string, Point>['log']['store'], StoreFor<string, Point>['atomic']>>()
  fails<Extends<EngineMap<string, Point>['log']['store'], StoreFor<string, Point>['ordered']>>()
  fails<Extends<EngineMap<string, Point>['any']['store'], StoreFor<string, Point>['atomic']>>()
  holds<Extends<OrderedStore<string, Point>, AtomicStore<string, Point>>>()
  holds<Extends<OrderedTable<string, Point>, OrderedReader<string, Point>>>()
  holds<Extends<AtomicTable<string, Point>, Table<string, Point>>>()
  holds<Extends<Snapshot<string, Point>, Reader<string, Point>>>()
})

test('the store type of each engine is what the engine supports', () => {
  assert.deepEqual(Object.keys(stores).sort(), [...Object.keys(engines), 'any'].sort())
  for (const [name, { supports }] of Object.entries(engines)) {
    const atomic = supports.atomicBatch && supports.snapshots && supports.watch
    const expected = supports.order ? 'ordered' : atomic ? 'atomic' : 'plain'
    assert.equal(stores[name as EngineName], expected, name)
  }
})

test('follow', () => {
  const plain = () => follow('./none')
  holds<Equal<ReturnType<typeof plain>, Promise<Follower<string, string>>>>()
  const json = () => follow('./none', { keys: 'tuple', values: 'json' })
  holds<Equal<ReturnType<typeof json>, Promise<Follower<Tuple, unknown>>>>()
  const table = (follower: Follower<string, string>) => follower.table('t', { values: 'bytes' })
  const next = (follower: Follower<string, string>) => table(follower).watch().next()
  type Next = Awaited<ReturnType<typeof next>>
  holds<Equal<Next, IteratorResult<Change<string, Uint8Array>, undefined>>>()
  // @ts-expect-error what is followed is not written
  assert.throws(() => table(undefined as never).put)
})
