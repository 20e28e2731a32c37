/**
 * A use of a queue by a producer and four consumers, of which each may die with an item in its hand; and what must be there when the whole
 * has been interrupted.
 *
 *   producer ─► n, n + 1, … ─► queue ─► consumer ×4 ─► ack │ release │ nothing: the item comes again when its time is over
 *                 told before and after each push and each ack
 *
 * 1. What was pushed and survives is there, unless somebody had begun to acknowledge it.
 * 2. What was acknowledged, and that survives, never comes again; nothing comes that nobody has pushed, or twice.
 * 3. While nobody interrupts it, each item comes until somebody has acknowledged it.
 * 4. What is left comes in the order in which it was pushed, and the queue goes on with it.
 */

import assert from 'node:assert/strict'
import type { SeededRandom } from '../../bytes/random.ts'
import { type Queue, queue, type Taken } from '../../collections.ts'
import type { Durability } from '../../storage/durability.ts'
import type { CrashStore } from '../crash/subjects.ts'

const CONSUMERS = 4
/** In a row: by then the time of every item that somebody had in his hand is over many times. */
const MOST_WAITS = 2000
const DURABILITIES = ['none', 'os', 'disk', 'disk'] as const

/** What is known of an item before the interruption. What is told after a call is so only where it survives. */
export type Fact = readonly ['pushing' | 'pushed' | 'acking' | 'acked', item: number]

export interface QueueUse {
  readonly db: CrashStore
  readonly random: SeededRandom
  /** The items are `first` … `end` − 1. */
  readonly first: number
  readonly end: number
  readonly leaseMs: number
  readonly tell: (fact: Fact) => void
  /** Whether a write of this durability survives what is going to happen. */
  readonly survives: (durability: Durability) => boolean
  /** Lets time pass where there is nothing to take. */
  readonly wait: () => Promise<void>
}

/** Until all items are acknowledged; gives how often one was taken. */
export async function useQueue(use: QueueUse): Promise<number> {
  const acked = new Set<number>()
  const jobs = queueOf(use.db, use.leaseMs)
  const consumers = Array.from({ length: CONSUMERS }, () => consume(use, jobs, acked))
  const [, ...taken] = await Promise.all([produce(use, jobs), ...consumers])
  return taken.reduce((sum, one) => sum + one, 0)
}

async function produce(use: QueueUse, jobs: Queue<string>): Promise<void> {
  const { random, tell } = use
  const pushes: Promise<void>[] = []
  for (let item = use.first; item < use.end; item++) {
    const durability = random.pick(DURABILITIES)
    const text = `${item}`.padEnd(random.below(300), '.')
    tell(['pushing', item])
    const pushed = jobs.push(text, { durability }).then(() => {
      if (use.survives(durability)) tell(['pushed', item])
    })
    pushes.push(pushed)
    if (random.chance(0.4)) await Promise.all(pushes.splice(0))
    if (random.chance(0.03)) await use.db.compact()
  }
  await Promise.all(pushes)
}

async function consume(use: QueueUse, jobs: Queue<string>, acked: Set<number>): Promise<number> {
  const { random, tell } = use
  let deliveries = 0
  let waits = 0
  while (acked.size < use.end - use.first) {
    const taken = random.chance(0.2) ? jobs.takeSync() : await jobs.take()
    if (taken === undefined) {
      assert.ok(waits++ < MOST_WAITS, 'an item that nobody has acknowledged never comes')
      await use.wait()
      continue
    }
    waits = 0
    deliveries++
    const item = numberOf(taken)
    assert.ok(!acked.has(item), 'what was acknowledged does not come again')
    const chance = random.below(10)
    // This one dies; another takes its place.
    if (chance === 0) continue
    if (chance === 1) {
      taken.release()
      continue
    }
    const durability = random.pick(DURABILITIES)
    tell(['acking', item])
    const done = chance === 2 ? taken.ackSync({ durability }) : await taken.ack({ durability })
    // Where its time was over, somebody else may have done it.
    if (!done) continue
    acked.add(item)
    if (use.survives(durability)) tell(['acked', item])
  }
  return deliveries
}

/** Looks at what an interruption has left, acknowledges every other item of it, and adds one. Gives those that are there then. */
export async function checkLeft(
  db: CrashStore,
  facts: readonly Fact[],
  added: number,
): Promise<number[]> {
  const told = (what: Fact[0]): Set<number> =>
    new Set(facts.filter(([one]) => one === what).map(([, item]) => item))
  const jobs = queueOf(db)
  const left: Taken<string>[] = []
  for (let taken = await jobs.take(); taken !== undefined; taken = await jobs.take())
    left.push(taken)
  const items = left.map(numberOf)
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
  await jobs.push(`${added}`)
  for (let i = 0; i < left.length; i += 2) assert.equal(await left[i]!.ack(), true)
  return [...items.filter((_, i) => i % 2 === 1), added]
}

/** The queue has these items and no others, and the store is in order. */
export async function checkRest(db: CrashStore, items: readonly number[]): Promise<void> {
  const jobs = queueOf(db)
  for (const item of items) assert.equal(Number.parseInt((await jobs.pop()) ?? '', 10), item)
  assert.deepEqual([await jobs.pop(), await jobs.count()], [undefined, 0])
  assert.deepEqual((await db.verify()).problems, [])
}

function queueOf(db: CrashStore, leaseMs?: number): Queue<string> {
  return queue(db, 'jobs', leaseMs === undefined ? {} : { leaseMs })
}

function numberOf({ value }: Taken<string>): number {
  return Number.parseInt(value, 10)
}
