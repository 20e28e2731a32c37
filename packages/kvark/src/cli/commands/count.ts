/** `count`: prints the number of entries. */

import { EXIT_OK } from '../errors.ts'
import { type Context, locate, withStore } from '../session.ts'
import { type RangeArguments, rangeOf } from './range.ts'

export async function count(context: Context, options: RangeArguments): Promise<number> {
  const place = await locate(context, { table: options.table })
  const range = rangeOf(place, options)
  const found = await withStore(place, (table) => table.count(range))
  if (context.output.json) await context.output.jsonLine({ count: found })
  else await context.output.line(String(found))
  return EXIT_OK
}
