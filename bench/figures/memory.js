// @ts-check
// Resident memory with a store far larger than its cache. What it may take:
//
//   log      an empty store with the same options + cacheBytes + 17 B for each key + a constant
//   btree    the same, but 20 B for each page of the file
//
// The constant covers V8's heap (garbage of the callers, promises) and a second thread's.

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
/** Of the tree, which has pages of 16 KiB. */
const PAGE_BYTES = 16 * 1024
const PAGE_COST_BYTES = 20
const CONSTANT_BYTES = 64 * MIB
const SAMPLE_MS = 5
const SAMPLE_STEPS = 4096

/** @param {import('./work.js').Context} context */
export async function measure({ folder, engines, entries, say }) {
  const bytes = (entries / 1e6) * BYTES_AN_ENTRY
  const count = Math.ceil(bytes / (KEY_BYTES + VALUE_BYTES))
  const rows = []
  for (const engine of engines) {
    say(`${engine}: ${count} entries, ${Math.round(bytes / MIB)} MiB`)
    const empty = await inChild(import.meta.url, 'baseline', { engine, folder: `${folder}/empty` })
    const args = { engine, folder: `${folder}/full`, count }
    const phases = await inChild(import.meta.url, 'work', args)
    remove(folder)
    const { compactions, checkpoints, diskBytes, highest, ...peaks } = phases
    const index =
      engine === 'log'
        ? KEY_COST_BYTES * count
        : PAGE_COST_BYTES * Math.ceil(diskBytes / PAGE_BYTES)
    const limit = (empty + CACHE_BYTES + index + CONSTANT_BYTES) / MIB
    const name = 'memory'
    const note =
      `empty ${(empty / MIB).toFixed(0)} + cache ${CACHE_BYTES / MIB} + ` +
      `${engine === 'log' ? 'keys' : 'pages'} ${(index / MIB).toFixed(0)} + ${CONSTANT_BYTES / MIB}`
    rows.push(
      row(name, `${engine}: resident at most`, highest / MIB, 'MiB', { limit, note }),
      ...Object.entries(peaks).map(([phase, peak]) =>
        row(name, `${engine}: resident at most, ${phase}`, peak / MIB, 'MiB'),
      ),
      row(name, `${engine}: compactions`, compactions, ''),
      row(name, `${engine}: checkpoints`, checkpoints, ''),
      row(name, `${engine}: on disk at the end`, diskBytes / MIB, 'MiB'),
    )
  }
  return rows
}

/** @param {{ engine: import('./work.js').Engine, folder: string }} args */
export async function baseline({ engine, folder }) {
  const db = await open(folder, { engine, cacheBytes: CACHE_BYTES })
  await db.put('a', '1')
  await db.get('a')
  const bytes = process.memoryUsage.rss()
  await db.close()
  return bytes
}

/**
 * @param {{ engine: import('./work.js').Engine, folder: string, count: number }} args
 * @returns {Promise<Record<string, number>>} the highest resident memory of each phase, and of all
 */
export async function work({ engine, folder, count }) {
  const db = await open(folder, { engine, cacheBytes: CACHE_BYTES })
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
  const { compactions, checkpoints, diskBytes } = db.stats()
  // The kernel's own mark, which no sample can miss.
  const highest = Math.max(process.resourceUsage().maxRSS * 1024, ...Object.values(peaks))
  await db.close()
  return { ...peaks, highest, compactions, checkpoints, diskBytes }
}
