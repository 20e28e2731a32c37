/**
 * The catalogue: which tables a store has. One entry of the store itself, so that it is durable, encrypted, backed up and recovered as
 * all other entries are, and changes by one write, together with what belongs to the change.
 *
 *   key     │ 1 │                                        space 1, the empty key
 *   value   │ version u8 = 1 │ next │ root │ tables │ table … │ dropped │ space … │
 *   table   │ number │ space │ length, name │ length, codec of keys │ length, codec of values │
 *
 * All numbers are varints, names are UTF-8, tables lie in the order of their numbers. `next` is above every number and space that was
 * ever used; `root` is the space of the root; `dropped` are spaces whose entries are to be removed yet. A store without the entry
 * has no table, and 0 is the root's space.
 *
 * 1. A catalogue never changes: a change makes another one. Whoever has one has the tables of one moment.
 * 2. A number is a table's for ever. Its space is the same number until the table is cleared on an engine that cannot clear a range.
 * 3. What cannot be read is `VERSION` or `CORRUPTION`, never taken for no tables.
 */

import { readVarint, varintLength, writeVarint } from '../bytes/varint.ts'
import { KvarkError } from '../errors.ts'
import { CATALOGUE_SPACE, FIRST_SPACE, ROOT_SPACE, startOf } from './spaces.ts'

/** Longest name of a table, bytes of UTF-8. */
export const MAX_TABLE_NAME_BYTES = 255

/** The internal key of the catalogue. */
export const CATALOGUE_KEY: Buffer = startOf(CATALOGUE_SPACE)

const FORMAT = 1

export interface TableRecord {
  readonly number: number
  readonly space: number
  readonly name: string
  /** Names of the codecs. */
  readonly keys: string
  readonly values: string
}

interface Parts {
  readonly next: number
  readonly root: number
  readonly tables: ReadonlyMap<number, TableRecord>
  readonly dropped: readonly number[]
}

export class Catalogue {
  /** The least number that was never used. */
  readonly next: number
  /** The space of the root. */
  readonly root: number
  /** By number, in the order of the numbers. */
  readonly tables: ReadonlyMap<number, TableRecord>
  /** Spaces whose entries are to be removed. */
  readonly dropped: readonly number[]
  readonly #names = new Map<string, TableRecord>()

  constructor({ next, root, tables, dropped }: Parts) {
    this.next = next
    this.root = root
    this.tables = tables
    this.dropped = dropped
    for (const record of tables.values()) this.#names.set(record.name, record)
  }

  named(name: string): TableRecord | undefined {
    return this.#names.get(name)
  }

  /** Whether keys of the space may be written. */
  hasSpace(space: number): boolean {
    if (space === this.root || this.tables.get(space)?.space === space) return true
    for (const record of this.tables.values()) if (record.space === space) return true
    return false
  }

  /** The table whose space this is; 0: the root. */
  numberOf(space: number): number {
    for (const record of this.tables.values()) if (record.space === space) return record.number
    return 0
  }

  /** With a table more, or with another record of one. */
  with(record: TableRecord): Catalogue {
    const next = Math.max(this.next, record.number + 1, record.space + 1)
    const tables = new Map(this.tables)
    if (tables.has(record.number) || next > this.next)
      return this.#changed({ next, tables: tables.set(record.number, record) })
    const sorted = [...tables.values(), record].sort((a, b) => a.number - b.number)
    return this.#changed({ next, tables: new Map(sorted.map((one) => [one.number, one])) })
  }

  /** Without a table. */
  without(number: number): Catalogue {
    const tables = new Map(this.tables)
    tables.delete(number)
    return this.#changed({ tables })
  }

  /** With another space for the root. */
  withRoot(root: number): Catalogue {
    return this.#changed({ root, next: Math.max(this.next, root + 1) })
  }

  /** With a space whose entries are to be removed. */
  withDropped(space: number): Catalogue {
    return this.#changed({ dropped: [...this.dropped, space] })
  }

  /** When the entries of these spaces are gone. */
  withoutDropped(spaces: readonly number[]): Catalogue {
    return this.#changed({ dropped: this.dropped.filter((space) => !spaces.includes(space)) })
  }

  encode(): Buffer {
    const { next, root, tables, dropped } = this
    const parts: Buffer[] = [Buffer.from([FORMAT]), varints(next, root, tables.size)]
    for (const record of tables.values()) parts.push(bytesOf(record))
    parts.push(varints(dropped.length, ...dropped))
    return Buffer.concat(parts)
  }

  #changed(parts: Partial<Parts>): Catalogue {
    const { next, root, tables, dropped } = this
    return new Catalogue({ next, root, tables, dropped, ...parts })
  }
}

/** The catalogue of a store that never had a table. */
export const NO_TABLES: Catalogue = new Catalogue({
  next: FIRST_SPACE,
  root: ROOT_SPACE,
  tables: new Map(),
  dropped: [],
})

/** The catalogue of the store in the folder `path` whose entry is `bytes`. */
export function decodeCatalogue(bytes: Uint8Array, path: string): Catalogue {
  if (bytes.length > 0 && bytes[0] !== FORMAT) {
    throw new KvarkError(
      'VERSION',
      `The list of tables of the store ${path} is of version ${bytes[0]}, and this kvark knows ${FORMAT}. Open the store with the kvark that wrote it.`,
      { path, expected: FORMAT, found: bytes[0] },
    )
  }
  const reader = new Reader(bytes)
  const next = reader.number()
  const root = reader.number()
  const tables = new Map<number, TableRecord>()
  const used = new Set([root])
  const names = new Set<string>()
  let last = FIRST_SPACE - 1
  for (let left = reader.number(); left > 0; left--) {
    const number = reader.number()
    const space = reader.number()
    const [name, keys, values] = [reader.text(), reader.text(), reader.text()]
    reader.check(number > last && number < next && name !== '' && !names.has(name))
    reader.check(space >= FIRST_SPACE && space < next && !used.has(space))
    tables.set(number, { number, space, name, keys, values })
    used.add(space)
    names.add(name)
    last = number
  }
  const dropped: number[] = []
  for (let left = reader.number(); left > 0; left--) {
    const space = reader.number()
    reader.check((space === ROOT_SPACE || space >= FIRST_SPACE) && space < next && !used.has(space))
    dropped.push(space)
    used.add(space)
  }
  reader.check((root === ROOT_SPACE || root >= FIRST_SPACE) && root < next)
  const catalogue = new Catalogue({ next, root, tables, dropped })
  // What can be written in several ways is written in one: texts that are UTF-8, numbers without zeros, nothing behind.
  reader.check(catalogue.encode().equals(bytes))
  if (!reader.good) {
    throw new KvarkError(
      'CORRUPTION',
      `The list of tables of the store ${path} makes no sense (at its byte ${reader.at}). Restore the store from a backup, or save the rest with \`kvark repair\`.`,
      { path, offset: reader.at },
    )
  }
  return catalogue
}

/** Reads on after something bad, without going anywhere: whoever is done asks whether all was `good`. */
class Reader {
  readonly #bytes: Buffer
  at = 1
  good: boolean

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes)
    this.good = bytes.length > 0
  }

  check(holds: boolean): void {
    if (!holds) this.good = false
  }

  number(): number {
    const value = this.good ? readVarint(this.#bytes, this.at, this.#bytes.length) : -1
    if (value < 0) {
      this.good = false
      return 0
    }
    this.at += varintLength(value)
    return value
  }

  text(): string {
    const length = this.number()
    const end = this.at + length
    if (!this.good || end > this.#bytes.length) {
      this.good = false
      return ''
    }
    const text = this.#bytes.toString('utf8', this.at, end)
    this.at = end
    return text
  }
}

/** Encoded once: with thousands of tables each change writes thousands of records, and makes one. */
const encoded = new WeakMap<TableRecord, Buffer>()

function bytesOf(record: TableRecord): Buffer {
  let bytes = encoded.get(record)
  if (bytes === undefined) {
    const texts = [record.name, record.keys, record.values].flatMap((text) => {
      const one = Buffer.from(text, 'utf8')
      return [varints(one.length), one]
    })
    bytes = Buffer.concat([varints(record.number, record.space), ...texts])
    encoded.set(record, bytes)
  }
  return bytes
}

function varints(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.reduce((sum, value) => sum + varintLength(value), 0))
  let at = 0
  for (const value of values) at = writeVarint(bytes, at, value)
  return bytes
}
