// Pages of every size in every form that a store can have in its files.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as zlib from 'node:zlib'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { openSync } from '../store/open.ts'
import { forms } from './contract/forms.ts'

const PAGE_BYTES = [4096, 8192, 16_384, 32_768, 65_536]

for (const { name, ...form } of forms) {
  const skip =
    form.compression === 'zstd' && !('zstdCompressSync' in zlib) && 'Node has zstd from 22.15 on'
  test(`pages of every size: ${name}`, { skip }, () => {
    for (const pageBytes of PAGE_BYTES) {
      const environment = simulatedEnvironment({ seed: 1 })
      const options = { engine: 'btree', pageBytes, ...form, environment } as const
      // Keys and values of one page and a little less and more.
      const entries = [-30, -1, 0, 1, 30].flatMap((more) => [
        ['v'.repeat(30 + more), 'x'.repeat(pageBytes + more)] as const,
        ['k'.repeat(pageBytes + more), 'x'] as const,
        ['l'.repeat(pageBytes / 16 + more), 'x'.repeat(pageBytes / 2 + more)] as const,
      ])
      const db = openSync('/store', options)
      for (const [key, value] of entries) db.putSync(key, value, { durability: 'none' })
      db.closeSync()
      const again = openSync('/store', options)
      for (const [key, value] of entries) assert.equal(again.getSync(key), value)
      assert.deepEqual(again.verifySync().problems, [])
      again.closeSync()
    }
  })
}
