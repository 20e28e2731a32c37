import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Routine } from '../environment/routine.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { rejects, turn } from '../testing/contract/check.ts'
import { closeAll, openFile } from '../vfs/open-file.ts'
import { BackgroundJob } from './background.ts'

test('a job that is stopped while it waits for a file leaves none open', async () => {
  const environment = simulatedEnvironment({ seed: 1 })
  const { files } = environment
  files.open('/file', 'create').sync().close().sync()
  for (const stop of ['end', 'abandon'] as const) {
    const job = new BackgroundJob(environment)
    const work = job.start(function* (): Routine<void> {
      yield* openFile(files, '/file', 'read')
      assert.fail('it goes on')
    })
    // Behind the start of the job, before the file is open.
    process.nextTick(() => job[stop]())
    await rejects('CLOSED', () => work)
    await turn()
    assert.deepEqual(files.openPaths, [])
  }
})

test('a job that is stopped while it closes its files leaves none open', async () => {
  const environment = simulatedEnvironment({ seed: 1 })
  const { files } = environment
  for (const name of ['/a', '/b', '/c']) files.open(name, 'create').sync().close().sync()
  for (const stop of ['end', 'abandon'] as const) {
    const job = new BackgroundJob(environment)
    const work = job.start(function* (): Routine<void> {
      const handles = ['/a', '/b', '/c'].map((name) => files.open(name, 'read').sync())
      process.nextTick(() => job[stop]())
      yield* closeAll(handles)
      assert.fail('it goes on')
    })
    await rejects('CLOSED', () => work)
    await turn()
    assert.deepEqual(files.openPaths, [])
  }
})
