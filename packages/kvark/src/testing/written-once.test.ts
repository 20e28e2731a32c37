/** One encrypted store through a thousand power failures, rollbacks and copies: see `rollbacks.ts`. */

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { parseArgs } from 'node:util'
import { SimulatedFiles } from '../vfs/simulated.ts'
import { contentOf, environmentWith, openAt } from './damage.ts'
import { EncryptionLog, openOn, rollbacks } from './rollbacks.ts'

const { rounds } = parseArgs({ options: { rounds: { type: 'string' } }, strict: false }).values
/** More with `--rounds`. */
const ROUNDS = typeof rounds === 'string' ? Number(rounds) : 1000

const key = new Uint8Array(32).map((_, i) => i * 11)
const FORM = { encryption: { key }, compactionThresholdBytes: 16_384 }

const log = new EncryptionLog()
before(() => log.begin())
after(() => log.end())

test(`${ROUNDS} crashes, rollbacks and copies: no nonce comes twice with a key, and no place is written twice`, (t) => {
  rollbacks(FORM, 1, ROUNDS)
  t.diagnostic(`${log.encryptions} encryptions, ${log.blocks} blocks`)
  assert.ok(log.encryptions > ROUNDS && log.blocks > ROUNDS)
  log.assertUnique()
})

test('the file of a streamed value', async () => {
  const value = Buffer.alloc(3 * 1024 * 1024, 'streamed ')
  let files = new SimulatedFiles()
  for (let round = 0; round < 3; round++) {
    const db = openOn(files, FORM, `streamed ${round}`)
    const before = log.blocks
    await db.putStream(`key ${round}`, [value])
    db.putSync('behind', 'in the same segment')
    await assert.rejects(db.putStream('key', [value, 'wrong' as unknown as Uint8Array]))
    await db.compact()
    assert.ok(log.blocks - before > value.length / 16_384)
    files = files.crash()
    await db.close().catch(() => {})
  }
  log.assertUnique()
})

test('a store that is opened for every write does not grow a file each time for ever', () => {
  const environment = environmentWith(new Map())
  for (let i = 0; i < 150; i++) {
    const db = openAt(environment, { encryption: { key } })
    db.putSync(`${i}`, `value ${i}`)
    db.closeSync()
  }
  assert.ok(contentOf(environment).size < 45, `${contentOf(environment).size} files`)
  const db = openAt(environment, { encryption: { key } })
  for (let i = 0; i < 150; i++) assert.equal(db.getSync(`${i}`), `value ${i}`)
  assert.deepEqual(db.verifySync().problems, [])
  db.closeSync()
})
