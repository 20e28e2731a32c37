// The main job on real input, checked from end to end:
//
//   node examples/demo.js [--engine NAME] [--keep DIR]        (npm run demo -- --engine log)
//
// Two stores are filled, read, overwritten, thinned out, compacted, closed, opened and read again, and every single value
// is compared with its source. Works in a temporary folder that is removed at the end; `--keep DIR` works in DIR and
// leaves the stores there. Ends with 1 if anything is not as it should be.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { files, words } from './demo/datasets.js'
import { exercise } from './demo/exercise.js'

/** @typedef {import('./demo/exercise.js').Report} Report */

const { values: options } = parseArgs({
  options: { engine: { type: 'string', default: 'btree' }, keep: { type: 'string' } },
})
const engine = engineNamed(options.engine)
const folder = makeFolder(options.keep)

try {
  const begin = performance.now()
  console.log(`kvark, engine ${engine}, Node ${process.version}`)
  for (const dataset of [words, files]) {
    const report = await exercise(dataset, join(folder, dataset.name), engine, showProgress)
    endProgress()
    print(`${dataset.name}: ${dataset.about}`, report)
  }
  const seconds = ((performance.now() - begin) / 1000).toFixed(1)
  console.log(
    `\nEvery value read was the one in the source. ${seconds} s in all, reading and hashing included.`,
  )
  if (options.keep !== undefined) {
    const shown = relative(process.cwd(), folder) || '.'
    console.log(`The stores are kept: npx kvark stats --data-dir ${join(shown, words.name)}`)
  }
} catch (error) {
  endProgress()
  console.error(error)
  console.error('\nThe demo failed.')
  process.exitCode = 1
}

/**
 * @param {string} name
 * @returns {import('./demo/exercise.js').Engine}
 */
function engineNamed(name) {
  if (name === 'btree' || name === 'log') return name
  throw new Error(`The demo knows the engines btree and log, not ${name}.`)
}

/**
 * Where to work. A temporary folder goes away with the process.
 * @param {string | undefined} keep
 */
function makeFolder(keep) {
  if (keep !== undefined) {
    mkdirSync(keep, { recursive: true })
    return resolve(keep)
  }
  const temporary = mkdtempSync(join(tmpdir(), 'kvark-demo-'))
  process.on('exit', () => rmSync(temporary, { recursive: true, force: true }))
  process.on('SIGINT', () => process.exit(130))
  process.on('SIGTERM', () => process.exit(143))
  return temporary
}

/**
 * @param {string} title
 * @param {Report} report
 */
function print(title, { steps, liveBytes, openMs, disk }) {
  console.log(`\n${title}\n`)
  const rows = steps.map(({ step, entries, bytes, ms }) => [
    step,
    entries === 0 ? '' : count(entries),
    bytes === 0 ? '' : megabytes(bytes),
    ms.toFixed(1),
    entries === 0 ? '' : count((entries / ms) * 1000),
  ])
  printTable([['step', 'entries', 'MB', 'ms in the store', 'entries/s'], ...rows])
  console.log(
    `\nOn disk: ${megabytes(disk.loaded)} MB loaded, ${megabytes(disk.before)} MB before compaction, ` +
      `${megabytes(disk.after)} MB after, ${megabytes(disk.closed)} MB closed; ` +
      `the keys and values left are ${megabytes(liveBytes)} MB. Opened in ${openMs.toFixed(1)} ms.`,
  )
}

/** @param {string[][]} rows */
function printTable(rows) {
  const widths = rows[0]?.map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  )
  for (const row of rows) {
    const cells = row.map((cell, column) => {
      const width = widths?.[column] ?? 0
      return column === 0 ? cell.padEnd(width) : cell.padStart(width)
    })
    console.log(`  ${cells.join('   ')}`)
  }
}

/** @param {number} value */
function count(value) {
  return Math.round(value).toLocaleString('en-US')
}

/** @param {number} bytes */
function megabytes(bytes) {
  return (bytes / 1e6).toFixed(2)
}

/**
 * @param {string} step
 * @param {number} done
 * @param {number} total 0 while it is not known
 */
function showProgress(step, done, total) {
  if (!process.stderr.isTTY) return
  const share = total === 0 ? count(done) : `${Math.floor((done / total) * 100)} %`
  process.stderr.write(`\r\x1b[K${step} ${done === 0 ? '' : share}`)
}

function endProgress() {
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
}
