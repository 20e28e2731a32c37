/**
 * Metrics of stores for OpenTelemetry, by its API alone: which SDK takes them, and where they go, is the program's.
 */

import {
  type Attributes,
  type BatchObservableCallback,
  metrics as global,
  type Meter,
  type Observable,
} from '@opentelemetry/api'
import { FAILURES, JOBS, type Measure, NUMBERS, SECONDS, SLOW } from './instruments.ts'
import { checkOptions, checkStore, type Observed, type Sink, Stores } from './stores.ts'

export interface OpenTelemetryOptions {
  /** Where the metrics go; default: the meter `kvark` of the global provider. */
  readonly meter?: Meter
  /** What all names begin with; default `kvark.`. */
  readonly prefix?: string
  /** Value of the attribute `store`; default: the store's path. */
  readonly store?: string
}

/** Takes the metrics of a store away again. Closing the store does so, too, with the next time that the metrics are asked for. */
export interface Metrics {
  stop(): void
}

const known = new WeakMap<Meter, Map<string, Stores>>()

/**
 * Adds the metrics of a store to a meter of OpenTelemetry: its numbers, as `stats()` tells them each time the metrics are asked for, and
 * times and counts of what goes on in it from now on.
 *
 * @example
 * const metrics = openTelemetry(db, { store: 'users' })
 */
export function openTelemetry(db: Observed, options: OpenTelemetryOptions = {}): Metrics {
  checkStore(db)
  checkOptions(options, 'meter', 'createHistogram')
  const { meter = global.getMeter('kvark'), prefix = 'kvark.', store } = options
  let prefixes = known.get(meter)
  if (prefixes === undefined) known.set(meter, (prefixes = new Map()))
  let stores = prefixes.get(prefix)
  if (stores === undefined) {
    stores = makeMetrics(meter, prefix, () => prefixes.delete(prefix))
    prefixes.set(prefix, stores)
  }
  return { stop: stores.add(db, store) }
}

function makeMetrics(meter: Meter, prefix: string, empty: () => void): Stores {
  const advice = { explicitBucketBoundaries: [...SECONDS] }
  const histogram = (name: string, description: string) =>
    meter.createHistogram(`${prefix}${name}.duration`, { description, unit: 's', advice })
  const counter = (name: string, description: string, unit?: string) =>
    meter.createCounter(prefix + name, { description, ...(unit === undefined ? {} : { unit }) })

  const jobs = new Map(
    JOBS.map(({ channel, name, help, bytes }) => [
      channel,
      { seconds: histogram(name, help), bytes: counter(bytes.name, bytes.help, 'By') },
    ]),
  )
  const failures = counter(FAILURES.name, FAILURES.help)
  const slow = histogram(SLOW.name, SLOW.help)
  const sink: Sink = {
    job({ channel }, { error, durationMs, bytes }, labels) {
      const made = jobs.get(channel)!
      const outcome = error === undefined ? 'ok' : 'error'
      made.seconds.record(durationMs / 1000, { ...labels, outcome })
      made.bytes.add(Math.max(0, bytes), { ...labels })
    },
    failure: ({ error }, labels) => failures.add(1, { ...labels, code: error.code }),
    slow({ operation, table, durationMs }, labels) {
      slow.record(durationMs / 1000, { ...labels, operation, table: table ?? '' })
    },
  }

  const numbers = NUMBERS.map((number) => ({ number, made: makeNumber(meter, prefix, number) }))
  const observables = numbers.map(({ made }) => made)
  const collect: BatchObservableCallback = (result) => {
    for (const [stats, labels] of stores.stats()) {
      const attributes: Attributes = { ...labels }
      for (const { number, made } of numbers) result.observe(made, number.of(stats), attributes)
    }
  }
  const stores = new Stores(sink, () => {
    meter.removeBatchObservableCallback(collect, observables)
    empty()
  })
  meter.addBatchObservableCallback(collect, observables)
  return stores
}

function makeNumber(meter: Meter, prefix: string, { name, kind, unit, help }: Measure): Observable {
  const options = {
    description: help,
    ...(unit === undefined ? {} : { unit: unit === 'bytes' ? 'By' : 's' }),
  }
  if (kind === 'counter') return meter.createObservableCounter(prefix + name, options)
  return meter.createObservableGauge(prefix + name, options)
}
