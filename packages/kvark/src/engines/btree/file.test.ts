// What is written of compressed pages, and what lies behind it.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { SeededRandom } from '../../bytes/random.ts'
import { runSync } from '../../environment/routine.ts'
import { storeForm } from '../../storage/block-form.ts'
import type { CompressionName } from '../../storage/compression.ts'
import { SimulatedFiles } from '../../vfs/simulated.ts'
import { TreeFile } from './file.ts'
import { PIECE } from './format.ts'

const BITS = 14
const PAGE = 1 << BITS
const MARK = 7

function made(compression: CompressionName): { file: TreeFile; disk: SimulatedFiles } {
  const disk = new SimulatedFiles()
  const form = storeForm({ checksum: 'crc32', compression, encryption: undefined }, randomBytes)
  const handle = disk.open('/TREE', 'create').sync()
  return { file: new TreeFile(handle, form.blocks, 1, BITS), disk }
}

/** Writes pages that follow each other; returns what they must read as. */
function write(file: TreeFile, first: number, payloads: readonly Buffer[]): void {
  const plain = Buffer.alloc(PAGE * payloads.length)
  const stored = file.form.sealed ? Buffer.alloc(plain.length) : plain
  for (const [i, payload] of payloads.entries()) {
    payload.copy(plain, i * PAGE + file.form.headerBytes)
    file.seal(plain, stored, i * PAGE, first + i, PIECE, MARK)
  }
  file.write(stored, 0, first, payloads.length)
}

function read(file: TreeFile, page: number): Buffer {
  const bytes = Buffer.alloc(PAGE)
  file.readPage(page, bytes, 0).sync()
  return bytes.subarray(file.form.headerBytes)
}

function text(file: TreeFile, word: string): Buffer {
  return Buffer.alloc(file.payloadBytes, word)
}

function noise(file: TreeFile): Buffer {
  return Buffer.from(new SeededRandom(5).bytes(file.payloadBytes))
}

/** Where something was written, in pieces of 4 KiB, and where the file ends. */
function written(disk: SimulatedFiles): { pieces: number[]; end: number } {
  const pieces = disk.calls
    .filter(({ call }) => call === 'write')
    .flatMap(({ position, length }) => {
      const first = position! / 4096
      return Array.from({ length: length! / 4096 }, (_, i) => first + i)
    })
  return { pieces, end: disk.stat('/TREE').sync()!.size }
}

test('the rest of a compressed page is not written, and the file ends with a whole page', () => {
  const { file, disk } = made('lz4')
  const pages = [text(file, 'a'), noise(file), text(file, 'b')]
  write(file, 2, pages)
  assert.deepEqual(written(disk), { pieces: [8, 12, 13, 14, 15, 16], end: 5 * PAGE })
  for (const [i, payload] of pages.entries()) assert.deepEqual(read(file, 2 + i), payload)
})

test('pages that are not compressed are written as a whole, at once', () => {
  const { file, disk } = made('none')
  write(file, 2, [text(file, 'a'), text(file, 'b')])
  assert.deepEqual(written(disk), {
    pieces: Array.from({ length: 8 }, (_, i) => 8 + i),
    end: 4 * PAGE,
  })
  assert.equal(disk.calls.filter(({ call }) => call === 'write').length, 1)
})

test('what an older page has left behind a page is nobody’s', () => {
  const { file } = made('lz4')
  write(file, 2, [noise(file), noise(file)])
  write(file, 2, [text(file, 'a')])
  assert.deepEqual(read(file, 2), text(file, 'a'))
  assert.deepEqual(read(file, 3), noise(file))
  // A copy of the page, for a backup, does not have it.
  const copy = Buffer.alloc(PAGE)
  runSync(file.copyPage(2, copy, 0))
  assert.ok(copy.subarray(4096).every((byte) => byte === 0))
})

test('a compressed page that was changed is damaged, wherever it was written', () => {
  const { file } = made('lz4')
  write(file, 2, [text(file, 'a')])
  const bytes = Buffer.alloc(4096)
  for (const at of [0, 5, 12, 16, 60, 1000, 4095]) {
    file.handle.read(bytes, 0, 4096, 2 * PAGE).sync()
    bytes[at]! ^= 1
    file.handle.write(bytes, 0, 4096, 2 * PAGE).sync()
    assert.throws(() => read(file, 2), { code: 'CORRUPTION' }, `byte ${at}`)
    bytes[at]! ^= 1
    file.handle.write(bytes, 0, 4096, 2 * PAGE).sync()
    assert.deepEqual(read(file, 2), text(file, 'a'))
  }
})
