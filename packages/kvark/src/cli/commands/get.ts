/** `get`: prints the value of a key. */

import { KvarkError } from '../../index.ts'
import { visible } from '../bytes.ts'
import { EXIT_OK } from '../errors.ts'
import { writeFile } from '../files.ts'
import { type Context, locate, type Place, withStore } from '../session.ts'
import type { TableArgument } from './write-options.ts'

export interface GetOptions extends TableArgument {
  /** Exactly the value's bytes, nothing added. */
  readonly raw?: boolean
  /** A file for exactly the value's bytes. */
  readonly output?: string
}

export async function get(context: Context, keyText: string, options: GetOptions): Promise<number> {
  const place = await locate(context, { table: options.table })
  const key = place.keys.parse(keyText)
  const { io, output } = context
  if (options.output !== undefined || options.raw) {
    await withStore(place, async (table) => {
      // However long it is: the other forms have all of it in memory.
      const pieces = await table.getStream(key)
      if (pieces === undefined) throw missing(place, keyText)
      const copy = async (write: (bytes: Uint8Array) => Promise<void>): Promise<void> => {
        for await (const piece of pieces) {
          io.signal.throwIfAborted()
          await write(piece)
        }
      }
      if (options.output !== undefined) await writeFile(options.output, copy)
      else await copy((bytes) => output.write(bytes))
    })
    return EXIT_OK
  }
  const entry = await withStore(place, (table) => table.getEntry(key))
  if (entry === undefined) throw missing(place, keyText)
  const { value, version, expiresAt } = entry
  if (output.json) {
    await output.jsonLine({
      key: place.keys.toJson(key),
      value: place.values.toJson(value),
      version,
      ...(expiresAt !== undefined && { expiresAt }),
    })
  } else {
    const shown = place.values.show(value)
    await output.write(output.terminal ? visible(shown.toString(), true) : shown, '\n')
  }
  return EXIT_OK
}

/** The failure of a command whose key is not in the table. */
export function missing(place: Place, keyText: string): KvarkError {
  const { dataDir } = place.context.options
  const where = place.table === undefined ? '' : ` in the table ${JSON.stringify(place.table)}`
  return new KvarkError(
    'NOT_FOUND',
    `There is no key ${JSON.stringify(keyText)}${where} in ${dataDir}.`,
    { path: dataDir },
  )
}
