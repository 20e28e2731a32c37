// The first sync after opening writes the end of the journal again, which may never have reached the disk. Whoever comes while that is
// under way and cannot wait does not count on it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { openSync } from '../store/open.ts'
import type { EngineName } from '../store/options.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'
import { turn } from './contract/check.ts'
import { slowProcess } from './crash/slow-files.ts'

const MOST_TURNS = 6
const SEEDS = 6

for (const engine of ['btree', 'log'] as const) {
  test(`a compaction at once, beside the first sync, leaves no file to be synced that is closed, ${engine}`, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      for (let turns = 0; turns < MOST_TURNS; turns++) await meet(engine, seed, turns)
    }
  })
}

async function meet(engine: EngineName, seed: number, turns: number): Promise<void> {
  const { files } = slowProcess(new SimulatedFiles(), new SeededRandom(seed))
  const environment = { ...simulatedEnvironment({ seed }), files }
  const first = openSync('/store', { engine, environment })
  first.putSync('key', 'value')
  first.closeSync()
  const db = openSync('/store', { engine, environment })
  const syncing = db.sync()
  for (let i = 0; i < turns; i++) await turn()
  db.compactSync()
  db.putSync('key', 'newest')
  await syncing
  assert.equal(db.getSync('key'), 'newest')
  db.closeSync()
}
