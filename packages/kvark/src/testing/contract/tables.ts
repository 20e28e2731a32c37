/**
 * Contract, chapter 17: tables, key spaces of their own. Random work on several tables is compared with maps; a failure prints the
 * seed, and the same seed does the same again.
 */

import assert from 'node:assert/strict'
import { SeededRandom } from '../../bytes/random.ts'
import { nodeEnvironment } from '../../environment/node.ts'
import type { Codec } from '../../store/codec.ts'
import type { OrderedTable, TableInfo } from '../../store/types.ts'
import { bytes, collect, content, names, pattern, rejects, text, throws, turn } from './check.ts'
import { FaultyFiles } from './faulty-files.ts'
import type { AnyStore, Case, Chapter, Place } from './place.ts'

const SEEDS = 4
const STEPS = 120
const MANY_TABLES = 200

type Words = OrderedTable<string, string>

const cases: readonly Case[] = [
  {
    name: 'a write that is refused makes no table, and no codecs for one that others make',
    async run(place) {
      const db = await place.open()
      const [words, things] = [db.table('t'), db.table('t', { values: 'json' })]
      await rejects('INVALID_VALUE', () => words.put('a', 5 as never))
      await rejects('CONFLICT', () => words.put('a', 'x', { ifVersion: 5 }))
      await rejects('MISMATCH', () =>
        db.batch([
          { type: 'put', table: words, key: 'a', value: 'x' },
          { type: 'put', table: things, key: 'a', value: 1 },
        ]),
      )
      const inOne = (tx: { table(table: unknown): never }): void => {
        const both: { putSync(key: string, value: unknown): void }[] = [words, things].map((one) =>
          tx.table(one),
        )
        both[0]!.putSync('a', 'x')
        both[1]!.putSync('a', 1)
      }
      throws('MISMATCH', () => db.transactionSync((tx) => inOne(tx as never)))
      assert.deepEqual([db.tables(), await words.count(), await things.count()], [[], 0, 0])
      await things.put('a', 1)
      assert.deepEqual(db.tables(), [{ name: 't', keys: 'utf8', values: 'json' }])
      await rejects('MISMATCH', () => words.put('b', 'x'))
      assert.deepEqual(await content(things as unknown as Words), { a: 1 })
    },
  },
  {
    name: 'a table that was lost with a failed write was never there, also when others have been made since',
    async run(place) {
      const files = new FaultyFiles(place.environment.files)
      const db = await place.open({ environment: nodeEnvironment(files) })
      const lost = db.table('lost')
      files.fault = { call: 'write', code: 'IO' }
      await rejects('IO', () => lost.put('k', '1'))
      assert.equal(lost.getSync('k'), '1')
      files.fault = undefined
      await db.resume()
      await db.table('other').put('k', '2')
      const watch = lost.watch()
      assert.deepEqual([await lost.get('k'), await lost.count()], [undefined, 0])
      await lost.put('k', '3')
      assert.deepEqual(await content(db.table('lost')), { k: '3' })
      await db.close()
      const told: string[] = []
      for await (const change of watch) told.push(change.type)
      assert.deepEqual(told, ['put'])
    },
  },
  {
    name: 'a table that was asked for before others, and made behind them, was never dropped',
    async run(place) {
      const db = await place.open({ durability: 'none' })
      const watch = db.watch()
      const late = db.table('late')
      await rejects('INVALID_VALUE', () => late.put('a', 1 as never))
      const before = await db.table('other').put('a', '1')
      let runs = 0
      const found = await db.transaction(async (tx) => {
        if (++runs === 1) await late.put('a', '1')
        tx.putSync('b', '1')
        return tx.table(late).getSync('a')
      })
      assert.deepEqual([runs, found], [2, '1'])
      await db.sync()
      const again = late.watch({ since: before - 1 })
      assert.equal((await again.next()).value?.type, 'put')
      again.close()
      watch.close()
    },
  },
  {
    name: 'a handle stays with its table when a transaction from before it still makes one of that name',
    async run(place) {
      const db = await place.open({ durability: 'none' })
      const first = db.table('old')
      await db.transaction(async (tx) => {
        const own = tx.table(first)
        if (db.tables().length === 0) {
          first.putSync('a', '1')
          db.renameTableSync('old', 'new')
        }
        own.putSync('b', '2')
      })
      await db.table('old').put('c', '3')
      assert.deepEqual(await content(first), { a: '1', b: '2' })
      assert.deepEqual(await content(db.table('old')), { c: '3' })
    },
  },
  {
    name: 'dropping and renaming are visible when the call returns, in the order of the calls',
    async run(place) {
      const db = await place.open()
      const [a, b] = [db.table('a'), db.table('b')]
      await a.put('k', 'of a')
      await b.put('k', 'of b')
      const swapped = [
        ['a', 'c'],
        ['b', 'a'],
        ['c', 'b'],
      ].map(([from, to]) => db.renameTable(from!, to!))
      assert.deepEqual(
        db.tables().map((table) => table.name),
        ['b', 'a'],
      )
      assert.deepEqual([db.table('a').getSync('k'), a.getSync('k')], ['of b', 'of a'])
      const dropped = db.dropTable('a')
      const late = rejects('NOT_FOUND', () => b.put('late', 'x'))
      assert.deepEqual(
        db.tables().map((table) => table.name),
        ['b'],
      )
      await Promise.all([...swapped, dropped, late])
      assert.deepEqual(await content(a), { k: 'of a' })
    },
  },
  {
    name: 'so they are behind a write that has to read the disk',
    async run(place) {
      const before = await place.open()
      const name = (i: number): string => `key ${1000 + i}`
      for (let i = 0; i < 200; i++) before.putSync(name(i), 'x'.repeat(1000))
      await before.table('t').put('k', 'of t')
      await before.close()
      const db = await place.open()
      const t = db.table('t')
      const slow = [db.put(name(100), 'new'), t.put('early', 'x')]
      const dropped = db.dropTable('t')
      const late = rejects('NOT_FOUND', () => t.put('late', 'x'))
      assert.deepEqual(db.tables(), [])
      await Promise.all([...slow, dropped, late])
      assert.equal(await db.get(name(100)), 'new')
      assert.deepEqual(await content(db.table('t')), {})
    },
  },
  {
    name: 'the same key in several tables and the root: each has its own',
    async run(place) {
      const db = await place.open()
      const one = db.table('one')
      const two = db.table('two')
      for (const [i, table] of [db, one, two].entries()) {
        await table.put('key', `value ${i}`)
        table.putSync('', `empty ${i}`)
      }
      for (const [i, table] of [db, one, two].entries()) {
        assert.equal(await table.get('key'), `value ${i}`)
        assert.equal(table.getSync(''), `empty ${i}`)
        assert.deepEqual(await table.getMany(['', 'no', 'key']), [
          `empty ${i}`,
          undefined,
          `value ${i}`,
        ])
        assert.equal((await table.getEntry('key'))!.value, `value ${i}`)
        assert.equal(table.viewSync('key', text), `value ${i}`)
        assert.equal(await table.has('no'), false)
        assert.deepEqual(await content(table), { '': `empty ${i}`, key: `value ${i}` })
        assert.deepEqual((await collect(table.keys())).sort(), ['', 'key'])
        assert.equal(await table.count(), 2)
        assert.equal(table.countSync(), 2)
      }
      await one.put('end', 'x', { ttl: 3_600_000 })
      assert.equal(await two.touch('end'), undefined)
      assert.ok(one.getEntrySync('end')!.expiresAt)
      assert.equal(one.touchSync('end'), db.stats().sequence)
      assert.deepEqual([one.getSync('end'), one.getEntrySync('end')!.expiresAt], ['x', undefined])
      await one.delete('end')
      await one.delete('key')
      two.delSync('')
      assert.equal(await db.count(), 2)
      assert.deepEqual(await content(one), { '': 'empty 1' })
      assert.deepEqual(await content(two), { key: 'value 2' })
      await two.set('key', 'new')
      assert.equal(db.getSync('key'), 'value 0')
    },
  },
  {
    name: 'ranges, first, last, seek and prefixes end where the table does',
    needs: ['order'],
    async run(place) {
      const db = await place.openBytes()
      const tables = ['a', 'b', 'c'].map((name) => db.table(name, { keys: 'bytes' }))
      const keys = ['', '\x00', '\x01', '\x7f', '\xff', '\xff\xff']
      for (const table of [...tables, db.table('rest', { keys: 'bytes' })]) {
        for (const key of keys) await table.put(bytes(key), 'x', { durability: 'os' })
      }
      for (const key of keys) await db.put(bytes(key), bytes('root'), { durability: 'os' })
      const middle = tables[1]!
      const list = async (options: object): Promise<string[]> =>
        (await collect(middle.keys(options))).map(text)
      assert.deepEqual(await list({}), keys)
      assert.deepEqual(await list({ reverse: true }), keys.toReversed())
      assert.deepEqual(await list({ prefix: bytes('\xff') }), ['\xff', '\xff\xff'])
      assert.deepEqual(await list({ gt: bytes('\x01') }), ['\x7f', '\xff', '\xff\xff'])
      assert.deepEqual(await list({ lte: bytes('\x01') }), ['', '\x00', '\x01'])
      assert.equal(text((await middle.first())![0]), '')
      assert.equal(text(middle.lastSync()![0]), '\xff\xff')
      const cursor = middle.keys()
      cursor.seek(bytes('\xff'))
      assert.deepEqual([...cursor].map(text), ['\xff', '\xff\xff'])
      await middle.clear({ gte: bytes('\x7f') })
      assert.deepEqual(await list({}), ['', '\x00', '\x01'])
      await middle.clear()
      assert.equal(middle.firstSync(), undefined)
      assert.deepEqual([...db.keys()].map(text), keys)
      assert.deepEqual([...tables[0]!.keys()].map(text), keys)
      assert.deepEqual([...tables[2]!.keys()].map(text), keys)
    },
  },
  {
    name: 'a table is made by its first put, in one step with it, and by nothing else',
    async run(place) {
      const db = await place.open()
      const table = db.table('new')
      const sequence = (): number => db.stats().sequence
      assert.equal(await table.get('a'), undefined)
      assert.deepEqual(await content(table), {})
      assert.equal(await table.getStream('a'), undefined)
      await table.delete('a')
      await table.clear()
      await rejects('CONFLICT', () => table.put('a', '1', { ifVersion: 7 }))
      throws('CONFLICT', () => table.deleteSync('a', { ifVersion: 7 }))
      await rejects('INVALID_VALUE', () => table.put('a', 1 as unknown as string))
      assert.deepEqual(db.tables(), [])
      assert.equal(sequence(), 0)
      await table.put('a', '1', { ifAbsent: true })
      const made: TableInfo[] = [{ name: 'new', keys: 'utf8', values: 'utf8' }]
      assert.deepEqual(db.tables(), made)
      const before = sequence()
      await table.put('b', '2')
      assert.equal(sequence(), before + 1)
      assert.equal(await db.table('new').get('b'), '2')
      await db.close()
      assert.deepEqual((await place.open()).tables(), made)
    },
  },
  {
    name: 'tables keep their codecs; others are refused, also when two make the table at the same time',
    async run(place) {
      const upper: Codec<string> = {
        name: 'upper',
        encode: (word) => bytes(word.toUpperCase()),
        decode: text,
      }
      let db = await place.open({ keys: 'bytes', values: 'json' })
      const tuples = db.table('tuples', { keys: 'tuple', values: 'json' })
      const own = db.table('own', { keys: upper, values: 'bytes' })
      const other = db.table('own')
      await tuples.put(['a', 1], { n: [1] })
      await own.put('Key', bytes('value'))
      await rejects('MISMATCH', () => other.put('a', 'b'))
      throws('MISMATCH', () => other.getSync('a'))
      const listed: TableInfo[] = [
        { name: 'tuples', keys: 'tuple', values: 'json' },
        { name: 'own', keys: 'upper', values: 'bytes' },
      ]
      assert.deepEqual(db.tables(), listed)
      await db.close()
      db = await place.open({ keys: 'bytes', values: 'json' })
      assert.deepEqual(db.tables(), listed)
      const error = throws('MISMATCH', () => db.table('tuples', { keys: 'utf8', values: 'json' }))
      assert.deepEqual([error.expected, error.found], ['utf8', 'tuple'])
      throws('MISMATCH', () => db.table('own', { keys: upper }))
      const again = db.table('tuples', { keys: 'tuple', values: 'json' })
      assert.deepEqual(await collect(again.entries()), [[['a', 1], { n: [1] }]])
      assert.deepEqual(await collect(db.table('own', { keys: upper, values: 'bytes' }).keys()), [
        'KEY',
      ])
    },
  },
  {
    name: 'a write that makes its table gives the version that its entry has',
    async run(place) {
      const db = await place.open()
      const long = 'long '.repeat(2000)
      const users = db.table('users')
      const version = await users.put('u', long)
      assert.equal((await users.getEntry('u'))?.version, version)
      await users.put('u', 'short', { ifVersion: version })
      const names = db.table('names')
      const once = names.putSync('n', '1')
      assert.equal(names.putSync('n', long, { ifVersion: once }), names.getEntrySync('n')?.version)
      assert.deepEqual(await content(users), { u: 'short' })
      assert.deepEqual(await content(names), { n: long })
      if (!db.supports.atomicBatch) return
      // What is made for the batch is none of its operations.
      const made = db.table('made')
      await assert.rejects(made.put('a', '1', { ifVersion: 9 }), /^KvarkError: The key is absent/)
      const batch = [
        { type: 'put', key: 'a', value: long },
        { type: 'put', key: 'b', value: '2', ifVersion: 9 },
      ] as const
      await assert.rejects(made.batch(batch), /The key of operation 1 of the batch is absent/)
      const both = await made.batch([batch[0], { type: 'put', key: 'b', value: '2' }])
      assert.equal((await made.getEntry('b'))?.version, both)
      assert.deepEqual(await content(made), { a: long, b: '2' })
    },
  },
  {
    name: 'a batch writes to several tables, and makes them, or does nothing',
    needs: ['atomicBatch'],
    async run(place) {
      const db = await place.open()
      const users = db.table('users', { keys: 'tuple', values: 'json' })
      const byName = db.table('names')
      const refused = [
        { type: 'put', table: users, key: ['u', 1], value: { name: 'Alice' } },
        { type: 'put', table: byName, key: 'Alice', value: '1', ifVersion: 9 },
      ] as const
      await rejects('CONFLICT', () => db.batch(refused))
      assert.deepEqual(db.tables(), [])
      const version = await users.batch([
        { type: 'put', key: ['u', 1], value: { name: 'Alice' } },
        { type: 'put', table: byName, key: 'Alice', value: '1', ifAbsent: true },
        { type: 'put', table: db, key: 'count', value: '1' },
        { type: 'delete', table: byName, key: 'nobody' },
      ])
      assert.equal(version, db.stats().sequence)
      assert.deepEqual(await collect(users.entries()), [[['u', 1], { name: 'Alice' }]])
      assert.deepEqual(await content(byName), { Alice: '1' })
      assert.deepEqual(await content(db), { count: '1' })
      byName.batchSync([
        { type: 'delete', key: 'Alice' },
        { type: 'delete', table: users, key: ['u', 1] },
      ])
      assert.equal(users.countSync() + byName.countSync(), 0)
      // Keys and values are those of the table.
      await rejects('INVALID_KEY', () =>
        db.batch([{ type: 'put', table: users, key: 'no tuple', value: 1 }]),
      )
      for (const table of ['users', {}, null, 7]) {
        const wrong = { type: 'delete', table, key: 'a' } as never
        await rejects('INVALID_ARGUMENT', () => db.batch([wrong]))
      }
      const stranger = (await place.open({}, `${place.path}-2`)).table('t')
      await rejects('INVALID_ARGUMENT', () =>
        db.batch([{ type: 'put', table: stranger, key: 'a', value: 'b' }]),
      )
    },
  },
  {
    name: 'in a batch that makes a table, later operations on a key win, too',
    needs: ['atomicBatch'],
    async run(place) {
      const db = await place.open()
      const words = db.table('words')
      await words.batch([
        { type: 'delete', key: 'first' },
        { type: 'put', key: 'gone', value: '1' },
        { type: 'put', key: 'first', value: '2' },
        { type: 'delete', table: db.table('none'), key: 'gone' },
        { type: 'delete', table: db.table('words'), key: 'gone' },
        { type: 'put', key: 'last', value: '3' },
      ])
      assert.deepEqual(await content(words), { first: '2', last: '3' })
      const others = db.table('others')
      db.batchSync([
        { type: 'put', table: others, key: 'gone', value: '1' },
        { type: 'delete', table: others, key: 'gone' },
      ])
      assert.deepEqual(await content(others), {})
      assert.deepEqual(
        db.tables().map(({ name }) => name),
        ['words', 'others'],
      )
      await rejects('CONFLICT', () =>
        db.batch([
          { type: 'put', table: db.table('refused'), key: 'a', value: '1' },
          { type: 'delete', table: db.table('refused'), key: 'a', ifVersion: 1 },
        ]),
      )
      assert.equal(db.tables().length, 2)
    },
  },
  {
    name: 'a snapshot shows all tables as they were, also those that are gone',
    needs: ['snapshots'],
    async run(place) {
      const db = await place.open()
      const kept = db.table('kept')
      const gone = db.table('gone')
      const later = db.table('later')
      await kept.put('a', 'old')
      await gone.put('a', 'old')
      const before = db.tables()
      const snapshot = db.snapshot()
      await kept.put('a', 'new')
      await later.put('a', 'new')
      await db.dropTable('gone')
      await db.renameTable('kept', 'renamed')
      await kept.clear()
      await kept.put('b', 'new')
      await db.compact()
      assert.deepEqual(snapshot.tables(), before)
      assert.deepEqual(await content(snapshot.table(kept)), { a: 'old' })
      assert.equal(snapshot.table(gone).getSync('a'), 'old')
      assert.equal(await snapshot.table(later).get('a'), undefined)
      assert.equal(snapshot.table(db).countSync(), 0)
      assert.equal(await snapshot.table(gone).count(), 1)
      const own = kept.snapshot()
      assert.deepEqual(await content(own), { b: 'new' })
      assert.equal(own.table(later).getSync('a'), 'new')
      throws('NOT_FOUND', () => own.table(gone))
      throws('INVALID_ARGUMENT', () => own.table('later' as never))
      const reader = snapshot.table(kept)
      snapshot.close()
      throws('CLOSED', () => reader.getSync('a'))
      await rejects('CLOSED', () => reader.count())
      throws('CLOSED', () => snapshot.table(kept))
      own.close()
    },
  },
  {
    name: 'clearing the root or a table leaves all others alone, also over a reopen',
    async run(place) {
      let db = await place.open()
      const all = (): Words[] => [db, db.table('one'), db.table('two')]
      const counts = (): number[] => all().map((table) => table.countSync())
      for (let round = 0; round < 3; round++) {
        for (const table of all()) {
          for (const name of names(20)) await table.put(name, 'x', { durability: 'os' })
        }
        await all()[round]!.clear()
        assert.deepEqual(
          counts(),
          [0, 1, 2].map((i) => (i === round ? 0 : 20)),
        )
        assert.deepEqual(await content(all()[round]!), {})
        await all()[round]!.put('key0000', 'y')
        await db.close()
        db = await place.open()
        assert.deepEqual(
          counts(),
          [0, 1, 2].map((i) => (i === round ? 1 : 20)),
        )
        assert.equal(all()[round]!.getSync('key0000'), 'y')
      }
      await db.compact()
      assert.equal(
        counts().reduce((a, b) => a + b),
        41,
      )
      assert.deepEqual((await db.verify()).problems, [])
    },
  },
  {
    name: 'a dropped table is gone with all entries; its handles say so, a new one of the name is empty',
    async run(place) {
      let db = await place.open()
      const old = db.table('t')
      const beside = db.table('beside')
      for (const name of names(40)) {
        await old.put(name, 'x', { durability: 'os' })
        await beside.put(name, 'y', { durability: 'os' })
      }
      const cursor = old.keys()
      await db.dropTable('t')
      assert.deepEqual(
        db.tables().map(({ name }) => name),
        ['beside'],
      )
      throws('NOT_FOUND', () => old.getSync('key0000'))
      throws('NOT_FOUND', () => old.keys())
      throws('NOT_FOUND', () => old.getManySync([]))
      throws('NOT_FOUND', () => old.putSync('a', 'b'))
      for (const act of [
        () => old.get('key0000'),
        () => old.put('a', 'b'),
        () => old.delete('a'),
        () => old.clear(),
        () => old.count(),
        () => old.getMany(['a']),
        () => old.getMany([]),
        () => old.putStream('a', [bytes('b')]),
        () => old.getStream('a'),
        () => db.dropTable('t'),
      ]) {
        await rejects('NOT_FOUND', act)
      }
      throws('NOT_FOUND', () => db.dropTableSync('t'))
      // A cursor goes on in the view that it walks, where there is one.
      if (db.supports.snapshots) assert.equal((await collect(cursor)).length, 40)
      else cursor.close()
      const fresh = db.table('t', { values: 'json' })
      await fresh.put('a', 1)
      assert.deepEqual(await content(fresh), { a: 1 })
      throws('NOT_FOUND', () => old.getSync('a'))
      await db.close()
      db = await place.open()
      assert.deepEqual(await content(db.table('t', { values: 'json' })), { a: 1 })
      assert.equal(await db.table('beside').count(), 40)
      // What is left: 41 entries and the list of tables.
      await db.compact()
      assert.equal(db.stats().entries, 42)
      assert.deepEqual((await db.verify()).problems, [])
    },
  },
  {
    name: 'the space of a dropped table comes back',
    async run(place) {
      const db = await place.open({ durability: 'os' })
      const table = db.table('large', { values: 'bytes' })
      await db.put('small', 'x')
      await db.sync()
      const value = pattern(3000, 1)
      for (const name of names(200)) await table.put(name, value)
      await db.sync()
      await db.compact()
      const full = db.stats().diskBytes
      db.dropTableSync('large')
      await db.compact()
      await db.sync()
      await db.compact()
      const left = db.stats().diskBytes
      assert.ok(left < full / 2, `${left} of ${full}`)
      assert.equal(db.stats().entries, 2)
    },
  },
  {
    name: 'a renamed table keeps entries, codecs and handles',
    async run(place) {
      let db = await place.open()
      const table = db.table('old', { values: 'json' })
      const other = db.table('other')
      await table.put('a', [1])
      await other.put('a', 'other')
      const refused = await rejects('CONFLICT', () => db.renameTable('old', 'other'))
      assert.equal(refused.retryable, false)
      await rejects('NOT_FOUND', () => db.renameTable('none', 'new'))
      await rejects('INVALID_ARGUMENT', () => db.renameTable('old', ''))
      await rejects('INVALID_ARGUMENT', () => db.renameTable('none', 1 as never))
      await db.renameTable('old', 'old')
      await db.renameTable('old', 'new')
      assert.deepEqual(table.getSync('a'), [1])
      await table.put('b', [2])
      assert.equal(await db.table('old').count(), 0)
      db.renameTableSync('other', 'old')
      assert.equal(await other.get('a'), 'other')
      assert.equal(db.table('old').getSync('a'), 'other')
      await db.close()
      db = await place.open()
      assert.deepEqual(db.tables(), [
        { name: 'new', keys: 'utf8', values: 'json' },
        { name: 'old', keys: 'utf8', values: 'utf8' },
      ])
      assert.deepEqual(await content(db.table('new', { values: 'json' })), { a: [1], b: [2] })
    },
  },
  {
    name: 'names: 1 to 255 bytes of well-formed text, and no other; options are checked',
    async run(place) {
      const db = await place.open()
      const longest = `${'ä'.repeat(127)}x`
      for (const name of ['x', longest, ' ', '\u0000', '__proto__', 'constructor']) {
        await db.table(name).put('a', name)
      }
      assert.equal(db.table(longest).getSync('a'), longest)
      assert.equal(db.tables().length, 6)
      for (const name of ['', `${longest}x`, 'ä'.repeat(128), '\ud800', 7, null, undefined, {}]) {
        throws('INVALID_ARGUMENT', () => db.table(name as string))
        await rejects('INVALID_ARGUMENT', () => db.dropTable(name as string))
      }
      throws('INVALID_ARGUMENT', () => db.table('t', { key: 'utf8' } as never))
      throws('INVALID_ARGUMENT', () => db.table('t', { keys: 'json' } as never))
      throws('INVALID_ARGUMENT', () => db.table('t', [] as never))
      throws('INVALID_ARGUMENT', () => db.dropTableSync('x', { durable: true } as never))
      assert.equal(db.tables().length, 6)
      await db.close()
      throws('CLOSED', () => db.table('x'))
      throws('CLOSED', () => db.tables())
      await rejects('CLOSED', () => db.dropTable('x'))
      const reader = await place.open({ readOnly: true })
      assert.equal(reader.table(longest).getSync('a'), longest)
      await rejects('READ_ONLY', () => reader.table('new').put('a', 'b'))
      await rejects('READ_ONLY', () => reader.dropTable('x'))
      throws('READ_ONLY', () => reader.renameTableSync('x', 'y'))
    },
  },
  {
    name: 'many tables: ids of two bytes and more',
    async run(place) {
      let db = await place.open({ durability: 'none' })
      const name = (i: number): string => `table ${i}`
      for (let i = 0; i < MANY_TABLES; i++) {
        const table = db.table(name(i))
        table.putSync('number', String(i))
        table.putSync('a key that is longer than some', 'ä')
      }
      for (let i = 0; i < MANY_TABLES; i += 3) db.dropTableSync(name(i))
      await db.close()
      db = await place.open({ durability: 'none' })
      assert.equal(db.tables().length, MANY_TABLES - Math.ceil(MANY_TABLES / 3))
      for (let i = 0; i < MANY_TABLES; i++) {
        const table = db.table(name(i))
        const dropped = i % 3 === 0
        assert.equal(table.getSync('number'), dropped ? undefined : String(i))
        if (i % 40 === 1) assert.equal((await collect(table.entries())).length, dropped ? 0 : 2)
      }
      assert.equal(db.countSync(), 0)
    },
  },
  {
    name: 'a walk goes on from its token, and a token of another table is refused',
    async run(place) {
      const db = await place.open({ durability: 'none' })
      const table = db.table('t')
      const other = db.table('other')
      for (const one of [db, table, other]) for (const name of names(30)) one.putSync(name, 'x')
      const cursor = table.keys()
      const seen = await cursor.nextMany(11)
      const { token } = cursor
      cursor.close()
      const rest = await collect(table.keys({ token }))
      assert.deepEqual([...seen, ...rest].sort(), names(30))
      throws('INVALID_ARGUMENT', () => other.keys({ token }))
      throws('INVALID_ARGUMENT', () => db.keys({ token }))
      const root = db.keys()
      root.nextManySync(3)
      throws('INVALID_ARGUMENT', () => table.keys({ token: root.token }))
      root.close()
    },
  },
  {
    name: 'a token of a table that was not there begins at the start when it is',
    async run(place) {
      const db = await place.open({ durability: 'none' })
      const table = db.table('t')
      const cursor = table.keys()
      assert.deepEqual(await cursor.nextMany(3), [])
      const { token } = cursor
      cursor.close()
      assert.deepEqual(await collect(table.keys({ token })), [])
      for (const one of [db, table]) for (const name of names(5)) one.putSync(name, 'x')
      assert.deepEqual((await collect(table.keys({ token }))).sort(), names(5))
      throws('INVALID_ARGUMENT', () => db.keys({ token }))
    },
  },
  {
    name: 'long values are streamed into tables, and out of them',
    async run(place) {
      const db = await place.open()
      const table = db.table('files', { values: 'bytes' })
      const pieces = Array.from({ length: 5 }, (_, i) => pattern(600_000, i))
      await rejects('INVALID_VALUE', () => table.putStream('bad', ['no bytes'] as never))
      await table.putStream('file', pieces)
      await table.putStream('short', [bytes('ab'), bytes('c')])
      assert.equal(text((await table.get('short'))!), 'abc')
      const read: Uint8Array[] = []
      for await (const part of (await table.getStream('file'))!) read.push(part)
      assert.ok(Buffer.concat(read).equals(Buffer.concat(pieces)))
      assert.equal(await db.count(), 0)
      // The table goes while a value comes in.
      let goOn: () => void = () => {}
      const dropped = new Promise<void>((resolve) => {
        goOn = resolve
      })
      async function* slowly(): AsyncGenerator<Uint8Array> {
        yield* pieces
        await dropped
      }
      const writing = rejects('CONFLICT', () => table.putStream('late', slowly()))
      await turn()
      await db.dropTable('files')
      goOn()
      await writing
      assert.deepEqual(db.tables(), [])
    },
  },
  {
    name: 'code of the user that runs inside a write may change tables: the write is whole, or nothing of it',
    needs: ['atomicBatch'],
    async run(place) {
      const db = await place.open()
      const table = db.table('t')
      const other = db.table('other')
      await table.put('a', 'before')
      function* dropping(): Generator<{ type: 'put'; key: string; value: string }> {
        yield { type: 'put', key: 'b', value: 'x' }
        db.dropTableSync('t')
      }
      await rejects('CONFLICT', () => table.batch(dropping()))
      assert.deepEqual(db.tables(), [])
      function* making(): Generator<{ type: 'put'; key: string; value: string }> {
        yield { type: 'put', key: 'a', value: 'outer' }
        other.putSync('b', 'inner')
      }
      await other.batch(making())
      assert.deepEqual(await content(other), { a: 'outer', b: 'inner' })
      assert.equal(db.tables().length, 1)
      // A key's codec that reads another table.
      const reading: Codec<string> = {
        name: 'reading',
        encode: (word) => bytes(`${word} ${other.getSync('a')}`),
        decode: text,
      }
      const strange = db.table('strange', { keys: reading })
      await strange.put('k', 'v')
      assert.equal(strange.getSync('k'), 'v')
      assert.equal(await strange.get('k'), 'v')
      assert.deepEqual(await content(strange), { 'k outer': 'v' })
    },
  },
  {
    name: 'a copy of the store has its tables',
    async run(place) {
      const db = await place.open()
      await db.table('t', { values: 'json' }).put('a', { b: 1 })
      await db.table('gone').put('a', 'b')
      await db.dropTable('gone')
      await db.backup(place.copy)
      const copy = await place.open({}, place.copy)
      assert.deepEqual(copy.tables(), [{ name: 't', keys: 'utf8', values: 'json' }])
      assert.deepEqual(copy.table('t', { values: 'json' }).getSync('a'), { b: 1 })
    },
  },
  ...Array.from({ length: SEEDS }, (_, i) => modelCase(i + 1)),
]

/** Random writes, clears, drops, renames, snapshots and reopens of a few tables, compared with maps. */
function modelCase(seed: number): Case {
  return {
    name: `random work, seed ${seed}`,
    async run(place) {
      const trace: string[] = []
      try {
        await new TablesRun(place, seed, trace).run()
      } catch (error) {
        throw new Error(`seed ${seed} failed; the last steps:\n${trace.slice(-20).join('\n')}`, {
          cause: error,
        })
      }
    },
  }
}

class TablesRun {
  readonly #place: Place
  readonly #random: SeededRandom
  readonly #trace: string[]
  /** The root is ''. */
  readonly #model = new Map<string, Map<string, string>>([['', new Map()]])
  #db!: AnyStore

  constructor(place: Place, seed: number, trace: string[]) {
    this.#place = place
    this.#random = new SeededRandom(seed)
    this.#trace = trace
  }

  async run(): Promise<void> {
    this.#db = await this.#open()
    for (let i = 0; i < STEPS; i++) await this.#step(i)
    await this.#check()
    await this.#db.close()
    this.#db = await this.#open()
    await this.#check()
  }

  #open(): Promise<AnyStore> {
    return this.#place.open({ durability: 'os' })
  }

  #table(name: string): Words {
    return name === '' ? this.#db : this.#db.table(name)
  }

  async #step(i: number): Promise<void> {
    const random = this.#random
    const kind = random.below(100)
    const name = random.pick(['', 'a', 'b', 'c', 'd'])
    const key = random.pick(names(12))
    this.#trace.push(`${i}: ${kind} ${name || '(root)'} ${key}`)
    const there = this.#model.get(name)
    if (kind < 45) {
      await this.#table(name).put(key, String(i))
      this.#made(name).set(key, String(i))
    } else if (kind < 60) {
      this.#table(name).deleteSync(key)
      there?.delete(key)
    } else if (kind < 72) {
      if (this.#db.supports.atomicBatch) await this.#batch(i)
    } else if (kind < 78) {
      await this.#table(name).clear()
      there?.clear()
    } else if (kind < 84) {
      if (name !== '' && there !== undefined) {
        await this.#db.dropTable(name)
        this.#model.delete(name)
      }
    } else if (kind < 88) await this.#rename(name, random.pick(['a', 'b', 'c', 'd']))
    else if (kind < 92) await this.#db.compact()
    else if (kind < 95) {
      await this.#db.close()
      this.#db = await this.#open()
    } else await this.#check()
  }

  async #batch(i: number): Promise<void> {
    const random = this.#random
    const operations = Array.from({ length: 1 + random.below(6) }, (_, n) => {
      const name = random.pick(['', 'a', 'b', 'c', 'd'])
      const key = random.pick(names(12))
      const value = `${i}-${n}`
      const table = this.#table(name)
      const put = random.chance(0.7)
      if (put) this.#made(name).set(key, value)
      else this.#model.get(name)?.delete(key)
      return put
        ? ({ type: 'put', table, key, value } as const)
        : ({ type: 'delete', table, key } as const)
    })
    await this.#db.batch(operations)
  }

  async #rename(from: string, to: string): Promise<void> {
    const model = this.#model
    const table = model.get(from)
    if (from === '' || table === undefined || (model.has(to) && from !== to)) return
    await this.#db.renameTable(from, to)
    model.delete(from)
    model.set(to, table)
  }

  #made(name: string): Map<string, string> {
    const model = this.#model.get(name) ?? new Map<string, string>()
    this.#model.set(name, model)
    return model
  }

  async #check(): Promise<void> {
    const listed = this.#db.tables().map(({ name }) => name)
    assert.deepEqual(listed.sort(), [...this.#model.keys()].filter((name) => name !== '').sort())
    for (const name of ['', 'a', 'b', 'c', 'd']) {
      const expected = Object.fromEntries(this.#model.get(name) ?? [])
      assert.deepEqual(await content(this.#table(name)), expected, name)
      assert.equal(await this.#table(name).count(), Object.keys(expected).length)
    }
  }
}

export const tables: Chapter = { name: 'tables', cases }
