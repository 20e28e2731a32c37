// @ts-check
// A million entries that live between 1 and 60 s of a simulated clock: a minute after the last of them has expired the store is empty,
// and takes as little of the disk as it did before.

import { open } from '../../packages/kvark/dist/index.js'
import { simulatedEnvironment } from '../../packages/kvark/dist/testing/index.js'
import { inChild } from '../child.js'
import { row } from './work.js'

const LEAST_MS = 1000
const MOST_MS = 60_000
const STEP_MS = 1000
const MIB = 1024 * 1024
/** What each engine may keep that nobody needs: `compactionThresholdBytes` of the log; the tree's roots, map and journal. */
const FLOOR_BYTES = MIB

/** @param {import('./work.js').Context} context */
export async function measure({ engines, entries, say }) {
  const rows = []
  for (const engine of engines) {
    say(`${entries} entries, ${engine}`)
    const { full, left, bytes, seconds } = await inChild(import.meta.url, 'work', {
      engine,
      entries,
    })
    const note = `${(full / MIB).toFixed(0)} MiB before`
    rows.push(
      row('ttl', `${engine}: entries left`, left, '', { limit: 0 }),
      row('ttl', `${engine}: on disk`, bytes / MIB, 'MiB', { limit: FLOOR_BYTES / MIB, note }),
      row('ttl', `${engine}: giving space back`, seconds, 's'),
    )
  }
  return rows
}

/** @param {{ engine: import('./work.js').Engine, entries: number }} args */
export async function work({ engine, entries }) {
  const environment = simulatedEnvironment({ seed: 1 })
  const db = await open('/store', { engine, environment, durability: 'none' })
  for (let i = 0; i < entries; i++) {
    const ttl = LEAST_MS + ((i * 7919) % (MOST_MS - LEAST_MS + 1))
    const done = db.put(`key${i}`, 'value'.repeat(20), { ttl })
    if (i % 64 === 0) await done
  }
  await db.sync()
  const full = db.stats().diskBytes
  const begun = process.cpuUsage()
  for (let passed = 0; passed < MOST_MS + 60_000; passed += STEP_MS) {
    environment.advance(STEP_MS)
    do await new Promise((resolve) => setImmediate(resolve))
    while (db.stats().compacting)
  }
  const { user, system } = process.cpuUsage(begun)
  const { entries: left, diskBytes: bytes } = db.stats()
  await db.close()
  return { full, left, bytes, seconds: (user + system) / 1e6 }
}
