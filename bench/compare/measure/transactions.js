// @ts-check
// Transactions that read two entries and write two others, all of them random.

import { taste } from '../work.js'
import { keysOf } from './timing.js'

/** @typedef {import('./timing.js').Job} Job */

const READS = 2
const WRITES = 2
const TRANSACTIONS = 25_000

/**
 * @param {import('../work.js').Work} work
 * @param {number} seed
 * @param {number} share
 */
function plan(work, seed, share) {
  const { version } = work
  const count = Math.ceil(TRANSACTIONS * share)
  // Each key once, so that what is read was not written by another of them.
  const order = work.pick(count * (READS + WRITES), seed)
  const all = []
  for (let n = 0; n + READS + WRITES <= order.length; ) {
    const read = order.subarray(n, (n += READS))
    const written = order.subarray(n, (n += WRITES))
    all.push({
      keys: keysOf(read),
      expected: Array.from(read, (i) => work.expected(i)),
      written,
      puts: Array.from(written, (i) => work.put(i, version + 1 + i)),
    })
  }
  work.version += work.entries
  return { all, version }
}

/**
 * @param {readonly number[]} expected
 * @param {readonly (import('../stores/store.js').Value | undefined)[]} found
 */
function mustBe(expected, found) {
  for (const [n, value] of found.entries()) {
    if (taste(value) !== expected[n]) throw new Error('a transaction read a wrong value')
  }
}

/**
 * What was written is expected from now on.
 *
 * @param {import('../work.js').Work} work
 * @param {readonly { written: Uint32Array }[]} done
 * @param {number} version
 */
function note(work, done, version) {
  for (const { written } of done) {
    for (const i of written) work.versions[i] = version + 1 + i
  }
  work.check(done.slice(0, 100).flatMap(({ written }) => [...written]))
}

/**
 * One after the other, by calls that do not wait; as many as there is time for.
 *
 * @param {Job} job
 */
export async function transact({ work, seed, share }) {
  const { transact } = work.store
  if (transact === undefined) return undefined
  const { all, version } = plan(work, seed, share)
  globalThis.gc?.()
  let next = 0
  const before = performance.now()
  const end = before + work.budgetMs
  while (next < all.length && performance.now() < end) {
    const one = /** @type {typeof all[number]} */ (all[next++])
    mustBe(one.expected, transact(one.keys, one.puts))
  }
  const time = performance.now() - before
  note(work, all.slice(0, next), version)
  return (time * 1e6) / next
}

/**
 * Callers who each wait for one after the other, as long as there is time.
 *
 * @param {number} callers
 * @param {boolean} [atOnce] by the call that returns when it is durable, where that is another one
 * @returns {(job: Job) => Promise<number | undefined>}
 */
export function transactConcurrently(callers, atOnce = false) {
  return async ({ work, seed, share }) => {
    const { transactAwaited, transactDurable } = work.store
    const act = (atOnce && transactDurable) || transactAwaited
    if (act === undefined) return undefined
    const { all, version } = plan(work, seed, share)
    globalThis.gc?.()
    let next = 0
    const before = performance.now()
    const end = before + work.budgetMs * share
    const caller = async () => {
      while (next < all.length && performance.now() < end) {
        const one = /** @type {typeof all[number]} */ (all[next++])
        mustBe(one.expected, await act(one.keys, one.puts))
      }
    }
    await Promise.all(Array.from({ length: callers }, caller))
    const time = performance.now() - before
    note(work, all.slice(0, next), version)
    return (time * 1e6) / next
  }
}
