/**
 * The engines under crash tests, with options that make much happen in little data. An engine joins by one line here and
 * a test file of its own that calls the suites.
 */

import { engines } from '../../engines.ts'
import type { Environment } from '../../environment/environment.ts'
import type { Effect } from '../../environment/routine.ts'
import { openWith } from '../../store/opening.ts'
import type { KvarkStore } from '../../store/store.ts'

export interface CrashSubject {
  readonly name: string
  /** The engine's name. */
  readonly engine: string
  readonly options: Readonly<Record<string, unknown>>
}

const LOG = { segmentBytes: 32_768, compactionThresholdBytes: 4096 }

export const subjects: Readonly<Record<'log', CrashSubject>> = {
  log: { name: 'log', engine: 'log', options: LOG },
}

/** The same with blocks that are in the file as they are not in memory. */
export const sealedSubjects: Readonly<Record<'log', readonly CrashSubject[]>> = {
  log: [
    {
      name: 'log, xxh64 and deflate',
      engine: 'log',
      options: { ...LOG, checksum: 'xxh64', compression: 'deflate' },
    },
    {
      name: 'log, lz4 and AES-256',
      engine: 'log',
      options: { ...LOG, compression: 'lz4', encryption: { key: new Uint8Array(32).fill(7) } },
    },
  ],
}

export type CrashStore = KvarkStore<string, string>

/** The least that `open` takes. */
const CACHE_BYTES = 1024 * 1024

/** Opens the store of a subject, strings in and strings out. */
export function openSubject(
  { engine, options }: CrashSubject,
  path: string,
  environment?: Environment,
): Effect<CrashStore> {
  return openWith(engines, path, {
    engine,
    ...options,
    cacheBytes: CACHE_BYTES,
    ...(environment && { environment }),
  }) as unknown as Effect<CrashStore>
}
