import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
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
