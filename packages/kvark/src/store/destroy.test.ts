import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'
import { destroySync } from './destroy.ts'
import { openSync } from './open.ts'

const PATH = '/store'
const SEEDS = 40

test('power loss at any call, names lost in any order: what is left is destroyed by another call', () => {
  const disk = new SimulatedFiles()
  const db = openSync(PATH, { environment: simulatedEnvironment({ seed: 1, files: disk }) })
  db.putSync('a', '1')
  db.closeSync()
  let left = 0
  for (let seed = 1; seed <= SEEDS; seed++) {
    const files = disk.afterCrash()
    const random = new SeededRandom(seed)
    const images: SimulatedFiles[] = []
    files.failNext(() => {
      images.push(files.afterCrash({ mode: 'names', random }))
      return undefined
    })
    destroySync(PATH, { environment: simulatedEnvironment({ seed, files }) })
    for (const [call, image] of images.entries()) {
      const names = image.stat(PATH).sync() === undefined ? [] : image.list(PATH).sync()
      if (names.length === 0) continue
      const environment = simulatedEnvironment({ seed, files: image })
      assert.deepEqual(destroySync(PATH, { environment }).kept, [], `seed ${seed}, call ${call}`)
      assert.equal(image.stat(PATH).sync(), undefined)
      left++
    }
  }
  assert.ok(left > SEEDS)
})
