import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../../bytes/random.ts'
import { HashIndex, SHARDS } from './hash-index.ts'

test('behaves as a multimap from hash to position, through growth, replacement and removal', () => {
  const random = new SeededRandom(7)
  const index = new HashIndex()
  const model = new Map<number, Set<number>>()
  const positions: [number, number][] = []
  let next = 17
  for (let i = 0; i < 60_000; i++) {
    const step = random.below(10)
    if (step < 6 || positions.length === 0) {
      // Few shards and few tags, so that runs get long and wrap around.
      const hash = ((random.below(3) << 24) | (0xffff00 + random.below(256))) >>> 0
      const spread = random.below(2) === 0 ? hash : random.uint32()
      const position = next
      next += 1 + random.below(2 ** 20)
      index.insert(spread, position)
      const set = model.get(spread) ?? new Set()
      set.add(position)
      model.set(spread, set)
      positions.push([spread, position])
    } else {
      const at = random.below(positions.length)
      const [hash, position] = positions[at]!
      if (step < 8) {
        const moved = next
        next += 1 + random.below(2 ** 20)
        assert.equal(index.replace(hash, position, moved), true)
        model.get(hash)!.delete(position)
        model.get(hash)!.add(moved)
        positions[at] = [hash, moved]
      } else {
        assert.equal(index.remove(hash, position), true)
        assert.equal(index.remove(hash, position), false)
        model.get(hash)!.delete(position)
        positions[at] = positions[positions.length - 1]!
        positions.pop()
      }
    }
  }
  assert.equal(index.count, positions.length)
  const found: number[] = []
  for (const [hash, set] of model) {
    index.candidates(hash, found)
    assert.deepEqual(new Set(found), set)
    for (const position of set) assert.ok(index.has(hash, position))
  }
  const copy = new HashIndex()
  for (let shard = 0; shard < SHARDS; shard++) {
    const words = new Uint32Array(index.dumpLength(shard))
    index.dump(shard, words)
    assert.ok(copy.restore(shard, index.countOf(shard), index.homes[shard]!, words))
  }
  assert.equal(copy.count, index.count)
  for (const [hash, position] of positions) assert.ok(copy.has(hash, position))
})

test('keeps a key in 10 to 17 bytes at any size', () => {
  const random = new SeededRandom(1)
  const index = new HashIndex()
  for (let i = 1; i <= 400_000; i++) {
    index.insert(random.uint32(), i)
    if (i > 100_000 && i % 10_000 === 0)
      assert.ok(index.bytes / i <= 17, `${index.bytes / i} at ${i}`)
  }
})

test('keeps a key in 17 bytes from 100,000 keys on, also when it goes on after a restore', () => {
  const random = new SeededRandom(2)
  for (let count = 395; count <= 1600; count += 41) {
    const index = new HashIndex()
    const dump = new Uint32Array(count * 2)
    const tags = Uint32Array.from({ length: count }, () => random.uint32() & 0xff_ffff).sort()
    for (let i = 0; i < count; i++) {
      dump[2 * i] = i + 1
      dump[2 * i + 1] = tags[i]! << 8
    }
    for (let shard = 0; shard < SHARDS; shard++) index.restore(shard, count, 0, dump)
    for (let i = 0; i < count; i++) {
      for (let shard = 0; shard < SHARDS; shard++) {
        index.insert((shard << 24) | (random.uint32() & 0xff_ffff), i + 2 ** 32)
      }
      assert.ok(index.bytes / index.count <= 17, `${index.bytes / index.count} of ${index.count}`)
    }
  }
})

test('refuses a stored table in which a search would not end, or with too many positions', () => {
  const index = new HashIndex()
  const table = new Uint32Array(64).fill(5)
  assert.equal(index.restore(0, 10, 24, table), false)
  table.fill(0, 40)
  assert.equal(index.restore(0, 31, 24, table), false)
  assert.equal(index.restore(0, 20, 32, table), false)
  assert.equal(index.count, 0)
  assert.equal(index.restore(0, 20, 24, table), true)
})

test('stores a table that is mostly empty by its entries', () => {
  const index = new HashIndex()
  for (let i = 1; i <= 10_000; i++) index.insert(i, i)
  for (let i = 11; i <= 10_000; i++) index.remove(i, i)
  assert.equal(index.dumpLength(0), 20)
  const words = new Uint32Array(20)
  index.dump(0, words)
  const copy = new HashIndex()
  assert.ok(copy.restore(0, 10, 0, words))
  assert.ok(copy.tables[0]!.length < 100)
  for (let i = 1; i <= 10; i++) assert.ok(copy.has(i, i))
})

test('takes any number of positions with one hash, also with the largest', () => {
  for (const hash of [0, 0x1234_5678, 0xffff_ffff]) {
    const index = new HashIndex()
    for (let i = 1; i <= 3000; i++) index.insert(hash, i)
    for (let i = 1; i <= 3000; i += 2) assert.ok(index.remove(hash, i))
    const found: number[] = []
    index.candidates(hash, found)
    assert.equal(found.length, 1500)
    assert.ok(found.every((position) => position % 2 === 0))
    assert.equal(index.has(hash, 3001), false)
    assert.ok(index.bytes < 256 * 1024)
  }
})

test('slots are in order and never before their homes', () => {
  const random = new SeededRandom(3)
  const index = new HashIndex()
  const kept: [number, number][] = []
  for (let i = 1; i <= 30_000; i++) {
    const hash = ((random.below(2) << 24) | (random.uint32() & 0xff_ffff)) >>> 0
    index.insert(hash, i)
    if (random.below(3) === 0) assert.ok(index.remove(hash, i))
    else kept.push([hash, i])
  }
  for (const shard of [0, 1]) {
    const table = index.tables[shard]!
    const slots = table.length >>> 1
    let before = -1
    for (let slot = 0; slot < slots; slot++) {
      if (table[slot * 2] === 0) continue
      const tag = table[slot * 2 + 1]! >>> 8
      assert.ok(tag >= before)
      const home = Math.floor((tag * index.homes[shard]!) / 2 ** 24)
      for (let at = home; at < slot; at++) assert.notEqual(table[at * 2], 0)
      assert.ok(home <= slot)
      before = tag
    }
    assert.equal(table[slots * 2 - 2], 0)
  }
  for (const [hash, position] of kept) assert.ok(index.has(hash, position))
})
