/**
 * One run of a transaction: what it reads, what it has read and written, and how it ends. Its tables share it.
 *
 *   running ──finish──► finished ──► written, overtaken, given up          finished: every verb is `CLOSED`
 *
 * 1. What it sees is one moment of the store: the newest state as long as that is the state of its beginning, then a view.
 * 2. Its clock is that of the view. It gets one when it meets an entry with an expiry: until then it has seen none that could end.
 * 3. A codec, or `toJSON`, of the user's may call the transaction while an operation is being encoded: it may read, not write.
 */

import type { EngineSnapshot } from '../engine/engine.ts'
import type { WriteBatch } from '../engine/write-batch.ts'
import { KvarkError } from '../errors.ts'
import { invalid } from './arguments.ts'
import type { Catalogue } from './catalogue.ts'
import { Core } from './core.ts'
import type { Lease, Life } from './life.ts'
import type { MergedCursor } from './merged-cursor.ts'
import { isAlive } from './merged-cursor.ts'
import { type Mark, type PendingWrites, REMOVED, UNWRITTEN } from './pending-writes.ts'
import type { Bounds } from './range.ts'
import type { ReadSet } from './read-set.ts'
import type { Handle } from './table-argument.ts'
import { checkCodecs, type Wanted } from './tables.ts'
import type { Running, Workspace } from './transactions.ts'
import { View } from './view.ts'
import type { Walk } from './walk.ts'
import type { Guard } from './write-queue.ts'

/** A table that was used, and its space then: it must have the same at the end. */
interface TableUse {
  readonly handle: Handle
  readonly space: number
}

export class TransactionState implements Running, Guard {
  readonly life: Life
  readonly begun: number
  readonly pending: PendingWrites
  readonly reads: ReadSet
  /** The tables of its beginning. */
  readonly catalogue: Catalogue
  /** The list of tables was read. */
  listed = false
  /** The store was resumed meanwhile. */
  lost = false
  readonly #workspace: Workspace
  #view: View | undefined
  #lease: Lease | undefined
  #finished = false
  #over = false
  #ended = false
  #encoding = false
  #uses: TableUse[] | undefined
  /** Tables that it makes itself, by name, in the order in which they came. */
  #made: Map<string, Core<unknown, unknown>> | undefined
  #walks: Map<MergedCursor, Walk> | undefined

  constructor(life: Life) {
    const { transactions } = life
    this.life = life
    this.begun = transactions.history.end
    this.catalogue = life.tables.catalogue
    this.#workspace = transactions.takeWorkspace()
    this.pending = this.#workspace.pending
    this.reads = this.#workspace.reads
    transactions.begin(this)
  }

  get isBare(): boolean {
    return this.#view === undefined && !this.#finished
  }

  /** `undefined`: the newest state. */
  get at(): EngineSnapshot | undefined {
    return this.#view?.at
  }

  fix(view: View): void {
    this.#view = view
    this.#lease = { what: 'A transaction', release: () => view.release() }
    this.life.addLease(this.#lease, undefined)
  }

  lose(): void {
    this.lost = true
  }

  /** The view, from now on. */
  get view(): View {
    if (this.#view === undefined) this.fix(new View(this.life.engine.snapshot!()))
    return this.#view!
  }

  /** `CLOSED` when the transaction has ended, or the store is closed. */
  check(): void {
    if (this.#finished) throw finished()
    if (this.life.unsettled) this.life.checkOpen()
    if (this.lost) throw lostError()
  }

  /** The put of the key that is pending, `UNWRITTEN` or `REMOVED`. */
  find(bytes: Buffer, length: number, hash: number): number {
    const { pending } = this
    if (pending.count === 0) return UNWRITTEN
    const i = pending.find(bytes, 0, length, hash)
    return i >= 0 && !isAlive(pending.batch, i, this.#view?.at.clock ?? 0) ? REMOVED : i
  }

  /** Adds an operation: all of it, or nothing where `act` throws. `cleared`: it removes this range. */
  write(act: (batch: WriteBatch) => void, cleared?: Bounds): void {
    this.life.checkWritable()
    if (this.#encoding) throw busy()
    const { pending } = this
    const { batch } = pending
    const before = batch.count
    const { madeTables } = this
    const { batchOperations } = this.life.engine.limits
    this.#encoding = true
    try {
      act(batch)
      if (this.#finished) throw finished()
      if (batch.count > batchOperations) {
        throw invalid(
          `A transaction takes up to ${batchOperations} writes. Write more in several ones.`,
          { expected: batchOperations },
        )
      }
    } catch (error) {
      if (!this.#finished) batch.truncate(before)
      this.#unmake(madeTables)
      throw error
    } finally {
      this.#encoding = false
    }
    if (batch.count === before) return
    if (cleared === undefined) pending.keyAdded()
    else pending.rangeAdded(cleared)
  }

  /** The table as of the beginning, which is used from now on. */
  use<C extends Core<unknown, unknown>>(handle: Handle, core: C): C {
    this.#uses ??= []
    this.#uses.push({ handle, space: core.space })
    return core
  }

  /** How many tables it has made. */
  get madeTables(): number {
    return this.#made?.size ?? 0
  }

  /** The space of the table that is not there, if this transaction makes it. */
  madeSpace({ name }: Wanted): number | undefined {
    return this.#made?.get(name)?.space
  }

  /** The table that is not there as this transaction makes it, from now on. */
  make<K, V>(core: Core<K, V>): Core<K, V> {
    const wanted = core.unmade!
    const own = this.#made?.get(wanted.name)
    if (own !== undefined) {
      const { keys, values } = own
      checkCodecs({ name: wanted.name, keys: keys.name, values: values.name }, wanted)
    }
    const reserved = this.life.tables.reserve(wanted)
    // Where somebody else has made the table meanwhile, what was written here is still seen until this run ends in vain.
    const record = own ?? reserved
    const made = new Core(this.life, record, core.keys, core.values, core.ttl)
    this.#made ??= new Map()
    this.#made.set(reserved.name, made)
    return made
  }

  addWalk(cursor: MergedCursor, walk: Walk): void {
    this.#walks ??= new Map()
    this.#walks.set(cursor, walk)
  }

  endWalk(cursor: MergedCursor): void {
    this.#walks?.delete(cursor)
  }

  /** Walks go on no more: all, or those that see what was written behind `mark`. */
  #endWalks(failure: () => KvarkError, mark?: Mark): void {
    if (this.#walks === undefined) return
    for (const [cursor, walk] of this.#walks) {
      if (mark !== undefined && !cursor.sees(mark)) continue
      cursor.failure = failure()
      this.life.endLease(walk)
    }
  }

  /** No verb any more: what was read and written is complete. */
  finish(): void {
    if (this.#finished) return
    this.#endWalks(finished)
    this.#finished = true
    if (this.#lease !== undefined) this.life.endLease(this.#lease)
  }

  /** Takes back what was written since, when it had made so many tables. */
  rollback(mark: Mark, madeTables: number): void {
    if (this.#encoding) throw busy()
    this.#endWalks(takenBack, mark)
    this.pending.rollback(mark)
    this.#unmake(madeTables)
  }

  /** Whether it has been carried out, or given up. */
  get isOver(): boolean {
    return this.#over
  }

  /** Whether nothing that it has read has changed. */
  holds(): boolean {
    if (this.lost) return false
    const { transactions } = this.life
    return !this.reads.isChangedSince(this.begun, transactions.history) && this.#tablesHold()
  }

  done(): void {
    this.#over = true
    this.life.transactions.end(this)
  }

  /** Nobody needs it any more. Harmless when repeated. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    const { transactions } = this.life
    this.finish()
    transactions.end(this)
    transactions.giveWorkspace(this.#workspace)
  }

  /** Of the tables that it makes, only the first ones are left. */
  #unmake(left: number): void {
    for (const name of [...(this.#made?.keys() ?? [])].slice(left)) this.#made!.delete(name)
  }

  #tablesHold(): boolean {
    const { catalogue } = this.life.tables
    if (catalogue === this.catalogue) return true
    if (this.listed) return false
    // Numbers of tables rise with the catalogues: it makes them anew.
    for (const { space } of this.#made?.values() ?? []) if (space < catalogue.next) return false
    return (this.#uses ?? []).every(({ handle, space }) => spaceOf(handle, catalogue) === space)
  }
}

/** The space of a table now; `undefined`: it was dropped, or has other codecs. */
function spaceOf(handle: Handle, catalogue: Catalogue): number | undefined {
  try {
    return handle.coreAt(catalogue).space
  } catch (error) {
    if (error instanceof KvarkError) return undefined
    throw error
  }
}

function busy(): KvarkError {
  return invalid(
    'A codec, or toJSON, has written to the transaction while it was encoding something for it. Let it read only.',
  )
}

function takenBack(): KvarkError {
  return new KvarkError(
    'CLOSED',
    'The transaction has gone back to a savepoint, and the cursor was made after it. Make a new one.',
  )
}

function finished(): KvarkError {
  return new KvarkError(
    'CLOSED',
    'The transaction has ended. Await everything that it does inside its function, and begin another one for more.',
  )
}

function lostError(): KvarkError {
  return new KvarkError(
    'CONFLICT',
    'The store was resumed while the transaction ran, so what it has read may never have been. Nothing was written: run it again.',
  )
}
