/** `backup`: copies the store to another folder. */

import { EXIT_OK } from '../errors.ts'
import { countOf, humanBytes } from '../output.ts'
import { type Context, locate, withStore } from '../session.ts'

export async function backup(context: Context, to: string): Promise<number> {
  const { io, output } = context
  const report = await withStore(await locate(context), async (_root, store) => {
    const progress = await output.progress('Backing up')
    try {
      return await store.backup(to, { signal: io.signal, progress: progress.update })
    } finally {
      progress.stop()
    }
  })
  const { entries, bytes } = report
  if (output.json) await output.jsonLine(report)
  else {
    const what = `${countOf(entries, 'entry', 'entries')}, ${humanBytes(bytes)}`
    await output.line(`Backed up to ${to}: ${what}, read back and checked.`)
  }
  return EXIT_OK
}
