import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { effect, runSync } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import { CIPHERS } from './cipher.ts'
import { newDataKey, openKey, type Secret, type StoredKey, storeKey } from './store-key.ts'

const FOLDER = '/store'

function refused(stored: StoredKey, secret: Secret): KvarkError {
  try {
    runSync(openKey(stored, secret, FOLDER))
  } catch (error) {
    if (error instanceof KvarkError) return error
    throw error
  }
  assert.fail('it was opened')
}

test('the data key of each cipher comes back by key and by passphrase, at once and awaited', async () => {
  for (const cipher of CIPHERS) {
    const dataKey = newDataKey(cipher, randomBytes)
    assert.equal(dataKey.length, cipher === 'aes-128-gcm' ? 32 : 64)
    for (const secret of [{ key: randomBytes(24) }, { passphrase: 'words' }]) {
      const stored = runSync(storeKey(cipher, dataKey, secret, randomBytes))
      assert.equal(stored.cipher, cipher)
      assert.equal(stored.salt === null, 'key' in secret)
      assert.ok(!JSON.stringify(stored).includes(dataKey))
      assert.equal(runSync(openKey(stored, secret, FOLDER)), dataKey)
      assert.equal(await effect(() => openKey(stored, secret, FOLDER)).async(), dataKey)
    }
  }
})

test('another secret is BAD_ENCRYPTION_KEY, in a sentence that shows neither', () => {
  const dataKey = newDataKey('aes-256-gcm', randomBytes)
  const key = randomBytes(32)
  const byKey = runSync(storeKey('aes-256-gcm', dataKey, { key }, randomBytes))
  const byPhrase = runSync(
    storeKey('aes-256-gcm', dataKey, { passphrase: 'right words' }, randomBytes),
  )
  const cases: readonly [StoredKey, Secret, RegExp][] = [
    [byKey, { key: randomBytes(32) }, /The key does not open the store \/store\. Give/],
    [byKey, { passphrase: 'wrong words' }, /with a key, not with a passphrase\. Give/],
    [byPhrase, { passphrase: 'wrong words' }, /The passphrase does not open the store \/store/],
    [byPhrase, { key }, /with a passphrase, not with a key\. Give/],
  ]
  for (const [stored, secret, sentence] of cases) {
    const error = refused(stored, secret)
    assert.deepEqual([error.code, error.path], ['BAD_ENCRYPTION_KEY', FOLDER])
    assert.match(error.message, sentence)
    assert.doesNotMatch(error.message, /words|[0-9a-f]{16}/)
  }
})

test('the same secret wraps differently each time', () => {
  const dataKey = newDataKey('aes-256-gcm', randomBytes)
  const key = randomBytes(32)
  const twice = [1, 2].map(() => runSync(storeKey('aes-256-gcm', dataKey, { key }, randomBytes)))
  assert.notEqual(twice[0]!.wrapped, twice[1]!.wrapped)
})
