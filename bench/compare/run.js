// @ts-check
// kvark's engines beside other databases; docs/benchmarks.md tells what is compared and how to read it.
// Prints a table (or JSON), and writes JSON to bench/results. A missed target is marked, but only what failed makes it
// end with 1.

import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readOptions, remove } from '../common.js'
import { rival, versions } from '../rivals/index.js'
import { dataSets } from './data-sets.js'
import * as kvstore from './kvstore.js'
import { rate } from './ratings.js'
import { rows } from './rows.js'
import { Session } from './session.js'
import { subjects } from './subjects.js'
import { kvstoreTable, summary, table } from './table.js'

const RESULTS = fileURLToPath(new URL('../results', import.meta.url))
const KVSTORE = 'kvstore'
const FULL = { entries: 1_000_000, kvstoreEntries: 100_000, budgetMs: 3000, mostRounds: 5 }
const QUICK = { entries: 20_000, kvstoreEntries: 10_000, budgetMs: 200, mostRounds: 3 }

const USAGE =
  'npm run bench [-- --quick] [--engine <name>]… [--rival <name>]… [--row <name>]… [--entries <n>] [--json] [--folder <path>]'
const options = readOptions(USAGE, {
  quick: { type: 'boolean', default: false },
  engine: { type: 'string', multiple: true, default: [] },
  rival: { type: 'string', multiple: true, default: [] },
  row: { type: 'string', multiple: true, default: [] },
  entries: { type: 'string' },
  json: { type: 'boolean', default: false },
  folder: { type: 'string', default: RESULTS },
})
const size = options.quick ? QUICK : FULL
const entries = Number(options.entries ?? size.entries)
const engines = subjects.filter(({ kind }) => kind === 'engine').map(({ name }) => name)
const rivals = subjects.filter(({ kind }) => kind === 'rival').map(({ name }) => name)
const rowNames = [...rows.map(({ name }) => name), KVSTORE]
demand(Number.isSafeInteger(entries) && entries >= 1000, '--entries must be 1000 or more.')
for (const name of options.engine) {
  demand(engines.includes(name), `There is no engine '${name}'. Known: ${engines.join(', ')}.`)
}
for (const name of options.rival) {
  demand(rivals.includes(name), `There is no rival '${name}'. Known: ${rivals.join(', ')}.`)
}
for (const name of options.row) {
  demand(rowNames.includes(name), `There is no row '${name}'. Known: ${rowNames.join(', ')}.`)
}

const begun = performance.now()
/** @type {Record<string, string>} */
const missing = {}
const taking = subjects.filter(takesPart)
mkdirSync(options.folder, { recursive: true })
const folder = mkdtempSync(join(options.folder, 'stores-'))
/** @type {Session | undefined} */
let session
process.once('SIGINT', () => {
  session?.abort()
  remove(folder)
  process.exit(130)
})

/** @type {import('./ratings.js').Result[]} */
const results = []
/** @type {Session['failures']} */
const failures = []
/** @type {Session['durabilities']} */
let durabilities = {}
/** @type {import('./kvstore.js').Figure[]} */
let kvstoreFigures = []
try {
  for (const data of dataSets) {
    const wanted = rows.filter((row) => row.data === data.name && asked(row.name))
    if (wanted.length === 0) continue
    session = new Session(data, taking, {
      entries,
      budgetMs: size.budgetMs,
      mostRounds: size.mostRounds,
      quick: options.quick,
      folder,
      say,
    })
    for (const sampled of await session.run(wanted)) {
      results.push(rate(sampled, taking, entries === FULL.entries))
    }
    failures.push(...session.failures)
    durabilities = { ...durabilities, ...session.durabilities }
    for (const { name, kind } of taking) if (kind === 'variant') delete durabilities[name]
  }
  if (asked(KVSTORE)) {
    say(KVSTORE)
    kvstoreFigures = await kvstore.figures(join(folder, KVSTORE), size.kvstoreEntries)
  }
} finally {
  session?.abort()
  remove(folder)
}

const report = {
  date: new Date().toISOString(),
  minutes: (performance.now() - begun) / 60_000,
  node: process.version,
  platform: `${process.platform} ${process.arch}`,
  processor: `${cpus().length} x ${cpus()[0]?.model.trim()}`,
  memoryBytes: totalmem(),
  entries,
  versions,
  durabilities,
  missing,
  failures,
  results,
  kvstore: kvstoreFigures,
}
const json = JSON.stringify(report, undefined, 2)
mkdirSync(RESULTS, { recursive: true })
const file = join(RESULTS, `${report.date.replaceAll(':', '-')}.json`)
writeFileSync(file, json)
console.log(options.json ? json : text())
say(`written to ${file}`)
if (failures.length > 0) process.exitCode = 1

/** @param {import('./subjects.js').Subject} subject */
function takesPart(subject) {
  if (subject.kind === 'engine') {
    return options.engine.length === 0 || options.engine.includes(subject.name)
  }
  if (subject.kind === 'variant' || subject.kind === 'form')
    return !options.engine.length || options.engine.includes(subject.of ?? '')
  if (options.rival.length > 0 && !options.rival.includes(subject.name)) return false
  if (subject.package === undefined) return true
  const found = rival(subject.package)
  if ('module' in found) return true
  missing[subject.name] = found.missing
  say(`${subject.name} is not compared: ${found.missing}`)
  return false
}

/** @param {string} row */
function asked(row) {
  return options.row.length === 0 || options.row.includes(row)
}

function text() {
  const names = taking.map(({ name }) => name)
  const parts = [
    `${report.date}, ${report.minutes.toFixed(0)} min, Node ${report.node}, ${report.processor}`,
  ]
  for (const [name, why] of Object.entries(missing)) parts.push(`${name} is not compared: ${why}`)
  if (entries !== FULL.entries) {
    const full = FULL.entries.toLocaleString('en')
    parts.push(`Targets are meant for ${full} entries, and are judged with these only.`)
  }
  for (const data of dataSets) {
    const part = results.filter((result) => result.data === data.name)
    const count = Math.ceil(entries * data.share).toLocaleString('en')
    if (part.length > 0) parts.push(table(`${count} entries, ${data.name}`, part, names))
  }
  if (kvstoreFigures.length > 0) parts.push(kvstoreTable(kvstoreFigures))
  parts.push(
    ['none', 'os', 'soon', 'disk']
      .map((durability) => {
        const called = Object.entries(durabilities)
          .filter(([, of]) => of[durability] !== undefined)
          .map(([name, of]) => `${name}: ${of[durability]}`)
        return `durability ${durability} is ${called.join(' · ')}`
      })
      .join('\n'),
  )
  parts.push(summary(results))
  for (const { subject, message } of failures) parts.push(`${subject} FAILED at ${message}`)
  return `\n${parts.join('\n\n')}\n`
}

/** @param {string} what */
function say(what) {
  const minutes = ((performance.now() - begun) / 60_000).toFixed(1)
  console.error(`  ${minutes} min  ${what}`)
}

/**
 * @param {boolean} condition
 * @param {string} message
 */
function demand(condition, message) {
  if (condition) return
  console.error(message)
  process.exit(2)
}
