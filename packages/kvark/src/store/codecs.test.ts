import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { WriteBatch } from '../engine/write-batch.ts'
import type { Codec } from './codec.ts'
import { type AnyCodec, resolveKeyCodec, resolveValueCodec } from './codecs.ts'

function encode(codec: AnyCodec, value: unknown): Buffer {
  const sink = new WriteBatch()
  // In the middle of an arena, as in a batch.
  sink.reserve(5)
  sink.used = 5
  const length = codec.encodeInto(value, sink)
  return Buffer.from(sink.bytes.subarray(5, 5 + length))
}

/** Decodes from the middle of a block. */
function decode(codec: AnyCodec, bytes: Uint8Array): unknown {
  const block = Buffer.concat([Buffer.from([0xc3]), bytes, Buffer.from([0xa9])])
  return codec.decode(block, 1, 1 + bytes.length, false)
}

const utf8 = resolveKeyCodec('utf8')
const bytes = resolveValueCodec('bytes')
const json = resolveValueCodec('json')
const date: Codec<Date> = {
  name: 'example-date',
  encode: (value) => new TextEncoder().encode(value.toISOString()),
  decode: (encoded) => {
    const value = new Date(new TextDecoder().decode(encoded))
    if (Number.isNaN(value.getTime())) throw new Error('no date')
    return value
  },
}

test('utf8 is the default', () => {
  assert.equal(resolveKeyCodec(undefined).name, 'utf8')
  assert.equal(resolveValueCodec(undefined).name, 'utf8')
})

test('utf8 writes UTF-8 and reads it back, short and long, ASCII and not', () => {
  const strings = ['', 'a', 'é', '\0', '\uFEFFa', '\uFFFD', '\uFFFDa'.repeat(50), '€'.repeat(5000)]
  for (let length = 30; length < 35; length++)
    strings.push('a'.repeat(length), `${'a'.repeat(length)}é`)
  for (const value of strings) {
    const encoded = encode(utf8, value)
    assert.deepEqual(encoded, Buffer.from(value))
    assert.equal(decode(utf8, encoded), value)
  }
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 80 }), (value) => {
      const encoded = encode(utf8, value)
      assert.deepEqual(encoded, Buffer.from(value))
      assert.equal(decode(utf8, encoded), value)
    }),
  )
})

test('utf8 refuses what is not a well-formed string', () => {
  for (const value of [1, null, undefined, new Uint8Array(1), Object('a')]) {
    assert.throws(() => encode(utf8, value), { code: 'INVALID_KEY' })
    assert.throws(() => encode(resolveValueCodec('utf8'), value), { code: 'INVALID_VALUE' })
  }
  for (const value of ['\uD800', 'a\uDC00b', `${'x'.repeat(100)}\uD83D`, '\uDE00\uD83D']) {
    assert.throws(() => encode(utf8, value), { code: 'INVALID_KEY' })
  }
})

test('utf8 refuses bytes that are not UTF-8', () => {
  for (const hex of ['ff', '61c3', 'eda080', 'c080', 'efbfbdff', 'f4908080']) {
    assert.throws(() => decode(utf8, Buffer.from(hex, 'hex')), { code: 'DECODE' }, hex)
  }
})

test('utf8 knows text that is all ASCII, which can be read without looking for more', () => {
  const ascii = (text: string): boolean | undefined =>
    utf8.isAscii?.(text, encode(utf8, text).length)
  for (const text of ['', 'a', '\0\x7f', 'x'.repeat(5000)]) assert.equal(ascii(text), true, text)
  for (const text of ['\x80', 'ä', 'aあ', '😀', `${'x'.repeat(5000)}é`]) {
    assert.equal(ascii(text), false, text)
  }
  assert.equal(utf8.decode(Buffer.from('plain'), 1, 4, true), 'lai')
})

test('bytes are the same bytes, and the own ones of the caller', () => {
  for (const length of [0, 1, 64, 65, 1000, 5000]) {
    const value = new Uint8Array(length).map((_, i) => i * 31)
    const encoded = encode(bytes, value)
    assert.deepEqual(encoded, Buffer.from(value))
    const back = bytes.decode(encoded, 0, length, false) as Uint8Array
    assert.equal(Object.getPrototypeOf(back), Uint8Array.prototype)
    encoded.fill(0)
    assert.deepEqual(back, value)
  }
  const foreign: unknown = runInNewContext('new Uint8Array([1, 2])')
  assert.deepEqual(encode(bytes, foreign), Buffer.from([1, 2]))
  assert.deepEqual(encode(bytes, Buffer.from('ab')), Buffer.from('ab'))
})

test('bytes refuses everything else', () => {
  const gone = new Uint8Array(8)
  structuredClone(gone, { transfer: [gone.buffer] })
  for (const value of ['a', [1], new ArrayBuffer(1), new Uint16Array(1), null, undefined, gone]) {
    assert.throws(() => encode(bytes, value), { code: 'INVALID_VALUE' })
    assert.throws(() => encode(resolveKeyCodec('bytes'), value), { code: 'INVALID_KEY' })
  }
})

test('json writes what JSON.stringify gives', () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
      assert.deepEqual(decode(json, encode(json, value)), JSON.parse(JSON.stringify(value)))
    }),
  )
  assert.equal(decode(json, encode(json, '\uD800')), '\uD800')
})

test('json refuses what has no JSON', () => {
  const cycle: Record<string, unknown> = {}
  cycle['self'] = cycle
  const failing = {
    toJSON: () => {
      throw new Error('no')
    },
  }
  for (const value of [undefined, () => 1, Symbol('a'), 1n, cycle, failing]) {
    assert.throws(() => encode(json, value), { code: 'INVALID_VALUE' })
  }
  for (const text of ['', '{', 'undefined', '[1,]', '"\xff"']) {
    assert.throws(() => decode(json, Buffer.from(text, 'latin1')), { code: 'DECODE' }, text)
  }
})

test('a codec of the user', () => {
  const keys = resolveKeyCodec(date)
  const values = resolveValueCodec(date)
  assert.equal(keys.name, 'example-date')
  assert.deepEqual(decode(keys, encode(keys, new Date(5))), new Date(5))
  assert.throws(() => encode(keys, 'no date'), { code: 'INVALID_KEY' })
  assert.throws(
    () => encode(values, 'no date'),
    (error: Error) => error.cause instanceof TypeError,
  )
  assert.throws(() => decode(values, Buffer.from('x')), { code: 'DECODE' })
  const wrong = resolveValueCodec({ ...date, encode: () => 'a string' })
  assert.throws(() => encode(wrong, new Date()), { code: 'INVALID_VALUE' })
})

test('a codec of the user may carry the name of one of ours', () => {
  const raw: Codec<Uint8Array> = {
    name: 'utf8',
    encode: (value) => value,
    decode: (value) => value.slice(),
  }
  const codec = resolveKeyCodec(raw)
  assert.equal(codec.name, 'utf8')
  assert.deepEqual(decode(codec, encode(codec, new Uint8Array([255]))), new Uint8Array([255]))
})

test('an option that is no codec is refused', () => {
  const options: unknown[] = [
    'utf-8',
    '',
    null,
    1,
    {},
    { ...date, name: '' },
    { ...date, decode: 1 },
    'toString',
  ]
  for (const option of options) {
    assert.throws(() => resolveKeyCodec(option), { code: 'INVALID_ARGUMENT' })
    assert.throws(() => resolveValueCodec(option), { code: 'INVALID_ARGUMENT' })
  }
  assert.throws(() => resolveKeyCodec('json'), { code: 'INVALID_ARGUMENT' })
  assert.throws(() => resolveValueCodec('tuple'), { code: 'INVALID_ARGUMENT' })
})
