/**
 * Which entries `scan`, `count` and `export` walk. Ranges need an engine with order; on another one the store itself
 * refuses them and names the engines that have it.
 */

import type { KeyRange, RangeOptions } from '../../index.ts'
import type { Key } from '../notation.ts'
import type { Place } from '../session.ts'
import type { TableArgument } from './write-options.ts'

export interface BoundArguments {
  readonly prefix?: string
  readonly gt?: string
  readonly gte?: string
  readonly lt?: string
  readonly lte?: string
}

export interface RangeArguments extends TableArgument, BoundArguments {
  readonly limit?: number
  readonly reverse?: boolean
}

const BOUNDS = ['prefix', 'gt', 'gte', 'lt', 'lte'] as const

/** The keys at its ends. */
export function boundsOf(place: Place, range: BoundArguments): KeyRange<Key> {
  const bounds: Partial<Record<(typeof BOUNDS)[number], Key>> = {}
  for (const bound of BOUNDS) {
    const text = range[bound]
    if (text !== undefined) bounds[bound] = place.keys.parse(text)
  }
  return bounds
}

export function rangeOf(place: Place, range: RangeArguments): RangeOptions<Key> {
  return {
    ...boundsOf(place, range),
    ...(range.limit !== undefined && { limit: range.limit }),
    ...(range.reverse !== undefined && { reverse: range.reverse }),
    signal: place.context.io.signal,
  }
}
