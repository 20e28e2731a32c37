/**
 * Contract, chapter 18: watch. What is told, in which order, when, and to whom; what those hear who are slow or come back; and that a
 * map that takes in everything told becomes the table.
 */

import assert from 'node:assert/strict'
import { SeededRandom } from '../../bytes/random.ts'
import { SPOOL_BYTES } from '../../engine/spool.ts'
import { nodeEnvironment } from '../../environment/node.ts'
import type { Durability } from '../../storage/durability.ts'
import type { Change, Watch, WatchOptions } from '../../store/change-types.ts'
import type { OrderedTable } from '../../store/types.ts'
import { bytes, content, names, pattern, rejects, text, throws, turn } from './check.ts'
import { FaultyFiles } from './faulty-files.ts'
import type { AnyStore, Case, Chapter } from './place.ts'

const SEEDS = 2
const STEPS = 120

type Table = OrderedTable<string, string>
type Told = Change<string, string>

/** The next changes, in a short form. */
async function take(watch: Watch<string, string>, count: number): Promise<string[]> {
  const told: string[] = []
  while (told.length < count) {
    const { value } = await watch.next()
    told.push(value === undefined ? 'end' : brief(value))
  }
  return told
}

function brief(change: Told): string {
  switch (change.type) {
    case 'put':
      return `${change.version} put ${change.key}=${change.value}${change.last ? '.' : ''}`
    case 'delete':
      return `${change.version} delete ${change.key}${change.last ? '.' : ''}`
    case 'gap':
      return `gap ${change.from}–${change.to}`
    default:
      return `${change.version} ${change.type}${change.last ? '.' : ''}`
  }
}

/** A map that takes in what is told; after a gap, and where it says so, it reads the table. */
class Follower {
  readonly seen: Told[] = []
  map = new Map<string, string>()
  readonly #table: Table

  constructor(table: Table) {
    this.#table = table
  }

  async follow(watch: Watch<string, string>, pause: () => Promise<void>): Promise<void> {
    for await (const change of watch) {
      this.seen.push(change)
      const { map } = this
      if (change.type === 'put') map.set(change.key, change.value)
      else if (change.type === 'delete') map.delete(change.key)
      else if (change.type === 'clear') {
        for (const key of map.keys()) if (change.covers(key)) map.delete(key)
      } else if (change.type === 'gap') {
        this.map = new Map(Object.entries(await content(this.#table)))
      }
      await pause()
    }
  }
}

/** Random writes to the table, and beside it; a third of them in batches. */
async function write(db: AnyStore, table: Table, random: SeededRandom): Promise<void> {
  const durability = (): Durability => random.pick(['none', 'os', 'os', 'disk'])
  const key = (): string => `${random.pick(['a', 'b', 'é'])}${random.below(12)}`
  for (let i = 0; i < STEPS; i++) {
    const options = { durability: durability() }
    const kind = random.below(12)
    const done =
      kind < 5
        ? table.put(key(), `value ${i}`, options)
        : kind < 7
          ? table.delete(key(), options)
          : kind < 8
            ? db.put(key(), 'beside', options)
            : kind < 11
              ? table.batch(
                  [
                    { type: 'put', key: key(), value: `first ${i}` },
                    { type: 'delete', key: key() },
                    { type: 'put', table: db, key: key(), value: 'beside' },
                    { type: 'put', key: key(), value: `last ${i}` },
                  ],
                  options,
                )
              : random.below(6) === 0
                ? table.clear(options)
                : table.put(key(), `at once ${i}`, options)
    if (random.below(4) === 0) await done
    if (random.below(12) === 0) await turn()
  }
}

const cases: readonly Case[] = [
  {
    name: 'puts, deletes and batches from now on, in their order, with their versions; what was not there is not deleted',
    async run(place) {
      const db = await place.open()
      await db.put('before', 'x')
      const start = db.stats().sequence
      const watch = db.watch()
      await db.put('a', '1')
      await db.delete('none')
      db.putSync('b', '2')
      await db.batch([
        { type: 'delete', key: 'none' },
        { type: 'put', key: 'c', value: '3' },
        { type: 'delete', key: 'gone' },
        { type: 'delete', key: 'a' },
      ])
      await db.delete('b')
      const at = (i: number): number => start + i
      assert.deepEqual(await take(watch, 5), [
        `${at(1)} put a=1.`,
        `${at(2)} put b=2.`,
        `${at(3)} put c=3`,
        `${at(4)} delete a.`,
        `${at(5)} delete b.`,
      ])
      assert.equal(watch.version, db.stats().sequence)
      assert.equal((await db.getEntry('c'))!.version, at(3))
      const end = Date.now() + 3_600_000
      await db.put('d', '4', { expiresAt: end })
      const { value } = await watch.next()
      assert.deepEqual(value, {
        type: 'put',
        key: 'd',
        value: '4',
        expiresAt: end,
        version: at(6),
        last: true,
      })
      await db.touch('d')
      assert.deepEqual(await take(watch, 1), [`${at(7)} put d=4.`])
      const asked = watch.next()
      await watch.return()
      assert.deepEqual(await asked, { done: true, value: undefined })
      assert.deepEqual(await watch.next(), { done: true, value: undefined })
    },
  },
  {
    name: 'of a key, a prefix, a range, of one table: nothing else is told, and `last` is the last of these',
    async run(place) {
      const db = await place.open()
      const other = db.table('other')
      const wanted: [WatchOptions<string>, string[]][] = [
        [{ key: 'user:1' }, ['user:1.', 'user:1.']],
        [{ prefix: 'user:' }, ['user:1', 'user:2.', 'user:1.']],
        [{ gt: 'user:1' }, ['user:2', 'user;', 'z.']],
        [{ gte: 'user:1', lt: 'user;' }, ['user:1', 'user:2.', 'user:1.']],
        [{ lte: 'user' }, ['a', 'user.']],
        [{}, ['a', 'user', 'user:1', 'user:2', 'user;', 'z.', 'user:1.']],
      ]
      const watches = wanted.map(([options]) => db.watch(options))
      throws('INVALID_ARGUMENT', () => db.watch({ key: 'a', prefix: 'b' }))
      throws('INVALID_ARGUMENT', () => db.watch({ gt: 'a', gte: 'b' }))
      throws('INVALID_ARGUMENT', () => db.watch({ since: -1 }))
      throws('INVALID_ARGUMENT', () => db.watch({ bufferBytes: 0 }))
      throws('INVALID_ARGUMENT', () => db.watch({ limit: 1 } as object))
      throws('INVALID_ARGUMENT', () => db.watch({ signal: {} as AbortSignal }))
      throws('INVALID_KEY', () => db.watch({ key: 1 as unknown as string }))
      const keys = ['a', 'user', 'user:1', 'user:2', 'user;', 'z']
      const puts = keys.map((key) => ({ type: 'put' as const, key, value: key }))
      await db.batch([...puts, { type: 'put', table: other, key: 'user:3', value: '' }])
      await other.put('user:1', '')
      await db.put('user:1', 'last of all')
      await db.close()
      for (const [i, [, told]] of wanted.entries()) {
        const heard: string[] = []
        for await (const change of watches[i]!) {
          assert.ok(change.type === 'put')
          heard.push(change.key + (change.last ? '.' : ''))
        }
        assert.deepEqual(heard, told)
      }
    },
  },
  {
    name: 'clear, and which keys it covers',
    async run(place) {
      const db = await place.open()
      const table = db.table('t')
      await table.put('x', '')
      const [root, one] = [db.watch(), table.watch({ prefix: 'k' })]
      await db.put('a', '')
      await db.clear()
      await table.clear()
      await table.put('k', 'after')
      const told = [await root.next(), await root.next()].map((step) => step.value!)
      assert.deepEqual(
        told.map((change) => change.type),
        ['put', 'clear'],
      )
      const clear = told[1]!
      assert.ok(clear.type === 'clear' && clear.covers('a') && clear.covers('') && clear.last)
      assert.deepEqual([clear.gte.length, clear.lt], [0, undefined])
      const later = [await one.next(), await one.next()].map((step) => step.value!.type)
      assert.deepEqual(later, ['clear', 'put'])
    },
  },
  {
    name: 'clear of a range is told to whom it concerns',
    needs: ['order'],
    async run(place) {
      const db = await place.open()
      for (const name of names(10)) await db.put(name, '', { durability: 'os' })
      const options = [{}, { key: 'key0004' }, { lt: 'key0003' }, { gte: 'key0005' }]
      const watches = options.map((one) => db.watch(one))
      await db.clear({ gte: 'key0003', lt: 'key0005' })
      await db.put('key0000', '')
      await db.put('key0009', '')
      const first = await Promise.all(watches.map(async (watch) => (await watch.next()).value!))
      assert.deepEqual(
        first.map((change) => change.type),
        ['clear', 'clear', 'put', 'put'],
      )
      const clear = first[0]!
      assert.ok(clear.type === 'clear')
      assert.ok(clear.covers(`key0004${'.'.repeat(4000)}`), 'a key longer than all before')
      const covered = names(10).filter((name) => clear.covers(name))
      assert.deepEqual(covered, ['key0003', 'key0004'])
      assert.deepEqual([text(clear.gte), text(clear.lt!)], ['key0003', 'key0005'])
    },
  },
  {
    name: 'streams say how long they are, loads from where to where',
    async run(place) {
      const db = await place.open()
      const watch = db.watch({ prefix: 'k' })
      await db.putStream('key', [pattern(SPOOL_BYTES, 1), pattern(5, 2)], { ttl: 1e6 })
      await db.putStream('kurz', [bytes('short')])
      const told = [(await watch.next()).value!, (await watch.next()).value!]
      const [long, short] = told
      assert.ok(long?.type === 'putStream' && short?.type === 'put')
      assert.deepEqual([long.key, long.bytes, long.last], ['key', SPOOL_BYTES + 5, true])
      assert.ok(long.expiresAt! > Date.now())
      assert.equal(short.value, 'short')
      if (!place.engine.supports.order) return
      const table = db.table('t')
      const ofTable = table.watch({ gte: 'key0008' })
      const version = await table.load(names(9).map((name) => [name, 'x']))
      await table.put('key0001', '')
      await table.put('key0100', '')
      const { value } = await ofTable.next()
      assert.ok(value?.type === 'load')
      assert.deepEqual(
        [value.firstKey, value.lastKey, value.version, value.last],
        ['key0000', 'key0008', version, true],
      )
      assert.equal((await ofTable.next()).value?.type, 'put')
    },
  },
  {
    name: 'a table: from the put that makes it, through a rename, until it is dropped',
    async run(place) {
      const db = await place.open()
      const watch = db.table('t').watch()
      const other = db.table('other', { values: 'json' })
      await other.put('k', 0)
      await db.table('t').put('k', '1')
      await db.renameTable('t', 'u')
      await db.table('u').put('k', '2')
      await other.put('k', 1)
      await db.dropTable('u')
      await db.table('u').put('k', 'of another table')
      const told: Told[] = []
      for await (const change of watch) told.push(change)
      assert.deepEqual(
        told.map((change) => change.type),
        ['put', 'rename', 'put', 'drop'],
      )
      const rename = told[1]!
      assert.ok(rename.type === 'rename')
      assert.deepEqual([rename.from, rename.to], ['t', 'u'])
      const wrong = db.table('v').watch()
      await db.table('v', { values: 'json' }).put('k', 1)
      await rejects('MISMATCH', () => wrong.next())
    },
  },
  {
    name: 'a table that was not there and comes with a rename: that is told, for it has entries that were never told',
    async run(place) {
      const db = await place.open()
      const before = db.table('before')
      await before.put('k', '1')
      const watch = db.table('t').watch()
      await db.renameTable('before', 't')
      await before.put('l', '2')
      const told = [(await watch.next()).value, (await watch.next()).value]
      const [rename] = told
      assert.ok(rename?.type === 'rename')
      assert.deepEqual([rename.from, rename.to], ['before', 't'])
      assert.equal(told[1]?.type, 'put')
      watch.close()
    },
  },
  {
    name: 'since a version: what is kept is told, in the middle of a batch too; what is not is a gap, at once',
    async run(place) {
      const db = await place.open()
      await db.put('a', '0')
      const start = db.stats().sequence
      const early = db.watch({ since: start - 1 })
      assert.deepEqual(await take(early, 1), [`gap ${start}–${start}`])
      const all = names(4).map((key) => ({ type: 'put' as const, key, value: 'x' }))
      await db.batch(all)
      await db.put('z', '1')
      early.close()
      const middle = db.watch({ since: start + 2 })
      assert.equal(middle.version, start + 2)
      assert.deepEqual(await take(middle, 3), [
        `${start + 3} put key0002=x`,
        `${start + 4} put key0003=x.`,
        `${start + 5} put z=1.`,
      ])
      middle.close()
      const again = db.watch({ since: middle.version })
      await db.put('z', '2')
      assert.deepEqual(await take(again, 1), [`${start + 6} put z=2.`])
      const ahead = db.watch({ since: start + 10 })
      await db.put('z', '3')
      assert.deepEqual(await take(ahead, 2), [
        `gap ${start + 7}–${start + 10}`,
        `${start + 7} put z=3.`,
      ])
    },
  },
  {
    name: 'since each version that was told: who takes in the rest has the table, also behind what a transaction cleared',
    async run(place) {
      const db = await place.open()
      await db.table('other').put('a', '1')
      await db.put('old', '1')
      const watch = db.watch()
      await db.transaction((tx) => {
        tx.clearSync()
        tx.putSync('a', '2')
        tx.putSync('b', '3')
      })
      const told: Told[] = []
      while (told.length < 3) told.push((await watch.next()).value!)
      const since: number[] = []
      const map = new Map([['old', '1']])
      const takeIn = (change: Told, into: Map<string, string>): void => {
        if (change.type === 'put') into.set(change.key, change.value)
        else if (change.type === 'clear') into.clear()
        else assert.fail(`${change.type} is told`)
      }
      for (const change of told) {
        takeIn(change, map)
        if (change.type === 'gap') continue
        since.push(change.version)
        const again = db.watch({ since: change.version })
        const rest = new Map(map)
        while (again.version < watch.version) {
          takeIn((await again.next()).value!, rest)
        }
        again.close()
        assert.deepEqual(Object.fromEntries(rest), await content(db))
      }
      assert.deepEqual(
        since,
        since.toSorted((a, b) => a - b),
      )
      watch.close()
    },
  },
  {
    name: 'who is slow is told a gap, and goes on behind it; what is nothing to him does not count',
    async run(place) {
      const db = await place.open()
      const watch = db.watch({ bufferBytes: 20_000 })
      const rare = db.watch({ key: 'rare', bufferBytes: 1 })
      const start = db.stats().sequence
      await db.put('rare', '0', { durability: 'os' })
      assert.deepEqual(await take(rare, 1), [`${start + 1} put rare=0.`])
      for (let i = 2; i <= 300; i++) await db.put('k', `${i}`, { durability: 'os' })
      const [gap, next] = await take(watch, 2)
      const { from, to } = /^gap (?<from>\d+)–(?<to>\d+)$/.exec(gap!)!.groups!
      assert.equal(Number(from), start + 1)
      assert.ok(Number(to) < start + 300)
      assert.equal(next, `${Number(to) + 1} put k=${Number(to) + 1 - start}.`)
      await db.put('rare', '1')
      assert.deepEqual(await take(rare, 1), [`${start + 301} put rare=1.`])
      await db.put('k', 'x'.repeat(20_001))
      await db.put('end', '')
      while (watch.version < start + 301) await watch.next()
      assert.deepEqual(await take(watch, 2), [
        `gap ${start + 302}–${start + 302}`,
        `${start + 303} put end=.`,
      ])
    },
  },
  {
    name: 'it ends with its signal, with the store, and with a value that nobody can decode',
    async run(place) {
      const db = await place.openBytes()
      await db.close()
      const reader = await place.open({ keys: 'bytes', values: 'bytes', readOnly: true })
      throws('UNSUPPORTED', () => reader.watch())
      await reader.close()
      const bad = { name: 'bad', encode: () => bytes('x'), decode: () => assert.fail('no') }
      const store = await place.openBytes()
      const undecoded = store.table('t', { values: bad }).watch()
      await store.table('t', { values: bad }).put('k', 1 as never)
      await rejects('DECODE', () => undecoded.next())
      await rejects('DECODE', () => undecoded.next())
      const abort = new AbortController()
      const reason = new Error('enough')
      const aborted = store.watch({ signal: abort.signal })
      const waiting = aborted.next()
      abort.abort(reason)
      await assert.rejects(waiting, reason)
      await assert.rejects(aborted.next(), reason)
      await assert.rejects(store.watch({ signal: abort.signal }).next(), reason)
      const watch = store.watch()
      const ended = store.watch({ key: bytes('none') }).next()
      await store.put(bytes('a'), bytes('b'), { durability: 'none' })
      await store.close()
      assert.deepEqual(await ended, { done: true, value: undefined })
      const { value } = await watch.next()
      assert.ok(value?.type === 'put', 'closing has made it durable')
      assert.deepEqual(await watch.next(), { done: true, value: undefined })
      throws('CLOSED', () => store.watch())
    },
  },
  {
    name: 'nothing is told that is in doubt: a write that fails leaves a gap, when the store is resumed',
    async run(place) {
      for (const call of ['sync', 'write'] as const) {
        const files = new FaultyFiles(place.environment.files)
        const db = await place.open({ environment: nodeEnvironment(files) })
        const watch = db.watch()
        await db.put('good', '1')
        const { sequence } = db.stats()
        assert.deepEqual(await take(watch, 1), [`${sequence} put good=1.`])
        files.fault = { call, code: 'IO' }
        const next = watch.next()
        let isTold = false
        void next.then(() => {
          isTold = true
        })
        await rejects('IO', () => db.put('bad', '1'))
        await rejects('READ_ONLY', () => db.put('bad', '2'))
        await turn()
        assert.equal(isTold, false)
        files.fault = undefined
        await db.resume()
        const { value } = await next
        assert.ok(value?.type === 'gap')
        assert.ok(value.from <= sequence + 1 && value.to <= db.stats().sequence)
        const version = await db.put('good', '2')
        assert.deepEqual(await take(watch, 1), [`${version} put good=2.`])
        const late = db.watch({ since: sequence })
        assert.deepEqual(await take(late, 2), [brief(value), `${version} put good=2.`])
        await db.close()
      }
    },
  },
  {
    name: 'what was on disk before a write failed is told, also what nobody has waited for',
    async run(place) {
      const files = new FaultyFiles(place.environment.files)
      const db = await place.open({ environment: nodeEnvironment(files) })
      const watch = db.watch()
      await db.put('good', '1', { durability: 'none' })
      // Takes it to the disk, and on.
      await db.put('better', '2', { durability: 'disk' })
      const { sequence } = db.stats()
      await db.put('best', '3', { durability: 'none' })
      await db.compact()
      const synced = db.stats().durableSequence
      files.fault = { call: 'sync', code: 'IO' }
      await rejects('IO', () => db.put('bad', '4'))
      files.fault = undefined
      await db.resume()
      const wanted = [`${sequence - 1} put good=1.`, `${sequence} put better=2.`]
      if (synced > sequence) wanted.push(`${synced} put best=3.`)
      wanted.push(`gap ${synced + 1}–${db.stats().sequence}`)
      await db.close()
      const told: string[] = []
      for await (const change of watch) told.push(brief(change))
      assert.deepEqual(told, wanted)
    },
  },
  {
    name: 'who takes in everything told has the table; a batch is whole where `last` says so',
    async run(place) {
      for (let seed = 1; seed <= SEEDS; seed++) {
        const random = new SeededRandom(seed)
        const db = await place.open({}, `${place.path}-${seed}`)
        const table = seed === 1 ? db : db.table('t')
        const fast = new Follower(table)
        const slow = new Follower(table)
        const ends = [
          fast.follow(table.watch(), async () => {}),
          slow.follow(table.watch(), async () => {
            if (random.below(3) === 0) await turn()
          }),
        ]
        await write(db, table, random)
        await db.sync()
        const wanted = await content(table)
        await db.close()
        await Promise.all(ends)
        let before = 0
        let isWhole = true
        for (const change of fast.seen) {
          assert.ok(change.type !== 'gap' && change.version > before, `seed ${seed}`)
          // The two puts of a batch: either of the first one, or both.
          if (change.type === 'put' && change.value.startsWith('first')) isWhole = false
          if (change.type === 'put' && change.value.startsWith('last')) isWhole = change.last
          before = change.version
        }
        assert.ok(isWhole)
        for (const { map } of [fast, slow]) {
          assert.deepEqual(Object.fromEntries(map), wanted, `seed ${seed}`)
        }
      }
    },
  },
]

export const watches: Chapter = { name: 'watch', cases }
