/** `has`: says whether a key is there, in words and by the exit code. */

import { EXIT_NO, EXIT_OK } from '../errors.ts'
import { type Context, locate, withStore } from '../session.ts'

export async function has(context: Context, keyText: string): Promise<number> {
  const place = await locate(context)
  const key = place.keys.parse(keyText)
  const found = await withStore(place, (store) => store.has(key))
  if (context.output.json)
    await context.output.jsonLine({ key: place.keys.toJson(key), has: found })
  else await context.output.line(String(found))
  return found ? EXIT_OK : EXIT_NO
}
