import assert from 'node:assert/strict'
import { test } from 'node:test'
import { engines } from '../../engines.ts'
import type { Routine } from '../../environment/routine.ts'
import { optionSets } from '../crash/subjects.ts'
import { faultyLog } from './faulty-engine.ts'
import { portionOf } from './row.ts'
import { runSoak } from './soak.ts'

const subject = optionSets.log[0]!

test('a short portion', async () => {
  const { done, more } = await runSoak(portionOf(subject, 1), engines, 3)
  assert.equal(done, 3)
  assert.ok(more!['sessions']! > 0)
})

test('memory that is never given back is found', async () => {
  const kept: Float64Array[] = []
  const modules = faultyLog((engine) => ({
    write: (batch) => {
      kept.push(new Float64Array(8192).fill(kept.length))
      return engine.write(batch)
    },
  }))
  await assert.rejects(runSoak(portionOf(subject, 2), modules, 4), /memory has grown from/)
  assert.ok(kept.length > 0)
})

test('files that are never closed are found', {
  skip: process.platform === 'linux' ? false : 'what is open can be seen on Linux only',
}, async () => {
  const modules = faultyLog((engine, { environment, folder }) => ({
    *close(): Routine<void> {
      yield* environment.files.open(`${folder}/MANIFEST`, 'read')
      yield* engine.close()
    },
  }))
  await assert.rejects(
    runSoak(portionOf(subject, 3), modules, 1),
    /descriptors that are open still/,
  )
})
