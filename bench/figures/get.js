// @ts-check
// Time of reading one value as a string, everything cached, beside lmdb and a get without a store in the same process.

import { createRequire } from 'node:module'
import { open } from '../../packages/kvark/dist/index.js'
import { BareGet } from '../bare-get.js'
import { inChild } from '../child.js'
import { median, remove } from '../common.js'
import { key, shuffled, values } from '../data.js'
import { rival } from '../rivals/index.js'
import { check, load, row, VALUE_BYTES } from './work.js'

const LIMIT_NS = 600
const ROUNDS = 7
const MIB = 1024 * 1024

/** @param {import('./work.js').Context} context */
export async function measure({ folder, entries, say }) {
  const lmdb = rival('lmdb')
  if ('missing' in lmdb) say(`lmdb is not compared: ${lmdb.missing}`)
  const compared = 'module' in lmdb
  const times = await inChild(import.meta.url, 'read', { folder, entries, compared })
  remove(folder)
  const name = 'get'
  const note = `median of ${ROUNDS} rounds, ${Math.min(...times.kvark).toFixed(0)} to ${Math.max(...times.kvark).toFixed(0)}`
  const ours = median(times.kvark)
  const rows = [
    row(name, 'getSync of a string, random', ours, 'ns', { limit: LIMIT_NS, note }),
    row(name, 'table, entry, string: no store', median(times.bare), 'ns', { note: 'same rounds' }),
  ]
  if (!compared) {
    rows.push(row(name, "lmdb's get of a string", Number.NaN, 'ns', { note: 'not compared' }))
    return rows
  }
  const theirs = median(times.lmdb)
  return [
    ...rows,
    row(name, "lmdb's get of a string", theirs, 'ns', { note: 'same rounds' }),
    row(name, 'times as fast as lmdb', theirs / ours, ''),
  ]
}

/**
 * @param {{ folder: string, entries: number, compared: boolean }} args
 * @returns {Promise<{ kvark: number[], bare: number[], lmdb: number[] }>}
 */
export async function read({ folder, entries, compared }) {
  const value = values(VALUE_BYTES)
  const db = await open(`${folder}/kvark`, { engine: 'log', cacheBytes: 512 * MIB })
  await load(db, entries, value)
  check(db, entries, value, 0)
  const other = compared ? openLmdb(`${folder}/lmdb`, entries, value) : undefined
  const bare = new BareGet(entries, VALUE_BYTES)
  for (let i = 0; i < entries; i++) bare.put(key(i), value(i, 0))
  /** @type {{ kvark: number[], bare: number[], lmdb: number[] }} */
  const times = { kvark: [], bare: [], lmdb: [] }
  const ours = (/** @type {string} */ name) => db.getSync(name)
  const bareText = (/** @type {string} */ name) => bare.text(name)
  // One round more, for the compiler.
  for (let round = 0; round <= ROUNDS; round++) {
    const order = shuffled(entries, round)
    const expected = checksum(order, value)
    const run = (/** @type {number[]} */ list, /** @type {Get} */ get) => {
      const time = timed(order, get, expected)
      if (round > 0) list.push(time)
    }
    run(times.kvark, ours)
    run(times.bare, bareText)
    if (other) run(times.lmdb, other.get)
  }
  await db.close()
  await other?.close()
  return times
}

/** @typedef {(key: string) => string | undefined} Get */

/**
 * Reads all keys in the order given; the average in ns.
 *
 * @param {Uint32Array} order
 * @param {Get} get
 * @param {number} expected
 */
function timed(order, get, expected) {
  const count = order.length
  // Made anew for each run, in the order in which they are asked for.
  const keys = new Array(count)
  for (let n = 0; n < count; n++) keys[n] = key(/** @type {number} */ (order[n]))
  let sum = 0
  const before = process.hrtime.bigint()
  for (let n = 0; n < count; n++) {
    const found = get(keys[n])
    if (found === undefined) throw new Error(`${keys[n]} is missing`)
    sum = (Math.imul(sum, 31) + taste(found)) | 0
  }
  const time = Number(process.hrtime.bigint() - before) / count
  if (sum !== expected) throw new Error('wrong values')
  return time
}

/**
 * @param {Uint32Array} order
 * @param {(i: number, round: number) => string} value
 */
function checksum(order, value) {
  let sum = 0
  for (const i of order) sum = (Math.imul(sum, 31) + taste(value(i, 0))) | 0
  return sum
}

/**
 * A little of a value, enough to notice another one's.
 *
 * @param {string} text
 */
function taste(text) {
  return text.length + text.charCodeAt(3) * 256 + text.charCodeAt(6) * 65536 + text.charCodeAt(7)
}

/**
 * @param {string} folder
 * @param {number} entries
 * @param {(i: number, round: number) => string} value
 * @returns {{ get: Get, close: () => Promise<void> }}
 */
function openLmdb(folder, entries, value) {
  const require = createRequire(new URL('../rivals/package.json', import.meta.url))
  const db = require('lmdb').open({ path: folder, encoding: 'string', noSync: true })
  db.transactionSync(() => {
    for (let i = 0; i < entries; i++) db.putSync(key(i), value(i, 0))
  })
  for (let i = 0; i < entries; i++) {
    if (db.get(key(i)) !== value(i, 0)) throw new Error(`lmdb: wrong value of ${key(i)}`)
  }
  return { get: (name) => db.get(name), close: () => db.close() }
}
