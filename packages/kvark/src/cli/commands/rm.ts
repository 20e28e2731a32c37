/** `rm`: removes a key. */

import { EXIT_OK } from '../errors.ts'
import { type Context, checkLoose, locate, withStore } from '../session.ts'
import { missing } from './get.ts'
import { type ConditionOptions, type TableArgument, writeOptions } from './write-options.ts'

export async function rm(
  context: Context,
  keyText: string,
  options: ConditionOptions & TableArgument,
): Promise<number> {
  const place = await locate(context, { write: true, table: options.table })
  checkLoose(place)
  const key = place.keys.parse(keyText)
  const version = await withStore(place, async (table) => {
    // Nobody else writes between the two: the store is ours alone.
    if (!(await table.has(key))) throw missing(place, keyText)
    return await table.delete(key, writeOptions(context, options))
  })
  if (context.output.json) await context.output.jsonLine({ key: place.keys.toJson(key), version })
  return EXIT_OK
}
