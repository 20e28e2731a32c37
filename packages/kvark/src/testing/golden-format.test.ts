/** The bytes of every format are what they were. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { before, test } from 'node:test'
import { GOLDEN } from './fixtures.ts'
import { type Golden, goldenNow } from './golden.ts'

const CHANGED =
  'the format has changed: intended? Then raise the version of the format, say in docs/format what has changed, ' +
  'and update: npm run golden -- --update'

const golden = JSON.parse(readFileSync(GOLDEN, 'utf8')) as Golden
let now: Golden = {}

before(async () => {
  now = await goldenNow()
})

for (const form of Object.keys(golden)) {
  test(`the files of a store are what they were: ${form}`, () => {
    const files = golden[form]!
    const found = now[form] ?? {}
    const names = new Set([...Object.keys(files), ...Object.keys(found)])
    const changed = [...names].filter((name) => files[name] !== found[name])
    assert.deepEqual(changed, [], CHANGED)
  })
}

test('every form is kept, with every kind of file', () => {
  assert.deepEqual(Object.keys(now), Object.keys(golden), CHANGED)
  const names = Object.keys(now['plain']!)
  for (const kind of ['KVARK', 'MANIFEST', '.log', '.packed', '.index']) {
    assert.ok(
      names.some((name) => name.endsWith(kind)),
      kind,
    )
  }
  const ofTree = Object.keys(now['btree, plain']!)
  for (const kind of ['KVARK', 'TREE', '.log']) {
    assert.ok(
      ofTree.some((name) => name.endsWith(kind)),
      kind,
    )
  }
})

test('the script writes the same bytes each time', async () => {
  assert.deepEqual(await goldenNow(), now)
})
