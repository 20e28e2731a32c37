import assert from 'node:assert/strict'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mock, test } from 'node:test'
import { nodeFiles } from './node.ts'

type Write = typeof fs.writeSync

async function withFile(body: (path: string) => Promise<void>): Promise<void> {
  const folder = fs.mkdtempSync(join(tmpdir(), 'kvark-handle-'))
  try {
    await body(join(folder, 'a'))
  } finally {
    mock.restoreAll()
    fs.rmSync(folder, { recursive: true })
  }
}

const interruption = (code: string): Error => Object.assign(new Error(code), { code })

test('short writes and reads, and interruptions, are continued', async () => {
  await withFile(async (path) => {
    const file = nodeFiles.open(path, 'create').sync()
    const { writeSync, readSync, write, read } = fs
    let calls = 0
    // Every second call is interrupted, the others move three bytes at most.
    const interrupted = (): boolean => ++calls % 2 === 0
    mock.method(fs, 'writeSync', ((
      fd: number,
      bytes: Uint8Array,
      offset: number,
      length: number,
      position: number,
    ) => {
      if (interrupted()) throw interruption('EINTR')
      return writeSync(fd, bytes, offset, Math.min(3, length), position)
    }) as Write)
    mock.method(fs, 'readSync', ((fd, bytes, offset: number, length: number, position: number) => {
      if (interrupted()) throw interruption('EAGAIN')
      return readSync(fd, bytes, offset, Math.min(3, length), position)
    }) as typeof fs.readSync)
    const short =
      (call: (...args: never[]) => void) =>
      (...[fd, bytes, offset, length, position, done]: unknown[]): void => {
        if (interrupted()) (done as (error: Error) => void)(interruption('EINTR'))
        else
          (call as (...args: unknown[]) => void)(
            fd,
            bytes,
            offset,
            Math.min(3, length as number),
            position,
            done,
          )
      }
    mock.method(fs, 'write', short(write) as typeof fs.write)
    mock.method(fs, 'read', short(read) as typeof fs.read)

    const source = Buffer.from('0123456789')
    file.write(source, 0, 10, 0).sync()
    await file.write(source, 0, 10, 10).async()
    const target = Buffer.alloc(25)
    assert.equal(file.read(target, 0, 25, 0).sync(), 20)
    assert.equal(target.toString('latin1', 0, 20), '01234567890123456789')
    target.fill(0)
    assert.equal(await file.read(target, 0, 25, 0).async(), 20)
    assert.equal(target.toString('latin1', 0, 20), '01234567890123456789')
    file.close().sync()
  })
})

test('a write without progress and endless interruptions are errors', async () => {
  await withFile(async (path) => {
    const file = nodeFiles.open(path, 'create').sync()
    const source = Buffer.from('abc')
    const nothing = mock.method(fs, 'writeSync', (() => 0) as Write)
    assert.throws(() => file.write(source, 0, 3, 0).sync(), { code: 'IO', errno: 'EIO', path })
    nothing.mock.mockImplementation(() => {
      throw interruption('EINTR')
    })
    assert.throws(() => file.write(source, 0, 3, 0).sync(), { code: 'IO', errno: 'EINTR' })
    const done = (...args: unknown[]): void =>
      (args.at(-1) as (e: null, n: number) => void)(null, 0)
    mock.method(fs, 'write', done as typeof fs.write)
    await assert.rejects(file.write(source, 0, 3, 0).async(), { code: 'IO', errno: 'EIO' })
    file.close().sync()
  })
})

test('a bad range is refused by both drivers and leaves the handle usable', async () => {
  await withFile(async (path) => {
    const file = nodeFiles.open(path, 'create').sync()
    const source = Buffer.from('abc')
    assert.throws(() => file.write(source, 0, 4, 0).sync(), { code: 'IO', path })
    await assert.rejects(file.write(source, 0, 4, 0).async(), { code: 'IO', path })
    await file.write(source, 0, 3, 0).async()
    await file.close().async()
    assert.equal(fs.readFileSync(path, 'latin1'), 'abc')
  })
})

for (const driver of ['sync', 'async'] as const) {
  test(`close (${driver}) frees the descriptor after the calls that run on it`, async () => {
    await withFile(async (path) => {
      const file = nodeFiles.open(path, 'create').sync()
      const events: string[] = []
      const { close, write } = fs
      mock.method(fs, 'write', ((...args: unknown[]) => {
        const done = args.pop() as (...results: unknown[]) => void
        const late = (...results: unknown[]): void => {
          setTimeout(() => {
            events.push('written')
            done(...results)
          }, 30)
        }
        ;(write as (...args: unknown[]) => void)(...args, late)
      }) as typeof fs.write)
      const closed = new Promise<void>((resolve) => {
        mock.method(fs, 'close', ((fd: number, done: (error: Error | null) => void) => {
          events.push('closed')
          close(fd, done)
          resolve()
        }) as typeof fs.close)
      })
      mock.method(fs, 'closeSync', () => events.push('closed too early'))

      const source = Buffer.from('abc')
      const writes = [0, 3].map((position) => file.write(source, 0, 3, position).async())
      if (driver === 'sync') file.close().sync()
      else await file.close().async()
      await assert.rejects(file.size().async(), { errno: 'EBADF' })
      await Promise.all([...writes, closed])
      assert.deepEqual(events, ['written', 'written', 'closed'])
      assert.equal(fs.readFileSync(path, 'latin1'), 'abcabc')
    })
  })
}
