/** The quick tier of the proof, so that every run of the tests has some of it. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { optionSets } from '../crash/subjects.ts'
import { prove } from './proof.ts'
import { reportedRow } from './report.ts'
import { rows } from './rows.ts'
import { TIERS } from './tiers.ts'

test('the quick tier of the proof', async (t) => {
  const { share, minutes } = TIERS['quick']!
  // Half of its time: the next tier follows in what every change has to pass.
  const deadline = Date.now() + minutes * 30_000
  const engines = Object.keys(optionSets)
  const states = await prove({
    rows,
    engines,
    share,
    seed: 1,
    // The other tests run beside it.
    lanes: 1,
    deadline,
    mostFailures: 1,
  })
  for (const { row, engine, done, goal, unit, cutShort } of states.map(reportedRow)) {
    t.diagnostic(`${row}, ${engine}: ${done} of ${goal} ${unit}${cutShort ? ', CUT SHORT' : ''}`)
  }
  const found = states.flatMap(({ failures }) => failures)
  assert.deepEqual(
    found.map(({ task, message }) => `${task.row}, portion ${task.seed}: ${message}`),
    [],
  )
})
