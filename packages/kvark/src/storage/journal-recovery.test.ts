/** An engine that has no list of its segments: all that it knows of its journal is how far it has taken that over. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { immediate, type Routine, runSync } from '../environment/routine.ts'
import { type SimulatedEnvironment, simulatedEnvironment } from '../environment/simulated.ts'
import { KvarkError } from '../errors.ts'
import { storeForm } from './block-form.ts'
import { Cache } from './cache.ts'
import { Journal, type JournalPoint, type JournalStart } from './journal.ts'
import { type FrameReader, JournalRecovery, journalName, readPart } from './journal-recovery.ts'
import type { Segment } from './segment.ts'
import type { SegmentWalk } from './segment-walk.ts'

const FOLDER = '/store'
const ROOT = `${FOLDER}/tree`
const NO_POINT: JournalPoint = { segment: 0, end: 0, sequence: 0, checksum: 0 }
const { blocks } = storeForm(
  { checksum: 'crc32', compression: 'none', encryption: undefined },
  (length) => new Uint8Array(length),
)

/** Keeps what is read, `sequence key=length of value`; that of a frame once it is complete. */
class Reader implements FrameReader {
  readonly kept: string[] = []
  undone = 0
  #open: string[] = []

  begin(_file: Segment): void {
    this.#open = []
  }

  *entry(walk: SegmentWalk): Routine<boolean> {
    const { length, keyLength, valueLength, sequence } = walk.entry
    const bytes = yield* readPart(walk, length, keyLength + valueLength)
    if (bytes === undefined) return false
    assert.ok(bytes.subarray(keyLength).every((byte) => byte === sequence))
    this.#open.push(`${sequence} ${bytes.toString('latin1', 0, keyLength)}=${valueLength}`)
    return true
  }

  *complete(): Routine<void> {
    yield* immediate(() => this.kept.push(...this.#open))
  }

  undo(): void {
    this.undone += this.#open.length
  }
}

class Store {
  readonly environment: SimulatedEnvironment = simulatedEnvironment({ seed: 1 })
  readonly descriptor: { readonly storeId: string } = { storeId: '0'.repeat(32) }
  readonly form: { readonly blocks: typeof blocks } = { blocks }
  readonly folder: string = FOLDER
  readonly files: SimulatedEnvironment['files'] = this.environment.files
  floor: JournalPoint = NO_POINT
  number = 1
  #next = 1
  declare journal: Journal
  declare recovery: JournalRecovery

  constructor() {
    this.files.makeFolder(FOLDER).sync()
    this.open()
  }

  /** Recovers; returns what was read. */
  open(): Reader {
    const reader = new Reader()
    const { floor, number } = this
    const known = { number, nextFile: floor.segment + 1, journal: [], floor }
    const names = this.files.list(FOLDER).sync()
    const recovery = new JournalRecovery(this, known, ROOT)
    runSync(recovery.open(names))
    runSync(recovery.replay(reader, { ...floor, clock: 0 }))
    const start: JournalStart = runSync(
      recovery.start(Math.max(recovery.tail.sequence, floor.sequence)),
    )
    const owner = {
      storeId: this.descriptor.storeId,
      form: blocks,
      segmentBytes: 64 * 1024,
      takeNumber: () => this.#next++,
      pathOf: (n: number) => `${FOLDER}/${journalName(n)}`,
      failed: () => {},
      begun: () => {},
    }
    this.recovery = recovery
    this.journal = new Journal(this.environment, FOLDER, new Cache(1 << 20), owner, start)
    return reader
  }

  /** Writes a value of `length` bytes, each the sequence. */
  put(key: string, length: number): void {
    const bytes = Buffer.from(key)
    const value = new Uint8Array(length).fill(this.journal.sequence + 1)
    this.journal.prepare(length + 100)
    this.journal.append(1, 0, bytes, 0, bytes.length, value, 0, length, 0)
  }

  commit(): void {
    this.journal.commit('disk').sync()
  }

  /** The tree has taken over all of the journal. */
  checkpoint(): void {
    this.commit()
    this.journal.roll()
    this.floor = this.journal.point()
  }

  abandon(): void {
    this.journal.abandon()
    for (const { handle } of this.recovery.row) handle.close().sync()
  }

  path(number: number): string {
    return `${FOLDER}/${journalName(number)}`
  }
}

function refusal(store: Store): KvarkError {
  try {
    store.open()
  } catch (error) {
    if (error instanceof KvarkError) return error
    throw error
  }
  assert.fail('it was opened')
}

test('what lies behind the checkpoint is read, long values too, and the journal goes on', () => {
  const store = new Store()
  store.put('a', 10)
  store.checkpoint()
  store.put('b', 100)
  store.put('c', 50_000)
  store.commit()
  store.put('d', 50_000)
  store.put('e', 50_000)
  store.commit()
  store.abandon()

  const all = ['2 b=100', '3 c=50000', '4 d=50000', '5 e=50000']
  assert.deepEqual(store.open().kept, all)
  const { row } = store.recovery
  assert.deepEqual(
    row.map(({ number }) => number),
    [2, 3, 4],
  )
  const names = store.files.list(FOLDER).sync()
  assert.deepEqual(
    names.filter((name) => store.recovery.isLeftover(name)),
    ['1.log'],
  )
  store.put('f', 1)
  store.commit()
  store.abandon()
  assert.deepEqual(store.open().kept, [...all, '6 f=1'])
})

test('nothing stays of a frame without its end', () => {
  const store = new Store()
  store.put('a', 10)
  store.commit()
  store.put('b', 10)
  store.put('c', 40_000)
  store.journal.flush()
  store.abandon()
  const handle = store.files.open(store.path(1), 'write').sync()
  handle.truncate(20_000).sync()

  const reader = store.open()
  assert.deepEqual(reader.kept, ['1 a=10'])
  assert.equal(reader.undone, 1)
  assert.equal(store.journal.sequence, 1)
})

test('a journal that does not go on where the checkpoint was is refused', () => {
  const store = new Store()
  store.put('a', 10)
  store.checkpoint()
  store.put('b', 10)
  store.commit()
  store.abandon()
  const { floor } = store
  for (const changed of [
    { ...floor, end: floor.end + 512 },
    { ...floor, checksum: floor.checksum ^ 1 },
  ]) {
    store.floor = changed
    const { code, path } = refusal(store)
    assert.deepEqual([code, path], ['CORRUPTION', store.path(2)])
  }
})

test('a segment that is missing between durable ones is noticed, and so is an older root', () => {
  const store = new Store()
  store.put('a', 10)
  store.commit()
  const older = store.floor
  store.checkpoint()
  store.put('b', 10)
  store.commit()
  store.abandon()
  store.files.remove(store.path(1)).sync()
  const { floor } = store
  store.floor = older
  assert.match(refusal(store).message, /before it, which was durable, is missing/)
  store.floor = floor
  assert.deepEqual(store.open().kept, ['2 b=10'])
})

test('a root that is older than the one of the clean close is refused', () => {
  const store = new Store()
  store.put('a', 10)
  store.commit()
  runSync(store.journal.close(2))
  store.abandon()
  assert.match(refusal(store).message, /^\/store\/tree is older than the journal/)
  store.number = 2
  store.open()
  assert.equal(store.recovery.tail.closed, true)
})
