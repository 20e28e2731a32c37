// The lock against real processes. A holder is a child that takes the lock, says so, and keeps it until it is told to
// release it, or killed.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Effect, runAsync, runSync } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import type { FileLock } from './files.ts'
import { nodeFiles } from './node.ts'
import {
  sqliteIsThere,
  takeFallbackLock,
  tryPidFileLock,
  trySqliteLock,
} from './node-lock-fallback.ts'

const onPath = (process.env['PATH'] ?? '').split(delimiter)
const noFlock = onPath.some((folder) => existsSync(join(folder, 'flock')))
  ? false
  : 'needs flock(1)'

const url = (name: string): string => JSON.stringify(new URL(name, import.meta.url).href)

function newFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'kvark-lock-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

interface Holder {
  readonly child: ChildProcess
  readonly pid: number
  kill(): Promise<void>
  release(): Promise<void>
}

/** `take` is an expression in the child that takes the lock and gives its release. */
async function startHolder(t: TestContext, path: string, take = ''): Promise<Holder> {
  const taken = take || `(await nodeFiles.lock(path, 0).async()).release().async`
  const program = `
    const { nodeFiles } = await import(${url('./node.js')})
    const fallback = await import(${url('./node-lock-fallback.js')})
    const path = ${JSON.stringify(path)}
    const release = ${taken}
    console.log('held')
    process.stdin.once('data', async () => { await release(); console.log('released') })
  `
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.after(() => child.kill('SIGKILL'))
  const [said] = (await once(child.stdout, 'data')) as [Buffer]
  assert.equal(said.toString(), 'held\n')
  return {
    child,
    pid: child.pid!,
    kill: async () => {
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
    release: async () => {
      child.stdin.write('release\n')
      await once(child.stdout, 'data')
    },
  }
}

const lockedBy = (pid: number, path: string) => (error: unknown) => {
  assert.ok(error instanceof KvarkError, String(error))
  assert.equal(error.code, 'LOCKED')
  assert.equal(error.pid, pid)
  assert.equal(error.path, path)
  assert.equal(error.retryable, true)
  assert.match(error.message, new RegExp(`process ${pid}`))
  assert.match(error.message, /lockTimeoutMs/)
  return true
}

const drivers: Record<string, <T>(effect: Effect<T>) => Promise<T>> = {
  sync: async (effect) => effect.sync(),
  async: (effect) => effect.async(),
}

for (const [driver, run] of Object.entries(drivers)) {
  const locked = (path: string, pid: number, timeoutMs = 0): Promise<void> =>
    assert.rejects(
      async () => {
        await run(nodeFiles.lock(path, timeoutMs))
      },
      lockedBy(pid, path),
    )

  test(`${driver}: another process gets the holder's pid, until that is killed`, {
    skip: noFlock,
  }, async (t) => {
    const path = join(newFolder(t), 'LOCK')
    const holder = await startHolder(t, path)
    await locked(path, holder.pid)
    await locked(path, holder.pid)
    await holder.kill()
    const lock = await run(nodeFiles.lock(path, 0))
    assert.equal(readFileSync(path, 'utf8'), `${process.pid}\n`)
    await run(lock.release())
  })

  test(`${driver}: nobody is named who does not hold the lock`, { skip: noFlock }, async (t) => {
    const path = join(newFolder(t), 'LOCK')
    const before = await startHolder(t, path)
    await before.release()
    assert.equal(readFileSync(path, 'utf8'), '')
    // Somebody who has the lock and has not written who he is yet; the file still names one that is gone.
    const holder = await startHolder(t, path)
    await before.kill()
    for (const content of ['', `${before.pid}\n`]) {
      writeFileSync(path, content)
      await assert.rejects(
        async () => {
          await run(nodeFiles.lock(path, 0))
        },
        (error: KvarkError) => error.code === 'LOCKED' && error.pid === undefined,
      )
    }
    // He writes it while we look; on a busy machine not always in time.
    let named: number | undefined
    for (let tries = 0; named === undefined && tries < 50; tries++) {
      writeFileSync(path, `${before.pid}\n`)
      const writer = spawn('sh', ['-c', `sleep 0.02; echo ${holder.pid} > '${path}'`])
      const written = once(writer, 'exit')
      await assert.rejects(
        async () => {
          await run(nodeFiles.lock(path, 0))
        },
        (error: KvarkError) => {
          named = error.pid
          return error.code === 'LOCKED' && (named === undefined || named === holder.pid)
        },
      )
      await written
    }
    assert.equal(named, holder.pid)
  })

  test(`${driver}: the timeout waits, and no longer`, { skip: noFlock }, async (t) => {
    const path = join(newFolder(t), 'LOCK')
    const holder = await startHolder(t, path)
    const start = performance.now()
    await locked(path, holder.pid, 300)
    const waited = performance.now() - start
    assert.ok(waited >= 295 && waited < 5000, `${waited} ms`)

    // Another process ends the holder, because the sync driver lets nothing run here.
    const killer = spawn('sh', ['-c', `sleep 0.3; kill -9 ${holder.pid}`])
    const lock = await run(nodeFiles.lock(path, 30_000))
    assert.ok(performance.now() - start < 20_000)
    await run(lock.release())
    if (killer.exitCode === null) await once(killer, 'exit')
  })
}

test('a lock that this process holds can be waited for, not at once', {
  skip: noFlock,
}, async (t) => {
  const path = join(newFolder(t), 'LOCK')
  const first = await nodeFiles.lock(path, 0).async()
  // Under the sync driver nobody could release it meanwhile.
  assert.throws(() => nodeFiles.lock(path, 60_000).sync(), { code: 'LOCKED', pid: process.pid })
  const waiting = nodeFiles.lock(path, 30_000).async()
  await new Promise((resolve) => setTimeout(resolve, 100))
  await first.release().async()
  const second = await waiting
  assert.throws(() => nodeFiles.lock(path, 0).sync(), { code: 'LOCKED', pid: process.pid })
  second.release().sync()
})

test('two names of one file are one lock', { skip: noFlock }, async (t) => {
  const folder = newFolder(t)
  const lock = nodeFiles.lock(join(folder, 'LOCK'), 0).sync()
  const other = join(folder, '..', folder.split('/').at(-1)!, 'LOCK')
  assert.throws(() => nodeFiles.lock(other, 0).sync(), { code: 'LOCKED' })
  lock.release().sync()
})

test('children of the holder do not keep its lock', { skip: noFlock }, async (t) => {
  const path = join(newFolder(t), 'LOCK')
  const holder = await startHolder(
    t,
    path,
    `await (async () => {
      const lock = await nodeFiles.lock(path, 0).async()
      const { spawn } = await import('node:child_process')
      spawn('sleep', ['5'], { detached: true, stdio: 'ignore' }).unref()
      return () => lock.release().async()
    })()`,
  )
  await holder.kill()
  nodeFiles.lock(path, 0).sync().release().sync()
})

test('a lock file that is removed while we wait is locked anew', { skip: noFlock }, async (t) => {
  const path = join(newFolder(t), 'LOCK')
  const holder = await startHolder(t, path)
  const waiting = nodeFiles.lock(path, 30_000).async()
  await new Promise((resolve) => setTimeout(resolve, 150))
  rmSync(path)
  await holder.kill()
  const lock = await waiting
  assert.equal(readFileSync(path, 'utf8'), `${process.pid}\n`)
  await assert.rejects(startHolderQuietly(t, path), /LOCKED/)
  await lock.release().async()
})

/** Fails with what the child says where it cannot take the lock. */
async function startHolderQuietly(t: TestContext, path: string): Promise<void> {
  const program = `
    const { nodeFiles } = await import(${url('./node.js')})
    try { nodeFiles.lock(${JSON.stringify(path)}, 0).sync(); console.log('held') }
    catch (error) { console.log(error.code) }
  `
  const child = spawn(process.execPath, ['--input-type=module', '-e', program])
  t.after(() => child.kill('SIGKILL'))
  const [said] = (await once(child.stdout, 'data')) as [Buffer]
  if (!said.toString().startsWith('held')) throw new Error(said.toString())
}

test('no descriptor is left behind by locks that fail or are released', {
  skip: noFlock,
}, async (t) => {
  if (!existsSync('/proc/self/fd')) return t.skip('needs /proc')
  const path = join(newFolder(t), 'LOCK')
  const holder = await startHolder(t, path)
  const fds = (): number => readdirSync('/proc/self/fd').length
  assert.throws(() => nodeFiles.lock(path, 0).sync(), { code: 'LOCKED' })
  const before = fds()
  for (let i = 0; i < 5; i++)
    assert.throws(() => nodeFiles.lock(path, 0).sync(), { code: 'LOCKED' })
  await holder.release()
  for (let i = 0; i < 5; i++) nodeFiles.lock(path, 0).sync().release().sync()
  assert.ok(fds() <= before, `${fds()} > ${before}`)
})

test('who only reads needs no right to write: a shared lock, or none where there is no file', {
  skip: process.platform === 'win32' ? 'no permission bits' : noFlock,
}, async (t) => {
  const folder = newFolder(t)
  const path = join(folder, 'LOCK')
  writeFileSync(path, '', { mode: 0o444 })
  chmodSync(folder, 0o555)
  // Root may write anywhere: a child without its rights tries. It takes what it can twice, and keeps the last.
  const take = `await (async () => {
    if (process.getuid() === 0) process.setuid(65534)
    const refused = await nodeFiles.lock(path, 0).async().catch(({ errno }) => errno)
    if (refused !== 'EACCES') throw new Error('it may write')
    for (const name of [path + '.missing', path]) {
      await nodeFiles.lock(name, 0, true).sync().release().async()
    }
    return (await nodeFiles.lock(path, 0, true).async()).release().async
  })()`
  const holders = [await startHolder(t, path, take), await startHolder(t, path, take)]
  chmodSync(folder, 0o700)
  assert.equal(readFileSync(path, 'utf8'), '')
  chmodSync(path, 0o600)
  for (const holder of holders) {
    assert.throws(() => nodeFiles.lock(path, 0).sync(), { code: 'LOCKED' })
    await holder.release()
  }
  nodeFiles.lock(path, 0).sync().release().sync()
})

test('a flock that fails is IO with what it said', {
  skip: process.platform === 'win32' && 'needs sh',
}, async (t) => {
  const folder = newFolder(t)
  writeFileSync(join(folder, 'flock'), '#!/bin/sh\necho "no locks available" >&2\nexit 65\n', {
    mode: 0o700,
  })
  await withPath(folder, async () => {
    const expected = { code: 'IO', message: /no locks available/ }
    assert.throws(() => nodeFiles.lock(join(folder, 'LOCK'), 0).sync(), expected)
    await assert.rejects(nodeFiles.lock(join(folder, 'LOCK'), 0).async(), expected)
  })
})

test('without flock the fallback locks, and writes the pid as well', async (t) => {
  const folder = newFolder(t)
  const path = join(folder, 'LOCK')
  await withPath(folder, async () => {
    for (const run of Object.values(drivers)) {
      const lock: FileLock = await run(nodeFiles.lock(path, 0))
      assert.equal(readFileSync(path, 'utf8'), `${process.pid}\n`)
      assert.throws(() => nodeFiles.lock(path, 0).sync(), { code: 'LOCKED', pid: process.pid })
      await run(lock.release())
    }
    const first = await nodeFiles.lock(path, 0).async()
    const waiting = nodeFiles.lock(path, 30_000).async()
    await first.release().async()
    await (await waiting).release().async()
  })
})

async function withPath(path: string, body: () => Promise<void>): Promise<void> {
  const before = process.env['PATH']
  process.env['PATH'] = path
  try {
    await body()
  } finally {
    process.env['PATH'] = before
  }
}

const fallbacks = [
  {
    name: 'trySqliteLock',
    tryLock: trySqliteLock,
    skip: sqliteIsThere() ? false : 'this Node has no node:sqlite',
  },
  { name: 'tryPidFileLock', tryLock: tryPidFileLock, skip: false as const },
]

for (const { name, tryLock, skip } of fallbacks) {
  test(`${name}: held by another process until it releases or dies`, { skip }, async (t) => {
    const folder = newFolder(t)
    const path = join(folder, 'LOCK')
    const take = `fallback.${name}(path)`
    let holder = await startHolder(t, path, take)
    assert.equal(tryLock(path), undefined)
    await holder.release()
    const unlock = tryLock(path)
    assert.ok(unlock)
    assert.equal(tryLock(path), undefined, 'by this process')
    unlock()
    holder = await startHolder(t, path, take)
    await holder.kill()
    const after = tryLock(path)
    assert.ok(after)
    after()
    const left = readdirSync(folder).filter((file) => file !== 'LOCK.sqlite')
    assert.deepEqual(left, [], 'nothing is left behind')
  })

  test(`${name}: waits with both drivers`, { skip }, async (t) => {
    const path = join(newFolder(t), 'LOCK')
    const holder = await startHolder(t, path, `fallback.${name}(path)`)
    for (const run of [runSync, runAsync]) {
      const start = performance.now()
      assert.equal(await run(takeFallbackLock(path, 80, tryLock)), undefined)
      assert.ok(performance.now() - start >= 75)
    }
    const waiting = runAsync(takeFallbackLock(path, 30_000, tryLock))
    await holder.kill()
    const unlock = await waiting
    assert.ok(unlock)
    unlock()
  })
}

test('a pid file is taken over only when its process is surely gone', (t) => {
  const folder = newFolder(t)
  const path = join(folder, 'LOCK')
  const leave = (content: string): void => {
    closeSync(openSync(`${path}.pid`, 'a'))
    writeFileSync(`${path}.pid`, content)
  }
  // No system has a process with this pid.
  const gone = 2 ** 31 - 2
  leave(`${gone}\nanother-host.example\n\n`)
  assert.equal(tryPidFileLock(path), undefined, 'another host')
  leave(`${process.pid}\n${hostname()}\n\n`)
  assert.equal(tryPidFileLock(path), undefined, 'alive')
  leave('')
  assert.equal(tryPidFileLock(path), undefined, 'unreadable')
  leave(`${gone}\n${hostname()}\n\n`)
  tryPidFileLock(path)!()
  if (existsSync('/proc/self/stat')) {
    leave(`${process.pid}\n${hostname()}\nanother-boot 1\n`)
    tryPidFileLock(path)!()
  }
  assert.deepEqual(readdirSync(folder), [])
})
