// @ts-check
// Memory of the index for each key.

import { open } from '../../packages/kvark/dist/index.js'
import { inChild } from '../child.js'
import { remove } from '../common.js'
import { key, values } from '../data.js'
import { row, VALUE_BYTES } from './work.js'

const LIMIT_BYTES = 17
const BATCH = 1000

/** @param {import('./work.js').Context} context */
export async function measure({ folder, entries }) {
  const { loaded, worst } = await inChild(import.meta.url, 'grow', { folder, entries })
  const reopened = await inChild(import.meta.url, 'reopen', { folder })
  remove(folder)
  const name = 'index-bytes'
  return [
    row(name, 'index after loading', loaded, 'B/key', { limit: LIMIT_BYTES }),
    row(name, 'index after reopening', reopened, 'B/key', { limit: LIMIT_BYTES }),
    row(name, 'index at its worst from half the load on', worst, 'B/key'),
  ]
}

/** @param {{ folder: string, entries: number }} args */
export async function grow({ folder, entries }) {
  const db = await open(folder, { engine: 'log', durability: 'none' })
  const value = values(VALUE_BYTES)
  let worst = 0
  for (let i = 0; i < entries; i++) {
    db.putSync(key(i), value(i, 0))
    if (i >= entries / 2 && i % BATCH === 0) worst = Math.max(worst, perKey(db.stats()))
  }
  const loaded = perKey(db.stats())
  await db.close()
  return { loaded, worst }
}

/** @param {{ folder: string }} args */
export async function reopen({ folder }) {
  const db = await open(folder, { engine: 'log' })
  const bytes = perKey(db.stats())
  await db.close()
  return bytes
}

/** @param {{ indexBytes: number, entries: number }} stats */
function perKey({ indexBytes, entries }) {
  return indexBytes / entries
}
