import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readU16 } from '../../bytes/varint.ts'
import { PlainForm } from '../../storage/block-form.ts'
import { FILE_HEADER_BYTES } from '../../storage/segment-format.ts'
import { optionSets } from '../crash/subjects.ts'
import { byteCorruption } from './byte-corruption.ts'
import { withPlanted } from './with-planted.ts'

const subjects = optionSets.log
const subject = subjects[0]!

for (const [engine, subjects] of Object.entries(optionSets)) {
  const all = byteCorruption.portions!(subjects)

  test(`there is more than the goal, ${engine}`, () => {
    assert.ok(all * 500 > byteCorruption.goal)
    assert.ok(all > subjects.length)
  })

  test(`a slice of a file and one of the last store, ${engine}`, async () => {
    for (const seed of [4, all]) {
      const { done } = await byteCorruption.run({ subject: subjects[0]!, subjects, seed })
      assert.ok(done > 0 && done <= 500)
    }
  })
}

test('finds that a block is believed whose checksum is wrong', async () => {
  const believe = () => (bytes: Buffer, at: number) => readU16(bytes, at + 8)
  await withPlanted(PlainForm.prototype, 'check', believe, async () => {
    // A slice of 500 bytes with blocks in it.
    const seed = Math.ceil(FILE_HEADER_BYTES / 500) + 1
    await assert.rejects(
      byteCorruption.run({ subject, subjects, seed }),
      new RegExp(`seed ${seed}`),
    )
  })
})
