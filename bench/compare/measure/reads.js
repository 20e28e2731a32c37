// @ts-check
// Reading a store that is loaded.

import { inKeyOrder, key, shuffled } from '../../data.js'
import { taste, tasteBytes } from '../work.js'
import { checksum, keysOf, timeAwaitedReads, timeReads } from './timing.js'

/** @typedef {import('./timing.js').Job} Job */

const GETS = 250_000
const AWAITED = 100_000
const KEYS_AT_ONCE = 100
const RANGES = 2500
const RANGE_ENTRIES = 100

/** @param {Job} job */
export async function get({ work, seed }) {
  const { store } = work
  const order = work.pick(GETS, seed)
  return timeReads(keysOf(order), checksum(work, order), (key) => taste(store.get(key)))
}

/** @param {Job} job */
export async function view({ work, seed }) {
  const { view } = work.store
  if (view === undefined) return undefined
  const order = work.pick(GETS, seed)
  return timeReads(keysOf(order), checksum(work, order), (key) => view(key, tasteBytes) ?? -1)
}

/** @param {Job} job */
export async function getAwaited({ work, seed }) {
  const { store } = work
  const order = work.pick(AWAITED, seed)
  return timeAwaitedReads(keysOf(order), checksum(work, order), async (key) =>
    taste(await store.getAwaited(key)),
  )
}

/** @param {Job} job */
export async function getMissing({ work, seed }) {
  const { store } = work
  const order = work.pick(GETS, seed).map((i) => i + work.entries)
  return timeReads(keysOf(order), 0, (key) => (store.get(key) === undefined ? 0 : 1))
}

/** @param {Job} job */
export async function getMany({ work, seed }) {
  const { store } = work
  const order = work.pick(GETS, seed)
  const expected = checksum(work, order)
  const groups = []
  for (let n = 0; n < order.length; n += KEYS_AT_ONCE) {
    groups.push(keysOf(order.subarray(n, n + KEYS_AT_ONCE)))
  }
  globalThis.gc?.()
  let sum = 0
  const before = performance.now()
  for (const keys of groups) {
    for (const value of await store.getMany(keys)) sum = (Math.imul(sum, 31) + taste(value)) | 0
  }
  const time = performance.now() - before
  if (sum !== expected) throw new Error('wrong values were read')
  return (time * 1e6) / order.length
}

/** @param {Job} job */
export async function scan({ work }) {
  let expected = 0
  for (const i of work.versions.keys()) expected = (expected + work.expected(i)) | 0
  globalThis.gc?.()
  let sum = 0
  let seen = 0
  const before = performance.now()
  await work.store.scan((value) => {
    sum = (sum + taste(value)) | 0
    seen++
  })
  const time = performance.now() - before
  if (sum !== expected || seen !== work.entries) throw new Error('the scan met wrong entries')
  return (time * 1e6) / seen
}

/** @type {Uint32Array | undefined} */
let sorted

/**
 * Ranges from a random key on; ns for each entry.
 *
 * @param {Job} job
 */
export async function ranges({ work, seed, share }) {
  const { range } = work.store
  if (range === undefined) return undefined
  const all = (sorted ??= inKeyOrder(work.entries))
  const places = shuffled(work.entries - RANGE_ENTRIES, seed).subarray(0, Math.ceil(RANGES * share))
  let expected = 0
  for (const place of places) {
    for (const i of all.subarray(place, place + RANGE_ENTRIES)) {
      expected = (Math.imul(expected, 31) + work.expected(i)) | 0
    }
  }
  const keys = Array.from(places, (place) => key(/** @type {number} */ (all[place])))
  globalThis.gc?.()
  let sum = 0
  const visit = (/** @type {import('../stores/store.js').Value} */ value) => {
    sum = (Math.imul(sum, 31) + taste(value)) | 0
  }
  const before = performance.now()
  for (const from of keys) {
    const pending = range(from, RANGE_ENTRIES, visit)
    if (pending !== undefined) await pending
  }
  const time = performance.now() - before
  if (sum !== expected) throw new Error('the ranges met wrong entries')
  return (time * 1e6) / (keys.length * RANGE_ENTRIES)
}
