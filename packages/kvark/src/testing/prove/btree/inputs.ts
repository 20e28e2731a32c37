/** What only a tree turns into bytes and back: roots, pages, what stands in leaves, the map of pages in use. */

import assert from 'node:assert/strict'
import type { SeededRandom } from '../../../bytes/random.ts'
import {
  type Extent,
  ROOT_BYTES,
  type Root,
  readRoot,
  writeRoot,
} from '../../../engines/btree/format.ts'
import {
  encodeExtent,
  Leaf,
  leafLength,
  readExtent,
  writeLeaf,
} from '../../../engines/btree/leaf.ts'
import { Page, pageMemory } from '../../../engines/btree/page.ts'
import { Space } from '../../../engines/btree/space.ts'
import { KvarkError } from '../../../errors.ts'
import type { Input } from '../anatomy.ts'

const PATH = '/store/TREE'
const STORE_ID = 'ab'.repeat(16)
const PAGE_BYTES = 1024
const MOST_PAGES = 300
const NOTHING = Buffer.alloc(0)

export function treeInputs(random: SeededRandom): readonly Input[] {
  return [
    ['page', 1, () => tryPage(random)],
    ['root', 1, () => tryRoot(random)],
    ['leaf', 4, () => tryLeaf(random)],
    ['map of pages', 1, () => trySpace(random)],
  ]
}

function u48(random: SeededRandom): number {
  return random.uint32() * 0x1_0000 + random.below(0x1_0000)
}

/** Entries in and out of a page, compared with a map; then the page with some bytes changed, which is refused or can be read. */
function tryPage(random: SeededRandom): void {
  const bytes = Buffer.alloc(PAGE_BYTES)
  const memory = pageMemory(bytes)
  const page = new Page(memory, PAGE_BYTES)
  const prefix = random.pick([NOTHING, Buffer.from('pre'), Buffer.from('prefix')])
  page.format(memory, 0, 0, prefix)
  const entries = new Map<string, string>()
  for (let left = random.below(40); left > 0; left--) {
    const rest = Buffer.from(random.bytes(random.below(12))).map((byte) => byte % 3)
    const key = Buffer.concat([prefix, rest])
    const slot = page.find(key, 0, key.length)
    const name = key.toString('latin1')
    assert.equal(slot >= 0, entries.has(name))
    if (slot >= 0) {
      page.remove(slot)
      entries.delete(name)
      continue
    }
    const body = random.bytes(random.below(30))
    if (!page.insert(-1 - slot, key, 0, key.length, body.length)) continue
    bytes.set(body, page.bodyAt)
    entries.set(name, Buffer.from(body).toString('latin1'))
  }
  assert.equal(page.isSound(), entries.size > 0)
  const wanted = [...entries].sort(([a], [b]) => (a < b ? -1 : 1))
  assert.deepEqual(contentOf(page), wanted, 'a page gives what was put into it')
  for (let edits = 1 + random.below(3); edits > 0; edits--) {
    bytes[random.below(random.chance(0.5) ? 64 : PAGE_BYTES)] = random.below(256)
  }
  page.look(memory, 0)
  if (!page.isSound()) return
  for (const [key] of contentOf(page)) {
    const slot = page.find(Buffer.from(key, 'latin1'), 0, key.length)
    assert.ok(slot < page.count)
  }
}

function contentOf(page: Page): [string, string][] {
  return Array.from({ length: page.count }, (_, slot) => {
    const key = Buffer.alloc(page.keyLength(slot))
    assert.equal(page.writeKey(slot, key, 0), key.length)
    page.read(slot)
    const { bytes, bodyAt, bodyLength } = page
    return [key.toString('latin1'), bytes.toString('latin1', bodyAt, bodyAt + bodyLength)]
  })
}

function tryRoot(random: SeededRandom): void {
  const root: Root = {
    number: random.uint32(),
    life: random.uint32(),
    pageBytes: random.pick([4096, 8192, 16_384, 32_768, 65_536]),
    page: u48(random),
    sum: random.uint32(),
    entries: u48(random),
    sequence: u48(random),
    clock: u48(random),
    journal: {
      segment: random.uint32(),
      end: u48(random),
      sequence: u48(random),
      checksum: random.uint32(),
    },
    map: { ...anyExtent(random), runs: [[u48(random), random.uint32()]] },
    edition: random.uint32(),
  }
  const bytes = writeRoot(root, STORE_ID, undefined)
  assert.equal(bytes.length, ROOT_BYTES)
  assert.deepEqual(readRoot(PATH, bytes, STORE_ID, undefined), root)
  bytes[random.below(bytes.indexOf(0) + 1)]! ^= 1 << random.below(8)
  assert.equal(readRoot(PATH, bytes, STORE_ID, undefined), undefined, 'a root that was changed')
}

function anyExtent(random: SeededRandom): Extent {
  const runs = Array.from({ length: random.below(5) }, (): [number, number] => [
    u48(random),
    random.uint32(),
  ])
  return { length: u48(random), mark: random.uint32(), runs }
}

function tryLeaf(random: SeededRandom): void {
  const leaf = new Leaf()
  const extent = random.chance(0.5) ? anyExtent(random) : undefined
  const value = extent ? encodeExtent(extent) : Buffer.from(random.bytes(random.below(40)))
  const sequence = u48(random)
  const expiry = random.chance(0.5) ? 0 : 1 + u48(random)
  const ascii = random.chance(0.5)
  const at = random.below(9)
  const length = leafLength(value.length, expiry)
  const bytes = Buffer.alloc(at + length)
  const start = writeLeaf(bytes, at, sequence, expiry, ascii, extent !== undefined)
  value.copy(bytes, start)
  leaf.read(bytes, at, length, PATH)
  assert.deepEqual([leaf.sequence, leaf.expiry, leaf.ascii], [sequence, expiry, ascii])
  assert.ok(bytes.subarray(leaf.start, leaf.end).equals(value))
  if (extent) assert.deepEqual(readExtent(bytes, leaf.start, leaf.end), extent)
  const garbage = Buffer.from(random.bytes(random.below(40)))
  if (garbage.length > 0 && random.chance(0.8)) garbage[0]! &= 7
  try {
    leaf.read(garbage, 0, garbage.length, PATH)
  } catch (error) {
    if (error instanceof KvarkError && ['CORRUPTION', 'VERSION'].includes(error.code)) return
    throw error
  }
  assert.ok(leaf.start <= leaf.end && leaf.end <= garbage.length)
  if (leaf.long) readExtent(garbage, leaf.start, leaf.end)
}

/** Pages taken and given back, compared with a set; saved and restored. */
function trySpace(random: SeededRandom): void {
  let space = new Space()
  const used = new Set<number>()
  const freeFrom = (page: number): number => (used.has(page) ? freeFrom(page + 1) : page)
  for (let left = 20 + random.below(60); left > 0; left--) {
    const what = random.below(10)
    if (what < 4) {
      const page = space.take()
      assert.equal(page, freeFrom(0), 'the lowest page that is free')
      used.add(page)
    } else if (what < 7 && used.size > 0) {
      const page = random.pick([...used])
      space.give(page)
      used.delete(page)
    } else if (what === 7) {
      const count = 1 + random.below(20)
      const first = space.takeRun(count)
      for (let page = first; page < first + count; page++) {
        assert.ok(!used.has(page), 'a page that was free')
        used.add(page)
      }
    } else if (what === 8) {
      const page = random.below(MOST_PAGES)
      if (!used.has(page)) space.mark(page)
      used.add(page)
    } else space = Space.restore(space.save(() => {}))
    assert.equal(space.used, used.size)
    assert.equal(space.end, Math.max(-1, ...used) + 1)
  }
  for (let page = 0; page < MOST_PAGES; page++) assert.equal(space.has(page), used.has(page))
  const garbage = Space.restore(Buffer.from(random.bytes(random.below(40))))
  assert.ok(garbage.used <= garbage.end)
}
