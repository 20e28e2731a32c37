/**
 * Golden bytes: a fixed script with a fixed seed and a fixed clock writes stores in several forms, and the digest of each of their
 * files is kept in `fixtures/golden.json`. Another digest is another format.
 *
 *   script ─► files in memory ─► SHA-256 of each, but for `LOCK` (a process id)
 *
 * 1. All randomness and time come from the environment, jobs run in this thread: the same bytes each time, everywhere.
 * 2. What deflate makes of a block is up to zlib, which differs from Node to Node: of these stores the entries and their places are
 *    kept, as the readers of `format-reader.ts` and `format-tree.ts` find them, and the sizes of files.
 */

import { createHash } from 'node:crypto'
import type { EngineModule } from '../engine/engine.ts'
import { PUT } from '../engine/write-batch.ts'
import { btree } from '../engines/btree/module.ts'
import { log } from '../engines/log/module.ts'
import { type SimulatedEnvironment, simulatedEnvironment } from '../environment/simulated.ts'
import { openSync } from '../store/open.ts'
import type { Encryption } from '../store/options.ts'
import { openRaw } from './contract/raw-engine.ts'
import { contentOf, FOLDER } from './damage.ts'
import { readStore, type StoredFiles } from './format-reader.ts'
import { readTree } from './format-tree.ts'

/** For this script and the fixtures only: everybody knows it. */
const TEST_KEY: Uint8Array = Uint8Array.from({ length: 32 }, (_, i) => i)

/** Name of a file → digest. */
export type Digests = Readonly<Record<string, string>>

/** Name of a form → its files. */
export type Golden = Readonly<Record<string, Digests>>

interface GoldenForm {
  readonly name: string
  readonly options: {
    readonly checksum?: 'xxh64'
    readonly compression?: 'lz4' | 'deflate'
    readonly encryption?: Encryption
  }
}

const SEED = 20_240_101
const MIB = 1024 * 1024

const FORMS: readonly GoldenForm[] = [
  { name: 'plain', options: {} },
  { name: 'xxh64', options: { checksum: 'xxh64' } },
  { name: 'lz4', options: { compression: 'lz4' } },
  { name: 'deflate', options: { compression: 'deflate' } },
  { name: 'aes-128-gcm', options: { encryption: { key: TEST_KEY, cipher: 'aes-128-gcm' } } },
  { name: 'aes-256-gcm', options: { encryption: { key: TEST_KEY } } },
]

/** What the scripts write now. */
export async function goldenNow(): Promise<Golden> {
  const golden: Record<string, Record<string, string>> = {}
  for (const [prefix, script] of [
    ['', scripted],
    ['btree, ', scriptedTree],
  ] as const) {
    for (const form of FORMS) {
      const kept = form.options.compression === 'deflate' ? decoded : digests
      const found: Record<string, string> = {}
      golden[`${prefix}${form.name}`] = found
      for (const [i, files] of (await script(form)).entries()) {
        for (const [name, digest] of Object.entries(kept(files))) {
          found[`${i + 1}/${name}`] = digest
        }
      }
    }
  }
  golden['expiry'] = digests(withExpiry(log))
  golden['btree, expiry'] = digests(withExpiry(btree))
  return golden
}

/** Every kind of write, file, block and frame; the files at three moments, as `1/…`, `2/…` and `3/…`. */
async function scripted({ options }: GoldenForm): Promise<readonly StoredFiles[]> {
  const environment = simulatedEnvironment({ seed: SEED })
  const openOne = () =>
    openSync(FOLDER, {
      environment,
      engine: 'log',
      values: 'bytes',
      segmentBytes: 64 * 1024,
      cacheBytes: MIB,
      compactionThresholdBytes: Number.MAX_SAFE_INTEGER,
      ...options,
    })

  // The journal: frames of one entry and of many, over several windows, at the end of one; several segments.
  const first = openOne()
  first.putSync('', text('the empty key'))
  for (let i = 0; i < 40; i++) {
    const durability = (['none', 'os', 'disk'] as const)[i % 3]!
    first.putSync(`key ${i}`, text(`value ${i} `.repeat(i)), { durability })
    environment.advance(7)
  }
  first.clearSync()
  first.batchSync(
    Array.from({ length: 300 }, (_, i) => ({
      type: 'put' as const,
      key: `batch ${i}`,
      value: text('.'.repeat(i)),
    })),
  )
  first.putSync('über', Uint8Array.of(0, 127, 128, 255))
  first.putSync('several windows', text('a long value '.repeat(4000)))
  first.putSync('k'.repeat(20_000), text('a long key'))
  first.deleteSync('key 3')
  first.deleteSync('batch 3')
  first.batchSync([
    { type: 'delete', key: 'batch 4' },
    { type: 'put', key: 'batch 5', value: new Uint8Array(0) },
  ])
  // Lone syncs, so that zeros go ahead; the close cuts them off.
  for (let i = 0; i < 12; i++) first.putSync(`lone ${i}`, text('in a sector of its own'))
  first.closeSync()
  const stages = [filesOf(environment)]

  // Packed segments and a stored index, and what is behind it.
  const second = openOne()
  environment.advance(1000)
  for (let i = 0; i < 200; i++) {
    second.putSync(`batch ${i % 120}`, text(`again ${i} `.repeat(20)), { durability: 'os' })
  }
  second.compactSync()
  second.putSync('behind', text('the stored index'))
  second.deleteSync('batch 7')
  second.closeSync()
  stages.push(filesOf(environment))

  // A streamed value.
  const third = openOne()
  await third.putStream('streamed', pieces())
  third.putSync('behind it', text('in its segment'))
  third.closeSync()
  stages.push(filesOf(environment))
  return stages
}

async function* pieces(): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < 33; i++) yield Buffer.alloc(64 * 1024, `piece ${i} `)
}

/** Every kind of page, cell and extent, and a journal that has something; the files at four moments. */
async function scriptedTree({ options }: GoldenForm): Promise<readonly StoredFiles[]> {
  const environment = simulatedEnvironment({ seed: SEED })
  const openOne = () =>
    openSync(FOLDER, {
      environment,
      engine: 'btree',
      values: 'bytes',
      pageBytes: 4096,
      cacheBytes: MIB,
      // Checkpoints come when they are asked for.
      checkpointBytes: Number.MAX_SAFE_INTEGER,
      ...options,
    })

  // An empty tree, and one of three levels: short and long keys and values, prefixes, holes.
  const first = openOne()
  const stages = [filesOf(environment)]
  first.putSync('', text('the empty key'))
  for (let i = 0; i < 900; i++) {
    first.putSync(`key ${i}`, text(`value ${i} `.repeat(i % 40)), { durability: 'none' })
    environment.advance(7)
  }
  const others = Array.from({ length: 300 }, (_, i) => `${'far behind '.repeat(10)}${i * 7}`)
  first.batchSync(others.map((key) => ({ type: 'put', key, value: text(key) })))
  for (let i = 0; i < 12; i++) first.putSync(`${'k'.repeat(600 + (i % 3))}${i}`, text('a long key'))
  first.putSync('k'.repeat(255), text('just long'))
  first.putSync('several pages', text('a long value '.repeat(4000)))
  first.putSync('über', Uint8Array.of(0, 127, 128, 255))
  for (let i = 0; i < 900; i += 7) first.deleteSync(`key ${i}`, { durability: 'none' })
  first.closeSync()
  stages.push(filesOf(environment))

  // Overwritten, put together and moved; a clear, and what comes behind it in the journal.
  const second = openOne()
  environment.advance(1000)
  for (let i = 0; i < 900; i += 2) {
    second.putSync(`key ${i}`, text(`again ${i} `.repeat(i % 50)), { durability: 'os' })
  }
  for (let i = 100; i < 700; i++) second.deleteSync(`key ${i}`, { durability: 'os' })
  second.compactSync()
  second.deleteSync('key 3')
  second.putSync('behind', text('the checkpoint'))
  second.syncSync()
  stages.push(filesOf(environment))
  second.clearSync()
  for (let i = 0; i < 30; i++) second.putSync(`key ${i}`, text('after the clear'))
  second.closeSync()

  // A streamed value that only the journal knows, and what was loaded before it.
  const third = openOne()
  third.loadSync(
    Array.from({ length: 700 }, (_, i): [string, Uint8Array] => {
      const rest = i === 300 ? 'k'.repeat(300) : ''
      return [`load ${1000 + i}${rest}`, text('loaded '.repeat(i % 100 === 50 ? 2000 : i % 30))]
    }),
  )
  await third.putStream('streamed', pieces())
  third.putSync('behind it', text('in the journal'))
  stages.push(filesOf(environment))
  third.closeSync()
  return stages
}

/** Entries that expire, which no verb writes yet: by the engine alone. */
function withExpiry(engine: EngineModule): StoredFiles {
  const environment = simulatedEnvironment({ seed: SEED })
  const place = { engine, path: FOLDER, form: { name: 'plain' }, engineOptions: {} }
  const raw = openRaw(place, environment, true)
  raw.write([{ kind: PUT, key: 'soon', value: 'gone', expiry: environment.now() + 1000 }])
  raw.write([{ kind: PUT, key: 'late', value: 'there', expiry: 2 ** 47 }])
  raw.close()
  return filesOf(environment)
}

function filesOf(environment: SimulatedEnvironment): StoredFiles {
  const files = new Map(contentOf(environment))
  files.delete('LOCK')
  return files
}

function digests(files: StoredFiles): Digests {
  return Object.fromEntries([...files].map(([name, bytes]) => [name, digest(bytes)]))
}

function decoded(files: StoredFiles): Digests {
  const tree = files.get('TREE')
  if (tree) {
    const { entries, live } = readTree(files)
    const ahead = [...live].map(([key, value]) => ({ key: Buffer.from(key, 'hex'), value }))
    return { 'TREE, decoded': digestOf(tree.length, [...entries, ...ahead]) }
  }
  const { entries } = readStore(files)
  const segments = [...files].filter(([name]) => /\.(?:log|packed)$/.test(name))
  return Object.fromEntries(
    segments.map(([name, { length }]) => {
      const own = entries.filter(({ file }) => file === name)
      return [`${name}, decoded`, digestOf(length, own)]
    }),
  )
}

/** Of the size of a file, and of entries with what is known of each. */
function digestOf(
  length: number,
  entries: readonly { readonly key: Buffer; readonly value: Buffer }[],
): string {
  const lines = entries.map(({ key, value, ...entry }) =>
    JSON.stringify({ ...entry, key: key.toString('hex'), value: value.toString('hex') }),
  )
  return digest(Buffer.from([length, ...lines].join('\n')))
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function text(value: string): Uint8Array {
  return Buffer.from(value)
}
