/**
 * The power fails while lists, sets, sets of numbers and counters are changed: each change is there as a whole or not at all, in the order
 * in which they were made. (Queues, whose items are taken, too, are in `prove/queue-crashes.ts`.)
 *
 *   script │ step │ step │ step │ …        each step some changes of one collection, made at once; a model says what is there after each change
 *   disk   a prefix of the changes, at least up to the last that was promised
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import type { Environment } from '../environment/environment.ts'
import { counters } from '../store/collections/counters.ts'
import { intSets } from '../store/collections/int-sets.ts'
import { list } from '../store/collections/list.ts'
import { set } from '../store/collections/set.ts'
import { openSync } from '../store/open.ts'
import type { AtomicStore } from '../store/types.ts'
import { partOf } from './crash/seeds.ts'
import { exploreCrashes } from './explore.ts'

const STEPS = 24
const KEYS = ['a', 'b', 'c', 'd', 'e', 'f']
const RUNS = partOf(8, 0.25)
/** More than fit into one chunk, so that those are divided, and given up again. */
const MANY = 1500

/** A store with all of them. */
class World {
  readonly db: AtomicStore

  constructor(engine: 'btree' | 'log', environment: Environment) {
    const small = engine === 'btree' ? { pageBytes: 4096, checkpointBytes: 1024 } : {}
    this.db = openSync('/store', { engine, ...small, environment, cacheBytes: 2 ** 20 })
  }

  readonly recent = () => list(this.db, 'recent')
  readonly tags = () => set(this.db, 'tags')
  readonly ids = () => intSets(this.db, 'ids')
  readonly visits = () => counters(this.db, 'visits')

  async content(): Promise<Content> {
    const { db } = this
    const recent = [...this.recent().entriesSync()]
    const tags = [...this.tags().values()].sort()
    const ids = [...this.ids().valuesSync('x')]
    const visits = [...this.visits().entries()].sort(([a], [b]) => (a < b ? -1 : 1))
    assert.equal(await this.recent().count(), recent.length)
    assert.equal(await this.ids().count('x'), ids.length)
    for (const [key, value] of recent) assert.equal(await this.recent().get(key), value)
    assert.deepEqual((await db.verify()).problems, [])
    return { recent, tags, ids, visits }
  }
}

interface Content {
  readonly recent: readonly (readonly [string, string])[]
  readonly tags: readonly string[]
  readonly ids: readonly number[]
  readonly visits: readonly (readonly [string, number])[]
}

interface Change {
  readonly run: (world: World) => Promise<unknown>
  readonly after: (before: Content) => Content
}

/** Changes of one collection. */
type Step = readonly Change[]

/** What is made, step by step, and what is there after each change; the first is what there is before. */
function script(seed: number): { readonly steps: readonly Step[]; readonly states: Content[] } {
  const random = new SeededRandom(seed)
  const kinds = [listChange, setChange, numbersChange, counterChange]
  const steps = Array.from({ length: STEPS }, () => {
    const kind = kinds[random.below(kinds.length)]!
    return Array.from({ length: 1 + random.below(3) }, () => kind(random))
  })
  const states: Content[] = [{ recent: [], tags: [], ids: [], visits: [] }]
  for (const { after } of steps.flat()) states.push(after(states.at(-1)!))
  return { steps, states }
}

function listChange(random: SeededRandom): Change {
  const key = KEYS[random.below(KEYS.length)]!
  const without = ({ recent }: Content) => recent.filter(([other]) => other !== key)
  const own = ({ recent }: Content) => recent.filter(([other]) => other === key)
  const value = 'v'.repeat(random.below(3000))
  const changes: readonly Change[] = [
    {
      run: (world) => world.recent().set(key, value),
      after: (before) => {
        const pair = [key, value] as const
        const there = before.recent.map((one) => (one[0] === key ? pair : one))
        return { ...before, recent: own(before).length > 0 ? there : [...there, pair] }
      },
    },
    {
      run: (world) => world.recent().promote(key),
      after: (before) => ({ ...before, recent: [...without(before), ...own(before)] }),
    },
    {
      run: (world) => world.recent().demote(key),
      after: (before) => ({ ...before, recent: [...own(before), ...without(before)] }),
    },
    {
      run: (world) => world.recent().shift(),
      after: (before) => ({ ...before, recent: before.recent.slice(1) }),
    },
    {
      run: (world) => world.recent().delete(key),
      after: (before) => ({ ...before, recent: without(before) }),
    },
  ]
  return changes[Math.max(0, random.below(8) - 3)]!
}

function setChange(random: SeededRandom): Change {
  const tags = KEYS.filter(() => random.below(2) === 0)
  const [tag = 'a'] = tags
  return random.below(3) > 0
    ? {
        run: (world) => world.tags().addMany(tags),
        after: (before) => ({ ...before, tags: sorted([...before.tags, ...tags]) }),
      }
    : {
        run: (world) => world.tags().delete(tag),
        after: (before) => ({ ...before, tags: before.tags.filter((other) => other !== tag) }),
      }
}

function numbersChange(random: SeededRandom): Change {
  const first = random.below(3000)
  const numbers = Array.from({ length: random.below(2) * MANY + 1 }, (_, i) => first + 2 * i)
  const changes: readonly Change[] = [
    {
      run: (world) => world.ids().addMany('x', numbers),
      after: (before) => ({
        ...before,
        ids: sorted([...before.ids, ...numbers], (a, b) => a - b),
      }),
    },
    {
      run: (world) => world.ids().delete('x', first),
      after: (before) => ({ ...before, ids: before.ids.filter((other) => other !== first) }),
    },
    { run: (world) => world.ids().clear('x'), after: (before) => ({ ...before, ids: [] }) },
  ]
  return changes[Math.max(0, random.below(5) - 2)]!
}

function counterChange(random: SeededRandom): Change {
  const key = KEYS[random.below(2)]!
  const by = random.below(9) - 4
  const countOf = ({ visits }: Content) => visits.find(([other]) => other === key)?.[1] ?? 0
  const without = ({ visits }: Content) => visits.filter(([other]) => other !== key)
  return random.below(4) > 0
    ? {
        run: (world) => world.visits().add(key, by),
        after: (before) => {
          const visits = [...without(before), [key, countOf(before) + by] as const]
          return { ...before, visits: visits.sort(([a], [b]) => (a < b ? -1 : 1)) }
        },
      }
    : {
        run: (world) => world.visits().take(key),
        after: (before) => ({ ...before, visits: without(before) }),
      }
}

function sorted<T>(values: readonly T[], order?: (a: T, b: T) => number): T[] {
  return [...new Set(values)].sort(order)
}

for (const engine of ['btree', 'log'] as const) {
  test(`after a crash lists, sets, sets of numbers and counters are as they were after some change, ${engine}`, async () => {
    for (let seed = 1; seed <= RUNS; seed++) {
      const { steps, states } = script(seed)
      const { crashes, disks } = await exploreCrashes<number>({
        async program({ environment, promise }) {
          const world = new World(engine, environment)
          let made = 0
          for (const step of steps) {
            await Promise.all(step.map(({ run }) => run(world)))
            made += step.length
            promise(made)
          }
        },
        async check({ environment, promised }) {
          const world = new World(engine, environment)
          const content = await world.content()
          const least = promised.at(-1) ?? 0
          const possible = states.slice(least, least + 4)
          assert.ok(
            possible.some((state) => JSON.stringify(state) === JSON.stringify(content)),
            `${JSON.stringify(content).slice(0, 1000)} is not what was there after change ${least}, or soon after`,
          )
          // It goes on from there.
          await world.recent().set('last', '')
          assert.equal((await world.recent().at(-1))?.[0], 'last')
          world.db.closeSync()
        },
        seed,
        runs: 1,
        callsApart: 3,
      })
      assert.ok(crashes > 15 && disks > 15, `${crashes} crashes, ${disks} disks`)
    }
  })
}
