// @ts-check
// What the machine needs for the same amount of data when there is no database in between; ns for each entry. No store
// can be much faster than these.

import { closeSync, fdatasyncSync, fsyncSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { BareGet } from '../bare-get.js'
import { remove } from '../common.js'
import { KEY_BYTES } from '../data.js'
import { checksum, keysOf, timeReads } from './measure/timing.js'
import { taste } from './work.js'

/** @typedef {import('./work.js').Work} Work */

/** What an entry takes besides key and value. */
const ENTRY_BYTES = 10
const CHUNK_BYTES = 256 * 1024
const SYNCS = 1000
const GETS = 250_000
const WRITTEN_BYTES = 128 * 1024 * 1024

/** @type {Readonly<Record<string, (work: Work) => number>>} */
export const bounds = {
  'fdatasync, appending': (work) => syncs(work, false),
  'fdatasync, preallocated': (work) => syncs(work, true),
  'write(2)': write,
  memcpy: copy,
  'bare get': bareGet,
  'Map.get': mapGet,
  'Map.set': mapSet,
}

/** @param {Work} work */
function entryBytes(work) {
  return KEY_BYTES + work.task.data.valueBytes + ENTRY_BYTES
}

/**
 * One entry after the other, each followed by fdatasync.
 *
 * @param {Work} work
 * @param {boolean} preallocated
 */
function syncs(work, preallocated) {
  return withFile(work, (file) => {
    const entry = Buffer.alloc(entryBytes(work), 'kvark')
    if (preallocated) {
      writeSync(file, Buffer.alloc(SYNCS * entry.length), 0, SYNCS * entry.length, 0)
      fsyncSync(file)
    }
    const before = performance.now()
    let n = 0
    for (; n < SYNCS && performance.now() - before < work.budgetMs; n++) {
      writeSync(file, entry, 0, entry.length, n * entry.length)
      fdatasyncSync(file)
    }
    return ((performance.now() - before) * 1e6) / n
  })
}

/** @param {Work} work */
function write(work) {
  return withFile(work, (file) => {
    const chunk = Buffer.alloc(CHUNK_BYTES, 'kvark')
    const before = performance.now()
    for (let bytes = 0; bytes < WRITTEN_BYTES; bytes += CHUNK_BYTES) writeSync(file, chunk)
    return perEntry(work, performance.now() - before)
  })
}

/** @param {Work} work */
function copy(work) {
  const source = Buffer.alloc(WRITTEN_BYTES, 'kvark')
  const target = Buffer.alloc(WRITTEN_BYTES, 'other')
  const before = performance.now()
  for (let at = 0; at < WRITTEN_BYTES; at += CHUNK_BYTES) {
    source.copy(target, at, at, at + CHUNK_BYTES)
  }
  return perEntry(work, performance.now() - before)
}

/** @type {Map<string, import('./work.js').Value> | undefined} */
let map

/** @param {Work} work */
function mapGet(work) {
  map ??= new Map(Array.from({ length: work.entries }, (_, i) => entryOf(work, i)))
  const full = map
  const order = work.pick(GETS, 1)
  return timeReads(keysOf(order), checksum(work, order), (key) => taste(full.get(key)))
}

/** @type {BareGet | undefined} */
let bare

/** @param {Work} work */
function bareGet(work) {
  if (bare === undefined) {
    bare = new BareGet(work.entries, work.task.data.valueBytes)
    for (let i = 0; i < work.entries; i++) bare.put(...entryOf(work, i))
  }
  const full = bare
  const order = work.pick(GETS, 1)
  const get = (/** @type {string} */ key) =>
    taste(work.form === 'text' ? full.text(key) : full.bytes(key))
  return timeReads(keysOf(order), checksum(work, order), get)
}

/** @param {Work} work */
function mapSet(work) {
  const entries = Array.from({ length: Math.min(GETS, work.entries) }, (_, i) => entryOf(work, i))
  const filled = new Map()
  const before = performance.now()
  for (const [key, value] of entries) filled.set(key, value)
  return ((performance.now() - before) * 1e6) / filled.size
}

/**
 * @param {Work} work
 * @param {number} i
 * @returns {[string, import('./work.js').Value]}
 */
function entryOf(work, i) {
  const { key, value } = work.put(i, 0)
  return [key, value]
}

/**
 * @param {Work} work
 * @param {number} ms for `WRITTEN_BYTES`
 */
function perEntry(work, ms) {
  return (ms * 1e6 * entryBytes(work)) / WRITTEN_BYTES
}

/**
 * @param {Work} work
 * @param {(file: number) => number} act
 */
function withFile(work, act) {
  const folder = join(work.task.folder, 'bound')
  mkdirSync(folder, { recursive: true })
  const file = openSync(join(folder, 'file'), 'w')
  const result = act(file)
  closeSync(file)
  remove(folder)
  return result
}
