// @ts-check
// What all measurements need.

import { rmSync } from 'node:fs'
import { parseArgs } from 'node:util'

/** @param {number[]} numbers */
export function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  const upper = /** @type {number} */ (sorted[half])
  return sorted.length % 2 === 1 ? upper : (upper + /** @type {number} */ (sorted[half - 1])) / 2
}

/**
 * The options of the command line. With `--help` it ends and says what there is; with one that it does not know it ends with 2.
 *
 * @template {NonNullable<import('node:util').ParseArgsConfig['options']>} T
 * @param {string} usage
 * @param {T} options
 */
export function readOptions(usage, options) {
  try {
    if (process.argv.includes('--help')) {
      console.log(usage)
      process.exit(0)
    }
    return parseArgs({ options }).values
  } catch (error) {
    console.error(`${/** @type {Error} */ (error).message}\n${usage}`)
    process.exit(2)
  }
}

/** @param {string} folder */
export function remove(folder) {
  rmSync(folder, { recursive: true, force: true })
}
