/** `stats`: the store's numbers. */

import type { Stats, StoreDescription } from '../../index.ts'
import { EXIT_OK } from '../errors.ts'
import { humanBytes, humanNumber } from '../output.ts'
import { type Context, locate, withStore } from '../session.ts'

export async function stats(context: Context): Promise<number> {
  const { output } = context
  const place = await locate(context)
  // Opened only to be read, it takes no writes: that says nothing of the store.
  const { readOnly: _, ...found } = await withStore(place, async (_root, store) => store.stats())
  const { compression, cipher } = place.found!
  if (output.json) {
    await output.jsonLine({ ...found, compression, cipher: cipher ?? null })
    return EXIT_OK
  }
  await output.table(rowsOf(found, place.found!))
  return EXIT_OK
}

function rowsOf(
  found: Omit<Stats, 'readOnly'>,
  { compression, cipher }: StoreDescription,
): string[][] {
  return [
    ['path', found.path],
    ['engine', found.engine],
    ['compression', compression],
    ['encryption', cipher ?? 'none'],
    ['entries', humanNumber(found.entries)],
    ['files', humanNumber(found.files)],
    ['size on disk', humanBytes(found.diskBytes)],
    ['of it stale', `${humanBytes(found.staleBytes)} (\`kvark compact\` frees it)`],
    ['index in memory', humanBytes(found.indexBytes)],
    ['last version', humanNumber(found.sequence)],
  ]
}
