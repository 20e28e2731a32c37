/**
 * Stores whose files are wrong, opened: what damage never makes, for every checksum, proof and link is right.
 *
 *   JSON      descriptor, manifest, footer of the stored index: a value that is another, missing, or too much
 *   shard     of the stored index: counts, slots
 *   block     its header, and what is stored of it, as it lies in the file
 *   payload   frame headers and entries, sealed anew, with all that names their checksums
 *   splice    bytes put in, taken out, doubled, of any file, with or without checksums made right
 *   file      empty, missing, another's
 *
 * 1. Only a `KvarkError` comes, none that hides another; nothing takes a second; no buffer is asked for that is larger than twice the
 *    files and 16 MiB.
 * 2. Which values come out is not said: whoever can make the checksums right can write what he likes.
 */

import assert from 'node:assert/strict'
import { SeededRandom } from '../../bytes/random.ts'
import type { Environment } from '../../environment/environment.ts'
import { KvarkError } from '../../errors.ts'
import { FILE_HEADER_BYTES, SECTOR_BYTES } from '../../storage/segment-format.ts'
import { openSync } from '../../store/open.ts'
import { repairSync } from '../../store/repair.ts'
import { type Content, type DamagedForm, type DamagedStore, FOLDER, openAt } from '../damage.ts'
import { blocksOf, changed, isSegment, repair, repairBlock, repairHeader } from '../tampering.ts'
import { Forger, isRecord, type Json } from './forger.ts'
import { asHonest, guarded, mostFor } from './guard.ts'
import type { Portion, Row, Tally } from './row.ts'
import { formOf, knownStore, namesOf, stillEnvironment } from './small-store.ts'

const OPENS = 600
/** One in so many is verified, and one is written to. */
const VERIFIED = 8
const WRITTEN = 32
/** One in so many is salvaged. */
const SALVAGED = 10
const SALVAGED_FOLDER = '/salvaged'
const KEYS = ['', 'key 0', 'key 4', 'key 9', 'last', 'spread', 'none']

/** Values that no field has, or only some other. */
const WEIRD: readonly Json[] = [
  [null, true, false, 0, 1, -1, 0.5, 255, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 48],
  [2 ** 53, 1e300, -(2 ** 40), '', 'a', '1', 'x'.repeat(300), '__proto__', [], {}],
  [[null], [[]], { length: 1e9 }, [1, 2, 3], { number: 1 }],
].flat(1)

/** What repairs a damaged store into another folder. */
export type Salvage = (environment: Environment, form: DamagedForm) => void

/** What can be done to a store. */
class Mutator {
  readonly #content: Content
  readonly #form: DamagedForm
  readonly #forger: Forger
  readonly #random: SeededRandom
  readonly #names: string[]
  readonly #segments: string[]
  readonly #index: string | undefined

  constructor(content: Content, form: DamagedForm, forger: Forger, random: SeededRandom) {
    this.#content = content
    this.#form = form
    this.#forger = forger
    this.#random = random
    this.#names = namesOf(content)
    this.#segments = this.#names.filter(isSegment)
    this.#index = this.#names.find((name) => name.endsWith('.index'))
  }

  /** The files after a mutation, and what it was. */
  next(): { files: Content; hint: string } {
    const kinds: (() => { files: Content; hint: string })[] = [
      () => this.#json(this.#random.pick(['KVARK', 'MANIFEST', 'MANIFEST'])),
      () => this.#block(),
      () => this.#payload(),
      () => this.#payload(),
      () => this.#header(),
      () => this.#splice(),
      () => this.#file(),
    ]
    if (this.#index !== undefined)
      kinds.push(
        () => this.#footer(),
        () => this.#shard(),
      )
    return this.#random.pick(kinds)()
  }

  #json(name: string): { files: Content; hint: string } {
    const { value, hint } = this.#edited(this.#forger.json(name))
    return {
      files: changed(this.#content, name, this.#forger.file(name, value)),
      hint: `${name}: ${hint}`,
    }
  }

  #footer(): { files: Content; hint: string } {
    const name = this.#index!
    const { value, hint } = this.#edited(this.#forger.footer(name))
    return {
      files: changed(this.#content, name, this.#forger.withFooter(name, value)),
      hint: `${name}, footer: ${hint}`,
    }
  }

  /** JSON with a value somewhere in it replaced, removed or doubled. */
  #edited(json: Json): { value: Json; hint: string } {
    const random = this.#random
    const weird = random.pick(WEIRD)
    if (random.chance(0.03)) return { value: weird, hint: JSON.stringify(weird) }
    const value = structuredClone(json)
    let at: Json = value
    let path = ''
    for (;;) {
      const names = Object.keys(at as object)
      if (names.length === 0) return { value: weird, hint: JSON.stringify(weird) }
      const name = random.pick(names)
      path += `.${name}`
      const inner: Json = (at as { [name: string]: Json })[name]!
      if (typeof inner === 'object' && inner !== null && random.chance(0.75)) {
        if (Object.keys(inner).length > 0) {
          at = inner
          continue
        }
      }
      const what = random.below(6)
      if (what === 0 && isRecord(at)) {
        delete at[name]
        return { value, hint: `${path} removed` }
      }
      if (what === 1 && Array.isArray(at)) {
        at.push(structuredClone(inner))
        return { value, hint: `${path} twice` }
      }
      const put =
        what === 2 && typeof inner === 'number' ? inner + random.pick([-1, 1, 512]) : weird
      ;(at as { [name: string]: Json })[name] = structuredClone(put)
      return { value, hint: `${path} ${JSON.stringify(put).slice(0, 40)}` }
    }
  }

  /** A shard of the stored index. */
  #shard(): { files: Content; hint: string } {
    const random = this.#random
    const name = this.#index!
    const shard = random.pick(this.#forger.shards(name))
    const bytes = this.#forger.withShard(name, shard, (record, slots) => {
      for (let edits = 1 + random.below(3); edits > 0; edits--) {
        // Count, slots, sequence, homes, or what is in a slot.
        const place = [0, 4, 8, 16][random.below(6)]
        if (place !== undefined)
          record.writeUInt32LE(this.#number(record.readUInt32LE(place)), place)
        else {
          const word = 4 * random.below(slots.length >>> 2)
          slots.writeUInt32LE(this.#number(slots.readUInt32LE(word)), word)
        }
      }
    })
    const hint = `${name}, shard ${shard.number}`
    return { files: changed(this.#content, name, bytes), hint }
  }

  /** A block as it lies in the file, with its checksum. */
  #block(): { files: Content; hint: string } {
    const random = this.#random
    const name = random.pick(this.#segments)
    const bytes = Buffer.from(this.#content.get(name)!)
    const { at, storedEnd } = random.pick(blocksOf(bytes, this.#form))
    for (let edits = 1 + random.below(3); edits > 0; edits--) {
      // The header mostly: mark, length, flags, form, stored length.
      const place = random.chance(0.6) ? at + 4 + random.below(12) : at + 4
      bytes[random.chance(0.7) ? place : at + 4 + random.below(storedEnd - at - 4)] =
        random.below(256)
    }
    repairBlock(bytes, at, this.#form)
    return { files: changed(this.#content, name, bytes), hint: `${name}, block at ${at}` }
  }

  /** What is in the blocks of a segment, sealed anew. */
  #payload(): { files: Content; hint: string } {
    const random = this.#random
    const name = random.pick(this.#segments)
    const chosen = random.below(blocksOf(this.#content.get(name)!, this.#form).length)
    const files = this.#forger.withSegment(name, (payload, block) => {
      if (block !== chosen) return
      for (let edits = 1 + random.below(3); edits > 0; edits--) this.#entry(payload)
    })
    return { files, hint: `${name}, payload of block ${chosen}` }
  }

  #entry(payload: Buffer): void {
    const random = this.#random
    // The first entry's header is behind the frame's.
    const at = random.chance(0.5)
      ? random.below(Math.min(payload.length, 42))
      : random.below(payload.length)
    const what = random.below(4)
    if (what === 0) payload[at] = random.below(256)
    else if (what === 1) payload[at] = random.pick([0, 1, 2, 3, 5, 7, 9, 13, 0x7f, 0x80, 0xff])
    else if (what === 2) Buffer.from([0xff, 0xff, 0xff, 0xff, random.below(16)]).copy(payload, at)
    else Buffer.from(random.bytes(random.below(20))).copy(payload, at)
  }

  /** A segment's header, one copy or both. */
  #header(): { files: Content; hint: string } {
    const random = this.#random
    const name = random.pick(this.#segments)
    const bytes = Buffer.from(this.#content.get(name)!)
    const at = random.below(60)
    const value = random.below(256)
    for (const copy of random.chance(0.7) ? [0, SECTOR_BYTES] : [0]) {
      bytes[copy + at] = value
      repairHeader(bytes, copy)
    }
    return { files: changed(this.#content, name, bytes), hint: `${name}, header byte ${at}` }
  }

  #splice(): { files: Content; hint: string } {
    const random = this.#random
    const name = random.pick(this.#names)
    const original = this.#content.get(name)!
    const at = random.below(original.length)
    const length = random.pick([1, 4, 12, 100, SECTOR_BYTES, FILE_HEADER_BYTES])
    const put = random.pick([
      Buffer.alloc(0),
      Buffer.alloc(length),
      Buffer.from(random.bytes(random.below(40))),
      original.subarray(at, at + length),
      this.#content.get(random.pick(this.#names))!.subarray(at, at + length),
    ])
    const gone = random.pick([0, put.length, length])
    const bytes = Buffer.concat([original.subarray(0, at), put, original.subarray(at + gone)])
    const isLarge = bytes.length >= original.length
    if (random.chance(0.5) && isLarge) repair(name, bytes, original, at, this.#form)
    return {
      files: changed(this.#content, name, bytes),
      hint: `${name}, ${gone} bytes at ${at} became ${put.length}`,
    }
  }

  #file(): { files: Content; hint: string } {
    const random = this.#random
    const name = random.pick(this.#names)
    const other = random.pick(this.#names)
    const bytes = random.pick([
      undefined,
      Buffer.alloc(0),
      this.#content.get(other),
      Buffer.from(random.bytes(3000)),
    ])
    const place = random.chance(0.8) ? name : `${random.below(20)}.log`
    return {
      files: changed(this.#content, place, bytes),
      hint: `${place} is ${bytes ? `${bytes.length} bytes of ${other} or any` : 'missing'}`,
    }
  }

  #number(before: number): number {
    const random = this.#random
    return random.pick([0, 1, 2, before + 1, before ^ 1, 0xffff, 0x7fffffff, random.uint32()]) >>> 0
  }
}

/** Everything that a program does with a store; each thing may be refused by itself. */
function use(environment: Environment, form: DamagedForm, turn: number): boolean {
  const db: DamagedStore = openAt(environment, form)
  const attempt = (act: () => void): void => {
    try {
      act()
    } catch (error) {
      asHonest(error)
    }
  }
  for (const key of KEYS) attempt(() => db.getSync(key))
  attempt(() => {
    for (const _ of db.entries());
  })
  if (turn % VERIFIED === 0) {
    attempt(() => {
      for (const problem of db.verifySync().problems) asHonest(problem)
    })
  }
  if (turn % WRITTEN === 0) {
    attempt(() => db.putSync('key 1', 'written to a malformed store', { durability: 'os' }))
    attempt(() => db.compactSync())
  }
  attempt(() => db.closeSync())
  return true
}

/** `salvage`: tried on one in ten, whatever opening said. */
export function malformedFilesRow(salvage: Salvage = salvageInto): Row {
  const run = async ({ subject, subjects, seed }: Portion): Promise<Tally> => {
    const random = new SeededRandom(seed)
    const form = formOf(subject)
    const turn = Math.floor((seed - 1) / subjects.length)
    const store = knownStore(subject, { compacted: turn % 4 !== 2, spread: turn % 4 === 1 })
    const forger = new Forger(store, (length) => random.bytes(length))
    const mutator = new Mutator(store.content, form, forger, random)
    let opened = 0
    let slowest = 0
    let largest = 0
    let salvaged = 0
    for (let i = 0; i < OPENS; i++) {
      const { files, hint } = mutator.next()
      const bytes = [...files.values()].reduce((sum, one) => sum + one.length, 0)
      const environment = stillEnvironment(files, seed)
      try {
        const done = guarded(mostFor(bytes), () => {
          if (use(environment, form, i)) opened++
        })
        slowest = Math.max(slowest, done.ms)
        largest = Math.max(largest, done.largest)
        if (i % SALVAGED === 0) {
          salvaged++
          guarded(mostFor(bytes), () => salvage(stillEnvironment(files, seed), form))
        }
      } catch (cause) {
        const told = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)
        throw new Error(`${subject.name}: ${hint} (open ${i}, seed ${seed}): ${told}`, { cause })
      }
    }
    assert.ok(opened > 0 && opened < OPENS, `${opened} of ${OPENS} opened`)
    const more = {
      'that opened': opened,
      salvaged,
      'slowest of each portion, ms': Math.round(slowest),
      'largest buffer of each portion, KiB': Math.round(largest / 1024),
    }
    return { done: OPENS, more }
  }
  return {
    name: 'malformed-files',
    what: 'files of every kind changed with all checksums and proofs made right, or spliced; opened, read, scanned, verified, written to; one in ten salvaged',
    unit: 'opens',
    rule: 'only KvarkError; none takes a second; no buffer larger than twice the files and 16 MiB',
    goal: 200_000,
    run,
  }
}

/** Repairs the store into a folder beside it; only `KvarkError`s come of that, and what is made of it is whole. */
function salvageInto(environment: Environment, form: DamagedForm): void {
  const { encryption } = form
  try {
    const options = {
      environment,
      keys: 'utf8',
      values: 'utf8',
      ...(encryption && { encryption }),
    } as const
    repairSync(FOLDER, SALVAGED_FOLDER, options)
  } catch (error) {
    if (!(error instanceof KvarkError)) throw error
    return
  }
  const db = openSync(SALVAGED_FOLDER, { environment, ...(encryption && { encryption }) })
  assert.deepEqual(db.verifySync().problems, [], 'what was salvaged is not whole')
  db.closeSync()
}

export const malformedFiles: Row = malformedFilesRow()
