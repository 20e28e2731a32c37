import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { after, test } from 'node:test'
import { convertSync, destroySync, open, openSync, repairSync } from '../index.ts'
import { rejects } from './contract/check.ts'
import { backupUnderLoad, shownBackups } from './crash/backup-load.ts'

const folder = mkdtempSync(join(tmpdir(), 'kvark-backup-'))
after(() => rmSync(folder, { recursive: true }))

test('a store in memory is backed up to the disk of the machine', async () => {
  const db = await open(':memory:', { values: 'json' })
  await db.put('a', { n: 1 })
  const path = join(folder, 'from', 'memory')
  await db.backup(relative(process.cwd(), path))
  await db.put('a', { n: 2 })
  await db.close()
  const copy = await open(path, { values: 'json' })
  assert.deepEqual(await copy.get('a'), { n: 1 })
  await copy.close()
  assert.equal(statSync(path).mode & 0o777, 0o700)
  assert.equal(statSync(join(path, 'KVARK')).mode & 0o777, 0o600)
})

test('the stored index goes along, so that the copy need not read its data to open', async () => {
  const path = join(folder, 'indexed')
  const db = await open(path, { engine: 'log', durability: 'none' })
  for (let i = 0; i < 20_000; i++) db.putSync(`key ${i}`, `value ${i}`)
  await db.compact()
  for (let i = 0; i < 100; i++) db.putSync(`key ${i}`, `newer ${i}`)
  const to = join(folder, 'indexed-copy')
  await db.backup(to)
  const names = readdirSync(to)
  assert.ok(
    names.some((name) => name.endsWith('.index')),
    names.join(),
  )
  assert.ok(!names.some((name) => name.endsWith('.tmp')), names.join())
  const copy = openSync(to, { engine: 'log' })
  assert.equal(copy.countSync(), 20_000)
  assert.equal(copy.getSync('key 5'), 'newer 5')
  assert.equal(copy.getSync('key 500'), 'value 500')
  assert.deepEqual(copy.verifySync().problems, [])
  copy.closeSync()
  await db.close()
})

test('a descriptor that a process left half-written is in the way of no backup, conversion or repair', () => {
  const from = join(folder, 'source')
  const db = openSync(from)
  db.putSync('a', '1')
  const ways = {
    backup: (to: string) => db.backupSync(to),
    convert: (to: string) => convertSync(from, to),
    repair: (to: string) => repairSync(from, to),
  }
  for (const [name, make] of Object.entries(ways)) {
    if (name === 'convert') db.closeSync()
    const to = join(folder, `half ${name}`)
    mkdirSync(to)
    writeFileSync(join(to, 'KVARK.unfinished.tmp.9f56f1bd.tmp'), 'half of it')
    make(to)
    assert.ok(!readdirSync(to).some((one) => one.endsWith('.tmp')), name)
    const copy = openSync(to)
    assert.equal(copy.getSync('a'), '1')
    copy.closeSync()
  }
})

test('what a process that died during a backup has left is named, and destroyed', async () => {
  const path = join(folder, 'unfinished')
  const db = await open(path)
  await db.put('a', '1')
  await db.close()
  const { files } = (await import('../environment/node.ts')).nodeEnvironment()
  files.rename(join(path, 'KVARK'), join(path, 'KVARK.unfinished.tmp')).sync()
  const error = await rejects('CORRUPTION', () => open(path))
  assert.match(error.message, /holds a part of a store.*destroy/)
  const other = await open(join(folder, 'other'))
  assert.match(
    (await rejects('INVALID_ARGUMENT', () => other.backup(path))).message,
    /an interrupted backup or repair has left/,
  )
  await other.close()
  assert.deepEqual(destroySync(path).kept, [])
  assert.ok(!existsSync(path))
})

test('backups under load: each is a prefix of the writes', async (t) => {
  t.diagnostic(shownBackups(await backupUnderLoad({ engine: 'log', seconds: 3, seed: 1 })))
})
