/**
 * The catalogue of a repaired store, made to fit the entries that were saved: it may be lost, or an older one than they are.
 *
 *   saved entries ─► the spaces that they lie in ─► no table and no root: a table `lost-N` with codecs of bytes ─► the catalogue
 *
 * 1. No number that entries were saved under is ever given to a table that is made later.
 * 2. Every entry that was saved can be read: under its table's name, in the root, or in a table `lost-N`.
 *
 * Left out: the root of a log that was cleared while it had tables, when the catalogue is lost, is one of the tables `lost-N`.
 */

import { readVarint } from '../bytes/varint.ts'
import { BLOCKED, DONE, type Engine, MISSING } from '../engine/engine.ts'
import type { LostKey, LostRange } from '../engine/facts.ts'
import { type Block, Found } from '../engine/found.ts'
import { WriteBatch } from '../engine/write-batch.ts'
import type { Routine } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import { type Catalogue, decodeCatalogue, NO_TABLES } from './catalogue.ts'
import { CATALOGUE_SPACE, endOf, NO_SPACE, prefixLength, ROOT_SPACE } from './spaces.ts'
import { addCatalogue, readCatalogue } from './tables.ts'

const NOTHING = Buffer.alloc(0)

/** Looks through a store in the folder `path` that was just repaired; writes the catalogue anew where that is needed. */
export function* mendCatalogue(
  engine: Engine,
  path: string,
  signal: AbortSignal | undefined,
): Routine<Catalogue> {
  const saved = yield* readSaved(engine, path)
  let catalogue = saved ?? NO_TABLES
  const known = new Set([CATALOGUE_SPACE, NO_SPACE, ...catalogue.dropped])
  const spaces = yield* spacesOf(engine, signal)
  const above = Math.max(...spaces) + 1
  for (const space of spaces) {
    if (known.has(space) || catalogue.hasSpace(space)) continue
    // The root has another space: this one was cleared.
    if (space === ROOT_SPACE) catalogue = catalogue.withDropped(space)
    else {
      let name = `lost-${space}`
      while (catalogue.named(name) !== undefined) name += '-'
      // The number of a table that was cleared may be that of a space that it had.
      const number = catalogue.tables.has(space) ? Math.max(catalogue.next, above) : space
      catalogue = catalogue.with({ number, space, name, keys: 'bytes', values: 'bytes' })
    }
  }
  if (catalogue === saved || (saved === undefined && catalogue === NO_TABLES)) return catalogue
  const batch = new WriteBatch()
  addCatalogue(batch, catalogue)
  while (engine.write(batch) !== DONE) yield* engine.warm(batch)
  yield* engine.commit('disk')
  return catalogue
}

/** What was lost, with keys as the user gave them and the tables that they were in. */
export function inTables(range: LostRange, catalogue: Catalogue): LostRange {
  if (range.keys === undefined) return range
  const names = new Map([...catalogue.tables.values()].map(({ space, name }) => [space, name]))
  const keys: LostKey[] = []
  let { reason } = range
  for (const lost of range.keys) {
    const space = readVarint(lost.key, 0, lost.key.length)
    if (space === CATALOGUE_SPACE)
      reason = `${reason}; with the list of tables, of which names may be lost`
    // What was dropped is not missed.
    if (space !== catalogue.root && !names.has(space)) continue
    const table = names.get(space)
    const key = Uint8Array.from(lost.key.subarray(prefixLength(lost.key, 0)))
    keys.push({ ...lost, key, ...(table === undefined ? {} : { table }) })
  }
  const { keys: _, ...rest } = range
  return keys.length === 0 ? { ...rest, reason } : { ...rest, reason, keys }
}

/** The catalogue that was saved; `undefined` where there is none that makes sense. */
function* readSaved(engine: Engine, path: string): Routine<Catalogue | undefined> {
  const bytes = yield* readCatalogue(engine)
  try {
    return bytes && decodeCatalogue(bytes, path)
  } catch (error) {
    // A newer kvark has to repair what it wrote.
    if (error instanceof KvarkError && error.code === 'CORRUPTION') return undefined
    throw error
  }
}

/** The spaces that have entries: one step for each on an ordered engine, one for each entry on another. */
function* spacesOf(engine: Engine, signal: AbortSignal | undefined): Routine<Set<number>> {
  const spaces = new Set<number>()
  const found = new Found()
  const request = { at: undefined, from: NOTHING, to: NOTHING, reverse: false, token: undefined }
  const cursor = engine.cursor(request)
  const blocks: Block[] = []
  try {
    for (;;) {
      signal?.throwIfAborted()
      const status = cursor.next(found)
      if (status === BLOCKED) {
        const block = found.block!
        if (block.alone) for (const one of blocks.splice(0)) one.release()
        blocks.push(block)
        yield* block.load
        continue
      }
      for (const one of blocks.splice(0)) one.release()
      if (status === MISSING) return spaces
      const space = readVarint(found.keyBytes, found.keyStart, found.keyEnd)
      if (space < 0) continue
      spaces.add(space)
      const end = endOf(space)
      cursor.seek?.(end, end.length)
    }
  } finally {
    for (const one of blocks) one.release()
    cursor.close()
  }
}
