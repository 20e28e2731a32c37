/**
 * How the reference engine writes: a batch changes the sorted array one operation after the other.
 */

import { DELETE_RANGE, PUT, UNCONDITIONAL, type WriteBatch } from '../engine/write-batch.ts'
import type { ReferenceLoad } from './reference-load.ts'
import { isExpired, lowerBound, type Record } from './reference-records.ts'
import type { ReferenceSpool } from './reference-spool.ts'

/** Whether all conditions of the batch hold now; else the batch says which one does not. */
export function conditionsHold(
  records: readonly Record[],
  batch: WriteBatch,
  clock: number,
): boolean {
  if (batch.load) {
    const from = lowerBound(records, keyIn(batch, 0))
    const last = valueIn(batch, 0)
    return !records
      .slice(from)
      .some((one) => Buffer.compare(one.key, last) <= 0 && !isExpired(one, clock))
  }
  for (let i = 0; i < batch.count; i++) {
    if (batch.expected[i] === UNCONDITIONAL) continue
    const key = keyIn(batch, i)
    const record = records[lowerBound(records, key)]
    const version = record?.key.equals(key) && !isExpired(record, clock) ? record.sequence : 0
    if (version === batch.expected[i]) continue
    batch.conflict = i
    batch.conflictVersion = version
    return false
  }
  return true
}

/** Carries operation `i` out as the write `sequence`; `false` when there is nothing to write. */
export function applyOperation(
  records: Record[],
  batch: WriteBatch,
  i: number,
  sequence: number,
  clock: number,
): boolean {
  const key = keyIn(batch, i)
  const value = valueIn(batch, i)
  const from = lowerBound(records, key)
  if (batch.load) {
    const { all, expiry } = batch.load as ReferenceLoad
    const loaded = all.map((one) => ({ ...one, sequence, expiry }))
    const to = records.findIndex((one, at) => at >= from && Buffer.compare(one.key, value) > 0)
    records.splice(from, (to < 0 ? records.length : to) - from, ...loaded)
    return true
  }
  if (batch.kind[i] === DELETE_RANGE) {
    const to = value.length === 0 ? records.length : lowerBound(records, value)
    return to > from && records.splice(from, to - from).length > 0
  }
  const next = records[from]
  const old = next?.key.equals(key) ? next : undefined
  if (batch.kind[i] === PUT) {
    records.splice(from, old === undefined ? 0 : 1, {
      key,
      value,
      sequence,
      expiry: batch.expiry[i]!,
    })
    return true
  }
  if (old === undefined) return false
  records.splice(from, 1)
  // An expired entry is gone already; dropping it is no write.
  return !isExpired(old, clock)
}

function keyIn(batch: WriteBatch, i: number): Buffer {
  const start = batch.keyStart[i]!
  return Buffer.from(batch.bytes.subarray(start, start + batch.keyLength[i]!))
}

function valueIn(batch: WriteBatch, i: number): Buffer {
  if (batch.spool) return Buffer.from((batch.spool as ReferenceSpool).bytes)
  const start = batch.valueStart[i]!
  return Buffer.from(batch.source(i).subarray(start, start + batch.valueLength[i]!))
}
