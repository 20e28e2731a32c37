import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { WriteBatch } from '../../engine/write-batch.ts'
import { KvarkError } from '../../errors.ts'
import type { Tuple, TupleElement } from '../codec.ts'
import { MAX_DEPTH, TupleCodec } from './tuple.ts'
import { MAX_BIGINT_BITS } from './tuple-number.ts'

const codec = new TupleCodec()

function encode(tuple: unknown): Buffer {
  const sink = new WriteBatch()
  const length = codec.encodeInto(tuple as Tuple, sink)
  return Buffer.from(sink.bytes.subarray(sink.used, sink.used + length))
}

function decode(bytes: Buffer): Tuple {
  return codec.decode(bytes, 0, bytes.length)
}

/** The documented order, written down a second time and in another way. */
const RANKS = ['null', 'bytes', 'string', 'array', 'number', 'boolean', 'date']

function rank(element: TupleElement): number {
  if (element === null) return RANKS.indexOf('null')
  if (element instanceof Uint8Array) return RANKS.indexOf('bytes')
  if (Array.isArray(element)) return RANKS.indexOf('array')
  if (element instanceof Date) return RANKS.indexOf('date')
  return RANKS.indexOf(typeof element === 'bigint' ? 'number' : typeof element)
}

function compareElements(a: TupleElement, b: TupleElement): number {
  if (rank(a) !== rank(b)) return rank(a) - rank(b)
  if (a === null || b === null) return 0
  if (a instanceof Uint8Array) return Buffer.compare(a, b as Uint8Array)
  if (typeof a === 'string') return Buffer.compare(Buffer.from(a), Buffer.from(b as string))
  if (Array.isArray(a)) return compareTuples(a, b as Tuple)
  if (a instanceof Date) return a.getTime() - (b as Date).getTime()
  if (typeof a === 'boolean') return Number(a) - Number(b)
  // JavaScript compares a number with a bigint by exact value.
  const [x, y] = [a, b] as [number | bigint, number | bigint]
  if (x < y) return -1
  if (x > y) return 1
  return Number(typeof a === 'bigint') - Number(typeof b === 'bigint')
}

function compareTuples(a: Tuple, b: Tuple): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const order = compareElements(a[i]!, b[i]!)
    if (order !== 0) return order
  }
  return a.length - b.length
}

function beginsWith(tuple: Tuple, prefix: Tuple): boolean {
  return prefix.length <= tuple.length && compareTuples(tuple.slice(0, prefix.length), prefix) === 0
}

const NUMBERS = [
  '0 1 1.5 2 127 128 129 255 256 2147483648 9007199254740991 9007199254740992 1152921504606846976',
  '1.3479973333575319e67 2.6959946667150638e67 1.7976931348623157e308 Infinity 5e-324 2.2250738585072014e-308',
  '2.225073858507201e-308 0.1 0.3333333333333333 2.220446049250313e-16 1.0000000000000002 1.9999999999999998',
].flatMap((line) => line.split(' ').map(Number))
const POWERS = [8n, 53n, 60n, 64n, 223n, 224n, 1023n, 1024n].map((exponent) => 2n ** exponent)
const BIGINTS = [
  0n,
  1n,
  2n,
  3n ** 700n,
  ...POWERS.flatMap((power) => [power - 1n, power, power + 1n]),
]
const BYTES = [[], [0], [0, 1], [0, 255], [1], [1, 0], [2], [255]]
const STRINGS = [
  '',
  '\0',
  '\u0001',
  '\0\u0001',
  'a',
  'a\0',
  'a\0\0',
  'a\u0001',
  'ab',
  '\uFEFF',
  '\uFFFD',
  '\u{1F600}',
]
const TIMES = [0, 1, -1, 8.64e15, -8.64e15, 2 ** 32, -(2 ** 32)]

const INTERESTING: readonly TupleElement[] = [
  null,
  false,
  true,
  ...BYTES.map((bytes) => new Uint8Array(bytes)),
  ...STRINGS,
  ...NUMBERS.flatMap((value) => (value === 0 ? [0] : [value, -value])),
  ...BIGINTS.flatMap((value) => (value === 0n ? [0n] : [value, -value])),
  ...TIMES.map((ms) => new Date(ms)),
]

const interesting = fc.constantFrom(...INTERESTING)
const scalar: fc.Arbitrary<TupleElement> = fc.oneof(
  { arbitrary: interesting, weight: 4 },
  fc.string({ unit: 'grapheme', maxLength: 6 }),
  fc.uint8Array({ maxLength: 6 }),
  fc.double({ noNaN: true }).map((value) => (Object.is(value, -0) ? 0 : value)),
  fc.integer(),
  fc.bigInt(),
  fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }),
  fc.date({ noInvalidDate: true }),
)
const element: fc.Arbitrary<TupleElement> = fc.oneof(
  { maxDepth: 3 },
  { arbitrary: scalar, weight: 5 },
  fc.array(
    fc.oneof(
      scalar,
      fc.array(scalar, { maxLength: 2 }).map((elements): TupleElement => elements),
    ),
    { maxLength: 3 },
  ),
)
const tuple: fc.Arbitrary<Tuple> = fc.array(element, { maxLength: 4 })
const RUNS = { numRuns: 2000 }

test('a tuple comes back as what it was', () => {
  for (const value of INTERESTING) assert.deepEqual(decode(encode([value])), [value])
  fc.assert(
    fc.property(tuple, (value) => assert.deepEqual(decode(encode(value)), value)),
    RUNS,
  )
})

test('the order of the bytes is the documented order, and different tuples differ', () => {
  for (const a of INTERESTING) {
    for (const b of INTERESTING) {
      const order = Math.sign(compareElements(a, b))
      assert.equal(Buffer.compare(encode([a]), encode([b])), order, `${String(a)} and ${String(b)}`)
    }
  }
  fc.assert(
    fc.property(tuple, tuple, (a, b) => {
      assert.equal(Buffer.compare(encode(a), encode(b)), Math.sign(compareTuples(a, b)))
    }),
    RUNS,
  )
})

test('numbers and bigints close to each other are in order', () => {
  const near = fc
    .tuple(fc.bigInt({ min: -(2n ** 80n), max: 2n ** 80n }), fc.integer({ min: -2, max: 2 }))
    .map(([base, step]): TupleElement[] => [
      base,
      Number(base),
      base + BigInt(step),
      Number(base) + step,
    ])
  fc.assert(
    fc.property(near, (values) => {
      for (const a of values) {
        for (const b of values) {
          assert.equal(Buffer.compare(encode([a]), encode([b])), Math.sign(compareElements(a, b)))
        }
      }
    }),
    RUNS,
  )
})

test('a prefix of the bytes is a prefix of whole elements', () => {
  assert.notEqual(encode(['a\0']).indexOf(encode(['a'])), 0)
  const related = fc
    .tuple(tuple, tuple, fc.nat(4))
    .map(([a, b, cut]): [Tuple, Tuple] => [a, [...a.slice(0, cut), ...b]])
  fc.assert(
    fc.property(related, ([a, b]) => {
      assert.equal(encode(b).indexOf(encode(a)) === 0, beginsWith(b, a))
    }),
    RUNS,
  )
})

test('-0 is 0', () => {
  assert.deepEqual(encode([-0]), encode([0]))
  assert.ok(Object.is(decode(encode([-0]))[0], 0))
})

test('bytes that come out share nothing with what was read', () => {
  const bytes = encode([new Uint8Array([1, 2, 3])])
  const [element] = decode(bytes)
  bytes.fill(0)
  assert.deepEqual(element, new Uint8Array([1, 2, 3]))
})

test('what has no order or no bytes of its own is refused', () => {
  const endless: unknown[] = []
  endless.push(endless)
  const refused: [string, unknown][] = [
    ['a string as the key', 'a'],
    ['an array-like', { length: 1, 0: 'a' }],
    ['null as the key', null],
    ['NaN', [Number.NaN]],
    ['an invalid date', [new Date(Number.NaN)]],
    ['undefined', [undefined]],
    ['a hole', new Array(1)],
    ['a symbol', [Symbol('a')]],
    ['an object', [{}]],
    ['a boxed string', [Object('a')]],
    ['another typed array', [new Uint16Array(1)]],
    ['a lone surrogate', ['\uD800']],
    ['a lone surrogate in an inner array', [['a', ['\uDC00']]]],
    ['an endless array', endless],
    ['a huge bigint', [2n ** BigInt(MAX_BIGINT_BITS)]],
  ]
  for (const [name, value] of refused) {
    assert.throws(
      () => encode(value),
      (error) => error instanceof KvarkError && error.code === 'INVALID_KEY',
      name,
    )
  }
})

test('bytes whose memory is gone are refused, also where V8 still gives the length that they had', () => {
  class Gone extends Uint8Array {
    override get length(): number {
      return 2
    }
  }
  for (const bytes of [new Uint8Array(2), new Gone(2)]) {
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
    assert.throws(() => encode([bytes]), { code: 'INVALID_KEY', message: /memory is gone/ })
  }
})

test('the limits themselves are accepted', () => {
  const largest = 2n ** BigInt(MAX_BIGINT_BITS) - 1n
  assert.equal(decode(encode([largest]))[0], largest)
  let deep: TupleElement = 'x'
  for (let i = 0; i < MAX_DEPTH; i++) deep = [deep]
  assert.deepEqual(decode(encode([deep])), [deep])
  assert.throws(() => encode([[deep]]), { code: 'INVALID_KEY' })
})

test('only bytes that the codec writes are read', () => {
  const malformed = [
    '00',
    '01',
    '11',
    '30', // no end
    '306100ff',
    '300100', // a wrong escape
    '30010300',
    '30ff00', // not UTF-8
    '4010', // an open array
    '55',
    '52', // zero without a type
    '5202',
    '53', // no exponent
    '5300',
    '530100', // half an exponent
    '5301080000', // 0 as a negative exponent
    '53ff0000000500', // 5 as a large exponent
    '53100100', // a trailing zero group
    '531001', // no end of the fraction
    '53108001', // a bigint of 1.5
    '62',
    '7080000000000000', // half a date
    '70ffffffffffffffff', // beyond the last date
    '53ff0fffffff0001', // a bigint beyond the limit
    '53ff000004000000', // a number beyond the largest
    '530103cd0000', // a number below the smallest
    `5310${'01'.repeat(8)}0200`, // 59 bits after the point
    `5310${'01'.repeat(7)}0200`, // 56 bits after the point
  ]
  for (const hex of malformed) {
    assert.throws(() => decode(Buffer.from(hex, 'hex')), { code: 'DECODE' }, hex)
  }
})

test('any bytes are refused, or they are the ones that the tuple they give is written as', () => {
  const mutated = fc
    .tuple(tuple, fc.nat(), fc.integer({ min: 0, max: 255 }), fc.boolean())
    .map(([value, place, byte, cut]) => {
      const bytes = encode(value)
      if (bytes.length === 0) return bytes
      const at = place % bytes.length
      bytes[at] = byte
      return cut ? bytes.subarray(0, at) : bytes
    })
  const random = fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes))
  const tagged = fc
    .tuple(fc.constantFrom(0x51, 0x52, 0x53, 0x30, 0x40, 0x70), fc.uint8Array({ maxLength: 12 }))
    .map(([tag, bytes]) => Buffer.from([tag, ...bytes]))
  let read = 0
  fc.assert(
    fc.property(fc.oneof(mutated, random, tagged), (bytes) => {
      let value: Tuple
      try {
        value = decode(bytes)
      } catch (error) {
        assert.ok(error instanceof KvarkError && error.code === 'DECODE', String(error))
        return
      }
      read++
      assert.deepEqual(encode(value), bytes)
    }),
    { numRuns: 20_000 },
  )
  assert.ok(read > 100, 'the property must see bytes that can be read')
})
