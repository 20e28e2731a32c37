/**
 * One step of a model run in which much is begun at once, and may fail.
 *
 *   read, put, clear, load, walk, compact, back up, … ─► all have ended ─────────────► the store holds what the writes make
 *     └ turns of the event loop in between            └► a call has failed: `resume` ┐
 *                                                     └► killed, or without power    ┴► … what the first of them make
 *
 * 1. A read gives what its key held when it began or later; a walk and a backup what the first of the writes make, those before
 *    them at least. A walk that is closed while a step of it runs, and gone on with from its token, misses nothing.
 * 2. What cannot be carried out changes nothing: a load that breaks off, or whose keys do not rise, or that meets an entry.
 * 3. Where a call fails, what is asked may fail, with the codes that are for that. What was durable stays.
 *
 * Left out: conditions, versions of what is being written, expiry. The calm steps of a run have the first two.
 */

import assert from 'node:assert/strict'
import type { SeededRandom } from '../../bytes/random.ts'
import { KvarkError } from '../../errors.ts'
import type { OrderedCursor, RangeOptions } from '../../store/call-types.ts'
import { collect, turn } from '../contract/check.ts'
import type { ModelStore } from './run.ts'
import {
  ALL_KEYS,
  inOrder,
  type KeySpan,
  type ModelKey,
  randomSpan,
  shownValue,
  spanFrom,
} from './things.ts'
import { type Begun, isSame, type Model, type Stored, Writes } from './writes.ts'

type Bytes = Uint8Array

/** What the step gets of its run. */
export interface Scene {
  readonly db: ModelStore
  readonly model: ReadonlyMap<ModelKey, Stored>
  readonly random: SeededRandom
  /** In order. */
  readonly keys: readonly ModelKey[]
  /** Whether ranges may be asked for. */
  readonly byOrder: boolean
  readonly known: (bytes: Bytes) => ModelKey
  readonly value: () => Bytes
  readonly durability: () => 'none' | 'os' | 'disk'
  readonly tell: (line: string) => void
  readonly counted: (calls: number) => void
  readonly advance: () => void
  readonly trouble: Trouble | undefined
}

/** What goes wrong in a world, beside the store. */
export interface Trouble {
  /** From now on some call fails, until what is returned is called, which tells whether one has. */
  readonly fail: (random: SeededRandom) => () => boolean
  /** The process is killed, or the power fails. */
  readonly stop: (random: SeededRandom) => void
  /** Opens the store again, or a copy of it. */
  readonly open: (path: string | undefined, random: SeededRandom) => Promise<ModelStore>
  /** A path for a copy. */
  readonly newPath: () => string
}

/** What became of the store. */
export interface AfterStep {
  readonly db: ModelStore
  readonly model: Model
  /** Keys that may have come or gone. */
  readonly touched: Iterable<ModelKey>
  /** Versions that were given out may have been lost. */
  readonly hasFailed: boolean
}

/** How many reads are begun together. */
const CROWDS = [1, 1, 5, 5, 30, 30, 300]
/** More than files that are slow need (`crash/slow-files.ts`). */
const TURNS_UNTIL_HEARD = 8
/** What is asked may fail with these where a call fails. */
const TROUBLES: ReadonlySet<string> = new Set([
  'IO',
  'NO_SPACE',
  'READ_ONLY',
  'CLOSED',
  'COMPACTION_FAILED',
])

/** Whether nothing goes wrong, or some call fails, or all ends. */
export type Plan = 'calm' | 'fail' | 'stop'

export async function atOnce(scene: Scene, plan: Plan): Promise<AfterStep> {
  return await new AtOnce(scene, plan).run()
}

class AtOnce {
  readonly #scene: Scene
  readonly #plan: Plan
  readonly #writes: Writes
  #waiting: Promise<void>[] = []
  /** What must not have been. */
  #unexpected: Error | undefined
  #hasStopped = false
  #jobs = 0

  constructor(scene: Scene, plan: Plan) {
    this.#scene = scene
    this.#plan = plan
    this.#writes = new Writes(scene.model)
  }

  async run(): Promise<AfterStep> {
    const { db, random, tell, trouble } = this.#scene
    tell(`at once${this.#plan === 'calm' ? '' : `, ${this.#plan}`}:`)
    const end = this.#plan === 'fail' ? trouble!.fail(random) : () => false
    const acts = this.#acts()
    const weights = acts.reduce((sum, [weight]) => sum + weight, 0)
    for (let left = 3 + random.below(20); left > 0; left--) {
      let at = random.below(weights)
      const [, act] = acts.find(([weight]) => (at -= weight) < 0)!
      this.#try(act)
      if (this.#unexpected !== undefined) break
      for (let turns = random.below(4); turns > 0; turns--) await Promise.resolve()
      if (random.chance(0.1)) await turn()
    }
    if (this.#plan === 'stop') return await this.#stop()
    await this.#settle()
    const hasFailed = end()
    if (hasFailed) {
      // What failed in the background may be heard of a little later; until then there is nothing to resume from.
      for (let turns = 0; turns < TURNS_UNTIL_HEARD; turns++) await turn()
      await this.#resume()
    }
    return this.#judge(db, hasFailed)
  }

  #acts(): readonly (readonly [weight: number, act: () => void])[] {
    const { supports } = this.#scene.db
    const ranges = supports.order && this.#scene.byOrder
    return [
      [8, () => this.#readMany()],
      [3, () => this.#readNow()],
      [6, () => this.#put()],
      [3, () => this.#delete()],
      [supports.atomicBatch ? 3 : 0, () => this.#batch()],
      [ranges ? 2 : 0, () => this.#clearRange()],
      [1, () => this.#clear()],
      [ranges ? 4 : 0, () => this.#load()],
      [3, () => this.#putStream()],
      [4, () => this.#walk()],
      [supports.snapshots ? 3 : 0, () => this.#closeInStep()],
      [2, () => this.#sync()],
      [2, () => this.#job()],
      [1, () => this.#scene.advance()],
      [this.#scene.trouble === undefined ? 0 : 1, () => this.#backup()],
    ]
  }

  // Reads.

  #readMany(): void {
    const { db, random, counted } = this.#scene
    const count = random.pick(CROWDS)
    this.#scene.tell(`  ${count} reads`)
    counted(count)
    for (let left = count; left > 0; left--) {
      const key = this.#key()
      const had = this.#reader(key)
      const mustHave = (found: Bytes | undefined): void => {
        assert.ok(
          had((stored) => isSame(found, stored)),
          `${key.name} is ${shownValue(found)}`,
        )
      }
      const kind = random.below(4)
      if (kind === 0) this.#await(db.get(key.bytes), mustHave)
      else if (kind === 1) {
        this.#await(db.getEntry(key.bytes), (entry) => mustHave(entry?.value))
      } else if (kind === 2) this.#await(db.getMany([key.bytes]), ([found]) => mustHave(found))
      else {
        this.#await(db.has(key.bytes), (is) => {
          assert.ok(
            had((stored) => (stored !== undefined) === is),
            `${key.name} is there: ${is}`,
          )
        })
      }
    }
  }

  /** Reads that cannot wait. */
  #readNow(): void {
    const { db, random, counted } = this.#scene
    const count = 1 + random.below(10)
    this.#scene.tell(`  ${count} reads at once`)
    counted(count)
    for (let left = count; left > 0; left--) {
      const key = this.#key()
      const had = this.#reader(key)
      const found = db.getSync(key.bytes)
      assert.ok(
        had((stored) => isSame(found, stored)),
        `${key.name} is ${shownValue(found)}`,
      )
    }
  }

  /** Where calls fail, a write that was told to be refused may have been seen before. */
  #reader(key: ModelKey): (fits: (stored: Stored | undefined) => boolean) => boolean {
    if (this.#plan === 'calm') return this.#writes.reader(key)
    return (fits) => this.#writes.everHad(key, fits)
  }

  /** A walk over a view that is made now. */
  #walk(): void {
    const { db, random, tell, counted } = this.#scene
    const span = this.#span()
    const view = this.#writes.view()
    tell('  walk')
    counted(1)
    const cursor = db.entries(span.options)
    const found = new Map<ModelKey, Bytes>()
    const step = async (): Promise<void> => {
      const count = random.pick([1, 7, 100])
      for (;;) {
        const entries = await cursor.nextMany(count)
        this.#found(found, entries, span)
        if (entries.length < count) break
      }
    }
    this.#await(step(), () => {
      if (this.#plan === 'calm') this.#writes.judge(view, found, span.has)
    })
  }

  /** A walk that is closed while a step of it runs, and goes on from its token. */
  #closeInStep(): void {
    const { db, random, tell, counted } = this.#scene
    const span = this.#span()
    const view = this.#writes.view()
    const first = random.below(5)
    const wanted = 1 + random.below(5)
    const turns = random.pick([0, 1, 3, 10, 40])
    const sought = db.supports.order && random.chance(0.3) ? this.#key() : undefined
    tell(`  a walk that is closed in its step, after ${turns} turns`)
    counted(3)
    const snapshot = db.snapshot()
    const cursor = snapshot.entries(span.options) as OrderedCursor<Bytes, [Bytes, Bytes]>
    const found = new Map<ModelKey, Bytes>()
    const step = async (): Promise<void> => {
      try {
        this.#found(found, await cursor.nextMany(first), span)
        if (sought !== undefined && found.size === first) {
          found.clear()
          cursor.seek(sought.bytes)
        }
        const running = random.chance(0.5) ? cursor.nextMany(wanted) : oneOf(cursor)
        // Where it has failed, the token says so, too.
        running.catch(() => {})
        for (let left = turns; left > 0; left--) await Promise.resolve()
        cursor.close()
        const { token } = cursor
        this.#found(found, await running, span)
        this.#found(found, await collect(snapshot.entries({ ...span.options, token })), span)
      } finally {
        cursor.close()
        snapshot.close()
      }
    }
    const { has } = sought === undefined ? span : spanFrom(span, sought)
    this.#await(step(), () => {
      if (this.#plan === 'calm') this.#writes.judge(view, found, has)
    })
  }

  /** Entries come in order, and none twice; one that is walked on to from a token may, where there is no order. */
  #found(found: Map<ModelKey, Bytes>, entries: readonly [Bytes, Bytes][], span: KeySpan): void {
    const { known, db } = this.#scene
    let last = [...found.keys()].at(-1)
    for (const [bytes, value] of entries) {
      const key = known(bytes)
      if (db.supports.order && last !== undefined) {
        const order = inOrder(last, key)
        assert.ok(span.options.reverse ? order > 0 : order < 0, `${key.name} behind ${last.name}`)
      }
      last = key
      found.set(key, value)
    }
  }

  // Writes.

  #put(): void {
    const key = this.#freeKey()
    if (key === undefined) return
    const { db, random, tell, durability } = this.#scene
    const stored = { value: this.#scene.value(), version: -1 }
    const options = { durability: durability() }
    const sync = random.chance(0.3)
    tell(
      `  put${sync ? 'Sync' : ''} ${key.name} = ${shownValue(stored.value)}, ${options.durability}`,
    )
    this.#write(new Map([[key, stored]]), options.durability, () =>
      sync
        ? db.putSync(key.bytes, stored.value, options)
        : db.put(key.bytes, stored.value, options),
    )
  }

  #delete(): void {
    const key = this.#freeKey()
    if (key === undefined) return
    const { db, random, tell, durability } = this.#scene
    const options = { durability: durability() }
    const sync = random.chance(0.3)
    tell(`  delete${sync ? 'Sync' : ''} ${key.name}, ${options.durability}`)
    this.#write(new Map([[key, undefined]]), options.durability, () =>
      sync ? db.deleteSync(key.bytes, options) : db.delete(key.bytes, options),
    )
  }

  #batch(): void {
    const { db, random, tell, durability } = this.#scene
    const changes = new Map<ModelKey, Stored | undefined>()
    for (let left = 1 + random.below(20); left > 0; left--) {
      const key = this.#freeKey()
      if (key === undefined) continue
      changes.set(key, random.chance(0.3) ? undefined : { value: this.#scene.value(), version: -1 })
    }
    const operations = [...changes].map(([{ bytes: key }, stored]) =>
      stored === undefined
        ? { type: 'delete' as const, key }
        : { type: 'put' as const, key, value: stored.value },
    )
    const options = { durability: durability() }
    const sync = random.chance(0.5)
    const names = [...changes.keys()].map(({ name }) => name)
    tell(`  batch${sync ? 'Sync' : ''} of ${names.join(', ')}, ${options.durability}`)
    this.#write(changes, options.durability, () =>
      sync ? db.batchSync(operations, options) : db.batch(operations, options),
    )
  }

  #clearRange(): void {
    const { random } = this.#scene
    const keys = this.#run(random.pick([5, 50, 1000]))
    this.#remove(keys, { gte: keys[0]!.bytes, lte: keys.at(-1)!.bytes })
  }

  #clear(): void {
    // Else the store would mostly be empty.
    if (this.#scene.random.chance(0.8)) return
    this.#remove(this.#scene.keys, {})
  }

  #remove(keys: readonly ModelKey[], range: RangeOptions<Bytes>): void {
    if (!keys.every((key) => this.#writes.isFree(key, false))) return
    const { db, random, tell, durability } = this.#scene
    const options = { ...range, durability: durability() }
    const there = keys.filter((key) => this.#writes.now.has(key))
    const sync = random.chance(0.5)
    tell(
      `  clear${sync ? 'Sync' : ''} ${keys[0]!.name} … ${keys.at(-1)!.name}: ${there.length}, ${options.durability}`,
    )
    const changes = new Map(there.map((key) => [key, undefined]))
    this.#write(changes, options.durability, () =>
      sync ? db.clearSync(options) : db.clear(options),
    )
  }

  /** Begins a write whose place in the order is this one. */
  #write(
    changes: ReadonlyMap<ModelKey, Stored | undefined>,
    durability: string,
    act: () => unknown,
  ): void {
    this.#scene.counted(1)
    const begun = this.#writes.begin(changes)
    const done = (version: unknown): void => this.#done(begun, version, durability)
    try {
      const result = act()
      if (result instanceof Promise)
        this.#await(result, done, (error) => this.#refused(begun, error))
      else done(result)
    } catch (error) {
      this.#refused(begun, error)
      throw error
    }
  }

  #done(begun: Begun, version: unknown, durability: string): void {
    const last = [...begun.changes.values()]
    if (typeof version === 'number' && (begun.apart || last.length === 1)) {
      for (const stored of last) if (stored !== undefined) stored.version = version
    }
    this.#writes.done(begun, durability === 'disk')
  }

  /** It may be there in spite of the error only where that says so, or the store was closed. */
  #refused(begun: Begun, error: unknown): false {
    const { outcome, code } = error as { outcome?: unknown; code?: unknown }
    if (outcome !== 'unknown' && code !== 'CLOSED') this.#writes.refuse(begun)
    return false
  }

  /** Entries in order where there are none; some loads cannot be carried out. */
  #load(): void {
    const { db, random, tell, durability } = this.#scene
    const { now } = this.#writes
    const run = this.#run(random.pick([3, 40, 400, 4000]))
    const first = run.findIndex((key) => !now.has(key))
    if (first < 0) return
    const next = run.findIndex((key, i) => i > first && now.has(key))
    const gap = run.slice(first, next < 0 ? run.length : next)
    if (!gap.every((key) => this.#writes.isFree(key, true))) return
    const chance = random.pick([1, 1, 0.5])
    const keys = gap.filter((_, i) => i === 0 || i === gap.length - 1 || random.chance(chance))
    const taken = next < 0 ? undefined : run[next]!
    const wrong = this.#wrongLoad(keys, taken)
    const entries = keys.map((key): [Bytes, Bytes] => [key.bytes, this.#scene.value()])
    const changes = new Map<ModelKey, Stored | undefined>(gap.map((key) => [key, undefined]))
    for (const [i, key] of keys.entries()) {
      changes.set(key, { value: entries[i]![1], version: -1 })
    }
    if (wrong === 'taken') entries.push([taken!.bytes, this.#scene.value()])
    if (wrong === 'falls') entries.push(entries[0]!)
    const options = { durability: durability() }
    const sync = random.chance(0.3)
    tell(
      `  load${sync ? 'Sync' : ''} ${keys.length}: ${keys[0]!.name} … ${keys.at(-1)!.name}, ${wrong}, ${options.durability}`,
    )
    if (wrong === 'taken') changes.set(taken!, now.get(taken!))
    const breaks = wrong === 'breaks off' ? random.below(entries.length + 1) : -1
    this.#writeApart(changes, options.durability, wrong, (isSlow) =>
      sync
        ? db.loadSync(pieces(entries, breaks), options)
        : db.load(isSlow ? slowly(entries, breaks, random) : pieces(entries, breaks), options),
    )
  }

  #wrongLoad(keys: readonly ModelKey[], taken: ModelKey | undefined): Wrong {
    const { random } = this.#scene
    if (!random.chance(0.3)) return 'as it should'
    const kinds: Wrong[] = ['breaks off']
    if (keys.length > 1) kinds.push('falls')
    if (taken !== undefined && this.#writes.isFree(taken, true)) kinds.push('taken')
    return random.pick(kinds)
  }

  #putStream(): void {
    const key = this.#key()
    if (!this.#writes.isFree(key, true)) return
    const { db, random, tell, durability } = this.#scene
    const value = this.#scene.value()
    const options = { durability: durability() }
    const wrong: Wrong = random.chance(0.2) ? 'breaks off' : 'as it should'
    tell(`  putStream ${key.name} = ${shownValue(value)}, ${wrong}, ${options.durability}`)
    const parts: Bytes[] = []
    for (let at = 0; at < value.length; ) {
      const length = 1 + random.below(value.length)
      parts.push(value.subarray(at, at + length))
      at += length
    }
    const breaks = wrong === 'breaks off' ? random.below(parts.length + 1) : -1
    this.#writeApart(
      new Map([[key, { value, version: -1 }]]),
      options.durability,
      wrong,
      (isSlow) =>
        db.putStream(
          key.bytes,
          isSlow ? slowly(parts, breaks, random) : pieces(parts, breaks),
          options,
        ),
    )
  }

  /** Begins a write whose place is where it ends. */
  #writeApart(
    changes: ReadonlyMap<ModelKey, Stored | undefined>,
    durability: string,
    wrong: Wrong,
    act: (isSlow: boolean) => number | Promise<number>,
  ): void {
    this.#scene.counted(1)
    const begun = this.#writes.begin(changes, true)
    const done = (version: number): void => {
      assert.equal(wrong, 'as it should', 'what should not have been written was')
      this.#done(begun, version, durability)
    }
    const refused = (error: unknown): boolean => {
      this.#refused(begun, error)
      return isWhy(wrong, error)
    }
    try {
      const result = act(this.#scene.random.chance(0.5))
      if (typeof result === 'number') done(result)
      else this.#await(result, done, refused)
    } catch (error) {
      if (!refused(error)) throw error
    }
  }

  // The rest.

  #sync(): void {
    const { db, random, tell, counted } = this.#scene
    const sync = random.chance(0.3)
    tell(sync ? '  syncSync' : '  sync')
    counted(1)
    const view = this.#writes.view()
    const before = this.#isDoubtful
    // What had failed before is not promised by it.
    const keep = (): void => {
      if (!before && !this.#isDoubtful) this.#writes.keep(view)
    }
    if (!sync) this.#await(db.sync(), keep)
    else {
      db.syncSync()
      keep()
    }
  }

  get #isDoubtful(): boolean {
    return this.#scene.db.stats().readOnly !== undefined
  }

  /** What takes its time beside everything else; one of them at a time. */
  #job(): void {
    const { db, random, tell, counted } = this.#scene
    if (this.#jobs > 0) return
    const kind = random.pick(['compact', 'compactSync', 'verify', 'inspect'] as const)
    tell(`  ${kind}`)
    counted(1)
    if (kind === 'compactSync') {
      db.compactSync()
      return
    }
    const ended = (): void => {
      this.#jobs--
    }
    this.#jobs++
    if (kind === 'compact') this.#await(db.compact(), ended)
    else if (kind === 'inspect') this.#await(db.inspect(), ended)
    else {
      this.#await(db.verify(), ({ problems }) => {
        ended()
        if (this.#plan === 'calm') assert.deepEqual(problems, [], 'verify finds problems')
      })
    }
  }

  #backup(): void {
    const { db, random, trouble, tell, counted } = this.#scene
    if (this.#jobs > 0) return
    tell('  backup')
    counted(1)
    this.#jobs++
    const path = trouble!.newPath()
    const view = this.#writes.view()
    const copied = async (): Promise<void> => {
      await db.backup(path)
      this.#jobs--
      const copy = await trouble!.open(path, random)
      this.#writes.judge(view, await contentOf(copy, this.#scene))
      await copy.close()
    }
    this.#await(copied(), () => {})
  }

  // The end.

  /** Nobody is there any more who waits. */
  async #stop(): Promise<AfterStep> {
    const { db, random, tell, trouble } = this.#scene
    tell('  stop')
    this.#hasStopped = true
    trouble!.stop(random)
    await this.#settle()
    await db.close().catch(() => {})
    const again = await trouble!.open(undefined, random)
    return this.#judge(again, true)
  }

  /** Some still read while the store looks at what the disk holds. */
  async #resume(): Promise<void> {
    const { db, random, tell } = this.#scene
    if (random.chance(0.5)) {
      this.#try(() => this.#readMany())
      this.#try(() => this.#walk())
      if (random.chance(0.3)) this.#try(() => this.#job())
      for (let turns = random.below(20); turns > 0; turns--) await Promise.resolve()
    }
    const sync = random.chance(0.5)
    tell(sync ? '  resumeSync' : '  resume')
    if (sync) db.resumeSync()
    else await db.resume()
    assert.equal(db.stats().readOnly, undefined)
    await this.#settle()
  }

  /** What the store holds now, as it must be; gives that as the model from then on. */
  #judge(db: ModelStore, hasFailed: boolean): AfterStep {
    const { known } = this.#scene
    const found = new Map<ModelKey, Bytes>()
    for (const [bytes, value] of db.entries()) found.set(known(bytes), value)
    this.#writes.judge(hasFailed ? this.#writes.kept : this.#writes.view(), found)
    const model: Model = new Map()
    const touched = new Set(this.#writes.touched)
    for (const [key, value] of found) {
      const stored = this.#writes.now.get(key)
      // What it has is told only where it may be another one than before.
      if (!touched.has(key) && stored !== undefined) {
        model.set(key, stored)
        continue
      }
      const { version } = db.getEntrySync(key.bytes)!
      if (!hasFailed && stored!.version >= 0) assert.equal(version, stored!.version, key.name)
      model.set(key, { value, version })
    }
    return { db, model, touched, hasFailed }
  }

  async #settle(): Promise<void> {
    while (this.#waiting.length > 0) await Promise.all(this.#waiting.splice(0))
    if (this.#unexpected !== undefined) throw this.#unexpected
  }

  /** `failed` hears of an error, and tells whether it had to come. */
  #await<T>(
    promise: Promise<T>,
    then: (value: T) => void,
    failed: (error: unknown) => boolean = () => false,
  ): void {
    const settled = promise.then(
      (value) => {
        if (!this.#hasStopped) then(value)
      },
      (error: unknown) => {
        if (this.#hasStopped || failed(error)) return
        throw error
      },
    )
    this.#waiting.push(settled.catch((error: unknown) => this.#note(error)))
  }

  #try(act: () => void): void {
    try {
      act()
    } catch (error) {
      this.#note(error)
    }
  }

  #note(error: unknown): void {
    const mayBe = this.#plan !== 'calm' && error instanceof KvarkError && TROUBLES.has(error.code)
    if (mayBe) this.#scene.tell(`  → ${error.code}: ${error.message}`)
    else this.#unexpected ??= error as Error
  }

  // What it is about.

  #key(): ModelKey {
    return this.#scene.random.pick(this.#scene.keys)
  }

  #freeKey(): ModelKey | undefined {
    const key = this.#key()
    return this.#writes.isFree(key, false) ? key : undefined
  }

  /** Keys one after the other, `most` at most. */
  #run(most: number): readonly ModelKey[] {
    const { keys, random } = this.#scene
    const from = random.below(keys.length)
    return keys.slice(from, from + 1 + random.below(most))
  }

  #span(): KeySpan {
    const { db, byOrder, random, keys } = this.#scene
    const isWhole = !db.supports.order || !byOrder || random.chance(0.3)
    return isWhole ? ALL_KEYS : randomSpan(random, keys)
  }
}

type Wrong = 'as it should' | 'breaks off' | 'falls' | 'taken'

class BrokenOff extends Error {}

/** Whether the error is that for which the load or the stream was made so. */
function isWhy(wrong: Wrong, error: unknown): boolean {
  if (wrong === 'breaks off') return error instanceof BrokenOff
  const { code } = error as { code?: string }
  if (wrong === 'falls') return code === 'INVALID_ARGUMENT'
  return wrong === 'taken' && code === 'CONFLICT'
}

/** Breaks off in front of the item of that number. */
function* pieces<T>(items: readonly T[], breaks: number): Generator<T> {
  for (const [i, item] of items.entries()) {
    if (i === breaks) throw new BrokenOff()
    yield item
  }
  if (breaks === items.length) throw new BrokenOff()
}

async function* slowly<T>(
  items: readonly T[],
  breaks: number,
  random: SeededRandom,
): AsyncGenerator<T> {
  for (const item of pieces(items, breaks)) {
    if (random.chance(0.02)) await turn()
    yield item
  }
}

async function oneOf<T>(cursor: OrderedCursor<Bytes, T>): Promise<T[]> {
  const { done, value } = await cursor.next()
  return done === true ? [] : [value]
}

async function contentOf(
  db: ModelStore,
  { known }: Pick<Scene, 'known'>,
): Promise<Map<ModelKey, Bytes>> {
  const entries = await collect(db.entries())
  return new Map(entries.map(([bytes, value]) => [known(bytes), value]))
}
