/** Reads parts of long values, whose segment stays meanwhile, whatever compaction does. */

import type { Routine } from '../../environment/routine.ts'
import type { Cache } from '../../storage/cache.ts'
import { readCached } from '../../storage/segment.ts'
import { readSpread } from '../../storage/segment-walk.ts'
import type { LogSegment } from './segments.ts'
import type { LogState } from './state.ts'

/** Bytes of a value, through all windows that they are in: by the cache, or past it where none is given. */
export function* readPart(
  state: LogState,
  segment: LogSegment,
  address: number,
  length: number,
  cache?: Cache,
): Routine<Buffer> {
  state.hold(segment)
  try {
    if (cache !== undefined) return yield* readCached(cache, segment.file, address, length)
    // What is only in memory yet can be walked, too.
    state.journal.seal()
    return yield* readSpread(segment.file, address, length)
  } finally {
    state.letGo(segment)
  }
}
