/** What the contract suite cannot see: what is let go of, who waits for whom, and how long the event loop is held. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Engine, EngineModule } from '../engine/engine.ts'
import type { Environment } from '../environment/environment.ts'
import { nodeEnvironment } from '../environment/node.ts'
import { Effect } from '../environment/routine.ts'
import { referenceModule } from '../testing/reference-engine.ts'
import { memoryFiles } from '../vfs/memory.ts'
import { openWith } from './opening.ts'
import type { OrderedStore } from './types.ts'

type Members = { readonly [M in keyof Engine]?: Engine[M] | undefined }

/** Overrides members of the engine that a module opens. */
function altered(alter: (engine: Engine) => Members): EngineModule {
  return {
    ...referenceModule,
    *open(context) {
      const engine = yield* referenceModule.open(context)
      const members = alter(engine)
      return new Proxy(engine, {
        get(target, name: keyof Engine) {
          if (Object.hasOwn(members, name)) return members[name]
          const member: unknown = target[name]
          return typeof member === 'function' ? member.bind(target) : member
        },
      })
    },
  }
}

function openStore<K = string, V = string>(
  module: EngineModule = referenceModule,
  options: { environment?: Environment; keys?: unknown; values?: unknown } = {},
): OrderedStore<K, V> {
  const environment = nodeEnvironment(memoryFiles())
  const opening = openWith({ reference: module }, '/store', {
    engine: 'reference',
    durability: 'none',
    environment,
    ...options,
  })
  return opening.sync() as unknown as OrderedStore<K, V>
}

async function collectGarbage(): Promise<void> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let i = 0; i < 10; i++) {
    collect()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

test('a forgotten cursor, snapshot, stream or watch is released, and the user is told', async () => {
  const warnings: string[] = []
  const environment: Environment = {
    ...nodeEnvironment(memoryFiles()),
    warn: (message) => warnings.push(message),
  }
  const db = openStore(referenceModule, { environment })
  db.putSync('a', '1')
  const streams: Promise<void>[] = []
  const forget = (): void => {
    db.entries().nextSync()
    db.snapshot().getSync('a')
    streams.push(db.getStream('a').then(() => {}))
    db.watch()
    db.watch().close()
    db.watch({ signal: AbortSignal.abort() })
    db.entries().close()
    db.snapshot().close()
    Array.from(db.keys())
  }
  forget()
  const held = db.watch().next()
  await Promise.all(streams)
  assert.equal(db.stats().snapshots, 3)
  await collectGarbage()
  assert.equal(db.stats().snapshots, 0)
  assert.equal(warnings.length, 4)
  assert.match(warnings.join('\n'), /A watch of the store \/store was forgotten/)
  assert.match(warnings.join('\n'), /A cursor of the store \/store was forgotten/)
  assert.match(warnings.join('\n'), /A snapshot of the store \/store was forgotten/)
  assert.match(warnings.join('\n'), /The stream of a value of the store \/store was forgotten/)
  db.putSync('b', '1', { durability: 'disk' })
  assert.equal((await held).value?.type, 'put', 'somebody waits for it')
  db.closeSync()
})

test('closing lets go of what is still held, and every holder is CLOSED', async () => {
  let held = 0
  const db = openStore(
    altered((engine) => ({
      snapshot: () => {
        held++
        const snapshot = engine.snapshot!()
        const { sequence, clock } = snapshot
        return Object.assign(Object.create(snapshot), {
          sequence,
          clock,
          release: () => {
            held--
            snapshot.release()
          },
        })
      },
    })),
  )
  db.putSync('a', '1')
  const cursor = db.entries()
  const snapshot = db.snapshot()
  assert.equal(held, 2)
  await db.close()
  assert.equal(held, 0)
  assert.throws(() => cursor.nextSync(), { code: 'CLOSED' })
  await assert.rejects(cursor.nextMany(2), { code: 'CLOSED' })
  assert.throws(() => snapshot.getSync('a'), { code: 'CLOSED' })
  cursor.close()
  snapshot.close()
  assert.equal(held, 0)
})

test('walking in memory does not hold the event loop', async () => {
  const db = openStore<string, unknown>(referenceModule, { values: 'json' })
  const value = JSON.stringify(Array.from({ length: 50 }, (_, i) => ({ i })))
  for (let i = 0; i < 4000; i++) db.putSync(`key${i}`, value)
  let beats = 0
  let beating = true
  const beat = (): void => {
    beats++
    if (beating) setImmediate(beat)
  }
  const walks: (() => Promise<unknown>)[] = [
    async () => {
      for await (const entry of db.entries()) JSON.parse(entry[1] as string)
    },
    async () => await db.entries().nextMany(4000),
    async () => await db.getMany(Array.from({ length: 20_000 }, (_, i) => `key${i % 4000}`)),
  ]
  for (const walk of walks) {
    beats = 0
    beating = true
    setImmediate(beat)
    await walk()
    beating = false
    assert.ok(beats > 1, walk.toString())
    await new Promise((resolve) => setImmediate(resolve))
  }
  await db.close()
})

test('what close() waits for it waits for; closeSync() cuts it off', async () => {
  for (const synchronous of [false, true]) {
    let load: (() => void) | undefined
    const db = openStore(
      altered((engine) => ({
        *inspect() {
          yield* new Effect(
            () => {},
            () => new Promise<void>((resolve) => (load = resolve)),
          )
          return yield* engine.inspect(undefined, undefined)
        },
      })),
    )
    const job = db.inspect()
    job.catch(() => {})
    let closed = false
    if (synchronous) {
      db.closeSync()
      load!()
      await assert.rejects(job, { code: 'CLOSED' })
      continue
    }
    const closing = db.close().then(() => {
      closed = true
    })
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(closed, false)
    load!()
    await job
    await closing
    assert.equal(closed, true)
  }
})

test('an opening that fails behind the engine closes that, and lets go of the lock', async () => {
  for (const how of ['sync', 'async'] as const) {
    const environment = nodeEnvironment(memoryFiles())
    const failure = new RangeError('Array buffer allocation failed')
    let closed = 0
    const module = altered((engine) => ({
      find() {
        throw failure
      },
      *close() {
        closed++
        yield* engine.close()
        throw new Error('says less')
      },
    }))
    const opening = openWith({ reference: module }, '/store', { engine: 'reference', environment })
    await assert.rejects(async () => {
      await opening[how]()
    }, failure)
    assert.equal(closed, 1)
    openStore(referenceModule, { environment }).closeSync()
  }
})

test('closing ends long jobs', async () => {
  const db = openStore(
    altered((engine) => ({
      *compact(_progress, signal) {
        while (!signal?.aborted) {
          yield* new Effect(
            () => {},
            () => new Promise<void>((resolve) => setImmediate(resolve)),
          )
        }
        assert.equal(engine.failure, undefined)
        throw signal.reason
      },
    })),
  )
  const job = db.compact()
  await Promise.all([assert.rejects(job, { code: 'CLOSED' }), db.close()])
})

test('what the engine lacks is UNSUPPORTED, and the engines that have it are named', async () => {
  const supports = {
    ...referenceModule.supports,
    order: false,
    snapshots: false,
    atomicBatch: false,
  }
  const plain: EngineModule = {
    ...altered(() => ({ name: 'plain', supports, snapshot: undefined })),
    name: 'plain',
    supports,
  }
  const environment = nodeEnvironment(memoryFiles())
  const db = openWith({ plain, reference: referenceModule }, '/store', {
    engine: 'plain',
    environment,
  }).sync()
  const missing = { code: 'UNSUPPORTED', engines: ['reference'] }
  await assert.rejects(db.first(), missing)
  assert.throws(() => db.lastSync(), missing)
  await assert.rejects(db.batch([]), missing)
  assert.throws(() => db.batchSync([]), missing)
  assert.throws(() => db.snapshot(), missing)
  assert.throws(() => db.entries({ prefix: 'a' }), missing)
  assert.throws(() => db.entries().seek('a'), missing)
  await assert.rejects(db.count({ reverse: true }), missing)
  for (const range of [{ gt: 'a' }, { gte: 'a' }, { lt: 'a' }, { lte: 'a' }, { prefix: 'a' }]) {
    await assert.rejects(db.clear(range), missing)
    assert.throws(() => db.clearSync({ ...range, durability: 'os' }), missing)
  }
  db.putSync('a', '1')
  db.clearSync({ durability: 'none' })
  assert.equal(db.countSync(), 0)
  assert.throws(() => db.keys({ limt: 1 } as object), /did you mean 'limit'/)
  await db.close()
  const alone = openWith({ plain }, '/other', { engine: 'plain', environment }).sync()
  assert.throws(() => alone.snapshot(), /No engine of this version has it/)
  alone.closeSync()
})

test('an error ends a cursor, and it keeps saying so', async () => {
  const bad = { name: 'utf8', encode: (text: string) => Buffer.from(text), decode: failOn('b') }
  const environment = nodeEnvironment(memoryFiles())
  const picky = openStore<string, string>(referenceModule, { environment, values: bad })
  for (const key of ['a', 'b', 'c']) picky.putSync(key, key)
  const cursor = picky.entries()
  assert.deepEqual(cursor.nextSync().value, ['a', 'a'])
  assert.throws(() => cursor.nextSync(), { code: 'DECODE' })
  await assert.rejects(cursor.next(), { code: 'DECODE' })
  await assert.rejects(cursor.nextMany(5), { code: 'DECODE' })
  assert.throws(() => cursor.token, { code: 'DECODE' })
  assert.equal(picky.stats().snapshots, 0)
  picky.closeSync()
})

function failOn(bad: string): (bytes: Uint8Array) => string {
  return (bytes) => {
    const text = Buffer.from(bytes).toString()
    if (text === bad) throw new Error('unreadable')
    return text
  }
}

test('only options that may change while the store is open are changed', () => {
  const rule = { check: (value: unknown) => value === 2, expected: '2', pinned: false, default: 1 }
  const heard: unknown[] = []
  const db = openWith(
    {
      reference: {
        ...altered(() => ({ configure: (options) => heard.push(options) })),
        options: { pace: { ...rule, live: true }, fixed: { ...rule, live: false } },
      },
    },
    '/store',
    { engine: 'reference', environment: nodeEnvironment(memoryFiles()) },
  ).sync()
  db.configure({ pace: 2 })
  assert.throws(() => db.configure({ pace: 3 }), /'pace' must be 2, not 3/)
  assert.throws(() => db.configure({ fixed: 2 }), /no option 'fixed'.*Known: pace/)
  assert.throws(() => db.configure({ toString: 2 }), { code: 'INVALID_ARGUMENT' })
  db.closeSync()
  assert.throws(() => db.configure({ pace: 2 }), { code: 'CLOSED' })
  assert.deepEqual(heard, [{ pace: 2 }])
})
