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
import type { RangeOptions } from '../../store/call-types.ts'
import type { Watch } from '../../store/change-types.ts'
import { turn } from '../contract/check.ts'
import { Given, Trial } from './table-trial.ts'
import {
  KEYS,
  rangeOf,
  type Store,
  short,
  type Table,
  type TablesWorld,
  type Use,
} from './table-use.ts'
import { fits, type Held, type Moments, Told, type ToldChange } from './told.ts'

const NAMES = ['a', 'b', 'c', 'd']
const COUNTER = 'counter'
const DURABILITIES = ['none', 'os', 'disk'] as const
const MOST_VALUE = 9000
const LONGEST_TTL = 100
const SMALL_BUFFER = 3000

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
    const keys = new Map<Use, readonly string[]>()
    for (const use of [this.#root, ...this.#slots.values()]) {
      const found = new Map(await use.table.entries().nextMany(10_000))
      const { sequence } = this.#db.stats()
      this.#judge(() => sameContent(found, use.told.at(sequence), moments))
      for (const key of found.keys()) use.table.getSync(key)
      keys.set(use, [...found.keys()])
    }
    // What has been read is read again when it is over, and nobody has taken it away yet.
    this.#world.advance(LONGEST_TTL)
    for (const [use, names] of keys) this.#readEnding(use, names)
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
      ...(this.#random.chance(0.25) && { ttl: 1 + this.#random.below(LONGEST_TTL) }),
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
    const ttl = this.#random.chance(0.3) ? ('never' as const) : 1 + this.#random.below(LONGEST_TTL)
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

  #readEnding({ name, table, told }: Use, keys: readonly string[]): void {
    const at = this.#world.now()
    const values = keys.map((key) => table.getSync(key))
    const { sequence } = this.#db.stats()
    this.#judge(() => {
      const content = told.at(sequence)
      for (const [i, key] of keys.entries()) {
        const found = values[i]
        assert.ok(
          fits(found, content.get(key), { from: at, to: at }),
          `${name} ${key} is ${short(found)} at its end`,
        )
      }
    })
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

function shown(change: ToldChange): unknown {
  const { type, version } = change
  if (type === 'put') return [type, version, change.key, short(change.value), change.expiresAt]
  return [type, version]
}
