/** The commands that look at a whole store, or make another one of it. */

import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { counters, intSets, list, queue, set } from '../collections.ts'
import { describe, open } from '../index.ts'
import { type CommandOptions, type CommandResult, runCommand } from '../testing/command-line.ts'

const folder = mkdtempSync(join(tmpdir(), 'kvark-tools-'))
after(() => rmSync(folder, { recursive: true }))

async function kvark(argv: readonly string[], options?: CommandOptions): Promise<CommandResult> {
  return await runCommand(argv, options)
}

async function output(...argv: string[]): Promise<string> {
  const { code, stdout, stderr } = await kvark(argv)
  assert.equal(code, 0, stderr)
  return stdout.toString()
}

async function failure(code: number, ...argv: string[]): Promise<string> {
  const result = await kvark([...argv, '--quiet'])
  assert.equal(result.code, code, result.stderr)
  assert.match(result.stderr, /^kvark: [^\n]+\n$/)
  return result.stderr
}

test('convert: another engine, compression and secret; nothing is left of what cannot be', async () => {
  const from = join(folder, 'from')
  const to = join(folder, 'to')
  assert.match(await failure(1, 'convert', from, to), /There is no store/)
  await output('set', 'a', '1', '--data-dir', from)
  await output('set', 'b', '2', '--data-dir', from, '--table', 't')
  const line = await output('convert', from, to, '--engine', 'log', '--compression', 'lz4')
  assert.match(line, /^Converted to .*: 2 entries, .*, read back and compared\.\n$/)
  const { engine, compression } = await describe(to)
  assert.deepEqual([engine, compression], ['log', 'lz4'])
  assert.equal(await output('get', 'b', '--data-dir', to, '--table', 't'), '2\n')
  assert.match(await failure(2, 'convert', from, to), /is not empty/)
  assert.match(await failure(2, 'convert', from, join(folder, 'x'), '--engine', 'none'), /engine/)
  assert.match(await failure(2, 'convert', from), /to/)
  const elsewhere = ['convert', from, join(folder, 'x'), '--data-dir']
  assert.match(await failure(2, ...elsewhere, to), /--data-dir names a third one/)
  await output(...elsewhere, from)

  const key = join(folder, 'key')
  writeFileSync(key, '0123456789abcdef', { mode: 0o600 })
  const sealed = join(folder, 'sealed')
  const report = await output('convert', to, sealed, '--new-key-file', key, '--json')
  assert.equal((JSON.parse(report) as { entries: number }).entries, 2)
  assert.equal((await describe(sealed)).cipher, 'aes-256-gcm')
  const plain = join(folder, 'plain')
  assert.match(await failure(5, 'convert', sealed, plain), /--key-file/)
  const decrypt = ['--decrypt', '--key-file', key]
  assert.match(
    await failure(2, 'convert', sealed, plain, ...decrypt, '--new-key-file', key),
    /--decrypt/,
  )
  await output('convert', sealed, plain, ...decrypt, '--engine', 'btree', '--page-bytes', '4096')
  const made = await describe(plain)
  assert.deepEqual([made.cipher, made.options['pageBytes']], [undefined, 4096])
  assert.equal(await output('get', 'a', '--data-dir', plain), '1\n')
})

test('what only reads changes no file, of a store that a killed process has left as well', async () => {
  for (const engine of ['btree', 'log'] as const) {
    const path = join(folder, `used-${engine}`)
    const left = join(folder, `left-${engine}`)
    await output('set', 'b', '2', '--table', 't', '--data-dir', path, '--engine', engine)
    const db = await open(path, { engine: 'any', durability: 'os' })
    await db.put('a', '1')
    cpSync(path, left, { recursive: true })
    await db.close()
    // But for the lock, where the holder's number stands.
    const files = (): string[] =>
      readdirSync(left).flatMap((name) =>
        name === 'LOCK' ? [] : `${name} ${readFileSync(join(left, name), 'hex')}`,
      )
    const before = files()
    const commands = [
      'get a',
      'has a',
      'scan',
      'count',
      'tables',
      'export',
      'dump',
      'stats',
      'verify',
      'inspect',
    ]
    for (const command of [...commands, `backup ${join(folder, `copy-${engine}`)}`]) {
      await output(...command.split(' '), '--data-dir', left)
      assert.deepEqual(files(), before, command)
    }
    assert.equal(await output('get', 'b', '--table', 't', '--data-dir', left), '2\n')
  }
})

test('dump: all tables, in words, with versions and expiries', async () => {
  const path = join(folder, 'dump')
  const store = ['--data-dir', path]
  assert.match(await failure(1, 'dump', ...store), /There is no store/)
  const blank = await failure(1, 'dump', '--data-dir', 'none here')
  assert.match(blank, /`kvark set KEY VALUE --data-dir 'none here'` makes one/)
  const db = await open(path)
  await db.put('text', 'two\nlines \x1b[0m')
  await db.put('long', 'x'.repeat(5000))
  const users = db.table('users', { keys: 'tuple', values: 'json' })
  await users.put(['u', 1], { name: 'Alice' }, { expiresAt: 4102444800000 })
  await db.table('raw', { keys: 'bytes', values: 'bytes' }).put(Buffer.from('ff00', 'hex'), LONE)
  const cbor = db.table('cbor', { values: 'cbor' })
  await cbor.put('a', { n: 2n ** 70n })
  // No value of the codec: it was imported, say.
  await cbor.putStream('b', [Uint8Array.of(0xff, 0)])
  await db.table('msgpack', { values: 'msgpack' }).put('a', [1, new Uint8Array([1])])
  await db.close()
  const lines = (await output('dump', ...store)).split('\n')
  assert.equal(lines[1], `"long" = "${'x'.repeat(399)}… (5002 characters)  version 2`)
  lines.splice(1, 1)
  assert.deepEqual(lines, [
    '# the root: keys utf8, values utf8',
    '"text" = "two\\nlines \\u001b[0m"  version 1',
    '# the table "users": keys tuple, values json',
    '["u",1] = {"name":"Alice"}  version 4, expires 2100-01-01T00:00:00.000Z',
    '# the table "raw": keys bytes, values bytes',
    'hex:ff00 = hex:fe  version 6',
    '# the table "cbor": keys utf8, values cbor',
    '"a" = { n: 1180591620717411303424n }  version 8',
    '"b" = hex:ff00  version 9',
    '# the table "msgpack": keys utf8, values msgpack',
    '"a" = [ 1, Uint8Array(1) [ 1 ] ]  version 11',
    '',
  ])
  assert.equal(
    await output('dump', ...store, '--table', 'users', '--json'),
    '{"table":"users","keys":"tuple","values":"json"}\n' +
      '{"table":"users","key":["u",1],"value":"{\\"name\\":\\"Alice\\"}","version":4,"expiresAt":4102444800000}\n',
  )
  const all = (await output('dump', ...store, '--json')).trim().split('\n')
  assert.equal(all.length, 12)
  assert.equal(all[0], '{"keys":"utf8","values":"utf8"}')
  assert.equal((JSON.parse(all[1]!) as { value: string }).value.length, 5000)
})

test('a dump that is imported is the same store again: tables, codecs, ends, bytes, collections', async () => {
  const from = join(folder, 'dumped')
  const db = await open(from, { values: 'json' })
  await db.put('a', { n: 1 })
  const users = db.table('users', { keys: 'tuple', values: 'json' })
  await users.put(['u', 2n ** 64n, 2 ** 70], 'Alice', { expiresAt: 4102444800000 })
  for (const name of ['was', 'none']) {
    const emptied = db.table(name, { keys: 'tuple', values: 'cbor' })
    await emptied.put([name], 1)
    await emptied.clear()
  }
  await db.table('raw', { keys: 'bytes', values: 'bytes' }).put(Buffer.from('ff00', 'hex'), LONE)
  await queue(db, 'jobs', { values: 'json' }).push({ do: 'it' })
  await db.close()
  const lines = await output('dump', '--data-dir', from, '--json')
  const withoutVersions = (text: string): string => text.replaceAll(/,"version":\d+/g, '')
  for (const engine of ['btree', 'log']) {
    const to = join(folder, `imported-${engine}`)
    const copy = ['--data-dir', to]
    const { code, stderr } = await kvark(['import', ...copy, '--engine', engine], { stdin: lines })
    assert.equal(code, 0, stderr)
    const again = (await output('dump', ...copy, '--json')).trimEnd().split('\n')
    assert.deepEqual(
      again.map(withoutVersions).sort(),
      withoutVersions(lines).trimEnd().split('\n').sort(),
    )
    assert.equal(await output('tables', ...copy), await output('tables', '--data-dir', from))
  }
  const copied = await open(join(folder, 'imported-btree'), { values: 'json' })
  assert.deepEqual(await queue(copied, 'jobs', { values: 'json' }).peek(), { do: 'it' })
  await copied.close()

  // Into a collection that is there nothing is mixed, and of several tables none goes elsewhere.
  const again = await kvark(['import', '--data-dir', from, '--quiet'], { stdin: lines })
  assert.equal(again.code, 2)
  assert.match(again.stderr, /^kvark: Line \d+: .*codec of its own/)
  const elsewhere = await kvark(['import', '--data-dir', from, '--table', 'other', '--quiet'], {
    stdin: lines,
  })
  assert.match(
    elsewhere.stderr,
    /^kvark: Line \d+: it is of the table "users"\. Leave --table out\./,
  )
})

test('a collection is not taken apart; sets and counters are entries that stand alone', async () => {
  const path = join(folder, 'collections')
  const db = await open(path)
  await queue(db, 'jobs').push('a')
  await list(db, 'recent').set('a', '1')
  await intSets(db, 'ids').add('a', 1)
  await set(db, 'tags').add('a')
  await counters(db, 'visits').add('a')
  await db.close()
  const place = ['--data-dir', path, '--encoding', 'hex', '--table']
  for (const table of ['jobs', 'recent', 'ids']) {
    const before = await output('scan', ...place, table)
    const [line] = before.trimEnd().split('\n').slice(-1)
    const [key] = line!.split('\t')
    for (const command of ['rm', 'touch']) {
      assert.match(await failure(2, command, key!, ...place, table), /is a collection/)
    }
    assert.equal(await output('scan', ...place, table), before)
  }
  for (const table of ['tags', 'visits']) {
    await output('rm', Buffer.from('a').toString('hex'), ...place, table)
    assert.equal(await output('count', ...place, table), '0\n')
  }
})

const LONE = Buffer.from('fe', 'hex')
