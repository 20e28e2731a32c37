/** `touch`: gives an entry another end, or none, and leaves its value. */

import { EXIT_OK } from '../errors.ts'
import { type Context, checkLoose, locate, withStore } from '../session.ts'
import { missing } from './get.ts'
import { type ExpiryOptions, expiryOptions, type TableArgument } from './write-options.ts'

export async function touch(
  context: Context,
  keyText: string,
  options: ExpiryOptions & TableArgument,
): Promise<number> {
  const place = await locate(context, { write: true, table: options.table })
  checkLoose(place)
  const key = place.keys.parse(keyText)
  const { durability } = context.options
  const version = await withStore(place, (table) =>
    table.touch(key, {
      ...expiryOptions(options),
      ...(durability !== undefined && { durability }),
    }),
  )
  if (version === undefined) throw missing(place, keyText)
  if (context.output.json) await context.output.jsonLine({ key: place.keys.toJson(key), version })
  return EXIT_OK
}
