import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import type { FileHandle, Files } from './files.ts'
import { memoryFiles } from './memory.ts'
import { overlayFiles } from './overlay.ts'

function bytesOf(files: Files, path: string): string {
  const handle = files.open(path, 'read').sync()
  const bytes = Buffer.alloc(handle.size().sync() + 10)
  const read = handle.read(bytes, 0, bytes.length, 0).sync()
  handle.close().sync()
  return bytes.toString('hex', 0, read)
}

function contentOf(files: Files): Record<string, string> {
  const names = files.list('/a').sync()
  return Object.fromEntries(names.map((name) => [name, bytesOf(files, `/a/${name}`)]))
}

test('it behaves as the files below would, and leaves them as they are', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = new SeededRandom(seed)
    const below = memoryFiles()
    const model = memoryFiles()
    for (const files of [below, model]) files.makeFolder('/a').sync()
    for (const name of ['1', '2', '3']) {
      const bytes = random.bytes(random.below(200))
      for (const files of [below, model]) {
        const handle = files.open(`/a/${name}`, 'create').sync()
        handle.write(bytes, 0, bytes.length, 0).sync()
        handle.close().sync()
      }
    }
    const before = contentOf(below)
    const overlay = overlayFiles(below)
    const both = <T>(act: (files: Files) => T): [T, T] => [act(overlay), act(model)]
    const name = (): string => `/a/${1 + random.below(5)}`
    for (let step = 0; step < 40; step++) {
      const path = name()
      const there = model.stat(path).sync() !== undefined
      const change = random.below(5)
      if (change === 0) both((files) => files.remove(path).sync())
      else if (change === 1 && there) {
        const to = name()
        if (to !== path) both((files) => files.rename(path, to).sync())
      } else {
        const handles = both(
          (files): FileHandle => files.open(path, there ? 'write' : 'create').sync(),
        )
        const bytes = random.bytes(random.below(80))
        const at = random.below(250)
        const size = random.below(300)
        for (const handle of handles) {
          if (change === 2) handle.truncate(size).sync()
          else handle.write(bytes, 0, bytes.length, at).sync()
          handle.close().sync()
        }
      }
      const [stat, expected] = both((files) => files.stat(path).sync())
      assert.deepEqual(stat, expected)
    }
    assert.deepEqual(contentOf(overlay), contentOf(model), `seed ${seed}`)
    assert.deepEqual(contentOf(below), before)
  }
})

test('a new file on a name that is taken, and a missing one, are refused', () => {
  const below = memoryFiles()
  below.makeFolder('/a').sync()
  below.open('/a/1', 'create').sync().close().sync()
  const overlay = overlayFiles(below)
  assert.throws(() => overlay.open('/a/1', 'create').sync(), { errno: 'EEXIST' })
  assert.throws(() => overlay.open('/a/2', 'write').sync(), { errno: 'ENOENT' })
  overlay.remove('/a/1').sync()
  assert.throws(() => overlay.open('/a/1', 'read').sync(), { errno: 'ENOENT' })
  assert.throws(() => overlay.makeFolder('/b').sync(), { errno: 'EROFS' })
})
