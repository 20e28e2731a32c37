import assert from 'node:assert/strict'
import { test } from 'node:test'
import { open } from '../store/open.ts'
import { exploreCrashes, exploreFaults, type ProgramContext } from './explore.ts'

type Order = { readonly id: number; readonly total: string }

const store = (environment: ProgramContext<Order>['environment']) =>
  open('/orders', { engine: 'log', environment })

/** Ten orders, each with a batch of its own; `durability` is what the program believes to be enough. */
const program =
  (durability: 'os' | 'disk') =>
  async ({ environment, promise, random }: ProgramContext<Order>): Promise<void> => {
    const db = await store(environment)
    for (let id = 1; id <= 10; id++) {
      const total = String(random.below(1000))
      const puts = [
        { type: 'put', key: `order ${id}`, value: total },
        { type: 'put', key: 'last', value: String(id) },
      ] as const
      await db.batch(puts, { durability })
      promise({ id, total })
    }
  }

const check = async ({
  environment,
  promised,
}: {
  environment: ProgramContext<Order>['environment']
  promised: readonly Order[]
}): Promise<void> => {
  const db = await store(environment)
  for (const { id, total } of promised) assert.equal(await db.get(`order ${id}`), total)
  const last = Number((await db.get('last')) ?? 0)
  assert.ok(last >= promised.length)
  assert.equal(await db.has(`order ${last}`), last > 0)
  await db.close()
}

test('a program that waits for the disk survives every crash', async () => {
  const report = await exploreCrashes({ program: program('disk'), check, runs: 3 })
  assert.ok(report.crashes > 30, String(report.crashes))
  assert.ok(report.disks > 40, String(report.disks))
  assert.deepEqual(await exploreCrashes({ program: program('disk'), check, runs: 3 }), report)
})

test('one that does not is found out, with the seed that shows it', async () => {
  await assert.rejects(
    exploreCrashes({ program: program('os'), check, seed: 5 }),
    /^Error: seed 5: the power failed before \w+ \/orders\S* \(call \d+\), mode \w+: /,
  )
})

test('no failing call makes it break a promise', async () => {
  const { faults } = await exploreFaults({ program: program('disk'), check, errors: ['EIO'] })
  assert.ok(faults > 50, String(faults))
})

test('a promise that is broken by a failing call is found out', async () => {
  const careless = async (context: ProgramContext<Order>): Promise<void> => {
    const db = await store(context.environment)
    await db.put('order 1', '7', { durability: 'disk' }).catch(() => {})
    context.promise({ id: 1, total: '7' })
  }
  await assert.rejects(
    exploreFaults({ program: careless, check }),
    /^Error: call \d+ failed with EIO/,
  )
})

test('a program that fails by itself is told apart', async () => {
  const broken = (): void => {
    throw new Error('broken')
  }
  await assert.rejects(
    exploreCrashes({ program: broken, check }),
    /the program failed by itself: broken/,
  )
  await assert.rejects(
    exploreFaults({ program: broken, check }),
    /the program failed by itself: broken/,
  )
})
