/**
 * What the Tab key offers at the prompt of `repl`, for the last word of a line:
 *
 *   first word              commands
 *   --…                     options of the command, and those of all commands
 *   behind --table          names of tables
 *   the argument <key>      keys that begin like it
 *
 * Where the store cannot be looked into there are no names and no keys: Tab never fails.
 */

import type { Command } from 'commander'
import { visible } from './bytes.ts'
import { Output } from './output.ts'
import { type Context, locate, type Place, type RawTable, withStore } from './session.ts'
import { cutWords, quoted } from './words.ts'

const MOST_KEYS = 40
/** Without order so many keys are looked at. */
const KEYS_LOOKED_AT = 10_000

/** What the last word of the line can become, as it has to be typed, and that word as it stands there. */
export async function suggestions(
  program: Command,
  context: Context,
  line: string,
): Promise<[hits: string[], word: string]> {
  const { words, lastStart } = cutWords(line)
  const word = line.slice(lastStart)
  const before = word === '' ? words : words.slice(0, -1)
  const begun = word === '' ? '' : words.at(-1)!
  const hits = (await offers(program, context, before, begun))
    .filter((one) => one.startsWith(begun))
    .map(quoted)
  return [hits.length === 1 ? [`${hits[0]} `] : hits, word]
}

async function offers(
  program: Command,
  context: Context,
  before: readonly string[],
  begun: string,
): Promise<string[]> {
  if (before.length === 0) return [...program.commands.map((one) => one.name()), 'exit']
  const command = program.commands.find((one) =>
    [one.name(), ...one.aliases()].includes(before[0]!),
  )
  if (command === undefined) return []
  const quiet = {
    ...context,
    output: new Output(context.io, { json: false, quiet: true, color: false }),
  }
  const tableAt = before.lastIndexOf('--table')
  try {
    if (tableAt === before.length - 1) return await tableNames(quiet)
    if (begun.startsWith('-')) {
      return [...command.options, ...program.options].flatMap(({ long }) => long ?? [])
    }
    const takesKey = command.registeredArguments[0]?.name() === 'key'
    if (!takesKey || argumentsIn(before, command, program) > 0) return []
    const table = tableAt < 0 ? undefined : before[tableAt + 1]
    return await keysLike(await locate(quiet, { ...(table !== undefined && { table }) }), begun)
  } catch {
    return []
  }
}

/** How many arguments are there already, behind the command. */
function argumentsIn(words: readonly string[], command: Command, program: Command): number {
  const withValue = new Set(
    [...command.options, ...program.options].filter((one) => one.required).map(({ long }) => long),
  )
  let count = 0
  for (let i = 1; i < words.length; i++) {
    if (withValue.has(words[i])) i++
    else if (!words[i]!.startsWith('-')) count++
  }
  return count
}

async function tableNames(context: Context): Promise<string[]> {
  const tables = await withStore(await locate(context), async (_root, store) => store.tables())
  return tables.map(({ name }) => name)
}

async function keysLike(place: Place, begun: string): Promise<string[]> {
  const isTuple = place.keys.codec === 'tuple'
  return await withStore(place, async (table, store) => {
    const inOrder = store.supports.order && !isTuple
    const keys = (table as RawTable & { keys(options: object): ReturnType<RawTable['keys']> }).keys(
      inOrder ? { prefix: place.keys.parse(begun), limit: MOST_KEYS } : { limit: KEYS_LOOKED_AT },
    )
    const found: string[] = []
    for await (const key of keys) {
      const text = place.keys.show(key).toString()
      // What cannot be typed as it stands.
      if (!text.startsWith(begun) || visible(text, false) !== text || text.includes('\uFFFD'))
        continue
      found.push(text)
      if (found.length === MOST_KEYS) break
    }
    return found
  })
}
