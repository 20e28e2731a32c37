import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { open } from '../index.ts'
import { runCommand, startCommand } from '../testing/command-line.ts'

const folder = mkdtempSync(join(tmpdir(), 'kvark-cli-'))
after(() => rmSync(folder, { recursive: true }))

const MAIN = new URL('./main.js', import.meta.url).href

test('the program: value in, the same bytes out', async () => {
  const store = join(folder, 'program')
  const value = Buffer.from('Grüße\n\u0000')
  const set = startCommand(['set', 'a', '-', '--data-dir', store, '--quiet'])
  set.child.stdin!.end(value)
  assert.deepEqual(await set.result, { code: 0, stdout: Buffer.alloc(0), stderr: '' })
  const get = await startCommand(['get', 'a', '--raw', '--data-dir', store]).result
  assert.deepEqual(get, { code: 0, stdout: value, stderr: '' })
})

test('a store that another process holds: exit code 4 and who holds it', async () => {
  const store = join(folder, 'held')
  const db = await open(store)
  const { code, stderr } = await startCommand(['get', 'a', '--data-dir', store]).result
  await db.close()
  assert.equal(code, 4)
  assert.match(stderr, /^kvark: [^\n]+\n$/)
  assert.ok(stderr.includes(String(process.pid)), stderr)
})

test('a store of somebody else: exit code 5', { skip: process.platform === 'win32' }, async () => {
  const store = join(folder, 'private')
  await (await open(store)).close()
  // Root may read everything, so the child becomes nobody, once it has loaded the program.
  const script = `
    import { main } from ${JSON.stringify(MAIN)}
    if (process.getuid() === 0) process.setuid(65534)
    process.exitCode = await main(process.argv.slice(1))`
  if (process.getuid!() !== 0) chmodSync(store, 0)
  const { code, stderr } = await startCommand(['get', 'a', '--data-dir', store], script).result
  chmodSync(store, 0o700)
  assert.equal(code, 5, stderr)
  assert.match(stderr, /^kvark: [^\n]+\n$/)
})

test('SIGINT during an import: exit code 130, the store is closed and whole', {
  skip: process.platform === 'win32',
}, async () => {
  const store = join(folder, 'interrupted')
  const { child, result, said } = startCommand(['import', '--data-dir', store])
  for (let i = 0; i < 2500; i++) child.stdin!.write(`{"key":"${i}","value":"${i}"}\n`)
  await said('Made a new store')
  // The input stays open: without the signal the import would wait for more.
  await new Promise((written) => child.stdin!.write('\n', written))
  child.kill('SIGINT')
  const { code, stderr } = await result
  assert.equal(code, 130, stderr)
  const stored = Number(/Interrupted\. ([\d,]+) entr/.exec(stderr)?.[1]?.replace(',', ''))
  const count = await runCommand(['count', '--data-dir', store])
  assert.equal(count.stdout.toString(), `${stored}\n`)
})

test('a reader that goes away ends an export quietly', async () => {
  const store = join(folder, 'pipe')
  const db = await open(store)
  for (let i = 0; i < 2000; i++) await db.put(`${i}`, 'x'.repeat(1000), { durability: 'none' })
  await db.close()
  const { child, result } = startCommand(['export', '--data-dir', store])
  await once(child.stdout!, 'data')
  child.stdout!.destroy()
  const { code, stderr } = await result
  assert.deepEqual([code, stderr], [0, ''])
})

test('completion answers a shell', async () => {
  const script = await startCommand(['complete', 'bash']).result
  assert.equal(script.code, 0)
  assert.match(script.stdout.toString(), /complete -F .* kvark/)
  const { stdout } = await startCommand(['complete', '--', 'get', '--enc']).result
  assert.match(stdout.toString(), /^--encoding\t/)
  const rekey = await startCommand(['complete', '--', 'rekey', '--']).result
  assert.match(rekey.stdout.toString(), /^--new-key-file\t[\s\S]*^--key-file\t/m)
})

test('completion leaves the names of files to the shell, only where a path is wanted', async () => {
  const answers: readonly (readonly [words: string, answer: RegExp])[] = [
    ['import en', /^:0$/],
    ['export ./e', /^:0$/],
    ['backup b', /^:0$/],
    ['convert a b', /^:0$/],
    ['--data-dir d', /^:0$/],
    ['get a --data-dir=d', /^:0$/],
    ['rekey --new-key-file k', /^:0$/],
    ['get a --output o', /^:0$/],
    ['put a @c', /^:0$/],
    ['set a c', /^:4$/],
    ['get c', /^:4$/],
    ['scan --prefix c', /^:4$/],
    ['scan --encoding h', /^hex\t\n:4$/],
    ['pu', /^put\t.*\n:4$/],
  ]
  for (const [words, answer] of answers) {
    const { stdout } = await startCommand(['complete', '--', ...words.split(' ')]).result
    assert.match(stdout.toString().trimEnd(), answer, words)
  }
})

test('in bash the value @… is completed from the names of files', {
  skip: process.platform === 'win32',
}, async () => {
  const files = join(folder, 'files')
  mkdirSync(join(files, 'catalog'), { recursive: true })
  for (const name of ['two words', '$(touch ran)']) writeFileSync(join(files, name), '')
  const script = (await startCommand(['complete', 'bash']).result).stdout.toString()
  const complete = (word: string): string => {
    const typed = `\nCOMP_WORDS=(kvark set a '${word}') COMP_CWORD=3; __kvark_word; printf '%s\\n' "\${COMPREPLY[@]}"`
    const { stdout } = spawnSync('bash', ['-c', `compopt() { :; }\n${script}${typed}`], {
      cwd: files,
      encoding: 'utf8',
    })
    return stdout
  }
  assert.equal(complete('@cat'), '@catalog/\n')
  assert.equal(complete('@tw'), '@two words\n')
  assert.equal(complete('@$'), '@$(touch ran)\n')
  assert.equal(existsSync(join(files, 'ran')), false)
})
