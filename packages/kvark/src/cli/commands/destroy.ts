/** `destroy`: removes the store. */

import { destroy, KvarkError } from '../../index.ts'
import { EXIT_OK } from '../errors.ts'
import { countOf, humanBytes } from '../output.ts'
import type { Context } from '../session.ts'

export interface DestroyArguments {
  readonly yes?: boolean
}

export async function destroyCommand(
  { output, options: { dataDir } }: Context,
  { yes }: DestroyArguments,
): Promise<number> {
  if (!yes) {
    throw new KvarkError(
      'INVALID_ARGUMENT',
      `This removes the store in ${dataDir} and all its entries for good. Add --yes to do it.`,
      { path: dataDir },
    )
  }
  const { bytes, kept } = await destroy(dataDir)
  if (output.json) await output.jsonLine({ bytes, kept })
  else {
    const others = countOf(kept.length, 'other file was', 'other files were')
    const why = kept.length === 0 ? '' : ` The folder stays: ${others} in it.`
    await output.line(`Removed the store in ${dataDir}: ${humanBytes(bytes)}.${why}`)
  }
  return EXIT_OK
}
