/**
 * The engines under crash tests, with options that make much happen in little data. An engine joins by one line here and
 * a test file of its own that calls the suites.
 */

import type { EngineModule } from '../../engine/engine.ts'
import { engines } from '../../engines.ts'
import type { Environment } from '../../environment/environment.ts'
import type { Effect } from '../../environment/routine.ts'
import { CHECKSUMS } from '../../storage/block-form.ts'
import { CIPHERS, keyBytes } from '../../storage/cipher.ts'
import { openWith } from '../../store/opening.ts'
import type { KvarkStore } from '../../store/store.ts'

export interface CrashSubject {
  readonly name: string
  /** The engine's name. */
  readonly engine: string
  readonly options: Readonly<Record<string, unknown>>
}

const BTREE = { pageBytes: 4096, checkpointBytes: 4096 }
/** Pages of which compression leaves something out. */
const PAGES = { none: BTREE.pageBytes, lz4: 8192, deflate: 16_384 }
const LOG = { segmentBytes: 32_768, compactionThresholdBytes: 4096 }

export const subjects: Readonly<Record<'log' | 'btree', CrashSubject>> = {
  log: { name: 'log', engine: 'log', options: LOG },
  btree: { name: 'btree', engine: 'btree', options: BTREE },
}

/** The same with blocks that are in the file as they are not in memory. */
export const sealedSubjects: Readonly<Record<'log' | 'btree', readonly CrashSubject[]>> = {
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
  btree: [
    {
      name: 'btree, xxh64 and deflate',
      engine: 'btree',
      options: { ...BTREE, pageBytes: 8192, checksum: 'xxh64', compression: 'deflate' },
    },
    {
      name: 'btree, lz4 and AES-256',
      engine: 'btree',
      options: { ...BTREE, compression: 'lz4', encryption: { key: new Uint8Array(32).fill(7) } },
    },
  ],
}

/** The option sets over which a proof spreads what it does, by engine. */
export const optionSets: Readonly<Record<'log' | 'btree', readonly CrashSubject[]>> = {
  log: [...forms('log', () => LOG), ...logSizes()],
  btree: [
    ...forms('btree', (compression) => ({ ...BTREE, pageBytes: PAGES[compression] })),
    ...treeSizes(),
  ],
}

/** The option set of an engine that has this name. */
export function subjectNamed(engine: string, name: string): CrashSubject {
  const known = [
    ...Object.values(subjects),
    ...Object.values(sealedSubjects).flat(),
    ...Object.values(optionSets).flat(),
  ]
  const found = known.find((one) => one.engine === engine && one.name === name)
  if (found === undefined) throw new Error(`The engine '${engine}' has no option set '${name}'`)
  return found
}

/** Every checksum with every compression, and every compression with every cipher. */
function forms(
  engine: string,
  optionsOf: (compression: keyof typeof PAGES) => CrashSubject['options'],
): CrashSubject[] {
  const sets: CrashSubject[] = []
  for (const compression of ['none', 'lz4', 'deflate'] as const) {
    const own = optionsOf(compression)
    for (const checksum of CHECKSUMS) {
      const options = { ...own, checksum, compression }
      sets.push({ name: `${checksum} ${compression}`, engine, options })
    }
    for (const cipher of CIPHERS) {
      const encryption = { key: new Uint8Array(keyBytes(cipher)).fill(7), cipher }
      const options = { ...own, compression, encryption }
      sets.push({ name: `${compression} ${cipher}`, engine, options })
    }
  }
  return sets
}

/** Few and many segments, compaction all the time and never. */
function logSizes(): CrashSubject[] {
  const sets: CrashSubject[] = []
  for (const segmentBytes of [32_768, 65_536, 262_144, 1_048_576]) {
    for (const compactionThresholdBytes of [1, 65_536, Number.MAX_SAFE_INTEGER]) {
      const from =
        compactionThresholdBytes === Number.MAX_SAFE_INTEGER
          ? 'never compacted'
          : `compacted from ${compactionThresholdBytes}`
      const name = `segments of ${segmentBytes}, ${from}`
      sets.push({ name, engine: 'log', options: { segmentBytes, compactionThresholdBytes } })
    }
  }
  return sets
}

/** Small and large pages; checkpoints all the time, now and then, and only when a store closes. */
function treeSizes(): CrashSubject[] {
  const sets: CrashSubject[] = []
  for (const pageBytes of [4096, 8192, 16_384, 65_536]) {
    for (const checkpointBytes of [1, 16_384, Number.MAX_SAFE_INTEGER]) {
      const from =
        checkpointBytes === Number.MAX_SAFE_INTEGER
          ? 'checkpoint at the end'
          : `checkpoints from ${checkpointBytes}`
      const name = `pages of ${pageBytes}, ${from}`
      sets.push({ name, engine: 'btree', options: { pageBytes, checkpointBytes } })
    }
  }
  return sets
}

export type CrashStore = KvarkStore<string, string>

/** The least that `open` takes. */
const CACHE_BYTES = 1024 * 1024

/** Opens the store of a subject, strings in and strings out. */
export function openSubject(
  { engine, options }: CrashSubject,
  path: string,
  environment?: Environment,
  modules: Readonly<Record<string, EngineModule>> = engines,
): Effect<CrashStore> {
  return openWith(modules, path, {
    engine,
    ...options,
    cacheBytes: CACHE_BYTES,
    ...(environment && { environment }),
  }) as unknown as Effect<CrashStore>
}
