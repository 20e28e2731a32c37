/** `tables`: prints the tables of the store, one a line: name, codec of keys, codec of values. */

import { visible } from '../bytes.ts'
import { EXIT_OK } from '../errors.ts'
import { type Context, locate, withStore } from '../session.ts'

export async function tables(context: Context): Promise<number> {
  const { output } = context
  const place = await locate(context)
  const found = await withStore(place, async (_root, store) => store.tables())
  for (const { name, keys, values } of found) {
    if (output.json) await output.jsonLine({ name, keys, values })
    else await output.line(`${output.terminal ? visible(name, false) : name}\t${keys}\t${values}`)
  }
  return EXIT_OK
}
