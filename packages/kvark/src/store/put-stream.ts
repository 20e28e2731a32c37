/**
 * A value that comes in pieces, written as one.
 *
 *   source ─► pieces ─┬─ all of it short ─► batch ─────────────────────────┬─► queue.write ─► durable ─► version
 *                     └─ more ─► spool of the engine ─► finish ─► batch ───┘
 *                                kept aside, on disk
 *
 * 1. Other writes go on while the source is waited for: its place in their order is where the value was complete.
 * 2. Whatever goes wrong before that leaves nothing, and the source is closed.
 * 3. Memory: `SPOOL_BYTES` at most, besides the source's own.
 */

import { SPOOL_BYTES, type Spool } from '../engine/spool.ts'
import { WriteBatch } from '../engine/write-batch.ts'
import { type Routine, runAsync } from '../environment/routine.ts'
import { Slice } from '../environment/slice.ts'
import type { ByteSource, PutOptions } from './call-types.ts'
import { Chunks } from './chunks.ts'
import type { Core } from './core.ts'
import { expiryOf } from './expiry.ts'
import type { Life } from './life.ts'
import { addKeyToPut, checkPutOptions, checkValueLength, expectedVersion } from './writes.ts'

/** Compressed, encrypted and written in one step of the event loop. */
const STEP_BYTES = 128 * 1024
const FIRST_BYTES = 64 * 1024

/** Stores what `source` gives under `key`; the promise gives the write's version. */
export async function putStream<K, V>(
  life: Life,
  table: () => Core<K, V>,
  key: K,
  source: ByteSource,
  options: PutOptions | undefined,
): Promise<number> {
  const { tables, queue } = life
  const chunks = new Chunks(source, life.jobSignal(undefined))
  const batch = new WriteBatch(1)
  let intake: Intake<K, V> | undefined
  try {
    life.checkOpen()
    life.checkWritable()
    checkPutOptions(options)
    const core = table()
    addKeyToPut(core, batch, key, expectedVersion(options), expiryOf(core, options))
    // A spooled value is the only operation of its batch, so the table is made before.
    if (core.unmade !== undefined) tables.make(core.unmade)
    const taking = new Intake(core, batch)
    intake = taking
    await life.run(() => taking.run(chunks))
    life.checkOpen()
    tables.check(batch)
    return await queue.write(batch, options?.durability ?? life.durability)
  } finally {
    await intake?.end()
    await chunks.close()
  }
}

/** Takes the pieces in, and sets the value of the batch's one put. */
class Intake<K, V> {
  readonly #core: Core<K, V>
  readonly #batch: WriteBatch
  readonly #slice: Slice
  /** The value as long as it is short. */
  #start: Buffer = Buffer.alloc(0)
  #length = 0
  #spool: Spool | undefined
  #sincePause = 0

  constructor(core: Core<K, V>, batch: WriteBatch) {
    this.#core = core
    this.#batch = batch
    this.#slice = new Slice(core.environment)
  }

  /** After an error nothing is left, as after `end`. */
  *run(chunks: Chunks): Routine<void> {
    try {
      yield* this.#takeIn(chunks)
    } catch (error) {
      yield* this.#discard()
      throw error
    }
  }

  *#takeIn(chunks: Chunks): Routine<void> {
    for (;;) {
      const chunk = yield* chunks.next
      if (chunk === undefined) break
      checkValueLength(this.#core, this.#length + chunk.length)
      if (this.#length + chunk.length < SPOOL_BYTES) this.#keep(chunk)
      else yield* this.#spoolUp(chunk)
      this.#length += chunk.length
      if (this.#slice.over()) yield* this.#pause()
    }
    const spool = this.#spool
    if (spool === undefined) this.#batch.setValue(0, this.#start.subarray(0, this.#length))
    else {
      yield* spool.finish()
      this.#batch.setSpool(0, spool)
    }
  }

  /** Nothing stays behind of a value that was not put. */
  async end(): Promise<void> {
    await runAsync(this.#discard())
  }

  *#discard(): Routine<void> {
    if (this.#spool !== undefined) yield* this.#spool.discard()
  }

  /** Copied, for the source may use its memory again. */
  #keep(chunk: Uint8Array): void {
    const needed = this.#length + chunk.length
    if (needed > this.#start.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, this.#start.length * 2, needed))
      this.#start.copy(larger, 0, 0, this.#length)
      this.#start = larger
    }
    this.#start.set(chunk, this.#length)
  }

  *#spoolUp(chunk: Uint8Array): Routine<void> {
    if (this.#spool === undefined) {
      const { bytes, keyStart, keyLength } = this.#batch
      const start = keyStart[0]!
      const key = bytes.subarray(start, start + keyLength[0]!)
      const { engine } = this.#core
      if (engine.spoolRoom !== undefined) yield* engine.spoolRoom
      this.#spool = engine.spool(key, key.length, this.#batch.expiry[0]!)
      yield* this.#append(this.#start.subarray(0, this.#length))
      this.#start = Buffer.alloc(0)
    }
    yield* this.#append(chunk)
  }

  *#append(bytes: Uint8Array): Routine<void> {
    for (let from = 0; from < bytes.length; ) {
      const to = Math.min(bytes.length, from + STEP_BYTES - this.#sincePause)
      yield* this.#spool!.append(bytes, from, to)
      this.#sincePause += to - from
      from = to
      if (this.#sincePause === STEP_BYTES) yield* this.#pause()
    }
  }

  *#pause(): Routine<void> {
    this.#sincePause = 0
    yield* this.#core.environment.pause
  }
}
