/**
 * A value read in pieces, as a web stream.
 *
 *   getStream ─► is it there? ─► stream ──pull──► look the key up in the view, read one part ──► … ──► end
 *                                  └─ holds a view of the moment, so that every part is of the same value ──► released
 *
 * 1. A part is read when it is asked for, none before: the stream keeps nothing, so what is slow to read costs no memory.
 * 2. What ends the stream releases the view: its end, an error, `cancel`, the end of the store, or, with a warning, the garbage
 *    collector. After the end of the store the next part is `CLOSED`.
 *
 * Left out: a view where the engine has none. There a value that changes meanwhile ends the stream with `CONFLICT`.
 */

import { SPREAD, type Status } from '../engine/engine.ts'
import type { Found } from '../engine/found.ts'
import type { Routine } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import type { Core } from './core.ts'
import type { Lease } from './life.ts'
import { locate } from './lookup.ts'
import type { View } from './view.ts'
import { viewOfNow } from './walk.ts'

/** Longest part. With the blocks that it is cut from it takes about twice this memory while it is read. */
export const PART_BYTES: number = 128 * 1024

/** A stream of the key's value as of `view` or, without one, of now; `undefined` where the key is missing. */
export function* streamValue<K, V>(
  core: Core<K, V>,
  key: Buffer,
  view: View | undefined,
): Routine<ReadableStream<Uint8Array> | undefined> {
  let held = view?.hold()
  try {
    if (core.life.unsettled) yield* core.queue.passed
    held ??= viewOfNow(core)
    const nothing = yield* locate(core, key, held?.at, (found, status) =>
      takePart(found, status, 0, 0),
    )
    if (nothing === undefined) return undefined
    const source = new ValueSource(core, key, held?.hold(), nothing.version)
    const stream = new ReadableStream<Uint8Array>(source, { highWaterMark: 0 })
    core.life.addLease(source.lease, stream)
    return stream
  } finally {
    held?.release()
  }
}

export interface Part {
  readonly bytes: Uint8Array
  /** Of the whole value. */
  readonly length: number
  readonly version: number
}

/** What the stream asks for its parts. Never refers to the stream. */
class ValueSource<K, V> {
  readonly lease: Lease
  readonly #core: Core<K, V>
  readonly #key: Buffer
  readonly #view: View | undefined
  readonly #version: number
  #at = 0

  constructor(core: Core<K, V>, key: Buffer, view: View | undefined, version: number) {
    this.#core = core
    this.#key = key
    this.#view = view
    this.#version = version
    this.lease = { what: 'The stream of a value', release: () => view?.release() }
  }

  async pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    try {
      this.#core.life.checkOpen()
      const { bytes, length } = await this.#core.life.run(() => this.#part())
      this.#at += bytes.length
      if (bytes.length > 0) controller.enqueue(bytes)
      if (this.#at < length) return
      controller.close()
    } catch (error) {
      this.cancel()
      throw error
    }
    this.cancel()
  }

  cancel(): void {
    this.#core.life.endLease(this.lease)
  }

  *#part(): Routine<Part> {
    const at = this.#at
    const view = this.#view?.hold()
    try {
      const part = yield* locate(this.#core, this.#key, view?.at, (found, status) =>
        takePart(found, status, at, PART_BYTES),
      )
      if (part?.version === this.#version) return part
      throw new KvarkError(
        'CONFLICT',
        'The value was overwritten or deleted while it was read. Read it again from the start.',
        { expected: this.#version, found: part?.version ?? 0 },
      )
    } finally {
      view?.release()
    }
  }
}

/** Up to `most` bytes from `at` on. */
export function* takePart(found: Found, status: Status, at: number, most: number): Routine<Part> {
  const { start, end, sequence: version } = found
  const length = end - start
  const wanted = Math.min(most, length - at)
  if (status === SPREAD && wanted > 0) {
    const { buffer, byteOffset } = yield* found.part!(at, wanted)
    return { bytes: new Uint8Array(buffer, byteOffset, wanted), length, version }
  }
  const from = start + at
  return { bytes: new Uint8Array(found.bytes.subarray(from, from + wanted)), length, version }
}
