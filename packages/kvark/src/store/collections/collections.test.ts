import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../../bytes/random.ts'
import { simulatedEnvironment } from '../../environment/simulated.ts'
import { collect, rejects, throws } from '../../testing/contract/check.ts'
import { SimulatedFiles } from '../../vfs/simulated.ts'
import type { Codec } from '../codec.ts'
import { openSync } from '../open.ts'
import type { AtomicStore } from '../types.ts'
import { counters } from './counters.ts'
import { intSets } from './int-sets.ts'
import { list } from './list.ts'
import { type Queue, queue, type Taken } from './queue.ts'
import { set } from './set.ts'

/** A store whose clock the test moves. */
class World {
  readonly files = new SimulatedFiles()
  readonly environment = simulatedEnvironment({ seed: 1, files: this.files })
  readonly engine: 'btree' | 'log'
  db: AtomicStore

  constructor(engine: 'btree' | 'log') {
    this.engine = engine
    this.db = this.#open()
  }

  #open(): AtomicStore {
    const { engine, environment } = this
    return openSync('/store', { engine, environment, durability: 'os', cacheBytes: 2 ** 20 })
  }

  again(): AtomicStore {
    this.db.closeSync()
    this.db = this.#open()
    return this.db
  }
}

test('a call that waits decides again where a synchronous one has changed the collection meanwhile', async () => {
  // So many turns of the microtasks later: there is one between any two of its reads.
  for (let later = 0; later < 24; later++) {
    const meanwhile = async (act: () => unknown): Promise<void> => {
      for (let i = 0; i < later; i++) await Promise.resolve()
      act()
    }
    const db = openSync(':memory:')
    const recent = list(db, 'recent')
    for (const key of 'abc') recent.setSync(key, key)
    const second = recent.at(1)
    await meanwhile(() => recent.deleteSync('b'))
    assert.match((await second)![0], /[bc]/)
    const first = recent.shift()
    await meanwhile(() => recent.clearSync())
    assert.match((await first)?.[0] ?? 'none', /a|none/)
    const ids = intSets(db, 'ids')
    ids.addManySync('x', [1, 2])
    const removed = ids.delete('x', 1)
    await meanwhile(() => ids.clearSync('x'))
    assert.equal(typeof (await removed), 'boolean')
    db.closeSync()
  }
})

test('what is pushed is taken as it comes, also from memory that is used again', () => {
  const db = openSync(':memory:')
  const jobs = queue(db, 'jobs', { values: 'bytes' })
  const memory = new Uint8Array(1)
  jobs.pushManySync(
    (function* () {
      for (memory[0] = 1; memory[0] < 3; memory[0]++) yield memory
    })(),
  )
  assert.deepEqual([jobs.popSync()?.[0], jobs.popSync()?.[0]], [1, 2])
  db.closeSync()
})

for (const engine of ['btree', 'log'] as const) {
  test(`a queue gives items in their order, from both ends, ${engine}`, async () => {
    const world = new World(engine)
    const jobs = queue(world.db, 'jobs', { values: 'json' })
    assert.equal(await jobs.pop(), undefined)
    assert.equal(jobs.countSync(), 0)
    await jobs.push({ n: 1 })
    jobs.pushSync({ n: 2 })
    await jobs.pushMany([{ n: 3 }, { n: 4 }])
    await jobs.pushFront({ n: 0 })
    assert.equal(await jobs.count(), 5)
    assert.deepEqual(await jobs.peek(), { n: 0 })
    assert.deepEqual(jobs.peekBackSync(), { n: 4 })
    assert.deepEqual(await jobs.popBack(), { n: 4 })
    assert.deepEqual(jobs.popSync(), { n: 0 })
    const again = queue(world.again(), 'jobs', { values: 'json' })
    assert.deepEqual(
      [await again.pop(), await again.pop(), await again.pop()].map((x) => (x as { n: number }).n),
      [1, 2, 3],
    )
    assert.deepEqual(
      [again.popSync(), again.popBackSync(), await again.count()],
      [undefined, undefined, 0],
    )
    again.pushManySync([1, 2, 3])
    await again.clear()
    assert.deepEqual([again.countSync(), again.peekSync()], [0, undefined])
    again.pushFrontSync('x')
    assert.equal(again.popBackSync(), 'x')
    world.db.closeSync()
  })

  test(`an item that was taken is nobody else's, until its time is over, ${engine}`, async () => {
    const world = new World(engine)
    const jobs = queue(world.db, 'jobs', { leaseMs: 1000 })
    await jobs.pushMany(['a', 'b', 'c'])
    const a = (await jobs.take())!
    // Another handle of the same queue knows of it.
    const other = queue(world.db, 'jobs')
    const b = other.takeSync({ leaseMs: 5000 })!
    assert.deepEqual(
      [a.value, b.value, other.peekSync(), jobs.peekBackSync()],
      ['a', 'b', 'c', 'c'],
    )
    assert.equal(jobs.popSync(), 'c')
    assert.deepEqual(
      [await jobs.take(), await jobs.pop(), await jobs.count()],
      [undefined, undefined, 2],
    )
    world.environment.advance(999)
    assert.equal(await jobs.take(), undefined)
    world.environment.advance(1)
    const late = (await jobs.take())!
    assert.equal(late.value, 'a')
    assert.equal(a.renew(), false)
    a.release()
    assert.equal(await jobs.take(), undefined, 'it is no longer his to give back')
    assert.equal(late.renew(10_000), true)
    world.environment.advance(5000)
    assert.equal((await jobs.take())?.value, 'b', 'renewed is not over')
    assert.equal(await late.ack(), true)
    assert.equal(await a.ack(), false)
    assert.equal(b.ackSync(), true, 'done is done, though his time was over')
    assert.equal(jobs.countSync(), 0)
    await jobs.push('d')
    const d = jobs.takeSync()!
    d.release()
    d.release()
    assert.equal(jobs.takeSync()!.value, 'd')
    await jobs.push('e')
    // Opening it again forgets who has what.
    const again = queue(world.again(), 'jobs')
    assert.deepEqual(
      [again.takeSync()?.value, again.takeSync()?.value, again.takeSync()],
      ['d', 'e', undefined],
    )
    world.db.closeSync()
  })

  test(`who waits for an item gets it when it comes, ${engine}`, async () => {
    const { db, environment } = new World(engine)
    const jobs = queue(db, 'jobs', { leaseMs: 1000 })
    const first = jobs.take({ waitMs: Number.POSITIVE_INFINITY })
    const second = jobs.take({ waitMs: 100_000 })
    const third = jobs.take({ waitMs: 500 })
    await jobs.push('a')
    assert.equal((await first)?.value, 'a')
    environment.advance(500)
    assert.equal(await third, undefined)
    environment.advance(500)
    const again = (await second)!
    assert.equal(again.value, 'a', 'the time of the first is over')
    const fourth = jobs.take({ waitMs: 100 })
    await Promise.resolve()
    again.release()
    assert.equal((await fourth)?.value, 'a')
    const controller = new AbortController()
    const reason = new Error('enough')
    const fifth = jobs.take({ waitMs: 100, signal: controller.signal })
    controller.abort(reason)
    await assert.rejects(fifth, reason)
    const closed = rejects('CLOSED', () => jobs.take({ waitMs: 100 }))
    await new Promise((resolve) => setImmediate(resolve))
    db.closeSync()
    await closed
    await rejects('CLOSED', () => jobs.push('b'))
    throws('CLOSED', () => jobs.takeSync())
  })

  test(`who pushes without waiting keeps the order, whatever comes in between, ${engine}`, async () => {
    const { db } = new World(engine)
    const jobs = queue(db, 'jobs')
    const items = Array.from({ length: 60 }, (_, i) => `${i}`)
    const pushes = items.map((item) => jobs.push(item))
    // Synchronous calls between any two steps of theirs.
    for (let i = 0; i < 500; i++) {
      jobs.takeSync()?.release()
      if (i % 20 === 0) jobs.pushFrontSync('front')
      await Promise.resolve()
    }
    await Promise.all(pushes)
    const left: string[] = []
    for (let item = jobs.popSync(); item !== undefined; item = jobs.popSync()) left.push(item)
    assert.deepEqual(left.slice(25), items)
    db.closeSync()
  })

  test(`promised calls come in the order in which they were made, those that read, too, ${engine}`, async () => {
    const { db } = new World(engine)
    const recent = list(db, 'recent')
    const first = recent.set('a', '1')
    const seen = [recent.get('a'), recent.has('a'), recent.count(), recent.clear(), recent.count()]
    assert.deepEqual(await Promise.all([first, ...seen]), [true, '1', true, 1, undefined, 0])
    const tags = set(db, 'tags')
    const changes = [
      tags.add('x'),
      tags.clear(),
      tags.delete('z'),
      tags.addMany(['z']),
      tags.count(),
    ]
    assert.deepEqual(await Promise.all(changes), [true, undefined, false, undefined, 1])
    assert.deepEqual(await Promise.all([tags.delete('z'), tags.has('z')]), [true, false])
    const visits = counters(db, 'visits')
    const adds = [visits.add('/'), visits.get('/'), visits.clear(), visits.get('/')]
    assert.deepEqual(await Promise.all(adds), [1, 1, undefined, 0])
    const pages = intSets(db, 'pages')
    assert.deepEqual(await Promise.all([pages.add('k', 5), pages.count('k')]), [true, 1])
    const jobs = queue(db, 'jobs')
    assert.deepEqual(await Promise.all([jobs.push('a'), jobs.count()]), [undefined, 1])
    db.closeSync()
  })

  test(`what is pushed, or set, is what it was then, ${engine}`, async () => {
    const { db } = new World(engine)
    const jobs = queue(db, 'jobs', { values: 'json' })
    const recent = list(db, 'recent', { values: 'bytes' })
    const job = { n: 0 }
    const bytes = new Uint8Array(1)
    const calls: Promise<unknown>[] = []
    for (let n = 1; n <= 3; n++) {
      job.n = n
      bytes[0] = n
      calls.push(jobs.push(job), jobs.pushFront(job), recent.set(`${n}`, bytes))
    }
    await Promise.all(calls)
    const items = Array.from({ length: 6 }, () => (jobs.popSync() as typeof job).n)
    assert.deepEqual(items, [3, 2, 1, 1, 2, 3])
    assert.deepEqual(
      Array.from(recent.entriesSync(), ([, [n]]) => n),
      [1, 2, 3],
    )
    db.closeSync()
  })

  test(`an item that is pushed to the place of one that was taken and acknowledged is free, ${engine}`, async () => {
    const { db, environment } = new World(engine)
    const jobs = queue(db, 'jobs', { leaseMs: 1000 })
    await jobs.push('a')
    const acknowledged = (await jobs.take())!.ack()
    await jobs.pushFront('b', { durability: 'none' })
    assert.equal(await jobs.pop(), 'b', 'before it is durable that the other one is gone')
    assert.equal(await acknowledged, true)
    await jobs.push('c')
    const late = (await jobs.take())!
    environment.advance(1000)
    const second = (await jobs.take())!
    assert.equal(await late.ack(), true)
    await jobs.pushFront('d')
    assert.equal(await jobs.pop(), 'd', 'while a second one has still to say that he is done')
    assert.deepEqual([second.renew(), await second.ack()], [false, false])
    db.closeSync()
  })

  test(`who waits gets an item as soon as the time is over that somebody has given it last, ${engine}`, async () => {
    const { db, environment } = new World(engine)
    const jobs = queue(db, 'jobs', { leaseMs: 10_000 })
    await jobs.push('a')
    const first = (await jobs.take())!
    const second = jobs.take({ waitMs: Number.POSITIVE_INFINITY })
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(first.renew(100), true)
    await new Promise((resolve) => setImmediate(resolve))
    environment.advance(100)
    const found = await Promise.race([second, new Promise((resolve) => setImmediate(resolve))])
    assert.equal((found as Taken<string> | undefined)?.value, 'a')
    db.closeSync()
  })

  test(`a queue under many at once is an array, ${engine}`, async () => {
    for (let seed = 1; seed <= 3; seed++) await runModel(engine, seed)
  })

  test(`what cannot be is refused, and leaves the queue as it is, ${engine}`, async () => {
    const { db, files } = new World(engine)
    const jobs = queue(db, 'jobs', { values: 'json' })
    await rejects('INVALID_VALUE', () => jobs.push(1n))
    throws('INVALID_VALUE', () => jobs.pushManySync([1, 1n]))
    await rejects('INVALID_ARGUMENT', () => jobs.pop({ durabilty: 'os' } as object))
    await rejects('INVALID_ARGUMENT', () => jobs.take({ leaseMs: -1 }))
    throws('INVALID_ARGUMENT', () => queue(db, 'jobs', { leaseMs: Number.NaN }))
    throws('INVALID_ARGUMENT', () => queue(db, 'jobs', { value: 'json' } as object))
    throws('INVALID_ARGUMENT', () => queue(db, ''))
    assert.equal(jobs.countSync(), 0)
    await jobs.push('a')
    throws('MISMATCH', () => queue(db, 'jobs', { values: 'utf8' }))
    throws('MISMATCH', () => set(db, 'jobs'))
    throws('MISMATCH', () => db.table('jobs'))
    // A write that fails: the store goes back to what the disk has, and the queue with it.
    await db.sync()
    const taken = jobs.takeSync()!
    files.failNext({ call: 'write', path: '.log', error: 'EIO' })
    await rejects('IO', () => jobs.push('b', { durability: 'disk' }))
    await rejects('READ_ONLY', () => taken.ack())
    files.clearFaults()
    await db.resume()
    assert.equal(await jobs.count(), 1)
    assert.equal(await taken.ack(), true)
    db.closeSync()
  })

  test(`what is taken belongs to the table, whatever it is called, ${engine}`, async () => {
    const { db } = new World(engine)
    const jobs = queue(db, 'jobs')
    const unmade = queue(db, 'jobs')
    await jobs.pushMany(['a', 'b'])
    assert.equal((await unmade.take())?.value, 'a')
    await db.renameTable('jobs', 'work')
    const work = queue(db, 'work')
    assert.equal((await work.take())?.value, 'b', 'what was taken is taken under the new name')
    const other = queue(db, 'jobs')
    await other.pushMany(['x', 'y'])
    assert.equal((await other.take())?.value, 'x', 'a new one of the old name knows nothing of it')
    const waiting = work.take({ waitMs: Number.POSITIVE_INFINITY })
    await new Promise((resolve) => setImmediate(resolve))
    await jobs.push('c')
    assert.equal((await waiting)?.value, 'c', 'both handles are of one queue')
    const lost = work.takeSync({ leaseMs: 0 })
    assert.equal(lost, undefined)
    const ended = rejects('NOT_FOUND', () => jobs.take({ waitMs: Number.POSITIVE_INFINITY }))
    await new Promise((resolve) => setImmediate(resolve))
    await db.dropTable('work')
    await ended
    throws('NOT_FOUND', () => work.pushSync('d'))
    const again = queue(db, 'work')
    await again.pushMany(['e', 'f'])
    assert.equal(again.takeSync()?.value, 'e', 'one that is made anew has nothing taken')
    db.closeSync()
  })

  test(`handles of a table that is not there yet do not get in each other's way, ${engine}`, async () => {
    const world = new World(engine)
    queue(world.db, 'old').pushSync('a')
    const db = world.again()
    const tags = list(db, 'jobs')
    assert.equal(await tags.count(), 0)
    const jobs = queue(db, 'jobs')
    assert.equal(await jobs.pop(), undefined, 'a list that was asked for before is none of its own')
    await jobs.push('b')
    assert.equal((await jobs.take())?.value, 'b')
    await rejects('MISMATCH', () => tags.count())
    const old = queue(db, 'old')
    await db.renameTable('old', 'older')
    const next = queue(db, 'old')
    const waiting = next.take({ waitMs: Number.POSITIVE_INFINITY })
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(old.takeSync()?.value, 'a')
    await queue(db, 'old').push('c')
    assert.equal(
      (await waiting)?.value,
      'c',
      'one that had the name before has not taken its place',
    )
    db.closeSync()
  })

  test(`who waits for a table that is not there gets the one that is renamed to it, ${engine}`, async () => {
    const world = new World(engine)
    queue(world.db, 'before').pushSync('a')
    const db = world.again()
    const jobs = queue(db, 'jobs')
    const ending = new AbortController()
    const { signal } = ending
    const first = jobs.take({ waitMs: Number.POSITIVE_INFINITY, signal })
    const second = jobs.take({ waitMs: Number.POSITIVE_INFINITY, signal })
    await new Promise((resolve) => setImmediate(resolve))
    await db.renameTable('before', 'jobs')
    const soon = new Promise((resolve) => setTimeout(resolve, 1000, 'too late').unref())
    assert.equal(await Promise.race([first.then((taken) => taken?.value), soon]), 'a')
    await db.renameTable('jobs', 'after')
    const other = queue(db, 'jobs')
    const third = other.take({ waitMs: Number.POSITIVE_INFINITY, signal })
    await new Promise((resolve) => setImmediate(resolve))
    await jobs.push('b')
    assert.equal((await second)?.value, 'b', 'it stays with the table')
    await db.renameTable('after', 'jobs')
    await queue(db, 'jobs').push('c')
    assert.equal((await third)?.value, 'c')
    const wrong = queue(db, 'recent').take({ waitMs: Number.POSITIVE_INFINITY, signal })
    await new Promise((resolve) => setImmediate(resolve))
    await list(db, 'recent').set('d', 'd')
    setTimeout(() => ending.abort(), 1000).unref()
    await rejects('MISMATCH', () => wrong)
    ending.abort()
    db.closeSync()
  })

  test(`collections refuse what is no store, no list of values and no option, ${engine}`, async () => {
    const { db } = new World(engine)
    const stores = [undefined, null, 1, 'db', {}, db.table('t'), { table: () => ({}) }] as never[]
    for (const make of [queue, list, set, intSets, counters] as ((
      ...given: never[]
    ) => unknown)[]) {
      for (const none of stores) throws('INVALID_ARGUMENT', () => make(none, 'a' as never))
      throws('INVALID_ARGUMENT', () => db.transactionSync((tx) => make(tx as never, 'a' as never)))
    }
    const jobs = queue(db, 'jobs', { values: 'json' })
    const members = set(db, 'members')
    const pages = intSets(db, 'pages')
    for (const none of [undefined, null, 1, 'abc', {}, () => []] as never[]) {
      await rejects('INVALID_ARGUMENT', () => jobs.pushMany(none))
      throws('INVALID_ARGUMENT', () => jobs.pushManySync(none))
      await rejects('INVALID_ARGUMENT', () => members.addMany(none))
      throws('INVALID_ARGUMENT', () => members.addManySync(none))
      await rejects('INVALID_ARGUMENT', () => pages.addMany('a', none))
      throws('INVALID_ARGUMENT', () => pages.addManySync('a', none))
    }
    for (const signal of [null, 1, {}] as never[]) {
      await rejects('INVALID_ARGUMENT', () => jobs.take({ signal }))
    }
    throws('INVALID_ARGUMENT', () => queue(db, 'jobs', { leaseMs: null as never }))
    throws('INVALID_ARGUMENT', () => list(db, 'recent').entriesSync({ limit: 0.5 }).next())
    for (const one of [jobs, members, list(db, 'recent'), counters(db, 'visits')]) {
      await rejects('INVALID_ARGUMENT', () => one.clear({ prefix: 'a' } as never))
      throws('INVALID_ARGUMENT', () => one.clearSync({ prefix: 'a' } as never))
    }
    const { message } = await rejects('INVALID_VALUE', () => jobs.push(() => 1))
    assert.doesNotMatch(message, /queue:/, 'what the codec says comes through')
    assert.deepEqual([db.tables(), db.stats().sequence], [[], 0])
    db.closeSync()
  })

  test(`a list is an array of entries with keys, ${engine}`, async () => {
    for (let seed = 1; seed <= 2; seed++) await runListModel(engine, seed)
  })

  test(`a list refuses what cannot be, ${engine}`, async () => {
    const { db } = new World(engine)
    const recent = list(db, 'recent', { keys: 'tuple', values: 'json' })
    const sets = await Promise.all([recent.set(['a'], 1), recent.set(['a'], 2), recent.set([], 3)])
    assert.deepEqual([sets, recent.countSync()], [[true, false, true], 2])
    assert.deepEqual(await recent.at(0), [['a'], 2])
    await rejects('INVALID_KEY', () => recent.set('a' as never, 1))
    await rejects('INVALID_VALUE', () => recent.set(['b'], 1n))
    await rejects('INVALID_KEY', () => recent.get('a' as never))
    await rejects('INVALID_ARGUMENT', () => recent.at(0.5))
    throws('INVALID_ARGUMENT', () => recent.entriesSync({ limit: -1 }).next())
    throws('INVALID_ARGUMENT', () => list(db, 'recent', { key: 'utf8' } as object))
    throws('MISMATCH', () => list(db, 'recent'))
    await recent.clear()
    assert.deepEqual(
      [await recent.count(), await recent.pop(), await recent.at(0)],
      [0, undefined, undefined],
    )
    db.closeSync()
  })

  test(`sets of numbers are sets of numbers, ${engine}`, async () => {
    for (let seed = 1; seed <= 2; seed++) await runNumbersModel(engine, seed)
  })

  test(`sets of numbers are compact, and refuse what is no such number, ${engine}`, async () => {
    const { db } = new World(engine)
    const ids = intSets(db, 'ids', { keys: 'tuple' })
    const added = await Promise.all([ids.add(['a'], 7), ids.add(['a'], 7), ids.add(['b'], 7)])
    assert.deepEqual(added, [true, false, true])
    ids.addManySync(
      ['dense'],
      Array.from({ length: 5000 }, (_, i) => 1_000_000 + i),
    )
    let bytes = 0
    for (const [, value] of db.table('ids', asBytes('ids')).entries()) bytes += value.length
    assert.ok(bytes < 5100, `${bytes} bytes`)
    const most = Number.MAX_SAFE_INTEGER
    assert.equal(await ids.addMany(['far'], [most, 0, most, 2 ** 40]), 3)
    assert.deepEqual([...ids.valuesSync(['far'])], [0, 2 ** 40, most])
    for (const wrong of [-1, 0.5, Number.NaN, 2 ** 53, '1', undefined]) {
      await rejects('INVALID_VALUE', () => ids.add(['a'], wrong as never))
      await rejects('INVALID_VALUE', () => ids.addMany(['a'], [1, wrong as never]))
      throws('INVALID_VALUE', () => ids.hasSync(['a'], wrong as never))
    }
    await rejects('INVALID_KEY', () => ids.add('a' as never, 1))
    throws('INVALID_ARGUMENT', () => ids.valuesSync(['a'], { gte: Number.NaN }).next())
    assert.deepEqual([await ids.count(['a']), await ids.clear(['dense'])], [1, 5000])
    throws('MISMATCH', () => intSets(db, 'ids'))
    db.closeSync()
  })

  test(`a set has each element once, ${engine}`, async () => {
    const world = new World(engine)
    const tags = set(world.db, 'tags')
    const added = await Promise.all([tags.add('b'), tags.add('b'), tags.add('a')])
    assert.deepEqual([added, tags.addSync('a')], [[true, false, true], false])
    await tags.addMany(['c', 'b', 'd', 'd'])
    assert.deepEqual((await collect(tags.values())).sort(), ['a', 'b', 'c', 'd'])
    assert.deepEqual(await Promise.all([tags.delete('b'), tags.delete('b')]), [true, false])
    assert.deepEqual(
      [tags.deleteSync('x'), await tags.has('b'), tags.hasSync('a')],
      [false, false, true],
    )
    const again = set(world.again(), 'tags')
    assert.equal(await again.count(), 3)
    await again.clear()
    assert.equal(again.countSync(), 0)
    const pairs = set(world.db, 'pairs', { values: 'tuple' })
    pairs.addManySync([['a', 2], ['a', 10], ['b']])
    assert.equal(pairs.hasSync(['a', 10]), true)
    await rejects('INVALID_KEY', () => set(world.db, 'tags').add(1 as never))
    world.db.closeSync()
  })

  test(`counters lose nothing that was added at once, ${engine}`, async () => {
    const world = new World(engine)
    const visits = counters(world.db, 'visits')
    const sums = await Promise.all(Array.from({ length: 100 }, () => visits.add('a')))
    assert.deepEqual(
      sums,
      Array.from({ length: 100 }, (_, i) => i + 1),
    )
    const mixed = visits.add('a', 5)
    assert.equal(visits.addSync('a', -10), 90)
    assert.equal(await mixed, 95)
    const again = counters(world.again(), 'visits')
    assert.deepEqual([await again.get('a'), again.getSync('b')], [95, 0])
    assert.deepEqual(await collect(again.entries()), [['a', 95]])
    assert.deepEqual([await again.take('a'), again.takeSync('a'), await again.get('a')], [95, 0, 0])
    await rejects('INVALID_VALUE', () => again.add('a', 0.5))
    again.addSync('a', Number.MAX_SAFE_INTEGER)
    throws('INVALID_VALUE', () => again.addSync('a'))
    assert.equal(again.getSync('a'), Number.MAX_SAFE_INTEGER)
    await again.clear()
    assert.equal(again.getSync('a'), 0)
    world.db.closeSync()
  })
}

test('a set with order has ranges', async () => {
  const db = openSync(':memory:')
  const tags = set(db, 'tags')
  tags.addManySync(['c', 'a', 'b', 'd'])
  assert.deepEqual([...tags.values({ gt: 'a', reverse: true })], ['d', 'c', 'b'])
  assert.equal(await tags.count({ lt: 'c' }), 2)
  await db.close()
})

/** Codecs by which the tables of collections are seen as they are stored. */
function asBytes(name: string): {
  readonly keys: Codec<Uint8Array>
  readonly values: Codec<Uint8Array>
} {
  const codec = (of: string): Codec<Uint8Array> => ({
    name: of,
    encode: (bytes) => bytes,
    decode: (bytes) => Uint8Array.from(bytes),
  })
  assert.equal(name, 'ids')
  return { keys: codec('ints:tuple'), values: codec('ints') }
}

async function runNumbersModel(engine: 'btree' | 'log', seed: number): Promise<void> {
  const random = new SeededRandom(seed)
  const world = new World(engine)
  let ids = intSets(world.db, 'ids')
  const models = new Map([
    ['a', new Set<number>()],
    ['b', new Set<number>()],
  ])
  const reach = random.pick([3000, 100_000, 2 ** 50])
  for (let step = 0; step < 60; step++) {
    const [key, model] = random.pick([...models])
    const sync = random.chance(0.5)
    const one = random.chance(0.5) && model.size > 0 ? random.pick([...model]) : random.below(reach)
    switch (random.below(6)) {
      case 0:
      case 1: {
        const most = random.pick([3, 100, 3000])
        const start = random.below(reach)
        const gap = 1 + random.below(3)
        const values = Array.from({ length: random.below(most) }, (_, i) =>
          gap === 3 ? random.below(reach) : Math.min(reach, start + gap * i),
        )
        const before = model.size
        for (const value of values) model.add(value)
        const count = sync ? ids.addManySync(key, values) : await ids.addMany(key, values)
        assert.equal(count, model.size - before)
        break
      }
      case 2:
        assert.equal(sync ? ids.addSync(key, one) : await ids.add(key, one), !model.has(one))
        model.add(one)
        break
      case 3: {
        const some = [one, ...[...model].filter(() => random.chance(0.02))]
        const gone = await Promise.all(some.map((value) => ids.delete(key, value)))
        for (const [i, value] of some.entries()) {
          // `one` may be among the others.
          if (some.indexOf(value) === i) assert.equal(gone[i], model.delete(value))
        }
        break
      }
      case 4:
        if (!random.chance(0.2)) break
        assert.equal(sync ? ids.clearSync(key) : await ids.clear(key), model.size)
        model.clear()
        break
      default:
        ids = intSets(world.again(), 'ids')
    }
    assert.equal(sync ? ids.hasSync(key, one) : await ids.has(key, one), model.has(one))
    assert.equal(sync ? ids.countSync(key) : await ids.count(key), model.size)
    if (step % 10 > 0) continue
    const sorted = [...model].sort((x, y) => x - y)
    assert.deepEqual([...ids.valuesSync(key)], sorted)
    const range = { gte: random.below(reach), lt: random.below(reach) }
    const walked: number[] = []
    for await (const value of ids.values(key, range)) walked.push(value)
    const inside = sorted.filter((value) => value >= range.gte && value < range.lt)
    assert.deepEqual(walked, inside)
  }
  for (const key of models.keys()) ids.clearSync(key)
  assert.equal(world.db.stats().entries, 1, 'nothing is left but the list of tables')
  world.db.closeSync()
}

async function runListModel(engine: 'btree' | 'log', seed: number): Promise<void> {
  const random = new SeededRandom(seed)
  const world = new World(engine)
  let recent = list(world.db, 'recent')
  let model: [string, string][] = []
  const keys = Array.from({ length: 12 }, (_, i) => `key${i}`)
  const without = (key: string): [string, string][] => model.filter(([one]) => one !== key)
  for (let step = 0; step < 200; step++) {
    const key = random.pick(keys)
    const there = model.find(([one]) => one === key)
    const sync = random.chance(0.5)
    switch (random.below(9)) {
      case 0:
      case 1:
      case 2: {
        const value = `${step}`
        const isNew = sync ? recent.setSync(key, value) : await recent.set(key, value)
        assert.equal(isNew, there === undefined)
        if (there) there[1] = value
        else model.push([key, value])
        break
      }
      case 3:
        assert.equal(
          sync ? recent.promoteSync(key) : await recent.promote(key),
          there !== undefined,
        )
        if (there) model = [...without(key), there]
        break
      case 4:
        assert.equal(sync ? recent.demoteSync(key) : await recent.demote(key), there !== undefined)
        if (there) model = [there, ...without(key)]
        break
      case 5:
        assert.equal(sync ? recent.deleteSync(key) : await recent.delete(key), there !== undefined)
        model = without(key)
        break
      case 6:
        assert.deepEqual(sync ? recent.shiftSync() : await recent.shift(), model.shift())
        break
      case 7:
        assert.deepEqual(sync ? recent.popSync() : await recent.pop(), model.pop())
        break
      default:
        if (sync) recent = list(world.again(), 'recent')
    }
    const index = random.below(14) - 7
    assert.deepEqual(sync ? recent.atSync(index) : await recent.at(index), model.at(index))
    assert.equal(
      sync ? recent.getSync(key) : await recent.get(key),
      model.find(([one]) => one === key)?.[1],
    )
    assert.equal(await recent.count(), model.length)
  }
  assert.deepEqual([...recent.entriesSync()], model)
  const walked: [string, string][] = []
  for await (const entry of recent.entries({ reverse: true, limit: 5 })) walked.push(entry)
  assert.deepEqual(walked, model.toReversed().slice(0, 5))
  // The ends, and the list of tables.
  const { entries } = world.db.stats()
  assert.equal(entries, 2 * model.length + 2, 'nothing is left of what was removed')
  world.db.closeSync()
}

/** Calls one after the other and several at once, against an array; one item is in the hand of somebody now and then. */
async function runModel(engine: 'btree' | 'log', seed: number): Promise<void> {
  const random = new SeededRandom(seed)
  const world = new World(engine)
  let jobs: Queue<string> = queue(world.db, 'jobs')
  let model: string[] = []
  let hands: Taken<string>[] = []
  let next = 0
  const free = (): string[] => model.filter((item) => !hands.some(({ value }) => value === item))
  const remove = (item: string | undefined): void => {
    model = model.filter((one) => one !== item)
  }
  for (let step = 0; step < 200; step++) {
    const item = `${next++}`.padEnd(random.below(40), '.')
    switch (random.below(11)) {
      case 0:
      case 1: {
        const items = [item, ...Array.from({ length: random.below(4) }, () => `${next++}`)]
        // Several who do not wait for each other come in the order in which they came.
        const pushed = items.map((one, i) => (i % 2 === 0 ? jobs.push(one) : jobs.pushMany([one])))
        await Promise.all(pushed)
        model.push(...items)
        break
      }
      case 2:
        jobs.pushFrontSync(item)
        model.unshift(item)
        break
      case 3: {
        const [first, second] = free()
        const popped = await Promise.all([jobs.pop(), jobs.pop()])
        assert.deepEqual(popped, [first, second])
        for (const one of popped) remove(one)
        break
      }
      case 4: {
        const last = free().at(-1)
        assert.equal(random.chance(0.5) ? jobs.popBackSync() : await jobs.popBack(), last)
        remove(last)
        break
      }
      case 5:
      case 6: {
        const taken = random.chance(0.5) ? jobs.takeSync() : await jobs.take()
        assert.equal(taken?.value, free()[0])
        if (taken !== undefined) hands.push(taken)
        break
      }
      case 7:
      case 8: {
        const [done] = hands.splice(random.below(hands.length + 1), 1)
        if (done === undefined) break
        assert.equal(random.chance(0.5) ? done.ackSync() : await done.ack(), true)
        remove(done.value)
        break
      }
      case 9: {
        const [back] = hands.splice(random.below(hands.length + 1), 1)
        back?.release()
        break
      }
      default:
        if (random.chance(0.3)) {
          jobs = queue(world.again(), 'jobs')
          hands = []
        }
        assert.equal(jobs.peekSync(), free()[0])
        assert.equal(await jobs.peekBack(), free().at(-1))
    }
    assert.equal(jobs.countSync(), model.length, `seed ${seed}, step ${step}`)
  }
  hands = []
  jobs = queue(world.again(), 'jobs')
  const rest: (string | undefined)[] = []
  for (let item = jobs.popSync(); item !== undefined; item = jobs.popSync()) rest.push(item)
  assert.deepEqual(rest, model)
  world.db.closeSync()
}
