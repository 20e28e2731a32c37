import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../bytes/random.ts'
import type { Environment } from '../environment/environment.ts'
import { memoryEnvironment } from '../environment/node.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import { FILE_HEADER_BYTES, WINDOW_BYTES } from '../storage/segment-format.ts'
import { openSync } from '../store/open.ts'
import { SimulatedFiles } from '../vfs/simulated.ts'

const OPTIONS = {
  engine: 'log',
  durability: 'none',
  segmentBytes: 32 * 1024,
  compactionThresholdBytes: 2048,
  cacheBytes: 1024 * 1024,
} as const

/** Removes the stored index. */
function loseIndex(environment: Environment): void {
  const { files } = environment
  for (const name of files.list('/store').sync()) {
    if (name.endsWith('.index')) files.remove(`/store/${name}`).sync()
  }
}

for (let seed = 1; seed <= 30; seed++) {
  test(`the index built anew from the segments is the one that was lost, seed ${seed}`, () => {
    const random = new SeededRandom(seed)
    const warnings: string[] = []
    const environment: Environment = {
      ...memoryEnvironment(),
      warn: (message) => warnings.push(message),
    }
    const model = new Map<string, string>()
    let db = openSync('/store', { ...OPTIONS, environment })
    for (let step = 0; step < 400; step++) {
      const key = `key${random.below(40)}`
      const choice = random.below(100)
      if (choice < 60) {
        const value = `${step}`.repeat(1 + random.below(300))
        db.putSync(key, value)
        model.set(key, value)
      } else if (choice < 88) {
        db.deleteSync(key)
        model.delete(key)
      } else if (choice < 90) {
        db.clearSync()
        model.clear()
      } else if (choice < 94) db.compactSync()
      else {
        db.closeSync()
        // What is written behind an index that is still there must be found without it later.
        if (random.chance(0.5)) loseIndex(environment)
        db = openSync('/store', { ...OPTIONS, environment })
        assert.deepEqual(new Map(db.entries()), model, `step ${step}`)
        for (let k = 0; k < 40; k++) assert.equal(db.getSync(`key${k}`), model.get(`key${k}`))
      }
    }
    db.closeSync()
    loseIndex(environment)
    db = openSync('/store', { ...OPTIONS, environment })
    assert.deepEqual(new Map(db.entries()), model)
    const { entries, problems } = db.verifySync()
    assert.deepEqual([entries, problems], [model.size, []])
    db.closeSync()
    assert.ok(warnings.every((warning) => /built anew/.test(warning)))
  })
}

test('without an index, where compaction took the end of the journal but not what is before it', () => {
  const environment = memoryEnvironment()
  const open = () => openSync('/store', { ...OPTIONS, environment })
  let db = open()
  // A segment of its own, of which nothing gets stale.
  db.putSync('large', 'large'.repeat(8000))
  db.putSync('small', 'first')
  db.putSync('small', 'second')
  db.compactSync()
  db.closeSync()
  db = open()
  db.putSync('last', 'behind all that')
  db.closeSync()
  loseIndex(environment)
  db = open()
  assert.deepEqual([...db.keys()].sort(), ['large', 'last', 'small'])
  db.closeSync()
})

test('without an index, where the first frame behind a compaction is torn', () => {
  const files = new SimulatedFiles()
  const db = openSync('/store', {
    ...OPTIONS,
    environment: simulatedEnvironment({ seed: 1, files }),
  })
  for (let i = 0; i < 6; i++) db.putSync(`key ${i}`, 'durable', { durability: 'disk' })
  db.compactSync()
  const puts = ['a', 'b', 'c'].map(
    (key) => ({ type: 'put', key, value: key.repeat(9000) }) as const,
  )
  db.batchSync(puts, { durability: 'os' })
  // The machine stops when half of the batch, and the name of its file, are on the disk.
  const log = files
    .list('/store')
    .sync()
    .findLast((name) => name.endsWith('.log'))!
  files.syncFolder('/store').sync()
  const handle = files.open(`/store/${log}`, 'write').sync()
  handle.truncate(20_000).sync()
  handle.sync().sync()
  const environment = simulatedEnvironment({ seed: 2, files: files.crash() })
  loseIndex(environment)
  const again = openSync('/store', { ...OPTIONS, environment })
  assert.deepEqual([...again.keys()].sort(), ['key 0', 'key 1', 'key 2', 'key 3', 'key 4', 'key 5'])
  again.closeSync()
})

for (const [damage, from, to] of [
  ['of a byte', 'last', 1],
  ['that leaves zeros of the first block', FILE_HEADER_BYTES, WINDOW_BYTES],
  ['that leaves zeros of all blocks', FILE_HEADER_BYTES, 'end'],
  ['that leaves zeros of the last frame', 'last', 'end'],
] as const) {
  test(`without an index, damage of a segment before what compaction took is no crash: ${damage}`, () => {
    const environment = memoryEnvironment()
    const { files } = environment
    const open = () => openSync('/store', { ...OPTIONS, environment })
    const sizeOf = (name: string): number => files.stat(`/store/${name}`).sync()!.size
    const db = open()
    db.putSync('large', 'large'.repeat(5000), { durability: 'os' })
    const last = sizeOf('1.log')
    db.putSync('not stale', 'either', { durability: 'os' })
    const end = sizeOf('1.log')
    // Fills the next ones, of which nothing stays.
    for (let i = 0; i < 20; i++) db.putSync('small', 'small'.repeat(1000), { durability: 'os' })
    db.compactSync()
    db.closeSync()
    assert.ok(last < end && end === sizeOf('1.log'))
    loseIndex(environment)
    const start = from === 'last' ? last : from
    const length = to === 'end' ? end - start : to === 1 ? 1 : to - start
    const handle = files.open('/store/1.log', 'write').sync()
    handle.write(Buffer.alloc(length), 0, length, start).sync()
    handle.close().sync()
    assert.throws(open, { code: 'CORRUPTION', path: '/store/1.log' })
    assert.throws(open, { code: 'CORRUPTION', path: '/store/1.log' })
  })
}

test('what is written while the index was lost is there when the index is back after the next crash', () => {
  const files = new SimulatedFiles()
  const openOn = (disk: SimulatedFiles) =>
    openSync('/store', { ...OPTIONS, environment: simulatedEnvironment({ seed: 1, files: disk }) })
  const db = openOn(files)
  // A segment that is not full, of which nothing gets stale; compaction takes the next one.
  db.putSync('large', 'large'.repeat(5000))
  db.putSync('other', 'other'.repeat(4000))
  db.putSync('small', 'first')
  db.putSync('small', 'second')
  db.compactSync()
  const first = files.crash()
  // Nobody syncs the folder: the crash brings it back.
  loseIndex(simulatedEnvironment({ seed: 1, files: first }))
  const again = openOn(first)
  for (const key of ['a', 'b', 'c']) again.putSync(key, 'durable', { durability: 'disk' })
  const third = openOn(first.crash())
  assert.deepEqual([...third.keys()].sort(), ['a', 'b', 'c', 'large', 'other', 'small'])
  third.closeSync()
})
