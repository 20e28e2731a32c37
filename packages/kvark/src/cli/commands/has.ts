/** `has`: says whether a key is there, in words and by the exit code. */

import { EXIT_NO, EXIT_OK } from '../errors.ts'
import { type Context, locate, withStore } from '../session.ts'
import type { TableArgument } from './write-options.ts'

export async function has(
  context: Context,
  keyText: string,
  options: TableArgument,
): Promise<number> {
  const place = await locate(context, { table: options.table })
  const key = place.keys.parse(keyText)
  const found = await withStore(place, (table) => table.has(key))
  if (context.output.json)
    await context.output.jsonLine({ key: place.keys.toJson(key), has: found })
  else await context.output.line(String(found))
  return found ? EXIT_OK : EXIT_NO
}
