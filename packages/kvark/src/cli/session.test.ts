import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { test } from 'node:test'
import { KvarkError } from '../index.ts'
import { Output } from './output.ts'
import { type Context, locate, withStore } from './session.ts'

test('a close that fails behind a write says that the write is kept', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvark-session-'))
  const sink = (): Writable => new Writable({ write: (_chunk, _encoding, done) => done() })
  const io = {
    stdin: Readable.from([]),
    stdout: sink(),
    stderr: sink(),
    env: {},
    signal: new AbortController().signal,
  }
  const output = new Output(io, { json: false, quiet: true, color: false })
  /** What a command says of a disk that is full when its store is closed. */
  const saying = async (durability: 'disk' | 'os' | undefined, write: boolean): Promise<string> => {
    const options = {
      dataDir: join(folder, 'data'),
      encoding: 'utf8',
      ...(durability && { durability }),
    }
    const context: Context = { io, output, options: options as Context['options'] }
    const place = await locate(context, { write, create: write })
    const closing = withStore(place, async (table, store) => {
      if (write) await table.put(Buffer.from('a'), Buffer.from('1'))
      const close = store.close.bind(store)
      store.close = async () => {
        await close()
        throw new KvarkError('NO_SPACE', 'The disk is full.')
      }
    })
    const error = await closing.catch((failure: unknown) => failure)
    assert.ok(error instanceof KvarkError)
    return error.message
  }
  const kept = 'The disk is full. What the command wrote is kept.'
  assert.equal(await saying(undefined, true), kept)
  assert.equal(await saying('disk', true), kept)
  assert.equal(await saying('os', true), 'The disk is full.')
  assert.equal(await saying(undefined, false), 'The disk is full.')
  rmSync(folder, { recursive: true })
})
