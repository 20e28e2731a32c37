// A tree whose files were damaged, or forged with all checksums made right: what is told of it, and that nothing hangs.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { writeU32, writeU48 } from '../bytes/varint.ts'
import { SUM_AT } from '../engines/btree/branch.ts'
import { copyOf, TREE_NAME } from '../engines/btree/format.ts'
import type { KvarkError } from '../errors.ts'
import { optionSets } from './crash/subjects.ts'
import { assertWhole, type Content, contentOf, openAt } from './damage.ts'
import { TreeForger } from './prove/btree/forger.ts'
import { knownStore, stillEnvironment } from './prove/small-store.ts'
import { changed } from './tampering.ts'

const store = knownStore(optionSets.btree[0]!, { compacted: true, spread: true })
const { form, content, expected } = store
const forger = new TreeForger(store, (length) => new Uint8Array(length))
const branch = [...forger.pages.values()].find(({ level }) => level > 0)!.number

function withByte(name: string, at: number): Content {
  const bytes = Buffer.from(content.get(name)!)
  bytes[at]! ^= 1
  return changed(content, name, bytes)
}

/** The child in slot 1 of the branch is another page, whatever its checksum. */
function withChild(page: number): Content {
  return forger.withPage(branch, (looked) => {
    looked.read(1)
    writeU48(looked.bytes, looked.bodyAt, page)
    writeU32(looked.bytes, looked.bodyAt + SUM_AT, 0)
  })
}

/** Every verb that goes down the tree, on these files. */
function refusals(files: Content): string[] {
  const db = openAt(stillEnvironment(files, 1), form)
  const codes: string[] = []
  const attempt = (act: () => void): void => {
    try {
      act()
    } catch (error) {
      codes.push((error as KvarkError).code)
    }
  }
  attempt(() => [...db.entries()])
  attempt(() => codes.push(...db.verifySync().problems.map(({ code }) => code)))
  for (const key of expected.keys()) attempt(() => db.putSync(key, 'anything'))
  attempt(() => db.compactSync())
  attempt(() => db.closeSync())
  return codes
}

test('the map has the pages that the root leads to, and no others', () => {
  for (const subject of optionSets.btree.slice(0, 12)) {
    const { content, form } = knownStore(subject, { compacted: true, spread: true })
    const { pages, root, tree } = new TreeForger({ content, form }, (n) => new Uint8Array(n))
    const [[first] = [0]] = root.map.runs
    let map = Buffer.alloc(0)
    new TreeForger({ content, form }, (n) => new Uint8Array(n)).withPage(first, (_, payload) => {
      map = Buffer.from(payload.subarray(0, root.map.length))
    })
    for (let page = 2; page * root.pageBytes < tree.length; page++) {
      const isUsed = ((map[page >>> 3] ?? 0) & (1 << (page & 7))) !== 0
      const isThere = pages.has(page) || page === copyOf(root)
      assert.equal(isUsed, isThere, `${subject.name}: page ${page}`)
    }
  }
})

test('a root that was damaged after a clean close is told of, and healed', () => {
  for (const slot of [0, 1]) {
    const warnings: string[] = []
    const files = withByte(TREE_NAME, slot * forger.root.pageBytes + 30)
    const environment = stillEnvironment(files, 1, warnings)
    openAt(environment, form).closeSync()
    assert.match(warnings.join(), /one of the two roots was damaged/)
    openAt(environment, form).closeSync()
    assert.equal(warnings.length, 1)
    assertWhole(environment, expected, form)
  }
})

test('a store that is opened, verified and closed is as it was', () => {
  const environment = stillEnvironment(content, 1)
  const db = openAt(environment, form)
  assert.deepEqual(db.verifySync().problems, [])
  db.closeSync()
  for (const [name, bytes] of contentOf(environment)) {
    if (name !== 'LOCK') assert.ok(bytes.equals(content.get(name)!), name)
  }
})

test('verify tells of each piece that is damaged, those of keys too', () => {
  for (const { number, level } of forger.pages.values()) {
    const isMap = forger.root.map.runs.some(
      ([first, count]) => first <= number && number < first + count,
    )
    if (level >= 0 || isMap) continue
    const db = openAt(
      stillEnvironment(withByte(TREE_NAME, (number + 1) * forger.root.pageBytes - 1), 1),
      form,
    )
    const { problems } = db.verifySync()
    assert.deepEqual(
      problems.map(({ code }) => code),
      ['CORRUPTION'],
      `page ${number}`,
    )
    db.closeSync()
  }
})

test('a branch that leads to itself, to no page, to one behind the end, or to a piece of a value', () => {
  const piece = [...forger.pages.values()].find(({ level }) => level < 0)!.number
  for (const page of [branch, 0, 1, 2 ** 20, 2 ** 48 - 1, piece]) {
    const codes = refusals(withChild(page))
    assert.ok(codes.length > 1, `page ${page}`)
    for (const code of codes) assert.match(code, /^(?:CORRUPTION|READ_ONLY)$/, `page ${page}`)
  }
})

test('a long value that lies in more pages than there are', () => {
  const leaves = [...forger.pages.values()].filter(({ level }) => level === 0)
  let refused = 0
  for (const { number } of leaves) {
    for (const count of [0, 2 ** 20, 2 ** 32 - 1]) {
      const codes = refusals(
        forger.withPage(number, (page) => {
          for (let slot = 0; slot < page.count; slot++) {
            page.read(slot)
            const isLong = (page.bytes[page.bodyAt]! & 4) !== 0
            if (isLong) writeU32(page.bytes, page.bodyAt + page.bodyLength - 4, count)
          }
        }),
      )
      for (const code of codes) assert.match(code, /^(?:CORRUPTION|READ_ONLY)$/)
      refused += codes.length
    }
  }
  assert.ok(refused > 0)
})
