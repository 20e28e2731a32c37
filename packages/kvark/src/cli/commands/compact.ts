/** `compact`: gives the space of overwritten and removed entries back. */

import { EXIT_OK } from '../errors.ts'
import { humanBytes } from '../output.ts'
import { type Context, locate, withStore } from '../session.ts'

export async function compact(context: Context): Promise<number> {
  const { io, output } = context
  const { before, after } = await withStore(
    await locate(context, { write: true }),
    async (_root, store) => {
      const before = store.stats().diskBytes
      const progress = await output.progress('Compacting')
      try {
        await store.compact({ signal: io.signal, progress: progress.update })
      } finally {
        progress.stop()
      }
      return { before, after: store.stats().diskBytes }
    },
  )
  // A small store can grow by the bookkeeping of a compaction.
  const freed = Math.max(0, before - after)
  if (output.json) await output.jsonLine({ freedBytes: freed, diskBytes: after })
  else await output.line(`Freed ${humanBytes(freed)}; ${humanBytes(after)} on disk.`)
  return EXIT_OK
}
