import assert from 'node:assert/strict'
import { test } from 'node:test'
import { optionSets } from './crash/subjects.ts'
import { LogForger } from './prove/log/forger.ts'
import { formOf, isEncrypted, knownStore } from './prove/small-store.ts'
import { unnoticed } from './prove/trial.ts'
import { shardChecksum } from './stored-index.ts'
import { changed } from './tampering.ts'

/** The polynomial of CRC-32 from x³² to x⁰: to add it anywhere leaves the checksum as it was. */
const POLYNOMIAL = [0b1, 0x04, 0xc1, 0x1d, 0xb7]
  .map((byte, i) => byte.toString(2).padStart(i === 0 ? 1 : 8, '0'))
  .join('')

const encrypted = optionSets.log.filter((subject) => isEncrypted(formOf(subject)))

for (const subject of encrypted) {
  test(`a shard whose bits were changed without changing its checksum is noticed, ${subject.name}`, () => {
    const store = knownStore(subject, { compacted: true, spread: false })
    const name = [...store.content.keys()].find((one) => one.endsWith('.index'))!
    const shards = new LogForger(store, (length) => new Uint8Array(length)).shards(name)
    assert.ok(shards.length > 5)
    for (const shard of shards) {
      const bytes = Buffer.from(store.content.get(name)!)
      const sum = shardChecksum(bytes, shard)
      const from = (shard.at + (shard.number % 30)) * 8
      for (const [i, bit] of POLYNOMIAL.split('').entries()) {
        bytes[(from + i) >>> 3]! ^= Number(bit) << ((from + i) & 7)
      }
      assert.equal(shardChecksum(bytes, shard), sum)
      const hint = `shard ${shard.number}`
      const harmless = unnoticed(store, changed(store.content, name, bytes), hint, 1)
      assert.equal(harmless, undefined, hint)
    }
  })
}
