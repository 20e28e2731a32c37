/**
 * The verb `watch`: its options, and the iterator that it gives.
 *
 * 1. Steps are given one after the other, in the order in which they were asked for.
 * 2. Whoever waits for a step holds the iterator; one that nobody holds is collected, and told of.
 */

import { Slice } from '../environment/slice.ts'
import { KvarkError } from '../errors.ts'
import { checkNames, checkObject, invalid, show, unsupported } from './arguments.ts'
import type { Change, Watch, WatchOptions } from './change-types.ts'
import type { Core } from './core.ts'
import type { Wanted } from './tables.ts'
import { Telling, type Watched } from './telling.ts'

const RANGE_NAMES = ['gt', 'gte', 'lt', 'lte', 'prefix'] as const
const NAMES: readonly string[] = ['key', ...RANGE_NAMES, 'since', 'bufferBytes', 'signal']
const DEFAULT_BUFFER_BYTES = 16 * 1024 * 1024

type Step<K, V> = IteratorResult<Change<K, V>, undefined>

/** Watches the table of `core`: `wanted`, or the root. */
export function watch<K, V>(
  core: Core<K, V>,
  wanted: Wanted | undefined,
  options: WatchOptions<K> = {},
): Watch<K, V> {
  const { life, engine, modules } = core
  if (!engine.supports.watch) throw unsupported(engine.name, "'watch'", 'watch', modules)
  if (life.readOnly) {
    throw new KvarkError(
      'UNSUPPORTED',
      `The store ${life.path} was opened with 'readOnly', so nothing changes in it. Watch it where it is written.`,
      { path: life.path },
    )
  }
  return new StoreWatch(new Telling(core, wanted, check(options)))
}

function check<K>(options: WatchOptions<K>): Watched<K> {
  checkObject(options, 'The options of watch')
  checkNames(options, NAMES, 'watch')
  const { key, since, bufferBytes = DEFAULT_BUFFER_BYTES, signal } = options
  if (since !== undefined && !(Number.isSafeInteger(since) && since >= 0)) {
    throw invalid(`'since' must be a version as writes give it, not ${show(since)}.`)
  }
  if (!(Number.isSafeInteger(bufferBytes) && bufferBytes >= 1)) {
    throw invalid(`'bufferBytes' must be a whole number from 1, not ${show(bufferBytes)}.`)
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw invalid(`The option 'signal' must be an AbortSignal, not ${show(signal)}.`)
  }
  if (key === undefined) return { range: options, since, bufferBytes, signal }
  for (const name of RANGE_NAMES) {
    if (options[name] !== undefined) throw invalid(`Give 'key' or '${name}', not both.`)
  }
  return { range: { gte: key, lte: key }, since, bufferBytes, signal }
}

class StoreWatch<K, V> implements Watch<K, V> {
  readonly #telling: Telling<K, V>
  readonly #slice: Slice
  /** The last step that was asked for; never rejects. */
  #last: Promise<void> = Promise.resolve()

  constructor(telling: Telling<K, V>) {
    const { life, environment } = telling.core
    this.#telling = telling
    this.#slice = new Slice(environment)
    life.addLease(telling.lease, this)
    telling.begin()
  }

  get version(): number {
    return this.#telling.version
  }

  next(): Promise<Step<K, V>> {
    const step = this.#advance(this.#last)
    this.#last = step.then(ignore, ignore)
    return step
  }

  async return(): Promise<Step<K, V>> {
    this.close()
    return { done: true, value: undefined }
  }

  close(): void {
    this.#telling.stop()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** A method that waits holds its object. */
  async #advance(before: Promise<void>): Promise<Step<K, V>> {
    await before
    if (this.#slice.over()) await this.#telling.core.environment.pause.async()
    for (;;) {
      const step = this.#telling.step()
      if (step !== undefined) return step
      await this.#telling.woken()
    }
  }
}

function ignore(): void {}
