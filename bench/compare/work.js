// @ts-check
// One subject's store while it is measured, and what must be in it. Every value says which write made it, so that no
// write repeats what is there and everything that is read can be compared with what was written last.

import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { remove } from '../common.js'
import { KEY_BYTES, key, shuffled, values } from '../data.js'

/** @typedef {import('./stores/store.js').Store} Store */
/** @typedef {import('./stores/store.js').Value} Value */
/** @typedef {import('./stores/store.js').Durability} Durability */

export const BATCH = 1000
const MIB = 1024 * 1024
const CACHE_BYTES = 512 * MIB
/** The version of a key that has been deleted. */
const ABSENT = 0xffffffff
const SAMPLES = 1000

const IDLE_MS = 50
const IDLE_CPU = 0.1
const IDLE_LIMIT_MS = 30_000

/**
 * @typedef {object} Task
 * @property {import('./subjects.js').Subject} subject
 * @property {import('./data-sets.js').DataSet} data
 * @property {number} entries
 * @property {string} folder
 * @property {number} budgetMs how long a measurement goes on whose operations each wait for the disk or a thread
 */

export class Work {
  /**
   * @param {Task} task
   * @param {import('./stores/store.js').Adapter} adapter
   */
  constructor(task, adapter) {
    this.task = task
    this.adapter = adapter
    this.entries = task.entries
    this.budgetMs = task.budgetMs
    this.form = task.data.form
    this.text = values(task.data.valueBytes)
    this.versions = new Uint32Array(task.entries)
    this.version = 0
    this.folder = join(task.folder, 'data')
    /** @type {Durability | undefined} */
    this.durability = undefined
    /** @type {Store | undefined} */
    this.opened = undefined
  }

  /** The store, which must have been opened. */
  get store() {
    if (this.opened === undefined) throw new Error('the store is not open')
    return this.opened
  }

  /**
   * Opens the store, or opens it again if it was open with another durability.
   *
   * @param {Durability} durability
   */
  async use(durability) {
    if (this.opened !== undefined && this.durability === durability) return
    await this.close()
    this.opened = await this.openAt(this.folder, durability)
    this.durability = durability
  }

  /**
   * The same by the awaited way.
   *
   * @param {Durability} durability
   */
  async useAwaited(durability) {
    await this.close()
    this.opened = await this.adapter.openAwaited?.(this.opening(this.folder, durability))
    this.durability = durability
  }

  async close() {
    await this.opened?.close()
    this.opened = undefined
  }

  /**
   * Runs `act` on a new, empty store, which is removed afterwards.
   *
   * @template T
   * @param {Durability} durability
   * @param {(store: Store) => Promise<T>} act
   */
  async fresh(durability, act) {
    const folder = join(this.task.folder, 'fresh')
    const store = await this.openAt(folder, durability)
    const result = await act(store)
    await store.close()
    remove(folder)
    return result
  }

  /**
   * @param {string} folder
   * @param {Durability} durability
   */
  async openAt(folder, durability) {
    return this.adapter.open(this.opening(folder, durability))
  }

  /**
   * @param {string} folder
   * @param {Durability} durability
   * @returns {import('./stores/store.js').Opening}
   */
  opening(folder, durability) {
    const { subject, data, entries } = this.task
    const bytes = entries * (data.valueBytes + KEY_BYTES)
    return {
      folder,
      durability,
      form: data.form,
      valueBytes: data.valueBytes,
      cacheBytes: Math.max(CACHE_BYTES, 2 * bytes),
      options: subject.options,
    }
  }

  /** Loads all entries in random order, unless that was done. */
  async load() {
    if (existsSync(this.folder)) return
    await this.use('none')
    for (let i = 0; i < this.entries; ) {
      const puts = []
      for (const end = Math.min(i + BATCH, this.entries); i < end; i++) puts.push(this.put(i, 0))
      await this.store.batch(puts)
    }
    await this.settle()
    await this.close()
  }

  /**
   * The value that key `i` has after the write `version`.
   *
   * @param {number} i
   * @param {number} version
   * @returns {Value}
   */
  value(i, version) {
    const text = this.text(i, version)
    return this.form === 'text' ? text : Buffer.from(text, 'latin1')
  }

  /**
   * @param {number} i
   * @param {number} version
   * @returns {import('./stores/store.js').Put}
   */
  put(i, version) {
    return { type: 'put', key: key(i), value: this.value(i, version) }
  }

  /**
   * A new value for key `i`, which is expected from now on.
   *
   * @param {number} i
   */
  overwrite(i) {
    this.version++
    this.versions[i] = this.version
    return this.put(i, this.version)
  }

  /** @param {number} i */
  expectAbsent(i) {
    this.versions[i] = ABSENT
  }

  /**
   * What `taste` must find for key `i`.
   *
   * @param {number} i
   */
  expected(i) {
    return taste(this.text(i, /** @type {number} */ (this.versions[i])))
  }

  /**
   * Some keys, each once, in random order.
   *
   * @param {number} count
   * @param {number} seed
   */
  pick(count, seed) {
    return shuffled(this.entries, seed).subarray(0, count)
  }

  /**
   * Compares entries of the store with what was written last.
   *
   * @param {Iterable<number>} order
   * @param {Store} [store]
   */
  check(order, store = this.store) {
    for (const i of order) {
      const version = /** @type {number} */ (this.versions[i])
      const expected = version === ABSENT ? undefined : this.value(i, version)
      if (!equal(store.get(key(i)), expected)) throw new Error(`wrong value of ${key(i)}`)
    }
  }

  /**
   * Compares some of these.
   *
   * @param {Uint32Array} order
   * @param {Store} [store]
   */
  checkSome(order, store) {
    const step = Math.max(1, Math.floor(order.length / SAMPLES))
    this.check(
      order.filter((_, n) => n % step === 0),
      store,
    )
  }

  async checkAll() {
    if (!existsSync(this.folder)) return
    await this.use('none')
    this.check(this.versions.keys())
    await this.close()
  }

  /** Waits until nothing works in the background any more. */
  async settle() {
    const limit = performance.now() + IDLE_LIMIT_MS
    for (;;) {
      const before = process.cpuUsage()
      await sleep(IDLE_MS)
      const { user, system } = process.cpuUsage(before)
      const idle = (user + system) / 1000 < IDLE_MS * IDLE_CPU && !this.opened?.busy?.()
      if (idle || performance.now() > limit) return
    }
  }

  /** Bytes that the store takes on disk. */
  diskBytes() {
    let bytes = 0
    for (const name of readdirSync(this.folder, { recursive: true, encoding: 'utf8' })) {
      const { size, blocks } = statSync(join(this.folder, name))
      bytes += blocks === undefined ? size : blocks * 512
    }
    return bytes
  }
}

/**
 * A little of a value, enough to notice another key's or another write's.
 *
 * @param {Value | undefined} value
 */
export function taste(value) {
  if (typeof value === 'string') {
    return (
      value.length +
      value.charCodeAt(3) * 0x100 +
      value.charCodeAt(7) * 0x10000 +
      (value.charCodeAt(22) + value.charCodeAt(23)) * 0x1000000
    )
  }
  return value === undefined ? -1 : tasteBytes(value)
}

/**
 * The same of bytes.
 *
 * @param {Uint8Array} bytes
 */
export function tasteBytes(bytes) {
  return (
    bytes.length +
    at(bytes, 3) * 0x100 +
    at(bytes, 7) * 0x10000 +
    (at(bytes, 22) + at(bytes, 23)) * 0x1000000
  )
}

/**
 * @param {Uint8Array} bytes
 * @param {number} index
 */
function at(bytes, index) {
  return /** @type {number} */ (bytes[index])
}

/**
 * @param {Value | undefined} a
 * @param {Value | undefined} b
 */
function equal(a, b) {
  if (typeof a !== 'object' || typeof b !== 'object') return a === b
  return Buffer.compare(a, b) === 0
}
