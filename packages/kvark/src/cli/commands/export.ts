/**
 * `export`: writes all entries of the root or of one table as lines of JSON, from one fixed view, in the form that `import` reads. A file appears
 * under its name only when it is complete.
 */

import { EXIT_OK } from '../errors.ts'
import { writeFile } from '../files.ts'
import { countOf } from '../output.ts'
import {
  atomic,
  type Context,
  locate,
  type Place,
  type RawStore,
  type RawTable,
  withStore,
} from '../session.ts'
import { type RangeArguments, rangeOf } from './range.ts'

/** Lines gather up to here before they go into the file. */
const CHUNK_CHARACTERS = 64 * 1024

export async function exportEntries(
  context: Context,
  file: string,
  options: RangeArguments,
): Promise<number> {
  const { output } = context
  const place = await locate(context, { encoding: 'utf8', table: options.table })
  if (file === '-') {
    await withStore(place, async (table, store) => {
      for await (const line of entryLines(table, store, place, options)) await output.write(line)
      await output.flush()
      tellOfTables(store, place)
    })
    return EXIT_OK
  }
  await withStore(place, async (table, store) => {
    const exported = await exportTo(file, entryLines(table, store, place, options))
    if (output.json) await output.jsonLine({ exported, file })
    else output.talk(`Exported ${countOf(exported, 'entry', 'entries')} to ${file}.`)
    tellOfTables(store, place)
  })
  return EXIT_OK
}

/** Nobody should take what is a part of a store for all of it. */
function tellOfTables(store: RawStore, { table, context }: Place): void {
  const tables = store.tables().length
  if (table !== undefined || tables === 0) return
  context.output.talk(
    `This is the root only: the store has ${countOf(tables, 'table', 'tables')} beside it. \`kvark dump --json\` prints everything in this form, --table chooses one.`,
  )
}

async function* entryLines(
  table: RawTable,
  store: RawStore,
  place: Place,
  options: RangeArguments,
): AsyncGenerator<string, void> {
  const { keys, values } = place
  // A cursor walks a fixed view, and when an entry expires is asked of the same.
  const snapshot = atomic(table, store)?.snapshot()
  const view = snapshot ?? table
  try {
    for await (const [key, value] of view.entries(rangeOf(place, options))) {
      const expiresAt = view.getEntrySync(key)?.expiresAt
      yield `${JSON.stringify({
        key: keys.toJson(key),
        value: values.toJson(value),
        ...(expiresAt !== undefined && { expiresAt }),
      })}\n`
    }
  } finally {
    snapshot?.close()
  }
}

async function exportTo(file: string, entries: AsyncIterable<string>): Promise<number> {
  let exported = 0
  await writeFile(file, async (write) => {
    let chunk = ''
    for await (const line of entries) {
      chunk += line
      exported++
      if (chunk.length < CHUNK_CHARACTERS) continue
      await write(Buffer.from(chunk))
      chunk = ''
    }
    await write(Buffer.from(chunk))
  })
  return exported
}
