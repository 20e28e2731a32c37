/** `backup`: copies the store to another folder. */

import { EXIT_OK } from '../errors.ts'
import { countOf, humanBytes } from '../output.ts'
import { type Context, locate, withStore } from '../session.ts'

export interface BackupArguments {
  /** An earlier backup. */
  readonly base?: string
}

export async function backup(
  context: Context,
  to: string,
  { base }: BackupArguments,
): Promise<number> {
  const { io, output } = context
  const report = await withStore(await locate(context), async (_root, store) => {
    const progress = await output.progress('Backing up')
    try {
      return await store.backup(to, {
        signal: io.signal,
        progress: progress.update,
        ...(base !== undefined && { base }),
      })
    } finally {
      progress.stop()
    }
  })
  const { entries, bytes, linkedBytes = 0 } = report
  if (output.json) await output.jsonLine(report)
  else {
    const what = `${countOf(entries, 'entry', 'entries')}, ${humanBytes(bytes)}`
    const shared = linkedBytes === 0 ? '' : `, ${humanBytes(linkedBytes)} shared with ${base}`
    await output.line(`Backed up to ${to}: ${what}${shared}, read back and checked.`)
  }
  return EXIT_OK
}
