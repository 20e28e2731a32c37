import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'
import { convertSync } from './convert.ts'
import { openSync } from './open.ts'
import { repairSync } from './repair.ts'

const FROM = '/stores/from'
const TO = '/new/deep/to'

test('a call that fails below the new store leaves nothing of it, nor of the folders made for it', () => {
  const disk = new SimulatedFiles()
  const db = openSync(FROM, { environment: simulatedEnvironment({ seed: 1, files: disk }) })
  db.putSync('a', '1')
  db.closeSync()
  const ways = {
    backup: (files: SimulatedFiles) => {
      const environment = simulatedEnvironment({ seed: 2, files })
      const source = openSync(FROM, { environment })
      try {
        source.backupSync(TO)
      } finally {
        source.closeSync()
      }
    },
    convert: (files: SimulatedFiles) => {
      convertSync(FROM, TO, { environment: simulatedEnvironment({ seed: 2, files }) })
    },
    repair: (files: SimulatedFiles) => {
      repairSync(FROM, TO, { environment: simulatedEnvironment({ seed: 2, files }) })
    },
  }
  for (const [way, make] of Object.entries(ways)) {
    let failed = true
    for (let nth = 1; failed; nth++) {
      const files = disk.afterCrash()
      let calls = 0
      let what = ''
      files.failNext(({ call, path }) => {
        if (!path.startsWith('/new') || ++calls !== nth) return undefined
        what = `${way}: ${call} of ${path}, call ${nth}`
        return 'EIO'
      })
      failed = false
      try {
        make(files)
      } catch {
        failed = true
      }
      if (failed) assert.equal(files.stat('/new').sync(), undefined, what)
      // A lock that cannot be let go of comes when the store is whole.
      else if (what !== '') {
        assert.match(what, /release/)
        failed = true
      }
      if (what === '') assert.ok(nth > 20, way)
    }
  }
})
