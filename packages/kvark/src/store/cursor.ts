/**
 * The public cursor: one walk, handed out entry by entry, at once or by promise.
 *
 *   walking ──end, limit, close──► done: gives no more         an error or abort ──► failed: gives that error again
 *
 * 1. After an error it never goes on as if nothing had happened: what was not given is not passed over in silence.
 * 2. Promised steps run one after the other, in the order of the calls.
 * 3. Done or failed, it holds nothing of the engine, and nothing of the caller's but the reason of an abort.
 */

import { BLOCKED, FOUND, MISSING, SPREAD, type Status } from '../engine/engine.ts'
import { type Block, Found, type Run } from '../engine/found.ts'
import { type Routine, runSync } from '../environment/routine.ts'
import { Slice } from '../environment/slice.ts'
import { KvarkError } from '../errors.ts'
import { invalid, rejected, show, unsupported } from './arguments.ts'
import type { OrderedCursor } from './call-types.ts'
import type { Core } from './core.ts'
import { fromRun, gather, newRun, type Projection, wantsValue } from './project.ts'
import { type Scan, tokenOf } from './range.ts'
import type { Walk } from './walk.ts'

type Step<T> = IteratorResult<T, undefined>

export class StoreCursor<K, V, T> implements OrderedCursor<K, T> {
  readonly #core: Core<K, V>
  readonly #walk: Walk
  readonly #project: Projection<K, V, T>
  #signal: AbortSignal | undefined
  readonly #found = new Found()
  readonly #run: Run | undefined
  /** Of promised steps; reading the clock would take a short walk as long as some entries. */
  #slice: Slice | undefined
  #steps: SyncSteps<T> | undefined
  #remaining: number
  #done = false
  #failure: { readonly reason: unknown } | undefined
  /** Settles, without error, with the last promised step; `undefined` when none runs. */
  #running: Promise<void> | undefined
  /** Promised steps that run or wait. */
  #waiting = 0

  /** Takes the walk over; `scan` says how far it goes. */
  constructor(core: Core<K, V>, scan: Scan, walk: Walk, project: Projection<K, V, T>) {
    this.#core = core
    this.#project = project
    this.#signal = scan.signal
    this.#remaining = scan.limit
    this.#walk = walk
    this.#run = newRun(core, project)
    this.#found.run = this.#run
    core.life.addLease(this.#walk, this)
  }

  next(): Promise<Step<T>> {
    try {
      if (!this.#done) this.#core.life.checkOpen()
      if (this.#running !== undefined) return this.#queue(() => this.advance())
      if (this.#isOver()) return this.#queue(() => this.#pauseThenAdvance())
      const step = this.#quick()
      return typeof step === 'object'
        ? Promise.resolve(step)
        : this.#queue(() => this.advance(step))
    } catch (error) {
      return rejected(error)
    }
  }

  nextSync(): Step<T> {
    const run = this.#run
    // Entries in a run: the walk goes on, and the store is open.
    if (run !== undefined && run.next < run.end && this.#isPlain()) return this.#ofRun(run)
    this.#checkFree()
    const step = this.#quick()
    return typeof step === 'object' ? step : runSync(this.advance(step))
  }

  nextMany(count: number): Promise<T[]> {
    try {
      checkCount(count)
      if (!this.#done) this.#core.life.checkOpen()
      return this.#queue(() => this.#many(count))
    } catch (error) {
      return rejected(error)
    }
  }

  nextManySync(count: number): T[] {
    checkCount(count)
    this.#checkFree()
    return runSync(this.#many(count))
  }

  seek(key: K): void {
    const { engine, modules } = this.#core
    if (!engine.supports.order) throw unsupported(engine.name, 'seek', 'order', modules)
    this.#checkFree()
    if (!this.#isWalking()) {
      throw new KvarkError('CLOSED', 'The cursor is closed or at its end. Make a new one to seek.')
    }
    const length = this.#core.encodeKey(key)
    this.#walk.cursor.seek!(Buffer.from(this.#core.key.bytes.subarray(0, length)), length)
  }

  get token(): Uint8Array {
    if (this.#failure !== undefined) throw this.#failure.reason
    return tokenOf(this.#core, this.#walk.token)
  }

  return(): Promise<Step<T>> {
    this.close()
    return Promise.resolve(end())
  }

  close(): void {
    const { life } = this.#core
    this.#done = true
    this.#signal = undefined
    life.endLease(this.#walk)
    life.exemplars.cursor = this
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  [Symbol.iterator](): IterableIterator<T, undefined> {
    return (this.#steps ??= new SyncSteps(this))
  }

  /** The next step, whatever it takes. `status`: what the engine's cursor has answered already. */
  *advance(status?: Status): Routine<Step<T>> {
    const blocks: Block[] = []
    try {
      for (;;) {
        if (status === undefined) {
          const step = this.#quick()
          if (typeof step === 'object') return step
          status = step
        }
        if (status === BLOCKED) {
          const block = this.#found.block!
          if (block.alone) for (const one of blocks.splice(0)) one.release()
          blocks.push(block)
          yield* block.load
          status = undefined
          continue
        }
        if (status === SPREAD && wantsValue(this.#project)) {
          this.#walk.isReading = true
          yield* gather(this.#core, this.#found)
          if (!this.#isWalking()) return end()
          this.#walk.isReading = false
        }
        return this.#give(status)
      }
    } catch (error) {
      if (this.#done && this.#failure === undefined) return end()
      throw this.#fail(error)
    } finally {
      for (const block of blocks) block.release()
    }
  }

  /** The next step when it is in memory, else the engine's answer. */
  #quick(): Step<T> | Status {
    if (!this.#isWalking()) return end()
    const run = this.#run
    if (run !== undefined) {
      if (run.next < run.end) return this.#ofRun(run)
      run.most = this.#remaining - 1
    }
    try {
      const status = this.#walk.cursor.next(this.#found)
      return status === FOUND || status === MISSING ? this.#give(status) : status
    } catch (error) {
      throw this.#fail(error)
    }
  }

  #ofRun(run: Run): Step<T> {
    this.#remaining--
    return { done: false, value: fromRun(this.#core, run) }
  }

  /** Whether neither a signal nor a promised step has to be looked after. */
  #isPlain(): boolean {
    return this.#signal === undefined && this.#running === undefined
  }

  /** Whether promised steps have held the event loop for long enough. */
  #isOver(): boolean {
    this.#slice ??= new Slice(this.#core.environment)
    return this.#slice.over()
  }

  *#pauseThenAdvance(): Routine<Step<T>> {
    yield* this.#core.environment.pause
    return yield* this.advance()
  }

  *#many(count: number): Routine<T[]> {
    const items: T[] = []
    while (items.length < count) {
      if (this.#isOver()) yield* this.#core.environment.pause
      let step = this.#quick()
      if (typeof step !== 'object') step = yield* this.advance(step)
      if (step.done) break
      items.push(step.value)
    }
    return items
  }

  /** What the caller gets after the engine's cursor has answered. */
  #give(status: Status): Step<T> {
    if (status === MISSING) {
      this.close()
      return end()
    }
    this.#remaining--
    return { done: false, value: this.#project(this.#core, this.#found) }
  }

  /** Whether there is more to ask for; throws when the walk has failed or must not go on. */
  #isWalking(): boolean {
    if (this.#failure !== undefined) throw this.#failure.reason
    if (this.#done) return false
    if (this.#signal?.aborted) throw this.#fail(this.#signal.reason)
    if (this.#remaining > 0) return true
    this.close()
    return false
  }

  #fail(reason: unknown): unknown {
    this.#failure ??= { reason }
    this.close()
    return reason
  }

  /** A step at once cannot overtake promised ones. */
  #checkFree(): void {
    if (!this.#done) this.#core.life.checkOpen()
    if (this.#running !== undefined) {
      throw invalid('A promised step of this cursor still runs. Await it before a synchronous one.')
    }
  }

  /** Runs a promised step behind the ones that run already; the first at once, for its entry may lie in `#found`. */
  #queue<R>(start: () => Routine<R>): Promise<R> {
    const result = this.#inTurn(this.#running, start)
    this.#running = result.then(ignore, ignore)
    return result
  }

  async #inTurn<R>(before: Promise<void> | undefined, start: () => Routine<R>): Promise<R> {
    this.#waiting++
    if (before !== undefined) await before
    try {
      return await this.#core.life.run(start)
    } finally {
      if (--this.#waiting === 0) this.#running = undefined
    }
  }
}

/** What `for … of` asks. A class: an object of closures takes longer to make than an entry to read. */
class SyncSteps<T> implements IterableIterator<T, undefined> {
  readonly #cursor: Pick<OrderedCursor<unknown, T>, 'nextSync' | 'close'>

  constructor(cursor: Pick<OrderedCursor<unknown, T>, 'nextSync' | 'close'>) {
    this.#cursor = cursor
  }

  next(): Step<T> {
    return this.#cursor.nextSync()
  }

  return(): Step<T> {
    this.#cursor.close()
    return end()
  }

  [Symbol.iterator](): this {
    return this
  }
}

function end(): IteratorReturnResult<undefined> {
  return { done: true, value: undefined }
}

function ignore(): void {}

function checkCount(count: number): void {
  if (!Number.isSafeInteger(count) || count < 0) {
    throw invalid(`The number of entries must be a whole number from 0, not ${show(count)}.`)
  }
}
