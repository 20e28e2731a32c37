import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keyNotation, valueNotation } from './notation.ts'

const NOT_UTF8 = Uint8Array.of(0xff)

function accepts(codec: string, bytes: Uint8Array, named = false): boolean {
  try {
    valueNotation({ name: codec, named }, 'utf8').check(bytes)
    return true
  } catch (error) {
    assert.equal((error as { code: string }).code, 'INVALID_VALUE')
    return false
  }
}

test('a value is refused exactly when the codec of the store could not read it', () => {
  assert.ok(accepts('utf8', Buffer.from('ö')))
  assert.ok(!accepts('utf8', NOT_UTF8))
  assert.ok(accepts('bytes', NOT_UTF8))
  assert.ok(accepts('json', Buffer.from(' {"a":[1,"ö"]} ')))
  assert.ok(!accepts('json', Buffer.from('Alice')))
  assert.ok(!accepts('json', Buffer.from('')))
  assert.ok(!accepts('json', Buffer.from('\ufeff1')))
  assert.ok(!accepts('json', Buffer.concat([Buffer.from('"'), NOT_UTF8, Buffer.from('"')])))
})

test("values of a user's own codec are written only when it is named", () => {
  assert.ok(!accepts('example-date', NOT_UTF8))
  assert.ok(accepts('example-date', NOT_UTF8, true))
})

test('a codec carries the name and passes bytes through, as a copy', () => {
  const { codec } = keyNotation({ name: 'example-date', named: false }, 'utf8')
  assert.ok(typeof codec === 'object')
  assert.equal(codec.name, 'example-date')
  const bytes = Uint8Array.of(1, 2)
  assert.deepEqual(codec.encode(bytes), bytes)
  const decoded = codec.decode(bytes)
  bytes[0] = 9
  assert.deepEqual(decoded, Uint8Array.of(1, 2))
})

test('keys of a tuple store are JSON arrays', () => {
  const keys = keyNotation({ name: 'tuple', named: false }, 'hex')
  assert.equal(keys.codec, 'tuple')
  const key = keys.parse('["user", 42]')
  assert.equal(keys.show(key).toString(), '["user",42]')
  assert.deepEqual(keys.fromJson(keys.toJson(key)), key)
})
