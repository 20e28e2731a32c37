/**
 * What a store tells to who listens to the channels of `node:diagnostics_channel`: plain data that the public API hands on.
 *
 *   kvark:recovery, kvark:checkpoint, kvark:compaction     'start' ─► 'end'       jobs
 *   kvark:failure                                          the store takes no more writes
 *   kvark:slow                                             a call took at least `slowMs`
 *
 * 1. No message has a key or a value.
 * 2. Who listens hears it at once, inside the store: he should take what he needs and return.
 */

import type { KvarkError } from '../errors.ts'

/** What all messages say. */
export interface StoreEvent {
  readonly engine: string
  /** The store's folder; `:memory:` of one in memory. */
  readonly path: string
}

/** A job has begun. */
export interface JobStart extends StoreEvent {
  readonly phase: 'start'
  /** The same in the message of its end, and in no other of this process. */
  readonly job: number
}

/** A job has ended, well or not. */
export interface JobEnd extends StoreEvent {
  readonly phase: 'end'
  readonly job: number
  readonly durationMs: number
  /**
   * Recovery: bytes of the journal that were read. Checkpoint: bytes written, of pages or of the stored index. Compaction: bytes by which the
   * files have become shorter, less than 0 where they have grown.
   */
  readonly bytes: number
  /** Why it was not carried out to its end: a `KvarkError`, `CLOSED` where the store was closed meanwhile, or the reason of an abort. */
  readonly error: unknown
}

/** A job of a store: recovery while it is opened or resumed, a checkpoint, a compaction. */
export type JobEvent = JobStart | JobEnd

/** A write has failed: the store takes no more until it is resumed. `resume` is told as a recovery. */
export interface FailureEvent extends StoreEvent {
  readonly error: KvarkError
}

/** A call that took at least `slowMs`. */
export interface SlowEvent extends StoreEvent {
  /** The verb, such as `get` or `putSync`. */
  readonly operation: string
  /** Name that the table was asked for with; `undefined`: the root, or the store as a whole. */
  readonly table: string | undefined
  /** From the call until it returned, or until its promise was settled. */
  readonly durationMs: number
  /** What it threw or rejected with. */
  readonly error: unknown
}

/**
 * The channels and what is published there.
 *
 * @example
 * import { subscribe } from 'node:diagnostics_channel'
 * subscribe('kvark:compaction', (message) => {
 *   const event = message as Events['kvark:compaction']
 *   if (event.phase === 'end') console.log(`${event.path}: ${event.bytes} bytes less in ${event.durationMs} ms`)
 * })
 */
export interface Events {
  'kvark:recovery': JobEvent
  'kvark:checkpoint': JobEvent
  'kvark:compaction': JobEvent
  'kvark:failure': FailureEvent
  'kvark:slow': SlowEvent
}
