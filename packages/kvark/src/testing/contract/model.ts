/**
 * Contract, chapter 9: random work, compared with a map as it goes. A failure prints the seed and the last steps; the same
 * seed does the same again.
 */

import assert from 'node:assert/strict'
import { crc32 } from 'node:zlib'
import type { BatchOperation, Reader, Snapshot } from '../../store/types.ts'
import { Random } from '../random.ts'
import { bytes, collect, pattern, rejects, text, throws } from './check.ts'
import type { BytesStore, Case, Chapter, Place } from './place.ts'

const SEEDS = 20
const STEPS = 300
/** Pairs of characters before the one that tells keys apart; lengths are coded in 1 byte up to 127, in 2 above. */
const KEY_PADDINGS = [0, 1, 2, 0, 1, 62, 63, 64, 100, 2, 127, 128, 400]
const KEYS = 40
/** So many of the last steps are printed. */
const TRACED = 25

interface Stored {
  readonly value: Uint8Array
  readonly version: number
}
/** Key, as text, to what is stored. */
type Model = Map<string, Stored>

class Run {
  readonly #place: Place
  readonly #random: Random
  #db: BytesStore
  #model: Model = new Map()
  /** What was done, a line each. */
  readonly trace: string[] = []
  #snapshots: { snapshot: Snapshot<Uint8Array, Uint8Array>; model: Model }[] = []

  constructor(place: Place, db: BytesStore, random: Random) {
    this.#place = place
    this.#db = db
    this.#random = random
  }

  async step(): Promise<void> {
    const { atomicBatch, snapshots, order } = this.#db.supports
    const actions: [weight: number, act: () => Promise<void>][] = [
      [30, () => this.#put()],
      [12, () => this.#delete()],
      [8, () => this.#conditional()],
      [20, () => this.#read()],
      [atomicBatch ? 8 : 0, () => this.#batch()],
      [snapshots ? 3 : 0, () => this.#takeSnapshot()],
      [snapshots ? 4 : 0, () => this.#readSnapshot()],
      [4, () => this.checkAll()],
      [order ? 6 : 0, () => this.#range()],
      [2, () => this.#compact()],
      [1, () => this.#clear()],
      [1, () => this.#reopen()],
    ]
    let at = this.#random.below(actions.reduce((sum, [weight]) => sum + weight, 0))
    for (const [weight, act] of actions) {
      at -= weight
      if (at < 0) return await act()
    }
  }

  async checkAll(): Promise<void> {
    await this.#compare(this.#db, this.#model)
    assert.equal(this.#db.stats().entries, this.#model.size)
  }

  async finish(): Promise<void> {
    for (const { snapshot, model } of this.#snapshots) await this.#compare(snapshot, model)
    await this.#reopen()
    await this.checkAll()
    assert.deepEqual((await this.#db.verify()).problems, [])
  }

  async #put(): Promise<void> {
    const key = this.#key()
    const value = this.#value()
    this.trace.push(`put ${shownKey(key)} = ${shown(value)}`)
    const version = this.#random.chance(0.5)
      ? await this.#db.put(key, value, this.#durability())
      : this.#db.putSync(key, value, this.#durability())
    this.#model.set(text(key), { value, version })
  }

  async #delete(): Promise<void> {
    const key = this.#key()
    this.trace.push(`delete ${shownKey(key)}`)
    if (this.#random.chance(0.5)) await this.#db.delete(key, this.#durability())
    else this.#db.deleteSync(key, this.#durability())
    this.#model.delete(text(key))
  }

  async #conditional(): Promise<void> {
    const key = this.#key()
    const stored = this.#model.get(text(key))
    const options = this.#random.chance(0.4)
      ? { ifAbsent: true }
      : { ifVersion: Math.max(1, (stored?.version ?? 1) - Number(this.#random.chance(0.3))) }
    const holds =
      'ifAbsent' in options ? stored === undefined : stored?.version === options.ifVersion
    const value = this.#value()
    this.trace.push(
      `put ${shownKey(key)} = ${shown(value)} if ${JSON.stringify(options)}: ${holds}`,
    )
    if (!holds) {
      await rejects('CONFLICT', () => this.#db.put(key, value, options))
      throws('CONFLICT', () => this.#db.putSync(key, value, options))
      return
    }
    this.#model.set(text(key), { value, version: await this.#db.put(key, value, options) })
  }

  async #batch(): Promise<void> {
    const operations: BatchOperation<Uint8Array, Uint8Array>[] = []
    const before = this.#db.stats().sequence
    for (let left = this.#random.below(12); left > 0; left--) {
      const key = this.#key()
      const put = { type: 'put' as const, key, value: this.#value() }
      operations.push(this.#random.chance(0.7) ? put : { type: 'delete', key })
    }
    for (const operation of operations) {
      const value = operation.type === 'put' ? ` = ${shown(operation.value)}` : ''
      this.trace.push(`  in a batch: ${operation.type} ${shownKey(operation.key)}${value}`)
    }
    const version = this.#random.chance(0.5)
      ? await this.#db.batch(operations, this.#durability())
      : this.#db.batchSync(operations, this.#durability())
    for (const operation of operations) {
      this.#model.delete(text(operation.key))
      if (operation.type === 'delete') continue
      const entry = this.#db.getEntrySync(operation.key)
      // Its version cannot be known beforehand; what is known is where it must lie.
      if (entry !== undefined) assert.ok(entry.version > before && entry.version <= version)
      this.#model.set(text(operation.key), {
        value: operation.value,
        version: entry?.version ?? -1,
      })
    }
    for (const { key } of operations) await this.#compareKey(this.#db, this.#model, key)
  }

  async #read(): Promise<void> {
    for (let left = 3; left > 0; left--) await this.#compareKey(this.#db, this.#model, this.#key())
  }

  async #takeSnapshot(): Promise<void> {
    if (this.#snapshots.length >= 4) this.#release()
    this.trace.push('snapshot')
    this.#snapshots.push({ snapshot: this.#db.snapshot(), model: new Map(this.#model) })
  }

  async #readSnapshot(): Promise<void> {
    if (this.#snapshots.length === 0) return
    const { snapshot, model } = this.#random.pick(this.#snapshots)
    if (this.#random.chance(0.3)) await this.#compare(snapshot, model)
    else await this.#compareKey(snapshot, model, this.#key())
    if (this.#random.chance(0.3)) this.#release()
  }

  #release(): void {
    this.trace.push('release a snapshot')
    const [released] = this.#snapshots.splice(this.#random.below(this.#snapshots.length), 1)
    released!.snapshot.close()
  }

  async #range(): Promise<void> {
    const [a, b] = [this.#key(), this.#key()].sort((x, y) => Buffer.compare(x, y)) as [
      Uint8Array,
      Uint8Array,
    ]
    const reverse = this.#random.chance(0.5)
    const found = await collect(this.#db.keys({ gte: a, lt: b, reverse }))
    const expected = sortedKeys(this.#model).filter(
      (key) => Buffer.compare(key, a) >= 0 && Buffer.compare(key, b) < 0,
    )
    if (reverse) expected.reverse()
    assert.deepEqual(found.map(text), expected.map(text))
  }

  async #compact(): Promise<void> {
    this.trace.push('compact')
    if (this.#random.chance(0.5)) await this.#db.compact()
    else this.#db.compactSync()
  }

  async #clear(): Promise<void> {
    this.trace.push('clear')
    if (this.#random.chance(0.5)) await this.#db.clear(this.#durability())
    else this.#db.clearSync(this.#durability())
    this.#model.clear()
  }

  async #reopen(): Promise<void> {
    this.trace.push('close and open')
    this.#snapshots = []
    if (this.#random.chance(0.5)) await this.#db.close()
    else this.#db.closeSync()
    this.#db = this.#random.chance(0.5)
      ? await this.#place.openBytes({ durability: 'os' })
      : this.#place.openSync({ keys: 'bytes', values: 'bytes', durability: 'os' })
    await this.checkAll()
  }

  async #compareKey(
    reader: Reader<Uint8Array, Uint8Array>,
    model: Model,
    key: Uint8Array,
  ): Promise<void> {
    const stored = model.get(text(key))
    const entry = this.#random.chance(0.5) ? await reader.getEntry(key) : reader.getEntrySync(key)
    const name = shownKey(key)
    assert.equal(entry && shown(entry.value), stored && shown(stored.value), name)
    assert.equal(entry?.version, stored?.version, name)
    const value = this.#random.chance(0.5) ? await reader.get(key) : reader.getSync(key)
    assert.equal(value && shown(value), stored && shown(stored.value), name)
  }

  async #compare(reader: Reader<Uint8Array, Uint8Array>, model: Model): Promise<void> {
    const entries = this.#random.chance(0.5)
      ? await collect(reader.entries())
      : [...reader.entries()]
    if (!this.#db.supports.order) entries.sort(([a], [b]) => Buffer.compare(a, b))
    assert.deepEqual(
      entries.map(([key, value]) => `${shownKey(key)} = ${shown(value)}`),
      sortedKeys(model).map((key) => `${shownKey(key)} = ${shown(model.get(text(key))!.value)}`),
    )
    assert.equal(reader.countSync(), model.size)
  }

  #key(): Uint8Array {
    const i = this.#random.below(KEYS)
    if (i === 0) return new Uint8Array(0)
    const padding = 'ab'.repeat(KEY_PADDINGS[i % KEY_PADDINGS.length]!)
    return bytes(`${padding}${String.fromCharCode(i * 6)}`)
  }

  #value(): Uint8Array {
    const random = this.#random
    const length = random.chance(0.05)
      ? 3000 + random.below(60_000)
      : random.below(random.chance(0.1) ? 3000 : 150)
    return pattern(length, random.below(256))
  }

  #durability(): { durability: 'none' | 'os' } {
    return { durability: this.#random.chance(0.7) ? 'none' : 'os' }
  }
}

function shownKey(key: Uint8Array): string {
  return JSON.stringify(text(key))
}

/** Enough of a value to tell it from every other one. */
function shown(value: Uint8Array): string {
  return `${value.length} bytes #${crc32(value).toString(16)}`
}

function sortedKeys(model: Model): Uint8Array[] {
  return [...model.keys()].map(bytes).sort((x, y) => Buffer.compare(x, y))
}

function seedCase(seed: number): Case {
  return {
    name: `seed ${seed}`,
    async run(place) {
      const db = await place.openBytes({ durability: 'os' })
      const run = new Run(place, db, new Random(seed))
      try {
        for (let step = 0; step < STEPS; step++) await run.step()
        await run.finish()
      } catch (error) {
        const last = run.trace.slice(-TRACED).join('\n')
        throw new Error(`seed ${seed} failed; the last of ${run.trace.length} steps:\n${last}`, {
          cause: error,
        })
      }
    },
  }
}

export const model: Chapter = {
  name: 'model',
  cases: Array.from({ length: SEEDS }, (_, i) => seedCase(i + 1)),
}
