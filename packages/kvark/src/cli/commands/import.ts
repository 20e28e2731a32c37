/**
 * `import`: stores entries from lines of JSON, as they come. Lines gather into batches that do not wait for the disk; one
 * sync at the end does.
 *
 *   {"key":"user:1","value":"Alice"}
 *   {"key":{"base64":"AP8Q"},"value":{"base64":"…"}}
 *
 * 1. Lines are stored in their order. Where a line is refused, all lines before it are stored and none after it.
 * 2. An interrupted import keeps what it has stored.
 */

import { isUtf8 } from 'node:buffer'
import { type AtomicTable, type BatchOperation, type Durability, KvarkError } from '../../index.ts'
import { EXIT_OK, Interrupted } from '../errors.ts'
import { type Input, inputChunks, openInput } from '../files.ts'
import { type Line, lines } from '../lines.ts'
import type { Key } from '../notation.ts'
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
import { checkNumbers } from '../tuple.ts'
import { type CodecOptions, codecsOf, type TableArgument } from './write-options.ts'

const BATCH_ENTRIES = 1000
const BATCH_BYTES = 4 * 1024 * 1024

/** Members of a line. `get --json` prints a version: it is passed over, since every write gets a new one. */
const MEMBERS: readonly string[] = ['key', 'value', 'version', 'expiresAt']

interface Put extends Extract<BatchOperation<Key, Uint8Array>, { type: 'put' }> {
  readonly line: number
}

export async function importEntries(
  context: Context,
  file: string,
  options: CodecOptions & TableArgument,
): Promise<number> {
  const { io, output } = context
  const place = await locate(context, {
    write: true,
    create: true,
    encoding: 'utf8',
    table: options.table,
    ...codecsOf(options),
  })
  const input = await openInput(io, file)
  try {
    if (file === '-' && io.stdin.isTTY)
      output.talk('Reading entries from the terminal; Ctrl-D ends them.')
    const stored = await withStore(place, (table, store) =>
      importInto(table, store, place, input, file),
    )
    if (output.json) await output.jsonLine({ imported: stored })
    else output.talk(`Imported ${countOf(stored, 'entry', 'entries')}.`)
  } finally {
    // A pipe that nobody reads any more must not keep the process alive.
    input.stream.destroy()
  }
  return EXIT_OK
}

/** Returns the number of entries stored. */
async function importInto(
  table: RawTable,
  store: RawStore,
  place: Place,
  input: Input,
  file: string,
): Promise<number> {
  const { io, options, output } = place.context
  const writer = new Writer(table, atomic(table, store), options.durability ?? 'none')
  const progress = input.bytes === undefined ? undefined : await output.progress('Importing')
  try {
    for await (const line of lines(inputChunks(input, file))) {
      io.signal.throwIfAborted()
      if (await addLine(writer, place, line))
        progress?.update(line.end, Math.max(line.end, input.bytes ?? 0))
    }
    await writer.flush()
    await store.sync()
    return writer.stored
  } catch (error) {
    const before = `${countOf(writer.stored, 'entry was', 'entries were')} stored before.`
    if (error instanceof Interrupted || error instanceof KvarkError) error.message += ` ${before}`
    throw error
  } finally {
    progress?.stop()
  }
}

/** Whether a batch was written. */
async function addLine(writer: Writer, place: Place, line: Line): Promise<boolean> {
  let put: Put | undefined
  try {
    put = parseLine(place, line)
  } catch (error) {
    await writer.flush()
    throw atLine(line.number, error)
  }
  return put !== undefined && (await writer.add(put))
}

/** The entry of a line; `undefined` for a blank one. */
export function parseLine(place: Pick<Place, 'keys' | 'values'>, line: Line): Put | undefined {
  if (!isUtf8(line.bytes)) throw malformed('it is not UTF-8 text.')
  const text = line.bytes.toString()
  if (text.trim() === '') return undefined
  let entry: unknown
  try {
    entry = JSON.parse(text)
  } catch (error) {
    throw malformed(`it is not JSON (${(error as Error).message}).`)
  }
  if (typeof entry !== 'object' || entry === null || !('key' in entry) || !('value' in entry)) {
    throw malformed('it is not an object like {"key":"…","value":"…"}.')
  }
  const unknown = Object.keys(entry).find((name) => !MEMBERS.includes(name))
  if (unknown !== undefined)
    throw malformed(`import does not know its member ${JSON.stringify(unknown)}.`)
  if (place.keys.codec === 'tuple') checkNumbers(text)
  const key = place.keys.fromJson(entry.key)
  const value = place.values.fromJson(entry.value)
  place.keys.check(key)
  place.values.check(value)
  const expiresAt = 'expiresAt' in entry ? entry.expiresAt : undefined
  if (expiresAt !== undefined && !(Number.isSafeInteger(expiresAt) && (expiresAt as number) > 0)) {
    throw malformed('its expiresAt is not a time in milliseconds since 1970.')
  }
  const end = expiresAt === undefined ? {} : { expiresAt: expiresAt as number }
  return { type: 'put', key, value, line: line.number, ...end }
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
  readonly #table: RawTable
  /** The same, where there are batches. */
  readonly #atomic: AtomicTable<Key, Uint8Array> | undefined
  readonly #durability: Durability
  #batch: Put[] = []
  #bytes = 0

  constructor(
    table: RawTable,
    atomicTable: AtomicTable<Key, Uint8Array> | undefined,
    durability: Durability,
  ) {
    this.#table = table
    this.#atomic = atomicTable
    this.#durability = durability
  }

  /** Whether a batch was full and has been written. */
  async add(put: Put): Promise<boolean> {
    this.#batch.push(put)
    this.#bytes += put.value.length
    if (this.#batch.length < BATCH_ENTRIES && this.#bytes < BATCH_BYTES) return false
    await this.flush()
    return true
  }

  async flush(): Promise<void> {
    const batch = this.#batch
    if (batch.length === 0) return
    this.#batch = []
    this.#bytes = 0
    const table = this.#atomic
    try {
      if (table === undefined) return await this.#writeEach(batch)
      const operations = batch.map(({ key, value, expiresAt }) => {
        const end = expiresAt === undefined ? {} : { expiresAt }
        return { type: 'put', key, value, ...end } as const
      })
      await table.batch(operations, { durability: this.#durability })
      this.stored += batch.length
    } catch (error) {
      if (!isRefusal(error) || table === undefined) throw error
      // One of them is too long, say; alone, each tells for itself.
      await this.#writeEach(batch)
    }
  }

  async #writeEach(batch: readonly Put[]): Promise<void> {
    for (const { key, value, line, expiresAt } of batch) {
      const end = expiresAt === undefined ? {} : { expiresAt }
      try {
        await this.#table.put(key, value, { durability: this.#durability, ...end })
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
