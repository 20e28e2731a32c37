// An engine whose writes go nowhere makes nothing last when it closes: what replay has brought back would be written for nobody.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { engines } from '../engines.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'
import { openRaw } from './contract/raw-engine.ts'

const PATH = '/store'

/** Every file, with its bytes. */
function contentOf(files: SimulatedFiles): string[] {
  return files
    .list(PATH)
    .sync()
    .map((name) => {
      const handle = files.open(`${PATH}/${name}`, 'read').sync()
      const bytes = Buffer.alloc(handle.size().sync())
      handle.read(bytes, 0, bytes.length, 0).sync()
      handle.close().sync()
      return `${name} ${bytes.toString('base64')}`
    })
}

for (const engine of Object.values(engines)) {
  test(engine.name, () => {
    const place = { engine, path: PATH, form: { name: engine.name }, engineOptions: {} }
    const files = new SimulatedFiles()
    const environment = simulatedEnvironment({ seed: 1, files })
    const raw = openRaw(place, environment, true)
    for (let i = 0; i < 100; i++) raw.put(`key${i}`, 'value', 0)
    raw.engine.commit('disk').sync()
    const crashed = files.afterCrash()
    raw.close()
    const changes = (readOnly: boolean): boolean => {
      const again = openRaw(
        place,
        simulatedEnvironment({ seed: 2, files: crashed }),
        false,
        readOnly,
      )
      assert.equal(again.get('key99'), 'value')
      const before = contentOf(crashed)
      again.close()
      return before.join() !== contentOf(crashed).join()
    }
    assert.equal(changes(true), false)
    assert.equal(changes(false), true, 'one that is written to does')
  })
}
