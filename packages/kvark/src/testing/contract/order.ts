/** Contract, chapter 5: ranges, for engines that keep entries in the order of their keys. */

import assert from 'node:assert/strict'
import { SeededRandom } from '../../bytes/random.ts'
import type { RangeOptions } from '../../store/types.ts'
import { bytes, collect, rejects, text, throws } from './check.ts'
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

async function check(db: BytesStore, options: RangeOptions<Uint8Array>): Promise<void> {
  const expected = expectedKeys(options)
  const shown = JSON.stringify(options, (_, value) =>
    value instanceof Uint8Array ? text(value) : value,
  )
  assert.deepEqual((await collect(db.keys(options))).map(text), expected, shown)
  assert.deepEqual(
    [...db.values(options)].map(text),
    expected.map((key) => `=${key}`),
    shown,
  )
  assert.equal(db.countSync(options), expected.length, shown)
  const { limit: _limit, ...range } = options
  const [first] = expectedKeys(range)
  const last = expectedKeys(range).at(-1)
  assert.deepEqual(await db.first(range), first === undefined ? undefined : pair(first), shown)
  assert.deepEqual(db.lastSync(range), last === undefined ? undefined : pair(last), shown)
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
        const options: Record<string, unknown> = {}
        if (random.chance(0.6)) options[random.pick(['gt', 'gte'])] = bytes(random.pick(BOUNDS))
        if (random.chance(0.6)) options[random.pick(['lt', 'lte'])] = bytes(random.pick(BOUNDS))
        if (random.chance(0.3))
          options['prefix'] = bytes(random.pick(['', '\0', 'a', 'a\xff', '\xff']))
        if (random.chance(0.5)) options['reverse'] = random.chance(0.8)
        if (random.chance(0.3)) options['limit'] = random.below(KEYS.length + 2)
        await check(db, options)
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
      throws('INVALID_KEY', () => db.keys({ gt: 'a' as unknown as Uint8Array }))
      throws('INVALID_KEY', () => db.keys().seek('a' as unknown as Uint8Array))
    },
  },
]

export const order: Chapter = {
  name: 'order',
  cases: cases.map((one) => ({ ...one, needs: ['order', ...(one.needs ?? [])] })),
}
