/** Contract, chapter 14: values that come and go in pieces. */

import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { SeededRandom } from '../../bytes/random.ts'
import { nodeEnvironment } from '../../environment/node.ts'
import type { KvarkError } from '../../errors.ts'
import type { ByteSource } from '../../store/call-types.ts'
import { memoryFiles } from '../../vfs/memory.ts'
import { bytes, names, pattern, rejects, turn } from './check.ts'
import { FaultyFiles } from './faulty-files.ts'
import type { BytesStore, Case, Chapter, Place } from './place.ts'

const MIB = 1024 * 1024
/** Long enough not to be kept in memory on its way in. */
const LONG = 3 * MIB
/** The values that are not, and those that just are. */
const EDGES = [0, 1, 100_000, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1, LONG]
/** Up to this limit a value of that size is really written; where there is more, a limit of `LONG` is stated. */
const WRITTEN_BYTES = 16 * MIB

const KEY = bytes('key')

/** A source that tells what becomes of it. */
interface Watched extends AsyncIterable<Uint8Array> {
  /** Pieces asked for. */
  readonly asked: number
  readonly closed: boolean
}

/** Gives what `pieces` give; where `gate` is, it is waited for after the first piece. */
function watched(pieces: Iterable<unknown>, gate?: Promise<unknown>): Watched {
  const source = {
    asked: 0,
    closed: false,
    async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
      try {
        for (const piece of pieces) {
          source.asked++
          yield piece as Uint8Array
          await gate
        }
      } finally {
        source.closed = true
      }
    },
  }
  return source
}

/** `value` in pieces of random sizes, some empty; each is overwritten when the next one is asked for. */
function* cut(value: Uint8Array, seed: number): Generator<Uint8Array> {
  const random = new SeededRandom(seed)
  for (let at = 0; at < value.length; ) {
    const most = random.pick([0, 1, 100, 20_000, 300_000, 1_000_000])
    const piece = value.slice(at, at + random.below(most + 1))
    at += piece.length
    yield piece
    piece.fill(255)
  }
}

/** `value` in equal pieces. */
function* pieces(value: Uint8Array, length: number): Generator<Uint8Array> {
  for (let at = 0; at < value.length; at += length) yield value.subarray(at, at + length)
}

async function read(stream: ReadableStream<Uint8Array> | undefined): Promise<Uint8Array> {
  assert.ok(stream, 'the key is there')
  const parts: Uint8Array[] = []
  for await (const part of stream) parts.push(part)
  return Buffer.concat(parts)
}

/** Much faster than `deepEqual`. */
function same(found: Uint8Array | undefined, expected: Uint8Array, what: string): void {
  assert.ok(found, `${what}: is there`)
  assert.equal(found.length, expected.length, what)
  assert.ok(Buffer.compare(found, expected) === 0, what)
}

/** No file is left of values that did not come to their end. */
function checkNothingLeft(place: Place): void {
  const left = place.environment.files.list(place.path).sync()
  assert.deepEqual(
    left.filter((name) => name.endsWith('.tmp')),
    [],
  )
}

/** The promise must reject with this code. */
async function fails(code: KvarkError['code'], promise: Promise<unknown>): Promise<KvarkError> {
  return await rejects(code, () => promise)
}

/** A store whose key has a short value. */
async function withOld(place: Place): Promise<BytesStore> {
  const db = await place.openBytes({ durability: 'os' })
  await db.put(KEY, pattern(100, 0))
  return db
}

/** The old value is there, nothing else is, and writing goes on. */
async function checkOld(place: Place, db: BytesStore): Promise<void> {
  assert.deepEqual(await db.get(KEY), pattern(100, 0))
  assert.equal(await db.count(), 1)
  checkNothingLeft(place)
  await db.put(bytes('other'), KEY)
  await db.delete(bytes('other'))
}

const cases: readonly Case[] = [
  {
    name: 'what goes in comes out, in pieces and as a whole, also after opening again',
    async run(place) {
      let db = await place.openBytes({ durability: 'os' })
      const limit = db.limits.valueBytes
      const sizes = EDGES.filter((size) => size <= limit)
      let last = 0
      for (const [i, size] of sizes.entries()) {
        const version = await db.putStream(bytes(`key${i}`), watched(cut(pattern(size, i), i)))
        assert.ok(version > last)
        last = await db.put(bytes(`between${i}`), KEY)
        assert.equal(db.getEntrySync(bytes(`key${i}`))?.version, version)
      }
      const check = async (): Promise<void> => {
        for (const [i, size] of sizes.entries()) {
          const key = bytes(`key${i}`)
          const value = pattern(size, i)
          same(await read(await db.getStream(key)), value, `the stream of ${size} bytes`)
          same(await db.get(key), value, `${size} bytes`)
          same(db.getSync(key), value, `${size} bytes at once`)
        }
        assert.equal(await db.count(), 2 * sizes.length)
        assert.equal(await db.getStream(bytes('missing')), undefined)
        assert.deepEqual((await db.verify()).problems, [])
        if (db.supports.snapshots) assert.equal(db.stats().snapshots, 0)
      }
      await check()
      checkNothingLeft(place)
      await db.close()
      db = await place.openBytes()
      await check()
      await db.compact()
      await check()
      for (const [i, size] of sizes.entries()) {
        await db.putStream(bytes(`key${i}`), cut(pattern(size, i + 100), i))
        same(await db.get(bytes(`key${i}`)), pattern(size, i + 100), `${size} bytes anew`)
      }
      await db.delete(bytes('key0'))
      await db.compact()
      assert.equal(await db.getStream(bytes('key0')), undefined)
    },
  },
  {
    name: 'any iterable, and streams of both kinds',
    async run(place) {
      const db = await place.openBytes({ durability: 'os' })
      const value = pattern(3 * MIB, 1)
      const sources: Record<string, ByteSource> = {
        'no pieces': [],
        'one array': [value],
        generator: pieces(value, 70_000),
        'web stream': new Blob([value]).stream() as ReadableStream<Uint8Array>,
        readable: Readable.from(pieces(value, 70_000)),
        buffers: [Buffer.from(value)],
      }
      for (const [name, source] of Object.entries(sources)) {
        await db.putStream(KEY, source)
        same(await db.get(KEY), name === 'no pieces' ? new Uint8Array(0) : value, name)
      }
      await db.putStream(bytes('copy'), (await db.getStream(KEY))!)
      same(await db.get(bytes('copy')), value, 'from one key to another')
    },
  },
  {
    name: 'under the longest key, and under an empty one',
    memoryOnly: true,
    async run(place) {
      let db = await place.openBytes({ durability: 'os' })
      const keys = [0, 1, 15_300, 15_400, db.limits.keyBytes]
        .filter((length) => length <= db.limits.keyBytes)
        .map((length) => pattern(length, 1))
      for (const key of keys) await db.putStream(key, cut(pattern(LONG, key.length), 1))
      for (let round = 0; round < 2; round++) {
        for (const key of keys) {
          const what = `under a key of ${key.length} bytes`
          same(await read(await db.getStream(key)), pattern(LONG, key.length), what)
          same(await db.get(key), pattern(LONG, key.length), what)
        }
        assert.deepEqual((await db.verify()).problems, [])
        await db.close()
        db = await place.openBytes()
      }
      await db.compact()
      assert.equal(await db.count(), keys.length)
    },
  },
  {
    name: 'values are bytes, whatever the codec',
    async run(place) {
      const db = await place.open({ durability: 'os', values: 'utf8' })
      await db.putStream('a', [bytes('gr\xc3'), bytes('\xbcn')])
      assert.equal(await db.get('a'), 'grün')
      assert.equal(Buffer.from(await read(await db.getStream('a'))).toString(), 'grün')
    },
  },
  {
    name: 'a source that fails leaves nothing, and its error is passed on',
    async run(place) {
      const db = await withOld(place)
      for (const size of [0, 1000, LONG]) {
        const error = new Error('the source is dry')
        const failing = function* (): Generator<Uint8Array> {
          yield* pieces(pattern(size, 1), 100_000)
          throw error
        }
        for (const source of [failing(), Readable.from(failing())]) {
          await assert.rejects(db.putStream(KEY, source), (found) => found === error)
        }
        await checkOld(place, db)
      }
    },
  },
  {
    name: 'pieces that are no bytes, and sources that are none',
    async run(place) {
      const db = await withOld(place)
      for (const wrong of ['text', 1, null, undefined, {}, [1], new Uint16Array(2)]) {
        for (const before of [0, LONG]) {
          const source = watched([new Uint8Array(before), wrong, pattern(1, 1)])
          await fails('INVALID_VALUE', db.putStream(KEY, source))
          assert.ok(source.closed)
          assert.equal(source.asked, 2)
        }
      }
      for (const wrong of [undefined, null, 1, {}, 'text', pattern(3, 1)] as unknown[]) {
        const code = typeof wrong === 'object' && wrong !== null && Symbol.iterator in wrong
        await fails(
          code ? 'INVALID_VALUE' : 'INVALID_ARGUMENT',
          db.putStream(KEY, wrong as ByteSource),
        )
      }
      await checkOld(place, db)
    },
  },
  {
    name: 'too long a value is refused as soon as that is known',
    async run(place, t) {
      const { valueBytes } = place.engine.limits
      if (valueBytes > WRITTEN_BYTES) {
        t.diagnostic(`values of ${valueBytes} bytes are not written: tried with ${LONG}`)
        place.stateLimits({ valueBytes: LONG })
      }
      const db = await withOld(place)
      const limit = db.limits.valueBytes
      const piece = pattern(MIB, 1)
      const endless = function* (): Generator<Uint8Array> {
        for (;;) yield piece
      }
      const endlessly = watched(endless())
      const error = await fails('INVALID_VALUE', db.putStream(KEY, endlessly))
      assert.equal(error.expected, limit)
      assert.equal(endlessly.asked, Math.floor(limit / MIB) + 1)
      assert.ok(endlessly.closed)
      await checkOld(place, db)
      await db.putStream(bytes('full'), pieces(pattern(limit, 2), MIB))
      same(await db.get(bytes('full')), pattern(limit, 2), 'a value of the limit')
      const source = watched([pattern(10, 1), new Uint8Array(limit + 1)])
      await fails('INVALID_VALUE', db.putStream(KEY, source))
      assert.ok(source.closed)
      await db.delete(bytes('full'))
      await checkOld(place, db)
    },
  },
  {
    name: 'what is wrong with key, options or store is told at once, and the source is closed',
    async run(place) {
      const db = await withOld(place)
      const long = new Uint8Array(db.limits.keyBytes + 1)
      const check = async (code: KvarkError['code'], key: Uint8Array, options?: object) => {
        const returned: boolean[] = []
        const source = {
          [Symbol.iterator]: () => ({
            next: () => assert.fail('nothing may be asked for'),
            return: () => ({ done: true as const, value: returned.push(true) }),
          }),
        }
        await fails(code, db.putStream(key, source, options))
        assert.deepEqual(returned, [true])
      }
      await check('INVALID_KEY', long)
      await check('INVALID_KEY', 'key' as unknown as Uint8Array)
      await check('INVALID_ARGUMENT', KEY, { durability: 'disc' })
      await check('INVALID_ARGUMENT', KEY, { ifAbsnt: true })
      await check('INVALID_ARGUMENT', KEY, { ifAbsent: true, ifVersion: 1 })
      await fails('INVALID_KEY', db.getStream(long))
      await checkOld(place, db)
      const snapshot = db.supports.snapshots ? db.snapshot() : undefined
      snapshot?.close()
      if (snapshot) await fails('CLOSED', snapshot.getStream(KEY))
      await db.close()
      await check('CLOSED', KEY)
      await fails('CLOSED', db.getStream(KEY))
    },
  },
  {
    name: 'conditions are judged when all of the value is there',
    async run(place) {
      const db = await withOld(place)
      const { version } = db.getEntrySync(KEY)!
      const value = pattern(LONG, 1)
      await fails('CONFLICT', db.putStream(KEY, pieces(value, MIB), { ifAbsent: true }))
      await fails('CONFLICT', db.putStream(KEY, pieces(value, MIB), { ifVersion: version + 1 }))
      await checkOld(place, db)
      let open = (): void => {}
      const gate = new Promise<void>((resolve) => {
        open = resolve
      })
      const source = watched(pieces(value, MIB), gate)
      const put = db.putStream(KEY, source, { ifVersion: version })
      const other = db.putStream(bytes('new'), watched([value], gate), { ifAbsent: true })
      await turn()
      await db.put(KEY, pattern(5, 5))
      open()
      await fails('CONFLICT', put)
      assert.ok(source.closed)
      assert.deepEqual(await db.get(KEY), pattern(5, 5))
      await other
      same(await db.get(bytes('new')), value, 'under a condition that held')
    },
  },
  {
    name: 'nothing shows and nobody waits while a source is slow',
    async run(place) {
      const db = await withOld(place)
      let open = (): void => {}
      const gate = new Promise<void>((resolve) => {
        open = resolve
      })
      const values = [pattern(1000, 1), pattern(LONG, 2), pattern(LONG, 3)]
      const puts = values.map((value, i) =>
        db.putStream(
          bytes(`slow${i}`),
          watched([value.subarray(0, 900), value.subarray(900)], gate),
        ),
      )
      puts.push(db.putStream(KEY, watched([pattern(LONG, 4)], gate)))
      await turn()
      for (const name of names(50)) await db.put(bytes(name), bytes(name))
      db.putSync(bytes('at once'), KEY)
      await db.compact()
      await db.sync()
      assert.equal(await db.count(), 52)
      assert.deepEqual(db.getSync(KEY), pattern(100, 0))
      assert.equal(await db.getStream(bytes('slow1')), undefined)
      open()
      const versions = await Promise.all(puts)
      assert.equal(new Set(versions).size, versions.length)
      assert.equal(await db.count(), 55)
      for (const [i, value] of values.entries()) {
        same(await db.get(bytes(`slow${i}`)), value, `slow${i}`)
      }
      same(await db.get(KEY), pattern(LONG, 4), 'overwritten')
      for (const name of names(50)) assert.deepEqual(db.getSync(bytes(name)), bytes(name))
      checkNothingLeft(place)
      await db.close()
      const again = await place.openBytes()
      assert.equal(await again.count(), 55)
      same(await again.get(KEY), pattern(LONG, 4), 'after opening again')
    },
  },
  {
    name: 'many at once, each its own',
    async run(place) {
      const db = await place.openBytes({ durability: 'os' })
      const value = (i: number): Uint8Array => pattern(i % 3 === 0 ? 2 * MIB + i : 50_000 + i, i)
      await Promise.all(
        Array.from({ length: 12 }, (_, i) => db.putStream(bytes(`key${i}`), cut(value(i), i))),
      )
      await Promise.all(
        Array.from({ length: 12 }, async (_, i) => {
          same(await read(await db.getStream(bytes(`key${i}`))), value(i), `key${i}`)
        }),
      )
    },
  },
  {
    name: 'closing the store ends it, without waiting for the source',
    async run(place) {
      for (const [i, synchronous] of [false, true, false, true].entries()) {
        const db = await place.openBytes({ durability: 'os' })
        if (i === 0) await db.put(KEY, pattern(100, 0))
        const never = new Promise<void>(() => {})
        const long = watched([pattern(LONG, 1), pattern(1, 1)], never)
        const puts = [db.putStream(KEY, long), db.putStream(bytes('short'), watched([KEY], never))]
        for (let turns = 0; turns < i * 20; turns++) await turn()
        const ends = puts.map((put) => fails('CLOSED', put))
        if (synchronous) db.closeSync()
        else await db.close()
        await Promise.all(ends)
        const again = await place.openBytes()
        await checkOld(place, again)
        await again.close()
      }
    },
  },
  {
    name: 'a stream is of one value, whatever is written meanwhile',
    needs: ['snapshots'],
    async run(place) {
      const db = await place.openBytes({ durability: 'os' })
      const old = pattern(LONG, 1)
      await db.putStream(KEY, cut(old, 1))
      const changes: readonly (() => Promise<unknown>)[] = [
        () => db.putStream(KEY, cut(pattern(LONG, 2), 2)),
        () => db.put(KEY, pattern(10, 3)),
        () => db.delete(KEY),
        () => db.clear(),
      ]
      for (const [i, change] of changes.entries()) {
        await db.putStream(KEY, cut(old, 1))
        const stream = (await db.getStream(KEY))!
        const snapshot = db.snapshot()
        await change()
        const fromSnapshot = (await snapshot.getStream(KEY))!
        snapshot.close()
        const reader = stream.getReader()
        const begun = (await reader.read()).value!
        await db.put(bytes('other'), KEY)
        await db.compact()
        await change()
        await db.compact()
        reader.releaseLock()
        const end = await read(stream)
        same(Buffer.concat([begun, end]), old, `change ${i}`)
        same(await read(fromSnapshot), old, `change ${i}, of a snapshot`)
        assert.equal(db.stats().snapshots, 0)
      }
      await db.compact()
      assert.deepEqual((await db.verify()).problems, [])
    },
  },
  {
    name: 'what is read is read when it is asked for, and what is cancelled holds nothing',
    async run(place) {
      const files = new FaultyFiles(place.environment.files)
      const environment = nodeEnvironment(files)
      const db = await place.openBytes({ environment, durability: 'os' })
      const value = pattern(LONG, 1)
      await db.putStream(KEY, cut(value, 1))
      files.readBytes = 0
      const stream = (await db.getStream(KEY))!
      const reader = stream.getReader()
      const { value: first } = await reader.read()
      for (let i = 0; i < 10; i++) await turn()
      assert.ok(files.readBytes < MIB, `${files.readBytes} bytes were read`)
      assert.ok(first!.length <= 256 * 1024)
      same(first, value.subarray(0, first!.length), 'the first part')
      if (db.supports.snapshots) assert.equal(db.stats().snapshots, 1)
      await reader.cancel('enough')
      assert.deepEqual(await reader.read(), { done: true, value: undefined })
      for await (const part of (await db.getStream(KEY))!) {
        assert.ok(part.length > 0)
        break
      }
      await (await db.getStream(KEY))!.cancel()
      if (db.supports.snapshots) assert.equal(db.stats().snapshots, 0)
      await db.close()
    },
  },
  {
    name: 'a source is asked for a piece when the one before has been taken in',
    async run(place) {
      const db = await place.openBytes({ durability: 'os' })
      let given = 0
      let waiting = 0
      const source = {
        [Symbol.asyncIterator]: () => ({
          async next() {
            assert.equal(waiting++, 0, 'one at a time')
            await turn()
            waiting--
            return given === 40
              ? { done: true as const, value: undefined }
              : { done: false as const, value: pattern(100_000, given++) }
          },
        }),
      }
      await db.putStream(KEY, source)
      const expected = Array.from({ length: 40 }, (_, i) => pattern(100_000, i))
      same(await db.get(KEY), Buffer.concat(expected), 'all pieces in their order')
    },
  },
  {
    name: 'the event loop turns while a source has all at hand',
    async run(place) {
      const db = await place.openBytes({ durability: 'os' })
      let turns = 0
      let running = true
      const count = (): void => {
        turns++
        if (running) setImmediate(count)
      }
      setImmediate(count)
      await db.putStream(KEY, [pattern(LONG, 1)])
      const written = turns
      running = false
      assert.ok(written >= LONG / MIB, `${written} turns`)
    },
  },
  {
    name: 'after closing, a stream that is being read answers CLOSED',
    async run(place) {
      for (const synchronous of [false, true]) {
        const db = await place.openBytes({ durability: 'os' })
        await db.putStream(KEY, cut(pattern(LONG, 1), 1))
        const begun = (await db.getStream(KEY))!.getReader()
        const fresh = (await db.getStream(KEY))!
        const ended = (await db.getStream(KEY))!
        await begun.read()
        await read(ended)
        if (synchronous) db.closeSync()
        else await db.close()
        await fails('CLOSED', begun.read())
        await fails('CLOSED', read(fresh))
        await ended.cancel()
        await (await place.openBytes()).close()
      }
    },
  },
  {
    name: 'writing and reading in a store that takes no writes',
    async run(place) {
      const db = await withOld(place)
      await db.putStream(bytes('long'), [pattern(LONG, 1)])
      await db.close()
      const readOnly = await place.openBytes({ readOnly: true })
      const source = watched([pattern(LONG, 1)])
      await fails('READ_ONLY', readOnly.putStream(KEY, source))
      assert.equal(source.asked, 0)
      same(await read(await readOnly.getStream(bytes('long'))), pattern(LONG, 1), 'readOnly')
      await readOnly.close()

      const files = new FaultyFiles(memoryFiles())
      const failing = await place.openBytes({ environment: nodeEnvironment(files) })
      await failing.putStream(KEY, [pattern(LONG, 1)])
      files.fault = { call: 'write', code: 'IO' }
      await fails('IO', failing.put(bytes('other'), KEY))
      files.fault = undefined
      await fails('READ_ONLY', failing.putStream(KEY, [pattern(LONG, 2)]))
      await fails('READ_ONLY', failing.putStream(KEY, [pattern(10, 2)]))
      same(await read(await failing.getStream(KEY)), pattern(LONG, 1), 'reads go on')
      await failing.resume()
      await failing.putStream(KEY, [pattern(LONG, 2)])
      same(await read(await failing.getStream(KEY)), pattern(LONG, 2), 'after resume')
      await failing.close()
    },
  },
]

export const streams: Chapter = { name: 'streams', cases }
