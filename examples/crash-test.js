// A crash test of a program of one's own: whatever moment the power fails at, the two accounts hold 100 together.
//
//   node examples/crash-test.js

import assert from 'node:assert/strict'
import { open } from 'kvark'
import { exploreCrashes } from 'kvark/testing'

const report = await exploreCrashes({
  async program({ environment, promise, random }) {
    const db = await open('/bank', { engine: 'log', values: 'json', environment })
    for (let transfer = 1; transfer <= 20; transfer++) {
      const mine = random.below(101)
      await db.batch([
        { type: 'put', key: 'mine', value: mine },
        { type: 'put', key: 'yours', value: 100 - mine },
        { type: 'put', key: 'transfers', value: transfer },
      ])
      promise(transfer)
    }
  },
  async check({ environment, promised }) {
    const db = await open('/bank', { engine: 'log', values: 'json', environment })
    const [mine = 0, yours = 100, transfers = 0] = await db.getMany(['mine', 'yours', 'transfers'])
    assert.equal(Number(mine) + Number(yours), 100)
    assert.ok(Number(transfers) >= promised.length, 'a transfer that was done is lost')
    await db.close()
  },
})
console.log(`${report.crashes} crashes, ${report.disks} different disks: all is right on each.`)
