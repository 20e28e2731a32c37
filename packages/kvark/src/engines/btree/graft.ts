/**
 * What a load has made becomes part of the tree: the write of it, and what recovery does again.
 *
 *   look: no entry from the first key up to the last ─► journal: where the subtree lies ─► what has expired there goes ─► `Tree.graft`
 *
 *   in the journal   DELETE_RANGE with `REFERENCE`, key: the first one, value:
 *                    │ page u48 │ checksum u32 │ level u8 │ traits u8 │ entries u48 │ length u32 │ last key │ (first page u48, pages u32) … │
 *
 * 1. Its pages are on the disk before the journal names them.
 * 2. The runs are all its pages: leaves, branches, extents. Recovery takes them without reading any.
 */

import { readU32, readU48, writeU32, writeU48 } from '../../bytes/varint.ts'
import { BLOCKED, DONE, REFUSED, type Status } from '../../engine/engine.ts'
import { DELETE_RANGE, type WriteBatch } from '../../engine/write-batch.ts'
import type { Routine } from '../../environment/routine.ts'
import { corruption } from '../../errors.ts'
import { REFERENCE } from '../../storage/entry.ts'
import type { Subtree } from './branch.ts'
import { eachPage } from './extents.ts'
import type { Run } from './format.ts'
import { NO_PAGE } from './format.ts'
import { keyBehind } from './key-ranges.ts'
import { Leaf } from './leaf.ts'
import type { TreeLoad } from './load.ts'
import { AWAY } from './path.ts'
import type { TreeState } from './state.ts'

const SUM_AT = 6
const LEVEL_AT = 10
const TRAITS_AT = 11
const ENTRIES_AT = 12
const LENGTH_AT = 18
const LAST_AT = 22
const RUN_BYTES = 10

/** A subtree in the file, and all that belongs to it. */
export interface Loaded {
  readonly root: Subtree
  readonly last: Uint8Array
  readonly runs: readonly Run[]
}

function encodeLoaded({ root, last, runs }: Loaded): Buffer {
  const bytes = Buffer.alloc(LAST_AT + last.length + runs.length * RUN_BYTES)
  writeU48(bytes, 0, root.page)
  writeU32(bytes, SUM_AT, root.sum)
  bytes[LEVEL_AT] = root.level
  bytes[TRAITS_AT] = root.traits
  writeU48(bytes, ENTRIES_AT, root.entries)
  writeU32(bytes, LENGTH_AT, last.length)
  bytes.set(last, LAST_AT)
  for (const [i, [first, count]] of runs.entries()) {
    const run = LAST_AT + last.length + i * RUN_BYTES
    writeU48(bytes, run, first)
    writeU32(bytes, run + 6, count)
  }
  return bytes
}

/** `path`: of the file that it is from. */
export function decodeLoaded(bytes: Buffer, path: string): Loaded {
  const end = LAST_AT + (bytes.length < LAST_AT ? 0 : readU32(bytes, LENGTH_AT))
  if (end > bytes.length) throw corruption(path, 0, 'an entry of a load is malformed')
  const runs: Run[] = []
  for (let run = end; run + RUN_BYTES <= bytes.length; run += RUN_BYTES) {
    runs.push([readU48(bytes, run), readU32(bytes, run + 6)])
  }
  const root = {
    page: readU48(bytes, 0),
    sum: readU32(bytes, SUM_AT),
    level: bytes[LEVEL_AT]!,
    traits: bytes[TRAITS_AT]!,
    entries: readU48(bytes, ENTRIES_AT),
  }
  return { root, last: bytes.subarray(LAST_AT, end), runs }
}

/** Writes the batch's load. Nothing has changed unless it returns `DONE` or throws. */
export function writeLoad(state: TreeState, load: TreeLoad, batch: WriteBatch): Status {
  const { journal } = state
  load.check()
  if (load.sequence <= journal.sequence) return BLOCKED
  const { first, last } = rangeOf(batch)
  const { tree } = state
  if (!batch.warmed) {
    for (const key of [first, last]) {
      if (tree.search(tree.root, key, 0, key.length) === AWAY) return BLOCKED
    }
  }
  if (isTaken(state, first, last)) return REFUSED
  const loaded: Loaded = { root: load.root!, last, runs: load.pageRuns }
  const value = encodeLoaded(loaded)
  journal.prepare(first.length + value.length + 64)
  journal.skipTo(load.sequence - 1)
  journal.append(DELETE_RANGE, REFERENCE, first, 0, first.length, value, 0, value.length, 0)
  try {
    graft(state, first, loaded)
  } catch (error) {
    // Something could not be read. What the journal has is whole; `resume` carries it out.
    throw journal.fail(error)
  }
  load.put()
  return DONE
}

/** Brings into memory what `writeLoad` needs, but for an entry of the tree here and there. */
export function* warmLoad(state: TreeState, load: TreeLoad, batch: WriteBatch): Routine<void> {
  const { first, last } = rangeOf(batch)
  yield* state.tree.warm(first, 0, first.length)
  yield* state.tree.warm(last, 0, last.length)
  if (load.isOpen && load.sequence <= state.journal.sequence) yield* load.restamp()
}

/** The tree gets what has been loaded; its pages are in use already. */
export function graft({ pages, tree }: TreeState, first: Buffer, loaded: Loaded): void {
  const { root, last, runs } = loaded
  eachPage({ length: 0, mark: 0, runs }, (page) => pages.adopt(page, 0))
  tree.deleteRange(first, keyBehind(Buffer.from(last)))
  tree.graft(first, last, root)
}

function rangeOf(batch: WriteBatch): { first: Buffer; last: Buffer } {
  const start = batch.keyStart[0]!
  const from = batch.valueStart[0]!
  const { buffer, byteOffset } = batch.source(0)
  return {
    first: batch.bytes.subarray(start, start + batch.keyLength[0]!),
    last: Buffer.from(buffer, byteOffset + from, batch.valueLength[0]),
  }
}

/** Whether the tree has an entry that has not expired from `first` up to `last`. */
function isTaken({ tree, file, journal }: TreeState, first: Buffer, last: Buffer): boolean {
  const leaf = new Leaf()
  const now = journal.now()
  for (let key: Buffer | undefined = first; key !== undefined; key = tree.nextKey()) {
    if (tree.root === NO_PAGE || key.compare(last) > 0) return false
    tree.reach(tree.root, key, 0, key.length)
    const found = tree.slotOf(last)
    const page = tree.leaf
    const end = found < 0 ? -1 - found : found + 1
    for (let slot = tree.slot < 0 ? -1 - tree.slot : tree.slot; slot < end; slot++) {
      page.read(slot)
      leaf.read(page.bytes, page.bodyAt, page.bodyLength, file.handle.path)
      if (leaf.expiry === 0 || leaf.expiry > now) return true
    }
    if (end < page.count) return false
  }
  return false
}
