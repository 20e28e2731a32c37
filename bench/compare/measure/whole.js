// @ts-check
// What a store costs as a whole. Opening and memory are measured in a process in which nothing else has happened.

import { readFileSync } from 'node:fs'
import { key } from '../../data.js'
import { taste } from '../work.js'

/** @typedef {import('./timing.js').Job} Job */

/**
 * Opening, lock and index included, up to the first value; ns.
 *
 * @param {Job} job
 */
export function open({ work }) {
  return timeOpening(work, () => work.use('none'))
}

/**
 * The same by the way that leaves the event loop free, of those who have it.
 *
 * @param {Job} job
 */
export async function openAwaited({ work }) {
  return work.adapter.openAwaited && timeOpening(work, () => work.useAwaited('none'))
}

/**
 * @param {import('../work.js').Work} work
 * @param {() => Promise<void>} act
 */
async function timeOpening(work, act) {
  const name = key(0)
  const before = performance.now()
  await act()
  const found = work.store.get(name)
  const time = performance.now() - before
  if (taste(found) !== work.expected(0)) throw new Error('a wrong value was read')
  return time * 1e6
}

/**
 * What opening a store and reading all of it adds to the resident memory; bytes.
 *
 * @param {Job} job
 */
export function memory(job) {
  return growth(job, () => process.memoryUsage.rss())
}

/**
 * The same without what is mapped from files, which the operating system can take back.
 *
 * @param {Job} job
 */
export async function privateMemory(job) {
  return privateBytes() === undefined ? undefined : growth(job, () => privateBytes() ?? 0)
}

/**
 * @param {Job} job
 * @param {() => number} measure
 */
async function growth({ work }, measure) {
  globalThis.gc?.()
  const before = measure()
  await work.use('none')
  for (let i = 0; i < work.entries; i++) {
    if (taste(work.store.get(key(i))) !== work.expected(i))
      throw new Error('a wrong value was read')
  }
  globalThis.gc?.()
  return measure() - before
}

/** On Linux only. */
function privateBytes() {
  if (process.platform !== 'linux') return undefined
  const kib = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
  return kib === undefined ? undefined : Number(kib) * 1024
}

/**
 * Bytes on disk for each entry, after a clean close.
 *
 * @param {Job} job
 */
export async function diskBytes({ work }) {
  await work.close()
  return work.diskBytes() / work.entries
}
