import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../../bytes/random.ts'
import { EntryRoom } from './change.ts'
import { Page, pageMemory } from './page.ts'

/** A page of the file keeps some of its bytes for itself. */
const SIZES = [4096, 16_384, 65_536].map((size) => size - 32)

interface Known {
  readonly key: Buffer
  readonly body: Buffer
}

/** A key that is often near another one: few letters, many zeros, all lengths. */
function randomKey(random: SeededRandom, prefix: Buffer): Buffer {
  const length = random.pick([0, 1, 2, 3, 4, 5, 6, 12, 16, 40])
  const bytes = Buffer.alloc(length)
  for (let i = 0; i < length; i++) bytes[i] = random.pick([0, 0, 1, 97, 255])
  return Buffer.concat([prefix, bytes])
}

function compare(page: Page, memory: { bytes: Buffer }, known: readonly Known[]): void {
  assert.equal(page.count, known.length)
  const key = Buffer.alloc(100)
  for (const [slot, one] of known.entries()) {
    const end = page.writeKey(slot, key, 0)
    assert.deepEqual(key.subarray(0, end), one.key)
    assert.equal(page.keyLength(slot), one.key.length)
    page.read(slot)
    const { bodyAt, bodyLength } = page
    assert.deepEqual(memory.bytes.subarray(bodyAt, bodyAt + bodyLength), one.body)
    assert.equal(page.find(one.key, 0, one.key.length), slot)
  }
}

for (const size of SIZES) {
  test(`keys stay in their order, with their bodies: pages of ${size} bytes`, () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = new SeededRandom(seed)
      const memory = pageMemory(Buffer.alloc(3 * size, 0xaa))
      const page = new Page(memory, size)
      const prefix = Buffer.from('a prefix'.slice(0, random.below(9)))
      const at = size * random.below(3)
      page.format(memory, at, random.below(3), prefix)
      let known: Known[] = []
      let refused = 0
      for (let step = 0; step < 2000; step++) {
        const key = randomKey(random, prefix)
        const slot = page.find(key, 0, key.length)
        const expected = known.findIndex((one) => Buffer.compare(one.key, key) >= 0)
        const place = expected < 0 ? known.length : expected
        const there = place < known.length && known[place]!.key.equals(key)
        assert.equal(slot, there ? place : -1 - place)
        if (there) {
          page.remove(slot)
          known = known.toSpliced(place, 1)
          continue
        }
        const body = Buffer.from(random.bytes(random.pick([0, 1, 7, 100, 300])))
        const { free } = page
        if (page.insert(place, key, 0, key.length, body.length)) {
          body.copy(memory.bytes, page.bodyAt)
          known = known.toSpliced(place, 0, { key, body })
        } else {
          refused++
          assert.equal(page.free, free)
          assert.ok(free < key.length + body.length + 12, `${free} bytes were free`)
        }
        if (step % 100 === 0) compare(page, memory, known)
      }
      compare(page, memory, known)
      assert.ok(known.length > 50)
      assert.ok(size > 4096 || refused > 0)
      // The neighbours are as they were.
      const others = [0, 1, 2].filter((one) => one * size !== at)
      for (const one of others) {
        const bytes = memory.bytes.subarray(one * size, (one + 1) * size)
        assert.ok(bytes.every((byte) => byte === 0xaa))
      }
    }
  })
}

test('a page is divided in the middle of its bytes, and put together again', () => {
  const random = new SeededRandom(1)
  const size = 4096
  const memory = pageMemory(Buffer.alloc(4 * size))
  const page = new Page(memory, size)
  page.format(memory, 0, 0, Buffer.alloc(0))
  for (;;) {
    const key = Buffer.from(random.bytes(8))
    const slot = page.find(key, 0, key.length)
    if (!page.insert(-1 - slot, key, 0, key.length, random.below(200))) break
  }
  const middle = page.middle()
  const [left, right, whole] = [1, 2, 3].map((number) => {
    const one = new Page(memory, size)
    one.format(memory, number * size, 0, Buffer.alloc(0))
    return one
  })
  assert.ok(left!.append(page, 0, middle))
  assert.ok(right!.append(page, middle, page.count))
  assert.ok(Math.abs(left!.free - right!.free) < 300)
  assert.ok(whole!.append(left!, 0, left!.count) && whole!.append(right!, 0, right!.count))
  assert.equal(whole!.count, page.count)
})

for (const size of SIZES) {
  test(`any two entries of at most half a page have room beside each other: pages of ${size} bytes`, () => {
    const random = new SeededRandom(1)
    const { most, long } = new EntryRoom(size)
    for (let round = 0; round < 500; round++) {
      const memory = pageMemory(Buffer.alloc(size))
      const page = new Page(memory, size)
      const prefix = random.bytes(random.below(long - 1))
      page.format(memory, 0, 0, prefix)
      const before = random.below(3)
      for (let i = 0; i < before; i++) assert.ok(page.insert(0, prefix, 0, prefix.length, 0))
      for (let i = 0; i < before; i++) page.remove(0)
      for (const last of [0, 1]) {
        const rest = random.bytes(random.below(long - prefix.length - 1))
        const key = Buffer.concat([prefix, Uint8Array.of(last), rest])
        assert.ok(page.insert(last, key, 0, key.length, most - key.length), `round ${round}`)
      }
      assert.ok(page.isSound())
    }
  })
}
