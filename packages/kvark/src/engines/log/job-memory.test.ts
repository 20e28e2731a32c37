import assert from 'node:assert/strict'
import { test } from 'node:test'
import { APPEND_BUFFER_BYTES } from '../../storage/segment-writer.ts'
import { EXTENT_BYTES, JobMemory } from './job-memory.ts'

test('a job gets the memory of the one before it, and two at a time have two', () => {
  const first = JobMemory.take()
  const second = JobMemory.take()
  assert.notEqual(first, second)
  first.keep()
  assert.equal(JobMemory.take(), first)
})

test('pieces do not overlap, and what is asked for beyond them is allocated by itself', () => {
  const memory = JobMemory.take()
  const pieces: Buffer[] = []
  for (let i = 0; i < 10; i++) pieces.push(memory.allocate(EXTENT_BYTES).fill(i))
  for (let i = 10; i < 13; i++) pieces.push(memory.allocate(APPEND_BUFFER_BYTES).fill(i))
  pieces.push(memory.allocate(1000).fill(13))
  pieces.forEach((piece, i) => {
    assert.ok(piece.every((byte) => byte === i))
  })
})

test('memory of which pieces are still out is not given to another job', () => {
  const memory = JobMemory.take()
  const piece = memory.allocate(EXTENT_BYTES)
  memory.keep()
  assert.notEqual(JobMemory.take(), memory)
  memory.release(piece)
  memory.keep()
  assert.equal(JobMemory.take(), memory)
})
