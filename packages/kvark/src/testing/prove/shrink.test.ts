import assert from 'node:assert/strict'
import { test } from 'node:test'
import { shortest } from './shrink.ts'

const steps = Array.from({ length: 50 }, (_, i) => i)

test('what a failure needs is left, in its order', async () => {
  for (const needed of [[0], [49], [3, 4], [7, 31, 40], steps]) {
    const found = await shortest(steps, async (some) => needed.every((step) => some.includes(step)))
    assert.deepEqual(found, needed)
  }
})

test('where any one step will do, one is left', async () => {
  assert.equal((await shortest(steps, async (some) => some.length > 0)).length, 1)
})

test('where nothing can be left out, or nothing fails any more, all is left', async () => {
  assert.deepEqual(await shortest(steps, async () => false), steps)
})
