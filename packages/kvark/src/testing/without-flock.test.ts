/** A whole store where the system has no flock(1), so that other files than `LOCK` stand in its folder. */

import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { destroySync } from '../store/destroy.ts'
import { openSync } from '../store/open.ts'

const folder = mkdtempSync(join(tmpdir(), 'kvark-without-flock-'))
const path = process.env['PATH']

before(() => {
  process.env['PATH'] = folder
})

after(() => {
  process.env['PATH'] = path
  rmSync(folder, { recursive: true })
})

test('a store is made, held, opened again, backed up and destroyed', () => {
  const place = join(folder, 'store')
  const copy = join(folder, 'copy')
  const db = openSync(place)
  assert.ok(readdirSync(place).some((name) => /^LOCK\.(?:sqlite|pid)$/.test(name)))
  db.putSync('key', 'value')
  assert.throws(() => openSync(place), { code: 'LOCKED' })
  db.backupSync(copy)
  db.closeSync()
  for (const one of [place, copy]) {
    const again = openSync(one)
    assert.equal(again.getSync('key'), 'value')
    again.closeSync()
    assert.deepEqual(destroySync(one).kept, [])
  }
  assert.deepEqual(readdirSync(folder), [])
})

test('what a killed process left of its locks does not make a folder a foreign one', () => {
  const place = join(folder, 'killed')
  mkdirSync(place)
  for (const name of ['LOCK', 'LOCK.pid.new-4711-0', 'LOCK.pid.stale-4711-12']) {
    writeFileSync(join(place, name), '')
  }
  openSync(place).closeSync()
  assert.deepEqual(destroySync(place).kept, [])
  assert.deepEqual(readdirSync(folder), [])
})
