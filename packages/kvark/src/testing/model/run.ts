/**
 * Random work on a store, compared with a map as it goes.
 *
 *   step ─► a verb, at once or awaited ─► the store
 *               └────────────────────► the map ─────► what was touched is compared at once, everything now and then
 *
 * 1. Everything comes from the seed, so a run is the same each time, and on every engine. Each step has a seed of its own: what is left
 *    when some steps are taken out does what it did before.
 * 2. What a snapshot, a cursor or a stream must show is a copy of the map, taken when it was.
 * 3. A key is compared with what it must hold whenever a verb has touched it; walks compare all keys.
 *
 * 4. Much is begun at the same time in one kind of step (`at-once.ts`); all others wait for each other.
 *
 * Left out: entries that end (see `testing/expiry-model.test.ts`).
 */

import assert from 'node:assert/strict'
import { SeededRandom } from '../../bytes/random.ts'
import type { ErrorCode } from '../../errors.ts'
import type { BatchOperation, Entry, OrderedCursor } from '../../store/call-types.ts'
import type { OrderedSnapshot, OrderedStore, Reader } from '../../store/types.ts'
import { collect, rejects, throws } from '../contract/check.ts'
import { atOnce, type Plan, type Trouble } from './at-once.ts'
import {
  ALL_KEYS,
  inOrder,
  type KeySpan,
  type ModelKey,
  modelKeys,
  randomSpan,
  sameBytes,
  shownValue,
  spanFrom,
  ValuePool,
} from './things.ts'
import type { Model, Stored } from './writes.ts'

export type ModelStore = OrderedStore<Uint8Array, Uint8Array>

/** Where a run happens. */
export interface ModelWorld {
  /** Opens the store, at once or awaited, with options that may differ each time. */
  open(sync: boolean, random: SeededRandom): Promise<ModelStore>
  /** Changes options of the open store; absent: they stay. */
  configure?(db: ModelStore, random: SeededRandom): void
  /** Lets time pass; absent: it passes by itself. */
  advance?(): void
  /** Absent: nothing goes wrong. */
  readonly trouble?: Trouble
}

/** What a run does how often. */
export interface ModelMix {
  readonly keys: number
  /** One key in so many is long; default 50. */
  readonly longKeys?: number
  /** How likely a value is long: more than `SHORT_BYTES`, each magnitude up to `longest` as often as another. */
  readonly long: number
  readonly longest: number
  /** Steps between two that take all keys, in the mean: whole comparisons, walks, compaction, opening again. */
  readonly between: number
  /** Ranges and tokens too: what walks show then depends on the engine's order. A mirror leaves them out. */
  readonly byOrder: boolean
  /** Writes go on between the pieces of a stream; when, differs by engine. */
  readonly beside: boolean
  /** How often much is begun at the same time, where whole comparisons have 30; default: never. */
  readonly atOnce?: number
}

type Bytes = Uint8Array

interface HeldSnapshot {
  readonly snapshot: OrderedSnapshot<Bytes, Bytes>
  readonly model: Model
}

/** A walk under way, or one that goes on later from its token. */
interface HeldWalk {
  readonly kind: 'entries' | 'keys' | 'values'
  readonly of: HeldSnapshot | undefined
  readonly whole: KeySpan
  /** Of these, the keys behind the one that was sought last. */
  span: KeySpan
  cursor: OrderedCursor<Bytes, unknown> | undefined
  token: Bytes | undefined
  /** What the cursor walks. */
  model: Model
  /** What must come: present all the time since the walk began. */
  readonly due: Set<ModelKey>
  /** Removed since the cursor was made: a later one need not show it. */
  readonly gone: Set<ModelKey>
  /** Keys that came from this cursor, and values. */
  seen: Set<ModelKey>
  readonly values: Bytes[]
}

/** Most values are no longer than this. */
const SHORT_BYTES = 256
/** So many of the last lines are kept, at least. */
const KEPT_LINES = 4000
/** Sets the seeds of a run's steps apart. */
const STEPS_APART = 2 ** 32
const MOST_SNAPSHOTS = 4
const MOST_WALKS = 4

export class ModelRun {
  readonly #world: ModelWorld
  readonly #mix: ModelMix
  readonly #seed: number
  #random: SeededRandom
  readonly #keys: readonly ModelKey[]
  readonly #inOrder: readonly ModelKey[]
  readonly #byText: ReadonlyMap<string, ModelKey>
  readonly #pool: ValuePool
  #opened: ModelStore | undefined
  #model: Model = new Map()
  #snapshots: HeldSnapshot[] = []
  #walks: HeldWalk[] = []
  /** The store's sequence cannot be lower. */
  #sequence = 0
  #actions: readonly (readonly [weight: number, act: () => Promise<void> | void])[] = []
  #weights = 0
  #steps = 0
  /** What was done, a line each. */
  readonly trace: string[] = []
  /** Calls of the store's verbs whose answer was compared. */
  operations = 0

  constructor(world: ModelWorld, mix: ModelMix, seed: number) {
    this.#world = world
    this.#mix = mix
    this.#seed = seed
    this.#random = new SeededRandom(seed)
    this.#keys = modelKeys(mix.keys, mix.longKeys)
    this.#inOrder = [...this.#keys].sort(inOrder)
    this.#byText = new Map(this.#keys.map((key) => [key.text, key]))
    this.#pool = new ValuePool(this.#random)
  }

  get #db(): ModelStore {
    assert.ok(this.#opened !== undefined, 'the run has begun')
    return this.#opened
  }

  async begin(): Promise<void> {
    await this.#open()
    const { atomicBatch, snapshots, order } = this.#db.supports
    const often = this.#mix.between
    const byOrder = order && this.#mix.byOrder
    this.#actions = [
      [24 * often, () => this.#put()],
      [8 * often, () => this.#delete()],
      [6 * often, () => this.#conditional()],
      [3 * often, () => this.#burst()],
      [20 * often, () => this.#read(this.#db, this.#model)],
      [2 * often, () => this.#readMany(this.#db, this.#model)],
      [atomicBatch ? 4 * often : 0, () => this.#batch()],
      [snapshots ? 4 * often : 0, () => this.#readSnapshot()],
      [3 * often, () => this.#stepWalk()],
      [often, () => this.#someEntries()],
      [often / 4, () => this.#putStream()],
      [often / 4, () => this.#readStream()],
      [often / 2, () => this.#sync()],
      [byOrder ? 4 * often : 0, () => this.#range()],
      [byOrder ? often / 10 : 0, () => this.#clearRange()],
      [byOrder ? often / 4 : 0, () => this.#seek()],
      [this.#mix.atOnce ?? 0, () => this.#atOnce()],
      // From here on all keys have their turn.
      [snapshots ? 30 : 0, () => this.#takeSnapshot()],
      [30, () => this.#startWalk()],
      [30, () => this.checkAll()],
      [10, () => this.#count()],
      [snapshots ? 6 : 0, () => this.#wholeSnapshot()],
      [5, () => this.#configure()],
      [8, () => this.#compact()],
      [3, () => this.#clear()],
      [1, () => this.#verify()],
      [8, () => this.#reopen()],
    ]
    this.#weights = this.#actions.reduce((sum, [weight]) => sum + weight, 0)
  }

  /** Step `number`; the next one, unless some are to be left out. */
  async step(number: number = this.#steps): Promise<void> {
    this.#steps = number + 1
    this.#random = new SeededRandom(this.#seed + (number + 1) * STEPS_APART)
    let at = this.#random.fraction() * this.#weights
    for (const [weight, act] of this.#actions) {
      at -= weight
      if (at < 0) return await act()
    }
  }

  async checkAll(): Promise<void> {
    await this.#compare(this.#db, this.#model)
    const { entries, sequence } = this.#db.stats()
    assert.equal(entries, this.#model.size, 'stats().entries')
    assert.ok(sequence >= this.#sequence, 'stats().sequence does not go back')
  }

  /** Compares all that is still held, opens once more, and closes. */
  async finish(): Promise<void> {
    for (const walk of this.#walks.splice(0)) await this.#finishWalk(walk)
    for (const { snapshot, model } of this.#snapshots) await this.#compare(snapshot, model)
    await this.#reopen()
    await this.#verify()
    this.#walks = []
    await this.#db.close()
  }

  async #open(): Promise<void> {
    const sync = this.#half()
    this.#tell(`open${sync ? 'Sync' : ''}`)
    this.#opened = await this.#world.open(sync, this.#random)
    this.operations++
  }

  async #put(): Promise<void> {
    const key = this.#key()
    const value = this.#value()
    this.#tell(`put ${key.name} = ${shownValue(value)}`)
    const options = this.#writeOptions()
    const version = this.#half()
      ? await this.#db.put(key.bytes, value, options)
      : this.#db.putSync(key.bytes, value, options)
    this.#wrote(version)
    this.#model.set(key, { value, version })
    this.operations++
    if (this.#random.chance(0.3)) await this.#compareKey(this.#db, this.#model, key)
  }

  async #delete(): Promise<void> {
    const key = this.#key()
    this.#tell(`delete ${key.name}`)
    const options = this.#writeOptions()
    const version = this.#half()
      ? await this.#db.delete(key.bytes, options)
      : this.#db.deleteSync(key.bytes, options)
    if (this.#model.delete(key)) this.#wrote(version)
    else assert.ok(version >= this.#sequence, `${version}: an earlier version`)
    this.#removed(key)
    this.operations++
    if (this.#random.chance(0.5)) await this.#compareKey(this.#db, this.#model, key)
  }

  async #conditional(): Promise<void> {
    const key = this.#key()
    const stored = this.#model.get(key)
    const absent = this.#random.chance(0.4)
    const off = Number(this.#random.chance(0.3))
    const ifVersion = Math.max(1, (stored?.version ?? 1) - off)
    const condition = absent ? { ifAbsent: true } : { ifVersion }
    const holds = absent ? stored === undefined : stored?.version === ifVersion
    const value = this.#value()
    const removes = !absent && this.#random.chance(0.3)
    const verb = removes ? 'delete' : `put ${shownValue(value)} at`
    const told = absent ? 'absent' : `it has ${off ? 'the version before' : 'its version'}`
    this.#tell(`${verb} ${key.name} if ${told}: ${holds ? 'yes' : 'no'}`)
    const options = { ...condition, ...this.#writeOptions() }
    const version = await this.#refusedUnless(holds, {
      sync: () =>
        removes
          ? this.#db.deleteSync(key.bytes, options)
          : this.#db.putSync(key.bytes, value, options),
      awaited: () =>
        removes ? this.#db.delete(key.bytes, options) : this.#db.put(key.bytes, value, options),
    })
    if (version !== undefined) {
      this.#wrote(version)
      if (removes) this.#remove(key)
      else this.#model.set(key, { value, version })
    }
    await this.#compareKey(this.#db, this.#model, key)
  }

  /** Carries out a write that is refused with `CONFLICT` unless its condition holds; gives its version. */
  async #refusedUnless(
    holds: boolean,
    write: { sync: () => number; awaited: () => Promise<number> },
  ): Promise<number | undefined> {
    this.operations++
    const sync = this.#half()
    const code: ErrorCode = 'CONFLICT'
    if (holds) return sync ? write.sync() : await write.awaited()
    if (sync) throws(code, write.sync)
    else await rejects(code, write.awaited)
    return undefined
  }

  /** Writes that do not wait for each other, with reads between them. */
  async #burst(): Promise<void> {
    this.#tell('at the same time:')
    const waiting: Promise<void>[] = []
    for (let left = 2 + this.#random.below(5); left > 0; left--) {
      const key = this.#key()
      const options = this.#writeOptions()
      this.operations++
      if (this.#random.chance(0.25)) {
        this.#tell(`  delete ${key.name}`)
        waiting.push(this.#db.delete(key.bytes, options).then(() => {}))
        this.#remove(key)
      } else {
        const stored: Stored = { value: this.#value(), version: -1 }
        this.#tell(`  put ${key.name} = ${shownValue(stored.value)}`)
        const written = this.#db.put(key.bytes, stored.value, options)
        waiting.push(
          written.then((version) => {
            stored.version = version
          }),
        )
        this.#model.set(key, stored)
      }
      if (this.#random.chance(0.3)) this.#compareValue(this.#db, this.#model, key)
    }
    await Promise.all(waiting)
    this.#sequence = this.#db.stats().sequence
  }

  async #batch(): Promise<void> {
    const operations: BatchOperation<Bytes, Bytes>[] = []
    const touched: ModelKey[] = []
    let holds = true
    const before = this.#db.stats().sequence
    this.#tell('batch:')
    for (let left = this.#random.below(12); left > 0; left--) {
      const key = this.#key()
      touched.push(key)
      const stored = this.#model.get(key)
      const conditional = this.#random.chance(0.05)
      const expected = stored === undefined ? 0 : stored.version
      const wrong = conditional && this.#random.chance(0.2)
      if (wrong) holds = false
      const ifVersion = { ifVersion: wrong ? expected + 1 : expected }
      const condition = conditional ? ifVersion : {}
      const told = conditional ? ` if it has ${wrong ? 'another' : 'its'} version` : ''
      if (this.#random.chance(0.7)) {
        const value = this.#value()
        operations.push({ type: 'put', key: key.bytes, value, ...condition })
        this.#tell(`  put ${key.name} = ${shownValue(value)}${told}`)
      } else {
        operations.push({ type: 'delete', key: key.bytes, ...condition })
        this.#tell(`  delete ${key.name}${told}`)
      }
    }
    const options = this.#writeOptions()
    const version = await this.#refusedUnless(holds, {
      sync: () => this.#db.batchSync(operations, options),
      awaited: () => this.#db.batch(operations, options),
    })
    if (version !== undefined) {
      assert.ok(version >= before, `${version} comes before ${before}`)
      this.#sequence = version
      for (const [i, operation] of operations.entries()) {
        const key = touched[i]!
        this.#remove(key)
        if (operation.type === 'put') this.#model.set(key, { value: operation.value, version: -1 })
      }
      let last = before
      for (const [i, key] of touched.entries()) {
        const stored = this.#model.get(key)
        if (stored === undefined || touched.lastIndexOf(key) !== i) continue
        // Its version cannot be known beforehand; what is known is where it must lie, and behind which others.
        const found = this.#db.getEntrySync(key.bytes)?.version ?? 0
        assert.ok(found > last && found <= version, `${key.name} has version ${found}`)
        last = found
        stored.version = found
      }
    }
    for (const key of touched) await this.#compareKey(this.#db, this.#model, key)
  }

  /** One key by each of the verbs that read one, in turn. */
  async #read(reader: Reader<Bytes, Bytes>, model: Model): Promise<void> {
    for (let left = 3; left > 0; left--) await this.#compareKey(reader, model, this.#key())
  }

  async #readMany(reader: Reader<Bytes, Bytes>, model: Model): Promise<void> {
    const keys = Array.from({ length: this.#random.below(12) }, () => this.#key())
    const asked = keys.map((key) => key.bytes)
    const found = this.#half() ? await reader.getMany(asked) : reader.getManySync(asked)
    this.operations++
    assert.equal(found.length, keys.length, 'getMany answers each key')
    for (const [i, key] of keys.entries()) this.#mustBe(key, found[i], model.get(key))
  }

  #takeSnapshot(): void {
    if (this.#snapshots.length >= MOST_SNAPSHOTS) this.#release()
    this.#tell('snapshot')
    const snapshot = this.#db.snapshot()
    this.operations++
    this.#snapshots.push({ snapshot, model: new Map(this.#model) })
  }

  async #readSnapshot(): Promise<void> {
    if (this.#snapshots.length === 0) return
    const { snapshot, model } = this.#random.pick(this.#snapshots)
    if (this.#random.chance(0.2)) await this.#readMany(snapshot, model)
    else await this.#compareKey(snapshot, model, this.#key())
  }

  async #wholeSnapshot(): Promise<void> {
    if (this.#snapshots.length === 0) return
    const { snapshot, model } = this.#random.pick(this.#snapshots)
    await this.#compare(snapshot, model)
    if (this.#half()) this.#release()
  }

  #release(): void {
    this.#tell('release a snapshot')
    const [released] = this.#snapshots.splice(this.#random.below(this.#snapshots.length), 1)
    // A walk of it goes on, for it holds what it walks; one that was left cannot.
    this.#walks = this.#walks.filter(({ of, cursor }) => of !== released || cursor !== undefined)
    released!.snapshot.close()
  }

  async #startWalk(): Promise<void> {
    if (this.#walks.length >= MOST_WALKS) await this.#finishWalk(this.#walks.shift()!)
    const kind = this.#random.pick(['entries', 'keys', 'values'] as const)
    const ofSnapshot = this.#half() && this.#snapshots.length > 0
    const of = ofSnapshot ? this.#random.pick(this.#snapshots) : undefined
    const model = of === undefined ? new Map(this.#model) : of.model
    const isPart = this.#hasRanges && kind !== 'values' && this.#half()
    const span = isPart ? randomSpan(this.#random, this.#keys) : ALL_KEYS
    const { reverse } = span.options
    const what = isPart ? `a part${reverse ? ', from its end,' : ''}` : 'all'
    this.#tell(`walk ${kind}, ${what} of ${of === undefined ? 'the store' : 'a snapshot'}`)
    const cursor: OrderedCursor<Bytes, unknown> = (of?.snapshot ?? this.#db)[kind](span.options)
    const due = new Set([...model.keys()].filter(span.has))
    const seen = new Set<ModelKey>()
    const gone = new Set<ModelKey>()
    const values: Bytes[] = []
    this.#walks.push({
      kind,
      of,
      whole: span,
      span,
      cursor,
      token: undefined,
      model,
      due,
      gone,
      seen,
      values,
    })
  }

  get #hasRanges(): boolean {
    return this.#db.supports.order && this.#mix.byOrder
  }

  /** A walk jumps to a key, forwards or back. */
  #seek(): void {
    const walk = this.#walks.find(({ kind, cursor }) => kind !== 'values' && cursor !== undefined)
    if (walk === undefined) return
    const sought = this.#key()
    this.#tell(`seek ${sought.name}`)
    this.operations++
    walk.cursor!.seek(sought.bytes)
    walk.span = spanFrom(walk.whole, sought)
    walk.due.clear()
    for (const key of walk.model.keys()) if (walk.span.has(key)) walk.due.add(key)
    walk.seen = new Set()
  }

  /** Some more of a walk, or its token is taken, or it goes on from there. */
  async #stepWalk(): Promise<void> {
    if (this.#walks.length === 0) return
    const walk = this.#random.pick(this.#walks)
    if (walk.cursor === undefined) return this.#resumeWalk(walk)
    if (this.#mix.byOrder && this.#random.chance(0.1)) return this.#park(walk)
    await this.#walkOn(walk, this.#random.below(20))
  }

  /** The token is kept, as for another process, where it can be told later what should have come. */
  #park(walk: HeldWalk): void {
    if (walk.kind === 'values') return
    // What it walks is gone once the cursor is closed.
    if (walk.of !== undefined && !this.#snapshots.includes(walk.of)) return
    this.#tell('take a token and close the cursor')
    walk.token = walk.cursor!.token
    walk.cursor!.close()
    walk.cursor = undefined
    this.operations++
  }

  #resumeWalk(walk: HeldWalk): void {
    const { kind, of, token } = walk
    this.#tell(`walk ${kind} on from a token`)
    walk.cursor = (of?.snapshot ?? this.#db)[kind]({ ...walk.whole.options, token: token! })
    if (of === undefined) {
      walk.model = new Map(this.#model)
      for (const key of walk.gone) walk.due.delete(key)
      walk.gone.clear()
    }
    walk.seen = new Set()
    this.operations++
  }

  /** Up to `count` more. True at the end, where all that was due must have come. */
  async #walkOn(walk: HeldWalk, count: number): Promise<boolean> {
    const { cursor, kind } = walk
    let items: unknown[]
    this.operations++
    if (this.#half()) {
      items = this.#half() ? await cursor!.nextMany(count) : cursor!.nextManySync(count)
    } else {
      items = []
      while (items.length < count) {
        const step = this.#half() ? await cursor!.next() : cursor!.nextSync()
        if (step.done === true) break
        items.push(step.value)
      }
    }
    for (const item of items) {
      if (kind === 'values') walk.values.push(item as Bytes)
      else if (kind === 'keys') this.#walked(walk, item as Bytes, undefined)
      else this.#walked(walk, ...(item as [Bytes, Bytes]))
    }
    if (items.length === count) return false
    const at = this.#walks.indexOf(walk)
    if (at >= 0) this.#walks.splice(at, 1)
    const missed = [...walk.due][0]
    if (kind === 'values') compareValues(walk.values, walk.model)
    else assert.ok(missed === undefined, `the walk has missed ${missed?.name}`)
    return true
  }

  #walked(walk: HeldWalk, bytes: Bytes, value: Bytes | undefined): void {
    const key = this.#known(bytes)
    const stored = walk.model.get(key)
    assert.ok(stored !== undefined, `the walk has shown ${key.name}, which is not there`)
    if (value !== undefined) this.#mustBe(key, value, stored)
    assert.ok(walk.span.has(key), `the walk has shown ${key.name}, which is not in its range`)
    assert.ok(!walk.seen.has(key), `the walk has shown ${key.name} twice`)
    walk.seen.add(key)
    walk.due.delete(key)
  }

  async #finishWalk(walk: HeldWalk): Promise<void> {
    if (walk.cursor === undefined) this.#resumeWalk(walk)
    while (!(await this.#walkOn(walk, this.#mix.keys)));
  }

  /** A few entries, and the loop is left, or a limit ends it. */
  async #someEntries(): Promise<void> {
    const limit = this.#random.below(10)
    const byLimit = this.#half()
    const seen = new Set<ModelKey>()
    const cursor = this.#db.entries(byLimit ? { limit } : {})
    this.operations++
    const take = ([bytes, value]: [Bytes, Bytes]): boolean => {
      const key = this.#known(bytes)
      this.#mustBe(key, value, this.#model.get(key))
      seen.add(key)
      return !byLimit && seen.size >= limit
    }
    if (this.#half()) {
      for await (const entry of cursor) if (take(entry)) break
    } else {
      for (const entry of cursor) if (take(entry)) break
    }
    const least = byLimit ? limit : Math.max(1, limit)
    assert.equal(seen.size, Math.min(least, this.#model.size), `entries of the first ${limit}`)
  }

  async #putStream(): Promise<void> {
    const key = this.#key()
    const value = this.#value()
    const absent = this.#random.chance(0.2)
    this.#tell(`putStream ${key.name} = ${shownValue(value)}${absent ? ' if absent' : ''}`)
    const pieces: Bytes[] = []
    for (let at = 0; at < value.length; ) {
      const length = 1 + this.#random.below(value.length)
      pieces.push(value.subarray(at, at + length))
      at += length
    }
    const source = this.#mix.beside && this.#half() ? this.#slowly(pieces) : pieces
    const options = { ...(absent && { ifAbsent: true }), ...this.#writeOptions() }
    const written = this.#db.putStream(key.bytes, source, options)
    this.operations++
    let version: number | undefined
    try {
      version = await written
    } catch (error) {
      // The condition is judged at the end, when all that was written beside is there.
      if ((error as { code?: string }).code !== 'CONFLICT' || !absent) throw error
      assert.ok(this.#model.has(key), `${key.name} was refused, but is absent`)
      return await this.#compareKey(this.#db, this.#model, key)
    }
    assert.ok(!absent || !this.#model.has(key), `${key.name} was written, but is there`)
    this.#wrote(version)
    this.#model.set(key, { value, version })
    await this.#compareKey(this.#db, this.#model, key)
  }

  /** Other writes come between the pieces. */
  async *#slowly(pieces: readonly Bytes[]): AsyncGenerator<Bytes> {
    for (const piece of pieces) {
      await this.#put()
      yield piece
    }
  }

  async #readStream(): Promise<void> {
    const key = this.#key()
    const stored = this.#model.get(key)
    this.#tell(`getStream ${key.name}`)
    const stream = await this.#db.getStream(key.bytes)
    this.operations++
    if (stream === undefined || stored === undefined) {
      return this.#mustBe(key, stream && new Uint8Array(1), stored)
    }
    if (this.#random.chance(0.1)) return await stream.cancel()
    // The stream is of the moment when it was asked for.
    if (this.#mix.beside && this.#half()) {
      this.#tell(`delete ${key.name} meanwhile`)
      this.#db.deleteSync(key.bytes, this.#writeOptions())
      this.#remove(key)
    }
    const pieces: Bytes[] = []
    for await (const piece of stream) pieces.push(piece)
    this.#mustBe(key, Buffer.concat(pieces), stored)
  }

  async #sync(): Promise<void> {
    this.#tell('sync')
    this.operations++
    if (this.#half()) await this.#db.sync()
    else this.#db.syncSync()
    if (this.#half()) this.#world.advance?.()
  }

  async #range(): Promise<void> {
    const [a, b] = this.#bounds()
    const reverse = this.#half()
    const found = await collect(this.#db.keys({ gte: a.bytes, lt: b.bytes, reverse }))
    this.operations++
    const expected = this.#between(a, b).sort(inOrder)
    if (reverse) expected.reverse()
    const names = (keys: readonly ModelKey[]): string[] => keys.map(({ name }) => name)
    assert.deepEqual(names(found.map((bytes) => this.#known(bytes))), names(expected))
  }

  async #clearRange(): Promise<void> {
    const [a, b] = this.#bounds()
    this.#tell(`clear from ${a.name} to ${b.name}`)
    const options = { gte: a.bytes, lt: b.bytes, ...this.#writeOptions() }
    this.operations++
    if (this.#half()) await this.#db.clear(options)
    else this.#db.clearSync(options)
    for (const key of this.#between(a, b)) this.#remove(key)
  }

  #bounds(): [ModelKey, ModelKey] {
    return [this.#key(), this.#key()].sort(inOrder) as [ModelKey, ModelKey]
  }

  /** The keys that are there from `a` up to `b`. */
  #between(a: ModelKey, b: ModelKey): ModelKey[] {
    return [...this.#model.keys()].filter((key) => inOrder(a, key) <= 0 && inOrder(key, b) < 0)
  }

  async #count(): Promise<void> {
    this.operations++
    const count = this.#half() ? await this.#db.count() : this.#db.countSync()
    assert.equal(count, this.#model.size, 'count')
  }

  #configure(): void {
    this.#tell('configure')
    this.#world.configure?.(this.#db, this.#random)
  }

  async #compact(): Promise<void> {
    this.#tell('compact')
    this.operations++
    if (this.#half()) await this.#db.compact()
    else this.#db.compactSync()
  }

  async #clear(): Promise<void> {
    this.#tell('clear')
    this.operations++
    if (this.#half()) await this.#db.clear(this.#writeOptions())
    else this.#db.clearSync(this.#writeOptions())
    for (const key of this.#model.keys()) this.#remove(key)
  }

  async #verify(): Promise<void> {
    this.operations++
    const { problems, entries } = this.#half() ? await this.#db.verify() : this.#db.verifySync()
    assert.deepEqual(problems, [], 'verify finds problems')
    assert.equal(entries, this.#model.size, 'verify counts the entries')
  }

  /** Lets go of all that the store would end; a token outlives the store that gave it. */
  #leaveViews(): void {
    for (const { snapshot } of this.#snapshots.splice(0)) snapshot.close()
    const { byOrder } = this.#mix
    const stays = (one: HeldWalk): boolean =>
      byOrder && one.of === undefined && one.kind !== 'values'
    for (const walk of this.#walks) if (!stays(walk)) walk.cursor?.close()
    this.#walks = this.#walks.filter(stays)
    for (const walk of this.#walks) if (walk.cursor !== undefined) this.#park(walk)
  }

  async #atOnce(): Promise<void> {
    const { trouble } = this.#world
    const plan: Plan =
      trouble === undefined ? 'calm' : this.#random.pick(['calm', 'calm', 'fail', 'stop'])
    if (plan !== 'calm') {
      this.#leaveViews()
      // What is lost then is what is written then.
      await this.#db.sync()
    }
    const after = await atOnce(
      {
        db: this.#db,
        model: this.#model,
        random: this.#random,
        keys: this.#inOrder,
        byOrder: this.#mix.byOrder,
        trouble,
        known: (bytes) => this.#known(bytes),
        value: () => this.#value(),
        durability: () => this.#writeOptions().durability,
        tell: (line) => this.#tell(line),
        counted: (calls) => {
          this.operations += calls
        },
        advance: () => this.#world.advance?.(),
      },
      plan,
    )
    this.#opened = after.db
    this.#model = after.model
    this.#sequence = after.hasFailed ? lastOf(this.#model) : this.#db.stats().sequence
    for (const key of after.touched) this.#removed(key)
  }

  async #reopen(): Promise<void> {
    this.#leaveViews()
    this.#tell('close')
    this.operations++
    if (this.#half()) await this.#db.close()
    else this.#db.closeSync()
    await this.#open()
    await this.checkAll()
  }

  async #compareKey(reader: Reader<Bytes, Bytes>, model: Model, key: ModelKey): Promise<void> {
    const stored = model.get(key)
    this.operations++
    switch (this.#random.below(8)) {
      case 0:
        return this.#mustBe(key, await reader.get(key.bytes), stored)
      case 1:
        return this.#mustBe(key, reader.getSync(key.bytes), stored)
      case 2:
        return this.#mustBeEntry(key, await reader.getEntry(key.bytes), stored)
      case 3:
        return assert.equal(await reader.has(key.bytes), stored !== undefined, `has ${key.name}`)
      case 4:
        return assert.equal(reader.hasSync(key.bytes), stored !== undefined, `has ${key.name}`)
      case 5:
        return this.#compareValue(reader, model, key)
      default:
        return this.#mustBeEntry(key, reader.getEntrySync(key.bytes), stored)
    }
  }

  /** By the verb that gives no copy. */
  #compareValue(reader: Reader<Bytes, Bytes>, model: Model, key: ModelKey): void {
    const stored = model.get(key)
    const there = reader.viewSync(key.bytes, (bytes) => {
      this.#mustBe(key, bytes, stored)
      return true
    })
    if (there !== true) this.#mustBe(key, undefined, stored)
  }

  #mustBeEntry(key: ModelKey, entry: Entry<Bytes> | undefined, stored: Stored | undefined): void {
    this.#mustBe(key, entry?.value, stored)
    assert.equal(entry?.version, stored?.version, `the version of ${key.name}`)
    assert.equal(entry?.expiresAt, undefined, key.name)
  }

  #mustBe(key: ModelKey, found: Bytes | undefined, stored: Stored | undefined): void {
    if (found !== undefined && stored !== undefined && sameBytes(found, stored.value)) return
    if (found === undefined && stored === undefined) return
    assert.fail(`${key.name} is ${shownValue(found)}, not ${shownValue(stored?.value)}`)
  }

  async #compare(reader: Reader<Bytes, Bytes>, model: Model): Promise<void> {
    this.operations += 2
    const cursor = reader.entries()
    const entries = this.#half() ? await collect(cursor) : [...cursor]
    const seen = new Set<ModelKey>()
    let before: ModelKey | undefined
    for (const [bytes, value] of entries) {
      const key = this.#known(bytes)
      this.#mustBe(key, value, model.get(key))
      if (this.#db.supports.order && before !== undefined) {
        const after = Buffer.compare(before.bytes, key.bytes) < 0
        assert.ok(after, `${key.name} comes after ${before.name}`)
      }
      before = key
      seen.add(key)
    }
    assert.equal(seen.size, entries.length, 'no key comes twice')
    const missing = [...model.keys()].find((key) => !seen.has(key))
    assert.equal(seen.size, model.size, `entries: ${missing?.name} is missing`)
    if (this.#random.chance(0.2)) assert.equal(reader.countSync(), model.size, 'countSync')
  }

  #known(bytes: Bytes): ModelKey {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
    const key = this.#byText.get(text)
    assert.ok(key !== undefined, `a key that nobody wrote: ${shownValue(bytes)}`)
    return key
  }

  #wrote(version: number): void {
    assert.ok(version > this.#sequence, `version ${version} comes after ${this.#sequence}`)
    this.#sequence = version
  }

  #remove(key: ModelKey): void {
    this.#model.delete(key)
    this.#removed(key)
  }

  #removed(key: ModelKey): void {
    for (const walk of this.#walks) if (walk.of === undefined) walk.gone.add(key)
  }

  #key(): ModelKey {
    return this.#keys[this.#random.below(this.#keys.length)]!
  }

  #value(): Bytes {
    const random = this.#random
    const { long, longest } = this.#mix
    const length = random.chance(long)
      ? Math.floor(SHORT_BYTES * (longest / SHORT_BYTES) ** random.fraction()) + 1
      : random.below(SHORT_BYTES + 1)
    return this.#pool.take(length, random)
  }

  #writeOptions(): { durability: 'none' | 'os' | 'disk' } {
    const kind = this.#random.below(100)
    return { durability: kind < 82 ? 'none' : kind < 94 ? 'os' : 'disk' }
  }

  #half(): boolean {
    return this.#random.chance(0.5)
  }

  #tell(line: string): void {
    if (this.trace.length === 2 * KEPT_LINES) this.trace.splice(0, KEPT_LINES)
    this.trace.push(line)
  }
}

/** Both in the order of their bytes. */
function compareValues(found: readonly Bytes[], model: Model): void {
  const sorted = (values: Iterable<Bytes>): Bytes[] =>
    [...values].sort((a, b) => Buffer.compare(a, b))
  const expected = sorted([...model.values()].map(({ value }) => value))
  const actual = sorted(found)
  assert.equal(actual.length, expected.length, 'the number of values')
  for (const [i, value] of actual.entries()) {
    if (!sameBytes(value, expected[i]!)) assert.fail(`no value is ${shownValue(value)}`)
  }
}

/** The last version that is there for sure. */
function lastOf(model: Model): number {
  let last = 0
  for (const { version } of model.values()) last = Math.max(last, version)
  return last
}
