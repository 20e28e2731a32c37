/**
 * A store on a simulated disk, used at random from a seed: writes of every durability, several at a time, and transactions, with
 * snapshots, reads, compactions and closing and opening again in between. Its history says what must survive.
 *
 *   step ─► step ─► …          each changes the store and the history alike, and now and then compares the two
 *
 * 1. Everything comes from the seed, so a session is the same each time. Each step has a seed of its own: what is left of a
 *    session when some steps are taken out does what it did before.
 * 2. A strict session takes no error. A tolerant one takes any `KvarkError`, goes on, resumes or opens the store again, and
 *    judges what it finds there by the history.
 */

import assert from 'node:assert/strict'
import { SeededRandom } from '../../bytes/random.ts'
import type { Durability } from '../../engine/engine.ts'
import type { Environment } from '../../environment/environment.ts'
import { type SimulatedEnvironment, simulatedEnvironment } from '../../environment/simulated.ts'
import { KvarkError } from '../../errors.ts'
import type { Snapshot } from '../../store/types.ts'
import type { SimulatedFiles } from '../../vfs/simulated.ts'
import { type Content, History, mustHold } from './history.ts'
import { type SlowProcess, slowProcess } from './slow-files.ts'
import { type CrashStore, type CrashSubject, openSubject } from './subjects.ts'
import { carryOut, contentOf, type Mix, randomWrite, transact } from './workload.ts'

/** Where the store is. */
export const STORE = '/store'
const MIX: Mix = {
  keys: 24,
  clears: 0.02,
  sync: 0.3,
  durabilities: ['none', 'none', 'os', 'disk'],
}
/** What nobody waits for is flushed within this time. */
const FLUSH_MS = 1000
/** Sets the seeds of a session's steps apart. */
const STEPS_APART = 2 ** 32
/** Sets the seed of the files' slowness apart from that of the steps. */
const SLOWNESS = 3e6
/** So many of the last steps are told when something fails. */
const TOLD = 30
const LEAST_STREAM = 33_000
/** How likely a write of several changes is a transaction. */
const TRANSACTIONS = 0.4
/** Entries of a load. */
const LOADED = 60
const LONGEST_STREAM = 70_000

export interface SessionOptions {
  readonly subject: CrashSubject
  readonly files: SimulatedFiles
  readonly seed: number
  readonly history?: History
  readonly tolerant?: boolean
}

interface Held {
  readonly snapshot: Snapshot<string, string>
  readonly content: Content
}

export class Session {
  readonly files: SimulatedFiles
  readonly #simulated: SimulatedEnvironment
  /** The process that has the store open. */
  #process: SlowProcess
  /** Up to which write the operating system has it all: what a killed process leaves. */
  #handed = 0
  history: History
  readonly #subject: CrashSubject
  readonly #tolerant: boolean
  readonly #seed: number
  #random: SeededRandom
  readonly #slowness: SeededRandom
  readonly #trace: string[] = []
  #db: CrashStore | undefined
  /** Some writes failed: what is visible may not be what is kept. */
  #doubtful = false
  #waiting: Promise<void>[] = []
  #held: Held[] = []
  #unexpected: Error | undefined
  readonly #name: string
  #writes = 0

  constructor({ subject, files, seed, history = new History(), tolerant = false }: SessionOptions) {
    this.files = files
    this.history = history
    this.#simulated = simulatedEnvironment({ seed, files })
    this.#slowness = new SeededRandom(seed + SLOWNESS)
    this.#process = slowProcess(files, this.#slowness)
    this.#subject = subject
    this.#tolerant = tolerant
    this.#seed = seed
    this.#random = new SeededRandom(seed)
    this.#name = String(seed)
  }

  get db(): CrashStore {
    assert.ok(this.#db, 'the store is open')
    return this.#db
  }

  /** Opens the store and takes what is found there as what the history has come to. */
  async open(): Promise<void> {
    const environment: Environment = { ...this.#simulated, files: this.#process.files }
    const opening = openSubject(this.#subject, STORE, environment)
    this.#tell('open')
    this.#db = this.#random.chance(0.5) ? opening.sync() : await opening.async()
    this.#judge()
  }

  /** Goes through the steps with these numbers, or through so many from the first on. */
  async run(steps: number | readonly number[]): Promise<void> {
    const numbers = typeof steps === 'number' ? Array.from({ length: steps }, (_, i) => i) : steps
    for (const number of numbers) {
      this.#random = new SeededRandom(this.#seed + (number + 1) * STEPS_APART)
      try {
        if (this.#db === undefined) await this.open()
        else if (this.#doubtful && this.#random.chance(0.5)) await this.#resume()
        await this.#step()
      } catch (error) {
        this.#note(error)
      }
      this.#check()
    }
  }

  /** Closes the store; everything is then on the disk. */
  async close(): Promise<void> {
    const { db } = this
    const sync = this.#random.chance(0.5)
    this.#tell(sync ? 'closeSync' : 'close')
    if (sync) await this.#settle()
    this.#held = []
    this.#db = undefined
    const last = this.history.started
    try {
      if (sync) db.closeSync()
      else await db.close()
    } finally {
      await this.#settle()
    }
    this.history.acknowledge(last)
  }

  /** Closes the store if it is open; a tolerant session takes that it fails. */
  async end(): Promise<void> {
    try {
      await this.#settle()
      if (this.#db !== undefined) await this.close()
    } catch (error) {
      this.#note(error)
    }
    this.#check()
  }

  /** Writes one entry at `disk`. */
  async commit(): Promise<void> {
    const value = `commit ${this.history.started + 1}`
    const key = `key${this.#random.below(MIX.keys)}`
    const number = this.history.add([{ kind: 'put', key, value }])
    await this.db.put(key, value)
    this.history.acknowledge(number)
  }

  /** The store reads without damage and holds what it should. */
  async check(): Promise<void> {
    const { problems } = await this.db.verify()
    assert.deepEqual(problems, [], 'verify finds problems')
    this.compare()
  }

  /** The last steps, for people. */
  get trace(): string {
    return this.#trace.slice(-TOLD).join('\n')
  }

  /** Ends without closing the store, as a machine that stops. */
  async abandon(): Promise<void> {
    this.files.crash()
    await Promise.all(this.#waiting.splice(0))
    await this.#db?.close().catch(() => {})
  }

  #step(): Promise<void> {
    const steps: readonly [weight: number, step: () => Promise<void> | void][] = [
      [60, () => this.#write()],
      [4, () => this.#stream()],
      [this.db.supports.order ? 3 : 0, () => this.#load()],
      [8, () => this.#settle()],
      [5, () => this.#sync()],
      [5, () => this.#turn()],
      [3, () => this.#simulated.advance(FLUSH_MS + 1)],
      [4, () => this.#compact()],
      [3, () => this.close().then(() => this.open())],
      [this.#tolerant ? 0 : 1, () => this.#kill()],
      [3, () => this.#takeSnapshot()],
      [3, () => this.#releaseSnapshot()],
      [4, () => this.#hearRefusals().then(() => this.compare())],
    ]
    let at = this.#random.below(steps.reduce((sum, [weight]) => sum + weight, 0))
    for (const [weight, step] of steps) {
      at -= weight
      if (at < 0) return Promise.resolve().then(step)
    }
    throw new RangeError('no step')
  }

  async #write(): Promise<void> {
    const write = randomWrite(this.#random, `${this.#name}.${++this.#writes}`, MIX)
    const inTransaction = write.changes.length > 1 && this.#random.chance(TRANSACTIONS)
    if (inTransaction) await this.#hearRefusals()
    const number = this.history.add(write.changes)
    const shown = write.changes.map((change) =>
      change.kind === 'put'
        ? `put ${change.key} (${change.value.length})`
        : change.kind === 'delete'
          ? `delete ${change.key}`
          : 'clear',
    )
    const how = `${write.durability}${write.sync ? ', sync' : ''}${inTransaction ? ', in a transaction' : ''}`
    this.#tell(`write ${number} at ${how}: ${shown.join(', ')}`)
    const { acknowledge, failed } = this.#fateOf(number, write.durability)
    try {
      const promise = inTransaction ? transact(this.db, write) : carryOut(this.db, write)
      if (write.sync) acknowledge()
      // Its place in the order is where it ends, so nothing else is written meanwhile.
      else if (inTransaction) await (promise as Promise<unknown>).then(acknowledge, failed)
      else this.#await((promise as Promise<unknown>).then(acknowledge, failed))
    } catch (error) {
      failed(error)
    }
  }

  /** A value in pieces. Its place in the order is where it ends, so nothing else is written meanwhile. */
  async #stream(): Promise<void> {
    await this.#hearRefusals()
    const key = `key${this.#random.below(MIX.keys)}`
    const value = `${this.#name}.${++this.#writes} `.padEnd(
      // Short ones are written as any other value.
      this.#random.chance(0.2) ? this.#random.below(LEAST_STREAM) : this.#longStream(),
      'kvark',
    )
    const durability = this.#random.pick(MIX.durabilities)
    const number = this.history.add([{ kind: 'put', key, value }])
    this.#tell(`write ${number} at ${durability}: put ${key} (${value.length}) as a stream`)
    const { acknowledge, failed } = this.#fateOf(number, durability)
    const bytes = Buffer.from(value, 'latin1')
    const piece = 1 + this.#random.below(bytes.length)
    const pieces = function* (): Generator<Uint8Array> {
      for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece)
    }
    await this.db.putStream(key, pieces(), { durability }).then(acknowledge, failed)
  }

  /** Entries in order, with keys that nothing else writes. Nothing else is written meanwhile, as with streams. */
  async #load(): Promise<void> {
    await this.#hearRefusals()
    const name = `${this.#name}.${++this.#writes}`
    const count = 1 + this.#random.below(LOADED)
    const changes = Array.from({ length: count }, (_, i) => {
      // Some before all others, some behind them.
      const key = `${name.length % 2 === 0 ? 'load' : 'a load'} ${name} ${String(i).padStart(3, '0')}`
      const length = this.#random.chance(0.02) ? LEAST_STREAM : this.#random.below(200)
      return { kind: 'put' as const, key, value: `${name} `.padEnd(length, 'kvark') }
    })
    const durability = this.#random.pick(MIX.durabilities)
    const number = this.history.add(changes)
    this.#tell(`write ${number} at ${durability}: load ${count} entries`)
    const { acknowledge, failed } = this.#fateOf(number, durability)
    const entries = changes.map(({ key, value }): [string, string] => [key, value])
    await this.db.load(entries, { durability }).then(acknowledge, failed)
  }

  #longStream(): number {
    return LEAST_STREAM + this.#random.below(LONGEST_STREAM - LEAST_STREAM)
  }

  /** What is noted when a write is acknowledged, or fails. */
  #fateOf(
    number: number,
    durability: Durability,
  ): { acknowledge: () => void; failed: (error: unknown) => void } {
    const process = this.#process
    return {
      acknowledge: () => {
        if (process !== this.#process) return
        if (durability === 'disk') this.history.acknowledge(number)
        if (durability !== 'none') this.#handed = Math.max(this.#handed, number)
      },
      failed: (error) => {
        if (process !== this.#process) return
        const { code, outcome } = error as KvarkError
        if (outcome !== 'unknown' && code !== 'CLOSED') this.history.refuse(number)
        this.#note(error)
      },
    }
  }

  #sync(): void {
    const number = this.history.started
    const sync = this.#random.chance(0.3)
    this.#tell(sync ? 'syncSync' : 'sync')
    // What had failed before is not promised by it.
    const process = this.#process
    const acknowledge = (): void => {
      if (!this.#doubtful && process === this.#process) this.history.acknowledge(number)
    }
    if (sync) {
      this.db.syncSync()
      acknowledge()
    } else {
      this.#await(
        this.db
          .sync()
          .then(acknowledge)
          .catch((error: unknown) => this.#noteOf(process, error)),
      )
    }
  }

  async #compact(): Promise<void> {
    const kind = this.#random.pick(['awaited', 'beside', 'sync'])
    const process = this.#process
    this.#tell(`compact ${kind}`)
    if (kind === 'sync') this.db.compactSync()
    else {
      const done = this.db.compact()
      if (kind === 'awaited') await done
      else {
        // Closing the store cuts long work off.
        this.#await(
          done.catch((error: unknown) => {
            if ((error as KvarkError).code !== 'CLOSED') this.#noteOf(process, error)
          }),
        )
      }
    }
  }

  async #turn(): Promise<void> {
    await this.#simulated.pause.async()
  }

  async #takeSnapshot(): Promise<void> {
    await this.#hearRefusals()
    if (this.#held.length >= 3 || this.#doubtful) return
    this.#tell('snapshot')
    const content = this.history.contentAt(this.history.started)
    this.#held.push({ snapshot: this.db.snapshot(), content })
  }

  #releaseSnapshot(): void {
    const held = this.#held.splice(this.#random.below(this.#held.length + 1), 1)
    for (const { snapshot, content } of held) {
      this.#tell('compare and release a snapshot')
      try {
        const found = new Map(snapshot.entries() as Iterable<[string, string]>)
        mustHold(found, content, 'The snapshot has changed:')
      } finally {
        snapshot.close()
      }
    }
  }

  /** A write that waits for the disk may turn out to be refused. */
  async #hearRefusals(): Promise<void> {
    if (this.#tolerant) await this.#settle()
  }

  /** The store holds what was written to it. */
  compare(): void {
    if (this.#doubtful) return
    const expected = this.history.contentAt(this.history.started)
    mustHold(contentOf(this.db), expected, 'The store must show every write:')
  }

  async #resume(): Promise<void> {
    await this.#settle()
    for (const { snapshot } of this.#held.splice(0)) snapshot.close()
    const sync = this.#random.chance(0.5)
    this.#tell(sync ? 'resumeSync' : 'resume')
    if (sync) this.db.resumeSync()
    else await this.db.resume()
    assert.equal(this.db.stats().readOnly, undefined)
    this.#judge()
  }

  /** The process ends at once; another one opens the store. */
  async #kill(): Promise<void> {
    this.#tell('kill')
    const { db } = this
    this.#process.kill()
    this.#process = slowProcess(this.files, this.#slowness)
    this.#db = undefined
    this.#held = []
    await this.#settle()
    await db.close().catch(() => {})
    await this.open()
  }

  #judge(): void {
    this.#doubtful = true
    // A failed sync may cost what the system had.
    const handed = this.#tolerant ? 0 : this.#handed
    const least = Math.max(this.history.acknowledged, handed)
    this.history = this.history.recovered(contentOf(this.db), least)
    this.#doubtful = false
  }

  async #settle(): Promise<void> {
    while (this.#waiting.length > 0) await Promise.all(this.#waiting.splice(0))
    this.#check()
  }

  /** `promise` must not reject. */
  #await(promise: Promise<void>): void {
    this.#waiting.push(promise)
  }

  /** Remembers an error that must not be; the step under way ends with it. */
  #note(error: unknown): void {
    if (!(error instanceof KvarkError)) this.#unexpected ??= error as Error
    else {
      this.#tell(`  → ${error.code}: ${error.message}`)
      if (!this.#tolerant) this.#unexpected ??= error
      if (error.outcome === 'unknown' || error.code === 'READ_ONLY') this.#doubtful = true
    }
  }

  /** What a killed process still has to say does not matter. */
  #noteOf(process: SlowProcess, error: unknown): void {
    if (process === this.#process) this.#note(error)
  }

  #check(): void {
    if (this.#unexpected !== undefined) throw this.#unexpected
  }

  #tell(line: string): void {
    this.#trace.push(line)
  }
}
