/**
 * Contract, chapter 10: entries that end. The engine itself is asked, with a clock that the test moves; the store's API
 * for expiry comes later.
 */

import assert from 'node:assert/strict'
import { DONE, REFUSED } from '../../engine/engine.ts'
import { DELETE, PUT } from '../../engine/write-batch.ts'
import { runSync } from '../../environment/routine.ts'
import type { Case, Chapter, Place } from './place.ts'
import { openRaw, type RawEngine, SteppedEnvironment } from './raw-engine.ts'

const START = 1_700_000_000_000

function begin(place: Place): { db: RawEngine; clock: SteppedEnvironment } {
  const clock = new SteppedEnvironment(place.environment, START)
  return { db: openRaw(place, clock, true), clock }
}

const cases: readonly Case[] = [
  {
    name: 'an entry ends at its time, for lookups and walks',
    run(place) {
      const { db, clock } = begin(place)
      db.put('a', '1', START + 100)
      db.put('b', '2', START + 200)
      db.put('c', '3', 0)
      assert.deepEqual(db.walk(), { a: '1', b: '2', c: '3' })
      clock.time = START + 99
      assert.equal(db.get('a'), '1')
      clock.time = START + 100
      assert.equal(db.get('a'), undefined)
      assert.deepEqual(db.walk(), { b: '2', c: '3' })
      clock.time = START + 1e12
      assert.deepEqual(db.walk(), { c: '3' })
      db.close()
    },
  },
  {
    name: 'the clock never goes back, also not over opening again',
    run(place) {
      const { db, clock } = begin(place)
      db.put('a', '1', START + 100)
      clock.time = START + 150
      assert.equal(db.get('a'), undefined)
      clock.time = START
      assert.equal(db.get('a'), undefined, 'what has ended stays so')
      db.put('b', '2', 0)
      db.close()
      const again = openRaw(place, clock, false)
      assert.deepEqual(again.walk(), { b: '2' })
      again.close()
    },
  },
  {
    name: 'an entry that has ended can be written again, and counts as absent',
    run(place) {
      const { db, clock } = begin(place)
      db.put('a', '1', START + 100)
      const version = db.engine.sequence
      clock.time = START + 100
      const put = { kind: PUT, key: 'a', value: '2' } as const
      assert.equal(db.write([{ ...put, expected: version }]), REFUSED)
      assert.equal(db.write([{ kind: DELETE, key: 'a' }]), DONE)
      assert.equal(db.engine.sequence, version, 'there was nothing to delete')
      assert.equal(db.write([{ ...put, expected: 0 }]), DONE)
      assert.deepEqual(db.walk(), { a: '2' })
      db.put('a', '3', START + 200)
      clock.time = START + 200
      db.put('a', '4', 0)
      clock.time = START + 500
      assert.equal(db.get('a'), '4', 'the new entry has no end')
      db.close()
    },
  },
  {
    name: 'compaction drops what has ended and keeps the rest',
    run(place) {
      const { db, clock } = begin(place)
      for (let i = 0; i < 300; i++) db.put(`key${i}`, 'x'.repeat(100), i % 3 === 0 ? 0 : START + i)
      clock.time = START + 150
      const before = db.walk()
      runSync(db.engine.compact(undefined, undefined))
      assert.deepEqual(db.walk(), before)
      assert.equal(Object.keys(before).length, 200, '100 without an end, 100 that end later')
      clock.time = START + 1000
      runSync(db.engine.compact(undefined, undefined))
      assert.equal(Object.keys(db.walk()).length, 100)
      db.close()
      const again = openRaw(place, clock, false)
      assert.equal(Object.keys(again.walk()).length, 100)
      again.close()
    },
  },
  {
    name: 'a snapshot keeps its clock',
    needs: ['snapshots'],
    run(place) {
      const { db, clock } = begin(place)
      db.put('a', '1', START + 100)
      db.put('b', '2', START + 200)
      const early = db.engine.snapshot!()
      clock.time = START + 100
      const late = db.engine.snapshot!()
      clock.time = START + 1000
      runSync(db.engine.compact(undefined, undefined))
      assert.deepEqual(db.walk(early), { a: '1', b: '2' })
      assert.equal(db.get('a', early), '1')
      assert.deepEqual(db.walk(late), { b: '2' })
      assert.equal(db.get('a', late), undefined)
      assert.deepEqual(db.walk(), {})
      assert.equal(late.clock, START + 100)
      early.release()
      late.release()
      db.close()
    },
  },
]

export const expiry: Chapter = { name: 'expiry', cases }
