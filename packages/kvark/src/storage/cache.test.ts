import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Effect, immediate } from '../environment/routine.ts'
import {
  type Block,
  Cache,
  PAGE_BITS,
  PAGE_BYTES,
  PageTable,
  SLAB_BITS,
  SLAB_MASK,
} from './cache.ts'

const SOURCE = {
  readPage: () =>
    new Effect<void>(
      () => {},
      async () => {},
    ),
}
/** The least that a cache has. */
const PAGES = 16

test('a page that a writer has taken over stays with it when its old frame is used again', () => {
  const cache = new Cache(PAGES * PAGE_BYTES)
  const table = new PageTable(SOURCE, 4)
  const block = cache.block(table, 0)
  block.load.sync()
  block.release()
  const writers = cache.register(Buffer.alloc(PAGE_BYTES))
  table.frames[0] = writers
  const other = new PageTable(SOURCE, 4 * PAGES)
  for (let page = 0; page < 4 * PAGES; page++) {
    const loaded = cache.block(other, page)
    loaded.load.sync()
    loaded.release()
  }
  assert.equal(table.frames[0], writers)
})

test('the first memory grows while pages are being loaded into it', async () => {
  const waiting: (() => void)[] = []
  const fill = (page: number, target: Buffer, at: number): void => {
    target.fill(page + 1, at, at + PAGE_BYTES)
  }
  const source = {
    readPage: (page: number, target: Buffer, at: number) =>
      new Effect<void>(
        () => fill(page, target, at),
        async () => {
          await new Promise<void>((resolve) => waiting.push(resolve))
          fill(page, target, at)
        },
      ),
  }
  const cache = new Cache(8 * PAGES * PAGE_BYTES)
  const table = new PageTable(source, 4 * PAGES)
  const early = [0, 1].map((page) => cache.block(table, page))
  const loads = early.map((block) => block.load.async())
  const before = cache.bytes
  for (let page = 2; page < 4 * PAGES; page++) cache.block(table, page).load.sync()
  assert.ok(cache.bytes > before)
  while (waiting.length > 0) waiting.shift()!()
  await Promise.all(loads)
  for (let page = 0; page < 4 * PAGES; page++) {
    const frame = table.frames[page]!
    const at = (frame & SLAB_MASK) << PAGE_BITS
    const bytes = cache.slabs[frame >> SLAB_BITS]!.subarray(at, at + PAGE_BYTES)
    assert.ok(
      bytes.every((byte) => byte === page + 1),
      `page ${page}`,
    )
  }
})

test('many who wait for more pages than there is room for all get theirs', async () => {
  const cache = new Cache(PAGES * PAGE_BYTES)
  const fill = (page: number, target: Buffer, at: number): void => {
    target.fill(page, at, at + PAGE_BYTES)
  }
  const table = new PageTable(
    { readPage: (page, target, at) => immediate(() => fill(page, target, at)) },
    100,
  )
  // As a lookup does: the root, then the page that it leads to; from the start when something is missing.
  const read = async (page: number): Promise<number> => {
    const blocks: Block[] = []
    try {
      for (;;) {
        const missing = [0, page].find((one) => table.frames[one]! < 0)
        const frame = table.frames[page]!
        if (missing === undefined) {
          return cache.slabs[frame >> SLAB_BITS]![(frame & SLAB_MASK) << PAGE_BITS]!
        }
        const block = cache.block(table, missing, missing === 0 ? [] : [0])
        blocks.push(block)
        await block.load.async()
      }
    } finally {
      for (const block of blocks) block.release()
    }
  }
  const pages = Array.from({ length: 200 }, (_, i) => 1 + (i % 60))
  assert.deepEqual(await Promise.all(pages.map(read)), pages)
})

test('a page that is forgotten while it is read is not there afterwards, and nobody hears what was read', async () => {
  for (const damaged of [false, true]) {
    const waiting: (() => void)[] = []
    const read: number[] = []
    const source = {
      readPage: (page: number) =>
        new Effect<void>(
          () => {},
          async () => {
            read.push(page)
            await new Promise<void>((resolve) => waiting.push(resolve))
            if (damaged) throw new Error('damaged')
          },
        ),
    }
    const cache = new Cache(PAGES * PAGE_BYTES)
    const table = new PageTable(source, 4 * PAGES)
    // More than are read at once: the last ones have not begun.
    const blocks = Array.from({ length: 2 * PAGES }, (_, page) => cache.block(table, page))
    const loads = blocks.map((block) => block.load.async())
    const begun = read.length
    assert.ok(begun > 0 && begun < blocks.length)
    for (let page = 0; page < blocks.length; page++) cache.forget(table, page)
    while (waiting.length > 0) waiting.shift()!()
    await Promise.all(loads)
    assert.equal(read.length, begun)
    assert.ok(blocks.every((_, page) => table.frames[page] === -1))
    for (const block of blocks) block.release()
    // Nothing of the memory is lost, and the place may have another page.
    for (let page = 0; page < PAGES; page++) {
      const block = cache.block(table, page)
      block.load.sync()
      assert.ok(table.frames[page]! >= 0)
    }
  }
})

test('a page that very many need stays until the last one has released it', () => {
  const cache = new Cache(PAGES * PAGE_BYTES)
  const table = new PageTable(SOURCE, 4 * PAGES)
  const blocks = Array.from({ length: 2 ** 16 }, () => cache.block(table, 0))
  for (const block of blocks) block.load.sync()
  const frame = table.frames[0]
  for (let page = 1; page < 4 * PAGES; page++) {
    const block = cache.block(table, page)
    block.load.sync()
    block.release()
  }
  assert.equal(table.frames[0], frame)
  for (const block of blocks) block.release()
})

test('who can wait leaves frames to calls that cannot, also where nothing is let go of', async () => {
  const cache = new Cache(PAGES * PAGE_BYTES, PAGE_BITS, false)
  const table = new PageTable(SOURCE, 4 * PAGES)
  const waiting = Array.from({ length: 2 * PAGES }, (_, page) => cache.block(table, page))
  const loads = await Promise.allSettled(waiting.map(({ load }) => load.async()))
  assert.ok(loads.some(({ status }) => status === 'fulfilled'))
  // The way through a tree.
  const now = [0, 1, 2].map((page) => cache.block(table, 2 * PAGES + page))
  for (const { load } of now) load.sync()
  assert.equal(cache.claim(), -1)
  for (const block of [...now, ...waiting]) block.release()
  const later = cache.block(table, 4 * PAGES - 1)
  await later.load.async()
  later.release()
})

test('a cache that is far larger than what it holds takes little memory', () => {
  const before = process.memoryUsage().heapUsed
  const cache = new Cache(2 ** 36, 12, false)
  const table = new PageTable(SOURCE, 4)
  const block = cache.block(table, 0)
  block.load.sync()
  block.release()
  const taken = process.memoryUsage().heapUsed - before
  assert.ok(taken < 2 ** 25, `${taken} bytes`)
})
