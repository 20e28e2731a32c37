// @ts-check
// How long background work holds the event loop: the longest delay while everything is overwritten, with the background
// minus without. Both are measured in turn, each in a process of its own.
//
//   log      compaction against none, with as many entries as the other figures have
//   btree    checkpoints, in random order over a store that is many times as large as the cache (`--tree-mib`)

import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { open } from '../../packages/kvark/dist/index.js'
import { inChild } from '../child.js'
import { median, remove } from '../common.js'
import { key, shuffled, values } from '../data.js'
import { check, load, put, row, VALUE_BYTES } from './work.js'

const LIMIT_MS = 10
const RUNS = 5
const NEVER = Number.MAX_SAFE_INTEGER
const MIB = 1024 * 1024
/** Of the tree: so that its entries are few, and most of the bytes are theirs. */
const TREE_VALUE_BYTES = 1000
const TREE_CACHE_BYTES = 64 * MIB
/** Overwritten in a run of the tree, in bytes of values: enough for some checkpoints. */
const OVERWRITTEN_BYTES = 128 * MIB

/** @typedef {{ longestMs: number, rounds: number }} Run */
/** @typedef {{ folder: string, entries: number, background: boolean, run: number }} Args */

/** @param {import('./work.js').Context} context */
export async function measure({ folder, engines, entries, treeBytes, say }) {
  const rows = []
  if (engines.includes('log')) {
    rows.push(...(await compare('log', 'compaction', { folder, entries }, say)))
  }
  if (!engines.includes('btree')) return rows
  const inTree = Math.max(1, Math.round(treeBytes / TREE_VALUE_BYTES))
  say('btree: filling')
  await inChild(import.meta.url, 'fillTree', { folder, entries: inTree })
  const size = `${(treeBytes / MIB).toFixed(0)} MiB, ${TREE_CACHE_BYTES / MIB} MiB of cache`
  rows.push(...(await compare('btree', 'checkpoints', { folder, entries: inTree }, say, size)))
  return rows
}

/**
 * @param {import('./work.js').Engine} engine
 * @param {string} work
 * @param {{ folder: string, entries: number }} args
 * @param {(text: string) => void} say
 * @param {string} [what]
 */
async function compare(engine, work, args, say, what) {
  const differences = []
  const longest = /** @type {{ on: number[], off: number[] }} */ ({ on: [], off: [] })
  let rounds = Number.POSITIVE_INFINITY
  for (let run = 1; run <= RUNS; run++) {
    say(`${engine}: run ${run} of ${RUNS}`)
    const off = await inChild(import.meta.url, engine, { ...args, background: false, run })
    const on = await inChild(import.meta.url, engine, { ...args, background: true, run })
    if (off.rounds !== 0) throw new Error(`${engine}: ${work} though there should be none`)
    rounds = Math.min(rounds, on.rounds)
    longest.off.push(off.longestMs)
    longest.on.push(on.longestMs)
    differences.push(on.longestMs - off.longestMs)
  }
  remove(args.folder)
  if (rounds === 0) throw new Error(`${engine}: no ${work}`)
  const name = 'event-loop'
  const each = `median of ${RUNS}: ${differences.map((one) => one.toFixed(1)).join(', ')}`
  const note = what === undefined ? each : `${each}; ${what}`
  const added = median(differences)
  return [
    row(name, `${engine}: delay added by ${work}`, added, 'ms', { limit: LIMIT_MS, note }),
    row(name, `${engine}: longest delay with ${work}`, median(longest.on), 'ms'),
    row(name, `${engine}: longest delay without`, median(longest.off), 'ms'),
    row(name, `${engine}: ${work} in a run, at least`, rounds, ''),
  ]
}

/**
 * @param {Args} args
 * @returns {Promise<Run>}
 */
export async function log({ folder, entries, background }) {
  const db = await open(folder, { engine: 'log', compactionThresholdBytes: NEVER })
  const value = values(VALUE_BYTES)
  await load(db, entries, value)
  const order = shuffled(entries, 1)
  if (background) db.configure({ compactionThresholdBytes: MIB })
  const longestMs = await longestDelay(async () => {
    await put(db, entries, (n) => /** @type {number} */ (order[n]), value, 1)
    while (db.stats().compacting) await sleep(10)
  })
  const { compactions } = db.stats()
  check(db, entries, value, 1)
  await db.close()
  remove(folder)
  return { longestMs, rounds: compactions }
}

/** @param {{ folder: string, entries: number }} args */
export async function fillTree({ folder, entries }) {
  const db = await open(folder)
  await load(db, entries, values(TREE_VALUE_BYTES))
  await db.close()
}

/**
 * Without the background the journal may grow, and the cache has room for all that changes: what is left is reading pages and
 * writing the journal.
 *
 * @param {Args} args
 * @returns {Promise<Run>}
 */
export async function btree({ folder, entries, background, run }) {
  const value = values(TREE_VALUE_BYTES)
  const endless = { cacheBytes: 8 * entries * TREE_VALUE_BYTES, checkpointBytes: NEVER }
  const db = await open(folder, background ? { cacheBytes: TREE_CACHE_BYTES } : endless)
  const order = shuffled(entries, run)
  const count = Math.min(entries, Math.round(OVERWRITTEN_BYTES / TREE_VALUE_BYTES))
  const longestMs = await longestDelay(async () => {
    await put(db, count, (n) => /** @type {number} */ (order[n]), value, run)
    while (db.stats().compacting) await sleep(10)
  })
  const { checkpoints } = db.stats()
  for (let n = 0; n < count; n++) {
    const i = /** @type {number} */ (order[n])
    if (db.getSync(key(i)) !== value(i, run)) throw new Error(`wrong value of ${key(i)}`)
  }
  await db.close()
  return { longestMs, rounds: checkpoints }
}

/** @param {() => Promise<void>} work */
async function longestDelay(work) {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  await sleep(20)
  delay.reset()
  await work()
  await sleep(20)
  delay.disable()
  return delay.max / 1e6
}
