// @ts-check
// What several figures do alike.

import { key } from '../data.js'

/**
 * One line of the output. `ok` is `undefined` for what has no limit.
 *
 * @typedef {object} Row
 * @property {string} figure
 * @property {string} what
 * @property {number} value
 * @property {string} unit
 * @property {number} [limit] the value must not be above it
 * @property {boolean} [ok]
 * @property {string} [note]
 */

/** @typedef {'btree' | 'log'} Engine */

/**
 * What a figure gets.
 *
 * @typedef {object} Context
 * @property {string} folder a place of its own
 * @property {readonly Engine[]} engines those that are asked for; what only one has is measured with that one
 * @property {number} entries
 * @property {number} treeBytes of values, for what needs a store that is larger than its cache
 * @property {(text: string) => void} say tells how far it is
 */

/** @typedef {import('../../packages/kvark/dist/index.js').AtomicStore<string, string>} Store */

export const VALUE_BYTES = 100
const CALLERS = 64
const BATCH = 1000

/**
 * @param {string} figure
 * @param {string} what
 * @param {number} value
 * @param {string} unit
 * @param {{ limit?: number, note?: string }} [rest]
 * @returns {Row}
 */
export function row(figure, what, value, unit, { limit, note } = {}) {
  return {
    figure,
    what,
    value,
    unit,
    ...(limit === undefined ? {} : { limit, ok: value <= limit }),
    ...(note === undefined ? {} : { note }),
  }
}

/**
 * Fills a store as fast as it goes: batches, nothing waited for.
 *
 * @param {Pick<Store, 'batch'>} db
 * @param {number} entries
 * @param {(i: number, round: number) => string} value
 */
export async function load(db, entries, value) {
  for (let i = 0; i < entries; ) {
    const end = Math.min(i + BATCH, entries)
    const operations = []
    for (; i < end; i++) {
      operations.push(/** @type {const} */ ({ type: 'put', key: key(i), value: value(i, 0) }))
    }
    await db.batch(operations, { durability: 'os' })
  }
}

/**
 * Puts `count` entries from many callers who each wait until the operating system has theirs.
 *
 * @param {Pick<Store, 'put'>} db
 * @param {number} count
 * @param {(n: number) => number} order which entry is the `n`th
 * @param {(i: number, round: number) => string} value
 * @param {number} round
 */
export async function put(db, count, order, value, round) {
  let next = 0
  const caller = async () => {
    while (next < count) {
      const i = order(next++)
      await db.put(key(i), value(i, round), { durability: 'os' })
    }
  }
  await Promise.all(Array.from({ length: CALLERS }, caller))
}

/**
 * Compares every entry with what was written.
 *
 * @param {Store} db
 * @param {number} entries
 * @param {(i: number, round: number) => string} value
 * @param {number} round
 */
export function check(db, entries, value, round) {
  for (let i = 0; i < entries; i++) {
    if (db.getSync(key(i)) !== value(i, round)) throw new Error(`wrong value of ${key(i)}`)
  }
  if (db.stats().entries !== entries) throw new Error(`${db.stats().entries} entries`)
}
