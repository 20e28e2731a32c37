import assert from 'node:assert/strict'
import { channel } from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import {
  type Attributes,
  type BatchObservableCallback,
  createNoopMeter,
  type Meter,
  type Observable,
} from '@opentelemetry/api'
import { type AtomicStore, open } from 'kvark'
import { Counter, register as global, Registry } from 'prom-client'
import { openTelemetry } from './opentelemetry.ts'
import { prometheus } from './prometheus.ts'

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')

/** Something of every kind. */
async function work(db: AtomicStore): Promise<void> {
  await db.put('a', '1')
  await db.table('names').put('b', '2')
  await db.delete('a')
  await db.compact()
  channel('kvark:failure').publish({ engine: db.engine, path: db.path, error: { code: 'IO' } })
  channel('kvark:recovery').publish({
    engine: db.engine,
    path: db.path,
    phase: 'end',
    job: 0,
    durationMs: 70,
    bytes: 1000,
    error: new Error('no'),
  })
}

/** Lines of a page of Prometheus, without comments, by what stands before the number. */
function linesOf(page: string): Map<string, number> {
  const lines = page.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => [
      line.slice(0, line.lastIndexOf(' ')),
      Number(line.slice(line.lastIndexOf(' '))),
    ]),
  )
}

for (const engine of ['btree', 'log'] as const) {
  test(`Prometheus, ${engine}`, async () => {
    const register = new Registry()
    const db = (await open(':memory:', { engine, slowMs: 0 })) as AtomicStore
    const metrics = prometheus(db, { register, store: 's' })
    await work(db)
    const lines = linesOf(await register.metrics())
    const stats = db.stats()
    const of = (name: string, more = ''): number | undefined =>
      lines.get(`kvark_${name}{store="s",engine="${engine}"${more}}`)
    assert.equal(of('entries'), stats.entries)
    assert.equal(of('tables'), 1)
    assert.equal(of('disk_bytes'), stats.diskBytes)
    assert.equal(of('cache_hits_total'), stats.cacheHits)
    assert.equal(of('read_only'), 0)
    assert.equal(of('compaction_duration_seconds_count', ',outcome="ok"'), 1)
    assert.ok(of('checkpoint_duration_seconds_count', ',outcome="ok"')! > 0)
    assert.equal(of('recovery_duration_seconds_sum', ',outcome="error"'), 0.07)
    assert.equal(of('recovery_read_bytes_total'), 1000)
    assert.equal(of('failures_total', ',code="IO"'), 1)
    assert.equal(of('slow_call_duration_seconds_count', ',operation="put",table="names"'), 1)
    assert.equal(of('slow_call_duration_seconds_count', ',operation="put",table=""'), 1)

    // Another store, and asked once more: what is counted is not counted twice.
    const other = await open(':memory:', { engine })
    prometheus(other, { register, store: 'other' })
    const again = linesOf(await register.metrics())
    assert.equal(again.get(`kvark_cache_hits_total{store="s",engine="${engine}"}`), stats.cacheHits)
    assert.equal(again.get(`kvark_entries{store="other",engine="${engine}"}`), 0)
    metrics.stop()
    assert.ok(!(await register.metrics()).includes('kvark_entries{store="s"'))
    // Closed, it is gone; with the last store all metrics are.
    await other.close()
    await register.metrics()
    assert.equal(await register.metrics(), '\n')
    assert.equal(channel('kvark:failure').hasSubscribers, false)
    prometheus(db, { register, prefix: 'mine_' }).stop()
    await db.close()
  })

  test(`OpenTelemetry, ${engine}`, async () => {
    const meter = new RecordingMeter()
    const db = (await open(':memory:', { engine, slowMs: 0 })) as AtomicStore
    const metrics = openTelemetry(db, { meter: meter.meter, store: 's' })
    await work(db)
    meter.collect()
    const of = (name: string, more: Attributes = {}): number | undefined =>
      meter.values.get(keyOf(`kvark.${name}`, { store: 's', engine, ...more }))
    assert.equal(of('entries'), db.stats().entries)
    assert.equal(of('cache_hits'), db.stats().cacheHits)
    assert.ok(of('compaction.duration', { outcome: 'ok' })! >= 0)
    assert.equal(of('recovery.duration', { outcome: 'error' }), 0.07)
    assert.equal(of('recovery_read'), 1000)
    assert.equal(of('failures', { code: 'IO' }), 1)
    assert.ok(of('slow_call.duration', { operation: 'put', table: 'names' })! >= 0)
    assert.equal(meter.units.get('kvark.disk'), 'By')
    metrics.stop()
    meter.values.clear()
    meter.collect()
    await work(db)
    assert.deepEqual([...meter.values], [])
    await db.close()
  })
}

test('what is no store is refused before anything is registered', async () => {
  const register = new Registry()
  const meter = createNoopMeter()
  for (const none of [undefined, null, 1, 'db', {}, new Map()] as never[]) {
    assert.throws(() => prometheus(none, { register }), { code: 'INVALID_ARGUMENT' })
    assert.throws(() => openTelemetry(none, { meter }), { code: 'INVALID_ARGUMENT' })
  }
  assert.deepEqual(register.getMetricsAsArray(), [])
})

test('options that are none are refused before anything is registered', async () => {
  const db = await open(':memory:')
  const common: readonly unknown[] = [
    null,
    5,
    'users',
    { prefix: null },
    { prefix: 1 },
    { store: 1 },
  ]
  for (const none of [...common, { register: null }, { register: {} }]) {
    assert.throws(() => prometheus(db, none as never), { code: 'INVALID_ARGUMENT' })
  }
  for (const none of [...common, { meter: null }, { meter: {} }]) {
    assert.throws(() => openTelemetry(db, none as never), { code: 'INVALID_ARGUMENT' })
  }
  assert.deepEqual(global.getMetricsAsArray(), [])
  await db.close()
})

test('where somebody else has a name in the registry, nothing is registered', async () => {
  const register = new Registry()
  const db = await open(':memory:')
  const name = 'kvark_failures_total'
  const own = new Counter({ name, help: 'of somebody else', registers: [register] })
  assert.throws(() => prometheus(db, { register }), { code: 'INVALID_ARGUMENT', found: name })
  assert.deepEqual(register.getMetricsAsArray(), [own])
  prometheus(db, { register, prefix: 'db_' }).stop()
  assert.deepEqual(register.getMetricsAsArray(), [own])
  register.removeSingleMetric(name)
  prometheus(db, { register })
  assert.match(await register.metrics(), /^kvark_entries/m)
  await db.close()
})

test('the README names all metrics', async () => {
  const register = new Registry()
  const meter = new RecordingMeter()
  const db = await open(':memory:')
  prometheus(db, { register })
  openTelemetry(db, { meter: meter.meter })
  const prometheusNames = register.getMetricsAsArray().map(({ name }) => name)
  const table = [...readme.matchAll(/^\| `(kvark_\w+)` \| `(kvark\.[\w.]+)` \|/gm)]
  assert.deepEqual(new Set(table.map(([, name]) => name)), new Set(prometheusNames))
  assert.deepEqual(new Set(table.map(([, , name]) => name)), new Set(meter.units.keys()))
  await db.close()
  await register.metrics()
  meter.collect()
})

test('the first example of the README prints what it says', async () => {
  const [, program] = /^```js\n(.*?)^```$/ms.exec(readme)!
  const [, said] = /console\.log\(.*\) \/\/ (.*)$/m.exec(program!)!
  // The same program, in this process, with a store in memory.
  const source = program!
    .replace("'./data'", "':memory:'")
    .replace(/'(@kvark\/metrics\/\w+)'/, (_, name: string) =>
      JSON.stringify(import.meta.resolve(name)),
    )
  const printed: unknown[] = []
  const { log } = console
  console.log = (text: unknown) => void printed.push(text)
  try {
    const names = source.replace(
      /from '(kvark|prom-client)'/g,
      (_, name: string) => `from ${JSON.stringify(import.meta.resolve(name))}`,
    )
    await import(`data:text/javascript,${encodeURIComponent(names)}`)
  } finally {
    console.log = log
  }
  assert.deepEqual(printed, [said])
})

function keyOf(name: string, attributes: Attributes): string {
  return `${name} ${JSON.stringify(Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1)))}`
}

/** A meter that keeps the last value of everything. */
class RecordingMeter {
  readonly values = new Map<string, number>()
  readonly units = new Map<string, string | undefined>()
  readonly meter: Meter
  readonly #names = new Map<Observable, string>()
  readonly #callbacks = new Set<BatchObservableCallback>()

  constructor() {
    const keep =
      (name: string) =>
      (value: number, attributes: Attributes = {}) =>
        void this.values.set(keyOf(name, attributes), value)
    const observable = (name: string, options?: { unit?: string }): Observable => {
      const made = { addCallback() {}, removeCallback() {} }
      this.#names.set(made, name)
      this.units.set(name, options?.unit)
      return made
    }
    this.meter = {
      ...createNoopMeter(),
      createHistogram: (name, options) => {
        this.units.set(name, options?.unit)
        return { record: keep(name) }
      },
      createCounter: (name, options) => {
        this.units.set(name, options?.unit)
        return { add: keep(name) }
      },
      createObservableGauge: observable,
      createObservableCounter: observable,
      addBatchObservableCallback: (callback) => void this.#callbacks.add(callback),
      removeBatchObservableCallback: (callback) => void this.#callbacks.delete(callback),
    } as Meter
  }

  collect(): void {
    for (const callback of this.#callbacks) {
      void callback({
        observe: (one, value, attributes = {}) =>
          void this.values.set(keyOf(this.#names.get(one)!, attributes), value),
      })
    }
  }
}

test('a registry that was cleared gets metrics again; stop takes away only what it has added', async () => {
  const register = new Registry()
  const db = await open(':memory:')
  prometheus(db, { register })
  register.clear()
  const first = prometheus(db, { register, store: 'first' })
  assert.match(await register.metrics(), /kvark_entries\{store="first"/)
  const second = prometheus(db, { register, store: 'second' })
  first.stop()
  assert.match(await register.metrics(), /kvark_entries\{store="second"/)
  second.stop()
  assert.equal(await register.metrics(), '\n')
  await db.close()
})
