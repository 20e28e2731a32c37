/**
 * From what the engine found to what the caller gets.
 *
 * 1. Everything needed is read from `found` before a codec runs, for a codec of the user's may call the store again.
 */

import type { Found } from '../engine/found.ts'
import type { Core } from './core.ts'
import { PREFIX_BYTES } from './key-buffer.ts'
import type { Entry } from './types.ts'

/** Makes the caller's result of an entry. */
export type Projection<K, V, R> = (core: Core<K, V>, found: Found) => R

export function toKey<K, V>(core: Core<K, V>, found: Found): K {
  if (core.copies) ownBytes(found)
  return core.keys.decode(found.keyBytes, found.keyStart + PREFIX_BYTES, found.keyEnd, false)
}

export function toValue<K, V>(core: Core<K, V>, found: Found): V {
  if (core.copies) ownBytes(found)
  return core.values.decode(found.bytes, found.start, found.end, found.ascii)
}

export function toPair<K, V>(core: Core<K, V>, found: Found): [K, V] {
  if (core.copies) ownBytes(found)
  const { keyBytes, keyStart, keyEnd, bytes, start, end, ascii } = found
  return [
    core.keys.decode(keyBytes, keyStart + PREFIX_BYTES, keyEnd, false),
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
