/**
 * Another expiry for an entry that is there: it is written anew with the bytes that it has.
 *
 *   find ─► value's bytes, as they are stored ─► put, if the key still has this version ─► version
 *    ▲                                             └─ CONFLICT: somebody wrote meanwhile ──┐
 *    └─────────────────────────────────────────────────────────────────────────────────────┘
 *
 * 1. The value passes through no codec.
 * 2. Where the entry is in memory it is written before the call returns, as by `put`.
 * 3. A value too long for a batch goes the way of `putStream`.
 */

import { SPREAD, type Status } from '../engine/engine.ts'
import type { Found } from '../engine/found.ts'
import { PUT, WriteBatch } from '../engine/write-batch.ts'
import { Effect, type Routine, runSync } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import type { Durability } from '../storage/durability.ts'
import { checkDurability, checkNames, checkObject } from './arguments.ts'
import type { TouchOptions } from './call-types.ts'
import type { Core } from './core.ts'
import { expiryOf } from './expiry.ts'
import { locate } from './lookup.ts'
import { gather } from './project.ts'
import { putStream } from './put-stream.ts'
import { streamValue } from './value-stream.ts'

const TOUCH_NAMES: readonly string[] = ['durability', 'ttl', 'expiresAt']

/** The promise gives the entry's new version; `undefined` where the key is missing. */
export async function touch<K, V>(
  core: Core<K, V>,
  key: K,
  options: TouchOptions | undefined,
): Promise<number | undefined> {
  const touching = new Touching(core, key, options)
  for (;;) {
    const version = await core.life.run(() => touching.run())
    if (version !== TOO_LONG) return version
    const streamed = await touching.stream(key)
    if (streamed !== undefined) return streamed
  }
}

export function touchSync<K, V>(
  core: Core<K, V>,
  key: K,
  options: TouchOptions | undefined,
): number | undefined {
  core.life.settle()
  const version = runSync(new Touching(core, key, options).run())
  if (version !== TOO_LONG) return version
  const limit = core.engine.limits.batchBytes
  throw new KvarkError(
    'INVALID_VALUE',
    `The value has more than ${limit} bytes, and up to these are written at once. Use touch.`,
    { expected: limit },
  )
}

const TOO_LONG = -1

class Touching<K, V> {
  readonly #core: Core<K, V>
  readonly #key: Buffer
  readonly #expiry: number
  readonly #durability: Durability
  /** The version of a value that was too long. */
  #long = 0

  constructor(core: Core<K, V>, key: K, options: TouchOptions | undefined) {
    core.life.checkWritable()
    if (options !== undefined) {
      checkObject(options, 'The options of touch')
      checkNames(options, TOUCH_NAMES, 'touch')
      if (options.durability !== undefined) checkDurability(options.durability)
    }
    this.#core = core
    this.#expiry = expiryOf(core, options)
    this.#durability = options?.durability ?? core.life.durability
    const length = core.encodeKey(key)
    this.#key = Buffer.from(core.key.bytes.subarray(0, length))
    if (this.#expiry !== 0) core.life.expiry.begin()
  }

  /** The new version, `undefined`, or `TOO_LONG`. */
  *run(): Routine<number | undefined> {
    const core = this.#core
    if (core.life.unsettled) yield* core.queue.passed
    for (;;) {
      const batch = new WriteBatch(1)
      const found = yield* locate(core, this.#key, undefined, (one, status) =>
        this.#take(batch, one, status),
      )
      // Of a table that was cleared or dropped meanwhile what is left is on its way out.
      if (!core.life.tables.catalogue.hasSpace(core.space)) return undefined
      if (found === undefined || found === TOO_LONG) return found
      try {
        return yield* this.#write(batch)
      } catch (error) {
        if (!isConflict(error)) throw error
      }
    }
  }

  /** The same of the value that was too long for a batch; `undefined` where it is another one by now. */
  async stream(key: K): Promise<number | undefined> {
    const core = this.#core
    const source = await core.life.run(() => streamValue(core, this.#key, undefined))
    if (source === undefined) return undefined
    const expiry = this.#expiry === 0 ? {} : { expiresAt: this.#expiry }
    try {
      const options = { ifVersion: this.#long, durability: this.#durability, ...expiry }
      return await putStream(core.life, () => core, key, source, options)
    } catch (error) {
      if (isConflict(error)) return undefined
      throw error
    }
  }

  /** The entry as the batch's one put; returns its version. */
  *#take(batch: WriteBatch, found: Found, status: Status): Routine<number> {
    const core = this.#core
    const version = found.sequence
    if (found.end - found.start > core.engine.limits.batchBytes) {
      this.#long = version
      return TOO_LONG
    }
    const { ascii } = found
    if (status === SPREAD) yield* gather(core, found)
    const i = batch.add(PUT, version, this.#expiry)
    const at = batch.reserve(this.#key.length)
    batch.bytes.set(this.#key, at)
    batch.keyWritten(i, this.#key.length)
    // A copy: what was found is the engine's memory.
    batch.setValue(i, Buffer.from(found.bytes.subarray(found.start, found.end)))
    if (ascii) batch.ascii[i] = 1
    return version
  }

  #write(batch: WriteBatch): Effect<number> {
    const { queue, engine } = this.#core
    const durability = this.#durability
    return new Effect(
      () => {
        const version = queue.writeSync(batch, durability)
        if (durability !== 'none') engine.commit(durability).sync()
        return version
      },
      () => queue.write(batch, durability),
    )
  }
}

function isConflict(error: unknown): boolean {
  return error instanceof KvarkError && error.code === 'CONFLICT'
}
