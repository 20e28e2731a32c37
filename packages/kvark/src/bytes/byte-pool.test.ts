import assert from 'node:assert/strict'
import { test } from 'node:test'
import { copyBytes } from './byte-pool.ts'

const SOURCE = Buffer.from(Uint8Array.from({ length: 20_000 }, (_, i) => (i * 31) & 0xff))

test('copies of all lengths keep what they were given, whatever comes after them', () => {
  const source = Buffer.from(SOURCE)
  const lengths = [0, 1, 63, 64, 65, 100, 1023, 1024, 1025, 4096, 8191, 8192, 8193, 19_999]
  const copies = lengths
    .flatMap((length) => Array.from({ length: 20 }, (_, n) => ({ start: n, end: n + length })))
    .filter(({ end }) => end <= source.length)
  const taken = copies.map(({ start, end }) => copyBytes(source, start, end))
  source.fill(0)
  taken.forEach((copy, i) => {
    const { start, end } = copies[i]!
    assert.deepEqual(copy, new Uint8Array(SOURCE.subarray(start, end)))
    assert.equal(Object.getPrototypeOf(copy), Uint8Array.prototype)
  })
  for (const copy of taken) copy.fill(1)
  assert.ok(taken.every((copy) => copy.every((byte) => byte === 1)))
})

test('writing into one copy leaves the others alone', () => {
  const [a, b, c] = [0, 100, 200].map((start) => copyBytes(SOURCE, start, start + 100))
  b!.fill(7)
  assert.deepEqual(a, new Uint8Array(SOURCE.subarray(0, 100)))
  assert.deepEqual(c, new Uint8Array(SOURCE.subarray(200, 300)))
})

test('the memory that copies share cannot be taken away by a transfer', () => {
  const a = copyBytes(SOURCE, 0, 100)
  const b = copyBytes(SOURCE, 100, 200)
  assert.equal(a.buffer, b.buffer)
  try {
    structuredClone(a.buffer, { transfer: [a.buffer as ArrayBuffer] })
  } catch (error) {
    assert.equal((error as Error).name, 'DataCloneError')
  }
  assert.deepEqual(b, new Uint8Array(SOURCE.subarray(100, 200)))
})

test('goes on whether a byte stream takes a piece away, as with Node 20, or may not', async () => {
  const taken = copyBytes(SOURCE, 0, 300)
  const start = (controller: ReadableByteStreamController): void => {
    controller.enqueue(taken)
    controller.close()
  }
  try {
    const stream = new ReadableStream({ type: 'bytes', start })
    for await (const part of stream) assert.equal(part.length, 300)
  } catch (error) {
    assert.match(String(error), /not detachable/)
    assert.deepEqual(taken, new Uint8Array(SOURCE.subarray(0, 300)))
  }
  for (let i = 0; i < 100; i++) {
    assert.deepEqual(copyBytes(SOURCE, i, i + 300), new Uint8Array(SOURCE.subarray(i, i + 300)))
  }
})
