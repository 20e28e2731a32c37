// A sync of the tree file fails, of a checkpoint or of a long value, awaited or at once: the engine takes no more writes until it has
// looked at what the disk holds. What the next sync says of the same bytes is not asked.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import type { Environment } from '../environment/environment.ts'
import { Effect } from '../environment/routine.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { openSync } from '../store/open.ts'
import type { AtomicStore } from '../store/types.ts'
import type { FileHandle, Files } from '../vfs/files.ts'
import { otherFiles } from '../vfs/other-files.ts'
import { type FileCall, SimulatedFiles } from '../vfs/simulated.ts'
import { slowProcess } from './crash/slow-files.ts'

type Store = AtomicStore<string, Uint8Array>

const LONG: Uint8Array = new Uint8Array(3 * 1024 * 1024).fill(7)
/** Of the event loop, that nothing else takes as many of. */
const TURNS = 2000
const SHORT: Uint8Array = new Uint8Array(30).fill(1)

function openOn(files: SimulatedFiles): Store {
  return openSync('/store', {
    engine: 'btree',
    values: 'bytes',
    checkpointBytes: Number.MAX_SAFE_INTEGER,
    environment: simulatedEnvironment({ seed: 1, files }),
  })
}

function* parts(value: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < value.length; at += 500_000) yield value.subarray(at, at + 500_000)
}

const acts: readonly (readonly [string, (db: Store) => void | Promise<void>])[] = [
  ['a checkpoint at once', (db) => db.compactSync()],
  ['a checkpoint that is awaited', async (db) => db.compact()],
  ['verify at once', (db) => void db.verifySync()],
  [
    'a long value',
    async (db) => {
      await db.putStream('long', parts(LONG))
    },
  ],
]

for (const [name, act] of acts) {
  test(name, async () => {
    const files = new SimulatedFiles()
    files.failedSync = 'clean'
    const db = openOn(files)
    db.putSync('key', SHORT)
    files.failNext({ call: 'sync', path: 'TREE', error: 'EIO' })
    await assert.rejects(async () => act(db), { code: 'IO' })
    assert.ok(db.stats().readOnly, 'it takes no more writes')
    assert.throws(() => db.putSync('other', SHORT), { code: 'READ_ONLY' })
    await db.resume()
    assert.deepEqual([...db.getSync('key')!], [...SHORT])
    assert.equal(db.hasSync('long'), false)
    db.putSync('other', SHORT)
    await db.compact()
    const disk = files.afterCrash()
    await db.close()
    const again = openOn(disk)
    assert.deepEqual([...again.keys()], ['key', 'other'])
    assert.deepEqual(again.verifySync().problems, [])
    again.closeSync()
  })
}

test('a sync that goes on beside the last pages of a checkpoint fails, and that is heard of after they are written', async () => {
  const files = new SimulatedFiles()
  files.failedSync = 'clean'
  const environment = simulatedEnvironment({ seed: 1, files })
  const db = openSync('/store', {
    values: 'bytes',
    checkpointBytes: Number.MAX_SAFE_INTEGER,
    cacheBytes: 256 * 1024 * 1024,
    environment: { ...environment, files: tellingLate(files) },
  })
  // Pages of 10 MB: one sync begins when 8 MiB are written.
  const value = new Uint8Array(7000).fill(1)
  for (let i = 0; i < 1300; i++) db.putSync(`${i}`, value)
  files.failNext({ call: 'sync', path: 'TREE', error: 'EIO' })
  await assert.rejects(db.compact(), { code: 'IO' })
  const ofTree = files.calls.filter(({ path }) => path.endsWith('TREE'))
  const failed = ofTree.findIndex(({ error }) => error === 'EIO')
  const after = ofTree.slice(failed + 1)
  assert.ok(after.filter(({ call }) => call === 'write').length > 0, 'it was not the last of all')
  assert.ok(!after.some(({ call }) => call === 'sync'), 'a sync that failed is not tried again')
  const disk = files.afterCrash()
  await db.resume()
  assert.equal(db.countSync(), 1300)
  await db.close()
  const again = openOn(disk)
  assert.equal(again.countSync(), 1300)
  assert.deepEqual(again.verifySync().problems, [])
  again.closeSync()
})

/** The files, whose awaited syncs that fail are heard of when all else that goes on has long come to an end. */
function tellingLate(files: SimulatedFiles): Files {
  const late = (sync: Effect<void>): Effect<void> =>
    new Effect(
      () => sync.sync(),
      async () => {
        try {
          await sync.async()
        } catch (error) {
          for (let turn = 0; turn < TURNS; turn++) {
            await new Promise((resolve) => setImmediate(resolve))
          }
          throw error
        }
      },
    )
  const wrap = (handle: FileHandle): FileHandle => {
    const sync = handle.sync.bind(handle)
    handle.sync = () => late(sync())
    return handle
  }
  return otherFiles(files, {
    open: (path, mode) => {
      const opening = files.open(path, mode)
      return new Effect(
        () => wrap(opening.sync()),
        async () => wrap(await opening.async()),
      )
    },
  })
}

test('a checkpoint so large that it syncs while it writes: one of its syncs fails, or the power goes', async () => {
  const text = (i: number): string => `${i} `.padEnd(7000, 'v')
  const open = (environment: Environment): AtomicStore<string, string> =>
    openSync('/store', {
      checkpointBytes: Number.MAX_SAFE_INTEGER,
      cacheBytes: 256 * 1024 * 1024,
      environment,
    })
  let failed = 0
  for (let nth = 1; ; nth++) {
    const files = new SimulatedFiles()
    files.failedSync = 'clean'
    const environment = simulatedEnvironment({ seed: nth, files })
    const slow = slowProcess(files, new SeededRandom(nth))
    const db = open({ ...environment, files: slow.files })
    for (let i = 0; i < 3500; i++) db.putSync(`${i}`, text(i))
    files.failNext({ call: 'sync', path: 'TREE', nth, error: 'EIO' })
    const compacting = db.compact()
    const disks: SimulatedFiles[] = []
    let isOver = false
    const watch = async (): Promise<void> => {
      while (!isOver) {
        if (disks.length < 3 * nth) disks.push(files.afterCrash())
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    const watching = watch()
    const outcome = await compacting.then(
      () => 'ok',
      ({ code }: { code: string }) => code,
    )
    isOver = true
    await watching
    disks.push(files.afterCrash())
    for (const disk of [disks[0]!, disks.at(-2)!, disks.at(-1)!]) {
      const again = open(simulatedEnvironment({ seed: 1, files: disk }))
      assert.equal(again.countSync(), 3500, `${nth}, ${outcome}`)
      assert.equal(again.getSync('3499'), text(3499))
      assert.deepEqual(again.verifySync().problems, [])
      again.closeSync()
    }
    if (outcome === 'ok') {
      assert.ok(!db.stats().readOnly)
      files.clearFaults()
      await db.close()
      break
    }
    assert.equal(outcome, 'IO')
    const after = files.calls.slice(files.calls.findIndex(({ error }) => error === 'EIO') + 1)
    const isSync = ({ call, path }: FileCall): boolean => call === 'sync' && path.endsWith('TREE')
    assert.ok(!after.some(isSync), 'a sync that failed is not tried again')
    assert.ok(db.stats().readOnly)
    failed++
    files.clearFaults()
    await db.resume()
    assert.equal(db.countSync(), 3500)
    await db.close()
  }
  // Those that go on while it writes, that before the root, and that behind it.
  assert.ok(failed >= 5, `${failed} syncs`)
})
