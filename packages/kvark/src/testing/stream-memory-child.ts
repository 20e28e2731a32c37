/**
 * A process that streams a long value into a store and out of it, and tells what memory that took at most.
 *
 *   node --expose-gc stream-memory-child.js <folder> <bytes> <options as JSON> <how>
 *
 *   how       `streamed`: as it should be; `whole`: read with `get`, to see that the measure sees it
 *   stdout    { "start": …, "put": …, "get": … }     bytes outside the heap, and in it: before, and the most while it went on
 *
 * Garbage is collected before each look: what counts is what is held.
 */

import { crc32 } from 'node:zlib'
import { open } from '../index.ts'

const CHUNK_BYTES = 64 * 1024
const LOOK_BYTES = 2 * 1024 * 1024

const [folder, length, options, how] = process.argv.slice(2) as [string, string, string, string]
const bytes = Number(length)
const collect = (globalThis as { gc?: () => void }).gc!

function held(): number {
  // The second one waits for what the first one has begun to give back.
  collect()
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

let most = 0
let since = 0

/** Looks now and then. */
function look(passed: number): void {
  since += passed
  if (since < LOOK_BYTES) return
  since = 0
  most = Math.max(most, held())
}

async function* source(): AsyncGenerator<Uint8Array> {
  const chunk = Buffer.alloc(CHUNK_BYTES)
  for (let at = 0; at < bytes; at += chunk.length) {
    chunk.fill(at / CHUNK_BYTES)
    chunk.writeUInt32LE(at)
    written = crc32(chunk, written)
    yield chunk
    look(chunk.length)
  }
}

const { encryption, ...rest } = JSON.parse(options) as { encryption?: { key: string } }
const db = await open(folder, {
  ...rest,
  values: 'bytes',
  ...(encryption && { encryption: { key: Buffer.from(encryption.key, 'hex') } }),
})
let written = 0
let found = 0

// Code is compiled, and buffers are there, before it counts.
await db.put('other', Buffer.alloc(100_000))
await db.get('other')
const start = held()
await db.putStream('key', source())
const put = Math.max(most, held())
most = 0
if (how === 'whole') {
  const value = await db.get('key')
  most = held()
  found = crc32(value!)
} else {
  for await (const part of (await db.getStream('key'))!) {
    found = crc32(part, found)
    look(part.length)
  }
}
const get = Math.max(most, held())
await db.close()
if (written !== found) throw new Error('Another value came out.')
process.stdout.write(JSON.stringify({ start, put, get }))
