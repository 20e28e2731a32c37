import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimulatedFiles } from '../vfs/simulated.ts'
import { simulatedEnvironment } from './simulated.ts'

test('time moves only by advance, and both clocks with it', () => {
  const environment = simulatedEnvironment({ seed: 1 })
  const [wall, start] = [environment.now(), environment.monotonic()]
  assert.equal(environment.now(), wall)
  environment.advance(1500)
  assert.equal(environment.now(), wall + 1500)
  assert.equal(environment.monotonic(), start + 1500)
  environment.jump(-5000)
  assert.equal(environment.now(), wall - 3500)
  assert.equal(environment.monotonic(), start + 1500)
})

test('timers fire in the order of their times, at their times', () => {
  const environment = simulatedEnvironment({ seed: 1 })
  const fired: string[] = []
  const at = (name: string) => () => fired.push(`${name} ${environment.monotonic()}`)
  environment.timer(30, at('c'))
  environment.timer(10, () => {
    at('a')()
    environment.timer(5, at('started by a'))
    environment.timer(500, at('too late'))
  })
  environment.timer(30, at('d'))
  environment.timer(20, at('cancelled')).cancel()
  const doomed = environment.timer(25, at('cancelled by b'))
  environment.timer(20, () => {
    at('b')()
    doomed.cancel()
  })
  environment.advance(9)
  assert.deepEqual(fired, [])
  environment.advance(91)
  assert.deepEqual(fired, ['a 10', 'started by a 15', 'b 20', 'c 30', 'd 30'])
  assert.equal(environment.monotonic(), 100)
})

test('random bytes and files come from the caller; warnings are kept', () => {
  const take = (seed: number): string =>
    Buffer.from(simulatedEnvironment({ seed }).random(16)).toString('hex')
  assert.equal(take(3), take(3))
  assert.notEqual(take(3), take(4))
  const files = new SimulatedFiles()
  const environment = simulatedEnvironment({ seed: 1, files })
  assert.equal(environment.files, files)
  assert.ok(!('execute' in environment))
  environment.warn('look out')
  assert.deepEqual(environment.warnings, ['look out'])
})

test('deferred work runs after what runs now', async () => {
  const environment = simulatedEnvironment({ seed: 1 })
  const events: string[] = []
  environment.defer(() => events.push('deferred'))
  events.push('now')
  environment.pause.sync()
  await environment.pause.async()
  assert.deepEqual(events, ['now', 'deferred'])
})
