import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { openSync } from '../store/open.ts'
import type { EngineName } from '../store/options.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'
import { throws } from './contract/check.ts'

for (const engine of ['btree', 'log'] as const) {
  test(`a store that lost writes and was resumed opens again, wherever the power fails while it closes, ${engine}`, () => {
    resumeAndClose(engine)
  })
}

/** A store that has lost a write, and was resumed. */
function resumed(engine: EngineName) {
  const files = new SimulatedFiles()
  const environment = simulatedEnvironment({ seed: 1, files })
  const db = openSync('/store', { engine, environment })
  db.putSync('kept', 'value')
  files.failNext({ call: 'write', path: '.log', error: 'EIO' })
  throws('IO', () => db.putSync('lost', 'value'))
  files.clearFaults()
  db.resumeSync()
  return { files, db }
}

function resumeAndClose(engine: EngineName): void {
  const { files, db } = resumed(engine)
  const images: SimulatedFiles[] = []
  files.failNext(() => {
    images.push(files.afterCrash())
    return undefined
  })
  db.closeSync()
  assert.ok(images.length > 5)
  for (const image of images) {
    const after = simulatedEnvironment({ seed: 2, files: image })
    const again = openSync('/store', { engine, environment: after })
    assert.deepEqual([...again.entries()], [['kept', 'value']])
    again.closeSync()
  }
}

for (const engine of ['btree', 'log'] as const) {
  test(`a store that lost a write and was resumed opens again, whatever the power leaves of what came then, ${engine}`, () => {
    for (let seed = 1; seed <= 6; seed++) {
      const { files, db } = resumed(engine)
      db.syncSync()
      for (let i = 0; i < 8; i++) db.putSync(`later ${i}`, 'v'.repeat(20_000), { durability: 'os' })
      const image = files.afterCrash({ mode: 'subset', random: new SeededRandom(seed) })
      const after = simulatedEnvironment({ seed: 2, files: image })
      const again = openSync('/store', { engine, environment: after })
      assert.equal(again.getSync('kept'), 'value')
      again.closeSync()
      db.closeSync()
    }
  })
}
