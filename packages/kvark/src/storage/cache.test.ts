import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Effect } from '../environment/routine.ts'
import { Cache, PAGE_BYTES, PageTable } from './cache.ts'

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
