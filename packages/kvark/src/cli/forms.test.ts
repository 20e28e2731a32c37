/**
 * The command line on compressed and encrypted stores: every command works on each form, a secret comes from where it may come
 * from, and is never seen again.
 */

import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import zlib from 'node:zlib'
import { open } from '../index.ts'
import { type CommandOptions, type CommandResult, runCommand } from '../testing/command-line.ts'

const folder = mkdtempSync(join(tmpdir(), 'kvark-cli-forms-'))
after(() => rmSync(folder, { recursive: true }))

const KEY = 'k0-very-secret-bytes-in-this-file'
const HEX_KEY = Buffer.from(KEY).toString('hex')
const PASSPHRASE = 'correct horse battery'
const OTHER = 'another-secret-entirely-0123456789'
/** None of these may be seen in what a command prints. */
const SECRETS = [KEY, HEX_KEY, PASSPHRASE, OTHER, Buffer.from(OTHER).toString('hex')]

let stores = 0
function freshStore(): string {
  stores++
  return join(folder, `store-${stores}`)
}

let files = 0
/** A file of one's own. */
function secretFile(content: string | Uint8Array): string {
  files++
  const file = join(folder, `secret-${files}`)
  writeFileSync(file, content, { mode: 0o600 })
  return file
}

async function kvark(
  store: string,
  argv: readonly string[],
  options?: CommandOptions,
): Promise<CommandResult> {
  const result = await runCommand(['--data-dir', store, ...argv], options)
  const said = result.stdout.toString('latin1') + result.stderr
  for (const secret of SECRETS) assert.ok(!said.includes(secret), `a secret was shown: ${said}`)
  return result
}

/** Runs a command that is to fail, and gives its one line. */
async function failure(
  code: number,
  store: string,
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const result = await kvark(store, [...argv, '--quiet'], { env })
  assert.equal(result.code, code, result.stderr)
  assert.match(result.stderr, /^kvark: [^\n]+\n$/)
  return result.stderr
}

interface Form {
  readonly name: string
  readonly make: readonly string[]
  readonly open: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly compression: string
  readonly encryption: string
  readonly skip?: string | false
}

const byKey = ['--key-file', secretFile(`${KEY}\n`)]
const byPassphrase = { KVARK_PASSPHRASE: PASSPHRASE }
const noZstd = !('zstdCompressSync' in zlib) && 'this Node has no zstd'

const forms: readonly Form[] = [
  ...['lz4', 'deflate', 'zstd'].map((compression) => ({
    name: compression,
    make: ['--compression', compression],
    open: [],
    compression,
    encryption: 'none',
    skip: compression === 'zstd' && noZstd,
  })),
  {
    name: 'a key from a file',
    make: byKey,
    open: byKey,
    compression: 'none',
    encryption: 'aes-256-gcm',
  },
  {
    name: 'a passphrase from the environment',
    make: [],
    open: [],
    env: byPassphrase,
    compression: 'none',
    encryption: 'aes-256-gcm',
  },
  {
    name: 'lz4 and a key from the environment',
    make: ['--compression', 'lz4'],
    open: ['--compression', 'lz4'],
    env: { KVARK_KEY: HEX_KEY },
    compression: 'lz4',
    encryption: 'aes-256-gcm',
  },
]

for (const engine of ['btree', 'log']) {
  suite(`every command on every form, engine ${engine}`, () => everyForm(engine))
}

function everyForm(engine: string): void {
  for (const { name, make, open: opening, env = {}, compression, encryption, skip } of forms) {
    test(name, { skip }, async () => {
      const store = freshStore()
      const ok = async (argv: readonly string[], stdin = ''): Promise<string> => {
        const { code, stdout, stderr } = await kvark(store, [...argv, ...opening], { env, stdin })
        assert.equal(code, 0, stderr)
        return stdout.toString()
      }
      const first = ['set', 'first', 'plain text'.repeat(50), '--engine', engine, ...make]
      const made = await kvark(store, first, { env })
      assert.equal(made.code, 0, made.stderr)
      const parts = [
        `engine ${engine}`,
        ...(compression === 'none' ? [] : [`compression ${compression}`]),
        ...(encryption === 'none' ? [] : ['encrypted']),
      ]
      assert.ok(made.stderr.endsWith(`(${parts.join(', ')}).\n`), made.stderr)

      const lines = Array.from({ length: 300 }, (_, i) => {
        return `{"key":"key ${i}","value":"${`value ${i} `.repeat(20)}"}\n`
      })
      await ok(['import'], lines.join(''))
      assert.equal(await ok(['get', 'first']), `${'plain text'.repeat(50)}\n`)
      assert.equal(await ok(['get', 'key 7', '--raw']), 'value 7 '.repeat(20))
      assert.equal(await ok(['has', 'key 299']), 'true\n')
      assert.equal(await ok(['count']), '301\n')
      assert.equal((await ok(['scan', '--keys-only'])).trimEnd().split('\n').length, 301)
      await ok(['rm', 'first'])
      const exported = await ok(['export'])
      assert.deepEqual(exported.split(/(?<=\n)/).toSorted(), lines.toSorted())
      await ok(['compact'])
      const copy = freshStore()
      await ok(['backup', copy])
      const copied = await kvark(copy, ['get', 'key 8', '--raw', ...opening], { env })
      assert.equal(copied.stdout.toString(), 'value 8 '.repeat(20), copied.stderr)
      assert.match(await ok(['verify']), /^300 entries, .* checked: no problems\n$/)
      const numbers = JSON.parse(await ok(['stats', '--json'])) as Record<string, unknown>
      assert.deepEqual(
        [numbers['compression'], numbers['cipher']],
        [compression, encryption === 'none' ? null : encryption],
      )
      assert.match(await ok(['stats']), new RegExp(`^encryption +${encryption}$`, 'm'))
      assert.match(await ok(['inspect']), new RegExp(`compression=${compression} encryption=`))
      assert.equal(await ok(['get', 'key 7', '--raw']), 'value 7 '.repeat(20))
      const onDisk = readdirSync(store).map((file) => readFileSync(join(store, file), 'latin1'))
      const readable = onDisk.some((bytes) => bytes.includes('value 7 value 7'))
      assert.equal(readable, compression === 'none' && encryption === 'none')
      if (encryption === 'none') return
      for (const bytes of onDisk) assert.doesNotMatch(bytes, /key \d|value \d|plain text/)
    })
  }
}

test('another secret, none, or one too many: one line that says what to do', async () => {
  const encrypted = freshStore()
  await kvark(encrypted, ['set', 'a', '1', ...byKey])
  const other = secretFile(OTHER)
  for (const command of [['get', 'a'], ['set', 'a', '2'], ['verify'], ['stats'], ['export']]) {
    assert.match(await failure(5, encrypted, command), /is encrypted\. Give its secret with --key/)
    const wrong = [...command, '--key-file', other]
    assert.match(await failure(5, encrypted, wrong), /The key does not open the store/)
  }
  const text = ['get', 'a', '--passphrase-file', secretFile(PASSPHRASE)]
  assert.match(await failure(5, encrypted, text), /with a key, not with a passphrase/)
  const asJson = await kvark(encrypted, ['get', 'a', '--json', '--key-file', other])
  assert.equal(
    (JSON.parse(asJson.stderr) as { error: { code: string } }).error.code,
    'BAD_ENCRYPTION_KEY',
  )
  const debug = { env: { KVARK_DEBUG: '1', KVARK_KEY: Buffer.from(OTHER).toString('hex') } }
  assert.equal((await kvark(encrypted, ['get', 'a'], debug)).code, 5)

  const plain = freshStore()
  await kvark(plain, ['set', 'a', '1'])
  assert.match(await failure(2, plain, ['get', 'a', ...byKey]), /is not encrypted/)
  assert.match(await failure(2, plain, ['get', 'a'], byPassphrase), /is not encrypted/)

  const two = await failure(2, encrypted, ['get', 'a', ...byKey], byPassphrase)
  assert.match(two, /--key-file and KVARK_PASSPHRASE are given/)
  const none = freshStore()
  await failure(2, none, ['set', 'a', '1'], { KVARK_KEY: HEX_KEY, KVARK_PASSPHRASE: PASSPHRASE })
  assert.ok(!existsSync(none))
})

test('a secret that is too short, empty, or no text makes no store', async () => {
  const store = freshStore()
  const set = ['set', 'a', '1']
  const short = [...set, '--key-file', secretFile('fifteen bytes!!\n')]
  assert.match(await failure(2, store, short), /has 15 bytes; a key has at least 16/)
  const empty = [...set, '--passphrase-file', secretFile('\n')]
  assert.match(await failure(2, store, empty), /is empty/)
  const binary = [...set, '--passphrase-file', secretFile(Buffer.from([0xff, 0xfe]))]
  assert.match(await failure(2, store, binary), /no UTF-8 text.*--key-file/)
  assert.match(await failure(2, store, set, { KVARK_PASSPHRASE: '' }), /KVARK_PASSPHRASE is empty/)
  for (const wrong of ['', 'xyz', HEX_KEY.slice(0, 30), HEX_KEY.slice(1), KEY]) {
    assert.match(await failure(2, store, set, { KVARK_KEY: wrong }), /KVARK_KEY must be hex/)
  }
  const missing = [...set, '--key-file', join(folder, 'nosuch')]
  assert.match(await failure(3, store, missing), /there is no such file/)
  assert.match(await failure(3, store, [...set, '--key-file', folder]), /it is a folder/)
  assert.ok(!existsSync(store))
})

test('a secret is never an argument', async () => {
  const store = freshStore()
  for (const argv of [
    ['--passphrase', PASSPHRASE],
    [`--passphrase=${PASSPHRASE}`],
    ['--key', HEX_KEY],
    [`--key=${HEX_KEY}`],
    ['--password', PASSPHRASE],
  ]) {
    const line = await failure(2, store, ['set', 'a', '1', ...argv])
    assert.match(line, /no option '--(?:passphrase|key|password)'.* Use --key-file/)
  }
  for (const argv of [['--new-key', HEX_KEY], [`--new-passphrase=${PASSPHRASE}`]]) {
    assert.match(await failure(2, store, ['rekey', ...argv]), /Use --new-key-file/)
  }
  // What is misspelt is not repeated either.
  const misspelt = await failure(2, store, ['get', 'a', `--passphrse=${PASSPHRASE}`])
  assert.match(misspelt, /Unknown option '--passphrse'/)
  assert.equal((await kvark(store, ['set', '--', '--key', 'a value'])).code, 0)
})

test('the file of a key: its bytes without the line end; of a passphrase: its text', async () => {
  const byText = freshStore()
  await kvark(byText, ['set', 'a', '1', ...byKey])
  for (const content of [KEY, `${KEY}\n`, `${KEY}\r\n`]) {
    const { stdout } = await kvark(byText, ['get', 'a', '--key-file', secretFile(content)])
    assert.equal(stdout.toString(), '1\n')
  }
  assert.equal((await kvark(byText, ['get', 'a', '--key-file', secretFile(`${KEY}\n\n`)])).code, 5)
  const db = await open(byText, { encryption: { key: Buffer.from(KEY) } })
  assert.equal(await db.get('a'), '1')
  await db.close()

  const byPhrase = freshStore()
  const file = secretFile(`${PASSPHRASE}\n`)
  await kvark(byPhrase, ['set', 'a', '1', '--passphrase-file', file])
  assert.equal((await kvark(byPhrase, ['get', 'a'], { env: byPassphrase })).code, 0)
})

test('a file that everybody can read is warned of', {
  skip: process.platform === 'win32',
}, async () => {
  const store = freshStore()
  const file = secretFile(KEY)
  await kvark(store, ['set', 'a', '1', '--key-file', file])
  const get = ['get', 'a', '--key-file', file]
  assert.equal((await kvark(store, get)).stderr, '')
  chmodSync(file, 0o644)
  const warned = await kvark(store, get)
  assert.deepEqual([warned.code, warned.stdout.toString()], [0, '1\n'])
  assert.match(warned.stderr, /^Warning: every user .*chmod 600.*\n$/)
  assert.equal((await kvark(store, [...get, '--quiet'])).stderr, '')
})

test('the compression of a store that is there cannot be another one', async () => {
  const store = freshStore()
  await kvark(store, ['set', 'a', '1', '--compression', 'lz4'])
  const other = ['get', 'a', '--compression', 'deflate']
  assert.match(await failure(2, store, other), /made with compression 'lz4', not 'deflate'/)
  const unknown = ['get', 'a', '--compression', 'zip']
  assert.match(await failure(2, store, unknown), /none, lz4, deflate, zstd/)
})

test('zstd where Node has none: exit code 2, and nothing is made', {
  skip: noZstd === false && 'this Node has zstd',
}, async () => {
  const store = freshStore()
  const line = await failure(2, store, ['set', 'a', '1', '--compression', 'zstd'])
  assert.match(line, /needs Node 22\.15 or newer/)
  assert.ok(!existsSync(store))
})

test('rekey: the new secret opens the store, the old one does not', async () => {
  const store = freshStore()
  await kvark(store, ['set', 'a', '1', ...byKey])
  const newKey = secretFile(OTHER)
  const changed = await kvark(store, ['rekey', ...byKey, '--new-key-file', newKey])
  assert.equal(changed.code, 0, changed.stderr)
  assert.match(
    changed.stderr,
    /^The new key opens the store in .* now; the old secret does not\.\n$/,
  )
  await failure(5, store, ['get', 'a', ...byKey])
  assert.equal((await kvark(store, ['get', 'a', '--key-file', newKey])).code, 0)

  const env = { KVARK_KEY: Buffer.from(OTHER).toString('hex'), KVARK_NEW_PASSPHRASE: PASSPHRASE }
  const json = await kvark(store, ['rekey', '--json'], { env })
  assert.deepEqual(JSON.parse(json.stdout.toString()), { rekeyed: store, secret: 'passphrase' })
  assert.equal((await kvark(store, ['get', 'a'], { env: byPassphrase })).code, 0)

  const back = { ...byPassphrase, KVARK_NEW_KEY: HEX_KEY }
  const both = await failure(2, store, ['rekey', '--new-key-file', newKey], back)
  assert.match(both, /--new-key-file and KVARK_NEW_KEY are given/)
  assert.match(await failure(2, store, ['rekey'], byPassphrase), /The new secret is missing/)
  await failure(5, store, ['rekey', ...byKey, '--new-key-file', newKey])
  assert.match(await failure(5, store, ['rekey', '--new-key-file', newKey]), /is encrypted/)
  assert.equal((await kvark(store, ['rekey'], { env: back })).code, 0)
  assert.equal((await kvark(store, ['get', 'a', ...byKey])).stdout.toString(), '1\n')

  const db = await open(store, { encryption: { key: Buffer.from(KEY) } })
  await failure(4, store, ['rekey', ...byKey, '--new-key-file', newKey])
  await db.close()
  const plain = freshStore()
  await failure(1, plain, ['rekey', ...byKey, '--new-key-file', newKey])
  await kvark(plain, ['set', 'a', '1'])
  assert.match(
    await failure(2, plain, ['rekey', ...byKey, '--new-key-file', newKey]),
    /not encrypted/,
  )
  assert.match(
    await failure(2, plain, ['rekey', '--new-key-file', newKey]),
    /not encrypted, .* `kvark convert .*` with the new secret/,
  )
})
