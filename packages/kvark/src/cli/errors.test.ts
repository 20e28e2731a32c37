import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ErrorCode, KvarkError, open } from '../index.ts'
import { simulatedEnvironment } from '../testing/index.ts'
import { exitCodeOf, fileError, Interrupted, jsonOf, messageOf, OutputClosed } from './errors.ts'

test('exit codes', () => {
  const expected: Record<ErrorCode, number> = {
    NOT_FOUND: 1,
    CONFLICT: 1,
    INVALID_ARGUMENT: 2,
    INVALID_KEY: 2,
    INVALID_VALUE: 2,
    MISMATCH: 2,
    UNSUPPORTED: 2,
    DECODE: 3,
    CLOSED: 3,
    NO_SPACE: 3,
    IO: 3,
    CORRUPTION: 3,
    COMPACTION_FAILED: 3,
    VERSION: 3,
    LOCKED: 4,
    READ_ONLY: 5,
    BAD_ENCRYPTION_KEY: 5,
  }
  for (const [code, exit] of Object.entries(expected)) {
    assert.equal(exitCodeOf(new KvarkError(code as ErrorCode, '')), exit, code)
  }
  for (const errno of ['EACCES', 'EPERM', 'EROFS']) {
    assert.equal(exitCodeOf(new KvarkError('IO', '', { errno })), 5, errno)
  }
  assert.equal(exitCodeOf(new KvarkError('IO', '', { errno: 'EIO' })), 3)
  assert.equal(exitCodeOf(new Interrupted('SIGINT')), 130)
  assert.equal(exitCodeOf(new Interrupted('SIGTERM')), 143)
  assert.equal(exitCodeOf(new OutputClosed()), 0)
  assert.equal(exitCodeOf(new TypeError('surprise')), 3)
  assert.equal(exitCodeOf('a string'), 3)
})

test('a message is one line, whatever was thrown', () => {
  assert.equal(messageOf(new TypeError('one\n  two\r\nthree\n')), 'one two three')
  assert.equal(messageOf('plain'), 'plain')
})

test('a held store names its holder, and no option of the library', () => {
  const message = (details: object): string =>
    messageOf(new KvarkError('LOCKED', 'Wait with lockTimeoutMs.', { path: '/a', ...details }))
  assert.match(message({ pid: 4711 }), /^\/a is in use by process 4711: .*\(kill 4711\)/)
  assert.match(message({}), /^\/a is in use by another process: /)
  for (const details of [{ pid: 4711 }, {}]) {
    assert.doesNotMatch(message(details), /lockTimeoutMs|undefined/)
  }
})

test('what to do is said to people, not to a program that goes on', async () => {
  const environment = simulatedEnvironment({ seed: 1 })
  const db = await open('/store', { environment })
  environment.files.failNext({ call: 'write', error: 'ENOSPC' })
  const [full, later] = await Promise.all(
    [db.put('a', '1'), db.put('b', '2')].map((put) => put.then(String, (error: Error) => error)),
  )
  const refused = await db.put('c', '3').then(String, (error: Error) => error)
  const said = [full, later, refused].map(messageOf)
  assert.match(said[0]!, /\. Free some space\. .* kept: read it back\.$/)
  assert.match(said[2]!, /Remove the cause, and try again\.$/)
  assert.doesNotMatch(said.join(' '), /resume/)
  await db.close().catch(() => {})
})

test('as JSON an error keeps its fields', () => {
  const error = new KvarkError('CORRUPTION', 'Bad block.', { path: 'x', offset: 5 })
  assert.deepEqual(JSON.parse(JSON.stringify(jsonOf(error))), {
    error: { code: 'CORRUPTION', message: 'Bad block.', path: 'x', offset: 5, retryable: false },
  })
  assert.deepEqual(jsonOf(new TypeError('surprise')), {
    error: { code: 'IO', message: 'surprise' },
  })
})

test("Node's file errors become sentences", () => {
  const cause = Object.assign(new Error('ENOSPC: …'), { code: 'ENOSPC' })
  const error = fileError(cause, 'write x', 'x')
  assert.equal(error.code, 'NO_SPACE')
  assert.equal(error.message, 'Cannot write x: the disk is full.')
  assert.equal(error.errno, 'ENOSPC')
})
