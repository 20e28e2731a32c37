import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readU16 } from '../../bytes/varint.ts'
import { PlainForm } from '../../storage/block-form.ts'
import { optionSets } from '../crash/subjects.ts'
import { sectorFaults } from './sector-faults.ts'
import { withPlanted } from './with-planted.ts'

const subjects = optionSets.log

for (const [engine, sets] of Object.entries(optionSets)) {
  test(`a plain store and one that is compressed and encrypted, ${engine}`, async () => {
    for (const seed of [1, 16]) {
      const portion = { subject: sets[seed - 1]!, subjects: sets, seed }
      const { done } = await sectorFaults.run(portion)
      assert.ok(done > 100)
    }
  })
}

test('finds that a block of another place is believed', async () => {
  const believe = () => (bytes: Buffer, at: number) => readU16(bytes, at + 8)
  await withPlanted(PlainForm.prototype, 'check', believe, async () => {
    const portion = { subject: subjects[0]!, subjects, seed: 1 }
    await assert.rejects(sectorFaults.run(portion), /\(seed 1\)/)
  })
})
