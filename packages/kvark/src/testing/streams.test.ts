/** Streamed values in a log: what is on the disk meanwhile, and what becomes of it. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Environment } from '../environment/environment.ts'
import { nodeEnvironment } from '../environment/node.ts'
import { Effect } from '../environment/routine.ts'
import { destroy } from '../store/destroy.ts'
import { openSync } from '../store/open.ts'
import type { AtomicStore, Configurable } from '../store/types.ts'
import type { FileHandle } from '../vfs/files.ts'
import { memoryFiles } from '../vfs/memory.ts'
import { pattern, rejects, turn } from './contract/check.ts'
import { FaultyFiles } from './contract/faulty-files.ts'
import { contentOf, environmentWith, FOLDER, write } from './damage.ts'

type Store = AtomicStore<string, Uint8Array> & Configurable<object>

const MIB = 1024 * 1024
const LONG = pattern(3 * MIB, 1)

function open(environment: Environment, options: object = {}): Store {
  return openSync(FOLDER, {
    engine: 'log',
    values: 'bytes',
    cacheBytes: MIB,
    compactionThresholdBytes: Number.MAX_SAFE_INTEGER,
    environment,
    ...options,
  })
}

function spools(environment: Environment): string[] {
  return environment.files
    .list(FOLDER)
    .sync()
    .filter((name) => name.endsWith('.tmp'))
}

/** Gives the long value and then waits. */
function held(): { source: AsyncIterable<Uint8Array>; release: () => void } {
  let release = (): void => {}
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  async function* source(): AsyncGenerator<Uint8Array> {
    yield LONG
    await gate
  }
  return { source: source(), release }
}

/** Until a value that is streamed in has its file. */
async function underWay(environment: Environment): Promise<void> {
  while (spools(environment).length === 0) await turn()
  for (let i = 0; i < 50; i++) await turn()
}

async function read(stream: ReadableStream<Uint8Array> | undefined): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of stream!) parts.push(part)
  return Buffer.concat(parts)
}

describe('a file that a process has left', () => {
  async function leftBehind(): Promise<Environment> {
    const environment = environmentWith(new Map())
    const db = open(environment)
    await db.put('key', pattern(10, 1))
    const { source, release } = held()
    const put = db.putStream('long', source)
    await underWay(environment)
    const content = contentOf(environment)
    release()
    await put
    await db.close()
    const left = environmentWith(content)
    assert.equal(spools(left).length, 1)
    return left
  }

  test('is removed by the next open, and its space with it', async () => {
    const environment = await leftBehind()
    const db = open(environment)
    assert.deepEqual(spools(environment), [])
    assert.deepEqual(await db.get('key'), pattern(10, 1))
    assert.equal(await db.count(), 1)
    assert.deepEqual((await db.verify()).problems, [])
    await db.close()
  })

  test('is left alone by a store that only reads', async () => {
    const environment = await leftBehind()
    const db = open(environment, { readOnly: true })
    assert.equal(await db.count(), 1)
    assert.equal(await db.getStream('long'), undefined)
    await db.close()
    assert.equal(spools(environment).length, 1)
  })

  test('goes with the store', async () => {
    const environment = await leftBehind()
    const { kept } = await destroy(FOLDER, { environment })
    assert.deepEqual(kept, [])
  })
})

test('while a value comes in, a backup, a verification, a compaction and a list of files pass it by', async () => {
  const environment = environmentWith(new Map())
  const db = open(environment)
  for (let i = 0; i < 100; i++) await db.put(`key${i % 10}`, pattern(5000, i), { durability: 'os' })
  const { source, release } = held()
  const put = db.putStream('long', source)
  await underWay(environment)
  const name = spools(environment)[0]!
  assert.deepEqual((await db.verify()).problems, [])
  await db.compact()
  const listed = (await db.inspect()).files.find((file) => file.name === name)
  assert.equal(listed?.kind, 'value on its way in')
  const { entries } = await db.backup('/copy')
  assert.equal(entries, 10)
  assert.deepEqual(
    environment.files
      .list('/copy')
      .sync()
      .filter((one) => one.endsWith('.tmp')),
    [],
  )
  release()
  await put
  const copied = await db.backup('/second')
  assert.equal(copied.entries, 11)
  await db.close()
  for (const [folder, count] of [
    ['/copy', 10],
    ['/second', 11],
    [FOLDER, 11],
  ] as const) {
    const copy = openSync(folder, { engine: 'log', values: 'bytes', environment })
    assert.equal(copy.countSync(), count)
    assert.deepEqual(copy.verifySync().problems, [])
    if (count === 11) assert.ok(Buffer.from(copy.getSync('long')!).equals(LONG))
    copy.closeSync()
  }
})

test('what a resume meets is refused, and can be written again', async () => {
  const files = new FaultyFiles(memoryFiles())
  const environment = nodeEnvironment(files)
  const db = open(environment)
  await db.put('key', LONG)
  const { source, release } = held()
  const put = db.putStream('long', source)
  const reading = (await db.getStream('key'))!.getReader()
  await reading.read()
  await underWay(environment)
  files.fault = { call: 'sync', code: 'IO' }
  await rejects('IO', () => db.put('other', pattern(1, 1)))
  files.fault = undefined
  await db.resume()
  assert.deepEqual(spools(environment), [])
  release()
  await rejects('CLOSED', () => put)
  await rejects('CLOSED', () => reading.read())
  assert.equal(await db.has('long'), false)
  await db.putStream('long', [LONG])
  assert.ok((await read(await db.getStream('long'))).equals(LONG))
  await db.close()
})

test('a failure of the file is the value’s alone', async () => {
  const files = new FaultyFiles(memoryFiles())
  const environment = nodeEnvironment(files)
  const db = open(environment)
  await db.put('key', pattern(10, 1))
  for (const call of ['write', 'sync'] as const) {
    for (const code of ['NO_SPACE', 'IO'] as const) {
      files.fault = { call, code, path: `${FOLDER}/0.log` }
      const error = await rejects(code, () => db.putStream('key', [LONG]))
      assert.equal(error.outcome, undefined)
      assert.equal(db.stats().readOnly, undefined)
      await db.put('other', pattern(5, 1))
      assert.deepEqual(spools(environment), [])
    }
  }
  assert.deepEqual(await db.get('key'), pattern(10, 1))
  files.fault = undefined
  await db.close()
})

test('damage in a streamed value ends the stream where it lies', async () => {
  const environment = environmentWith(new Map())
  let db = open(environment)
  await db.putStream('long', [LONG])
  await db.put('key', pattern(10, 1))
  await db.close()
  const [name, bytes] = [...contentOf(environment)].find(([, { length }]) => length > MIB)!
  bytes[2 * MIB]! ^= 1
  write(environment, name, bytes)
  db = open(environment)
  let good = 0
  await rejects('CORRUPTION', async () => {
    for await (const part of (await db.getStream('long'))!) {
      assert.ok(Buffer.from(part).equals(LONG.subarray(good, good + part.length)))
      good += part.length
    }
  })
  assert.ok(good > MIB && good <= 2 * MIB, String(good))
  assert.equal(db.stats().snapshots, 0)
  assert.deepEqual(await db.get('key'), pattern(10, 1))
  await db.close()
})

test('files of many streamed values are put together', async () => {
  const environment = environmentWith(new Map())
  const db = open(environment, { segmentBytes: 16 * MIB })
  const value = pattern(2 * MIB, 1)
  for (let i = 0; i < 100; i++) {
    value[0] = i
    await db.putStream(`key${i}`, [value], { durability: 'os' })
    while (db.stats().compacting) await turn()
  }
  assert.ok(db.stats().files < 60, `${db.stats().files} files`)
  for (let i = 0; i < 100; i++) {
    value[0] = i
    assert.ok((await read(await db.getStream(`key${i}`))).equals(value))
  }
  assert.deepEqual((await db.verify()).problems, [])
  await db.close()
})

test('who streams faster than files are put together waits for that', async () => {
  const files = memoryFiles()
  let letGo = (): void => {}
  const gate = new Promise<void>((resolve) => {
    letGo = resolve
  })
  const begin = files.open.bind(files)
  files.open = (path, mode) => {
    const gated = (handle: FileHandle): FileHandle => {
      const synced = new Effect(
        () => {},
        () => gate,
      )
      if (path.includes('.packed')) handle.sync = () => synced
      return handle
    }
    const { sync, async } = begin(path, mode)
    return new Effect(
      () => gated(sync()),
      async () => gated(await async()),
    )
  }
  const environment = nodeEnvironment(files)
  const db = open(environment, { segmentBytes: 16 * MIB })
  const value = pattern(2 * MIB, 1)
  let stored = 0
  const all = (async () => {
    for (; stored < 180; stored++)
      await db.putStream(`key${stored}`, [value], { durability: 'none' })
  })()
  let before = -1
  for (let idle = 0; idle < 200; idle = stored === before ? idle + 1 : 0) {
    before = stored
    await turn()
  }
  assert.ok(stored > 100 && stored < 150, `${stored} values`)
  letGo()
  await all
  assert.equal(await db.count(), 180)
  await db.close()
})

test('writes go on in the segment of a streamed value', async () => {
  const environment = environmentWith(new Map())
  const db = open(environment)
  await db.put('before', pattern(10, 1))
  await db.putStream('long', [LONG])
  for (let i = 0; i < 20; i++) await db.put(`behind${i}`, pattern(50_000, i))
  assert.equal(db.stats().files, 2)
  const again = open(environmentWith(contentOf(environment)))
  assert.equal(await again.count(), 22)
  assert.ok((await read(await again.getStream('long'))).equals(LONG))
  assert.deepEqual(await again.get('behind19'), pattern(50_000, 19))
  await again.close()
  await db.close()
})
