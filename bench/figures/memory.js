// @ts-check
// Resident memory with a store far larger than its cache. What it may take:
//
//   the same program with nothing behind it + cacheBytes + 17 B for each key + 64 MiB
//
// The program's own strings and promises make V8 take 30 MiB and more, whatever it calls; so it is run twice, the first
// time with a `put` and a `get` that keep nothing.

import { open } from '../../packages/kvark/dist/index.js'
import { inChild } from '../child.js'
import { remove } from '../common.js'
import { KEY_BYTES, key, scattered, values } from '../data.js'
import { put, row } from './work.js'

const MIB = 1024 * 1024
const VALUE_BYTES = 1000
/** For each of the million entries that the other figures have. */
const BYTES_AN_ENTRY = 2 * 1024 * MIB
const CACHE_BYTES = 64 * MIB
const KEY_COST_BYTES = 17
const CONSTANT_BYTES = 64 * MIB
const SAMPLE_MS = 5
const SAMPLE_STEPS = 4096

/** @param {import('./work.js').Context} context */
export async function measure({ folder, entries, say }) {
  const bytes = (entries / 1e6) * BYTES_AN_ENTRY
  const count = Math.ceil(bytes / (KEY_BYTES + VALUE_BYTES))
  const program = await inChild(import.meta.url, 'baseline', { folder: `${folder}/empty`, count })
  const args = { folder: `${folder}/full`, count }
  say(`${count} entries, ${Math.round(bytes / MIB)} MiB`)
  const phases = await inChild(import.meta.url, 'work', args)
  remove(folder)
  const limit = (program + CACHE_BYTES + KEY_COST_BYTES * count + CONSTANT_BYTES) / MIB
  const { compactions, diskBytes, highest, ...peaks } = phases
  const name = 'memory'
  const note =
    `program ${(program / MIB).toFixed(0)} + cache ${CACHE_BYTES / MIB} + keys ` +
    `${((KEY_COST_BYTES * count) / MIB).toFixed(0)} + ${CONSTANT_BYTES / MIB}`
  return [
    row(name, 'resident at most', highest / MIB, 'MiB', { limit, note }),
    ...Object.entries(peaks).map(([phase, peak]) =>
      row(name, `resident at most, ${phase}`, peak / MIB, 'MiB'),
    ),
    row(name, 'compactions', compactions, ''),
    row(name, 'on disk at the end', diskBytes / MIB, 'MiB'),
  ]
}

/**
 * The highest resident memory of the same work without a store.
 *
 * @param {{ folder: string, count: number }} args
 */
export async function baseline({ folder, count }) {
  const db = await open(folder, { engine: 'log', cacheBytes: CACHE_BYTES })
  await db.close()
  const value = values(VALUE_BYTES)
  let peak = 0
  const sample = () => {
    peak = Math.max(peak, process.memoryUsage.rss())
  }
  const sampler = setInterval(sample, SAMPLE_MS)
  const order = (/** @type {number} */ n) => scattered(n, count)
  await put(nothing(), count, (n) => n, value, 0)
  for (let n = 0; n < count; n++) {
    const i = order(n)
    key(i)
    const found = n % 2 === 0 ? value(i, 0) : await Promise.resolve(value(i, 0))
    if (found !== value(i, 0)) throw new Error('wrong value')
    if (n % SAMPLE_STEPS === 0) sample()
  }
  await put(nothing(), count, order, value, 1)
  sample()
  clearInterval(sampler)
  return peak
}

/** Puts that keep nothing; those of one turn of the event loop end together, as those of a store do. */
function nothing() {
  /** @type {Promise<number> | undefined} */
  let turn
  return {
    put() {
      turn ??= new Promise((resolve) => {
        setImmediate(() => {
          turn = undefined
          resolve(0)
        })
      })
      return turn
    },
  }
}

/**
 * @param {{ folder: string, count: number }} args
 * @returns {Promise<Record<string, number>>} the highest resident memory of each phase, and of all
 */
export async function work({ folder, count }) {
  const db = await open(folder, { engine: 'log', cacheBytes: CACHE_BYTES })
  const value = values(VALUE_BYTES)
  /** @type {Record<string, number>} */
  const peaks = {}
  let peak = 0
  const sample = () => {
    peak = Math.max(peak, process.memoryUsage.rss())
  }
  const sampler = setInterval(sample, SAMPLE_MS)
  const phase = async (/** @type {string} */ name, /** @type {() => Promise<void>} */ act) => {
    peak = 0
    await act()
    sample()
    peaks[name] = peak
  }
  const order = (/** @type {number} */ n) => scattered(n, count)
  await phase('loading', () => put(db, count, (n) => n, value, 0))
  await phase('random reads', async () => {
    for (let n = 0; n < count; n++) {
      const i = order(n)
      // Half of them wait for the disk without holding the event loop.
      const found = n % 2 === 0 ? db.getSync(key(i)) : await db.get(key(i))
      if (found !== value(i, 0)) throw new Error(`wrong value of ${key(i)}`)
      if (n % SAMPLE_STEPS === 0) sample()
    }
  })
  await phase('scanning', async () => {
    let seen = 0
    for await (const [, found] of db.entries()) {
      if (found.length !== VALUE_BYTES) throw new Error('wrong value')
      if (++seen % SAMPLE_STEPS === 0) sample()
    }
    if (seen !== count) throw new Error(`the scan met ${seen} of ${count} entries`)
  })
  await phase('overwriting', async () => {
    await put(db, count, order, value, 1)
    while (db.stats().compacting) await new Promise((resolve) => setTimeout(resolve, 10))
  })
  clearInterval(sampler)
  const { compactions, diskBytes } = db.stats()
  // The kernel's own mark, which no sample can miss.
  const highest = Math.max(process.resourceUsage().maxRSS * 1024, ...Object.values(peaks))
  await db.close()
  return { ...peaks, highest, compactions, diskBytes }
}
