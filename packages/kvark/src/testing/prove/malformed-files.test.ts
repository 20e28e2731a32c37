import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HashIndex } from '../../engines/log/hash-index.ts'
import { asKvarkError, KvarkError } from '../../errors.ts'
import { optionSets } from '../crash/subjects.ts'
import { guarded, guardedAgain, TookLong } from './guard.ts'
import { malformedFiles, malformedFilesRow } from './malformed-files.ts'
import { withPlanted } from './with-planted.ts'

const subjects = optionSets.log

for (const [engine, sets] of Object.entries(optionSets)) {
  test(`a plain store and one that is encrypted, ${engine}`, async () => {
    for (const seed of [1, 11]) {
      const portion = { subject: sets[seed - 1]!, subjects: sets, seed }
      const { done } = await malformedFiles.run(portion)
      assert.ok(done > 50)
    }
  })
}

test('one in ten is salvaged where there is something to do it with', async () => {
  let salvaged = 0
  const row = malformedFilesRow(() => void salvaged++)
  const { done } = await row.run({ subject: subjects[1]!, subjects, seed: 2 })
  assert.equal(salvaged, done / 10)
})

test('finds an error that is not ours', async () => {
  const broken = () => () => {
    throw new TypeError('planted')
  }
  await withPlanted(HashIndex.prototype, 'restore', broken, async () => {
    const portion = { subject: subjects[0]!, subjects, seed: 1 }
    await assert.rejects(malformedFiles.run(portion), /seed 1\): TypeError: planted/)
  })
})

test('the guard lets our errors pass, and no others, no large buffers and no long waits', () => {
  const act = (error: Error) => () =>
    guarded(1000, () => {
      throw error
    })
  assert.equal(act(new KvarkError('CORRUPTION', 'damaged'))().error?.code, 'CORRUPTION')
  assert.throws(act(new TypeError('planted')), TypeError)
  assert.throws(act(asKvarkError(new TypeError('planted'))), TypeError)
  assert.equal(guarded(1000, () => void Buffer.alloc(1000)).largest, 1000)
  assert.throws(() => guarded(1000, () => void Buffer.allocUnsafeSlow(1001)), /1001 bytes/)
  const swallowed = (): void => {
    try {
      Buffer.alloc(2 ** 31)
    } catch {
      // As decompression does.
    }
  }
  assert.throws(() => guarded(1000, swallowed), /2147483648 bytes/)
  const wait = new Int32Array(new SharedArrayBuffer(4))
  assert.throws(
    () => guarded(1000, () => void Atomics.wait(wait, 0, 0, 1100)),
    /it took 1\d\d\d ms/,
  )
})

test('what takes long is tried again, and what takes long each time is told', () => {
  const wait = new Int32Array(new SharedArrayBuffer(4))
  let tries = 0
  const slow = (times: number) => (): void => {
    if (tries++ < times) Atomics.wait(wait, 0, 0, 1010)
  }
  guardedAgain(1000, slow(1))
  assert.equal(tries, 2)
  tries = 0
  assert.throws(() => guardedAgain(1000, slow(Number.POSITIVE_INFINITY)), TookLong)
  assert.equal(tries, 3)
})
