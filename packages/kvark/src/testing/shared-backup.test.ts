/** Backups that share files with an earlier one. */

import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { nodeEnvironment } from '../environment/node.ts'
import { Effect } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import { destroySync, open, openSync } from '../index.ts'
import { open as openIn } from '../store/open.ts'
import type { FileHandle } from '../vfs/files.ts'
import { nodeFiles } from '../vfs/node.ts'
import { otherFiles } from '../vfs/other-files.ts'
import { folderImage } from './folder-image.ts'

const folder = mkdtempSync(join(tmpdir(), 'kvark-shared-'))
after(() => rmSync(folder, { recursive: true }))

/** Names of files that two folders share. */
function shared(a: string, b: string): string[] {
  return readdirSync(a).filter((name) => {
    const ino = (path: string): bigint | undefined =>
      statSync(join(path, name), { bigint: true, throwIfNoEntry: false })?.ino
    return ino(a) === ino(b)
  })
}

function inOrder(entries: Iterable<[string, string]>): [string, string][] {
  return [...entries].sort(([a], [b]) => (a < b ? -1 : 1))
}

/** What a store holds, after all of it was read and checked. */
function contents(path: string): string {
  const db = openSync(path, { engine: 'log', create: false })
  assert.deepEqual(db.verifySync().problems, [])
  const all = inOrder(db.entries())
  db.closeSync()
  return JSON.stringify(all)
}

test('a log shares with its base what nobody ever appends to; each backup is whole by itself', async () => {
  const path = join(folder, 'log')
  const [first, second, third] = ['first', 'second', 'third'].map((name) => join(folder, name))
  const db = await open(path, { engine: 'log', segmentBytes: 256 * 1024 })
  const put = (from: number, to: number): void => {
    for (let i = from; i < to; i++) {
      db.putSync(`key ${i}`, `${i} `.repeat(500), { durability: 'none' })
    }
  }
  put(0, 500)
  assert.equal((await db.backup(first!)).linkedBytes, undefined)
  put(475, 750)
  const image = folderImage(nodeFiles, first!)
  const report = await db.backup(second!, { base: first! })
  const links = shared(first!, second!)
  assert.ok(links.length > 0 && !links.includes('KVARK') && !links.includes('MANIFEST'))
  const bytes = links.reduce((sum, name) => sum + statSync(join(second!, name)).size, 0)
  assert.equal(report.linkedBytes, bytes)
  assert.ok(bytes > report.bytes / 3 && bytes < report.bytes, `${bytes} of ${report.bytes}`)
  assert.deepEqual(folderImage(nodeFiles, first!), image)

  // Nothing was written since: only what a store would append to is copied.
  db.backupSync(third!, { base: second! })
  assert.ok(shared(second!, third!).length > links.length)
  const now = JSON.stringify(inOrder(db.entries()))
  for (const backup of [second!, third!]) {
    const restored = openSync(backup, { engine: 'log' })
    for (let i = 0; i < 800; i++) {
      restored.putSync(`other ${i}`, 'x'.repeat(300), { durability: 'none' })
    }
    await restored.compact()
    restored.closeSync()
    assert.deepEqual(folderImage(nodeFiles, first!), image)
    if (backup === second) assert.equal(contents(third!), now)
  }
  destroySync(first!)

  // A base that is damaged, or was changed, is no harm.
  const base = join(folder, 'base')
  await db.backup(base)
  const names = readdirSync(base).filter((name) => /^\d+\.log$/.test(name))
  const damaged = join(base, names[0]!)
  const broken = readFileSync(damaged)
  broken[5000]! ^= 1
  writeFileSync(damaged, broken)
  const last = join(folder, 'last')
  await db.backup(last, { base })
  assert.ok(!shared(base, last).includes(names[0]!))
  assert.ok(shared(base, last).length > 0)
  assert.equal(contents(last), now)
  await db.close()
})

test('what is shared is synced, for the base may be a copy that nobody waited for; where that fails it is copied', async () => {
  const synced: string[] = []
  let failing = ''
  const files = otherFiles(nodeFiles, {
    open: (path, mode) => {
      const opening = nodeFiles.open(path, mode)
      const wrap = (handle: FileHandle): FileHandle => {
        const sync = handle.sync.bind(handle)
        handle.sync = () => {
          synced.push(path)
          const fail = (): never => {
            throw new KvarkError('IO', 'not synced', { path })
          }
          if (path !== failing) return sync()
          failing = ''
          return new Effect(fail, async () => fail())
        }
        return handle
      }
      return new Effect(
        () => wrap(opening.sync()),
        async () => wrap(await opening.async()),
      )
    },
  })
  const environment = nodeEnvironment(files, false)
  const db = await openIn(join(folder, 'synced'), {
    engine: 'log',
    segmentBytes: 256 * 1024,
    environment,
  })
  for (let i = 0; i < 500; i++) db.putSync(`key ${i}`, `${i} `.repeat(500), { durability: 'none' })
  const [base, next, last] = ['synced-0', 'synced-1', 'synced-2'].map((name) => join(folder, name))
  await db.backup(base!)
  synced.length = 0
  await db.backup(next!, { base: base! })
  const links = shared(base!, next!)
  assert.ok(links.length > 1)
  for (const name of links) assert.ok(synced.includes(join(next!, name)), name)
  failing = join(last!, links[0]!)
  await db.backup(last!, { base: base! })
  await db.close()
  assert.deepEqual(shared(base!, last!), links.slice(1))
  assert.equal(contents(last!), contents(next!))
})

test('bases that cannot be, and an engine that shares nothing', async () => {
  const db = await open(join(folder, 'tree'))
  await db.put('a', '1')
  const base = join(folder, 'tree-base')
  await db.backup(base)
  const to = join(folder, 'tree-next')
  const report = await db.backup(to, { base })
  assert.deepEqual([report.entries, report.linkedBytes], [1, undefined])
  assert.deepEqual(shared(base, to), [])
  const other = join(folder, 'other')
  openSync(other).closeSync()
  for (const [wrong, code] of [
    [join(folder, 'nowhere'), 'NOT_FOUND'],
    [other, 'INVALID_ARGUMENT'],
    [db.path, 'INVALID_ARGUMENT'],
    [':memory:', 'INVALID_ARGUMENT'],
    [1 as unknown as string, 'INVALID_ARGUMENT'],
  ] as const) {
    await assert.rejects(db.backup(join(folder, 'x'), { base: wrong }), { code })
    assert.throws(() => db.backupSync(join(folder, 'x'), { base: wrong }), { code })
  }
  await db.close()
})
