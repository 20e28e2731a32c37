/** `scan`: prints entries, one a line: key, tab, value. */

import { visible } from '../bytes.ts'
import { EXIT_OK } from '../errors.ts'
import { type Context, locate, withStore } from '../session.ts'
import { type RangeArguments, rangeOf } from './range.ts'

export interface ScanArguments extends RangeArguments {
  readonly keysOnly?: boolean
  readonly valuesOnly?: boolean
}

export async function scan(context: Context, options: ScanArguments): Promise<number> {
  const { output } = context
  const place = await locate(context, { table: options.table })
  const { keys, values } = place
  const range = rangeOf(place, options)
  const shown = output.terminal
    ? (text: Buffer): string => visible(text.toString(), false)
    : (text: Buffer): Buffer => text

  await withStore(place, async (table) => {
    if (options.keysOnly) {
      for await (const key of table.keys(range)) {
        if (output.json) await output.jsonLine({ key: keys.toJson(key) })
        else await output.write(shown(keys.show(key)), '\n')
      }
    } else if (options.valuesOnly) {
      for await (const value of table.values(range)) {
        if (output.json) await output.jsonLine({ value: values.toJson(value) })
        else await output.write(shown(values.show(value)), '\n')
      }
    } else {
      for await (const [key, value] of table.entries(range)) {
        if (output.json)
          await output.jsonLine({ key: keys.toJson(key), value: values.toJson(value) })
        else await output.write(shown(keys.show(key)), '\t', shown(values.show(value)), '\n')
      }
    }
    await output.flush()
  })
  return EXIT_OK
}
