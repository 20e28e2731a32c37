import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import { engines } from '../engines.ts'
import type { Environment } from '../environment/environment.ts'
import { nodeEnvironment } from '../environment/node.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { KvarkError } from '../errors.ts'
import { folderImage } from '../testing/folder-image.ts'
import { memoryFiles } from '../vfs/memory.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'
import type { Codec } from './codec.ts'
import { type ConvertOptions, convert, convertSync } from './convert.ts'
import { describeSync, openSync } from './open.ts'
import type { AtomicStore } from './types.ts'

const FROM = '/from'
const TO = '/to'
const key = { key: Buffer.alloc(16, 1) }
const other = { key: Buffer.alloc(16, 2) }
const names = Object.keys(engines) as ('btree' | 'log')[]

const point: Codec<number> = {
  name: 'point',
  encode: (x) => Buffer.from([x]),
  decode: (bytes) => bytes[0]!,
}

function newWorld(): Environment {
  return nodeEnvironment(memoryFiles())
}

const LONG = Buffer.alloc(2_100_000, 'long value ')

type Any = AtomicStore<string, string>

function openAny(environment: Environment, path: string, options: object = {}): Any {
  return openSync(path, { engine: 'any', environment, ...options }) as unknown as Any
}

/** Tables, one of them dropped and one cleared, expiries, long values. */
async function fill(
  environment: Environment,
  options: object,
  long: Uint8Array = Buffer.from('short'),
): Promise<void> {
  const db = openAny(environment, FROM, { engine: 'btree', ...options })
  for (let i = 0; i < 500; i++) db.putSync(`key ${i}`, `value ${i}`, { durability: 'none' })
  db.putSync('', 'empty key')
  db.putSync('empty value', '')
  db.putSync('key 7', 'expires', { expiresAt: Date.now() + 1e9 })
  db.putSync('over', 'expired', { expiresAt: 1 })
  await db.put('long', 'x'.repeat(20_000))
  await db.putStream('long that expires', [long], { expiresAt: Date.now() + 1e9 })
  db.table('dropped').putSync('a', 'b')
  db.dropTableSync('dropped')
  const tuples = db.table('tuples', { keys: 'tuple', values: 'json' })
  for (let i = 300; i > 0; i--) tuples.putSync(['n', i], { i })
  const own = db.table('own', { values: point })
  own.putSync('old', 1)
  own.clearSync()
  own.putSync('x', 7)
  db.closeSync()
}

/** Everything that a store has. */
function contents(environment: Environment, path: string, options: object = {}): unknown {
  const db = openAny(environment, path, options)
  const all = {
    tables: db.tables(),
    root: sorted([...db.entries()]),
    tuples: sorted([...db.table('tuples', { keys: 'tuple', values: 'json' }).entries()]),
    own: [...db.table('own', { values: point }).entries()],
    ends: ['key 7', 'long that expires', 'key 8'].map((k) => db.getEntrySync(k)?.expiresAt),
    problems: db.verifySync().problems,
  }
  db.closeSync()
  return all
}

function sorted(entries: readonly (readonly unknown[])[]): unknown {
  return [...entries].sort(([a], [b]) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
}

test('empty values behind long keys are compared as what they are', () => {
  const environment = newWorld()
  const db = openAny(environment, FROM, { engine: 'log', durability: 'none' })
  for (let i = 0; i < 20; i++) db.putSync(`${i}${'k'.repeat(5000)}`, '')
  db.closeSync()
  for (const engine of names) {
    assert.equal(convertSync(FROM, `${TO}-${engine}`, { engine, environment }).entries, 20)
  }
})

test('any engine to any other, and to itself: tables, expiries, long values; the old store stays as it is', async () => {
  for (const [i, from] of names.entries()) {
    const environment = newWorld()
    const secret = i === 0 ? {} : { encryption: key }
    await fill(environment, { engine: from, ...secret }, LONG)
    const before = folderImage(environment.files, FROM)
    const expected = contents(environment, FROM, { readOnly: true, ...secret })
    for (const to of names) {
      const path = `${TO}-${to}`
      const options = { engine: to, from: secret, environment } as const
      let heard = [0, 0]
      const progress = (done: number, total: number): void => {
        assert.ok(done > heard[0]! && done <= total)
        heard = [done, total]
      }
      const report =
        from === to
          ? convertSync(FROM, path, { ...options, progress })
          : await convert(FROM, path, { ...options, progress })
      assert.equal(report.entries, 504 + 301)
      assert.ok(report.bytes > LONG.length && heard[0]! > 0)
      assert.equal(describeSync(path, { environment }).engine, to)
      assert.deepEqual(contents(environment, path, secret), expected)
    }
    assert.deepEqual(folderImage(environment.files, FROM), before)
  }
})

test('compression, checksum, encryption and size of pages change, or stay', async () => {
  const environment = newWorld()
  await fill(environment, { compression: 'deflate', pageBytes: 4096, encryption: key })
  const expected = contents(environment, FROM, { encryption: key })
  const from = { encryption: key }
  const made = (path: string): unknown => {
    const { compression, checksum, cipher, options } = describeSync(path, { environment })
    return [compression, checksum, cipher, options['pageBytes']]
  }
  await convert(FROM, '/same', { from, environment })
  assert.deepEqual(made('/same'), ['deflate', 'crc32', 'aes-256-gcm', 4096])
  assert.deepEqual(contents(environment, '/same', { encryption: key }), expected)
  await convert(FROM, '/other', {
    from,
    compression: 'lz4',
    checksum: 'xxh64',
    encryption: { ...other, cipher: 'aes-128-gcm' },
    pageBytes: 8192,
    environment,
  })
  assert.deepEqual(made('/other'), ['lz4', 'xxh64', 'aes-128-gcm', 8192])
  assert.deepEqual(contents(environment, '/other', { encryption: other }), expected)
  await convert(FROM, '/open', { from, engine: 'log', encryption: 'none', environment })
  assert.deepEqual(made('/open'), ['deflate', 'crc32', undefined, undefined])
  assert.deepEqual(contents(environment, '/open'), expected)
})

test('a key may be as long as the other engine takes, in any table', async () => {
  const environment = newWorld()
  const longest = 'k'.repeat(openSync(':memory:', { engine: 'log' }).limits.keyBytes)
  const db = openAny(environment, FROM, { engine: 'btree' })
  db.putSync(longest, 'root')
  for (let i = 0; i < 150; i++) db.table(`table ${i}`).putSync('a', 'b', { durability: 'none' })
  db.table('last').putSync(longest, 'table')
  db.closeSync()
  await convert(FROM, TO, { environment, engine: 'log' })
  const made = openAny(environment, TO)
  assert.deepEqual([made.getSync(longest), made.table('last').getSync(longest)], ['root', 'table'])
  made.closeSync()
})

test('an empty store, and one that was not closed', async () => {
  const environment = newWorld()
  openSync(FROM, { environment, engine: 'log' }).closeSync()
  assert.equal((await convert(FROM, TO, { engine: 'btree', environment })).entries, 0)
  const disk = new SimulatedFiles()
  const db = openSync(FROM, { environment: simulatedEnvironment({ seed: 1, files: disk }) })
  for (let i = 0; i < 100; i++) db.putSync(`${i}`, 'x'.repeat(i))
  const files = disk.afterCrash()
  const later = simulatedEnvironment({ seed: 2, files })
  const before = folderImage(files, FROM)
  assert.equal(convertSync(FROM, TO, { engine: 'log', environment: later }).entries, 100)
  assert.deepEqual(folderImage(files, FROM), before)
})

test('what cannot be done is refused, and leaves nothing', async () => {
  const environment = newWorld()
  const code = async (options: object, from = FROM, to = TO): Promise<string> => {
    const given = { environment, ...options } as ConvertOptions
    let found = ''
    await assert.rejects(convert(from, to, given), (error: KvarkError) => {
      assert.ok(error instanceof KvarkError, String(error))
      found = error.code
      return true
    })
    assert.throws(() => convertSync(from, to, given), { code: found })
    assert.equal(environment.files.stat(TO).sync(), undefined)
    return found
  }
  assert.equal(await code({}), 'NOT_FOUND')
  await fill(environment, { encryption: key })
  const from = { encryption: key }
  assert.equal(await code({}), 'BAD_ENCRYPTION_KEY')
  // The secret of the new one alone: that is not what is missing.
  await assert.rejects(
    convert(FROM, '/to', { environment, encryption: key }),
    /with the option 'from\.encryption'/,
  )
  assert.equal(await code({ from: { encryption: other } }), 'BAD_ENCRYPTION_KEY')
  for (const options of [
    { engine: 'any' },
    { engine: 'none' },
    { compression: 'zip' },
    { engine: 'log', pageBytes: 4096 },
    { pageBytes: 1 },
    { keys: 'bytes' },
    { from: 'secret' },
    { progress: 1 },
  ]) {
    assert.equal(await code({ from, ...options }), 'INVALID_ARGUMENT')
  }
  assert.equal(await code({ from }, FROM, FROM), 'INVALID_ARGUMENT')
  assert.equal(await code({ from }, FROM, `${FROM}/inside`), 'INVALID_ARGUMENT')
  assert.equal(await code({ from }, ':memory:'), 'INVALID_ARGUMENT')
  const db = openSync(FROM, { environment, encryption: key })
  assert.equal(await code({ from }), 'LOCKED')
  db.putSync('k'.repeat(70_000), 'longer than a log takes')
  db.closeSync()
  assert.equal(await code({ from, engine: 'log' }), 'INVALID_KEY')
  const reason = new Error('enough')
  const abort = new AbortController()
  await assert.rejects(
    convert(FROM, TO, {
      from,
      environment,
      signal: abort.signal,
      progress: () => abort.abort(reason),
    }),
    reason,
  )
  assert.equal(environment.files.stat(TO).sync(), undefined)
})

test('a disk that is full: nothing is left of the new store, and the old one is as it was', async () => {
  for (const from of names) {
    for (const to of names) {
      if (from === to) continue
      const files = new SimulatedFiles()
      const environment = simulatedEnvironment({ seed: 1, files })
      const db = openAny(environment, FROM, { engine: from })
      for (let i = 0; i < 200; i++) {
        db.putSync(`${i}`, 'x'.repeat(10_000), { durability: 'none' })
      }
      db.closeSync()
      const sizes = files
        .list(FROM)
        .sync()
        .map((name) => files.stat(`${FROM}/${name}`).sync()!.size)
      files.capacityBytes = sizes.reduce((sum, size) => sum + size, 1024 * 1024)
      const before = folderImage(files, FROM)
      const options = { engine: to, environment } as const
      const full = { code: 'NO_SPACE', message: /so nothing was converted/ }
      await assert.rejects(convert(FROM, TO, options), full)
      assert.throws(() => convertSync(FROM, TO, options), full)
      assert.equal(files.stat(TO).sync(), undefined)
      assert.deepEqual(folderImage(files, FROM), before)
      openAny(environment, FROM).closeSync()
    }
  }
})

test('whenever a crash comes, the new store is whole or none', async () => {
  for (const [from, to] of [
    ['log', 'btree'],
    ['btree', 'log'],
  ] as const) {
    const disk = new SimulatedFiles()
    const first = simulatedEnvironment({ seed: 1, files: disk })
    const db = openAny(first, FROM, { engine: from })
    for (let i = 0; i < 50; i++) db.putSync(`${i}`, 'x'.repeat(200))
    db.table('t').putSync('a', 'b', { ttl: 1e9 })
    db.closeSync()
    const found = { none: 0, whole: 0 }
    for (let step = 1, finished = false; !finished; step += 7) {
      for (const mode of ['drop', 'subset'] as const) {
        const files = disk.afterCrash()
        let calls = 0
        files.failNext(() => (++calls >= step ? 'EIO' : undefined))
        const environment = simulatedEnvironment({ seed: step, files })
        try {
          if (step % 2 === 0) convertSync(FROM, TO, { engine: to, environment })
          else await convert(FROM, TO, { engine: to, environment })
          finished = true
        } catch (error) {
          assert.ok(error instanceof KvarkError, String(error))
        }
        const after = files.crash({ mode, random: new SeededRandom(step) })
        const later = simulatedEnvironment({ seed: 2, files: after })
        let copy: Any | undefined
        try {
          copy = openAny(later, TO, { engine: to, create: false })
        } catch (error) {
          assert.ok(['NOT_FOUND', 'CORRUPTION'].includes((error as KvarkError).code))
        }
        assert.ok(copy !== undefined || !finished, 'what was done is durable')
        found[copy === undefined ? 'none' : 'whole']++
        if (copy === undefined) continue
        assert.deepEqual([copy.countSync(), copy.table('t').getSync('a')], [50, 'b'])
        copy.closeSync()
      }
    }
    assert.ok(found.none > 10 && found.whole > 1, JSON.stringify(found))
  }
})

test('whenever the process dies, what there is of the new store says what it is', () => {
  const { files: disk } = simulatedEnvironment({ seed: 1 })
  const db = openAny(simulatedEnvironment({ seed: 1, files: disk }), FROM, { engine: 'btree' })
  db.putSync('a', 'b')
  db.closeSync()
  for (const to of names) {
    const files = disk.afterCrash()
    let looked = 0
    let looking = false
    files.failNext(() => {
      if (looking) return undefined
      looking = true
      const found = files.stat(TO).sync() === undefined ? [] : files.list(TO).sync()
      looking = false
      const isNamed = found.some((name) => ['KVARK', 'KVARK.unfinished.tmp'].includes(name))
      const isData = found.some((name) => /^(MANIFEST|TREE|\d+\.log)$/.test(name))
      assert.ok(!isData || isNamed, found.join())
      if (isData) looked++
      return undefined
    })
    convertSync(FROM, TO, { engine: to, environment: simulatedEnvironment({ seed: 1, files }) })
    assert.ok(looked > 10, `${looked}`)
  }
})
