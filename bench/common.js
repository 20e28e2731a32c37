// @ts-check
// What all measurements need.

import { rmSync } from 'node:fs'

/** @param {number[]} numbers */
export function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  const upper = /** @type {number} */ (sorted[half])
  return sorted.length % 2 === 1 ? upper : (upper + /** @type {number} */ (sorted[half - 1])) / 2
}

/** @param {string} folder */
export function remove(folder) {
  rmSync(folder, { recursive: true, force: true })
}
