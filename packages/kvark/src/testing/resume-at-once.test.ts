/** What comes while a store is being resumed: another resume, writes, and reads. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { open } from '../store/open.ts'
import type { AtomicStore } from '../store/types.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'
import { throws, turn } from './contract/check.ts'
import { slowProcess } from './crash/slow-files.ts'

type Store = AtomicStore<string, string>
type EngineName = 'btree' | 'log'

/** So many are put when the store is there again. */
const WRITES = 40

/** A store whose files answer when they like, on which a write fails. */
async function failed(engine: EngineName, fill: (db: Store) => Promise<void>) {
  const files = new SimulatedFiles()
  const { files: slow } = slowProcess(files, new SeededRandom(1))
  const environment = { ...simulatedEnvironment({ seed: 1, files }), files: slow }
  // Several files to be closed, one after the other.
  const again = (): Promise<Store> =>
    engine === 'log'
      ? open('/store', { engine, environment, segmentBytes: 32_768 })
      : open('/store', { engine, environment })
  const db = await again()
  await fill(db)
  files.failNext({ call: 'write', error: 'EIO', path: '.log' })
  const lost = db.table('lost')
  await assert.rejects(lost.put('key', 'doubtful'), { code: 'IO' })
  files.clearFaults()
  return { db, lost, again }
}

/** Puts keys again and again until some time after `end`; gives those that were acknowledged. */
async function putMeanwhile(
  put: (key: string) => Promise<unknown>,
  end: Promise<unknown>,
): Promise<string[]> {
  const kept: string[] = []
  let left = Number.POSITIVE_INFINITY
  const ended = end.then(() => {
    left = WRITES
  })
  for (let n = 0; left > 0; n++, left--) {
    const key = `key ${n}`
    const refused = (error: unknown): void =>
      assert.equal((error as { code: string }).code, 'READ_ONLY')
    put(key).then(() => kept.push(key), refused)
    await (n % 4 === 0 ? turn() : Promise.resolve())
  }
  await ended
  return kept
}

for (const engine of ['btree', 'log'] as const) {
  test(`two resumes at once are one, and nothing that is written behind them is lost: ${engine}`, async () => {
    const { db, again } = await failed(engine, async (one) => {
      await one.put('before', 'value')
    })
    const first = db.resume()
    await turn()
    throws('READ_ONLY', () => db.resumeSync())
    const kept = await putMeanwhile(
      (key) => db.put(key, 'value'),
      Promise.all([first, db.resume()]),
    )
    assert.ok(kept.length > 0)
    await db.sync()
    for (const key of ['before', ...kept]) assert.equal(await db.get(key), 'value', key)
    await db.close()
    const after = await again()
    for (const key of ['before', ...kept]) assert.equal(await after.get(key), 'value', key)
    assert.deepEqual((await after.verify()).problems, [])
    await after.close()
  })

  test(`a table that was lost with a write is there after what is put while the store resumes: ${engine}`, async () => {
    // The list of tables lies on disk by itself: `resume` has to read it.
    const { db, lost } = await failed(engine, async (one) => {
      await one.table('other').put('key', 'value')
      for (let i = 0; i < 300; i++) await one.put(`${i}`, 'v'.repeat(500), { durability: 'none' })
      await one.compact()
    })
    const kept = await putMeanwhile((key) => lost.put(key, 'value'), db.resume())
    assert.ok(kept.length > 0)
    assert.deepEqual(
      db.tables().map(({ name }) => name),
      ['other', 'lost'],
    )
    for (const key of kept) assert.equal(await db.table('lost').get(key), 'value', key)
    await db.close()
  })

  test(`what is read while a store is being resumed is there, or CLOSED: ${engine}`, async () => {
    const { db } = await failed(engine, async (one) => {
      for (let i = 0; i < WRITES; i++) await one.put(`long ${i}`, 'v'.repeat(3000))
      for (let i = 0; i < WRITES; i++) await one.put(`${i}`, 'value')
    })
    let isOver = false
    const resumed = db.resume().then(() => {
      isOver = true
    })
    while (!isOver) {
      for (let i = 0; i < WRITES; i++) {
        const found = await db.get(`${i}`).catch(({ code }: { code: string }) => code)
        assert.ok(found === 'value' || found === 'CLOSED', found)
      }
      await turn()
    }
    await resumed
    assert.equal(await db.get('0'), 'value')
    await db.close()
  })
}
