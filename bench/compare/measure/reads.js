// @ts-check
// Reading a store that is loaded.

import { inKeyOrder, key, shuffled } from '../../data.js'
import { BATCH, taste, tasteBytes } from '../work.js'
import { checksum, keysOf, timeAwaitedReads, timeReads } from './timing.js'

/** @typedef {import('./timing.js').Job} Job */

const GETS = 250_000
const AWAITED = 100_000
/** Gets of one form, before it is the next one's turn. */
const FORM_GETS = 25_000
const KEYS_AT_ONCE = 100
const RANGES = 10_000
const RANGE_ENTRIES = 100

/** @param {Job} job */
export async function get({ work, seed }) {
  const { store } = work
  const order = work.pick(GETS, seed)
  return timeReads(keysOf(order), checksum(work, order), (key) => taste(store.get(key)))
}

/**
 * A store whose entries are of all forms: what the machine, the memory and the size of the index do is the same for all.
 *
 * @param {Job} job
 */
export async function getForms({ work, row, seed }) {
  return work.fresh(row.durability ?? 'none', async (store) => {
    if (store.forms === undefined) return undefined
    const forms = Object.entries({ plain: store, ...store.forms })
    const loaded = shuffled(work.entries, seed)
    const read = shuffled(work.entries, seed + 1)
    const parts = forms.map(([name, form], n) => ({
      name,
      form,
      loaded: loaded.filter((i) => i % forms.length === n),
      read: read.filter((i) => i % forms.length === n).subarray(0, GETS),
      time: 0,
    }))
    for (let at = 0; at < work.entries; at += BATCH) {
      for (const { form, loaded } of parts) {
        await form.batch(Array.from(loaded.subarray(at, at + BATCH), (i) => work.put(i, 0)))
      }
    }
    await work.settle()
    // The first time to warm up.
    for (let run = 0; run < 2; run++) {
      for (const part of parts) part.time = 0
      for (let at = 0; at < GETS; at += FORM_GETS) {
        parts.push(/** @type {typeof parts[number]} */ (parts.shift()))
        for (const part of parts)
          part.time += timeForm(work, part.form, part.read.subarray(at, at + FORM_GETS))
      }
    }
    const times = parts.map(({ name, read, time }) => [name, time / read.length])
    return /** @type {{ plain: number }} */ (Object.fromEntries(times))
  })
}

/**
 * @param {import('../work.js').Work} work
 * @param {import('../stores/store.js').Form} form
 * @param {Uint32Array} order
 */
function timeForm(work, form, order) {
  const expected = order.reduce((sum, i) => (Math.imul(sum, 31) + taste(work.text(i, 0))) | 0, 0)
  return order.length * timeReads(keysOf(order), expected, (key) => taste(form.get(key)))
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
