import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FOUND } from '../../engine/engine.ts'
import { engines } from '../../engines.ts'
import { optionSets } from '../crash/subjects.ts'
import { faultyLog } from './faulty-engine.ts'
import { runKills } from './real-kills.ts'
import { portionOf } from './row.ts'

const sealed = optionSets.log.find(({ name }) => name === 'lz4 aes-256-gcm')!

test('a small portion on a store that is compressed and encrypted', async () => {
  const { done, more } = await runKills(portionOf(sealed, 1), engines, 4)
  assert.equal(done, 4)
  assert.ok(more!['started']! > 0)
})

test('an entry that is lost is found', async () => {
  const modules = faultyLog((engine) => ({
    // Recovery has lost the first entry that a walk comes to.
    cursor: (request) => {
      const cursor = engine.cursor(request)
      let lost = false
      return {
        next: (found) => {
          let status = cursor.next(found)
          if (status === FOUND && !lost) {
            lost = true
            status = cursor.next(found)
          }
          return status
        },
        token: () => cursor.token(),
        takeBack: () => cursor.takeBack(),
        close: () => cursor.close(),
      }
    },
  }))
  await assert.rejects(
    runKills(portionOf(sealed, 2), modules, 4),
    /kill \d of seed 3 failed; .*The store must hold/s,
  )
})
