/**
 * What disks do to sectors of 512 bytes, done to the files of a closed store.
 *
 *   zeroed        a sector is zeros
 *   swapped       two sectors, of one file or of two, have changed places
 *   stale         a sector is as it was at an earlier clean close: a write was lost
 *   misdirected   a sector went to another's place, and its own is as it was before
 *   cut           a file ends one byte before, at, or behind an edge: of a sector, a window, a frame, a block, a record, a shard
 *
 * The log promises that all of this is told after a clean close, stale sectors too: frames are a chain, and the manifest knows where
 * each segment ended and with which checksum. What is right and what is wrong: see `trial.ts`.
 */

import assert from 'node:assert/strict'
import { SeededRandom } from '../../bytes/random.ts'
import { runSync } from '../../environment/routine.ts'
import { storeForm } from '../../storage/block-form.ts'
import { SECTOR_BYTES, WINDOW_BYTES } from '../../storage/segment-format.ts'
import { END, ENTRY, NEED, SegmentWalk } from '../../storage/segment-walk.ts'
import type { Content } from '../damage.ts'
import {
  footerOf,
  INDEX_TRAILER_BYTES,
  SHARD_RECORD_BYTES,
  SHARD_TABLE_BYTES,
  shardsOf,
} from '../stored-index.ts'
import { blocksOf, changed, headerBytesOf, isSegment, sourceOf } from '../tampering.ts'
import type { Portion, Row, Tally } from './row.ts'
import { formOf, isEncrypted, knownStore, namesOf, type SmallStore } from './small-store.ts'
import { assertSound, isNoticed } from './trial.ts'

/** Faults of a portion that are not cuts. */
const FAULTS = 140
/** All cuts of a store have had their turn after so many portions with its options. */
const SHARES = 4
const KINDS = ['zeroed', 'swapped', 'stale', 'misdirected'] as const

interface Sector {
  readonly name: string
  readonly at: number
}

/** The bytes of a sector, up to the end of the file; what the file does not have is zeros. */
function sectorOf(content: Content, { name, at }: Sector): Buffer {
  const bytes = Buffer.alloc(SECTOR_BYTES)
  bytes.set(content.get(name)?.subarray(at, at + SECTOR_BYTES) ?? [])
  return bytes
}

/** The files with other bytes in a sector; the file keeps its length. */
function withSector(content: Content, { name, at }: Sector, bytes: Buffer): Content {
  const copy = Buffer.from(content.get(name)!)
  bytes.copy(copy, at, 0, Math.min(bytes.length, copy.length - at))
  return changed(content, name, copy)
}

/** A store, and what there is to do to it. */
class Disk {
  readonly store: SmallStore
  readonly sectors: Sector[] = []
  readonly #random: SeededRandom

  constructor(store: SmallStore, random: SeededRandom) {
    this.store = store
    this.#random = random
    for (const name of namesOf(store.content)) {
      const { length } = store.content.get(name)!
      for (let at = 0; at < length; at += SECTOR_BYTES) this.sectors.push({ name, at })
    }
  }

  /** The files after a fault; `undefined` where that changes nothing. */
  fault(kind: (typeof KINDS)[number]): { damaged: Content; hint: string } {
    const { content } = this.store
    const one = this.#random.pick(this.sectors)
    const other = this.#random.pick(this.sectors)
    const name = `sector ${one.at} of ${one.name}`
    const bytes = sectorOf(content, one)
    if (kind === 'zeroed') {
      return {
        damaged: withSector(content, one, Buffer.alloc(SECTOR_BYTES)),
        hint: `${name} zeroed`,
      }
    }
    const { sector: old, close } = this.#before(one)
    const stale = withSector(content, one, old)
    if (kind === 'stale') return { damaged: stale, hint: `${name} as at close ${close}` }
    const target = `sector ${other.at} of ${other.name}`
    if (kind === 'swapped') {
      const half = withSector(content, one, sectorOf(content, other))
      return { damaged: withSector(half, other, bytes), hint: `${name} and ${target} swapped` }
    }
    return {
      damaged: withSector(stale, other, bytes),
      hint: `${name} at ${target}, its own as at close ${close}`,
    }
  }

  /** A sector as it was at one of the closes before, or before there was any: zeros. */
  #before(one: Sector): { sector: Buffer; close: number } {
    const { earlier } = this.store
    const close = this.#random.below(earlier.length + 1)
    return { sector: sectorOf(earlier[close - 1] ?? new Map(), one), close }
  }
}

/** Where something begins or ends in a file. */
function edgesOf(name: string, bytes: Buffer, store: SmallStore): number[] {
  const edges = new Set<number>([0, bytes.length])
  for (let at = 0; at < bytes.length; at += SECTOR_BYTES) edges.add(at)
  if (isSegment(name)) {
    for (const { at, storedEnd, end } of blocksOf(bytes, store.form)) {
      for (const edge of [at, at + headerBytesOf(store.form), storedEnd, end]) edges.add(edge)
    }
    for (const at of recordsOf(bytes, store)) edges.add(at)
    for (let at = 0; at < bytes.length; at += WINDOW_BYTES) edges.add(at)
  } else if (name.endsWith('.index')) {
    // Where the encrypted shards lie is sealed.
    const shards = isEncrypted(store.form) ? [] : shardsOf(footerOf(bytes), false)
    for (const { at } of shards) edges.add(at)
    const start = bytes.length - INDEX_TRAILER_BYTES - footerOf(bytes).length
    for (let at = start; at < start + SHARD_TABLE_BYTES; at += 32 * SHARD_RECORD_BYTES)
      edges.add(at)
    edges.add(start + SHARD_TABLE_BYTES).add(bytes.length - INDEX_TRAILER_BYTES)
  } else for (let at = 0; at < bytes.length; at += 7) edges.add(at)
  return [...edges]
}

/** Where the entries of a segment begin, where they can be read without a key. */
function recordsOf(bytes: Buffer, { form }: SmallStore): number[] {
  if (isEncrypted(form)) return []
  const { checksum = 'crc32', compression = 'none' } = form
  const { blocks } = storeForm(
    { checksum, compression, encryption: undefined },
    () => new Uint8Array(0),
  )
  const walk = new SegmentWalk(sourceOf(bytes, blocks), 0, bytes.length)
  const starts: number[] = []
  for (;;) {
    const step = walk.next()
    if (step === NEED) runSync(walk.fill())
    else if (step === ENTRY) starts.push(walk.address, walk.address + walk.entry.length)
    else if (step === END) return starts
  }
}

/** The cuts of a store: file and length. */
function cutsOf(store: SmallStore): { name: string; length: number }[] {
  return namesOf(store.content).flatMap((name) => {
    const bytes = store.content.get(name)!
    const lengths = new Set(
      edgesOf(name, bytes, store).flatMap((edge) => [edge - 1, edge, edge + 1]),
    )
    return [...lengths]
      .filter((length) => length >= 0 && length < bytes.length)
      .map((length) => ({ name, length }))
  })
}

async function run({ subject, subjects, seed }: Portion): Promise<Tally> {
  const random = new SeededRandom(seed)
  const turn = Math.floor((seed - 1) / subjects.length)
  const form = formOf(subject)
  // Every other turn a stored index, and half of each kind with a value over two windows.
  const store = knownStore(subject, { compacted: turn % 2 === 0, spread: turn % 4 < 2 })
  assertSound(store, seed)
  const disk = new Disk(store, random)
  const tally = { done: 0, harmless: 0 }
  const attempt = (damaged: Content, what: string): void => {
    const hint = `${subject.name}: ${what} (seed ${seed})`
    if (!isNoticed(store, damaged, hint, seed)) tally.harmless++
    tally.done++
  }
  // Openings of encrypted stores take longest.
  const faults = isEncrypted(form) ? FAULTS / 2 : FAULTS
  for (let i = 0; i < faults; ) {
    const { damaged, hint } = disk.fault(KINDS[i % KINDS.length]!)
    if ([...damaged].every(([name, bytes]) => store.content.get(name)!.equals(bytes))) {
      // What is zeros already, or as it was: another one.
      i += random.chance(0.1) ? 1 : 0
      continue
    }
    attempt(damaged, hint)
    i++
  }
  for (const [i, { name, length }] of cutsOf(store).entries()) {
    if (i % SHARES !== (turn >>> 2) % SHARES) continue
    const cut = store.content.get(name)!.subarray(0, length)
    attempt(changed(store.content, name, cut), `${name} cut to ${length}`)
  }
  assert.ok(tally.done > 0)
  return { done: tally.done, more: { 'of the mark of a clean close, harmless': tally.harmless } }
}

export const sectorFaults: Row = {
  name: 'sector-faults',
  what: 'sectors of a closed store zeroed, swapped, stale and misdirected; files cut at every edge, one byte before and one behind',
  unit: 'faults',
  rule: 'the right value or CORRUPTION with its place; all damage is noticed; with the bytes put back everything is there',
  goal: 20_000,
  run,
}
