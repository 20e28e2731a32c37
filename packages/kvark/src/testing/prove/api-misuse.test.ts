import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DONE } from '../../engine/engine.ts'
import { optionSets } from '../crash/subjects.ts'
import { apiMisuse, runMisuse } from './api-misuse.ts'
import { faultyLog } from './faulty-engine.ts'
import { misuses } from './misuse/cases.ts'
import { portionOf } from './row.ts'

const subject = optionSets.log[0]!

test('every case has a name of its own, and there are enough', () => {
  assert.equal(new Set(misuses.map(({ name }) => name)).size, misuses.length)
  assert.ok(misuses.length >= apiMisuse.goal)
})

test('all cases', async () => {
  const distinct = new Set<number>()
  for (let seed = 1; seed <= apiMisuse.portions!([subject]); seed++) {
    const tally = await apiMisuse.run(portionOf(subject, seed))
    for (const hash of tally.distinct!) distinct.add(hash)
  }
  assert.equal(distinct.size, misuses.length)
})

test('a store that does not write any more is found', async () => {
  const refusals = misuses.findIndex(({ name }) => name.startsWith('batch of a good operation'))
  let writes = 0
  const modules = faultyLog((engine) => ({
    // After some case one write is lost.
    write: (batch) => (++writes === 21 ? DONE : engine.write(batch)),
  }))
  await assert.rejects(
    runMisuse(portionOf(subject, 1 + Math.floor(refusals / 100)), modules),
    /after case \d+/,
  )
})
