/** A range that was cleared stays so when the power fails, and what was not told to be durable is cleared as a whole or not at all. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { openSync } from '../store/open.ts'
import type { OrderedStore } from '../store/types.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'
import { names } from './contract/check.ts'

const ALL = names(600)
const GONE = ALL.slice(100, 550)
const LEFT = ALL.filter((key) => !GONE.includes(key))

function openOn(files: SimulatedFiles, seed: number): OrderedStore {
  const environment = simulatedEnvironment({ seed, files })
  return openSync('/store', { engine: 'btree', pageBytes: 4096, environment })
}

function filled(files: SimulatedFiles): OrderedStore {
  const db = openOn(files, 1)
  db.batchSync(ALL.map((key) => ({ type: 'put', key, value: `value of ${key} `.repeat(20) })))
  // Half of it is in the journal only, and a long value has pages of its own.
  db.verifySync()
  db.batchSync(
    ALL.map((key, i) => ({ type: 'put', key, value: `${i} `.repeat(i % 60 ? 10 : 4000) })),
  )
  return db
}

test('the power fails after a range was cleared', () => {
  const files = new SimulatedFiles()
  const db = filled(files)
  db.clearSync({ gte: GONE[0]!, lte: GONE.at(-1)! })
  const after = openOn(files.crash(), 2)
  assert.deepEqual([...after.keys()], LEFT)
  assert.deepEqual(after.verifySync().problems, [])
  assert.equal(after.getSync(ALL[60]!), '60 '.repeat(4000))
  after.closeSync()
})

test('the power fails while a range is cleared, at any call', () => {
  const files = new SimulatedFiles()
  const db = filled(files)
  const images: SimulatedFiles[] = []
  files.failNext(() => {
    images.push(files.afterCrash())
    return undefined
  })
  db.clearSync({ gte: GONE[0]!, lte: GONE.at(-1)! })
  db.closeSync()
  let whole = 0
  for (const image of images) {
    const after = openOn(image, 2)
    const keys = [...after.keys()]
    if (keys.length === ALL.length) whole++
    assert.deepEqual(keys, keys.length === ALL.length ? ALL : LEFT)
    assert.deepEqual(after.verifySync().problems, [])
    after.closeSync()
  }
  assert.ok(whole > 0 && whole < images.length, `${whole} of ${images.length}`)
})
