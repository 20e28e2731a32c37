import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as v from 'valibot'
import type { Codec } from './codec.ts'
import { open, openSync } from './open.ts'
import type { StandardSchema } from './standard-schema.ts'
import type { AtomicStore, OrderedReader, OrderedStore, OrderedTable, Table } from './types.ts'

const User = v.object({
  name: v.pipe(v.string(), v.minLength(1)),
  age: v.optional(v.pipe(v.number(), v.integer()), 18),
})
type In = v.InferInput<typeof User>
type Out = v.InferOutput<typeof User>

/** Answers with a promise, `later`. */
const Later: StandardSchema<In, Out> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: async (value) => User['~standard'].validate(value),
  },
}

const bad = { name: '', age: 1.5 } as In

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
function holds<T extends true>(): T | undefined {
  return undefined
}
declare const points: Codec<{ readonly x: number }>
declare const dates: Codec<Date>

/** Never called: only its types matter. */
async function types(): Promise<void> {
  const db = await open('./data', { values: 'json', schema: User })
  holds<Equal<typeof db extends OrderedStore<string, Out, In> ? true : false, true>>()
  await db.put('a', { name: 'Alice' })
  holds<Equal<Awaited<ReturnType<typeof db.get>>, Out | undefined>>()
  holds<Equal<Awaited<ReturnType<typeof db.first>>, [string, Out] | undefined>>()
  for await (const [, { age }] of db.entries()) holds<Equal<typeof age, number>>()
  const snapshot = db.snapshot()
  holds<Equal<ReturnType<typeof snapshot.getSync>, Out | undefined>>()
  await db.batch([{ type: 'put', key: 'a', value: { name: 'Alice' } }])
  await db.load([['a', { name: 'Alice' }]])
  // @ts-expect-error the name is missing
  await db.put('a', { age: 1 })
  // @ts-expect-error the age is a number
  db.putSync('a', { name: 'Alice', age: '1' })
  // @ts-expect-error the name is missing
  await db.batch([{ type: 'put', key: 'a', value: {} }])

  const log = openSync('./data', { engine: 'log', keys: 'tuple', values: 'cbor', schema: User })
  holds<Equal<typeof log extends AtomicStore<readonly unknown[], Out, In> ? true : false, true>>()
  const users = db.table('users', { keys: dates, values: 'json', schema: User })
  holds<Equal<typeof users, OrderedTable<Date, Out, In>>>()
  const seen = snapshot.table(users)
  holds<Equal<typeof seen, OrderedReader<Date, Out>>>()
  await db.batch([{ type: 'put', table: users, key: new Date(), value: { name: 'Alice' } }])
  const any = await open('./data', { engine: 'any', values: 'json' })
  const plain = any.table('t', { values: 'json', schema: User })
  holds<Equal<typeof plain, Table<string, Out, In>>>()
  const lengths = v.pipe(
    v.string(),
    v.transform((text) => ({ x: text.length })),
  )
  const own = openSync('./data', { values: points, schema: lengths })
  own.putSync('a', 'text')
  holds<Equal<ReturnType<typeof own.getSync>, { readonly x: number } | undefined>>()
  // @ts-expect-error what the schema makes is no string
  openSync('./data', { schema: User })
  // @ts-expect-error what the schema makes is no point
  openSync('./data', { values: points, schema: User })
  // @ts-expect-error no schema
  openSync('./data', { values: 'json', schema: { parse: () => 1 } })
}

test('what the schema gives is stored, by every verb that writes values', async () => {
  assert.equal(typeof types, 'function')
  for (const schema of [User, Later]) {
    const db = await open(':memory:', { values: 'json', schema })
    await db.put('a', { name: 'A' })
    await db.batch([
      { type: 'put', key: 'b', value: { name: 'B' }, ifAbsent: true, ttl: 1e9 },
      { type: 'delete', key: 'x' },
    ])
    await db.load(new Map([['c', { name: 'C', more: true } as In]]))
    const some = (async function* () {
      yield ['d', { name: 'D', age: 4 }] as const
    })()
    await db.load(some)
    assert.deepEqual(await db.entries().nextMany(9), [
      ['a', { name: 'A', age: 18 }],
      ['b', { name: 'B', age: 18 }],
      ['c', { name: 'C', age: 18 }],
      ['d', { name: 'D', age: 4 }],
    ])
    assert.notEqual((await db.getEntry('b'))?.expiresAt, undefined)
    await db.close()
  }
  const db = openSync(':memory:', { values: 'json', schema: User })
  db.putSync('a', { name: 'A' })
  db.setSync('b', { name: 'B' })
  db.batchSync([{ type: 'put', key: 'c', value: { name: 'C' } }])
  db.loadSync([['d', { name: 'D' }]])
  assert.deepEqual(
    [...db.values()].map(({ name, age }) => `${name}${age}`),
    ['A18', 'B18', 'C18', 'D18'],
  )
  db.closeSync()
})

test('update and getOrPut give what the schema has made of the value, and wait for it', async () => {
  for (const schema of [User, Later]) {
    const db = await open(':memory:', { values: 'json', schema })
    const alice = { name: 'A', age: 18 }
    assert.deepEqual(await db.getOrPut('a', { name: 'A' }), alice)
    assert.deepEqual(await db.getOrPut('a', { name: 'B' }), alice)
    assert.deepEqual(await db.update('b', () => ({ name: 'A' })), alice)
    assert.deepEqual(await db.get('b'), alice)
    await assert.rejects(db.getOrPut('c', bad), { code: 'INVALID_VALUE' })
    await db.transaction(async (tx) => {
      assert.deepEqual(await tx.getOrPut('c', { name: 'A' }), alice)
      const older = ({ name, age }: Out = alice): Out => ({ name, age: age + 1 })
      await Promise.all([tx.update('c', older), tx.update('c', older), tx.update('d', older)])
      await assert.rejects(
        tx.update('c', () => bad),
        { code: 'INVALID_VALUE' },
      )
    })
    assert.deepEqual(await db.getMany(['c', 'd']), [
      { name: 'A', age: 20 },
      { name: 'A', age: 19 },
    ])
    await db.close()
  }
  const length = v.pipe(
    v.string(),
    v.transform((text) => text.length),
  )
  const lengths = openSync(':memory:', { values: 'json', schema: length })
  assert.equal(lengths.getOrPutSync('a', 'four'), 4)
  assert.equal(
    lengths.updateSync('a', (before) => 'x'.repeat(before ?? 0)),
    4,
  )
  assert.equal(await lengths.getOrPut('b', async () => 'three'), 5)
  assert.deepEqual([...lengths.values()], [4, 5])
  const named = lengths.table('named', { values: 'json', schema: length })
  lengths.transactionSync((tx) => {
    tx.putSync('c', 'one')
    tx.table(named).putSync('c', 'eleven')
    assert.equal(tx.table('named', { values: 'json', schema: length }).getSync('c'), 6)
  })
  assert.deepEqual([lengths.getSync('c'), named.getSync('c')], [3, 6])
  lengths.closeSync()
})

test('increment gives the number that the schema has made of the sum', async () => {
  const number = v.pipe(
    v.number(),
    v.maxValue(1000),
    v.transform((n) => Math.min(n, 3)),
  )
  const text = v.pipe(
    v.string(),
    v.transform((digits) => (Number(digits) > 3 ? '3' : digits)),
  )
  for (const db of [
    openSync(':memory:', { values: 'json', schema: number }),
    openSync(':memory:', { schema: text }),
  ]) {
    assert.deepEqual([await db.increment('a', 2), db.incrementSync('a', 2)], [2, 3])
    assert.equal(await db.transaction((tx) => tx.increment('a')), 3)
    assert.equal(Number(await db.get('a')), 3)
    db.closeSync()
  }
})

test('a value that does not fit is refused in words, and nothing is written', async () => {
  for (const schema of [User, Later]) {
    const db = await open(':memory:', { values: 'json' })
    const users = db.table('users', { values: 'json', schema })
    const refused = {
      code: 'INVALID_VALUE',
      message: /^The value does not fit the schema: name: Invalid length.*; age: Invalid integer/,
    }
    await assert.rejects(users.put('a', bad), refused)
    const good = { type: 'put', key: 'b', value: { name: 'B' } } as const
    await assert.rejects(users.batch([good, { type: 'put', key: 'c', value: bad }, good]), refused)
    await assert.rejects(db.batch([{ ...good, table: users, value: bad }, good]), refused)
    assert.equal(db.stats().sequence, 0)
    assert.deepEqual(db.tables(), [])
    await assert.rejects(
      users.load([
        ['b', { name: 'B' }],
        ['c', bad],
      ]),
      refused,
    )
    assert.equal(users.countSync(), 0)
    // The root has no schema.
    await db.put('a', 1)
    await db.close()
  }
})

test('a verb that cannot wait refuses a schema that answers with a promise', async () => {
  const db = openSync(':memory:', { values: 'json', schema: Later })
  const code = { code: 'INVALID_ARGUMENT', message: /promise/ }
  assert.throws(() => db.putSync('a', { name: 'A' }), code)
  assert.throws(() => db.putSync('a', bad), code)
  assert.throws(() => db.batchSync([{ type: 'put', key: 'a', value: { name: 'A' } }]), code)
  assert.throws(() => db.loadSync([['a', { name: 'A' }]]), code)
  assert.throws(() => db.getOrPutSync('a', { name: 'A' }), code)
  assert.throws(() => db.updateSync('a', () => ({ name: 'A' })), code)
  const late = db.put('a', { name: 'A' })
  await db.close()
  await assert.rejects(late, { code: 'CLOSED' })
})

test('a batch of a store with schemas takes what comes as it is then, whether they answer at once or not', async () => {
  const schema = (isLater: boolean): StandardSchema<Uint8Array, Uint8Array> => ({
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: (value) => {
        const answer = { value: value as Uint8Array }
        return isLater ? Promise.resolve(answer) : answer
      },
    },
  })
  const db = openSync(':memory:', { values: 'bytes' })
  const tables = [
    db,
    ...[false, true].map((later) =>
      db.table(`${later}`, { values: 'bytes', schema: schema(later) }),
    ),
  ]
  let closed = 0
  function* operations(count: number) {
    const value = Buffer.alloc(5000)
    const operation = { type: 'put' as const, table: tables[0]!, key: '', value }
    try {
      for (let n = 0; n < count; n++) {
        operation.table = tables[n % 3]!
        operation.key = `${n}`
        value.fill(n)
        yield operation
      }
      value.fill(99)
    } finally {
      closed++
    }
  }
  for (const count of [2, 7]) {
    await db.batch(operations(count))
    for (let n = 0; n < count; n++) {
      const stored = await tables[n % 3]!.get(`${n}`)
      assert.ok(
        stored?.every((byte) => byte === n),
        `${n} of ${count}`,
      )
    }
  }
  assert.equal(closed, 2)
  db.closeSync()
})

test('a load whose schema never answers ends with its signal, or with the store', async () => {
  const never: StandardSchema = {
    '~standard': { version: 1, vendor: 'test', validate: () => new Promise(() => {}) },
  }
  const db = openSync(':memory:', { values: 'json', schema: never })
  const abort = new AbortController()
  const one = db.load([['a', 1]], { signal: abort.signal })
  const other = db.load([['b', 1]])
  abort.abort(new Error('enough'))
  await assert.rejects(one, /enough/)
  const closed = db.close()
  await assert.rejects(other, { code: 'CLOSED' })
  await closed
})

test('who aborts, or closes the store, and then never answers holds neither a load nor a stream up', async () => {
  for (const how of ['schema', 'entries', 'stream'] as const) {
    for (const closes of [false, true]) {
      const abort = new AbortController()
      let closed: Promise<void> | undefined
      const end = (): Promise<never> => {
        if (closes) closed = db.close()
        else abort.abort(new Error('enough'))
        return new Promise(() => {})
      }
      const schema: StandardSchema = {
        '~standard': { version: 1, vendor: 'test', validate: end },
      }
      const db = openSync(':memory:', { values: 'json', ...(how === 'schema' && { schema }) })
      const never = { [Symbol.asyncIterator]: () => ({ next: end }) }
      // A stream has no signal of its own.
      if (how === 'stream' && !closes) continue
      await assert.rejects(
        how === 'stream'
          ? db.putStream('a', never)
          : db.load(how === 'schema' ? [['a', 1]] : never, { signal: abort.signal }),
        closes ? { code: 'CLOSED' } : /enough/,
      )
      await closed
      db.closeSync()
    }
  }
})

test('schemas that fail, answer nonsense, or are none', async () => {
  const schema = (validate: (value: unknown) => never): StandardSchema => ({
    '~standard': { version: 1, vendor: 'test', validate },
  })
  const wrong: readonly (() => unknown)[] = [
    () => {
      throw new Error('broken')
    },
    () => Promise.reject(new Error('broken')),
    () => undefined,
    () => 'yes',
    () => ({ issues: null }),
    () => ({ issues: 'many' }),
    () => ({ issues: [null] }),
    async () => ({ issues: [undefined] }),
    () => ({
      get issues(): never {
        throw new Error('broken')
      },
    }),
    () => {
      throw Object.create(null)
    },
  ]
  for (const validate of wrong) {
    const db = await open(':memory:', { values: 'json', schema: schema(validate as () => never) })
    await assert.rejects(db.put('a', 1), { code: 'INVALID_VALUE', message: /schema failed/ })
    assert.equal(db.stats().sequence, 0)
    await db.close()
  }
  // Not as it should be, and still it says what does not fit.
  const odd: readonly (readonly [issue: object, said: string])[] = [
    [{}, 'undefined'],
    [{ message: 'no', path: null }, 'no'],
    [{ message: 'no', path: ['a', null, { key: 1 }] }, 'a.null.1: no'],
  ]
  for (const [issue, said] of odd) {
    const validate = (() => ({ issues: [issue] })) as () => never
    const db = openSync(':memory:', { values: 'json', schema: schema(validate) })
    assert.throws(() => db.putSync('a', 'b'), {
      code: 'INVALID_VALUE',
      message: new RegExp(`schema: ${said}\\.`),
    })
    db.closeSync()
  }
  for (const none of [null, 1, {}, () => 1, { '~standard': { version: 2, validate: () => 1 } }]) {
    const options: object = { schema: none }
    assert.throws(() => openSync(':memory:', options), { code: 'INVALID_ARGUMENT' })
    const db = openSync(':memory:')
    assert.throws(() => db.table('t', options), { code: 'INVALID_ARGUMENT' })
    db.closeSync()
  }
})

test('a schema around other codecs: text, bytes, one of the own that calls the store', async () => {
  const texts = openSync(':memory:', { schema: v.pipe(v.string(), v.trim()) })
  await texts.put('a', ' b ')
  texts.putSync('ü', 'ö ')
  assert.deepEqual(await texts.entries().nextMany(3), [
    ['a', 'b'],
    ['ü', 'ö'],
  ])
  const long = v.pipe(v.instance(Uint8Array), v.maxLength(3))
  const bytes = texts.table('bytes', { values: 'bytes', schema: long })
  await bytes.put('a', new Uint8Array(3))
  await assert.rejects(bytes.put('a', new Uint8Array(4)), { code: 'INVALID_VALUE' })
  assert.throws(() => bytes.putSync('a', new Uint8Array(4)), { code: 'INVALID_VALUE' })
  const calling: Codec<string> = {
    name: 'calling',
    encode: (value) => Buffer.from(value + texts.getSync('a')),
    decode: (encoded) => String(texts.getSync('ü')) + Buffer.from(encoded).toString(),
  }
  const own = texts.table('own', { values: calling, schema: v.string() })
  await own.put('x', 'y')
  assert.equal(own.getSync('x'), 'öyb')
  assert.deepEqual([...own.values()], ['öyb'])
  texts.closeSync()
})
