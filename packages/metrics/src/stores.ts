/**
 * The stores that one set of metrics is about: whose numbers are asked for, and whose messages are passed on.
 *
 *   add ─► first one: listens to the channels ─► … ─► remove, or the store is closed ─► last one: listens no more
 */

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import {
  type Events,
  type FailureEvent,
  type JobEnd,
  KvarkError,
  type SlowEvent,
  type Stats,
  type StoreEvent,
  type StoreLife,
} from 'kvark'
import { JOBS, type JobInstrument } from './instruments.ts'

/** What is asked of a store. */
export type Observed = Pick<StoreLife, 'path' | 'engine' | 'stats'>

/** Before anything is registered: what is no store would fail each time that the metrics are asked for, those of the others with it. */
export function checkStore(db: unknown): void {
  if (typeof (db as Partial<Observed> | null | undefined)?.stats === 'function') return
  throw new KvarkError('INVALID_ARGUMENT', 'Metrics are those of a store that open() has given.')
}

/** Likewise of the options: `place` is the one that says where the metrics go, and what it can do. */
export function checkOptions(options: unknown, place: string, method: string): void {
  const given = Object(options) as Record<string, unknown>
  if (given !== options) throw wrongOption('The options of metrics are an object.')
  const target = given[place]
  const able = Object(target) as Record<string, unknown>
  if (target !== undefined && typeof able[method] !== 'function') {
    throw wrongOption(`The option '${place}' is none: it has no ${method}().`)
  }
  for (const name of ['prefix', 'store']) {
    if (given[name] === undefined || typeof given[name] === 'string') continue
    throw wrongOption(`The option '${name}' must be a string.`)
  }
}

function wrongOption(message: string): KvarkError {
  return new KvarkError('INVALID_ARGUMENT', message)
}

/** What all metrics of a store are labelled with. */
export interface Labels {
  readonly store: string
  readonly engine: string
}

/** Where messages go. */
export interface Sink {
  job(instrument: JobInstrument, event: JobEnd, labels: Labels): void
  failure(event: FailureEvent, labels: Labels): void
  slow(event: SlowEvent, labels: Labels): void
}

type Listener = readonly [name: keyof Events, listen: (message: unknown) => void]

export class Stores {
  readonly #labels = new Map<Observed, Labels>()
  readonly #listeners: readonly Listener[]
  /** Called when there is no store any more. */
  readonly #empty: () => void

  constructor(sink: Sink, empty: () => void) {
    this.#empty = empty
    const jobs = JOBS.map(
      (job): Listener => [
        job.channel,
        (message) => {
          const event = message as Events[JobInstrument['channel']]
          const labels = this.#labelsOf(event)
          if (event.phase === 'end' && labels !== undefined) sink.job(job, event, labels)
        },
      ],
    )
    this.#listeners = [
      ...jobs,
      [
        'kvark:failure',
        (message) => {
          const labels = this.#labelsOf(message as FailureEvent)
          if (labels !== undefined) sink.failure(message as FailureEvent, labels)
        },
      ],
      [
        'kvark:slow',
        (message) => {
          const labels = this.#labelsOf(message as SlowEvent)
          if (labels !== undefined) sink.slow(message as SlowEvent, labels)
        },
      ],
    ]
  }

  /** What takes it away again, unless it has been added once more meanwhile. */
  add(store: Observed, name: string | undefined): () => void {
    if (this.#labels.size === 0) {
      for (const [channel, listen] of this.#listeners) subscribe(channel, listen)
    }
    const labels = { store: name ?? store.path, engine: store.engine }
    this.#labels.set(store, labels)
    return () => {
      if (this.#labels.get(store) === labels) this.#remove(store)
    }
  }

  /** Takes all of them away. */
  clear(): void {
    for (const store of this.#labels.keys()) this.#remove(store)
  }

  #remove(store: Observed): void {
    if (!this.#labels.delete(store) || this.#labels.size > 0) return
    for (const [channel, listen] of this.#listeners) unsubscribe(channel, listen)
    this.#empty()
  }

  /** The numbers of now. A store that has been closed is removed. */
  *stats(): Generator<[Stats, Labels]> {
    for (const [store, labels] of this.#labels) {
      let stats: Stats
      try {
        stats = store.stats()
      } catch (error) {
        if ((error as { code?: unknown }).code !== 'CLOSED') throw error
        this.#remove(store)
        continue
      }
      yield [stats, labels]
    }
  }

  /** Of stores in memory, which all have the same path, the first one of the engine. */
  #labelsOf({ engine, path }: StoreEvent): Labels | undefined {
    for (const [store, labels] of this.#labels) {
      if (store.path === path && store.engine === engine) return labels
    }
    return undefined
  }
}
