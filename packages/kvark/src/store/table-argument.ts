/**
 * Tables as arguments: from the handle that a user passes to what reading and writing its table takes.
 */

import { invalid, show } from './arguments.ts'
import type { Catalogue } from './catalogue.ts'
import type { Core } from './core.ts'
import type { Life } from './life.ts'

/** What a handle is here. */
export interface Handle {
  /** Its core, of now or as of an older catalogue. */
  coreAt(at: Catalogue | undefined): Core<unknown, unknown>
}

/** The core of the table that was given as `table`, or its core as of the catalogue `at`. */
export function tableOf(
  life: Life,
  table: unknown,
  what: string,
  at?: Catalogue,
): Core<unknown, unknown> {
  if (typeof table !== 'object' || table === null || !('coreAt' in table)) {
    throw invalid(`${what} takes a table that db.table() has given, not ${show(table)}.`)
  }
  const core = (table as Handle).coreAt(at)
  if (core.life !== life) throw invalid(`${what} takes a table of the same store.`)
  return core
}
