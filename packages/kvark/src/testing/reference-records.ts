/**
 * What the reference engine is made of: immutable records in key order, views of them, and how an answer is handed out.
 */

import { type EngineSnapshot, FOUND, SPREAD, type Status } from '../engine/engine.ts'
import type { Block, Found } from '../engine/found.ts'
import type { Environment } from '../environment/environment.ts'
import { effect, type Routine } from '../environment/routine.ts'

/** Longer values have to be gathered. */
const SPREAD_BYTES = 2000

export interface Record {
  readonly key: Buffer
  readonly value: Buffer
  readonly sequence: number
  /** Ms since 1970; 0: never. */
  readonly expiry: number
}

/** The records at one moment; the array never changes. */
export interface View extends EngineSnapshot {
  readonly records: readonly Record[]
  /** On the monotonic clock. */
  readonly takenAt: number
}

/** The place of the first record whose key is not below `key`. */
export function lowerBound(records: readonly Record[], key: Uint8Array): number {
  let low = 0
  let high = records.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (Buffer.compare(records[middle]!.key, key) < 0) low = middle + 1
    else high = middle
  }
  return low
}

export function isExpired(record: Record, clock: number): boolean {
  return record.expiry !== 0 && record.expiry <= clock
}

export function sizeOf(records: readonly Record[]): number {
  return records.reduce((sum, { key, value }) => sum + key.length + value.length, 0)
}

/** Answers with a record: at once, or by gathering. */
export function answer(found: Found, record: Record, environment: Environment): Status {
  found.sequence = record.sequence
  found.expiry = record.expiry
  found.ascii = false
  if (record.value.length <= SPREAD_BYTES) {
    setValue(found, record.value)
    return FOUND
  }
  const { value } = record
  found.start = 0
  found.end = value.length
  found.part = function* (from, length): Routine<Buffer> {
    yield* environment.pause
    // Not from Node's pool: parts of it go to the user.
    const part = Buffer.allocUnsafeSlow(length)
    value.copy(part, 0, from, from + length)
    return part
  }
  return SPREAD
}

function setValue(found: Found, value: Buffer): void {
  found.bytes = value
  found.start = 0
  found.end = value.length
}

/** A block whose loading is a moment's pause. */
export function pausingBlock(
  environment: Environment,
  loaded: () => void,
  release: () => void,
): Block {
  return {
    load: effect(function* (): Routine<void> {
      yield* environment.pause
      loaded()
    }),
    release,
  }
}
