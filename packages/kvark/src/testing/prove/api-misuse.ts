/**
 * Row: what callers should not do (`misuse/`), one case after the other on the same few stores in memory.
 *
 *   case ─► refused with a typed error, or as the case says ─► the store takes a write and gives it back ─► next case
 *   portion ─► all stores hold what they should, verify, and again after opening them anew
 *
 * Left out: objects that lie about what they are to the language itself, such as bytes with a `length` of their own.
 */

import assert from 'node:assert/strict'
import { crc32 } from 'node:zlib'
import type { EngineModule } from '../../engine/engine.ts'
import { engines } from '../../engines.ts'
import type { Environment } from '../../environment/environment.ts'
import { simulatedEnvironment } from '../../environment/simulated.ts'
import { KvarkError } from '../../errors.ts'
import { openWith } from '../../store/opening.ts'
import { memoryFiles } from '../../vfs/memory.ts'
import { withContext } from '../crash/seeds.ts'
import type { CrashSubject } from '../crash/subjects.ts'
import type { Ground, Kind, Misuse, Verbs } from './misuse/case.ts'
import { misuses } from './misuse/cases.ts'
import { OWN } from './misuse/values.ts'
import type { Portion, Row, Tally } from './row.ts'

const CASES_A_PORTION = 100
const PORTIONS = Math.ceil(misuses.length / CASES_A_PORTION)
const CACHE_BYTES = 1024 * 1024
const KINDS: readonly Kind[] = ['utf8', 'bytes', 'tuple', 'custom']

type Modules = Readonly<Record<string, EngineModule>>

class Stores implements Ground {
  readonly environment: Environment = {
    ...simulatedEnvironment({ seed: 1 }),
    files: memoryFiles(),
  }
  readonly #modules: Modules
  readonly #subject: CrashSubject
  readonly #stores: Map<Kind, Verbs> = new Map()
  #own: Verbs | undefined
  #during: (() => void) | undefined
  #written = 0

  constructor(modules: Modules, subject: CrashSubject) {
    this.#modules = modules
    this.#subject = subject
    for (const kind of KINDS) this.#open(kind)
    for (const kind of KINDS) this.db(kind)['putSync']!(this.key(kind), this.value(kind))
  }

  db(kind: Kind): Verbs {
    return this.#stores.get(kind)!
  }

  key(kind: Kind): unknown {
    return toKey(kind, 'key')
  }

  value(kind: Kind): unknown {
    return kind === 'bytes' ? new Uint8Array(Buffer.from('value')) : 'value'
  }

  own(): Verbs {
    const db = this.#opening('/own', { durability: 'none' }).sync() as unknown as Verbs
    db['putSync']!('key', 'value')
    this.#own = db
    return db
  }

  open(how: 'sync' | 'awaited', path: unknown, options: unknown): unknown {
    const { engine, options: given } = this.#subject
    const isObject = typeof options === 'object' && options !== null && !Array.isArray(options)
    const all = isObject ? { engine, ...given, ...options } : options
    const opening = openWith(this.#modules, path as string, all as object)
    return how === 'sync' ? opening.sync() : opening.async()
  }

  during(act: () => void): void {
    this.#during = act
  }

  /** After a case: what was opened for it is closed, and the others read and write. */
  async check(): Promise<void> {
    this.#during = undefined
    if (this.#own !== undefined) await this.#own['close']!()
    this.#own = undefined
    for (const kind of KINDS) {
      const db = this.db(kind)
      const key = toKey(kind, `sound ${++this.#written % 7}`)
      const text = `value ${this.#written}`
      const value = kind === 'bytes' ? new Uint8Array(Buffer.from(text)) : text
      const version = db['putSync']!(key, value, { durability: 'none' })
      assert.deepEqual(db['getSync']!(key), value, `${kind} gives what was written`)
      const { sequence, readOnly, snapshots } = db['stats']!() as {
        sequence: number
        readOnly: unknown
        snapshots: number
      }
      assert.deepEqual([sequence, readOnly, snapshots], [version, undefined, 0], kind)
      db['putSync']!(this.key(kind), this.value(kind), { durability: 'none' })
    }
  }

  /** What a case that was refused must not change. */
  sequences(): number[] {
    return KINDS.map((kind) => (this.db(kind)['stats']!() as { sequence: number }).sequence)
  }

  async finish(): Promise<void> {
    for (const kind of KINDS) {
      const before = this.#contentOf(kind)
      await this.#verify(kind)
      await this.db(kind)['close']!()
      this.#open(kind)
      assert.deepEqual(this.#contentOf(kind), before, `${kind} is the same when opened again`)
      await this.#verify(kind)
      await this.db(kind)['close']!()
    }
  }

  async #verify(kind: Kind): Promise<void> {
    const { problems } = (await this.db(kind)['verify']!()) as { problems: unknown[] }
    assert.deepEqual(problems, [], `verify of ${kind}`)
  }

  #contentOf(kind: Kind): unknown[] {
    const entries = [...(this.db(kind)['entries']!() as Iterable<[unknown, unknown]>)]
    const shown = entries.map(([key, value]) => Buffer.from(`${String(key)} ${String(value)}`))
    return shown.sort((a, b) => a.compare(b)).map((one) => crc32(one))
  }

  #open(kind: Kind): void {
    const own = {
      name: 'own',
      encode: (text: string): Uint8Array => {
        this.#call()
        return Buffer.from(text)
      },
      decode: (bytes: Uint8Array): string => {
        const text = Buffer.from(bytes).toString()
        this.#call()
        return text
      },
    }
    const codecs = {
      utf8: { keys: 'utf8', values: 'utf8' },
      bytes: { keys: 'bytes', values: 'bytes' },
      tuple: { keys: 'tuple', values: 'json' },
      custom: { keys: own, values: own },
    }[kind]
    const db = this.#opening(`/${kind}`, { ...codecs, durability: 'none' }).sync()
    this.#stores.set(kind, db as unknown as Verbs)
  }

  /** The caller's code calls the store, which calls the codec: not again. */
  #call(): void {
    const act = this.#during
    this.#during = undefined
    act?.()
  }

  #opening(path: string, options: object): ReturnType<typeof openWith> {
    return openWith(this.#modules, path, {
      engine: this.#subject.engine,
      ...this.#subject.options,
      cacheBytes: CACHE_BYTES,
      environment: this.environment,
      ...options,
    })
  }
}

function toKey(kind: Kind, text: string): unknown {
  if (kind === 'bytes') return Buffer.from(text)
  return kind === 'tuple' ? [text] : text
}

/** A portion on other engines than those of the package. */
export async function runMisuse({ subject, seed }: Portion, modules: Modules): Promise<Tally> {
  // From the start again where a portion has failed: with another option set.
  const first = ((seed - 1) % PORTIONS) * CASES_A_PORTION
  const chosen = misuses.slice(first, first + CASES_A_PORTION)
  const stores = new Stores(modules, subject)
  const failures: Error[] = []
  for (const [i, one] of chosen.entries()) {
    try {
      await judge(one, stores)
    } catch (cause) {
      failures.push(withContext(`case ${first + i}, ${one.name}:`, cause))
    }
    try {
      await stores.check()
    } catch (cause) {
      throw withContext(`after case ${first + i}, ${one.name}:`, cause)
    }
  }
  const [failure] = failures
  if (failure !== undefined) {
    const others = failures.slice(1).map(({ message }) => message.split('\n', 2).join(' '))
    throw withContext([`${failures.length} cases failed.`, ...others].join('\n'), failure)
  }
  await stores.finish()
  return { done: chosen.length, distinct: chosen.map(({ name }) => hash(name)) }
}

/** Carries a case out; what comes of it must be what the case says. */
async function judge(one: Misuse, stores: Stores): Promise<void> {
  const { must, promises } = one
  const before = stores.sequences()
  let error: unknown
  let failed = false
  let result: unknown
  try {
    result = one.act(stores)
  } catch (thrown) {
    assert.ok(!promises, `it throws ${String(thrown)}, but should reject`)
    failed = true
    error = thrown
  }
  try {
    await result
  } catch (rejected) {
    failed = true
    error = rejected
  }
  const { codes, may = codes.length === 0, own = false } = must
  if (!failed) {
    assert.ok(
      may && !own,
      `it goes well, but should be refused with ${codes.join(' or ') || 'what the caller threw'}`,
    )
    return
  }
  if (own && error === OWN) return
  if (!(error instanceof KvarkError)) throw error
  assert.ok(
    codes.includes(error.code),
    `${error.code} is not ${codes.join(' or ')}: ${error.message}`,
  )
  assert.match(error.message, /^\S.*\.$/s, `the message is a sentence: ${error.message}`)
  assert.deepEqual(stores.sequences(), before, 'what is refused writes nothing')
}

/** 48 bits. */
function hash(name: string): number {
  return crc32(name) * 65_536 + (crc32(`${name} again`) & 0xffff)
}

export const apiMisuse: Row = {
  name: 'api-misuse',
  what: 'every verb with wrong arguments, at its limits, after closing, and from within itself',
  unit: 'cases',
  rule: 'a typed error that says what to do, nothing written, and the store goes on',
  goal: misuses.length,
  portions: () => Math.ceil(misuses.length / CASES_A_PORTION),
  run: (portion) => runMisuse(portion, engines),
}
