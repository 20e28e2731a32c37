/**
 * One transaction of a run of `tables-at-once.ts`: what it has read, what it has written, and how that is judged.
 *
 * 1. One that writes has read what its tables held right before its first write, with its own writes over it.
 * 2. One without writes has read what they held behind some version between its beginning and its end.
 */

import assert from 'node:assert/strict'
import type { RangeOptions } from '../../store/call-types.ts'
import { turn } from '../contract/check.ts'
import {
  isIn,
  KEYS,
  rangeOf,
  short,
  type TablesWorld,
  type Tx,
  type TxTable,
  tighter,
  type Use,
} from './table-use.ts'
import { fits, type Held, type Moments, mayBeOver, type Told } from './told.ts'

/** What a transaction has read of a table. */
interface Reading {
  readonly use: Use
  readonly what: string
  readonly fits: (content: ReadonlyMap<string, Held>, when: Moments) => boolean
}

/** The error of a function that gives up. */
export class Given extends Error {}

/** One transaction, over all its runs; what counts is the last one. */
export class Trial {
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
