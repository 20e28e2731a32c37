// @ts-check
// What one would write by hand: a `Map` with everything in memory, and a log to which every write is appended. It has
// no checksums, keeps what is overwritten for ever, and notices nothing that is damaged; so it is shown, but nothing is
// rated by it.
//
//   record   key bytes u32 │ value bytes u32, or ffffffff for a deletion │ key │ value

import {
  closeSync,
  fdatasync,
  fdatasyncSync,
  mkdirSync,
  openSync,
  readSync,
  writevSync,
} from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const HEADER_BYTES = 8
const DELETED = 0xffffffff
const CHUNK_BYTES = 256 * 1024
/** Read at once when it opens; no record is longer. */
const PART_BYTES = 64 * 1024 * 1024

export const durabilities = { none: 'written in chunks', os: 'write', disk: 'write and fdatasync' }

/** @typedef {import('./store.js').Value} Value */

const sync = promisify(fdatasync)

/** @type {import('./store.js').Adapter['open']} */
export async function open({ folder, durability, form }) {
  mkdirSync(folder, { recursive: true })
  const path = join(folder, 'log')
  const file = openSync(path, 'a+')
  const entries = replay(file, form)
  /** @type {Buffer[]} */
  let pending = []
  let pendingBytes = 0
  const append = (/** @type {Buffer} */ bytes) => {
    pending.push(bytes)
    pendingBytes += bytes.length
  }
  const flush = () => {
    if (pendingBytes > 0) writevSync(file, pending)
    pending = []
    pendingBytes = 0
  }
  const finish = () => {
    if (durability !== 'none' || pendingBytes >= CHUNK_BYTES) flush()
  }
  let running = Promise.resolve()
  /** @type {Promise<void> | undefined} */
  let next
  // Those who come while a sync runs share the next one.
  const commit = () => {
    next ??= running = running.then(() => {
      next = undefined
      flush()
      return sync(file)
    })
    return next
  }
  const put = (/** @type {string} */ key, /** @type {Value} */ value) => {
    append(record(key, value))
    entries.set(key, value)
    finish()
  }
  const end = () => {
    finish()
    if (durability === 'disk') fdatasyncSync(file)
  }
  return {
    get: (key) => entries.get(key),
    getAwaited: (key) => entries.get(key),
    getMany: (keys) => keys.map((key) => entries.get(key)),
    scan(visit) {
      for (const [, value] of entries) visit(value)
    },
    put,
    putAwaited:
      durability === 'disk'
        ? (key, value) => {
            append(record(key, value))
            entries.set(key, value)
            return commit()
          }
        : put,
    batch(puts) {
      for (const { key, value } of puts) {
        append(record(key, value))
        entries.set(key, value)
      }
      end()
    },
    removeMany(keys) {
      for (const key of keys) {
        append(record(key, undefined))
        entries.delete(key)
      }
      end()
    },
    async close() {
      await running
      flush()
      closeSync(file)
    },
  }
}

/**
 * For keys and strings of ASCII.
 *
 * @param {string} key
 * @param {Value | undefined} value
 */
function record(key, value) {
  const valueBytes = value === undefined ? 0 : value.length
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + key.length + valueBytes)
  bytes.writeUInt32LE(key.length, 0)
  bytes.writeUInt32LE(value === undefined ? DELETED : valueBytes, 4)
  bytes.write(key, HEADER_BYTES, 'latin1')
  const at = HEADER_BYTES + key.length
  if (typeof value === 'string') bytes.write(value, at, 'latin1')
  else if (value !== undefined) bytes.set(value, at)
  return bytes
}

/**
 * @param {number} file
 * @param {'text' | 'bytes'} form
 * @returns {Map<string, Value>}
 */
function replay(file, form) {
  const entries = new Map()
  const part = Buffer.allocUnsafe(PART_BYTES)
  for (let position = 0; ; ) {
    const log = part.subarray(0, readSync(file, part, 0, PART_BYTES, position))
    const used = replayPart(log, form, entries)
    if (used === 0) return entries
    position += used
  }
}

/**
 * @param {Buffer} log
 * @param {'text' | 'bytes'} form
 * @param {Map<string, Value>} entries
 * @returns {number} where the first record begins that is not whole
 */
function replayPart(log, form, entries) {
  for (let at = 0; ; ) {
    if (at + HEADER_BYTES > log.length) return at
    const keyBytes = log.readUInt32LE(at)
    const valueBytes = log.readUInt32LE(at + 4)
    const valueAt = at + HEADER_BYTES + keyBytes
    const end = valueAt + (valueBytes === DELETED ? 0 : valueBytes)
    if (end > log.length) return at
    const key = log.toString('latin1', at + HEADER_BYTES, valueAt)
    const value = log.subarray(valueAt, end)
    if (valueBytes === DELETED) entries.delete(key)
    else entries.set(key, form === 'text' ? value.toString('latin1') : Buffer.from(value))
    at = end
  }
}
