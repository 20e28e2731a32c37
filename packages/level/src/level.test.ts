/** What abstract-level's suite does not see: locks, durability, what errors are, options, what lies in the folder. */

import assert from 'node:assert/strict'
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { simulatedEnvironment } from 'kvark/testing'
import { type DatabaseOptions, Level, LevelError } from './index.ts'

const MEMORY = ':memory:'

interface Failure {
  readonly code?: string
  readonly message: string
  readonly cause?: Failure
  readonly pid?: number
}

const root = mkdtempSync(join(tmpdir(), 'kvark-level-'))
// Behind the hooks of the tests, which close what is in it.
after(() => rmSync(root, { recursive: true, force: true }))
let folders = 0

function newFolder(): string {
  return join(root, String(folders++), 'db')
}

async function openLevel<V = string>(
  t: TestContext,
  location: string,
  options?: DatabaseOptions<string, V>,
): Promise<Level<string, V>> {
  const db = new Level<string, V>(location, options)
  await db.open()
  t.after(() => db.close())
  return db
}

async function failureOf(promise: Promise<unknown>): Promise<Failure> {
  try {
    await promise
  } catch (error) {
    return error as Failure
  }
  assert.fail('it did not fail')
}

/** What keeps a database from being opened. */
async function refusal(
  location: string,
  options?: DatabaseOptions<string, string>,
): Promise<Failure> {
  const failure = await failureOf(new Level(location, options).open())
  assert.equal(failure.code, 'LEVEL_DATABASE_NOT_OPEN')
  return failure.cause!
}

test('a database is there when it is opened again, by the same object and by another', async (t) => {
  const location = newFolder()
  const db = await openLevel(t, location)
  assert.equal(db.location, location)
  await db.put('a', '1')
  await db.close()
  await db.open()
  assert.equal(await db.get('a'), '1')
  await db.close()
  const other = await openLevel(t, location)
  assert.deepEqual(await other.iterator().all(), [['a', '1']])
})

test('who has it open locks it', async (t) => {
  const location = newFolder()
  const db = await openLevel(t, location)
  const { code, cause } = await refusal(location)
  assert.equal(code, 'LEVEL_LOCKED')
  assert.equal(cause!.code, 'LOCKED')
  assert.equal(cause!.pid, process.pid)
  assert.equal((await failureOf(Level.destroy(location))).code, 'LEVEL_LOCKED')
  await db.put('still', 'there')
  await db.close()
  assert.equal(await (await openLevel(t, location)).get('still'), 'there')
})

test('without sync a write is handed to the operating system, with it to the disk', async (t) => {
  const environment = simulatedEnvironment({ seed: 1 })
  const { calls } = environment.files
  const db = await openLevel(t, '/db', { kvark: { environment } })

  /** What reached the file while `write` was awaited. */
  const callsOf = async (write: Promise<void>): Promise<string> => {
    calls.length = 0
    await write
    return [...new Set(calls.map(({ call }) => call))]
      .filter((call) => call === 'write' || call === 'sync')
      .join()
  }

  await db.put('first', 'makes the file')
  for (const [options, expected] of [
    [undefined, 'write'],
    [{ sync: false }, 'write'],
    [{ sync: true }, 'write,sync'],
  ] as const) {
    assert.equal(await callsOf(db.put('a', '1', options!)), expected, 'put')
    assert.equal(await callsOf(db.del('a', options!)), expected, 'del')
    const operations = [{ type: 'put', key: 'b', value: '1' } as const]
    assert.equal(await callsOf(db.batch(operations, options!)), expected, 'batch')
    assert.equal(await callsOf(db.batch().put('c', '1').write(options!)), expected, 'chained batch')
    assert.equal(await callsOf(db.clear({ lt: 'c', ...options })), expected, 'clear')
    assert.equal(await callsOf(db.clear({ limit: 1, ...options })), expected, 'clear with a limit')
    await db.put('first', 'there again')
    assert.equal(
      await callsOf(db.sublevel('s').put('d', '1', options as object)),
      expected,
      'sublevel',
    )
  }
})

test('a power cut leaves what was written with sync, and all before it', async () => {
  const environment = simulatedEnvironment({ seed: 1 })
  const db = new Level('/db', { kvark: { environment } })
  await db.put('before', '1')
  await db.put('synced', '1', { sync: true })
  await db.put('behind', '1')
  const world = simulatedEnvironment({ seed: 2, files: environment.files.crash({ mode: 'drop' }) })
  // It fails to close, and is closed all the same.
  assert.equal((await failureOf(db.close())).code, 'LEVEL_DATABASE_NOT_CLOSED')
  await db.close()
  assert.equal((await failureOf(db.get('before'))).code, 'LEVEL_DATABASE_NOT_OPEN')
  const again = new Level('/db', { kvark: { environment: world } })
  assert.deepEqual(await again.keys().all(), ['before', 'synced'])
  await again.close()
})

test('kvark.durability is that of writes without sync', async () => {
  const environment = simulatedEnvironment({ seed: 1 })
  const db = new Level('/db', { kvark: { environment, durability: 'disk' } })
  await db.put('a', '1')
  const world = simulatedEnvironment({ seed: 2, files: environment.files.crash({ mode: 'drop' }) })
  await failureOf(db.close())
  const again = new Level('/db', { kvark: { environment: world } })
  assert.equal(await again.get('a'), '1')
  await again.close()
})

test('a location is a path', () => {
  for (const location of ['', undefined, 5, null]) {
    assert.throws(() => new Level(location as string), TypeError)
  }
})

test('options that cannot be are refused when it is opened, and nothing is made', async () => {
  const location = newFolder()
  assert.equal((await refusal(location, { multithreading: true })).code, 'LEVEL_NOT_SUPPORTED')
  assert.equal((await refusal(location, { createIfMissing: false })).code, 'NOT_FOUND')
  assert.equal((await refusal(location, { kvark: { readOnly: true } })).code, 'NOT_FOUND')
  const wrong: Record<string, unknown>[] = [
    { cacheSize: 'much' },
    { cacheSize: 1.5e6 + 0.5 },
    { kvark: { cacheBytes: 5 } },
    { kvark: { encrypted: true } },
  ]
  for (const options of wrong) {
    assert.equal(
      (await refusal(location, options)).code,
      'INVALID_ARGUMENT',
      JSON.stringify(options),
    )
  }
  for (const name of ['engine', 'keys', 'values', 'create', 'errorIfExists']) {
    const cause = await refusal(location, { kvark: { [name]: 'log' } })
    assert.ok(cause instanceof TypeError)
    assert.match(cause.message, new RegExp(name))
  }
  assert.equal(existsSync(location), false)
})

test('settings of LevelDB are taken', async (t) => {
  const db = await openLevel(t, newFolder(), {
    compression: true,
    cacheSize: 8,
    writeBufferSize: 4096,
    blockSize: 4096,
    maxOpenFiles: 10,
    blockRestartInterval: 4,
    maxFileSize: 4096,
    multithreading: false,
  })
  await db.put('a', '1')
  assert.equal(await db.get('a', { fillCache: false }), '1')
})

test('a folder with a database of LevelDB stays as it is', async () => {
  const location = newFolder()
  mkdirSync(location, { recursive: true })
  const names = ['000005.ldb', '000007.log', 'CURRENT', 'LOCK', 'LOG', 'MANIFEST-000006']
  for (const name of names) writeFileSync(join(location, name), name)
  const cause = await refusal(location)
  assert.equal(cause.code, 'LEVEL_NOT_SUPPORTED')
  assert.match(cause.message, /LevelDB/)
  assert.equal((await failureOf(Level.destroy(location))).code, 'NOT_FOUND')
  assert.deepEqual(readdirSync(location).sort(), names)
})

test('what is no text in UTF-8 is refused as a key and as a value, in every verb', async (t) => {
  const db = await openLevel(t, MEMORY)
  const lone = '\ud800'
  const asKey = [
    db.put(lone, '1'),
    db.get(lone),
    db.getMany(['a', lone]),
    db.has(lone),
    db.del(lone),
    db.batch([{ type: 'del', key: lone }]),
    db.batch().put(lone, '1').write(),
    db.clear({ gte: lone }),
    db.sublevel('s').put(lone, '1'),
  ]
  for (const promise of asKey) assert.equal((await failureOf(promise)).code, 'LEVEL_INVALID_KEY')
  assert.throws(() => db.getSync(lone), { code: 'LEVEL_INVALID_KEY' })
  assert.throws(() => db.iterator({ lt: lone }), { code: 'LEVEL_INVALID_KEY' })
  const asValue = [
    db.put('a', lone),
    db.batch([
      { type: 'put', key: 'a', value: '1' },
      { type: 'put', key: 'b', value: lone },
    ]),
  ]
  for (const promise of asValue)
    assert.equal((await failureOf(promise)).code, 'LEVEL_INVALID_VALUE')
  assert.deepEqual(await db.keys().all(), [])
  // An iterator or snapshot that could not be made is not in the way.
  await db.close()
})

test('keys that are too long are refused, values that are long are not', async (t) => {
  const db = await openLevel(t, MEMORY)
  const { code, cause } = await failureOf(db.put('k'.repeat(db.store.limits.keyBytes + 1), ''))
  assert.equal(code, 'LEVEL_INVALID_KEY')
  assert.equal(cause!.code, 'INVALID_KEY')
  const long = 'v'.repeat(3_000_000)
  await db.put('long', long)
  assert.equal(await db.get('long'), long)
})

test('bytes come back as they are; as a string with U+FFFD for what is no text', async (t) => {
  const db = await openLevel(t, MEMORY)
  const bytes = new Uint8Array([0xef, 0xbb, 0xbf, 0xff, 0])
  await db.put<Uint8Array, Uint8Array>(bytes, bytes, { keyEncoding: 'view', valueEncoding: 'view' })
  const view = await db.get<Uint8Array, Uint8Array>(bytes, {
    keyEncoding: 'view',
    valueEncoding: 'view',
  })
  assert.deepEqual(view, bytes)
  const buffer = db.getSync<Uint8Array, Buffer>(bytes, {
    keyEncoding: 'view',
    valueEncoding: 'buffer',
  })
  assert.ok(Buffer.isBuffer(buffer))
  assert.ok(buffer.equals(bytes))
  const text = '\ufeff\ufffd\0'
  assert.deepEqual(await db.iterator().all(), [[text, text]])
  // What is read is the caller's own.
  view.fill(1)
  assert.deepEqual(
    await db.get(bytes as never, { keyEncoding: 'view', valueEncoding: 'view' }),
    bytes,
  )
})

test('a get sees the database as it was when it was called, also where it has to wait for the disk', async (t) => {
  const location = newFolder()
  const kvark = { pageBytes: 4096 }
  const db = await openLevel(t, location, { kvark })
  const keys = Array.from({ length: 200 }, (_, i) => `key ${String(i).padStart(3, '0')}`)
  await db.batch(keys.map((key) => ({ type: 'put', key, value: 'old'.repeat(100) })))
  await db.close()
  await db.open()
  const reads = keys.map((key) => db.get(key))
  const has = db.hasMany(keys)
  const many = db.getMany(keys)
  const writes = keys.map((key, i) => (i % 2 === 0 ? db.put(key, 'new') : db.del(key)))
  // Whatever waits is carried out at once, before the disk has answered the reads.
  assert.equal(db.getSync(keys[0]!), 'new')
  const old = 'old'.repeat(100)
  assert.deepEqual(new Set(await Promise.all(reads)), new Set([old]))
  assert.deepEqual(new Set(await many), new Set([old]))
  assert.deepEqual(new Set(await has), new Set([true]))
  await Promise.all(writes)
  assert.deepEqual(await db.getMany(keys.slice(0, 2)), ['new', undefined])
})

test('a snapshot of another database is refused', async (t) => {
  const db = await openLevel(t, MEMORY)
  const other = await openLevel(t, MEMORY)
  const snapshot = other.snapshot()
  await assert.rejects(db.get('a', { snapshot }), TypeError)
  await assert.rejects(db.hasMany(['a'], { snapshot }), TypeError)
  await assert.rejects(db.clear({ snapshot }), TypeError)
  assert.throws(() => db.iterator({ snapshot }), TypeError)
  await snapshot.close()
})

test('clear with a limit, from either end, and of what a snapshot has', async (t) => {
  const db = await openLevel(t, MEMORY)
  const keys = Array.from({ length: 2500 }, (_, i) => String(i).padStart(4, '0'))
  await db.batch(keys.map((key) => ({ type: 'put', key, value: key })))
  await db.clear({ limit: 1200 })
  await db.clear({ limit: 2, reverse: true, lt: '2400' })
  assert.deepEqual(await db.keys({ lt: '1202' }).all(), ['1200', '1201'])
  assert.deepEqual(await db.keys({ gte: '2397', lt: '2401' }).all(), ['2397', '2400'])
  const snapshot = db.snapshot()
  await db.put('later', '1')
  await db.clear({ snapshot })
  assert.deepEqual(await db.keys().all(), ['later'])
})

test('nextv ends at the high-water mark', async (t) => {
  const db = await openLevel(t, MEMORY)
  const value = 'v'.repeat(99)
  await db.batch(
    Array.from({ length: 500 }, (_, i) => ({ type: 'put', key: String(i % 10) + i, value })),
  )
  const counts = async (highWaterMarkBytes?: number): Promise<number[]> => {
    const iterator = db.values(highWaterMarkBytes === undefined ? {} : { highWaterMarkBytes })
    const first = await iterator.nextv(1000)
    const second = await iterator.nextv(3)
    await iterator.close()
    return [first.length, second.length]
  }
  assert.deepEqual(await counts(), [166, 3])
  assert.deepEqual(await counts(990), [11, 3])
  assert.deepEqual(await counts(0), [1, 1])
  assert.deepEqual(await counts(Number.POSITIVE_INFINITY), [500, 0])
  for (const wrong of [Number.NaN, -1, 'all', null]) {
    assert.deepEqual(await counts(wrong as number), [166, 3])
  }
  assert.equal((await db.values({ highWaterMarkBytes: 0 }).all()).length, 500)
})

test('an iterator is aborted between two entries', async (t) => {
  const db = await openLevel(t, MEMORY)
  await db.batch(['a', 'b', 'c'].map((key) => ({ type: 'put', key, value: key })))
  const controller = new AbortController()
  const iterator = db.keys({ signal: controller.signal })
  assert.equal(await iterator.next(), 'a')
  const rest = iterator.nextv(10)
  controller.abort(new Error('enough'))
  const error = await failureOf(rest)
  assert.ok(error instanceof LevelError)
  assert.deepEqual([error.code, error.name], ['LEVEL_ABORTED', 'AbortError'])
  assert.equal(error.cause instanceof Error && error.cause.message, 'enough')
  await iterator.close()
})

test('a database in memory is not permanent', async (t) => {
  assert.equal((await openLevel(t, MEMORY)).supports.permanence, false)
  assert.equal((await openLevel(t, newFolder())).supports.permanence, true)
})

test('damage is LEVEL_CORRUPTION, and repair puts what can be read in its place', async (t) => {
  const location = newFolder()
  const db = await openLevel(t, location, { kvark: { pageBytes: 4096 } })
  const keys = Array.from({ length: 1000 }, (_, i) => `key ${String(i).padStart(4, '0')}`)
  await db.batch(keys.map((key) => ({ type: 'put', key, value: 'v'.repeat(100) })))
  await db.close()
  const tree = join(location, 'TREE')
  const middle = Math.floor(statSync(tree).size / 8192) * 4096
  const file = openSync(tree, 'r+')
  writeSync(file, 'damage', middle + 100)
  closeSync(file)

  await db.open()
  const failure = await failureOf(db.values().all())
  assert.equal(failure.code, 'LEVEL_CORRUPTION')
  assert.equal(failure.cause!.code, 'CORRUPTION')
  assert.equal((await failureOf(Level.repair(location))).code, 'LEVEL_LOCKED')
  await db.close()

  await Level.repair(location)
  await db.open()
  const saved = await db.keys().all()
  assert.ok(saved.length > 900 && saved.length < 1000, String(saved.length))
  await db.close()
  assert.ok(existsSync(`${location}.damaged/TREE`))
  assert.ok(!existsSync(`${location}.repaired`))

  // As if a process had died between the two renames.
  renameSync(location, `${location}.repaired`)
  await Level.repair(location)
  await db.open()
  assert.deepEqual(await db.keys().all(), saved)
  await db.close()
  await Level.repair(location)
  assert.ok(existsSync(`${location}.damaged-2/TREE`))
})

test('destroy removes a database, and nothing else', async (t) => {
  const location = newFolder()
  const db = await openLevel(t, location)
  await db.put('a', '1')
  await db.close()
  writeFileSync(join(location, 'notes'), 'mine')
  await Level.destroy(location)
  assert.deepEqual(readdirSync(location), ['notes'])
  assert.equal((await failureOf(Level.destroy(location))).code, 'NOT_FOUND')
  rmSync(location, { recursive: true })
  await Level.destroy(location)
  await assert.rejects(Level.destroy(''), TypeError)
})

test('approximateSize, compactRange and the store behind it', async (t) => {
  const db = new Level(MEMORY)
  await db.batch(
    Array.from({ length: 100 }, (_, i) => ({
      type: 'put',
      key: `${i % 10} ${i}`,
      value: 'v'.repeat(1000),
    })),
  )
  const [whole, part, none] = await Promise.all([
    db.approximateSize('0', ':'),
    db.approximateSize('3', '5'),
    db.approximateSize('x', 'y'),
  ])
  assert.ok(whole > 100_000 && whole < 120_000, String(whole))
  assert.ok(Math.abs(part - whole / 5) < 10, String(part))
  assert.equal(none, 0)
  await db.compactRange('0', ':')
  await assert.rejects(db.approximateSize('a', undefined as never), TypeError)
  assert.equal(db.store.stats().entries, 100)
  await db.close()
  assert.throws(() => db.store, { code: 'LEVEL_DATABASE_NOT_OPEN' })
  assert.equal((await failureOf(db.compactRange('a', 'b'))).code, 'LEVEL_DATABASE_NOT_OPEN')
  t.diagnostic(`${whole} bytes`)
})

test('opened only to read it takes no writes', async (t) => {
  const location = newFolder()
  const db = await openLevel(t, location)
  await db.put('a', '1')
  await db.close()
  const reader = await openLevel(t, location, { kvark: { readOnly: true } })
  assert.equal(await reader.get('a'), '1')
  assert.equal((await failureOf(reader.put('a', '2'))).code, 'LEVEL_READONLY')
})

test('a full disk is LEVEL_IO_ERROR; the write is in doubt, the next one refused', async (t) => {
  const environment = simulatedEnvironment({ seed: 1 })
  const db = await openLevel(t, '/db', { kvark: { environment } })
  await db.put('a', '1')
  environment.files.failNext({ call: 'write', error: 'ENOSPC' })
  const failure = await failureOf(db.put('b', '2'))
  assert.equal(failure.code, 'LEVEL_IO_ERROR')
  assert.equal(failure.cause!.code, 'NO_SPACE')
  assert.equal((await failureOf(db.put('c', '3'))).code, 'LEVEL_READONLY')
  await db.store.resume()
  await db.put('c', '3')
  assert.equal(await db.get('a'), '1')
})

test('a forgotten database is closed when it is collected, with a warning', async (t) => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const warnings: Error[] = []
  const hear = (warning: Error): unknown => warnings.push(warning)
  process.on('warning', hear)
  t.after(() => process.off('warning', hear))
  const location = newFolder()
  const forget = async (): Promise<void> => {
    const db = new Level(location)
    await db.put('a', '1')
    await db.sublevel('s').put('b', '1')
  }
  await forget()
  let other: Level | undefined
  for (let tries = 0; other === undefined && tries < 200; tries++) {
    collect()
    await turn()
    const db = new Level(location, { kvark: { lockTimeoutMs: 0 } })
    other = await db.open().then(
      () => db,
      () => undefined,
    )
  }
  assert.ok(other !== undefined, 'it was not closed')
  assert.deepEqual(await other.keys().all(), ['!s!b', 'a'])
  await other.close()
  assert.ok(
    warnings.some(({ name, message }) => name === 'KvarkWarning' && message.includes(location)),
  )
})
