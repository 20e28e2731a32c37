/**
 * From the options of a scan, or of `clear`, to the internal keys that an engine walks, or removes.
 *
 *   space 0:   [0]              [0]·gte   [0]·gt·[0]        [0]·lt   [0]·lte·[0]              [1]
 *              ├── all keys ────┼─────────┼── … ────────────┼────────┼── … ───────────────────┤
 *              from (inclusive)                                             to (exclusive)
 *
 * 1. The least key above `k` is `k` with a zero byte behind it.
 * 2. The bounds of a prefix and of `gt … lte` are both kept: the later start, the earlier end.
 */

import { checkNames, checkObject, invalid, show, unsupported } from './arguments.ts'
import type { ClearOptions, KeyRange, RangeOptions } from './call-types.ts'
import type { Core } from './core.ts'
import { NO_SPACE, startOf } from './spaces.ts'

const SCAN_NAMES = ['limit', 'signal', 'token'] as const
const RANGE_NAMES = ['gt', 'gte', 'lt', 'lte', 'prefix'] as const
const ORDER_NAMES: readonly string[] = [...RANGE_NAMES, 'reverse']
const ALL_NAMES: readonly string[] = [...SCAN_NAMES, ...ORDER_NAMES]
const CLEAR_NAMES: readonly string[] = ['durability', ...RANGE_NAMES]

/** Keys from `from` up to `to`, which is not one of them. */
export interface Bounds {
  readonly from: Buffer
  readonly to: Buffer
}

/** A scan with its options checked and its bounds encoded. */
export interface Scan extends Bounds {
  readonly reverse: boolean
  readonly token: Uint8Array | undefined
  readonly limit: number
  readonly signal: AbortSignal | undefined
}

export function planScan<K, V>(core: Core<K, V>, options: RangeOptions<K> | undefined): Scan {
  if (options === undefined) {
    const { from, to } = core
    const limit = Number.POSITIVE_INFINITY
    return { from, to, reverse: false, limit, signal: undefined, token: undefined }
  }
  checkObject(options, 'The options of a scan')
  checkOrder(core, options)
  checkNames(options, ALL_NAMES, 'A scan')
  const { limit = Number.POSITIVE_INFINITY, signal, token, reverse = false } = options
  if (limit !== Number.POSITIVE_INFINITY && !(Number.isSafeInteger(limit) && limit >= 0)) {
    throw invalid(`The option 'limit' must be a whole number from 0, not ${show(limit)}.`)
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw invalid(`The option 'signal' must be an AbortSignal, not ${show(signal)}.`)
  }
  if (token !== undefined && !(token instanceof Uint8Array)) {
    throw invalid(`The option 'token' must be the bytes of a cursor's token, not ${show(token)}.`)
  }
  if (typeof reverse !== 'boolean') {
    throw invalid(`The option 'reverse' must be true or false, not ${show(reverse)}.`)
  }
  const own = token === undefined ? undefined : ownToken(core, token)
  // Not spread: that would take longer than all the rest.
  const { from, to } = bounds(core, options)
  return { from, to, reverse, limit, signal, token: own }
}

/**
 * The token of a cursor: that of the engine's, behind the number of the table, where it is not the root. So a token of one table is
 * refused by the others, whatever the engine makes of it. Of a table that is not there it is the number alone.
 */
export function tokenOf<K, V>({ number }: Core<K, V>, token: Uint8Array): Uint8Array {
  if (number === NO_SPACE) return new Uint8Array(startOf(NO_SPACE))
  return number === 0 ? token : new Uint8Array(Buffer.concat([startOf(number), token]))
}

/** The engine's token. A walk of a table that was not there has given nothing: one that goes on begins at the start. */
function ownToken<K, V>({ number }: Core<K, V>, token: Uint8Array): Uint8Array | undefined {
  if (number === 0) return token
  if (startOf(NO_SPACE).equals(token)) return undefined
  const prefix = startOf(number)
  if (prefix.equals(token.subarray(0, prefix.length))) return token.subarray(prefix.length)
  throw invalid('This token was not made by a cursor of this table. Begin without one.')
}

/** What `clear` is to remove; its other options are the caller's to check. */
export function planClear<K, V>(core: Core<K, V>, options: ClearOptions<K> | undefined): Bounds {
  if (options === undefined) return { from: core.from, to: core.to }
  checkObject(options, 'The options of a write')
  checkOrder(core, options)
  checkNames(options, CLEAR_NAMES, 'A clear')
  return bounds(core, options)
}

/** On an engine without order the options of a range are `UNSUPPORTED`, which says more than unknown. */
function checkOrder<K, V>(core: Core<K, V>, options: object): void {
  if (core.engine.supports.order) return
  for (const name of ORDER_NAMES) {
    if ((options as Record<string, unknown>)[name] !== undefined) {
      throw unsupported(core.engine.name, `ranges (option '${name}')`, 'order', core.modules)
    }
  }
}

export function bounds<K, V>(core: Core<K, V>, options: KeyRange<K>): Bounds {
  const { gt, gte, lt, lte, prefix } = options
  if (gt !== undefined && gte !== undefined) throw invalid("Give 'gt' or 'gte', not both.")
  if (lt !== undefined && lte !== undefined) throw invalid("Give 'lt' or 'lte', not both.")
  let { from, to } = core
  if (prefix !== undefined) [from, to] = prefixBounds(core, prefix)
  if (gte !== undefined) from = later(from, bound(core, gte, 0))
  if (gt !== undefined) from = later(from, bound(core, gt, 1))
  if (lt !== undefined) to = earlier(to, bound(core, lt, 0))
  if (lte !== undefined) to = earlier(to, bound(core, lte, 1))
  // An empty range has one form only.
  return { from, to: later(from, to) }
}

/** The internal key, with `zeros` zero bytes behind it. */
function bound<K, V>(core: Core<K, V>, key: K, zeros: number): Buffer {
  const length = core.encodeKey(key)
  const bytes = Buffer.allocUnsafe(length + zeros).fill(0, length)
  core.key.bytes.copy(bytes, 0, 0, length)
  return bytes
}

function prefixBounds<K, V>(core: Core<K, V>, prefix: K): [Buffer, Buffer] {
  if (core.keys.prefixRange === undefined) {
    const from = bound(core, prefix, 0)
    return [from, successor(from, core.from.length)]
  }
  const [from, to] = core.keys.prefixRange(prefix)
  return [
    Buffer.concat([core.from, from]),
    to.length === 0 ? core.to : Buffer.concat([core.from, to]),
  ]
}

/** The least bytes above all that begin with `bytes`. There are some, for the first `idBytes` do not end with 255. */
function successor(bytes: Buffer, idBytes: number): Buffer {
  let end = bytes.length
  while (end > idBytes && bytes[end - 1] === 0xff) end--
  const next = Buffer.from(bytes.subarray(0, end))
  next[end - 1]! += 1
  return next
}

function later(a: Buffer, b: Buffer): Buffer {
  return a.compare(b) < 0 ? b : a
}

function earlier(a: Buffer, b: Buffer): Buffer {
  return a.compare(b) < 0 ? a : b
}
