/**
 * Metrics of stores for `prom-client`. All stores of one registry and prefix have the same metrics, told apart by the label `store`.
 */

import { type JobEnd, KvarkError, type SlowEvent } from 'kvark'
import { Counter, Gauge, register as global, Histogram, Registry } from 'prom-client'
import { FAILURES, JOBS, type Measure, NUMBERS, SECONDS, SLOW } from './instruments.ts'
import { checkOptions, checkStore, type Observed, type Sink, Stores } from './stores.ts'

export interface PrometheusOptions {
  /** Where the metrics go; default: the global registry of `prom-client`. */
  readonly register?: Registry
  /** What all names begin with; default `kvark_`. */
  readonly prefix?: string
  /** Value of the label `store`; default: the store's path. */
  readonly store?: string
  /** Upper bounds of the buckets of durations, seconds. */
  readonly buckets?: readonly number[]
}

/** Takes the metrics of a store away again. Closing the store does so, too, with the next time that the metrics are asked for. */
export interface Metrics {
  stop(): void
}

const known = new WeakMap<Registry, Map<string, Stores>>()

/**
 * Adds the metrics of a store to a registry of `prom-client`: its numbers, as `stats()` tells them each time the metrics are asked for, and
 * times and counts of what goes on in it from now on.
 *
 * @example
 * const metrics = prometheus(db, { store: 'users' })
 * createServer(async (request, response) => response.end(await register.metrics())).listen(9464)
 */
export function prometheus(db: Observed, options: PrometheusOptions = {}): Metrics {
  checkStore(db)
  checkOptions(options, 'register', 'getSingleMetric')
  const { register = global, prefix = 'kvark_', store, buckets = SECONDS } = options
  let prefixes = known.get(register)
  if (prefixes === undefined) known.set(register, (prefixes = new Map()))
  // Who clears the registry takes the metrics away, too.
  if (register.getSingleMetric(prefix + ANY) === undefined) prefixes.get(prefix)?.clear()
  let stores = prefixes.get(prefix)
  if (stores === undefined) {
    stores = makeMetrics(register, prefix, buckets, () => prefixes.delete(prefix))
    prefixes.set(prefix, stores)
  }
  return { stop: stores.add(db, store) }
}

/** One of the metrics. */
const ANY = nameOf(NUMBERS[0]!)

const LABELS = ['store', 'engine'] as const

function makeMetrics(
  register: Registry,
  prefix: string,
  buckets: readonly number[],
  empty: () => void,
): Stores {
  // On their own first: all of them get into the registry, or none.
  const made = new Registry()
  const registers = [made]
  const names: string[] = []
  const named = (name: string): string => {
    names.push(prefix + name)
    return prefix + name
  }
  const histogram = <L extends string>(name: string, help: string, more: readonly L[]) =>
    new Histogram({
      name: named(`${name}_duration_seconds`),
      help: `${help}, seconds`,
      labelNames: [...LABELS, ...more],
      buckets: [...buckets],
      registers,
    })
  const counter = <L extends string>(name: string, help: string, more: readonly L[]) =>
    new Counter({ name: named(name), help, labelNames: [...LABELS, ...more], registers })

  const jobs = new Map(
    JOBS.map(({ channel, name, help, bytes }) => [
      channel,
      {
        seconds: histogram(name, help, ['outcome']),
        bytes: counter(`${bytes.name}_bytes_total`, bytes.help, []),
      },
    ]),
  )
  const failures = counter(`${FAILURES.name}_total`, FAILURES.help, ['code'])
  const slow = histogram(SLOW.name, SLOW.help, ['operation', 'table'])
  const sink: Sink = {
    job({ channel }, event, labels) {
      const { seconds, bytes } = jobs.get(channel)!
      seconds.observe({ ...labels, outcome: outcomeOf(event) }, event.durationMs / 1000)
      bytes.inc({ ...labels }, Math.max(0, event.bytes))
    },
    failure: ({ error }, labels) => failures.inc({ ...labels, code: error.code }),
    slow(event, labels) {
      slow.observe({ ...labels, ...callOf(event) }, event.durationMs / 1000)
    },
  }
  const stores = new Stores(sink, () => {
    for (const name of names) register.removeSingleMetric(name)
    empty()
  })
  for (const number of NUMBERS) addNumber(stores, number, named(nameOf(number)), registers)
  const taken = names.find((name) => register.getSingleMetric(name) !== undefined)
  if (taken !== undefined) {
    throw new KvarkError(
      'INVALID_ARGUMENT',
      `The registry has a metric ${taken} of somebody else. Give another 'prefix'.`,
      { found: taken },
    )
  }
  for (const name of names) register.registerMetric(made.getSingleMetric(name)!)
  return stores
}

/** A metric that is asked of the stores when somebody asks for it. */
function addNumber(
  stores: Stores,
  { kind, help, of }: Measure,
  name: string,
  registers: Registry[],
): void {
  const common = { name, help, labelNames: LABELS, registers }
  if (kind === 'gauge') {
    new Gauge({
      ...common,
      collect() {
        this.reset()
        for (const [stats, labels] of stores.stats()) this.set({ ...labels }, of(stats))
      },
    })
    return
  }
  new Counter({
    ...common,
    collect() {
      this.reset()
      for (const [stats, labels] of stores.stats()) this.inc({ ...labels }, of(stats))
    },
  })
}

function nameOf({ name, kind, unit }: Measure): string {
  const measured = unit === undefined ? name : `${name}_${unit}`
  return kind === 'counter' ? `${measured}_total` : measured
}

function outcomeOf({ error }: JobEnd): string {
  return error === undefined ? 'ok' : 'error'
}

function callOf({ operation, table }: SlowEvent): { operation: string; table: string } {
  return { operation, table: table ?? '' }
}
