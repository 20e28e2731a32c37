/** Contract, chapter 7: the life of a store. Opening, closing, long jobs, what it tells about itself. */

import assert from 'node:assert/strict'
import type { KvarkError } from '../../errors.ts'
import type { Files } from '../../vfs/files.ts'
import { fileBytes, folderImage } from '../folder-image.ts'
import { bytes, content, names, pattern, rejects, throws, turn } from './check.ts'
import type { AnyStore, Case, Chapter } from './place.ts'

function copyFile(files: Files, from: string, to: string): void {
  const bytes = fileBytes(files, from)
  const handle = files.open(to, 'create').sync()
  handle.write(bytes, 0, bytes.length, 0).sync()
  handle.close().sync()
}

const cases: readonly Case[] = [
  {
    name: 'readOnly reads everything, refuses writing, and changes no file, also after an abrupt end',
    async run(place) {
      const { files } = place.environment
      await rejects('NOT_FOUND', () => place.open({ readOnly: true }))
      await rejects('INVALID_ARGUMENT', () => place.open({ readOnly: true, create: true }))
      await rejects('INVALID_ARGUMENT', () => place.open({ readOnly: true, errorIfExists: true }))
      const writer = await place.open({ durability: 'os' })
      for (const name of names(60)) await writer.put(name, name)
      for (const name of names(10)) await writer.delete(name)
      const expected = await content(writer)
      const folder = place.path
      // What a killed process leaves behind: the files as they are while the store is open.
      const copy = `${folder}-copy`
      files.makeFolder(copy).sync()
      for (const name of files.list(folder).sync()) {
        if (name !== 'LOCK') copyFile(files, `${folder}/${name}`, `${copy}/${name}`)
      }
      await writer.close()
      for (const path of [folder, copy]) {
        const before = folderImage(files, path)
        const db = await place.open({ readOnly: true }, path)
        assert.deepEqual(await content(db), expected)
        assert.equal(db.stats().readOnly?.code, 'READ_ONLY')
        await rejects('READ_ONLY', () => db.put('a', '1'))
        throws('READ_ONLY', () => db.putSync('a', '1'))
        await rejects('READ_ONLY', () => db.delete('key0020'))
        await rejects('READ_ONLY', () => db.clear())
        await rejects('READ_ONLY', () => db.compact())
        await db.sync()
        assert.deepEqual((await db.verify()).problems, [])
        await db.close()
        assert.deepEqual(folderImage(files, path), before)
      }
    },
  },
  {
    name: 'what was written is there after opening again, and versions go on',
    async run(place) {
      const expected: Record<string, string> = {}
      let last = 0
      for (let round = 0; round < 6; round++) {
        const db: AnyStore = round % 2 === 0 ? await place.open() : place.openSync()
        assert.deepEqual(await content(db), expected)
        assert.ok(db.stats().sequence >= last)
        for (const name of names(30).slice(round * 4)) {
          const version = db.putSync(name, `${round}`, { durability: 'none' })
          assert.ok(version > last, `${version} after ${last}`)
          last = version
          expected[name] = `${round}`
        }
        const gone = `key${String(round * 4).padStart(4, '0')}`
        last = await db.delete(gone)
        delete expected[gone]
        if (round % 3 === 0) await db.close()
        else db.closeSync()
      }
    },
  },
  {
    name: 'versions of entries survive',
    async run(place) {
      let db = await place.open({ durability: 'none' })
      const versions = names(40).map((name) => db.putSync(name, name))
      await db.compact()
      await db.close()
      db = await place.open()
      for (const [i, name] of names(40).entries()) {
        assert.equal(db.getEntrySync(name)?.version, versions[i])
      }
      await rejects('CONFLICT', () => db.put('key0001', 'x', { ifVersion: versions[0]! }))
      await db.put('key0001', 'x', { ifVersion: versions[1]! })
    },
  },
  {
    name: 'a version is never given twice, also when the last writes were deletes',
    async run(place) {
      let last = 0
      for (let round = 0; round < 4; round++) {
        const db = await place.open()
        const version = await db.put('a', `${round}`)
        assert.ok(version > last)
        last = await db.delete('a')
        if (round === 1) await db.clear()
        if (round === 2) await db.compact()
        last = Math.max(last, db.stats().sequence)
        await db.close()
      }
    },
  },
  {
    name: 'after close everything is CLOSED, and closing again is harmless',
    async run(place) {
      for (const synchronous of [false, true]) {
        const db = await place.open()
        await db.put('a', '1')
        if (synchronous) db.closeSync()
        else await db.close()
        await db.close()
        db.closeSync()
        await rejects('CLOSED', () => db.get('a'))
        throws('CLOSED', () => db.getSync('a'))
        await rejects('CLOSED', () => db.getMany(['a']))
        await rejects('CLOSED', () => db.has('a'))
        await rejects('CLOSED', () => db.put('a', '2'))
        throws('CLOSED', () => db.putSync('a', '2'))
        await rejects('CLOSED', () => db.delete('a'))
        await rejects('CLOSED', () => db.clear())
        throws('CLOSED', () => db.clearSync())
        await rejects('CLOSED', () => db.sync())
        await rejects('CLOSED', () => db.compact())
        await rejects('CLOSED', () => db.verify())
        await rejects('CLOSED', () => db.resume())
        throws('CLOSED', () => db.entries())
        throws('CLOSED', () => db.viewSync('a', () => 1))
        if (db.supports.atomicBatch) await rejects('CLOSED', () => db.batch([]))
      }
      assert.deepEqual(await content(await place.open()), { a: '1' })
    },
  },
  {
    name: 'close carries out what has begun, and nothing later',
    async run(place) {
      for (let round = 0; round < 3; round++) {
        const db = await place.open()
        const before = Array.from({ length: 40 }, (_, i) => db.put(`before${round}-${i}`, `${i}`))
        const reads = Array.from({ length: 40 }, (_, i) => db.get(`before${round}-${i}`))
        const closing = db.close()
        const later = Promise.allSettled(
          names(5).map((name) => db.put(`after${round}-${name}`, '')),
        )
        assert.deepEqual(
          (await Promise.allSettled(before)).map(({ status }) => status),
          before.map(() => 'fulfilled'),
        )
        assert.deepEqual(
          await Promise.all(reads),
          reads.map((_, i) => `${i}`),
        )
        for (const put of await later) {
          assert.equal(put.status === 'rejected' && (put.reason as KvarkError).code, 'CLOSED')
        }
        await closing
        const again = await place.open()
        for (let i = 0; i < 40; i++) assert.equal(again.getSync(`before${round}-${i}`), `${i}`)
        assert.equal(await again.count(), 40 * (round + 1), 'and nothing else')
        await again.close()
      }
    },
  },
  {
    name: 'a store disposes itself',
    async run(place) {
      const db = await place.open()
      await db.put('a', '1')
      await db[Symbol.asyncDispose]()
      throws('CLOSED', () => db.getSync('a'))
      await (await place.open()).close()
    },
  },
  {
    name: 'compaction changes nothing that can be read',
    async run(place) {
      let db = await place.openBytes({ durability: 'none' })
      const expected = new Map<number, number>()
      for (let i = 0; i < 2000; i++) {
        const key = (i * 7) % 97
        if (i % 9 === 8) {
          db.deleteSync(bytes(`key${key}`))
          expected.delete(key)
        } else {
          db.putSync(bytes(`key${key}`), pattern(200 + (i % 300), i))
          expected.set(key, i)
        }
      }
      const check = async (): Promise<void> => {
        for (let key = 0; key < 97; key++) {
          const i = expected.get(key)
          const value = i === undefined ? undefined : pattern(200 + (i % 300), i)
          assert.deepEqual(await db.get(bytes(`key${key}`)), value)
          assert.deepEqual(db.getSync(bytes(`key${key}`)), value)
        }
        assert.equal(await db.count(), expected.size)
      }
      const told: [number, number][] = []
      const compacting = db.compact({ progress: (done, total) => told.push([done, total]) })
      await check()
      for (let i = 0; i < 50; i++) {
        await db.put(bytes(`key${i}`), pattern(200 + (i % 300), i))
        expected.set(i, i)
      }
      await check()
      await compacting
      for (const [done, total] of told) assert.ok(done <= total, `${done} of ${total}`)
      await check()
      db.compactSync()
      await check()
      await db.close()
      db = await place.openBytes()
      await check()
    },
  },
  {
    name: 'compaction frees the space of what was overwritten and deleted',
    async run(place) {
      const db = await place.openBytes({ durability: 'none' })
      // Where pages are large, so is a store without an entry.
      const least = db.stats().diskBytes
      for (let round = 0; round < 20; round++) {
        for (let i = 0; i < 20; i++) db.putSync(bytes(`key${i}`), pattern(4000, round + i))
      }
      await db.sync()
      await db.compact()
      const full = db.stats().diskBytes - least
      assert.ok(full < 4 * Math.max(20 * 4000, least), `${full} bytes more for 80000`)
      assert.ok(db.stats().compactions > 0)
      await db.clear()
      await db.compact()
      const empty = db.stats().diskBytes - least
      assert.ok(empty < Math.max(20 * 4000, least), `${empty} bytes more for nothing`)
    },
  },
  {
    name: 'a signal ends compact and verify with its reason, and the store goes on',
    async run(place) {
      const db = await place.open({ durability: 'none' })
      for (const name of names(50)) db.putSync(name, name)
      const reason = new Error('stop')
      const signal = AbortSignal.abort(reason)
      await assert.rejects(db.compact({ signal }), reason)
      assert.throws(() => db.compactSync({ signal }), reason)
      await assert.rejects(db.verify({ signal }), reason)
      assert.throws(() => db.verifySync({ signal }), reason)
      assert.equal(await db.count(), 50)
      await db.compact()
    },
  },
  {
    name: 'verify reads everything and finds no problem',
    async run(place) {
      let db = await place.openBytes({ durability: 'none' })
      assert.deepEqual((await db.verify()).problems, [])
      for (let i = 0; i < 60; i++) db.putSync(bytes(`key${i}`), pattern(i * 97, i))
      for (let i = 0; i < 20; i++) db.deleteSync(bytes(`key${i}`))
      for (let round = 0; round < 2; round++) {
        let told = 0
        const progress = (done: number, total: number): void => {
          assert.ok(done > 0 && done <= total, `${done} of ${total}`)
          told++
        }
        const report = await db.verify({ progress })
        assert.ok(told > 0)
        assert.deepEqual(report.problems, [])
        assert.equal(report.entries, 40)
        assert.ok(report.bytes > 0)
        assert.deepEqual(db.verifySync(), report)
        await db.close()
        db = await place.openBytes()
      }
    },
  },
  {
    name: 'verify misses no entry that compaction moves meanwhile',
    async run(place) {
      const db = await place.openBytes({ durability: 'none' })
      for (let round = 0; round < 10; round++) {
        for (let i = 0; i < 400; i++) db.putSync(bytes(`key${i}`), pattern(300, round + i))
        const compacting = db.compact()
        for (let left = round; left > 0; left--) await turn()
        const [report] = await Promise.all([db.verify(), compacting])
        assert.deepEqual(report.problems, [])
        assert.equal(report.entries, 400, `round ${round}`)
        assert.equal(db.verifySync().entries, 400)
      }
    },
  },
  {
    name: 'stats and inspect are plain data that agrees with the store',
    async run(place) {
      const db = await place.open({ durability: 'none' })
      for (const name of names(50)) db.putSync(name, name)
      db.deleteSync('key0001')
      await db.sync()
      const stats = db.stats()
      assert.deepEqual(JSON.parse(JSON.stringify({ ...stats, readOnly: null })), {
        ...stats,
        readOnly: null,
      })
      assert.equal(stats.entries, 49)
      assert.equal(stats.engine, place.engine.name)
      assert.equal(stats.path, place.path)
      assert.equal(stats.readOnly, undefined)
      assert.equal(stats.durableSequence, stats.sequence)
      assert.equal(stats.snapshots, 0)
      assert.ok(stats.files > 0 && stats.diskBytes > 0)
      // What has begun in the background is over then: between the two that follow it would change the files.
      await db.compact()
      const inspection = await db.inspect()
      assert.deepEqual(JSON.parse(JSON.stringify(inspection)), inspection)
      assert.deepEqual(db.inspectSync(), inspection)
      assert.ok(inspection.files.length > 0)
      for (const file of inspection.files) assert.equal(typeof file.bytes, 'number')
    },
  },
  {
    name: 'a store tells what it is',
    async run(place) {
      const db = await place.open()
      assert.equal(db.path, place.path)
      assert.equal(db.engine, place.engine.name)
      assert.deepEqual(db.supports, place.engine.supports)
      assert.deepEqual(db.limits, place.engine.limits)
    },
  },
  {
    name: 'resume of a store that is well does nothing',
    async run(place) {
      const db = await place.open()
      await db.put('a', '1')
      await db.resume()
      db.resumeSync()
      await db.put('b', '2')
      assert.deepEqual(await content(db), { a: '1', b: '2' })
    },
  },
]

export const lifetime: Chapter = { name: 'lifetime', cases }
