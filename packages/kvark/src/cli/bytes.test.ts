import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { bytesFromJson, bytesToJson, ENCODINGS, parseBytes, showBytes, visible } from './bytes.ts'

const anyBytes = fc.uint8Array({ maxLength: 64 })

test('what hex and base64 show is parsed back to the same bytes', () => {
  fc.assert(
    fc.property(anyBytes, fc.constantFrom('hex', 'base64'), (bytes, encoding) => {
      const text = showBytes(bytes, encoding).toString()
      assert.deepEqual(new Uint8Array(parseBytes(text, encoding, 'key')), bytes)
    }),
  )
})

test('utf8 shows the bytes themselves', () => {
  assert.deepEqual(showBytes(Uint8Array.of(0xff, 0), 'utf8'), Buffer.from([0xff, 0]))
})

test('bytes survive JSON, UTF-8 or not', () => {
  fc.assert(
    fc.property(anyBytes, (bytes) => {
      const json: unknown = JSON.parse(JSON.stringify(bytesToJson(bytes, 'utf8')))
      assert.deepEqual(new Uint8Array(bytesFromJson(json, 'value')), bytes)
    }),
  )
  assert.equal(bytesToJson(Buffer.from('ö'), 'utf8'), 'ö')
  assert.deepEqual(bytesToJson(Uint8Array.of(0xff), 'utf8'), { base64: '/w==' })
  assert.equal(bytesToJson(Uint8Array.of(0xff), 'hex'), 'ff')
})

test('text that stands for no bytes is refused, not repaired', () => {
  for (const text of ['f', 'fg', '0x00', 'ff 00']) {
    assert.throws(() => parseBytes(text, 'hex', 'key'), { code: 'INVALID_KEY', message: /not hex/ })
  }
  for (const text of ['/x', 'a', '*', 'AA AA', '/w===', '_w==']) {
    assert.throws(() => parseBytes(text, 'base64', 'value'), { code: 'INVALID_VALUE' }, text)
  }
  assert.throws(() => parseBytes('a\ud800', 'utf8', 'key'), { code: 'INVALID_KEY' })
})

test('base64 may come without its padding', () => {
  assert.deepEqual(parseBytes('/w', 'base64', 'key'), Buffer.from([0xff]))
})

test('the empty text is the empty bytes in every encoding', () => {
  for (const encoding of ENCODINGS) assert.equal(parseBytes('', encoding, 'key').length, 0)
})

test('JSON of another shape is refused', () => {
  for (const json of [1, null, [], {}, { base64: 1 }, { base64: 'AA==', more: 1 }, { hex: 'ff' }]) {
    assert.throws(
      () => bytesFromJson(json, 'value'),
      { code: 'INVALID_VALUE' },
      JSON.stringify(json),
    )
  }
})

test('control characters are made visible', () => {
  assert.equal(visible('a\u001b[2Jb\u009b', true), 'a\\x1b[2Jb\\x9b')
  assert.equal(visible('a\n\tb', true), 'a\n\tb')
  assert.equal(visible('a\n\tb', false), 'a\\x0a\\x09b')
})
