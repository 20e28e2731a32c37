import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { plantedBugs } from './planted-bugs.ts'
import { rows } from './rows.ts'

const SOURCES = new URL('../../../src/', import.meta.url)

for (const [engine, bugs = []] of Object.entries(plantedBugs)) {
  test(`each bug planted for ${engine} has one place in the sources, changes it, and names rows that there are`, () => {
    assert.ok(bugs.length >= 10)
    for (const { name, file, find, replace, rows: named } of bugs) {
      const parts = readFileSync(new URL(file, SOURCES), 'utf8').split(find)
      assert.equal(parts.length, 2, `${name}: its text is ${parts.length - 1} times in ${file}`)
      assert.notEqual(find, replace, name)
      for (const row of named)
        assert.ok(
          rows.some((one) => one.name === row),
          `${name}: ${row}`,
        )
    }
    assert.equal(new Set(bugs.map(({ name }) => name)).size, bugs.length)
  })
}
