import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import { DELETE_RANGE, PUT, WriteBatch } from '../engine/write-batch.ts'
import { hashOf } from './key-table.ts'
import { ReadSet } from './read-set.ts'
import { MOST_WRITES, WriteHistory } from './write-history.ts'

function add(batch: WriteBatch, key: string, to?: string): void {
  const i = batch.add(to === undefined ? PUT : DELETE_RANGE)
  const at = batch.reserve(key.length)
  batch.bytes.write(key, at)
  batch.keyWritten(i, key.length)
  batch.setValue(i, Buffer.from(to ?? 'value'))
}

function write(history: WriteHistory, key: string, to?: string): void {
  const batch = new WriteBatch()
  add(batch, key, to)
  history.add(batch)
}

function read(reads: ReadSet, key: string): void {
  const bytes = Buffer.from(key)
  reads.keys.add(bytes, 0, bytes.length, hashOf(bytes, 0, bytes.length))
}

test('what was read is judged as by a plain list of what was written', () => {
  const random = new SeededRandom(3)
  const history = new WriteHistory()
  const all: [key: string, to: string | undefined][] = []
  const key = (): string => String(random.below(300)).padStart(3, '0')
  const marks: number[] = []
  let changes = 0
  for (let round = 0; round < 3000; round++) {
    const [from, to] = [key(), key()].sort() as [string, string]
    const isRange = random.chance(0.05) && from < to
    write(history, from, isRange ? to : undefined)
    all.push([from, isRange ? to : undefined])
    if (random.chance(0.3)) marks.push(history.end)
    if (random.chance(0.3)) marks.shift()
    history.trim(marks[0] ?? history.end)
    if (marks.length === 0 || !random.chance(0.3)) continue
    const mark = random.pick(marks)
    const reads = new ReadSet()
    const keys = Array.from({ length: random.below(4) }, key)
    for (const one of keys) read(reads, one)
    const ranges = Array.from({ length: random.below(3) }, () => [key(), key()].sort())
    for (const [first, end] of ranges) reads.addRange(Buffer.from(first!), Buffer.from(end!))
    const expected = all
      .slice(mark)
      .some(([one, end]) =>
        end === undefined
          ? keys.includes(one) || ranges.some(([a, b]) => one >= a! && one < b!)
          : keys.some((it) => it >= one && it < end) ||
            ranges.some(([a, b]) => a! < b! && a! < end && one < b!),
      )
    assert.equal(reads.isChangedSince(mark, history), expected)
    if (expected) changes++
  }
  assert.ok(changes > 50, `${changes} changes`)
})

test('what was forgotten counts as changed', () => {
  const history = new WriteHistory()
  const reads = new ReadSet()
  read(reads, 'key')
  const batch = new WriteBatch()
  for (let i = 0; i < 1000; i++) add(batch, `other ${i}`)
  for (let i = 0; i + 1000 <= MOST_WRITES; i += 1000) history.add(batch)
  assert.equal(reads.isChangedSince(0, history), false)
  const late = history.end
  history.add(batch)
  assert.equal(reads.isChangedSince(0, history), true)
  assert.equal(reads.isChangedSince(late, history), false, 'the younger half is known')
  assert.equal(new ReadSet().isChangedSince(0, history), false, 'nothing was read')
  const { end } = history
  assert.equal(reads.isChangedSince(end, history), false)
  write(history, 'x'.repeat(9_000_000))
  assert.equal(reads.isChangedSince(end, history), false)
  write(history, 'y')
  assert.equal(reads.isChangedSince(end, history), true)
  const large = new WriteBatch()
  for (let i = 0; i <= MOST_WRITES; i++) add(large, 'k')
  const before = history.end
  history.add(large)
  assert.equal(reads.isChangedSince(before, history), true)
})
