import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  CIPHERS,
  ENVELOPE_BYTES,
  keyBytes,
  keyOfPassphrase,
  keyOfPassphraseSync,
  StoreCipher,
  unwrapKey,
  wrapKey,
} from './cipher.ts'

function newCipher(name: (typeof CIPHERS)[number], key = randomBytes(keyBytes(name))): StoreCipher {
  return new StoreCipher(name, key, randomBytes)
}

/** Every copy of `bytes` that differs in one bit. */
function* flipped(bytes: Uint8Array): Generator<Buffer> {
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const copy = Buffer.from(bytes)
    copy[bit >>> 3]! ^= 1 << (bit & 7)
    yield copy
  }
}

test('what is sealed comes back, and differs each time', () => {
  for (const name of CIPHERS) {
    const cipher = newCipher(name)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), fc.string(), (bytes, purpose) => {
        const sealed = cipher.seal(purpose, bytes)
        assert.equal(sealed.length, bytes.length + ENVELOPE_BYTES)
        assert.deepEqual(Buffer.from(cipher.unseal(purpose, sealed)!), Buffer.from(bytes))
        assert.notDeepEqual(cipher.seal(purpose, bytes), sealed)
      }),
    )
  }
})

test('changed, cut, lengthened, for another purpose or by another key, it is refused', () => {
  for (const name of CIPHERS) {
    const cipher = newCipher(name)
    const sealed = cipher.seal('one', Buffer.from('the content'))
    for (const damaged of flipped(sealed)) assert.equal(cipher.unseal('one', damaged), undefined)
    for (let length = 0; length < sealed.length; length++) {
      assert.equal(cipher.unseal('one', sealed.subarray(0, length)), undefined)
    }
    assert.equal(cipher.unseal('one', Buffer.concat([sealed, Buffer.from([0])])), undefined)
    assert.equal(cipher.unseal('two', sealed), undefined)
    assert.equal(newCipher(name).unseal('one', sealed), undefined)
  }
  const key = randomBytes(32)
  const short = new StoreCipher('aes-128-gcm', key.subarray(0, 16), randomBytes)
  const sealed = short.seal('one', Buffer.from('x'))
  assert.equal(newCipher('aes-256-gcm', key).unseal('one', sealed), undefined)
})

test('each file and purpose has a key of its own, the same in every process', () => {
  const key = randomBytes(32)
  const [a, b] = [newCipher('aes-256-gcm', key), newCipher('aes-256-gcm', key)]
  const hex = (cipher: StoreCipher, purpose: string, life: number): string =>
    cipher.subkey(purpose, life).export().toString('hex')
  const keys = [
    hex(a, 'segment', 1),
    hex(a, 'segment', 2),
    hex(a, 'index', 1),
    hex(a, 'segment 1', 1),
  ]
  assert.equal(new Set([...keys, key.toString('hex')]).size, 5)
  assert.equal(hex(b, 'segment', 1), keys[0])
  // Past the bound of what is kept, too.
  for (let life = 0; life < 5000; life++) a.subkey('many', life)
  assert.equal(hex(a, 'segment', 1), keys[0])
})

test('a proof is of the text, the purpose and the key', () => {
  const key = randomBytes(32)
  const cipher = newCipher('aes-256-gcm', key)
  const proof = cipher.proof('one', 'text')
  assert.match(proof, /^[0-9a-f]{64}$/)
  assert.equal(newCipher('aes-256-gcm', key).proof('one', 'text'), proof)
  const others = [
    cipher.proof('one', 'texts'),
    cipher.proof('two', 'text'),
    newCipher('aes-256-gcm').proof('one', 'text'),
  ]
  assert.ok(!others.includes(proof))
})

test("a wrapped key is unwrapped by the same user's key only, of whatever length", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 16, maxLength: 100 }),
      fc.constantFrom(16, 32),
      (userKey, length) => {
        const dataKey = randomBytes(length)
        const wrapped = wrapKey(userKey, dataKey, randomBytes)
        assert.deepEqual(Buffer.from(unwrapKey(userKey, wrapped)!), dataKey)
        assert.ok(!wrapped.includes(dataKey.toString('hex')))
        const other = Buffer.from(userKey)
        other[0]! ^= 1
        assert.equal(unwrapKey(other, wrapped), undefined)
        assert.equal(unwrapKey(userKey.subarray(1), wrapped), undefined)
      },
    ),
    { numRuns: 30 },
  )
  const userKey = randomBytes(32)
  const wrapped = wrapKey(userKey, randomBytes(32), randomBytes)
  for (const damaged of flipped(Buffer.from(wrapped, 'hex'))) {
    assert.equal(unwrapKey(userKey, damaged.toString('hex')), undefined)
  }
  assert.equal(unwrapKey(userKey, ''), undefined)
  assert.equal(unwrapKey(userKey, wrapped.slice(0, -2)), undefined)
})

test('a passphrase gives the same key at once and awaited, in every spelling; another salt another', async () => {
  const salt = Buffer.alloc(16, 7)
  const key = keyOfPassphraseSync('\u00e9t\u00e9', salt)
  assert.equal(key.length, 32)
  assert.deepEqual(await keyOfPassphrase('e\u0301te\u0301', salt), key)
  assert.notDeepEqual(keyOfPassphraseSync('\u00e9te', salt), key)
  assert.notDeepEqual(keyOfPassphraseSync('\u00e9t\u00e9', Buffer.alloc(16, 8)), key)
})
