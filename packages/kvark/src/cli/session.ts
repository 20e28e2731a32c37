/**
 * A command's store: found, opened with codecs that pass bytes through (see `notation.ts`), handed to the command, and
 * closed whatever happens, also when the command is interrupted.
 */

import {
  type AtomicTable,
  type CompressionName,
  type Durability,
  describe,
  type Encryption,
  type Followed,
  type Follower,
  follow,
  KvarkError,
  open,
  type Store,
  type StoreDescription,
  type Table,
  type TableInfo,
} from '../index.ts'
import type { Encoding } from './bytes.ts'
import type { Io } from './io.ts'
import {
  type CodecChoice,
  KEY_CODECS,
  type Key,
  keyNotation,
  type Notation,
  VALUE_CODECS,
  valueNotation,
} from './notation.ts'
import type { Output } from './output.ts'
import { readSecret, SECRET, waysOf } from './secret.ts'
import { quoted } from './words.ts'

/** Where the store is if nobody says. */
export const DEFAULT_DATA_DIR = './data'

/** Options that every command takes, besides those of `Output`. */
export interface GlobalOptions {
  readonly dataDir: string
  readonly engine?: string
  readonly encoding: Encoding
  readonly durability?: Durability
  readonly compression?: CompressionName
  readonly keyFile?: string
  readonly passphraseFile?: string
}

/** What a command works with. */
export interface Context {
  readonly io: Io
  readonly output: Output
  readonly options: GlobalOptions
}

/** The names of both codecs. */
export type Codecs = Pick<TableInfo, 'keys' | 'values'>

/** Which store a command needs. */
export interface StoreRequest {
  /** The command writes. What only reads changes no file, so it also works where the disk is full. */
  readonly write?: boolean
  /** Make the store when there is none, for a command that writes. */
  readonly create?: boolean
  /** Codec names given by the user. */
  readonly keys?: string
  readonly values?: string
  /** Codecs for what is not there yet where the user names none, from somebody who knows what they can read. */
  readonly told?: Codecs
  /** The table that the command works on; `undefined`: the root. Without `create` it has to be there. */
  readonly table?: string | undefined
  /** How bytes stand in text, where it is not what `--encoding` says. */
  readonly encoding?: Encoding
}

/** A store that was found, or may be made, but is not open yet: its keys and values can be read already. */
export interface Place {
  readonly context: Context
  /** What is there; `undefined`: no store yet. */
  readonly found: StoreDescription | undefined
  /** `undefined`: the default of `open`. */
  readonly engine: string | undefined
  readonly write: boolean
  readonly create: boolean
  /** `undefined`: the root. */
  readonly table: string | undefined
  /** Codecs of the root, which are needed to open the store. */
  readonly root: { readonly keys: Notation<Key>; readonly values: Notation<Uint8Array> }
  /** The secret of a store that is encrypted, or will be. */
  readonly encryption: Encryption | undefined
  /** Of the table. */
  readonly keys: Notation<Key>
  readonly values: Notation<Uint8Array>
}

export type RawStore = Store<Key, Uint8Array>
export type RawTable = Table<Key, Uint8Array>

/** A command: does its work and gives the exit code. */
export type Action = (context: Context) => Promise<number>

/** Finds the store of `--data-dir`. */
export async function locate(context: Context, request: StoreRequest = {}): Promise<Place> {
  const { io, output, options } = context
  const path = options.dataDir
  checkDataDir(path)
  const { keyFile, passphraseFile } = options
  const encryption = await readSecret(io, output, { keyFile, passphraseFile }, SECRET)
  const found = await describeIfThere(path)
  if (found === undefined) {
    if (!request.create) {
      throw new KvarkError(
        'NOT_FOUND',
        `There is no store in ${path}. The first \`kvark set KEY VALUE --data-dir ${quoted(path)}\` makes one.`,
        { path },
      )
    }
    checkCodec('keys', request.keys, KEY_CODECS)
    checkCodec('values', request.values, VALUE_CODECS)
  } else checkSecret(found, encryption, path)
  const encoding = request.encoding ?? options.encoding
  const { table } = request
  const notations = (
    what: 'store' | 'table',
    given: Pick<StoreRequest, 'keys' | 'values' | 'told'>,
    made: Codecs | undefined,
  ): Place['root'] => ({
    keys: keyNotation(choose('keys', given, made, what), encoding),
    values: valueNotation(choose('values', given, made, what), encoding),
  })
  const root = notations('store', table === undefined ? request : {}, found)
  const place: Place = {
    context,
    found,
    engine: options.engine ?? (found === undefined ? undefined : 'any'),
    write: request.write === true,
    create: request.create === true,
    table,
    root,
    encryption,
    ...root,
  }
  if (table === undefined) return place
  const made = found && (await listTables(place)).find(({ name }) => name === table)
  if (made === undefined) {
    if (!request.create) throw noTable(table, path)
    checkCodec('keys', request.keys, KEY_CODECS)
    checkCodec('values', request.values, VALUE_CODECS)
  }
  return { ...place, ...notations('table', request, made) }
}

/** What `open` takes for a store in memory, which would be gone when the command ends. */
function checkDataDir(path: string): void {
  if (path !== ':memory:') return
  throw new KvarkError(
    'INVALID_ARGUMENT',
    "A store in memory would be gone when the command ends. Give the path of a folder; one of that name is './:memory:'.",
    { path },
  )
}

/** Codecs of values of tables in which entries tell of one another. */
const COLLECTION = /^(queue|list|ints)(?::|$)/

/**
 * Refuses the table of a collection, where an entry that goes alone, or ends, would leave others that tell of it. Of sets and counters
 * each entry stands for itself.
 */
export function checkLoose({ table, values: { codec } }: Place): void {
  const name = typeof codec === 'string' ? codec : codec.name
  const kind = COLLECTION.exec(name)?.[1]
  if (table === undefined || kind === undefined) return
  throw new KvarkError(
    'UNSUPPORTED',
    `The table ${JSON.stringify(table)} is a collection (${kind}), whose entries belong together: change it with its functions in kvark/collections.`,
    { found: name },
  )
}

function noTable(table: string, path: string): KvarkError {
  return new KvarkError(
    'NOT_FOUND',
    `There is no table ${JSON.stringify(table)} in ${path}. \`kvark tables --data-dir ${quoted(path)}\` lists those that there are.`,
    { path },
  )
}

/** The tables of a store that is there. The codecs of one are known only to the open store. */
async function listTables(place: Place): Promise<TableInfo[]> {
  const { io, options } = place.context
  io.signal.throwIfAborted()
  const store = await openRaw(options.dataDir, {
    engine: place.engine,
    create: false,
    readOnly: true,
    keys: place.root.keys.codec,
    values: place.root.values.codec,
    encryption: place.encryption,
  })
  try {
    return store.tables()
  } finally {
    await store.close()
  }
}

/** In the words of the command line; `open` would say it in those of the library. */
function checkSecret(
  found: StoreDescription,
  encryption: Encryption | undefined,
  path: string,
): void {
  if (found.cipher !== undefined && encryption === undefined) {
    throw new KvarkError(
      'BAD_ENCRYPTION_KEY',
      `The store in ${path} is encrypted. Give its secret with ${waysOf(SECRET)}.`,
      { path },
    )
  }
  if (found.cipher === undefined && encryption !== undefined) {
    throw new KvarkError(
      'MISMATCH',
      `The store in ${path} is not encrypted, and a secret is given. Leave it out (${waysOf(SECRET)}), or import the entries into a new store.`,
      { path },
    )
  }
}

async function describeIfThere(path: string): Promise<StoreDescription | undefined> {
  try {
    return await describe(path)
  } catch (error) {
    if (error instanceof KvarkError && error.code === 'NOT_FOUND') return undefined
    throw error
  }
}

/** `open` with options that are known only now; its types want to know them when the program is written. */
const openRaw: (path: string, options: object) => Promise<RawStore> = open

/** Opens the store; `use` gets the table of the place, and the store. */
export async function withStore<T>(
  place: Place,
  use: (table: RawTable, store: RawStore) => Promise<T>,
): Promise<T> {
  const { io, options, output } = place.context
  io.signal.throwIfAborted()
  const store = await openRaw(options.dataDir, {
    engine: place.engine,
    create: place.create,
    readOnly: !place.write,
    keys: place.root.keys.codec,
    values: place.root.values.codec,
    compression: options.compression,
    encryption: place.encryption,
  })
  // Not what someone meant who misspelt --data-dir.
  if (place.found === undefined) {
    const form = [`engine ${store.engine}`]
    if ((options.compression ?? 'none') !== 'none') form.push(`compression ${options.compression}`)
    if (place.encryption !== undefined) form.push('encrypted')
    output.talk(`Made a new store in ${store.path} (${form.join(', ')}).`)
  }
  let failed = true
  try {
    io.signal.throwIfAborted()
    const result = await use(tableOf(store, place), store)
    failed = false
    return result
  } finally {
    await store.close().catch((error: unknown) => {
      // The first failure says more than what it does to the close.
      if (failed) return
      // The journal has what was written where only the tree could not be brought up to date: on a full disk, say.
      const isWritten = place.write && (options.durability ?? 'disk') === 'disk'
      if (isWritten && error instanceof KvarkError)
        error.message += ' What the command wrote is kept.'
      throw error
    })
  }
}

/** `follow` with options that are known only now. */
const followRaw: (path: string, options: object) => Promise<Follower<Key, Uint8Array>> = follow

/** Follows the store of `--data-dir`, which may be open elsewhere; `use` gets the table, or the root, and its notations. */
export async function withFollower<T>(
  context: Context,
  table: string | undefined,
  use: (followed: Followed<Key, Uint8Array>, place: Place) => Promise<T>,
): Promise<T> {
  const { io, options } = context
  const place = await locate(context)
  const { keys, values } = place.root
  io.signal.throwIfAborted()
  const follower = await followRaw(options.dataDir, {
    engine: place.engine,
    keys: keys.codec,
    values: values.codec,
    compression: options.compression,
    encryption: place.encryption,
  })
  try {
    if (table === undefined) return await use(follower, place)
    const made = follower.tables().find(({ name }) => name === table)
    if (made === undefined) throw noTable(table, options.dataDir)
    const own = {
      keys: keyNotation({ name: made.keys, named: false }, options.encoding),
      values: valueNotation({ name: made.values, named: false }, options.encoding),
    }
    const codecs = { keys: own.keys.codec, values: own.values.codec }
    const followed: Followed<Key, Uint8Array> = anyTable(follower, table, codecs)
    return await use(followed, { ...place, ...own, table })
  } finally {
    await follower.close()
  }
}

function tableOf(store: RawStore, { table, keys, values }: Place): RawTable {
  return table === undefined ? store : tableNamed(store, table, keys, values)
}

/** A table of a store that is open. */
export function tableNamed(
  store: RawStore,
  name: string,
  keys: Notation<Key>,
  values: Notation<Uint8Array>,
): RawTable {
  return anyTable(store, name, { keys: keys.codec, values: values.codec })
}

/** `table` with codecs that are known only now. */
function anyTable<T>(of: object, name: string, codecs: object): T {
  return (of as { table(name: string, options: object): T }).table(name, codecs)
}

/** The table with batches and snapshots, `undefined` where the engine has none. */
export function atomic(table: RawTable, store: RawStore): AtomicTable<Key, Uint8Array> | undefined {
  return store.supports.atomicBatch ? (table as AtomicTable<Key, Uint8Array>) : undefined
}

function choose(
  option: 'keys' | 'values',
  given: Pick<StoreRequest, 'keys' | 'values' | 'told'>,
  made: Codecs | undefined,
  what: 'store' | 'table',
): CodecChoice {
  const named = given[option]
  const stored = made?.[option]
  if (named !== undefined && stored !== undefined && named !== stored) {
    // `open` would say so too, but only after what is to be written was judged by the wrong codec.
    throw new KvarkError(
      'MISMATCH',
      `The ${what} was made with --${option} ${stored}, not ${named}. Leave the option out, or make another ${what}.`,
      { expected: named, found: stored },
    )
  }
  const wanted = named ?? (stored === undefined ? given.told?.[option] : undefined)
  return { name: wanted ?? stored ?? 'utf8', named: wanted !== undefined }
}

/** A misspelt codec would stay in the new store for good. */
function checkCodec(option: string, name: string | undefined, known: readonly string[]): void {
  if (name === undefined || known.includes(name)) return
  throw new KvarkError(
    'INVALID_ARGUMENT',
    `--${option} of a new store must be one of ${known.join(', ')}, not ${name}.`,
  )
}
