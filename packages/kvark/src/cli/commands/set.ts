/** `set`: stores a value under a key; makes the store when there is none. */

import { refuse } from '../bytes.ts'
import { EXIT_OK } from '../errors.ts'
import { readInput } from '../files.ts'
import { type Context, locate, withStore } from '../session.ts'
import {
  type CodecOptions,
  type ConditionOptions,
  codecsOf,
  type ExpiryOptions,
  expiryOptions,
  type TableArgument,
  writeOptions,
} from './write-options.ts'

export async function set(
  context: Context,
  keyText: string,
  valueText: string,
  options: CodecOptions & ConditionOptions & ExpiryOptions & TableArgument,
): Promise<number> {
  const place = await locate(context, {
    write: true,
    create: true,
    table: options.table,
    ...codecsOf(options),
  })
  const key = place.keys.parse(keyText)
  place.keys.check(key)
  const source = sourceOf(valueText)
  const value =
    source === undefined
      ? place.values.parse(unescaped(valueText))
      : await readInput(context.io, source)
  place.values.check(value)
  const version = await withStore(place, (table, { limits }) => {
    const all = { ...writeOptions(context, options), ...expiryOptions(options) }
    // What is longer than a batch goes in as a stream only.
    const isLong = value.length + limits.keyBytes > limits.batchBytes
    return isLong ? table.putStream(key, [value], all) : table.put(key, value, all)
  })
  if (context.output.json) await context.output.jsonLine({ key: place.keys.toJson(key), version })
  return EXIT_OK
}

/** Where a value comes from: `-` is stdin, `@file` a file, `undefined` the argument itself. */
export function sourceOf(value: string): string | undefined {
  if (value === '-') return '-'
  if (!value.startsWith('@') || value.startsWith('@@')) return undefined
  if (value === '@') {
    throw refuse(
      'value',
      'A value that begins with @ names a file; to store an @ itself, write @@.',
    )
  }
  return value === '@-' ? './-' : value.slice(1)
}

/** `@@` at the start stands for `@`. */
function unescaped(value: string): string {
  return value.startsWith('@@') ? value.slice(1) : value
}
