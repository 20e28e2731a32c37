import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { type Report, tableOf, withTable } from './report.ts'

const ROOT = new URL('../../../../../', import.meta.url)
const NUMBERS = new URL('docs/numbers/proof.json', ROOT)

const report: Report = {
  tier: 'nightly',
  seed: 1,
  date: '2026-01-02T03:04:05.000Z',
  commit: 'abc',
  node: 'v20.0.0',
  cores: 2,
  wallSeconds: 61,
  rows: [
    {
      row: 'crash-states',
      engine: 'log',
      what: 'power loss',
      unit: 'disks',
      rule: 'nothing lost',
      goal: 2000,
      done: 1500,
      cutShort: true,
      failures: 0,
      failed: [],
      portions: 3,
      cpuSeconds: 1,
      more: {},
      optionSets: { a: 1000, b: 500, c: 0 },
    },
  ],
}

test('the table says what was done, with how many option sets, and what time cut short', () => {
  assert.equal(
    tableOf(report).split('\n')[2],
    '| log | power loss | 1,500 disks (cut short by time; the goal is 2,000) | 2 | none |',
  )
})

test('the table takes the place of the one before', () => {
  const text =
    'a\n\n<!-- proof: made by `npm run prove`, not by hand -->\n\nold\n\n<!-- /proof -->\n\nb\n'
  const once = withTable(text, report)
  assert.ok(once.startsWith('a\n') && once.endsWith('b\n') && !once.includes('old'))
  assert.equal(withTable(once, report), once)
  assert.throws(() => withTable('none', report), /no place/)
})

test('the table of the README is made of docs/numbers/proof.json', (t) => {
  if (!existsSync(NUMBERS)) {
    t.skip('there is no docs/numbers/proof.json yet')
    return
  }
  const reports = JSON.parse(readFileSync(NUMBERS, 'utf8')) as Readonly<Record<string, Report>>
  const { nightly } = reports
  assert.ok(nightly !== undefined, 'no nightly tier has been written')
  const readme = readFileSync(new URL('README.md', ROOT), 'utf8')
  assert.equal(withTable(readme, nightly), readme)
})
