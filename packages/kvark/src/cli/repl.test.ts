import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { after, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { stripVTControlCharacters } from 'node:util'
import fc from 'fast-check'
import { open } from '../index.ts'
import { runCommand } from '../testing/command-line.ts'
import { Interrupted } from './errors.ts'
import { historyFile, readHistory, writeHistory } from './history.ts'
import { cutWords, quoted, wordsOf } from './words.ts'

const folder = mkdtempSync(join(tmpdir(), 'kvark-repl-'))
after(() => rmSync(folder, { recursive: true }))

test('a line is cut into words, and what is quoted is one word again', () => {
  assert.deepEqual(wordsOf(`set 'a b' "say \\"hi\\"\\\\" c\\ d ''`), [
    'set',
    'a b',
    'say "hi"\\',
    'c d',
    '',
  ])
  assert.deepEqual(wordsOf(' \t '), [])
  assert.deepEqual(cutWords('get "a b'), { words: ['get', 'a b'], lastStart: 4, open: '"' })
  assert.equal(cutWords('get ').lastStart, 4)
  assert.throws(() => wordsOf(`set a 'b`), { code: 'INVALID_ARGUMENT' })
  fc.assert(
    fc.property(fc.array(fc.string()), (words) => {
      assert.deepEqual(wordsOf(words.map(quoted).join(' ')), words)
    }),
  )
})

test('a line from a pipe is what stands there: no end of a line but \\n, no bytes that are no text', async () => {
  const store = join(folder, 'exact')
  const { code, stderr } = await runCommand(['repl', '--data-dir', store, '--quiet'], {
    stdin: Buffer.concat([
      Buffer.from('\uFEFFset first "a\rb"\r\nset second c\u2028d\nset third '),
      Buffer.from([0xff]),
      Buffer.from('\nset fourth e'),
    ]),
  })
  assert.equal(code, 2)
  assert.match(stderr, /^kvark: Line 3 is not UTF-8 text\. [^\n]*\n$/)
  const db = await open(store)
  assert.deepEqual(
    [...db.entries()],
    [
      ['first', 'a\rb'],
      ['fourth', 'e'],
      ['second', 'c\u2028d'],
    ],
  )
  await db.close()
})

test('lines from a pipe: every command, errors of one line, on to the next; the exit code of the last failure', async () => {
  const store = join(folder, 'store')
  const lines = [
    `set 'a b' "it's \\"here\\""`,
    '# a comment',
    '',
    'get "a b"',
    'get nobody',
    'nonsense',
    "get 'open",
    'set a -',
    'repl',
    'count --json',
    'set key value --table users --values utf8',
    'tables',
    'help touch',
    'exit',
    'set never reached',
  ]
  const { code, stdout, stderr } = await runCommand(['repl', '--data-dir', store, '--engine=log'], {
    stdin: lines.join('\n'),
  })
  assert.equal(code, 2)
  const printed = stdout.toString().split('\n')
  assert.deepEqual(printed.slice(0, 3), [`it's "here"`, '{"count":1}', 'users\tutf8\tutf8'])
  assert.match(printed[3]!, /^Usage: kvark touch/)
  const said = stderr.trimEnd().split('\n')
  assert.equal(said.length, 6, stderr)
  assert.match(said[0]!, /Made a new store .*engine log/)
  for (const [i, sentence] of [
    /no key "nobody"/,
    /unknown command 'nonsense'/i,
    /quote ' has no end/,
    /no stdin for a command/,
    /'repl' is no command of the prompt/,
  ].entries()) {
    assert.match(said[i + 1]!, /^kvark: /)
    assert.match(said[i + 1]!, sentence)
  }
  const empty = await runCommand(['repl', '--data-dir', store], { stdin: '' })
  assert.deepEqual([empty.code, empty.stdout.length, empty.stderr], [0, 0, ''])
})

test('what is interrupted is told once', async () => {
  const path = join(folder, 'interrupted')
  const db = await open(path)
  const controller = new AbortController()
  const stdout = Object.assign(new PassThrough(), { isTTY: false, columns: 80 })
  const running = runCommand(['repl', '--data-dir', path, '--quiet'], {
    stdin: 'watch\n',
    stdout,
    signal: controller.signal,
  })
  let watching = false
  stdout.once('data', () => {
    watching = true
    controller.abort(new Interrupted('SIGTERM'))
  })
  for (let n = 0; !watching; n++) {
    await db.put('a', String(n))
    await setTimeout(10)
  }
  const { code, stderr } = await running
  await db.close()
  assert.deepEqual([code, stderr], [143, 'kvark: Interrupted.\n'])
})

/** Types into a terminal; each time it waits until what is shown from then on fits. */
async function type(
  argv: readonly string[],
  steps: readonly (readonly [keys: string, shown: RegExp])[],
): Promise<void> {
  const stdin = Object.assign(new PassThrough(), { isTTY: true })
  const stdout = Object.assign(new PassThrough(), { isTTY: true, columns: 80 })
  let shown = ''
  let look: () => void = () => {}
  stdout.on('data', (chunk: Buffer) => {
    // Without the movements of the cursor.
    shown += stripVTControlCharacters(chunk.toString()).replaceAll('\r', '')
    look()
  })
  const env = { XDG_STATE_HOME: join(folder, 'state') }
  const result = runCommand(['repl', ...argv], { stdin, stdout, env })
  for (const [keys, expected] of [['', /kvark> $/] as const, ...steps]) {
    shown = ''
    stdin.write(keys)
    await new Promise<void>((resolve) => {
      look = () => {
        if (expected.test(shown)) resolve()
      }
      look()
    })
  }
  stdin.end('\x04')
  assert.equal((await result).code, 0)
}

test('at a terminal: a prompt, Tab, Ctrl-C, and a history that only its owner reads', async () => {
  const store = join(folder, 'typed')
  await runCommand(['set', 'user:1 x', 'Alice', '--data-dir', store])
  await runCommand(['set', 'k', 'v', '--data-dir', store, '--table', 'users'])
  const argv = ['--data-dir', store]
  await type(argv, [
    ['cou\t', /count $/],
    ['\n', /\n1\nkvark> $/],
    ['get us\t', /'user:1 x' $/],
    ['\n', /\nAlice\nkvark> $/],
    ['half a line', /line$/],
    ['\x03', /kvark> $/],
    [' has k\n', /\nfalse\nkvark> $/],
  ])
  await type(argv, [
    ['scan --table us\t', /users $/],
    ['\n', /\nk\tv\nkvark> $/],
    ['get --ra\t', /--raw $/],
    ['\x03', /kvark> $/],
    ['\x1b[A', /scan --table users $/],
    ['\n', /\nk\tv\nkvark> $/],
  ])
  const file = historyFile({ XDG_STATE_HOME: join(folder, 'state') })
  assert.equal(readFileSync(file, 'utf8'), "count \nget 'user:1 x' \nscan --table users \n")
  if (process.platform !== 'win32') {
    assert.equal(statSync(file).mode & 0o777, 0o600)
    assert.equal(statSync(join(folder, 'state', 'kvark')).mode & 0o777, 0o700)
  }
})

test('a history that cannot be read is empty, one that cannot be written is told', async () => {
  const file = join(folder, 'nowhere')
  assert.deepEqual(await readHistory(file), [])
  assert.equal(await writeHistory(join(file, 'a'), ['b', ' secret', 'a']), true)
  assert.equal(readFileSync(join(file, 'a'), 'utf8'), 'a\nb\n')
  assert.deepEqual(await readHistory(join(file, 'a')), ['b', 'a'])
  assert.equal(await writeHistory(join(file, 'a', 'b'), ['a']), false)
})
