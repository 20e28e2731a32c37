// What a store says on the channels of `node:diagnostics_channel`, and what it says only when it is asked to.

import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { test } from 'node:test'
import type { Events, JobEnd, JobEvent } from '../engine/events.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { openSync } from '../store/open.ts'
import type { AtomicStore } from '../store/types.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'
import { rejects, throws } from './contract/check.ts'

const ENGINES = ['btree', 'log'] as const

/** What is said on a channel while `act` runs. */
async function heard<Name extends keyof Events>(
  name: Name,
  act: () => unknown,
): Promise<Events[Name][]> {
  const events: Events[Name][] = []
  const listen = (message: unknown): void => void events.push(message as Events[Name])
  subscribe(name, listen)
  try {
    await act()
  } finally {
    unsubscribe(name, listen)
  }
  return events
}

/** The ends among them, after a look at whether each has its start before it. */
function endsOf(events: readonly JobEvent[], engine: string): JobEnd[] {
  const open = new Set<number>()
  for (const event of events) {
    assert.deepEqual([event.engine, event.path], [engine, '/store'])
    if (event.phase === 'start') open.add(event.job)
    else assert.ok(open.delete(event.job), 'it has begun')
  }
  assert.equal(open.size, 0, 'all have ended')
  const ends = events.filter((event) => event.phase === 'end')
  for (const { durationMs } of ends) assert.ok(durationMs >= 0)
  return ends
}

for (const engine of ENGINES) {
  const openOn = (files: SimulatedFiles, options: object = {}): AtomicStore =>
    openSync('/store', {
      engine,
      environment: simulatedEnvironment({ seed: 1, files }),
      durability: 'none',
      ...options,
    })

  test(`recovery, checkpoints and compaction are told of, ${engine}`, async () => {
    const files = new SimulatedFiles()
    let db = openOn(files)
    for (let i = 0; i < 3000; i++) db.putSync(`key${i}`, 'x'.repeat(1000))
    db.syncSync()
    const { journalBytes } = db.stats()
    assert.ok(journalBytes > 3_000_000)
    const after = files.afterCrash()
    db.closeSync()
    const recoveries = await heard('kvark:recovery', () => {
      db = openOn(after)
    })
    const [recovery, ...more] = endsOf(recoveries, engine)
    assert.ok(recovery!.bytes > 3_000_000 && recovery!.bytes <= journalBytes + 2 ** 16)
    assert.deepEqual([more, recovery!.error], [[], undefined])
    for (let i = 0; i < 2500; i++) db.deleteSync(`key${i}`)
    const before = db.stats()
    let checkpoints: JobEvent[] = []
    const compactions = await heard('kvark:compaction', async () => {
      checkpoints = await heard('kvark:checkpoint', () => db.compact())
    })
    const written = endsOf(checkpoints, engine)
    assert.ok(written.some(({ bytes }) => bytes > 0))
    const [compaction] = endsOf(compactions, engine)
    assert.ok(engine === 'btree' || compaction!.bytes > 2_000_000)
    const stats = db.stats()
    assert.equal(stats.checkpoints - before.checkpoints, written.length)
    assert.equal(stats.compactions - before.compactions, compactions.length / 2)
    assert.ok(stats.journalBytes < 2 ** 16)
    // What does not come to its end says so.
    for (let i = 2500; i < 3000; i += 2) db.deleteSync(`key${i}`)
    const reason = new Error('enough')
    const controller = new AbortController()
    const progress = (): void => controller.abort(reason)
    const stopped = await heard('kvark:compaction', () =>
      assert.rejects(db.compact({ signal: controller.signal, progress }), reason),
    )
    assert.equal(endsOf(stopped, engine)[0]!.error, reason)
    db.closeSync()
  })

  test(`a store that takes no more writes says so, ${engine}`, async () => {
    const files = new SimulatedFiles()
    const db = openOn(files)
    db.putSync('key', 'value')
    const failures = await heard('kvark:failure', async () => {
      files.failNext({ call: 'sync', error: 'EIO' })
      await rejects('IO', () => db.put('other', 'value', { durability: 'disk' }))
      await rejects('READ_ONLY', () => db.put('third', 'value'))
    })
    assert.deepEqual(
      failures.map((event) => [event.engine, event.path, event.error.code]),
      [[engine, '/store', 'IO']],
    )
    files.clearFaults()
    assert.equal(endsOf(await heard('kvark:recovery', () => db.resume()), engine).length, 1)
    db.closeSync()
  })

  test(`calls that take long are told of where that is asked for, ${engine}`, async () => {
    const db = openOn(new SimulatedFiles(), { slowMs: 0 })
    const table = db.table('table')
    const told = await heard('kvark:slow', async () => {
      await db.put('key', 'value')
      db.setSync('key', 'value')
      await table.get('key')
      table.hasSync('key')
      throws('CONFLICT', () => db.putSync('key', 'value', { ifAbsent: true }))
      await rejects('INVALID_KEY', () => db.get(1 as never))
    })
    assert.deepEqual(
      told.map(({ operation, table, error }) => [
        operation,
        table,
        (error as { code?: string } | undefined)?.code,
      ]),
      [
        ['put', undefined, undefined],
        ['putSync', undefined, undefined],
        ['get', 'table', undefined],
        ['hasSync', 'table', undefined],
        ['putSync', undefined, 'CONFLICT'],
        ['get', undefined, 'INVALID_KEY'],
      ],
    )
    assert.deepEqual(told[0], {
      engine,
      path: '/store',
      operation: 'put',
      table: undefined,
      durationMs: told[0]!.durationMs,
      error: undefined,
    })
    db.closeSync()

    const patient = openOn(new SimulatedFiles(), { slowMs: 3_600_000 })
    assert.deepEqual(await heard('kvark:slow', () => patient.put('key', 'value')), [])
    patient.closeSync()
    const plain = openOn(new SimulatedFiles())
    assert.deepEqual(await heard('kvark:slow', () => plain.put('key', 'value')), [])
    // Nothing stands before the verbs of the class.
    assert.equal(Object.hasOwn(plain, 'get'), false)
    plain.closeSync()
    for (const slowMs of [-1, Number.NaN, Number.POSITIVE_INFINITY, '1', null]) {
      throws('INVALID_ARGUMENT', () => openOn(new SimulatedFiles(), { slowMs }))
    }
  })
}

test('a store in memory is called as it was opened', async () => {
  const [end] = (await heard('kvark:recovery', () => openSync(':memory:').closeSync())).slice(1)
  assert.equal(end?.path, ':memory:')
})
