/**
 * Random writes from a seed: the n-th write of a seed is always the same, so that whoever knows the seed knows what was
 * written. Values begin with the number of their write.
 */

import type { SeededRandom } from '../../bytes/random.ts'
import type { Durability } from '../../engine/engine.ts'
import type { BatchOperation } from '../../store/call-types.ts'
import type { OrderedTransaction } from '../../store/types.ts'
import type { Change, Content } from './history.ts'
import type { CrashStore } from './subjects.ts'

export interface RandomWrite {
  readonly changes: readonly Change[]
  readonly durability: Durability
  /** Carried out by the Sync twin. */
  readonly sync: boolean
}

export interface Mix {
  /** How many keys there are. */
  readonly keys: number
  /** How likely a write is a `clear`. */
  readonly clears: number
  /** How likely a write is synchronous. */
  readonly sync: number
  readonly durabilities: readonly Durability[]
}

export function randomWrite(random: SeededRandom, name: string, mix: Mix): RandomWrite {
  return {
    changes: randomChanges(random, name, mix),
    durability: random.pick(mix.durabilities),
    sync: random.chance(mix.sync),
  }
}

function randomChanges(random: SeededRandom, name: string, mix: Mix): Change[] {
  if (random.chance(mix.clears)) return [{ kind: 'clear' }]
  const kind = random.below(100)
  const count = kind < 75 ? 1 : 2 + random.below(8)
  return Array.from({ length: count }, (): Change => {
    const key = `key${random.below(mix.keys)}`
    if (random.chance(0.2)) return { kind: 'delete', key }
    return { kind: 'put', key, value: `${name} `.padEnd(randomLength(random), 'kvark') }
  })
}

/** Mostly short; some run over windows, blocks or pages, and segments. */
function randomLength(random: SeededRandom): number {
  const kind = random.below(100)
  if (kind < 85) return random.below(200)
  if (kind < 97) return random.below(3000)
  return random.below(40_000)
}

/** Begins the write: a synchronous one is done when this returns. */
export function carryOut(db: CrashStore, { changes, durability, sync }: RandomWrite): unknown {
  const options = { durability }
  const [change] = changes
  if (changes.length !== 1 || change === undefined) {
    const operations = changes.map(operationOf)
    return sync ? db.batchSync(operations, options) : db.batch(operations, options)
  }
  switch (change.kind) {
    case 'put': {
      const { key, value } = change
      return sync ? db.putSync(key, value, options) : db.put(key, value, options)
    }
    case 'delete':
      return sync ? db.deleteSync(change.key, options) : db.delete(change.key, options)
    case 'clear':
      return sync ? db.clearSync(options) : db.clear(options)
  }
}

/**
 * The same in a transaction, which is to come to the same: between the halves of the write it goes back to a savepoint. Begins it, and a
 * synchronous one is done when this returns; of the other nobody knows when it takes its place among other writes.
 */
export function transact(db: CrashStore, { changes, durability, sync }: RandomWrite): unknown {
  const half = changes.length >> 1
  const body = (tx: OrderedTransaction<string, string>): void => {
    for (const change of changes.slice(0, half)) changeIn(tx, change)
    const savepoint = tx.savepoint()
    tx.clearSync()
    for (const { key } of changes.slice(half) as { key: string }[]) {
      // Read, too: what it has read must hold.
      tx.putSync(key, `${tx.getSync(key)} taken back`)
    }
    savepoint.rollback()
    for (const change of changes.slice(half)) changeIn(tx, change)
  }
  return sync ? db.transactionSync(body, { durability }) : db.transaction(body, { durability })
}

function changeIn(tx: OrderedTransaction<string, string>, change: Change): void {
  if (change.kind === 'put') tx.putSync(change.key, change.value)
  else if (change.kind === 'delete') tx.deleteSync(change.key)
  else tx.clearSync()
}

function operationOf(change: Change): BatchOperation<string, string> {
  if (change.kind === 'clear') throw new TypeError('a clear is a write of its own')
  const { kind, ...rest } = change
  return { type: kind, ...rest } as BatchOperation<string, string>
}

/** Everything in the store. */
export function contentOf(db: CrashStore): Content {
  return new Map(db.entries() as Iterable<[string, string]>)
}
