/** What callers should not hand in, by name; made anew each time, for some of it changes when it is used. */

import { MAX_BIGINT_BITS } from '../../../store/codecs/tuple-number.ts'

export type Wrong = Readonly<Record<string, () => unknown>>

/** What code of the user's throws: it must come through as it is. */
export const OWN: Error = new Error('Of the caller.')

export function throwOwn(): never {
  throw OWN
}

/** What is neither text nor bytes nor an array. */
const NEITHER: Wrong = {
  undefined: () => undefined,
  null: () => null,
  'a number': () => 1,
  NaN: () => Number.NaN,
  infinity: () => Number.POSITIVE_INFINITY,
  'a bigint': () => 1n,
  true: () => true,
  'an object': () => ({}),
  'an object without a prototype': () => Object.create(null),
  'a symbol': () => Symbol('a'),
  'a function': () => () => 'a',
  'a date': () => new Date(0),
  'a map': () => new Map([['a', 1]]),
  'a promise': () => Promise.resolve('a'),
  'a regular expression': () => /a/,
  'a String object': () => new String('a'),
  'an object that says it is text': () => ({ toString: () => 'a', length: 1 }),
  'an object whose text cannot be told': () => ({ toString: throwOwn, valueOf: throwOwn }),
  'a proxy that refuses everything': () =>
    new Proxy({}, { get: throwOwn, has: throwOwn, ownKeys: throwOwn, getPrototypeOf: throwOwn }),
  'a proxy that is revoked': () => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    return proxy
  },
}

function detached(length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
  return bytes
}

/** Its memory has become too short for it. */
function outOfBounds(): Uint8Array {
  const buffer = new ArrayBuffer(8, { maxByteLength: 8 })
  const bytes = new Uint8Array(buffer, 4, 4)
  ;(buffer as ArrayBuffer & { resize(length: number): void }).resize(2)
  return bytes
}

export const noBytes: Wrong = {
  ...NEITHER,
  text: () => 'a',
  'an array of numbers': () => [1, 2],
  'an ArrayBuffer': () => new ArrayBuffer(2),
  'a SharedArrayBuffer': () => new SharedArrayBuffer(2),
  'a DataView': () => new DataView(new ArrayBuffer(2)),
  'a Uint16Array': () => new Uint16Array(2),
  'an Int8Array': () => new Int8Array(2),
  'a Float64Array': () => new Float64Array(2),
  'a Uint8ClampedArray': () => new Uint8ClampedArray(2),
  'an object like bytes': () => ({ 0: 1, length: 1, byteLength: 1, buffer: new ArrayBuffer(1) }),
  'an object made from the prototype of bytes': () => Object.create(Uint8Array.prototype),
  'a proxy of bytes': () => new Proxy(new Uint8Array(2), {}),
  'bytes whose memory is gone': () => detached(4),
  'no bytes, whose memory is gone': () => detached(0),
  'bytes whose memory has become too short': outOfBounds,
}

const NO_TEXT: Wrong = {
  ...NEITHER,
  bytes: () => new Uint8Array(2),
  'an array': () => ['a'],
  'half a surrogate pair': () => 'a\uD800',
  'the other half': () => '\uDC00',
  'a pair the wrong way round': () => '\uDC00\uD800',
}

function nested(depth: number): unknown {
  let value: unknown = []
  for (let i = 0; i < depth; i++) value = [value]
  return value
}

function circular(): unknown {
  const array: unknown[] = []
  array.push(array)
  return array
}

const NO_TUPLE: Wrong = {
  ...NEITHER,
  text: () => 'a',
  bytes: () => new Uint8Array(2),
  'a tuple of undefined': () => [undefined],
  'a tuple with a hole': () => new Array(2),
  'a tuple of NaN': () => [Number.NaN],
  'a tuple of an object': () => [{}],
  'a tuple of a symbol': () => [Symbol('a')],
  'a tuple of a function': () => [() => 1],
  'a tuple of a date that is none': () => [new Date(Number.NaN)],
  'a tuple of half a pair': () => ['a\uD800'],
  'a tuple of a Uint16Array': () => [new Uint16Array(1)],
  'a tuple of bytes whose memory is gone': () => [detached(2)],
  'a tuple of a bigint that is too large': () => [1n << BigInt(MAX_BIGINT_BITS + 1)],
  'a tuple that is nested too deep': () => nested(5000),
  'a tuple in itself': circular,
}

export const wrongKeys: Readonly<Record<'utf8' | 'bytes' | 'tuple', Wrong>> = {
  utf8: NO_TEXT,
  bytes: noBytes,
  tuple: NO_TUPLE,
}

const NO_JSON: Wrong = {
  undefined: () => undefined,
  'a function': () => () => 1,
  'a symbol': () => Symbol('a'),
  'a bigint': () => 1n,
  'an object with a bigint': () => ({ a: [{ b: 1n }] }),
  'an object in itself': () => {
    const object: Record<string, unknown> = {}
    object['self'] = object
    return object
  },
  'an object that becomes nothing': () => ({ toJSON: () => undefined }),
}

export const wrongValues: Readonly<Record<'utf8' | 'bytes' | 'tuple', Wrong>> = {
  utf8: NO_TEXT,
  bytes: noBytes,
  // Keys are tuples there, values JSON.
  tuple: NO_JSON,
}

/** What may be unusual but is right. */
export const oddBytes: Wrong = {
  'no bytes': () => new Uint8Array(0),
  'a Buffer': () => Buffer.from('odd'),
  'bytes in shared memory': () => new Uint8Array(new SharedArrayBuffer(3)),
  'bytes in memory that can grow': () => new Uint8Array(new ArrayBuffer(3, { maxByteLength: 9 })),
  'bytes in shared memory that can grow': () =>
    new Uint8Array(Reflect.construct(SharedArrayBuffer, [3, { maxByteLength: 9 }])),
  'bytes that are frozen in extent': () => Object.preventExtensions(new Uint8Array(3)),
  'bytes of an own class': () => new (class Own extends Uint8Array {})(3),
  'a part of bytes': () => new Uint8Array(9).subarray(3, 6),
}

/** What is no object of options. */
export const noOptions: Wrong = {
  null: () => null,
  text: () => 'disk',
  'a number': () => 1,
  true: () => true,
  'an array': () => [],
  'a function': () => () => ({}),
  'a symbol': () => Symbol('a'),
}

const WRONG_DURABILITY: Wrong = {
  'a durability that is misspelt': () => ({ durability: 'disc' }),
  'a durability that is a number': () => ({ durability: 1 }),
  'a durability that is null': () => ({ durability: null }),
  'a durability that is an object': () => ({ durability: { toString: () => 'disk' } }),
  'a durability of Object': () => ({ durability: 'toString' }),
  'an option that is misspelt': () => ({ durabilty: 'disk' }),
  'an option of Object': () => ({ hasOwnProperty: 1 }),
  'an option that is inherited': () => Object.create({ durabilty: 'disk' }),
}

export const wrongBatchOptions: Wrong = {
  ...noOptions,
  ...WRONG_DURABILITY,
  'a condition of one write': () => ({ ifAbsent: true }),
}

export const wrongWriteOptions: Wrong = {
  ...noOptions,
  ...WRONG_DURABILITY,
  'a version below 0': () => ({ ifVersion: -1 }),
  'a version that is no whole number': () => ({ ifVersion: 1.5 }),
  'a version that is NaN': () => ({ ifVersion: Number.NaN }),
  'a version that is infinite': () => ({ ifVersion: Number.POSITIVE_INFINITY }),
  'a version that is too large': () => ({ ifVersion: 2 ** 53 }),
  'a version that is text': () => ({ ifVersion: '1' }),
  'a version that is a bigint': () => ({ ifVersion: 1n }),
  'a version that is null': () => ({ ifVersion: null }),
  'ifAbsent that is text': () => ({ ifAbsent: 'yes' }),
  'ifAbsent that is 1': () => ({ ifAbsent: 1 }),
  'both conditions': () => ({ ifAbsent: true, ifVersion: 1 }),
}

export const wrongScanOptions: Wrong = {
  ...noOptions,
  'a limit below 0': () => ({ limit: -1 }),
  'a limit that is no whole number': () => ({ limit: 0.5 }),
  'a limit that is NaN': () => ({ limit: Number.NaN }),
  'a limit that is text': () => ({ limit: '1' }),
  'a limit that is a bigint': () => ({ limit: 1n }),
  'a limit that is too large': () => ({ limit: 2 ** 53 }),
  'a limit that is null': () => ({ limit: null }),
  'a signal that is none': () => ({ signal: {} }),
  'a signal that is an AbortController': () => ({ signal: new AbortController() }),
  'a token that is text': () => ({ token: 'a' }),
  'a token that is an array': () => ({ token: [1] }),
  'a token of nothing': () => ({ token: new Uint8Array(0) }),
  'a token of garbage': () => ({ token: new Uint8Array(9).fill(0xff) }),
  'a token that is too long': () => ({ token: new Uint8Array(1000) }),
  'a token whose memory is gone': () => ({ token: detached(8) }),
  'an option that is misspelt': () => ({ limt: 1 }),
}

export const wrongJobOptions: Wrong = {
  ...noOptions,
  'a signal that is none': () => ({ signal: { aborted: false } }),
  'a signal that is true': () => ({ signal: true }),
  'progress that is no function': () => ({ progress: 'loud' }),
  'progress that is an object': () => ({ progress: {} }),
  'an option that is misspelt': () => ({ onprogress: () => {} }),
}

export const wrongWatchOptions: Wrong = {
  ...noOptions,
  'a signal that is none': () => ({ signal: { aborted: false } }),
  'a version below 0': () => ({ since: -1 }),
  'half a version': () => ({ since: 0.5 }),
  'a version that is text': () => ({ since: '1' }),
  'no bytes': () => ({ bufferBytes: 0 }),
  'bytes that are infinite': () => ({ bufferBytes: Number.POSITIVE_INFINITY }),
  'a key and a range': () => ({ key: 'a', gte: 'a' }),
  'a key and a prefix': () => ({ key: 'a', prefix: 'a' }),
  'two beginnings': () => ({ gt: 'a', gte: 'a' }),
  'an option that is misspelt': () => ({ from: 1 }),
  'an option of walks': () => ({ limit: 1 }),
}

export const wrongCounts: Wrong = {
  undefined: () => undefined,
  null: () => null,
  'a number below 0': () => -1,
  'half a number': () => 0.5,
  NaN: () => Number.NaN,
  infinity: () => Number.POSITIVE_INFINITY,
  text: () => '1',
  'a bigint': () => 1n,
  'a number that is too large': () => 2 ** 53,
  'an object': () => ({ valueOf: () => 1 }),
}

/** Ends of an entry. */
export const wrongEnds: Wrong = {
  'a ttl of 0': () => ({ ttl: 0 }),
  'a ttl below 0': () => ({ ttl: -1 }),
  'a ttl that is NaN': () => ({ ttl: Number.NaN }),
  'a ttl that is infinite': () => ({ ttl: Number.POSITIVE_INFINITY }),
  'a ttl that is too large': () => ({ ttl: 2 ** 50 }),
  'a ttl that is text': () => ({ ttl: '1000' }),
  'a ttl that is a bigint': () => ({ ttl: 1000n }),
  'a ttl that is null': () => ({ ttl: null }),
  'an end of 0': () => ({ expiresAt: 0 }),
  'an end that is no whole number': () => ({ expiresAt: 0.5 }),
  'an end that is too large': () => ({ expiresAt: 2 ** 50 }),
  'an end that is a date': () => ({ expiresAt: new Date() }),
  'an end that is null': () => ({ expiresAt: null }),
  'two ends': () => ({ ttl: 1, expiresAt: 1 }),
}

const wrongAttempts: Wrong = {
  'no attempts': () => ({ attempts: 0 }),
  'attempts below 0': () => ({ attempts: -1 }),
  'half an attempt': () => ({ attempts: 0.5 }),
  'attempts that are NaN': () => ({ attempts: Number.NaN }),
  'attempts that are infinite': () => ({ attempts: Number.POSITIVE_INFINITY }),
  'attempts that are text': () => ({ attempts: '3' }),
  'attempts that are null': () => ({ attempts: null }),
}

/** Of `transaction`. */
export const wrongTransactionOptions: Wrong = {
  ...noOptions,
  ...WRONG_DURABILITY,
  ...wrongAttempts,
  'a ttl': () => ({ ttl: 1 }),
}

/** Of `update`, `increment` and `getOrPut`. */
export const wrongUpdateOptions: Wrong = {
  ...noOptions,
  ...WRONG_DURABILITY,
  ...wrongAttempts,
  ...wrongEnds,
  'a condition': () => ({ ifAbsent: true }),
}

/** Of a write of a transaction. */
export const wrongPendingOptions: Wrong = {
  ...noOptions,
  ...wrongEnds,
  'a durability of its own': () => ({ durability: 'disk' }),
  'attempts of its own': () => ({ attempts: 1 }),
  'an option that is misspelt': () => ({ tll: 1 }),
}

export const wrongTableOptions: Wrong = {
  ...noOptions,
  'keys that no codec takes': () => ({ keys: 'json' }),
  'values that no codec takes': () => ({ values: 'tuple' }),
  'a codec without decode': () => ({ values: { name: 'x', encode: throwOwn } }),
  'a codec without a name': () => ({ values: { encode: throwOwn, decode: throwOwn } }),
  'a ttl of 0': () => ({ ttl: 0 }),
  'a ttl that is text': () => ({ ttl: '1' }),
  'a schema that is null': () => ({ schema: null }),
  'a schema that is a function': () => ({ schema: () => ({ value: 1 }) }),
  'a schema of another version': () => ({
    schema: { '~standard': { version: 2, validate: throwOwn } },
  }),
  'a schema that does not validate': () => ({ schema: { '~standard': { version: 1 } } }),
  'an end': () => ({ expiresAt: 1 }),
  'an option that is misspelt': () => ({ vales: 'json' }),
}

/** Of tables. */
export const wrongNames: Wrong = {
  undefined: () => undefined,
  null: () => null,
  'a number': () => 1,
  'an object': () => ({ toString: () => 'a' }),
  'a String object': () => new String('a'),
  'an array': () => ['a'],
  'a symbol': () => Symbol('a'),
  'no text': () => '',
  'too long a text': () => 'n'.repeat(256),
  'too many bytes': () => 'ä'.repeat(128),
  'half a surrogate pair': () => 'a\uD800',
}

/** What is no store, for a collection. */
export const noStores: Wrong = {
  undefined: () => undefined,
  null: () => null,
  'a path': () => '/store',
  'an object': () => ({}),
  'an object with tables': () => ({ table: () => ({}) }),
  'a map': () => new Map(),
  'a function': () => () => ({}),
}

/** What a schema may answer; no value gets past it. */
export const wrongAnswers: Wrong = {
  'an issue': () => ({ issues: [{ message: 'no' }] }),
  'an issue without a message': () => ({ issues: [{}] }),
  'an issue with a place of null': () => ({ issues: [{ message: 'no', path: [null] }] }),
  'an issue that is null': () => ({ issues: [null] }),
  'no issue': () => ({ issues: [] }),
  'issues of null': () => ({ issues: null }),
  'issues that are text': () => ({ issues: 'no' }),
  undefined: () => undefined,
  null: () => null,
  true: () => true,
  'no value': () => ({}),
  'a value that the codec does not take': () => ({ value: Symbol('a') }),
  'an answer that throws': () => Object.defineProperty({}, 'issues', { get: throwOwn }),
  // oxlint-disable-next-line unicorn/no-thenable -- this is what is refused
  'a promise that throws': () => Object.defineProperty({}, 'then', { get: throwOwn }),
}

export const wrongOperations: Wrong = {
  null: () => null,
  undefined: () => undefined,
  text: () => 'put',
  'an array': () => ['put', 'a', 'b'],
  'no type': () => ({ key: 'a', value: 'b' }),
  'another type': () => ({ type: 'get', key: 'a' }),
  'a type of Object': () => ({ type: 'constructor', key: 'a' }),
  'a type that is an object': () => ({ type: { toString: () => 'put' }, key: 'a', value: 'b' }),
  'a field that is misspelt': () => ({ type: 'put', key: 'a', value: 'b', ifabsent: true }),
  'a value to delete': () => ({ type: 'delete', key: 'a', value: 'b' }),
  'ifAbsent to delete': () => ({ type: 'delete', key: 'a', ifAbsent: true }),
  'durability of one': () => ({ type: 'put', key: 'a', value: 'b', durability: 'os' }),
  'a wrong version': () => ({ type: 'delete', key: 'a', ifVersion: -1 }),
  'a wrong ifAbsent': () => ({ type: 'put', key: 'a', value: 'b', ifAbsent: 'no' }),
}

export const noIterables: Wrong = {
  undefined: () => undefined,
  null: () => null,
  'a number': () => 1,
  text: () => 'ab',
  'an object': () => ({}),
  'a function': () => () => [],
  'an asynchronous iterable': () => (async function* () {})(),
}

export const wrongSources: Wrong = {
  undefined: () => undefined,
  null: () => null,
  'a number': () => 1,
  text: () => 'ab',
  'an object': () => ({}),
  'an object that promises an iterator': () => ({ [Symbol.asyncIterator]: 1 }),
  'an ArrayBuffer': () => new ArrayBuffer(2),
  'a function': () => () => [],
}

export const wrongPaths: Wrong = {
  undefined: () => undefined,
  null: () => null,
  empty: () => '',
  'with a zero character': () => 'a\0b',
  'a number': () => 1,
  'a URL': () => new URL('file:///store'),
  'a Buffer': () => Buffer.from('/store'),
  'an object': () => ({ toString: () => '/store' }),
  'an array': () => ['/store'],
  'a symbol': () => Symbol('/store'),
}

const KEY = new Uint8Array(32)

/** Of `open`, each alone. */
const OPEN: readonly object[] = [
  ...['none', 'Log', 1, null, {}, 'toString', '__proto__'].map((engine) => ({ engine })),
  ...[1, 'no', {}, null].map((create) => ({ create })),
  ...[1, 'no', []].map((errorIfExists) => ({ errorIfExists })),
  ...[1, 'yes', null].map((readOnly) => ({ readOnly })),
  { readOnly: true, create: true },
  { readOnly: true, errorIfExists: true },
  ...['disc', 1, {}].map((durability) => ({ durability })),
  ...[0, -1, 1024, 1.5, Number.NaN, '1048576', 2 ** 53, 1n, null].map((cacheBytes) => ({
    cacheBytes,
  })),
  ...['md5', 1, 'CRC32', {}].map((checksum) => ({ checksum })),
  ...['zip', 1, true, 'toString'].map((compression) => ({ compression })),
  ...[
    'secret',
    1,
    [],
    {},
    { key: 'text' },
    { key: KEY.subarray(0, 15) },
    { key: detached(32) },
  ].map((encryption) => ({ encryption })),
  ...[{ passphrase: '' }, { passphrase: 1 }, { passphrase: 'a', cipher: 'rot13' }].map(
    (encryption) => ({ encryption }),
  ),
  ...[{ passwort: 'a' }, { key: KEY, passphrase: 'a' }, { key: [...KEY] }, KEY].map(
    (encryption) => ({ encryption }),
  ),
  ...[-1, 1.5, Number.NaN, 2 ** 31, '5', Number.POSITIVE_INFINITY].map((lockTimeoutMs) => ({
    lockTimeoutMs,
  })),
  ...['json', 'utf-8', 1, {}, { name: 'x' }, { name: 'x', encode: throwOwn }].map((keys) => ({
    keys,
  })),
  ...['tuple', 'utf-8', 1, {}, { name: 1, encode: throwOwn, decode: throwOwn }].map((values) => ({
    values,
  })),
  ...[0, 1, -1, 1.5, Number.NaN, '65536', 2 ** 27].map((segmentBytes) => ({ segmentBytes })),
  ...[-1, 1.5, Number.NaN, '1', {}].map((compactionThresholdBytes) => ({
    compactionThresholdBytes,
  })),
  ...[1, null, 'x', {}].map((environment) => ({ environment })),
  { nosuchoption: 1 },
  { cachebytes: 2 ** 20 },
]

export const wrongOpenOptions: Wrong = {
  ...noOptions,
  ...Object.fromEntries(
    OPEN.map((options, i) => [`${Object.keys(options)[0]}, way ${i}`, () => options]),
  ),
}

/** Of `configure`. */
export const wrongLiveOptions: Wrong = {
  ...noOptions,
  undefined: () => undefined,
  'an option that does not change': () => ({ cacheBytes: 1024 * 1024 }),
  'an option that is misspelt': () => ({ segmentbytes: 65_536 }),
  'an option of Object': () => ({ constructor: 1 }),
  'a segment that is too small': () => ({ segmentBytes: 1 }),
  'a segment that is NaN': () => ({ segmentBytes: Number.NaN }),
  'a segment that is text': () => ({ segmentBytes: '65536' }),
  'a threshold below 0': () => ({ compactionThresholdBytes: -1 }),
  'a threshold that is null': () => ({ compactionThresholdBytes: null }),
  'a right one and a wrong one': () => ({ segmentBytes: 65_536, compactionThresholdBytes: 0.5 }),
}
