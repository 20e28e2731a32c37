/** What the progress callback of long work throws ends the work and comes through as it is, and the work leaves nothing. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SimulatedEnvironment } from '../environment/simulated.ts'
import { simulatedEnvironment } from '../environment/simulated.ts'
import {
  type AtomicStore,
  convert,
  convertSync,
  KvarkError,
  open,
  type Progress,
  repair,
  repairSync,
} from '../index.ts'

const FROM = '/store'
const TO = '/made/new'
const ENTRIES = 3000

type Act = (db: AtomicStore, environment: SimulatedEnvironment, progress: Progress) => unknown

/** With the store open. */
const inside: Record<string, Act> = {
  compact: (db, _, progress) => db.compact({ progress }),
  compactSync: (db, _, progress) => db.compactSync({ progress }),
  verify: (db, _, progress) => db.verify({ progress }),
  verifySync: (db, _, progress) => db.verifySync({ progress }),
  backup: (db, _, progress) => db.backup(TO, { progress }),
  backupSync: (db, _, progress) => db.backupSync(TO, { progress }),
}

/** With the store closed. */
const outside: Record<string, Act> = {
  repair: (_, environment, progress) => repair(FROM, TO, { environment, progress }),
  repairSync: (_, environment, progress) => repairSync(FROM, TO, { environment, progress }),
  convert: (_, environment, progress) => convert(FROM, TO, { environment, progress }),
  convertSync: (_, environment, progress) => convertSync(FROM, TO, { environment, progress }),
}

// An error that looks like one of kvark's own, or of the system's, is still the caller's.
const thrown: readonly unknown[] = [
  new Error('enough'),
  new KvarkError('NO_SPACE', 'the screen is full'),
  Object.assign(new Error('EBADF: write'), { code: 'EBADF' }),
  undefined,
]

async function filled(
  engine: 'btree' | 'log',
): Promise<{ db: AtomicStore; environment: SimulatedEnvironment }> {
  const environment = simulatedEnvironment({ seed: 1 })
  const db: AtomicStore = await open(FROM, { engine, environment })
  for (let round = 0; round < 2; round++) {
    await db.batch(
      Array.from({ length: ENTRIES }, (_, i) => ({
        type: 'put',
        key: `key ${i}`,
        value: `${round} of ${i}`,
      })),
    )
  }
  return { db, environment }
}

/** What the call threw, in an array; nothing where it threw nothing. */
async function outcome(act: () => unknown): Promise<unknown[]> {
  try {
    await act()
    return []
  } catch (error) {
    return [error]
  }
}

for (const engine of ['btree', 'log'] as const) {
  for (const [name, act] of Object.entries({ ...inside, ...outside })) {
    test(`${engine}: what the progress of ${name} throws comes through`, async () => {
      for (const error of thrown) {
        const { db, environment } = await filled(engine)
        if (name in outside) await db.close()
        let told = 0
        const progress = (): void => {
          told++
          throw error
        }
        const found = await outcome(() => act(db, environment, progress))
        assert.equal(told, 1)
        assert.ok(found.length === 1 && found[0] === error, String(found))
        assert.equal(environment.files.stat('/made').sync(), undefined, 'nothing is left')
        if (name in inside) {
          await db.put('goes', 'on')
          await act(db, environment, () => {})
          await db.close()
        }
        const again = await open(FROM, { engine, environment })
        assert.equal(await again.get('key 7'), '1 of 7')
        assert.deepEqual((await again.verify()).problems, [])
        await again.close()
      }
    })
  }
}
