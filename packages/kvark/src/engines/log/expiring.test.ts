import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../../bytes/random.ts'
import { Expiring, isExpiringRecord } from './expiring.ts'

test('what was added is taken once, not before its time and not a second later', () => {
  const expiring = new Expiring()
  expiring.add(1500, 10)
  expiring.add(1999, 20)
  expiring.add(5000, 40)
  assert.ok(expiring.mayHave(1500) && !expiring.mayHave(1499))
  assert.equal(expiring.take(1999), 0)
  assert.equal(expiring.take(2000), 30)
  assert.equal(expiring.take(2000), 0)
  assert.ok(!expiring.isEmpty)
  assert.equal(expiring.take(1e6), 40)
  assert.ok(expiring.isEmpty && !expiring.mayHave(1e6))
})

test('what is overwritten first does not count, what has been counted is told', () => {
  const expiring = new Expiring()
  expiring.add(1000, 10)
  expiring.add(3000, 20)
  assert.equal(expiring.remove(3000, 20), true)
  assert.equal(expiring.take(1000), 10)
  assert.equal(expiring.remove(1000, 10), false, 'it is among the stale bytes already')
  assert.equal(expiring.take(3000), 0)
  assert.equal(expiring.remove(9000, 5), true, 'never below 0')
})

test('its record is short, and goes on as it was', () => {
  const random = new SeededRandom(1)
  let expiring = new Expiring()
  let waiting = 0
  let taken = 0
  for (let clock = 0; clock < 400_000; clock += 1000) {
    for (let i = 0; i < 5; i++) {
      const bytes = 1 + random.below(100)
      expiring.add(clock + 1 + random.below(i === 0 ? 100_000 : 3000), bytes)
      waiting += bytes
    }
    const record = JSON.parse(JSON.stringify(expiring.record()))
    assert.ok(isExpiringRecord(record))
    expiring = Expiring.from(record)
    assert.ok(expiring.record().ends.length <= 16)
    const now = expiring.take(clock)
    waiting -= now
    taken += now
    assert.ok(waiting >= 0)
  }
  assert.ok(taken > 50_000)
  assert.equal(expiring.take(600_000), waiting)
})

test('what is no record is told', () => {
  const good = { passed: 0, first: 5, ends: [[1000, 5]] }
  assert.ok(isExpiringRecord(good))
  for (const bad of [
    null,
    {},
    { ...good, passed: -1 },
    { ...good, first: 'x' },
    { ...good, ends: [[1]] },
    { ...good, ends: [[1, 2.5]] },
    { ...good, ends: Array.from({ length: 17 }, () => [1, 1]) },
  ]) {
    assert.ok(!isExpiringRecord(bad))
  }
})
