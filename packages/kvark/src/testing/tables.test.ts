/** Tables where things go wrong: power loss, a list of tables that is newer, nonsense or lost, and what `repair` makes of it. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Engine, EngineContext, EngineModule } from '../engine/engine.ts'
import type { WriteBatch } from '../engine/write-batch.ts'
import { engines } from '../engines.ts'
import type { Environment } from '../environment/environment.ts'
import { nodeEnvironment } from '../environment/node.ts'
import type { Routine } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import { Catalogue, decodeCatalogue, NO_TABLES } from '../store/catalogue.ts'
import { open, openSync } from '../store/open.ts'
import { openWith } from '../store/opening.ts'
import { repairSync } from '../store/repair.ts'
import type { AtomicStore } from '../store/types.ts'
import { memoryFiles } from '../vfs/memory.ts'
import { exploreCrashes } from './explore.ts'

const ENGINES = ['btree', 'log'] as const
type EngineName = (typeof ENGINES)[number]

const FOLDER = '/memory/store'
const WHOLE = '/memory/whole'
const TO = '/memory/repaired'
const NAME = 'a name to be found'

/** What a store holds, by table; the root is ''. */
function contentOf(db: AtomicStore): Record<string, Record<string, string>> {
  const tables = [
    ['', db] as const,
    ...db.tables().map(({ name }) => [name, db.table(name)] as const),
  ]
  return Object.fromEntries(
    tables.map(([name, table]) => [
      name,
      Object.fromEntries([...table.entries()].sort(([a], [b]) => (a < b ? -1 : 1))),
    ]),
  )
}

for (const engine of ENGINES) {
  test(`${engine}: no power loss parts a table from its entries`, async () => {
    // After each step the store holds exactly this; a crash leaves the state before or behind the step under way.
    const states: string[] = []
    const { crashes, disks } = await exploreCrashes<number>({
      runs: 1,
      callsApart: 3,
      async program({ environment, promise }) {
        states.length = 0
        const db: AtomicStore = await open('/tables', {
          engine,
          environment,
          durability: 'disk',
        })
        const one = db.table('one')
        const steps: (() => Promise<unknown>)[] = [
          () => one.put('a', '1'),
          () => db.put('a', 'root'),
          () =>
            db.batch([
              { type: 'put', table: db.table('two'), key: 'a', value: '2' },
              { type: 'put', table: one, key: 'b', value: '1' },
              { type: 'delete', key: 'a' },
            ]),
          () => db.renameTable('one', 'three'),
          () => db.table('two').clear(),
          () => db.dropTable('three'),
          () => db.put('b', 'root'),
          () => db.clear(),
          () => db.table('three').put('c', 'new'),
          () => db.compact(),
        ]
        states.push(JSON.stringify(contentOf(db)))
        for (const step of steps) {
          await step()
          states.push(JSON.stringify(contentOf(db)))
          promise(states.length - 1)
        }
        await db.close()
      },
      async check({ environment, promised }) {
        const db: AtomicStore = await open('/tables', { engine, environment })
        const least = promised.at(-1) ?? 0
        const found = JSON.stringify(contentOf(db))
        assert.ok(states.slice(least, least + 2).includes(found), `${found} after step ${least}`)
        // Nothing lies in a space that is no table's, once all is tidied up.
        await db.compact()
        const held = Object.values(contentOf(db)).reduce((n, one) => n + Object.keys(one).length, 0)
        const { entries } = db.stats()
        assert.ok(entries === held || entries === held + 1, `${entries} entries for ${held}`)
        await db.close()
      },
    })
    assert.ok(crashes > 20 && disks > 20, `${crashes} crashes, ${disks} disks`)
  })

  test(`${engine}: a list of tables that is newer, or nonsense, is told; where it can, the root goes on`, () => {
    for (const [byte, code] of [
      [9, 'VERSION'],
      [1, 'CORRUPTION'],
    ] as const) {
      const environment = nodeEnvironment(memoryFiles())
      const spoiled = openSpoiling(environment, engine, (bytes) => {
        bytes[0] = byte
        bytes[bytes.length - 1] = 7
      })
      spoiled.putSync('a', 'root')
      spoiled.table('t').putSync('a', 'table')
      spoiled.closeSync()
      const db: AtomicStore = openSync(FOLDER, { environment, engine })
      const refused = (act: () => unknown): void => {
        assert.throws(act, (error) => error instanceof KvarkError && error.code === code)
      }
      refused(() => db.table('t'))
      refused(() => db.tables())
      refused(() => db.dropTableSync('t'))
      if (engine === 'btree') {
        assert.equal(db.getSync('a'), 'root')
        db.putSync('b', 'root')
        // Not written over by a table of an earlier handle, nor by anything else.
        assert.equal(db.countSync(), 2)
      } else refused(() => db.getSync('a'))
      assert.deepEqual(
        db.verifySync().problems.map((problem) => problem.code),
        [code],
      )
      db.closeSync()
    }
  })

  test(`${engine}: repair keeps tables; without their list the entries are in tables of other names`, () => {
    const environment = nodeEnvironment(memoryFiles())
    const db: AtomicStore = openSync(FOLDER, { environment, engine, durability: 'os' })
    const table = db.table(NAME)
    for (let i = 0; i < 2000; i++) table.putSync(`key ${i}`, `value ${i}`)
    for (let i = 0; i < 400; i++) db.putSync(`root ${i}`, '.'.repeat(100))
    db.closeSync()
    assert.deepEqual(repairSync(FOLDER, WHOLE, { environment }).lost, [])
    const copy: AtomicStore = openSync(WHOLE, { environment, engine })
    assert.deepEqual(copy.tables(), [{ name: NAME, keys: 'utf8', values: 'utf8' }])
    assert.equal(copy.table(NAME).countSync(), 2000)
    assert.equal(copy.countSync(), 400)
    copy.closeSync()

    spoilText(environment, NAME)
    const { lost } = repairSync(FOLDER, TO, { environment })
    assert.ok(lost.length > 0)
    const repaired: AtomicStore = openSync(TO, { environment, engine })
    const [info, ...others] = repaired.tables()
    assert.deepEqual([info?.keys, info?.values, others], ['bytes', 'bytes', []])
    assert.match(info!.name, /^lost-\d+$/)
    const rest = repaired.table(info!.name, { keys: 'bytes', values: 'bytes' })
    assert.ok(rest.countSync() > 500 && rest.countSync() < 2001)
    for (const [key, value] of rest.entries()) {
      assert.equal(String(Buffer.from(value)), String(Buffer.from(key)).replace('key', 'value'))
    }
    // What is made now has nothing of it.
    const fresh = repaired.table('fresh')
    fresh.putSync('a', 'b')
    assert.deepEqual([...fresh.entries()], [['a', 'b']])
    repaired.closeSync()
  })
}

/** A store whose lists of tables are changed on their way into the engine. */
function openSpoiling(
  environment: Environment,
  engine: EngineName,
  change: (bytes: Uint8Array) => void,
): AtomicStore {
  const module = engines[engine]!
  const spoiling: EngineModule = {
    ...module,
    *open(context: EngineContext): Routine<Engine> {
      const inner = yield* module.open(context)
      const write = inner.write.bind(inner)
      inner.write = (batch: WriteBatch): ReturnType<Engine['write']> => {
        for (let i = 0; i < batch.count; i++) {
          const at = batch.valueStart[i]!
          const length = batch.valueLength[i]!
          if (batch.bytes[batch.keyStart[i]!] === 1) change(batch.bytes.subarray(at, at + length))
        }
        return write(batch)
      }
      return inner
    },
  }
  const options = { environment, engine, durability: 'os' }
  return openWith({ [engine]: spoiling }, FOLDER, options).sync() as unknown as AtomicStore
}

/** Changes a byte of each place in the files of the store that has this text. */
function spoilText({ files }: Environment, text: string): void {
  let places = 0
  for (const name of files.list(FOLDER).sync()) {
    const handle = files.open(`${FOLDER}/${name}`, 'write').sync()
    const bytes = Buffer.alloc(handle.size().sync())
    handle.read(bytes, 0, bytes.length, 0).sync()
    for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) {
      handle.write(Buffer.from('A'), 0, 1, at).sync()
      places++
    }
    handle.close().sync()
  }
  assert.ok(places > 0)
}

test('a list of tables is read back as it was written, and nothing else is taken for one', () => {
  const table = { number: 5, space: 9, name: 'täble', keys: 'utf8', values: 'json' }
  const other = { number: 200, space: 200, name: 'x', keys: 'tuple', values: 'bytes' }
  const catalogue = NO_TABLES.with(table).with(other).withRoot(300).withDropped(0).withDropped(5)
  const bytes = catalogue.encode()
  // The format, which stays: version, next, root, tables, dropped.
  assert.equal(
    bytes.toString('hex'),
    '01ad02ac02020509' +
      '0674c3a4626c65' +
      '0475746638' +
      '046a736f6e' +
      'c801c801' +
      '0178' +
      '057475706c65' +
      '056279746573' +
      '020005',
  )
  const again = decodeCatalogue(bytes, FOLDER)
  assert.deepEqual(again.encode(), bytes)
  assert.deepEqual([...again.tables.values()], [table, other])
  assert.deepEqual([again.next, again.root, again.dropped], [301, 300, [0, 5]])
  const refused = (wrong: Uint8Array): boolean => {
    try {
      decodeCatalogue(wrong, FOLDER)
      return false
    } catch (error) {
      return error instanceof KvarkError && /^(CORRUPTION|VERSION)$/.test(error.code)
    }
  }
  for (let end = 0; end < bytes.length; end++) assert.ok(refused(bytes.subarray(0, end)), `${end}`)
  assert.ok(refused(Buffer.concat([bytes, Buffer.from([0])])))
  for (const wrong of [
    { ...table, name: '' },
    { ...table, space: 2 },
    { ...table, name: 'x' },
    { ...table, space: 200 },
    { ...table, space: 300 },
  ]) {
    const tables = new Map([wrong, other].map((one) => [one.number, one]))
    assert.ok(refused(new Catalogue({ next: 301, root: 300, tables, dropped: [] }).encode()))
  }
  assert.ok(refused(NO_TABLES.withRoot(1).encode()))
  assert.ok(refused(NO_TABLES.withDropped(1).encode()))
})
