import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { KvarkError } from '../errors.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'
import { openSubject, sealedSubjects, subjects } from './crash/subjects.ts'

const PATH = '/store'

for (const subject of [subjects.log, ...sealedSubjects.log]) {
  for (const how of ['at once', 'awaited']) {
    test(`whichever call of an opening fails, no file stays open: ${subject.name}, ${how}`, async () => {
      const disk = new SimulatedFiles()
      const made = openSubject(subject, PATH, simulatedEnvironment({ seed: 1, files: disk })).sync()
      for (let i = 0; i < 30; i++) made.putSync(`key${i % 20}`, `value ${i} `.repeat(100))
      made.compactSync()
      made.putSync('last', 'behind the stored index')
      made.closeSync()
      assert.ok(
        disk
          .list(PATH)
          .sync()
          .some((name) => name.endsWith('.index')),
      )

      let failed = true
      let calls = 0
      for (let nth = 1; failed; nth++) {
        const files = disk.afterCrash()
        failed = false
        files.failNext(({ call }) => {
          // Who closes lets go, also where that fails; the simulated files do not.
          if (call === 'close' || call === 'release' || ++calls < nth) return undefined
          if (failed) return undefined
          failed = true
          return 'EIO'
        })
        calls = 0
        const opening = openSubject(subject, PATH, simulatedEnvironment({ seed: nth, files }))
        try {
          const db = how === 'awaited' ? await opening.async() : opening.sync()
          files.clearFaults()
          db.closeSync()
        } catch (error) {
          assert.ok(error instanceof KvarkError, String(error))
        }
        assert.deepEqual(files.openPaths, [], `call ${nth}`)
      }
      assert.ok(calls > 20, `${calls} calls`)
    })
  }
}
