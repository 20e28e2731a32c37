// @ts-check
// Time of opening a store: after a clean close, and after the process was killed that had it open.

import { cpSync } from 'node:fs'
import { open } from '../../packages/kvark/dist/index.js'
import { inChild } from '../child.js'
import { median, remove } from '../common.js'
import { shuffled, values } from '../data.js'
import { check, put, row, VALUE_BYTES } from './work.js'

const CLEAN_LIMIT_MS = 100
const KILLED_LIMIT_MS = 2000
const RUNS = 5

/** @param {import('./work.js').Context} context */
export async function measure({ folder, engines, entries, say }) {
  const rows = []
  const stores = /** @type {const} */ ([
    { what: 'open after a clean close', rounds: 1, close: true, limit: CLEAN_LIMIT_MS },
    { what: 'open after close, all overwritten', rounds: 2, close: true, limit: CLEAN_LIMIT_MS },
    { what: 'open after kill -9, loaded', rounds: 1, close: false, limit: KILLED_LIMIT_MS },
    {
      what: 'open after kill -9, all overwritten',
      rounds: 2,
      close: false,
      limit: KILLED_LIMIT_MS,
    },
  ])
  const cases = engines.flatMap((engine) => stores.map((one) => ({ engine, ...one })))
  for (const { engine, what: how, rounds, close, limit } of cases) {
    const what = `${engine}: ${how}`
    say(what)
    const args = { folder, engine, entries, rounds, close }
    await inChild(import.meta.url, 'fill', args, { kill: !close })
    const times = []
    for (let run = 0; run < RUNS; run++) {
      const copy = `${folder}-copy`
      cpSync(folder, copy, { recursive: true })
      times.push(await inChild(import.meta.url, 'reopen', { ...args, folder: copy }))
      remove(copy)
    }
    remove(folder)
    const note = `median of ${RUNS}, ${Math.min(...times).toFixed(0)} to ${Math.max(...times).toFixed(0)}`
    rows.push(row('reopen', what, median(times), 'ms', { limit, note }))
  }
  return rows
}

/** @typedef {{ folder: string, engine: import('./work.js').Engine, entries: number, rounds: number, close: boolean }} Args */

/** @param {Args} args */
export async function fill({ folder, engine, entries, rounds, close }) {
  const db = await open(folder, { engine })
  const value = values(VALUE_BYTES)
  for (let round = 0; round < rounds; round++) {
    const order = shuffled(entries, round)
    await put(db, entries, (n) => /** @type {number} */ (order[n]), value, round)
  }
  if (close) await db.close()
}

/** @param {Args} args */
export async function reopen({ folder, engine, entries, rounds }) {
  const before = performance.now()
  const db = await open(folder, { engine })
  const time = performance.now() - before
  check(db, entries, values(VALUE_BYTES), rounds - 1)
  await db.close()
  return time
}
