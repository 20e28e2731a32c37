/**
 * A store whose files can be damaged one at a time: its files as plain bytes, put into memory anew for every try, and a
 * look at what a store made of such files still gives.
 *
 *   makeStore ─► content: name → bytes ─► with one file changed ─► examine: what opening, reading and verify say
 *                                                                └► with the file put back: everything is there
 */

import assert from 'node:assert/strict'
import { engines } from '../engines.ts'
import type { Environment } from '../environment/environment.ts'
import { nodeEnvironment } from '../environment/node.ts'
import { KvarkError } from '../errors.ts'
import type { ChecksumName } from '../storage/block-form.ts'
import type { CompressionName } from '../storage/compression.ts'
import { openSync } from '../store/open.ts'
import type { Encryption } from '../store/options.ts'
import type { AtomicStore } from '../store/types.ts'
import { memoryFiles } from '../vfs/memory.ts'

export const FOLDER = '/store'

/** The files of a store by name. */
export type Content = ReadonlyMap<string, Buffer>

/** What a key should give; `undefined`: nothing, it was deleted. */
export type Expected = ReadonlyMap<string, string | undefined>

/** Nothing happens by itself. */
const OPTIONS: Readonly<Record<DamagedEngine, object>> = {
  log: { segmentBytes: 32 * 1024, compactionThresholdBytes: Number.MAX_SAFE_INTEGER },
  btree: { pageBytes: 4096, checkpointBytes: Number.MAX_SAFE_INTEGER },
}

export type DamagedEngine = 'log' | 'btree'
export type DamagedStore = AtomicStore<string, string>

/** How a store has its data in files, and in how many. */
export interface DamagedForm {
  /** `log` where it is not said. */
  readonly engine?: DamagedEngine
  readonly checksum?: ChecksumName
  readonly compression?: CompressionName
  readonly encryption?: Encryption
  readonly segmentBytes?: number
  readonly compactionThresholdBytes?: number
  readonly pageBytes?: number
  readonly checkpointBytes?: number
}

export function openAt(environment: Environment, form: DamagedForm = {}): DamagedStore {
  const { engine = 'log' } = form
  const options = { ...OPTIONS[engine], cacheBytes: 1024 * 1024, environment, ...form, engine }
  return openSync(FOLDER, options)
}

/** An environment with these files in the store's folder; what it warns of goes to `warnings`. */
export function environmentWith(content: Content, warnings: string[] = []): Environment {
  const files = memoryFiles()
  const environment = {
    ...nodeEnvironment(files),
    warn: (text: string) => void warnings.push(text),
  }
  files.makeFolder(FOLDER).sync()
  for (const [name, bytes] of content) write(environment, name, bytes)
  return environment
}

/** The files that differ, by name; the lock holds nothing of a store. */
export function differences(one: Content, other: Content): string[] {
  const names = new Set([...one.keys(), ...other.keys()])
  names.delete('LOCK')
  return [...names].filter((name) => {
    const bytes = other.get(name)
    return bytes === undefined || !one.get(name)?.equals(bytes)
  })
}

/** Replaces a file; `undefined` removes it. */
export function write({ files }: Environment, name: string, bytes: Buffer | undefined): void {
  const path = `${FOLDER}/${name}`
  files.remove(path).sync()
  if (bytes === undefined) return
  const handle = files.open(path, 'create').sync()
  handle.write(bytes, 0, bytes.length, 0).sync()
  handle.close().sync()
}

export function contentOf({ files }: Environment): Content {
  const content = new Map<string, Buffer>()
  for (const name of files.list(FOLDER).sync()) {
    const handle = files.open(`${FOLDER}/${name}`, 'read').sync()
    const bytes = Buffer.alloc(handle.size().sync())
    handle.read(bytes, 0, bytes.length, 0).sync()
    handle.close().sync()
    content.set(name, bytes)
  }
  return content
}

/** A store that has every kind of file: segments of compaction, a stored index, journal behind it; closed. */
export function makeStore(extra = 0): { content: Content; expected: Expected } {
  const environment = environmentWith(new Map())
  const expected = new Map<string, string | undefined>()
  const db = openAt(environment)
  const put = (key: string, value: string): void => {
    db.putSync(key, value, { durability: 'none' })
    expected.set(key, value)
  }
  const name = (i: number): string => `key ${i}`
  for (let i = 0; i < 500 + extra; i++) put(name(i), `first value of ${i} ${'.'.repeat(i % 90)}`)
  put('spread', 'a value over several windows '.repeat(1500))
  put('', 'the empty key')
  put('k'.repeat(5000), 'a long key')
  for (let i = 0; i < 250; i++) put(name(i), `second value of ${i} ${'.'.repeat(i % 70)}`)
  for (let i = 400; i < 420; i++) {
    db.deleteSync(name(i))
    expected.set(name(i), undefined)
  }
  db.compactSync()
  for (let i = 500; i < 500 + extra; i++) {
    put(name(i), 'again')
    if (i % 200 === 0) db.compactSync()
  }
  for (let i = 100; i < 400; i++) put(name(i), `third value of ${i} ${'.'.repeat(i % 80)}`)
  for (let i = 420; i < 430; i++) {
    db.deleteSync(name(i))
    expected.set(name(i), undefined)
  }
  db.closeSync()
  const again = openAt(environment)
  again.putSync('last', 'behind the stored index')
  expected.set('last', 'behind the stored index')
  again.closeSync()
  return { content: contentOf(environment), expected }
}

/** What a store made of damaged files says. */
export interface Findings {
  /** Why it does not open. */
  readonly refused: KvarkError | undefined
  /** Keys whose reading was refused, with the reason. */
  readonly unreadable: ReadonlyMap<string, KvarkError>
  /** What `verify` reported. */
  readonly problems: readonly KvarkError[]
}

/**
 * Opens the store, reads every key in every way, verifies and closes it. Fails when anything but the right value or
 * `CORRUPTION` with its place comes out.
 */
export function examine(
  environment: Environment,
  expected: Expected,
  form: DamagedForm = {},
): Findings {
  const unreadable = new Map<string, KvarkError>()
  let db: DamagedStore
  try {
    db = openAt(environment, form)
  } catch (error) {
    return { refused: asRefusal(error, form), unreadable, problems: [] }
  }
  try {
    for (const [key, value] of expected) {
      try {
        assert.equal(db.getSync(key), value, key)
      } catch (error) {
        unreadable.set(key, asDamage(error, form))
      }
    }
    try {
      const found = new Map(db.entries())
      const wanted = new Map([...expected].filter(([, value]) => value !== undefined))
      assert.deepEqual(found, wanted, 'a scan gives all or an error')
    } catch (error) {
      asDamage(error, form)
    }
    const { problems } = db.verifySync()
    for (const problem of problems) asDamage(problem, form)
    if (unreadable.size > 0) assert.notEqual(problems.length, 0, 'verify did not find it')
    return { refused: undefined, unreadable, problems }
  } finally {
    db.closeSync()
  }
}

/** Everything is there, and nothing is wrong with it. */
export function assertWhole(
  environment: Environment,
  expected: Expected,
  form: DamagedForm = {},
): void {
  const { refused, unreadable, problems } = examine(environment, expected, form)
  assert.equal(refused, undefined)
  assert.deepEqual([...unreadable.keys()], [])
  assert.deepEqual(problems, [])
}

/** The error as the refusal of a store that is damaged. */
function asRefusal(error: unknown, { encryption }: DamagedForm): KvarkError {
  if (!(error instanceof KvarkError)) throw error
  // A data key that does not come out of its wrapping: from that nobody can tell which of the two is wrong.
  const codes = ['CORRUPTION', 'VERSION', ...(encryption ? ['BAD_ENCRYPTION_KEY'] : [])]
  assert.ok(codes.includes(error.code), `${error.code}: ${error.message}`)
  assertAdvice(error)
  return error
}

/** The error as one of damage with its place; any other is thrown. */
function asDamage(error: unknown, { engine = 'log' }: DamagedForm): KvarkError {
  if (!(error instanceof KvarkError) || error.code !== 'CORRUPTION') throw error
  const [folder, name] = String(error.path).split(/\/(?=[^/]*$)/)
  assert.equal(folder, FOLDER)
  assert.match(name!, engines[engine]!.files)
  assert.equal(typeof error.offset, 'number')
  assertAdvice(error)
  return error
}

/** One line for people that says what to do, or what would be right. */
export function assertAdvice({ message }: Error): void {
  assert.match(message, /^[^\n]+\.$/)
  assert.match(
    message,
    /\b(?:run|restore|open|use|give|check|move|write|convert|store|make|look|known|must be)\b/i,
  )
}
