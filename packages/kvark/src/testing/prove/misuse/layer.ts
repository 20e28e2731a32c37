/**
 * What the layer above the engines should not be given: tables, transactions, changes of one entry, schemas and collections.
 *
 *   verb × wrong argument ─┐
 *   verb × ended ──────────┼──► a case, as those of `cases.ts`
 *   form × wrong function ─┘
 *
 * What needs entries or tables of its own is done in a store of its own, and looks there itself for what was half written.
 */

import assert from 'node:assert/strict'
import { counters, intSets, list, queue, set } from '../../../collections.ts'
import type { ErrorCode } from '../../../errors.ts'
import { FINE, type Ground, type Misuse, type Must, type Verb, type Verbs } from './case.ts'
import * as wrong from './values.ts'
import { OWN, throwOwn, type Wrong } from './values.ts'

type Act = (ground: Ground) => unknown

const OF_CALLER: Must = { codes: [], own: true }

function only(...codes: readonly ErrorCode[]): Must {
  return { codes }
}

function misuse(name: string, must: Must, act: Act): Misuse {
  return { name, must, promises: !/Sync\b|^table\b|^tables\b/.test(name), act }
}

/** What can be looked at only with care may say so itself. */
function looked(code: ErrorCode, what: string): Must {
  return /cannot be told|refuses everything/.test(what) ? { codes: [code], own: true } : only(code)
}

/** Both forms of a transaction. */
const FORMS = ['transaction', 'transactionSync'] as const
type Form = (typeof FORMS)[number]
type Body = (tx: Verbs) => unknown

function transact(db: Verbs, form: Form, body: Body, options?: object): unknown {
  return db[form]!(body, ...(options === undefined ? [] : [options]))
}

/** Something to lose first. */
function losing(body: Body): Body {
  return (tx) => {
    tx['putSync']!('lost', 'lost')
    return body(tx)
  }
}

/** Of a form only what fits in it: what promises would be a promise for `transactionSync`. */
function fits(form: Form, verb: string): boolean {
  return form === 'transaction' || verb.endsWith('Sync')
}

function twins(...verbs: readonly string[]): string[] {
  return verbs.flatMap((verb) => [verb, `${verb}Sync`])
}

const READS = twins('get', 'getEntry', 'has')
const PUTS = twins('put', 'set')
const DELETES = twins('delete', 'del')
const UPDATES = twins('update', 'increment', 'getOrPut')
const WALKS = ['entries', 'keys', 'values', ...twins('count')]

/** Well called, with that key. */
function called(target: Verbs, verb: string, key: unknown, ...rest: readonly unknown[]): unknown {
  if (rest.length > 0) return target[verb]!(key, ...rest)
  if (verb.startsWith('update')) return target[verb]!(key, () => '1')
  if (/^(put|set|getOrPut)/.test(verb)) return target[verb]!(key, '1')
  if (verb.startsWith('getMany')) return target[verb]!([key])
  return target[verb]!(key)
}

/** What a verb takes before its options. */
function withOptions(target: Verbs, verb: string, options: unknown): unknown {
  if (verb.startsWith('update')) return target[verb]!('key', (value: unknown) => value, options)
  if (verb.startsWith('increment')) return target[verb]!('number', 1, options)
  if (/^(put|set|getOrPut)/.test(verb)) return target[verb]!('key', 'value', options)
  return target[verb]!('key', options)
}

function walked(cursor: unknown): unknown {
  if (typeof cursor !== 'object' || cursor === null || !('nextManySync' in cursor)) return cursor
  const one = cursor as Verbs
  try {
    return one['nextManySync']!(1)
  } finally {
    one['close']!()
  }
}

function* transactions(): Generator<Misuse> {
  for (const form of FORMS) {
    const give = (name: string, must: Must, body: Body): Misuse =>
      misuse(`${form}: ${name}`, must, (ground) => transact(ground.db('utf8'), form, losing(body)))
    for (const [what, make] of Object.entries(wrong.noIterables)) {
      if (what === 'a function') continue
      yield misuse(`${form} of ${what}`, only('INVALID_ARGUMENT'), (ground) =>
        ground.db('utf8')[form]!(make()),
      )
    }
    for (const [what, make] of Object.entries(wrong.wrongTransactionOptions)) {
      yield misuse(`${form} with options: ${what}`, only('INVALID_ARGUMENT'), (ground) =>
        ground.db('utf8')[form]!((tx: Verbs) => tx['putSync']!('lost', 'lost'), make()),
      )
    }
    yield give('a function that throws', OF_CALLER, throwOwn)
    yield give('a savepoint that was released', only('CLOSED'), (tx) => {
      const savepoint = tx['savepoint']!() as Verbs
      savepoint['release']!()
      return savepoint['rollback']!()
    })
    yield give('a savepoint behind one that was gone back to', only('CLOSED'), (tx) => {
      const outer = tx['savepoint']!() as Verbs
      const inner = tx['savepoint']!() as Verbs
      outer['rollback']!()
      return inner['release']!()
    })
    yield give('a cursor behind a savepoint', only('CLOSED'), (tx) => {
      const savepoint = tx['savepoint']!() as Verbs
      tx['putSync']!('more', 'more')
      const cursor = tx['keys']!() as Verbs
      savepoint['rollback']!()
      return cursor['nextSync']!()
    })
    for (const [what, make] of Object.entries(wrong.noStores)) {
      // A text is a name.
      if (what === 'a path') continue
      yield give(`a table: ${what}`, only('INVALID_ARGUMENT'), (tx) => tx['table']!(make()))
    }
    for (const [what, make] of Object.entries(wrong.wrongNames)) {
      yield give(`a table called ${what}`, only('INVALID_ARGUMENT'), (tx) => tx['table']!(make()))
    }
    for (const [what, make] of Object.entries(wrong.wrongTableOptions)) {
      yield give(`a table with options: ${what}`, only('INVALID_ARGUMENT'), (tx) =>
        tx['table']!('t', make()),
      )
    }
    yield misuse(`${form}: a table of another store`, only('INVALID_ARGUMENT'), (ground) =>
      transact(ground.db('utf8'), form, (tx) => tx['table']!(ground.db('bytes'))),
    )
    yield give('itself as a table', only('INVALID_ARGUMENT'), (tx) => tx['table']!(tx))
    for (const [what, make] of Object.entries(wrong.wrongKeys.utf8)) {
      for (const verb of [
        ...READS,
        ...PUTS,
        ...DELETES,
        ...UPDATES,
        ...twins('touch', 'getMany'),
      ]) {
        if (!fits(form, verb)) continue
        const codes: Must = /cannot be told|refuses everything/.test(what)
          ? { codes: ['INVALID_KEY'], own: true }
          : only('INVALID_KEY')
        yield give(`${verb} with a key: ${what}`, codes, (tx) => called(tx, verb, make()))
      }
      for (const verb of [...PUTS, ...twins('getOrPut')]) {
        // A function gives the value, and what it gives may be awaited.
        if (
          !fits(form, verb) ||
          (verb.startsWith('getOrPut') && /function|promise|proxy|told/.test(what))
        )
          continue
        yield give(`${verb} with a value: ${what}`, looked('INVALID_VALUE', what), (tx) =>
          tx[verb]!('none', make()),
        )
      }
    }
    for (const verb of [...PUTS, ...DELETES, ...UPDATES, ...twins('touch')]) {
      if (!fits(form, verb)) continue
      for (const [what, make] of Object.entries(wrong.wrongPendingOptions)) {
        yield give(`${verb} with options: ${what}`, only('INVALID_ARGUMENT'), (tx) =>
          withOptions(tx, verb, make()),
        )
      }
    }
    for (const verb of WALKS) {
      if (!fits(form, verb) && verb === 'count') continue
      for (const [what, make] of Object.entries(wrong.wrongScanOptions)) {
        yield give(`${verb} with options: ${what}`, only('INVALID_ARGUMENT'), (tx) =>
          walked(tx[verb]!(make())),
        )
      }
    }
    for (const verb of twins('clear')) {
      if (!fits(form, verb)) continue
      for (const [what, make] of Object.entries(wrong.wrongBatchOptions)) {
        yield give(`${verb} with options: ${what}`, only('INVALID_ARGUMENT'), (tx) =>
          tx[verb]!(make()),
        )
      }
    }
    yield* ended(form)
  }
  for (const inner of ['utf8', 'bytes'] as const) {
    const nested = (ground: Ground): unknown =>
      transact(
        ground.db('utf8'),
        'transactionSync',
        losing(() => transact(ground.db(inner), 'transactionSync', () => 1)),
      )
    // Another store is another one.
    yield inner === 'utf8'
      ? misuse('transactionSync in a transactionSync', only('INVALID_ARGUMENT'), nested)
      : misuse('transactionSync in a transactionSync of another store', FINE, nested)
  }
  yield misuse('transactionSync of what promises', only('INVALID_ARGUMENT'), (ground) =>
    transact(
      ground.db('utf8'),
      'transactionSync',
      losing(async () => throwOwn()),
    ),
  )
  for (const [what, make] of Object.entries(promising)) {
    yield misuse(`transactionSync of ${what}`, only('INVALID_ARGUMENT'), (ground) =>
      transact(ground.db('utf8'), 'transactionSync', losing(make)),
    )
  }
  yield misuse('transaction that rejects', OF_CALLER, (ground) =>
    transact(
      ground.db('utf8'),
      'transaction',
      losing(() => Promise.reject(OWN)),
    ),
  )
  for (const attempts of [1, 3]) {
    yield misuse(
      `transaction that changes what it reads, ${attempts} times`,
      only('CONFLICT'),
      (ground) =>
        untouched(ground.own(), (db) => {
          const body = (tx: Verbs): void => {
            tx['getSync']!('key')
            db['putSync']!('key', 'value')
            tx['putSync']!('lost', 'lost')
          }
          return transact(db, 'transaction', body, { attempts })
        }),
    )
  }
  for (const close of ['close', 'closeSync']) {
    yield misuse(`transaction that calls ${close}`, only('CLOSED'), (ground) => {
      const db = ground.own()
      return transact(
        db,
        'transaction',
        losing(() => db[close]!()),
      )
    })
  }
}

/** What can be awaited. */
const promising: Wrong = {
  'an object with then': () => thenable({}, () => {}),
  'an object whose then throws': () => thenable({}, throwOwn),
  'a function with then': () =>
    thenable(
      () => 1,
      () => {},
    ),
}

function thenable(target: object, then: () => void): object {
  // oxlint-disable-next-line unicorn/no-thenable -- this is what is refused
  return Object.defineProperty(target, 'then', { value: then })
}

/** Every verb of a transaction that has ended. */
function* ended(form: Form): Generator<Misuse> {
  const verbs = [
    ...READS,
    ...PUTS,
    ...DELETES,
    ...UPDATES,
    ...twins('touch', 'getMany', 'clear'),
    ...WALKS,
  ]
  for (const verb of [...verbs, 'getStream', 'table', 'tables', 'savepoint']) {
    yield {
      name: `${verb} after the end of its ${form}`,
      must: only('CLOSED'),
      promises: false,
      act: async (ground) => {
        let tx: Verbs | undefined
        await transact(ground.db('utf8'), form, (one) => {
          tx = one
        })
        if (/^(clear|count|entries|keys|values|tables|savepoint)/.test(verb)) return tx![verb]!()
        return await called(tx!, verb, verb === 'table' ? 't' : 'key')
      },
    }
  }
  for (const verb of ['next', 'nextSync', 'nextMany', 'nextManySync']) {
    yield {
      name: `${verb} of a cursor after the end of its ${form}`,
      must: only('CLOSED'),
      promises: false,
      act: async (ground) => {
        const cursor = (await transact(ground.db('utf8'), form, (tx) => {
          // A cursor is no promise, so it comes through.
          const one = tx['keys']!() as Verbs
          return { one }
        })) as { one: Verbs }
        return await cursor.one[verb]!(1)
      },
    }
  }
}

/** What was refused has left the root and the tables as they were. */
async function untouched(db: Verbs, act: (db: Verbs) => unknown): Promise<unknown> {
  const before = shown(db)
  try {
    return await act(db)
  } finally {
    assert.deepEqual(shown(db), before, 'nothing is half written')
  }
}

function shown(db: Verbs): unknown {
  return [[...(db['keys']!() as Iterable<string>)].sort(), db['tables']!()]
}

function* changes(): Generator<Misuse> {
  for (const verb of UPDATES) {
    for (const [what, make] of Object.entries(wrong.wrongUpdateOptions)) {
      yield misuse(`${verb} with options: ${what}`, only('INVALID_ARGUMENT'), (ground) =>
        withOptions(ground.db('utf8'), verb, make()),
      )
    }
    for (const [what, make] of Object.entries(wrong.wrongKeys.utf8)) {
      yield misuse(`${verb} with a key: ${what}`, looked('INVALID_KEY', what), (ground) =>
        called(ground.db('utf8'), verb, make()),
      )
    }
    yield misuse(`${verb} after closing`, only('CLOSED'), async (ground) => {
      const db = ground.own()
      await db['close']!()
      return await called(db, verb, 'key')
    })
  }
  for (const verb of twins('update')) {
    for (const [what, make] of Object.entries({ ...wrong.noIterables, text: () => 'a' })) {
      if (what === 'a function') continue
      yield misuse(`${verb} by ${what}`, only('INVALID_ARGUMENT'), (ground) =>
        ground.db('utf8')[verb]!('key', make()),
      )
    }
    yield misuse(`${verb} by what throws`, OF_CALLER, (ground) =>
      ground.db('utf8')[verb]!('key', throwOwn),
    )
    const rejecting = (): unknown => Promise.reject(OWN)
    for (const [what, make] of Object.entries({ ...promising, 'what rejects': rejecting })) {
      yield misuse(`${verb} by a function that gives ${what}`, only('INVALID_ARGUMENT'), (ground) =>
        ground.db('utf8')[verb]!('key', make),
      )
    }
    for (const [what, make] of Object.entries(wrong.wrongValues.utf8)) {
      if (/^undefined|promise|cannot be told|proxy/.test(what)) continue
      yield misuse(`${verb} to ${what}`, only('INVALID_VALUE'), (ground) =>
        ground.db('utf8')[verb]!('key', make),
      )
    }
  }
  for (const verb of twins('increment')) {
    for (const [what, make] of Object.entries(wrong.wrongCounts)) {
      if (/undefined|below 0|half|too large/.test(what)) continue
      yield misuse(`${verb} by ${what}`, only('INVALID_ARGUMENT'), (ground) =>
        ground.db('utf8')[verb]!('number', make()),
      )
    }
    yield misuse(`${verb} of text`, only('INVALID_VALUE'), (ground) =>
      ground.db('utf8')[verb]!('key'),
    )
    yield misuse(`${verb} of bytes`, only('INVALID_ARGUMENT'), (ground) =>
      ground.db('bytes')[verb]!(Buffer.from('key')),
    )
    yield misuse(`${verb} of JSON that is no number`, only('INVALID_VALUE'), (ground) =>
      ground.db('tuple')[verb]!(['key']),
    )
    yield misuse(`${verb} beyond what is exact`, only('INVALID_VALUE'), (ground) =>
      ground.db('utf8')[verb]!('number', 2 ** 60),
    )
  }
  for (const verb of twins('getOrPut')) {
    yield misuse(`${verb} of what throws`, OF_CALLER, (ground) =>
      ground.db('utf8')[verb]!('none', throwOwn),
    )
    const none: Wrong = { undefined: () => undefined, 'a number': () => 1 }
    for (const [what, make] of Object.entries(none)) {
      yield misuse(`${verb} of ${what}`, only('INVALID_VALUE'), (ground) =>
        ground.db('utf8')[verb]!('none', make()),
      )
      yield misuse(`${verb} of a function that gives ${what}`, only('INVALID_VALUE'), (ground) =>
        ground.db('utf8')[verb]!('none', make),
      )
    }
    const sync = verb.endsWith('Sync')
    yield misuse(`${verb} of what rejects`, sync ? only('INVALID_ARGUMENT') : OF_CALLER, (ground) =>
      ground.db('utf8')[verb]!('none', () => Promise.reject(OWN)),
    )
  }
  for (const verb of twins('touch')) {
    for (const [what, make] of Object.entries({ ...wrong.noOptions, ...wrong.wrongEnds })) {
      for (const key of ['key', 'none']) {
        yield misuse(`${verb} of '${key}' with ${what}`, only('INVALID_ARGUMENT'), (ground) =>
          ground.db('utf8')[verb]!(key, make()),
        )
      }
    }
  }
}

function* tables(): Generator<Misuse> {
  for (const [what, make] of Object.entries(wrong.wrongNames)) {
    const calls: Readonly<Record<string, (db: Verbs) => unknown>> = {
      table: (db) => db['table']!(make()),
      dropTable: (db) => db['dropTable']!(make()),
      dropTableSync: (db) => db['dropTableSync']!(make()),
      renameTable: (db) => db['renameTable']!(make(), 'b'),
      renameTableSync: (db) => db['renameTableSync']!(make(), 'b'),
      'renameTable to': (db) => db['renameTable']!('none', make()),
      'renameTableSync to': (db) => db['renameTableSync']!('none', make()),
    }
    for (const [verb, call] of Object.entries(calls)) {
      yield misuse(`${verb}: a name that is ${what}`, only('INVALID_ARGUMENT'), (ground) =>
        call(ground.db('utf8')),
      )
    }
  }
  for (const [what, make] of Object.entries(wrong.wrongTableOptions)) {
    yield misuse(`table with options: ${what}`, only('INVALID_ARGUMENT'), (ground) =>
      ground.db('utf8')['table']!('t', make()),
    )
  }
  for (const verb of twins('dropTable', 'renameTable')) {
    const names = verb.startsWith('rename') ? ['none', 'other'] : ['none']
    yield misuse(`${verb} of none`, only('NOT_FOUND'), (ground) =>
      ground.db('utf8')[verb]!(...names),
    )
    for (const [what, make] of Object.entries(wrong.wrongBatchOptions)) {
      yield misuse(`${verb} with options: ${what}`, { codes: ['INVALID_ARGUMENT'] }, (ground) =>
        ground.db('utf8')[verb]!(...names, make()),
      )
    }
  }
  yield misuse('renameTable to one that is there', only('CONFLICT'), (ground) => {
    const db = ground.own()
    ;(db['table']!('one') as Verbs)['putSync']!('a', '1')
    ;(db['table']!('two') as Verbs)['putSync']!('a', '1')
    return untouched(db, () => db['renameTable']!('one', 'two'))
  })
  for (const options of [
    { values: 'json' },
    { keys: 'bytes' },
    { keys: 'tuple', values: 'json' },
  ]) {
    yield misuse(
      `table with other codecs: ${JSON.stringify(options)}`,
      only('MISMATCH'),
      (ground) => {
        const db = ground.own()
        ;(db['table']!('one') as Verbs)['putSync']!('a', '1')
        return db['table']!('one', options)
      },
    )
    yield {
      name: `a handle of what another one has made with other codecs: ${JSON.stringify(options)}`,
      must: only('MISMATCH'),
      promises: false,
      act: (ground) => {
        const db = ground.own()
        const late = db['table']!('mine', options) as Verbs
        ;(db['table']!('mine') as Verbs)['putSync']!('a', '1')
        db['dropTableSync']!('one')
        return late['countSync']!()
      },
    }
  }
  const verbs = [
    ...READS,
    ...PUTS,
    ...DELETES,
    ...UPDATES,
    ...twins('touch', 'getMany', 'clear', 'batch'),
    ...WALKS,
    ...FORMS,
    'snapshot',
    'watch',
  ]
  for (const verb of verbs) {
    for (const drop of twins('dropTable')) {
      yield {
        name: `${verb} of a table after ${drop}`,
        must: only('NOT_FOUND'),
        promises: false,
        act: async (ground) => {
          const db = ground.own()
          const table = db['table']!('gone') as Verbs
          table['putSync']!('key', '1')
          await db[drop]!('gone')
          return await untouched(db, () => {
            if (/^(clear|count|entries|keys|values|snapshot|watch)/.test(verb))
              return table[verb]!()
            if (verb.startsWith('batch'))
              return db[verb]!([
                { type: 'put', key: 'lost', value: 'lost' },
                { type: 'put', table, key: 'a', value: '1' },
              ])
            return verb.startsWith('transaction')
              ? table[verb]!(() => 1)
              : called(table, verb, 'key')
          })
        },
      }
    }
  }
}

const VALIDATED = [...PUTS, ...twins('batch', 'update', 'getOrPut'), ...FORMS]

function* schemas(): Generator<Misuse> {
  const write = (table: Verbs, db: Verbs, verb: string): unknown => {
    if (verb.startsWith('batch')) {
      return db[verb]!([
        { type: 'put', key: 'lost', value: 'lost' },
        { type: 'put', table, key: 'a', value: '1' },
      ])
    }
    if (verb.startsWith('transaction')) {
      return transact(
        db,
        verb as Form,
        losing((tx) => (tx['table']!(table) as Verbs)['putSync']!('a', '1')),
      )
    }
    return called(table, verb, 'a')
  }
  const answering: Wrong = { ...wrong.wrongAnswers, 'an error': throwOwn }
  for (const verb of VALIDATED) {
    const asked = (name: string, codes: readonly ErrorCode[], validate: () => unknown): Misuse =>
      misuse(`${verb} past a schema that ${name}`, { codes }, (ground) => {
        const schema = { '~standard': { version: 1, vendor: 'own', validate } }
        return write(
          ground.db('utf8')['table']!('checked', { schema }) as Verbs,
          ground.db('utf8'),
          verb,
        )
      })
    const waits = !verb.endsWith('Sync') && verb !== 'transaction'
    for (const [what, make] of Object.entries(answering)) {
      yield asked(`answers ${what}`, ['INVALID_VALUE'], make)
      if (what === 'a promise that throws') continue
      yield asked(`promises ${what}`, [waits ? 'INVALID_VALUE' : 'INVALID_ARGUMENT'], async () =>
        make(),
      )
    }
    yield asked(
      'promises what fits',
      waits ? ['INVALID_VALUE'] : ['INVALID_ARGUMENT'],
      async () => ({ value: 1 }),
    )
  }
}

const COLLECTIONS: Readonly<Record<string, Verb>> = {
  queue: queue as unknown as Verb,
  list: list as unknown as Verb,
  set: set as unknown as Verb,
  intSets: intSets as unknown as Verb,
  counters: counters as unknown as Verb,
}

/** Verbs that change a collection, well called. */
const CHANGES: Readonly<Record<string, Readonly<Record<string, readonly unknown[]>>>> = {
  queue: { push: ['a'], pushFront: ['a'], pushMany: [['a']], pop: [], popBack: [], clear: [] },
  list: {
    set: ['a', '1'],
    promote: ['a'],
    demote: ['a'],
    delete: ['a'],
    shift: [],
    pop: [],
    clear: [],
  },
  set: { add: ['a'], addMany: [['a']], delete: ['a'], clear: [] },
  intSets: { add: ['a', 1], addMany: ['a', [1]], clear: ['a'] },
  counters: { add: ['a', 1], take: ['a'], clear: [] },
}

/** Verbs with what they do not take. */
function refusals(): readonly [
  kind: string,
  verb: string,
  code: ErrorCode,
  given: Wrong,
  place: number,
][] {
  const { wrongCounts, noIterables } = wrong
  const values = {
    undefined: () => undefined,
    'a symbol': () => Symbol('a'),
    'a number': () => 1,
    'half a pair': () => 'a\uD800',
  }
  const keys = { ...values, bytes: () => new Uint8Array(1), null: () => null }
  const lists = Object.fromEntries(
    Object.entries(noIterables).filter(([what]) => what !== 'an asynchronous iterable'),
  )
  const counts = Object.fromEntries(
    Object.entries(wrongCounts).filter(([what]) => what !== 'undefined'),
  )
  const all: [string, string, ErrorCode, Wrong, number][] = []
  for (const twin of ['', 'Sync']) {
    for (const verb of ['push', 'pushFront'])
      all.push(['queue', verb + twin, 'INVALID_VALUE', values, 0])
    all.push(['queue', `pushMany${twin}`, 'INVALID_ARGUMENT', lists, 0])
    all.push([
      'queue',
      `take${twin}`,
      'INVALID_ARGUMENT',
      {
        ...wrong.noOptions,
        'a time below 0': () => ({ leaseMs: -1 }),
        'a time that is null': () => ({ leaseMs: null }),
        'a time that is text': () => ({ leaseMs: '1' }),
        'an option that is misspelt': () => ({ lease: 1 }),
      },
      0,
    ])
    for (const verb of ['set', 'get', 'has', 'promote', 'demote', 'delete'])
      all.push(['list', verb + twin, 'INVALID_KEY', keys, 0])
    all.push(['list', `set${twin}`, 'INVALID_VALUE', values, 1])
    all.push([
      'list',
      `at${twin}`,
      'INVALID_ARGUMENT',
      {
        half: () => 0.5,
        NaN: () => Number.NaN,
        text: () => '0',
        undefined: () => undefined,
        null: () => null,
      },
      0,
    ])
    for (const verb of ['add', 'has', 'delete'])
      all.push(['set', verb + twin, 'INVALID_KEY', keys, 0])
    all.push(['set', `addMany${twin}`, 'INVALID_ARGUMENT', lists, 0])
    for (const verb of ['add', 'has', 'delete']) {
      all.push(
        ['intSets', verb + twin, 'INVALID_KEY', keys, 0],
        ['intSets', verb + twin, 'INVALID_VALUE', wrongCounts, 1],
      )
    }
    all.push(['intSets', `addMany${twin}`, 'INVALID_ARGUMENT', lists, 1])
    for (const verb of ['add', 'get', 'take'])
      all.push(['counters', verb + twin, 'INVALID_KEY', keys, 0])
    all.push([
      'counters',
      `add${twin}`,
      'INVALID_VALUE',
      Object.fromEntries(Object.entries(counts).filter(([what]) => what !== 'a number below 0')),
      1,
    ])
  }
  return all
}

function* collections(): Generator<Misuse> {
  for (const [kind, make] of Object.entries(COLLECTIONS)) {
    const at = (name: string, code: ErrorCode, act: Act): Misuse => ({
      name: `a ${kind}: ${name}`,
      must: only(code),
      promises: false,
      act,
    })
    for (const [what, store] of Object.entries(wrong.noStores)) {
      yield at(`in ${what}`, 'INVALID_ARGUMENT', () => make(store(), 'c'))
    }
    yield at('in a transaction', 'INVALID_ARGUMENT', (ground) =>
      transact(
        ground.db('utf8'),
        'transactionSync',
        losing((tx) => make(tx, 'c')),
      ),
    )
    for (const [what, name] of Object.entries(wrong.wrongNames)) {
      yield at(`called ${what}`, 'INVALID_ARGUMENT', (ground) => make(ground.db('utf8'), name()))
    }
    for (const [what, options] of Object.entries({
      ...wrong.noOptions,
      'a codec that is none': () => ({
        [kind === 'queue' || kind === 'set' ? 'values' : 'keys']: 'none',
      }),
      'an option that is misspelt': () => ({ kees: 'utf8' }),
    })) {
      yield at(`with options: ${what}`, 'INVALID_ARGUMENT', (ground) =>
        make(ground.db('utf8'), 'c', options()),
      )
    }
    yield at('in a table of something else', 'MISMATCH', (ground) => {
      const db = ground.own()
      ;(db['table']!('one') as Verbs)['putSync']!('a', '1')
      return make(db, 'one')
    })
    for (const [verb, given] of Object.entries(CHANGES[kind]!)) {
      for (const call of twins(verb)) {
        const sync = call.endsWith('Sync')
        for (const [what, options] of Object.entries(wrong.wrongBatchOptions)) {
          yield {
            ...at(`${call} with options: ${what}`, 'INVALID_ARGUMENT', (ground) =>
              (make(ground.db('utf8'), `of ${kind}`) as Verbs)[call]!(...given, options()),
            ),
            promises: !sync,
          }
        }
        yield at(`${call} after closing`, 'CLOSED', async (ground) => {
          const db = ground.own()
          const one = make(db, 'mine') as Verbs
          await db['close']!()
          return await one[call]!(...given)
        })
        yield at(`${call} after it was dropped`, 'NOT_FOUND', async (ground) => {
          const db = ground.own()
          const one = make(db, `a ${kind}`) as Verbs
          const [filling, values] = Object.entries(CHANGES[kind]!)[0]!
          await one[filling]!(...values)
          await db['dropTable']!(`a ${kind}`)
          return await untouched(db, () => one[call]!(...given))
        })
      }
    }
  }
  for (const [kind, verb, code, given, place] of refusals()) {
    for (const [what, one] of Object.entries(given)) {
      yield {
        name: `${kind} ${verb} with argument ${place}: ${what}`,
        must: only(code),
        promises: !verb.endsWith('Sync'),
        act: (ground) => {
          const args: unknown[] = place === 0 ? [] : ['a']
          args[place] = one()
          // What more it takes is right.
          if (kind === 'list' && verb.startsWith('set') && place === 0) args.push('1')
          if (kind === 'intSets' && place === 0) args.push(1)
          return (COLLECTIONS[kind]!(ground.db('utf8'), `of ${kind}`) as Verbs)[verb]!(...args)
        },
      }
    }
  }
  for (const ack of twins('ack')) {
    yield {
      name: `${ack} twice`,
      must: FINE,
      promises: false,
      act: async (ground) => {
        const jobs = COLLECTIONS['queue']!(ground.own(), 'jobs') as Verbs
        await jobs['clear']!()
        await jobs['push']!('a')
        const taken = jobs['takeSync']!() as Verbs
        assert.deepEqual([await taken[ack]!(), await taken[ack]!()], [true, false])
        taken['release']!()
        assert.equal(taken['renew']!(), false)
        assert.equal(jobs['countSync']!(), 0)
      },
    }
  }
}

export function* layerMisuses(): Generator<Misuse> {
  yield* transactions()
  yield* changes()
  yield* tables()
  yield* schemas()
  yield* collections()
}
