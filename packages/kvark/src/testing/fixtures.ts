/**
 * Fixtures: small stores of each version of the format, as files that stay in the repository for ever.
 *
 *   packages/kvark/fixtures/log-1/expected.json      what is in them, and how to open them
 *                                 journal/   KVARK, MANIFEST, segments of the journal
 *                                 plain/     these, packed segments, a stored index
 *                                 lz4/, encrypted/
 *                           btree-1/         the same: KVARK, TREE, a journal that has something in `journal` only
 *
 * 1. They are made once (`npm run golden -- --fixtures`) and never changed: a later kvark must open what an earlier one wrote.
 */

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { openSync } from '../store/open.ts'
import { contentOf, FOLDER } from './damage.ts'
import type { StoredFiles } from './format-reader.ts'

/** Beside the sources; not a part of the published package. */
const FIXTURES: string = fileURLToPath(new URL('../../fixtures', import.meta.url))

export const GOLDEN: string = join(FIXTURES, 'golden.json')

type EngineName = 'log' | 'btree'

/** The versions that `--fixtures` writes, where they are not there yet. */
const CURRENT: Readonly<Record<string, EngineName>> = { 'log-1': 'log', 'btree-1': 'btree' }

/** `expected.json` of a version. */
export interface Expected {
  /** Name of a store → options of `open`; the key in hex. */
  readonly stores: Readonly<Record<string, FixtureOptions>>
  /** The entries of each of them. */
  readonly entries: Readonly<Record<string, string>>
}

export interface FixtureOptions {
  readonly compression?: 'lz4'
  /** Hex. Known to everybody: for tests only. */
  readonly key?: string
}

const STORES: Expected['stores'] = {
  journal: {},
  plain: {},
  lz4: { compression: 'lz4' },
  encrypted: { key: Buffer.from(Array.from({ length: 32 }, (_, i) => i)).toString('hex') },
}

/** The versions that have fixtures. */
export function versions(): string[] {
  return readdirSync(FIXTURES).filter((name) => /^(?:log|btree)-\d+$/.test(name))
}

export function expectedOf(version: string): Expected {
  return JSON.parse(readFileSync(join(FIXTURES, version, 'expected.json'), 'utf8')) as Expected
}

export function fixture(version: string, name: string): StoredFiles {
  const folder = join(FIXTURES, version, name)
  return new Map(readdirSync(folder).map((file) => [file, readFileSync(join(folder, file))]))
}

/** The engine of a version. */
export function engineOf(version: string): EngineName {
  return version.startsWith('log') ? 'log' : 'btree'
}

/** Writes the fixtures of the current versions; refuses where all of them are there. */
export function makeFixtures(): void {
  const missing = Object.entries(CURRENT).filter(([name]) => !existsSync(join(FIXTURES, name)))
  if (missing.length === 0) {
    throw new Error(`All are in ${FIXTURES}, and fixtures are never changed`)
  }
  for (const [version, engine] of missing) {
    const entries: Record<string, string> = {}
    for (const [name, options] of Object.entries(STORES)) {
      const folder = join(FIXTURES, version, name)
      mkdirSync(folder, { recursive: true })
      const files = makeStore(openOptions(options, engine), entries, name !== 'journal')
      for (const [file, bytes] of files) writeFileSync(join(folder, file), bytes)
    }
    const expected: Expected = { stores: STORES, entries }
    const path = join(FIXTURES, version, 'expected.json')
    writeFileSync(path, `${JSON.stringify(expected, null, 2)}\n`)
  }
}

export function openOptions({ compression, key }: FixtureOptions, engine: EngineName): object {
  return {
    engine,
    ...(engine === 'btree' && { pageBytes: 4096 }),
    ...(compression && { compression }),
    ...(key !== undefined && { encryption: { key: Buffer.from(key, 'hex') } }),
  }
}

/**
 * A store with a bit of everything in it, if it is to be `compacted` with every kind of file; closed. Of a tree that is not, the files
 * as they are before the last close, with a journal that has something.
 */
function makeStore(
  options: object,
  entries: Record<string, string>,
  compacted: boolean,
): StoredFiles {
  const environment = simulatedEnvironment({ seed: 1 })
  const opened = () => openSync(FOLDER, { environment, ...options })
  const put = (key: string, value: string): void => {
    db.putSync(key, value, { durability: 'none' })
    entries[key] = value
  }
  let db = opened()
  put('cleared', 'before the clear')
  db.clearSync()
  for (const key of Object.keys(entries)) delete entries[key]
  for (let i = 0; i < 20; i++) put(`key ${i}`, `value ${i} `.repeat(i))
  put('', 'the empty key')
  put('empty', '')
  put('übung', 'ä€𝄞')
  // A tree of several levels, with keys that go on elsewhere.
  for (let i = 0; i < 150; i++) put(`user:${i * 37}`, `${i} of many `.repeat(5))
  for (let i = 0; i < 3; i++) put(`${'k'.repeat(300)}${i}`, 'under a long key')
  put('several windows', 'a value that is longer than a window '.repeat(500))
  for (let i = 0; i < 5; i++) db.deleteSync(`key ${i}`, { durability: 'none' })
  for (let i = 0; i < 5; i++) delete entries[`key ${i}`]
  if (compacted) db.compactSync()
  put('key 5', 'overwritten behind the stored index')
  db.deleteSync('key 6')
  delete entries['key 6']
  db.closeSync()
  environment.advance(60_000)
  db = opened()
  db.batchSync([
    { type: 'put', key: 'batch 1', value: 'in a later opening' },
    { type: 'put', key: 'batch 2', value: 'as a whole' },
  ])
  entries['batch 1'] = 'in a later opening'
  entries['batch 2'] = 'as a whole'
  db.syncSync()
  const open = contentOf(environment)
  db.closeSync()
  const files = new Map(!compacted && open.has('TREE') ? open : contentOf(environment))
  files.delete('LOCK')
  return files
}
