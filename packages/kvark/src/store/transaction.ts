/**
 * Transactions, from the function that a user gives to its result.
 *
 *   begin ─► fn(tx) ─┬─ throws ─────────────► nothing stays; its error
 *     ▲              └─ gives a result ─► writes? ─┬─ none ─► the result
 *     │                                            └─ hold? ─┬─ yes ─► one batch ─► durable ─► the result
 *     └─── up to `attempts` times in all, then CONFLICT ─────┘ no
 *
 * `transactions.ts` tells how it is judged what holds.
 *
 * 1. The judgement and the batch are one step: nothing comes between.
 * 2. No run waits for another one, so none can wait for itself.
 */

import { KvarkError } from '../errors.ts'
import {
  abandon,
  checkDurability,
  checkNames,
  checkObject,
  invalid,
  isPromise,
  show,
  unsupported,
} from './arguments.ts'
import { type AskedTable, askedTable } from './asked-table.ts'
import type { TransactionOptions } from './call-types.ts'
import type { Core } from './core.ts'
import type { Life } from './life.ts'
import type { Mark } from './pending-writes.ts'
import { type Handle, tableOf } from './table-argument.ts'
import { composeBatch } from './transaction-batch.ts'
import { TransactionState } from './transaction-state.ts'
import { TransactionTable } from './transaction-table.ts'
import type { OrderedTransaction, Savepoint, TableInfo, TableOptions } from './types.ts'
import { attemptsOf } from './update.ts'
import { OVERTAKEN } from './write-queue.ts'

const OPTION_NAMES: readonly string[] = ['durability', 'attempts']
/** After so many runs in a row others get their turn. */
const RUNS_A_TURN = 8

/** The table that a transaction is begun from. */
export interface Origin<K, V> extends Handle {
  readonly life: Life
  coreNow(): Core<K, V>
  /** A handle of a table. */
  handleOf(asked: AskedTable): Handle
}

export async function transaction<K, V, R>(
  origin: Origin<K, V>,
  fn: (tx: OrderedTransaction<K, V>) => R | Promise<R>,
  options: TransactionOptions | undefined,
): Promise<R> {
  const { life } = origin
  const attempts = checked(life, fn, options)
  for (let run = 1; run <= attempts; run++) {
    if (life.unsettled) await life.run(() => life.queue.passed[Symbol.iterator]())
    if (run % RUNS_A_TURN === 0) await life.environment.pause.async()
    const attempt = new Attempt(origin)
    try {
      const given = fn(attempt.tx)
      // One that waits for nothing goes on at once: others would get their turn meanwhile, and this one a view, for which pages are copied.
      const result = isPromise(given) ? await given : given
      if (await attempt.commit(options)) return result
    } catch (error) {
      if (!attempt.state.lost) throw error
    } finally {
      attempt.end()
    }
  }
  throw overtaken(attempts)
}

export function transactionSync<K, V, R>(
  origin: Origin<K, V>,
  fn: (tx: OrderedTransaction<K, V>) => R,
  options: TransactionOptions | undefined,
): R {
  const { life } = origin
  const { transactions } = life
  const attempts = checked(life, fn, options)
  if (transactions.atOnce) {
    throw invalid(
      'A transactionSync of this store runs already. Use its tx, with a savepoint for what is to be taken back by itself.',
    )
  }
  transactions.atOnce = true
  try {
    for (let run = 1; run <= attempts; run++) {
      if (life.unsettled) life.settle()
      const attempt = new Attempt(origin)
      try {
        const result = fn(attempt.tx)
        if (isPromise(result)) throw promised(result)
        if (attempt.commitSync(options)) return result
      } catch (error) {
        if (!attempt.state.lost) throw error
      } finally {
        attempt.end()
      }
    }
  } finally {
    transactions.atOnce = false
  }
  throw overtaken(attempts)
}

/** One run of the function. */
class Attempt<K, V> {
  readonly state: TransactionState
  readonly tx: StoreTransaction<K, V>
  readonly #life: Life

  constructor(origin: Origin<K, V>) {
    const { life } = origin
    this.#life = life
    // First: there may be no such table any more.
    const core = origin.coreNow()
    this.state = new TransactionState(life)
    this.tx = new StoreTransaction(this.state, this.state.use(origin, core), origin)
  }

  end(): void {
    this.state.end()
    this.#life.exemplars.transaction = this
  }

  /** False when it was overtaken. */
  async commit(options: TransactionOptions | undefined): Promise<boolean> {
    const { state } = this
    const { queue, tables } = this.#life
    state.finish()
    if (state.pending.count === 0) return true
    this.#life.checkOpen()
    const durability = options?.durability ?? this.#life.durability
    // A table that it writes to may be another one by now.
    if (tables.catalogue !== state.catalogue && !state.holds()) return false
    const { batch, catalogue } = composeBatch(this.#life, state.pending)
    const changed = tables.complete(batch, state.catalogue, catalogue)
    if (changed === undefined) {
      const written = queue.write(batch, durability, state)
      // Carried out, or copied: others can have the memory.
      if (state.isOver) state.end()
      return (await written) !== OVERTAKEN
    }
    const written = queue.writeAtOnce(batch, durability, state)
    if (!state.isOver) return false
    tables.install(changed)
    state.end()
    await written
    return true
  }

  /** The same at once. */
  commitSync(options: TransactionOptions | undefined): boolean {
    const { state } = this
    const { queue, tables, engine } = this.#life
    state.finish()
    if (state.pending.count === 0) return true
    this.#life.checkOpen()
    // A table that it writes to may be another one by now.
    if (tables.catalogue !== state.catalogue && !state.holds()) return false
    const { batch, catalogue } = composeBatch(this.#life, state.pending)
    const changed = tables.complete(batch, state.catalogue, catalogue)
    const durability = options?.durability ?? this.#life.durability
    if (queue.writeSync(batch, durability, state) === OVERTAKEN) return false
    if (changed !== undefined) tables.install(changed)
    if (durability !== 'none') engine.commit(durability).sync()
    return true
  }
}

class StoreTransaction<K, V> extends TransactionTable<K, V> implements OrderedTransaction<K, V> {
  readonly #origin: Origin<K, V>
  /** Oldest first. */
  readonly #savepoints: TransactionSavepoint[] = []

  constructor(state: TransactionState, core: Core<K, V>, origin: Origin<K, V>) {
    super(state, core)
    this.#origin = origin
  }

  /** Which table it gives is said by the types of `Transaction`. */
  table(table: unknown, options?: TableOptions<unknown, unknown>): never
  table(table: unknown, options?: TableOptions<unknown, unknown>): unknown {
    const { state } = this
    state.check()
    const { life, catalogue } = state
    if (typeof table === 'string') {
      const handle = this.#origin.handleOf(askedTable(life, table, options))
      return new TransactionTable(state, state.use(handle, handle.coreAt(catalogue)))
    }
    if (options !== undefined) {
      throw invalid('A table that is given has its codecs. Give a name where you give options.')
    }
    const at = life.tables.catalogue === catalogue ? undefined : catalogue
    const core = tableOf(life, table, 'A transaction', at)
    return new TransactionTable(state, state.use(table as Handle, core))
  }

  tables(): TableInfo[] {
    const { state } = this
    state.check()
    state.listed = true
    return state.life.tables.list(state.catalogue)
  }

  savepoint(): Savepoint {
    const { state } = this
    state.check()
    const savepoint = new TransactionSavepoint(state, this.#savepoints)
    this.#savepoints.push(savepoint)
    return savepoint
  }
}

class TransactionSavepoint implements Savepoint {
  readonly #state: TransactionState
  /** Of the transaction, this one among them as long as it lives. */
  readonly #all: TransactionSavepoint[]
  readonly #mark: Mark
  /** How many tables the transaction had made by then. */
  readonly #madeTables: number

  constructor(state: TransactionState, all: TransactionSavepoint[]) {
    this.#state = state
    this.#all = all
    this.#mark = state.pending.mark
    this.#madeTables = state.madeTables
    state.pending.marks++
  }

  rollback(): void {
    this.#end(1)
    this.#state.rollback(this.#mark, this.#madeTables)
  }

  release(): void {
    this.#end(0)
  }

  /** Ends those behind it, and itself unless `kept` is 1. */
  #end(kept: 0 | 1): void {
    this.#state.check()
    const at = this.#all.indexOf(this)
    if (at < 0) {
      throw new KvarkError(
        'CLOSED',
        'The savepoint has ended: it was released, or the transaction has gone back to an older one. Make a new one.',
      )
    }
    this.#all.length = at + kept
    this.#state.pending.marks = at + kept
  }
}

/** How often the function may run. */
function checked(life: Life, fn: unknown, options: TransactionOptions | undefined): number {
  const { engine, modules } = life
  life.checkOpen()
  if (!engine.supports.transactions) {
    throw unsupported(engine.name, 'transactions', 'transactions', modules)
  }
  if (typeof fn !== 'function') throw invalid(`A transaction takes a function, not ${show(fn)}.`)
  if (options !== undefined) {
    checkObject(options, 'The options of a transaction')
    checkNames(options, OPTION_NAMES, 'A transaction')
    if (options.durability !== undefined) checkDurability(options.durability)
  }
  return attemptsOf(options)
}

function promised(result: PromiseLike<unknown>): KvarkError {
  // What it goes on to do with the transaction fails.
  abandon(result)
  return invalid(
    'The function of transactionSync has given a promise, so nothing was written. Use transaction for what has to be awaited.',
  )
}

function overtaken(attempts: number): KvarkError {
  return new KvarkError(
    'CONFLICT',
    `Others have changed each time what the transaction had read, ${attempts} ${attempts === 1 ? 'time' : 'times'}. Nothing was written: try it again later, ` +
      "let it read less, or allow more with 'attempts'.",
  )
}
