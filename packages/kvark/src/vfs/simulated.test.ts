import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import type { FileHandle } from './files.ts'
import { type CrashOptions, SimulatedFiles } from './simulated.ts'

const text = (value: string): Uint8Array => new TextEncoder().encode(value)

function write(file: FileHandle, value: string, position = 0): void {
  file.write(text(value), 0, value.length, position).sync()
}

function read(files: SimulatedFiles, path: string): string {
  const file = files.open(path, 'read').sync()
  const bytes = new Uint8Array(file.size().sync())
  file.read(bytes, 0, bytes.length, 0).sync()
  file.close().sync()
  return new TextDecoder().decode(bytes)
}

/** A disk with the folder /d. */
function newDisk(): SimulatedFiles {
  const files = new SimulatedFiles()
  files.makeFolder('/d').sync()
  return files
}

/** A disk with /d/a, durable, and a handle on it. */
function diskWith(content: string): { files: SimulatedFiles; file: FileHandle } {
  const files = newDisk()
  const file = files.open('/d/a', 'create').sync()
  write(file, content)
  file.sync().sync()
  files.syncFolder('/d').sync()
  assert.equal(files.unsyncedChanges, 0)
  return { files, file }
}

/** What can be there after a crash: the results of `look` over many seeds, sorted. */
function outcomes(
  files: SimulatedFiles,
  mode: 'prefix' | 'subset',
  look: (after: SimulatedFiles) => string,
): string[] {
  const seen = new Set<string>()
  for (let seed = 0; seed < 300; seed++) {
    seen.add(look(files.afterCrash({ mode, random: new SeededRandom(seed) })))
  }
  return [...seen].sort()
}

const names = (files: SimulatedFiles): string => files.list('/d').sync().join(' ')

suite('a crash that keeps only what was synced', () => {
  test('bytes and sizes are those of the last sync', () => {
    const { files, file } = diskWith('hello')
    write(file, 'J')
    write(file, ' there', 5)
    assert.equal(read(files.afterCrash(), '/d/a'), 'hello')
    file.sync().sync()
    file.truncate(2).sync()
    assert.equal(read(files, '/d/a'), 'Je')
    assert.equal(read(files.afterCrash(), '/d/a'), 'Jello there')
    file.sync().sync()
    assert.equal(read(files.crash(), '/d/a'), 'Je')
  })

  test('what was written stays so when the buffer it came from is used again', () => {
    const { files, file } = diskWith('')
    const buffer = Buffer.from('abc')
    file.write(buffer, 0, 3, 0).sync()
    buffer.fill('x')
    file.sync().sync()
    assert.equal(read(files.crash(), '/d/a'), 'abc')
  })

  test('a new file needs the sync of its folder, and its own for the bytes', () => {
    const files = newDisk()
    const file = files.open('/d/a', 'create').sync()
    write(file, 'abc')
    file.sync().sync()
    assert.equal(names(files.afterCrash()), '')
    files.syncFolder('/d').sync()
    assert.equal(read(files.afterCrash(), '/d/a'), 'abc')
    const other = files.open('/d/b', 'create').sync()
    write(other, 'abc')
    files.syncFolder('/d').sync()
    assert.equal(read(files.afterCrash(), '/d/b'), '')
  })

  test('a rename that was not synced is undone, with what it replaced', () => {
    const { files } = diskWith('old')
    const file = files.open('/d/new', 'create').sync()
    write(file, 'new')
    file.sync().sync()
    files.syncFolder('/d').sync()
    files.rename('/d/new', '/d/a').sync()
    const undone = files.afterCrash()
    assert.equal(names(undone), 'a new')
    assert.equal(read(undone, '/d/a'), 'old')
    files.syncFolder('/d').sync()
    const kept = files.crash()
    assert.equal(names(kept), 'a')
    assert.equal(read(kept, '/d/a'), 'new')
  })

  test('a removal that was not synced is undone, a synced one is not', () => {
    const { files, file } = diskWith('abc')
    files.remove('/d/a').sync()
    assert.equal(read(files.afterCrash(), '/d/a'), 'abc')
    // A new file of that name is another file.
    write(files.open('/d/a', 'create').sync(), 'other')
    file.sync().sync()
    assert.equal(read(files.afterCrash(), '/d/a'), 'abc')
    files.syncFolder('/d').sync()
    assert.equal(read(files.afterCrash(), '/d/a'), '')
  })

  test('a rename between folders takes a sync of each', () => {
    const { files } = diskWith('abc')
    files.makeFolder('/e').sync()
    files.rename('/d/a', '/e/b').sync()
    files.syncFolder('/e').sync()
    const half = files.afterCrash()
    assert.equal(read(half, '/d/a'), 'abc')
    assert.equal(read(half, '/e/b'), 'abc')
    files.syncFolder('/d').sync()
    assert.equal(names(files.afterCrash()), '')
    assert.equal(read(files.afterCrash(), '/e/b'), 'abc')
  })

  test('folders are durable once made', () => {
    const files = new SimulatedFiles()
    files.makeFolder('/x/y/z').sync()
    assert.deepEqual(files.crash().stat('/x/y/z').sync(), { kind: 'folder', size: 0 })
  })

  test('a folder that is removed and made again is there', () => {
    const files = newDisk()
    files.removeFolder('/d').sync()
    assert.ok(files.afterCrash().stat('/d').sync())
    files.makeFolder('/d').sync()
    assert.ok(files.afterCrash().stat('/d').sync())
    files.syncFolder('/').sync()
    assert.ok(files.afterCrash().stat('/d').sync())
  })

  test('handles, locks and the disk itself are gone; the new disk is free and clean', async () => {
    const { files, file } = diskWith('abc')
    const lock = files.lock('/d/LOCK', 0).sync()
    files.syncFolder('/d').sync()
    const waiting = file.write(text('x'), 0, 1, 0).async()
    const after = files.crash()
    await assert.rejects(waiting, { code: 'IO', errno: 'EIO' })
    for (const effect of [
      file.size(),
      file.sync(),
      lock.release(),
      files.list('/d'),
      files.open('/d/a', 'read'),
    ]) {
      assert.throws(() => effect.sync(), { code: 'IO', errno: 'EIO' })
    }
    assert.equal(read(after, '/d/a'), 'abc')
    assert.equal(after.unsyncedChanges, 0)
    after.lock('/d/LOCK', 0).sync()
    assert.equal(read(after.crash(), '/d/a'), 'abc', 'a second crash')
  })
})

suite('a crash that keeps some of what was not synced', () => {
  test('prefix: what was done up to some moment', () => {
    const { files, file } = diskWith('----')
    write(file, 'a', 0)
    write(file, 'b', 1)
    files.rename('/d/a', '/d/z').sync()
    write(file, 'c', 2)
    const look = (after: SimulatedFiles): string => {
      const name = names(after)
      return `${name} ${read(after, `/d/${name}`)}`
    }
    assert.deepEqual(outcomes(files, 'prefix', look), [
      'a ----',
      'a a---',
      'a ab--',
      'z ab--',
      'z abc-',
    ])
  })

  test('subset: writes in any combination, what was synced always', () => {
    const { files, file } = diskWith('---')
    write(file, 's', 0)
    file.sync().sync()
    write(file, 'x', 1)
    write(file, 'y', 2)
    const look = (after: SimulatedFiles): string => read(after, '/d/a')
    assert.deepEqual(outcomes(files, 'subset', look), ['s--', 's-y', 'sx-', 'sxy'])
  })

  test('subset: the names of a folder in their order', () => {
    const { files } = diskWith('abc')
    files.rename('/d/a', '/d/b').sync()
    files.open('/d/c', 'create').sync()
    files.remove('/d/b').sync()
    assert.deepEqual(outcomes(files, 'subset', names), ['a', 'b', 'b c', 'c'])
  })

  test('subset: writes are torn at sectors, and the size may come without the bytes', () => {
    const { files, file } = diskWith('')
    // From the middle of sector 0 to the middle of sector 2.
    write(file, 'x'.repeat(1024), 256)
    const look = (after: SimulatedFiles): string => {
      const bytes = read(after, '/d/a')
      const parts = [bytes.slice(256, 512), bytes.slice(512, 1024), bytes.slice(1024)]
      const shown = parts.map((part) => {
        const kinds = new Set(part)
        assert.ok(kinds.size <= 1, 'each sector as a whole')
        return kinds.size === 0 ? '.' : kinds.has('x') ? 'x' : '0'
      })
      assert.match(bytes.slice(0, 256), /^\0*$/)
      return shown.join('')
    }
    assert.deepEqual(outcomes(files, 'subset', look), [
      '...',
      '000',
      '00x',
      '0x.',
      '0x0',
      '0xx',
      'x..',
      'x00',
      'x0x',
      'xx.',
      'xx0',
      'xxx',
    ])
  })

  test('the same seed leaves the same disk', () => {
    const { files, file } = diskWith('')
    for (let i = 0; i < 20; i++) write(file, `${i}`.repeat(300), i * 400)
    const leave = (options: CrashOptions): string => read(files.afterCrash(options), '/d/a')
    const seeded = (seed: number): string =>
      leave({ mode: 'subset', random: new SeededRandom(seed) })
    assert.equal(seeded(5), seeded(5))
    assert.notEqual(seeded(5), seeded(6))
  })
})

suite('faults', () => {
  test('the next call, the n-th, all from there on', () => {
    const { files, file } = diskWith('')
    files.failNext({ call: 'write', error: 'EIO' })
    assert.throws(() => write(file, 'a'), { code: 'IO', errno: 'EIO', path: '/d/a' })
    write(file, 'b')
    files.failNext({ call: 'write', path: 'other', error: 'EIO' })
    files.failNext({ call: 'write', path: '/a', nth: 2, error: 'ENOSPC', forever: true })
    write(file, 'c')
    assert.throws(() => write(file, 'd'), { code: 'NO_SPACE', errno: 'ENOSPC' })
    assert.throws(() => write(file, 'd'), { code: 'NO_SPACE' })
    files.clearFaults()
    write(file, 'e')
    assert.equal(read(files, '/d/a'), 'e')
  })

  test('a rule sees every call', async () => {
    const { files, file } = diskWith('')
    files.failNext((call) => (call.call === 'write' && call.position === 7 ? 'EIO' : undefined))
    write(file, 'a', 6)
    await assert.rejects(file.write(text('a'), 0, 1, 7).async(), { errno: 'EIO' })
    assert.throws(() => write(file, 'a', 7), { errno: 'EIO' })
  })

  test('after a failed sync the bytes count as clean and never reach the disk', () => {
    const { files, file } = diskWith('old!')
    write(file, 'new')
    files.failNext({ call: 'sync', error: 'EIO' })
    assert.throws(() => file.sync().sync(), { code: 'IO', errno: 'EIO' })
    assert.equal(read(files, '/d/a'), 'new!')
    write(file, '?', 3)
    file.sync().sync()
    assert.equal(read(files.afterCrash(), '/d/a'), 'old?')
    write(file, 'new')
    file.sync().sync()
    assert.equal(read(files.crash(), '/d/a'), 'new?')
  })

  test('a sync that fails for a closed handle loses nothing', () => {
    const { files, file } = diskWith('')
    const other = files.open('/d/a', 'write').sync()
    write(other, 'abc')
    file.close().sync()
    assert.throws(() => file.sync().sync(), { errno: 'EBADF' })
    other.sync().sync()
    assert.equal(read(files.crash(), '/d/a'), 'abc')
  })

  test('a failed sync of a folder keeps its names on their way', () => {
    const files = newDisk()
    files.open('/d/a', 'create').sync()
    files.failNext({ call: 'syncFolder', error: 'EIO' })
    assert.throws(() => files.syncFolder('/d').sync(), { errno: 'EIO' })
    assert.equal(names(files.afterCrash()), '')
    files.syncFolder('/d').sync()
    assert.equal(names(files.afterCrash()), 'a')
  })
})

suite('a full disk', () => {
  test('takes what fits and counts files that are open but have no name', () => {
    const { files, file } = diskWith('12345')
    files.capacityBytes = 8
    const full = { code: 'NO_SPACE', errno: 'ENOSPC', path: '/d/a' }
    assert.throws(() => write(file, 'abcdef', 5), full)
    assert.equal(read(files, '/d/a'), '12345abc')
    write(file, 'x', 0)
    assert.throws(() => write(file, 'x', 8), full)
    assert.throws(() => file.truncate(9).sync(), full)

    const other = files.open('/d/b', 'create').sync()
    assert.throws(() => write(other, 'x'), { code: 'NO_SPACE', path: '/d/b' })
    files.remove('/d/a').sync()
    assert.throws(() => write(other, 'x'), { code: 'NO_SPACE' })
    file.close().sync()
    write(other, 'x')
    other.truncate(8).sync()
    files.capacityBytes = 4
    assert.throws(() => write(other, 'x', 8), { code: 'NO_SPACE' })
    write(other, 'xxxxxxxx')
    files.capacityBytes = 9
    write(other, 'x', 8)
    assert.equal(files.crash().capacityBytes, 9)
  })
})

test('calls are recorded in order, the failed ones too', async () => {
  const files = newDisk()
  files.calls.length = 0
  const file = files.open('/d/a', 'create').sync()
  // Awaited calls happen later than calls at once that were made after them.
  const later = file.write(text('abc'), 0, 3, 10).async()
  file.sync().sync()
  await later
  files.failNext({ call: 'truncate', error: 'EIO' })
  assert.throws(() => file.truncate(4).sync())
  files.syncFolder('/d').sync()
  files.rename('/d/a', '/d/b').sync()
  assert.throws(() => files.open('/d/a', 'read').sync())
  assert.deepEqual(files.calls, [
    { call: 'open', path: '/d/a', mode: 'create', epoch: 0 },
    { call: 'sync', path: '/d/a', epoch: 0 },
    { call: 'write', path: '/d/a', position: 10, length: 3, epoch: 1 },
    { call: 'truncate', path: '/d/a', position: 4, epoch: 1, error: 'EIO' },
    { call: 'syncFolder', path: '/d', epoch: 1 },
    { call: 'rename', path: '/d/a', to: '/d/b', epoch: 2 },
    { call: 'open', path: '/d/a', mode: 'read', epoch: 2, error: 'ENOENT' },
  ])
})
