import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readU16 } from '../../bytes/varint.ts'
import { PlainForm } from '../../storage/block-form.ts'
import { EntryHeader } from '../../storage/entry.ts'
import { optionSets } from '../crash/subjects.ts'
import { codecInputs } from './codec-inputs.ts'
import { withPlanted } from './with-planted.ts'

const subjects = optionSets.log
const portion = { subject: subjects[0]!, subjects, seed: 1 }

for (const [engine, sets] of Object.entries(optionSets)) {
  test(`a plain form and one that is compressed and encrypted, ${engine}`, async () => {
    for (const seed of [1, 16]) {
      const portion = { subject: sets[seed - 1]!, subjects: sets, seed }
      const { done, more } = await codecInputs.run(portion)
      assert.ok(done >= 10_000)
      const own = { log: 1, btree: 4 }[engine]!
      assert.equal(Object.keys(more!).length, 12 + own, 'every codec had its turn')
    }
  })
}

test('finds a block that is believed, and a header that comes back otherwise', async () => {
  const believe = () => (bytes: Buffer, at: number) => readU16(bytes, at + 8)
  await withPlanted(PlainForm.prototype, 'check', believe, async () => {
    await assert.rejects(codecInputs.run(portion), /block.*\(seed 1\)/s)
  })
  const forget = (original: EntryHeader['read']) =>
    function read(this: EntryHeader, ...args: Parameters<EntryHeader['read']>): boolean {
      const found = original.apply(this, args)
      this.expiry = 0
      return found
    }
  await withPlanted(EntryHeader.prototype, 'read', forget as never, async () => {
    await assert.rejects(codecInputs.run(portion), /entry header.*\(seed 1\)/s)
  })
})
