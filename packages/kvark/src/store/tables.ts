/**
 * The tables of an open store: the catalogue in memory, and how it changes.
 *
 *   put to a table that is not there ─► space reserved in memory ─► one batch: the catalogue with the table, the put
 *   drop     ordered engine: one batch: delete the range of the space, the catalogue without the table
 *            others:         the catalogue without the table; its space is `dropped`, and emptied in the background
 *   clear    ordered engine: delete the range, as ever
 *            others:         the catalogue with a new space for the table; the old one is `dropped`
 *   rename   the catalogue
 *
 * 1. The catalogue in memory is the one that the engine has: a change is carried out at once or not at all, and never waits in the
 *    row of writes. Writes that wait there are carried out before it, so that none goes to a space that is no longer a table's.
 * 2. A batch is checked when it is complete: codecs and iterables of the user's may have changed the catalogue meanwhile.
 * 3. A number that was reserved and not written is not used by another table as long as the store is open. A table that is made has a
 *    number above those of all catalogues before: one that is below the `next` of a catalogue without it was dropped.
 * 4. Where the catalogue cannot be read, everything that needs it is refused with the reason; on an ordered engine the root needs it
 *    not.
 */

import { readVarint } from '../bytes/varint.ts'
import {
  BLOCKED,
  DONE,
  type Engine,
  FOUND,
  MISSING,
  SPREAD,
  type VerifyReport,
} from '../engine/engine.ts'
import { type Block, Found } from '../engine/found.ts'
import { DELETE, PUT, WriteBatch } from '../engine/write-batch.ts'
import type { Routine } from '../environment/routine.ts'
import { Slice } from '../environment/slice.ts'
import { KvarkError } from '../errors.ts'
import { invalid } from './arguments.ts'
import {
  CATALOGUE_KEY,
  type Catalogue,
  decodeCatalogue,
  MAX_TABLE_NAME_BYTES,
  NO_TABLES,
  type TableRecord,
} from './catalogue.ts'
import { isWellFormed } from './codecs/utf8.ts'
import type { Life } from './life.ts'
import { endOf, NO_SPACE, startOf } from './spaces.ts'
import type { TableInfo } from './types.ts'
import { addClear } from './writes.ts'

/** So many entries of dropped spaces are deleted in one batch. */
const PURGED_AT_ONCE = 256
const EVERYTHING = Buffer.alloc(0)

/** What a handle wants: a table that it has found or made, by number, or one by name. */
export interface Wanted {
  readonly name: string
  /** Names of the codecs. */
  readonly keys: string
  readonly values: string
  /** 0: not found yet. */
  number: number
}

/** A table that is about to be made, and for whom. */
interface Reserved {
  readonly record: TableRecord
  readonly wanted: Set<Wanted>
}

export class Tables {
  catalogue: Catalogue = NO_TABLES
  /** Why the catalogue is not known. */
  failure: KvarkError | undefined
  readonly #life: Life
  /** By name and codecs: a write that is refused leaves its table here, which must not be in the way of one with others. */
  readonly #reserved = new Map<string, Reserved>()
  /** Above every number that was given out since the store was opened. */
  #next = 0
  /** Numbers that were given out and lost with writes that failed: from the first to before the second. */
  readonly #lost: (readonly [number, number])[] = []
  #purging = false
  /** Called when the list of tables has changed. */
  readonly onChange: Set<() => void> = new Set()

  constructor(life: Life) {
    this.#life = life
  }

  /** Reads the catalogue: at open, and when the engine has loaded its state anew. */
  *load(): Routine<void> {
    const before = this.catalogue
    this.#reserved.clear()
    this.failure = undefined
    const { folder } = this.#life
    try {
      const bytes = yield* readCatalogue(this.#life.engine)
      this.catalogue = bytes === undefined ? NO_TABLES : decodeCatalogue(bytes, folder)
    } catch (error) {
      if (!(error instanceof KvarkError)) throw error
      this.catalogue = NO_TABLES
      this.failure = error
    }
    const { next } = this.catalogue
    if (this.failure === undefined && next < this.#next) this.#lost.push([next, this.#next])
    this.#next = Math.max(this.#next, next)
    this.#purgeLater()
    this.#tell(before)
  }

  /** The catalogue, or why it is not known. */
  known(): Catalogue {
    if (this.failure !== undefined) throw this.failure
    return this.catalogue
  }

  /** What users see of a catalogue. */
  list(catalogue: Catalogue): TableInfo[] {
    if (this.failure !== undefined) throw this.failure
    return Array.from(catalogue.tables.values(), ({ name, keys, values }) => ({
      name,
      keys,
      values,
    }))
  }

  /** The space of the root. */
  rootSpace(catalogue: Catalogue): number {
    if (this.failure !== undefined && !this.#life.engine.supports.order) throw this.failure
    return catalogue.root
  }

  /** The record of the table that a handle stands for; `undefined`: there is none yet. `NOT_FOUND` when it was dropped. */
  find(catalogue: Catalogue, wanted: Wanted): TableRecord | undefined {
    if (this.failure !== undefined) throw this.failure
    const { name } = wanted
    const number = this.isLost(wanted.number) ? 0 : wanted.number
    const record = number === 0 ? catalogue.named(name) : catalogue.tables.get(number)
    if (record !== undefined) {
      checkCodecs(record, wanted)
      return record
    }
    // A number that the catalogue does not know yet: made later.
    if (number < catalogue.next && number !== 0) throw droppedTable(name)
    return undefined
  }

  /** Whether the number is that of a table that was lost with a write that failed: it never was, and one of its name may come. */
  isLost(number: number): boolean {
    return this.#lost.some(([from, to]) => number >= from && number < to)
  }

  /** The record of a table that is about to be made, for the writes of a batch. */
  reserve(wanted: Wanted): TableRecord {
    this.known()
    const { name, keys, values } = wanted
    const id = idOf(wanted)
    let reserved = this.#reserved.get(id)
    // Others have been made since: catalogues that are above its number do not have it, as if it had been dropped.
    if (reserved === undefined || reserved.record.number < this.catalogue.next) {
      const number = this.#newNumber()
      reserved = { record: { number, space: number, name, keys, values }, wanted: new Set() }
      this.#reserved.set(id, reserved)
    }
    reserved.wanted.add(wanted)
    return reserved.record
  }

  /**
   * The catalogue that has to be written with the batch, and is added to it; `undefined`: it stays as it is, which was `before` when
   * the batch was begun. `CONFLICT` when the batch has writes to a space that is no longer a table's. `changed`: what the batch itself
   * makes of the catalogue of now.
   */
  complete(
    batch: WriteBatch,
    before: Catalogue,
    changed: Catalogue = this.catalogue,
  ): Catalogue | undefined {
    const isSame = changed === this.catalogue
    if (isSame && this.catalogue === before && this.#reserved.size === 0) return undefined
    let next = changed
    for (let i = 0; i < batch.count; i++) {
      const space = spaceOf(batch, i)
      if (space === NO_SPACE || next.hasSpace(space)) continue
      next = this.withReserved(next, space)
    }
    if (next === this.catalogue) return undefined
    if (!this.#life.engine.supports.atomicBatch) {
      // The table first, so that no entry is without one.
      this.#change(next)
      return undefined
    }
    addCatalogue(batch, next)
    return next
  }

  /** The catalogue with the table for which the space was reserved. `CONFLICT` when it was made otherwise meanwhile. */
  withReserved(catalogue: Catalogue, space: number): Catalogue {
    const reserved = [...this.#reserved.values()].find(({ record }) => record.space === space)
    if (reserved === undefined) throw overtaken()
    const { record } = reserved
    const made = catalogue.named(record.name)
    if (made !== undefined) {
      checkCodecs(made, record)
      throw overtaken()
    }
    return catalogue.with(record)
  }

  /** A catalogue that was made here has been written. */
  install(catalogue: Catalogue): void {
    const before = this.catalogue
    this.catalogue = catalogue
    this.#purgeLater()
    for (const [id, { record, wanted }] of this.#reserved) {
      if (catalogue.named(record.name) === undefined) continue
      this.#reserved.delete(id)
      if (!catalogue.tables.has(record.number)) continue
      for (const one of wanted) {
        // Who has found its table meanwhile keeps it: a transaction that began before may still have wanted to make it.
        if (one.number === 0 || this.isLost(one.number)) one.number = record.number
      }
    }
    this.#tell(before)
  }

  /** `CONFLICT` when the batch, which changes no catalogue, has writes to a space that is no longer a table's. */
  check(batch: WriteBatch): void {
    for (let i = 0; i < batch.count; i++) {
      if (!this.catalogue.hasSpace(spaceOf(batch, i))) throw overtaken()
    }
  }

  /** Makes the table, if it is not there, at once. */
  make(wanted: Wanted): void {
    if (this.find(this.known(), wanted) !== undefined) return
    this.#change(this.catalogue.with(this.reserve(wanted)))
  }

  /** Adds to the batch what drops a table; gives the catalogue without it. */
  fillDrop(batch: WriteBatch, name: string): Catalogue {
    const { number, space } = this.#named(name)
    const catalogue = this.catalogue.without(number)
    if (!this.#life.engine.supports.order) {
      const next = catalogue.withDropped(space)
      addCatalogue(batch, next)
      return next
    }
    addClear(batch, { from: startOf(space), to: endOf(space) })
    addCatalogue(batch, catalogue)
    return catalogue
  }

  /** Adds to the batch what gives a table another name. */
  fillRename(batch: WriteBatch, from: string, to: string): Catalogue {
    checkTableName(to)
    const record = this.#named(from)
    if (from === to) return this.catalogue
    if (this.catalogue.named(to) !== undefined) {
      throw new KvarkError(
        'CONFLICT',
        `There is a table '${to}' already, so '${from}' was not renamed. Drop that one first, or choose another name.`,
        { found: to, retryable: false },
      )
    }
    const next = this.catalogue.with({ ...record, name: to })
    addCatalogue(batch, next)
    return next
  }

  /**
   * Adds to the batch what empties the root (number 0) or a table on an engine without order; gives the catalogue that has to be
   * written, `undefined` where the engine clears everything because there is nothing else.
   */
  fillClear(batch: WriteBatch, number: number): Catalogue | undefined {
    const { catalogue } = this
    if (catalogue === NO_TABLES) return undefined
    const next = this.cleared(catalogue, number)
    addCatalogue(batch, next)
    return next
  }

  /** The catalogue with a new space for the root (number 0) or a table. */
  cleared(catalogue: Catalogue, number: number): Catalogue {
    const space = this.#newNumber()
    const record = catalogue.tables.get(number)
    return record === undefined
      ? catalogue.withRoot(space).withDropped(catalogue.root)
      : catalogue.with({ ...record, space }).withDropped(record.space)
  }

  /** A report of the engine's, and what is wrong with the catalogue itself. */
  *verify(work: Routine<VerifyReport>): Routine<VerifyReport> {
    const report = yield* work
    // A damaged block is among the engine's problems.
    if (this.failure === undefined || report.problems.length > 0) return report
    return { ...report, problems: [this.failure] }
  }

  /** Removes the entries of dropped spaces, in steps; ends early when the store closes. */
  *purge(): Routine<void> {
    while (this.catalogue.dropped.length > 0) {
      const spaces = this.catalogue.dropped
      if (!(yield* this.#deleteSpaces(new Set(spaces)))) return
      const batch = new WriteBatch()
      addCatalogue(batch, this.catalogue.withoutDropped(spaces))
      yield* this.#life.engine.warm(batch)
      // Anew: the catalogue may have changed meanwhile.
      this.#change(this.catalogue.withoutDropped(spaces))
    }
  }

  /** Begins to empty dropped spaces, when the code that runs now has returned. */
  #purgeLater(): void {
    const life = this.#life
    if (this.#purging || life.readOnly || this.catalogue.dropped.length === 0) return
    this.#purging = true
    const purge = this.purge.bind(this)
    life
      .run(function* () {
        yield* life.environment.pause
        yield* purge()
      })
      // A store that is closed, or takes no writes: it goes on when it is opened or resumed. Damage is told to who reads.
      .catch(() => {})
      .finally(() => {
        this.#purging = false
      })
  }

  /** False when the store closes before all is done. */
  *#deleteSpaces(spaces: ReadonlySet<number>): Routine<boolean> {
    const { engine, environment } = this.#life
    const signal = this.#life.jobSignal(undefined)
    const slice = new Slice(environment)
    const found = new Found()
    const batch = new WriteBatch()
    const blocks: Block[] = []
    const cursor = engine.cursor({
      at: undefined,
      from: EVERYTHING,
      to: EVERYTHING,
      reverse: false,
      token: undefined,
    })
    try {
      for (;;) {
        if (signal.aborted) return false
        if (slice.over()) yield* environment.pause
        const status = cursor.next(found)
        if (status === BLOCKED) {
          const block = found.block!
          if (block.alone) for (const one of blocks.splice(0)) one.release()
          blocks.push(block)
          yield* block.load
          continue
        }
        for (const one of blocks.splice(0)) one.release()
        const { keyBytes, keyStart, keyEnd } = found
        if (status !== MISSING && spaces.has(readVarint(keyBytes, keyStart, keyEnd))) {
          const i = batch.add(DELETE)
          const at = batch.reserve(keyEnd - keyStart)
          batch.bytes.set(keyBytes.subarray(keyStart, keyEnd), at)
          batch.keyWritten(i, keyEnd - keyStart)
        }
        if (batch.count === PURGED_AT_ONCE || (status === MISSING && batch.count > 0)) {
          while (engine.write(batch) !== DONE) yield* engine.warm(batch)
          batch.clear()
        }
        if (status === MISSING) return true
      }
    } finally {
      for (const one of blocks) one.release()
      cursor.close()
    }
  }

  /** Writes a catalogue, now, behind all writes that wait. */
  #change(catalogue: Catalogue): void {
    const batch = new WriteBatch()
    addCatalogue(batch, catalogue)
    // What follows it is waited for.
    this.#life.queue.writeSync(batch, 'none')
    this.install(catalogue)
  }

  #tell(before: Catalogue): void {
    if (before !== this.catalogue) for (const tell of this.onChange) tell()
  }

  #named(name: string): TableRecord {
    checkTableName(name)
    const record = this.known().named(name)
    if (record !== undefined) return record
    throw new KvarkError(
      'NOT_FOUND',
      `There is no table '${name}'. \`tables()\` lists those that there are.`,
      { found: name },
    )
  }

  #newNumber(): number {
    const number = Math.max(this.#next, this.catalogue.next)
    this.#next = number + 1
    return number
  }
}

/** What tells tables apart that are not made yet: handles of one name may want different ones. */
export function idOf({ name, keys, values }: Omit<Wanted, 'number'>): string {
  return JSON.stringify([name, keys, values])
}

/** The bytes of the catalogue, `undefined`: there is none. */
export function* readCatalogue(engine: Engine): Routine<Buffer | undefined> {
  const blocks: Block[] = []
  const found = new Found()
  try {
    for (;;) {
      const status = engine.find(CATALOGUE_KEY, CATALOGUE_KEY.length, undefined, found)
      if (status === MISSING) return undefined
      if (status === SPREAD) yield* found.gather()
      if (status === SPREAD || status === FOUND) return Buffer.from(found.copyValue())
      const block = found.block!
      blocks.push(block)
      yield* block.load
    }
  } finally {
    for (const block of blocks) block.release()
  }
}

/** A name that a table can have. */
export function checkTableName(name: unknown): asserts name is string {
  const expected = `1 to ${MAX_TABLE_NAME_BYTES} bytes of well-formed text`
  if (typeof name !== 'string') {
    throw invalid(
      `The name of a table must be a string, not ${name === null ? 'null' : typeof name}.`,
    )
  }
  const bytes = Buffer.byteLength(name)
  if (bytes >= 1 && bytes <= MAX_TABLE_NAME_BYTES && isWellFormed(name)) return
  const found = isWellFormed(name) ? `${bytes} bytes` : 'a lone surrogate'
  throw invalid(`The name of a table must be ${expected}, and this one has ${found}.`, {
    expected,
    found,
  })
}

/** The space that operation `i` of a batch goes to. */
export function spaceOf({ bytes, keyStart, keyLength }: WriteBatch, i: number): number {
  const start = keyStart[i]!
  return readVarint(bytes, start, start + keyLength[i]!)
}

export function addCatalogue(batch: WriteBatch, catalogue: Catalogue): void {
  const i = batch.add(PUT)
  // First: it may replace `bytes`.
  const at = batch.reserve(CATALOGUE_KEY.length)
  batch.bytes.set(CATALOGUE_KEY, at)
  batch.keyWritten(i, CATALOGUE_KEY.length)
  batch.setValue(i, catalogue.encode())
}

type Codecs = Pick<TableRecord, 'keys' | 'values'>

/** `MISMATCH` when a table has other codecs than are asked for. */
export function checkCodecs(record: Codecs & Pick<TableRecord, 'name'>, wanted: Codecs): void {
  for (const what of ['keys', 'values'] as const) {
    const expected = wanted[what]
    const found = record[what]
    if (expected === found) continue
    throw new KvarkError(
      'MISMATCH',
      `The table '${record.name}' was made with ${what} '${found}', not '${expected}'. Ask for it with the codecs that it has, or take another name.`,
      { expected, found },
    )
  }
}

function droppedTable(name: string): KvarkError {
  return new KvarkError(
    'NOT_FOUND',
    `The table '${name}' was dropped. Call table() again for a new one of that name.`,
    { found: name },
  )
}

function overtaken(): KvarkError {
  return new KvarkError(
    'CONFLICT',
    'A table that this write goes to was cleared, dropped or made meanwhile. Nothing was written: try it again.',
  )
}
