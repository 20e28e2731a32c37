import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readU16 } from '../../bytes/varint.ts'
import { PlainForm } from '../../storage/block-form.ts'
import { optionSets } from '../crash/subjects.ts'
import { sectorFaults } from './sector-faults.ts'
import { withPlanted } from './with-planted.ts'

const subjects = optionSets.log

test('a plain store and one that is compressed and encrypted', async () => {
  for (const seed of [1, 16]) {
    const { done } = await sectorFaults.run({ subject: subjects[seed - 1]!, subjects, seed })
    assert.ok(done > 100)
  }
})

test('finds that a block of another place is believed', async () => {
  const believe = () => (bytes: Buffer, at: number) => readU16(bytes, at + 8)
  await withPlanted(PlainForm.prototype, 'check', believe, async () => {
    const portion = { subject: subjects[0]!, subjects, seed: 1 }
    await assert.rejects(sectorFaults.run(portion), /\(seed 1\)/)
  })
})
