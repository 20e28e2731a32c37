// Damaged B+ trees: page by page, roots, the map, the journal, older pages, a file that is cut. What is not on a damaged page is all
// there, what is missing or older is in the report, and nothing comes out that was not written.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import type { LostRange, RepairReport } from '../engine/facts.ts'
import type { Environment } from '../environment/environment.ts'
import { immediate } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import { FILE_HEADER_BYTES } from '../storage/segment-format.ts'
import { openSync } from '../store/open.ts'
import type { Encryption } from '../store/options.ts'
import { repair, repairSync } from '../store/repair.ts'
import type { FileHandle } from '../vfs/files.ts'
import { otherFiles } from '../vfs/other-files.ts'
import { oneOf } from './crash/seeds.ts'
import { type Content, contentOf, environmentWith, FOLDER } from './damage.ts'
import { readTree } from './format-tree.ts'

const TO = '/repaired'
const PAGE_BYTES = 4096
const TREE = 'TREE'

interface TreeForm {
  readonly compression?: 'lz4'
  readonly encryption?: Encryption
}

interface Written {
  readonly form: TreeForm
  /** At each clean close, the last one last; without the lock. */
  readonly closed: readonly Content[]
  /** Not closed: the journal has what the tree has not. */
  readonly running: Content
  /** All values of each key, oldest first; `undefined`: it was deleted. */
  readonly values: ReadonlyMap<string, readonly (string | undefined)[]>
  /** Of `running`, and of the last of `closed`. */
  readonly newest: ReadonlyMap<string, string>
}

type Db = ReturnType<typeof openTree>

function openTree(environment: Environment, form: TreeForm, path: string = FOLDER) {
  return openSync(path, {
    engine: 'btree',
    pageBytes: PAGE_BYTES,
    // Checkpoints come with a close only.
    checkpointBytes: Number.MAX_SAFE_INTEGER,
    cacheBytes: 2 ** 20,
    environment,
    ...form,
  })
}

function filesOf(environment: Environment): Content {
  return new Map([...contentOf(environment)].filter(([name]) => name !== 'LOCK'))
}

function write(form: TreeForm): Written {
  const random = new SeededRandom(4)
  const environment = environmentWith(new Map())
  const values = new Map<string, (string | undefined)[]>()
  const closed: Content[] = []
  let running: Content = new Map()
  const note = (key: string, value: string | undefined): void => {
    values.set(key, [...(values.get(key) ?? []), value])
  }
  const put = (db: Db, key: string, value: string): void => {
    db.putSync(key, value, { durability: 'os' })
    note(key, value)
  }
  for (let round = 0; round < 4; round++) {
    const db = openTree(environment, form)
    for (let i = 0; i < 700; i++) {
      const key = `key ${i}`
      if (random.chance(round === 0 ? 0.9 : 0.15)) {
        // Of unlike bytes, so that pages are full in a compressed store, too.
        const noise = Buffer.from(random.bytes(40 + random.below(200))).toString('base64')
        put(db, key, `${round} of ${i} ${noise}`)
      } else if (values.get(key)?.at(-1) !== undefined && random.chance(0.1)) {
        db.deleteSync(key, { durability: 'os' })
        note(key, undefined)
      }
    }
    for (let i = 0; i < 5; i++) put(db, `long ${i}`, `${round}, ${i} is long `.repeat(1500))
    for (let i = 0; i < 5; i++) put(db, `${'k'.repeat(3000)}${i}`, `${round} under a long key`)
    db.syncSync()
    if (round === 3) running = filesOf(environment)
    db.closeSync()
    closed.push(filesOf(environment))
  }
  const newest = new Map<string, string>()
  for (const [key, all] of values) {
    const last = all.at(-1)
    if (last !== undefined) newest.set(key, last)
  }
  return { form, closed, running, values, newest }
}

interface Outcome {
  readonly report: RepairReport
  readonly found: ReadonlyMap<string, string>
  /** Keys that have not what they had, in their order. */
  readonly changed: readonly string[]
}

/** Repairs a store of these files, and holds it against what was written. */
function repaired({ form, values, newest }: Written, content: Content): Outcome {
  const environment = environmentWith(content)
  const encryption = form.encryption ? { encryption: form.encryption } : {}
  const report = repairSync(FOLDER, TO, { environment, ...encryption })
  const db = openTree(environment, form, TO)
  const found = new Map(db.entries())
  const { problems, entries } = db.verifySync()
  assert.deepEqual([problems, entries], [[], report.entries])
  const named = new Set<string>()
  for (const { keys = [] } of report.lost) {
    for (const { key, version, kept } of keys) {
      const name = Buffer.from(key).toString()
      named.add(name)
      assert.equal(db.getEntrySync(name)?.version, kept)
      assert.ok(version === undefined || kept === undefined || kept < version)
    }
  }
  db.closeSync()
  const changed: string[] = []
  for (const key of new Set([...found.keys(), ...newest.keys()])) {
    const value = found.get(key)
    if (value === newest.get(key)) continue
    changed.push(key)
    if (value === undefined) continue
    assert.ok(values.get(key)?.includes(value), `${key.slice(0, 20)} has a wrong value`)
    assert.ok(named.has(key), `${key.slice(0, 20)} is older, or was deleted, and that is not told`)
  }
  if (changed.length > 0) assert.notEqual(report.lost.length, 0, 'the loss is told')
  return { report, found, changed: changed.sort() }
}

function withTree(content: Content, change: (tree: Buffer) => Buffer | undefined): Content {
  const tree = Buffer.from(content.get(TREE)!)
  return new Map(content).set(TREE, change(tree) ?? tree)
}

function spoil(...pages: readonly number[]): (tree: Buffer) => undefined {
  return (tree) => {
    for (const page of pages) tree[page * PAGE_BYTES + 100]! ^= 1
  }
}

/** Whether a page is in one of the places. */
function isTold(lost: readonly LostRange[], page: number): boolean {
  const at = page * PAGE_BYTES
  return lost.some(
    ({ path, from, to }) => path === `${FOLDER}/${TREE}` && from <= at && at + PAGE_BYTES <= to,
  )
}

const key = new Uint8Array(32).map((_, i) => i * 5)
const FORMS: readonly [string, TreeForm][] = [
  ['plain', {}],
  ['compressed', { compression: 'lz4' }],
  ['encrypted', { encryption: { key } }],
]

for (const [name, form] of FORMS) {
  describe(name, () => {
    const written = write(form)
    const whole = written.closed.at(-1)!
    const pages = Math.ceil(whole.get(TREE)!.length / PAGE_BYTES)
    // The forms differ in how a page is checked only.
    const step = oneOf(3) * (name === 'plain' ? 1 : 3)

    test('nothing is damaged: nothing is lost, with and without a journal behind the tree', () => {
      for (const content of [whole, written.running]) {
        const { report, changed } = repaired(written, content)
        assert.deepEqual([report.lost, changed], [[], []])
      }
    })

    test('any page: what is not on it is all there', () => {
      let branches = 0
      let leaves = 0
      const sorted = [...written.newest.keys()].sort()
      for (let page = 2; page < pages; page += step) {
        const { report, changed } = repaired(written, withTree(whole, spoil(page)))
        if (report.lost.length === 0) continue
        assert.ok(isTold(report.lost, page), `page ${page}`)
        assert.equal(report.lost.length, 1)
        const { keys = [] } = report.lost[0]!
        const doubtful = keys.map(({ key }) => Buffer.from(key).toString())
        // Of a leaf all keys are missing or in doubt, and no other ones.
        const touched = new Set([...changed, ...doubtful])
        const [first = '', last = ''] = [...touched]
          .sort()
          .filter((_, i, all) => i === 0 || i === all.length - 1)
        const between = sorted.filter((one) => first <= one && one <= last)
        assert.deepEqual(
          between.filter((one) => !touched.has(one)),
          [],
          `page ${page}`,
        )
        assert.ok(touched.size < 80, `page ${page}: ${touched.size} keys`)
        if (touched.size === 0) branches++
        else leaves++
      }
      assert.ok(branches > 0 && leaves > 10 / step, `${branches} branches, ${leaves} leaves`)
    })

    test('several pages', () => {
      const random = new SeededRandom(6)
      for (let run = 0; run < 40 / step; run++) {
        const spoiled = Array.from(
          { length: 2 + random.below(run % 4 === 0 ? pages / 2 : 6) },
          () => 2 + random.below(pages - 2),
        )
        repaired(written, withTree(whole, spoil(...spoiled)))
        repaired(written, withTree(written.running, spoil(...spoiled)))
      }
    })

    test('roots: of the two one will do, and without both the copy behind the map', () => {
      const zero =
        (...slots: readonly number[]) =>
        (tree: Buffer): undefined => {
          for (const slot of slots) tree.fill(0, slot * PAGE_BYTES, (slot + 1) * PAGE_BYTES)
        }
      for (const content of [whole, written.running]) {
        for (const slot of [0, 1]) {
          const { report, changed } = repaired(written, withTree(content, zero(slot)))
          assert.deepEqual([report.lost, changed], [[], []])
        }
        const { report, changed } = repaired(written, withTree(content, zero(0, 1)))
        assert.deepEqual(changed, [])
        assert.deepEqual(
          report.lost.map(({ from, to, keys }) => [from, to, keys]),
          [[0, 2 * PAGE_BYTES, undefined]],
        )
      }
      for (let page = 2; page < pages; page += 3 * step) {
        const both = withTree(whole, zero(0, 1))
        repaired(written, withTree(both, spoil(page)))
      }
    })

    test('an older page where a newer one was written', () => {
      let told = 0
      for (const before of written.closed.slice(0, -1)) {
        const old = before.get(TREE)!
        for (let page = 2; (page + 1) * PAGE_BYTES <= old.length; page += step) {
          const from = page * PAGE_BYTES
          const put = (tree: Buffer): undefined => {
            old.copy(tree, from, from, from + PAGE_BYTES)
          }
          const content = withTree(whole, put)
          if (content.get(TREE)!.equals(whole.get(TREE)!)) continue
          const { report } = repaired(written, content)
          if (report.lost.length > 0) told++
        }
      }
      assert.ok(told > 5 / step, `${told} told`)
    })

    test('a file that is cut', () => {
      const random = new SeededRandom(2)
      for (let page = 2; page < pages; page += 3 * step) {
        const at = page * PAGE_BYTES + random.below(PAGE_BYTES)
        const { report } = repaired(
          written,
          withTree(whole, (tree) => tree.subarray(0, at)),
        )
        assert.equal(report.lost.length > 0, true)
      }
    })

    test('without the tree there is what the journal has', () => {
      const content = new Map(written.running)
      content.delete(TREE)
      const { report, found } = repaired(written, content)
      assert.ok(found.size > 20)
      assert.deepEqual(
        report.lost.map(({ path, reason }) => [path, reason]),
        [[`${FOLDER}/${TREE}`, 'the file is missing']],
      )
    })

    test('the journal: what is behind damage is there, and what came before it is told of by its place only', () => {
      const logs = [...written.running.keys()].filter((one) => one.endsWith('.log'))
      const journal = logs.sort((a, b) => Number.parseInt(b, 10) - Number.parseInt(a, 10))[0]
      const bytes = written.running.get(journal!)!
      const before = new Map(written.closed.at(-2))
      before.delete(journal!)
      const { found: old } = journalRepaired(written, before)
      let lost = 0
      // What is damaged at the very end may never have been durable.
      for (let at = FILE_HEADER_BYTES; at < bytes.length - 8000; at += step * 1777) {
        const changed = Buffer.from(bytes)
        changed[at]! ^= 1
        const content = new Map(written.running).set(journal!, changed)
        const { report, found } = journalRepaired(written, content)
        for (const [key, value] of written.newest) {
          if (found.get(key) === value) continue
          assert.equal(found.get(key), old.get(key), 'what it was at the last checkpoint')
          assert.ok(
            report.lost.some(
              ({ path, from, to }) => path === `${FOLDER}/${journal}` && from <= at && at < to,
            ),
          )
          lost++
        }
      }
      assert.ok(lost > 5, `${lost} lost`)
    })
  })
}

/** Repairs a store whose journal is damaged: keys that are lost with a part of it nobody knows. */
function journalRepaired(
  { form, values }: Written,
  content: Content,
): { report: RepairReport; found: ReadonlyMap<string, string> } {
  const environment = environmentWith(content)
  const encryption = form.encryption ? { encryption: form.encryption } : {}
  const report = repairSync(FOLDER, TO, { environment, ...encryption })
  const db = openTree(environment, form, TO)
  const found = new Map(db.entries())
  db.closeSync()
  for (const [key, value] of found) assert.ok(values.get(key)?.includes(value))
  return { report, found }
}

test('of a tree that was emptied nothing comes back, whatever roots are left', () => {
  const environment = environmentWith(new Map())
  const db = openTree(environment, {})
  for (let i = 0; i < 300; i++) db.putSync(`key ${i}`, 'x'.repeat(i), { durability: 'none' })
  db.closeSync()
  const again = openTree(environment, {})
  again.clearSync()
  again.closeSync()
  const content = filesOf(environment)
  for (const change of [spoil(0), spoil(0, 1)]) {
    const world = environmentWith(withTree(content, change))
    assert.equal(repairSync(FOLDER, TO, { environment: world }).entries, 0)
  }
})

test('of a backup, which has no journal, the tree alone tells what it is', () => {
  const { closed, newest } = write({})
  const environment = environmentWith(closed.at(-1)!)
  const db = openTree(environment, {})
  db.backupSync('/copy')
  db.closeSync()
  environment.files.remove('/copy/KVARK').sync()
  assert.throws(() => openTree(environment, {}, '/copy'), { code: 'CORRUPTION' })
  const { entries, lost } = repairSync('/copy', TO, { environment, keys: 'utf8', values: 'utf8' })
  assert.deepEqual([entries, lost.map(({ path }) => path)], [newest.size, ['/copy/KVARK']])
})

test('without the descriptor: a journal is no log where a tree stands beside it', () => {
  const { closed, running, newest } = write({})
  for (const content of [closed.at(-1)!, running]) {
    const files = new Map(content)
    files.delete('KVARK')
    const environment = environmentWith(files)
    assert.equal(
      repairSync(FOLDER, TO, { environment, keys: 'utf8', values: 'utf8' }).entries,
      newest.size,
    )
    const db = openTree(environment, {}, TO)
    assert.deepEqual(new Map(db.entries()), newest)
    db.closeSync()
  }
})

test('an older tree beside the journal of a newer one: what is between them is missing, and told', () => {
  for (const form of [{}, { encryption: { key } }]) {
    const written = write(form)
    for (const journal of [written.closed.at(-1)!, written.running]) {
      for (const before of written.closed.slice(0, -2)) {
        const content = new Map(journal).set(TREE, before.get(TREE)!)
        const { report } = journalRepaired(written, content)
        assert.ok(report.lost.some(({ reason }) => reason === 'the file is missing'))
      }
    }
  }
})

test('of two older pages the newer one speaks for its keys: what was deleted by then stays so', () => {
  const environment = environmentWith(new Map())
  const db = openTree(environment, {})
  const values = new Map<string, (string | undefined)[]>()
  const names = Array.from({ length: 60 }, (_, i) => `key ${10 + i}`)
  for (const name of names) {
    db.putSync(name, 'first')
    values.set(name, ['first'])
  }
  // A snapshot keeps the pages, a backup begins with a checkpoint.
  db.backupSync('/first')
  const first = db.snapshot()
  for (const name of names.slice(20, 30)) {
    db.deleteSync(name)
    values.set(name, ['first', undefined])
  }
  db.backupSync('/second')
  const second = db.snapshot()
  db.putSync(names[0]!, 'second')
  values.set(names[0]!, ['first', 'second'])
  db.backupSync('/third')
  const content = filesOf(environment)
  first.close()
  second.close()
  db.closeSync()
  const newest = new Map(
    [...values].flatMap(([one, all]) => (all.at(-1) ? [[one, all.at(-1)!]] : [])),
  )
  const { root } = readTree(content)
  const written = { form: {}, closed: [], running: content, values, newest }
  const { report, found } = repaired(written, withTree(content, spoil(root.page)))
  assert.deepEqual([...found.keys()].sort(), [...newest.keys()].sort())
  assert.equal(found.get(names[0]!), 'first')
  assert.equal(report.lost[0]!.keys?.length, newest.size)
})

test('a value that holds a store is never taken for one', () => {
  const { closed } = write({})
  const environment = environmentWith(new Map())
  const open = (at: Environment, path: string = FOLDER) =>
    openSync(path, { engine: 'btree', pageBytes: PAGE_BYTES, values: 'bytes', environment: at })
  const allowed = new Set<string>()
  let db = open(environment)
  for (const [name, bytes] of closed.at(-1)!) {
    db.putSync(name, bytes)
    allowed.add(name)
  }
  db.closeSync()
  const own = filesOf(environment)
  db = open(environment)
  for (const [name, bytes] of own) {
    db.putSync(`own ${name}`, bytes)
    allowed.add(`own ${name}`)
  }
  db.closeSync()
  const random = new SeededRandom(5)
  for (let run = 0; run < 20; run++) {
    const files = new Map(contentOf(environment))
    const tree = files.get(TREE)!
    for (let k = 0; k < 6; k++) tree[random.below(tree.length)]! ^= 255
    if (run % 2 === 0) tree.fill(0, 0, 2 * PAGE_BYTES)
    const world = environmentWith(files)
    repairSync(FOLDER, TO, { environment: world })
    const copy = open(world, TO)
    for (const one of copy.keys()) assert.ok(allowed.has(one), one)
    copy.closeSync()
  }
})

test('a device that cannot read some places loses these and nothing else', async () => {
  const written = write({})
  const environment = environmentWith(written.closed.at(-1)!)
  const { files } = environment
  const bad = [20, 21, 50].map((page) => page * PAGE_BYTES)
  const open = (path: string): FileHandle => {
    const handle = files.open(path, 'read').sync()
    const read = handle.read.bind(handle)
    handle.read = (target, offset, length, position) =>
      immediate(() => {
        if (bad.some((at) => position < at + PAGE_BYTES && position + length > at)) {
          throw new KvarkError('IO', 'EIO on purpose.', { path, errno: 'EIO' })
        }
        return read(target, offset, length, position).sync()
      })
    return handle
  }
  const failing = otherFiles(files, {
    shareable: false,
    open: (path, mode) =>
      path === `${FOLDER}/${TREE}` && mode === 'read'
        ? immediate(() => open(path))
        : files.open(path, mode),
  })
  const { lost } = await repair(FOLDER, TO, { environment: { ...environment, files: failing } })
  const content = withTree(written.closed.at(-1)!, spoil(20, 21, 50))
  const { report, found } = repaired(written, content)
  assert.deepEqual(lost, report.lost)
  const db = openTree(environment, {}, TO)
  assert.deepEqual(new Map(db.entries()), found)
  db.closeSync()
})

test('what was loaded is there, from the tree and from the journal, and nothing of a load that did not end', () => {
  const environment = environmentWith(new Map())
  let db = openTree(environment, {})
  const there = Array.from({ length: 300 }, (_, i) => `key ${1000 + i}`)
  for (const key of there) db.putSync(key, 'there'.repeat(20), { durability: 'none' })
  const loadOf = (name: string, count: number): [string, string][] =>
    Array.from({ length: count }, (_, i) => [
      `key 1150 ${name} ${10_000 + i}`,
      `${name} `.repeat(i === 7 ? 3000 : 20),
    ])
  db.loadSync(loadOf('first', 300))
  db.closeSync()
  db = openTree(environment, {})
  db.loadSync(loadOf('second', 300))
  let content = filesOf(environment)
  function* aborted(): Generator<[string, string]> {
    // Between those of the first one: that would have been found at the end.
    for (let i = 0; i < 8000; i++) {
      yield [`key 1150 first ${10_000 + Math.floor(i / 30)} ${100 + (i % 30)}`, 'third '.repeat(20)]
    }
    // Its pages are in the file, and nobody gives them back.
    content = filesOf(environment)
    throw new Error('on purpose')
  }
  assert.throws(() => db.loadSync(aborted()))
  db.closeSync()
  const pages = content.get(TREE)!.length / PAGE_BYTES
  assert.ok(pages > 200, `${pages} pages`)
  const all = new Map([
    ...there.map((key): [string, string] => [key, 'there'.repeat(20)]),
    ...loadOf('first', 300),
    ...loadOf('second', 300),
  ])
  const written: Written = {
    form: {},
    closed: [],
    running: content,
    values: new Map([...all].map(([key, value]) => [key, [value]])),
    newest: all,
  }
  const { report, changed } = repaired(written, content)
  assert.deepEqual([report.lost, changed], [[], []])
  let damaged = 0
  for (let page = 2; page < 80; page += 9) {
    const { found, changed: lost } = repaired(written, withTree(content, spoil(page)))
    if (lost.length > 0) damaged++
    for (const key of found.keys()) assert.ok(all.has(key), key)
  }
  assert.ok(damaged > 3, `${damaged} pages took entries away`)
})
