/** A long value that is given up takes no room from then on, in the tree or in the file. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nodeEnvironment } from '../environment/node.ts'
import { open, openSync } from '../index.ts'
import { memoryFiles } from '../vfs/memory.ts'

const MIB = 1024 * 1024
const PATH = '/memory/store'
const piece = Buffer.alloc(MIB, 'kvark')

test('a value whose source fails leaves nothing in the file', async () => {
  const environment = nodeEnvironment(memoryFiles())
  const db = await open(PATH, { environment, values: 'bytes' })
  await db.putStream('a', Array<Uint8Array>(3).fill(piece))
  const length = (): number => environment.files.open(`${PATH}/TREE`, 'read').sync().size().sync()
  const before = length()
  let longest = 0
  async function* source(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 10; i++) yield piece
    longest = length()
    throw new Error('the source is dry')
  }
  for (let round = 0; round < 3; round++) {
    await assert.rejects(db.putStream('b', source()), /dry/)
    assert.ok(longest > before + 8 * MIB)
    // Pages that the file does not have yet may have places behind its end.
    assert.ok(length() < before + MIB, `${length()} bytes, ${before} before`)
  }
  assert.equal((await db.get('a'))?.length, 3 * MIB)
  await db.close()
})

test('a value that closing at once cuts off leaves no room in the file', async () => {
  const environment = nodeEnvironment(memoryFiles())
  const db = openSync(PATH, { environment, values: 'bytes' })
  await db.put('a', piece)
  const never = new Promise<void>(() => {})
  let given = 0
  async function* source(): AsyncGenerator<Uint8Array> {
    for (; given < 10; given++) yield piece
    await never
  }
  const put = assert.rejects(db.putStream('b', source()), { code: 'CLOSED' })
  while (given < 10) await new Promise((resolve) => setImmediate(resolve))
  db.closeSync()
  await put
  const again = openSync(PATH, { environment, values: 'bytes' })
  assert.ok(again.stats().diskBytes < 4 * MIB, `${again.stats().diskBytes} bytes`)
  assert.deepEqual(again.getSync('a'), new Uint8Array(piece))
  again.closeSync()
})
