// @ts-check
// Loading a new store, and writing to one that is loaded.

import { key } from '../../data.js'
import { BATCH } from '../work.js'
import { timeBatches, timeEntries } from './timing.js'

/** @typedef {import('./timing.js').Job} Job */

const PUTS = 100_000
const CONCURRENT_PUTS = 100_000
const DELETES = 100_000

/**
 * @param {(count: number) => Uint32Array} orderOf
 * @param {number} [part] how much is loaded, if not everything
 * @param {boolean} [asOne] by the one verb that is made for it, where there is one: the keys are in order
 * @returns {(job: Job) => Promise<number | undefined>}
 */
export function load(orderOf, part = 1, asOne = false) {
  /** @type {Uint32Array | undefined} */
  let all
  return async ({ work, row, share }) => {
    const durability = row.durability ?? 'none'
    if (work.adapter.durabilities[durability] === undefined) return undefined
    return work.fresh(durability, async (store) => {
      all ??= orderOf(work.entries)
      const count = Math.ceil(work.entries * part * share)
      const order = all.subarray(0, count)
      const make = (/** @type {number} */ n) => work.put(nth(order, n), 0)
      const makeEntry = (/** @type {number} */ n) => {
        const { key, value } = make(n)
        return /** @type {[string, import('../stores/store.js').Value]} */ ([key, value])
      }
      const time =
        asOne && store.load
          ? await timeEntries(count, BATCH, makeEntry, store.load)
          : await timeBatches(count, BATCH, make, (puts) => store.batch(puts))
      const { versions } = work
      // What is checked is what has just been loaded, not what the other store holds.
      work.versions = new Uint32Array(work.entries)
      work.checkSome(order, store)
      work.versions = versions
      let seen = 0
      await store.scan(() => {
        seen++
      })
      if (seen !== count) throw new Error(`${seen} of ${count} entries are there`)
      await work.settle()
      return time
    })
  }
}

/** @param {Job} job */
export async function overwrite({ work, seed, share }) {
  const order = work.pick(Math.ceil(work.entries * share), seed)
  const make = (/** @type {number} */ n) => work.overwrite(nth(order, n))
  const time = await timeBatches(order.length, BATCH, make, (puts) => work.store.batch(puts))
  work.checkSome(order)
  return time
}

/** @param {Job} job */
export async function putSync({ work, seed, share }) {
  const { put } = work.store
  if (put === undefined) return undefined
  return puts(work, seed, PUTS * share, BATCH, (batch) => {
    for (const { key, value } of batch) put(key, value)
  })
}

/** @param {Job} job */
export async function putAwaited({ work, seed, share }) {
  const { store } = work
  return puts(work, seed, PUTS * share, BATCH, async (batch) => {
    for (const { key, value } of batch) await store.putAwaited(key, value)
  })
}

/** @param {Job} job */
export async function putOutstanding({ work, seed, share }) {
  const { store } = work
  return puts(work, seed, PUTS * share, BATCH, (batch) =>
    Promise.all(batch.map(({ key, value }) => store.putAwaited(key, value))),
  )
}

/**
 * Callers who each put one entry after the other, as long as there is time.
 *
 * @param {number} callers
 * @param {boolean} [atOnce] by the call that returns when the entry is durable, where that is another one
 * @returns {(job: Job) => Promise<number>}
 */
export function putConcurrently(callers, atOnce = false) {
  return async ({ work, seed, share }) => {
    const { store, version } = work
    /** @type {(key: string, value: import('../stores/store.js').Value) => unknown} */
    const put = (atOnce && store.putDurable) || store.putAwaited
    const order = work.pick(CONCURRENT_PUTS, seed)
    const puts = Array.from(order, (i, n) => work.put(i, version + 1 + n))
    let next = 0
    const before = performance.now()
    const end = before + work.budgetMs * share
    const caller = async () => {
      while (next < puts.length && performance.now() < end) {
        const { key, value } = /** @type {import('../stores/store.js').Put} */ (puts[next++])
        await put(key, value)
      }
    }
    await Promise.all(Array.from({ length: callers }, caller))
    const time = performance.now() - before
    for (let n = 0; n < next; n++) work.versions[nth(order, n)] = version + 1 + n
    work.version += puts.length
    work.checkSome(order.subarray(0, next))
    return (time * 1e6) / next
  }
}

/** @param {Job} job */
export async function deleteMany({ work, seed, share }) {
  const { store } = work
  const order = work.pick(Math.ceil(DELETES * share), seed)
  const make = (/** @type {number} */ n) => {
    const i = nth(order, n)
    work.expectAbsent(i)
    return key(i)
  }
  const time = await timeBatches(order.length, BATCH, make, (keys) => store.removeMany(keys))
  work.checkSome(order)
  for (let n = 0; n < order.length; n += BATCH) {
    await store.batch(Array.from(order.subarray(n, n + BATCH), (i) => work.overwrite(i)))
  }
  return time
}

/**
 * Puts in groups, of which as many are done as there is time for.
 *
 * @param {import('../work.js').Work} work
 * @param {number} seed
 * @param {number} most
 * @param {number} group
 * @param {(puts: import('../stores/store.js').Put[]) => unknown} act
 */
async function puts(work, seed, most, group, act) {
  const order = work.pick(Math.ceil(most), seed)
  let time = 0
  let done = 0
  while (done < order.length && time < work.budgetMs * 1e6) {
    const part = order.subarray(done, done + group)
    const make = (/** @type {number} */ n) => work.overwrite(nth(part, n))
    time += part.length * (await timeBatches(part.length, group, make, act))
    done += part.length
  }
  work.checkSome(order.subarray(0, done))
  return time / done
}

/**
 * @param {Uint32Array} order
 * @param {number} n
 */
function nth(order, n) {
  return /** @type {number} */ (order[n])
}
