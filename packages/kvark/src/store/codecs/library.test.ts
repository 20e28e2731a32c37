import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { WriteBatch } from '../../engine/write-batch.ts'
import { loadPackage } from '../../environment/packages.ts'
import { open } from '../open.ts'
import { cborCodec, type LibraryCodec, messagePackCodec } from './library.ts'

const msgpack = messagePackCodec()
const cbor = cborCodec()

/** What comes back, from bytes in the middle of a block that is overwritten at once. */
function through(codec: LibraryCodec, value: unknown): unknown {
  const sink = new WriteBatch()
  sink.used = 3
  const length = codec.encodeInto(value, sink)
  const block = Buffer.from(sink.bytes.subarray(0, 3 + length))
  const back = codec.decode(block, 3, 3 + length)
  block.fill(0xff)
  return back
}

test('what JSON has comes back, dates to the millisecond, and bytes as a Uint8Array', () => {
  const date = fc.date({ noInvalidDate: true, min: new Date(0), max: new Date('2100-01-01') })
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      fc.constantFrom<unknown>(null, true, 0.5, 2 ** 53 - 1, -(2 ** 40)),
      fc.string({ unit: 'binary' }),
      date,
      fc.uint8Array(),
      fc.array(tie('any'), { maxLength: 3 }),
      fc.dictionary(fc.string({ minLength: 1, maxLength: 3 }), tie('any'), {
        maxKeys: 3,
        noNullPrototype: true,
      }),
    ),
  })).any
  fc.assert(
    fc.property(value, (one) => {
      const expected = structuredClone(one)
      assert.deepEqual(through(msgpack, one), expected)
      assert.deepEqual(through(cbor, one), expected)
    }),
    { numRuns: 30 },
  )
  for (const codec of [msgpack, cbor]) {
    assert.deepEqual(through(codec, { deep: Buffer.from('hi') }), {
      deep: Uint8Array.from([104, 105]),
    })
  }
})

test('cbor also has bigints, maps, sets, undefined inside, strings that are no UTF-8', () => {
  for (const value of [5n, -(2n ** 70n), new Map([[1, 'a']]), new Set(['a']), [undefined]]) {
    assert.deepEqual(through(cbor, value), value)
  }
  assert.equal(through(cbor, 'a\ud800'), 'a\ud800')
})

test('cbor gives maps and objects back as what they were, with the order of maps', () => {
  const map = new Map<string, unknown>([
    ['b', new Map()],
    ['1', { x: new Map([['y', [{}]]]), '2': 'z' }],
    [
      '__proto__',
      new Map<unknown, unknown>([
        ['a', 1],
        [2, 'b'],
      ]),
    ],
  ])
  for (const value of [map, new Map(), {}, { map, list: [map, new Set([map])] }]) {
    assert.deepEqual(through(cbor, value), value)
  }
  assert.deepEqual([...(through(cbor, map) as typeof map).keys()], ['b', '1', '__proto__'])
  const object: unknown = JSON.parse('{ "__proto__": { "a": 1 }, "b": 2 }')
  assert.deepEqual(through(cbor, object), object)
  // The tag of maps around something else.
  const nothing = Buffer.from('d9010301', 'hex')
  assert.throws(() => cbor.decode(nothing, 0, nothing.length), { code: 'DECODE' })
})

test('what would come back as something else is refused', () => {
  const cycle: Record<string, unknown> = {}
  cycle['self'] = cycle
  for (const value of [undefined, () => 1, Symbol('a'), cycle, [new Date(Number.NaN)]]) {
    assert.throws(() => through(msgpack, value), { code: 'INVALID_VALUE' })
    assert.throws(() => through(cbor, value), { code: 'INVALID_VALUE' })
  }
  for (const value of [1n, { inside: new Map() }, new Set()]) {
    assert.throws(() => through(msgpack, value), { code: 'INVALID_VALUE' })
  }
})

test('what is written can be read, what could not be is refused', () => {
  const nested = (levels: number, around: (one: unknown) => unknown): unknown => {
    let value: unknown = 'x'
    for (let i = 0; i < levels; i++) value = around(value)
    return value
  }
  const forms = [(one: unknown) => [one], (one: unknown) => ({ text: 'abc', one, n: 2 ** 40 })]
  for (const form of forms) {
    const deep = nested(1000, form)
    // Compared without recursion of its own.
    const encoded = new WriteBatch()
    const length = cbor.encodeInto(deep, encoded)
    const again = new WriteBatch()
    assert.equal(cbor.encodeInto(cbor.decode(encoded.bytes, 0, length), again), length)
    assert.ok(again.bytes.subarray(0, length).equals(encoded.bytes.subarray(0, length)))
    assert.throws(() => through(cbor, nested(1001, form)), {
      code: 'INVALID_VALUE',
      message: /more than 1000 levels/,
    })
  }
  assert.throws(
    () =>
      through(
        cbor,
        nested(501, (one) => new Set([one])),
      ),
    { code: 'INVALID_VALUE' },
  )
  const wide = {
    bytes: new Uint8Array(70_000),
    many: Array.from({ length: 300 }, () => [[-1, 'é']]),
  }
  assert.deepEqual(through(cbor, wide), wide)
  assert.throws(() => through(cbor, { toJSON: () => undefined }), { code: 'INVALID_VALUE' })

  assert.throws(() => through(msgpack, [JSON.parse('{ "__proto__": 1 }')]), {
    code: 'INVALID_VALUE',
  })
  const long = `${'x'.repeat(100)}\ud800`
  for (const value of [long, [long], { [long]: 1 }, { a: { b: [long] } }]) {
    assert.throws(() => through(msgpack, value), {
      code: 'INVALID_VALUE',
      message: /lone surrogate/,
    })
    assert.deepEqual(through(cbor, value), value)
  }
  const marked = `\ufeff${'x'.repeat(300)}`
  for (const value of [marked, { a: [marked] }, { [marked]: 1 }]) {
    assert.throws(() => through(msgpack, value), { code: 'INVALID_VALUE', message: /U\+FEFF/ })
    assert.deepEqual(through(cbor, value), value)
  }
  const inside = ['\ufeffx', `x${marked}`]
  assert.deepEqual(through(msgpack, inside), inside)
  const replaced = { a: `${'x'.repeat(100)}\ufffd`, b: Uint8Array.of(0xef, 0xbf, 0xbd) }
  assert.deepEqual(through(msgpack, replaced), replaced)
})

test('bytes that are nothing of it, too few and too many', () => {
  for (const codec of [msgpack, cbor]) {
    for (const hex of ['', '0101', 'a1', 'c1']) {
      const bytes = Buffer.from(hex, 'hex')
      assert.throws(() => codec.decode(bytes, 0, bytes.length), { code: 'DECODE' }, hex)
    }
  }
})

test('a package that is missing is told with what to install', () => {
  assert.throws(() => loadPackage('@kvark/not-there', "The codec 'msgpack'"), {
    code: 'UNSUPPORTED',
    message: /npm install @kvark\/not-there$/,
  })
})

test('by name in a store and in a table, whose other codec is MISMATCH', async () => {
  const db = await open(':memory:', { values: 'msgpack' })
  const table = db.table('t', { values: 'cbor' })
  await db.put('a', { at: new Date(1), of: [1, null] })
  await table.put('a', { many: 2n ** 80n })
  assert.deepEqual(db.getSync('a'), { at: new Date(1), of: [1, null] })
  assert.deepEqual(await table.entries().nextMany(2), [['a', { many: 2n ** 80n }]])
  assert.throws(() => db.table('t', { values: 'msgpack' }), { code: 'MISMATCH', found: 'cbor' })
  await db.close()
})

test('the bytes are those of the formats, as documented', () => {
  const hex = (codec: LibraryCodec, value: unknown): string => {
    const sink = new WriteBatch()
    return sink.bytes.toString('hex', 0, codec.encodeInto(value, sink))
  }
  assert.equal(hex(msgpack, { a: [1, null] }), '81a1619201c0')
  assert.equal(hex(msgpack, new Date(1000)), 'd6ff00000001')
  assert.equal(hex(cbor, { a: [1, null] }), 'a161618201f6')
  assert.equal(
    hex(cbor, new Date(1000)),
    `c074${Buffer.from('1970-01-01T00:00:01Z').toString('hex')}`,
  )
  assert.equal(hex(cbor, new Map([['a', 1]])), 'd90103a1616101')
  assert.equal(hex(cbor, new Map([[1, 2]])), 'a10102')
  assert.deepEqual([hex(cbor, 5n), hex(cbor, -6n)], ['c24105', 'c34105'])
  assert.equal(hex(cbor, 'a\ud800'), 'd9011144' + '61eda080')
})
