/** What compression saves: pages of the files that are never written, so that they are holes. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { openSync } from '../store/open.ts'
import type { SimulatedFiles } from '../vfs/simulated.ts'

const PAGE_BYTES = 4096
const PATH = '/store'

/** The file with the entries. */
const DATA = { log: '.log', btree: 'TREE' } as const

/** Pages of that file that a store writes, and those that it would fill without holes. */
function pagesOf(engine: 'log' | 'btree', options: object): { written: number; room: number } {
  const environment = simulatedEnvironment({ seed: 1 })
  const { files } = environment
  const db = openSync(PATH, { engine, environment, ...options })
  // Entries of this length leave something over at the end of every window.
  const entries = Array.from({ length: 500 }, (_, i) => ({
    key: `key ${i}`,
    value: 'x'.repeat(2000),
  }))
  db.batchSync(entries.map((entry) => ({ type: 'put', ...entry }) as const))
  db.closeSync()
  const pages = new Set<number>()
  for (const { call, path, position, length } of files.calls) {
    if (call !== 'write' || !path.endsWith(DATA[engine])) continue
    const end = position! + length!
    for (let page = Math.floor(position! / PAGE_BYTES); page * PAGE_BYTES < end; page++) {
      pages.add(page)
    }
  }
  const [segment] = files
    .list(PATH)
    .sync()
    .filter((name) => name.endsWith(DATA[engine]))
  const { size } = files.stat(`${PATH}/${segment}`).sync()!
  return { written: pages.size, room: Math.ceil(size / PAGE_BYTES) }
}

for (const engine of ['log', 'btree'] as const) {
  test(`of what compresses well a part is written, of what is plain nearly all: ${engine}`, () => {
    const plain = pagesOf(engine, {})
    // Behind the roots of a tree nothing is written.
    assert.ok(plain.written > plain.room * 0.95, `${plain.written} of ${plain.room} pages`)
    const key = new Uint8Array(32)
    for (const options of [
      { compression: 'lz4' },
      { compression: 'deflate' },
      { compression: 'lz4', encryption: { key } },
    ]) {
      const { written, room } = pagesOf(engine, options)
      assert.ok(room > 200, 'the room is that of the plain bytes')
      assert.ok(written < room * 0.3, `${written} of ${room} pages were written`)
    }
  })
}

/** Puts bytes behind the end of the journal, as a crash may leave them: where blocks could begin there are zeros. */
function leaveRest(files: SimulatedFiles): void {
  const name = files
    .list(PATH)
    .sync()
    .find((one) => one.endsWith('.log'))!
  const file = files.open(`${PATH}/${name}`, 'write').sync()
  const rest = Buffer.alloc(32 * 512, 1)
  for (let at = 0; at < rest.length; at += 512) rest.fill(0, at, at + 16)
  file.write(rest, 0, rest.length, Math.ceil(file.size().sync() / 512) * 512).sync()
  file.close().sync()
}

test('what a crash has left behind the end is not seen through a hole', () => {
  const options = { engine: 'log', compression: 'lz4' } as const
  const before = simulatedEnvironment({ seed: 1 })
  openSync(PATH, { ...options, environment: before }).putSync('before', 'the power fails')
  const files = before.files.crash()
  leaveRest(files)
  let environment = simulatedEnvironment({ seed: 2, files })
  const db = openSync(PATH, { ...options, environment })
  const keys = Array.from({ length: 20 }, (_, i) => `key ${i}`)
  const value = 'x'.repeat(2000)
  db.batchSync(keys.map((key) => ({ type: 'put', key, value })))
  assert.deepEqual(db.verifySync().problems, [])
  environment = simulatedEnvironment({ seed: 3, files: files.crash() })
  const again = openSync(PATH, { ...options, environment })
  assert.deepEqual([...new Set(again.getManySync(keys))], [value])
  assert.equal(again.getSync('before'), 'the power fails')
  again.closeSync()
})
