/**
 * `dump`: everything that a store has, for people to read: the root and all tables, with versions and expiries, from one fixed view.
 *
 *   # the root: keys utf8, values utf8
 *   "greeting" = "Hello, world"  version 1
 *   # the table "users": keys tuple, values json
 *   ["user",42] = {"name":"Alice"}  version 3, expires 2026-01-31T12:00:00.000Z
 *
 * 1. Text stands in quotes, JSON and tuples as they are, other bytes as `hex:00ff`; what is longer than a few lines is cut, and says so.
 * 2. Under `--json` nothing is cut: an object for the codecs of each table, and one for each entry, in the form that `import` reads.
 */

import { isUtf8 } from 'node:buffer'
import type { Reader, Table } from '../../index.ts'
import { visible } from '../bytes.ts'
import { EXIT_OK } from '../errors.ts'
import { type Key, keyNotation, type Notation, valueNotation } from '../notation.ts'
import { packedInWords } from '../packed.ts'
import {
  atomic,
  type Context,
  locate,
  type Place,
  type RawStore,
  type RawTable,
  tableNamed,
  withStore,
} from '../session.ts'
import type { TableArgument } from './write-options.ts'

/** Characters of a value that are shown. */
const SHOWN_CHARACTERS = 400

/** A table with its name and codecs. */
interface Part {
  /** `undefined`: the root. */
  readonly name: string | undefined
  readonly codecs: { readonly keys: string; readonly values: string }
  readonly keys: Notation<Key>
  readonly values: Notation<Uint8Array>
  readonly table: RawTable
}

export async function dump(context: Context, options: TableArgument): Promise<number> {
  const { output } = context
  const place = await locate(context, { encoding: 'utf8', table: options.table })
  await withStore(place, async (table, store) => {
    const snapshot = atomic(store, store)?.snapshot()
    try {
      for (const part of partsOf(table, store, place)) {
        const isRoot = part.name === undefined
        const view = snapshot === undefined || isRoot ? snapshot : snapshot.table(part.table)
        await dumpPart(context, part, view ?? part.table)
      }
    } finally {
      snapshot?.close()
    }
    await output.flush()
  })
  return EXIT_OK
}

/** The table that was asked for, or the root and all tables. */
function partsOf(table: RawTable, store: RawStore, place: Place): Part[] {
  const tables = store.tables().map((info): Part => {
    const { name, keys, values } = info
    const notation = {
      keys: keyNotation({ name: keys, named: false }, 'utf8'),
      values: valueNotation({ name: values, named: false }, 'utf8'),
    }
    const isPlace = name === place.table
    const own = isPlace ? table : tableNamed(store, name, notation.keys, notation.values)
    return { name, codecs: info, ...notation, table: own }
  })
  if (place.table !== undefined) return tables.filter(({ name }) => name === place.table)
  const { keys, values } = place.root
  return [{ name: undefined, codecs: place.found!, keys, values, table: store }, ...tables]
}

async function dumpPart(
  { io, output }: Context,
  { name, codecs, keys, values }: Part,
  view: Reader<Key, Uint8Array> | Table<Key, Uint8Array>,
): Promise<void> {
  const shown = output.terminal ? (text: string): string => visible(text, false) : String
  const packed = await packedInWords(codecs.values)
  const inTable = name === undefined ? {} : { table: name }
  if (output.json) await output.jsonLine({ ...inTable, keys: codecs.keys, values: codecs.values })
  else {
    const what = name === undefined ? 'the root' : `the table ${JSON.stringify(name)}`
    const head = `# ${what}: keys ${codecs.keys}, values ${codecs.values}`
    await output.line(output.paint('bold', shown(head)))
  }
  for await (const key of view.keys({ signal: io.signal })) {
    const entry = view.getEntrySync(key)
    // Expired since, where there is no fixed view.
    if (entry === undefined) continue
    const { value, version, expiresAt } = entry
    if (output.json) {
      await output.jsonLine({
        ...inTable,
        key: keys.toJson(key),
        value: values.toJson(value),
        version,
        ...(expiresAt !== undefined && { expiresAt }),
      })
      continue
    }
    const keyText =
      codecs.keys === 'tuple' ? keys.show(key).toString() : inWords(keys.show(key), 'utf8')
    const valueText = packed?.(value) ?? inWords(value, codecs.values)
    const end = expiresAt === undefined ? '' : `, expires ${new Date(expiresAt).toISOString()}`
    await output.line(`${shown(cut(keyText))} = ${shown(cut(valueText))}  version ${version}${end}`)
  }
}

function inWords(bytes: Uint8Array, codec: string): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (!isUtf8(buffer)) return `hex:${buffer.toString('hex')}`
  return codec === 'json' ? buffer.toString() : JSON.stringify(buffer.toString())
}

function cut(text: string): string {
  if (text.length <= SHOWN_CHARACTERS) return text
  return `${text.slice(0, SHOWN_CHARACTERS)}… (${text.length} characters)`
}
