// The folder of an open store is moved or removed, and another store is made in its place: the one that was open leaves it alone.

import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { KvarkError, openSync } from '../index.ts'
import { throws } from './contract/check.ts'

const base = mkdtempSync(join(tmpdir(), 'kvark-replaced-'))
after(() => rmSync(base, { recursive: true }))

const LOST = /was removed, moved or replaced while its store was open/
const VALUE = 'kvark'.repeat(100)
const ENDS = {
  moved: (path: string) => renameSync(path, `${path} moved`),
  removed: (path: string) => rmSync(path, { recursive: true }),
}
const OPTIONS = {
  btree: { engine: 'btree', checkpointBytes: 4096 },
  log: { engine: 'log', segmentBytes: 1024 * 1024, compactionThresholdBytes: 4096 },
} as const

for (const engine of ['btree', 'log'] as const) {
  for (const [how, end] of Object.entries(ENDS)) {
    test(`${engine}: a store in the place of one that was ${how}`, () => {
      const path = join(base, `${engine} ${how}`)
      const open = (folder: string) =>
        engine === 'log' ? openSync(folder, OPTIONS.log) : openSync(folder, OPTIONS.btree)
      const old = open(path)
      old.putSync('a', 'old')
      end(path)
      const heir = open(path)
      heir.putSync('a', 'new')
      const names = readdirSync(path)
      assert.throws(() => {
        for (let i = 0; i < 3000; i++) old.putSync(`key ${i % 50}`, VALUE, { durability: 'none' })
        old.compactSync()
      }, KvarkError)
      const error = throws('IO', () => old.closeSync())
      assert.match(error.message, LOST)
      assert.deepEqual(readdirSync(path), names)
      // As a process would find it if that of the heir were killed now.
      cpSync(path, `${path} copy`, { recursive: true })
      heir.putSync('b', 'new')
      heir.compactSync()
      heir.closeSync()
      for (const folder of [path, `${path} copy`]) {
        const db = open(folder)
        assert.equal(db.getSync('a'), 'new')
        assert.deepEqual(db.verifySync().problems, [])
        db.closeSync()
      }
      if (how === 'removed') return
      const moved = open(`${path} moved`)
      assert.equal(moved.getSync('a'), 'old')
      assert.deepEqual(moved.verifySync().problems, [])
      moved.closeSync()
    })
  }
}

test('a lock file that is removed lets nobody else in unseen', () => {
  const path = join(base, 'lock')
  const first = openSync(path, OPTIONS.btree)
  first.putSync('a', '1')
  rmSync(join(path, 'LOCK'))
  const second = openSync(path, OPTIONS.btree)
  const error = throws('IO', () => first.compactSync())
  assert.match(error.message, LOST)
  throws('IO', () => first.closeSync())
  second.putSync('b', '2')
  second.closeSync()
  const db = openSync(path, OPTIONS.btree)
  assert.equal(db.countSync(), 2)
  assert.deepEqual(db.verifySync().problems, [])
  db.closeSync()
})
