import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BLOCKED, DONE, type Engine, REFUSED, type Status } from '../engine/engine.ts'
import { DELETE, UNCONDITIONAL, WriteBatch } from '../engine/write-batch.ts'
import { Effect, immediate, type Routine } from '../environment/routine.ts'
import { WriteQueue } from './write-queue.ts'

/** Writes single keys; a key is cold until it has been warmed, which ends when the test says so. */
class FakeEngine {
  sequence = 0
  readonly written: string[] = []
  readonly warmed: WriteBatch[] = []
  readonly warming = new Map<string, { end(): void; fail(error: Error): void }>()
  readonly hot: string[] = []
  /** A key whose condition fails. */
  refused = ''

  write(batch: WriteBatch): Status {
    const key = keyOf(batch)
    const at = this.hot.indexOf(key)
    if (at < 0) return BLOCKED
    if (key === this.refused) {
      batch.conflict = 0
      batch.conflictVersion = 7
      return REFUSED
    }
    this.hot.splice(at, 1)
    this.written.push(key)
    this.sequence++
    return DONE
  }

  *warm(batch: WriteBatch): Routine<void> {
    const key = keyOf(batch)
    this.warmed.push(batch)
    yield* new Effect(
      () => {},
      () =>
        new Promise<void>((end, fail) => {
          this.warming.set(key, { end, fail })
        }),
    )
    this.hot.push(key)
  }

  commit(): Effect<void> {
    return immediate(() => {})
  }
}

function keyOf(batch: WriteBatch): string {
  return batch.bytes.toString('latin1', 0, batch.used)
}

function batchOf(key: string, expected: number = UNCONDITIONAL): WriteBatch {
  const batch = new WriteBatch()
  const i = batch.add(DELETE, expected)
  const at = batch.reserve(key.length)
  batch.bytes.write(key, at, 'latin1')
  batch.keyWritten(i, key.length)
  return batch
}

function setUp(): { engine: FakeEngine; queue: WriteQueue; changes: boolean[] } {
  const engine = new FakeEngine()
  const changes: boolean[] = []
  const queue = new WriteQueue(
    engine as unknown as Engine,
    { pause: immediate(() => {}), monotonic: () => 0 },
    (waiting) => changes.push(waiting),
  )
  return { engine, queue, changes }
}

async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}

test('a write that needs nothing is done when the call returns', async () => {
  const { engine, queue, changes } = setUp()
  engine.hot.push('a')
  const promise = queue.write(batchOf('a'), 'none')
  assert.deepEqual(engine.written, ['a'])
  assert.equal(await promise, 1)
  assert.deepEqual(changes, [])
})

test('later writes wait behind a cold one, warm or not, and keep their order', async () => {
  const { engine, queue, changes } = setUp()
  engine.hot.push('b')
  const versions = Promise.all(['a', 'b', 'c'].map((key) => queue.write(batchOf(key), 'disk')))
  assert.deepEqual([...engine.warming.keys()], ['a', 'b', 'c'], 'all warm at the same time')
  engine.warming.get('c')!.end()
  engine.warming.get('b')!.end()
  await turn()
  assert.deepEqual(engine.written, [])
  engine.warming.get('a')!.end()
  assert.deepEqual(await versions, [1, 2, 3])
  assert.deepEqual(engine.written, ['a', 'b', 'c'])
  assert.deepEqual(changes, [true, false])
})

test('a synchronous write carries out those that wait before it', async () => {
  const { engine, queue, changes } = setUp()
  const first = queue.write(batchOf('a'), 'none')
  const second = queue.write(batchOf('b'), 'none')
  assert.equal(queue.writeSync(batchOf('c'), 'disk'), 3)
  assert.deepEqual(engine.written, ['a', 'b', 'c'])
  assert.deepEqual(await Promise.all([first, second]), [1, 2])
  // What was on its way when they were carried out does not write them again.
  engine.warming.get('a')!.end()
  engine.warming.get('b')!.end()
  await turn()
  assert.deepEqual(engine.written, ['a', 'b', 'c'])
  assert.deepEqual(changes, [true, false])
  const later = queue.write(batchOf('d'), 'none')
  engine.warming.get('d')!.end()
  assert.equal(await later, 4, 'the queue goes on afterwards')
})

test('the memory of a write is used again once nobody looks at it', async () => {
  const { engine, queue } = setUp()
  const first = queue.write(batchOf('short'), 'none')
  engine.warming.get('short')!.end()
  await first
  const second = queue.write(batchOf('a much longer key'.repeat(9)), 'none')
  engine.warming.get('a much longer key'.repeat(9))!.end()
  await second
  assert.equal(engine.warmed[1], engine.warmed[0])
  const third = queue.write(batchOf('c'), 'none')
  queue.drain()
  await third
  assert.equal(engine.warmed[2], engine.warmed[0])
  const fourth = queue.write(batchOf('d'), 'none')
  assert.notEqual(engine.warmed.at(-1), engine.warmed[2], 'its warming has not ended')
  engine.warming.get('c')!.end()
  engine.warming.get('d')!.end()
  await fourth
  assert.deepEqual(engine.written, ['short', 'a much longer key'.repeat(9), 'c', 'd'])
})

test('a failed condition, and a failed warming, reject their own write only', async () => {
  const { engine, queue } = setUp()
  engine.refused = 'b'
  const a = queue.write(batchOf('a'), 'none')
  const b = queue.write(batchOf('b', 5), 'none')
  const c = queue.write(batchOf('c'), 'none')
  const d = queue.write(batchOf('d'), 'none')
  const rejections = [
    assert.rejects(b, { code: 'CONFLICT', expected: 5, found: 7 }),
    assert.rejects(c, /unreadable/),
  ]
  engine.warming.get('c')!.fail(new Error('unreadable'))
  for (const key of ['a', 'b', 'd']) engine.warming.get(key)!.end()
  assert.deepEqual([await a, await d], [1, 2])
  await Promise.all(rejections)
  assert.deepEqual(engine.written, ['a', 'd'])
})

test('passed waits for the writes that wait now, not for later ones', async () => {
  const { engine, queue } = setUp()
  await queue.passed.async()
  const first = queue.write(batchOf('a'), 'none')
  let passed = false
  const waiting = queue.passed.async().then(() => {
    passed = true
  })
  const second = queue.write(batchOf('b'), 'none')
  await turn()
  assert.equal(passed, false)
  engine.warming.get('a')!.end()
  await waiting
  assert.deepEqual(engine.written, ['a'])
  queue.passed.sync()
  assert.deepEqual(engine.written, ['a', 'b'])
  assert.deepEqual(await Promise.all([first, second]), [1, 2])
})

test('a queued write is a copy: the caller may change the batch', async () => {
  const { engine, queue } = setUp()
  const batch = batchOf('a')
  const promise = queue.write(batch, 'none')
  batch.bytes.write('z', 0, 'latin1')
  batch.clear()
  engine.warming.get('a')!.end()
  await promise
  assert.deepEqual(engine.written, ['a'])
})

test('many more writes than warm at a time', async () => {
  const { engine, queue } = setUp()
  const keys = Array.from({ length: 300 }, (_, i) => `k${i}`)
  const versions = Promise.all(keys.map((key) => queue.write(batchOf(key), 'none')))
  assert.ok(engine.warming.size < 300)
  while (engine.written.length < 300) {
    for (const warming of engine.warming.values()) warming.end()
    await turn()
  }
  assert.deepEqual(
    await versions,
    keys.map((_, i) => i + 1),
  )
  assert.deepEqual(engine.written, keys)
})
