// A store is closed at once while a job awaits a call of the files: no file stays open, neither one that has just been opened.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Effect } from '../environment/routine.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { openSync } from '../store/open.ts'
import type { AtomicStore, OrderedStore } from '../store/types.ts'
import type { FileHandle, Files } from '../vfs/files.ts'
import { otherFiles } from '../vfs/other-files.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'

/** The files, with `done` called between each awaited call of them and who awaits it; and the handles that are open. */
function counted(
  files: SimulatedFiles,
  done: (call: string) => void,
): { files: Files; open: Set<FileHandle> } {
  const open = new Set<FileHandle>()
  const heard = <T>(call: string, effect: Effect<T>): Effect<T> =>
    new Effect(effect.sync, async () => {
      try {
        return await effect.async()
      } finally {
        done(call)
      }
    })
  const wrap = (handle: FileHandle): FileHandle => {
    open.add(handle)
    const { path } = handle
    return {
      path,
      read: (...args) => heard(`read of ${path}`, handle.read(...args)),
      write: (...args) => heard(`write of ${path}`, handle.write(...args)),
      sync: () => heard(`sync of ${path}`, handle.sync()),
      size: () => heard(`size of ${path}`, handle.size()),
      truncate: (size) => heard(`truncate of ${path}`, handle.truncate(size)),
      close: () => {
        open.delete(handle)
        return heard(`close of ${path}`, handle.close())
      },
    }
  }
  const counting = otherFiles(files, {
    open: (path, mode) => {
      const { sync, async } = files.open(path, mode)
      const opening = new Effect(
        () => wrap(sync()),
        async () => wrap(await async()),
      )
      return heard(`open of ${path}`, opening)
    },
    list: (path) => heard(`list of ${path}`, files.list(path)),
    stat: (path) => heard(`stat of ${path}`, files.stat(path)),
    rename: (from, to) => heard(`rename of ${from}`, files.rename(from, to)),
    remove: (path) => heard(`remove of ${path}`, files.remove(path)),
    syncFolder: (path) => heard(`syncFolder of ${path}`, files.syncFolder(path)),
  })
  return { files: counting, open }
}

type Act = (db: AtomicStore<string, string>, files: SimulatedFiles) => Promise<unknown>

function isOrdered(db: AtomicStore<string, string>): db is OrderedStore<string, string> {
  return db.supports.order
}

function* parts(): Generator<Uint8Array> {
  for (let i = 0; i < 12; i++) yield new Uint8Array(300_000).fill(i)
}

function* pairs(): Generator<[string, string]> {
  for (let i = 1000; i < 4000; i++) yield [`other ${i}`, 'v'.repeat(500)]
}

const acts: Readonly<Record<string, Act>> = {
  backup: (db) => db.backup('/copy'),
  compact: (db) => db.compact(),
  verify: (db) => db.verify(),
  inspect: (db) => db.inspect(),
  'a stream of one value': (db) => db.putStream('long', parts()),
  'a long value read in pieces': async (db) => {
    db.putSync('long', 'v'.repeat(3_000_000))
    for await (const part of (await db.getStream('long'))!) assert.ok(part.length > 0)
  },
  load: async (db) => {
    if (isOrdered(db)) await db.load(pairs())
  },
  resume: (db, files) => {
    files.failNext({ call: 'sync', error: 'EIO' })
    assert.throws(() => db.putSync('key', 'value', { durability: 'disk' }), { code: 'IO' })
    return db.resume()
  },
}

for (const engine of ['log', 'btree'] as const) {
  test(engine, async (context) => {
    const cut: Record<string, number> = {}
    for (const [name, act] of Object.entries(acts)) {
      cut[name] = 0
      for (let at = 1, isOver = false; !isOver; at++) {
        let close = (): void => {}
        const simulated = new SimulatedFiles()
        let calls = 0
        let last = ''
        const { files, open } = counted(simulated, (call) => {
          if (++calls !== at) return
          last = call
          close()
        })
        const environment = { ...simulatedEnvironment({ seed: at, files: simulated }), files }
        const db = openSync('/store', { engine, environment })
        for (let i = 0; i < 100; i++) db.putSync(`key ${i % 60}`, `${i} `.repeat(700))
        close = () => {
          try {
            db.closeSync()
          } catch (error) {
            // Of one that a sync has failed of.
            assert.equal(name, 'resume', String(error))
          }
        }
        try {
          await act(db, simulated)
          isOver = true
          db.closeSync()
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'CLOSED')
          cut[name]++
        }
        for (let turn = 0; turn < 20; turn++) {
          await new Promise((resolve) => setImmediate(resolve))
        }
        const left = [...open].map(({ path }) => path)
        assert.deepEqual(left, [], `${name}, closed behind the ${last}`)
        const again = openSync('/store', {
          engine,
          environment: { ...environment, files: simulated },
        })
        const own = [...again.keys()].filter((key) => /^key \d/.test(key))
        assert.equal(own.length, 60)
        assert.deepEqual(again.verifySync().problems, [])
        again.closeSync()
      }
    }
    context.diagnostic(`calls behind which it was closed: ${JSON.stringify(cut)}`)
  })
}
