/**
 * A small store that is the same in every process, to be damaged: its files, what it gives, and how its files were before.
 *
 *   subject ─► write, close ─► overwrite, delete, compact? ─► close ─► batch, close ─► write, close
 *                        └── earlier[0]                         └─ earlier[1]     └─ earlier[2]   └─ content, expected
 *
 * 1. Random bytes come from a seed and the clock stands, so that the files are the same each time.
 * 2. It is as small as it can be with everything in it, for it is opened a hundred thousand times.
 */

import { SeededRandom } from '../../bytes/random.ts'
import type { Environment } from '../../environment/environment.ts'
import type { CrashSubject } from '../crash/subjects.ts'
import {
  type Content,
  contentOf,
  type DamagedEngine,
  type DamagedForm,
  type DamagedStore,
  type Expected,
  environmentWith,
  openAt,
} from '../damage.ts'
import { anatomyOf } from './anatomies.ts'

export interface SmallStore {
  readonly form: DamagedForm
  readonly content: Content
  readonly expected: Expected
  /** The files at the clean closes before, oldest first. */
  readonly earlier: readonly Content[]
}

export interface SmallStoreOptions {
  /** With every kind of block: in a log packed segments and a stored index, else all is in the journal; in a tree a branch. */
  readonly compacted: boolean
  /** With a value over two windows. */
  readonly spread: boolean
  /** As it is when its process was killed: what was written last is in the journal only. */
  readonly killed?: boolean
}

const NOW = Date.UTC(2024, 0, 1)
/** From the first window into the second. */
const SPREAD_BYTES = 15_600

/** Engine and options of a subject as those that a store to be damaged takes. */
export function formOf({ engine, options }: CrashSubject): DamagedForm {
  return { engine: engine as DamagedEngine, ...options }
}

export function isEncrypted(form: DamagedForm): boolean {
  return form.encryption !== undefined
}

/** These files in memory; random bytes from a seed, a clock that stands, timers that never fire. */
export function stillEnvironment(
  content: Content,
  seed: number,
  warnings: string[] = [],
): Environment {
  const random = new SeededRandom(seed)
  return {
    ...environmentWith(content, warnings),
    random: (length) => random.bytes(length),
    now: () => NOW,
    timer: () => ({ cancel: () => {} }),
  }
}

export function smallStore(
  subject: CrashSubject,
  { compacted, spread, killed = false }: SmallStoreOptions,
): SmallStore {
  const form = formOf(subject)
  const environment = stillEnvironment(new Map(), 1)
  const expected = new Map<string, string | undefined>()
  const earlier: Content[] = []
  const put = (db: DamagedStore, key: string, value: string): void => {
    db.putSync(key, value, { durability: 'os' })
    expected.set(key, value)
  }
  const life = (act: (db: DamagedStore) => void, ends = true): void => {
    const db = openAt(environment, form)
    act(db)
    if (!ends) earlier.push(contentOf(environment))
    db.closeSync()
    if (ends) earlier.push(contentOf(environment))
  }
  life((db) => {
    for (let i = 0; i < 10; i++) put(db, `key ${i}`, `first ${i} `.repeat(i + 1))
    put(db, '', 'the empty key')
    if (compacted) for (const [key, value] of anatomyOf(form).filling) put(db, key, value)
    if (spread) put(db, 'spread', 'over windows '.repeat(SPREAD_BYTES / 13))
  })
  life((db) => {
    for (let i = 0; i < 5; i++) put(db, `key ${i}`, `second ${i} `.repeat(10 - i))
    for (const key of ['key 8', 'key 9']) {
      db.deleteSync(key, { durability: 'os' })
      expected.set(key, undefined)
    }
    if (compacted) db.compactSync()
  })
  life((db) => {
    const keys = ['key 3', 'key 11', 'key 12']
    db.batchSync(keys.map((key) => ({ type: 'put', key, value: `of a batch: ${key}` })))
    for (const key of keys) expected.set(key, `of a batch: ${key}`)
  })
  life((db) => put(db, 'last', 'behind the stored index'), !killed)
  const content = earlier.pop()!
  return { form, content, expected, earlier }
}

const made = new Map<string, SmallStore>()

/** The same, made once in a process. */
export function knownStore(subject: CrashSubject, options: SmallStoreOptions): SmallStore {
  const name = `${subject.engine} ${subject.name} ${JSON.stringify(options)}`
  let store = made.get(name)
  if (store === undefined) {
    store = smallStore(subject, options)
    made.set(name, store)
  }
  return store
}

/** The names of the files that hold something of the store, in order. */
export function namesOf(content: Content): string[] {
  return [...content.keys()].filter((name) => name !== 'LOCK')
}
