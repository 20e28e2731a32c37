// The map of free pages where it just fits, or just does not fit, into a page: the room for it is taken before it is made.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { memoryEnvironment } from '../environment/node.ts'
import { open } from '../index.ts'

const PAGE_BYTES = 4096
const PAYLOAD_BYTES = 4084
/** In pages, of which there are as many as a page of the map has bits, all but some: room for two is taken, and one needed. */
const LENGTH = 32_200 * PAYLOAD_BYTES

test('a map of free pages that nearly fills a page is saved', async () => {
  const environment = memoryEnvironment()
  const options = {
    environment,
    pageBytes: PAGE_BYTES,
    durability: 'none',
    values: 'bytes',
  } as const
  const db = await open('/large', options)
  const chunk = new Uint8Array(1024 * 1024)
  function* zeros(): Generator<Uint8Array> {
    for (let left = LENGTH; left > 0; left -= chunk.length) yield chunk.subarray(0, left)
  }
  await db.putStream('large', zeros())
  await db.put('small', chunk.subarray(0, 10))
  await db.close()
  const again = await open('/large', options)
  assert.equal(await again.count(), 2)
  assert.equal((await again.get('small'))?.length, 10)
  await again.delete('large')
  await again.close()
})
