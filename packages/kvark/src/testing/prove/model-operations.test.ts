import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DONE, FOUND, MISSING } from '../../engine/engine.ts'
import { DELETE } from '../../engine/write-batch.ts'
import { optionSets } from '../crash/subjects.ts'
import { faultyLog } from './faulty-engine.ts'
import { modelOperations, runModel } from './model-operations.ts'
import { portionOf } from './row.ts'

const [plain, , sealed] = optionSets.log

test('two portions, one with its mirror', async () => {
  const { done } = await modelOperations.run(portionOf(plain!, 1))
  const { more } = await modelOperations.run(portionOf(sealed!, 8))
  assert.ok(done >= 20_000 && more!['mirrored']! >= 2000)
})

test('a portion is the same each time', async () => {
  const portion = portionOf(plain!, 3)
  assert.deepEqual(await modelOperations.run(portion), await modelOperations.run(portion))
})

test('a portion without some of its steps finds nothing wrong, either', async () => {
  const portion = portionOf(plain!, 3)
  const steps = modelOperations.stepsOf!(portion).filter((step) => step < 3000 && step % 3 !== 1)
  const { done } = await modelOperations.run({ ...portion, steps })
  assert.ok(done >= 2000 && done < 20_000)
})

test('a lookup that misses an entry is found', async () => {
  let lookups = 0
  const modules = faultyLog((engine) => ({
    find: (key, length, at, found) => {
      const status = engine.find(key, length, at, found)
      return status === FOUND && ++lookups === 300 ? MISSING : status
    },
  }))
  await assert.rejects(runModel(portionOf(plain!, 1), modules), /the last steps:/)
})

test('a write that is acknowledged but not carried out is found', async () => {
  let writes = 0
  const modules = faultyLog((engine) => ({
    write: (batch) => (++writes === 200 ? DONE : engine.write(batch)),
  }))
  await assert.rejects(runModel(portionOf(plain!, 1), modules), /the last steps:/)
})

test('a deletion that is acknowledged and dropped is found', async () => {
  let deletions = 0
  const modules = faultyLog((engine) => ({
    // A deletion is acknowledged, and the entry stays.
    write: (batch) => {
      const drops = batch.count === 1 && batch.kind[0] === DELETE && ++deletions % 10 === 0
      return drops ? DONE : engine.write(batch)
    },
  }))
  await assert.rejects(runModel(portionOf(plain!, 1), modules), /the last steps:/)
})
