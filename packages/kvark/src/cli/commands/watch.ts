/**
 * `watch`: prints what changes in a store that another process writes, one change a line, until it is interrupted.
 *
 *   put        │ key │ value │ expires …?         rename │ from │ to
 *   putStream  │ key │ … bytes │ expires …?       drop                         the last one
 *   delete     │ key                              gap    │ version │ version   what lies between was not seen
 *   clear      │ gte …? │ lt …?                   load   │ first key │ last key
 *
 * 1. Columns are divided by tabs, as those of `scan`. Under `--json` a line is the change as `watch` of the API gives it.
 * 2. The changes of a batch are printed together.
 */

import type { Change } from '../../index.ts'
import { bytesToJson, type Encoding, showBytes, visible } from '../bytes.ts'
import { EXIT_OK } from '../errors.ts'
import type { Key } from '../notation.ts'
import { type Context, type Place, withFollower } from '../session.ts'
import { type BoundArguments, boundsOf } from './range.ts'
import type { TableArgument } from './write-options.ts'

export interface WatchArguments extends TableArgument, BoundArguments {}

type RawChange = Change<Key, Uint8Array>

export async function watch(
  context: Context,
  keyText: string | undefined,
  options: WatchArguments,
): Promise<number> {
  const { io, output } = context
  await withFollower(context, options.table, async (followed, place) => {
    const key = keyText === undefined ? {} : { key: place.keys.parse(keyText) }
    const range = { ...boundsOf(place, options), ...key }
    const changes = followed.watch({ ...range, signal: io.signal })
    output.talk(`Watching ${context.options.dataDir}. Ctrl-C ends it.`)
    for await (const change of changes) {
      if (output.json) await output.jsonLine(jsonOf(place, change))
      else await print(place, change)
      if (change.type === 'gap' || change.last) await output.flush()
    }
  })
  return EXIT_OK
}

async function print(place: Place, change: RawChange): Promise<void> {
  const { output } = place.context
  const columns = [change.type, ...columnsOf(place, change)]
  for (const [i, column] of columns.entries()) {
    if (i > 0) await output.write('\t')
    await output.write(output.terminal ? visible(column.toString(), false) : column)
  }
  await output.write('\n')
}

function columnsOf(place: Place, change: RawChange): (string | Buffer)[] {
  const { keys, values } = place
  switch (change.type) {
    case 'put':
      return [keys.show(change.key), values.show(change.value), ...expiryOf(change)]
    case 'putStream':
      return [keys.show(change.key), `${change.bytes} bytes`, ...expiryOf(change)]
    case 'delete':
      return [keys.show(change.key)]
    case 'clear': {
      const { gte, lt } = change
      const shown = (bytes: Uint8Array): Buffer => showBytes(bytes, encodingOf(place))
      const from = gte.length === 0 ? [] : [`gte ${shown(gte).toString()}`]
      return lt === undefined ? from : [...from, `lt ${shown(lt).toString()}`]
    }
    case 'load':
      return [keys.show(change.firstKey), keys.show(change.lastKey)]
    case 'rename':
      return [change.from, change.to]
    case 'gap':
      return [String(change.from), String(change.to)]
    case 'drop':
      return []
  }
}

function expiryOf({ expiresAt }: { readonly expiresAt: number | undefined }): string[] {
  return expiresAt === undefined ? [] : [`expires ${new Date(expiresAt).toISOString()}`]
}

/** Of the ends of a range: they are bytes, and need not be whole keys. */
function encodingOf({ keys, context }: Place): Encoding {
  return keys.codec === 'tuple' ? 'hex' : context.options.encoding
}

function jsonOf(place: Place, change: RawChange): object {
  const { keys, values } = place
  switch (change.type) {
    case 'put':
      return { ...change, key: keys.toJson(change.key), value: values.toJson(change.value) }
    case 'putStream':
    case 'delete':
      return { ...change, key: keys.toJson(change.key) }
    case 'clear': {
      const { type, gte, lt, version, last } = change
      const encoding = encodingOf(place)
      const end = lt && bytesToJson(lt, encoding)
      return { type, gte: bytesToJson(gte, encoding), lt: end, version, last }
    }
    case 'load': {
      const { firstKey, lastKey } = change
      return { ...change, firstKey: keys.toJson(firstKey), lastKey: keys.toJson(lastKey) }
    }
    default:
      return change
  }
}
