/**
 * From what a transaction has pending to the one batch that carries it out.
 *
 *   ordered engine     the operations as they are, without those that later ones replace
 *   others, a table    its new space goes into the catalogue, and what was put after the clearing into that space; what was put
 *   cleared            before is left out. Without tables the engine clears everything, first
 */

import { DELETE_RANGE, WriteBatch } from '../engine/write-batch.ts'
import { type Catalogue, NO_TABLES } from './catalogue.ts'
import type { Life } from './life.ts'
import type { PendingWrites } from './pending-writes.ts'
import { endOf, prefixLength, startOf } from './spaces.ts'
import { spaceOf } from './tables.ts'
import { addClear } from './writes.ts'

export interface Composed {
  readonly batch: WriteBatch
  /** The catalogue that the batch makes of the one of now. */
  readonly catalogue: Catalogue
}

export function composeBatch({ engine, tables }: Life, pending: PendingWrites): Composed {
  let { catalogue } = tables
  pending.compact()
  const old = pending.batch
  if (engine.supports.order || pending.clears.length === 0) return { batch: old, catalogue }
  const batch = new WriteBatch(old.count, old.used)
  /** By space: the operation that cleared it last, and the space that takes its place. */
  const cleared = new Map<number, { readonly at: number; readonly space: number }>()
  for (const { at } of pending.clears) {
    const space = spaceOf(old, at)
    cleared.set(space, { at, space })
  }
  for (const [space, { at }] of cleared) {
    if (!catalogue.hasSpace(space)) {
      // A table that the transaction makes has nothing else yet, and perhaps no write that is left: it is made all the same.
      catalogue = tables.withReserved(catalogue, space)
    } else if (catalogue === NO_TABLES) {
      addClear(batch, { from: startOf(space), to: endOf(space) })
    } else {
      const number = catalogue.numberOf(space)
      catalogue = tables.cleared(catalogue, number)
      cleared.set(space, { at, space: catalogue.tables.get(number)?.space ?? catalogue.root })
    }
  }
  for (let i = 0; i < old.count; i++) {
    if (old.kind[i] === DELETE_RANGE) continue
    const space = spaceOf(old, i)
    const { at, space: next } = cleared.get(space) ?? { at: -1, space }
    if (i < at) continue
    const start = old.keyStart[i]!
    const key = old.bytes.subarray(
      start + prefixLength(old.bytes, start),
      start + old.keyLength[i]!,
    )
    batch.copy(old, i, Buffer.concat([startOf(next), key]))
  }
  return { batch, catalogue }
}
