/**
 * Backups of a store in use, on the machine's disk:
 *
 *   round: callers write all the time ──► backup ──► callers stop ─► the copy holds exactly what the writes up to its version make?
 *                                    └ compact, now and then         verify ─► destroy
 *
 * 1. Every write is remembered with the version that it got, so what a copy must hold is known to the byte.
 * 2. The event loop is watched in each round before and during the backup, under the same load.
 */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout } from 'node:timers/promises'
import { SeededRandom } from '../../bytes/random.ts'
import type { BackupReport } from '../../engine/facts.ts'
import type { BatchOperation } from '../../store/call-types.ts'
import { destroy } from '../../store/destroy.ts'
import { withContext } from './seeds.ts'
import { type CrashStore, openSubject } from './subjects.ts'

export interface BackupLoad {
  readonly engine: string
  readonly seconds: number
  readonly seed: number
}

export interface BackupCounts {
  backups: number
  /** Writes, and those that came during a backup. */
  writes: number
  meanwhile: number
  /** Bytes and time of all backups. */
  bytes: number
  ms: number
  compactions: number
  /** The longest delays of the event loop without a backup and with one, by round, ms. */
  readonly without: number[]
  readonly during: number[]
}

const CALLERS = 6
const KEYS = 20_000
const LONGEST_VALUE = 600
/** Before each backup the load alone is watched for so long. */
const BEFORE_MS = 400

/** Small enough for many segments and compactions, large enough to take a while. */
const OPTIONS = { segmentBytes: 1024 * 1024, compactionThresholdBytes: 256 * 1024 }

export async function backupUnderLoad(load: BackupLoad): Promise<BackupCounts> {
  const folder = mkdtempSync(join(tmpdir(), 'kvark-backups-'))
  const run = new Load(load, folder)
  try {
    await run.run()
  } catch (cause) {
    const { engine, seconds, seed } = load
    const again = `npm run test:backup -- --engine ${engine} --seconds ${seconds} --seed ${seed}`
    throw withContext(`try again with\n  ${again}\nThe stores are kept in ${folder}.`, cause)
  }
  rmSync(folder, { recursive: true, force: true })
  return run.counts
}

export function shownBackups(counts: BackupCounts): string {
  const { backups, writes, meanwhile, bytes, ms, compactions, without, during } = counts
  const mib = (bytes / 2 ** 20).toFixed(1)
  return [
    `${backups} backups right, ${mib} MiB at ${(bytes / 2 ** 20 / (ms / 1000)).toFixed(0)} MiB/s`,
    `${writes} writes, ${meanwhile} of them during a backup, ${compactions} compactions`,
    `event loop held at most ${median(without)} ms without and ${median(during)} ms with a backup (medians of rounds)`,
  ].join('; ')
}

/** One operation: the version of its write, the key's number, the value's number or −1 for a delete. */
type Operation = readonly [version: number, key: number, value: number]

class Load {
  readonly counts: BackupCounts = {
    backups: 0,
    writes: 0,
    meanwhile: 0,
    bytes: 0,
    ms: 0,
    compactions: 0,
    without: [],
    during: [],
  }
  readonly #load: BackupLoad
  readonly #folder: string
  readonly #random: SeededRandom
  readonly #operations: Operation[] = []
  #lastValue = 0
  #writing = false

  constructor(load: BackupLoad, folder: string) {
    this.#load = load
    this.#folder = folder
    this.#random = new SeededRandom(load.seed)
  }

  async run(): Promise<void> {
    const { engine, seconds } = this.#load
    const subject = { name: engine, engine, options: OPTIONS }
    const db = await openSubject(subject, join(this.#folder, 'store')).async()
    const end = performance.now() + seconds * 1000
    do {
      const path = join(this.#folder, `copy-${this.counts.backups}`)
      const report = await this.#round(db, path)
      const copy = await openSubject(subject, path).async()
      await this.#check(copy, report)
      await copy.close()
      await destroy(path)
      this.counts.backups++
    } while (performance.now() < end)
    this.counts.compactions = db.stats().compactions
    await db.close()
  }

  async #round(db: CrashStore, path: string): Promise<BackupReport> {
    this.#writing = true
    const callers = Array.from({ length: CALLERS }, () => this.#write(db))
    const compacting = this.#random.chance(0.5) ? db.compact() : undefined
    try {
      this.counts.without.push(await this.#watch(() => setTimeout(BEFORE_MS)))
      const writes = this.counts.writes
      const start = performance.now()
      let report: BackupReport | undefined
      this.counts.during.push(
        await this.#watch(async () => {
          report = await db.backup(path)
        }),
      )
      this.counts.ms += performance.now() - start
      this.counts.meanwhile += this.counts.writes - writes
      this.counts.bytes += report!.bytes
      return report!
    } finally {
      this.#writing = false
      await Promise.all(callers)
      await compacting
    }
  }

  /** The longest delay of the event loop meanwhile, ms. */
  async #watch(act: () => Promise<unknown>): Promise<number> {
    const histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: 1 })
    histogram.enable()
    await act()
    histogram.disable()
    return histogram.max / 1e6
  }

  async #write(db: CrashStore): Promise<void> {
    const random = this.#random
    while (this.#writing) {
      const kind = random.below(100)
      const durability = kind < 96 ? 'os' : 'disk'
      const count = random.chance(0.1) ? 2 + random.below(20) : 1
      const operations = Array.from({ length: count }, () => this.#operation())
      const version = await db.batch(
        operations.map(([key, value]) => operationOf(key, value)),
        { durability },
      )
      for (const [key, value] of operations) this.#operations.push([version, key, value])
      this.counts.writes++
    }
  }

  #operation(): [key: number, value: number] {
    const key = this.#random.below(KEYS)
    return [key, this.#random.chance(0.2) ? -1 : ++this.#lastValue]
  }

  async #check(copy: CrashStore, { version, entries }: BackupReport): Promise<void> {
    const expected = new Map<string, number>()
    // Writes of one version: at most one of them has written something.
    const operations = this.#operations.sort(([a], [b]) => a - b)
    for (const [written, key, value] of operations) {
      if (written > version) break
      if (value < 0) expected.delete(`key${key}`)
      else expected.set(`key${key}`, value)
    }
    let found = 0
    for await (const [key, value] of copy.entries()) {
      const number = expected.get(key)
      assert.ok(number !== undefined, `${key} must not be in the copy of version ${version}`)
      assert.equal(value, textOf(number), `${key} in the copy of version ${version}`)
      found++
    }
    assert.equal(found, expected.size, `entries in the copy of version ${version}`)
    assert.equal(entries, expected.size, 'entries as reported')
    assert.deepEqual((await copy.verify()).problems, [])
    this.#forget(expected, version)
  }

  /** What the copy had is where the next one goes on from. */
  #forget(content: ReadonlyMap<string, number>, version: number): void {
    const later = this.#operations.filter(([written]) => written > version)
    const now = [...content].map(([key, value]): Operation => [0, Number(key.slice(3)), value])
    this.#operations.length = 0
    for (const operation of now) this.#operations.push(operation)
    for (const operation of later) this.#operations.push(operation)
  }
}

function operationOf(key: number, value: number): BatchOperation<string, string> {
  if (value < 0) return { type: 'delete', key: `key${key}` }
  return { type: 'put', key: `key${key}`, value: textOf(value) }
}

function textOf(number: number): string {
  return `${number} `.padEnd(20 + ((number * 7919) % LONGEST_VALUE), 'kvark')
}

function median(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b)
  return (sorted[sorted.length >> 1] ?? 0).toFixed(1)
}
