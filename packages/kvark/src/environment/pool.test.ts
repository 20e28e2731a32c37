import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { KvarkError } from '../errors.ts'
import { buffersOf, fromPlainError, toPlainError } from './messages.ts'
import { executeInPool, hasWorkers, isInPlace } from './pool.ts'

// A child says what happens in a process of its own.
function inChild(program: string): { stdout: string; status: number | null } {
  const pool = JSON.stringify(new URL('./pool.js', import.meta.url).href)
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', `const url = ${pool}\n${program}`],
    { encoding: 'utf8', timeout: 60_000 },
  )
  return { stdout: stdout + stderr, status }
}

test('a job of no engine comes back from the worker as a typed error', async () => {
  const jobs = [1, 2, 3].map((args) => executeInPool({ engine: 'none', job: 'x', args }))
  // The unref'd worker does not keep this test alive.
  const alive = setTimeout(() => {}, 60_000)
  for (const job of jobs) {
    await assert.rejects(job, (error) => {
      assert.ok(error instanceof KvarkError)
      assert.equal(error.code, 'INVALID_ARGUMENT')
      assert.equal(error.found, 'none')
      assert.match(error.message, /"none"/)
      assert.match(error.stack ?? '', /worker/)
      return true
    })
  }
  await assert.rejects(executeInPool({ engine: 'toString', job: 'x', args: 0 }), {
    code: 'INVALID_ARGUMENT',
  })
  clearTimeout(alive)
})

test('in the file of a bundler there are no threads', () => {
  assert.ok(hasWorkers)
  assert.ok(isInPlace('file:///app/node_modules/kvark/dist/environment/pool.js?v=1'))
  for (const url of ['file:///app/dist/main.js', 'file:///app/pool.js', undefined]) {
    assert.equal(isInPlace(url), false, url)
  }
})

test('what cannot be sent fails its own job only', async () => {
  const alive = setTimeout(() => {}, 60_000)
  await assert.rejects(executeInPool({ engine: 'none', job: 'x', args: () => {} }), { code: 'IO' })
  await assert.rejects(executeInPool({ engine: 'none', job: 'x', args: 0 }), {
    code: 'INVALID_ARGUMENT',
  })
  clearTimeout(alive)
})

test('importing starts nothing, and a thread with a job keeps no process alive', () => {
  const { stdout, status } = inChild(`
    const { Worker } = await import('node:worker_threads')
    // Each thread that starts is told once to keep nothing alive.
    const { unref } = Worker.prototype
    let started = 0
    Worker.prototype.unref = function () {
      started++
      unref.call(this)
    }
    const pool = await import(url)
    console.log('started', started)
    pool.executeInPool({ engine: 'none', job: 'x', args: 0 }).catch(() => console.log('answered'))
    console.log('started', started)
  `)
  assert.match(stdout, /^started 0\nstarted 1\n(answered\n)?$/)
  assert.equal(status, 0)
})

test('a thread that dies fails its jobs, and the next job gets another', () => {
  // A worker whose memory is full dies like this; here every first one ends as it starts.
  const { stdout, status } = inChild(`
    import { Worker } from 'node:worker_threads'
    const pool = await import(url)
    setTimeout(() => process.exit(1), 50_000)
    const { postMessage } = Worker.prototype
    Worker.prototype.postMessage = function (...args) {
      Worker.prototype.postMessage = postMessage
      this.terminate()
      postMessage.apply(this, args)
    }
    const job = { engine: 'none', job: 'x', args: 0 }
    const tell = (error) => console.log(error.name, error.code, error.retryable, /thread/.test(error.message))
    await pool.executeInPool(job).catch(tell)
    await pool.executeInPool(job).catch(tell)
    process.exit(0)
  `)
  assert.equal(stdout, 'KvarkError IO true true\nKvarkError INVALID_ARGUMENT false false\n')
  assert.equal(status, 0)
})

test('errors cross as they are', () => {
  const error = new KvarkError('CORRUPTION', 'damaged', {
    path: '/a',
    offset: 7,
    retryable: true,
    cause: new Error('because'),
  })
  const back = fromPlainError(structuredClone(toPlainError(error)))
  assert.deepEqual(Object.entries(back), Object.entries(error))
  assert.equal(back.message, 'damaged')
  assert.equal(back.stack, error.stack)
  assert.equal((back.cause as Error).message, 'because')
  const odd = fromPlainError(structuredClone(toPlainError(new TypeError('odd'))))
  assert.equal(odd.code, 'IO')
  assert.equal(odd.message, 'odd')
})

test('whole buffers of a result are handed over, parts and shared memory are not', () => {
  const whole = new Uint8Array(8)
  const other = new Float64Array(4)
  const result = {
    list: [{ whole }, { again: whole.subarray(0) }, other],
    part: new Uint8Array(new ArrayBuffer(16), 0, 8),
    shared: new Uint8Array(new SharedArrayBuffer(8)),
    none: null,
    text: 'x',
  }
  assert.deepEqual([...buffersOf(result)], [whole.buffer, other.buffer])
  assert.equal(buffersOf(undefined).size, 0)
})
