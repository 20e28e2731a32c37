import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Tuple } from '../index.ts'
import { checkNumbers, parseTuple, tupleFromJson, tupleToJson } from './tuple.ts'

test('every kind of element survives JSON', () => {
  const tuple: Tuple = [
    null,
    true,
    -1.5,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    2n ** 70n,
    -1n,
    'text',
    Uint8Array.of(0, 255),
    new Date(0),
    ['nested', [1n]],
  ]
  const json: unknown = JSON.parse(JSON.stringify(tupleToJson(tuple)))
  const back = tupleFromJson(json)
  assert.deepEqual(new Uint8Array(back[8] as Uint8Array), tuple[8])
  assert.deepEqual(back.toSpliced(8, 1), tuple.toSpliced(8, 1))
})

test('a date is a day, or a moment with its time zone', () => {
  const dates = ['-271821-04-20', '2026-01-31T12:00+01:00', '+275760-09-13T00:00:00.000Z']
  const [first, second, last] = dates.map((date) => parseTuple(`[{"date":"${date}"}]`)[0] as Date)
  assert.deepEqual([Number(first), Number(last)], [-864e13, 864e13])
  assert.equal(second?.toISOString(), '2026-01-31T11:00:00.000Z')
})

test('numbers are looked for beside a value of any length', () => {
  const entry = JSON.stringify({ value: '1e999\\"'.repeat(2 ** 21), key: [1] })
  checkNumbers(entry)
  assert.throws(() => checkNumbers(`${entry.slice(0, -2)}e999]}`), { code: 'INVALID_KEY' })
})

test('numbers that would be others are refused', () => {
  for (const number of [
    '9007199254740993',
    '-9007199254740993',
    '1e400',
    '-1e400',
    '9'.repeat(400),
  ]) {
    const message = /cannot be kept as it stands/
    assert.throws(() => parseTuple(`["a",[${number}]]`), { code: 'INVALID_KEY', message }, number)
  }
  const exact = [2 ** 53, 2 ** 53 + 2, 2 ** 70, -(2 ** 70), 1e21, 0.1, 5e-324, Number.MAX_VALUE]
  assert.deepEqual(parseTuple(JSON.stringify(exact)), exact)
  assert.deepEqual(parseTuple('["\\"9007199254740993",18014398509481984]'), [
    '"9007199254740993',
    2 ** 54,
  ])
  assert.deepEqual(parseTuple('[{"bigint":"9007199254740993"}]'), [9007199254740993n])
})

test('what is no tuple is refused', () => {
  for (const text of ['user', '"user"', '{}', '1', '[']) {
    assert.throws(() => parseTuple(text), { code: 'INVALID_KEY', message: /JSON array/ }, text)
  }
  for (const element of [
    '{}',
    '{"a":"b"}',
    '{"bigint":"1.5"}',
    '{"date":"soon"}',
    '{"date":"1"}',
    '{"date":"2026-02-30"}',
    '{"date":"2026-01-31T12:00"}',
    '{"number":"NaN"}',
  ]) {
    assert.throws(() => parseTuple(`[${element}]`), { code: 'INVALID_KEY' }, element)
  }
  assert.throws(() => parseTuple('[{"base64":"AA==","hex":"00"}]'), { code: 'INVALID_KEY' })
  const deep = '['.repeat(100_000) + ']'.repeat(100_000)
  assert.throws(() => parseTuple(deep), { code: 'INVALID_KEY', message: /levels deep/ })
})
