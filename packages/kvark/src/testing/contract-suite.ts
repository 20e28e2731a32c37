/**
 * The contract that every engine keeps, as tests: one line in an engine's test file runs all of it.
 *
 *   contractSuite({ engine: logModule, environments: ['node', 'memory'], options: { segmentBytes: 65536 } })
 *
 * The chapters are in `contract/`; each case runs in a place of its own, on the machine's files and on files in memory. A
 * case is skipped only where the engine says by `supports` that it does not have what is tested.
 */

import { describe, test } from 'node:test'
import zlib from 'node:zlib'
import { backup } from './contract/backup.ts'
import { cursors } from './contract/cursors.ts'
import { destroy } from './contract/destroy.ts'
import { errors } from './contract/errors.ts'
import { expiry } from './contract/expiry.ts'
import { failures } from './contract/failures.ts'
import { lifetime } from './contract/lifetime.ts'
import { limits } from './contract/limits.ts'
import { loads } from './contract/loads.ts'
import { model } from './contract/model.ts'
import { order } from './contract/order.ts'
import {
  type Case,
  type Chapter,
  type EnvironmentName,
  Place,
  type Subject,
} from './contract/place.ts'
import { reads } from './contract/reads.ts'
import { salvage } from './contract/salvage.ts'
import { snapshots } from './contract/snapshots.ts'
import { streams } from './contract/streams.ts'
import { tables } from './contract/tables.ts'
import { transactionRanges } from './contract/transaction-ranges.ts'
import { transactions } from './contract/transactions.ts'
import { updates } from './contract/updates.ts'
import { watches } from './contract/watch.ts'
import { writes } from './contract/writes.ts'

const CHAPTERS: readonly Chapter[] = [
  reads,
  writes,
  limits,
  cursors,
  order,
  snapshots,
  lifetime,
  errors,
  expiry,
  failures,
  model,
  backup,
  destroy,
  streams,
  salvage,
  loads,
  tables,
  watches,
  transactions,
  transactionRanges,
  updates,
]

/** Runs the whole contract on an engine. */
export function contractSuite(subject: Subject): void {
  for (const environment of subject.environments) {
    for (const chapter of CHAPTERS) {
      const form = subject.form === undefined ? '' : `, ${subject.form.name}`
      describe(`${subject.engine.name}${form} on ${environment} files: ${chapter.name}`, () => {
        for (const one of chapter.cases) {
          test(one.name, { skip: reasonToSkip(one, subject, environment) }, async (t) => {
            const place = new Place(subject, environment)
            try {
              await one.run(place, t)
            } finally {
              await place.leave()
            }
          })
        }
      })
    }
  }
}

function reasonToSkip(one: Case, subject: Subject, environment: EnvironmentName): string | false {
  const { engine } = subject
  if (one.memoryOnly && environment !== 'memory') return 'files in memory have it'
  if (one.plainOnly && subject.form !== undefined) return 'the plain store has it'
  const lacking = (one.needs ?? []).filter((need) =>
    need === 'salvage' ? engine.salvage === undefined : !engine.supports[need],
  )
  if (subject.form?.compression === 'zstd' && !('zstdCompressSync' in zlib)) {
    return `Node ${process.version} has no zstd`
  }
  return lacking.length === 0 ? false : `${subject.engine.name} has no ${lacking.join(', ')}`
}
