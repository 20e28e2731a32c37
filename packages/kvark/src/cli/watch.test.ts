/** `watch` in processes of its own, while this one writes. */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { destroy, open } from '../index.ts'
import { type CommandResult, runCommand, startCommand } from '../testing/command-line.ts'

const folder = mkdtempSync(join(tmpdir(), 'kvark-watch-'))
after(() => rmSync(folder, { recursive: true }))

interface Watching {
  /** Settles once so many lines have been printed. */
  lines(count: number): Promise<string[]>
  /** Ctrl-C. */
  stop(): Promise<CommandResult>
  readonly result: Promise<CommandResult>
}

async function watch(...argv: string[]): Promise<Watching> {
  const { child, result, said } = startCommand(['watch', ...argv])
  let text = ''
  child.stdout!.on('data', (part: Buffer) => {
    text += part.toString()
    child.emit('line')
  })
  if (!argv.includes('--json')) await said('Watching')
  return {
    result,
    lines: (count) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const lines = text.split('\n').slice(0, -1)
          if (lines.length >= count) resolve(lines)
        }
        child.on('line', look)
        child.once('close', () => reject(new Error(`ended with ${text}`)))
        look()
      }),
    stop: () => {
      child.kill('SIGINT')
      return result
    },
  }
}

test('watch prints what another process changes, until Ctrl-C, or the store is gone', async () => {
  const path = join(folder, 'store')
  const store = ['--data-dir', path]
  assert.equal((await runCommand(['watch', ...store])).code, 1)
  const db = await open(path)
  await db.put('before', '1')
  const users = db.table('users', { keys: 'tuple', values: 'json' })
  await users.put(['u', 0], {})
  const none = await runCommand(['watch', ...store, '--table', 'none'])
  assert.deepEqual([none.code, none.stdout.length], [1, 0])
  assert.match(none.stderr, /no table "none"/)
  const both = await runCommand(['watch', 'a', '--prefix', 'b', ...store])
  assert.equal(both.code, 2)

  const [root, range, table] = await Promise.all([
    watch(...store),
    watch(...store, '--gte', '61', '--lt', '62', '--encoding', 'hex'),
    watch(...store, '--table', 'users'),
  ])
  await db.put('a1', 'x')
  await db.put('b', '1', { expiresAt: 4102444800000 })
  await db.delete('a1')
  await users.batch([
    { type: 'put', key: ['u', 1], value: { n: 1 } },
    { type: 'delete', key: ['u', 0] },
  ])
  await db.clear({ prefix: 'b' })
  await db.load([
    ['l1', ''],
    ['l2', ''],
  ])
  await db.putStream('long', [Buffer.alloc(2 * 1024 * 1024)])
  await db.clear()
  await db.renameTable('users', 'people')
  assert.deepEqual(await root.lines(7), [
    'put\ta1\tx',
    'put\tb\t1\texpires 2100-01-01T00:00:00.000Z',
    'delete\ta1',
    'clear\tgte b\tlt c',
    'load\tl1\tl2',
    'putStream\tlong\t2097152 bytes',
    'clear',
  ])
  assert.deepEqual(await range.lines(3), ['put\t6131\t78', 'delete\t6131', 'clear'])
  assert.deepEqual(await table.lines(3), [
    'put\t["u",1]\t{"n":1}',
    'delete\t["u",0]',
    'rename\tusers\tpeople',
  ])
  await db.dropTable('people')
  const dropped = await table.result
  assert.equal(dropped.code, 0, dropped.stderr)
  const stopped = await root.stop()
  assert.equal(stopped.code, process.platform === 'win32' ? null : 130)
  await db.close()
  await destroy(path)
  const gone = await range.result
  assert.equal(gone.code, 1)
  assert.match(gone.stderr, /^kvark: The store .*, which was followed, is not there any more\.$/m)
})

test('watch --json: the changes as the API gives them', async () => {
  const store = join(folder, 'json')
  const db = await open(store, { engine: 'log' })
  await db.put('tick', '0')
  const watching = await watch('--data-dir', store, '--json')
  // It says nothing that it has begun.
  let first: { readonly value: string } | undefined
  const lines = watching.lines(1).then(([line]) => {
    first = JSON.parse(line!) as { value: string }
  })
  for (let ticks = 1; first === undefined; ticks++) {
    await db.put('tick', `${ticks}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await lines
  const { value } = first
  const version = Number(value) + 1
  assert.deepEqual(first, { type: 'put', key: 'tick', value, version, last: true })
  await watching.stop()
  await db.close()
})
