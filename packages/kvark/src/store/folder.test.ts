import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runSync } from '../environment/routine.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'
import { makeFolder } from './folder.ts'

test('the name of a folder is made durable, also of one that somebody has made before', () => {
  const files = new SimulatedFiles()
  const synced = (): (string | undefined)[] =>
    files.calls
      .splice(0)
      .filter(({ call }) => call === 'syncFolder')
      .map(({ path }) => path)
  assert.deepEqual(runSync(makeFolder(files, '/a/b')), ['/a/b', '/a'])
  assert.deepEqual(synced(), ['/a', '/'])
  assert.deepEqual(runSync(makeFolder(files, '/a/b')), [])
  assert.deepEqual(synced(), ['/a'])
})
