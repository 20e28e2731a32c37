/**
 * From what the engine found to what the caller gets.
 *
 * 1. Everything needed is read from `found` before a codec runs, for a codec of the user's may call the store again.
 */

import { AS_BYTES, AS_TEXT, type Found, Run, type RunForm, UNWANTED } from '../engine/found.ts'
import type { Routine } from '../environment/routine.ts'
import { KvarkError } from '../errors.ts'
import type { Entry } from './call-types.ts'
import type { Core } from './core.ts'
import type { InternalCodec } from './internal-codec.ts'
import { prefixLength } from './spaces.ts'

/** Text is ASCII all over, and so is the id before keys in it: it is one byte. */
const TEXT_PREFIX = 1

/** Makes the caller's result of an entry. */
export type Projection<K, V, R> = (core: Core<K, V>, found: Found) => R

/** Whether a projection looks at the bytes of the value. */
export function wantsValue<K, V, R>(project: Projection<K, V, R>): boolean {
  const one: unknown = project
  return one !== toKey && one !== toPresence && one !== toVersion
}

/** Brings the bytes of a value that was found `SPREAD`; none of one that is too long to be handed out as a whole. */
export function* gather<K, V>({ engine }: Core<K, V>, found: Found): Routine<void> {
  const length = found.end - found.start
  const limit = engine.limits.batchBytes
  if (length > limit) {
    throw new KvarkError(
      'DECODE',
      `The value has ${length} bytes, and up to ${limit} are read as a whole. Read it with getStream.`,
      { expected: limit, found: length },
    )
  }
  yield* found.gather()
}

/** What is wanted of a run for a projection; `undefined`: it can do nothing with one. */
export function newRun<K, V>(
  { keys, values, copies }: Core<K, V>,
  project: Projection<K, V, unknown>,
): Run | undefined {
  // A codec of the user's may ask the cursor for more.
  if (copies) return undefined
  const wantsKeys = project === toKey || project === toPair
  const wantsValues = project === toValue || project === toPair
  if (!wantsKeys && !wantsValues) return undefined
  return new Run(wantsKeys ? formOf(keys) : UNWANTED, wantsValues ? formOf(values) : UNWANTED)
}

function formOf(codec: InternalCodec<unknown>): RunForm {
  return codec.decodeText === undefined ? AS_BYTES : AS_TEXT
}

/** The result of the next entry of a run that was made for it. */
export function fromRun<K, V, R>({ keys, values }: Core<K, V>, run: Run): R {
  const i = run.next++
  const { keyForm, valueForm } = run
  let key: unknown
  if (keyForm !== UNWANTED) {
    const start = run.keyStarts[i]!
    const end = run.keyStarts[i + 1]!
    key =
      keyForm === AS_TEXT
        ? keys.decodeText!(run.keys, start + TEXT_PREFIX, end)
        : keys.decode(run.keyBytes, start + prefixLength(run.keyBytes, start), end, false)
    if (valueForm === UNWANTED) return key as R
  }
  const start = run.valueStarts[i]!
  const end = run.valueEnds[i]!
  const value =
    valueForm === AS_TEXT
      ? values.decodeText!(run.values, start, end)
      : values.decode(run.valueBytes, start, end, false)
  return (keyForm === UNWANTED ? value : [key, value]) as R
}

export function toKey<K, V>(core: Core<K, V>, found: Found): K {
  if (core.copies) ownBytes(found)
  const start = found.keyStart + prefixLength(found.keyBytes, found.keyStart)
  return core.keys.decode(found.keyBytes, start, found.keyEnd, false)
}

export function toValue<K, V>(core: Core<K, V>, found: Found): V {
  if (core.copies) ownBytes(found)
  return core.values.decode(found.bytes, found.start, found.end, found.ascii)
}

export function toPair<K, V>(core: Core<K, V>, found: Found): [K, V] {
  if (core.copies) ownBytes(found)
  const { keyBytes, keyStart, keyEnd, bytes, start, end, ascii } = found
  return [
    core.keys.decode(keyBytes, keyStart + prefixLength(keyBytes, keyStart), keyEnd, false),
    core.values.decode(bytes, start, end, ascii),
  ]
}

export function toEntry<K, V>(core: Core<K, V>, found: Found): Entry<V> {
  const { sequence, expiry } = found
  return {
    value: toValue(core, found),
    version: sequence,
    expiresAt: expiry === 0 ? undefined : expiry,
  }
}

/** Only that it is there; needs neither key nor value. */
export function toPresence(): true {
  return true
}

/** Only which write made it. */
export function toVersion<K, V>(_core: Core<K, V>, { sequence }: Found): number {
  return sequence
}

/** Points `found` to copies that later calls into the engine leave alone. */
function ownBytes(found: Found): void {
  const { keyBytes, keyStart, keyEnd, bytes, start, end } = found
  found.keyBytes = Buffer.from(keyBytes.subarray(keyStart, keyEnd))
  found.keyStart = 0
  found.keyEnd = keyEnd - keyStart
  found.bytes = Buffer.from(bytes.subarray(start, end))
  found.start = 0
  found.end = end - start
}
