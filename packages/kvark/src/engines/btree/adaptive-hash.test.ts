// What the model of the tree does not come to: numbers of leaves that are used up, generations that are.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AdaptiveHash } from './adaptive-hash.ts'
import { Page, pageMemory, TIRED } from './page.ts'

const SIZE = 1024
const NOTHING = Buffer.alloc(0)

/** Some pages in memory, each with a key of its own number. */
function somePages(count: number): {
  page: (number: number) => Page
  key: (number: number) => Buffer
  look: (target: Page, number: number) => boolean
} {
  const memories = Array.from({ length: count }, () => pageMemory(Buffer.alloc(SIZE)))
  const key = (number: number): Buffer => Buffer.from(`key ${number}`)
  const page = (number: number): Page => {
    const one = new Page(memories[number]!, SIZE)
    one.look(memories[number]!, 0)
    return one
  }
  for (const [number, memory] of memories.entries()) {
    const one = new Page(memory, SIZE)
    one.format(memory, 0, 0, NOTHING)
    one.insert(0, key(number), 0, key(number).length, 4)
    one.bytes.write('body', one.bodyAt)
  }
  const look = (target: Page, number: number): boolean => {
    target.glance(memories[number]!, 0)
    return true
  }
  return { page, key, look }
}

test('leaves that are more than there are numbers for: everything begins anew', () => {
  const { page, key, look } = somePages(40)
  // Three numbers.
  const hash = new AdaptiveHash(page(0), look, 30, 1, 2 ** 16)
  let found = 0
  for (let turn = 0; turn < 3; turn++) {
    for (let n = 1; n < 40; n++) {
      const bytes = key(n)
      hash.add(bytes, 0, bytes.length, n, page(n), page(n).offsetOf(0), 40)
      assert.equal(hash.find(bytes, 0, bytes.length)?.bodyLength, 4)
      assert.equal(hash.number, n)
      for (let m = 1; m < 40; m++) {
        if (hash.find(key(m), 0, key(m).length) === undefined) continue
        assert.equal(hash.number, m)
        found++
      }
    }
  }
  assert.ok(found > 3 * 39)
})

test('a key that went is not found, whatever its page has been through', () => {
  const { page, key, look } = somePages(2)
  const hash = new AdaptiveHash(page(0), look, 10, 1, 2 ** 16)
  const one = page(1)
  const bytes = key(1)
  const remember = (): void => hash.add(bytes, 0, bytes.length, 1, one, one.offsetOf(0), 1)
  remember()
  const before = one.generation
  // The bytes of the key stay where they were, and the generation comes round to where it would be again.
  for (let i = 0; i < 2 * 2 ** 16; i++) {
    one.remove(0)
    assert.equal(hash.find(bytes, 0, bytes.length), undefined)
    one.insert(0, bytes, 0, bytes.length, 4)
    if (one.generation !== TIRED) {
      assert.ok(one.generation > before)
      continue
    }
    remember()
    assert.equal(hash.find(bytes, 0, bytes.length), undefined, 'a tired page is not in it')
  }
  assert.equal(one.generation, TIRED)
})

test('a leaf keeps its entries when it moves, and loses them when it goes', () => {
  const { page, key, look } = somePages(4)
  const hash = new AdaptiveHash(page(0), look, 10, 1, 2 ** 16)
  const bytes = key(1)
  hash.add(bytes, 0, bytes.length, 1, page(1), page(1).offsetOf(0), 1)
  page(3).copyOf(page(1), pageMemory(page(3).bytes))
  hash.moved(1, 3)
  assert.ok(hash.find(bytes, 0, bytes.length))
  assert.equal(hash.number, 3)
  hash.gone(1)
  assert.ok(hash.find(bytes, 0, bytes.length))
  hash.gone(3)
  assert.equal(hash.find(bytes, 0, bytes.length), undefined)
})

test('a leaf that is searched again and again has all its keys in it, where there is room for the whole tree', () => {
  const memory = pageMemory(Buffer.alloc(SIZE))
  const page = new Page(memory, SIZE)
  page.format(memory, 0, 0, Buffer.from('k'))
  const keys = Array.from({ length: 20 }, (_, n) => Buffer.from(`key ${10 + n}`))
  for (const [slot, key] of keys.entries()) page.insert(slot, key, 0, key.length, 4)
  const look = (target: Page): boolean => {
    target.glance(memory, 0)
    return true
  }
  for (const entries of [20, 1000]) {
    const hash = new AdaptiveHash(new Page(memory, SIZE), look, 10, 1, 2 ** 11)
    const found = (): number => keys.filter((key) => hash.find(key, 0, key.length)).length
    const search = (): void => hash.add(keys[3]!, 0, 6, 1, page, page.offsetOf(3), entries)
    for (let n = 1; n < 16; n++) search()
    assert.equal(found(), 1)
    search()
    assert.equal(found(), entries === 20 ? 20 : 1)
    page.remove(0)
    page.insert(0, keys[0]!, 0, keys[0]!.length, 4)
    assert.equal(found(), 0)
    for (let n = 1; n < 32; n++) search()
    assert.equal(found(), 1)
    search()
    assert.equal(found(), entries === 20 ? 20 : 1)
  }
})
