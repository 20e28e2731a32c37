/** What compression saves in the log engine: pages of the files that are never written, so that they are holes. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { openSync } from '../store/open.ts'

const PAGE_BYTES = 4096
const PATH = '/store'

/** Pages of the journal that a store writes, and those that it would fill without holes. */
function pagesOf(options: object): { written: number; room: number } {
  const environment = simulatedEnvironment({ seed: 1 })
  const { files } = environment
  const db = openSync(PATH, { engine: 'log', environment, ...options })
  // Entries of this length leave something over at the end of every window.
  const entries = Array.from({ length: 500 }, (_, i) => ({
    key: `key ${i}`,
    value: 'x'.repeat(2000),
  }))
  db.batchSync(entries.map((entry) => ({ type: 'put', ...entry }) as const))
  db.closeSync()
  const pages = new Set<number>()
  for (const { call, path, position, length } of files.calls) {
    if (call !== 'write' || !path.endsWith('.log')) continue
    const end = position! + length!
    for (let page = Math.floor(position! / PAGE_BYTES); page * PAGE_BYTES < end; page++) {
      pages.add(page)
    }
  }
  const [segment] = files
    .list(PATH)
    .sync()
    .filter((name) => name.endsWith('.log'))
  const { size } = files.stat(`${PATH}/${segment}`).sync()!
  return { written: pages.size, room: Math.ceil(size / PAGE_BYTES) }
}

test('of a window that compresses well one page is written, of a plain one all', () => {
  const plain = pagesOf({})
  assert.equal(plain.written, plain.room)
  const key = new Uint8Array(32)
  for (const options of [
    { compression: 'lz4' },
    { compression: 'deflate' },
    { compression: 'lz4', encryption: { key } },
  ]) {
    const { written, room } = pagesOf(options)
    assert.ok(room > 200, 'the room is that of the plain bytes')
    assert.ok(written < room * 0.3, `${written} of ${room} pages were written`)
  }
})
