import assert from 'node:assert/strict'
import { test } from 'node:test'
import { optionSets } from '../crash/subjects.ts'
import { portionOf } from './row.ts'
import { tablesAtOnce } from './tables-at-once.ts'

test('portions of each engine, the same each time', async () => {
  for (const [subject] of Object.values(optionSets)) {
    for (let seed = 1; seed <= 2; seed++) {
      const portion = portionOf(subject!, seed)
      const tally = await tablesAtOnce.run(portion)
      assert.ok(tally.done >= 60)
      if (seed === 1) assert.deepEqual(await tablesAtOnce.run(portion), tally)
    }
  }
})
