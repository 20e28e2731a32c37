// @ts-check
// How long background work holds the event loop: the longest delay while everything is overwritten, with compaction
// minus without. Both are measured in turn, each in a process of its own.

import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { open } from '../../packages/kvark/dist/index.js'
import { inChild } from '../child.js'
import { median, remove } from '../common.js'
import { shuffled, values } from '../data.js'
import { check, load, put, row, VALUE_BYTES } from './work.js'

const LIMIT_MS = 10
const RUNS = 5
const NEVER = Number.MAX_SAFE_INTEGER

/** @param {import('./work.js').Context} context */
export async function measure({ folder, entries, say }) {
  const differences = []
  const longest = /** @type {{ on: number[], off: number[] }} */ ({ on: [], off: [] })
  let compactions = Number.POSITIVE_INFINITY
  for (let run = 1; run <= RUNS; run++) {
    say(`run ${run} of ${RUNS}`)
    const off = await overwriteOnce(folder, entries, false)
    const on = await overwriteOnce(folder, entries, true)
    if (off.compactions !== 0) throw new Error('it compacted though it should not')
    compactions = Math.min(compactions, on.compactions)
    longest.off.push(off.longestMs)
    longest.on.push(on.longestMs)
    differences.push(on.longestMs - off.longestMs)
  }
  if (compactions === 0) throw new Error('nothing was compacted')
  const name = 'event-loop'
  const note = `median of ${RUNS}: ${differences.map((one) => one.toFixed(1)).join(', ')}`
  return [
    row(name, 'delay added by compaction', median(differences), 'ms', { limit: LIMIT_MS, note }),
    row(name, 'longest delay with compaction', median(longest.on), 'ms'),
    row(name, 'longest delay without', median(longest.off), 'ms'),
    row(name, 'compactions in a run, at least', compactions, ''),
  ]
}

/**
 * @param {string} folder
 * @param {number} entries
 * @param {boolean} background
 * @returns {Promise<{ longestMs: number, compactions: number }>}
 */
async function overwriteOnce(folder, entries, background) {
  const result = await inChild(import.meta.url, 'overwrite', { folder, entries, background })
  remove(folder)
  return result
}

/** @param {{ folder: string, entries: number, background: boolean }} args */
export async function overwrite({ folder, entries, background }) {
  const db = await open(folder, { engine: 'log', compactionThresholdBytes: NEVER })
  const value = values(VALUE_BYTES)
  await load(db, entries, value)
  const order = shuffled(entries, 1)
  if (background) db.configure({ compactionThresholdBytes: 1024 * 1024 })
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  await sleep(20)
  delay.reset()
  await put(db, entries, (n) => /** @type {number} */ (order[n]), value, 1)
  while (db.stats().compacting) await sleep(10)
  await sleep(20)
  delay.disable()
  const { compactions } = db.stats()
  check(db, entries, value, 1)
  await db.close()
  return { longestMs: delay.max / 1e6, compactions }
}
