import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { KvarkError } from '../errors.ts'
import { errnoOf, systemError, systemErrorOf } from './system-error.ts'

const thrown = (code: string): Error => Object.assign(new Error(`${code}: said by Node`), { code })

test('a full disk and a used up quota are NO_SPACE, everything else is IO', () => {
  for (const errno of ['ENOSPC', 'EDQUOT', 'EIO', 'EACCES', 'ENOENT', 'EROFS', 'EWHATEVER']) {
    const cause = thrown(errno)
    const error = systemError(cause, 'open', '/data/x')
    const expected = errno === 'ENOSPC' || errno === 'EDQUOT' ? 'NO_SPACE' : 'IO'
    assert.equal(error.code, expected, errno)
    assert.equal(error.errno, errno)
    assert.equal(error.path, '/data/x')
    assert.equal(error.cause, cause)
    // What happened with the code, then what to do.
    assert.match(error.message, /^Cannot open \/data\/x: [^.]+ \(E[A-Z]+\)\. [A-Z].+\.$/)
    assert.ok(error.message.includes(`(${errno})`))
  }
})

test('what to do is said where something can be done', () => {
  const says = (errno: string, words: RegExp): void => {
    assert.match(systemErrorOf(errno, 'open', '/data').message, words)
  }
  says('EACCES', /permission/)
  says('EPERM', /permission/)
  says('EROFS', /mounted read-only/)
  says('EMFILE', /ulimit -n/)
  says('ENFILE', /fs\.file-max/)
  says('ENOTDIR', /not a folder/)
  says('EIO', /kvark verify/)
  says('ENOSPC', /Free some space\.$/)
  if (process.geteuid) says('EACCES', new RegExp(`uid ${process.geteuid()}`))
})

test('only what may pass by itself is retryable', () => {
  for (const errno of ['EMFILE', 'ENFILE', 'EAGAIN']) {
    assert.equal(systemErrorOf(errno, 'open', 'x').retryable, true)
  }
  for (const errno of ['EIO', 'EACCES', 'ENOENT', 'ENOSPC']) {
    assert.equal(systemErrorOf(errno, 'open', 'x').retryable, false)
  }
})

test('errors without an errno, and errors of kvark', () => {
  const range = systemError(thrown('ERR_OUT_OF_RANGE'), 'read', 'x')
  assert.equal(range.code, 'IO')
  assert.equal(range.errno, undefined)
  assert.match(range.message, /said by Node/)
  assert.match(systemError('odd', 'read', 'x').message, /odd/)
  const own = new KvarkError('LOCKED', 'taken')
  assert.equal(systemError(own, 'read', 'x'), own)
  assert.equal(errnoOf(systemErrorOf('EIO', 'read', 'x')), 'EIO')
  assert.equal(errnoOf(undefined), undefined)
})

test('a folder of another user is EACCES that names the user', (t) => {
  // Root may do everything: a child without its rights tries.
  const isRoot = process.geteuid?.() === 0
  if (process.platform === 'win32') return t.skip('no permission bits')
  const folder = mkdtempSync(join(tmpdir(), 'kvark-access-'))
  try {
    writeFileSync(join(folder, 'a'), '')
    chmodSync(folder, isRoot ? 0o700 : 0o000)
    const program = `
      const { nodeFiles } = await import(${JSON.stringify(new URL('./node.js', import.meta.url).href)})
      const tell = (error) => console.log(JSON.stringify({ ...error, code: error.code, message: error.message }))
      if (${isRoot}) process.setuid(65534)
      const path = ${JSON.stringify(join(folder, 'a'))}
      try { nodeFiles.open(path, 'read').sync() } catch (error) { tell(error) }
      await nodeFiles.open(path, 'read').async().catch(tell)
      await nodeFiles.lock(path, 0).async().catch(tell)
    `
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
    })
    const errors = stdout
      .trim()
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
    assert.equal(errors.length, 3, stderr)
    for (const error of errors) {
      assert.equal(error.code, 'IO')
      assert.equal(error.errno, 'EACCES')
      assert.equal(error.path, join(folder, 'a'))
      assert.match(
        error.message,
        isRoot ? /uid 65534.* lacks the permission/ : /lacks the permission/,
      )
    }
  } finally {
    chmodSync(folder, 0o700)
    rmSync(folder, { recursive: true })
  }
})
