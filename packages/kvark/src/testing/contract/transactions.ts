/** Contract, chapter 19: transactions. What one reads and writes, when it runs again, and how it ends. */

import assert from 'node:assert/strict'
import { SeededRandom } from '../../bytes/random.ts'
import type { OrderedTransaction } from '../../store/types.ts'
import { bytes, collect, content, names, pattern, rejects, text, throws, turn } from './check.ts'
import type { AnyStore, Case, Chapter, Place } from './place.ts'

type Tx = OrderedTransaction<string, string>

export async function opened(place: Place): Promise<AnyStore> {
  return await place.open({ durability: 'none' })
}

/** Runs a transaction that reads by `read` and writes `own`; during its first run `meanwhile` happens. Gives how often it ran. */
export async function runsOf(
  db: AnyStore,
  read: (tx: Tx) => unknown,
  meanwhile: () => unknown,
): Promise<number> {
  let runs = 0
  await db.transaction(async (tx) => {
    runs++
    await read(tx)
    if (runs === 1) await meanwhile()
    await tx.put('own', String(runs))
  })
  assert.equal(db.getSync('own'), String(runs))
  assert.equal(db.stats().snapshots, 0)
  return runs
}

const cases: readonly Case[] = [
  {
    name: 'reads one moment and its own writes, which others see together when it has ended',
    async run(place) {
      const db = await place.open()
      await db.batch(['a', 'b'].map((key) => ({ type: 'put', key, value: 'old' })))
      const result = await db.transaction(async (tx) => {
        assert.equal(await tx.get('a'), 'old')
        assert.equal(await tx.put('a', 'new'), undefined)
        assert.equal(await tx.delete('b'), undefined)
        tx.setSync('c', 'new')
        db.putSync('d', 'meanwhile')
        assert.deepEqual(await tx.getMany(['a', 'b', 'c']), ['new', undefined, 'new'])
        assert.deepEqual(tx.getManySync(['c', 'b']), ['new', undefined])
        assert.deepEqual([await tx.has('a'), tx.hasSync('b')], [true, false])
        assert.equal(tx.viewSync('c', text), 'new')
        assert.deepEqual(await content(db), { a: 'old', b: 'old', d: 'meanwhile' })
        return 7
      })
      assert.equal(result, 7)
      const expected = { a: 'new', c: 'new', d: 'meanwhile' }
      assert.deepEqual(await content(db), expected)
      assert.equal(
        db.transactionSync((tx) => {
          assert.equal(tx.getSync('a'), 'new')
          tx.delSync('a')
          return tx.countSync()
        }),
        2,
      )
      await db.close()
      assert.deepEqual(await content(await place.open()), { c: 'new', d: 'meanwhile' })
    },
  },
  {
    name: 'leaves nothing when its function fails, and passes the error on',
    async run(place) {
      const db = await opened(place)
      db.putSync('a', '1')
      const { sequence } = db.stats()
      const error = new Error('no more')
      const fail = (tx: Tx): never => {
        tx.putSync('a', '2')
        tx.putSync('b', '2')
        tx.table('t').putSync('b', '2')
        throw error
      }
      await assert.rejects(db.transaction(fail), error)
      await assert.rejects(
        db.transaction(async (tx) => {
          await tx.get('a')
          fail(tx)
        }),
        error,
      )
      assert.throws(() => db.transactionSync(fail), error)
      assert.deepEqual([await content(db), db.tables()], [{ a: '1' }, []])
      assert.deepEqual([db.stats().sequence, db.stats().snapshots], [sequence, 0])
    },
  },
  {
    name: 'runs again when others have changed what it read: a key',
    async run(place) {
      const db = await opened(place)
      const t = db.table('t')
      for (const key of ['a', 'b']) db.putSync(key, 'old')
      t.putSync('a', 'old')
      const reads: Record<string, (tx: Tx) => unknown> = {
        get: (tx) => tx.get('a'),
        getSync: (tx) => tx.getSync('a'),
        getMany: (tx) => tx.getMany(['b', 'a']),
        getEntry: (tx) => tx.getEntry('a'),
        has: (tx) => tx.has('a'),
        viewSync: (tx) => tx.viewSync('a', text),
        getStream: async (tx) => await (await tx.getStream('a'))?.cancel(),
        touch: (tx) => tx.touch('a'),
        update: (tx) => tx.updateSync('a', (value) => value),
        condition: (tx) => tx.put('a', '1', { ifAbsent: true }).catch(() => {}),
      }
      for (const [name, read] of Object.entries(reads)) {
        assert.equal(await runsOf(db, read, () => db.put('a', name)), 2, name)
        assert.equal(await runsOf(db, read, () => db.put('c', name)), 1, `${name}, another key`)
        assert.equal(await runsOf(db, read, () => t.put('a', name)), 1, `${name}, another table`)
        assert.equal(db.getSync('own'), '1')
      }
      const writes: Record<string, () => unknown> = {
        putSync: () => db.putSync('a', '1'),
        delete: () => db.delete('a'),
        'put of what is absent': () => db.put('a', '2', { ifAbsent: true }),
        batch: () => db.batch([{ type: 'put', key: 'a', value: '3' }]),
        'batch of another table': () => t.batch([{ type: 'put', table: db, key: 'a', value: '4' }]),
        touch: () => db.touch('a', { ttl: 1e6 }),
        putStream: () => db.putStream('a', [bytes('5')]),
        increment: () => db.increment('a'),
        transaction: () => db.transaction((tx) => tx.put('a', '6')),
        transactionSync: () => db.transactionSync((tx) => tx.deleteSync('a')),
        clear: () => db.clear(),
      }
      for (const [name, write] of Object.entries(writes)) {
        assert.equal(await runsOf(db, (tx) => tx.get('a'), write), 2, name)
      }
      assert.equal(
        await runsOf(
          db,
          (tx) => tx.get('a'),
          () => db.delete('nothing'),
        ),
        1,
      )
      assert.equal(
        await runsOf(
          db,
          (tx) => tx.put('a', '1'),
          () => db.put('a', '2'),
        ),
        1,
      )
      assert.equal(db.getSync('a'), '1', 'who has not read it writes over it')
    },
  },
  {
    name: 'gives up after so many runs with CONFLICT, and has written nothing',
    async run(place) {
      const db = await opened(place)
      for (const attempts of [1, 3]) {
        let runs = 0
        const error = await rejects('CONFLICT', () =>
          db.transaction(
            async (tx) => {
              await tx.get('a')
              await db.put('a', String(++runs))
              await tx.put('b', 'never')
            },
            { attempts },
          ),
        )
        assert.deepEqual([runs, error.retryable], [attempts, true])
        runs = 0
        const run = (tx: Tx): void => {
          tx.getSync('a')
          db.putSync('a', String(++runs))
          tx.putSync('b', 'never')
        }
        throws('CONFLICT', () => db.transactionSync(run, { attempts }))
        assert.deepEqual([runs, await content(db)], [attempts, { a: String(attempts) }])
      }
      assert.equal(db.stats().snapshots, 0)
    },
  },
  {
    name: 'never conflicts and writes nothing when it only reads',
    async run(place) {
      const db = await opened(place)
      for (const name of names(10)) db.putSync(name, 'old')
      let runs = 0
      const seen = await db.transaction(async (tx) => {
        runs++
        const first = await tx.get('key0000')
        for (const name of names(10)) db.putSync(name, 'new')
        return [first, await tx.get('key0001'), new Set(Object.values(await content(tx))).size]
      })
      const { sequence } = db.stats()
      assert.deepEqual([runs, seen], [1, ['old', 'old', 1]])
      db.transactionSync((tx) => tx.countSync())
      assert.deepEqual([db.stats().sequence, db.stats().snapshots], [sequence, 0])
    },
  },
  {
    name: 'loses no update of many that run at the same time',
    async run(place) {
      const db = await opened(place)
      const keys = names(6)
      const random = new SeededRandom(5)
      const client = async (): Promise<void> => {
        for (let i = 0; i < 12; i++) {
          const pair = [random.pick(keys), random.pick(keys)]
          await db.transaction(async (tx) => {
            for (const key of pair) {
              await tx.put(key, String(Number((await tx.get(key)) ?? 0) + 1))
              await turn()
            }
          })
        }
      }
      await Promise.all(Array.from({ length: 8 }, client))
      const sum = (await collect(db.values())).reduce((total, value) => total + Number(value), 0)
      assert.equal(sum, 8 * 12 * 2)
    },
  },
  {
    name: 'reads and writes what is not in memory',
    async run(place) {
      const db = await place.openBytes({ durability: 'os' })
      const keys = names(320).map(bytes)
      const puts = keys.map((key, i) => ({ type: 'put' as const, key, value: pattern(4000, i) }))
      await db.batch(puts)
      await db.close()
      const again = await place.openBytes({ durability: 'os' })
      const swap = async (i: number): Promise<void> => {
        await again.transaction(async (tx) => {
          const [one, other] = await Promise.all([tx.get(keys[i]!), tx.get(keys[319 - i]!)])
          assert.ok(one !== undefined && other !== undefined)
          await tx.put(keys[i]!, other)
          await tx.put(keys[319 - i]!, one)
        })
      }
      await Promise.all(keys.slice(0, 120).map((_, i) => swap(i)))
      const found = again.transactionSync((tx) => keys.map((key) => tx.getSync(key)![0]))
      const expected = keys.map((_, i) => pattern(1, i < 120 || i >= 200 ? 319 - i : i)[0])
      assert.deepEqual(found, expected)
    },
  },
  {
    name: 'goes back to savepoints, one inside the other',
    async run(place) {
      const db = await opened(place)
      db.putSync('a', '0')
      db.transactionSync((tx) => {
        tx.putSync('a', '1')
        const outer = tx.savepoint()
        tx.putSync('a', '2')
        tx.putSync('b', '2')
        const before = tx.keys()
        const inner = tx.savepoint()
        tx.putSync('a', '3')
        tx.clearSync()
        tx.putSync('c', '3')
        const after = tx.keys()
        inner.rollback()
        throws('CLOSED', () => after.nextSync())
        assert.deepEqual(before.nextManySync(9).sort(), ['a', 'b'])
        assert.deepEqual(tx.getManySync(['a', 'b', 'c']), ['2', '2', undefined])
        tx.putSync('d', '4')
        inner.rollback()
        assert.equal(tx.getSync('d'), undefined)
        const third = tx.savepoint()
        tx.putSync('e', '5')
        inner.release()
        for (const ended of [inner, third]) {
          throws('CLOSED', () => ended.rollback())
          throws('CLOSED', () => ended.release())
        }
        assert.equal(tx.getSync('e'), '5')
        const last = tx.savepoint()
        outer.rollback()
        throws('CLOSED', () => last.release())
        assert.deepEqual(tx.getManySync(['a', 'b', 'e']), ['1', undefined, undefined])
        tx.putSync('f', '6')
        outer.release()
      })
      assert.deepEqual(await content(db), { a: '1', f: '6' })
      assert.equal(
        await runsOf(
          db,
          (tx) => {
            const savepoint = tx.savepoint()
            tx.getSync('a')
            savepoint.rollback()
          },
          () => db.put('a', '2'),
        ),
        2,
        'what was read stays read',
      )
    },
  },
  {
    name: 'writes a key again and again in bounded memory, also between savepoints',
    async run(place) {
      const db = await place.openBytes({ durability: 'none' })
      const { sequence } = db.stats()
      const key = bytes('key')
      db.transactionSync((tx) => {
        tx.putSync(bytes('a'), pattern(100, 1))
        for (let i = 0; i < 400; i++) tx.putSync(key, pattern(1000 + (i % 7) * 1000, i))
        const savepoint = tx.savepoint()
        for (let i = 0; i < 40; i++) tx.putSync(key, pattern(9000, i))
        const ended = tx.keys()
        savepoint.rollback()
        throws('CLOSED', () => ended.nextSync())
        assert.deepEqual(tx.getSync(key), pattern(1000 + (399 % 7) * 1000, 399))
        const kept = tx.savepoint()
        for (let i = 0; i < 400; i++) tx.putSync(key, pattern(9000, i))
        const before = tx.keys()
        kept.release()
        // What was replaced goes; then there is less than the walk began with.
        tx.putSync(key, pattern(9000, 0))
        const behind = tx.savepoint()
        tx.putSync(bytes('z'), pattern(9, 0))
        behind.rollback()
        assert.equal(before.nextManySync(9).length, 2, 'a walk from before a savepoint goes on')
        for (let i = 0; i < 40; i++) tx.putSync(key, pattern(9000, i))
      })
      assert.deepEqual(db.getSync(key), pattern(9000, 39))
      assert.equal(db.stats().sequence, sequence + 2)
    },
  },
  {
    name: 'judges conditions by what it sees',
    async run(place) {
      const db = await opened(place)
      const version = db.putSync('a', '1')
      await db.transaction(async (tx) => {
        await rejects('CONFLICT', () => tx.put('a', '2', { ifAbsent: true }))
        const error = throws('CONFLICT', () => tx.putSync('a', '2', { ifVersion: version + 1 }))
        assert.deepEqual([error.expected, error.found], [version + 1, version])
        throws('CONFLICT', () => tx.deleteSync('a', { ifVersion: version + 1 }))
        await tx.put('a', '2', { ifVersion: version })
        const own = (await tx.getEntry('a'))!
        assert.deepEqual([own.value, own.expiresAt], ['2', undefined])
        await rejects('CONFLICT', () => tx.put('a', '3', { ifVersion: version }))
        await tx.put('a', '3', { ifVersion: own.version })
        await tx.put('b', '1', { ifAbsent: true })
        await rejects('CONFLICT', () => tx.put('b', '2', { ifAbsent: true }))
        tx.deleteSync('b')
        const both = [tx.put('b', '3', { ifAbsent: true }), tx.put('b', '4', { ifAbsent: true })]
        const results = await Promise.allSettled(both)
        assert.deepEqual(
          results.map(({ status }) => status),
          ['fulfilled', 'rejected'],
        )
      })
      assert.deepEqual(await content(db), { a: '3', b: '3' })
      const read = (tx: Tx): unknown => tx.put('c', '1', { ifAbsent: true })
      await rejects('CONFLICT', () => runsOf(db, read, () => db.put('c', '0')))
    },
  },
  {
    name: 'has one clock: what it sees does not end meanwhile',
    async run(place) {
      const db = await opened(place)
      // So much that it has not ended before the transaction reads it, also on a machine with other work.
      const end = (): number => Date.now() + 60
      const past = async (time: number): Promise<void> => {
        while (Date.now() <= time + 2) await new Promise((resolve) => setTimeout(resolve, 3))
      }
      const ending = end()
      db.putSync('a', '1', { expiresAt: ending })
      db.putSync('b', '1', { expiresAt: ending })
      await db.transaction(async (tx) => {
        assert.equal(await tx.get('a'), '1')
        await tx.put('own', '1', { expiresAt: ending })
        await tx.put('over', '1', { expiresAt: 1 })
        await past(ending)
        assert.deepEqual(tx.getManySync(['a', 'b', 'own', 'over']), ['1', '1', '1', undefined])
        assert.deepEqual((await collect(tx.keys())).sort(), ['a', 'b', 'own'])
        assert.equal(tx.countSync(), 3)
        assert.equal(await tx.touch('b', { ttl: 1e6 }), true)
        assert.equal(tx.touchSync('own'), true)
        assert.equal(tx.touchSync('over'), false)
        assert.ok((await tx.getEntry('b'))!.expiresAt! > ending)
      })
      assert.deepEqual(await content(db), { b: '1', own: '1' })
      assert.equal(db.getEntrySync('own')!.expiresAt, undefined)
    },
  },
  {
    name: "takes large values, whose memory is the caller's again at once",
    async run(place) {
      const db = await place.openBytes({ durability: 'none' })
      const key = bytes('key')
      const value = pattern(300_000, 1)
      await db.transaction(async (tx) => {
        await tx.put(key, value)
        value.fill(0)
        assert.deepEqual(await tx.get(key), pattern(300_000, 1))
        assert.deepEqual([...tx.values()], [pattern(300_000, 1)])
        await tx.touch(key, { ttl: 1e6 })
        const parts: Uint8Array[] = []
        for await (const part of (await tx.getStream(key))!) parts.push(part)
        assert.deepEqual(new Uint8Array(Buffer.concat(parts)), pattern(300_000, 1))
      })
      assert.deepEqual(db.getSync(key), pattern(300_000, 1))
      await db.transaction(async (tx) => {
        assert.equal(await tx.getStream(bytes('nothing')), undefined)
        const stream = (await tx.getStream(key))!
        assert.equal(await tx.touch(key), true)
        tx.deleteSync(key)
        assert.equal(await tx.getStream(key), undefined)
        let length = 0
        for await (const part of stream) length += part.length
        assert.equal(length, 300_000)
      })
      assert.equal(db.countSync(), 0)
    },
  },
  {
    name: 'refuses what makes no sense, and what comes after its end',
    async run(place) {
      const db = await opened(place)
      db.putSync('a', '1')
      let gone: Tx | undefined
      let cursor: ReturnType<Tx['keys']> | undefined
      const savepoint = await db.transaction(async (tx) => {
        gone = tx
        cursor = tx.keys()
        await cursor.next()
        await rejects('INVALID_ARGUMENT', () => tx.put('b', '1', { durability: 'os' } as object))
        await rejects('INVALID_ARGUMENT', () => tx.put('b', '1', { ifNew: true } as object))
        throws('INVALID_ARGUMENT', () => tx.putSync('b', '1', { ttl: 0 }))
        throws('INVALID_ARGUMENT', () => tx.clearSync({ durability: 'os' } as object))
        throws('INVALID_VALUE', () => tx.putSync('b', 1 as never))
        await rejects('INVALID_KEY', () => tx.get(1 as never))
        await rejects('INVALID_KEY', () => tx.delete({} as never))
        throws('INVALID_ARGUMENT', () => tx.entries({ token: new Uint8Array(1) }))
        throws('INVALID_ARGUMENT', () => tx.table({} as never))
        throws('INVALID_ARGUMENT', () => tx.table(db as never, { keys: 'utf8' }))
        throws('INVALID_ARGUMENT', () => tx.getManySync('a' as never))
        throws('INVALID_ARGUMENT', () => db.transactionSync(() => db.transactionSync(() => 1)))
        assert.deepEqual(await collect(tx.keys()), ['a'])
        return tx.savepoint()
      })
      const tx = gone!
      throws('CLOSED', () => tx.getSync('a'))
      throws('CLOSED', () => tx.putSync('a', '2'))
      throws('CLOSED', () => tx.keys())
      throws('CLOSED', () => tx.table('t'))
      throws('CLOSED', () => tx.savepoint())
      throws('CLOSED', () => savepoint.rollback())
      throws('CLOSED', () => cursor!.nextSync())
      await rejects('CLOSED', () => cursor!.next())
      await rejects('CLOSED', () => tx.get('a'))
      await rejects('CLOSED', () => tx.put('a', '2'))
      await rejects('CLOSED', () => tx.count())
      await rejects('CLOSED', () => tx.clear())
      await rejects('CLOSED', () => tx.update('a', () => '2'))
      cursor!.close()
      throws('INVALID_ARGUMENT', () =>
        db.transactionSync(async (late) => {
          late.putSync('a', '2')
          await turn()
          late.putSync('a', '3')
        }),
      )
      for (const then of [
        () => {},
        () => {
          throw new Error('not even that')
        },
      ]) {
        // What can be awaited need not be an object.
        for (const target of [{}, () => 1]) {
          // oxlint-disable-next-line unicorn/no-thenable -- this is what is refused
          const promise = Object.defineProperty(target, 'then', { value: then })
          throws('INVALID_ARGUMENT', () =>
            db.transactionSync((late) => {
              late.putSync('a', '2')
              return promise
            }),
          )
        }
      }
      for (const range of [null, 1, 'a'] as never[]) {
        throws('INVALID_ARGUMENT', () => db.transactionSync((one) => one.clearSync(range)))
        await rejects('INVALID_ARGUMENT', () => db.transaction((one) => one.clear(range)))
      }
      for (const options of [
        { attempts: 0 },
        { attempts: 1.5 },
        { attempts: null },
        { durability: 'x' },
        { retry: 1 },
      ]) {
        await rejects('INVALID_ARGUMENT', () => db.transaction(() => 1, options as object))
        throws('INVALID_ARGUMENT', () => db.transactionSync(() => 1, options as object))
      }
      await rejects('INVALID_ARGUMENT', () => db.transaction(undefined as never))
      assert.deepEqual(await content(db), { a: '1' })
      assert.equal(db.stats().snapshots, 0)
      await db.transaction(async (one) => {
        await db.transaction((other) => other.put('inner', '1'))
        assert.equal(await one.get('inner'), undefined)
      })
    },
  },
  {
    name: 'is not upset by codecs that call it',
    async run(place) {
      let during: (() => void) | undefined
      const own = {
        name: 'own',
        encode(value: string): Uint8Array {
          during?.()
          return bytes(value)
        },
        decode(value: Uint8Array): string {
          const result = text(value)
          during?.()
          return result
        },
      }
      const db = await place.open({ durability: 'none', keys: own, values: own })
      db.putSync('a', '1')
      db.putSync('b', '2')
      const inside = (act: () => void): void => {
        during = () => {
          during = undefined
          act()
        }
      }
      await db.transaction(async (tx) => {
        inside(() => assert.equal(tx.getSync('b'), '2'))
        assert.equal(tx.getSync('a'), '1')
        inside(() => tx.putSync('b', '3'))
        assert.equal(await tx.get('a'), '1')
        inside(() => throws('INVALID_ARGUMENT', () => tx.putSync('b', '4')))
        tx.putSync('a', '5')
        inside(() => assert.equal(tx.getSync('b'), '3'))
        tx.putSync('c', '6')
        const failure = new Error('not encoded')
        inside(() => {
          throw failure
        })
        assert.equal(throws('INVALID_KEY', () => tx.putSync('d', '7')).cause, failure)
        assert.deepEqual((await collect(tx.entries())).sort(byKey), [
          ['a', '5'],
          ['b', '3'],
          ['c', '6'],
        ])
      })
      assert.equal(db.countSync(), 3)
    },
  },
  {
    name: 'ends when its store is closed, and runs again when it is resumed',
    async run(place) {
      const db = await opened(place)
      db.putSync('a', '1')
      assert.equal(
        await runsOf(
          db,
          (tx) => tx.get('a'),
          () => db.resume(),
        ),
        2,
      )
      assert.equal(
        await runsOf(
          db,
          (tx) => tx.get('a'),
          () => db.resumeSync(),
        ),
        2,
      )
      let runs = 0
      await db.transaction(async (tx) => {
        if (runs++ > 0) return
        await db.resume()
        await tx.get('a')
      })
      assert.equal(runs, 2)
      let proceed = (): void => {}
      const running = db.transaction(async (tx) => {
        const cursor = tx.keys()
        await tx.put('a', '2')
        await new Promise<void>((resolve) => {
          proceed = resolve
        })
        throws('CLOSED', () => tx.getSync('a'))
        throws('CLOSED', () => cursor.nextSync())
      })
      const refused = rejects('CLOSED', () => running)
      await turn()
      await db.close()
      proceed()
      await refused
      await rejects('CLOSED', () => db.transaction(() => 1))
      throws('CLOSED', () => db.transactionSync(() => 1))
      const again = await place.open({ readOnly: true })
      assert.equal(
        again.transactionSync((tx) => tx.getSync('a')),
        '1',
      )
      throws('READ_ONLY', () => again.transactionSync((tx) => tx.putSync('a', '3')))
    },
  },
]

export const transactions: Chapter = {
  name: 'transactions',
  cases: cases.map((one) => ({ ...one, needs: ['transactions', ...(one.needs ?? [])] })),
}

export function byKey([a]: [string, string], [b]: [string, string]): number {
  return a < b ? -1 : 1
}
