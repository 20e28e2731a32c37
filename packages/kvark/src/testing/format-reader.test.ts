/** A reader that was written from the documents gives what the store gives. */

import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import zlib from 'node:zlib'
import { SeededRandom } from '../bytes/random.ts'
import { xxh64 } from '../bytes/xxh64.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { openSync } from '../store/open.ts'
import type { OrderedStore } from '../store/types.ts'
import { contentOf, FOLDER } from './damage.ts'
import { xxh64Of } from './format-bytes.ts'
import { readIndex } from './format-index.ts'
import { HEADERS, type ReaderSecret, readStore } from './format-reader.ts'
import { readTree } from './format-tree.ts'

const SEEDS = 4
const STEPS = 300

const key = Uint8Array.from({ length: 32 }, (_, i) => i)

const forms: readonly { name: string; options: object; secret?: ReaderSecret }[] = [
  { name: 'plain', options: {} },
  { name: 'xxh64', options: { checksum: 'xxh64' } },
  { name: 'lz4', options: { compression: 'lz4' } },
  { name: 'deflate', options: { compression: 'deflate' } },
  ...('zstdCompressSync' in zlib ? [{ name: 'zstd', options: { compression: 'zstd' } }] : []),
  {
    name: 'AES-128',
    options: { encryption: { key, cipher: 'aes-128-gcm' } },
    secret: { key },
  },
  {
    name: 'AES-256, lz4, xxh64, a passphrase',
    options: { compression: 'lz4', checksum: 'xxh64', encryption: { passphrase: 'cafe\u0301' } },
    secret: { passphrase: 'caf\u00e9' },
  },
]

const ENGINES = {
  log: { engine: 'log', segmentBytes: 32_768, compactionThresholdBytes: 16_384 },
  btree: { engine: 'btree', pageBytes: 4096, checkpointBytes: 65_536 },
} as const

/** Uses a store at random; what it holds in the end, and its files: closed, or with the journal still open. */
function used(
  seed: number,
  options: object,
  engine: 'log' | 'btree' = 'log',
  closed = true,
  steps: number = STEPS,
): { live: Map<string, Buffer>; files: Map<string, Buffer> } {
  const random = new SeededRandom(seed)
  const environment = simulatedEnvironment({ seed })
  const open = () =>
    openSync(FOLDER, {
      ...ENGINES[engine],
      environment,
      keys: 'bytes',
      values: 'bytes',
      cacheBytes: 1024 * 1024,
      ...options,
    })
  let db = open()
  const live = new Map<string, Buffer>()
  const newKey = (): Buffer => {
    const key = Buffer.from(`key ${random.below(engine === 'log' ? 60 : 400)}`)
    // Around the length from which keys of a tree are long, and some that differ far behind it.
    if (engine === 'log' || random.chance(0.8)) return key
    return Buffer.concat([
      Buffer.alloc(random.pick([240, 248, 249, 250, 251, 255, 9000]), 'k'),
      key,
    ])
  }
  const newValue = (): Buffer => {
    const length = random.pick([0, 1, 90, 127, 128, 2000, 2040, 2048, 9000, 20_000, 50_000])
    return random.chance(0.5)
      ? Buffer.from(random.bytes(length))
      : Buffer.alloc(length, `value ${random.below(1000)} `)
  }
  const put = (): { type: 'put'; key: Buffer; value: Buffer } => {
    const one = { type: 'put', key: newKey(), value: newValue() } as const
    live.set(one.key.toString('hex'), one.value)
    return one
  }
  for (let i = 0; i < steps; i++) {
    const durability = random.pick(['none', 'os', 'disk'] as const)
    const step = random.below(100)
    if (step < 50) {
      const { key, value } = put()
      db.putSync(key, value, { durability })
    } else if (step < 70) {
      const name = newKey()
      live.delete(name.toString('hex'))
      db.deleteSync(name, { durability })
    } else if (step < 90) {
      db.batchSync(Array.from({ length: random.below(12) }, put), { durability })
    } else if (step < 92) {
      live.clear()
      db.clearSync({ durability })
    } else if (step < 95) db.compactSync()
    else if (step < 97) environment.advance(1500)
    else {
      db.closeSync()
      db = open()
    }
  }
  if (engine === 'btree') {
    // In the journal where the store is not closed, else in the tree.
    const loaded = Array.from({ length: 300 }, (_, i): [Buffer, Buffer] => {
      const rest = 'k'.repeat(i % 100 === 99 ? random.pick([248, 250, 9000]) : 0)
      return [Buffer.from(`load ${1000 + i}${rest}`), newValue()]
    })
    ;(db as unknown as OrderedStore<Uint8Array, Uint8Array>).loadSync(loaded)
    for (const [key, value] of loaded) live.set(key.toString('hex'), value)
  }
  if (closed) db.closeSync()
  else db.syncSync()
  return { live, files: new Map(contentOf(environment)) }
}

/** Stored indexes met. */
let indexes = 0

for (const { name, options, secret } of forms) {
  describe(`docs/format says how to read a store: ${name}`, () => {
    const seeds = secret && 'passphrase' in secret ? 1 : SEEDS
    for (let seed = 1; seed <= seeds; seed++) {
      test(`seed ${seed}`, () => {
        const { live, files } = used(seed, options)
        const read = readStore(files, secret)
        assert.ok(read.entries.length > 0)
        assert.deepEqual([...read.live.keys()].sort(), [...live.keys()].sort())
        for (const [name, value] of live) assert.ok(read.live.get(name)!.equals(value), name)
        const index = readIndex(files, read)
        if (index) assert.deepEqual(index.held, index.wanted)
        indexes += index ? 1 : 0
      })
    }
  })
}

after(() => assert.ok(indexes > forms.length, `${indexes} stored indexes`))

/** Trees with branches, and with a journal that has something. */
let high = 0
let ahead = 0

for (const { name, options, secret } of forms) {
  describe(`docs/format says how to read a tree: ${name}`, () => {
    const seeds = name === 'plain' ? SEEDS : 1
    for (let seed = 1; seed <= seeds; seed++) {
      for (const closed of [true, false]) {
        test(`seed ${seed}, ${closed ? 'closed' : 'open'}`, () => {
          const steps = secret && 'passphrase' in secret ? STEPS / 3 : STEPS
          const { live, files } = used(seed, options, 'btree', closed, steps)
          const read = readTree(files, secret)
          assert.deepEqual([...read.live.keys()].sort(), [...live.keys()].sort())
          for (const [name, value] of live) assert.ok(read.live.get(name)!.equals(value), name)
          if (read.levels > 1) high++
          if (read.entries.length !== read.live.size) ahead++
        })
      }
    }
  })
}

after(() => assert.ok(high > 2 && ahead > 2, `${high} high, ${ahead} ahead`))

test('docs/format says where a streamed value lies that only the journal knows', async () => {
  const environment = simulatedEnvironment({ seed: 1 })
  const db = openSync(FOLDER, { environment, engine: 'btree', values: 'bytes' })
  const part = Buffer.alloc(100_000, 'streamed ')
  await db.putStream(
    'streamed',
    Array.from({ length: 40 }, () => part),
  )
  await db.put('more', Uint8Array.of(1))
  const read = readTree(new Map(contentOf(environment)))
  const name = Buffer.from('streamed').toString('hex')
  assert.equal(read.entries.length, 0)
  assert.ok(read.live.get(name)!.equals(Buffer.alloc(4_000_000, part)))
  await db.close()
})

test('the reader refuses a changed byte', () => {
  const { files } = used(1, {})
  const [name] = [...files.keys()].filter((one) => one.endsWith('.log'))
  const bytes = Buffer.from(files.get(name!)!)
  bytes[HEADERS + 20]! ^= 1
  assert.throws(() => readStore(new Map(files).set(name!, bytes)), /checksum/)
  const tree = used(1, {}, 'btree').files
  const page = Buffer.from(tree.get('TREE')!)
  for (let at = 2 * 4096 + 100; at < page.length; at += 4096) page[at]! ^= 1
  assert.throws(() => readTree(new Map(tree).set('TREE', page)), /checksum/)
})

test('its XXH64 is the one of the store', () => {
  const random = new SeededRandom(3)
  for (const length of [0, 1, 4, 8, 31, 32, 33, 100, 4096]) {
    const bytes = Buffer.from(random.bytes(length))
    const seed = random.uint32()
    const [low, high] = xxh64(bytes, 0, length, seed)
    assert.equal(xxh64Of(bytes, seed), (BigInt(high!) << 32n) | BigInt(low!), `${length} bytes`)
  }
})
