import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { memoryFiles } from '../vfs/memory.ts'
import { nodeFiles } from '../vfs/node.ts'
import { memoryEnvironment, nodeEnvironment } from './node.ts'

test('the machine, its clocks and its randomness', () => {
  const environment = nodeEnvironment()
  assert.equal(environment.files, nodeFiles)
  assert.ok(Math.abs(environment.now() - Date.now()) < 1000)
  const start = environment.monotonic()
  assert.ok(environment.monotonic() >= start)
  const bytes = environment.random(32)
  assert.equal(bytes.length, 32)
  assert.notDeepEqual(bytes, environment.random(32))
})

test('only files that other threads can open bring threads', () => {
  assert.ok('execute' in nodeEnvironment())
  assert.ok(!('execute' in nodeEnvironment(nodeFiles, false)))
  assert.ok(!('execute' in nodeEnvironment(memoryFiles())))
  const first = memoryEnvironment()
  assert.ok(!('execute' in first))
  assert.notEqual(first.files, memoryEnvironment().files)
})

test('deferred work comes before promises, a pause lets the event loop turn', async () => {
  const environment = nodeEnvironment()
  const events: string[] = []
  await new Promise<void>((resolve) => {
    setImmediate(() => {
      environment.defer(() => events.push('deferred'))
      void Promise.resolve().then(() => events.push('promise'))
      setImmediate(() => events.push('other work'))
      environment.pause.sync()
      events.push('paused at once')
      void environment.pause.async().then(() => {
        events.push('paused')
        resolve()
      })
    })
  })
  assert.deepEqual(events, ['paused at once', 'deferred', 'promise', 'other work', 'paused'])
})

test('timers fire once, can be cancelled, and may be long', async () => {
  const environment = nodeEnvironment()
  const fired: string[] = []
  environment.timer(1, () => fired.push('cancelled')).cancel()
  const long = environment.timer(2 ** 40, () => fired.push('long'))
  environment.timer(5, () => fired.push('short'))
  await new Promise((resolve) => setTimeout(resolve, 60))
  assert.deepEqual(fired, ['short'])
  long.cancel()
})

test('a timer does not keep the process alive; a warning is a KvarkWarning', () => {
  const program = `
    const { nodeEnvironment } = await import(${JSON.stringify(new URL('./node.js', import.meta.url).href)})
    const environment = nodeEnvironment()
    environment.timer(60_000, () => {})
    process.on('warning', (warning) => console.log(warning.name, warning.message))
    environment.warn('look out')
  `
  const { status, stdout } = spawnSync(
    process.execPath,
    ['--no-warnings', '--input-type=module', '-e', program],
    { encoding: 'utf8', timeout: 30_000 },
  )
  assert.equal(stdout, 'KvarkWarning look out\n')
  assert.equal(status, 0)
})
