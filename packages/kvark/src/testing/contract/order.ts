/** Contract, chapter 5: ranges, for engines that keep entries in the order of their keys. */

import assert from 'node:assert/strict'
import { SeededRandom } from '../../bytes/random.ts'
import type { KeyRange, RangeOptions } from '../../store/call-types.ts'
import { bytes, collect, names, rejects, text, throws } from './check.ts'
import type { BytesStore, Case, Chapter, Place } from './place.ts'

const KEYS = [
  '',
  '\0',
  '\0\0',
  '\0\x01',
  '\x01',
  'a',
  'a\0',
  'a\0\0',
  'aa',
  'ab',
  'a\xfe',
  'a\xff',
  'a\xff\0',
  'a\xff\xff',
  'b',
  'ba',
  '\x7f',
  '\x80',
  '\xfe\xff',
  '\xff',
  '\xff\0',
  '\xff\xff',
  '\xff\xff\xff',
]
/** Bounds that are keys, and some that lie between and outside them. */
const BOUNDS = [...KEYS, '\0\x02', 'a\x01', 'ac', 'c', '\x81', '\xff\xfe', '\xff\xff\xff\xff']

async function filled(place: Place): Promise<BytesStore> {
  const db = await place.openBytes({ durability: 'none' })
  const random = new SeededRandom(1)
  for (const key of [...KEYS].sort(() => random.fraction() - 0.5))
    await db.put(bytes(key), bytes(`=${key}`))
  return db
}

/** What a range must give: the definition, word by word. */
function expectedKeys(options: RangeOptions<Uint8Array>): string[] {
  const { gt, gte, lt, lte, prefix, reverse, limit } = options
  const found = KEYS.filter((key) => {
    if (gt !== undefined && Buffer.compare(bytes(key), gt) <= 0) return false
    if (gte !== undefined && Buffer.compare(bytes(key), gte) < 0) return false
    if (lt !== undefined && Buffer.compare(bytes(key), lt) >= 0) return false
    if (lte !== undefined && Buffer.compare(bytes(key), lte) > 0) return false
    return prefix === undefined || key.startsWith(text(prefix))
  }).sort((a, b) => Buffer.compare(bytes(a), bytes(b)))
  if (reverse) found.reverse()
  return found.slice(0, limit)
}

function randomRange(random: SeededRandom): KeyRange<Uint8Array> {
  const range: Record<string, Uint8Array> = {}
  if (random.chance(0.6)) range[random.pick(['gt', 'gte'])] = bytes(random.pick(BOUNDS))
  if (random.chance(0.6)) range[random.pick(['lt', 'lte'])] = bytes(random.pick(BOUNDS))
  if (random.chance(0.3)) {
    range['prefix'] = bytes(random.pick(['', '\0', 'a', 'a\xff', '\xff']))
  }
  return range
}

/** For people. */
function shown(options: RangeOptions<Uint8Array>): string {
  return JSON.stringify(options, (_, value) => (value instanceof Uint8Array ? text(value) : value))
}

async function check(db: BytesStore, options: RangeOptions<Uint8Array>): Promise<void> {
  const expected = expectedKeys(options)
  const told = shown(options)
  assert.deepEqual((await collect(db.keys(options))).map(text), expected, told)
  assert.deepEqual(
    [...db.values(options)].map(text),
    expected.map((key) => `=${key}`),
    told,
  )
  assert.equal(db.countSync(options), expected.length, told)
  const { limit: _limit, ...range } = options
  const [first] = expectedKeys(range)
  const last = expectedKeys(range).at(-1)
  assert.deepEqual(await db.first(range), first === undefined ? undefined : pair(first), told)
  assert.deepEqual(db.lastSync(range), last === undefined ? undefined : pair(last), told)
}

function pair(key: string): [Uint8Array, Uint8Array] {
  return [bytes(key), bytes(`=${key}`)]
}

const cases: readonly Case[] = [
  {
    name: 'keys come in the order of their unsigned bytes',
    async run(place) {
      const db = await filled(place)
      const sorted = [...KEYS].sort((a, b) => Buffer.compare(bytes(a), bytes(b)))
      assert.deepEqual((await collect(db.keys())).map(text), sorted)
      assert.deepEqual((await collect(db.keys({ reverse: true }))).map(text), sorted.reverse())
    },
  },
  {
    name: 'one bound, forward and backward',
    async run(place) {
      const db = await filled(place)
      for (const name of ['gt', 'gte', 'lt', 'lte', 'prefix'] as const) {
        for (const bound of BOUNDS) {
          await check(db, { [name]: bytes(bound) })
          await check(db, { [name]: bytes(bound), reverse: true, limit: 3 })
        }
      }
    },
  },
  {
    name: 'two bounds, a prefix, a direction and a limit together',
    async run(place) {
      const db = await filled(place)
      const random = new SeededRandom(2)
      for (let i = 0; i < 400; i++) {
        await check(db, {
          ...randomRange(random),
          ...(random.chance(0.5) && { reverse: random.chance(0.8) }),
          ...(random.chance(0.3) && { limit: random.below(KEYS.length + 2) }),
        })
      }
    },
  },
  {
    name: 'first and last in every form',
    async run(place) {
      const db = await filled(place)
      assert.deepEqual(await db.first(), pair(''))
      assert.deepEqual(db.firstSync(), pair(''))
      assert.deepEqual(await db.last(), pair('\xff\xff\xff'))
      assert.deepEqual(db.lastSync(), pair('\xff\xff\xff'))
      assert.deepEqual(await db.first({ reverse: true }), pair('\xff\xff\xff'))
      assert.deepEqual(db.firstSync({ gt: bytes('a'), lt: bytes('b') }), pair('a\0'))
      assert.deepEqual(await db.last({ gt: bytes('a'), lt: bytes('b') }), pair('a\xff\xff'))
      assert.equal(await db.first({ gt: bytes('c'), lt: bytes('d') }), undefined)
      assert.equal(db.lastSync({ gt: bytes('d'), lt: bytes('c') }), undefined)
    },
  },
  {
    name: 'seek goes on at a key, within the range',
    async run(place) {
      const db = await filled(place)
      const random = new SeededRandom(3)
      for (let i = 0; i < 300; i++) {
        const reverse = random.chance(0.5)
        const range = random.chance(0.5) ? {} : { gte: bytes('a'), lt: bytes('\x80') }
        const target = bytes(random.pick(BOUNDS))
        const cursor = db.keys({ ...range, reverse })
        await cursor.nextMany(random.below(6))
        cursor.seek(target)
        const expected = expectedKeys({ ...range, reverse }).filter((key) => {
          const order = Buffer.compare(bytes(key), target)
          return reverse ? order <= 0 : order >= 0
        })
        assert.deepEqual((await collect(cursor)).map(text), expected)
      }
    },
  },
  {
    name: 'tokens within a range, forward and backward',
    async run(place) {
      const db = await filled(place)
      for (const reverse of [false, true]) {
        const options = { gte: bytes('a'), lt: bytes('\x80'), reverse }
        const expected = expectedKeys(options)
        for (let taken = 0; taken <= expected.length; taken++) {
          const cursor = db.keys(options)
          const first = await cursor.nextMany(taken)
          const { token } = cursor
          cursor.close()
          const rest = await collect(db.keys({ ...options, token }))
          assert.deepEqual([...first, ...rest].map(text), expected)
        }
      }
    },
  },
  {
    name: 'a token behind a seek goes on where that led',
    async run(place) {
      const db = await filled(place)
      for (const reverse of [false, true]) {
        const options = { gte: bytes('a'), lt: bytes('\x80'), reverse }
        for (const target of BOUNDS.map(bytes)) {
          for (const taken of [0, 1, 3]) {
            const cursor = db.keys(options)
            await cursor.nextMany(3)
            cursor.seek(target)
            const first = await cursor.nextMany(taken)
            const { token } = cursor
            cursor.close()
            const rest = await collect(db.keys({ ...options, token }))
            const expected = expectedKeys(options).filter((key) => {
              const order = Buffer.compare(bytes(key), target)
              return reverse ? order <= 0 : order >= 0
            })
            assert.deepEqual([...first, ...rest].map(text), expected)
          }
        }
      }
    },
  },
  {
    name: 'prefixes of texts and of tuples',
    async run(place) {
      const db = await place.open<unknown[], string>({ keys: 'tuple', durability: 'none' })
      for (const key of [['a'], ['a', 1], ['a', 2n, null], ['a\0'], ['ab'], [['a']], ['b', 1]]) {
        await db.put(key, '')
      }
      assert.deepEqual(await collect(db.keys({ prefix: ['a'] })), [
        ['a'],
        ['a', 1],
        ['a', 2n, null],
      ])
      assert.deepEqual(await collect(db.keys({ prefix: ['a', 2n], reverse: true })), [
        ['a', 2n, null],
      ])
      assert.equal(await db.count({ prefix: [] }), 7)
      assert.deepEqual(await db.first({ gt: ['a', 1] }), [['a', 2n, null], ''])
    },
  },
  {
    name: 'a snapshot has ranges too',
    needs: ['snapshots'],
    async run(place) {
      const db = await filled(place)
      const snapshot = db.snapshot()
      await db.clear()
      const found = await collect(snapshot.keys({ prefix: bytes('a\xff'), reverse: true }))
      assert.deepEqual(found.map(text), ['a\xff\xff', 'a\xff\0', 'a\xff'])
      assert.equal(snapshot.countSync({ lt: bytes('a') }), 5)
      assert.deepEqual(await snapshot.first({ gte: bytes('b') }), pair('b'))
      assert.deepEqual(snapshot.lastSync(), pair('\xff\xff\xff'))
      snapshot.close()
    },
  },
  {
    name: 'clear removes a range, and nothing else',
    async run(place) {
      const db = await filled(place)
      const random = new SeededRandom(4)
      for (let i = 0; i < 300; i++) {
        const range = randomRange(random)
        const removed = new Set(expectedKeys(range))
        if (random.chance(0.5)) await db.clear(range)
        else db.clearSync({ ...range, durability: 'none' })
        const left = KEYS.filter((key) => !removed.has(key))
        const sorted = left.sort((a, b) => Buffer.compare(bytes(a), bytes(b)))
        assert.deepEqual((await collect(db.keys())).map(text), sorted, shown(range))
        assert.equal(db.stats().entries, sorted.length)
        for (const key of removed) {
          assert.equal(db.hasSync(bytes(key)), false)
          db.putSync(bytes(key), bytes(`=${key}`))
        }
      }
      await check(db, {})
    },
  },
  {
    name: 'clear of a range over many entries is one write, also for who opens again',
    async run(place) {
      const db = await place.open({ durability: 'os' })
      const all = names(2000)
      const value = (i: number): string => `${i} `.repeat(i % 50 === 0 ? 5000 : 10)
      await db.batch(all.map((key, i) => ({ type: 'put', key, value: value(i) })))
      const before = db.stats().sequence
      await db.clear({ gte: all[100]!, lt: all[1900]! })
      assert.equal(db.stats().sequence, before + 1)
      await db.clear({ prefix: 'key005' })
      await db.clear({ gt: 'key0059', lte: 'key0061' })
      const left = all.filter((_, i) => i < 50 || (i > 61 && i < 100) || i >= 1900)
      assert.deepEqual(await collect(db.keys()), left)
      await db.close()
      const again = await place.open()
      assert.deepEqual(await collect(again.keys()), left)
      for (const key of left) assert.equal(again.getSync(key), value(all.indexOf(key)))
      assert.deepEqual((await again.verify()).problems, [])
      await again.compact()
      assert.deepEqual(await collect(again.keys()), left)
    },
  },
  {
    name: 'snapshots and cursors do not see that a range is cleared',
    needs: ['snapshots'],
    async run(place) {
      const db = await filled(place)
      const snapshot = db.snapshot()
      const cursor = db.keys()
      await cursor.nextMany(3)
      await db.clear({ prefix: bytes('a') })
      assert.equal(
        await db.count(),
        expectedKeys({}).length - expectedKeys({ prefix: bytes('a') }).length,
      )
      assert.deepEqual((await collect(snapshot.keys())).map(text), expectedKeys({}))
      assert.deepEqual((await collect(cursor)).map(text), expectedKeys({}).slice(3))
      snapshot.close()
    },
  },
  {
    name: 'clear of a range in which no key can be writes nothing',
    async run(place) {
      const db = await filled(place)
      const { sequence, entries } = db.stats()
      await db.clear({ gte: bytes('b'), lt: bytes('b') })
      db.clearSync({ gt: bytes('b'), lt: bytes('a') })
      assert.deepEqual([db.stats().sequence, db.stats().entries], [sequence, entries])
    },
  },
  {
    name: 'clear takes bounds as long as keys may be',
    async run(place) {
      const db = await place.openBytes({ durability: 'none' })
      const longest = new Uint8Array(db.limits.keyBytes).fill(7)
      db.putSync(longest, bytes('longest'))
      db.putSync(bytes('\x08'), bytes('behind'))
      await db.clear({ gt: longest, lte: longest })
      assert.equal(await db.count(), 2)
      await db.clear({ gte: longest, lte: longest })
      assert.deepEqual((await collect(db.keys())).map(text), ['\x08'])
      await rejects('INVALID_KEY', () => db.clear({ gte: new Uint8Array(longest.length + 1) }))
    },
  },
  {
    name: 'wrong ranges are refused',
    async run(place) {
      const db = await filled(place)
      const a = bytes('a')
      const wrong: Record<string, unknown>[] = [
        { gt: a, gte: a },
        { lt: a, lte: a },
        { reverse: 1 },
        { from: a },
      ]
      for (const options of wrong) {
        throws('INVALID_ARGUMENT', () => db.keys(options))
        await rejects('INVALID_ARGUMENT', () => db.first(options))
      }
      for (const options of [wrong[0]!, wrong[1]!, { reverse: true }, { limit: 1 }, { from: a }]) {
        await rejects('INVALID_ARGUMENT', () => db.clear(options))
        throws('INVALID_ARGUMENT', () => db.clearSync(options))
      }
      assert.equal(await db.count(), KEYS.length)
      throws('INVALID_KEY', () => db.keys({ gt: 'a' as unknown as Uint8Array }))
      await rejects('INVALID_KEY', () => db.clear({ gt: 'a' as unknown as Uint8Array }))
      throws('INVALID_KEY', () => db.keys().seek('a' as unknown as Uint8Array))
    },
  },
]

export const order: Chapter = {
  name: 'order',
  cases: cases.map((one) => ({ ...one, needs: ['order', ...(one.needs ?? [])] })),
}
