import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { KvarkError } from '../errors.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'
import { type CrashStore, openSubject, sealedSubjects, subjects } from './crash/subjects.ts'

const PATH = '/store'
const MOST_TURNS = 500

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

test('a file that fails to close keeps no other one open', () => {
  for (const subject of Object.values(subjects)) {
    const files = new SimulatedFiles()
    const db = openSubject(subject, PATH, simulatedEnvironment({ seed: 1, files })).sync()
    for (let i = 0; i < 30; i++) db.putSync(`key${i}`, 'value '.repeat(1000))
    const before = files.openPaths
    assert.ok(before.length > 1)
    let failed = ''
    files.failNext(({ call, path }) => {
      if (call !== 'close' || failed !== '' || !before.includes(path)) return undefined
      failed = path
      return 'EIO'
    })
    assert.throws(() => db.closeSync(), KvarkError)
    assert.deepEqual(files.openPaths, [failed], subject.name)
  }
})

test('a call that opens a file while the store is closed under it lets go of it', async () => {
  const files = new SimulatedFiles()
  const environment = simulatedEnvironment({ seed: 1, files })
  let copies = 0
  const calls = {
    verify: (db: CrashStore) => db.verify(),
    compact: (db: CrashStore) => db.compact(),
    backup: (db: CrashStore) => db.backup(`/copy${copies++}`),
    resume: (db: CrashStore) => db.resume(),
  }
  for (const [name, call] of Object.entries(calls)) {
    let done = false
    for (let turns = 0; !done && turns < MOST_TURNS; turns++) {
      const db = openSubject(subjects.log, PATH, environment).sync()
      db.putSync('key', 'value')
      db.compactSync()
      const ended = call(db).then(
        () => {
          done = true
        },
        (error: unknown) => {
          assert.equal((error as KvarkError).code, 'CLOSED', `${name}: ${String(error)}`)
        },
      )
      for (let turn = 1; turn <= turns; turn++) await (turn % 10 === 0 ? nextRound() : null)
      db.closeSync()
      await ended
      // What was cut off lets go a little later.
      for (let round = 0; round < 10; round++) await nextRound()
      assert.deepEqual(files.openPaths, [], `${name}, after ${turns} turns`)
    }
  }
})

function nextRound(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

for (const engine of ['log', 'btree'] as const) {
  const options = { encryption: { key: new Uint8Array(32) } }
  test(`an encrypted store whose processes are all killed has few files, and all that was written (${engine})`, async () => {
    let files = new SimulatedFiles()
    const open = (seed: number): CrashStore =>
      openSubject(
        { name: engine, engine, options },
        PATH,
        simulatedEnvironment({ seed, files }),
      ).sync()
    let most = 0
    for (let life = 0; life < 150; life++) {
      const db = open(life)
      assert.equal(db.stats().entries, life)
      db.putSync(`key${life}`, 'value')
      files = files.crash()
      await db.close().catch(() => {})
      most = Math.max(most, files.list(PATH).sync().length)
    }
    assert.ok(most < 140, `${most} files`)
    const db = open(150)
    for (let life = 0; life < 150; life++) assert.equal(db.getSync(`key${life}`), 'value')
    db.closeSync()
  })
}
