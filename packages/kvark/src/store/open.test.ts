import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EngineContext, EngineModule } from '../engine/engine.ts'
import type { Environment } from '../environment/environment.ts'
import { nodeEnvironment } from '../environment/node.ts'
import { runSync } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import { readDescriptor, writeDescriptor } from '../storage/descriptor.ts'
import { referenceModule } from '../testing/reference-engine.ts'
import type { Files } from '../vfs/files.ts'
import { memoryFiles } from '../vfs/memory.ts'
import { describe, describeSync, open, openSync } from './open.ts'
import { openWith } from './opening.ts'
import type { KvarkStore } from './store.ts'

const PATH = '/parent/folder/store'

const small: EngineModule = {
  ...referenceModule,
  name: 'small',
  options: {
    pageBytes: {
      check: (value) => value === 4096 || value === 8192,
      expected: '4096 or 8192',
      pinned: true,
      live: false,
      default: 4096,
    },
    pace: {
      check: (value) => typeof value === 'number',
      expected: 'a number',
      pinned: false,
      live: false,
      default: 1,
    },
  },
}
const modules = { reference: referenceModule, small }

function newEnvironment(): Environment {
  return nodeEnvironment(memoryFiles())
}

function openStore(
  environment: Environment,
  options: object = {},
  path: string = PATH,
): KvarkStore<unknown, unknown> {
  return openWith(modules, path, { engine: 'small', environment, ...options }).sync()
}

function refusal(act: () => unknown): KvarkError {
  try {
    act()
  } catch (error) {
    if (error instanceof KvarkError) return error
    throw error
  }
  assert.fail('nothing was refused')
}

function putFile({ files }: Environment, folder: string, name: string): void {
  files.makeFolder(folder).sync()
  const handle = files.open(`${folder}/${name}`, 'create').sync()
  handle.close().sync()
}

test('wrong options are refused with what would be right, before anything is made', () => {
  const environment = newEnvironment()
  const wrong: readonly [options: object, sentence: RegExp][] = [
    [
      { engine: 'smal' },
      /no engine 'smal' \(did you mean 'small'\?\)\. Known: reference, small, any/,
    ],
    [{ engine: 'toString' }, /no engine/],
    [{ engine: 7 }, /no engine 7/],
    [
      { durabilty: 'os' },
      /no option 'durabilty' \(did you mean 'durability'\?\)\. Known: .*pageBytes/,
    ],
    [{ zzz: 1 }, /no option 'zzz'\. Known/],
    [{ toString: 1 }, /no option 'toString'/],
    [{ durability: 'dsk' }, /'durability' must be 'none', 'os' or 'disk', not 'dsk'/],
    [{ create: 1 }, /'create' must be true or false, not 1/],
    [{ errorIfExists: 'no' }, /'errorIfExists' must be/],
    [
      { cacheBytes: 1024 },
      /'cacheBytes' must be a whole number from 1048576 to 274877906944, not 1024/,
    ],
    [{ cacheBytes: 2 ** 38 + 1 }, /'cacheBytes'/],
    [{ cacheBytes: Number.NaN }, /'cacheBytes'/],
    [{ lockTimeoutMs: -1 }, /'lockTimeoutMs'/],
    [{ lockTimeoutMs: 2 ** 31 }, /'lockTimeoutMs'/],
    [{ keys: 'json' }, /'keys' must be/],
    [{ values: 'tuple' }, /'values' must be/],
    [{ pageBytes: 1 }, /'pageBytes' must be 4096 or 8192, not 1/],
    [{ environment: {} }, /'environment' must be/],
  ]
  for (const [options, sentence] of wrong) {
    const error = refusal(() => openStore(environment, options))
    assert.equal(error.code, 'INVALID_ARGUMENT', JSON.stringify(options))
    assert.match(error.message, sentence)
    assert.ok(!error.message.includes('\n'))
  }
  for (const path of ['', 'a\0b', 7 as unknown as string]) {
    assert.equal(refusal(() => openStore(environment, {}, path)).code, 'INVALID_ARGUMENT')
  }
  for (const options of [null, 'log', []]) {
    assert.throws(() => openWith(modules, PATH, options as unknown as object).sync(), {
      code: 'INVALID_ARGUMENT',
    })
  }
  assert.equal(environment.files.stat('/parent').sync(), undefined)
})

test('undefined is the same as not given', () => {
  const environment = newEnvironment()
  openStore(environment, { create: undefined, pageBytes: undefined, zzz: undefined }).closeSync()
})

test('where there is no store and none is to be made nothing is left behind', () => {
  const environment = newEnvironment()
  for (const options of [{ create: false }, { engine: 'any' }]) {
    assert.equal(refusal(() => openStore(environment, options)).code, 'NOT_FOUND')
    assert.equal(environment.files.stat('/parent').sync(), undefined)
  }
  environment.files.makeFolder(PATH).sync()
  assert.equal(refusal(() => openStore(environment, { create: false })).code, 'NOT_FOUND')
  assert.equal(refusal(() => describeSync(PATH, { environment })).code, 'NOT_FOUND')
  assert.deepEqual(environment.files.list(PATH).sync(), [])
})

test('a folder with other files is not touched', () => {
  for (const name of ['notes.txt', 'app.log', '.hidden']) {
    const environment = newEnvironment()
    putFile(environment, PATH, name)
    const error = refusal(() => openStore(environment))
    assert.equal(error.code, 'INVALID_ARGUMENT')
    assert.match(error.message, /holds files that are not of a store/)
    assert.deepEqual(environment.files.list(PATH).sync(), [name])
  }
  const environment = newEnvironment()
  putFile(environment, '/parent', 'file')
  assert.match(refusal(() => openStore(environment, {}, '/parent/file')).message, /not a folder/)
})

test('data without its descriptor is CORRUPTION', () => {
  for (const name of ['MANIFEST', '12.log', '3.packed']) {
    for (const options of [{}, { create: false }, { engine: 'any' }]) {
      const environment = newEnvironment()
      putFile(environment, PATH, name)
      const error = refusal(() => openStore(environment, options))
      assert.deepEqual([error.code, error.path], ['CORRUPTION', `${PATH}/KVARK`])
      assert.deepEqual(environment.files.list(PATH).sync(), [name])
    }
  }
})

test('what an opening left that was cut off is no obstacle', () => {
  const environment = newEnvironment()
  putFile(environment, PATH, 'LOCK')
  putFile(environment, PATH, 'KVARK.0123abcd.tmp')
  const db = openStore(environment)
  db.putSync('a', '1')
  db.closeSync()
  assert.ok(
    !environment.files
      .list(PATH)
      .sync()
      .some((name) => name.endsWith('.tmp')),
  )
})

test('the engine hears that nothing is there, also when only the descriptor is', () => {
  const environment = newEnvironment()
  const heard: boolean[] = []
  const failing: EngineModule = {
    ...small,
    *open(context: EngineContext) {
      heard.push(context.created)
      if (heard.length < 3) throw new Error('cut off')
      return yield* small.open(context)
    },
  }
  const attempt = (): KvarkStore<unknown, unknown> =>
    openWith({ small: failing }, PATH, { engine: 'small', environment }).sync()
  assert.throws(attempt, /cut off/)
  assert.throws(attempt, /cut off/, 'the lock was released')
  const db = attempt()
  db.putSync('a', '1')
  db.closeSync()
  attempt().closeSync()
  assert.deepEqual(heard, [true, true, true, false])
})

test('what a store was made with is kept and checked', () => {
  const environment = newEnvironment()
  const db = openStore(environment, { pageBytes: 8192, values: 'json' })
  db.closeSync()
  const asked: readonly [options: object, expected: unknown, found: unknown][] = [
    [{ engine: 'reference', values: 'json' }, 'reference', 'small'],
    [{}, 'utf8', 'json'],
    [{ values: 'json', keys: 'bytes' }, 'bytes', 'utf8'],
    [{ values: 'json', pageBytes: 4096 }, 4096, 8192],
    [{ values: 'json', pageBytes: 4096, engine: 'any' }, 4096, 8192],
    [{ engine: 'any' }, 'utf8', 'json'],
  ]
  for (const [options, expected, found] of asked) {
    const error = refusal(() => openStore(environment, options))
    assert.deepEqual([error.code, error.expected, error.found], ['MISMATCH', expected, found])
  }
  for (const options of [{}, { pageBytes: 8192 }, { engine: 'any' }, { engine: 'any', pace: 2 }]) {
    openStore(environment, { values: 'json', ...options }).closeSync()
  }
  const misspelt = refusal(() => openStore(environment, { values: 'json', engine: 'any', pac: 2 }))
  assert.match(misspelt.message, /did you mean 'pace'/)
  const exists = refusal(() => openStore(environment, { values: 'json', errorIfExists: true }))
  assert.equal(exists.code, 'INVALID_ARGUMENT')
  openStore(environment, { errorIfExists: true }, '/other').closeSync()
})

test("open without 'engine' makes a B+ tree, and opens no store of another engine", async () => {
  const environment = newEnvironment()
  const log = await open(PATH, { engine: 'log', environment })
  await log.close()
  const fields = { code: 'MISMATCH', expected: 'btree', found: 'log' }
  await assert.rejects(open(PATH, { environment }), fields)
  assert.throws(() => openSync(PATH, { environment }), fields)
  for (const engine of ['log', 'any'] as const) {
    const again = openSync(PATH, { engine, environment })
    assert.equal(again.engine, 'log')
    again.closeSync()
  }
  const tree = openSync('/other', { environment })
  assert.equal(tree.engine, 'btree')
  tree.closeSync()
  const wrong = { ...fields, expected: 'log', found: 'btree' }
  await assert.rejects(open('/other', { engine: 'log', environment }), wrong)
})

test('a second opening is LOCKED, until the first one closes', async () => {
  const environment = newEnvironment()
  const db = openStore(environment)
  assert.equal(refusal(() => openStore(environment)).code, 'LOCKED')
  await db.close()
  openStore(environment).closeSync()
})

test('a store of an engine or a feature that is not known is VERSION', () => {
  const environment = newEnvironment()
  openStore(environment).closeSync()
  const error = refusal(() =>
    openWith({ reference: referenceModule }, PATH, { engine: 'any', environment }).sync(),
  )
  assert.deepEqual([error.code, error.found], ['VERSION', 'small'])
  const descriptor = runSync(readDescriptor(environment, PATH))!
  const features = { ...descriptor.features, readOnlyCompatible: 4 }
  runSync(writeDescriptor(environment, PATH, { ...descriptor, features }, undefined))
  assert.equal(refusal(() => openStore(environment)).code, 'VERSION')
  assert.equal(describeSync(PATH, { environment }).engine, 'small')
})

test('describe tells what a store is, also while it is open', async () => {
  const environment = newEnvironment()
  const db = openStore(environment, { pageBytes: 8192, keys: 'tuple' })
  const description = describeSync(PATH, { environment })
  assert.match(description.storeId, /^[0-9a-f]{32}$/)
  assert.deepEqual(description, {
    engine: 'small',
    storeId: description.storeId,
    keys: 'tuple',
    values: 'utf8',
    options: { pageBytes: 8192 },
    checksum: 'crc32',
    compression: 'none',
    cipher: undefined,
  })
  assert.deepEqual(await describe(PATH, { environment }), description)
  db.closeSync()
  await assert.rejects(describe('/nowhere', { environment }), { code: 'NOT_FOUND' })
  await assert.rejects(describe(PATH, { envronment: 1 } as object), { code: 'INVALID_ARGUMENT' })
})

test('folders that were made are durable, with their names', () => {
  const environment = newEnvironment()
  const synced: string[] = []
  const files = new Proxy(environment.files, {
    get(target, name: keyof Files) {
      if (name === 'syncFolder') {
        return (path: string) => {
          synced.push(path)
          return target.syncFolder(path)
        }
      }
      const member = target[name]
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
  openStore({ ...environment, files }).closeSync()
  assert.deepEqual(synced.slice(0, 3), ['/parent/folder', '/parent', '/'])
})

test("':memory:' is a new store each time, on no disk", async () => {
  const a = await open(':memory:')
  const b = openSync(':memory:')
  await a.put('k', 'a')
  assert.equal(a.path, ':memory:')
  assert.equal(a.getSync('k'), 'a')
  assert.equal(b.getSync('k'), undefined)
  await a.close()
  b.closeSync()
  await assert.rejects(open(':memory:', { environment: newEnvironment() }), {
    code: 'INVALID_ARGUMENT',
  })
})
