/**
 * Contract, chapter 11: a disk that fails. The store takes no more writes and says why; what was acknowledged stays; after
 * `resume` each write that was in doubt is there as a whole or not at all.
 */

import assert from 'node:assert/strict'
import { nodeEnvironment } from '../../environment/node.ts'
import type { KvarkError } from '../../errors.ts'
import type { Reader } from '../../store/types.ts'
import { content, names, rejects, throws } from './check.ts'
import { type Fault, FaultyFiles } from './faulty-files.ts'
import type { AnyStore, Case, Chapter, Place } from './place.ts'

const FAULTS: readonly Fault[] = [
  { call: 'write', code: 'NO_SPACE' },
  { call: 'write', code: 'IO' },
  { call: 'sync', code: 'IO' },
]

interface Scene {
  readonly files: FaultyFiles
  readonly db: AnyStore
  readonly open: () => Promise<AnyStore>
}

async function begin(place: Place): Promise<Scene> {
  const files = new FaultyFiles(place.environment.files)
  const environment = nodeEnvironment(files)
  const open = (): Promise<AnyStore> => place.open({ environment })
  const db = await open()
  for (const name of names(20)) db.putSync(name, 'safe', { durability: 'none' })
  await db.sync()
  return { files, db, open }
}

/** The acknowledged entries are there; of the doubtful ones each has its value or is absent. */
async function checkContent(
  db: Reader<string, string>,
  doubtful: readonly string[],
  context: string,
): Promise<void> {
  const found = await content(db)
  for (const name of names(20)) assert.equal(found[name], 'safe', `${name} ${context}`)
  for (const name of doubtful) {
    assert.ok(found[name] === undefined || found[name] === 'doubtful', `${name} ${context}`)
  }
  const others = Object.keys(found).length - 20 - doubtful.filter((name) => name in found).length
  assert.equal(others, 0, context)
}

/** A write that had to wait may find the store read-only; every other one failed in doubt. */
function wasRefused(outcome: PromiseSettledResult<number>, fault: Fault): boolean {
  assert.equal(outcome.status, 'rejected')
  const error = outcome.reason as KvarkError
  if (error.code === 'READ_ONLY') return true
  assert.deepEqual([error.code, error.outcome], [fault.code, 'unknown'], error.message)
  return false
}

function faultCase(fault: Fault): Case {
  return {
    name: `${fault.code} at a ${fault.call}: read-only with the reason, until resume`,
    async run(place) {
      const { files, db, open } = await begin(place)
      const last = db.stats().sequence
      files.fault = fault
      const doubtful = Array.from({ length: 8 }, (_, i) => `doubtful${i}`)
      const outcomes = await Promise.allSettled(doubtful.map((name) => db.put(name, 'doubtful')))
      const refused = doubtful.filter((_, i) => wasRefused(outcomes[i]!, fault))
      assert.ok(refused.length < doubtful.length, 'the first one was tried')
      assert.equal(db.stats().readOnly?.code, fault.code)
      const given = db.stats().sequence
      await rejects('READ_ONLY', () => db.put('refused', 'x'))
      throws('READ_ONLY', () => db.putSync('refused', 'x'))
      await rejects('READ_ONLY', () => db.delete('key0001'))
      await rejects('READ_ONLY', () => db.clear())
      assert.equal(db.stats().sequence, given, 'what is refused leaves no trace')
      assert.equal(await db.get('key0003'), 'safe', 'reads go on')
      assert.equal(db.getSync('key0004'), 'safe')
      await checkContent(db, doubtful, 'while read-only')

      files.fault = undefined
      await rejects('READ_ONLY', () => db.put('refused', 'x'))
      await db.resume()
      assert.equal(db.stats().readOnly, undefined)
      await checkContent(db, doubtful, 'after resume')
      const kept = await content(db)
      for (const name of refused) assert.ok(!(name in kept), `${name} was not even tried`)
      const version = await db.put('after', 'x')
      assert.ok(version > last)
      await db.delete('after')
      await db.close()
      assert.deepEqual(await content(await open()), kept, 'what resume decided stays so')
    },
  }
}

const cases: readonly Case[] = [
  ...FAULTS.map(faultCase),
  {
    name: 'a synchronous write that fails throws the same',
    async run(place) {
      for (const fault of FAULTS) {
        const { files, db } = await begin(place)
        files.fault = fault
        const error = throws(fault.code, () => db.putSync('doubtful0', 'doubtful'))
        assert.equal(error.outcome, 'unknown')
        throws('READ_ONLY', () => db.putSync('refused', 'x'))
        files.fault = undefined
        db.resumeSync()
        await checkContent(db, ['doubtful0'], 'after resumeSync')
        db.putSync('doubtful0', 'doubtful')
        await db.clear()
        await db.close()
      }
    },
  },
  {
    name: 'a version that was given is not given to another write after resume',
    async run(place) {
      const { files, db } = await begin(place)
      files.fault = { call: 'write', code: 'IO' }
      await rejects('IO', () => db.put('doubtful0', 'doubtful'))
      const given = db.getEntrySync('doubtful0')?.version ?? db.stats().sequence
      files.fault = undefined
      await db.resume()
      const version = await db.put('other', 'x')
      assert.ok(version > given, `${version} after ${given}`)
    },
  },
  {
    name: 'closing a failed store lets go of it, and nothing acknowledged is lost',
    async run(place) {
      for (const fault of FAULTS) {
        const { files, db, open } = await begin(place)
        files.fault = fault
        await rejects(fault.code, () => db.put('doubtful0', 'doubtful'))
        await db.close().catch((error: KvarkError) => assert.equal(error.code, fault.code))
        files.fault = undefined
        const again = await open()
        await checkContent(again, ['doubtful0'], 'after opening again')
        await again.clear()
        await again.close()
      }
    },
  },
  {
    name: 'batches in doubt are whole or absent',
    needs: ['atomicBatch'],
    async run(place) {
      for (const fault of FAULTS) {
        const { files, db } = await begin(place)
        files.fault = fault
        const batch = names(30).map((name) => ({
          type: 'put' as const,
          key: `b-${name}`,
          value: 'doubtful',
        }))
        await rejects(fault.code, () => db.batch(batch))
        files.fault = undefined
        await db.resume()
        const found = Object.keys(await content(db)).filter((name) => name.startsWith('b-'))
        assert.ok(found.length === 0 || found.length === 30, `${found.length} of 30`)
        await db.clear()
        await db.close()
      }
    },
  },
  {
    name: 'a snapshot is readable while the store takes no writes',
    needs: ['snapshots'],
    async run(place) {
      const { files, db } = await begin(place)
      const snapshot = db.snapshot()
      files.fault = { call: 'write', code: 'NO_SPACE' }
      await rejects('NO_SPACE', () => db.put('doubtful0', 'doubtful'))
      assert.equal(snapshot.getSync('key0001'), 'safe')
      await checkContent(snapshot, [], 'in the snapshot')
      snapshot.close()
      files.fault = undefined
      await db.resume()
      await checkContent(db, ['doubtful0'], 'after resume')
    },
  },
]

export const failures: Chapter = { name: 'failures', cases }
