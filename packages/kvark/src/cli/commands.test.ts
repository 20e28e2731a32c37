import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, test } from 'node:test'
import { type Inspection, type KvarkError, open } from '../index.ts'
import {
  type CommandOptions,
  type CommandResult,
  KVARK_BIN,
  runCommand,
} from '../testing/command-line.ts'
import { Interrupted } from './errors.ts'

const folder = mkdtempSync(join(tmpdir(), 'kvark-cli-'))
after(() => rmSync(folder, { recursive: true }))

let stores = 0
/** The path of a store that is not there yet. */
function freshStore(): string {
  stores++
  return join(folder, `store-${stores}`)
}

/** Runs a command on a store. */
function kvark(
  store: string,
  argv: readonly string[],
  options?: CommandOptions,
): Promise<CommandResult> {
  return runCommand(['--data-dir', store, ...argv], options)
}

/** Runs a command that is to succeed, and gives what it printed. */
async function output(store: string, ...argv: string[]): Promise<string> {
  const { code, stdout, stderr } = await kvark(store, argv)
  assert.equal(code, 0, stderr)
  return stdout.toString()
}

/** Runs a command that is to fail with `code`, saying one line, and gives that line. */
async function failure(code: number, store: string, ...argv: string[]): Promise<string> {
  return failed(code, await kvark(store, [...argv, '--quiet']))
}

function failed(code: number, result: CommandResult): string {
  assert.equal(result.code, code, result.stderr)
  assert.match(result.stderr, /^kvark: [^\n]+\n$/)
  return result.stderr
}

function json(text: string): unknown {
  return JSON.parse(text)
}

/** Changes one byte of a store: at the first place where the files hold `text`, or so far behind it. */
function damage(store: string, text: string, behind = 0): void {
  for (const name of readdirSync(store)) {
    const file = join(store, name)
    const bytes = readFileSync(file)
    const at = bytes.indexOf(text)
    if (at < 0) continue
    bytes[at + behind]! ^= 1
    writeFileSync(file, bytes)
    return
  }
  assert.fail(`no file of ${store} holds ${text}`)
}

test('set, get, has, rm and their aliases', async () => {
  const store = freshStore()
  const made = await kvark(store, ['set', 'user:1', 'Alice'])
  assert.deepEqual([made.code, made.stdout.length], [0, 0])
  assert.match(made.stderr, /^Made a new store in .*store-.* \(engine btree\)\.\n$/)
  assert.equal((await kvark(store, ['put', 'user:2', ''])).stderr, '')

  assert.equal(await output(store, 'get', 'user:1'), 'Alice\n')
  assert.equal(await output(store, 'get', 'user:2'), '\n')
  assert.equal(await output(store, 'get', 'user:1', '--raw'), 'Alice')
  assert.equal(await output(store, 'has', 'user:1'), 'true\n')
  assert.equal(await output(store, 'count'), '2\n')

  assert.equal(await output(store, 'rm', 'user:1'), '')
  assert.equal(await output(store, 'del', 'user:2'), '')
  const gone = await kvark(store, ['has', 'user:1'])
  assert.deepEqual([gone.code, gone.stdout.toString(), gone.stderr], [1, 'false\n', ''])
  assert.match(await failure(1, store, 'get', 'user:1'), /no key "user:1"/)
  assert.match(await failure(1, store, 'delete', 'user:1'), /no key "user:1"/)
})

test('--table: every command of entries works on a table, with its codecs', async () => {
  const store = freshStore()
  await output(store, 'set', 'a', 'root')
  const users = ['--table', 'users']
  await output(store, 'set', '["x",1]', '{"n":1}', ...users, '--keys', 'tuple', '--values', 'json')
  await output(store, 'set', 'a', 'other', '--table', 'names')
  assert.equal(await output(store, 'tables'), 'users\ttuple\tjson\nnames\tutf8\tutf8\n')
  assert.deepEqual((await output(store, 'tables', '--json')).trim().split('\n').map(json), [
    { name: 'users', keys: 'tuple', values: 'json' },
    { name: 'names', keys: 'utf8', values: 'utf8' },
  ])
  assert.equal(await output(store, 'get', 'a'), 'root\n')
  assert.equal(await output(store, 'get', 'a', '--table', 'names'), 'other\n')
  assert.equal(await output(store, 'get', '["x",1]', ...users), '{"n":1}\n')
  assert.equal(await output(store, 'has', '["x",1]', ...users), 'true\n')
  assert.equal(await output(store, 'scan', ...users), '["x",1]\t{"n":1}\n')
  assert.equal(await output(store, 'count', ...users), '1\n')
  const lines = join(folder, 'users.ndjson')
  const exported = await kvark(store, ['export', lines, ...users])
  assert.equal(exported.stderr, `Exported 1 entry to ${lines}.\n`)
  const ofRoot = await kvark(store, ['export'])
  assert.equal(ofRoot.stdout.toString(), '{"key":"a","value":"root"}\n')
  assert.match(ofRoot.stderr, /^This is the root only: .* 2 tables .*`kvark dump --json`/)
  await output(store, 'import', lines, '--table', 'copy', '--keys', 'tuple', '--values', 'json')
  assert.equal(await output(store, 'scan', '--table', 'copy'), '["x",1]\t{"n":1}\n')
  await output(store, 'rm', '["x",1]', ...users)
  assert.match(await failure(1, store, 'get', '["x",1]', ...users), /in the table "users"/)
  assert.match(await failure(1, store, 'scan', '--table', 'none'), /no table "none"/)
  assert.match(
    await failure(2, store, 'set', 'a', 'b', ...users, '--keys', 'utf8'),
    /The table was made with --keys tuple, not utf8/,
  )
  assert.equal(await output(store, 'count'), '1\n')
})

test('--json prints one object a line', async () => {
  const store = freshStore()
  assert.deepEqual(json(await output(store, 'set', 'a', '1', '--json')), { key: 'a', version: 1 })
  assert.deepEqual(json(await output(store, 'set', 'b', '2', '--json')), { key: 'b', version: 2 })
  assert.deepEqual(json(await output(store, 'get', 'a', '--json')), {
    key: 'a',
    value: '1',
    version: 1,
  })
  assert.deepEqual(json(await output(store, 'has', 'a', '--json')), { key: 'a', has: true })
  assert.deepEqual(json(await output(store, 'count', '--json')), { count: 2 })
  const lines = (await output(store, 'scan', '--json')).trimEnd().split('\n').map(json)
  assert.deepEqual(
    lines.toSorted((x, y) => JSON.stringify(x).localeCompare(JSON.stringify(y))),
    [
      { key: 'a', value: '1' },
      { key: 'b', value: '2' },
    ],
  )
  assert.deepEqual(json(await output(store, 'rm', 'a', '--json')), { key: 'a', version: 3 })
  assert.deepEqual(json(await output(store, 'scan', '--json', '--keys-only')), { key: 'b' })
  assert.deepEqual(json(await output(store, 'scan', '--json', '--values-only')), { value: '2' })
})

test('--json prints errors as JSON too', async () => {
  const store = freshStore()
  const missing = await kvark(store, ['get', 'a', '--json'])
  assert.equal(missing.code, 1)
  assert.deepEqual((json(missing.stderr) as { error: KvarkError }).error.code, 'NOT_FOUND')
  const usage = await kvark(store, ['gte', '--json'])
  assert.equal(usage.code, 2)
  assert.equal((json(usage.stderr) as { error: KvarkError }).error.code, 'INVALID_ARGUMENT')
})

test('scan prints key, tab, value; keys or values only; up to a limit', async () => {
  const store = freshStore()
  for (const key of ['a', 'b', 'c']) await output(store, 'set', key, key.toUpperCase())
  const entries = (await output(store, 'scan')).split('\n')
  assert.deepEqual(entries.toSorted(), ['', 'a\tA', 'b\tB', 'c\tC'])
  assert.equal((await output(store, 'scan', '--limit', '2')).split('\n').length, 3)
  assert.deepEqual((await output(store, 'scan', '--keys-only')).split('\n').toSorted(), [
    '',
    'a',
    'b',
    'c',
  ])
  assert.deepEqual((await output(store, 'scan', '--values-only')).split('\n').toSorted(), [
    '',
    'A',
    'B',
    'C',
  ])
  assert.equal(await output(store, 'count', '--limit', '2'), '2\n')
  assert.equal(await output(store, 'scan', '--limit', '0'), '')
})

test('scan, count and export of a range', async () => {
  const store = freshStore()
  for (const key of ['b', 'a:2', 'c', 'a:1', 'a']) await output(store, 'set', key, key)
  const scanned = async (...range: string[]): Promise<string> =>
    (await output(store, 'scan', '--keys-only', ...range)).trimEnd().replaceAll('\n', ' ')
  assert.equal(await scanned(), 'a a:1 a:2 b c')
  assert.equal(await scanned('--prefix', 'a:'), 'a:1 a:2')
  assert.equal(await scanned('--gt', 'a', '--lte', 'b'), 'a:1 a:2 b')
  assert.equal(await scanned('--gte', 'a:2', '--lt', 'c'), 'a:2 b')
  assert.equal(await scanned('--reverse', '--limit', '2'), 'c b')
  assert.equal(await output(store, 'count', '--prefix', 'a'), '3\n')
  assert.equal(await output(store, 'export', '--gt', 'b'), '{"key":"c","value":"c"}\n')
  assert.match(
    await failure(2, store, 'scan', '--gt', 'a', '--gte', 'a'),
    /--gte <key>' cannot be used with option '--gt <key>'/,
  )
})

test('a range of a store without order is refused, and the engines that have it are named', async () => {
  const store = freshStore()
  await output(store, 'set', 'a', '1', '--engine', 'log')
  for (const range of [['--prefix', 'a'], ['--gt', 'a'], ['--lte', 'a'], ['--reverse']]) {
    for (const command of ['scan', 'count', 'export']) {
      assert.match(await failure(2, store, command, ...range), /'log' has no ranges .*: btree/)
    }
  }
})

test('without --engine a command opens what is there', async () => {
  const store = freshStore()
  const made = await kvark(store, ['set', 'a', '1', '--engine', 'log'])
  assert.match(made.stderr, /\(engine log\)\.\n$/)
  assert.equal((await kvark(store, ['set', 'a', '2'])).stderr, '')
  assert.equal(await output(store, 'get', 'a', '--engine', 'log'), '2\n')
  assert.match(await failure(2, store, 'get', 'a', '--engine', 'btree'), /with engine 'log', not/)
})

test('a terminal gets no control characters from the store', async () => {
  const store = freshStore()
  await kvark(store, ['set', 'k\n', '-'], { stdin: 'a\n\u001b[2J' })
  const shown = await kvark(store, ['get', 'k\n'], { terminal: true })
  assert.equal(shown.stdout.toString(), 'a\n\\x1b[2J\n')
  const scanned = await kvark(store, ['scan'], { terminal: true })
  assert.equal(scanned.stdout.toString(), 'k\\x0a\ta\\x0a\\x1b[2J\n')
  assert.equal(await output(store, 'get', 'k\n', '--raw'), 'a\n\u001b[2J')
})

test('values come from stdin, from files, and from arguments that begin with @', async () => {
  const store = freshStore()
  const file = join(folder, 'value.txt')
  writeFileSync(file, 'from a file\n')
  await kvark(store, ['set', 'stdin', '-'], { stdin: 'from stdin\n' })
  await output(store, 'set', 'file', `@${file}`)
  await output(store, 'set', 'literal', '@@home')
  assert.equal(await output(store, 'get', 'stdin', '--raw'), 'from stdin\n')
  assert.equal(await output(store, 'get', 'file', '--raw'), 'from a file\n')
  assert.equal(await output(store, 'get', 'literal', '--raw'), '@home')
  assert.match(
    await failure(3, store, 'set', 'a', '@/nowhere'),
    /Cannot read \/nowhere: there is no such file/,
  )
  assert.match(await failure(3, store, 'set', 'a', `@${folder}`), /it is a folder/)
  await failure(2, store, 'set', 'a', '@')
})

test('keys and values that begin with a dash stand behind --', async () => {
  const store = freshStore()
  await output(store, 'set', '--', '--json', '-v')
  assert.equal(await output(store, 'get', '--', '--json'), '-v\n')
})

test('options stand before or after the command', async () => {
  const store = freshStore()
  await output(store, 'set', 'a', '1')
  assert.deepEqual((await runCommand(['get', 'a', '--data-dir', store])).stdout.toString(), '1\n')
  assert.deepEqual(
    (await runCommand(['--json', '--data-dir', store, 'count'])).stdout.toString(),
    '{"count":1}\n',
  )
})

test('any bytes survive set and get', async () => {
  const store = freshStore()
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  const set = await kvark(
    store,
    ['set', 'AP8=', '-', '--encoding', 'base64', '--keys', 'bytes', '--values', 'bytes'],
    {
      stdin: bytes,
    },
  )
  assert.equal(set.code, 0, set.stderr)
  const get = ['get', '00ff', '--encoding', 'hex']
  assert.deepEqual((await kvark(store, [...get, '--raw'])).stdout, bytes)
  assert.equal(await output(store, ...get), `${bytes.toString('hex')}\n`)
  const file = join(folder, 'bytes.bin')
  assert.equal(await output(store, ...get, '--output', file), '')
  assert.deepEqual(readFileSync(file), bytes)
  assert.deepEqual(json(await output(store, 'get', 'AP8', '--encoding', 'base64', '--json')), {
    key: 'AP8=',
    value: bytes.toString('base64'),
    version: 1,
  })
})

test('what the codec of the store could not read is not written', async () => {
  const store = freshStore()
  const refused = await kvark(store, ['set', 'a', 'ff', '--encoding', 'hex'])
  assert.equal(refused.code, 2)
  assert.ok(!existsSync(store), 'a refused value makes no store')
  await output(store, 'set', 'a', 'text')
  assert.match(await failure(2, store, 'set', '61', 'ff', '--encoding', 'hex'), /--values bytes/)
  assert.match(await failure(2, store, 'set', 'ff', '61', '--encoding', 'hex'), /--keys bytes/)
  const db = await open(store)
  assert.equal(await db.get('a'), 'text')
  await db.close()
})

test('stores of JSON values and tuple keys', async () => {
  const store = freshStore()
  const key = '["user",42,{"bigint":"7"}]'
  await output(store, 'set', key, '{"name":"Alice"}', '--keys', 'tuple', '--values', 'json')
  await failure(2, store, 'set', 'user', '{}')
  await failure(2, store, 'set', '["user"]', 'Alice')
  const db = await open(store, { keys: 'tuple', values: 'json' })
  assert.deepEqual(await db.get(['user', 42, 7n]), { name: 'Alice' })
  await db.put(['user', 43], ['Bob'])
  await db.close()
  assert.equal(await output(store, 'get', '["user", 43]'), '["Bob"]\n')
  const copy = freshStore()
  const lines = await output(store, 'export')
  const imported = await kvark(copy, ['import', '--keys', 'tuple', '--values', 'json'], {
    stdin: lines,
  })
  assert.equal(imported.code, 0, imported.stderr)
  assert.equal(await output(copy, 'get', key), '{"name":"Alice"}\n')
})

test("a store of a user's own codec is read as bytes, and written when the codec is named", async () => {
  const store = freshStore()
  const codec = {
    name: 'example-reversed',
    encode: (text: string) => Buffer.from(text).reverse(),
    decode: (bytes: Uint8Array) => Buffer.from(bytes).reverse().toString(),
  }
  const db = await open(store, { values: codec })
  await db.put('a', 'abc')
  await db.close()
  assert.equal(await output(store, 'get', 'a'), 'cba\n')
  assert.match(await failure(2, store, 'set', 'b', 'x'), /--values example-reversed/)
  await output(store, 'set', 'b', 'x', '--values', 'example-reversed')
  assert.equal(await output(store, 'get', 'b'), 'x\n')
})

test('conditions: --if-absent and --if-version', async () => {
  const store = freshStore()
  await output(store, 'set', 'a', '1', '--if-absent')
  await failure(1, store, 'set', 'a', '2', '--if-absent')
  await failure(1, store, 'set', 'a', '2', '--if-version', '7')
  await failure(1, store, 'rm', 'a', '--if-version', '7')
  const both = await failure(2, store, 'set', 'a', '2', '--if-absent', '--if-version', '1')
  assert.match(both, /--if-absent' cannot be used with option '--if-version <n>'/)
  assert.equal(await output(store, 'get', 'a'), '1\n')
  await output(store, 'set', 'a', '2', '--if-version', '1', '--durability', 'os')
  await output(store, 'rm', 'a', '--if-version', '2')
})

test('a store in memory, which would be gone, is refused', async () => {
  assert.match(await failure(2, ':memory:', 'set', 'a', '1'), /Give the path of a folder/)
  assert.match(await failure(2, ':memory:', 'get', 'a'), /Give the path of a folder/)
})

test('reading never makes a store', async () => {
  const store = freshStore()
  for (const argv of [
    ['get', 'a'],
    ['has', 'a'],
    ['rm', 'a'],
    ['scan'],
    ['count'],
    ['export'],
    ['stats'],
    ['verify'],
    ['compact'],
    ['inspect'],
  ]) {
    const line = await failure(1, store, ...argv)
    assert.ok(line.includes(store) && line.includes('kvark set'), line)
  }
  assert.ok(!existsSync(store))
})

test('wrong usage ends with 2 and one line', async () => {
  const store = freshStore()
  assert.match(await failure(2, store, 'gte', 'a'), /Unknown command 'gte'; did you mean get\?/)
  assert.match(await failure(2, store, 'help', 'gte'), /no command 'gte'/)
  assert.match(await failure(2, store, 'get'), /Missing required argument 'key'/)
  assert.match(await failure(2, store, 'get', 'a', 'b'), /Too many arguments/)
  assert.match(await failure(2, store, 'get', 'a', '--colour'), /Unknown option '--colour'/)
  assert.match(await failure(2, store, 'scan', '--limit', '-1'), /whole number/)
  assert.match(
    await failure(2, store, 'scan', '--keys-only', '--values-only'),
    /cannot be used with/,
  )
  assert.match(await failure(2, store, 'get', 'a', '--encoding', 'utf16'), /utf8, hex, base64/)
  assert.match(await failure(2, store, 'set', 'a', 'b', '--engine', 'nosuch'), /no engine 'nosuch'/)
  assert.match(await failure(2, store, 'set', 'a', 'b', '--values', 'jsn'), /utf8, bytes, json/)
  assert.ok(!existsSync(store))
  await output(store, 'set', 'a', 'b')
  assert.match(
    await failure(2, store, 'set', 'a', 'b', '--values', 'json'),
    /was made with --values utf8/,
  )
})

test('help and version', async () => {
  const bare = await runCommand([])
  assert.equal(bare.code, 2)
  assert.equal(bare.stdout.length, 0)
  const help = await runCommand(['--help'])
  assert.equal(help.code, 0)
  assert.equal(help.stdout.toString(), bare.stderr)
  for (const { name } of [...help.stdout.toString().matchAll(/^ {2}(?<name>[a-z]+)[ |]/gm)].map(
    (m) => m.groups!,
  )) {
    const one = await runCommand(['help', name!])
    assert.match(one.stdout.toString(), new RegExp(`^Usage: kvark ${name}`), name)
    assert.match(one.stdout.toString(), /\nExamples:\n {2}\$ /, name)
  }
  assert.match((await runCommand(['--version'])).stdout.toString(), /^\d+\.\d+\.\d+\n$/)
})

test('colour: only on a terminal, and as asked for', async () => {
  const style = '\u001b['
  const error = async (argv: string[], options: CommandOptions): Promise<string> =>
    (await runCommand(['nosuch', ...argv], options)).stderr
  assert.ok((await error([], { terminal: true })).includes(style))
  assert.ok(!(await error([], {})).includes(style))
  assert.ok(!(await error(['--no-color'], { terminal: true })).includes(style))
  assert.ok(!(await error([], { terminal: true, env: { NO_COLOR: '1' } })).includes(style))
  assert.ok(!(await error([], { terminal: true, env: { TERM: 'dumb' } })).includes(style))
  assert.ok((await error([], { env: { FORCE_COLOR: '1' } })).includes(style))
})

test('a stack is shown only with KVARK_DEBUG', async () => {
  const { stderr } = await runCommand(['nosuch'], { env: { KVARK_DEBUG: '1' } })
  assert.match(stderr, /\n {4}at /)
})

test('export and import: any bytes, any number', async () => {
  const from = freshStore()
  const db = await open(from, { keys: 'bytes', values: 'bytes' })
  const expected = new Map<string, Buffer>()
  for (let i = 0; i < 2500; i++) {
    const key = Buffer.from([i >> 8, i, 0xff])
    const value = i % 2 === 0 ? Buffer.from(`text ${i} \u2028\n"`) : Buffer.from([0xff, i, 0])
    expected.set(key.toString('hex'), value)
    await db.put(key, value, { durability: 'none' })
  }
  await db.close()

  const file = join(folder, 'all.ndjson')
  const exported = await kvark(from, ['export', file])
  assert.equal(exported.stderr, `Exported 2,500 entries to ${file}.\n`)
  assert.equal(await output(from, 'export'), readFileSync(file, 'utf8'))
  assert.equal((await output(from, 'export', '--limit', '3')).split('\n').length, 4)

  const to = freshStore()
  const imported = await kvark(to, [
    'import',
    file,
    '--keys',
    'bytes',
    '--values',
    'bytes',
    '--json',
  ])
  assert.deepEqual([imported.code, imported.stdout.toString()], [0, '{"imported":2500}\n'])
  const copy = await open(to, { keys: 'bytes', values: 'bytes' })
  let found = 0
  for await (const [key, value] of copy.entries()) {
    assert.deepEqual(Buffer.from(value), expected.get(Buffer.from(key).toString('hex')))
    found++
  }
  await copy.close()
  assert.equal(found, expected.size)
})

test('a value that is longer than a batch goes in from a file, and out as its bytes', async () => {
  const store = freshStore()
  const file = join(folder, 'long')
  const copy = join(folder, 'long copy')
  writeFileSync(file, 'begin')
  truncateSync(file, 2 ** 28 + 1)
  appendFileSync(file, 'end')
  const small = ['--values', 'bytes', '--compression', 'lz4']
  await output(store, 'set', 'a', `@${file}`, ...small, '--if-absent')
  assert.match(await failure(1, store, 'set', 'a', `@${file}`, '--if-absent'), /to be absent/)
  await output(store, 'get', 'a', '--output', copy)
  assert.ok(readFileSync(copy).equals(readFileSync(file)))
  const { code, stdout } = await kvark(store, ['get', 'a', '--raw'])
  assert.ok(code === 0 && stdout.equals(readFileSync(file)))
  assert.match(await failure(3, store, 'get', 'a'), /`kvark get KEY --raw` prints it\./)
  assert.match(await failure(1, store, 'get', 'b', '--raw'), /There is no key "b"/)
  rmSync(file)
  rmSync(copy)
})

test('an export replaces its file only when it is complete', async () => {
  const store = freshStore()
  await output(store, 'set', 'a', '1')
  const exports = join(folder, 'exports')
  const file = join(exports, 'a.ndjson')
  assert.match(await failure(3, store, 'export', file), /there is no such folder/)
  assert.match(await failure(3, store, 'export', folder), /it is a folder/)
  const target = join(folder, 'target.ndjson')
  writeFileSync(target, 'old')
  await output(store, 'export', target)
  assert.equal(readFileSync(target, 'utf8'), '{"key":"a","value":"1"}\n')
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.endsWith('.tmp')),
    [],
  )
  await failure(2, store, 'export', target, '--limit', 'x')
  assert.equal(readFileSync(target, 'utf8'), '{"key":"a","value":"1"}\n')
})

test('a file that is replaced keeps its permissions', {
  skip: process.platform === 'win32',
}, async () => {
  const store = freshStore()
  await output(store, 'set', 'a', 'secret')
  const file = join(folder, 'own')
  for (const mode of [0o600, 0o664]) {
    writeFileSync(file, 'old')
    chmodSync(file, mode)
    await output(store, 'get', 'a', '--output', file)
    assert.equal(readFileSync(file, 'utf8'), 'secret')
    assert.equal(statSync(file).mode & 0o777, mode)
  }
})

test('what is no regular file is written, not replaced', {
  skip: process.platform === 'win32',
}, async () => {
  const store = freshStore()
  await output(store, 'set', 'a', '1')
  await output(store, 'get', 'a', '--output', '/dev/null')
  assert.ok(statSync('/dev/null').isCharacterDevice())
})

test('a refused line ends an import; all lines before it are stored and none after it', async () => {
  const good = '{"key":"a","value":"1"}\n\n{"key":"b","value":"2","version":7}\n'
  const longKey = 'k'.repeat(2 ** 20 + 1)
  const bad: [line: string, why: RegExp][] = [
    ['nonsense', /Line 4: it is not JSON/],
    ['7', /Line 4: it is not an object/],
    ['[]', /Line 4: it is not an object/],
    ['{"key":"c"}', /Line 4: it is not an object/],
    ['{"key":"c","value":1}', /Line 4: The value must be a string/],
    ['{"key":"c","value":"1","ttl":5}', /Line 4: import does not know its member "ttl"/],
    ['{"key":"c","value":{"base64":"/w=="}}', /Line 4: .* not UTF-8/],
    ['{"key":"\\ud800","value":""}', /Line 4: .*surrogate/],
    [`{"key":"${longKey}","value":""}`, /Line 4: .*key/],
  ]
  for (const [line, why] of bad) {
    const store = freshStore()
    const stdin = `${good}${line}\n{"key":"z","value":"3"}\n`
    const message = failed(2, await kvark(store, ['import', '--quiet'], { stdin }))
    assert.match(message, why)
    assert.match(message, /2 entries were stored before\.\n$/)
    assert.deepEqual((await output(store, 'scan', '--keys-only')).split('\n').toSorted(), [
      '',
      'a',
      'b',
    ])
  }
  const store = freshStore()
  const stdin = Buffer.concat([
    Buffer.from('{"key":"'),
    Buffer.from([0xff]),
    Buffer.from('","value":""}'),
  ])
  assert.match(
    failed(2, await kvark(store, ['import', '--quiet'], { stdin })),
    /Line 1: it is not UTF-8/,
  )
})

test('an import that cannot read its file makes no store', async () => {
  const store = freshStore()
  assert.match(await failure(3, store, 'import', join(folder, 'nosuch')), /there is no such file/)
  assert.ok(!existsSync(store))
})

test('an interrupted import keeps what it has stored', async () => {
  const store = freshStore()
  const controller = new AbortController()
  async function* input(): AsyncGenerator<Buffer> {
    for (let i = 0; ; i++) {
      if (i === 2500) controller.abort(new Interrupted('SIGINT'))
      yield Buffer.from(`{"key":"${i}","value":""}\n`)
    }
  }
  const options = { stdin: Readable.from(input()), signal: controller.signal }
  const message = failed(130, await kvark(store, ['import', '--quiet'], options))
  assert.match(message, /Interrupted\. 2,000 entries were stored before\./)
  assert.equal(await output(store, 'count'), '2000\n')
})

test('who was interrupted before stdin is looked at does not wait for it', async () => {
  const signal = AbortSignal.abort(new Interrupted('SIGINT'))
  for (const argv of [['set', 'a', '-'], ['import'], ['repl']]) {
    let asked = false
    const stdin = new Readable({
      read() {
        asked = true
        this.push(null)
      },
    })
    const message = failed(130, await kvark(freshStore(), argv, { stdin, signal }))
    assert.deepEqual([message, asked], ['kvark: Interrupted.\n', false], argv.join(' '))
  }
})

test('an import that the disk fails does not call stored what may be lost with it', async (t) => {
  if (!existsSync('/bin/sh')) return t.skip('there is no shell that limits the length of files')
  const store = freshStore()
  const lines = Array.from(
    { length: 12_000 },
    (_, i) => `{"key":"${i}","value":"${'v'.repeat(99)}"}`,
  )
  const script = 'ulimit -f 500 && exec "$0" "$@"'
  const argv = [KVARK_BIN, 'import', '--quiet', '--data-dir', store]
  const child = spawnSync('/bin/sh', ['-c', script, process.execPath, ...argv], {
    input: lines.join('\n'),
  })
  const message = child.stderr.toString()
  assert.equal(child.status, 3, message)
  const told = /EFBIG.* (\d+),000 entries were stored before, but some or all of them may be lost/
  assert.ok(Number(told.exec(message)?.[1]) > 0, message)
  assert.equal(await output(store, 'count'), '0\n')
})

test('a terminal sees a bar during an import', async () => {
  const store = freshStore()
  const file = join(folder, 'bar.ndjson')
  writeFileSync(
    file,
    Array.from({ length: 1500 }, (_, i) => `{"key":"${i}","value":""}\n`).join(''),
  )
  const watched = await kvark(store, ['import', file], { terminal: true })
  assert.match(watched.stderr, /Importing .*%/)
  assert.match(watched.stderr, /Imported 1,500 entries\.\n$/)
  const quiet = await kvark(store, ['import', file, '--quiet'], { terminal: true })
  assert.equal(quiet.stderr, '')
})

test('a full disk behind stdout: exit code 3', { skip: process.platform !== 'linux' }, async () => {
  const store = freshStore()
  await output(store, 'set', 'a', '1')
  const stdout = createWriteStream('/dev/full')
  assert.match(
    failed(3, await kvark(store, ['get', 'a'], { stdout })),
    /Cannot write to stdout: the disk is full/,
  )
})

test('stats, inspect, compact and verify', async () => {
  const store = freshStore()
  for (let i = 0; i < 3; i++) await output(store, 'set', 'a', String(i))
  const words = await output(store, 'stats')
  assert.match(words, /^entries +1$/m)
  assert.doesNotMatch(words, /takes no writes|readOnly/)
  const stats = json(await output(store, 'stats', '--json')) as { entries: number; engine: string }
  assert.deepEqual([stats.entries, stats.engine], [1, 'btree'])
  assert.match(await output(store, 'inspect'), /^file +kind +size +detail$/m)
  const { files } = json(await output(store, 'inspect', '--json')) as { files: { name: string }[] }
  assert.ok(files.every(({ name }) => existsSync(join(store, name))) && files.length > 0)
  assert.match(await output(store, 'compact'), /^Freed .*; .* on disk\.\n$/)
  const compacted = json(await output(store, 'compact', '--json')) as { diskBytes: number }
  assert.ok(compacted.diskBytes > 0)
  assert.match(await output(store, 'verify'), /^1 entry, .* checked: no problems\n$/)
  const report = json(await output(store, 'verify', '--json')) as { entries: number; problems: [] }
  assert.deepEqual([report.entries, report.problems], [1, []])
})

test('inspect draws the levels of a tree', async () => {
  const store = freshStore()
  const db = await open(store, { pageBytes: 4096 })
  const numbers = Array.from({ length: 3000 }, (_, i) => ({
    type: 'put' as const,
    key: `key ${i}`,
    value: `value ${i}`,
  }))
  await db.batch(numbers)
  await db.close()
  const drawn = await output(store, 'inspect')
  const rows = [...drawn.matchAll(/^(\d) \((\w+)\) +([\d,]+) +([\d,]+) +([█░]{20}) (\d+) %$/gm)]
  const { levels, detail } = json(await output(store, 'inspect', '--json')) as Inspection
  assert.deepEqual(
    rows.map(([, level, name, pages, entries]) => [level, name, pages, entries]),
    [
      ['1', 'root', '1', `${levels![1]!.pages}`],
      ['0', 'leaves', `${levels![1]!.pages}`, '3,000'],
    ],
  )
  for (const [i, [, , , , , bar, percent]] of rows.entries()) {
    assert.equal(Number(percent), Math.round(levels![i]!.fill * 100))
    assert.equal(bar!.split('█').length - 1, Math.round(levels![i]!.fill * 20))
  }
  assert.equal(detail['pageBytes'], 4096)
  const log = freshStore()
  await output(log, 'set', 'a', '1', '--engine', 'log')
  assert.doesNotMatch(await output(log, 'inspect'), /level/)

  const signal = AbortSignal.abort(new Interrupted('SIGINT'))
  failed(130, await kvark(store, ['inspect'], { signal }))
  assert.match((await kvark(store, ['inspect'], { terminal: true })).stderr, /Inspecting .*%/)
})

test('backup copies a store, and destroy removes one', async () => {
  const store = freshStore()
  const copy = freshStore()
  assert.match(await failure(1, store, 'backup', copy), /There is no store/)
  await output(store, 'set', 'a', '1')
  assert.match(
    await output(store, 'backup', copy),
    /^Backed up to .*: 1 entry, .* read back and checked\.\n$/,
  )
  assert.equal(await output(copy, 'get', 'a'), '1\n')
  assert.match(await failure(2, store, 'backup', copy), /is not empty/)
  assert.match(await failure(2, store, 'backup', store), /is the folder of the store/)
  assert.match(await failure(2, store, 'backup'), /to/)
  const other = freshStore()
  const report = json(await output(store, 'backup', other, '--json')) as Record<string, number>
  assert.deepEqual([report['entries'], report['version']], [1, 1])
  assert.ok(report['bytes']! > 0)

  assert.match(await failure(2, copy, 'destroy'), /for good\. Add --yes to do it/)
  assert.equal(await output(copy, 'count'), '1\n')
  assert.match(await output(copy, 'destroy', '--yes'), /^Removed the store in .*: .*B\.\n$/)
  assert.ok(!existsSync(copy))
  assert.match(await failure(1, copy, 'destroy', '--yes'), /nothing to destroy/)
  mkdirSync(copy)
  writeFileSync(join(copy, '1.log'), 'who knows')
  assert.match(await failure(1, copy, 'destroy', '--yes'), /no KVARK, .* by hand/)
  rmSync(copy, { recursive: true })
  writeFileSync(join(other, 'notes.txt'), '')
  const { kept } = json(await output(other, 'destroy', '--yes', '--json')) as { kept: string[] }
  assert.deepEqual(kept, ['notes.txt'])
  assert.deepEqual(readdirSync(other), ['notes.txt'])

  const db = await open(store)
  assert.match(await failure(4, store, 'destroy', '--yes'), new RegExp(`${process.pid}`))
  assert.match(await failure(4, store, 'backup', copy), new RegExp(`${process.pid}`))
  await db.close()
  writeFileSync(join(store, 'notes.txt'), '')
  const said = await output(store, 'destroy', '--yes')
  assert.match(said, /The folder stays: 1 other file was in it\.\n$/)
})

test('an interrupted backup leaves nothing: exit code 130', async () => {
  const store = freshStore()
  const copy = freshStore()
  await output(store, 'set', 'a', '1')
  const signal = AbortSignal.abort(new Interrupted('SIGINT'))
  failed(130, await kvark(store, ['backup', copy], { signal }))
  assert.ok(!existsSync(copy))
})

test('a terminal sees a bar during a backup', async () => {
  const store = freshStore()
  await output(store, 'set', 'a', '1')
  assert.match(
    (await kvark(store, ['backup', freshStore()], { terminal: true })).stderr,
    /Backing up .*%/,
  )
})

test('a damaged store gives no backup: exit code 3', async () => {
  const store = freshStore()
  const copy = freshStore()
  const db = await open(store)
  for (let i = 0; i < 300; i++) db.putSync(`key ${i}`, 'value '.repeat(50), { durability: 'none' })
  await db.close()
  damage(store, 'value value')
  assert.match(await failure(3, store, 'backup', copy), /offset/)
  assert.ok(!existsSync(copy))
})

test('repair: exit code 0 where nothing is lost, 6 where something is', async () => {
  const store = freshStore()
  const whole = freshStore()
  assert.match(await failure(1, store, 'repair', whole), /There is no store/)
  const db = await open(store, { engine: 'log' })
  for (let i = 0; i < 300; i++) db.putSync(`key ${i}`, `value ${i} `.repeat(30))
  await db.put('long', 'first')
  await db.sync()
  await db.put('long', 'value '.repeat(20_000))
  assert.match(await failure(4, store, 'repair', whole), new RegExp(`${process.pid}`))
  await db.close()
  assert.match(
    await output(store, 'repair', whole),
    /^Repaired to .*: 301 entries, .*; nothing is lost\n$/,
  )
  assert.equal(await output(whole, 'get', 'key 7', '--raw'), 'value 7 '.repeat(30))
  assert.match(await failure(2, store, 'repair', whole), /is not empty/)
  assert.match(await failure(2, store, 'repair', store), /is the folder of the store/)
  assert.match(await failure(2, store, 'repair', freshStore(), '--values', 'json'), /values/)

  damage(store, 'value 9 ')
  damage(store, 'value value', 50_000)
  const repaired = await kvark(store, ['repair', freshStore()])
  assert.deepEqual([repaired.code, repaired.stderr], [6, ''])
  assert.match(
    repaired.stdout.toString(),
    /^LOST .*\.log, bytes \d+ to \d+: .*\nLOST .*\n {2}key long lost version 302 and has version 301 again\nRepaired to .*: 300 entries, .*; 2 places could not be read\n$/,
  )
  const again = await kvark(store, ['repair', freshStore(), '--json', '--encoding', 'hex'])
  const report = json(again.stdout.toString()) as { entries: number; lost: object[] }
  assert.deepEqual([again.code, report.entries, report.lost.length], [6, 300, 2])
  assert.deepEqual((report.lost[1] as { keys: object[] }).keys, [
    { key: Buffer.from('long').toString('hex'), version: 302, kept: 301 },
  ])

  const signal = AbortSignal.abort(new Interrupted('SIGINT'))
  const to = freshStore()
  failed(130, await kvark(store, ['repair', to], { signal }))
  assert.ok(!existsSync(to))
  writeFileSync(join(store, 'KVARK'), 'damaged')
  assert.match(await failure(3, store, 'repair', to), /--keys and --values/)
  const codecs = ['--keys', 'utf8', '--values', 'utf8']
  assert.equal((await kvark(store, ['repair', to, ...codecs])).code, 6)
  assert.equal(await output(to, 'get', 'long'), 'first\n')
  const watched = await kvark(store, ['repair', freshStore(), ...codecs], { terminal: true })
  assert.match(watched.stderr, /Repairing .*%/)
})

test('an encrypted store is repaired with its secret', async () => {
  const store = freshStore()
  const env = { KVARK_PASSPHRASE: 'correct horse' }
  await kvark(store, ['set', 'a', '1', '--engine', 'log'], { env })
  const to = freshStore()
  assert.match(await failure(5, store, 'repair', to), /Give its secret with --key-file/)
  const wrong = await kvark(store, ['repair', to], { env: { KVARK_PASSPHRASE: 'wrong' } })
  assert.match(failed(5, wrong), /does not open/)
  assert.equal((await kvark(store, ['repair', to], { env })).code, 0)
  assert.equal((await kvark(to, ['get', 'a'], { env })).stdout.toString(), '1\n')
})

test('verify finds damage: exit code 3', async () => {
  const store = freshStore()
  const db = await open(store)
  for (let i = 0; i < 300; i++)
    await db.put(`key ${i}`, 'value '.repeat(50), { durability: 'none' })
  await db.close()
  damage(store, 'value value')
  const { code, stdout, stderr } = await kvark(store, ['verify'])
  assert.equal(code, 3)
  assert.match(stdout.toString() + stderr, /offset/)
})

test('entries that expire: set, touch, export and import keep the time', async () => {
  const store = freshStore()
  await output(store, 'set', 'a', '1', '--ttl', '1h')
  await output(store, 'set', 'b', '2', '--ttl', '1ms')
  await output(store, 'set', 'c', '3')
  await new Promise((resolve) => setTimeout(resolve, 2))
  const { expiresAt } = json(await output(store, 'get', 'a', '--json')) as { expiresAt: number }
  assert.ok(expiresAt > Date.now() + 3_000_000 && expiresAt <= Date.now() + 3_600_000)
  await failure(1, store, 'get', 'b')
  await failure(1, store, 'touch', 'b', '--ttl', '1h')
  await failure(2, store, 'set', 'd', '4', '--ttl', '5')
  await failure(2, store, 'set', 'd', '4', '--ttl', '0s')
  const lines = await output(store, 'export')
  assert.equal(lines, `{"key":"a","value":"1","expiresAt":${expiresAt}}\n{"key":"c","value":"3"}\n`)
  const copy = freshStore()
  await kvark(copy, ['import'], { stdin: lines })
  assert.equal(await output(copy, 'export'), lines)
  assert.deepEqual(json(await output(store, 'touch', 'a', '--json')), { key: 'a', version: 4 })
  assert.deepEqual(json(await output(store, 'get', 'a', '--json')), {
    key: 'a',
    value: '1',
    version: 4,
  })
  const bad = await kvark(copy, ['import'], { stdin: '{"key":"a","value":"1","expiresAt":"soon"}' })
  assert.equal(bad.code, 2)
})
