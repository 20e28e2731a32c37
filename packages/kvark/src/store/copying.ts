/**
 * Every entry of a store into another engine, and what both have in common: a sum of all entries, whatever their order.
 *
 *   ordered ─► ordered     1. load: short values without expiry, in order      2. batches, spools: the others
 *   else                   batches, spools
 *
 *   Sum     count, and the sum of crc32(expiry, length of the key, internal key, value) over all entries
 *
 * 1. What is copied is what a view of one moment has: an entry that has expired by then is not there.
 * 2. Internal keys are the same on both sides, so tables are, too. Spaces that are no table's are left behind.
 * 3. Memory does not depend on how many entries there are, nor on how long they are.
 */

import { crc32 } from 'node:zlib'
import { readVarint } from '../bytes/varint.ts'
import {
  BLOCKED,
  DONE,
  type Engine,
  type EngineSnapshot,
  MISSING,
  SPREAD,
} from '../engine/engine.ts'
import { type Block, Found } from '../engine/found.ts'
import type { Load } from '../engine/load.ts'
import { SPOOL_BYTES } from '../engine/spool.ts'
import { PUT, WriteBatch } from '../engine/write-batch.ts'
import type { Environment } from '../environment/environment.ts'
import type { Routine } from '../environment/routine.ts'
import { Slice } from '../environment/slice.ts'
import { KvarkError } from '../errors.ts'
import { type Catalogue, NO_TABLES } from './catalogue.ts'
import { locate } from './lookup.ts'
import { CATALOGUE_SPACE, prefixLength } from './spaces.ts'
import { addCatalogue } from './tables.ts'
import { PART_BYTES, takePart } from './value-stream.ts'

const NOTHING = Buffer.alloc(0)
/** A batch is written when it has so many bytes, or operations. */
const BATCH_BYTES = 1024 * 1024
const BATCH_OPERATIONS = 4096

/** What is read, and with which patience. */
export interface Reading {
  readonly engine: Engine
  readonly at: EngineSnapshot | undefined
  readonly catalogue: Catalogue
  readonly environment: Environment
  readonly signal: AbortSignal | undefined
  /** Hears of each entry. */
  readonly onEntry: () => void
}

/** Of the entries that have come: equal for equal entries, in any order. */
export class Sum {
  entries = 0
  #sum = 0
  readonly #head = Buffer.alloc(12)

  /** The first part of an entry's checksum, to which those of its value are added. */
  begin(found: Found): number {
    const head = this.#head
    head.writeDoubleLE(found.expiry, 0)
    head.writeUInt32LE(found.keyEnd - found.keyStart, 8)
    return crc32(found.keyBytes.subarray(found.keyStart, found.keyEnd), crc32(head))
  }

  add(checksum: number): void {
    this.entries++
    this.#sum = (this.#sum + checksum) % Number.MAX_SAFE_INTEGER
  }

  equals(other: Sum): boolean {
    return this.entries === other.entries && this.#sum === other.#sum
  }
}

/** The checksum with bytes behind it. None leave it as it is: `crc32` begins anew with an empty array that has no memory. */
function more(checksum: number, bytes: Uint8Array): number {
  return bytes.length === 0 ? checksum : crc32(bytes, checksum)
}

/** Writes all entries of `from` into `to`, which is empty; gives their sum. */
export function* copyEntries(from: Reading, to: Engine): Routine<Sum> {
  const copy = new Copy(from, to)
  yield* copy.run()
  return copy.sum
}

/** The sum of all entries that there are. */
export function* sumOf(from: Reading): Routine<Sum> {
  const sum = new Sum()
  yield* walk(from, function* take(found, spread) {
    let checksum = sum.begin(found)
    if (!spread) checksum = more(checksum, found.bytes.subarray(found.start, found.end))
    else {
      yield* eachPart(from, found, (part) => {
        checksum = more(checksum, part)
      })
    }
    sum.add(checksum)
  })
  return sum
}

class Copy {
  readonly sum = new Sum()
  readonly #from: Reading
  readonly #to: Engine
  readonly #batch: WriteBatch = new WriteBatch()
  /** The last key of the load, and the one before it. */
  #key: Buffer = Buffer.alloc(256)
  #before: Buffer = Buffer.alloc(256)
  #length = 0
  #first: Buffer | undefined

  constructor(from: Reading, to: Engine) {
    this.#from = from
    this.#to = to
  }

  *run(): Routine<void> {
    const from = this.#from
    const isLoaded = from.engine.supports.order && this.#to.load !== undefined
    const others = isLoaded ? yield* this.#load() : true
    if (others) yield* walk(from, (found, spread) => this.#put(found, spread, isLoaded))
    const { catalogue } = from
    if (catalogue !== NO_TABLES) {
      addCatalogue(this.#batch, catalogue.withoutDropped(catalogue.dropped))
    }
    yield* this.#flush()
    yield* this.#to.commit('disk')
  }

  /** What a load takes; true: there is more. */
  *#load(): Routine<boolean> {
    const to = this.#to
    const from = this.#from
    let others = false
    let load: Load | undefined
    const add = this.#add.bind(this)
    try {
      yield* walk(from, function* take(found, spread) {
        if (!isLoadable(found)) {
          others = true
          return
        }
        if (spread) yield* found.gather()
        load ??= to.load!(0)
        add(load, found)
        if (load.busy) yield* load.proceed()
      })
      if (load === undefined) return others
      yield* load.finish()
      const batch = new WriteBatch(1)
      batch.setLoad(load, this.#first!, this.#before.subarray(0, this.#length))
      yield* write(to, batch)
      return others
    } finally {
      if (load !== undefined) yield* load.discard()
    }
  }

  #add(load: Load, found: Found): void {
    this.#check(found)
    const { keyBytes, keyStart, keyEnd, bytes, start, end, ascii } = found
    const length = keyEnd - keyStart
    if (this.#key.length < length) this.#key = Buffer.alloc(length * 2)
    const key = this.#key
    key.set(keyBytes.subarray(keyStart, keyEnd), 0)
    const before = this.#before
    const most = Math.min(length, this.#length)
    let common = 0
    while (common < most && key[common] === before[common]) common++
    this.#first ??= Buffer.from(key.subarray(0, length))
    load.key(key, length, common)
    // First: it may replace `bytes`.
    const at = load.reserve(end - start)
    load.bytes.set(bytes.subarray(start, end), at)
    const checksum = more(this.sum.begin(found), bytes.subarray(start, end))
    load.value(end - start, ascii)
    this.sum.add(checksum)
    this.#key = before
    this.#before = key
    this.#length = length
  }

  /** Whatever a load has not taken. */
  *#put(found: Found, spread: boolean, isLoaded: boolean): Routine<void> {
    if (isLoaded && isLoadable(found)) return
    this.#check(found)
    if (found.end - found.start >= SPOOL_BYTES) return yield* this.#putLong(found)
    if (spread) yield* found.gather()
    const { keyBytes, keyStart, keyEnd, bytes, start, end, ascii, expiry } = found
    const batch = this.#batch
    const i = batch.add(PUT, undefined, expiry)
    const at = batch.reserve(keyEnd - keyStart)
    batch.bytes.set(keyBytes.subarray(keyStart, keyEnd), at)
    batch.keyWritten(i, keyEnd - keyStart)
    // A copy: what was found is the engine's memory.
    batch.setValue(i, Buffer.from(bytes.subarray(start, end)))
    if (ascii) batch.ascii[i] = 1
    this.sum.add(more(this.sum.begin(found), bytes.subarray(start, end)))
    if (batch.size >= BATCH_BYTES || batch.count === BATCH_OPERATIONS) yield* this.#flush()
  }

  *#putLong(found: Found): Routine<void> {
    const to = this.#to
    const key = Buffer.from(found.keyBytes.subarray(found.keyStart, found.keyEnd))
    let checksum = this.sum.begin(found)
    if (to.spoolRoom !== undefined) yield* to.spoolRoom
    const spool = to.spool(key, key.length, found.expiry)
    try {
      const batch = new WriteBatch(1)
      const i = batch.add(PUT, undefined, found.expiry)
      const at = batch.reserve(key.length)
      batch.bytes.set(key, at)
      batch.keyWritten(i, key.length)
      yield* eachPart(this.#from, found, function* append(part) {
        checksum = more(checksum, part)
        yield* spool.append(part, 0, part.length)
      })
      yield* spool.finish()
      batch.setSpool(i, spool)
      yield* write(to, batch)
    } finally {
      yield* spool.discard()
    }
    this.sum.add(checksum)
  }

  *#flush(): Routine<void> {
    const batch = this.#batch
    if (batch.count === 0) return
    yield* write(this.#to, batch)
    batch.clear()
    // No more waits in memory than this.
    yield* this.#to.commit('os')
  }

  /** An engine may take less than another. */
  #check({ keyBytes, keyStart, keyEnd, start, end }: Found): void {
    const { name, limits } = this.#to
    // The limit is that of the user's key, without what says which table it is in.
    const key = keyEnd - keyStart - prefixLength(keyBytes, keyStart)
    if (key > limits.keyBytes) throw tooLong('INVALID_KEY', 'key', key, name, limits.keyBytes)
    const value = end - start
    if (value > limits.valueBytes) {
      throw tooLong('INVALID_VALUE', 'value', value, name, limits.valueBytes)
    }
  }
}

function isLoadable({ expiry, start, end }: Found): boolean {
  return expiry === 0 && end - start < SPOOL_BYTES
}

function* write(engine: Engine, batch: WriteBatch): Routine<void> {
  while (engine.write(batch) !== DONE) yield* engine.warm(batch)
}

/** Each entry of a table's or the root's; `spread`: the bytes of its value are to be gathered. */
function* walk(
  { engine, at, catalogue, environment, signal, onEntry }: Reading,
  take: (found: Found, spread: boolean) => Routine<void>,
): Routine<void> {
  const found = new Found()
  const slice = new Slice(environment)
  const blocks: Block[] = []
  const cursor = engine.cursor({ at, from: NOTHING, to: NOTHING, reverse: false, token: undefined })
  let space = -1
  let isTable = false
  try {
    for (;;) {
      signal?.throwIfAborted()
      if (slice.over()) yield* environment.pause
      const status = cursor.next(found)
      if (status === BLOCKED) {
        const block = found.block!
        if (block.alone) for (const one of blocks.splice(0)) one.release()
        blocks.push(block)
        yield* block.load
        continue
      }
      if (status === MISSING) return
      const other = readVarint(found.keyBytes, found.keyStart, found.keyEnd)
      if (other !== space) {
        space = other
        isTable = space !== CATALOGUE_SPACE && catalogue.hasSpace(space)
      }
      if (isTable) {
        yield* take(found, status === SPREAD)
        onEntry()
      }
      for (const one of blocks.splice(0)) one.release()
    }
  } finally {
    for (const one of blocks) one.release()
    cursor.close()
  }
}

/** The value of an entry that a walk has found, in parts. */
function* eachPart(
  reading: Reading,
  { keyBytes, keyStart, keyEnd }: Found,
  use: (part: Uint8Array) => Routine<void> | void,
): Routine<void> {
  const key = Buffer.from(keyBytes.subarray(keyStart, keyEnd))
  for (let from = 0; ; ) {
    const part = yield* locate(reading, key, reading.at, (found, status) =>
      takePart(found, status, from, PART_BYTES),
    )
    if (part === undefined || part.bytes.length === 0) return
    const more = use(part.bytes)
    if (more !== undefined) yield* more
    from += part.bytes.length
  }
}

function tooLong(
  code: 'INVALID_KEY' | 'INVALID_VALUE',
  what: string,
  found: number,
  engine: string,
  expected: number,
): KvarkError {
  return new KvarkError(
    code,
    `A ${what} has ${found} bytes, and the engine '${engine}' takes up to ${expected}. Convert to another engine, or remove the entry first.`,
    { expected, found },
  )
}
