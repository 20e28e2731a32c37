/**
 * Random work with entries that end, compared with a map, from a seed: the clock of the machine jumps both ways, the store is closed, loses
 * its power, compacts and looks for what has expired meanwhile.
 *
 *   1. What has an end that the store's clock has reached is nowhere; all else is everywhere, with its end.
 *   2. That clock never goes back within a life of the store and over a clean close, nor over a power cut behind the last write.
 *   3. After a power cut with an earlier clock an entry may be gone that had expired by the later one, and nothing else.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import { type SimulatedEnvironment, simulatedEnvironment } from '../environment/simulated.ts'
import { open } from '../index.ts'
import type { Snapshot } from '../store/types.ts'
import type { AnyStore } from './contract/place.ts'

const SEEDS = 5
const STEPS = 200
const KEYS = 40
const OPTIONS = {
  btree: { cacheBytes: 1024 * 1024, checkpointBytes: 16_384, pageBytes: 4096 },
  log: { segmentBytes: 32_768, compactionThresholdBytes: 4096 },
} as const

interface Stored {
  readonly value: string
  readonly expiresAt: number | undefined
}

class Run {
  readonly #random: SeededRandom
  readonly #engine: keyof typeof OPTIONS
  #environment: SimulatedEnvironment
  #model = new Map<string, Stored>()
  /** Of the store, as far as it is known; and at its last write. */
  #clock = 0
  #written = 0
  #seed: number
  #snapshot:
    | { readonly view: Snapshot<string, string>; readonly content: Map<string, Stored> }
    | undefined
  db!: AnyStore

  constructor(engine: keyof typeof OPTIONS, seed: number) {
    this.#engine = engine
    this.#seed = seed
    this.#random = new SeededRandom(seed)
    this.#environment = simulatedEnvironment({ seed })
  }

  async open(): Promise<void> {
    const engine = this.#engine
    const options = {
      ...OPTIONS[engine],
      engine,
      environment: this.#environment,
      durability: 'disk',
    }
    this.db = await open('/store', options as { engine: 'btree' })
    this.#snapshot = undefined
  }

  async step(): Promise<void> {
    const random = this.#random
    const key = `key${random.below(KEYS)}`
    switch (random.below(14)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return await this.#put(key)
      case 4:
        return await this.#touch(key)
      case 5:
        return await this.#delete(key)
      case 6:
        return await this.#batch()
      case 7:
        this.#environment.advance(random.below(4000))
        return await this.#settle()
      case 8:
        // The machine's clock is set.
        return this.#environment.jump(random.below(4000) - 2000)
      case 9:
        return await this.#look()
      case 10:
        if (random.chance(0.3)) await this.db.compact()
        return
      case 11:
        this.#snapshot?.view.close()
        this.#snapshot = { view: this.db.snapshot(), content: this.#live() }
        return
      default:
        if (random.chance(0.85)) return await this.#check()
        return await (random.chance(0.5) ? this.#reopen() : this.#cutPower())
    }
  }

  async end(): Promise<void> {
    await this.#check()
    await this.db.close()
    assert.deepEqual(this.#environment.warnings, [])
  }

  #value(): string {
    return `${this.#random.below(1e6)}`.repeat(this.#random.chance(0.1) ? 400 : 4)
  }

  /** What the store's clock shows, which it looks at for a snapshot. */
  now(): number {
    this.db.snapshot().close()
    this.#clock = Math.max(this.#clock, this.#environment.now())
    return this.#clock
  }

  #expiry(): { ttl?: number; expiresAt?: number } {
    const random = this.#random
    if (random.chance(0.3)) return {}
    if (random.chance(0.5)) return { ttl: 1 + random.below(5000) }
    return { expiresAt: this.now() + random.below(6000) - 500 }
  }

  #end({ ttl, expiresAt }: { ttl?: number; expiresAt?: number }): number | undefined {
    return ttl === undefined ? expiresAt : this.now() + ttl
  }

  #wrote(): void {
    this.#written = this.now()
  }

  async #put(key: string): Promise<void> {
    const value = this.#value()
    const expiry = this.#expiry()
    await this.db.put(key, value, expiry)
    this.#model.set(key, { value, expiresAt: this.#end(expiry) })
    this.#wrote()
  }

  async #delete(key: string): Promise<void> {
    const isThere = this.#live().has(key)
    await this.db.delete(key)
    // Where it was not, nothing is written: an earlier clock after a power cut may find it again.
    if (!isThere) return
    this.#model.delete(key)
    this.#wrote()
  }

  async #touch(key: string): Promise<void> {
    const expiry = this.#expiry()
    const version = await this.db.touch(key, expiry)
    const stored = this.#live().get(key)
    assert.equal(version !== undefined, stored !== undefined, `touch ${key}`)
    if (stored === undefined) return
    this.#model.set(key, { ...stored, expiresAt: this.#end(expiry) })
    this.#wrote()
  }

  async #batch(): Promise<void> {
    const puts = Array.from({ length: 1 + this.#random.below(8) }, () => ({
      type: 'put' as const,
      key: `key${this.#random.below(KEYS)}`,
      value: this.#value(),
      ...this.#expiry(),
    }))
    await this.db.batch(puts)
    for (const put of puts) {
      this.#model.set(put.key, { value: put.value, expiresAt: this.#end(put) })
    }
    this.#wrote()
  }

  /** What is there. */
  #live(): Map<string, Stored> {
    const now = this.now()
    return new Map(
      [...this.#model].filter(([, { expiresAt }]) => expiresAt === undefined || expiresAt > now),
    )
  }

  /** A moment in which nothing is read: what has expired may go. */
  async #settle(): Promise<void> {
    do await new Promise((resolve) => setImmediate(resolve))
    while (this.db.stats().compacting)
  }

  async #look(): Promise<void> {
    for (const [key, { value, expiresAt }] of this.#live()) {
      const entry = await this.db.getEntry(key)
      assert.deepEqual([entry?.value, entry?.expiresAt], [value, expiresAt], key)
    }
  }

  async #check(): Promise<void> {
    const live = this.#live()
    assert.deepEqual(await this.#content(this.db), sorted(live))
    assert.equal(await this.db.count(), live.size)
    if (this.#snapshot === undefined) return
    const { view, content } = this.#snapshot
    assert.deepEqual(await this.#content(view), sorted(content), 'of the snapshot')
    assert.equal(await view.count(), content.size)
  }

  async #content(reader: Pick<Snapshot<string, string>, 'entries'>): Promise<[string, string][]> {
    const entries: [string, string][] = []
    for await (const entry of reader.entries()) entries.push(entry)
    return entries.sort(([a], [b]) => (a < b ? -1 : 1))
  }

  /** After the walk the store has judged by its clock, which it then takes along. */
  async #reopen(): Promise<void> {
    await this.#check()
    const told = [...this.#model.values()].map(({ expiresAt = 0 }) =>
      expiresAt <= this.#clock ? expiresAt : 0,
    )
    await this.db.close()
    await this.open()
    await this.#learnClock(Math.max(this.#written, ...told))
  }

  async #cutPower(): Promise<void> {
    const before = this.#environment
    const files = before.files.crash({ mode: 'subset', random: this.#random })
    const environment = simulatedEnvironment({ seed: ++this.#seed, files })
    environment.jump(before.now() - environment.now() + this.#random.below(3000) - 2000)
    this.#environment = environment
    await this.open()
    await this.#learnClock(this.#written)
  }

  /** What the store's clock is now, not before `least`; what had expired by a later one may have been taken out. */
  async #learnClock(least: number): Promise<void> {
    const before = this.#clock
    await this.db.put('probe', '', { ttl: 1 })
    this.#clock = (await this.db.getEntry('probe'))!.expiresAt! - 1
    await this.db.delete('probe')
    this.#wrote()
    assert.ok(this.#clock >= least, 'the clock has gone back')
    assert.ok(this.#clock >= this.#environment.now())
    for (const [key, { expiresAt }] of this.#model) {
      if (expiresAt === undefined || expiresAt > before || expiresAt <= this.#clock) continue
      if (!(await this.db.has(key))) this.#model.delete(key)
    }
  }
}

function sorted(content: ReadonlyMap<string, Stored>): [string, string][] {
  const entries = [...content].map(([key, { value }]): [string, string] => [key, value])
  return entries.sort(([a], [b]) => (a < b ? -1 : 1))
}

for (const engine of ['btree', 'log'] as const) {
  test(`${engine}: random work with entries that end`, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const run = new Run(engine, seed)
      await run.open()
      run.now()
      for (let step = 0; step < STEPS; step++) {
        try {
          await run.step()
          run.now()
        } catch (error) {
          if (error instanceof Error) error.message = `seed ${seed}, step ${step}: ${error.message}`
          throw error
        }
      }
      await run.end()
    }
  })
}
