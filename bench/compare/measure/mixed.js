// @ts-check
// Gets and puts in turn, of keys of which few are asked for often. Puts are synchronous where the store has such.

import { key, random } from '../../data.js'
import { zipfian } from '../../zipfian.js'
import { taste } from '../work.js'

const OPERATIONS = 250_000

/** @typedef {import('../stores/store.js').Put} Put */

/**
 * @param {number} readShare
 * @returns {(job: import('./timing.js').Job) => Promise<number>}
 */
export function mixed(readShare) {
  return async ({ work, seed, share }) => {
    const count = Math.ceil(Math.min(work.entries, OPERATIONS) * share)
    const pick = zipfian(work.entries, seed)
    const chance = random(seed + 1)
    const keys = new Set()
    const operations = []
    let expected = 0
    for (let n = 0; n < count; n++) {
      const i = pick()
      keys.add(i)
      if (chance() < readShare * 2 ** 32) {
        expected = (Math.imul(expected, 31) + work.expected(i)) | 0
        operations.push({ key: key(i), value: undefined })
      } else {
        operations.push(work.overwrite(i))
      }
    }
    const { get, put, putAwaited } = work.store
    globalThis.gc?.()
    let sum = 0
    const before = performance.now()
    if (put !== undefined) {
      for (const { key, value } of operations) {
        if (value === undefined) sum = (Math.imul(sum, 31) + taste(get(key))) | 0
        else put(key, value)
      }
    } else {
      for (const { key, value } of operations) {
        if (value === undefined) sum = (Math.imul(sum, 31) + taste(get(key))) | 0
        else await putAwaited(key, value)
      }
    }
    const time = performance.now() - before
    if (sum !== expected) throw new Error('wrong values were read')
    work.check(keys)
    return (time * 1e6) / count
  }
}
