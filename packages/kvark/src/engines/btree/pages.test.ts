// Which pages get a new number with the memory they have, and which are copied.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { immediate } from '../../environment/routine.ts'
import { Cache } from '../../storage/cache.ts'
import { FLAGS_AT, NO_PAGE, ROOT_SLOTS, TREE_PAGE } from './format.ts'
import { Pages } from './pages.ts'

const BITS = 12

/** With one page, which a checkpoint of theirs has written. */
function written(frames = 64): { pages: Pages; number: number; reads: number[] } {
  const reads: number[] = []
  const source = {
    readPage: (page: number, target: Buffer, at: number) =>
      immediate<void>(() => {
        reads.push(page)
        target.fill(0, at, at + (1 << BITS))
        target[at + FLAGS_AT] = TREE_PAGE
      }),
  }
  const cache = new Cache(frames << BITS, BITS, false)
  const pages = new Pages(cache, source, { bits: BITS, headerBytes: 12 }, 7, 0)
  for (let page = 0; page < ROOT_SLOTS; page++) pages.space.mark(page)
  const number = pages.make(pages.newPage(), 0, Buffer.alloc(0))
  const checkpoint = pages.views.add(false)
  pages.written(number, checkpoint.epoch)
  return { pages, number, reads }
}

function frameOf(pages: Pages, number: number): number {
  return pages.table.frames[number]!
}

test('a page that is in the file gets a new number and keeps its memory', () => {
  const { pages, number, reads } = written()
  const frame = frameOf(pages, number)
  const made = pages.renumber(number)
  assert.notEqual(made, NO_PAGE)
  assert.notEqual(made, number)
  assert.equal(frameOf(pages, made), frame)
  assert.ok(pages.isOwn(made))
  assert.ok(!pages.has(number))
  // The checkpoint keeps it: it may not be written over, and can be read where it lies.
  assert.ok(pages.space.has(number))
  pages.hold(number).release()
  assert.deepEqual(reads, [number])
  assert.notEqual(frameOf(pages, number), frame)
})

test('a page that somebody reads stays in memory', () => {
  const { pages, number } = written()
  const view = pages.views.add()
  assert.equal(pages.renumber(number), NO_PAGE)
  pages.views.end(view)
  const block = pages.hold(number)
  assert.equal(pages.renumber(number), NO_PAGE)
  block.release()
  assert.notEqual(pages.renumber(number), NO_PAGE)
})

test('older readers, who do not see a page, do not keep it', () => {
  const { pages } = written()
  pages.views.add()
  const later = pages.make(pages.newPage(), 0, Buffer.alloc(0))
  pages.written(later, pages.views.add(false).epoch)
  assert.notEqual(pages.renumber(later), NO_PAGE)
})

test('a page that a checkpoint has yet to write keeps its number until it has', () => {
  const { pages } = written()
  const fresh = pages.make(pages.newPage(), 0, Buffer.alloc(0))
  const { epoch } = pages.views.add(false)
  assert.ok(!pages.isOwn(fresh))
  assert.equal(pages.renumber(fresh), NO_PAGE)
  pages.written(fresh, epoch)
  assert.notEqual(pages.renumber(fresh), NO_PAGE)
})

test('where frames are scarce none is taken from those that readers have', () => {
  const { pages, number } = written(16)
  while (pages.cache.claim() >= 0);
  assert.equal(pages.renumber(number), NO_PAGE)
  assert.ok(pages.has(number))
})

test('a page that the tree has left goes from memory when it is in the file, unless somebody reads it', () => {
  for (const isRead of [false, true]) {
    const { pages, reads } = written()
    const number = pages.make(pages.newPage(), 0, Buffer.alloc(0))
    const checkpoint = pages.views.add(false)
    if (isRead) pages.views.add()
    const copy = pages.copy(number)
    assert.ok(pages.has(number))
    pages.written(number, checkpoint.epoch)
    assert.equal(pages.has(number), isRead)
    assert.ok(pages.has(copy))
    assert.ok(pages.space.has(number))
    pages.hold(number).release()
    assert.deepEqual(reads, isRead ? [] : [number])
  }
})
