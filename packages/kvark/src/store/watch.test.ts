/** When changes are told: not before they are durable, not after a failure; and what is kept of them, for whom, for how long. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import { engines } from '../engines.ts'
import type { Environment } from '../environment/environment.ts'
import { Effect } from '../environment/routine.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { referenceModule } from '../testing/reference-engine.ts'
import type { FileHandle, Files } from '../vfs/files.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'
import type { Change, Watch } from './change-types.ts'
import { openWith } from './opening.ts'
import type { AtomicStore } from './types.ts'

const modules = { ...engines, reference: referenceModule }
const FLUSH_MS = 1000
const SEEDS = 4

type Words = AtomicStore<string, string>

async function openOn(engine: string, environment: Environment): Promise<Words> {
  const options = { engine, environment, expiryIntervalMs: 0 }
  return (await openWith(modules, '/store', options).async()) as unknown as Words
}

/** Files whose awaited syncs wait until `gate` is open. */
function gated(files: Files, gate: () => Promise<void>): Files {
  const wrap = (handle: FileHandle): FileHandle =>
    altered(handle, {
      sync: () => {
        const { sync, async } = handle.sync()
        return new Effect(sync, () => gate().then(async))
      },
    })
  return altered(files, {
    open: (...args) => {
      const { sync, async } = files.open(...args)
      return new Effect(
        () => wrap(sync()),
        async () => wrap(await async()),
      )
    },
  })
}

/** The object, with other members instead of some. */
function altered<T extends object>(object: T, members: Partial<T>): T {
  return new Proxy(object, {
    get(target, name: string & keyof T) {
      if (Object.hasOwn(members, name)) return members[name]
      const member: unknown = target[name]
      return typeof member === 'function' ? (member.bind(target) as unknown) : member
    },
  })
}

/** Everything that is told, as it is. */
function listen(watch: Watch<string, string>): Change<string, string>[] {
  const told: Change<string, string>[] = []
  const follow = async (): Promise<void> => {
    for await (const change of watch) told.push(change)
  }
  void follow()
  return told
}

/** Whatever can happen without time passing has happened. */
async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** What was told was acknowledged; and what was acknowledged behind `since` was told, or a gap was. */
function checkTold(
  told: readonly Change<string, string>[],
  since: number,
  acknowledged: ReadonlyMap<string, number>,
  where: string,
): void {
  const gaps = told.filter((change) => change.type === 'gap')
  const versions = new Set<number>()
  for (const change of told) {
    if (change.type !== 'put') continue
    assert.equal(acknowledged.get(change.key), change.version, `${where}: ${change.key}`)
    versions.add(change.version)
  }
  for (const version of acknowledged.values()) {
    const isInGap = gaps.some(({ from, to }) => from <= version && version <= to)
    assert.ok(version <= since || versions.has(version) || isInGap, `${where}: ${version}`)
  }
}

function keysOf(told: readonly Change<string, string>[]): string[] {
  return told.map((change) => (change.type === 'put' ? change.key : change.type))
}

for (const engine of Object.keys(modules)) {
  test(`${engine}: each write is told when it is as durable as it asked to be, and not before one that came earlier`, async () => {
    const environment = simulatedEnvironment({ seed: 1 })
    const db = await openOn(engine, environment)
    const told = listen(db.watch())
    db.putSync('none', '', { durability: 'none' })
    await settled()
    assert.deepEqual(keysOf(told), [])
    environment.advance(FLUSH_MS)
    await settled()
    assert.deepEqual(keysOf(told), ['none'])

    db.putSync('none 2', '', { durability: 'none' })
    await db.put('os', '', { durability: 'os' })
    await settled()
    assert.deepEqual(keysOf(told.splice(0)), ['none', 'none 2', 'os'])

    db.putSync('none 3', '', { durability: 'none' })
    await db.sync()
    await settled()
    assert.deepEqual(keysOf(told), ['none 3'])
    await db.close()
  })

  test(`${engine}: what was told to be on disk is there after a power cut at any moment`, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = new SeededRandom(seed)
      const files = new SimulatedFiles()
      const environment = simulatedEnvironment({ seed, files })
      const db = await openOn(engine, environment)
      const told = listen(db.watch())
      for (let i = random.below(60); i >= 0; i--) {
        const durability = random.pick(['none', 'os', 'disk'] as const)
        const put = db.put(`${durability} ${i}`, '', { durability })
        if (random.chance(0.2)) await put
        if (random.chance(0.1)) environment.advance(FLUSH_MS)
      }
      for (let i = random.below(12); i > 0; i--) await Promise.resolve()
      const disk = files.afterCrash({ mode: random.pick(['drop', 'subset']), random })
      const last = told.findLast(
        (change) => change.type === 'put' && change.key.startsWith('disk'),
      ) as { version: number } | undefined
      await db.close()
      const again = await openOn(engine, simulatedEnvironment({ seed, files: disk }))
      assert.ok(again.stats().sequence >= (last?.version ?? 0), `seed ${seed}`)
      await again.close()
    }
  })

  test(`${engine}: a write that fails is never told; a gap stands for it`, async () => {
    let failures = 0
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = new SeededRandom(seed)
      const files = new SimulatedFiles()
      files.failedSync = random.pick(['clean', 'dirty', 'reverted'])
      const db = await openOn(engine, simulatedEnvironment({ seed, files }))
      const listeners: { since: number; told: Change<string, string>[] }[] = []
      const acknowledged = new Map<string, number>()
      for (let round = 0; round < 12; round++) {
        const puts: Promise<void>[] = []
        for (let i = 1 + random.below(4); i > 0; i--) {
          if (listeners.length === 0 || random.chance(0.3)) {
            listeners.push({ since: db.stats().sequence, told: listen(db.watch()) })
          }
          const key = `${round}.${i}`
          const put = db.put(key, '').then((version) => void acknowledged.set(key, version))
          puts.push(put.catch(() => {}))
          if (random.chance(0.3)) await settled()
        }
        if (random.chance(0.4)) {
          files.failNext({ call: random.pick(['sync', 'write']), error: 'EIO' })
        }
        await Promise.all(puts)
        files.clearFaults()
        if (db.stats().readOnly === undefined) continue
        failures++
        await settled()
        await db.resume()
      }
      await settled()
      for (const { since, told } of listeners) checkTold(told, since, acknowledged, `seed ${seed}`)
      await db.close()
    }
    assert.ok(failures > 3)
  })

  test(`${engine}: what leaves before it is durable is a gap when it is`, async () => {
    const environment = simulatedEnvironment({ seed: 1 })
    const db = await openOn(engine, environment)
    const told = listen(db.watch({ bufferBytes: 2000 }))
    for (let i = 1; i <= 100; i++) db.putSync(`${i}`, '', { durability: 'none' })
    await settled()
    assert.equal(told.length, 0)
    environment.advance(FLUSH_MS)
    await settled()
    const [gap, ...rest] = told
    assert.ok(gap?.type === 'gap' && gap.from === 1 && gap.to === 100 - rest.length)
    assert.ok(rest.length > 5 && rest.length < 20)
    const late = await db.watch({ since: 50, bufferBytes: 2000 }).next()
    assert.deepEqual(late.value, { type: 'gap', from: 51, to: gap.to })
    await db.close()
  })

  test(`${engine}: when nobody watches any more, what is kept stays until there would be too much`, async () => {
    const environment = simulatedEnvironment({ seed: 1 })
    const db = await openOn(engine, environment)
    db.watch({ bufferBytes: 2000 }).close()
    const since = db.stats().sequence
    for (let i = 1; i <= 5; i++) await db.put(`${i}`, '')
    const soon = db.watch({ since, bufferBytes: 2000 })
    const told = listen(soon)
    await settled()
    assert.deepEqual(keysOf(told), ['1', '2', '3', '4', '5'])
    soon.close()
    for (let i = 1; i <= 100; i++) await db.put(`${i}`, '')
    const { sequence } = db.stats()
    const late = listen(db.watch({ since: soon.version }))
    await settled()
    assert.deepEqual(late, [{ type: 'gap', from: soon.version + 1, to: sequence }])
    await db.close()
  })
}

for (const engine of Object.keys(engines)) {
  test(`${engine}: what is flushed waits for what is to be synced before it, and so does the gap that stands for that`, async () => {
    let release = (): void => {}
    let gate = Promise.resolve()
    const simulated = simulatedEnvironment({ seed: 1 })
    const environment = { ...simulated, files: gated(simulated.files, () => gate) }
    const db = await openOn(engine, environment)
    const all = listen(db.watch({ bufferBytes: 100_000 }))
    gate = new Promise((resolve) => {
      release = resolve
    })
    const disk = db.put('disk', '')
    await db.put('os', '', { durability: 'os' })
    await settled()
    assert.equal(all.length, 0)
    release()
    await disk
    await settled()
    assert.deepEqual(keysOf(all), ['disk', 'os'])

    gate = new Promise((resolve) => {
      release = resolve
    })
    const few = listen(db.watch({ bufferBytes: 100_000 }))
    const puts = Array.from({ length: 1000 }, (_, i) => db.put(`${i}`, ''))
    await db.put('os', '', { durability: 'os' })
    await settled()
    assert.equal(few.length, 0)
    release()
    await Promise.all(puts)
    await settled()
    assert.equal(few[0]!.type, 'gap')
    assert.equal(keysOf(few).at(-1), 'os')
    await db.close()
  })
}

test('a table that was lost with the write that was to make it is told of when it is made', async () => {
  const files = new SimulatedFiles()
  files.failedSync = 'reverted'
  const db = await openOn('btree', simulatedEnvironment({ seed: 1, files }))
  await db.put('a', '')
  const table = db.table('t')
  const put = table.put('lost', '')
  const told = listen(table.watch())
  files.failNext({ call: 'sync', error: 'EIO' })
  await assert.rejects(put)
  await db.resume()
  assert.deepEqual(db.tables(), [])
  await db.table('other').put('k', '')
  await db.table('t').put('k', '')
  await settled()
  assert.deepEqual(keysOf(told), ['gap', 'k'])
  await db.close()
})

test('steps that are asked for at once come in the order of the changes; closing ends them', async () => {
  const db = await openOn('btree', simulatedEnvironment({ seed: 1 }))
  const watch = db.watch()
  const asked = [1, 2, 3, 4].map(() => watch.next())
  db.batchSync(['a', 'b', 'c'].map((key) => ({ type: 'put' as const, key, value: '' })))
  const steps = await Promise.all(asked.slice(0, 3))
  assert.deepEqual(keysOf(steps.map(({ value }) => value!)), ['a', 'b', 'c'])
  watch.close()
  assert.equal((await asked[3])!.done, true)
  await db.close()
})

test('a codec may write, and end the watch whose change it decodes', async () => {
  const db = await openOn('btree', simulatedEnvironment({ seed: 1 }))
  const during: (() => void)[] = []
  const values = {
    name: 'busy',
    encode: (value: string) => Buffer.from(value),
    decode: (bytes: Uint8Array) => {
      during.pop()?.()
      return Buffer.from(bytes).toString()
    },
  }
  const table = db.table('t', { values })
  const watch = table.watch()
  during.push(() => table.putSync('b', '2'))
  await table.put('a', '1')
  assert.deepEqual(keysOf([(await watch.next()).value!, (await watch.next()).value!]), ['a', 'b'])
  during.push(() => watch.close())
  await table.put('c', '3')
  assert.deepEqual(keysOf([(await watch.next()).value!]), ['c'])
  assert.equal((await watch.next()).done, true)
  await db.close()
})

test('many changes that wait let the event loop turn', async () => {
  let now = 0
  const environment = { ...simulatedEnvironment({ seed: 1 }), monotonic: () => now++ }
  const db = await openOn('btree', environment)
  const told = listen(db.watch())
  for (let i = 0; i < 500; i++) db.putSync(`${i}`, '', { durability: 'none' })
  await db.sync()
  await new Promise((resolve) => setImmediate(resolve))
  assert.ok(told.length < 500)
  await settled()
  assert.equal(told.length, 500)
  await db.close()
})
