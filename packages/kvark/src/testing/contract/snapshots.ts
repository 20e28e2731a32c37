/** Contract, chapter 6: snapshots, each a fixed view of the store. */

import assert from 'node:assert/strict'
import { SeededRandom } from '../../bytes/random.ts'
import type { Snapshot } from '../../store/types.ts'
import { bytes, collect, content, names, pattern, rejects, text, throws } from './check.ts'
import type { Case, Chapter } from './place.ts'

const cases: readonly Case[] = [
  {
    name: 'a snapshot does not change, whatever is written',
    async run(place) {
      const db = await place.open({ durability: 'none' })
      for (const name of names(60)) db.putSync(name, 'old')
      const versions = names(60).map((name) => db.getEntrySync(name)!.version)
      const snapshot = db.snapshot()
      assert.equal(snapshot.version, db.stats().sequence)
      const check = async (): Promise<void> => {
        for (const [i, name] of names(60).entries()) {
          const entry = { value: 'old', version: versions[i], expiresAt: undefined }
          assert.equal(await snapshot.get(name), 'old')
          assert.equal(snapshot.getSync(name), 'old')
          assert.deepEqual(await snapshot.getEntry(name), entry)
          assert.deepEqual(snapshot.getEntrySync(name), entry)
          assert.equal(snapshot.viewSync(name, text), 'old')
        }
        assert.equal(await snapshot.has('new'), false)
        assert.equal(snapshot.hasSync('new'), false)
        assert.equal(await snapshot.get('new'), undefined)
        assert.deepEqual(await snapshot.getMany(['new', 'key0001']), [undefined, 'old'])
        assert.deepEqual(snapshot.getManySync(['key0001', 'new']), ['old', undefined])
        assert.equal(await snapshot.count(), 60)
        assert.equal(snapshot.countSync(), 60)
        assert.deepEqual((await collect(snapshot.keys())).sort(), names(60))
        assert.deepEqual(
          [...snapshot.values()],
          names(60).map(() => 'old'),
        )
      }
      await check()
      for (const name of names(20)) db.putSync(name, 'overwritten')
      db.putSync('new', 'new')
      await check()
      for (const name of names(60).slice(10, 30)) db.deleteSync(name)
      await check()
      await db.compact()
      await check()
      await db.clear()
      await check()
      for (const name of names(60)) await db.put(name, 'after clear')
      await db.compact()
      await check()
      assert.equal(db.stats().snapshots, 1)
      snapshot.close()
      assert.equal(db.stats().snapshots, 0)
      assert.equal(await db.count(), 60)
    },
  },
  {
    name: 'many snapshots, released in any order',
    async run(place) {
      const db = await place.open({ durability: 'none' })
      const random = new SeededRandom(6)
      const living: [Snapshot<string, string>, Record<string, string>][] = []
      const model: Record<string, string> = {}
      for (let round = 0; round < 60; round++) {
        for (let i = 0; i < 8; i++) {
          const key = random.pick(names(25))
          if (random.chance(0.3)) {
            await db.delete(key)
            delete model[key]
          } else {
            await db.put(key, `${round}-${i}`)
            model[key] = `${round}-${i}`
          }
        }
        living.push([db.snapshot(), { ...model }])
        if (random.chance(0.1)) await db.compact()
        if (living.length > 6) {
          const [snapshot] = living.splice(random.below(living.length), 1)[0]!
          snapshot.close()
        }
        for (const [snapshot, expected] of living)
          assert.deepEqual(await content(snapshot), expected)
        assert.equal(db.stats().snapshots, living.length)
      }
      for (const [snapshot] of living) snapshot.close()
      assert.equal(db.stats().snapshots, 0)
      assert.deepEqual(await content(db), model)
    },
  },
  {
    name: 'large values in a snapshot',
    async run(place) {
      const db = await place.openBytes({ durability: 'none' })
      const key = bytes('key')
      const lengths = [100, 5000, 300_000, 10]
      const snapshots: Snapshot<Uint8Array, Uint8Array>[] = []
      for (const [i, length] of lengths.entries()) {
        await db.put(key, pattern(length, i))
        snapshots.push(db.snapshot())
      }
      await db.delete(key)
      await db.compact()
      for (const [i, length] of lengths.entries()) {
        assert.deepEqual(await snapshots[i]!.get(key), pattern(length, i))
        assert.deepEqual(snapshots[i]!.getSync(key), pattern(length, i))
        snapshots[i]!.close()
      }
      assert.equal(db.getSync(key), undefined)
    },
  },
  {
    name: 'a cursor of a snapshot lives on when the snapshot is closed',
    async run(place) {
      const db = await place.open({ durability: 'none' })
      for (const name of names(50)) db.putSync(name, name)
      const snapshot = db.snapshot()
      const cursor = snapshot.keys()
      const first = await cursor.nextMany(5)
      snapshot.close()
      await db.clear()
      await db.compact()
      const rest = await collect(cursor)
      assert.deepEqual([...first, ...rest].sort(), names(50))
      assert.equal(db.stats().snapshots, 0)
    },
  },
  {
    name: 'a closed snapshot, and one of a closed store, answer CLOSED',
    async run(place) {
      const db = await place.open({ durability: 'none' })
      db.putSync('a', '1')
      const closed = db.snapshot()
      closed.close()
      closed.close()
      await rejects('CLOSED', () => closed.get('a'))
      throws('CLOSED', () => closed.getSync('a'))
      throws('CLOSED', () => closed.keys())
      const disposed = db.snapshot()
      disposed[Symbol.dispose]()
      throws('CLOSED', () => disposed.hasSync('a'))
      const open = db.snapshot()
      await open[Symbol.asyncDispose]()
      const last = db.snapshot()
      await db.close()
      await rejects('CLOSED', () => last.get('a'))
      throws('CLOSED', () => last.getSync('a'))
      last.close()
      throws('CLOSED', () => db.snapshot())
    },
  },
  {
    name: 'stats show the oldest snapshot and what it holds',
    async run(place) {
      const db = await place.openBytes({ durability: 'none' })
      for (let i = 0; i < 50; i++) db.putSync(bytes(`key${i}`), pattern(500, i))
      const snapshot = db.snapshot()
      for (let i = 0; i < 50; i++) db.putSync(bytes(`key${i}`), pattern(500, i + 1))
      await db.sync()
      assert.ok(db.stats().snapshotBytes > 0)
      assert.ok(db.stats().oldestSnapshotMs >= 0)
      snapshot.close()
      assert.equal(db.stats().snapshotBytes, 0)
      assert.equal(db.stats().oldestSnapshotMs, 0)
    },
  },
]

export const snapshots: Chapter = {
  name: 'snapshots',
  cases: cases.map((one) => ({ ...one, needs: ['snapshots'] })),
}
