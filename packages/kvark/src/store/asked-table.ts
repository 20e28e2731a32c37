/**
 * A table that is asked for by name: what it is to be called, and its codecs.
 */

import { checkNames, checkObject } from './arguments.ts'
import { type AnyCodec, resolveKeyCodec, resolveValueCodec } from './codecs.ts'
import { checkTtl } from './expiry.ts'
import type { Life } from './life.ts'
import { withSchema } from './schema.ts'
import { checkTableName, type Wanted } from './tables.ts'
import type { SchemaOption, TableOptions } from './types.ts'

const TABLE_NAMES: readonly string[] = ['keys', 'values', 'schema', 'ttl']

export interface AskedTable {
  readonly wanted: Wanted
  readonly keys: AnyCodec
  readonly values: AnyCodec
  /** Of puts that name no end, ms; 0: they have none. */
  readonly ttl: number
}

export function askedTable(
  life: Life,
  name: string,
  options: (TableOptions<unknown, unknown> & SchemaOption<unknown>) | undefined,
): AskedTable {
  checkTableName(name)
  if (options !== undefined) {
    checkObject(options, 'The options of a table')
    checkNames(options, TABLE_NAMES, 'A table')
  }
  const keys = resolveKeyCodec(options?.keys)
  const values = withSchema(resolveValueCodec(options?.values), options?.schema)
  const ttl = options?.ttl === undefined ? life.ttl : checkTtl(options.ttl)
  const wanted: Wanted = { name, keys: keys.name, values: values.name, number: 0 }
  return { wanted, keys, values, ttl }
}
