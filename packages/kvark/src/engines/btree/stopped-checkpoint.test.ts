// A checkpoint is stopped while its root is being synced, and the next one fails at one of its writes: the root of the first may be on
// the disk, so nothing that it leads to may have been written over.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EngineContext } from '../../engine/engine.ts'
import { runSync } from '../../environment/routine.ts'
import { type SimulatedEnvironment, simulatedEnvironment } from '../../environment/simulated.ts'
import { KvarkError } from '../../errors.ts'
import { storeForm } from '../../storage/block-form.ts'
import { Change } from './change.ts'
import { checkpoint } from './checkpoint.ts'
import { Checkpointer } from './checkpointer.ts'
import { PRESENT } from './path.ts'
import { recover } from './recovery.ts'
import type { TreeState } from './state.ts'

const FOLDER = '/store'
const OPTIONS = { pageBytes: 4096, checkpointBytes: 4096 }
const KEY = Buffer.from('key')

function put(state: TreeState, text: string): void {
  const { journal } = state
  const value = Buffer.from(text)
  journal.prepare(100)
  journal.append(1, 0, KEY, 0, KEY.length, value, 0, value.length, 0)
  new Change(state).put(KEY, 0, KEY.length, value, 0, value.length, journal.sequence, 0, false)
}

/** Opens the tree; the value that is found. */
function read(context: EngineContext): string {
  const state = runSync(recover(context, OPTIONS, 0))
  const { tree } = state
  assert.equal(tree.reach(tree.root, KEY, 0, KEY.length), PRESENT)
  tree.leaf.read(tree.slot)
  const { bytes, bodyAt, bodyLength } = tree.leaf
  state.journal.abandon()
  runSync(state.close())
  return bytes.toString('latin1', bodyAt + 7, bodyAt + bodyLength)
}

function newContext(): EngineContext & { readonly environment: SimulatedEnvironment } {
  const environment = simulatedEnvironment({ seed: 1 })
  environment.files.makeFolder(FOLDER).sync()
  const description = { checksum: 'crc32', compression: 'none', encryption: undefined } as const
  return {
    environment,
    folder: FOLDER,
    descriptor: { storeId: '0'.repeat(32), edition: 0 },
    form: storeForm(description, (length) => environment.random(length)),
    cacheBytes: 2 ** 20,
  } as unknown as EngineContext & { readonly environment: SimulatedEnvironment }
}

/** Stops the first checkpoint at its `at`-th wait; false where it has fewer. */
function stopAt(at: number, nth: number): boolean {
  const context = newContext()
  const { files } = context.environment
  const state = runSync(recover(context, OPTIONS, 0))
  put(state, 'one')
  runSync(checkpoint(state))
  put(state, 'two')
  const first = checkpoint(state)
  let step = first.next()
  for (let i = 1; i < at && !step.done; i++) step = first.next(step.value.sync())
  if (step.done) return false
  put(state, 'three')
  state.journal.commit('disk').sync()
  const stop = (): void => {
    let last = first.throw(new KvarkError('CLOSED', 'stopped'))
    while (!last.done) last = first.next(last.value.sync())
  }
  assert.throws(stop, { code: 'CLOSED' })
  files.failNext({ call: 'write', path: 'TREE', nth, error: 'EIO' })
  try {
    runSync(checkpoint(state))
  } catch {
    // The store is closed with what it has.
  }
  files.clearFaults()
  state.journal.abandon()
  runSync(state.close())
  assert.equal(read(context), 'three', `stopped at wait ${at}, write ${nth} failed`)
  return true
}

test('a checkpoint that is stopped leaves its root whole', () => {
  let waits = 0
  for (let at = 1; stopAt(at, 1); at++) {
    waits = at
    for (let nth = 2; nth <= 6; nth++) stopAt(at, nth)
  }
  assert.ok(waits > 4, `${waits} waits`)
})

test('who waits for a checkpoint that is taken over, and fails there, gets one of his own', async () => {
  const context = newContext()
  const state = runSync(recover(context, OPTIONS, 0))
  put(state, 'one')
  const checkpointer = new Checkpointer(state, OPTIONS)
  const waiting = checkpointer.now().async()
  await new Promise<void>((resolve) => process.nextTick(resolve))
  context.environment.files.failNext({ call: 'write', path: 'TREE', error: 'ENOSPC' })
  assert.throws(() => checkpointer.now().sync(), { code: 'NO_SPACE' })
  await waiting
  assert.equal(checkpointer.finished, 1)
  state.journal.abandon()
  runSync(state.close())
  assert.equal(read(context), 'one')
})

test('who waits until there is room again waits no longer when the store closes', async () => {
  let looks = 0
  class Full extends Checkpointer {
    override get isFull(): boolean {
      // Else it would never come to an end, and nothing else would have its turn.
      assert.ok(++looks < 100, 'it looks again and again')
      return true
    }
  }
  const state = runSync(recover(newContext(), OPTIONS, 0))
  put(state, 'one')
  const checkpointer = new Full(state, OPTIONS)
  const waiting = checkpointer.relieve().async()
  await checkpointer.stop().async()
  await waiting
  state.journal.abandon()
  runSync(state.close())
})
