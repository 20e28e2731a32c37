/** The B+ tree engine as the store sees it before one is open: name, limits, options, jobs. */

import type { EngineModule } from '../../engine/engine.ts'
import { TreeEngine } from './engine.ts'
import { isPageSize } from './format.ts'
import { decodeLoaded } from './graft.ts'
import { LIMITS, SUPPORTS } from './limits.ts'
import { salvage } from './salvage.ts'
import { identify } from './salvage-file.ts'

const KIB = 1024

export const btree: EngineModule = {
  name: 'btree',
  supports: SUPPORTS,
  limits: LIMITS,
  options: {
    pageBytes: {
      check: isPageSize,
      expected: '4096, 8192, 16384, 32768 or 65536',
      pinned: true,
      live: false,
      default: 16 * KIB,
    },
    checkpointBytes: {
      check: (value) => Number.isSafeInteger(value) && (value as number) >= 0,
      expected: 'a whole number of bytes, 0 or more',
      pinned: false,
      live: true,
      default: 32 * KIB * KIB,
    },
  },
  files: /^(?:TREE|\d+\.log)$/,
  lastLoaded: (value) => decodeLoaded(value, 'the journal').last,
  jobs: {},
  open: (context) => TreeEngine.open(context),
  salvage,
  identify,
}
