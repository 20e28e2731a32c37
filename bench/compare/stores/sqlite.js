// @ts-check
// better-sqlite3 with a write-ahead log. `synchronous = NORMAL` survives a killed process but not a power cut; what
// survives one is FULL. It has synchronous calls only.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { load } from '../../rivals/index.js'

const Sqlite = load('better-sqlite3')

export const durabilities = {
  none: 'WAL, synchronous OFF',
  os: 'WAL, synchronous NORMAL',
  disk: 'WAL, synchronous FULL',
}
/** With `soon` nothing is measured. */
const SYNCHRONOUS = { none: 'OFF', os: 'NORMAL', soon: 'NORMAL', disk: 'FULL' }

/** Rows above it are kept apart from the keys, as SQLite advises. */
const SMALL_BYTES = 200

/** @type {import('./store.js').Adapter['open']} */
export async function open({ folder, durability, form, valueBytes, cacheBytes }) {
  mkdirSync(folder, { recursive: true })
  const db = new Sqlite(join(folder, 'data.sqlite'))
  db.pragma('locking_mode = EXCLUSIVE')
  db.pragma('journal_mode = WAL')
  db.pragma(`synchronous = ${SYNCHRONOUS[durability]}`)
  db.pragma(`cache_size = -${Math.ceil(cacheBytes / 1024)}`)
  db.pragma(`mmap_size = ${cacheBytes}`)
  const type = form === 'text' ? 'TEXT' : 'BLOB'
  const kind = valueBytes <= SMALL_BYTES ? 'WITHOUT ROWID' : ''
  db.exec(`CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value ${type}) ${kind}`)
  const select = db.prepare('SELECT value FROM entries WHERE key = ?').pluck()
  const insert = db.prepare('INSERT OR REPLACE INTO entries VALUES (?, ?)')
  const remove = db.prepare('DELETE FROM entries WHERE key = ?')
  const all = db.prepare('SELECT key, value FROM entries').raw()
  const range = db
    .prepare('SELECT key, value FROM entries WHERE key >= ? ORDER BY key LIMIT ?')
    .raw()
  const transact = db.transaction(
    (/** @type {string[]} */ keys, /** @type {import('./store.js').Put[]} */ puts) => {
      const found = keys.map((key) => select.get(key))
      for (const { key, value } of puts) insert.run(key, value)
      return found
    },
  ).immediate
  const put = (/** @type {string} */ key, /** @type {unknown} */ value) => {
    insert.run(key, value)
  }
  return {
    get: (key) => select.get(key),
    getAwaited: (key) => select.get(key),
    getMany: (keys) => keys.map((key) => select.get(key)),
    scan(visit) {
      for (const [, value] of all.iterate()) visit(value)
    },
    range(from, count, visit) {
      for (const [, value] of range.all(from, count)) visit(value)
    },
    transact,
    transactAwaited: transact,
    put,
    putAwaited: put,
    batch: db.transaction((/** @type {import('./store.js').Put[]} */ puts) => {
      for (const { key, value } of puts) insert.run(key, value)
    }),
    removeMany: db.transaction((/** @type {string[]} */ keys) => {
      for (const key of keys) remove.run(key)
    }),
    close: () => db.close(),
  }
}
