// @ts-check
// The loops that are timed. Everything they need is made before, in the order in which it is used: a key that lies far
// away in memory costs more to hash than the whole operation that is to be measured.

import { key } from '../../data.js'

/**
 * What a measurement gets.
 *
 * @typedef {object} Job
 * @property {import('../work.js').Work} work
 * @property {import('../rows.js').Row} row
 * @property {number} seed another one in each round, the same for all subjects
 * @property {number} share how much of it is done; less than 1 to warm up
 */

/** @param {Iterable<number>} order */
export function keysOf(order) {
  return Array.from(order, key)
}

/**
 * Reads all keys one after the other; ns for each.
 *
 * @param {string[]} keys
 * @param {number} expected the checksum of what is read
 * @param {(key: string) => number} read gives a taste of the value
 */
export function timeReads(keys, expected, read) {
  globalThis.gc?.()
  let sum = 0
  const before = performance.now()
  for (const key of keys) sum = (Math.imul(sum, 31) + read(key)) | 0
  const time = performance.now() - before
  if (sum !== expected) throw new Error('wrong values were read')
  return (time * 1e6) / keys.length
}

/**
 * The same with an `await` for each.
 *
 * @param {string[]} keys
 * @param {number} expected
 * @param {(key: string) => Promise<number> | number} read
 */
export async function timeAwaitedReads(keys, expected, read) {
  globalThis.gc?.()
  let sum = 0
  const before = performance.now()
  for (const key of keys) sum = (Math.imul(sum, 31) + (await read(key))) | 0
  const time = performance.now() - before
  if (sum !== expected) throw new Error('wrong values were read')
  return (time * 1e6) / keys.length
}

/**
 * Has `count` entries taken by one call, in portions that are made before it goes on; only the store's part is timed. ns for each entry.
 *
 * @template T
 * @param {number} count
 * @param {number} portion
 * @param {(n: number) => T} make the `n`th entry
 * @param {(entries: Iterable<T>) => unknown} act what it returns is awaited
 */
export async function timeEntries(count, portion, make, act) {
  let making = 0
  function* entries() {
    for (let n = 0; n < count; ) {
      const before = performance.now()
      const made = []
      for (const end = Math.min(n + portion, count); n < end; n++) made.push(make(n))
      making += performance.now() - before
      yield* made
    }
  }
  const before = performance.now()
  await act(entries())
  return ((performance.now() - before - making) * 1e6) / count
}

/**
 * The checksum that reading these must have.
 *
 * @param {import('../work.js').Work} work
 * @param {Iterable<number>} order
 */
export function checksum(work, order) {
  let sum = 0
  for (const i of order) sum = (Math.imul(sum, 31) + work.expected(i)) | 0
  return sum
}

/**
 * Does `count` operations in batches; only the store's part is timed. ns for each operation.
 *
 * @template T
 * @param {number} count
 * @param {number} batch
 * @param {(n: number) => T} make what the `n`th operation needs
 * @param {(made: T[]) => unknown} act what it returns is awaited
 */
export async function timeBatches(count, batch, make, act) {
  let time = 0
  for (let n = 0; n < count; ) {
    const made = []
    for (const end = Math.min(n + batch, count); n < end; n++) made.push(make(n))
    const before = performance.now()
    await act(made)
    time += performance.now() - before
  }
  return (time * 1e6) / count
}
