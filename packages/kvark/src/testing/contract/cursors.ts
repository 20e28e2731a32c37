/** Contract, chapter 4: walking over entries, in any order the engine has. */

import assert from 'node:assert/strict'
import { bytes, collect, content, names, pattern, rejects, text, throws, turn } from './check.ts'
import type { AnyStore, Case, Chapter, Place } from './place.ts'

const COUNT = 120

/** A store with the keys of `names(COUNT)`, each its own value. */
async function filled(place: Place): Promise<AnyStore> {
  const db = await place.open({ durability: 'none' })
  for (const name of names(COUNT)) await db.put(name, name)
  await db.sync()
  return db
}

/** Engines may make much of what comes next beforehand. */
function manyEntries(values: 'utf8' | 'bytes' | 'json'): Case {
  const of = (name: string, version: number): unknown => {
    const written = `${name} ${name.endsWith('7') ? 'é' : 'e'} ${version}`
    return values === 'bytes' ? bytes(written) : written
  }
  return {
    name: `what a walk over many entries gives stays as it is, whatever is written meanwhile; values as ${values}`,
    async run(place) {
      const db = await place.open<string, unknown>({ durability: 'none', values })
      for (const name of names(COUNT)) db.putSync(name, of(name, 1))
      const order = [...db.keys()]
      const expected = order.map((name) => [name, of(name, 1)])
      for (const limit of [9, 10, COUNT]) {
        assert.deepEqual([...db.entries({ limit })], expected.slice(0, limit))
      }
      const cursor = db.entries()
      const alone = db.values()
      const given: unknown[] = []
      const givenAlone: unknown[] = []
      for (const [i, name] of order.entries()) {
        given.push((i % 3 === 0 ? await cursor.next() : cursor.nextSync()).value)
        givenAlone.push(alone.nextSync().value)
        db.putSync(name, of(name, 2))
      }
      assert.equal(cursor.nextSync().done, true)
      assert.deepEqual(given, expected)
      assert.deepEqual(
        givenAlone,
        expected.map(([, value]) => value),
      )
      const cut = db.entries()
      for (let i = 0; i < COUNT / 2; i++) cut.nextSync()
      await db.close()
      throws('CLOSED', () => cut.nextSync())
    },
  }
}

const cases: readonly Case[] = [
  {
    name: 'entries, keys and values give each entry once, with for await, for, next and nextMany',
    async run(place) {
      const db = await filled(place)
      const expected = names(COUNT)
      const pairs = await collect(db.entries())
      assert.deepEqual(
        [...pairs].sort(([a], [b]) => (a < b ? -1 : 1)),
        expected.map((name) => [name, name]),
      )
      const order = pairs.map(([key]) => key)
      assert.deepEqual(await collect(db.keys()), order, 'the order is the same each time')
      assert.deepEqual(await collect(db.values()), order)
      assert.deepEqual([...db.keys()], order)
      assert.deepEqual([...db.entries()], pairs)
      const cursor = db.keys()
      const stepped: string[] = []
      for (let step = await cursor.next(); !step.done; step = cursor.nextSync()) {
        stepped.push(step.value)
        const next = await cursor.next()
        if (!next.done) stepped.push(next.value)
      }
      assert.deepEqual(stepped, order)
      const many = db.keys()
      assert.deepEqual(await many.nextMany(50), order.slice(0, 50))
      assert.deepEqual(many.nextManySync(50), order.slice(50, 100))
      assert.deepEqual(await many.nextMany(0), [])
      assert.deepEqual(await many.nextMany(50), order.slice(100))
      assert.deepEqual(await many.nextMany(50), [])
    },
  },
  {
    name: 'keys that begin alike for long',
    async run(place) {
      for (const alike of [240, 249, 300, 1010, 1018, 4080]) {
        const db = await place.open({ durability: 'none' })
        await db.clear()
        if (alike + 30 > db.limits.keyBytes) break
        const written = new Map<string, string>()
        for (let i = 0; i < 300; i++) {
          const name = String((i * 1777) % 1000)
          written.set('k'.repeat(alike) + name.padEnd(i % 20, '+'), name)
        }
        for (const [key, value] of written) db.putSync(key, value)
        const walked = [...db.entries()]
        assert.deepEqual(new Map(walked), written, `${alike} bytes alike`)
        assert.equal(walked.length, written.size)
        assert.deepEqual([...db.keys()].sort(), [...written.keys()].sort())
        assert.deepEqual([...db.values()].sort(), [...written.values()].sort())
        await db.close()
      }
    },
  },
  {
    name: 'an empty store has nothing to walk over',
    async run(place) {
      const db = await place.open()
      assert.deepEqual(await collect(db.entries()), [])
      assert.deepEqual([...db.entries()], [])
      assert.deepEqual(await db.entries().next(), { done: true, value: undefined })
    },
  },
  {
    name: 'limit',
    async run(place) {
      const db = await filled(place)
      const order = await collect(db.keys())
      for (const limit of [0, 1, 7, COUNT - 1, COUNT, COUNT + 1]) {
        assert.deepEqual(await collect(db.keys({ limit })), order.slice(0, limit))
        assert.deepEqual(db.keys({ limit }).nextManySync(COUNT * 2), order.slice(0, limit))
        assert.equal(await db.count({ limit }), Math.min(limit, COUNT))
        assert.equal(db.countSync({ limit }), Math.min(limit, COUNT))
      }
    },
  },
  ...(['utf8', 'bytes', 'json'] as const).map(manyEntries),
  {
    name: 'the end is the end, also after close',
    async run(place) {
      const db = await filled(place)
      const done = { done: true, value: undefined }
      const walked = db.keys()
      await walked.nextMany(COUNT)
      assert.deepEqual(await walked.next(), done)
      db.putSync('zzz', 'late')
      assert.deepEqual(await walked.next(), done)
      assert.deepEqual(walked.nextSync(), done)
      const closed = db.keys()
      await closed.next()
      closed.close()
      closed.close()
      assert.deepEqual(await closed.next(), done)
      assert.deepEqual(closed.nextSync(), done)
      assert.deepEqual(await closed.nextMany(3), [])
      const returned = db.keys()
      assert.deepEqual(await returned.return(), done)
      assert.deepEqual(await returned.next(), done)
    },
  },
  {
    name: 'leaving the loop closes the cursor',
    async run(place) {
      const db = await filled(place)
      const open = (): number => db.stats().snapshots
      const cursor = db.keys()
      for await (const key of cursor) {
        assert.ok(key)
        break
      }
      assert.deepEqual(await cursor.next(), { done: true, value: undefined })
      const other = db.keys()
      for (const key of other) {
        assert.ok(key)
        break
      }
      assert.deepEqual(other.nextSync(), { done: true, value: undefined })
      await assert.rejects(async () => {
        for await (const key of db.keys()) throw new Error(key)
      }, /^Error: key/)
      assert.equal(open(), 0, 'nothing is held any more')
    },
  },
  {
    name: 'a cursor that is closed while a step runs: its token misses nothing that was not given',
    async run(place) {
      const first = await place.open({ durability: 'none' })
      const long = 'x'.repeat(Math.min(20_000, first.limits.keyBytes - 10))
      const names = Array.from({ length: 6 }, (_, i) => `${i}${long}`)
      for (const name of names) await first.put(name, name.repeat(15))
      await first.close()
      for (let turns = 0; turns < 8; turns++) {
        const db = await place.open({ cacheBytes: 2 ** 20 })
        const cursor = db.entries()
        const seen = (await cursor.nextMany(2)).map(([key]) => key)
        const step = cursor.next()
        for (let i = 0; i < turns; i++) await Promise.resolve()
        cursor.close()
        const { done, value } = await step
        if (!done) seen.push(value[0])
        seen.push(...(await collect(db.keys({ token: cursor.token }))))
        assert.deepEqual(seen.sort(), names)
        await db.close()
      }
    },
  },
  {
    name: 'a token resumes the walk where it stood, also after opening again',
    async run(place) {
      let db = await filled(place)
      for (const taken of [0, 1, 13, COUNT - 1, COUNT]) {
        const cursor = db.keys()
        const first = await cursor.nextMany(taken)
        const { token } = cursor
        cursor.close()
        assert.ok(token instanceof Uint8Array)
        assert.deepEqual(Buffer.from(cursor.token), Buffer.from(token), 'it is kept over close')
        const here = await collect(db.keys({ token }))
        checkResumed(db, first, here)
        await db.close()
        db = await place.open()
        checkResumed(db, first, await collect(db.keys({ token })))
        checkResumed(db, first, db.keys({ token }).nextManySync(COUNT))
      }
    },
  },
  {
    name: 'a resumed walk misses no key that is there throughout',
    async run(place) {
      const db = await filled(place)
      const seen: string[] = []
      let token: Uint8Array | undefined
      for (let round = 0; ; round++) {
        const cursor = db.keys(token === undefined ? {} : { token })
        const some = await cursor.nextMany(11)
        token = cursor.token
        cursor.close()
        seen.push(...some)
        if (some.length < 11) break
        // New keys before, between and behind; the ones of every third round go again.
        for (const place of ['a', 'key0050x', 'z'])
          db.putSync(`${place}${round}`, 'new', { durability: 'none' })
        if (round % 3 === 2) db.deleteSync(`key0050x${round}`)
        if (round % 4 === 3) await db.compact()
      }
      const missed = names(COUNT).filter((name) => !seen.includes(name))
      assert.deepEqual(missed, [])
    },
  },
  {
    name: 'a walk sees the entries of the moment it began',
    needs: ['snapshots'],
    async run(place) {
      const db = await filled(place)
      const expected = await collect(db.entries())
      const cursor = db.entries()
      const walked = await cursor.nextMany(10)
      for (const name of names(COUNT)) db.putSync(name, 'overwritten', { durability: 'none' })
      db.putSync('key0005x', 'new')
      walked.push(...(await cursor.nextMany(10)))
      await db.clear()
      walked.push(...cursor.nextManySync(10))
      db.putSync('key0090', 'after clear')
      await db.compact()
      walked.push(...(await collect(cursor)))
      assert.deepEqual(walked, expected)
      assert.deepEqual(await content(db), { key0090: 'after clear' })
    },
  },
  {
    name: 'a walk during writes gives every key that is there throughout',
    async run(place) {
      const db = await filled(place)
      const seen = new Set<string>()
      let round = 0
      for await (const [key, value] of db.entries()) {
        seen.add(key)
        assert.ok(value === key || value === 'new', `${key} was never ${value}`)
        db.putSync(`new${round}`, 'new', { durability: 'none' })
        if (round % 2 === 1) db.deleteSync(`new${round - 1}`, { durability: 'none' })
        if (++round > COUNT * 4) break
      }
      const missed = names(COUNT).filter((name) => !seen.has(name))
      assert.deepEqual(missed, [])
    },
  },
  {
    name: 'promised steps run in the order of the calls',
    async run(place) {
      const db = await filled(place)
      const order = await collect(db.keys())
      const cursor = db.keys()
      const [a, b, c, d] = await Promise.all([
        cursor.next(),
        cursor.next(),
        cursor.nextMany(5),
        cursor.next(),
      ])
      assert.deepEqual([a.value, b.value, ...c, d.value], order.slice(0, 8))
    },
  },
  {
    name: 'a signal ends the walk with its reason',
    async run(place) {
      const db = await filled(place)
      const reason = new Error('stop')
      const controller = new AbortController()
      const cursor = db.keys({ signal: controller.signal })
      await cursor.nextMany(3)
      controller.abort(reason)
      await assert.rejects(cursor.next(), reason)
      assert.throws(() => cursor.nextSync(), reason)
      await assert.rejects(collect(db.keys({ signal: AbortSignal.abort(reason) })), reason)
      await assert.rejects(db.count({ signal: AbortSignal.abort(reason) }), reason)
      assert.equal(db.stats().snapshots, 0)
      const running = new AbortController()
      await assert.rejects(async () => {
        for await (const key of db.keys({ signal: running.signal })) {
          if (key) running.abort(reason)
        }
      }, reason)
    },
  },
  {
    name: 'a closed store ends its cursors with CLOSED',
    async run(place) {
      const db = await filled(place)
      const cursor = db.keys()
      await cursor.next()
      await db.close()
      await rejects('CLOSED', () => cursor.next())
      throws('CLOSED', () => cursor.nextSync())
      cursor.close()
    },
  },
  {
    name: 'cursors dispose themselves',
    async run(place) {
      const db = await filled(place)
      const first = db.keys()
      const second = db.keys()
      first[Symbol.dispose]()
      await second[Symbol.asyncDispose]()
      assert.deepEqual(await first.next(), { done: true, value: undefined })
      assert.deepEqual(await second.next(), { done: true, value: undefined })
      assert.equal(db.stats().snapshots, 0)
    },
  },
  {
    name: 'wrong options are refused at once',
    async run(place) {
      const db = await filled(place)
      const wrong: Record<string, unknown>[] = [
        { limit: -1 },
        { limit: 1.5 },
        { limit: '3' },
        { signal: {} },
        { token: 'abc' },
        { limits: 3 },
      ]
      for (const options of wrong) {
        throws('INVALID_ARGUMENT', () => db.keys(options))
        await rejects('INVALID_ARGUMENT', () => db.count(options))
      }
      await rejects('INVALID_ARGUMENT', () => db.keys().nextMany(-1))
      throws('INVALID_ARGUMENT', () => db.keys().nextManySync(Number.NaN))
    },
  },
  {
    name: 'large values and empty keys on the way',
    async run(place) {
      const db = await place.openBytes({ durability: 'none' })
      const lengths = [0, 3000, 1, 200_000, 5000, 20]
      for (const [i, length] of lengths.entries()) {
        await db.put(bytes('k'.repeat(i)), pattern(length, i))
      }
      for (let round = 0; round < 3; round++) {
        const walked = round === 0 ? [...db.entries()] : await collect(db.entries())
        assert.equal(walked.length, lengths.length)
        for (const [key, value] of walked) {
          assert.equal(text(key), 'k'.repeat(key.length))
          assert.deepEqual(value, pattern(lengths[key.length]!, key.length))
        }
        await turn()
      }
    },
  },
]

/** What came before the token and what comes after it are everything; on an ordered store nothing comes twice. */
function checkResumed(db: AnyStore, first: readonly string[], rest: readonly string[]): void {
  const all = [...first, ...rest]
  assert.deepEqual([...new Set(all)].sort(), names(COUNT))
  if (db.supports.order) assert.equal(all.length, COUNT)
}

export const cursors: Chapter = { name: 'cursors', cases }
