/** Stores that were written when their format was new open with this kvark, and can be written on. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Environment } from '../environment/environment.ts'
import { openSync } from '../store/open.ts'
import type { AtomicStore } from '../store/types.ts'
import { environmentWith, FOLDER } from './damage.ts'
import { engineOf, expectedOf, fixture, openOptions, versions } from './fixtures.ts'
import { readIndex } from './format-index.ts'
import { readStore } from './format-reader.ts'
import { readTree } from './format-tree.ts'

const KINDS = {
  log: [/^KVARK$/, /^MANIFEST$/, /^\d+\.log$/, /^\d+\.packed$/, /^\d+\.index$/],
  btree: [/^KVARK$/, /^TREE$/, /^\d+\.log$/],
} as const

function open(environment: Environment, options: object): AtomicStore<string, string> {
  return openSync(FOLDER, { environment, create: false, ...options })
}

function assertHolds(
  db: AtomicStore<string, string>,
  entries: Readonly<Record<string, string>>,
): void {
  assert.deepEqual(Object.fromEntries(db.entries()), { ...entries })
  for (const [key, value] of Object.entries(entries)) assert.equal(db.getSync(key), value, key)
  assert.equal(db.getSync('cleared'), undefined)
  assert.deepEqual(db.verifySync().problems, [])
}

for (const version of versions()) {
  const { stores, entries } = expectedOf(version)
  const engine = engineOf(version)
  for (const [name, how] of Object.entries(stores)) {
    test(`${version}, ${name}: opens, reads, is written on, compacts`, () => {
      const warnings: string[] = []
      const environment = environmentWith(fixture(version, name), warnings)
      const options = openOptions(how, engine)
      const readOnly = open(environment, { ...options, readOnly: true })
      assertHolds(readOnly, entries)
      readOnly.closeSync()
      const db = open(environment, options)
      assertHolds(db, entries)
      const more = { ...entries, 'one more': 'by this version' }
      db.putSync('one more', 'by this version')
      db.closeSync()
      const again = open(environment, options)
      assertHolds(again, more)
      again.compactSync()
      assertHolds(again, more)
      again.closeSync()
      const last = open(environment, options)
      assertHolds(last, more)
      last.closeSync()
      assert.deepEqual(warnings, [])
    })

    test(`${version}, ${name}: read by the documents alone`, () => {
      const secret = how.key === undefined ? undefined : { key: Buffer.from(how.key, 'hex') }
      const files = fixture(version, name)
      const log = engine === 'log' ? readStore(files, secret) : undefined
      const tree = engine === 'btree' ? readTree(files, secret) : undefined
      const live = log?.live ?? tree!.live
      const read = [...live].map(([key, value]) => [
        Buffer.from(key, 'hex').toString(),
        value.toString(),
      ])
      assert.deepEqual(Object.fromEntries(read), { ...entries })
      if (tree) {
        assert.ok(tree.levels > 1)
        assert.equal(tree.entries.length !== live.size, name === 'journal')
      }
      if (log === undefined) return
      const index = readIndex(files, log)
      assert.equal(index === undefined, name === 'journal')
      assert.deepEqual(index?.held, index?.wanted)
    })
  }
}

test('every version has a journal, a plain, a compressed and an encrypted store', () => {
  assert.ok(versions().includes('log-1') && versions().includes('btree-1'))
  for (const version of versions()) {
    assert.deepEqual(Object.keys(expectedOf(version).stores), [
      'journal',
      'plain',
      'lz4',
      'encrypted',
    ])
    for (const name of ['plain', 'lz4', 'encrypted']) {
      const names = [...fixture(version, name).keys()]
      for (const kind of KINDS[engineOf(version)]) {
        assert.ok(
          names.some((one) => kind.test(one)),
          `${version}, ${name}: ${kind}`,
        )
      }
    }
  }
})
