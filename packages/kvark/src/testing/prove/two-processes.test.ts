import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeEnvironment } from '../../environment/node.ts'
import { Effect } from '../../environment/routine.ts'
import type { FileLock, Files } from '../../vfs/files.ts'
import { nodeFiles } from '../../vfs/node.ts'
import { optionSets } from '../crash/subjects.ts'
import { planted } from './faulty-engine.ts'
import { portionOf } from './row.ts'
import { runProcesses, twoProcesses } from './two-processes.ts'

const subject = optionSets.log[0]!

test('a portion of cases', async () => {
  assert.deepEqual(await twoProcesses.run(portionOf(subject, 4)), { done: 3 })
})

test('a process that does not ask for the lock is found', async () => {
  const nothing = new Effect<void>(
    () => {},
    async () => {},
  )
  const lock = { release: () => nothing }
  const files = planted<Files>(nodeFiles, {
    lock: () =>
      new Effect<FileLock>(
        () => lock,
        async () => lock,
      ),
  })
  await assert.rejects(
    runProcesses(portionOf(subject, 1), nodeEnvironment(files)),
    /must reject with LOCKED/,
  )
})
