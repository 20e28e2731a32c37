/**
 * A run in which tables are used by very many at the same time: what each of them was given is judged by what `watch` told of the tables.
 *
 *   put, batch, update, touch, clear, make, drop, rename, transaction, snapshot, compact, … ─► all have ended ─► closed
 *   watch of every table ─► Told: what each held behind each version ────────────────────────────────────────► judge
 *
 * 1. Each value is written once: what has been acknowledged was told under its version, what was refused, or taken back, was not.
 * 2. A transaction has read what its tables held right before its first write, with its own writes over it; one without writes what they
 *    held behind some version between its beginning and its end. A table that it has used is the same one then.
 * 3. A read gives what was there behind some version between its call and its end, a snapshot what was there when it was taken.
 * 4. Who watches with little memory is told the same, but for what lies in a gap.
 *
 * Left out: calls that fail. `at-once.ts` has them.
 */

import assert from 'node:assert/strict'
import type { SeededRandom } from '../../bytes/random.ts'
import { KvarkError } from '../../errors.ts'
import type {
  OrderedStore,
  OrderedTable,
  OrderedTransaction,
  OrderedTransactionTable,
  RangeOptions,
  Watch,
} from '../../store/types.ts'
import { turn } from '../contract/check.ts'
import { fits, type Held, type Moments, mayBeOver, Told, type ToldChange } from './told.ts'

type Store = OrderedStore<string, string>
type Table = OrderedTable<string, string>
type Tx = OrderedTransaction<string, string>
type TxTable = OrderedTransactionTable<string, string>

const NAMES = ['a', 'b', 'c', 'd']
const KEYS = Array.from({ length: 60 }, (_, i) => `k${String(i).padStart(2, '0')}`)
const COUNTER = 'counter'
const DURABILITIES = ['none', 'os', 'disk'] as const
const MOST_VALUE = 9000
const SMALL_BUFFER = 3000

/** A table as long as it is there: through renames, up to its drop. */
interface Use {
  readonly name: string
  readonly table: Table
  readonly told: Told
  readonly watch: Watch<string, string>
  readonly ended: Promise<void>
  /** Versions up to which all had been told. */
  readonly known: number[]
}

export interface TablesWorld {
  readonly db: Store
  readonly random: SeededRandom
  now(): number
  advance(ms: number): void
}

export class TablesRun {
  readonly trace: string[] = []
  operations = 0
  readonly #db: Store
  readonly #random: SeededRandom
  readonly #world: TablesWorld
  readonly #root: Use
  /** Where each transaction that writes puts its first entry. */
  readonly #marks: Use
  readonly #slots: Map<string, Use> = new Map()
  readonly #uses: Use[] = []
  readonly #judgements: (() => void)[] = []
  readonly #others: Promise<void>[] = []
  #waiting: Promise<unknown>[] = []
  #unexpected: Error | undefined
  #next = 0
  #counted = 0

  constructor(world: TablesWorld) {
    this.#world = world
    this.#db = world.db
    this.#random = world.random
    this.#root = this.#use('', world.db)
    this.#marks = this.#use('marks', world.db.table('marks'))
    this.#marks.table.putSync('made', 'made')
    for (const name of NAMES) this.#slots.set(name, this.#use(name, world.db.table(name)))
  }

  async step(): Promise<void> {
    const acts: readonly (readonly [weight: number, act: () => void])[] = [
      [8, () => this.#put()],
      [3, () => this.#delete()],
      [3, () => this.#batch()],
      [2, () => this.#clear()],
      [3, () => this.#update()],
      [3, () => this.#count()],
      [2, () => this.#getOrPut()],
      [3, () => this.#touch()],
      [8, () => this.#read()],
      [10, () => this.#transaction()],
      [4, () => this.#transactionNow()],
      [2, () => this.#snapshot()],
      [1, () => this.#drop()],
      [1, () => this.#rename()],
      [1, () => this.#watchSmall()],
      [1, () => this.#job()],
      [2, () => this.#world.advance(this.#random.below(40))],
    ]
    const weights = acts.reduce((sum, [weight]) => sum + weight, 0)
    for (let left = 5 + this.#random.below(30); left > 0; left--) {
      let at = this.#random.below(weights)
      const [, act] = acts.find(([weight]) => (at -= weight) < 0)!
      this.operations++
      act()
      for (let turns = this.#random.below(4); turns > 0; turns--) await Promise.resolve()
      if (this.#random.chance(0.15)) await turn()
    }
    const waiting = this.#waiting
    this.#waiting = []
    await Promise.all(waiting)
    if (this.#unexpected !== undefined) throw this.#unexpected
  }

  async finish(): Promise<void> {
    await this.#db.sync()
    const moments = { from: this.#world.now(), to: this.#world.now() }
    for (const use of [this.#root, ...this.#slots.values()]) {
      const found = new Map(await use.table.entries().nextMany(10_000))
      const { sequence } = this.#db.stats()
      this.#judge(() => sameContent(found, use.told.at(sequence), moments))
    }
    assert.deepEqual((await this.#db.verify()).problems, [])
    await this.#db.close()
    await Promise.all([...this.#uses.map(({ ended }) => ended), ...this.#others])
    if (this.#unexpected !== undefined) throw this.#unexpected
    for (const judge of this.#judgements) judge()
    const counted = this.#root.told.changes.filter(
      ({ type, ...one }) => type === 'put' && 'key' in one && one.key === COUNTER,
    )
    assert.equal(counted.length, this.#counted, 'increments')
  }

  // What is watched.

  #use(name: string, table: Table): Use {
    const told = new Told()
    const known: number[] = []
    const watch = table.watch({ bufferBytes: 2 ** 30 })
    const ended = this.#listen(watch, told, known)
    const use: Use = { name, table, told, watch, ended, known }
    this.#uses.push(use)
    return use
  }

  async #listen(watch: Watch<string, string>, told: Told, known: number[]): Promise<void> {
    try {
      for await (const change of watch) {
        assert.notEqual(change.type, 'gap')
        told.add(change as ToldChange)
        if (told.changes.at(-1)!.last) known.push(watch.version)
      }
    } catch (error) {
      this.#unexpected ??= error as Error
    }
  }

  #watchSmall(): void {
    const use = this.#pick()
    const since = this.#random.pick([undefined, ...use.known])
    this.#tell(`watch ${use.name} since ${since}`)
    const watch = use.table.watch({
      bufferBytes: SMALL_BUFFER,
      ...(since !== undefined && { since }),
    })
    const from = watch.version
    const found: (ToldChange | { type: 'gap'; from: number; to: number })[] = []
    const stop = this.#random.below(40)
    this.#others.push(
      (async () => {
        try {
          for await (const change of watch) {
            found.push(change)
            if (this.#random.chance(0.3)) await turn()
            if (found.length === stop) break
          }
        } catch (error) {
          this.#unexpected ??= error as Error
        }
      })(),
    )
    this.#judge(() => {
      if (use.told.isRetired) return
      const whole = found.length !== stop
      let at = use.told.changes.findIndex(({ version }) => version > from)
      if (at < 0) at = use.told.changes.length
      for (const change of found) {
        if (change.type === 'gap') {
          while (at < use.told.changes.length && use.told.changes[at]!.version <= change.to) at++
          continue
        }
        const expected = use.told.changes[at++]
        assert.deepEqual(
          shown(change),
          expected && shown(expected),
          `watch of ${use.name} from ${from}`,
        )
      }
      if (whole) assert.equal(at, use.told.changes.length, `all of ${use.name} from ${from}`)
    })
  }

  // Writes.

  #put(): void {
    const use = this.#pick()
    const key = this.#key()
    const value = this.#value()
    const kind = this.#random.below(5)
    const options = {
      durability: this.#random.pick(DURABILITIES),
      ...(this.#random.chance(0.25) && { ttl: 1 + this.#random.below(100) }),
      ...(kind === 0 && { ifAbsent: true }),
      ...(kind === 1 && { ifVersion: use.table.getEntrySync(key)?.version ?? 0 }),
    }
    this.#tell(`put ${use.name} ${key} ${short(value)} ${JSON.stringify(options)}`)
    const moments = this.#moments()
    const long = this.#random.chance(0.1)
    const written = long
      ? use.table.putStream(key, [Buffer.from(value)], options)
      : use.table.put(key, value, options)
    this.#written(use, value, written, (version) => {
      if (kind > 1) return
      const held = use.told.at(version - 1).get(key)
      if (kind === 0) assert.ok(fits(undefined, held, moments()), `${key} is absent`)
    })
  }

  /** The value is told under its version, or never. */
  #written(
    use: Use,
    value: string,
    written: Promise<number>,
    judge: (version: number) => void,
  ): void {
    this.#await(
      written.then(
        (version) =>
          this.#judge(() => {
            if (use.told.isRetired) return
            assert.equal(
              use.told.versionsOf.get(value)?.[0],
              version,
              `${short(value)} was written`,
            )
            judge(version)
          }),
        (error: unknown) => {
          this.#tell(`  ${short(value)} → ${mayBe(error, ['CONFLICT', 'NOT_FOUND'])}`)
          this.#judge(() => this.#never(value))
        },
      ),
    )
  }

  #never(value: string): void {
    for (const { told, name } of this.#uses) {
      assert.equal(
        told.versionsOf.get(value),
        undefined,
        `${short(value)} was not written to ${name}`,
      )
    }
  }

  #delete(): void {
    const use = this.#pick()
    const key = this.#key()
    this.#tell(`delete ${use.name} ${key}`)
    this.#await(use.table.delete(key, { durability: this.#random.pick(DURABILITIES) }).catch(gone))
  }

  #batch(): void {
    const parts = Array.from({ length: 1 + this.#random.below(8) }, () => {
      const use = this.#pick()
      return { use, key: `${this.#key()}`, value: this.#value() }
    })
    this.#tell(
      `batch ${parts.map(({ use, key, value }) => `${use.name} ${key} ${short(value)}`).join()}`,
    )
    const operations = parts.map(({ use, key, value }) => ({
      type: 'put' as const,
      table: use.table,
      key,
      value,
    }))
    this.#await(
      this.#db.batch(operations).then(
        (version) =>
          this.#judge(() => {
            for (const [i, { use, value }] of parts.entries()) {
              if (use.told.isRetired) continue
              const [first] = use.told.versionsOf.get(value) ?? []
              assert.equal(first, version - parts.length + 1 + i, 'one behind the other')
            }
          }),
        (error: unknown) => {
          mayBe(error, ['CONFLICT', 'NOT_FOUND'])
          this.#judge(() => {
            for (const { value } of parts) this.#never(value)
          })
        },
      ),
    )
  }

  #clear(): void {
    const use = this.#pick()
    const options = this.#db.supports.order && this.#random.chance(0.7) ? this.#range() : {}
    this.#tell(`clear ${use.name} ${JSON.stringify(options)}`)
    this.#await(use.table.clear(options).catch(gone))
  }

  #update(): void {
    const use = this.#pick()
    const key = this.#key()
    const value = this.#value()
    let before: string | undefined
    const moments = this.#moments()
    this.#tell(`update ${use.name} ${key} ${short(value)}`)
    const change = (found: string | undefined): string => {
      before = found
      return value
    }
    this.#await(
      use.table.update(key, change).then(
        () =>
          this.#judge(() => {
            if (use.told.isRetired) return
            const [version = -1] = use.told.versionsOf.get(value) ?? []
            assert.ok(
              fits(before, use.told.at(version - 1).get(key), moments()),
              `update of ${key} by what it was`,
            )
          }),
        gone,
      ),
    )
  }

  #count(): void {
    this.#tell('increment')
    this.#counted++
    this.#await(this.#db.increment(COUNTER, 1, { durability: this.#random.pick(DURABILITIES) }))
  }

  #getOrPut(): void {
    const use = this.#pick()
    const key = this.#key()
    const value = this.#value()
    const lo = this.#db.stats().sequence
    const moments = this.#moments()
    this.#tell(`getOrPut ${use.name} ${key} ${short(value)}`)
    const make = this.#random.chance(0.5)
      ? value
      : async () => {
          for (let turns = this.#random.below(3); turns > 0; turns--) await turn()
          return value
        }
    this.#await(
      use.table.getOrPut(key, make).then((found) => {
        const hi = this.#db.stats().sequence
        const when = moments()
        this.#judge(() => {
          if (use.told.isRetired) return
          if (found !== value) {
            this.#never(value)
            this.#wasThere(use, key, found, lo, hi, when)
            return
          }
          const [version = -1] = use.told.versionsOf.get(value) ?? []
          assert.ok(fits(undefined, use.told.at(version - 1).get(key), when), `getOrPut of ${key}`)
        })
      }, gone),
    )
  }

  /** The value is told once more, under the version that this gives. */
  #touch(): void {
    const use = this.#pick()
    const key = this.#key()
    const moments = this.#moments()
    const ttl = this.#random.chance(0.3) ? ('never' as const) : 1 + this.#random.below(100)
    this.#tell(`touch ${use.name} ${key} ${ttl}`)
    const judge = (version: number | undefined): void => {
      if (version === undefined || use.told.isRetired) return
      const before = use.told.at(version - 1).get(key)
      const after = use.told.at(version).get(key)
      assert.equal(after?.value, before?.value, `touch of ${key} keeps its value`)
      assert.ok(fits(after?.value, before, moments()), `touch of ${key}, which is there`)
    }
    this.#await(
      use.table.touch(key, { ttl }).then((version) => this.#judge(() => judge(version)), gone),
    )
  }

  // Reads.

  #read(): void {
    const use = this.#pick()
    const key = this.#key()
    const lo = this.#db.stats().sequence
    const moments = this.#moments()
    const kind = this.#random.below(3)
    const reading =
      kind === 0
        ? use.table.get(key)
        : kind === 1
          ? use.table.getEntry(key).then((entry) => entry?.value)
          : use.table.getMany([key]).then(([one]) => one)
    this.#await(
      reading.then((found) => {
        const hi = this.#db.stats().sequence
        const when = moments()
        this.#judge(() => this.#wasThere(use, key, found, lo, hi, when))
      }, gone),
    )
  }

  #wasThere(
    use: Use,
    key: string,
    found: string | undefined,
    lo: number,
    hi: number,
    when: Moments,
  ): void {
    if (use.told.isRetired) return
    for (const version of use.told.versions(lo, hi)) {
      if (fits(found, use.told.at(version).get(key), when)) return
    }
    assert.fail(`${use.name} ${key} was never ${short(found)} from ${lo} to ${hi}`)
  }

  #snapshot(): void {
    const use = this.#pick()
    let snapshot: ReturnType<Table['snapshot']>
    try {
      snapshot = use.table.snapshot()
    } catch (error) {
      gone(error)
      return
    }
    const { sequence } = this.#db.stats()
    const when = { from: this.#world.now(), to: this.#world.now() }
    this.#tell(`snapshot of ${use.name} at ${sequence}`)
    const walk = async (): Promise<void> => {
      for (let turns = this.#random.below(20); turns > 0; turns--) await turn()
      const found = new Map(await snapshot.entries().nextMany(10_000))
      assert.equal(await snapshot.count(), found.size)
      snapshot.close()
      this.#judge(() => {
        if (!use.told.isRetired) sameContent(found, use.told.at(sequence), when)
      })
    }
    this.#await(walk())
  }

  // Tables.

  #drop(): void {
    const name = this.#random.pick(NAMES)
    const isThere = this.#isThere(name)
    this.#tell(`drop ${name}`)
    const dropped = this.#random.chance(0.5)
      ? this.#db.dropTable(name)
      : new Promise<void>((resolve) => resolve(this.#db.dropTableSync(name)))
    if (isThere) this.#slots.set(name, this.#use(name, this.#db.table(name)))
    this.#await(
      dropped.then(
        () => assert.ok(isThere),
        (error) => assert.ok(!isThere, `${error}`),
      ),
    )
  }

  #rename(): void {
    const from = this.#random.pick(NAMES)
    const to = this.#random.pick(NAMES)
    if (from === to || !this.#isThere(from) || this.#isThere(to)) return
    this.#tell(`rename ${from} ${to}`)
    // A handle that has never been used stands for the name.
    this.#slots.get(from)!.table.hasSync(COUNTER)
    this.#await(this.#db.renameTable(from, to))
    const old = this.#slots.get(to)!
    old.told.isRetired = true
    old.watch.close()
    this.#slots.set(to, { ...this.#slots.get(from)!, name: to })
    this.#slots.set(from, this.#use(from, this.#db.table(from)))
  }

  #isThere(name: string): boolean {
    // Writes that wait are carried out first, as they are by what follows.
    this.#db.snapshot().close()
    return this.#db.tables().some((table) => table.name === name)
  }

  #job(): void {
    const kind = this.#random.below(3)
    this.#tell(['compact', 'sync', 'verify'][kind]!)
    if (kind === 0) this.#await(this.#db.compact())
    else if (kind === 1) this.#await(this.#db.sync())
    else this.#await(this.#db.verify().then(({ problems }) => assert.deepEqual(problems, [])))
  }

  // Transactions.

  #transaction(): void {
    const id = ++this.#next
    const trial = new Trial(this.#world, id, this.#root, this.#marks, this.#slots, () =>
      this.#value(),
    )
    this.#tell(`transaction ${id}`)
    const attempts = this.#random.chance(0.3) ? 1 + this.#random.below(3) : 100
    const origin = this.#random.chance(0.7) ? this.#root : this.#pick()
    const ran = origin.table.transaction((tx) => trial.run(tx, origin), { attempts })
    this.#await(
      ran.then(
        () => this.#committed(trial),
        (error) => this.#failed(trial, error),
      ),
    )
  }

  #transactionNow(): void {
    const id = ++this.#next
    const trial = new Trial(this.#world, id, this.#root, this.#marks, this.#slots, () =>
      this.#value(),
    )
    this.#tell(`transactionSync ${id}`)
    try {
      this.#db.transactionSync((tx) => trial.runNow(tx, this.#root))
      this.#committed(trial)
    } catch (error) {
      this.#failed(trial, error)
    }
    for (const one of trial.late) this.#await(one)
  }

  #committed(trial: Trial): void {
    const { sequence } = this.#db.stats()
    this.#tell(`  transaction ${trial.id} is there`)
    this.#judge(() => trial.judge(sequence, this.#uses, (value) => this.#never(value)))
  }

  #failed(trial: Trial, error: unknown): void {
    if (!(error instanceof Given)) mayBe(error, ['CONFLICT', 'NOT_FOUND'])
    this.#tell(`  transaction ${trial.id} → ${String(error)}`)
    this.#judge(() => {
      for (const value of trial.values) this.#never(value)
    })
  }

  // What it is about.

  #pick(): Use {
    return this.#random.chance(0.25) ? this.#root : this.#slots.get(this.#random.pick(NAMES))!
  }

  #key(): string {
    return this.#random.pick(KEYS)
  }

  #range(): RangeOptions<string> {
    return rangeOf(this.#random)
  }

  #value(): string {
    const length = this.#random.chance(0.5) ? 0 : this.#random.below(MOST_VALUE)
    return `v${++this.#next} ${'.'.repeat(length)}`
  }

  /** Call it at the end. */
  #moments(): () => Moments {
    const from = this.#world.now()
    return () => ({ from, to: this.#world.now() })
  }

  #judge(judgement: () => void): void {
    this.#judgements.push(judgement)
  }

  #await(promise: Promise<unknown>): void {
    this.#waiting.push(
      promise.catch((error: unknown) => {
        this.#unexpected ??= error as Error
      }),
    )
  }

  #tell(line: string): void {
    this.trace.push(line)
  }
}

/** What a transaction has read of a table. */
interface Reading {
  readonly use: Use
  readonly what: string
  readonly fits: (content: ReadonlyMap<string, Held>, when: Moments) => boolean
}

/** The error of a function that gives up. */
class Given extends Error {}

/** One transaction, over all its runs; what counts is the last one. */
class Trial {
  readonly id: number
  /** All that were written in any run. */
  readonly values: string[] = []
  /** What was asked for at once, in functions that may also wait. */
  readonly late: Promise<void>[] = []
  readonly #world: TablesWorld
  readonly #root: Use
  readonly #marks: Use
  readonly #slots: ReadonlyMap<string, Use>
  readonly #value: () => string
  #readings: Reading[] = []
  #own: Own = new Own()
  #begun = 0
  #when: Moments = { from: 0, to: 0 }
  #marker: string | undefined

  constructor(
    world: TablesWorld,
    id: number,
    root: Use,
    marks: Use,
    slots: ReadonlyMap<string, Use>,
    value: () => string,
  ) {
    this.#world = world
    this.id = id
    this.#root = root
    this.#marks = marks
    this.#slots = slots
    this.#value = value
  }

  async run(tx: Tx, origin: Use): Promise<void> {
    const { random } = this.#world
    for (const act of this.#acts(tx, origin)) {
      await act(false)
      for (let turns = random.below(3); turns > 0; turns--) await Promise.resolve()
      if (random.chance(0.1)) await turn()
      this.#when.to = this.#world.now()
    }
  }

  runNow(tx: Tx, origin: Use): void {
    for (const act of this.#acts(tx, origin)) this.late.push(Promise.resolve(act(true)))
  }

  *#acts(tx: Tx, origin: Use): Generator<(sync: boolean) => void | Promise<void>> {
    const { random, db } = this.#world
    this.#readings = []
    this.#own = new Own()
    this.#marker = undefined
    this.#begun = db.stats().sequence
    this.#when = { from: this.#world.now(), to: this.#world.now() }
    const uses = [this.#root, ...this.#slots.values()]
    const tables = new Map<Use, TxTable>()
    const tableOf = (use: Use): TxTable => {
      let table = tables.get(use)
      if (table === undefined) {
        if (use === origin) table = tx
        else if (use === this.#root || use === this.#marks || random.chance(0.5))
          table = tx.table(use.table)
        else table = tx.table(use.name)
        tables.set(use, table)
      }
      return table
    }
    const writes = random.chance(0.8)
    if (writes) {
      yield () => {
        this.#marker = this.#newValue()
        tableOf(this.#marks).putSync(`m${this.id}`, this.#marker)
        this.#own.put(this.#marks, `m${this.id}`, this.#marker)
      }
    }
    for (let left = 1 + random.below(12); left > 0; left--) {
      const use = random.pick(uses)
      const table = tableOf(use)
      const kind = random.below(writes ? 12 : 4)
      if (kind === 0) yield (sync) => this.#get(table, use, sync)
      else if (kind === 1) yield (sync) => this.#walk(table, use, sync)
      else if (kind === 2) yield (sync) => this.#count(table, use, sync)
      else if (kind === 3) yield (sync) => this.#get(table, use, sync)
      else if (kind < 8) yield () => this.#put(table, use)
      else if (kind === 8) {
        yield () => {
          const key = random.pick(KEYS)
          table.deleteSync(key)
          this.#own.put(use, key, undefined)
        }
      } else if (kind === 9) {
        yield () => {
          const range = db.supports.order ? rangeOf(random) : {}
          table.clearSync(range)
          this.#own.clear(use, range)
        }
      } else if (kind === 10) {
        yield async (sync) => {
          const savepoint = tx.savepoint()
          const before = this.#own.copy()
          this.#put(table, use)
          if (random.chance(0.5)) {
            const range = db.supports.order ? rangeOf(random) : {}
            table.clearSync(range)
            this.#own.clear(use, range)
          }
          this.#put(table, use)
          const walked = this.#walk(table, use, sync)
          if (!sync) await walked
          savepoint.rollback()
          this.#own = before
        }
      } else if (random.chance(0.2)) {
        yield () => {
          throw new Given('given up')
        }
      }
    }
  }

  #newValue(): string {
    const value = this.#value()
    this.values.push(value)
    return value
  }

  #put(table: TxTable, use: Use): void {
    const { random } = this.#world
    const key = random.pick(KEYS)
    const value = this.#newValue()
    const ttl = random.chance(0.2) ? { ttl: 1000 + random.below(100) } : undefined
    table.putSync(key, value, ttl)
    this.#own.put(use, key, value)
  }

  async #get(table: TxTable, use: Use, sync: boolean): Promise<void> {
    const key = this.#world.random.pick(KEYS)
    const own = this.#own.of(use, key)
    const judge = (found: string | undefined): void => {
      if (own !== 'none') assert.equal(found, own.value, `${use.name} ${key}, its own`)
      else {
        this.#note(use, `${key} is ${short(found)}`, (content, when) =>
          fits(found, content.get(key), when),
        )
      }
    }
    if (sync) judge(table.getSync(key))
    else judge(await table.get(key))
  }

  #note(use: Use, what: string, judge: Reading['fits']): void {
    this.#readings.push({ use, what: `${use.name}: ${what}`, fits: judge })
  }

  async #count(table: TxTable, use: Use, sync: boolean): Promise<void> {
    const range = this.#range()
    const own = this.#own.copy()
    const judge = (count: number): void => {
      this.#note(use, `${count} in ${JSON.stringify(range)}`, (content, { from, to }) => {
        let least = 0
        let most = 0
        for (const [key, held] of content) {
          if (!isIn(key, range) || own.of(use, key) !== 'none') continue
          if (held.expiresAt !== undefined && held.expiresAt <= from) continue
          most++
          if (!mayBeOver(held, to)) least++
        }
        const mine = [...own.putsOf(use)].filter((key) => isIn(key, range)).length
        return count >= least + mine && count <= most + mine
      })
    }
    if (sync) judge(table.countSync(range))
    else judge(await table.count(range))
  }

  async #walk(table: TxTable, use: Use, sync: boolean): Promise<void> {
    const { random, db } = this.#world
    const range = this.#range()
    const most = random.pick([1, 3, 1000])
    const own = this.#own.copy()
    const kind = db.supports.order ? random.below(3) : 0
    let found: [string, string][]
    let from = range
    if (kind === 1 && most === 1) {
      const verb = random.pick(['first', 'last'] as const)
      const one = sync ? table[`${verb}Sync`](range) : await table[verb](range)
      found = one === undefined ? [] : [one]
      if (verb === 'last') from = { ...range, reverse: range.reverse !== true }
    } else {
      const cursor = table.entries(range)
      if (kind === 2) {
        const sought = random.pick(KEYS)
        const hasEnded = random.chance(0.5) && cursor.nextSync().done === true
        if (!hasEnded) {
          cursor.seek(sought)
          from = range.reverse ? tighter(range, { lte: sought }) : tighter(range, { gte: sought })
        }
      }
      found = sync ? cursor.nextManySync(most) : await cursor.nextMany(most)
      cursor.close()
    }
    const last = found.length < most ? undefined : found.at(-1)![0]
    const isPart = last !== undefined && !db.supports.order
    const end = from.reverse ? { gte: last! } : { lte: last! }
    const walked = last === undefined || isPart ? from : tighter(from, end)
    const keys = new Map(found)
    const sorted = found.map(([key]) => key).sort()
    if (from.reverse) sorted.reverse()
    if (db.supports.order)
      assert.deepEqual(
        found.map(([key]) => key),
        sorted,
        'in order',
      )
    for (const key of own.putsOf(use)) {
      if (!isIn(key, walked) || isPart) continue
      const one = own.of(use, key)
      assert.equal(
        keys.get(key),
        one !== 'none' ? one.value : undefined,
        `${use.name} ${key}, its own`,
      )
    }
    this.#note(
      use,
      `${JSON.stringify(from)} up to ${last}: ${found.map(([key, value]) => `${key} ${short(value)}`).join()}`,
      (content, when) => {
        for (const [key, value] of keys) {
          if (!isIn(key, walked)) return false
          if (own.of(use, key) === 'none' && !fits(value, content.get(key), when)) return false
        }
        if (isPart) return true
        for (const [key, held] of content) {
          if (
            isIn(key, walked) &&
            own.of(use, key) === 'none' &&
            !keys.has(key) &&
            !fits(undefined, held, when)
          )
            return false
        }
        return true
      },
    )
  }

  #range(): RangeOptions<string> {
    const { random, db } = this.#world
    if (!db.supports.order || random.chance(0.3)) return {}
    return { ...rangeOf(random), ...(random.chance(0.5) && { reverse: true }) }
  }

  judge(end: number, uses: readonly Use[], never: (value: string) => void): void {
    const when = this.#when
    if (this.#readings.some(({ use }) => use.told.isRetired)) return
    if (this.#marker === undefined) {
      const versions = new Set([this.#begun])
      for (const { use } of this.#readings) {
        for (const version of use.told.versions(this.#begun, end)) versions.add(version)
      }
      const isAt = (version: number): boolean =>
        this.#readings.every((one) => one.fits(one.use.told.at(version), when))
      assert.ok(
        [...versions].some(isAt),
        `transaction ${this.id} read, ${this.#begun} … ${end}:\n${this.#readings.map(({ what }) => what).join('\n')}`,
      )
      return
    }
    const [version] = this.#marks.told.versionsOf.get(this.#marker) ?? []
    assert.ok(version !== undefined, `transaction ${this.id} was carried out`)
    for (const { use, what, fits: isSo } of this.#readings) {
      assert.ok(
        isSo(use.told.at(version - 1), when),
        `transaction ${this.id}, at ${version}, read ${what}`,
      )
    }
    const own = this.#own
    const final = new Set<string>()
    for (const [told, key, value] of own.all()) {
      if (value === undefined || told.isRetired) continue
      final.add(value)
      // A table that was made and dropped meanwhile is another one; what was read holds there, too.
      const wasTold = uses.some((use) => use.told.versionsOf.has(value))
      assert.ok(wasTold, `transaction ${this.id} put ${key} ${short(value)}`)
    }
    for (const value of this.values) if (!final.has(value) && !own.hidden.has(value)) never(value)
  }
}

/** What a transaction has written itself. */
class Own {
  readonly #keys: Map<Told, Map<string, string | undefined>> = new Map()
  readonly #clears: Map<Told, RangeOptions<string>[]> = new Map()
  /** Values that were cleared: they may have been written, and cleared behind that. */
  readonly hidden: Set<string> = new Set()

  put({ told }: Pick<Use, 'told'>, key: string, value: string | undefined): void {
    const keys = this.#keys.get(told) ?? new Map<string, string | undefined>()
    this.#keys.set(told, keys.set(key, value))
  }

  clear({ told }: Use, range: RangeOptions<string>): void {
    for (const [key, value] of this.#keys.get(told) ?? []) {
      if (!isIn(key, range)) continue
      if (value !== undefined) this.hidden.add(value)
      this.put({ told }, key, undefined)
    }
    this.#clears.set(told, [...(this.#clears.get(told) ?? []), range])
  }

  of({ told }: Use, key: string): { readonly value: string | undefined } | 'none' {
    const keys = this.#keys.get(told)
    if (keys?.has(key)) return { value: keys.get(key) }
    return this.#clears.get(told)?.some((range) => isIn(key, range)) ? { value: undefined } : 'none'
  }

  putsOf({ told }: Use): Iterable<string> {
    return [...(this.#keys.get(told) ?? [])]
      .filter(([, value]) => value !== undefined)
      .map(([key]) => key)
  }

  *all(): Iterable<[Told, string, string | undefined]> {
    for (const [told, keys] of this.#keys) for (const [key, value] of keys) yield [told, key, value]
  }

  copy(): Own {
    const copy = new Own()
    for (const [told, key, value] of this.all()) copy.put({ told }, key, value)
    for (const [told, ranges] of this.#clears) copy.#clears.set(told, ranges.slice())
    for (const value of this.hidden) copy.hidden.add(value)
    return copy
  }
}

function rangeOf(random: SeededRandom): RangeOptions<string> {
  const [gte, lt] = [random.pick(KEYS), random.pick(KEYS)].sort() as [string, string]
  return random.chance(0.2) ? { gte } : random.chance(0.2) ? { lt } : { gte, lt }
}

function tighter(range: RangeOptions<string>, more: RangeOptions<string>): RangeOptions<string> {
  const { gte } = range
  const isLess = more.gte !== undefined && gte !== undefined && more.gte < gte
  return { ...range, ...more, ...(isLess && { gte }) }
}

function isIn(key: string, { gte, lt, lte }: RangeOptions<string>): boolean {
  return (
    (gte === undefined || key >= gte) &&
    (lt === undefined || key < lt) &&
    (lte === undefined || key <= lte)
  )
}

function sameContent(
  found: ReadonlyMap<string, string>,
  content: ReadonlyMap<string, Held>,
  when: Moments,
): void {
  for (const key of new Set([...found.keys(), ...content.keys()])) {
    assert.ok(fits(found.get(key), content.get(key), when), `${key} is ${short(found.get(key))}`)
  }
}

function mayBe(error: unknown, codes: readonly string[]): string {
  if (error instanceof KvarkError && codes.includes(error.code)) return error.code
  throw error
}

/** The table was dropped. */
function gone(error: unknown): void {
  mayBe(error, ['NOT_FOUND'])
}

function short(value: string | undefined): string {
  return value === undefined ? 'nothing' : value.slice(0, 8).trim()
}

function shown(change: ToldChange): unknown {
  const { type, version } = change
  if (type === 'put') return [type, version, change.key, short(change.value), change.expiresAt]
  return [type, version]
}
