import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import zlib from 'node:zlib'
import { MAX_BATCH_OPERATIONS, MAX_KEY_BYTES, MAX_VALUE_BYTES } from '../engines/btree/limits.ts'
import { type ErrorCode, KvarkError } from '../errors.ts'
import { describe, open, openSync } from '../store/open.ts'
import { runCommand, startCommand } from './command-line.ts'
import { assertAdvice } from './damage.ts'

const INDEX = new URL('../index.js', import.meta.url).href
/** The user nobody. */
const NOBODY = 65534

// Somebody else must be able to come here.
const folder = mkdtempSync(join(tmpdir(), 'kvark-bad-input-'))
chmodSync(folder, 0o755)
after(() => rmSync(folder, { recursive: true }))

let stores = 0
function freshPath(): string {
  stores++
  return join(folder, `store-${stores}`)
}

/** A store with one entry. */
async function freshStore(): Promise<string> {
  const path = freshPath()
  const db = await open(path)
  await db.put('a', 'kept')
  await db.close()
  return path
}

async function assertKept(path: string): Promise<void> {
  const db = await open(path, { create: false })
  assert.equal(db.getSync('a'), 'kept')
  assert.equal(await db.count(), 1)
  assert.deepEqual((await db.verify()).problems, [])
  await db.close()
}

/** What `act` is refused with: an error of this code, in a sentence that matches and says what to do. */
async function refused(code: ErrorCode, sentence: RegExp, act: () => unknown): Promise<KvarkError> {
  let error: unknown
  try {
    await act()
  } catch (thrown) {
    error = thrown
  }
  assert.ok(error instanceof KvarkError, `not refused: ${act.toString()}`)
  assert.equal(error.code, code, error.message)
  assert.match(error.message, sentence)
  assertAdvice(error)
  return error
}

test('keys and values that cannot be written leave no trace', async () => {
  const path = await freshStore()
  const db = await open(path)
  const bytes = { keys: 'bytes', values: 'bytes' } as const
  const raw = await open(':memory:', bytes)
  const any = db as unknown as { [verb: string]: (...args: unknown[]) => unknown }
  const long = 'k'.repeat(MAX_KEY_BYTES + 1)
  for (const verb of ['get', 'getSync', 'has', 'getEntry', 'delete', 'deleteSync']) {
    await refused('INVALID_KEY', /has 1048577 bytes; .* up to 1048576/, () => any[verb]!(long))
    await refused('INVALID_KEY', /well-formed string.*codec 'bytes'/, () => any[verb]!('a\uD800'))
    await refused('INVALID_KEY', /must be a string, not number/, () => any[verb]!(1))
  }
  for (const verb of ['put', 'putSync']) {
    await refused('INVALID_KEY', /up to 1048576/, () => any[verb]!(long, 'v'))
    await refused('INVALID_KEY', /lone surrogate/, () => any[verb]!('\uDC00', 'v'))
    await refused('INVALID_VALUE', /lone surrogate/, () => any[verb]!('k', 'v\uD800'))
    await refused('INVALID_VALUE', /not Uint8Array.*Convert it/, () =>
      any[verb]!('k', new Uint8Array(1)),
    )
    await refused('INVALID_VALUE', /not undefined/, () => any[verb]!('k'))
  }
  await refused('INVALID_KEY', /./, () => raw.put('text' as unknown as Uint8Array, Buffer.alloc(1)))
  const large = new Uint8Array(MAX_VALUE_BYTES + 1)
  await refused('INVALID_VALUE', /Store it in parts/, () => raw.put(Buffer.from('k'), large))
  for (const source of [1, null, undefined, 'text', {}]) {
    await refused('INVALID_ARGUMENT', /source must be an iterable of Uint8Array/, () =>
      any['putStream']!('k', source),
    )
  }
  await refused('INVALID_VALUE', /not string.*\[bytes\]/, () => any['putStream']!('k', ['text']))
  await refused('INVALID_VALUE', /not number.*\[bytes\]/, () => any['putStream']!('k', large))
  await refused('INVALID_VALUE', /Store it in parts/, () => any['putStream']!('k', [large]))
  await refused('INVALID_KEY', /up to 1048576/, () => any['putStream']!(long, []))
  await refused('INVALID_KEY', /up to 1048576/, () => any['getStream']!(long))
  const good = { type: 'put', key: 'b', value: '1' } as const
  await refused('INVALID_KEY', /up to/, () => db.batch([good, { ...good, key: long }]))
  await refused('INVALID_VALUE', /lone/, () => db.batch([good, { ...good, value: '\uD800' }]))
  await refused('INVALID_ARGUMENT', /in several batches/, () =>
    db.batch(new Array<typeof good>(MAX_BATCH_OPERATIONS + 1).fill(good)),
  )
  await raw.close()
  await db.close()
  await assertKept(path)
})

test('what only looks like keys, values or sources is refused as such', async () => {
  const path = await freshStore()
  const db = await open(path)
  const raw = await open(':memory:', { keys: 'bytes', values: 'bytes' })
  const any = db as unknown as { [verb: string]: (...args: unknown[]) => unknown }
  for (const verb of ['getMany', 'getManySync']) {
    await refused('INVALID_KEY', /not undefined/, () => any[verb]!(new Array(2)))
    await refused('INVALID_KEY', /not undefined/, () => any[verb]!(new Array(2 ** 32 - 1)))
  }
  const { proxy, revoke } = Proxy.revocable([], {})
  revoke()
  await refused('INVALID_KEY', /not object/, () => any['get']!(proxy))
  await refused('INVALID_ARGUMENT', /must be an iterable/, () =>
    any['putStream']!('k', { [Symbol.asyncIterator]: 1 }),
  )
  for (const name of ['engine', 'create', 'readOnly', 'cacheBytes', 'lockTimeoutMs']) {
    await refused('INVALID_ARGUMENT', /null/, () => open(freshPath(), { [name]: null }))
  }
  // So often that V8 compiles what asks for lengths, which then tells wrong ones.
  const shapes: readonly (() => Uint8Array)[] = [
    () => transferred(4),
    () => transferred(100_000),
    shrunk,
  ]
  for (let i = 0; i < 3000; i++) {
    const bytes = shapes[i % 3]!()
    await refused('INVALID_VALUE', /memory is gone/, () => raw.putSync(Buffer.from('k'), bytes))
    await refused('INVALID_KEY', /memory is gone/, () => raw.getSync(bytes))
    raw.putSync(new Uint8Array(new ArrayBuffer(3, { maxByteLength: 9 })), new Uint8Array(3))
  }
  await refused('INVALID_VALUE', /memory is gone/, () =>
    raw.putStream(Buffer.from('k'), [shrunk()]),
  )
  assert.equal(await raw.count(), 1)
  await raw.close()
  await db.close()
  await assertKept(path)
})

function transferred(length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
  return bytes
}

/** Its memory has become too short for it. */
function shrunk(): Uint8Array {
  const buffer = new ArrayBuffer(8, { maxByteLength: 8 })
  const bytes = new Uint8Array(buffer, 4, 4)
  ;(buffer as ArrayBuffer & { resize(length: number): void }).resize(2)
  return bytes
}

test('options that are unknown or wrong are refused with what was meant', async () => {
  const path = await freshStore()
  const db = await open(path)
  const wrong = (options: object): object => options
  await refused('INVALID_ARGUMENT', /'ifVersoin' \(did you mean 'ifVersion'\?\)/, () =>
    db.put('a', 'lost', wrong({ ifVersoin: 1 })),
  )
  await refused('INVALID_ARGUMENT', /did you mean 'durability'/, () =>
    db.delete('a', wrong({ durabilty: 'os' })),
  )
  await refused('INVALID_ARGUMENT', /'none', 'os' or 'disk', not 'disc'/, () =>
    db.put('a', 'lost', wrong({ durability: 'disc' })),
  )
  await refused('INVALID_ARGUMENT', /did you mean 'limit'/, () => db.entries(wrong({ limt: 1 })))
  await refused('INVALID_ARGUMENT', /did you mean 'checkpointBytes'/, () =>
    db.configure(wrong({ checkpointByts: 1 })),
  )
  await db.close()
  const opening = (options: object): (() => unknown) => {
    return () => openSync(path, options)
  }
  await refused('INVALID_ARGUMENT', /did you mean 'cacheBytes'/, opening({ cachebytes: 1 }))
  await refused(
    'INVALID_ARGUMENT',
    /did you mean 'log'\?.*Known: btree, log/,
    opening({ engine: 'lug' }),
  )
  await refused(
    'INVALID_ARGUMENT',
    /whole number of bytes from 32768/,
    opening({ engine: 'log', segmentBytes: 1 }),
  )
  await refused(
    'INVALID_ARGUMENT',
    /'btree' has no option 'segmentBytes'/,
    opening({ segmentBytes: 1 }),
  )
  await refused('INVALID_ARGUMENT', /4096, 8192, .* not 5000/, opening({ pageBytes: 5000 }))
  await refused('MISMATCH', /made with keys 'utf8', not 'tuple'/, opening({ keys: 'tuple' }))
  await refused('MISMATCH', /made with values 'utf8', not 'json'/, opening({ values: 'json' }))
  await assertKept(path)
})

test('wrong options of compression and encryption are refused, make nothing, and no secret is shown', async () => {
  const path = freshPath()
  const key = randomBytes(32)
  const passphrase = 'open sesame'
  const wrong: readonly [options: object, sentence: RegExp][] = [
    [{ compression: 'zip' }, /'compression' must be one of none, lz4, deflate, zstd, not 'zip'/],
    [{ compression: true }, /'compression' must be one of .*, not true/],
    [{ compression: null }, /'compression' must be one of .*, not null/],
    [{ encryption: { key, passphrase } }, /either a 'key' or a 'passphrase'/],
    [{ encryption: {} }, /either a 'key' or a 'passphrase'/],
    [{ encryption: { cipher: 'aes-256-gcm' } }, /either a 'key' or a 'passphrase'/],
    [{ encryption: { key: key.subarray(0, 15) } }, /a Uint8Array of at least 16 bytes/],
    [{ encryption: { key: key.toString('hex') } }, /a Uint8Array of at least 16 bytes/],
    [{ encryption: { key: [...key] } }, /a Uint8Array of at least 16 bytes/],
    [{ encryption: { passphrase: '' } }, /a string that is not empty/],
    [{ encryption: { passphrase: Buffer.from(passphrase) } }, /a string that is not empty/],
    [{ encryption: { key, cipher: 'aes-256-cbc' } }, /one of aes-128-gcm, aes-256-gcm, not/],
    [{ encryption: { password: passphrase } }, /no option 'password'.*Known: key, passphrase/],
    [{ encryption: { passphrse: passphrase } }, /did you mean 'passphrase'/],
    [{ encryption: passphrase }, /must be an object with a 'key' or a 'passphrase'/],
    [{ encryption: [passphrase] }, /must be an object/],
    [{ encryption: null }, /must be an object/],
    [{ encryption: key }, /must be an object/],
  ]
  for (const [options, sentence] of wrong) {
    for (const opening of [() => open(path, options), () => openSync(path, options)]) {
      const { message } = await refused('INVALID_ARGUMENT', sentence, opening)
      assert.doesNotMatch(message, /sesame/)
      assert.ok(!message.includes(key.toString('hex')))
    }
  }
  if (!('zstdCompressSync' in zlib)) {
    await refused('UNSUPPORTED', /needs Node 22\.15/, () => open(path, { compression: 'zstd' }))
  }
  assert.equal(existsSync(path), false)
})

test('a store is opened with the form that it has', async () => {
  const plain = await freshStore()
  const key = randomBytes(32)
  await refused('MISMATCH', /is not encrypted\. Open it without/, () =>
    open(plain, { encryption: { key } }),
  )
  await refused('MISMATCH', /with compression 'none', not 'lz4'/, () =>
    open(plain, { compression: 'lz4' }),
  )
  await assertKept(plain)

  const path = freshPath()
  const encryption = { key, cipher: 'aes-128-gcm' } as const
  const made = await open(path, { compression: 'deflate', encryption })
  await made.put('a', 'kept')
  await made.close()
  await refused('BAD_ENCRYPTION_KEY', /is encrypted\. Give its key or its passphrase/, () =>
    open(path),
  )
  await refused('BAD_ENCRYPTION_KEY', /does not open the store/, () =>
    open(path, { encryption: { key: randomBytes(32) } }),
  )
  await refused('BAD_ENCRYPTION_KEY', /with a key, not with a passphrase/, () =>
    open(path, { encryption: { passphrase: 'words' } }),
  )
  await refused('MISMATCH', /with cipher 'aes-128-gcm', not 'aes-256-gcm'/, () =>
    open(path, { encryption: { key, cipher: 'aes-256-gcm' } }),
  )
  await refused('MISMATCH', /with compression 'deflate', not 'none'/, () =>
    open(path, { encryption: { key }, compression: 'none' }),
  )
  const { compression, cipher } = await describe(path)
  assert.deepEqual([compression, cipher], ['deflate', 'aes-128-gcm'])
  const db = await open(path, { encryption: { key } })
  assert.equal(await db.get('a'), 'kept')
  await db.close()
})

test('a path that cannot be a store is refused, and what is there stays', async () => {
  const file = join(folder, 'file.txt')
  writeFileSync(file, 'mine')
  await refused('INVALID_ARGUMENT', /is not a folder.*another path/, () => open(file))
  const below = await refused('IO', /not a folder \(ENOTDIR\)/, () => open(join(file, 'below')))
  assert.equal(below.errno, 'ENOTDIR')
  assert.equal(readFileSync(file, 'utf8'), 'mine')
  const foreign = freshPath()
  mkdirSync(foreign)
  writeFileSync(join(foreign, 'photo.jpg'), 'mine')
  await refused('INVALID_ARGUMENT', /not of a store.*empty folder/, () => open(foreign))
  assert.deepEqual(readdirSync(foreign), ['photo.jpg'])
  const nowhere = freshPath()
  await refused('NOT_FOUND', /no store at/, () => open(nowhere, { create: false }))
  assert.equal(existsSync(nowhere), false)
})

/** Opens, writes and closes as a user who is not root; gives the last thing done and the error, if any. */
async function asNobody(
  path: string,
  options = {},
): Promise<{ done: string; code?: string; errno?: string; message?: string }> {
  const script = `
    import { open } from ${JSON.stringify(INDEX)}
    if (process.getuid() === 0) process.setuid(${NOBODY})
    let done = 'nothing'
    try {
      const db = await open(process.argv[1], ${JSON.stringify(options)})
      done = 'open'
      if (await db.get('a') !== 'kept') throw new Error('it is not there')
      await db.put('b', 'written')
      done = 'put'
      await db.close()
      done = 'closed'
      console.log(JSON.stringify({ done }))
    } catch ({ code, errno, message }) {
      console.log(JSON.stringify({ done, code, errno, message }))
    }`
  const { code, stdout, stderr } = await startCommand([path], script).result
  assert.equal(code, 0, stderr)
  return JSON.parse(stdout.toString())
}

/** Gives a store to the user nobody, where that is possible, with these modes. */
function give(path: string, folderMode: number, fileMode: number): void {
  for (const name of readdirSync(path)) {
    if (process.getuid!() === 0) chownSync(join(path, name), NOBODY, NOBODY)
    chmodSync(join(path, name), fileMode)
  }
  if (process.getuid!() === 0) chownSync(path, NOBODY, NOBODY)
  chmodSync(path, folderMode)
}

test('without permission: IO that says whose and what to give, and nothing changes', {
  skip: process.platform === 'win32',
}, async () => {
  for (const [folderMode, fileMode] of [
    [0o000, 0o600],
    [0o700, 0o400],
    [0o700, 0o000],
  ] as const) {
    const path = await freshStore()
    give(path, folderMode, fileMode)
    const { done, code, errno, message } = await asNobody(path)
    assert.deepEqual([done, code, errno], ['nothing', 'IO', 'EACCES'], `${folderMode} ${fileMode}`)
    assert.match(message!, /lacks the permission.*Give that user read and write access/)
    give(path, 0o700, 0o600)
    await assertKept(path)
  }
  const parent = freshPath()
  mkdirSync(parent, { mode: 0o555 })
  give(parent, 0o555, 0o600)
  const { done, code, errno } = await asNobody(join(parent, 'new'))
  assert.deepEqual([done, code, errno], ['nothing', 'IO', 'EACCES'])
  assert.deepEqual(readdirSync(parent), [])
})

test('in a read-only folder: what was acknowledged is there, the rest is refused', {
  skip: process.platform === 'win32',
}, async () => {
  const path = await freshStore()
  give(path, 0o500, 0o600)
  const { done, code, errno, message } = await asNobody(path)
  assert.notEqual(done, 'closed')
  assert.deepEqual([code, errno], ['IO', 'EACCES'], message)
  assert.match(message!, /lacks the permission/)
  give(path, 0o700, 0o600)
  const db = await open(path)
  assert.equal(db.getSync('a'), 'kept')
  assert.equal(db.getSync('b'), done === 'put' ? 'written' : undefined)
  assert.deepEqual((await db.verify()).problems, [])
  await db.close()
})

test('a store that may not be written can be read, also after a crash, with a lock or without', {
  skip: process.platform === 'win32',
}, async () => {
  for (const leave of ['close', 'kill'] as const) {
    const path = await freshStore()
    const script = `
      import { open } from ${JSON.stringify(INDEX)}
      const db = await open(process.argv[1])
      await db.put('a', 'kept')
      ${leave === 'kill' ? 'process.kill(process.pid, "SIGKILL")' : 'await db.close()'}`
    await startCommand([path], script).result
    for (const lock of [true, false]) {
      if (!lock) rmSync(join(path, 'LOCK'))
      give(path, 0o500, 0o400)
      const before = readdirSync(path)
      const { done, code, message } = await asNobody(path, { readOnly: true })
      assert.deepEqual([done, code], ['open', 'READ_ONLY'], message)
      assert.deepEqual(readdirSync(path), before)
      give(path, 0o700, 0o600)
    }
    await assertKept(path)
  }
})

test('the command line says all this in one line, with the exit code of its kind', async () => {
  const good = await freshStore()
  const log = freshPath()
  const db = await open(log, { engine: 'log' })
  await db.put('a', 'kept')
  await db.close()
  const damaged = (store: string, name: string): string => {
    const path = freshPath()
    cpSync(store, path, { recursive: true })
    writeFileSync(join(path, name), 'not of kvark')
    return path
  }
  const segment = readdirSync(log).find((name) => name.endsWith('.log'))!
  const file = join(folder, 'file.txt')
  writeFileSync(file, 'mine')
  const long = 'k'.repeat(MAX_KEY_BYTES + 1)
  const cases: [exit: number, sentence: RegExp, argv: string[]][] = [
    [3, /KVARK.*Restore.*kvark repair/, ['get', 'a', '--data-dir', damaged(good, 'KVARK')]],
    [3, /TREE.*Restore.*kvark repair/, ['set', 'a', 'b', '--data-dir', damaged(good, 'TREE')]],
    [3, /TREE/, ['verify', '--data-dir', damaged(good, 'TREE')]],
    [3, /MANIFEST.*Restore.*kvark repair/, ['get', 'a', '--data-dir', damaged(log, 'MANIFEST')]],
    [
      3,
      new RegExp(`${segment}.*Restore.*kvark repair`),
      ['set', 'a', 'b', '--data-dir', damaged(log, segment)],
    ],
    [3, new RegExp(segment), ['verify', '--data-dir', damaged(log, segment)]],
    [2, /not a folder/, ['set', 'a', 'b', '--data-dir', file]],
    [2, /up to 1048576/, ['get', long, '--data-dir', good]],
    [2, /up to 1048576/, ['set', long, 'v', '--data-dir', good]],
    [2, /'--limt'.*--limit/, ['scan', '--limt', '1', '--data-dir', good]],
    [1, /There is no store in .*makes one/, ['get', 'a', '--data-dir', freshPath()]],
  ]
  for (const [exit, sentence, argv] of cases) {
    const { code, stdout, stderr } = await runCommand([...argv, '--quiet'])
    const hint = `${argv[0]} ${argv.at(-1)}: ${stderr}`
    assert.equal(code, exit, hint)
    assert.equal(stdout.length, 0, hint)
    assert.match(stderr, /^kvark: [^\n]+\n$/)
    assert.match(stderr, sentence)
    assert.doesNotMatch(stderr, /\.[jt]s:\d+/, 'no stack')
  }
  await assertKept(good)
})
