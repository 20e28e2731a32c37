import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { plantedBugs } from './planted.ts'
import { rows } from './rows.ts'

const SOURCES = new URL('../../../src/', import.meta.url)

test('each planted bug has one place in the sources, changes it, and names rows that there are', () => {
  for (const { name, file, find, replace, rows: named } of plantedBugs) {
    const parts = readFileSync(new URL(file, SOURCES), 'utf8').split(find)
    assert.equal(parts.length, 2, `${name}: its text is ${parts.length - 1} times in ${file}`)
    assert.notEqual(find, replace, name)
    for (const row of named)
      assert.ok(
        rows.some((one) => one.name === row),
        `${name}: ${row}`,
      )
  }
  assert.equal(new Set(plantedBugs.map(({ name }) => name)).size, plantedBugs.length)
})
