/**
 * Row: two processes and one store. Each case starts processes that do what they are told (`process-child.ts`), on the real file
 * system, and says what each of them must find.
 *
 *   this process ─┐
 *   a child ──────┼──► one folder: one holder at a time; the others hear LOCKED with its pid
 *   another ──────┘
 */

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Environment } from '../../environment/environment.ts'
import { nodeEnvironment } from '../../environment/node.ts'
import { describe, destroy, type Encryption, type KvarkError, rekey } from '../../index.ts'
import { LOCK_NAME } from '../../store/folder.ts'
import { rejects, throws } from '../contract/check.ts'
import { withContext } from '../crash/seeds.ts'
import { type CrashStore, type CrashSubject, openSubject } from '../crash/subjects.ts'
import { contentOf } from '../crash/workload.ts'
import type { Order } from './process-child.ts'
import type { Portion, Row, Tally } from './row.ts'

const CHILD = fileURLToPath(new URL('process-child.js', import.meta.url))

/** So long after its holder was killed a store is free again, at most. */
const REGAINED_MS = 2000
const CASES_A_PORTION = 3
/** What a wait that must end in time may take on a machine that has other things to do. */
const PATIENCE_MS = 30_000

interface Answer {
  readonly result?: unknown
  readonly error?: { readonly code: string; readonly pid?: number; readonly message: string }
}

/** A child with its pid. */
class Remote {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  constructor({ engine, name }: CrashSubject, path: string) {
    this.#child = spawn(process.execPath, [CHILD, engine, name, path], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]()
    this.#child.stdin!.on('error', () => {}) // It may be dead already.
  }

  get pid(): number {
    return this.#child.pid!
  }

  async heard(): Promise<Answer> {
    const { done, value } = await this.#lines.next()
    if (done === true) assert.fail(`process ${this.pid} has ended`)
    return JSON.parse(value) as Answer
  }

  /** Gives the order; its answer is for `heard`. */
  order(order: Order): void {
    this.#child.stdin!.write(`${JSON.stringify(order)}\n`)
  }

  async ask(order: Order): Promise<Answer> {
    this.order(order)
    return await this.heard()
  }

  /** What the order gives, which must not fail. */
  async done(order: Order): Promise<unknown> {
    const { result, error } = await this.ask(order)
    assert.equal(error, undefined, `${order.do}: ${error?.code} ${error?.message}`)
    return result
  }

  /** Ended when it resolves. */
  async kill(): Promise<void> {
    const ended = this.ended()
    this.signal('SIGKILL')
    await ended
  }

  signal(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(signal)
  }

  async ended(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    await new Promise((resolve) => this.#child.once('exit', resolve))
  }
}

/** Where a case happens. */
class Scene {
  readonly subject: CrashSubject
  readonly environment: Environment
  readonly #folder: string
  readonly #remotes: Remote[] = []
  readonly #stores: CrashStore[] = []

  constructor(subject: CrashSubject, environment: Environment) {
    this.subject = subject
    this.environment = environment
    this.#folder = mkdtempSync(join(tmpdir(), 'kvark-processes-'))
  }

  get path(): string {
    return join(this.#folder, 'store')
  }

  get copy(): string {
    return join(this.#folder, 'copy')
  }

  /** A child that is ready. */
  async start(path: string = this.path): Promise<Remote> {
    const remote = new Remote(this.subject, path)
    this.#remotes.push(remote)
    await remote.heard()
    return remote
  }

  /** Children that are ready, started at the same time. */
  async startMany(count: number): Promise<Remote[]> {
    return await Promise.all(Array.from({ length: count }, () => this.start()))
  }

  /** A child that has the store open and has written `a`. */
  async holder(): Promise<Remote> {
    const holder = await this.start()
    await holder.done({ do: 'open' })
    await holder.done({ do: 'put', key: 'a', value: 'kept' })
    return holder
  }

  async open(options: object = {}): Promise<CrashStore> {
    const store = await this.#opening(options).async()
    this.#stores.push(store)
    return store
  }

  openSync(options: object = {}): CrashStore {
    const store = this.#opening(options).sync()
    this.#stores.push(store)
    return store
  }

  #opening(options: object): ReturnType<typeof openSubject> {
    const { subject, path, environment } = this
    return openSubject(
      { ...subject, options: { ...subject.options, ...options } },
      path,
      environment,
    )
  }

  /** This process is told who holds the store. */
  async refused(holder: number): Promise<void> {
    for (const options of [{}, { lockTimeoutMs: 20 }]) {
      assert.equal((await rejects('LOCKED', () => this.open(options))).pid, holder)
      assert.equal(throws('LOCKED', () => this.openSync(options)).pid, holder)
    }
  }

  /** The store is free, whole, and has what was written at `os`; gives how long that took, ms. */
  async free(
    options: object = {},
    expected: Readonly<Record<string, string>> = { a: 'kept' },
  ): Promise<number> {
    const start = performance.now()
    const db = await this.open(options)
    const took = performance.now() - start
    assert.deepEqual(Object.fromEntries(contentOf(db)), expected)
    assert.deepEqual((await db.verify()).problems, [])
    await db.put('own', '1')
    await db.delete('own')
    await db.close()
    return took
  }

  async leave(): Promise<void> {
    for (const remote of this.#remotes) {
      remote.signal('SIGKILL')
      await remote.ended()
    }
    for (const store of this.#stores) await store.close().catch(() => {})
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

interface ProcessCase {
  readonly name: string
  run(scene: Scene): Promise<void>
}

/** What a lock file may say that nobody holds. */
const STALE: Readonly<Record<string, string | Uint8Array>> = {
  'of this process': `${process.pid}\n`,
  'of a living process': '1\n',
  'of a dead one': '4194303\n',
  empty: '',
  'not a number': 'nobody\n',
  'not text': new Uint8Array(300).fill(0xff),
  huge: '7'.repeat(100_000),
}

const cases: readonly ProcessCase[] = [
  {
    name: 'a second process hears who holds the store',
    async run(scene) {
      const holder = await scene.holder()
      await scene.refused(holder.pid)
      const third = await scene.start()
      const { error } = await third.ask({ do: 'open', lockTimeoutMs: 50 })
      assert.deepEqual([error?.code, error?.pid], ['LOCKED', holder.pid])
      await holder.done({ do: 'put', key: 'b', value: 'kept' })
      await holder.done({ do: 'close' })
      await scene.free({}, { a: 'kept', b: 'kept' })
    },
  },
  {
    name: 'the store of a killed holder is free again',
    async run(scene) {
      const holder = await scene.holder()
      await holder.kill()
      const took = await scene.free({ lockTimeoutMs: REGAINED_MS })
      assert.ok(took < REGAINED_MS, `only after ${took} ms`)
    },
  },
  {
    name: 'who waits gets the store of a killed holder',
    async run(scene) {
      const holder = await scene.holder()
      const waiter = await scene.start()
      waiter.order({ do: 'open', lockTimeoutMs: PATIENCE_MS })
      await new Promise((resolve) => setTimeout(resolve, 50))
      await holder.kill()
      const start = performance.now()
      const { error } = await waiter.heard()
      const took = performance.now() - start
      assert.equal(error, undefined)
      assert.ok(took < REGAINED_MS, `only after ${took} ms`)
      assert.equal(await waiter.done({ do: 'get', key: 'a' }), 'kept')
      await scene.refused(waiter.pid)
      await waiter.done({ do: 'close' })
      await scene.free()
    },
  },
  {
    name: 'who waits gets the store when the holder closes it',
    async run(scene) {
      const holder = await scene.holder()
      const waiting = scene.free({ lockTimeoutMs: PATIENCE_MS }, { a: 'kept', b: 'late' })
      await holder.done({ do: 'put', key: 'b', value: 'late' })
      await holder.done({ do: 'close' })
      await waiting
    },
  },
  {
    name: 'a stopped holder holds',
    async run(scene) {
      const holder = await scene.holder()
      holder.signal('SIGSTOP')
      await scene.refused(holder.pid)
      holder.signal('SIGCONT')
      await holder.done({ do: 'put', key: 'b', value: 'after' })
      await holder.done({ do: 'close' })
      await scene.free({}, { a: 'kept', b: 'after' })
    },
  },
  {
    name: 'the store of a stopped holder that is killed is free again',
    async run(scene) {
      const holder = await scene.holder()
      holder.signal('SIGSTOP')
      await scene.refused(holder.pid)
      await holder.kill()
      const took = await scene.free({ lockTimeoutMs: REGAINED_MS })
      assert.ok(took < REGAINED_MS, `only after ${took} ms`)
    },
  },
  {
    name: 'the store of a holder that ended without closing it is free again',
    async run(scene) {
      const holder = await scene.holder()
      holder.order({ do: 'exit' })
      await holder.ended()
      await scene.free()
    },
  },
  {
    name: 'a killed waiter leaves the holder alone',
    async run(scene) {
      const holder = await scene.holder()
      const waiter = await scene.start()
      waiter.order({ do: 'open', lockTimeoutMs: PATIENCE_MS })
      await new Promise((resolve) => setTimeout(resolve, 50))
      await waiter.kill()
      await scene.refused(holder.pid)
      await holder.done({ do: 'put', key: 'b', value: 'kept' })
      await holder.done({ do: 'close' })
      await scene.free({}, { a: 'kept', b: 'kept' })
    },
  },
  {
    name: 'of three that make the store at the same time one does',
    async run(scene) {
      await race(scene, await scene.startMany(3))
    },
  },
  {
    name: 'of three that open the store at the same time one does',
    async run(scene) {
      await (await scene.open()).close()
      await race(scene, await scene.startMany(3))
    },
  },
  {
    name: 'of three that recover the store of a killed process one does',
    async run(scene) {
      const holder = await scene.holder()
      const remotes = await scene.startMany(3)
      await holder.kill()
      await race(scene, remotes)
    },
  },
  {
    name: 'no two write at the same time: nothing that one counts is lost',
    async run(scene) {
      const times = 8
      const remotes = await scene.startMany(3)
      await Promise.all(remotes.map((remote) => remote.done({ do: 'count', times })))
      await scene.free({}, { n: String(times * remotes.length) })
    },
  },
  {
    name: 'a reader is refused while another process writes, but hears how the store was made',
    async run(scene) {
      const holder = await scene.holder()
      const reader = { readOnly: true }
      assert.equal((await rejects('LOCKED', () => scene.open(reader))).pid, holder.pid)
      assert.equal((await describe(scene.path)).engine, scene.subject.engine)
      await holder.kill()
      const db = await scene.open(reader)
      assert.equal(db.getSync('a'), 'kept')
      const { error } = await (await scene.start()).ask({ do: 'open' })
      assert.deepEqual([error?.code, error?.pid], ['LOCKED', process.pid])
      await db.close()
      await scene.free()
    },
  },
  {
    name: 'destroy and rekey leave alone what another process holds',
    async run(scene) {
      const holder = await scene.holder()
      assert.equal((await rejects('LOCKED', () => destroy(scene.path))).pid, holder.pid)
      const { encryption } = scene.subject.options as { encryption?: Encryption }
      if (encryption !== undefined) {
        const to: Encryption = { key: new Uint8Array(32).fill(1) }
        const rekeying = (): Promise<void> => rekey(scene.path, { encryption, to })
        assert.equal((await rejects('LOCKED', rekeying)).pid, holder.pid)
      }
      await holder.done({ do: 'put', key: 'b', value: 'kept' })
      await holder.done({ do: 'close' })
      await scene.free({}, { a: 'kept', b: 'kept' })
    },
  },
  {
    name: 'another process opens a backup while the store is written',
    async run(scene) {
      const db = await scene.open()
      for (let i = 0; i < 50; i++) db.putSync(`key${i}`, `${i}`, { durability: 'none' })
      const copying = db.backup(scene.copy)
      for (let i = 0; i < 50; i++) db.putSync(`key${i}`, 'later', { durability: 'none' })
      await copying
      const reader = await scene.start(scene.copy)
      await reader.done({ do: 'open' })
      const found = await reader.done({ do: 'get', key: 'key7' })
      assert.ok(found === '7' || found === 'later', JSON.stringify(found))
      await scene.refused(process.pid)
      await reader.done({ do: 'close' })
      await db.close()
    },
  },
  ...Object.entries(STALE).map(
    ([what, content]): ProcessCase => ({
      name: `a lock file that nobody holds does not matter: ${what}`,
      async run(scene) {
        const holder = await scene.holder()
        await holder.kill()
        writeFileSync(join(scene.path, LOCK_NAME), content)
        await scene.free()
        const next = await scene.start()
        await next.done({ do: 'open' })
        await scene.refused(next.pid)
      },
    }),
  ),
]

/** One of them gets the store and can write; the others hear who has it. */
async function race(scene: Scene, remotes: readonly Remote[]): Promise<void> {
  for (const remote of remotes) remote.order({ do: 'open' })
  const answers = await Promise.all(remotes.map((remote) => remote.heard()))
  const winners = remotes.filter((_, i) => answers[i]!.error === undefined)
  assert.equal(winners.length, 1, `${winners.length} have the store: ${JSON.stringify(answers)}`)
  const [winner] = winners as [Remote]
  for (const { error } of answers) {
    if (error !== undefined) assert.deepEqual([error.code, error.pid], ['LOCKED', winner.pid])
  }
  await winner.done({ do: 'put', key: 'a', value: 'kept' })
  await winner.done({ do: 'close' })
  await scene.free()
}

/** A portion in which this process lives in another environment. */
export async function runProcesses(
  { subject, seed }: Portion,
  environment: Environment = nodeEnvironment(),
): Promise<Tally> {
  const first = (seed - 1) * CASES_A_PORTION
  const chosen = Array.from(
    { length: CASES_A_PORTION },
    (_, i) => cases[(first + i) % cases.length]!,
  )
  const ended = await Promise.allSettled(
    chosen.map((one) => runCase(one, new Scene(subject, environment))),
  )
  for (const one of ended) if (one.status === 'rejected') throw one.reason as KvarkError
  return { done: chosen.length }
}

async function runCase(one: ProcessCase, scene: Scene): Promise<void> {
  try {
    await one.run(scene)
  } catch (cause) {
    throw withContext(one.name, cause)
  } finally {
    await scene.leave()
  }
}

export const twoProcesses: Row = {
  name: 'two-processes',
  what: 'processes that want the same store: holders that are killed or stopped, races, lock files left behind',
  unit: 'cases',
  rule: 'one holder at a time, the others LOCKED with its pid; free within 2 s of its death, nothing lost',
  goal: 40,
  run: (portion) => runProcesses(portion),
}
