/** Contract, chapter 1: reading one key. Every verb has two forms that agree. */

import assert from 'node:assert/strict'
import type { Codec } from '../../store/codec.ts'
import { bytes, pattern, rejects, text, throws } from './check.ts'
import type { Case, Chapter, Place } from './place.ts'

const KEYS = [
  '',
  '\0',
  '\0\0',
  '\x01',
  'a',
  'a\0',
  'a\0b',
  'ab',
  '\x7f',
  '\x80',
  '\xff',
  '\xff\xff',
  '\xff\0',
]
const LARGE_BYTES = [64 * 1024, 1024 * 1024, 5 * 1024 * 1024]

/** Bytes that carry the name of another codec, as the command line tool reads them. */
const RAW_UTF8: Codec<Uint8Array> = {
  name: 'utf8',
  encode: (value) => value,
  decode: (value) => value.slice(),
}

const cases: readonly Case[] = [
  {
    name: 'a missing key is undefined in every form',
    async run(place) {
      const db = await place.open()
      for (const key of ['', 'a', 'x'.repeat(1000)]) {
        assert.equal(await db.get(key), undefined)
        assert.equal(db.getSync(key), undefined)
        assert.equal(await db.getEntry(key), undefined)
        assert.equal(db.getEntrySync(key), undefined)
        assert.equal(await db.has(key), false)
        assert.equal(db.hasSync(key), false)
        assert.equal(
          db.viewSync(key, () => assert.fail('no view of nothing')),
          undefined,
        )
      }
      assert.deepEqual(await db.getMany(['a', 'b']), [undefined, undefined])
      assert.deepEqual(db.getManySync(['a', 'b']), [undefined, undefined])
      assert.equal(await db.count(), 0)
      assert.equal(db.countSync(), 0)
    },
  },
  {
    name: 'what was put is read by every verb, in both forms',
    async run(place) {
      const db = await place.open({ durability: 'os' })
      for (let i = 0; i < 40; i++) {
        const version = await db.put(`key${i}`, `value${i}`)
        assert.equal(await db.get(`key${i}`), `value${i}`)
        assert.equal(db.getSync(`key${i}`), `value${i}`)
        const entry = { value: `value${i}`, version, expiresAt: undefined }
        assert.deepEqual(await db.getEntry(`key${i}`), entry)
        assert.deepEqual(db.getEntrySync(`key${i}`), entry)
        assert.equal(await db.has(`key${i}`), true)
        assert.equal(db.hasSync(`key${i}`), true)
        assert.equal(
          db.viewSync(`key${i}`, (view) => text(view)),
          `value${i}`,
        )
      }
      assert.equal(await db.count(), 40)
      assert.equal(db.countSync(), 40)
    },
  },
  {
    name: 'getMany keeps the order of its keys, with missing and repeated ones',
    async run(place) {
      const db = await place.open({ durability: 'os' })
      await db.put('a', '1')
      await db.put('b', '2')
      const keys = ['b', 'none', 'a', 'b']
      assert.deepEqual(await db.getMany(keys), ['2', undefined, '1', '2'])
      assert.deepEqual(db.getManySync(keys), ['2', undefined, '1', '2'])
      assert.deepEqual(await db.getMany([]), [])
      assert.deepEqual(db.getManySync([]), [])
    },
  },
  {
    name: 'keys and values are any bytes, the empty ones included',
    async run(place) {
      const db = await place.openBytes({ durability: 'os' })
      const values = [...KEYS, 'x'.repeat(300), text(new Uint8Array(256).map((_, i) => i))]
      for (const [i, key] of KEYS.entries())
        await db.put(bytes(key), bytes(values[(i + 1) % values.length]!))
      for (const value of values) {
        await db.put(bytes('value'), bytes(value))
        assert.deepEqual(await db.get(bytes('value')), bytes(value))
        assert.deepEqual(db.getSync(bytes('value')), bytes(value))
      }
      for (const [i, key] of KEYS.entries()) {
        const expected = bytes(values[(i + 1) % values.length]!)
        assert.deepEqual(await db.get(bytes(key)), expected)
        assert.deepEqual(db.getSync(bytes(key)), expected)
        assert.equal(db.viewSync(bytes(key), text), text(expected))
      }
    },
  },
  {
    name: 'keys and values of every length up to 600, of one, two and three bytes a character',
    async run(place) {
      const db = await place.open({ durability: 'none' })
      // Every second and third one is no text of ASCII only.
      const key = (i: number): string => `${'k'.repeat(Math.max(0, i - 1))}${'kéあ'[i % 3]}`
      const value = (i: number): string => `${'vöい'[i % 3]}${'v'.repeat(i)}`
      const missing = (i: number): string => `${'k'.repeat(i)}x`
      for (let i = 0; i < 600; i++) db.putSync(key(i), value(599 - i))
      for (let round = 0; round < 2; round++) {
        for (let i = 0; i < 600; i++) {
          assert.equal(db.getSync(key(i)), value(599 - i), `${i}`)
          assert.equal(await db.get(key(i)), value(599 - i), `${i}`)
          assert.equal(db.getEntrySync(key(i))?.value, value(599 - i), `${i}`)
          assert.equal(db.hasSync(missing(i)), false, `${i}`)
        }
        // The second time from other files, where an engine packs.
        await db.compact()
      }
    },
  },
  {
    name: 'bytes that come out belong to the caller, bytes that went in too',
    async run(place) {
      const db = await place.openBytes({ durability: 'os' })
      for (const length of [3, 100, 3000, 100_000]) {
        const key = pattern(3, length)
        const value = pattern(length, 1)
        const done = db.put(key, value)
        const original = value.slice()
        value.fill(0)
        assert.deepEqual(
          await db.get(pattern(3, length)),
          original,
          'after the call the input is free',
        )
        await done
        key.fill(0)
        const read = db.getSync(pattern(3, length))!
        read.fill(0)
        const readLater = (await db.get(pattern(3, length)))!
        assert.deepEqual(readLater, original)
        await db.put(pattern(3, length), new Uint8Array(length))
        assert.deepEqual(readLater, original, 'writes do not reach what was read before')
      }
    },
  },
  {
    name: 'a view shows the value inside its callback, whatever is read there',
    async run(place) {
      const db = await place.openBytes({ durability: 'os' })
      const lengths = [0, 10, 1000, 5000, 70_000]
      for (const [i, length] of lengths.entries()) await db.put(bytes(`k${i}`), pattern(length, i))
      for (const [i, length] of lengths.entries()) {
        const result = db.viewSync(bytes(`k${i}`), (view) => {
          assert.deepEqual(Buffer.from(view), Buffer.from(pattern(length, i)))
          for (let other = 0; other < lengths.length; other++) {
            assert.deepEqual(db.getSync(bytes(`k${other}`)), pattern(lengths[other]!, other))
            db.viewSync(bytes(`k${other}`), (inner) => {
              assert.deepEqual(Buffer.from(inner), Buffer.from(pattern(lengths[other]!, other)))
            })
          }
          assert.deepEqual(Buffer.from(view), Buffer.from(pattern(length, i)))
          return { length: view.length }
        })
        assert.deepEqual(result, { length })
      }
      const reason = new Error('from the callback')
      assert.throws(
        () =>
          db.viewSync(bytes('k1'), () => {
            throw reason
          }),
        reason,
      )
      assert.deepEqual(db.getSync(bytes('k1')), pattern(10, 1), 'the store goes on after it')
    },
  },
  {
    name: 'large values live beside small ones',
    async run(place) {
      const db = await place.openBytes({ durability: 'os' })
      const sizes = LARGE_BYTES.filter((length) => length <= db.limits.valueBytes)
      const check = async (store: typeof db): Promise<void> => {
        for (const [i, length] of sizes.entries()) {
          const expected = pattern(length, i)
          assert.ok(Buffer.from((await store.get(bytes(`large${i}`)))!).equals(expected))
          assert.ok(Buffer.from(store.getSync(bytes(`large${i}`))!).equals(expected))
          assert.ok(
            store.viewSync(bytes(`large${i}`), (view) => Buffer.from(view).equals(expected)),
          )
          assert.deepEqual(store.getSync(bytes(`small${i}`)), pattern(20, i))
        }
      }
      for (const [i, length] of sizes.entries()) {
        await db.put(bytes(`small${i}`), pattern(20, i))
        await db.put(bytes(`large${i}`), pattern(length, i))
      }
      await check(db)
      await db.close()
      await check(await place.openBytes())
    },
  },
  {
    name: 'the codecs by name',
    async run(place) {
      const json = await place.open<string, unknown>({ values: 'json', durability: 'os' })
      const value = { a: [1, null, 'ä\uFFFD\u{1F600}'], b: { c: true } }
      await json.put('ä\u{1F600}', value)
      assert.deepEqual(await json.get('ä\u{1F600}'), value)
      assert.deepEqual(json.getSync('ä\u{1F600}'), value)
      assert.equal(
        (await rejects('INVALID_VALUE', () => json.put('a', undefined))).code,
        'INVALID_VALUE',
      )
      assert.deepEqual(await json.keys().nextMany(5), ['ä\u{1F600}'])
    },
  },
  {
    name: 'tuples as keys',
    async run(place) {
      const db = await place.open<unknown[], string>({ keys: 'tuple', durability: 'os' })
      const keys = [[], [null], ['a', 1], ['a', 1n], [true, new Date(5), [new Uint8Array([0, 1])]]]
      for (const [i, key] of keys.entries()) await db.put(key, String(i))
      for (const [i, key] of keys.entries()) assert.equal(await db.get(key), String(i))
      const found = await db.entries().nextMany(10)
      assert.deepEqual(found.map(([, value]) => value).sort(), ['0', '1', '2', '3', '4'])
      for (const [key, value] of found) assert.deepEqual(key, keys[Number(value)])
      await rejects('INVALID_KEY', () => db.get([Number.NaN]))
    },
  },
  {
    name: 'a codec of the user',
    async run(place) {
      const days: Codec<Date> = {
        name: 'test-day',
        encode: (day) => new TextEncoder().encode(day.toISOString().slice(0, 10)),
        decode: (encoded) => new Date(new TextDecoder().decode(encoded)),
      }
      const db = await place.open<Date, Date>({ keys: days, values: days, durability: 'os' })
      await db.put(new Date('2024-05-01'), new Date('2025-06-02'))
      assert.deepEqual(db.getSync(new Date('2024-05-01')), new Date('2025-06-02'))
      const error = await rejects('INVALID_KEY', () => db.get(new Date(Number.NaN)))
      assert.ok(error.cause instanceof RangeError)
    },
  },
  {
    name: 'bytes that the codec cannot read are DECODE, and the rest stays readable',
    run: checkDecode,
  },
]

async function checkDecode(place: Place): Promise<void> {
  const raw = await place.open<Uint8Array, Uint8Array>({
    keys: RAW_UTF8,
    values: RAW_UTF8,
    durability: 'os',
  })
  await raw.put(bytes('bad'), new Uint8Array([0xff]))
  await raw.put(bytes('good'), bytes('text'))
  await raw.close()
  const db = await place.open()
  await rejects('DECODE', () => db.get('bad'))
  throws('DECODE', () => db.getSync('bad'))
  await rejects('DECODE', () => db.getMany(['good', 'bad']))
  assert.equal(await db.get('good'), 'text')
  assert.equal(db.getSync('good'), 'text')
  assert.equal(await db.has('bad'), true)
  assert.deepEqual((await db.keys().nextMany(5)).sort(), ['bad', 'good'])
}

export const reads: Chapter = { name: 'reads', cases }
