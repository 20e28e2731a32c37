/**
 * Stores whose files are wrong, opened: what damage never makes, for every checksum, proof and link is right.
 *
 *   JSON      the descriptor, and what else is a line of JSON: a value that is another, missing, or too much
 *   block     its header, and what is stored of it, as it lies in the file
 *   payload   frame headers and entries, sealed anew, with all that names their checksums
 *   own       what only one engine has: shards of a stored index; roots, pages, and the map of a tree
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
import { FILE_HEADER_BYTES, HEADERS_AT, SECTOR_BYTES } from '../../storage/segment-format.ts'
import { openSync } from '../../store/open.ts'
import { repairSync } from '../../store/repair.ts'
import { type Content, type DamagedForm, type DamagedStore, FOLDER, openAt } from '../damage.ts'
import { blocksOf, changed, isSegment, repairBlock, repairHeader } from '../tampering.ts'
import { anatomyOf } from './anatomies.ts'
import type { Anatomy } from './anatomy.ts'
import { Edits, type Mutation } from './edits.ts'
import type { Forger } from './forger.ts'
import { asHonest, guardedAgain, mostFor } from './guard.ts'
import type { Portion, Row, Tally } from './row.ts'
import { formOf, knownStore, namesOf, type SmallStore, stillEnvironment } from './small-store.ts'

const OPENS = 600
/** One in so many is verified, and one is written to. */
const VERIFIED = 8
const WRITTEN = 32
/** One in so many is salvaged. */
const SALVAGED = 10
const SALVAGED_FOLDER = '/salvaged'
const KEYS = ['', 'key 0', 'key 4', 'key 9', 'last', 'spread', 'none']

/** What repairs a damaged store into another folder. */
export type Salvage = (environment: Environment, form: DamagedForm) => void

/** What can be done to a store. */
class Mutator {
  readonly #store: SmallStore
  readonly #content: Content
  readonly #form: DamagedForm
  readonly #anatomy: Anatomy
  readonly #forger: Forger
  readonly #edits: Edits
  readonly #random: SeededRandom
  readonly #names: string[]
  readonly #segments: string[]
  readonly #kinds: readonly (() => Mutation)[]

  constructor(store: SmallStore, random: SeededRandom) {
    const { content, form } = store
    this.#store = store
    this.#content = content
    this.#form = form
    this.#anatomy = anatomyOf(form)
    this.#forger = this.#anatomy.forger(store, (length) => random.bytes(length))
    this.#edits = new Edits(random)
    this.#random = random
    this.#names = namesOf(content)
    this.#segments = this.#names.filter(isSegment)
    this.#kinds = [
      () => this.#descriptor(),
      () => this.#block(),
      () => this.#payload(),
      () => this.#payload(),
      () => this.#header(),
      () => this.#splice(),
      () => this.#file(),
      ...this.#anatomy.mutations(store, this.#edits, random),
    ]
  }

  /** The files after a mutation, and what it was. */
  next(): Mutation {
    return this.#random.pick(this.#kinds)()
  }

  #descriptor(): Mutation {
    const { value, hint } = this.#edits.json(this.#forger.json('KVARK'))
    const bytes = this.#forger.file('KVARK', value)
    return { files: changed(this.#content, 'KVARK', bytes), hint: `KVARK: ${hint}` }
  }

  /** A block as it lies in the file, with its checksum. */
  #block(): Mutation {
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
  #payload(): Mutation {
    const random = this.#random
    const name = random.pick(this.#segments)
    const chosen = random.below(blocksOf(this.#content.get(name)!, this.#form).length)
    const files = this.#forger.withSegment(name, (payload, block) => {
      // The first entry's header is behind the frame's.
      if (block === chosen) this.#edits.payload(payload, 42)
    })
    return { files, hint: `${name}, payload of block ${chosen}` }
  }

  /** A segment's header, one copy or both. */
  #header(): Mutation {
    const random = this.#random
    const name = random.pick(this.#segments)
    const bytes = Buffer.from(this.#content.get(name)!)
    const at = random.below(60)
    const value = random.below(256)
    for (const copy of random.chance(0.7) ? HEADERS_AT : [0]) {
      bytes[copy + at] = value
      repairHeader(bytes, copy)
    }
    return { files: changed(this.#content, name, bytes), hint: `${name}, header byte ${at}` }
  }

  #splice(): Mutation {
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
    if (random.chance(0.5) && isLarge) {
      this.#anatomy.repair(this.#store, name, bytes, at)
    }
    return {
      files: changed(this.#content, name, bytes),
      hint: `${name}, ${gone} bytes at ${at} became ${put.length}`,
    }
  }

  #file(): Mutation {
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
    const store = knownStore(subject, {
      compacted: turn % 4 !== 2,
      spread: turn % 4 === 1,
      killed: turn % 4 === 3,
    })
    const mutator = new Mutator(store, random)
    let opened = 0
    let slowest = 0
    let largest = 0
    let salvaged = 0
    for (let i = 0; i < OPENS; i++) {
      const { files, hint } = mutator.next()
      const bytes = [...files.values()].reduce((sum, one) => sum + one.length, 0)
      try {
        let isOpen = false
        const done = guardedAgain(mostFor(bytes), () => {
          isOpen = use(stillEnvironment(files, seed), form, i)
        })
        if (isOpen) opened++
        slowest = Math.max(slowest, done.ms)
        largest = Math.max(largest, done.largest)
        if (i % SALVAGED === 0) {
          salvaged++
          guardedAgain(mostFor(bytes), () => salvage(stillEnvironment(files, seed), form))
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
    rule: 'only KvarkError; none takes a second, three times in a row; no buffer larger than twice the files and 16 MiB',
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
