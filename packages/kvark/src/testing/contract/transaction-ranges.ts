/** Contract, chapter 20: transactions over ranges and whole tables. */

import assert from 'node:assert/strict'
import { SeededRandom } from '../../bytes/random.ts'
import type { RangeOptions } from '../../store/call-types.ts'
import type { OrderedTransaction, OrderedTransactionTable } from '../../store/types.ts'
import { collect, content, names, rejects, throws } from './check.ts'
import type { Case, Chapter } from './place.ts'
import { byKey, opened, runsOf } from './transactions.ts'

type Tx = OrderedTransaction<string, string>

const cases: readonly Case[] = [
  {
    name: 'walks, counts and jumps over its own writes as over the others',
    async run(place) {
      const db = await opened(place)
      const { order } = place.engine.supports
      const random = new SeededRandom(11)
      const key = (): string => `${'abc'[random.below(3)]}${random.below(30)}`
      for (let round = 0; round < 6; round++) {
        await db.clear()
        const model = new Map<string, string>()
        for (let i = 0; i < 25; i++) {
          const one = key()
          model.set(one, `${i}`)
          db.putSync(one, `${i}`)
        }
        await db.transaction(async (tx) => {
          for (let i = 0; i < 30; i++) {
            await change(tx, model, random, key, order)
            if (random.chance(0.5)) await compareWalk(tx, model, order ? rangeOf(random, key) : {})
            if (order && random.chance(0.2)) compareJumps(tx, model, random, key)
          }
        })
        assert.deepEqual(await content(db), sortedContent(model))
      }
    },
  },
  {
    name: 'sees no phantoms: a walk has read the part that it has gone through',
    needs: ['order'],
    async run(place) {
      const db = await opened(place)
      const fill = (): void => {
        db.clearSync()
        for (const name of 'bdfhj') db.putSync(name, name)
      }
      const walk = async (tx: Tx, options: RangeOptions<string>, steps: number): Promise<void> => {
        await tx.keys(options).nextMany(steps)
      }
      const reads: [string, (tx: Tx) => unknown, covered: string, free: string][] = [
        ['all', (tx) => walk(tx, {}, 100), 'acz', ''],
        ['a range', (tx) => walk(tx, { gte: 'd', lt: 'h' }, 100), 'deg', 'achi'],
        ['a part', (tx) => walk(tx, { gt: 'b' }, 2), 'cdf', 'abghz'],
        ['a part, left', (tx) => walk(tx, { limit: 2 }, 100), 'abd', 'efz'],
        ['in reverse', (tx) => walk(tx, { lte: 'h', reverse: true }, 2), 'fgh', 'aeiz'],
        ['nothing', (tx) => walk(tx, { gt: 'd', lt: 'e' }, 1), 'd1', ''],
        ['first', (tx) => tx.first({ gt: 'd' }), 'ef', 'dgz'],
        ['last', (tx) => tx.last({ lt: 'd' }), 'bc', 'ade'],
        ['count', (tx) => tx.count({ prefix: 'd' }), 'd', 'ce'],
        ['none', (tx) => tx.keys().close(), '', 'abz'],
        [
          'a jump',
          (tx) => {
            const cursor = tx.keys()
            cursor.nextSync()
            cursor.seek('h')
            cursor.nextSync()
          },
          'abh',
          'cfgiz',
        ],
        ['own keys', (tx) => tx.put('d', '2').then(() => walk(tx, { gte: 'c' }, 1)), 'c', 'befz'],
        ['cleared', (tx) => tx.clear({ gte: 'd' }).then(() => tx.first({ gte: 'c' })), 'cdz', 'ab'],
      ]
      for (const [name, read, covered, free] of reads) {
        for (const [keys, runs] of [
          [covered, 2],
          [free, 1],
        ] as const) {
          for (const key of keys === 'd1' ? ['d1'] : keys) {
            fill()
            const what = `${name}: a write of ${key}`
            assert.equal(await runsOf(db, read, () => db.put(key, '+')), runs, what)
            fill()
            const count = await runsOf(db, read, () => db.clear({ gte: key, lt: `${key}\0` }))
            assert.equal(count, 'bdfhj'.includes(key) ? runs : runs && count, what)
          }
        }
      }
      fill()
      const load = (): unknown =>
        db.load([
          ['d1', ''],
          ['d2', ''],
        ])
      assert.equal(await runsOf(db, (tx) => tx.get('d2'), load), 2)
      fill()
      assert.equal(await runsOf(db, (tx) => tx.count({ gt: 'd', lte: 'd1' }), load), 2)
      fill()
      assert.equal(await runsOf(db, (tx) => tx.count({ gt: 'd2' }), load), 1)
    },
  },
  {
    name: 'has read a whole table when it walked to the end, without order with the first step',
    async run(place) {
      const db = await opened(place)
      const steps = place.engine.supports.order ? 100 : 1
      const walk = (tx: Tx): unknown => tx.keys().nextMany(steps)
      for (const name of names(5)) db.putSync(name, name)
      assert.equal(await runsOf(db, walk, () => db.put('z', '')), 2)
      assert.equal(
        await runsOf(
          db,
          (tx) => tx.count(),
          () => db.clear(),
        ),
        2,
      )
      assert.equal(await runsOf(db, walk, () => db.table('t').put('z', '')), 1)
    },
  },
  {
    name: 'goes over several tables, made, cleared, renamed and dropped meanwhile',
    async run(place) {
      const db = await opened(place)
      const users = db.table('users', { keys: 'tuple', values: 'json' })
      const ids = db.table('ids')
      await db.transaction(async (tx) => {
        const mine = tx.table(users)
        assert.equal(await mine.get(['a']), undefined)
        await mine.put(['a'], { n: 1 })
        assert.deepEqual(tx.table('users', { keys: 'tuple', values: 'json' }).getSync(['a']), {
          n: 1,
        })
        await tx.table(ids).put('a', '1')
        await tx.table(db).put('root', '1')
        assert.deepEqual(tx.tables(), [])
        throws('MISMATCH', () => tx.table('users').putSync('a', 'b'))
      })
      assert.deepEqual([users.getSync(['a']), ids.getSync('a'), db.countSync()], [{ n: 1 }, '1', 1])
      assert.deepEqual(
        db.tables().map(({ name }) => name),
        ['users', 'ids'],
      )
      const read = (tx: Tx): unknown => tx.table(ids).get('b')
      assert.equal(await runsOf(db, read, () => ids.put('b', '1')), 2)
      assert.equal(await runsOf(db, read, () => ids.clear()), 2)
      assert.equal(await runsOf(db, read, () => db.table('other').put('b', '1')), 1)
      assert.equal(await runsOf(db, read, () => db.renameTable('ids', 'names')), 1)
      const byName = (tx: Tx): unknown => tx.table('ids').get('b')
      assert.equal(await runsOf(db, byName, () => db.renameTable('names', 'ids')), 2)
      assert.equal(await runsOf(db, byName, () => db.renameTable('ids', 'names')), 2)
      assert.equal(await runsOf(db, byName, () => db.table('ids').put('b', '1')), 2)
      assert.equal(
        await runsOf(
          db,
          (tx) => tx.tables(),
          () => db.dropTable('other'),
        ),
        2,
      )
      // Also who has only written to a table that is another one now.
      const write = (tx: Tx): unknown => tx.table('new').put('x', 'y')
      assert.equal(await runsOf(db, write, () => db.table('new').put('b', '1')), 2)
      assert.deepEqual(await content(db.table('new')), { b: '1', x: 'y' })
      assert.equal(
        (await runsOf(
          db,
          (tx) => tx.table(ids).put('x', 'y'),
          () => ids.clear(),
        )) <= 2,
        true,
      )
      assert.deepEqual(await content(ids), { x: 'y' })
      let runs = 0
      await rejects('NOT_FOUND', () =>
        db.transaction(async (tx) => {
          runs++
          await tx.table(ids).put('x', '')
          if (runs === 1) await db.dropTable('names')
        }),
      )
      assert.equal(runs, 2)
      await db.close()
      const again = await opened(place)
      assert.deepEqual(
        again.tables().map(({ name }) => name),
        ['users', 'ids', 'new'],
      )
    },
  },
  {
    name: 'sees what it wrote to a table of its own also when somebody else makes that table',
    async run(place) {
      const db = await opened(place)
      const seen: unknown[] = []
      await db.transaction(async (tx) => {
        await tx.table('made').put('own', '1')
        if (seen.length === 0) await db.table('made').put('other', '1')
        const made = tx.table('made')
        await made.put('more', '1')
        seen.push([await made.get('own'), made.countSync(), (await collect(made.keys())).sort()])
      })
      assert.deepEqual(seen, [
        ['1', 2, ['more', 'own']],
        ['1', 3, ['more', 'other', 'own']],
      ])
      assert.deepEqual(await content(db.table('made')), { more: '1', other: '1', own: '1' })
    },
  },
  {
    name: 'clears what there is and what it wrote itself, and goes on',
    async run(place) {
      const db = await opened(place)
      const t = db.table('t')
      for (const before of [{}, { y: '1' }]) {
        for (const name of names(8)) db.putSync(name, name)
        await db.transaction(async (tx) => {
          tx.putSync('before', '1')
          const walk = tx.keys()
          await tx.clear()
          assert.equal(tx.countSync(), 0)
          assert.deepEqual(tx.getManySync(['before', 'key0001']), [undefined, undefined])
          tx.putSync('after', '1')
          tx.table(t).putSync('new', '1')
          assert.deepEqual(await content(tx), { after: '1' })
          const seen = await collect(walk)
          assert.deepEqual(
            seen.filter((name) => name !== 'after').sort(),
            ['before', ...names(8)],
            'a walk is of its moment',
          )
        })
        assert.deepEqual(await content(db), { after: '1' })
        assert.deepEqual(await content(t), { ...before, new: '1' })
        await db.transaction(async (tx) => {
          await tx.table(t).clear()
          await tx.table(t).put('x', '1')
          await tx.table(t).clear()
          await tx.table(t).put('y', '1')
        })
        assert.deepEqual(await content(t), { y: '1' })
      }
      await db.close()
      const again = await opened(place)
      assert.deepEqual(
        [await content(again), await content(again.table('t'))],
        [{ after: '1' }, { y: '1' }],
      )
    },
  },
  {
    name: 'clears a table that it makes, also in a store that has none',
    async run(place) {
      const db = await opened(place)
      const t = db.table('t')
      db.putSync('root', '1')
      db.transactionSync((tx) => {
        tx.table(t).putSync('x', '1')
        tx.table(t).clearSync()
      })
      assert.equal(t.countSync(), 0)
      assert.deepEqual(
        db.tables().map(({ name }) => name),
        ['t'],
      )
      const u = db.table('u')
      await db.transaction(async (tx) => {
        await tx.table(u).put('x', '1')
        await tx.table(u).clear()
        await tx.table(u).put('y', '1')
      })
      await db.close()
      const again = await opened(place)
      assert.deepEqual(await content(again), { root: '1' })
      assert.deepEqual(await content(again.table('u')), { y: '1' })
    },
  },
  {
    name: 'makes no table whose puts were taken back or refused, whatever it deletes there',
    async run(place) {
      const db = await opened(place)
      const t = db.table('t')
      const u = db.table('u')
      for (const remove of ['deleteSync', 'clearSync'] as const) {
        db.transactionSync((tx) => {
          tx.putSync('root', remove)
          const before = tx.savepoint()
          tx.table(t).putSync('x', '1')
          before.rollback()
          assert.throws(() => tx.table(u).putSync('x', 1 as never), { code: 'INVALID_VALUE' })
          for (const table of [t, u]) {
            if (remove === 'clearSync') tx.table(table).clearSync()
            else tx.table(table).deleteSync('x')
            assert.equal(tx.table(table).countSync(), 0)
          }
        })
        assert.deepEqual(db.tables(), [])
      }
      db.transactionSync((tx) => {
        const mine = tx.table(t)
        const before = tx.savepoint()
        mine.putSync('x', '1')
        before.rollback()
        assert.equal(mine.getSync('x'), undefined)
        mine.putSync('y', '2')
        assert.equal(mine.getSync('y'), '2')
      })
      assert.deepEqual(await content(t), { y: '2' })
      await db.close()
    },
  },
]

export const transactionRanges: Chapter = {
  name: 'transactions over ranges and tables',
  cases: cases.map((one) => ({ ...one, needs: ['transactions', ...(one.needs ?? [])] })),
}

/** Changes the transaction and the model in the same way. */
async function change(
  tx: OrderedTransactionTable<string, string>,
  model: Map<string, string>,
  random: SeededRandom,
  key: () => string,
  order: boolean,
): Promise<void> {
  const one = key()
  if (random.chance(0.5)) {
    const value = String(random.below(1000))
    await tx.put(one, value)
    model.set(one, value)
  } else if (random.chance(0.8)) {
    tx.deleteSync(one)
    model.delete(one)
  } else if (!order) {
    if (random.chance(0.8)) return
    await tx.clear()
    model.clear()
  } else {
    const [gte, lt] = [one, key()].sort() as [string, string]
    tx.clearSync({ gte, lt })
    for (const name of model.keys()) if (name >= gte && name < lt) model.delete(name)
  }
}

function rangeOf(random: SeededRandom, key: () => string): RangeOptions<string> {
  return {
    ...(random.chance(0.4) && { [random.pick(['gt', 'gte'])]: key() }),
    ...(random.chance(0.4) && { [random.pick(['lt', 'lte'])]: key() }),
    ...(random.chance(0.2) && { prefix: key().slice(0, 2) }),
    ...(random.chance(0.3) && { limit: random.below(6) }),
    reverse: random.chance(0.5),
  }
}

/** The keys of the model in a range, in order. */
function keysIn(model: Map<string, string>, options: RangeOptions<string>): string[] {
  const { gt, gte, lt, lte, prefix = '', limit = Number.POSITIVE_INFINITY, reverse } = options
  const keys = [...model.keys()]
    .sort()
    .filter(
      (key) =>
        (gt === undefined || key > gt) &&
        (gte === undefined || key >= gte) &&
        (lt === undefined || key < lt) &&
        (lte === undefined || key <= lte) &&
        key.startsWith(prefix),
    )
  if (reverse) keys.reverse()
  return keys.slice(0, limit)
}

async function compareWalk(
  tx: OrderedTransactionTable<string, string>,
  model: Map<string, string>,
  options: RangeOptions<string>,
): Promise<void> {
  const expected = keysIn(model, options).map((key): [string, string] => [key, model.get(key)!])
  const ordered = Object.keys(options).length > 0
  const found = await collect(tx.entries(options))
  assert.deepEqual(ordered ? found : found.sort(byKey), expected)
  const keys = [...tx.keys(options)]
  const names = expected.map(([key]) => key)
  assert.deepEqual(ordered ? keys : keys.sort(), names)
  assert.equal(await tx.count(options), expected.length)
  if (!ordered) return
  const range = { ...options, limit: Number.POSITIVE_INFINITY }
  const all = keysIn(model, range)
  assert.deepEqual((await tx.first(range))?.[0], all[0])
  assert.deepEqual(tx.lastSync(range)?.[0], all.at(-1))
}

function compareJumps(
  tx: OrderedTransactionTable<string, string>,
  model: Map<string, string>,
  random: SeededRandom,
  key: () => string,
): void {
  const reverse = random.chance(0.5)
  const [gte, lte] = [key(), key()].sort() as [string, string]
  const keys = keysIn(model, { gte, lte, reverse })
  const cursor = tx.keys({ gte, lte, reverse })
  let at = 0
  for (let i = 0; i < 6 && at <= keys.length; i++) {
    if (random.chance(0.5)) {
      const { done, value } = cursor.nextSync()
      assert.equal(value, keys[at++])
      if (done) break
      continue
    }
    const target = key()
    cursor.seek(target)
    at = keys.findIndex((one) => (reverse ? one <= target : one >= target))
    if (at < 0) at = keys.length
  }
  cursor.close()
}

function sortedContent(model: Map<string, string>): Record<string, string> {
  return Object.fromEntries([...model].sort(byKey))
}
