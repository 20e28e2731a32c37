/**
 * `import`: stores entries from lines of JSON, as they come. Lines gather into batches that do not wait for the disk; one
 * sync at the end does.
 *
 *   {"key":"user:1","value":"Alice"}
 *   {"key":{"base64":"AP8Q"},"value":{"base64":"…"}}
 *   {"table":"users","key":["user",42],"value":"…"}        as `dump` prints it: of a table
 *   {"table":"users","keys":"tuple","values":"json"}       codecs for a table, or without a name for the store, that is not there yet
 *
 * 1. Lines are stored in their order. Where a line is refused, all lines before it are stored and none after it.
 * 2. An interrupted import keeps what it has stored.
 */

import { isUtf8 } from 'node:buffer'
import { type AtomicTable, type Durability, KvarkError } from '../../index.ts'
import { EXIT_OK, Interrupted } from '../errors.ts'
import { type Input, inputChunks, openInput } from '../files.ts'
import { type Line, lines } from '../lines.ts'
import { type Key, keyNotation, type Notation, valueNotation } from '../notation.ts'
import { countOf } from '../output.ts'
import {
  atomic,
  type Codecs,
  type Context,
  locate,
  type Place,
  type RawStore,
  type RawTable,
  tableNamed,
  withStore,
} from '../session.ts'
import { checkNumbers } from '../tuple.ts'
import { type CodecOptions, codecsOf, type TableArgument } from './write-options.ts'

const BATCH_ENTRIES = 1000
const BATCH_BYTES = 4 * 1024 * 1024

/** Members of a line. `get --json` prints a version: it is passed over, since every write gets a new one. */
const MEMBERS: readonly string[] = ['table', 'key', 'value', 'version', 'expiresAt']
/** Members of a line that tells codecs. */
const HEAD: readonly string[] = ['table', 'keys', 'values']

/** A table, and how its keys and values stand in a line. */
interface Target {
  readonly table: RawTable
  readonly keys: Notation<Key>
  readonly values: Notation<Uint8Array>
}

interface Put {
  readonly table: RawTable
  readonly key: Key
  readonly value: Uint8Array
  readonly expiresAt?: number
  readonly line: number
}

export async function importEntries(
  context: Context,
  file: string,
  options: CodecOptions & TableArgument,
): Promise<number> {
  const { io, output } = context
  const input = await openInput(io, file)
  try {
    if (file === '-' && io.stdin.isTTY)
      output.talk('Reading entries from the terminal; Ctrl-D ends them.')
    const typed = lines(inputChunks(input, file))
    const first = await typed.next()
    const told = first.done ? undefined : headOf(first.value)
    const place = await locate(context, {
      write: true,
      create: true,
      encoding: 'utf8',
      table: options.table,
      ...codecsOf(options),
      ...(told !== undefined && [undefined, options.table].includes(told.table) && { told }),
    })
    const all = first.done ? [] : chain(first.value, typed)
    const stored = await withStore(place, (table, store) =>
      importInto(new Targets(place, table, store), store, place, input, all),
    )
    if (output.json) await output.jsonLine({ imported: stored })
    else output.talk(`Imported ${countOf(stored, 'entry', 'entries')}.`)
  } finally {
    // A pipe that nobody reads any more must not keep the process alive.
    input.stream.destroy()
  }
  return EXIT_OK
}

async function* chain(first: Line, others: AsyncIterable<Line>): AsyncGenerator<Line, void> {
  yield first
  yield* others
}

/** Returns the number of entries stored. */
async function importInto(
  targets: Targets,
  store: RawStore,
  place: Place,
  input: Input,
  all: AsyncIterable<Line> | Iterable<Line>,
): Promise<number> {
  const { io, options, output } = place.context
  const durability = options.durability ?? 'none'
  const writer = new Writer(atomic(store, store), durability)
  const progress = input.bytes === undefined ? undefined : await output.progress('Importing')
  try {
    for await (const line of all) {
      io.signal.throwIfAborted()
      if (await addLine(writer, targets, line))
        progress?.update(line.end, Math.max(line.end, input.bytes ?? 0))
    }
    await writer.flush()
    await targets.makeEmpty(writer)
    await store.sync()
    return writer.stored
  } catch (error) {
    if (error instanceof Interrupted || error instanceof KvarkError) {
      error.message += ` ${tellStored(writer.stored, durability, store.stats().readOnly !== undefined)}`
    }
    throw error
  } finally {
    progress?.stop()
  }
}

/** Where the disk has failed, what was not to wait for it may be lost with what came then. */
function tellStored(stored: number, durability: Durability, failed: boolean): string {
  const before = `${countOf(stored, 'entry was', 'entries were')} stored before`
  if (!failed || durability !== 'none' || stored === 0) return `${before}.`
  return `${before}, but some or all of them may be lost with it: \`kvark count\` tells how many entries there are.`
}

/** Where lines go: to the table, or the root, that the command works on, or to the one that they name. */
class Targets {
  readonly #place: Place
  readonly #own: Target
  readonly #store: RawStore
  readonly #named = new Map<string, Target>()
  /** Codecs for tables that are not there yet. */
  readonly #told = new Map<string, Codecs>()
  /** The table whose codecs were told last, as long as no entry of it has come. */
  #empty: string | undefined

  constructor(place: Place, table: RawTable, store: RawStore) {
    this.#place = place
    this.#own = { table, keys: place.keys, values: place.values }
    this.#store = store
  }

  async tell({ table, ...codecs }: Head, writer: Writer): Promise<void> {
    await this.makeEmpty(writer)
    if (table !== undefined) this.#told.set(table, codecs)
    this.#empty = table
  }

  of(name: string | undefined): Target {
    const { table } = this.#place
    if (name === this.#empty) this.#empty = undefined
    if (name === undefined || name === table) return this.#own
    if (table !== undefined) {
      throw malformed(`it is of the table ${JSON.stringify(name)}. Leave --table out.`)
    }
    let target = this.#named.get(name)
    if (target === undefined) this.#named.set(name, (target = this.#make(name)))
    return target
  }

  /** A table of which only the codecs were told is there, too. `writer` has what comes before it. */
  async makeEmpty(writer: Writer): Promise<void> {
    const name = this.#empty
    this.#empty = undefined
    if (name === undefined || this.#place.table !== undefined) return
    if (this.#store.tables().some((one) => one.name === name)) return
    await writer.flush()
    const { table, keys } = this.of(name)
    // The first put makes it.
    const key = keys.codec === 'tuple' ? [] : new Uint8Array(0)
    const put = { type: 'put', table, key, value: new Uint8Array(0) } as const
    const all = atomic(this.#store, this.#store)
    if (all !== undefined) await all.batch([put, { type: 'delete', table, key }])
    else {
      await table.put(key, put.value)
      await table.delete(key)
    }
  }

  #make(name: string): Target {
    const made = this.#store.tables().find((one) => one.name === name)
    const told = made === undefined ? this.#told.get(name) : undefined
    const { keys, values } = made ?? told ?? { keys: 'utf8', values: 'utf8' }
    // What a dump tells of a table it knows: its entries are what that codec has written.
    const named = told !== undefined
    const notations = {
      keys: keyNotation({ name: keys, named }, 'utf8'),
      values: valueNotation({ name: values, named }, 'utf8'),
    }
    const table = tableNamed(this.#store, name, notations.keys, notations.values)
    return { table, ...notations }
  }
}

/** Whether a batch was written. */
async function addLine(writer: Writer, targets: Targets, line: Line): Promise<boolean> {
  let parsed: Put | Head | undefined
  try {
    parsed = parseLine(targets, line)
  } catch (error) {
    await writer.flush()
    throw atLine(line.number, error)
  }
  if (parsed === undefined) return false
  if ('line' in parsed) return await writer.add(parsed, line.bytes.length)
  await targets.tell(parsed, writer)
  return false
}

/** The entry of a line, or what it tells of a table; `undefined` for one that has none. */
function parseLine(targets: Targets, line: Line): Put | Head | undefined {
  if (!isUtf8(line.bytes)) throw malformed('it is not UTF-8 text.')
  const text = line.bytes.toString()
  if (text.trim() === '') return undefined
  let entry: unknown
  try {
    entry = JSON.parse(text)
  } catch (error) {
    throw malformed(`it is not JSON (${(error as Error).message}).`)
  }
  if (isHead(entry)) return entry
  if (typeof entry !== 'object' || entry === null || !('key' in entry) || !('value' in entry)) {
    throw malformed('it is not an object like {"key":"…","value":"…"}.')
  }
  const unknown = Object.keys(entry).find((name) => !MEMBERS.includes(name))
  if (unknown !== undefined)
    throw malformed(`import does not know its member ${JSON.stringify(unknown)}.`)
  const name = 'table' in entry ? entry.table : undefined
  if (name !== undefined && typeof name !== 'string') throw malformed('its table has no name.')
  const { table, keys, values } = targets.of(name)
  if (keys.codec === 'tuple') checkNumbers(text)
  const key = keys.fromJson(entry.key)
  const value = values.fromJson(entry.value)
  keys.check(key)
  values.check(value)
  const expiresAt = 'expiresAt' in entry ? entry.expiresAt : undefined
  if (expiresAt !== undefined && !(Number.isSafeInteger(expiresAt) && (expiresAt as number) > 0)) {
    throw malformed('its expiresAt is not a time in milliseconds since 1970.')
  }
  const end = expiresAt === undefined ? {} : { expiresAt: expiresAt as number }
  return { table, key, value, line: line.number, ...end }
}

interface Head extends Codecs {
  readonly table?: string
}

function isHead(json: unknown): json is Head {
  if (typeof json !== 'object' || json === null) return false
  // Arrays have methods of these names.
  if (!(Object.hasOwn(json, 'keys') && Object.hasOwn(json, 'values'))) return false
  return Object.entries(json).every(
    ([name, value]) => HEAD.includes(name) && typeof value === 'string',
  )
}

/** The codecs that the first line tells, if that is what it does. What else is wrong with it is said when its turn comes. */
function headOf({ bytes }: Line): Head | undefined {
  try {
    const json: unknown = JSON.parse(bytes.toString())
    return isHead(json) ? json : undefined
  } catch {
    return undefined
  }
}

function malformed(what: string): KvarkError {
  return new KvarkError('INVALID_ARGUMENT', what)
}

function atLine(line: number, error: unknown): unknown {
  if (error instanceof Error) error.message = `Line ${line}: ${error.message}`
  return error
}

/** Gathers entries and writes them in batches, or one by one where the engine has no batches. */
class Writer {
  /** Entries written so far. */
  stored = 0
  /** `undefined`: the engine has no batches. */
  readonly #atomic: AtomicTable<Key, Uint8Array> | undefined
  readonly #durability: Durability
  #batch: Put[] = []
  #bytes = 0

  constructor(store: AtomicTable<Key, Uint8Array> | undefined, durability: Durability) {
    this.#atomic = store
    this.#durability = durability
  }

  /** `bytes`: of its line, which has the key, too. Whether a batch was full and has been written. */
  async add(put: Put, bytes: number): Promise<boolean> {
    this.#batch.push(put)
    this.#bytes += bytes
    if (this.#batch.length < BATCH_ENTRIES && this.#bytes < BATCH_BYTES) return false
    await this.flush()
    return true
  }

  async flush(): Promise<void> {
    const batch = this.#batch
    if (batch.length === 0) return
    this.#batch = []
    this.#bytes = 0
    const store = this.#atomic
    try {
      if (store === undefined) return await this.#writeEach(batch)
      const operations = batch.map(({ table, key, value, expiresAt }) => {
        const end = expiresAt === undefined ? {} : { expiresAt }
        return { type: 'put', table, key, value, ...end } as const
      })
      await store.batch(operations, { durability: this.#durability })
      this.stored += batch.length
    } catch (error) {
      if (!isRefusal(error) || store === undefined) throw error
      // One of them is too long, say; alone, each tells for itself.
      await this.#writeEach(batch)
    }
  }

  async #writeEach(batch: readonly Put[]): Promise<void> {
    for (const { table, key, value, line, expiresAt } of batch) {
      const end = expiresAt === undefined ? {} : { expiresAt }
      try {
        await table.put(key, value, { durability: this.#durability, ...end })
      } catch (error) {
        throw isRefusal(error) ? atLine(line, error) : error
      }
      this.stored++
    }
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof KvarkError && error.code.startsWith('INVALID_')
}
