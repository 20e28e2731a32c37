import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Effect } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import type { FileHandle } from '../vfs/files.ts'
import { memoryFiles } from '../vfs/memory.ts'
import { storeForm } from './block-form.ts'
import { AppendBuffer, SegmentWriter } from './segment-writer.ts'

const FORM = storeForm(
  { checksum: 'crc32', compression: 'none', encryption: undefined },
  (n) => new Uint8Array(n),
).blocks
const HEADER = {
  storeId: '0'.repeat(32),
  life: 1,
  number: 1,
  previousNumber: 0,
  previousEnd: 0,
  previousChecksum: 0,
}
const PAYLOAD = new Uint8Array(100).fill(7)

/** A writer after `frames` frames of a small entry, or of `payload`, each about to be synced. */
function written(handle: FileHandle, frames: number, payload: Uint8Array = PAYLOAD): SegmentWriter {
  const writer = SegmentWriter.create(handle, HEADER, new AppendBuffer(FORM))
  for (let i = 1; i <= frames; i++) {
    writer.beginFrame(i, { epoch: 1, syncedSequence: 0, clock: 0 })
    writer.place(payload.length)
    writer.append(payload, 0, payload.length)
    writer.endFrame()
    writer.flush()
    writer.beforeSync()
  }
  return writer
}

function newFile(): FileHandle {
  return memoryFiles().open('/1.log', 'create').sync()
}

test('a file that is synced often grows ahead of its data, and ends with it once trimmed', () => {
  const handle = newFile()
  const writer = written(handle, 50)
  const size = handle.size().sync()
  assert.ok(size > writer.end + 100_000, `${size}`)
  const rest = Buffer.alloc(size - writer.end, 1)
  handle.read(rest, 0, rest.length, writer.end).sync()
  assert.ok(rest.every((byte) => byte === 0))
  writer.trim()
  assert.equal(handle.size().sync(), writer.end)
})

test('a few syncs, or large ones, write nothing ahead', () => {
  const handle = newFile()
  const few = written(handle, 3)
  assert.equal(handle.size().sync(), few.end)

  const other = newFile()
  const writer = written(other, 30, new Uint8Array(40_000))
  assert.equal(other.size().sync(), writer.end)
})

test('where there is no room ahead, writing goes on without', () => {
  const handle = newFile()
  let refused = 0
  const write = handle.write.bind(handle)
  handle.write = (source, offset, length, position) => {
    if (length < 100_000) return write(source, offset, length, position)
    refused++
    const fail = (): never => {
      throw new KvarkError('NO_SPACE', 'no room')
    }
    return new Effect<void>(fail, async () => fail())
  }
  const writer = written(handle, 100)
  assert.equal(refused, 1)
  assert.equal(writer.flushed, writer.end)
  writer.trim()
  assert.equal(handle.size().sync(), writer.end)
})
