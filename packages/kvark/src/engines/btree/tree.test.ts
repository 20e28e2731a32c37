// The tree against a sorted list, with views that are taken and ended on the way: each must see what was there then.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../../bytes/random.ts'
import { immediate, runSync } from '../../environment/routine.ts'
import { PlainForm } from '../../storage/block-form.ts'
import { type Block, Cache } from '../../storage/cache.ts'
import { Count } from './count.ts'
import { Extents } from './extents.ts'
import { TreeFile } from './file.ts'
import { NO_PAGE, ROOT_SLOTS } from './format.ts'
import { Keys } from './keys.ts'
import { longKeyBytes, type Page } from './page.ts'
import { Pages } from './pages.ts'
import { ABSENT, AWAY, PRESENT } from './path.ts'
import { Tree } from './tree.ts'
import type { View } from './views.ts'
import { TreeWalk } from './walk.ts'

const NOTHING = Buffer.alloc(0)
// So that keys differ in front of where long ones begin, right there, and behind it.
const LONG = 'long'.repeat(7)
const LONGER = 'long'.repeat(300)

/** `disk`: what was written; without it nothing is in a file. */
function newPages(bits: number, cacheBytes = 2 ** 20, disk?: ReadonlyMap<number, Buffer>): Pages {
  const source = {
    readPage: (page: number, target: Buffer, at: number) =>
      immediate<void>(() => {
        const bytes = disk?.get(page)
        if (bytes === undefined) throw new Error(`page ${page} is not in a file`)
        bytes.copy(target, at)
      }),
  }
  const pages = new Pages(
    new Cache(cacheBytes, bits, false),
    source,
    { bits, headerBytes: 12 },
    7,
    2 ** 16,
  )
  for (let page = 0; page < ROOT_SLOTS; page++) pages.space.mark(page)
  return pages
}

/** As a checkpoint does: all that is fresh is on the disk. */
function storeAll(pages: Pages, disk: Map<number, Buffer>): void {
  const checkpoint = pages.views.add(false)
  for (const number of pages.freshUpTo(checkpoint.epoch)) {
    disk.set(number, Buffer.from(pages.bytesOf(number)))
    pages.written(number, checkpoint.epoch)
  }
  pages.releaseSlabs()
  pages.views.end(checkpoint)
}

function keysIn(pages: Pages): Keys {
  // Nothing is written to it.
  const file = new TreeFile(
    undefined as never,
    new PlainForm('crc32'),
    0,
    Math.log2(pages.size + 12),
  )
  let marks = 0
  return new Keys(new Extents(pages, file, () => ++marks), longKeyBytes(pages.size))
}

class Model {
  readonly pages: Pages
  readonly tree: Tree
  readonly keys: Keys
  readonly random: SeededRandom
  content: Map<string, string> = new Map()
  merged = 0
  filled = 0
  hits = 0
  ranges = 0
  views: { view: View; root: number; content: Map<string, string> }[] = []

  constructor(bits: number, seed: number) {
    this.pages = newPages(bits)
    this.keys = keysIn(this.pages)
    this.tree = new Tree(this.pages, this.keys)
    this.random = new SeededRandom(seed)
  }

  key(): Buffer {
    const { random } = this
    const start = random.pick(['', 'a', 'user:', 'user:1', 'user:10000', LONG, LONGER])
    const rest = random.chance(0.5)
      ? String(random.below(500))
      : Buffer.from(random.bytes(random.below(4))).toString('latin1')
    return Buffer.from(start + rest, 'latin1')
  }

  step(): void {
    const { random } = this
    const chance = random.below(100)
    if (chance < 3) this.#view()
    else if (chance < 6 && this.views.length > 0) this.#end(random.below(this.views.length))
    else if (chance < 9) this.#merge(this.key())
    else if (chance === 9 && random.chance(0.1))
      this.#deleteRange(this.key(), random.chance(0.1) ? NOTHING : this.key())
    else if (chance === 10 && random.chance(0.4)) this.#putRun()
    else if (chance < 60)
      this.#put(this.key(), Buffer.from(random.bytes(random.pick([0, 3, 3, 20, 60]))))
    else this.#delete(this.key())
    this.#get(this.key())
  }

  /** By the hash, where it knows the key, else by a search; the next one is by the hash. */
  #get(key: Buffer): void {
    const { tree } = this
    const expected = this.content.get(key.toString('latin1'))
    const bodyIn = (page: Page): string =>
      page.bytes.toString('latin1', page.bodyAt, page.bodyAt + page.bodyLength)
    const known = tree.hit(key, 0, key.length)
    if (known !== undefined) {
      this.hits++
      assert.equal(bodyIn(known), expected)
      return
    }
    if (tree.reach(tree.root, key, 0, key.length) !== PRESENT) {
      assert.equal(expected, undefined)
      return
    }
    tree.remember(key, 0, key.length)
    const hit = tree.hit(key, 0, key.length)
    if (hit !== undefined) assert.equal(bodyIn(hit), expected)
  }

  #put(key: Buffer, body: Buffer): void {
    const added = this.tree.put(key, 0, key.length, body.length)
    const { body: page } = this.tree
    body.copy(page.bytes, page.bodyAt)
    const name = key.toString('latin1')
    assert.equal(added, !this.content.has(name))
    this.content.set(name, body.toString('latin1'))
  }

  /** Puts that mostly come to the leaf of the one before, with what takes that away between them. */
  #putRun(): void {
    const { random, tree } = this
    const start = this.key().toString('latin1')
    const isRising = random.chance(0.7)
    for (let i = 0; i < 30; i++) {
      const key = Buffer.from(start + String(isRising ? i : 29 - i).padStart(2, '0'), 'latin1')
      const isLong = key.length >= longKeyBytes(this.pages.size)
      assert.ok(isLong || tree.isNear(key, 0, key.length))
      this.#put(key, Buffer.from(random.bytes(random.pick([0, 3, 20, 60]))))
      const chance = random.below(100)
      if (chance < 2) this.#view()
      else if (chance < 4) this.#deleteRange(key, Buffer.from(`${start}~`, 'latin1'))
      else if (chance < 6) this.#put(this.key(), NOTHING)
      else if (chance < 8) this.#delete(key)
      else if (chance < 10) this.#merge(key)
    }
  }

  #view(): void {
    const { root } = this.tree
    this.views.push({ view: this.pages.views.add(), root, content: new Map(this.content) })
  }

  #delete(key: Buffer): void {
    const found = this.tree.reach(this.tree.root, key, 0, key.length)
    const was = this.content.delete(key.toString('latin1'))
    assert.equal(found, was ? PRESENT : ABSENT)
    if (found === PRESENT) this.tree.delete()
  }

  #deleteRange(from: Buffer, to: Buffer): void {
    if (to.length > 0 && from.compare(to) > 0) return
    const before = this.content.size
    for (const key of this.content.keys()) {
      if (isWithin(Buffer.from(key, 'latin1'), from, to)) this.content.delete(key)
    }
    this.tree.deleteRange(from, to)
    if (before - this.content.size > 20) this.ranges++
    assert.equal(this.tree.entries, this.content.size)
  }

  /** Nothing is seen of it. */
  #merge(key: Buffer): void {
    const { tree } = this
    if (tree.root === NO_PAGE) return
    tree.reach(tree.root, key, 0, key.length)
    const next = tree.nextKey()
    const { count } = tree.leaf
    if (tree.merge()) {
      this.merged++
      tree.reach(tree.root, key, 0, key.length)
      assert.notDeepEqual(tree.nextKey(), next)
    } else if (tree.fill()) {
      this.filled++
      tree.reach(tree.root, key, 0, key.length)
      assert.ok(tree.leaf.count > count)
      assert.notDeepEqual(tree.nextKey(), next)
    } else tree.move()
  }

  /** Takes most entries out, and puts what is left together. */
  thin(): void {
    const { tree, random } = this
    for (const key of this.content.keys()) {
      if (random.chance(0.8)) this.#delete(Buffer.from(key, 'latin1'))
    }
    for (let key: Buffer | undefined = NOTHING; key !== undefined; key = tree.nextKey()) {
      for (let merged = -1; merged !== this.merged; ) {
        merged = this.merged
        this.#merge(key)
      }
      tree.reach(tree.root, key, 0, key.length)
    }
    this.check()
  }

  #end(i: number): void {
    const [one] = this.views.splice(i, 1)
    assert.deepEqual(this.walk(one!.root, NOTHING, NOTHING, false), sorted(one!.content))
    this.pages.views.end(one!.view)
  }

  check(): void {
    const { tree, random } = this
    const all = sorted(this.content)
    assert.equal(tree.entries, all.length)
    assert.deepEqual(this.walk(tree.root, NOTHING, NOTHING, false), all)
    const from = this.key()
    const to = this.key()
    const within = all.filter(([key]) => isWithin(Buffer.from(key, 'latin1'), from, to))
    const count = new Count(this.pages, this.keys, () => true)
    assert.equal(runSync(count.between(tree.root, from, to)), within.length)
    assert.deepEqual(this.walk(tree.root, from, to, false), within)
    assert.deepEqual(this.walk(tree.root, from, to, true), within.toReversed())
    const at = this.key()
    const reverse = random.chance(0.5)
    const inclusive = at.length === 0 || random.chance(0.5)
    const behind = (reverse ? within.toReversed() : within).filter(([key]) => {
      const order = Buffer.from(key, 'latin1').compare(at) * (reverse ? -1 : 1)
      return order > 0 || (inclusive && order === 0)
    })
    assert.deepEqual(this.walk(tree.root, from, to, reverse, at, inclusive), behind)
  }

  finish(): void {
    while (this.views.length > 0) this.#end(0)
    for (const key of this.content.keys()) this.#delete(Buffer.from(key, 'latin1'))
    assert.equal(this.tree.root, NO_PAGE)
    assert.equal(this.pages.space.used, ROOT_SLOTS)
    assert.equal(this.pages.fresh, 0)
  }

  walk(
    root: number,
    from: Buffer,
    to: Buffer,
    reverse: boolean,
    at?: Buffer,
    inclusive = true,
  ): [string, string][] {
    const walk = new TreeWalk(this.pages, this.keys, root, from, to, reverse)
    if (at) walk.seek(at, inclusive)
    const found: [string, string][] = []
    const held: Block[] = []
    for (let status = walk.next(); status !== ABSENT; status = walk.next()) {
      if (status === AWAY) {
        // The rest of a key, which lies in several pages.
        const block = walk.block()
        block.load.sync()
        held.push(block)
        continue
      }
      for (const block of held.splice(0)) block.release()
      const { page, slot } = walk
      const key = this.keys.whole(page, slot)
      page.read(slot)
      const body = page.bytes.toString('latin1', page.bodyAt, page.bodyAt + page.bodyLength)
      found.push([key.toString('latin1'), body])
    }
    for (const block of held) block.release()
    return found
  }
}

function isWithin(key: Buffer, from: Buffer, to: Buffer): boolean {
  return from.compare(key) <= 0 && (to.length === 0 || key.compare(to) < 0)
}

function sorted(content: ReadonlyMap<string, string>): [string, string][] {
  return [...content].sort(([a], [b]) => (a < b ? -1 : 1))
}

for (const bits of [10, 11, 12]) {
  test(`a tree of pages of ${2 ** bits} bytes is a sorted map, in every view`, () => {
    let ranges = 0
    let filled = 0
    for (let seed = 1; seed <= 6; seed++) {
      const model = new Model(bits, seed)
      for (let step = 0; step < 6000; step++) {
        model.step()
        if (step % 100 === 0) model.check()
      }
      model.thin()
      model.finish()
      assert.ok(model.merged > 10, `${model.merged} pages put together`)
      filled += model.filled
      ranges += model.ranges
      assert.ok(model.hits > 50, `${model.hits} found by the hash`)
    }
    assert.ok(filled > 20, `${filled} pages filled`)
    assert.ok(ranges > 20, `${ranges} ranges of many entries deleted`)
  })
}

test('keys in order fill their pages', () => {
  const pages = newPages(12)
  const tree = new Tree(pages, keysIn(pages))
  const count = 20_000
  for (let i = 0; i < count; i++) {
    const key = Buffer.from(String(i).padStart(16, '0'))
    tree.put(key, 0, key.length, 100)
  }
  assert.equal(tree.entries, count)
  // Slot, lengths, key, body.
  const least = Math.ceil((count * (6 + 2 + 16 + 100)) / pages.size)
  assert.ok(pages.space.used < 1.05 * least, `${pages.space.used} pages, could be ${least}`)
})

test('a put beside the last one goes where it belongs, though all pages behind are gone since', () => {
  const all = 800
  const keyOf = (i: number): Buffer => Buffer.from(String(i).padStart(16, '0'))
  for (let bound: Buffer | undefined = NOTHING; ; ) {
    const pages = newPages(10)
    const tree = new Tree(pages, keysIn(pages))
    const put = (key: Buffer): boolean => tree.put(key, 0, key.length, 8)
    for (let i = 0; i < all; i++) put(keyOf(i))
    tree.reach(tree.root, bound, 0, bound.length)
    bound = tree.nextKey()
    if (bound === undefined) break
    const view = pages.views.add()
    let last = 0
    while (keyOf(last + 1).compare(bound) < 0) last++
    const beside = (c: string): Buffer => Buffer.concat([keyOf(last), Buffer.from(c)])
    for (const c of 'ace') assert.ok(put(beside(c)))
    // Whole subtrees, which are not looked at.
    tree.deleteRange(bound, NOTHING)
    assert.equal(tree.entries, last + 4)
    for (const c of 'bdf') assert.ok(put(beside(c)))
    for (const c of 'abcdef') {
      assert.equal(tree.reach(tree.root, beside(c), 0, beside(c).length), PRESENT, c)
    }
    for (let i = 0; i <= last; i++) {
      assert.equal(tree.reach(tree.root, keyOf(i), 0, 16), PRESENT, String(i))
    }
    pages.views.end(view)
    tree.deleteRange(NOTHING, NOTHING)
    assert.equal(pages.space.used, ROOT_SLOTS)
  }
})

test('a full page whose neighbours are gone takes a key that does not begin as all of its own do', () => {
  const all = 400
  const keyOf = (i: number): Buffer => Buffer.from('x'.repeat(200) + String(i).padStart(4, '0'))
  for (const isLast of [false, true]) {
    for (let gone = 20; gone < all; gone += 10) {
      const pages = newPages(12)
      const tree = new Tree(pages, keysIn(pages))
      const put = (key: Buffer): void => void tree.put(key, 0, key.length, 1)
      const find = (key: Buffer): number => tree.reach(tree.root, key, 0, key.length)
      // Out of order, so that pages have prefixes.
      for (let i = 0; i < all; i++) put(keyOf((i * 167) % all))
      const from = isLast ? all - gone : 0
      tree.deleteRange(keyOf(from), keyOf(from + gone))
      const other = Buffer.from(isLast ? 'y' : 'w')
      put(other)
      assert.equal(tree.entries, all - gone + 1)
      assert.equal(find(other), PRESENT)
      for (let i = 0; i < all; i++) {
        assert.equal(find(keyOf(i)), i >= from && i < from + gone ? ABSENT : PRESENT)
      }
    }
  }
})

test('leaves are put together in a cache that copying one of them may drive the other out of', () => {
  const disk = new Map<number, Buffer>()
  // The least that a cache has.
  const pages = newPages(10, 16 << 10, disk)
  const keys = keysIn(pages)
  const tree = new Tree(pages, keys)
  const keyOf = (i: number): Buffer => Buffer.from(`key ${String(i).padStart(5, '0')}`)
  const content: string[] = []
  const store = (): void => storeAll(pages, disk)
  for (let i = 0; i < 6000; i++) {
    const key = keyOf(i)
    tree.put(key, 0, key.length, 40)
    const { bytes, bodyAt } = tree.body
    bytes.fill(i, bodyAt, bodyAt + 40)
    if (i % 100 === 99) store()
  }
  // Some leaves have few entries left, others some more, others all.
  for (let i = 0; i < 6000; i++) {
    const key = keyOf(i)
    if (i % [20, 3, 1][(i >> 5) % 3]! === 0) {
      content.push(key.toString('latin1'))
      continue
    }
    assert.equal(tree.reach(tree.root, key, 0, key.length), PRESENT)
    tree.delete()
    if (i % 100 === 99) store()
  }
  store()
  const random = new SeededRandom(1)
  let merged = 0
  let filled = 0
  for (let key: Buffer | undefined = NOTHING; key !== undefined; ) {
    const find = (): void => void tree.reach(tree.root, key!, 0, key!.length)
    find()
    const next = tree.nextKey()
    if (next === undefined) break
    // Somebody reads what is there: it must be copied.
    const reader = pages.views.add()
    let isDone = false
    for (let tries = 0; tries < 4 && !isDone; tries++) {
      tree.reach(tree.root, next, 0, next.length)
      // So that the one frame is the next to be taken, and the other.
      for (let i = random.below(12); i > 0; i--)
        tree.reach(tree.root, keyOf(random.below(6000)), 0, 9)
      find()
      pages.cache.referenced.fill(1)
      if (tree.merge()) merged++
      else if (tree.fill()) filled++
      else continue
      isDone = true
    }
    if (!isDone) key = next
    store()
    pages.views.end(reader)
  }
  assert.ok(merged > 20 && filled > 20, `${merged} put together, ${filled} filled`)
  assert.equal(tree.entries, content.length)
  const walk = new TreeWalk(pages, keys, tree.root, NOTHING, NOTHING, false)
  for (const name of content) {
    let status = walk.next()
    for (; status === AWAY; status = walk.next()) {
      const block = walk.block()
      block.load.sync()
      block.release()
    }
    assert.equal(status, PRESENT)
    const { page, slot } = walk
    assert.equal(keys.whole(page, slot).toString('latin1'), name)
    page.read(slot)
    assert.equal(page.bytes[page.bodyAt], Number(name.slice(4)) & 0xff)
  }
  assert.equal(walk.next(), ABSENT)
})

test('a leaf stays in memory while rests of its keys are read, which take more than the whole cache', () => {
  const disk = new Map<number, Buffer>()
  const pages = newPages(10, 16 << 10, disk)
  const tree = new Tree(pages, keysIn(pages))
  const count = 40
  // Only behind 20 pages it shows which one it is.
  const keyOf = (i: number): Buffer => Buffer.from('k'.repeat(20_000) + String(i).padStart(3, '0'))
  for (let i = 0; i < count; i++) {
    tree.put(keyOf(i), 0, keyOf(i).length, 1)
    storeAll(pages, disk)
  }
  let beside = 0
  for (let i = 0; i + 1 < count; i++) {
    const find = (): void => void tree.reach(tree.root, keyOf(i), 0, keyOf(i).length)
    find()
    const { slot, leaf } = tree
    const next = tree.nextKey()
    find()
    if (slot + 1 === leaf.count) continue
    beside++
    assert.equal(tree.slotOf(keyOf(i + 1)), slot + 1)
    assert.equal(tree.slotOf(Buffer.concat([keyOf(i), Buffer.from('0')])), -1 - (slot + 1))
    // What is above it stays, too.
    assert.deepEqual(tree.nextKey(), next)
  }
  assert.ok(beside > 10, `${beside} keys beside others`)
})
