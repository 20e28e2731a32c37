// @ts-check
// The figures that KvStore gives for itself, a Bitcask-like store in one log (an ancestor of the engine log), and the
// same workloads with ours: 100,000 keys `key<i>`, one thread, no fsync, as there: a set is handed to the operating
// system. It names no workload for its figures, so its code path was run again; both are quoted.

import { open } from '../../packages/kvark/dist/index.js'
import { inChild } from '../child.js'
import { median, remove } from '../common.js'
import { shuffled, values } from '../data.js'

const MIB = 1024 * 1024
const NEVER = Number.MAX_SAFE_INTEGER
const ROUNDS = 3

const CLAIMED = { sets: '100,000/s', gets: '50,000/s', compaction: '1,000 MB/s' }
const RUN_AGAIN = [
  { bytes: 10, sets: '1,300,000/s', gets: '440,000-460,000/s', compaction: '46-52 MB/s' },
  {
    bytes: 100,
    sets: '1,040,000-1,080,000/s',
    gets: '380,000-400,000/s',
    compaction: '73-111 MB/s',
  },
  { bytes: 1000, sets: '450,000-590,000/s', gets: '210,000-220,000/s', compaction: '217-350 MB/s' },
]

/**
 * @typedef {object} Figure
 * @property {'sets' | 'gets' | 'compaction'} what
 * @property {number} valueBytes
 * @property {string} claimed by its README
 * @property {string} runAgain on a server with two virtual CPUs
 * @property {number} ours a second; compaction in MB/s
 */

/**
 * @param {{ folder: string, entries: number }} args
 * @returns {Promise<Figure[]>}
 */
export async function measure({ folder, entries }) {
  const figures = []
  for (const quoted of RUN_AGAIN) {
    const runs = []
    // The first one is for the compiler.
    for (let round = 0; round <= ROUNDS; round++)
      runs.push(await run(folder, entries, quoted.bytes))
    for (const what of /** @type {const} */ (['sets', 'gets', 'compaction'])) {
      figures.push({
        what,
        valueBytes: quoted.bytes,
        claimed: CLAIMED[what],
        runAgain: quoted[what],
        ours: median(runs.slice(1).map((one) => one[what])),
      })
    }
  }
  return figures
}

/**
 * @param {string} folder
 * @param {number} entries
 */
export function figures(folder, entries) {
  return inChild(import.meta.url, 'measure', { folder, entries }, { execArgv: ['--expose-gc'] })
}

/**
 * @param {string} folder
 * @param {number} entries
 * @param {number} valueBytes
 */
async function run(folder, entries, valueBytes) {
  const db = await open(folder, {
    engine: 'log',
    durability: 'os',
    cacheBytes: 512 * MIB,
    compactionThresholdBytes: NEVER,
  })
  const value = values(valueBytes)
  const set = (/** @type {number} */ round) => {
    const puts = Array.from({ length: entries }, (_, i) => ({
      key: name(i),
      value: value(i, round),
    }))
    return perSecond(entries, () => {
      for (const { key, value } of puts) db.putSync(key, value)
    })
  }
  const sets = set(0)
  const order = shuffled(entries, 1)
  const keys = Array.from(order, name)
  const found = new Array(entries)
  const gets = perSecond(entries, () => {
    for (let n = 0; n < entries; n++) found[n] = db.getSync(/** @type {string} */ (keys[n]))
  })
  if (order.some((i, n) => found[n] !== value(i, 0))) throw new Error('wrong values were read')
  set(1)
  // Half of the log is stale now, as when a store of this kind compacts.
  const { diskBytes } = db.stats()
  const before = performance.now()
  await db.compact()
  const compaction = diskBytes / 1e6 / ((performance.now() - before) / 1e3)
  if (db.getSync(name(0)) !== value(0, 1)) throw new Error('a wrong value was read')
  await db.close()
  remove(folder)
  return { sets, gets, compaction }
}

/** @param {number} i */
function name(i) {
  // Flat, as a key that comes from outside.
  return Buffer.from(`key${i}`, 'latin1').toString('latin1')
}

/**
 * @param {number} count
 * @param {() => void} act
 */
function perSecond(count, act) {
  globalThis.gc?.()
  const before = performance.now()
  act()
  return (count * 1e3) / (performance.now() - before)
}
