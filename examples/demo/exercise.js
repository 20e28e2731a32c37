// What the demo does with each set of entries: everything a store is for, each step checked against the source. Only the
// time spent in the store is measured, not the reading and hashing of the source.

import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { open } from 'kvark'

/**
 * @typedef {import('./datasets.js').Dataset} Dataset
 * @typedef {'btree' | 'log'} Engine
 * @typedef {import('kvark').AtomicStore<string, unknown>} Store
 * @typedef {[key: string, value: unknown]} Entry
 * @typedef {object} Step
 * @property {string} step
 * @property {number} entries
 * @property {number} bytes of keys and values, as text
 * @property {number} ms
 * @typedef {object} Report
 * @property {Step[]} steps
 * @property {number} liveBytes of the keys and values that are left
 * @property {number} openMs
 * @property {{ loaded: number, before: number, after: number, closed: number }} disk bytes of all files of the store
 */

/** Entries handed to the store at a time: the memory this takes does not depend on how many there are. */
const CHUNK = 1000

/** What becomes of the entry number `i`: a third is overwritten, a fifth of all deleted. */
const fate = (/** @type {number} */ i) =>
  i % 5 === 4 ? 'deleted' : i % 3 === 0 ? 'overwritten' : 'kept'

/** What an entry is overwritten with. */
const revised = (/** @type {unknown} */ value) => ({ revised: true, was: value })

/**
 * Throws at the first thing that is not as it should be.
 * @param {Dataset} dataset
 * @param {string} folder
 * @param {Engine} engine
 * @param {(step: string, done: number, total: number) => void} progress
 * @returns {Promise<Report>}
 */
export async function exercise(dataset, folder, engine, progress) {
  /** @type {Step[]} */
  const steps = []
  let total = 0

  /**
   * Reads the source and does something with each chunk of the entries that `choose` gives.
   * @param {string} step
   * @param {(entry: Entry, i: number) => Entry | undefined} choose
   * @param {(chunk: Entry[]) => Promise<void>} act
   */
  async function pass(step, choose, act) {
    const result = { step, entries: 0, bytes: 0, ms: 0 }
    let seen = 0
    /** @type {Entry[]} */
    let chunk = []
    const flush = async () => {
      const begin = performance.now()
      await act(chunk)
      result.ms += performance.now() - begin
      result.entries += chunk.length
      for (const [key, value] of chunk) result.bytes += sizeOf(key, value)
      chunk = []
      progress(step, seen, total)
    }
    for await (const entry of dataset.read()) {
      const chosen = choose(entry, seen++)
      if (chosen !== undefined) chunk.push(chosen)
      if (chunk.length === CHUNK) await flush()
    }
    await flush()
    total = seen
    steps.push(result)
    return result
  }

  /**
   * Does something that has no entries to hand over.
   * @template T
   * @param {string} step
   * @param {() => Promise<T>} act
   */
  async function timed(step, act) {
    progress(step, 0, 0)
    const begin = performance.now()
    const result = await act()
    return { result, ms: performance.now() - begin }
  }

  let db = await make(folder, engine)
  try {
    const all = await pass(
      'load, in batches',
      (entry) => entry,
      async (chunk) => {
        await db.batch(chunk.map(([key, value]) => ({ type: 'put', key, value })))
      },
    )
    strictEqual(await db.count(), all.entries, 'count after the load')
    const loaded = await bytesOf(folder)

    await pass(
      'read back, compare',
      (entry) => entry,
      (chunk) => compare(db, chunk),
    )

    await pass(
      'overwrite, put by put',
      ([key, value], i) => (fate(i) === 'overwritten' ? [key, revised(value)] : undefined),
      async (chunk) => {
        // Started together they share their syncs: each is on disk when its promise resolves.
        await Promise.all(chunk.map(([key, value]) => db.put(key, value)))
      },
    )

    const deleted = await pass(
      'delete, in batches',
      (entry, i) => (fate(i) === 'deleted' ? entry : undefined),
      async (chunk) => {
        await db.batch(chunk.map(([key]) => ({ type: 'delete', key })))
      },
    )
    const left = all.entries - deleted.entries
    strictEqual(await db.count(), left, 'count after the deletions')

    const before = await bytesOf(folder)
    const compacted = await timed('compact', () => db.compact())
    const after = await bytesOf(folder)
    steps.push({ step: 'compact', entries: left, bytes: before, ms: compacted.ms })

    const closed = await timed('close', () => db.close())
    steps.push({ step: 'close', entries: 0, bytes: 0, ms: closed.ms })
    const disk = { loaded, before, after, closed: await bytesOf(folder) }

    const opened = await timed('open', () =>
      open(folder, { engine, values: 'json', create: false }),
    )
    db = opened.result
    steps.push({ step: 'open again', entries: 0, bytes: 0, ms: opened.ms })
    strictEqual(await db.count(), left, 'count after opening again')

    await pass(
      'read back, compare',
      ([key, value], i) =>
        fate(i) === 'deleted'
          ? [key, undefined]
          : [key, fate(i) === 'overwritten' ? revised(value) : value],
      (chunk) => compare(db, chunk),
    )

    const walked = { step: 'walk all entries', entries: 0, bytes: 0, ms: 0 }
    const walk = await timed(walked.step, async () => {
      let previous = Buffer.alloc(0)
      for await (const [key, value] of db.entries()) {
        walked.entries++
        walked.bytes += sizeOf(key, value)
        if (!db.supports.order) continue
        const bytes = Buffer.from(key)
        ok(walked.entries === 1 || previous.compare(bytes) < 0, `${key} in its place`)
        previous = bytes
      }
    })
    strictEqual(walked.entries, left, 'entries met by a cursor')
    steps.push({ ...walked, ms: walk.ms })

    const verified = await timed('verify', () => db.verify())
    deepStrictEqual(verified.result.problems, [], 'problems found by verify')
    const { entries, bytes } = verified.result
    steps.push({ step: 'verify every byte', entries, bytes, ms: verified.ms })

    return { steps, liveBytes: walked.bytes, openMs: opened.ms, disk }
  } finally {
    await db.close()
  }
}

/**
 * @param {string} folder
 * @param {Engine} engine
 * @returns {Promise<Store>}
 */
function make(folder, engine) {
  const options = /** @type {const} */ ({ values: 'json', errorIfExists: true })
  if (engine === 'btree') return open(folder, { engine, ...options })
  // Compaction would begin by itself; it is held back to show what it does.
  return open(folder, { engine, ...options, compactionThresholdBytes: Number.MAX_SAFE_INTEGER })
}

/**
 * The store has exactly these values; `undefined` stands for none.
 * @param {Store} db
 * @param {Entry[]} chunk
 */
async function compare(db, chunk) {
  const values = await db.getMany(chunk.map(([key]) => key))
  for (const [i, [key, value]] of chunk.entries()) {
    deepStrictEqual(values[i], value, `the value of ${key}`)
  }
}

/**
 * @param {string} key
 * @param {unknown} value
 */
function sizeOf(key, value) {
  return Buffer.byteLength(key) + Buffer.byteLength(JSON.stringify(value) ?? '')
}

/**
 * Bytes of the files in a folder.
 * @param {string} folder
 */
async function bytesOf(folder) {
  let bytes = 0
  for (const name of await readdir(folder)) bytes += (await stat(join(folder, name))).size
  return bytes
}
