/**
 * Writes that wait for the disk. Most never come here: the engine has what it needs in memory and writes at once. One
 * that does not is put into this row, and then all later ones go there too, so that the order of calls is kept.
 *
 *   add ──► │ write │ write │ write │ ──► engine.write, strictly from the front
 *             each warms (reads what it needs), the first `WARMING` of them at the same time
 *
 * 1. Writes are carried out in the order of the calls, each once.
 * 2. `drain` carries all of them out at once; synchronous calls do that first, so that they see every earlier write.
 * 3. A write that fails rejects its own promise only.
 */

import {
  BLOCKED,
  DONE,
  type Durability,
  type Engine,
  REFUSED,
  type Status,
} from '../engine/engine.ts'
import type { WriteBatch } from '../engine/write-batch.ts'
import type { Environment } from '../environment/environment.ts'
import { Effect, runAsync, runSync } from '../environment/routine.ts'
import { Slice } from '../environment/slice.ts'
import { KvarkError } from '../errors.ts'

/** So many writes read from the disk at the same time. */
const WARMING = 64
/** After so many writes that waited for nothing, one waits for the event loop to turn. */
const WRITES_A_TURN = 256

/** Batches whose memory is kept for later ones, each at most so large: what every waiting write took anew was most garbage. */
const SPARES = WARMING
const SPARE_BYTES = 8 * 1024
const SPARE_OPERATIONS = 16

/** What a guarded write gives in place of its version when it must not be carried out any more. Nothing was written. */
export const OVERTAKEN = -1

/** Goes with a write that depends on others that may come before it. */
export interface Guard {
  /** Right before it is carried out, in the same step: whether it may be. */
  holds(): boolean
  /** It has been carried out. */
  done(): void
}

/** Hears of what the engine is given, one batch after the other. */
export interface WriteListener {
  /** A batch may be about to change what there is. */
  beforeWrite(): void
  /** The batch, which is valid during the call, has been carried out and is visible: not durable yet. */
  written(batch: WriteBatch): void
}

/** How the warming of a write ended. */
interface Warmth {
  readonly error?: unknown
}

const WARM: Warmth = {}

/** Who hears of every write that has been carried out, before anybody else does anything. */
export interface Recorder {
  /** `durability`: what it is waited for. The batch is the caller's again afterwards. */
  record(batch: WriteBatch, durability: Durability): void
}

interface QueuedWrite {
  readonly batch: WriteBatch
  readonly durability: Durability
  readonly guard: Guard | undefined
  /** Gets the version, once durable. */
  readonly resolve: (version: number | Promise<number>) => void
  readonly reject: (error: unknown) => void
  /** Who waits until it is carried out. */
  readonly passed: (() => void)[]
  /** Resolves when what it needs is in memory; never rejects. */
  warming: Promise<Warmth> | undefined
  gone: boolean
}

export class WriteQueue {
  /** `undefined`: nobody listens. */
  listener: WriteListener | undefined = undefined
  readonly #engine: Engine
  readonly #pause: Effect<void>
  readonly #slice: Slice
  readonly #onChange: (waiting: boolean) => void
  #sinceTurn = 0
  /** Resolves when the event loop has turned; present while writes wait for that. */
  #turn: Promise<void> | undefined
  readonly #writes: QueuedWrite[] = []
  readonly #spares: WriteBatch[] = []
  #pumping = false
  recorder: Recorder | undefined = undefined

  /** `onChange` hears when the queue begins to hold writes, and when it is empty again. */
  constructor(
    engine: Engine,
    environment: Pick<Environment, 'monotonic' | 'pause'>,
    onChange: (waiting: boolean) => void,
  ) {
    this.#engine = engine
    this.#pause = environment.pause
    this.#slice = new Slice(environment)
    this.#onChange = onChange
  }

  /** Writes that wait. */
  get waiting(): number {
    return this.#writes.length
  }

  /** Carries the batch out at once when it can, else when its turn comes. The promise gives its version. */
  write(batch: WriteBatch, durability: Durability, guard?: Guard): Promise<number> {
    if (this.#writes.length === 0) {
      const status = this.#attempt(batch, durability, guard)
      if (status === DONE) return this.#commit(durability)
      if (status === REFUSED) return Promise.reject(conflict(batch))
      if (status === OVERTAKEN) return Promise.resolve(OVERTAKEN)
    }
    return this.#add(batch.detach(this.#spares.pop()), durability, guard)
  }

  /** Carries the batch out before it returns, or throws; the promise gives its version once durable. */
  writeAtOnce(batch: WriteBatch, durability: Durability, guard?: Guard): Promise<number> {
    const version = this.writeSync(batch, durability, guard)
    return version === OVERTAKEN ? Promise.resolve(version) : this.#commit(durability)
  }

  /** Carries the batch out before it returns; to wait for `durability` is the caller's. */
  writeSync(batch: WriteBatch, durability: Durability, guard?: Guard): number {
    this.drain()
    return this.#writeNow(batch, durability, guard)
  }

  /** Carries out everything that waits. */
  drain(): void {
    for (let write = this.#writes[0]; write !== undefined; write = this.#writes[0]) {
      this.#carryOut(write, () => this.#writeNow(write.batch, write.durability, write.guard))
    }
  }

  /** Ends when all writes that wait now have been carried out. */
  readonly passed: Effect<void> = new Effect(
    () => this.drain(),
    () => {
      const last = this.#writes.at(-1)
      if (last === undefined) return Promise.resolve()
      return new Promise((resolve) => last.passed.push(resolve))
    },
  )

  #commit(durability: Durability): Promise<number> {
    const version = this.#engine.sequence
    // Neither `none` nor `os` waits for the event loop. Callers who await one write after the other would keep it from
    // turning, and background work with it: so after some time, or some writes, all wait until it has turned.
    const enough = this.#slice.over() || ++this.#sinceTurn === WRITES_A_TURN
    if (enough && this.#turn === undefined) {
      this.#turn = this.#pause.async().then(() => {
        this.#turn = undefined
        this.#sinceTurn = 0
      })
    }
    const turn = this.#turn
    if (durability === 'none') return turn ? turn.then(() => version) : Promise.resolve(version)
    const committed = this.#engine.commit(durability).async()
    return committed.then(() => (turn ? turn.then(() => version) : version))
  }

  /** Nothing to write is done at once. */
  #attempt(
    batch: WriteBatch,
    durability: Durability,
    guard: Guard | undefined,
  ): Status | typeof OVERTAKEN {
    if (guard !== undefined && !guard.holds()) return OVERTAKEN
    if (batch.count === 0) return DONE
    const engine = this.#engine
    const { recorder } = this
    if (this.listener === undefined && guard === undefined && recorder === undefined) {
      return engine.write(batch)
    }
    this.listener?.beforeWrite()
    const before = engine.sequence
    const status = engine.write(batch)
    if (status !== DONE) return status
    guard?.done()
    if (engine.sequence !== before) this.listener?.written(batch)
    recorder?.record(batch, durability)
    return DONE
  }

  #writeNow(batch: WriteBatch, durability: Durability, guard: Guard | undefined): number {
    let status = this.#attempt(batch, durability, guard)
    while (status !== DONE) {
      if (status === OVERTAKEN) return OVERTAKEN
      if (status === REFUSED) throw conflict(batch)
      runSync(this.#engine.warm(batch))
      status = this.#attempt(batch, durability, guard)
    }
    return this.#engine.sequence
  }

  #add(batch: WriteBatch, durability: Durability, guard: Guard | undefined): Promise<number> {
    return new Promise((resolve, reject) => {
      const passed: (() => void)[] = []
      this.#writes.push({
        batch,
        durability,
        guard,
        resolve,
        reject,
        passed,
        warming: undefined,
        gone: false,
      })
      if (this.#writes.length <= WARMING) void this.#warm(this.#writes.at(-1)!)
      if (this.#writes.length === 1) this.#onChange(true)
      if (!this.#pumping) void this.#pump()
    })
  }

  /** Waits for the first write's warming, carries it out, and so on until none is left. */
  async #pump(): Promise<void> {
    this.#pumping = true
    for (let write = this.#writes[0]; write !== undefined; write = this.#writes[0]) {
      const warmth = await (write.warming ?? this.#warm(write))
      // A synchronous call may have carried it out in the meantime.
      if (write.gone) continue
      if ('error' in warmth) {
        this.#carryOut(write, () => {
          throw warmth.error
        })
      } else {
        this.#carryOutWarm(write)
      }
    }
    this.#pumping = false
  }

  /** Leaves the write where it is when it is still blocked: then it is warmed again. */
  #carryOutWarm(write: QueuedWrite): void {
    let status: Status | typeof OVERTAKEN
    try {
      status = this.#attempt(write.batch, write.durability, write.guard)
    } catch (error) {
      this.#carryOut(write, () => {
        throw error
      })
      return
    }
    if (status === BLOCKED) {
      write.warming = undefined
      return
    }
    this.#carryOut(write, () => {
      if (status === REFUSED) throw conflict(write.batch)
      return status === OVERTAKEN ? OVERTAKEN : this.#engine.sequence
    })
    this.#keep(write.batch)
  }

  /** Of a write whose warming has ended: nobody looks at its batch any more. */
  #keep(batch: WriteBatch): void {
    if (this.#spares.length === SPARES) return
    if (batch.bytes.length > SPARE_BYTES || batch.kind.length > SPARE_OPERATIONS) return
    batch.clear()
    this.#spares.push(batch)
  }

  /** Takes the first write out of the row and settles its promise by what `act` does. */
  #carryOut(write: QueuedWrite, act: () => number): void {
    this.#writes.shift()
    write.gone = true
    try {
      const version = act()
      write.resolve(version === OVERTAKEN ? version : this.#commit(write.durability))
    } catch (error) {
      write.reject(error)
    }
    const next = this.#writes[WARMING - 1]
    if (next !== undefined && next.warming === undefined) void this.#warm(next)
    if (this.#writes.length === 0) this.#onChange(false)
    for (const callback of write.passed) callback()
  }

  #warm(write: QueuedWrite): Promise<Warmth> {
    write.warming = runAsync(this.#engine.warm(write.batch)).then(
      () => WARM,
      (error: unknown) => ({ error }),
    )
    return write.warming
  }
}

function conflict(batch: WriteBatch): KvarkError {
  if (batch.load !== undefined) {
    return new KvarkError(
      'CONFLICT',
      'The store has entries between the first key and the last, or with one of them. Nothing was loaded: ' +
        'clear that range first, or write the entries with batch().',
    )
  }
  const { before } = batch
  const which =
    batch.count === before + 1
      ? 'The key'
      : `The key of operation ${batch.conflict - before} of the batch`
  return conditionFailed(which, batch.expected[batch.conflict]!, batch.conflictVersion)
}

/** `CONFLICT`: a key has another version than it was to have; 0: absent. */
export function conditionFailed(which: string, expected: number, found: number): KvarkError {
  const state = found === 0 ? 'is absent' : `has version ${found}`
  const wanted = expected === 0 ? 'it was to be absent' : `it was to have version ${expected}`
  return new KvarkError(
    'CONFLICT',
    `${which} ${state}, but ${wanted}. Nothing was written: read the key again and decide anew.`,
    { expected, found },
  )
}
