// What every implementation of Files keeps, on each of them and with both drivers.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import type { Effect } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import type { FileHandle, Files } from './files.ts'
import { memoryFiles } from './memory.ts'
import { nodeFiles } from './node.ts'
import { SimulatedFiles } from './simulated.ts'

type Run = <T>(effect: Effect<T>) => Promise<T>

const drivers: Record<string, Run> = {
  sync: async (effect) => effect.sync(),
  async: (effect) => effect.async(),
}

const implementations: Record<string, () => Files> = {
  node: () => nodeFiles,
  memory: memoryFiles,
  simulated: () => new SimulatedFiles(),
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value)

for (const [implementation, make] of Object.entries(implementations)) {
  for (const [driver, run] of Object.entries(drivers)) {
    suite(`${implementation} files, ${driver}`, () => {
      /** A new folder, on the machine and in the implementation. */
      const prepare = async (): Promise<{ files: Files; folder: string; end: () => void }> => {
        const folder = mkdtempSync(join(tmpdir(), 'kvark-files-'))
        const files = make()
        await run(files.makeFolder(folder))
        return { files, folder, end: () => rmSync(folder, { recursive: true, force: true }) }
      }
      const check = (name: string, body: (files: Files, folder: string) => Promise<void>): void => {
        test(name, async () => {
          const { files, folder, end } = await prepare()
          try {
            await body(files, folder)
          } finally {
            end()
          }
        })
      }
      const fails = (effect: Effect<unknown>, errno: string, path?: string): Promise<void> =>
        assert.rejects(
          async () => {
            await run(effect)
          },
          (error) => {
            assert.ok(error instanceof KvarkError, String(error))
            assert.equal(error.code, 'IO')
            assert.equal(error.errno, errno)
            if (path !== undefined) assert.equal(error.path, path)
            return true
          },
        )
      const write = (file: FileHandle, value: string, position: number): Promise<void> =>
        run(file.write(text(value), 0, value.length, position))
      const content = async (file: FileHandle): Promise<string> => {
        const bytes = new Uint8Array(await run(file.size()))
        assert.equal(await run(file.read(bytes, 0, bytes.length, 0)), bytes.length)
        return new TextDecoder().decode(bytes)
      }

      check('bytes come back from where they were written', async (files, folder) => {
        const file = await run(files.open(join(folder, 'a'), 'create'))
        assert.equal(file.path, join(folder, 'a'))
        await run(file.write(text('..hello..'), 2, 5, 3))
        assert.equal(await run(file.size()), 8)
        assert.equal(await content(file), '\0\0\0hello')
        await write(file, 'J', 3)
        await run(file.write(text(''), 0, 0, 100))
        assert.equal(await content(file), '\0\0\0Jello')
        await run(file.sync())

        const target = text('_'.repeat(8))
        assert.equal(await run(file.read(target, 1, 3, 4)), 3)
        assert.equal(new TextDecoder().decode(target), '_ell____')
        assert.equal(await run(file.read(target, 0, 8, 6)), 2, 'short at the end')
        assert.equal(new TextDecoder().decode(target), 'loll____')
        assert.equal(await run(file.read(target, 0, 8, 8)), 0)
        assert.equal(await run(file.read(target, 0, 8, 1000)), 0)
        assert.equal(await run(file.read(target, 0, 0, 0)), 0)
        await run(file.close())
      })

      check('a large file grows in pieces', async (files, folder) => {
        const file = await run(files.open(join(folder, 'a'), 'create'))
        const piece = new Uint8Array(70_000)
        for (let i = 0; i < 20; i++) {
          piece.fill(i + 1)
          await run(file.write(piece, 0, piece.length, i * piece.length))
        }
        const all = new Uint8Array(20 * piece.length)
        assert.equal(await run(file.read(all, 0, all.length, 0)), all.length)
        for (let i = 0; i < 20; i++) {
          const part = all.subarray(i * piece.length, (i + 1) * piece.length)
          assert.ok(part.every((byte) => byte === i + 1))
        }
        await run(file.close())
      })

      check('truncate cuts, and extends with zeros', async (files, folder) => {
        const file = await run(files.open(join(folder, 'a'), 'create'))
        await write(file, 'abcdef', 0)
        await run(file.truncate(2))
        await run(file.truncate(4))
        assert.equal(await content(file), 'ab\0\0')
        await run(file.truncate(0))
        await write(file, 'x', 1)
        assert.equal(await content(file), '\0x')
        await run(file.close())
      })

      check('modes: create, write, read', async (files, folder) => {
        const path = join(folder, 'a')
        await fails(files.open(path, 'read'), 'ENOENT', path)
        await fails(files.open(path, 'write'), 'ENOENT', path)
        await run((await run(files.open(path, 'create'))).close())
        await fails(files.open(path, 'create'), 'EEXIST', path)

        const writer = await run(files.open(path, 'write'))
        await write(writer, 'abc', 0)
        const reader = await run(files.open(path, 'read'))
        assert.equal(await content(reader), 'abc')
        await fails(reader.write(text('x'), 0, 1, 0), 'EBADF', path)
        await fails(reader.truncate(0), 'EINVAL', path)
        assert.equal(await content(writer), 'abc')
        await run(writer.close())
        await run(reader.close())
        await fails(files.open(folder, 'write'), 'EISDIR', folder)
        await fails(files.open(join(path, 'below'), 'create'), 'ENOTDIR')
        await fails(files.open(join(folder, 'none', 'a'), 'create'), 'ENOENT')
      })

      check('what has begun goes on when the handle is closed meanwhile', async (files, folder) => {
        const path = join(folder, 'a')
        const file = await run(files.open(path, 'create'))
        const source = text('begun')
        const writing = file.write(source, 0, source.length, 0).async()
        const syncing = file.sync().async()
        const closing = run(file.close())
        await Promise.all([writing, syncing, closing])
        assert.equal((await run(files.stat(path)))?.size, source.length)
      })

      check('a closed handle does nothing; closing again is harmless', async (files, folder) => {
        const path = join(folder, 'a')
        const file = await run(files.open(path, 'create'))
        await run(file.close())
        await run(file.close())
        // Takes the descriptor that became free, which the old handle must not touch.
        const other = await run(files.open(join(folder, 'b'), 'create'))
        const bytes = text('x')
        await fails(file.write(bytes, 0, 1, 0), 'EBADF', path)
        await fails(file.read(bytes, 0, 1, 0), 'EBADF', path)
        await fails(file.sync(), 'EBADF', path)
        await fails(file.size(), 'EBADF', path)
        await fails(file.truncate(1), 'EBADF', path)
        await run(file.close())
        assert.equal(await run(other.size()), 0)
        await run(other.close())
      })

      check('rename replaces, and open handles stay with their file', async (files, folder) => {
        const [a, b] = [join(folder, 'a'), join(folder, 'b')]
        const first = await run(files.open(a, 'create'))
        const second = await run(files.open(b, 'create'))
        await write(first, 'first', 0)
        await write(second, 'second', 0)
        await run(files.rename(a, b))
        assert.deepEqual(await run(files.list(folder)), ['b'])
        assert.equal(await content(second), 'second')
        const found = await run(files.open(b, 'read'))
        assert.equal(await content(found), 'first')
        await run(files.rename(b, b))
        assert.equal((await run(files.stat(b)))?.size, 5)
        await fails(files.rename(a, b), 'ENOENT', a)
        await run(files.makeFolder(join(folder, 'sub')))
        await fails(files.rename(b, join(folder, 'sub')), 'EISDIR', b)
        await run(files.rename(b, join(folder, 'sub', 'c')))
        assert.deepEqual(await run(files.list(folder)), ['sub'])
        await run(files.rename(join(folder, 'sub'), join(folder, 'moved')))
        assert.deepEqual(await run(files.list(join(folder, 'moved'))), ['c'])
        const below = join(folder, 'moved', 'inside')
        await fails(files.rename(join(folder, 'moved'), below), 'EINVAL')
        for (const file of [first, second, found]) await run(file.close())
      })

      check('remove, also of what is not there; open handles go on', async (files, folder) => {
        const path = join(folder, 'a')
        const file = await run(files.open(path, 'create'))
        await write(file, 'kept', 0)
        await run(files.remove(path))
        await run(files.remove(path))
        await run(files.remove(join(folder, 'none', 'a')))
        assert.equal(await run(files.stat(path)), undefined)
        assert.equal(await content(file), 'kept')
        await run((await run(files.open(path, 'create'))).close())
        assert.equal((await run(files.stat(path)))?.size, 0)
        await run(file.close())
        await fails(files.remove(join(path, 'below')), 'ENOTDIR')
      })

      check('names change at once, whoever waits for the call or not', async (files, folder) => {
        const [a, b] = [join(folder, 'a'), join(folder, 'b')]
        const names = (): string[] => files.list(folder).sync()
        const creating = run(files.open(a, 'create'))
        assert.deepEqual(names(), ['a'])
        const renaming = run(files.rename(a, b))
        assert.deepEqual(names(), ['b'])
        const removing = run(files.remove(b))
        assert.deepEqual(names(), [])
        await Promise.all([renaming, removing])
        const file = await creating
        await write(file, 'goes on', 0)
        await run(file.close())
      })

      check('folders: make, list sorted, stat, sync', async (files, folder) => {
        const deep = join(folder, 'x', 'y', 'z')
        await run(files.makeFolder(deep))
        await run(files.makeFolder(deep))
        await run(files.makeFolder(`${join(folder, 'x', 'w')}/`))
        assert.deepEqual(await run(files.list(join(folder, 'x'))), ['w', 'y'])
        for (const name of ['b', 'a', 'B', '10', '9']) {
          await run((await run(files.open(join(deep, name), 'create'))).close())
        }
        assert.deepEqual(await run(files.list(deep)), ['10', '9', 'B', 'a', 'b'])
        await run(files.syncFolder(deep))
        assert.equal((await run(files.stat(deep)))?.kind, 'folder')
        assert.deepEqual(await run(files.stat(join(deep, 'a'))), { kind: 'file', size: 0 })
        assert.equal(await run(files.stat(join(deep, 'none'))), undefined)
        assert.equal(await run(files.stat(join(deep, 'a', 'none'))), undefined)
        await fails(files.list(join(folder, 'none')), 'ENOENT')
        await fails(files.list(join(deep, 'a')), 'ENOTDIR')
        await fails(files.syncFolder(join(folder, 'none')), 'ENOENT')
        await fails(files.makeFolder(join(deep, 'a')), 'EEXIST')
        await fails(files.makeFolder(join(deep, 'a', 'below')), 'ENOTDIR')
      })

      check('removeFolder takes away an empty folder only', async (files, folder) => {
        const deep = join(folder, 'x', 'y')
        await run(files.makeFolder(deep))
        await fails(files.removeFolder(join(folder, 'x')), 'ENOTEMPTY', join(folder, 'x'))
        await run((await run(files.open(join(deep, 'a'), 'create'))).close())
        await fails(files.removeFolder(deep), 'ENOTEMPTY', deep)
        await fails(files.removeFolder(join(deep, 'a')), 'ENOTDIR')
        await run(files.remove(join(deep, 'a')))
        await run(files.removeFolder(deep))
        await run(files.removeFolder(deep))
        await run(files.removeFolder(join(folder, 'none', 'none')))
        assert.deepEqual(await run(files.list(join(folder, 'x'))), [])
        await run(files.makeFolder(deep))
        assert.deepEqual(await run(files.list(deep)), [])
      })

      check('the lock is exclusive until it is released', async (files, folder) => {
        const path = join(folder, 'LOCK')
        const lock = await run(files.lock(path, 0))
        await assert.rejects(
          async () => {
            await run(files.lock(path, 0))
          },
          (error) =>
            error instanceof KvarkError &&
            error.code === 'LOCKED' &&
            error.pid === process.pid &&
            error.retryable &&
            error.path === path &&
            error.message.includes('this process'),
        )
        await run(lock.release())
        const again = await run(files.lock(path, 0))
        await run(lock.release())
        await assert.rejects(async () => {
          await run(files.lock(path, 0))
        }, /locked/)
        await run(again.release())
        await run((await run(files.lock(path, 0))).release())
        assert.equal((await run(files.stat(path)))?.kind, 'file', 'the file stays')
      })

      if (implementation === 'node') {
        check('only the owner may read and write', async (files, folder) => {
          const sub = join(folder, 'p', 'q')
          await run(files.makeFolder(sub))
          await run((await run(files.open(join(sub, 'a'), 'create'))).close())
          const lock = await run(files.lock(join(sub, 'LOCK'), 0))
          await run(lock.release())
          assert.equal(statSync(join(folder, 'p')).mode & 0o777, 0o700)
          assert.equal(statSync(sub).mode & 0o777, 0o700)
          assert.equal(statSync(join(sub, 'a')).mode & 0o777, 0o600)
          assert.equal(statSync(join(sub, 'LOCK')).mode & 0o777, 0o600)
        })
      }
    })
  }
}

test('a file system that makes no folders gets an error for an answer, not an endless search for the missing parent', {
  skip: process.platform === 'linux' ? false : 'only Linux has /proc',
}, async () => {
  for (const run of Object.values(drivers)) {
    await assert.rejects(
      run(nodeFiles.makeFolder('/proc/kvark/data')),
      (error) => error instanceof KvarkError && error.errno === 'ENOENT',
    )
  }
})
