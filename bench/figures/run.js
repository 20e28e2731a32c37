// @ts-check
// Measures the figures that kvark promises and compares them with their limits.
// Ends with 1 when a limit is missed. The limits are meant for a million entries, the default, on a machine that has
// nothing else to do.

import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readOptions, remove } from '../common.js'
import * as eventLoop from './event-loop.js'
import * as get from './get.js'
import * as indexBytes from './index-bytes.js'
import * as memory from './memory.js'
import * as reopen from './reopen.js'
import * as ttl from './ttl.js'

/** @type {Record<string, (context: import('./work.js').Context) => Promise<import('./work.js').Row[]>>} */
const figures = {
  'index-bytes': indexBytes.measure,
  reopen: reopen.measure,
  'event-loop': eventLoop.measure,
  get: get.measure,
  memory: memory.measure,
  ttl: ttl.measure,
}

const USAGE =
  'npm run figures [-- --only <figure>]… [--engine <engine>]… [--json] [--entries <n>] [--tree-mib <n>] [--folder <path>]'
const options = readOptions(USAGE, {
  only: { type: 'string', multiple: true, default: [] },
  engine: { type: 'string', multiple: true, default: ['btree', 'log'] },
  json: { type: 'boolean', default: false },
  entries: { type: 'string', default: '1000000' },
  'tree-mib': { type: 'string', default: '512' },
  folder: { type: 'string', default: tmpdir() },
})
const entries = Number(options.entries)
const treeBytes = Number(options['tree-mib']) * 1024 * 1024
const unknown = options.only.find((name) => !Object.hasOwn(figures, name))
const strange = options.engine.find((name) => name !== 'btree' && name !== 'log')
if (strange !== undefined) {
  console.error(`There is no engine '${strange}'. Known: btree, log.`)
  process.exit(2)
}
const engines = /** @type {import('./work.js').Engine[]} */ (options.engine)
if (unknown !== undefined || !isCount(entries) || !isCount(treeBytes)) {
  console.error(
    unknown === undefined
      ? `--entries and --tree-mib must be whole numbers, not ${options.entries} and ${options['tree-mib']}.`
      : `There is no figure '${unknown}'. Known: ${Object.keys(figures).join(', ')}.`,
  )
  process.exit(2)
}

const folder = mkdtempSync(join(options.folder, 'kvark-figures-'))
let missed = false
try {
  for (const [name, measure] of Object.entries(figures)) {
    if (options.only.length > 0 && !options.only.includes(name)) continue
    const say = (/** @type {string} */ text) => console.error(`  ${name}: ${text}`)
    const rows = await measure({ folder: join(folder, name), engines, entries, treeBytes, say })
    for (const row of rows) console.log(options.json ? JSON.stringify(row) : line(row))
    missed ||= rows.some(({ ok }) => ok === false)
  }
} finally {
  remove(folder)
}
process.exitCode = missed ? 1 : 0

/** @param {number} value */
function isCount(value) {
  return Number.isSafeInteger(value) && value > 0
}

/** @param {import('./work.js').Row} row */
function line({ figure, what, value, unit, limit, ok, note }) {
  const verdict = ok === undefined ? '' : ok ? 'ok' : 'MISSED'
  const most = limit === undefined ? '' : `<= ${short(limit)}`
  return [
    figure.padEnd(12),
    what.padEnd(42),
    `${short(value)} ${unit}`.padStart(14),
    most.padStart(9),
    verdict.padEnd(6),
    note ?? '',
  ]
    .join('  ')
    .trimEnd()
}

/** @param {number} value */
function short(value) {
  return Number.isNaN(value) ? '-' : value.toFixed(Math.abs(value) < 100 ? 1 : 0)
}
