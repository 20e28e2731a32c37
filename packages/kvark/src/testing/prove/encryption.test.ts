import assert from 'node:assert/strict'
import { createDecipheriv } from 'node:crypto'
import { test } from 'node:test'
import { NONCE_BYTES, StoreCipher } from '../../storage/cipher.ts'
import { optionSets } from '../crash/subjects.ts'
import { EncryptionLog } from '../rollbacks.ts'
import { encryption } from './encryption.ts'
import { withPlanted } from './with-planted.ts'

const subjects = optionSets.log
const portion = (seed: number) => ({ subject: subjects[0]!, subjects, seed })

for (const [engine, sets] of Object.entries(optionSets)) {
  test(`two ciphers, ${engine}`, async () => {
    for (const seed of [1, 4]) {
      const { done } = await encryption.run({ subject: sets[0]!, subjects: sets, seed })
      assert.ok(done > 100)
    }
  })
}

test('finds a nonce that comes twice', () => {
  const log = new EncryptionLog()
  log.begin()
  try {
    const cipher = new StoreCipher('aes-128-gcm', new Uint8Array(16), (n) => new Uint8Array(n))
    cipher.seal('one', new Uint8Array(5))
    log.assertUnique()
    cipher.seal('another', new Uint8Array(5))
    log.assertUnique()
    cipher.seal('one', new Uint8Array(6))
  } finally {
    log.end()
  }
  assert.throws(() => log.assertUnique(), /a nonce came twice/)
})

test('finds that what was decrypted is believed without its tag', async () => {
  const believe = () =>
    function decrypt(
      this: StoreCipher,
      ...[key, source, from, length, envelope]: Parameters<StoreCipher['decrypt']>
    ): Uint8Array {
      const nonce = source.subarray(envelope, envelope + NONCE_BYTES)
      return createDecipheriv(this.name, key, nonce).update(source.subarray(from, from + length))
    }
  await withPlanted(StoreCipher.prototype, 'decrypt', believe, async () => {
    const run = async (): Promise<void> => {
      for (let seed = 1; seed < 9; seed++) await encryption.run(portion(seed))
    }
    await assert.rejects(run, /checksum made right/)
  })
})
