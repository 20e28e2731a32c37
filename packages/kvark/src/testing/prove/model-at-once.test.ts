import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DONE, FOUND, MISSING } from '../../engine/engine.ts'
import { optionSets } from '../crash/subjects.ts'
import { faultyLog } from './faulty-engine.ts'
import { modelAtOnce, runAtOnce } from './model-at-once.ts'
import { portionOf } from './row.ts'

const [plain] = optionSets.log

test('a portion of each engine, the same each time', async () => {
  for (const [subject] of Object.values(optionSets)) {
    const portion = portionOf(subject!, 3)
    const tally = await modelAtOnce.run(portion)
    assert.ok(tally.done >= 200)
    assert.deepEqual(await modelAtOnce.run(portion), tally)
  }
})

test('a portion without some of its steps finds nothing wrong, either', async () => {
  const portion = portionOf(plain!, 3)
  const steps = modelAtOnce.stepsOf!(portion).filter((step) => step < 40 && step % 3 !== 1)
  const { done } = await modelAtOnce.run({ ...portion, steps })
  assert.ok(done >= 100)
})

test('a lookup that misses an entry is found', async () => {
  let lookups = 0
  const modules = faultyLog((engine) => ({
    find: (key, length, at, found) => {
      const status = engine.find(key, length, at, found)
      return status === FOUND && ++lookups % 50 === 0 ? MISSING : status
    },
  }))
  await assert.rejects(runAtOnce(portionOf(plain!, 1), modules), /the last steps:/)
})

test('a write that is acknowledged but not carried out is found', async () => {
  let writes = 0
  const modules = faultyLog((engine) => ({
    write: (batch) => (++writes === 20 ? DONE : engine.write(batch)),
  }))
  await assert.rejects(runAtOnce(portionOf(plain!, 1), modules), /the last steps:/)
})
