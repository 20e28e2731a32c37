/**
 * What disks do to sectors of 512 bytes, done to the files of a closed store.
 *
 *   zeroed        a sector is zeros
 *   swapped       two sectors, of one file or of two, have changed places
 *   stale         a sector is as it was at an earlier clean close: a write was lost
 *   misdirected   a sector went to another's place, and its own is as it was before
 *   older         a whole file is as it was at an earlier clean close
 *   cut           a file ends one byte before, at, or behind an edge: of a sector, a window, a frame, a block, a record, a page …
 *
 * A sector has 512 bytes, or as many as the engine writes as one: what fits together and is in the wrong place, or old.
 *
 * All of this is told after a clean close. In a log frames are a chain, and the manifest knows where each segment ended and with which
 * checksum; in a tree what stands above a page knows its checksum, and the mark of the clean close knows the root. What is right and
 * what is wrong: see `trial.ts`.
 */

import assert from 'node:assert/strict'
import { SeededRandom } from '../../bytes/random.ts'
import { SECTOR_BYTES } from '../../storage/segment-format.ts'
import type { Content } from '../damage.ts'
import { changed } from '../tampering.ts'
import { anatomyOf } from './anatomies.ts'
import type { Portion, Row, Tally } from './row.ts'
import { formOf, isEncrypted, knownStore, namesOf, type SmallStore } from './small-store.ts'
import { assertSound, Harmless, unnoticed } from './trial.ts'

/** Faults of a portion that are not cuts. */
const FAULTS = 140
/** All cuts of a store have had their turn after so many portions with its options. */
const SHARES = 4
const KINDS = ['zeroed', 'swapped', 'stale', 'misdirected', 'older'] as const

interface Sector {
  readonly name: string
  readonly at: number
  readonly length: number
}

/** The bytes of a sector, up to the end of the file; what the file does not have is zeros. */
function sectorOf(content: Content, { name, at, length }: Sector): Buffer {
  const bytes = Buffer.alloc(length)
  bytes.set(content.get(name)?.subarray(at, at + length) ?? [])
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
  /** Of 512 bytes, and of as many as are written as one. */
  readonly sectors: Readonly<Record<'small' | 'large', Sector[]>>
  readonly #random: SeededRandom

  constructor(store: SmallStore, random: SeededRandom) {
    this.store = store
    this.#random = random
    this.sectors = {
      small: this.#cutInto(SECTOR_BYTES),
      large: this.#cutInto(anatomyOf(store.form).unitBytes(store.form)),
    }
  }

  #cutInto(length: number): Sector[] {
    const { content } = this.store
    return namesOf(content).flatMap((name) => {
      const count = Math.ceil(content.get(name)!.length / length)
      return Array.from({ length: count }, (_, i) => ({ name, at: i * length, length }))
    })
  }

  /** The files after a fault; `undefined` where that changes nothing. */
  fault(kind: (typeof KINDS)[number]): { damaged: Content; hint: string } {
    if (kind === 'older') return this.#older()
    const { content } = this.store
    const sectors = this.sectors[this.#random.chance(0.7) ? 'small' : 'large']
    const one = this.#random.pick(sectors)
    const other = this.#random.pick(sectors)
    const name = `sector ${one.at} of ${one.name}, ${one.length} bytes,`
    const bytes = sectorOf(content, one)
    if (kind === 'zeroed') {
      return {
        damaged: withSector(content, one, Buffer.alloc(one.length)),
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

  /** A file as a whole as it was at one of the closes before. */
  #older(): { damaged: Content; hint: string } {
    const { content, earlier } = this.store
    const close = this.#random.below(earlier.length)
    const name = this.#random.pick(namesOf(content).filter((one) => earlier[close]!.has(one)))
    const damaged = changed(content, name, earlier[close]!.get(name))
    return { damaged, hint: `${name} as at close ${close + 1}` }
  }

  /** A sector as it was at one of the closes before, or before there was any: zeros. */
  #before(one: Sector): { sector: Buffer; close: number } {
    const { earlier } = this.store
    const close = this.#random.below(earlier.length + 1)
    return { sector: sectorOf(earlier[close - 1] ?? new Map(), one), close }
  }
}

/** Where something begins or ends in a file. */
function edgesOf(name: string, bytes: Buffer, store: SmallStore): Set<number> {
  const edges = new Set<number>([0, bytes.length])
  for (let at = 0; at < bytes.length; at += SECTOR_BYTES) edges.add(at)
  for (const edge of anatomyOf(store.form).edges(name, bytes, store)) edges.add(edge)
  return edges
}

/** The cuts of a store: file and length. */
function cutsOf(store: SmallStore): { name: string; length: number }[] {
  return namesOf(store.content).flatMap((name) => {
    const bytes = store.content.get(name)!
    const lengths = new Set(
      [...edgesOf(name, bytes, store)].flatMap((edge) => [edge - 1, edge, edge + 1]),
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
  const harmless = new Harmless()
  let done = 0
  const attempt = (damaged: Content, what: string): void => {
    const hint = `${subject.name}: ${what} (seed ${seed})`
    harmless.add(unnoticed(store, damaged, hint, seed))
    done++
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
  assert.ok(done > 0)
  return { done, more: harmless.counts }
}

export const sectorFaults: Row = {
  name: 'sector-faults',
  what: 'sectors of a closed store zeroed, swapped, stale and misdirected; files older than the rest, or cut at every edge, one byte before and one behind',
  unit: 'faults',
  rule: 'the right value or CORRUPTION with its place; all damage is noticed; with the bytes put back everything is there',
  goal: 20_000,
  run,
}
