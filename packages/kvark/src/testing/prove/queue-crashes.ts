/**
 * Row: a queue with four consumers, of which each may die with an item in its hand, while the power fails at any call.
 *
 *   producer ─► 0, 1, 2, … ─► queue ─► consumer ×4 ─► ack │ release │ nothing: the item comes again when its time is over
 *                 told before and after each push and each ack
 *
 * 1. What was pushed at `disk` is there, unless somebody had begun to acknowledge it.
 * 2. What was acknowledged at `disk` never comes again, and nothing comes that nobody has pushed, or twice.
 * 3. What is left comes in the order in which it was pushed, and the queue goes on with it.
 */

import assert from 'node:assert/strict'
import type { SeededRandom } from '../../bytes/random.ts'
import { type Queue, queue, type Taken } from '../../collections.ts'
import type { EngineModule } from '../../engine/engine.ts'
import { engines } from '../../engines.ts'
import type { Environment } from '../../environment/environment.ts'
import type { SimulatedEnvironment } from '../../environment/simulated.ts'
import { type CrashStore, openSubject } from '../crash/subjects.ts'
import { exploreCrashes } from '../explore.ts'
import type { Portion, Row, Tally } from './row.ts'

const FOLDER = '/store'
const ITEMS = 40
const CONSUMERS = 4
const LEASE_MS = 1000
/** The power fails before one of so many calls. */
const CALLS_APART = 10
const DURABILITIES = ['none', 'os', 'disk', 'disk'] as const

/** What is known of an item before the power fails. */
type Fact = readonly ['pushing' | 'pushed' | 'acking' | 'acked', item: number]

export const queueCrashes: Row = {
  name: 'queue-crashes',
  what: 'a queue with four consumers that die, power loss at any call',
  unit: 'disks',
  rule: 'no item lost, none twice, none that was durably acknowledged comes again',
  goal: 5000,
  run: (portion) => runQueue(portion, engines),
}

export async function runQueue(
  { subject, seed }: Portion,
  modules: Readonly<Record<string, EngineModule>>,
): Promise<Tally> {
  let deliveries = 0
  const openOn = async (environment: Environment): Promise<CrashStore> =>
    await openSubject(subject, FOLDER, environment, modules).async()
  const { disks, crashes } = await exploreCrashes<Fact>({
    seed,
    runs: 1,
    callsApart: CALLS_APART,
    async program({ environment, promise, random }) {
      const db = await openOn(environment)
      const use = new Use(db, environment as SimulatedEnvironment, promise, random)
      await use.run()
      deliveries += use.deliveries
    },
    async check({ environment, promised }) {
      const db = await openOn(environment)
      const rest = await checkLeft(db, promised)
      await db.close()
      const again = await openOn(environment)
      await checkRest(again, rest)
      await again.close()
    },
  })
  return { done: disks, more: { crashes, deliveries } }
}

function queueOf(db: CrashStore): Queue<string> {
  return queue(db, 'jobs', { leaseMs: LEASE_MS })
}

/** One use of a queue, until all of it is acknowledged. */
class Use {
  deliveries = 0
  readonly #db: CrashStore
  readonly #jobs: Queue<string>
  readonly #environment: SimulatedEnvironment
  readonly #promise: (fact: Fact) => void
  readonly #random: SeededRandom
  readonly #acked = new Set<number>()
  #pushed = 0

  constructor(
    db: CrashStore,
    environment: SimulatedEnvironment,
    promise: (fact: Fact) => void,
    random: SeededRandom,
  ) {
    this.#db = db
    this.#jobs = queueOf(db)
    this.#environment = environment
    this.#promise = promise
    this.#random = random
  }

  async run(): Promise<void> {
    await Promise.all([
      this.#produce(),
      ...Array.from({ length: CONSUMERS }, () => this.#consume()),
    ])
  }

  async #produce(): Promise<void> {
    const random = this.#random
    const pushes: Promise<void>[] = []
    while (this.#pushed < ITEMS) {
      const item = this.#pushed++
      const durability = random.pick(DURABILITIES)
      const text = `${item}`.padEnd(random.below(300), '.')
      this.#promise(['pushing', item])
      const pushed = this.#jobs.push(text, { durability }).then(() => {
        if (durability === 'disk') this.#promise(['pushed', item])
      })
      pushes.push(pushed)
      if (random.chance(0.4)) await Promise.all(pushes)
      if (random.chance(0.03)) await this.#db.compact()
    }
    await Promise.all(pushes)
  }

  async #consume(): Promise<void> {
    const random = this.#random
    while (this.#acked.size < ITEMS) {
      const taken = random.chance(0.2) ? this.#jobs.takeSync() : await this.#jobs.take()
      if (taken === undefined) {
        this.#environment.advance(100)
        await this.#environment.pause.async()
        continue
      }
      this.deliveries++
      const item = Number.parseInt(taken.value, 10)
      assert.ok(!this.#acked.has(item), 'what was acknowledged does not come again')
      const chance = random.below(10)
      // This one dies; another takes its place.
      if (chance === 0) continue
      if (chance === 1) {
        taken.release()
        continue
      }
      const durability = random.pick(DURABILITIES)
      this.#promise(['acking', item])
      if (chance === 2) assert.equal(taken.ackSync({ durability }), true)
      else assert.equal(await taken.ack({ durability }), true)
      this.#acked.add(item)
      if (durability === 'disk') this.#promise(['acked', item])
    }
  }
}

/** Looks at what a crash has left, and acknowledges every other item of it. */
async function checkLeft(db: CrashStore, facts: readonly Fact[]): Promise<number[]> {
  const told = (what: Fact[0]): Set<number> =>
    new Set(facts.filter(([one]) => one === what).map(([, item]) => item))
  const jobs = queueOf(db)
  const left: Taken<string>[] = []
  for (let taken = await jobs.take(); taken !== undefined; taken = await jobs.take())
    left.push(taken)
  const items = left.map(({ value }) => Number.parseInt(value, 10))
  assert.equal(await jobs.count(), items.length, 'all that is counted comes')
  const pushing = told('pushing')
  const acked = told('acked')
  for (const [i, item] of items.entries()) {
    assert.ok(pushing.has(item), `${item} comes, and nobody has pushed it`)
    assert.ok(!acked.has(item), `${item} comes again, and was acknowledged`)
    assert.ok(i === 0 || item > items[i - 1]!, `${item} comes behind ${items[i - 1]}`)
  }
  const acking = told('acking')
  for (const item of told('pushed')) {
    assert.ok(items.includes(item) || acking.has(item), `${item} is lost`)
  }
  await jobs.push(`${ITEMS}`)
  for (let i = 0; i < left.length; i += 2) assert.equal(await left[i]!.ack(), true)
  return [...items.filter((_, i) => i % 2 === 1), ITEMS]
}

/** The queue has these items and no others, and the store is in order. */
async function checkRest(db: CrashStore, items: readonly number[]): Promise<void> {
  const jobs = queueOf(db)
  for (const item of items) assert.equal(Number.parseInt((await jobs.pop()) ?? '', 10), item)
  assert.deepEqual([await jobs.pop(), await jobs.count()], [undefined, 0])
  assert.deepEqual((await db.verify()).problems, [])
}
