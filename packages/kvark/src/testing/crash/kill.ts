/**
 * Killed processes: a child writes to a store in a real folder, is killed with SIGKILL at a random moment, and what it
 * leaves is opened again.
 *
 *   child opens ─► writes … ─► SIGKILL ─► the parent opens it, or a copy ─► a prefix of the history? ─► verify ─► writes ─► closes
 *     ▲                                                                                                          │
 *     └───────────────────────────────────── the same folder, again and again ◄──────────────────────────────────┘
 *
 * 1. A write acknowledged at `os` or `disk` survives; one at `none` may be lost, with all after it.
 * 2. Where the parent checks a copy, the next child opens the folder as the kill left it, so that a child is also killed
 *    while it recovers, and recoveries pile up.
 * 3. The seed decides what is written and how long a child lives; what it gets done in that time is up to the machine.
 */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { SeededRandom } from '../../bytes/random.ts'
import type { EngineModule } from '../../engine/engine.ts'
import { engines } from '../../engines.ts'
import { KvarkError } from '../../errors.ts'
import { History } from './history.ts'
import { KILL_MIX, killWrites } from './kill-writes.ts'
import { partOf, withContext } from './seeds.ts'
import { type CrashStore, type CrashSubject, openSubject } from './subjects.ts'
import { contentOf } from './workload.ts'

const CHILD = fileURLToPath(new URL('kill-child.js', import.meta.url))

/** The store's name in its folder. */
const STORE = 'store'

/** How long a child lives after it is ready, or after it begins to open. */
const SHORTEST_MS = 5
const LONGEST_MS = 400
const LONGEST_OPENING_MS = 60
/** What the parent writes after each recovery. */
const WRITES = 5

/** Folders in which children are killed at the same time. */
const LANES = 4
const KILLS = partOf(100, 0.3)

export interface KillCounts {
  kills: number
  /** Writes that were acknowledged at `os` or `disk`, and all that were begun. */
  acknowledged: number
  started: number
  /** Kills before the store was open. */
  whileOpening: number
}

/** What a killed child has told. */
interface Told {
  readonly ready: boolean
  /** The last write that it began. */
  readonly started: number
  readonly acknowledged: ReadonlySet<number>
}

interface Child {
  readonly pid: number | undefined
  /** It begins to open the store. */
  readonly opening: Promise<unknown>
  /** The store is open. */
  readonly ready: Promise<unknown>
  readonly ended: Promise<Told>
  kill(): void
}

export function killSuite(subject: CrashSubject): void {
  describe(`${subject.engine}: killed processes`, () => {
    test(`SIGKILL at ${KILLS} random moments under load`, async (t) => {
      const counts = await killMany(subject, KILLS, 1)
      assert.ok(counts.acknowledged > 0 && counts.started > counts.acknowledged)
      t.diagnostic(shown(counts))
    })

    test('a second process finds the store LOCKED, and open once the first is killed', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'kvark-kill-'))
      try {
        const child = startChild(subject, folder, 1)
        await child.ready
        const open = (): CrashStore => openSubject(subject, join(folder, STORE)).sync()
        assert.throws(open, (error) => {
          assert.ok(error instanceof KvarkError)
          assert.deepEqual([error.code, error.pid], ['LOCKED', child.pid])
          return true
        })
        child.kill()
        await child.ended
        const db = open()
        db.putSync('key', 'value')
        db.closeSync()
      } finally {
        rmSync(folder, { recursive: true, force: true })
      }
    })
  })
}

/** How children are killed, where not as in the tests. */
export interface KillOptions {
  /** Folders in which children are killed at the same time. */
  readonly lanes?: number
  /** With what the parent opens what a child leaves. */
  readonly modules?: Readonly<Record<string, EngineModule>>
}

/** Kills `times` children, in several folders at the same time. */
export async function killMany(
  subject: CrashSubject,
  times: number,
  seed: number,
  { lanes: most = LANES, modules = engines }: KillOptions = {},
): Promise<KillCounts> {
  const counts: KillCounts = { kills: 0, acknowledged: 0, started: 0, whileOpening: 0 }
  const lanes = Math.min(most, times)
  const ended = await Promise.allSettled(
    Array.from({ length: lanes }, (_, lane) => {
      const kills = Math.floor((times + lane) / lanes)
      return killInLane(subject, modules, kills, seed + lane, counts)
    }),
  )
  for (const lane of ended) if (lane.status === 'rejected') throw lane.reason
  return counts
}

export function shown({ kills, acknowledged, started, whileOpening }: KillCounts): string {
  return `${kills} kills, ${whileOpening} of them before the store was open; ${started} writes begun, ${acknowledged} acknowledged at os or disk`
}

async function killInLane(
  subject: CrashSubject,
  modules: Readonly<Record<string, EngineModule>>,
  times: number,
  seed: number,
  counts: KillCounts,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'kvark-kill-'))
  const lane = new Lane(subject, modules, folder, seed)
  try {
    for (let i = 0; i < times; i++) await lane.kill(counts)
  } catch (cause) {
    const again = `npm run test:kill -- --engine ${subject.engine} --options '${subject.name}' --times ${times} --seed ${seed}`
    throw withContext(
      `kill ${lane.kills} of seed ${seed} failed; try again with\n  ${again}\nThe store is kept in ${folder}.`,
      cause,
    )
  }
  rmSync(folder, { recursive: true, force: true })
}

class Lane {
  kills = 0
  readonly #subject: CrashSubject
  readonly #modules: Readonly<Record<string, EngineModule>>
  readonly #folder: string
  readonly #seed: number
  readonly #random: SeededRandom
  #history = new History()

  constructor(
    subject: CrashSubject,
    modules: Readonly<Record<string, EngineModule>>,
    folder: string,
    seed: number,
  ) {
    this.#subject = subject
    this.#modules = modules
    this.#folder = folder
    this.#seed = seed
    this.#random = new SeededRandom(seed)
  }

  /** One child, from its start to the check of what it leaves. */
  async kill(counts: KillCounts): Promise<void> {
    this.kills++
    const seed = this.#seed * 10_000 + this.kills
    const whileOpening = this.#random.chance(0.2)
    const after = whileOpening
      ? this.#random.below(LONGEST_OPENING_MS)
      : SHORTEST_MS + this.#random.below(LONGEST_MS - SHORTEST_MS)
    const child = startChild(this.#subject, this.#folder, seed)
    await (whileOpening ? child.opening : child.ready)
    await setTimeout(after)
    child.kill()
    const { ready, started, acknowledged } = await child.ended

    counts.kills++
    counts.started += started
    if (!ready) counts.whileOpening++
    for (const { number, changes, durability } of killWrites(seed, KILL_MIX)) {
      if (number > started) break
      this.#history.add(changes)
      if (durability !== 'none' && acknowledged.has(number)) {
        counts.acknowledged++
        this.#history.acknowledge(number)
      }
    }
    this.#check()
  }

  #check(): void {
    const inCopy = this.#random.chance(0.5)
    const copy = join(this.#folder, 'copy')
    const store = join(this.#folder, STORE)
    // A child may have been killed before it made the folder.
    if (inCopy && existsSync(store)) cpSync(store, copy, { recursive: true })
    const path = inCopy ? copy : store
    const db = openSubject(this.#subject, path, undefined, this.#modules).sync()
    const found = contentOf(db)
    this.#history.recovered(found)
    // A killed process takes nothing with it that the system has: what was found once stays.
    this.#history = new History(found)
    assert.deepEqual(db.verifySync().problems, [], 'verify finds problems')
    const written = new Map(found)
    for (let i = 0; i < WRITES; i++) {
      const key = `key${this.#random.below(KILL_MIX.keys)}`
      db.putSync(key, `parent ${i}`, { durability: 'os' })
      written.set(key, `parent ${i}`)
    }
    db.closeSync()
    if (inCopy) rmSync(copy, { recursive: true })
    else this.#history = new History(written)
  }
}

/** A child that writes to the store in `folder` until it is killed. */
function startChild({ engine, name }: CrashSubject, folder: string, seed: number): Child {
  const file = join(folder, 'told')
  rmSync(file, { force: true })
  const told = [engine, name, join(folder, STORE), file, String(seed)]
  const args = ['--enable-source-maps', CHILD, ...told]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  let output = ''
  let errors = ''
  const hear = new Map<string, () => void>()
  child.stdout.setEncoding('latin1').on('data', (text: string) => {
    output += text
    for (const line of output.split('\n')) hear.get(line)?.()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const ended = new Promise<Told>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (signal === 'SIGKILL') resolve({ ready: output.includes('r'), ...readTold(file) })
      else reject(new Error(`the child ended by itself (${code ?? signal}):\n${errors}`))
    })
  })
  ended.catch(() => {}) // Whoever waits for less hears of it, too.
  const heard = (line: string): Promise<unknown> => {
    const said = new Promise<void>((resolve) => {
      hear.set(line, resolve)
    })
    return Promise.race([said, ended])
  }
  return {
    pid: child.pid,
    opening: heard('o'),
    ready: heard('r'),
    ended,
    kill: () => child.kill('SIGKILL'),
  }
}

function readTold(file: string): Omit<Told, 'ready'> {
  const told = existsSync(file) ? readFileSync(file, 'latin1') : ''
  // The last line may be cut off.
  const lines = told.split('\n').slice(0, -1)
  const numbers = (letter: string): number[] =>
    lines.filter((line) => line.startsWith(letter)).map((line) => Number(line.slice(1)))
  return { started: numbers('s').at(-1) ?? 0, acknowledged: new Set(numbers('a')) }
}
