/** The log engine as the store sees it before one is open: name, limits, options, jobs. */

import type { EngineModule } from '../../engine/engine.ts'
import { LogEngine } from './engine.ts'
import { type RewriteArguments, rewrite } from './jobs.ts'
import { LIMITS, SUPPORTS } from './limits.ts'
import { salvage } from './salvage.ts'
import { identify } from './salvage-files.ts'

const MIB = 1024 * 1024

/** Smallest segment, bytes. */
const MIN_SEGMENT_BYTES: number = 32 * 1024
/** Largest segment that is planned, bytes: what one address slot holds. */
const MAX_SEGMENT_BYTES: number = 64 * MIB

export const log: EngineModule = {
  name: 'log',
  supports: SUPPORTS,
  limits: LIMITS,
  options: {
    compactionThresholdBytes: {
      check: (value) => Number.isSafeInteger(value) && (value as number) >= 0,
      expected: 'a whole number of bytes, 0 or more',
      pinned: false,
      live: true,
      default: MIB,
    },
    segmentBytes: {
      check: (value) =>
        Number.isSafeInteger(value) &&
        (value as number) >= MIN_SEGMENT_BYTES &&
        (value as number) <= MAX_SEGMENT_BYTES,
      expected: `a whole number of bytes from ${MIN_SEGMENT_BYTES} to ${MAX_SEGMENT_BYTES}`,
      pinned: false,
      live: true,
      default: MAX_SEGMENT_BYTES,
    },
  },
  files: /^(?:MANIFEST|\d+\.(?:log|packed|index))$/,
  jobs: {
    rewrite: (environment, args: RewriteArguments) => rewrite(environment, args),
  },
  open: (context) => LogEngine.open(context),
  salvage: (context) => salvage(context),
  identify: (environment, folder) => identify(environment, folder),
}
